/* past.h - the calls of the ledger as they happened, and all that is known of one of them.
 *
 * Read-only: any connection of store_reader or past_connect, also beside a running server. */
#ifndef STORE_PAST_H
#define STORE_PAST_H

#include "store/ledger.h"

/* A read-only connection to the database in the data folder, without taking the folder's lock. sqlite3_close it.
 * BUR_IO, BUR_NOTFOUND (there is none), BUR_NOMEM. */
int past_connect(const char *data_dir, struct sqlite3 **ret) NONNULL(1, 2) MUST_USE;

/* Rows in the order of time: a call's own row when it was admitted, one that corrects it when it was written. One state
 * of the ledger from open to close; memory does not grow with it. One thread. */
struct past;
/* Those in [from_ns, to_ns). *ret_rows: how many. BUR_IO, BUR_NOMEM. */
int past_open(struct sqlite3 *reader, int64_t from_ns, int64_t to_ns, struct past **ret, uint64_t *ret_rows)
    NONNULL(1, 4, 5) MUST_USE;
/* BUR_OK, BUR_EOF, BUR_IO. The row's slices live until the next call. */
int past_next(struct past *, struct ledger_row *ret) NONNULL(1, 2) MUST_USE;
/* Does any row of the ledger correct this one? */
int past_is_corrected(struct past *, const uint8_t uid[16], bool *ret) NONNULL(1, 2, 3) MUST_USE;
void past_close(struct past *); /* NULL is fine */

/* A call's row, then those that refer to it, oldest first. BUR_NOTFOUND: there is no such call. */
int past_call(struct sqlite3 *reader, const uint8_t uid[16], int (*visit)(void *ctx, const struct ledger_row *),
	      void *ctx) NONNULL(1, 2, 3) MUST_USE;

/* What one row added to one counter. */
struct past_posting {
	uint64_t meter_uid;
	struct slice budget, scope;
	int unit; /* enum amount_unit */
	int64_t win_start, amount;
	int64_t window_total; /* what stands in that window of the counter by now, later calls included */
};
int past_postings(struct sqlite3 *reader, int64_t seq, int (*visit)(void *ctx, const struct past_posting *), void *ctx)
    NONNULL(1, 3) MUST_USE;

#endif
