/* http.h - one blocking HTTP request to a program on this machine: what the command line needs, no more. */
#ifndef APP_HTTP_H
#define APP_HTTP_H

#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/slice.h"

struct http_question {
	const char *host; /* an address; "0.0.0.0" and "::" mean loopback */
	uint16_t port;
	const char *method, *target;
	struct slice bearer; /* token, or empty */
	struct slice fields; /* further header lines, complete, or empty */
	struct slice body;   /* JSON, or empty */
};

/* One connection, closed after the answer; 30 s for each read and write. The token is wiped from what was sent.
 * BUR_OK: *ret_status, and the body is appended to `out`. BUR_IO: nobody there, or broken off (errno). BUR_CORRUPT: the
 * answer is malformed or cut short. BUR_TOOBIG. */
int http_ask(const struct http_question *, int *ret_status, struct buf *out) NONNULL(1, 2, 3) MUST_USE;

#define HTTP_ANSWER_MAX (16 * 1024 * 1024)

#endif
