/* conn.h - one connection and the call on it: what serve.c reads and writes, and play.c answers. Internal to the two.
 */
#ifndef VENDOR_CONN_H
#define VENDOR_CONN_H

#include "base/attr.h"
#include "base/buf.h"
#include "net/h1.h"
#include "net/stream.h"
#include "tests/vendor/answer.h"
#include "tests/vendor/serve.h"

#define OUT_MAX (96 * 1024 * 1024)

enum conn_state { CONN_HEAD, CONN_BODY, CONN_DELAY, CONN_STREAM, CONN_FLUSH, CONN_CLOSED };

struct conn {
	unsigned magic;
	TAILQ_ENTRY(conn) entry;
	struct server *server;
	struct stream stream;
	enum conn_state state;
	bool handshaking, keep_alive, close_after, dribble, chunked, billed_open, head_only;
	struct buf in, out, body, raw; /* raw: the request's body, where it is kept whole */
	struct h1_scan scan;
	struct h1_body decoder;
	struct body_scan json;
	struct request request;
	struct answer answer;
	struct bill_entry bill;
	struct loop_timer *timer;
	struct z_stream_s *gzip;
	struct loop_free_node free_node;
};

/* --- serve.c: the connection, the bill of the call, bytes on their way out --- */
void conn_call_begin(struct conn *) NONNULL(1);
void conn_call_end(struct conn *, enum bill_status) NONNULL(1);
void conn_reset(struct conn *) NONNULL(1);
void conn_sleep(struct conn *, uint64_t ms) NONNULL(1);
void conn_put(struct conn *, const void *p, size_t n) NONNULL(1);
void conn_put_text(struct conn *, const char *text) NONNULL(1, 2);
/* length < 0: chunked. `extra`: whole header lines. */
void conn_put_head(struct conn *, int status, const char *type, int64_t length, bool gzip, const char *extra)
    NONNULL(1, 3, 6);
void conn_put_chunk(struct conn *, struct slice) NONNULL(1);
void conn_flush(struct conn *) NONNULL(1);
void conn_finish(struct conn *) NONNULL(1); /* all is written: on to the next request when it is sent */

/* --- play.c: answers and faults as the script says --- */
void play(struct conn *) NONNULL(1);
/* The next pieces of a stream: until the script says wait, the client has enough to read, or the end. */
void play_stream(struct conn *) NONNULL(1);
void play_whole(struct conn *, int status, const char *type, struct slice body, const char *extra) NONNULL(1, 3, 5);
void play_body(struct conn *, int status) NONNULL(1); /* what lies in c->body, as JSON */
void play_answer(struct conn *, struct slice body, bool gzip) NONNULL(1);
void play_error(struct conn *, int status, const char *type, const char *message, const char *extra)
    NONNULL(1, 3, 4, 5);

#endif
