/* guards.h - what stops calls beside their budgets, put together: stops and breakers from the store at the start, what
 * happens to them into the store and the log, and the admin API's questions. Main thread. */
#ifndef APP_GUARDS_H
#define APP_GUARDS_H

#include <jansson.h>

#include "base/attr.h"
#include "policy/engine.h"
#include "policy/guard.h"
#include "policy/stops.h"
#include "store/store.h"

struct proxy;
struct settings;

#define GUARDS_PENDING_MAX 256
#define GUARDS_SCOPES_MAX GUARD_COST_MAX

struct guards {
	struct store *store;
	struct engine *engine;
	const struct settings *settings;
	struct proxy *proxy;    /* NULL: no server runs */
	struct guard *guard;    /* NULL: no server runs */
	struct stop_set *stops; /* as the data path has them; NULL: none */
	int64_t looked_ns;      /* the last evaluation of cost breakers */
	/* what happened and is not stored yet */
	struct guard_event *pending;
	size_t n_pending;
	char **scopes; /* of breakers whose counters the engine does not know yet */
	size_t n_scopes;
};

/* For a command without a server: only what is stored. */
void guards_init(struct guards *, struct store *, struct engine *, const struct settings *) NONNULL(1, 2, 3, 4);
/* Before the proxy is made: stops, breakers and quarantines as they were, and what was spent lately. `wake` is called
 * from any thread when something happened: guards_tick is then due. */
int guards_start(struct guards *, void (*wake)(void *ctx), void *ctx) NONNULL(1, 2) MUST_USE;
/* Every turn of the control thread's timer, and when woken. */
void guards_tick(struct guards *) NONNULL(1);
void guards_done(struct guards *) NONNULL(1);

/* The admin API's questions (view_guard.c): "stops", "stop", "resume", "breakers", "open", "close", "half-open".
 * BUR_INVALID: *ret_field is wrong, reterr says how. BUR_NOTFOUND: no such breaker. BUR_IO: it is in force, but could
 * not be stored. */
int guards_api(void *ctx, const char *action, const json_t *ask, json_t **ret, const char **ret_field, char *reterr,
	       size_t reterr_size) NONNULL(1, 2, 4, 5, 6);

/* The time as the engine believes it. */
int64_t guards_now_s(struct guards *) NONNULL(1);
/* guards_store.c: what happened, into the store. BUR_OK or why not. */
int guards_store_events(struct guards *, const struct guard_event *, size_t n) NONNULL(1) MUST_USE;
int guards_load(struct guards *) NONNULL(1) MUST_USE;
json_t *guards_time(int64_t unix_ns) MUST_USE; /* RFC 3339 UTC; null for 0 */
void guards_stop_name(int what, const char *value, char *dst, size_t size);
char *guards_stop_json(const struct stop *) MUST_USE; /* free() it */

/* guards_tell.c: kinds and payloads of events; free() the payloads, NULL: out of memory. */
const char *guards_event_kind(const struct guard_event *) NONNULL(1);
char *guards_breaker_payload(struct guards *, const struct guard_event *) NONNULL(1, 2) MUST_USE;
char *guards_loop_payload(struct guards *, const struct guard_event *) NONNULL(1, 2) MUST_USE;
char *guards_released_payload(const char *key, const char *actor, const char *reason) NONNULL(1, 2, 3) MUST_USE;
char *guards_stop_payload(const struct stop *, bool set, const char *actor, const char *reason)
    NONNULL(1, 3, 4) MUST_USE;
int64_t guards_wall_ns(int64_t mono_ns);

#endif
