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
	const char *name;
	uint8_t n, id, child;
};
#define WALK_KEY(name, id, child)                                                                                      \
	{                                                                                                              \
		name, sizeof(name) - 1, id, child                                                                      \
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

static inline void walk_key(struct walk *w, const struct walk_place *places, struct slice name)
{
	const struct walk_place *p = &places[walk_here(w)];
	uint8_t i;

	w->key_id = p->other_id;
	w->child = p->other_child;
	for (i = 0; i < p->n_keys; i++) {
		const struct walk_key *k = &p->keys[i];

		if (k->n == name.n && memcmp(k->name, name.p, name.n) == 0) {
			w->key_id = k->id;
			w->child = k->child;
			return;
		}
	}
}

/* The id of the value that just came (or began): its key's, or that of the array's items. */
static inline uint8_t walk_value_id(const struct walk *w, const struct walk_place *places)
{
	const struct walk_place *p = &places[walk_here(w)];

	return p->items != 0 ? p->item_id : w->key_id;
}

/* Enters a container. An object where a list was foreseen is read as its one item; a list where an object was foreseen
 * is ignored, unless the place keeps to itself (`items` is the place). */
static inline void walk_enter(struct walk *w, const struct walk_place *places, bool object)
{
	const struct walk_place *p = &places[walk_here(w)];
	uint8_t to = w->depth > 0 && p->items != 0 ? p->items : w->child;

	if (object && places[to].items != 0 && places[to].n_keys == 0 && places[to].other_id == 0)
		to = places[to].items;
	else if (!object && places[to].items == 0)
		to = WALK_IGNORE;
	w->depth++;
	w->place[w->depth] = to;
	w->key_id = 0;
	w->child = WALK_IGNORE;
}

static inline void walk_leave(struct walk *w)
{
	w->depth--;
	w->key_id = 0;
	w->child = WALK_IGNORE;
}

#endif
