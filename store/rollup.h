/* rollup.h - sums of the ledger by time, kept in the transaction of the rows they sum up. Internal to the room; read
 * them through series.h.
 *
 *   rollup         spend, calls, failures, tokens of everything, of each key, user, ..., model (by the hour) and what
 *                  was posted to each counter, by slots of a quarter of an hour: local days of every zone are made of
 *                  those
 *   rollup_minute  what was posted to each counter by the minute, for ROLLUP_MINUTE_DAYS
 *   rollup_part    spend of each (key, model, user, team) by the hour, for ROLLUP_PART_DAYS
 *
 * A row of the ledger counts at its admission; a correction has the admission time of the call that it corrects. */
#ifndef STORE_ROLLUP_H
#define STORE_ROLLUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "store/series.h"

struct sqlite3;
struct sqlite3_stmt;
struct row;
struct verify_report;

#define ROLLUP_SLOT_S 900
#define ROLLUP_MINUTE_DAYS 4
#define ROLLUP_PART_DAYS 57

/* What of a row is counted, as SQL over `ledger AS l`; rollup.c does the same in C. 72: ROW_ERROR_STATUS or
 * ROW_UPSTREAM_CUT. */
#define ROLLUP_FAILED "(l.kind=1 AND (l.status>=400 OR l.flags&72<>0))"
#define ROLLUP_FIGURES                                                                                                 \
	"sum(l.amount_n),sum(l.kind=1),sum(" ROLLUP_FAILED "),sum(CASE WHEN " ROLLUP_FAILED                            \
	" THEN l.amount_n ELSE 0 END),sum(l.input_tokens),sum(l.output_tokens),sum(l.cached_tokens),"                  \
	"sum(CASE WHEN l.kind=1 THEN max(0,(l.ts_settle-l.ts_admit)/1000000) ELSE 0 END)"
#define ROLLUP_OF_NAME(kind, column)                                                                                   \
	" SELECT " kind ",l." column ",l.ts_admit/3600000000000*4 AS slot," ROLLUP_FIGURES                             \
	" FROM ledger l WHERE l." column "<>0 GROUP BY l." column ",slot"
/* clang-format off */
#define ROLLUP_OF_LEDGER                                                                                               \
	"SELECT 7 AS kind,0 AS id,l.ts_admit/900000000000 AS slot," ROLLUP_FIGURES                                     \
	" FROM ledger l GROUP BY l.ts_admit/900000000000"                                                              \
	" UNION ALL" ROLLUP_OF_NAME("0", "key_id") " UNION ALL" ROLLUP_OF_NAME("1", "user_id")                         \
	" UNION ALL" ROLLUP_OF_NAME("2", "team_id") " UNION ALL" ROLLUP_OF_NAME("3", "project_id")                     \
	" UNION ALL" ROLLUP_OF_NAME("4", "provider_id") " UNION ALL" ROLLUP_OF_NAME("5", "model_id")
/* clang-format on */
#define ROLLUP_OF_POSTINGS                                                                                             \
	"SELECT 8,p.meter_uid,l.ts_admit/900000000000 AS slot,sum(p.amount),0,0,0,0,0,0,0 FROM posting p"              \
	" JOIN ledger l ON l.seq=p.seq GROUP BY p.meter_uid,slot"
/* Of the days that are kept, counted from the newest seal. */
#define ROLLUP_LAST_NS "(SELECT coalesce(max(ts),0) FROM ledger_seal)"
#define ROLLUP_MINUTES                                                                                                 \
	"SELECT p.meter_uid AS uid,l.ts_admit/60000000000 AS minute,sum(p.amount) AS amount_n FROM ledger l"           \
	" JOIN posting p ON p.seq=l.seq"                                                                               \
	" WHERE l.ts_admit/60000000000>=" ROLLUP_LAST_NS "/60000000000-4*1440 GROUP BY p.meter_uid,minute"
#define ROLLUP_PARTS                                                                                                   \
	"SELECT l.ts_admit/3600000000000 AS hour,l.key_id AS key_id,l.model_id AS model_id,l.user_id AS user_id,"      \
	"l.team_id AS team_id,sum(l.amount_n) AS amount_n,sum(l.kind=1) AS calls FROM ledger l"                        \
	" WHERE l.ts_admit/3600000000000>=" ROLLUP_LAST_NS "/3600000000000-57*24 GROUP BY hour,l.key_id,l.model_id,"   \
	"l.user_id,l.team_id"

#define ROLLUP_TABLES                                                                                                  \
	"CREATE TABLE rollup(kind INTEGER NOT NULL, id INTEGER NOT NULL, slot INTEGER NOT NULL,"                       \
	" amount_n INTEGER NOT NULL, calls INTEGER NOT NULL, failed INTEGER NOT NULL, failed_n INTEGER NOT NULL,"      \
	" input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,"              \
	" took_ms INTEGER NOT NULL, PRIMARY KEY(kind, id, slot)) STRICT, WITHOUT ROWID;"                               \
	"CREATE TABLE rollup_minute(uid INTEGER NOT NULL, minute INTEGER NOT NULL, amount_n INTEGER NOT NULL,"         \
	" PRIMARY KEY(uid, minute)) STRICT, WITHOUT ROWID;"                                                            \
	"CREATE TABLE rollup_part(hour INTEGER NOT NULL, key_id INTEGER NOT NULL, model_id INTEGER NOT NULL,"          \
	" user_id INTEGER NOT NULL, team_id INTEGER NOT NULL, amount_n INTEGER NOT NULL, calls INTEGER NOT NULL,"      \
	" PRIMARY KEY(hour, key_id, model_id, user_id, team_id)) STRICT, WITHOUT ROWID;"
#define ROLLUP_FILL                                                                                                    \
	"INSERT INTO rollup " ROLLUP_OF_LEDGER ";"                                                                     \
	"INSERT INTO rollup " ROLLUP_OF_POSTINGS ";"                                                                   \
	"INSERT INTO rollup_minute " ROLLUP_MINUTES ";"                                                                \
	"INSERT INTO rollup_part " ROLLUP_PARTS ";"

/* --- writing ------------------------------------------------------------------------------------------------------ */

enum rollup_table { ROLLUP_SLOT, ROLLUP_MINUTE, ROLLUP_PART };
struct rollup_item {
	int64_t k[5]; /* kind, id, slot | uid, minute | hour, key, model, user, team */
	struct series_sum sum;
	uint8_t table;
	bool used;
};
struct rollup {
	struct sqlite3_stmt *put[3], *prune_minute, *prune_part;
	struct rollup_item *items;
	uint32_t *used, n_used;
	bool spilled; /* some are in the transaction already */
	int rc;
};
int rollup_init(struct rollup *, struct sqlite3 *) NONNULL(1, 2) MUST_USE; /* SQLite's code */
void rollup_done(struct rollup *) NONNULL(1);
/* Forgets what was added and not written. */
void rollup_clear(struct rollup *) NONNULL(1);
void rollup_add(struct rollup *, const struct row *, int64_t now_ns) NONNULL(1, 2);
/* Inside the transaction of the rows that were added since rollup_clear. SQLite's code. */
int rollup_write(struct rollup *, int64_t now_ns) NONNULL(1) MUST_USE;

/* --- checking ----------------------------------------------------------------------------------------------------- */

/* How many sums differ from the ledger's. SQLite's code. */
int rollup_compare(struct sqlite3 *, uint64_t *ret_n) NONNULL(1, 2) MUST_USE;
/* Makes all anew from the ledger, inside a transaction. SQLite's code. */
int rollup_rebuild(struct sqlite3 *) NONNULL(1) MUST_USE;

#endif
