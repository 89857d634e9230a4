/* proxy.h - the data path as a whole: listeners and workers, started and drained by the application.
 *
 * Everything the workers need is passed in and outlives them. */
#ifndef PROXY_PROXY_H
#define PROXY_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "meter/api.h"
#include "meter/generic.h"
#include "price/price.h"
#include "net/addr.h"
#include "net/dial.h"
#include "policy/engine.h"
#include "policy/guard.h"
#include "policy/principal.h"
#include "policy/stops.h"
#include "store/store.h"

struct ca;
struct proxy;

enum host_verb { VERB_INTERCEPT, VERB_TUNNEL, VERB_DENY };

struct host_rule {
	const char *pattern; /* host_matches */
	enum host_verb verb;
	bool allow_priced; /* VERB_TUNNEL for a host of a provider: unmetered on purpose */
};

/* A model's name as callers write it, and the name its price is found under. */
struct model_alias {
	const char *name, *price_model;
};

enum on_client_abort {
	ABORT_DRAIN,  /* the answer is read on to its bill */
	ABORT_CANCEL, /* the vendor is hung up on, and what was seen is charged */
};

/* A vendor as configured: built-in values with the file's changes. */
struct proxy_provider {
	const char *name; /* label in ledger, log and budgets */
	enum api_family family;
	const char *gateway_prefix; /* "openai" */
	const char *const *hosts;   /* patterns (route_host_matches), NULL-terminated; the forward proxy meters these */
	bool tls;                   /* origin, for gateway mode */
	char host[HOST_MAX + 1];    /* "" = no origin is configured: forward proxy only */
	uint16_t port;
	const char *base_path;              /* "" or "/v1": put before the rest of the gateway path */
	const char *api_key;                /* the vendor's key that bursar holds; NULL = the client brings its own */
	const char *extra_ca_file;          /* roots beside the system's for this provider; NULL */
	int block_status;                   /* 402, 403 or 429 for exhausted budgets */
	const struct generic_meter *meters; /* looked at before the family's routes */
	size_t n_meters;
	/* the money */
	const char *price_id;             /* the price book's provider */
	const struct model_alias *models; /* deployments, inference profiles, own names (route_price_model) */
	size_t n_models;
	bool price_free;         /* nothing is billed: the operator's own machines */
	bool bills_errors;       /* an error answer (4xx, 5xx) may be billed: it does not settle at zero */
	bool tells_cost;         /* the cost in its answers is what it charges; others' figures are not believed */
	bool full_bill_on_abort; /* an abandoned stream is generated and billed to its end */
	bool ask_usage;          /* streams that do not ask for their usage may be edited so that they do */
	enum on_client_abort on_client_abort;
	const char *bills_once_by; /* request header: the vendor bills calls with the same value of it once; NULL */
};

/* What is done about a program that lost its way (runaway.h). */
enum runaway_action { RUNAWAY_OFF, RUNAWAY_ALERT, RUNAWAY_QUARANTINE };

struct proxy_limits {
	int64_t head_timeout_ns, handshake_timeout_ns, keepalive_ns, first_byte_timeout_ns, stream_idle_ns;
	int64_t connect_timeout_ns, connect_total_ns, body_grace_ns;
	int64_t body_min_rate;         /* bytes a second after body_grace_ns */
	int64_t max_body_bytes;        /* of a body that is scanned before it leaves */
	int64_t max_upload_bytes;      /* of a body that only passes through */
	int64_t max_body_memory_bytes; /* all waiting bodies of all workers together */
	int64_t max_connections, max_connections_per_address;
	int64_t drain_client_ns; /* how long an abandoned stream is read on */
	int64_t max_drains;      /* per worker */
	int64_t pool_idle_ns, pool_max_idle, pool_max_idle_per_key;
	int64_t inflight_allow_tokens; /* output that a vendor may have made when it is cut off, beyond what arrived */
};

struct proxy_config {
	uint32_t workers;
	const char *const *listen; /* "127.0.0.1:8080", … */
	size_t n_listen;
	const char *tls_cert_file, *tls_key_file; /* both or none: the listeners then take TLS as well as plain */
	const struct proxy_provider *providers;
	size_t n_providers;
	const struct host_rule *rules; /* first match wins; after them: hosts of providers are intercepted */
	size_t n_rules;
	enum host_verb other_hosts;    /* for hosts no rule and no provider names: VERB_TUNNEL or VERB_DENY */
	const uint16_t *connect_ports; /* allowed for CONNECT besides 443 */
	size_t n_connect_ports;
	struct dial_policy dial; /* deny: other listeners of this process; the proxy adds its own */
	const char *const *dns_servers;
	size_t n_dns_servers;
	bool require_key; /* a virtual key is needed; else the vendor key's fingerprint is the principal */
	bool log_requests;
	bool upstream_breaker; /* an upstream that fails is left alone for a while */
	enum runaway_action runaway_action;
	struct runaway_config runaway;  /* valid also when it is off */
	uint8_t fingerprint_secret[32]; /* keyed hash of vendor keys: stable per installation */
	struct proxy_limits limits;
};

struct proxy_deps {
	struct engine *engine;
	struct store *store;
	struct ca *ca;           /* NULL: CONNECT to metered hosts is refused */
	struct price_book *book; /* the first; a reference is taken */
	struct principal_dir *principals;
	struct guard *guard;    /* breakers and loops; NULL: nothing is watched */
	struct stop_set *stops; /* what is stopped from the beginning, or NULL; a reference is taken */
};

/* Binds the listeners. Port 0 is resolved: see proxy_address. */
int proxy_new(const struct proxy_config *, const struct proxy_deps *, struct proxy **ret, char *reterr,
	      size_t reterr_size) NONNULL(1, 2, 3, 4) MUST_USE;
int proxy_start(struct proxy *) NONNULL(1) MUST_USE; /* starts the worker threads */
const struct addr *proxy_address(const struct proxy *, size_t listener) NONNULL(1);
/* New principals for all workers; takes a reference. Any thread. */
void proxy_set_principals(struct proxy *, struct principal_dir *) NONNULL(1, 2);
/* New prices for calls that begin from now on; takes a reference. Any thread. */
void proxy_set_book(struct proxy *, struct price_book *) NONNULL(1, 2);
/* What is stopped from now on; NULL: nothing. Takes a reference. `cut`: running calls that match a stop which says so
 * are ended. Any thread. */
void proxy_set_stops(struct proxy *, struct stop_set *, bool cut) NONNULL(1);
/* Running streams that hold in counters of this budget end, the youngest first, until what is spent and held is within
 * the limit again. Returns at once. Any thread. */
void proxy_cut_over(struct proxy *, struct slice budget_name) NONNULL(1);
/* Now and then (each 200 ms): what waits for other things to happen goes on. Control thread. */
void proxy_tick(struct proxy *) NONNULL(1);
/* By which the watch for loops knows a key, as it stands in the ledger; 0: nobody. Any thread. */
uint64_t proxy_loop_id(struct slice key_name);
/* Stop accepting, close idle connections, let calls finish. */
void proxy_drain(struct proxy *) NONNULL(1);
/* Calls still running. */
size_t proxy_active(const struct proxy *) NONNULL(1);
/* Ends what is left (each call settles), joins the threads, frees. */
void proxy_free(struct proxy *);

struct proxy_counts {
	uint64_t connections, active_connections, active_calls, draining_streams, pooled;
};
void proxy_counts(const struct proxy *, struct proxy_counts *ret) NONNULL(1, 2);

#endif
