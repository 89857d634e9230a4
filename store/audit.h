/* audit.h - who changed what by hand, why, and what it was before. Every row is chained to the one before it: changing
 * or removing one that is not the last breaks the chain.
 *
 * Canonical bytes of a row: seq and ts as zigzag varints, then each text with its length as such a varint before it, in
 * the order of the columns. hash = SHA-256(prev || canonical bytes); prev of the first row is 32 zero bytes. */
#ifndef STORE_AUDIT_H
#define STORE_AUDIT_H

#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

struct sqlite3;

#define AUDIT_REASON_MAX 200
#define AUDIT_ACTOR_MAX 100
#define AUDIT_TEXT_MAX 512 /* object, before, after */

struct audit_entry {
	int64_t seq, ts_ns;
	struct slice actor, action, object, reason, before, after;
};

/* Inside a transaction on the writer's thread (store_execute). `seq` of the entry is not looked at; *ret_seq is the new
 * row's. BUR_INVALID: actor, action, object or reason empty, a text too long or not UTF-8. BUR_CORRUPT, BUR_IO. */
int audit_append(struct sqlite3 *, const struct audit_entry *, int64_t *ret_seq) NONNULL(1, 2, 3) MUST_USE;

struct audit_filter {
	int64_t before_seq;  /* newest first, below this; 0 = from the newest */
	struct slice object; /* empty = any */
	size_t limit;        /* 1..1000 */
};
/* Slices live during the visit; visit returns BUR_OK to go on. Any reader. */
int audit_each(struct sqlite3 *reader, const struct audit_filter *, int (*visit)(void *ctx, const struct audit_entry *),
	       void *ctx) NONNULL(1, 2, 3) MUST_USE;

struct audit_report {
	uint64_t rows, errors;
	char first_error[120];
};
/* Recomputes the chain. BUR_OK also when errors were found; BUR_IO, BUR_CORRUPT: it cannot be read. */
int audit_verify(struct sqlite3 *reader, struct audit_report *ret) NONNULL(1, 2) MUST_USE;

#endif
