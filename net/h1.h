/* h1.h - HTTP/1.1 messages: a strict parser and a writer. No I/O: bytes in, values out.
 *
 * Heads are parsed in place from a contiguous buffer when they are complete; the slices point into it. Framing is
 * decided here once and written anew by the writer, never copied through. Anything ambiguous is an error, after which
 * the connection must be closed. Pure; one owner thread per object. */
#ifndef NET_H1_H
#define NET_H1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/slice.h"

#define H1_FIELDS_MAX 100
#define H1_LINE_MAX 8192 /* request line, and each field */
#define H1_HEAD_MAX 65536
#define H1_CHUNK_EXT_MAX 256
#define H1_CHUNK_EXT_TOTAL_MAX 16384 /* of all chunks of a body, against tiny chunks with long extensions */
#define H1_TRAILERS_MAX 8192

/* Every reason for which a message is refused: name, status to answer, text. */
#define H1_ERRORS(X)                                                                                                   \
	X(NONE, 0, "")                                                                                                 \
	X(BAD_LINE, 400, "malformed start line")                                                                       \
	X(BAD_METHOD, 400, "malformed method")                                                                         \
	X(BAD_TARGET, 400, "malformed request target")                                                                 \
	X(BAD_VERSION, 505, "HTTP version not supported")                                                              \
	X(BAD_STATUS, 502, "malformed status code")                                                                    \
	X(BAD_NAME, 400, "malformed field name")                                                                       \
	X(BAD_VALUE, 400, "control byte in a field value")                                                             \
	X(BARE_LF, 400, "line end without CR")                                                                         \
	X(BARE_CR, 400, "CR without LF")                                                                               \
	X(OBS_FOLD, 400, "folded field line")                                                                          \
	X(HEAD_TOO_LARGE, 431, "head too large")                                                                       \
	X(TARGET_TOO_LONG, 414, "request target too long")                                                             \
	X(TOO_MANY_FIELDS, 431, "too many fields")                                                                     \
	X(BAD_LENGTH, 400, "malformed Content-Length")                                                                 \
	X(TWO_LENGTHS, 400, "more than one Content-Length")                                                            \
	X(LENGTH_AND_CODING, 400, "both Content-Length and Transfer-Encoding")                                         \
	X(BAD_CODING, 501, "Transfer-Encoding other than exactly chunked")                                             \
	X(CODING_IN_10, 400, "Transfer-Encoding in an HTTP/1.0 message")                                               \
	X(BAD_HOST, 400, "missing, repeated or malformed Host")                                                        \
	X(BAD_CONNECTION, 400, "Connection names a field that must reach the other end")                               \
	X(BAD_CHUNK, 400, "malformed chunk")                                                                           \
	X(CHUNK_EXT_TOO_LARGE, 400, "chunk extension too large")                                                       \
	X(BAD_TRAILER, 400, "malformed trailer")

enum h1_error {
#define X(uc, status, text) H1_##uc,
	H1_ERRORS(X)
#undef X
};
const char *h1_error_text(enum h1_error);
int h1_error_status(enum h1_error);

/* Fields that somebody must act on; the rest are H1_F_OTHER. */
/* clang-format off */
#define H1_KNOWN_FIELDS(X) \
	X(HOST, "host") X(CONTENT_LENGTH, "content-length") X(TRANSFER_ENCODING, "transfer-encoding") \
	X(CONNECTION, "connection") X(KEEP_ALIVE, "keep-alive") X(PROXY_CONNECTION, "proxy-connection") \
	X(PROXY_AUTHORIZATION, "proxy-authorization") X(PROXY_AUTHENTICATE, "proxy-authenticate") X(TE, "te") \
	X(TRAILER, "trailer") X(UPGRADE, "upgrade") X(EXPECT, "expect") X(AUTHORIZATION, "authorization") \
	X(X_API_KEY, "x-api-key") X(X_GOOG_API_KEY, "x-goog-api-key") X(API_KEY, "api-key") \
	X(CONTENT_TYPE, "content-type") X(CONTENT_ENCODING, "content-encoding") \
	X(ACCEPT_ENCODING, "accept-encoding") X(CACHE_CONTROL, "cache-control") X(RETRY_AFTER, "retry-after") \
	X(VIA, "via") X(DATE, "date") X(SERVER, "server") X(COOKIE, "cookie") X(USER_AGENT, "user-agent") \
	X(X_REQUEST_ID, "x-request-id") X(REQUEST_ID, "request-id") X(X_SHOULD_RETRY, "x-should-retry") \
	X(X_ACCEL_BUFFERING, "x-accel-buffering")
/* clang-format on */

enum h1_field_id {
	H1_F_OTHER = 0,
#define X(uc, text) H1_F_##uc,
	H1_KNOWN_FIELDS(X)
#undef X
	    H1_F_COUNT
};

enum h1_method { H1_GET, H1_HEAD, H1_POST, H1_PUT, H1_DELETE, H1_PATCH, H1_OPTIONS, H1_CONNECT, H1_TRACE, H1_OTHER };
enum h1_framing {
	H1_NO_BODY,
	H1_LENGTH, /* content_length bytes follow */
	H1_CHUNKED,
	H1_UNTIL_EOF, /* answers only */
};

struct h1_field {
	struct slice name, value; /* name as sent; value trimmed */
	enum h1_field_id id;
};

struct h1_head {
	struct slice method_text, target; /* requests */
	enum h1_method method;
	int status; /* answers */
	struct slice reason;
	int minor; /* HTTP/1.minor */
	enum h1_framing framing;
	uint64_t content_length;
	bool keep_alive; /* what the message says about its connection */
	bool expect_continue, upgrade, te_trailers;
	bool names_hop_fields; /* Connection names fields beside the usual options */
	size_t n_fields;
	size_t head_bytes; /* length of the head on the wire, with its blank line */
	struct h1_field fields[H1_FIELDS_MAX];
};

/* Incremental search for the end of the head. Start with {0}; keep it while the same head is arriving. */
struct h1_scan {
	size_t scanned;
};

/* BUR_AGAIN: more bytes needed. BUR_OK: *ret is filled, its slices point into p. BUR_INVALID: *reterr says why.
 * `p` is the start of the message each time (the buffer may have moved); leading CRLFs before a request are skipped by
 * the caller's consume of head_bytes. */
int h1_parse_request(struct h1_scan *, const char *p, size_t n, struct h1_head *ret, enum h1_error *reterr)
    NONNULL(1, 2, 4, 5) MUST_USE;
/* `request_method` decides whether an answer has a body. 1xx answers are returned like others, with H1_NO_BODY. */
int h1_parse_response(struct h1_scan *, const char *p, size_t n, enum h1_method request_method, struct h1_head *ret,
		      enum h1_error *reterr) NONNULL(1, 2, 5, 6) MUST_USE;
/* First field with this id, or NULL. */
const struct h1_field *h1_find(const struct h1_head *, enum h1_field_id) NONNULL(1);
const struct h1_field *h1_find_name(const struct h1_head *, struct slice lower_name) NONNULL(1);
/* True when the field belongs to this hop only: the fixed list, and whatever Connection names. */
bool h1_is_hop_by_hop(const struct h1_head *, const struct h1_field *) NONNULL(1, 2);

/* Body decoder: gives payload as slices of the input, whatever the framing. */
struct h1_body {
	enum h1_framing framing;
	uint8_t state;
	uint64_t left;                     /* of the body, or of the current chunk */
	uint32_t ext_bytes, trailer_bytes; /* of the current chunk; of all trailers */
	uint32_t ext_total_bytes;
	uint64_t total; /* payload seen */
	enum h1_error error;
};
void h1_body_init(struct h1_body *, enum h1_framing, uint64_t content_length) NONNULL(1);
/* Reads from p[*inout_i..n). BUR_OK: *ret_data is a payload piece (never empty), call again. BUR_AGAIN: all consumed.
 * BUR_EOF: the body is complete; bytes after it stay unread. BUR_INVALID: body->error. */
int h1_body_next(struct h1_body *, const char *p, size_t n, size_t *inout_i, struct slice *ret_data)
    NONNULL(1, 4, 5) MUST_USE;
/* The peer closed: true when that is a proper end (H1_UNTIL_EOF, or already complete). */
bool h1_body_eof_ok(const struct h1_body *) NONNULL(1);

/* Writer. Every value passes one check: no CR, LF, NUL. Errors are sticky in the builder. */
struct h1_writer {
	struct buf *out;
	int err;
	size_t start; /* bytes in `out` before this head: a failed head is taken out again */
};
void h1_write_request(struct h1_writer *, struct buf *out, struct slice method, struct slice target) NONNULL(1, 2);
void h1_write_status(struct h1_writer *, struct buf *out, int status, struct slice reason) NONNULL(1, 2);
void h1_write_field(struct h1_writer *, struct slice name, struct slice value) NONNULL(1);
void h1_write_field_u64(struct h1_writer *, struct slice name, uint64_t value) NONNULL(1);
int h1_write_end(struct h1_writer *) NONNULL(1) MUST_USE; /* BUR_OK, BUR_INVALID (bad value), BUR_TOOBIG, BUR_NOMEM */
const char *h1_reason(int status);
/* The size line of a chunk ("1f\r\n") into dst; returns its length. The data, then "\r\n", follow; the last chunk is
 * "0\r\n\r\n". */
#define H1_CHUNK_LINE_MAX 20
size_t h1_chunk_line(char dst[H1_CHUNK_LINE_MAX], size_t n);

#endif
