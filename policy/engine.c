#include "policy/engine_internal.h"

#include <stdlib.h>
#include <string.h>

#define SECOND_NS INT64_C(1000000000)
#define METERS_MAX ((size_t)1 << 26)

/* The use at which the first step of one of these kinds is reached, rounded up. `actions` has a bit for each. */
static uint64_t first_at(const struct budget *b, int64_t limit, unsigned actions)
{
	for (size_t i = 0; i < b->n_steps; i++) {
		wide used = ((wide)limit * b->steps[i].at_ppm + PPM - 1) / PPM;

		if ((actions >> b->steps[i].action & 1) != 0)
			return used > UINT64_MAX ? UINT64_MAX : (uint64_t)used;
	}
	return UINT64_MAX;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void engine_limit_set(struct entry *entry, int64_t limit)
{
	const struct budget *b = entry->budget;

	entry->limit = entry->block_limit = limit;
	/* A step above 100 % never lifts the promise. */
	if (entry->block_step != NO_STEP && b->steps[entry->block_step].at_ppm < PPM)
		entry->block_limit = (int64_t)((wide)limit * b->steps[entry->block_step].at_ppm / PPM);
	entry->use_limit = b->mode == MODE_SOFT ? limit : entry->block_limit;
	entry->first_alert = first_at(b, limit, 1u << STEP_ALERT);
	entry->first_rung = first_at(b, limit, 1u << STEP_THROTTLE | 1u << STEP_PACE | 1u << STEP_DEGRADE);
	if (b->mode == MODE_SHADOW)
		entry->first_rung = UINT64_MAX; /* it changes and delays no call */
	entry->first_event = least((uint64_t)entry->use_limit + 1, least(entry->first_alert, entry->first_rung));
}

static void entry_init(struct entry *entry, const struct budget *b)
{
	entry->budget = b;
	entry->mode = b->mode;
	entry->unit = b->unit;
	entry->block_step = NO_STEP;
	entry->bucket_s = b->rolling_s / RING_BUCKETS;
	entry->own_meter = UINT32_MAX;
	for (size_t i = 0; i < b->n_steps && entry->block_step == NO_STEP; i++) {
		if (b->steps[i].action == STEP_BLOCK)
			entry->block_step = i;
	}
	engine_limit_set(entry, b->limit);
}

static bool mutex_init(pthread_mutex_t *m, int kind)
{
	pthread_mutexattr_t attr;
	bool ok = false;

	if (pthread_mutexattr_init(&attr) != 0)
		return false;
	if (pthread_mutexattr_settype(&attr, kind) == 0)
		ok = pthread_mutex_init(m, &attr) == 0;
	(void)pthread_mutexattr_destroy(&attr);
	return ok;
}

static bool mutexes_new(struct engine *e)
{
	if (!mutex_init(&e->lock, PTHREAD_MUTEX_ADAPTIVE_NP))
		return false;
	if (!mutex_init(&e->create, PTHREAD_MUTEX_NORMAL))
		goto no_create;
	if (!mutex_init(&e->clock_lock, PTHREAD_MUTEX_ADAPTIVE_NP))
		goto no_clock;
	return true;
no_clock:
	(void)pthread_mutex_destroy(&e->create);
no_create:
	(void)pthread_mutex_destroy(&e->lock);
	return false;
}

/* Budgets without `per` have their meter from the start: listed without calls, and found without a look-up. */
static bool own_meters_new(struct engine *e)
{
	for (size_t i = 0; i < e->n_entries; i++) {
		if (e->entries[i].budget->n_per == 0 &&
		    engine_table_get(e, &e->entries[i], SLICE_NONE, &e->entries[i].own_meter) < 0)
			return false;
	}
	return true;
}

static bool tables_new(struct engine *e, const struct budget_set *set, size_t max_meters)
{
	size_t own = 0, slots = 16;

	e->n_entries = budget_set_len(set);
	e->entries = calloc(e->n_entries > 0 ? e->n_entries : 1, sizeof(*e->entries));
	if (!e->entries)
		return false;
	for (size_t i = 0; i < e->n_entries; i++) {
		entry_init(&e->entries[i], budget_set_at(set, i));
		own += e->entries[i].budget->n_per == 0;
	}
	e->max_meters = max_meters > METERS_MAX ? METERS_MAX : max_meters > own ? max_meters : own + 1;
	while (slots < 2 * e->max_meters)
		slots *= 2;
	e->table_mask = slots - 1;
	e->meters = calloc(e->max_meters, sizeof(*e->meters));
	e->table = calloc(slots, sizeof(*e->table));
	return e->meters && e->table && own_meters_new(e);
}

struct engine *engine_new(const struct budget_set *set, const struct engine_config *cfg)
{
	struct engine *e = aligned_alloc(64, (sizeof(*e) + 63) / 64 * 64);

	if (!e)
		return NULL;
	memset(e, 0, sizeof(*e));
	if (!mutexes_new(e)) {
		free(e);
		return NULL;
	}
	e->magic = ENGINE_MAGIC;
	e->last_now_s = INT64_MIN;
	e->deny_without_budget = cfg->deny_without_budget;
	e->believe_clock = cfg->believe_clock;
	if (!tables_new(e, set, cfg->max_meters)) {
		engine_free(e);
		return NULL;
	}
	return e;
}

void engine_free(struct engine *e)
{
	if (!e)
		return;
	CHECK(e->magic == ENGINE_MAGIC);
	e->magic = 0;
	for (uint32_t i = 0; i < e->n_meters; i++) {
		engine_credit_free(e->meters[i]->credits);
		free(e->meters[i]);
	}
	engine_credit_free(e->dead_credits);
	while (e->past_blocks) {
		struct past_block *next = e->past_blocks->next;

		free(e->past_blocks);
		e->past_blocks = next;
	}
	free(e->table);
	free(e->meters);
	free(e->entries);
	(void)pthread_mutex_destroy(&e->clock_lock);
	(void)pthread_mutex_destroy(&e->create);
	(void)pthread_mutex_destroy(&e->lock);
	free(e);
}

int64_t engine_time_s(struct engine *e, int64_t wall_ns, int64_t mono_ns)
{
	enum clock_event event;
	int64_t now_ns;

	CHECK(e->magic == ENGINE_MAGIC);
	if (e->believe_clock)
		return wall_ns / SECOND_NS - (wall_ns % SECOND_NS < 0);
	CHECK(pthread_mutex_lock(&e->clock_lock) == 0);
	now_ns = clock_guard_now(&e->clock, wall_ns, mono_ns, &event);
	if (event != CLOCK_STEADY)
		e->clock_event = event;
	CHECK(pthread_mutex_unlock(&e->clock_lock) == 0);
	return now_ns / SECOND_NS - (now_ns % SECOND_NS < 0);
}

enum clock_event engine_time_event(struct engine *e)
{
	enum clock_event event;

	CHECK(e->magic == ENGINE_MAGIC);
	CHECK(pthread_mutex_lock(&e->clock_lock) == 0);
	event = e->clock_event;
	e->clock_event = CLOCK_STEADY;
	CHECK(pthread_mutex_unlock(&e->clock_lock) == 0);
	return event;
}
