#include "base/map.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/error.h"

#define FIRST_SLOTS 16

struct entry {
	void *value;
	size_t key_n;
	char key[];
};

struct slot {
	uint64_t hash;
	struct entry *entry; /* NULL: free */
};

/* Open addressing with linear probing; at most three quarters full; removal shifts back, so there are no tombstones. */
struct map {
	struct slot *slots;
	size_t mask, n, max;
};

struct map *map_new(size_t max_entries)
{
	struct map *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->slots = calloc(FIRST_SLOTS, sizeof(*m->slots));
	if (!m->slots) {
		free(m);
		return NULL;
	}
	m->mask = FIRST_SLOTS - 1;
	m->max = max_entries;
	return m;
}

void map_free(struct map *m, void (*free_value)(void *))
{
	if (!m)
		return;
	for (size_t i = 0; i <= m->mask; i++) {
		struct entry *e = m->slots[i].entry;

		if (e && free_value)
			free_value(e->value);
		free(e);
	}
	free(m->slots);
	free(m);
}

/* The slot that holds the key, or the free slot where it would go. */
static size_t find(const struct map *m, uint64_t hash, struct slice key)
{
	size_t i = (size_t)hash & m->mask;

	for (;; i = (i + 1) & m->mask) {
		const struct slot *s = &m->slots[i];

		if (!s->entry || (s->hash == hash && slice_eq((struct slice){s->entry->key, s->entry->key_n}, key)))
			return i;
	}
}

static int grow(struct map *m)
{
	size_t n_slots = (m->mask + 1) * 2, mask = n_slots - 1;
	struct slot *slots = calloc(n_slots, sizeof(*slots));

	if (!slots)
		return BUR_NOMEM;
	for (size_t i = 0; i <= m->mask; i++) {
		size_t at = (size_t)m->slots[i].hash & mask;

		if (!m->slots[i].entry)
			continue;
		while (slots[at].entry)
			at = (at + 1) & mask;
		slots[at] = m->slots[i];
	}
	free(m->slots);
	m->slots = slots;
	m->mask = mask;
	return BUR_OK;
}

void *map_get(const struct map *m, struct slice key)
{
	struct entry *e = m->slots[find(m, hash_bytes(key.p, key.n), key)].entry;

	return e ? e->value : NULL;
}

int map_put(struct map *m, struct slice key, void *value)
{
	uint64_t hash = hash_bytes(key.p, key.n);
	struct entry *e;

	if (m->slots[find(m, hash, key)].entry)
		return BUR_ALREADY;
	if (m->n >= m->max)
		return BUR_FULL;
	if ((m->n + 1) * 4 > (m->mask + 1) * 3 && grow(m) < 0)
		return BUR_NOMEM;
	e = key.n < SIZE_MAX - sizeof(*e) ? malloc(sizeof(*e) + key.n) : NULL;
	if (!e)
		return BUR_NOMEM;
	e->value = value;
	e->key_n = key.n;
	if (key.n > 0)
		memcpy(e->key, key.p, key.n);
	m->slots[find(m, hash, key)] = (struct slot){hash, e};
	m->n++;
	return BUR_OK;
}

/* Pulls later entries of the probe chain into the hole. */
static void close_hole(struct map *m, size_t hole)
{
	for (size_t i = (hole + 1) & m->mask; m->slots[i].entry; i = (i + 1) & m->mask) {
		size_t home = (size_t)m->slots[i].hash & m->mask;

		if (((i - home) & m->mask) < ((i - hole) & m->mask))
			continue; /* its home lies behind the hole */
		m->slots[hole] = m->slots[i];
		hole = i;
	}
	m->slots[hole] = (struct slot){0, NULL};
}

void *map_remove(struct map *m, struct slice key)
{
	size_t at = find(m, hash_bytes(key.p, key.n), key);
	struct entry *e = m->slots[at].entry;
	void *value;

	if (!e)
		return NULL;
	value = e->value;
	close_hole(m, at);
	m->n--;
	free(e);
	return value;
}

size_t map_len(const struct map *m)
{
	return m->n;
}

void map_each(const struct map *m, bool (*visit)(void *ctx, struct slice key, void *value), void *ctx)
{
	for (size_t i = 0; i <= m->mask; i++) {
		struct entry *e = m->slots[i].entry;

		if (e && !visit(ctx, (struct slice){e->key, e->key_n}, e->value))
			return;
	}
}
