#include "base/error.h"

const char *bur_strerror(int code)
{
	switch (code) {
	case BUR_OK:
		return "success";
	case BUR_AGAIN:
		return "not yet";
	case BUR_EOF:
		return "end of stream";
	case BUR_NOMEM:
		return "out of memory";
	case BUR_INVALID:
		return "malformed input";
	case BUR_TOOBIG:
		return "over the maximum";
	case BUR_OVERFLOW:
		return "arithmetic overflow";
	case BUR_NOTFOUND:
		return "not found";
	case BUR_DENIED:
		return "refused by policy";
	case BUR_ALREADY:
		return "done before";
	case BUR_IO:
		return "input/output error";
	case BUR_CRYPTO:
		return "cryptographic error";
	case BUR_TIMEOUT:
		return "timed out";
	case BUR_FULL:
		return "no room left";
	case BUR_CORRUPT:
		return "stored data is damaged";
	case BUR_UNSUPPORTED:
		return "not supported";
	case BUR_BUSY:
		return "held by somebody else";
	default:
		return "unknown error";
	}
}
