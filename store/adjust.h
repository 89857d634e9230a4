/* adjust.h - corrections: new ledger rows that refer to an old one. Nothing is ever changed or deleted.
 *
 * An adjusting row has the names, the admission time, the counters and the windows of the row that it corrects, and
 * amounts of its own, which may be negative. All rows of one call together - the call's row and those that refer to it
 * - are what the call costs; their sums are never negative. An open window's budget moves at once (the hook below), a
 * closed one only in reports. */
#ifndef STORE_ADJUST_H
#define STORE_ADJUST_H

#include "base/attr.h"
#include "store/ledger.h"
#include "store/store.h"

/* What is told to the rest of the program after a correction or a late bill is committed. Both run on the writer's
 * thread (before store_start: on the caller's) and must not call the store. */
struct store_hooks {
	/* The counter's sum in that window changed by `delta`, in the counter's unit, without a call of ours that
	 * settles: for engine_post. Told once for each change that this process made; changes of earlier runs are in
	 * the counters that store_each_meter gives. */
	void (*post)(void *ctx, uint64_t meter_uid, int64_t win_start, int64_t delta);
	/* store_late_bill: neither the key nor the call that learned it is known; nothing was written. May be NULL. */
	void (*late_unknown)(void *ctx, uint64_t key, int64_t nanousd);
	void *ctx;
};
/* After the engine was filled from store_each_meter, before store_start. */
void store_set_hooks(struct store *, const struct store_hooks *) NONNULL(1, 2);

/* The whole-number columns of a ledger row that a price is made from. Here they are differences. */
struct adjust_units {
	int64_t input_tokens, output_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens,
	    requests, searches;
};

#define ADJUST_REASON_MAX 200
#define ADJUST_ACTOR_MAX 100

struct adjustment {
	uint8_t uid[16];     /* adjust_uid(): the same correction twice is one row */
	uint8_t ref_uid[16]; /* a row of kind LEDGER_SPEND */
	/* LEDGER_ADJUST any sign; LEDGER_REFUND and LEDGER_CREDIT below 0, LEDGER_CHARGE above. All refunds of a row
	 * together are no more than the row itself. */
	int kind;
	int64_t nanousd;
	struct adjust_units units;
	uint32_t price_version; /* 0 = the row's */
	char reason[ADJUST_REASON_MAX + 1],
	    actor[ADJUST_ACTOR_MAX + 1]; /* UTF-8; kept in `extra`; neither may be empty */
	int result;                      /* of this one, set by store_adjust */
};

/* A stable id: SHA-256 over the row, the cause and what tells one correction of this cause from the next. Pure. */
void adjust_uid(const uint8_t ref_uid[16], const char *cause, struct slice key, uint8_t ret[16]) NONNULL(1, 2, 4);

#define ADJUST_MANY_MAX 500

/* Writes up to ADJUST_MANY_MAX corrections in one transaction on the writer's thread and waits for it. BUR_OK: each
 * one's `result` is BUR_OK (written), BUR_ALREADY (its uid is in the ledger), BUR_NOTFOUND (no such row), BUR_INVALID
 * (kind and sign, a row that is itself a correction, an empty reason or actor) or BUR_DENIED (a sum of the call would
 * become negative, or the refunds more than the row). BUR_TOOBIG; BUR_IO: nothing is known to be written, ask again
 * with the same uids. Any thread but the writer's and the data path's. */
int store_adjust(struct store *, struct adjustment *, size_t n) NONNULL(1, 2) MUST_USE;

/* What a call costs by now: its row and all that refer to it. */
struct adjust_total {
	int64_t nanousd;     /* kinds spend and adjust: what the vendor bills */
	int64_t all_nanousd; /* with refunds, charges and credits */
	struct adjust_units units;
	uint32_t n_adjusts;
	/* Of the last bill that came later (ROW_LATE), which says what was used; source 0: there is none. */
	int late_source;
	uint32_t late_flags;
	int64_t late_seq;
	char late_extra[640]; /* JSON; empty when it does not fit */
};
/* BUR_OK, BUR_NOTFOUND, BUR_IO. */
int adjust_total(struct sqlite3 *reader, const uint8_t uid[16], struct adjust_total *ret) NONNULL(1, 2, 3) MUST_USE;

#endif
