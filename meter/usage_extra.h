/* usage_extra.h - the parts of a usage that have no column in the ledger, as members of the row's JSON `extra`, so that
 * any row can be priced again. Pure. */
#ifndef METER_USAGE_EXTRA_H
#define METER_USAGE_EXTRA_H

#include "base/attr.h"
#include "meter/usage.h"

/* `"images":2,"pages":3` without braces; absent when zero. Writes at most dst_size bytes and no NUL; whole members
 * only. Returns bytes written. *ret_all: nothing had to be left out. */
size_t usage_extra_write(const struct usage *, char *dst, size_t dst_size, bool *ret_all) NONNULL(1, 2, 4);
/* Puts them back; `json` is the whole object or empty. What is not there stays as it is. BUR_INVALID: no object. */
int usage_extra_read(struct slice json, struct usage *) NONNULL(2) MUST_USE;

#endif
