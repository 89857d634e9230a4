/* walk.h - knows where in a JSON document the reader stands, by a table of places. Internal to the meter room.
 *
 * A place is an object or an array that somebody cares about; its table names the keys that matter, what each is called
 * (`id`) and which place its value opens (`child`). Everything else is WALK_IGNORE and costs next to nothing. */
#ifndef METER_WALK_H
#define METER_WALK_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/attr.h"
#include "base/json.h"

#define WALK_IGNORE 0 /* place 0 of every table is empty */

struct walk_key {
	uint8_t id, child;
	uint8_t n;
	char name[37]; /* behind n: both are compared at once; no NUL needed */
};
#define WALK_KEY(name, id, child)                                                                                      \
	{                                                                                                              \
		id, child, sizeof(name) - 1, name                                                                      \
	}

struct walk_place {
	const struct walk_key *keys;
	uint8_t n_keys;
	uint8_t items;    /* not 0: this place is an array, and a container in it is of that place */
	uint8_t item_id;  /* id of what stands in the array */
	uint8_t other_id; /* not 0: id of every key that the table does not name, opening `other_child` */
	uint8_t other_child;
};
#define WALK_OBJECT(keys)                                                                                              \
	{                                                                                                              \
		keys, ARRAY_LEN(keys), 0, 0, 0, 0                                                                      \
	}
#define WALK_ARRAY(items, id)                                                                                          \
	{                                                                                                              \
		NULL, 0, items, id, 0, 0                                                                               \
	}

struct walk {
	uint8_t key_id, child; /* of the value that comes next in an object */
	uint8_t depth;
	uint8_t place[JSON_DEPTH_MAX + 1]; /* place[0] holds the place of the root value */
};

static inline void walk_init(struct walk *w, uint8_t root_place)
{
	w->key_id = 0;
	w->child = root_place;
	w->depth = 0;
	w->place[0] = WALK_IGNORE;
}

static inline uint8_t walk_here(const struct walk *w)
{
	return w->place[w->depth];
}

/* Are the n bytes the same, of which the first is known to be? Inline, for names of few bytes. */
static inline bool walk_same(const char *a, const char *b, size_t n)
{
	uint64_t x = 0, y = 0;
	uint32_t low_a, low_b;

	if (n < 4)
		return n < 2 || (a[1] == b[1] && a[n - 1] == b[n - 1]);
	if (n < 8) {
		memcpy(&low_a, a, 4);
		memcpy(&low_b, b, 4);
		if (low_a != low_b)
			return false;
		memcpy(&low_a, a + n - 4, 4);
		memcpy(&low_b, b + n - 4, 4);
		return low_a == low_b;
	}
	for (; n > 8; a += 8, b += 8, n -= 8) {
		memcpy(&x, a, 8);
		memcpy(&y, b, 8);
		if (x != y)
			return false;
	}
	/* the last eight, some of them once more */
	memcpy(&x, a + n - 8, 8);
	memcpy(&y, b + n - 8, 8);
	return x == y;
}

/* The key's entry in the table of a place; NULL when it has none. */
static inline const struct walk_key *walk_find(const struct walk_place *p, struct slice name)
{
	const struct walk_key *k = p->keys, *end;
	uint16_t want, have;

	if (p->n_keys == 0 || name.n == 0 || name.n > sizeof(k->name))
		return NULL;
	/* length and first byte decide nearly always */
	memcpy(&want, (const uint8_t[2]){(uint8_t)name.n, (uint8_t)name.p[0]}, 2);
	for (end = k + p->n_keys; k < end; k++) {
		memcpy(&have, &k->n, 2);
		if (have == want && walk_same(k->name, name.p, name.n))
			return k;
	}
	return NULL;
}

static inline void walk_key(struct walk *w, const struct walk_place *places, struct slice name)
{
	const struct walk_place *p = &places[walk_here(w)];
	const struct walk_key *k = walk_find(p, name);

	w->key_id = k ? k->id : p->other_id;
	w->child = k ? k->child : p->other_child;
}

/* The id of the value that just came (or began): its key's, or that of the array's items. */
static inline uint8_t walk_value_id(const struct walk *w, const struct walk_place *places)
{
	const struct walk_place *p = &places[walk_here(w)];

	return p->items != 0 ? p->item_id : w->key_id;
}

/* The place of a container that stands where `to` was foreseen. An object in the place of a list is read as the list's
 * one item; a list in the place of an object is ignored, unless the place keeps to itself (`items` is the place). */
static inline uint8_t walk_resolve(const struct walk_place *places, uint8_t to, bool object)
{
	if (object && places[to].items != 0 && places[to].n_keys == 0 && places[to].other_id == 0)
		return places[to].items;
	return !object && places[to].items == 0 ? WALK_IGNORE : to;
}

/* The place of the container that begins now. */
static inline uint8_t walk_next(const struct walk *w, const struct walk_place *places, bool object)
{
	const struct walk_place *p = &places[walk_here(w)];

	return walk_resolve(places, w->depth > 0 && p->items != 0 ? p->items : w->child, object);
}

/* Nothing below this place matters. */
static inline bool walk_is_dead(const struct walk_place *p)
{
	return p->n_keys == 0 && p->items == 0 && p->other_id == 0;
}

static inline void walk_enter(struct walk *w, uint8_t to)
{
	w->depth++;
	w->place[w->depth] = to;
	w->key_id = 0;
	w->child = WALK_IGNORE;
}

/* A value is over. */
static inline void walk_over(struct walk *w)
{
	w->key_id = 0;
	w->child = WALK_IGNORE;
}

static inline void walk_leave(struct walk *w)
{
	w->depth--;
	walk_over(w);
}

#endif
