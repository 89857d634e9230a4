#include "store/rollup.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "store/internal.h"

#define TABLE_SIZE 65536 /* of the hash; a power of two */
#define ITEMS_MAX 32768  /* in memory; beyond it they are written early */
#define ITEMS_PER_ROW (2 + SERIES_MODEL + 2 * ROW_POSTINGS_MAX + 1)
#define SLOTS_PER_HOUR (3600 / ROLLUP_SLOT_S)
/* A little more is kept than is checked: the clock of a row and that of its seal are read one after the other. */
#define MINUTES_KEPT (ROLLUP_MINUTE_DAYS * 1440 + 2)
#define HOURS_KEPT (ROLLUP_PART_DAYS * 24 + 2)

/* 500 corrections, the most of one call of store_adjust, are sealed twice in a transaction: they must not spill. */
_Static_assert(ADJUST_MANY_MAX *ITEMS_PER_ROW < ITEMS_MAX, "room for all corrections of one transaction");

/* Saturating: a sum beyond int64 would become a real number, which the table refuses for ever. */
#define ADD(column)                                                                                                    \
	column "=CASE WHEN excluded." column ">0 AND " column ">9223372036854775807-excluded." column                  \
	       " THEN 9223372036854775807 WHEN excluded." column "<0 AND " column                                      \
	       "< -9223372036854775807-excluded." column " THEN -9223372036854775807 ELSE " column "+excluded." column \
	       " END"

static const char *const puts_sql[] = {
    [ROLLUP_SLOT] = "INSERT INTO rollup(kind,id,slot,amount_n,calls,failed,failed_n,input_tokens,output_tokens,"
		    "cached_tokens,took_ms) VALUES(?1,?2,?3,?6,?7,?8,?9,?10,?11,?12,?13) ON CONFLICT(kind,id,slot)"
		    " DO UPDATE SET " ADD("amount_n") "," ADD("calls") "," ADD("failed") "," ADD("failed_n") "," ADD(
			"input_tokens") "," ADD("output_tokens") "," ADD("cached_tokens") "," ADD("took_ms"),
    [ROLLUP_MINUTE] = "INSERT INTO rollup_minute(uid,minute,amount_n) VALUES(?1,?2,?6) ON CONFLICT(uid,minute)"
		      " DO UPDATE SET " ADD("amount_n"),
    [ROLLUP_PART] = "INSERT INTO rollup_part(hour,key_id,model_id,user_id,team_id,amount_n,calls)"
		    " VALUES(?1,?2,?3,?4,?5,?6,?7) ON CONFLICT(hour,key_id,model_id,user_id,team_id)"
		    " DO UPDATE SET " ADD("amount_n") "," ADD("calls"),
};

int rollup_init(struct rollup *u, struct sqlite3 *db)
{
	int rc = SQLITE_OK;

	*u = (struct rollup){.rc = SQLITE_OK};
	u->items = calloc(TABLE_SIZE, sizeof *u->items);
	u->used = malloc(ITEMS_MAX * sizeof *u->used);
	if (!u->items || !u->used)
		return SQLITE_NOMEM;
	for (int i = 0; i < (int)ARRAY_LEN(puts_sql) && rc == SQLITE_OK; i++)
		rc = db_prepare(db, puts_sql[i], &u->put[i]);
	if (rc == SQLITE_OK)
		rc = db_prepare(db, "DELETE FROM rollup_minute WHERE uid=?1 AND minute<?2", &u->prune_minute);
	if (rc == SQLITE_OK)
		rc = db_prepare(db, "DELETE FROM rollup_part WHERE hour<?1", &u->prune_part);
	return rc;
}

void rollup_done(struct rollup *u)
{
	for (int i = 0; i < (int)ARRAY_LEN(u->put); i++)
		(void)sqlite3_finalize(u->put[i]);
	(void)sqlite3_finalize(u->prune_minute);
	(void)sqlite3_finalize(u->prune_part);
	free(u->items);
	free(u->used);
	*u = (struct rollup){.rc = SQLITE_OK};
}

static void forget(struct rollup *u)
{
	for (uint32_t i = 0; i < u->n_used; i++)
		u->items[u->used[i]].used = false;
	u->n_used = 0;
}

void rollup_clear(struct rollup *u)
{
	forget(u);
	u->spilled = false;
	u->rc = SQLITE_OK;
}

/* --- one row ------------------------------------------------------------------------------------------------------ */

static void add(int64_t *to, int64_t v)
{
	if (__builtin_add_overflow(*to, v, to))
		*to = v > 0 ? INT64_MAX : -INT64_MAX;
}

static struct rollup_item *item_of(struct rollup *u, enum rollup_table table, const int64_t k[5])
{
	uint64_t h = (uint64_t)table;
	struct rollup_item *it;

	for (int i = 0; i < 5; i++)
		h = (h ^ (uint64_t)k[i]) * UINT64_C(0x9e3779b97f4a7c15) ^ (h >> 29);
	for (uint32_t i = (uint32_t)(h >> 32);; i++) {
		it = &u->items[i % TABLE_SIZE];
		if (!it->used)
			break;
		if (it->table == table && memcmp(it->k, k, sizeof it->k) == 0)
			return it;
	}
	CHECK(u->n_used < ITEMS_MAX);
	it->table = (uint8_t)table;
	it->used = true;
	memcpy(it->k, k, sizeof it->k);
	it->sum = (struct series_sum){0};
	u->used[u->n_used++] = (uint32_t)(it - u->items);
	return it;
}

static void sum_add(struct series_sum *to, const struct series_sum *more)
{
	add(&to->amount, more->amount);
	add(&to->calls, more->calls);
	add(&to->failed, more->failed);
	add(&to->failed_nanousd, more->failed_nanousd);
	add(&to->input_tokens, more->input_tokens);
	add(&to->output_tokens, more->output_tokens);
	add(&to->cached_tokens, more->cached_tokens);
	add(&to->took_ms, more->took_ms);
}

static struct series_sum figures(const struct row *r)
{
	const int64_t *v = r->v;
	bool call = v[R_KIND] == LEDGER_SPEND, failed;
	int64_t took = 0;

	failed = call && (v[R_STATUS] >= 400 || (v[R_FLAGS] & (ROW_ERROR_STATUS | ROW_UPSTREAM_CUT)) != 0);
	if (call && v[R_TS_SETTLE] > v[R_TS_ADMIT])
		took = (v[R_TS_SETTLE] - v[R_TS_ADMIT]) / NS_PER_MS;
	return (struct series_sum){.amount = v[R_AMOUNT],
				   .calls = call,
				   .failed = failed,
				   .failed_nanousd = failed ? v[R_AMOUNT] : 0,
				   .input_tokens = v[R_INPUT],
				   .output_tokens = v[R_OUTPUT],
				   .cached_tokens = v[R_CACHED],
				   .took_ms = took};
}

static void add_postings(struct rollup *u, const struct row *r, int64_t now_ns)
{
	int64_t at = r->v[R_TS_ADMIT], minute = at / (60 * NS_PER_S);
	bool recent = minute >= now_ns / (60 * NS_PER_S) - MINUTES_KEPT;

	for (size_t i = 0; i < r->n_postings; i++) {
		const struct posting *p = &r->postings[i];
		struct rollup_item *it = item_of(
		    u, ROLLUP_SLOT, (int64_t[5]){SERIES_COUNTER, p->meter_uid, at / (ROLLUP_SLOT_S * NS_PER_S)});

		add(&it->sum.amount, p->amount);
		if (!recent)
			continue;
		it = item_of(u, ROLLUP_MINUTE, (int64_t[5]){p->meter_uid, minute});
		add(&it->sum.amount, p->amount);
	}
}

void rollup_add(struct rollup *u, const struct row *r, int64_t now_ns)
{
	const int64_t *v = r->v, hour = v[R_TS_ADMIT] / (3600 * NS_PER_S);
	const struct series_sum sum = figures(r);
	struct rollup_item *it;

	if (u->n_used + ITEMS_PER_ROW > ITEMS_MAX && u->rc == SQLITE_OK) {
		u->rc = rollup_write(u, now_ns);
		u->spilled = true;
	}
	if (u->rc != SQLITE_OK)
		return;
	it = item_of(u, ROLLUP_SLOT, (int64_t[5]){SERIES_ALL, 0, v[R_TS_ADMIT] / (ROLLUP_SLOT_S * NS_PER_S)});
	sum_add(&it->sum, &sum);
	for (int i = SERIES_KEY; i <= SERIES_MODEL; i++) {
		if (v[R_IDS + i] == 0)
			continue;
		it = item_of(u, ROLLUP_SLOT, (int64_t[5]){i, v[R_IDS + i], hour * SLOTS_PER_HOUR});
		sum_add(&it->sum, &sum);
	}
	if (hour >= now_ns / (3600 * NS_PER_S) - HOURS_KEPT) {
		it = item_of(u, ROLLUP_PART,
			     (int64_t[5]){hour, v[R_IDS + NAME_KEY], v[R_IDS + NAME_MODEL], v[R_IDS + NAME_USER],
					  v[R_IDS + NAME_TEAM]});
		sum_add(&it->sum, &sum);
	}
	add_postings(u, r, now_ns);
}
_Static_assert((int)SERIES_KEY == (int)NAME_KEY && (int)SERIES_MODEL == (int)NAME_MODEL, "one order of names");
_Static_assert((ROW_ERROR_STATUS | ROW_UPSTREAM_CUT) == 72, "the number in ROLLUP_FAILED");

/* --- writing ------------------------------------------------------------------------------------------------------ */

static int put_item(struct rollup *u, const struct rollup_item *it)
{
	const struct series_sum *s = &it->sum;
	const int64_t sums[] = {s->amount,       s->calls,         s->failed,        s->failed_nanousd,
				s->input_tokens, s->output_tokens, s->cached_tokens, s->took_ms};
	sqlite3_stmt *st = u->put[it->table];
	int n = it->table == ROLLUP_SLOT ? 8 : it->table == ROLLUP_PART ? 2 : 1;

	for (int i = 0; i < (it->table == ROLLUP_PART ? 5 : 3); i++)
		if (it->table != ROLLUP_MINUTE || i < 2)
			(void)sqlite3_bind_int64(st, 1 + i, it->k[i]);
	for (int i = 0; i < n; i++)
		(void)sqlite3_bind_int64(st, 6 + i, sums[i]);
	return db_run(st);
}

static int prune_minutes(struct rollup *u, int64_t uid, int64_t now_ns)
{
	(void)sqlite3_bind_int64(u->prune_minute, 1, uid);
	(void)sqlite3_bind_int64(u->prune_minute, 2, now_ns / (60 * NS_PER_S) - MINUTES_KEPT);
	return db_run(u->prune_minute);
}

int rollup_write(struct rollup *u, int64_t now_ns)
{
	int rc = u->rc;

	for (uint32_t i = 0; i < u->n_used && rc == SQLITE_OK; i++) {
		const struct rollup_item *it = &u->items[u->used[i]];

		rc = put_item(u, it);
		/* Now and then is enough: nobody reads what is older. */
		if (rc == SQLITE_OK && it->table == ROLLUP_MINUTE && ((it->k[0] ^ it->k[1]) & 15) == 0)
			rc = prune_minutes(u, it->k[0], now_ns);
	}
	if (rc == SQLITE_OK && u->n_used > 0) {
		(void)sqlite3_bind_int64(u->prune_part, 1, now_ns / (3600 * NS_PER_S) - HOURS_KEPT);
		rc = db_run(u->prune_part);
	}
	forget(u);
	return rc;
}

/* --- checking ----------------------------------------------------------------------------------------------------- */

/* The ledger is summed up once. Sums that are not as they should be are counted, and sums that should not be there. */
#define DIFFERING(truth, table, where, key, differs)                                                                   \
	"WITH t AS MATERIALIZED (" truth ") SELECT (SELECT count(*) FROM t LEFT JOIN " table " r ON " key              \
	" WHERE coalesce(" differs ",1))+max(0,(SELECT count(*) FROM " table " WHERE " where                           \
	")-(SELECT count(*) FROM t))"
#define SLOT_KEY "r.kind=t.kind AND r.id=t.id AND r.slot=t.slot"
#define SLOT_DIFFERS                                                                                                   \
	"(r.amount_n,r.calls,r.failed,r.failed_n,r.input_tokens,r.output_tokens,r.cached_tokens,r.took_ms)<>(t.a,t.b," \
	"t.c,t.d,t.e,t.f,t.g,t.h)"

int rollup_compare(struct sqlite3 *db, uint64_t *ret_n)
{
	static const char *const sql[] = {
	    DIFFERING(
		"SELECT * FROM (SELECT 0 AS kind,0 AS id,0 AS slot,0 AS a,0 AS b,0 AS c,0 AS d,0 AS e,0 AS f,0 AS g,"
		"0 AS h WHERE false UNION ALL " ROLLUP_OF_LEDGER ")",
		"rollup", "kind<>8", SLOT_KEY, SLOT_DIFFERS),
	    DIFFERING(
		"SELECT * FROM (SELECT 0 AS kind,0 AS id,0 AS slot,0 AS a,0 AS b,0 AS c,0 AS d,0 AS e,0 AS f,0 AS g,"
		"0 AS h WHERE false UNION ALL " ROLLUP_OF_POSTINGS ")",
		"rollup", "kind=8", SLOT_KEY, SLOT_DIFFERS),
	    DIFFERING(ROLLUP_MINUTES, "rollup_minute", "minute>=" ROLLUP_LAST_NS "/60000000000-4*1440",
		      "r.uid=t.uid AND r.minute=t.minute", "r.amount_n<>t.amount_n"),
	    DIFFERING(ROLLUP_PARTS, "rollup_part", "hour>=" ROLLUP_LAST_NS "/3600000000000-57*24",
		      "r.hour=t.hour AND r.key_id=t.key_id AND r.model_id=t.model_id AND r.user_id=t.user_id AND"
		      " r.team_id=t.team_id",
		      "(r.amount_n,r.calls)<>(t.amount_n,t.calls)"),
	};
	int rc = SQLITE_OK;

	*ret_n = 0;
	for (size_t i = 0; i < ARRAY_LEN(sql) && rc == SQLITE_OK; i++) {
		int64_t differing = 0;

		rc = db_scalar(db, sql[i], &differing);
		*ret_n += (uint64_t)differing;
	}
	return rc;
}

int rollup_rebuild(struct sqlite3 *db)
{
	return db_exec(db, "DELETE FROM rollup; DELETE FROM rollup_minute; DELETE FROM rollup_part; " ROLLUP_FILL);
}
