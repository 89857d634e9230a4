/* api.h - the admin side: who asks, may they, and the answer.
 *
 * One object for the control thread; every function is called there. The same calls serve the admin listener
 * (api_handle) and the command line when no server runs (api_run). */
#ifndef API_API_H
#define API_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/slice.h"

struct alerts;
struct api;
struct budget_set;
struct engine;
struct guard;
struct httpd_request;
struct json_t;
struct principal_dir;
struct store;

/* A number of the data path, for /metrics. */
struct api_gauge {
	const char *name, *help;
	bool counter; /* it only grows */
	int64_t value;
};
#define API_GAUGES_MAX 32

struct api_deps {
	struct store *store;
	struct engine *engine;
	const struct budget_set *budgets; /* the engine's, as configured; NULL: none can be changed here */
	/* The data path, which this room does not know; each may be NULL (command line). */
	void (*use_keys)(void *ctx, struct principal_dir *callers);             /* takes a reference of its own */
	size_t (*read_gauges)(void *ctx, struct api_gauge dst[API_GAUGES_MAX]); /* returns how many */
	/* A limit was lowered and the budget says `lower_mode: cut`: streams end, the youngest first, until it holds.
	 */
	void (*cut_over)(void *ctx, const char *budget_name);
	void *ctx;
	/* Prices, which this room does not know either: see view_prices.c for actions and answers. NULL: not here. */
	int (*prices)(void *ctx, const char *action, const struct json_t *ask, struct json_t **ret,
		      const char **ret_field, char *reterr, size_t reterr_size);
	void *prices_ctx;
	/* Why a call is admitted or refused: see view_explain.c. NULL: not here. */
	int (*explain)(void *ctx, const struct json_t *ask, struct json_t **ret, const char **ret_field, char *reterr,
		       size_t reterr_size);
	void *explain_ctx;
	/* Stops and breakers: see view_guard.c. NULL: not here. `guard` for those who only look; NULL: no server runs.
	 */
	int (*guards)(void *ctx, const char *action, const struct json_t *ask, struct json_t **ret,
		      const char **ret_field, char *reterr, size_t reterr_size);
	void *guards_ctx;
	struct guard *guard;
	struct alerts *alerts;    /* who is told: see view_alerts.c; NULL: not here */
	struct slice ca_pem;      /* empty: there is no certificate authority */
	const char *const *hosts; /* names we answer to, beside loopback ones: against DNS rebinding */
	size_t n_hosts;
	const char *version;          /* of the program; NULL: not told */
	bool monitoring;              /* budgets and spend are evaluated every minute */
	int64_t (*now_ns)(void *ctx); /* the wall clock of figures; NULL: the system's */
};

/* What a row of the route table asks of the caller. A row that says nothing is closed to everybody. */
enum api_level { API_CLOSED, API_OPEN, API_VIEWER, API_ADMIN };

/* One question and its answer. */
struct api_call {
	struct arena *arena; /* what the answer needs lives here */
	struct slice method, path, query, body;
	struct slice host, authorization, content_type, idempotency_key; /* of the request; .p NULL = absent */
	struct slice param;                                              /* what stood in place of {name}, decoded */
	enum api_level level;                                            /* what the caller is */
	struct slice actor; /* who the caller is, for the audit log: the name of its key; empty: nobody */
	int status;
	const char *type; /* content type of the answer */
	struct buf out;   /* body of the answer; the caller of api_run owns it */
	char fields[512]; /* further header lines, complete, made by us */
};

/* Everything in `deps` outlives the object, the list of hosts included. NULL: out of memory. */
struct api *api_new(const struct api_deps *) NONNULL(1) MUST_USE;
void api_free(struct api *); /* NULL is fine */
/* Reads the keys again: for the admin API itself, and for the data path when there is one. BUR_OK or the store's error.
 */
int api_load_keys(struct api *) NONNULL(1) MUST_USE;
/* Ready becomes 503 so that load balancers turn away. */
void api_set_draining(struct api *, bool draining) NONNULL(1);

/* An httpd_handler; ctx is the struct api. */
void api_handle(void *ctx, struct httpd_request *) NONNULL(2);
/* Answers a call whose request part is filled; call->out must be initialised. `trusted`: skip the checks of host and
 * token, the caller stands in for the administrator (command line with the data folder in its hands). */
void api_run(struct api *, struct api_call *, bool trusted) NONNULL(2);

#endif
