/* map.h - hash table from bytes to a pointer. Keys are copied. One owner thread (or the caller's lock). */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/slice.h"

struct map;

/* Holds at most `max_entries`. NULL when out of memory. */
struct map *map_new(size_t max_entries) MUST_USE;
/* Calls free_value on each value when it is not NULL. NULL map is fine. */
void map_free(struct map *, void (*free_value)(void *));
void *map_get(const struct map *, struct slice key) NONNULL(1); /* NULL when absent */
/* BUR_OK, BUR_ALREADY (key present, unchanged), BUR_FULL, BUR_NOMEM. */
int map_put(struct map *, struct slice key, void *value) NONNULL(1) MUST_USE;
void *map_remove(struct map *, struct slice key) NONNULL(1); /* the old value, or NULL */
size_t map_len(const struct map *) NONNULL(1);
/* Calls visit for each entry until it returns false. The map must not change meanwhile. */
void map_each(const struct map *, bool (*visit)(void *ctx, struct slice key, void *value), void *ctx) NONNULL(1, 2);

#endif
