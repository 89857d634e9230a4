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

/* How many windows of this budget can have holds at once. */
static size_t instances_of(const struct budget *b)
{
	return budget_is_rolling(b) || b->window.kind == WINDOW_TOTAL ? 1 : INSTANCES_MAX;
}

/* One block: the meter, its instances, its ring, its scope. */
static struct meter *meter_new(struct entry *entry, struct slice scope, uint64_t uid)
{
	size_t n = instances_of(entry->budget);
	size_t ring_at = sizeof(struct meter) + n * sizeof(struct instance);
	size_t scope_at = ring_at + (entry->bucket_s > 0 ? sizeof(struct window_ring) : 0);
	char *block = calloc(1, scope_at + scope.n + 1);
	struct meter *m = (void *)block;

	if (!m)
		return NULL;
	m->entry = entry;
	m->uid = uid;
	m->n_instances = (uint8_t)n;
	m->ring = entry->bucket_s > 0 ? (void *)(block + ring_at) : NULL;
	m->scope = block + scope_at;
	CHECK(scope.n < SCOPE_SIZE);
	m->scope_n = (uint16_t)scope.n;
	if (scope.n > 0)
		memcpy(block + scope_at, scope.p, scope.n);
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
	atomic_store_explicit(&e->n_meters, index + 1, memory_order_release);
	atomic_store_explicit(&e->table[i], index + 1, memory_order_release);
	*ret = index;
	return BUR_OK;
}

int engine_table_get(struct engine *e, struct entry *entry, struct slice scope, uint32_t *ret)
{
	uint64_t uid = meter_uid(entry->budget->name, scope);
	int r = engine_table_find(e, entry, scope, uid, ret);

	if (r != BUR_NOTFOUND)
		return r;
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

static void match_put(struct match *m, uint32_t meter)
{
	size_t i = m->n++;

	for (; i > 0 && m->meter[i - 1] > meter; i--)
		m->meter[i] = m->meter[i - 1];
	m->meter[i] = meter;
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
		match_put(&found, meter);
		found.any_money = found.any_money || b->unit == UNIT_USD;
		if (b->mode == MODE_HARD) {
			found.any_hard = true;
			found.estimate_input = found.estimate_input && b->estimate_input;
			match_unknown(&found, b);
		}
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
