#include "store/ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/amount.h"
#include "base/error.h"
#include "store/internal.h"

#define LIMIT_MAX 1000

static int64_t units(const struct row *r, enum row_int i)
{
	return r->has_ref || r->v[i] > 0 ? r->v[i] : 0;
}

void ledger_row_of(const struct row *r, struct ledger_row *l)
{
	const int64_t *v = r->v;

	*l = (struct ledger_row){
	    .seq = r->seq,
	    .has_ref = r->has_ref,
	    .kind = (int)v[R_KIND],
	    .ts_admit_ns = v[R_TS_ADMIT],
	    .ts_settle_ns = v[R_TS_SETTLE],
	    .amount_nanousd = v[R_AMOUNT],
	    .worst_nanousd = v[R_WORST],
	    .source = (int)v[R_SOURCE],
	    .flags = (uint32_t)v[R_FLAGS],
	    .key = r->names[NAME_KEY],
	    .user = r->names[NAME_USER],
	    .team = r->names[NAME_TEAM],
	    .project = r->names[NAME_PROJECT],
	    .provider = r->names[NAME_PROVIDER],
	    .model = r->names[NAME_MODEL],
	    .route = r->names[NAME_ROUTE],
	    .input_tokens = units(r, R_INPUT),
	    .output_tokens = units(r, R_OUTPUT),
	    .cached_tokens = units(r, R_CACHED),
	    .cache_write_tokens = units(r, R_CACHE_WRITE),
	    .cache_write_1h_tokens = units(r, R_CACHE_WRITE_1H),
	    .reasoning_tokens = units(r, R_REASONING),
	    .requests = units(r, R_REQUESTS),
	    .searches = units(r, R_SEARCHES),
	    .tier = (int)v[R_TIER],
	    .status = (int)v[R_STATUS],
	    .price_version = (uint32_t)v[R_PRICE_VERSION],
	    .extra = r->extra,
	};
	memcpy(l->uid, r->uid, sizeof l->uid);
	memcpy(l->ref_uid, r->ref_uid, sizeof l->ref_uid);
}

/* --- pages -------------------------------------------------------------------------------------------------------- */

#define EACH_WHERE                                                                                                     \
	" AND (?3=0 OR ts_admit>=?3) AND (?4=0 OR ts_admit<?4) AND (?5=0 OR key_id=?5) AND (?6=0 OR user_id=?6)"       \
	" AND (?7=0 OR team_id=?7) AND (?8=0 OR project_id=?8) AND (?9=0 OR provider_id=?9)"                           \
	" AND (?10=0 OR model_id=?10)"
/* ?2: the last seal made before from_ns. A seal is never younger than its rows, so nothing up to it can match. */
static const char each_up[] = ROW_SELECT "WHERE seq>max(?1,?2)" EACH_WHERE " ORDER BY seq LIMIT ?11";
static const char each_down[] =
    ROW_SELECT "WHERE seq>?2 AND (?1=0 OR seq<?1)" EACH_WHERE " ORDER BY seq DESC LIMIT ?11";

static int name_number(sqlite3 *db, enum name_kind kind, struct slice text, int64_t *ret)
{
	sqlite3_stmt *st = NULL;
	int rc;

	*ret = 0;
	if (text.n == 0)
		return BUR_OK;
	rc = db_prepare(db, "SELECT id FROM name WHERE kind=?1 AND text=?2", &st);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int(st, 1, (int)kind);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text64(st, 2, text.p, text.n, SQLITE_STATIC, SQLITE_UTF8);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	if (rc == SQLITE_DONE)
		return BUR_NOTFOUND;
	return rc == SQLITE_ROW ? BUR_OK : db_err(rc);
}

static int seq_before(sqlite3 *db, int64_t from_ns, int64_t *ret)
{
	sqlite3_stmt *st = NULL;
	int rc;

	*ret = 0;
	if (from_ns == 0)
		return BUR_OK;
	rc = db_prepare(db, "SELECT seq_to FROM ledger_seal WHERE ts<?1 ORDER BY ts DESC, seq_to DESC LIMIT 1", &st);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 1, from_ns);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? BUR_OK : db_err(rc);
}

static int bind_filter(sqlite3 *db, sqlite3_stmt *st, const struct ledger_filter *f)
{
	static const enum name_kind kinds[] = {NAME_KEY, NAME_USER, NAME_TEAM, NAME_PROJECT, NAME_PROVIDER, NAME_MODEL};
	const struct slice texts[] = {f->key, f->user, f->team, f->project, f->provider, f->model};
	int64_t seq, id;
	int r = seq_before(db, f->from_ns, &seq);

	if (r < 0)
		return r;
	(void)sqlite3_bind_int64(st, 1, f->after_seq);
	(void)sqlite3_bind_int64(st, 2, seq);
	(void)sqlite3_bind_int64(st, 3, f->from_ns);
	(void)sqlite3_bind_int64(st, 4, f->to_ns);
	for (int i = 0; i < (int)ARRAY_LEN(texts); i++) {
		r = name_number(db, kinds[i], texts[i], &id);
		if (r < 0)
			return r;
		(void)sqlite3_bind_int64(st, 5 + i, id);
	}
	(void)sqlite3_bind_int64(st, 11, (int64_t)f->limit);
	return BUR_OK;
}

static int visit_rows(sqlite3_stmt *st, int (*visit)(void *, const struct ledger_row *), void *ctx)
{
	struct ledger_row l;
	struct row row;
	int rc, r = BUR_OK;

	for (rc = sqlite3_step(st); rc == SQLITE_ROW && r == BUR_OK; rc = sqlite3_step(st)) {
		row_read(st, &row);
		ledger_row_of(&row, &l);
		r = visit(ctx, &l);
		if (r != BUR_OK)
			return r;
	}
	return rc == SQLITE_DONE ? BUR_OK : db_err(rc);
}

int ledger_each(struct sqlite3 *db, const struct ledger_filter *f, int (*visit)(void *ctx, const struct ledger_row *),
		void *ctx)
{
	sqlite3_stmt *st = NULL;
	int rc, r;

	if (f->limit == 0 || f->limit > LIMIT_MAX || f->after_seq < 0)
		return BUR_INVALID;
	rc = db_prepare(db, f->descending ? each_down : each_up, &st);
	r = db_err(rc);
	if (r == BUR_OK)
		r = bind_filter(db, st, f);
	if (r == BUR_OK)
		r = visit_rows(st, visit, ctx);
	else if (r == BUR_NOTFOUND)
		r = BUR_OK; /* a name that no call ever had */
	(void)sqlite3_finalize(st);
	return r;
}

/* --- verifying ---------------------------------------------------------------------------------------------------- */

struct verify {
	struct verify_report *rep;
	int (*price)(void *, const struct ledger_row *);
	void *ctx;
};

static void sum_error(struct verify_report *rep, const char *what, int64_t id)
{
	rep->sum_errors++;
	if (rep->first_error[0] == 0)
		(void)snprintf(rep->first_error, sizeof rep->first_error, "%s %lld", what, (long long)id);
}

static void check_price(struct verify *v, const struct row *r)
{
	struct ledger_row l;

	if (!v->price)
		return;
	ledger_row_of(r, &l);
	v->rep->price_rows++;
	switch (v->price(v->ctx, &l)) {
	case BUR_OK:
		return;
	case BUR_NOTFOUND:
		v->rep->price_skipped++;
		return;
	default:
		v->rep->price_errors++;
		if (v->rep->first_error[0] == 0)
			(void)snprintf(v->rep->first_error, sizeof v->rep->first_error,
				       "row %lld: its units and prices give another amount", (long long)r->seq);
	}
}

static int check_row(void *ctx, const struct row *r)
{
	struct verify *v = ctx;

	for (size_t i = 0; i < r->n_postings; i++) {
		const struct posting *p = &r->postings[i];

		if (p->unit == UNIT_USD && p->amount != r->v[R_AMOUNT])
			sum_error(v->rep, "a posting in USD differs from its row", r->seq);
	}
	check_price(v, r);
	return BUR_OK;
}

static int check_meters(sqlite3 *db, struct verify_report *rep)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db,
			    "WITH s AS (SELECT meter_uid,win_start,sum(amount) AS n FROM posting"
			    " GROUP BY meter_uid,win_start)"
			    " SELECT m.meter_uid FROM meter m LEFT JOIN s USING(meter_uid,win_start)"
			    " WHERE m.posted_n<>coalesce(s.n,0)"
			    " UNION ALL SELECT s.meter_uid FROM s LEFT JOIN meter m USING(meter_uid,win_start)"
			    " WHERE m.meter_uid IS NULL",
			    &st);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	while (rc == SQLITE_ROW) {
		sum_error(rep, "a counter differs from the sum of its postings: meter", sqlite3_column_int64(st, 0));
		rc = sqlite3_step(st);
	}
	(void)sqlite3_finalize(st);
	return rc == SQLITE_DONE ? BUR_OK : db_err(rc);
}

/* Corrections correct a call, and never to less than nothing. */
static int check_corrections(sqlite3 *db, struct verify_report *rep)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db,
			    "SELECT c.seq FROM ledger c LEFT JOIN ledger r ON r.uid=c.ref_uid AND r.kind=1"
			    " WHERE c.ref_uid IS NOT NULL GROUP BY c.ref_uid"
			    " HAVING r.seq IS NULL OR r.amount_n+total(c.amount_n)<0",
			    &st);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	while (rc == SQLITE_ROW) {
		sum_error(rep, "a correction of no call, or of more than it cost: row", sqlite3_column_int64(st, 0));
		rc = sqlite3_step(st);
	}
	(void)sqlite3_finalize(st);
	return rc == SQLITE_DONE ? BUR_OK : db_err(rc);
}

static int check_rollups(sqlite3 *db, struct verify_report *rep)
{
	uint64_t n;
	int rc = rollup_compare(db, &n);

	if (rc == SQLITE_OK && n > 0)
		sum_error(rep, "sums by time that differ from the ledger:", (int64_t)n);
	return db_err(rc);
}

static int count_quarantined(sqlite3 *db, struct verify_report *rep)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db, "SELECT count(*) FROM journal_quarantine", &st);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		rep->quarantined = (uint64_t)sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW ? BUR_OK : db_err(rc);
}

int ledger_verify(struct sqlite3 *db, int (*price)(void *ctx, const struct ledger_row *), void *ctx,
		  struct verify_report *ret)
{
	struct verify v = {.rep = ret, .price = price, .ctx = ctx};
	struct seal_report seals;
	int r;

	*ret = (struct verify_report){0};
	r = db_err(db_exec(db, "BEGIN")); /* one state for all that follows */
	if (r < 0)
		return r;
	r = seal_verify(db, 0, check_row, &v, &seals);
	ret->rows = seals.rows;
	ret->seals = seals.seals;
	ret->seal_errors = seals.errors;
	if (seals.errors > 0)
		memcpy(ret->first_error, seals.first_error, sizeof ret->first_error);
	if (r == BUR_OK)
		r = check_meters(db, ret);
	if (r == BUR_OK)
		r = check_corrections(db, ret);
	if (r == BUR_OK)
		r = check_rollups(db, ret);
	if (r == BUR_OK)
		r = count_quarantined(db, ret);
	db_rollback(db);
	return r;
}

/* --- price books -------------------------------------------------------------------------------------------------- */

int ledger_price_book(struct sqlite3 *db, uint32_t version, char **ret_json, size_t *ret_n)
{
	sqlite3_stmt *st = NULL;
	const char *text;
	char *copy;
	size_t n;
	int rc = db_prepare(db, "SELECT json FROM price_book WHERE version=?1", &st), r;

	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 1, version);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	r = rc == SQLITE_DONE ? BUR_NOTFOUND : rc == SQLITE_ROW ? BUR_OK : db_err(rc);
	if (r < 0)
		goto out;
	text = (const char *)sqlite3_column_text(st, 0);
	n = (size_t)sqlite3_column_bytes(st, 0);
	copy = text ? malloc(n + 1) : NULL;
	if (!copy) {
		r = BUR_NOMEM;
		goto out;
	}
	memcpy(copy, text, n + 1);
	*ret_json = copy;
	*ret_n = n;
out:
	(void)sqlite3_finalize(st);
	return r;
}
