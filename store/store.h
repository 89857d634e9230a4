/* store.h - what is remembered: journal, ledger, meters, names, keys.
 *
 * One writer thread is the only one that writes the database. Workers hand it settled calls through rings that cannot
 * be full (one record per journal slot). Readers (API, command line) have their own read-only connections.
 * Life of a call here: store_call_begin (slot RESERVED) -> store_call_sent (SENT) -> store_call_settle (SETTLED, to the
 * writer) -> ledger row committed -> slot FREE; or store_call_void. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"
#include "store/journal.h"

struct store;
struct sqlite3;

struct store_config {
	const char *dir;                 /* data directory, created 0700 when missing */
	uint32_t workers;                /* indexes 0..workers-1 in the calls below */
	uint32_t journal_slots;          /* power of two; default 16384, divided among the workers */
	int64_t writer_interval_ns;      /* how long the writer gathers; default 50 ms */
	int64_t storage_grace_ns;        /* default 30 s */
	int64_t max_unpersisted_nanousd; /* default 10 USD */
	int64_t min_free_bytes;          /* hard budgets stop below it; default 256 MiB */
	bool strict_journal;
	bool verify_all; /* verify the whole seal chain at start */
};

/* Exit codes of failures at start, for main. */
#define EXIT_BUSY 75  /* another bursar uses this directory */
#define EXIT_STORE 78 /* the data is damaged or belongs elsewhere */
#define EXIT_STORAGE_IO 70

struct recovery_report {
	uint32_t voided, charged_worst, settled, quarantined;
	int64_t charged_nanousd;
	bool unclean; /* the last run did not end by itself */
};

/* Lock, database, migrations, checks, recovery (journal into ledger). Starts no thread. On failure *ret_exit is the
 * process exit code and reterr says what to do. */
int store_open(const struct store_config *, struct store **ret, struct recovery_report *ret_report, int *ret_exit,
	       char *reterr, size_t reterr_size) NONNULL(1, 2, 3, 4, 5) MUST_USE;
/* Starts the writer thread. */
int store_start(struct store *) NONNULL(1) MUST_USE;
/* Writes all that is settled, stops the thread, marks a clean end, closes. Every slot should be free by then. */
void store_close(struct store *);

/* --- names: short text interned to numbers that survive restarts ------------------------------------------------ */
enum name_kind { NAME_KEY, NAME_USER, NAME_TEAM, NAME_PROJECT, NAME_PROVIDER, NAME_MODEL, NAME_ROUTE };
/* 0 for empty text. New names are on disk before this returns, so that a slot never names an unknown number. When the
 * table is full (1 million), the name "(other)" of that kind. Any thread; lock-free when known. */
uint32_t store_name(struct store *, enum name_kind, struct slice text) NONNULL(1);
/* A counter that calls will post to; as durable as names. Idempotent and cheap when known. `unit` is enum amount_unit.
 * Any thread. */
int store_meter_known(struct store *, uint64_t uid, struct slice budget, struct slice scope, int unit)
    NONNULL(1) MUST_USE;

/* --- calls -------------------------------------------------------------------------------------------------------- */
enum settle_source { SOURCE_USAGE = 1, SOURCE_PARTIAL = 2, SOURCE_COUNTED = 3, SOURCE_WORST = 4, SOURCE_REPORTED = 5 };

#define ROW_ESTIMATED 1u        /* not the vendor's final figure */
#define ROW_RECOVERED 2u        /* settled by start-up after a crash */
#define ROW_CLIENT_GONE 4u      /* the client left before the end */
#define ROW_UPSTREAM_CUT 8u     /* the vendor's answer broke off */
#define ROW_OVERRUN 16u         /* the bill was above the hold */
#define ROW_INHERITED_PRICE 32u /* the price of a related model name */
#define ROW_ERROR_STATUS 64u    /* the vendor answered with an error */
#define ROW_NO_PRICE 128u       /* no price known: recorded at zero or a fixed charge, outside hard budgets */
#define ROW_STREAM 256u
#define ROW_PENDING 512u     /* the vendor's bill comes later, see late.h */
#define ROW_LATE 1024u       /* a bill that was fetched later, see late.h */
#define ROW_UNITS_CUT 2048u  /* more was used than the row has room to say: it cannot be priced again */
#define ROW_BUDGET_CUT 4096u /* bursar ended a running answer */

/* Everything immutable of a call. The caller fills it once; ids come from store_name. */
struct call {
	struct journal_entry entry; /* state and cell.worst etc. set by the caller; hold_id, uid, created_ns, … */
	bool hard;                  /* some hard budget is touched: storage trouble refuses it */
};

/* A fresh unique id: boot number, worker, counter, random. */
void store_uid(struct store *, uint32_t worker, uint8_t ret[16]) NONNULL(1, 3);

/* Takes a free slot of this worker and writes it RESERVED. BUR_FULL: none free. BUR_DENIED: storage does not admit
 * (see store_health). */
int store_call_begin(struct store *, uint32_t worker, const struct call *, uint32_t *ret_slot)
    NONNULL(1, 3, 4) MUST_USE;
void store_call_sent(struct store *, uint32_t slot) NONNULL(1);
void store_call_update(struct store *, uint32_t slot, const struct journal_cell *) NONNULL(1, 3);
void store_call_void(struct store *, uint32_t worker, uint32_t slot) NONNULL(1);

struct call_end {
	struct journal_cell cell; /* final */
	int64_t settled_ns;       /* wall */
	uint32_t extra_n;
	char extra[500]; /* JSON object text for the column `extra`, or empty: tags, tier, end reason, timings */
};
void store_call_settle(struct store *, uint32_t worker, uint32_t slot, const struct call_end *) NONNULL(1, 4);

/* A step of a budget that was reached or used, and its bit of the counter's mask, written with the next batch (row of
 * `event`, state of `meter`) in one transaction: no bit is on disk whose event is not. The same step of a window is one
 * event until it is told anew (crossing.h). Bounded: BUR_FULL when the ring is full: the caller takes the bit back. */
struct threshold_event {
	const char *kind, *word; /* "budget.blocked", "block"; static */
	uint64_t uid;
	int64_t win_start, win_end, at_ppm, posted, held, need, limit, credit, at_ns;
	uint32_t warned_mask; /* the bit of this step alone */
	int action;
	const char *mode;     /* "hard", "soft", "shadow" */
	const char *severity; /* when it is another than the kind's, else NULL */
	bool endless;         /* its window slides or never ends: none is told */
	char budget[64], scope[256];
};
int store_event(struct store *, uint32_t worker, const struct threshold_event *) NONNULL(1, 3) MUST_USE;

/* --- health ------------------------------------------------------------------------------------------------------- */
enum store_state {
	STORE_OK,
	STORE_LAGGING, /* writes fail, still inside grace */
	STORE_DOWN,    /* hard budgets are refused */
	STORE_DAMAGED, /* corrupt: nothing that needs money is admitted */
};
struct store_health {
	enum store_state state;
	char text[200]; /* what is wrong and what to do; "" when well */
	uint32_t slots, slots_used;
	int64_t unpersisted_nanousd, oldest_unwritten_ns;
	uint64_t rows_written, commits, commit_errors;
	uint64_t untold; /* events of workers that had no room (store_tell) */
	int64_t free_bytes;
};
void store_health(struct store *, struct store_health *ret) NONNULL(1, 2); /* any thread */
/* Wakes the writer and waits until everything settled before now is committed, or the timeout. Tests, drain, API. */
int store_sync(struct store *, int64_t timeout_ns) NONNULL(1) MUST_USE;
/* Periodic work of the control thread: checkpoint (PASSIVE; TRUNCATE when idle), journal flush, free-space check. */
void store_tick(struct store *) NONNULL(1);

/* --- start-up ----------------------------------------------------------------------------------------------------- */
struct meter_row {
	struct slice budget, scope;
	uint64_t uid;
	int64_t win_start, win_end, posted, credit;
	uint32_t warned_mask;
};
/* Every counter whose window contains now_s or later. win_end is INT64_MAX where no threshold event told the window's
 * end: the budget's own window decides then. BUR_OK, BUR_IO, or what visit returned. */
int store_each_meter(struct store *, int64_t now_s, int (*visit)(void *ctx, const struct meter_row *), void *ctx)
    NONNULL(1, 3) MUST_USE;
/* The price book in force, kept for ever under its version so that any row can be priced again.
 * BUR_ALREADY: another book (by hash) has this version. */
int store_save_price_book(struct store *, uint32_t version, uint64_t hash, struct slice json) NONNULL(1) MUST_USE;

/* Runs fn on the writer thread in a transaction of its own (or at once before store_start), and waits. The result is
 * fn's, or BUR_IO. For keys and settings, never for the data path. */
int store_execute(struct store *, int (*fn)(struct sqlite3 *, void *arg), void *arg) NONNULL(1, 2) MUST_USE;
/* A new read-only connection for one thread; close with sqlite3_close. */
int store_reader(struct store *, struct sqlite3 **ret) NONNULL(1, 2) MUST_USE;
const char *store_dir(const struct store *) NONNULL(1);

#endif
