#include "policy/engine_internal.h"

#include <stdlib.h>
#include <string.h>

/* --- finding meters, without the lock ----------------------------------------------------------------------------- */

static size_t table_place(const struct engine *e, uint64_t uid)
{
	/* Seeded: an attacker who chooses scopes cannot make long runs. */
	return (size_t)hash_bytes(&uid, sizeof(uid)) & e->table_mask;
}

int engine_table_find(struct engine *e, const struct entry *entry, struct slice scope, uint64_t uid, uint32_t *ret)
{
	for (size_t i = table_place(e, uid);; i = (i + 1) & e->table_mask) {
		uint32_t place = atomic_load_explicit(&e->table[i], memory_order_acquire);
		const struct meter *m;

		if (place == 0)
			return BUR_NOTFOUND;
		m = atomic_load_explicit(&e->meters[place - 1], memory_order_relaxed);
		if (m->uid != uid)
			continue;
		if (m->entry != entry || !slice_eq((struct slice){m->scope, m->scope_n}, scope))
			return BUR_FULL;
		*ret = place - 1;
		return BUR_OK;
	}
}

/* One block: the meter, its scope, its ring. */
static struct meter *meter_new(struct entry *entry, struct slice scope, uint64_t uid)
{
	size_t ring_at = (offsetof(struct meter, scope) + scope.n + 1 + 15) / 16 * 16;
	bool rolling = entry->bucket_s > 0;
	char *block;
	struct meter *m;

	CHECK(scope.n < SCOPE_SIZE);
	block = calloc(1, rolling ? ring_at + sizeof(*m->ring) : offsetof(struct meter, scope) + scope.n + 1);
	m = (void *)block;
	if (!m)
		return NULL;
	m->entry = entry;
	m->uid = uid;
	m->ring = rolling ? (void *)(block + ring_at) : NULL;
	m->scope_n = (uint16_t)scope.n;
	if (scope.n > 0)
		memcpy(m->scope, scope.p, scope.n);
	return m;
}

/* Under `create`. Everything of the meter is written before its index can be seen. */
static int meter_insert(struct engine *e, struct entry *entry, struct slice scope, uint64_t uid, uint32_t *ret)
{
	uint32_t index = atomic_load_explicit(&e->n_meters, memory_order_relaxed);
	size_t i = table_place(e, uid);
	struct meter *m;

	if (index >= e->max_meters)
		return BUR_FULL;
	m = meter_new(entry, scope, uid);
	if (!m)
		return BUR_FULL;
	while (atomic_load_explicit(&e->table[i], memory_order_relaxed) != 0)
		i = (i + 1) & e->table_mask;
	atomic_store_explicit(&e->meters[index], m, memory_order_relaxed);
	engine_perturb(PERTURB_PUBLISH);
	atomic_store_explicit(&e->n_meters, index + 1, memory_order_release);
	engine_perturb(PERTURB_TABLE);
	atomic_store_explicit(&e->table[i], index + 1, memory_order_release);
	*ret = index;
	return BUR_OK;
}

int engine_table_get(struct engine *e, struct entry *entry, struct slice scope, uint32_t *ret)
{
	uint64_t uid = meter_uid(entry->budget->name, scope);
	int r;

	engine_perturb(PERTURB_FIND);
	r = engine_table_find(e, entry, scope, uid, ret);
	if (r != BUR_NOTFOUND)
		return r;
	engine_perturb(PERTURB_CREATE);
	CHECK(pthread_mutex_lock(&e->create) == 0);
	r = engine_table_find(e, entry, scope, uid, ret);
	if (r == BUR_NOTFOUND)
		r = meter_insert(e, entry, scope, uid, ret);
	CHECK(pthread_mutex_unlock(&e->create) == 0);
	return r;
}

struct meter *engine_table_by_uid(struct engine *e, uint64_t uid)
{
	for (size_t i = table_place(e, uid);; i = (i + 1) & e->table_mask) {
		uint32_t place = atomic_load_explicit(&e->table[i], memory_order_acquire);
		struct meter *m;

		if (place == 0)
			return NULL;
		m = atomic_load_explicit(&e->meters[place - 1], memory_order_relaxed);
		if (m->uid == uid)
			return m;
	}
}

struct entry *engine_table_entry(struct engine *e, struct slice name)
{
	for (size_t i = 0; i < e->n_entries; i++) {
		if (slice_eq(slice_of(e->entries[i].budget->name), name))
			return &e->entries[i];
	}
	return NULL;
}

/* --- matching ----------------------------------------------------------------------------------------------------- */

/* The steps that have another model than this one. */
static uint16_t match_degrades(const struct budget *b, struct slice model, uint8_t *ret_entry)
{
	uint16_t steps = 0;

	for (size_t i = 0; i < b->n_steps && b->mode != MODE_SHADOW; i++) {
		int entry = b->steps[i].action == STEP_DEGRADE ? budget_degrade(&b->steps[i], model) : -1;

		if (entry < 0)
			continue;
		steps |= (uint16_t)(1u << i);
		ret_entry[i] = (uint8_t)entry;
	}
	return steps;
}

static void match_put(struct match *m, const struct budget *b, uint32_t meter, struct slice model)
{
	size_t i = m->n++;

	for (; i > 0 && m->meter[i - 1] > meter; i--) {
		m->meter[i] = m->meter[i - 1];
		m->degrade[i] = m->degrade[i - 1];
		memcpy(m->degrade_entry[i], m->degrade_entry[i - 1], sizeof(m->degrade_entry[i]));
	}
	m->meter[i] = meter;
	m->degrade[i] = match_degrades(b, model, m->degrade_entry[i]);
}

static void match_unknown(struct match *m, const struct budget *b)
{
	static const int strictness[] = {
	    [UNKNOWN_FREE] = 0, [UNKNOWN_CHARGE] = 1, [UNKNOWN_DEFAULT] = 2, [UNKNOWN_BLOCK] = 3};

	if (strictness[b->unknown_model] > strictness[m->unknown_model])
		m->unknown_model = b->unknown_model;
	if (b->unknown_model == UNKNOWN_CHARGE && b->unknown_charge_nanousd > m->unknown_charge_nanousd)
		m->unknown_charge_nanousd = b->unknown_charge_nanousd;
}

static void match_hold(struct match *m, enum hold_mode mode)
{
	static const int strictness[] = {[HOLD_GROWING] = 0, [HOLD_AUTO] = 1, [HOLD_WORST] = 2};

	if (!m->any_hard || strictness[mode] > strictness[m->hold])
		m->hold = mode;
}

static void match_budget(struct match *m, const struct budget *b)
{
	m->any_money = m->any_money || b->unit == UNIT_USD;
	m->has_breaker = m->has_breaker || b->breaker.on;
	if (b->mode != MODE_SHADOW && b->default_max_out > 0 &&
	    (m->default_max_out == 0 || b->default_max_out < m->default_max_out))
		m->default_max_out = b->default_max_out;
	if (b->mode != MODE_HARD)
		return;
	match_hold(m, b->hold);
	m->any_hard = true;
	m->estimate_input = m->estimate_input && b->estimate_input;
	match_unknown(m, b);
}

int engine_match(struct engine *e, const struct facts *f, struct match *ret)
{
	struct match found = {.unknown_model = UNKNOWN_FREE, .estimate_input = true};
	char scope[SCOPE_SIZE];
	uint32_t meter;

	CHECK(e->magic == ENGINE_MAGIC);
	for (size_t i = 0; i < e->n_entries; i++) {
		struct entry *entry = &e->entries[i];
		const struct budget *b = entry->budget;

		if (!budget_matches(b, f))
			continue;
		meter = entry->own_meter;
		if (b->n_per > 0) {
			size_t n = budget_scope(b, f, scope, sizeof(scope));
			int r = engine_table_get(e, entry, (struct slice){scope, n}, &meter);

			if (r < 0 && b->mode == MODE_SHADOW)
				continue; /* refuses nothing, also when there is no room for it */
			if (r < 0)
				return r;
		}
		CHECK(found.n < MATCH_MAX); /* budget_set_new saw to it */
		match_put(&found, b, meter, f->v[FACT_MODEL]);
		match_budget(&found, b);
	}
	if (found.n == 0 && e->deny_without_budget)
		return BUR_NOTFOUND;
	*ret = found;
	return BUR_OK;
}

void engine_meter_name(const struct engine *e, uint32_t meter, const struct budget **ret_budget, const char **ret_scope)
{
	const struct meter *m;

	CHECK(meter < atomic_load_explicit(&e->n_meters, memory_order_acquire));
	m = atomic_load_explicit(&e->meters[meter], memory_order_relaxed);
	*ret_budget = m->entry->budget;
	*ret_scope = m->scope;
}
