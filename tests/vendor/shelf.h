/* shelf.h - what clients fetch later: uploaded files, batches and their results, background responses. One thread. */
#ifndef VENDOR_SHELF_H
#define VENDOR_SHELF_H

#include "base/attr.h"
#include "base/slice.h"

#define SHELF_PLACES 64 /* the oldest makes room */

struct shelf;
struct shelf *shelf_new(void) MUST_USE; /* NULL: no memory */
void shelf_free(struct shelf *);
/* Copies; replaces what had this id. Failing to is a bug of the test. */
void shelf_put(struct shelf *, const char *id, struct slice bytes) NONNULL(1, 2);
/* Until the next put; p is NULL when there is nothing of this id. */
struct slice shelf_get(const struct shelf *, const char *id) NONNULL(1, 2);

#endif
