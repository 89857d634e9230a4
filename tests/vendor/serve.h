/* serve.h - the connections of the test vendor: reads calls, plays their scripts, keeps the bill. One loop, one thread.
 */
#ifndef VENDOR_SERVE_H
#define VENDOR_SERVE_H

#include <openssl/ssl.h>
#include <sys/queue.h>

#include "base/attr.h"
#include "net/listen.h"
#include "net/loop.h"
#include "tests/vendor/bill.h"
#include "tests/vendor/shelf.h"

struct conn;

struct server_stats {
	uint64_t hits;        /* calls to the API, control routes left out */
	uint64_t connections; /* accepted */
	uint64_t open_calls, peak_calls;
	uint64_t client_gone;
};

struct server {
	struct loop *loop;
	struct bill *bill;
	struct shelf *shelf;
	SSL_CTX *tls;
	uint64_t numbers; /* of calls */
	struct server_stats stats;
	TAILQ_HEAD(conn_list, conn) conns;
	char last_head[16384]; /* JSON of the newest call's head */
	bool keep_last;        /* costs time: not while measuring */
};

/* Accept callbacks; the context is the server. */
accept_cb server_accept_plain, server_accept_tls;
/* Ends every call; what runs is billed as aborted. */
void server_close_all(struct server *) NONNULL(1);

#endif
