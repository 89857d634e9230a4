/* error.h - one enum of result codes. 0 is success, negative is failure. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

enum bur_err {
	BUR_OK = 0,
	BUR_AGAIN = -1, /* not yet: would block, or more bytes are needed */
	BUR_EOF = -2,   /* the peer ended in an orderly way */
	BUR_NOMEM = -3,
	BUR_INVALID = -4,  /* malformed input */
	BUR_TOOBIG = -5,   /* over a configured maximum */
	BUR_OVERFLOW = -6, /* arithmetic would overflow */
	BUR_NOTFOUND = -7,
	BUR_DENIED = -8,  /* refused by policy */
	BUR_ALREADY = -9, /* was done before; nothing changed */
	BUR_IO = -10,     /* errno has the detail */
	BUR_CRYPTO = -11, /* OpenSSL's error queue has the detail */
	BUR_TIMEOUT = -12,
	BUR_FULL = -13,    /* a bounded resource is used up */
	BUR_CORRUPT = -14, /* data on disk is not what was written */
	BUR_UNSUPPORTED = -15,
	BUR_BUSY = -16, /* held by somebody else, for example another process */
};

/* A short English phrase for a code. Never NULL. Any thread. */
const char *bur_strerror(int code);

#endif
