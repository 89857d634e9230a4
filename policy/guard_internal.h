/* guard_internal.h - what the files of the guard share; nobody else includes it. */
#ifndef POLICY_GUARD_INTERNAL_H
#define POLICY_GUARD_INTERNAL_H

#include <pthread.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/map.h"
#include "policy/guard.h"

#define UPSTREAM_WAYS 8
#define UPSTREAM_SETS (GUARD_UPSTREAMS_MAX / UPSTREAM_WAYS)

struct upstream_place {
	uint64_t hash; /* 0: empty */
	uint32_t life; /* changes with whose place it is */
	uint16_t port;
	int64_t used_ns;
	char provider[64], host[256];
	struct breaker_upstream breaker;
};
struct upstream_set {
	CACHE_ALIGNED pthread_mutex_t lock;
	struct upstream_place way[UPSTREAM_WAYS];
};

/* The hours of a counter, for anomalies. */
struct hour_series {
	int64_t hour_s, spent; /* of the present hour */
	size_t n;
	bool flagged; /* the present hour */
	struct anomaly_state state;
	int64_t hours[ANOMALY_HOURS_MAX];
	bool excluded[ANOMALY_HOURS_MAX];
};
struct cost_place {
	struct guard_counter counter;
	struct breaker_cost_config config;
	struct breaker_cost breaker;
	struct burn *burn;         /* NULL: no burn rate */
	struct hour_series *hours; /* NULL: no anomalies */
	int64_t burn_1h_milli;
	uint64_t admitted, refused;
	int64_t refused_nanousd, used_s;
	uint32_t open; /* calls that are not settled */
};

struct guard {
	struct guard_config config;
	struct upstream_set *upstreams;

	pthread_mutex_t cost_lock;
	struct map *cost_by_uid;
	struct cost_place **cost; /* max_cost */
	size_t n_cost, cost_hand;

	pthread_mutex_t loop_lock;
	struct runaway *loops;
	struct guard_loop_view caught[GUARD_LOOPS_MAX];
	size_t caught_next;

	pthread_mutex_t event_lock;
	struct guard_event *events; /* ring */
	size_t first_event, n_events;
	bool lost;
};

static inline void guard_lock(pthread_mutex_t *m)
{
	CHECK(pthread_mutex_lock(m) == 0);
}

static inline void guard_unlock(pthread_mutex_t *m)
{
	CHECK(pthread_mutex_unlock(m) == 0);
}

/* guard.c */
void guard_tell(struct guard *, const struct guard_event *);
void guard_set_hand(struct guard_event *, const struct guard_hand *); /* NULL: nobody */
/* guard_cost.c */
void guard_cost_done(struct guard *);

#endif
