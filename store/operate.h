/* operate.h - what people change while it runs: limits, credits, charges, corrections. Each change is one transaction
 * together with its row in the audit log; the engine is told after it, and at the next start the database rules.
 *
 * A change has an id, given by whoever asks for it: the same id again changes nothing and gets the first answer.
 * Threads: the control thread (store_execute), or any before store_start. */
#ifndef STORE_OPERATE_H
#define STORE_OPERATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"
#include "store/adjust.h"
#include "store/audit.h"
#include "store/store.h"

#define OPERATE_ID_MAX 128
#define OPERATE_AMOUNT_MAX (INT64_MAX / 4) /* of one change, so that sums of a few stay numbers */
#define OPERATE_NEVER INT64_MAX

/* Who, why, when, and which change it is. */
struct operation {
	struct slice actor, reason; /* UTF-8; 1..AUDIT_ACTOR_MAX, 1..AUDIT_REASON_MAX bytes */
	struct slice id;            /* empty: it cannot be repeated */
	int64_t now_ns;
};
struct operated {
	bool repeated; /* the id was used before: nothing was changed now */
	int64_t audit_seq;
	char before[AUDIT_TEXT_MAX + 1], after[AUDIT_TEXT_MAX + 1]; /* as in the audit log */
};
/* All of the functions below: BUR_OK; BUR_INVALID (a text, an amount); BUR_ALREADY: the id belongs to another change;
 * BUR_IO: nothing is known to be written, ask again with the same id; BUR_CORRUPT. */

/* --- limits ------------------------------------------------------------------------------------------------------- */

struct operate_limit {
	struct slice budget;
	int unit;                  /* enum amount_unit */
	int64_t configured, limit; /* what the configuration says, and what is to hold */
};
/* *ret_in_force is the limit that the engine must have now, also after a repeat. */
int operate_limit(struct store *, const struct operation *, const struct operate_limit *, struct operated *ret,
		  int64_t *ret_in_force) NONNULL(1, 2, 3, 4, 5) MUST_USE;
/* At the start of a server, for every configured budget: its limit is noted. One whose limit in the configuration is
 * another than it was loses what people had changed; `limit` of the list gets what is in force. `told` hears of each
 * edit; by_hand: the limit that people had set, 0 = none. */
int operate_limits_begin(struct store *, struct operate_limit *list, size_t n, int64_t now_ns,
			 void (*told)(void *ctx, const struct operate_limit *, int64_t before, int64_t by_hand),
			 void *ctx) NONNULL(1) MUST_USE;
/* The same without writing: `limit` is set to what is in force. */
int operate_limits_read(struct sqlite3 *reader, struct operate_limit *list, size_t n) NONNULL(1) MUST_USE;
/* What the limit was at that instant, from the audit log; `fallback` when nothing is known. */
int operate_limit_at(struct sqlite3 *reader, struct slice budget, int64_t ts_ns, int64_t fallback, int64_t *ret)
    NONNULL(1, 5) MUST_USE;

/* --- credits ------------------------------------------------------------------------------------------------------ */

/* As in the engine: it ends with its window (expires_s OPERATE_NEVER, not carried over), at expires_s, or goes on into
 * the next windows until then. */
struct operate_credit {
	int64_t id; /* set by operate_credit */
	struct slice budget, scope;
	int unit;
	int64_t amount; /* above 0: what was left of it when the window win_start began */
	int64_t win_start, expires_s;
	bool carry_over;
	int64_t granted_ns; /* reading only */
	int64_t before;     /* credit in force until now, for the log */
};
/* Writes the credit and its row in the audit log. */
int operate_credit(struct store *, const struct operation *, struct operate_credit *inout, struct operated *ret)
    NONNULL(1, 2, 3, 4) MUST_USE;
/* The engine had no room for it: the credit goes again, with a row that says so, and its id is free. */
int operate_credit_undo(struct store *, const struct operation *, const struct operate_credit *)
    NONNULL(1, 2, 3) MUST_USE;
/* Ascending by budget, scope, id; slices live during the visit. */
int operate_each_credit(struct sqlite3 *reader, int (*visit)(void *ctx, const struct operate_credit *), void *ctx)
    NONNULL(1, 2) MUST_USE;
/* At a start: what is left of these credits in the windows that are open now; amount 0: it is gone. */
int operate_credits_left(struct store *, const struct operate_credit *, size_t n) NONNULL(1) MUST_USE;
/* The windows of a counter that began in [from_s, to_s) and have spend, ascending. */
int operate_each_spent(struct sqlite3 *reader, uint64_t meter_uid, int64_t from_s, int64_t to_s,
		       int (*visit)(void *ctx, int64_t win_start, int64_t posted), void *ctx) NONNULL(1, 5) MUST_USE;

/* What calls that were admitted before that instant cost in the window; charges count from when they were made. */
int operate_spent_before(struct sqlite3 *reader, uint64_t meter_uid, int64_t win_start, int64_t ts_ns, int64_t *ret)
    NONNULL(1, 5) MUST_USE;

/* --- charges and corrections -------------------------------------------------------------------------------------- */

/* A ledger row of its own: kind LEDGER_CHARGE, or LEDGER_CREDIT for a charge that is taken back (amount below 0). The
 * engine hears of it through store_hooks.post. */
struct operate_charge {
	struct slice budget, scope;
	int unit;
	uint64_t meter_uid;
	int64_t win_start; /* the window or bucket that it is charged to */
	int64_t amount;    /* not 0 */
};
/* BUR_DENIED: more would be taken back than is in the ledger for that window, or the counter would be too large. */
int operate_charge(struct store *, const struct operation *, const struct operate_charge *, struct operated *ret,
		   uint8_t ret_uid[16]) NONNULL(1, 2, 3, 4, 5) MUST_USE;

struct operate_correction {
	uint8_t ref_uid[16]; /* a row of kind LEDGER_SPEND */
	bool refund;         /* money that came back: `nanousd` above 0 */
	bool is_total; /* adjust: `nanousd` is what the vendor bills for the call; else the difference, any sign */
	int64_t nanousd;
};
/* BUR_NOTFOUND: no such call. BUR_DENIED: more than was paid, or the call's sum would become negative. An adjustment
 * that changes nothing is BUR_INVALID. */
int operate_correct(struct store *, const struct operation *, const struct operate_correction *, struct operated *ret,
		    uint8_t ret_uid[16]) NONNULL(1, 2, 3, 4, 5) MUST_USE;
/* The uid of the ledger row with that number. BUR_NOTFOUND. */
int operate_row_uid(struct sqlite3 *reader, int64_t seq, uint8_t ret[16]) NONNULL(1, 3) MUST_USE;

#endif
