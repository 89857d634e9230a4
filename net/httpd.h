/* httpd.h - a small HTTP/1.1 server for the admin side: whole requests in, whole answers out.
 *
 * Bodies are bounded; handlers run on the loop's thread and may answer later (httpd_reply). Not for the data path. */
#ifndef NET_HTTPD_H
#define NET_HTTPD_H

#include <openssl/ssl.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/buf.h"
#include "net/h1.h"
#include "net/loop.h"

struct httpd;
struct httpd_request {
	struct arena arena; /* lives until the answer is sent */
	const struct h1_head *head;
	struct slice path, query; /* query without '?' */
	struct slice body;
	struct addr *peer;
	void *conn; /* of the server */
};

struct httpd_config {
	size_t max_body_bytes, max_connections;
	int64_t head_timeout_ns, idle_timeout_ns;
	SSL_CTX *tls; /* NULL = plain */
};

typedef void httpd_handler(void *ctx, struct httpd_request *);

struct httpd *httpd_new(struct loop *, const struct httpd_config *, httpd_handler *, void *ctx)
    NONNULL(1, 2, 3) MUST_USE;
/* Listens; takes a bound listening fd (see net/listen.h), which is closed here; on failure the caller keeps it. At most
 * four. BUR_FULL, BUR_NOMEM. */
int httpd_listen(struct httpd *, int fd) NONNULL(1) MUST_USE;
void httpd_free(struct httpd *); /* not from within a handler */

/* Answers once; every request must be answered, even when its client or the server has gone (then nothing is sent).
 * `extra_fields`: complete "name: value\r\n" lines made by us, or empty; malformed ones turn the answer into a 500. The
 * body is copied. HEAD gets no body. */
void httpd_reply(struct httpd_request *, int status, struct slice content_type, struct slice extra_fields,
		 struct slice body) NONNULL(1);
/* Value of a query parameter, percent-decoded into the arena; .p == NULL when absent, BUR_INVALID on bad encoding. */
int httpd_query(struct httpd_request *, const char *name, struct slice *ret) NONNULL(1, 2, 3) MUST_USE;

#endif
