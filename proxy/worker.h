/* worker.h - one thread of the data path: its loop, its connections, its pool of upstreams.
 *
 * A connection never moves to another worker. Private to the proxy room. */
#ifndef PROXY_WORKER_H
#define PROXY_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/metrics.h"
#include "meter/learn.h"
#include "meter/reqscan.h"
#include "meter/tap.h"
#include "meter/usage.h"
#include "net/dial.h"
#include "net/dns.h"
#include "net/h1.h"
#include "net/listen.h"
#include "net/loop.h"
#include "net/pool.h"
#include "net/tls.h"
#include "proxy/census.h"
#include "proxy/cut.h"
#include "proxy/proxy.h"

#define LISTEN_MAX 16
#define SCRATCH_BYTES 65536
#define UNPRICED_MAX 64 /* models told of by one worker in a day */

struct client;
struct once;
struct txn;
TAILQ_HEAD(client_list, client);
TAILQ_HEAD(txn_list, txn);
TAILQ_HEAD(counting_list, counting);
TAILQ_HEAD(waiting_list, waiting);

struct worker {
	unsigned magic;
	uint32_t index;
	struct proxy *proxy;
	pthread_t thread;
	bool started;
	struct loop *loop;
	struct dns *dns;
	struct pool *pool;
	struct listener *listeners[LISTEN_MAX];
	struct client_list clients;
	struct txn_list txns;
	struct principal_dir *principals;
	struct price_book *book;
	struct stop_set *stops; /* NULL: nothing is stopped */
	uint64_t cut_round;     /* of proxy->cut_round: running calls were looked at */
	uint64_t cut_seen;      /* of proxy->cutting.round */
	bool draining, ending;
	uint64_t next_request;
	struct prompt_caches prompt_caches;
	struct counting_list countings; /* calls whose prompts are counted in slices; see txn_count.c */
	struct loop_task count_task;
	struct waiting_list waiting; /* calls that budgets delay; see txn_pace.c */
	size_t n_waiting;
	struct {
		int64_t day_s;
		size_t n;
		uint64_t seen[UNPRICED_MAX]; /* hashes of their names */
	} unpriced;                          /* models without a price that were refused and told of this day */
	struct learn *learn;                 /* how vendors count beside us; NULL: not known */

	/* one queue per purpose; see deadline_queue */
	struct deadline_queue head_deadline, keepalive_deadline, client_handshake_deadline, linger_deadline,
	    flush_deadline, tunnel_deadline;                                                     /* of clients */
	struct deadline_queue body_deadline, first_byte_deadline, idle_deadline, drain_deadline; /* of calls */
	struct deadline_queue handshake_deadline;                                                /* of upstreams */

	struct deadline_queue log_deadline;
	struct deadline log_due;

	_Atomic size_t n_clients, n_txns, n_drains; /* written here, read by others */

	char open_text[HOST_MAX + 256]; /* why an upstream did not open; see upstream_open */
	struct facts facts;             /* scratch: of the call whose price and hold are being found */
	struct match match;             /* scratch: its budgets */
	struct reqscan scan;            /* scratch: of a body that arrived whole */
	struct tap_scratch tap_scratch; /* of all taps */
	struct usage usage;             /* scratch: of the call that is being settled */
	struct h1_head head;            /* scratch for parsing; never kept across a return to the loop */
	char scratch[SCRATCH_BYTES];    /* scratch for reading */
};
#define WORKER_MAGIC 0x574f524bu

struct proxy {
	struct proxy_config config;
	struct proxy_deps deps;
	struct addr *addresses; /* of the listeners, then what else dialling refuses */
	int fds[LISTEN_MAX];
	SSL_CTX *server_tls;    /* NULL: plain listeners only */
	SSL_CTX **provider_tls; /* one client context per provider */
	SSL_CTX *default_tls;   /* for other hosts */
	struct worker *workers;
	struct census census;
	struct principal_dir *next_principals; /* the newest, under the lock */
	struct price_book *next_book;
	struct stop_set *next_stops;
	uint64_t cut_round; /* counts the stops that end running calls */
	pthread_mutex_t snapshots_lock;
	struct pacing_table *pacing; /* of budgets that pace their calls */
	struct cutting cutting;
	struct once *once;          /* bills under idempotency keys; NULL: no provider has such */
	struct uploads *uploads;    /* files that batches may be made of */
	_Atomic int64_t body_bytes; /* waiting request bodies, all workers */
	_Atomic bool draining, ending;
	_Atomic uint64_t n_connections;
	char via[32]; /* "1.1 bursar-3f9c2a": for loop detection */
};

/* Counts of the data path (Prometheus). */
extern struct metric metric_connections, metric_tunnels, metric_intercepted, metric_leaf_rejected,
    metric_overrun_nanousd, metric_price_differs;
void worker_metrics_register(void);

int worker_init(struct worker *, struct proxy *, uint32_t index) MUST_USE;
void worker_done(struct worker *);
void *worker_main(void *worker);
/* A request line was gathered: it must leave soon. */
void worker_logged(struct worker *);

#endif
