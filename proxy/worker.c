#include "proxy/worker.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "proxy/client.h"
#include "proxy/tunnel.h"
#include "proxy/txn.h"
#include "proxy/upstream.h"

#define LEARN_SLOTS 512 /* providers times models times scripts */

struct metric metric_connections = {.name = "bursar_connections_total",
				    .help = "Connections accepted from applications"};
struct metric metric_tunnels = {.name = "bursar_tunnels_total", .help = "Blind tunnels opened"};
struct metric metric_intercepted = {.name = "bursar_intercepted_total", .help = "Tunnels whose TLS bursar terminates"};
struct metric metric_leaf_rejected = {.name = "bursar_intercept_rejected_total",
				      .help = "TLS handshakes inside tunnels that the client ended"};
struct metric metric_overrun_nanousd = {.name = "bursar_budget_overrun_nusd_total",
					.help = "Bills above their hold, in nano-USD"};
struct metric metric_price_differs = {
    .name = "bursar_price_differs_total",
    .help = "calls whose cost as the vendor reported it is over 1 % from the price book's",
    .kind = METRIC_COUNTER};

void worker_metrics_register(void)
{
	metric_register(&metric_connections);
	metric_register(&metric_tunnels);
	metric_register(&metric_intercepted);
	metric_register(&metric_leaf_rejected);
	metric_register(&metric_overrun_nanousd);
	metric_register(&metric_price_differs);
	txn_metrics_register();
}

/* --- life ------------------------------------------------------------------------------------------------------------
 */

/* Request lines leave together: one write for many calls, and never later than this. */
#define LOG_DELAY_NS (200 * NS_PER_MS)

static void flush_log(struct deadline *d)
{
	(void)d;
	log_flush();
}

static void init_deadlines(struct worker *w)
{
	const struct proxy_limits *l = &w->proxy->config.limits;

	deadline_queue_init(&w->head_deadline, w->loop, l->head_timeout_ns, client_head_expired);
	deadline_queue_init(&w->keepalive_deadline, w->loop, l->keepalive_ns, client_head_expired);
	deadline_queue_init(&w->client_handshake_deadline, w->loop, l->handshake_timeout_ns, client_linger_expired);
	deadline_queue_init(&w->linger_deadline, w->loop, 2 * NS_PER_S, client_linger_expired);
	deadline_queue_init(&w->flush_deadline, w->loop, l->stream_idle_ns, client_linger_expired);
	deadline_queue_init(&w->tunnel_deadline, w->loop, l->stream_idle_ns, tunnel_expired);
	deadline_queue_init(&w->handshake_deadline, w->loop, l->handshake_timeout_ns, upstream_deadline);
	deadline_queue_init(&w->body_deadline, w->loop, l->body_grace_ns, txn_deadline);
	deadline_queue_init(&w->first_byte_deadline, w->loop, l->first_byte_timeout_ns, txn_deadline);
	deadline_queue_init(&w->idle_deadline, w->loop, l->stream_idle_ns, txn_deadline);
	deadline_queue_init(&w->log_deadline, w->loop, LOG_DELAY_NS, flush_log);
	deadline_queue_init(&w->drain_deadline, w->loop, l->drain_client_ns, txn_deadline);
}

/* Snapshots that may have changed; running calls keep those they started with. */
static void take_snapshots(struct worker *w)
{
	struct proxy *p = w->proxy;
	struct principal_dir *principals;
	struct price_book *book;
	struct stop_set *stops;
	uint64_t cut_round;

	pthread_mutex_lock(&p->snapshots_lock);
	principals = principal_dir_ref(p->next_principals);
	book = price_book_ref(p->next_book);
	stops = stop_set_ref(p->next_stops);
	cut_round = p->cut_round;
	pthread_mutex_unlock(&p->snapshots_lock);
	principal_dir_unref(w->principals);
	price_book_unref(w->book);
	stop_set_unref(w->stops);
	w->principals = principals;
	w->book = book;
	w->stops = stops;
	if (cut_round != w->cut_round)
		txn_stop_running(w);
	w->cut_round = cut_round;
}

static void close_idle(struct worker *w)
{
	struct client *c, *next;

	for (c = TAILQ_FIRST(&w->clients); c; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (c->state == CLIENT_HEAD && buf_len(&c->in) == 0 && buf_len(&c->out) == 0)
			client_close(c);
	}
}

static void end_all(struct worker *w)
{
	while (!TAILQ_EMPTY(&w->clients))
		client_close(TAILQ_FIRST(&w->clients));
	while (!TAILQ_EMPTY(&w->txns)) /* streams read on without a client */
		txn_abort(TAILQ_FIRST(&w->txns), TXN_END_SHUTDOWN);
	loop_stop(w->loop);
}

/* Something the application wants: new principals or prices, drain, or the end. */
static void woken(void *ctx)
{
	struct worker *w = ctx;

	take_snapshots(w);
	cut_turn(w);
	if (atomic_load(&w->proxy->draining) && !w->draining) {
		w->draining = true;
		for (size_t i = 0; i < w->proxy->config.n_listen; i++) {
			listener_free(w->listeners[i]);
			w->listeners[i] = NULL;
		}
		close_idle(w);
		txn_pace_drain(w);
	}
	if (atomic_load(&w->proxy->ending)) {
		w->ending = true;
		end_all(w);
	}
}

static int open_listeners(struct worker *w)
{
	for (size_t i = 0; i < w->proxy->config.n_listen; i++) {
		w->listeners[i] = listener_new(w->loop, w->proxy->fds[i], client_accept, w);
		if (!w->listeners[i])
			return BUR_NOMEM;
	}
	return BUR_OK;
}

int worker_init(struct worker *w, struct proxy *p, uint32_t index)
{
	const struct proxy_limits *l = &p->config.limits;
	struct pool_config pool = {.max_idle = (size_t)l->pool_max_idle,
				   .max_idle_per_key = (size_t)l->pool_max_idle_per_key,
				   .idle_timeout_ns = l->pool_idle_ns};

	w->magic = WORKER_MAGIC;
	w->index = index;
	w->proxy = p;
	TAILQ_INIT(&w->clients);
	TAILQ_INIT(&w->txns);
	w->loop = loop_new();
	if (!w->loop)
		return BUR_NOMEM;
	w->dns = dns_new(w->loop, p->config.dns_servers, p->config.n_dns_servers);
	w->pool = pool_new(w->loop, &pool);
	if (!w->dns || !w->pool)
		return BUR_NOMEM;
	init_deadlines(w);
	loop_on_wake(w->loop, woken, w);
	take_snapshots(w);
	w->learn = learn_new(LEARN_SLOTS);
	TAILQ_INIT(&w->countings);
	TAILQ_INIT(&w->waiting);
	w->count_task = (struct loop_task){.fn = txn_count_turn, .arg = w};
	return open_listeners(w);
}

void worker_done(struct worker *w)
{
	for (size_t i = 0; i < LISTEN_MAX; i++)
		listener_free(w->listeners[i]);
	pool_free(w->pool);
	dns_free(w->dns);
	if (w->loop)
		loop_defer_cancel(w->loop, &w->count_task);
	if (w->loop)
		loop_turn(w->loop, false); /* what was put off, and the resolver's last events */
	loop_free(w->loop);
	for (size_t i = 0; i < TOK_ENCODING_COUNT; i++)
		tok_cache_free(w->prompt_caches.of[i]);
	learn_free(w->learn);
	tap_scratch_done(&w->tap_scratch);
	principal_dir_unref(w->principals);
	price_book_unref(w->book);
	stop_set_unref(w->stops);
	w->magic = 0;
}

void worker_logged(struct worker *w)
{
	if (!w->log_due.queue)
		deadline_arm(&w->log_deadline, &w->log_due);
}

void *worker_main(void *arg)
{
	struct worker *w = arg;

	CHECK_OBJ(w, WORKER_MAGIC);
	loop_run(w->loop);
	log_flush();
	return NULL;
}
