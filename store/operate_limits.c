/* Limits and credits: see operate.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/calendar.h"
#include "base/check.h"
#include "base/error.h"
#include "store/operate_internal.h"

#define CONFIG_ACTOR "configuration"

/* --- limits ------------------------------------------------------------------------------------------------------- */

struct known_limit {
	bool found;
	int unit;
	int64_t configured, limit;
};

static int find_limit(sqlite3 *db, struct slice budget, struct known_limit *ret)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db, "SELECT unit,configured_n,limit_n FROM limit_change WHERE budget=?1", &st);

	*ret = (struct known_limit){.found = false};
	if (rc != SQLITE_OK)
		return db_err(rc);
	operate_bind(st, 1, budget);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*ret = (struct known_limit){.found = true,
					    .unit = sqlite3_column_int(st, 0),
					    .configured = sqlite3_column_int64(st, 1),
					    .limit = sqlite3_column_int64(st, 2)};
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? BUR_OK : db_err(rc);
}

static int set_limit(sqlite3 *db, const struct operate_limit *l, int64_t ts_ns)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db,
			    "INSERT INTO limit_change(budget,unit,configured_n,limit_n,ts) VALUES(?1,?2,?3,?4,?5)"
			    " ON CONFLICT(budget) DO UPDATE SET unit=?2,configured_n=?3,limit_n=?4,ts=?5",
			    &st);

	if (rc != SQLITE_OK)
		return db_err(rc);
	operate_bind(st, 1, l->budget);
	(void)sqlite3_bind_int(st, 2, l->unit);
	(void)sqlite3_bind_int64(st, 3, l->configured);
	(void)sqlite3_bind_int64(st, 4, l->limit);
	(void)sqlite3_bind_int64(st, 5, ts_ns);
	rc = db_run(st);
	(void)sqlite3_finalize(st);
	return db_err(rc);
}

/* Does what is noted belong to the budget as it is configured now? */
static bool limit_holds(const struct known_limit *k, const struct operate_limit *l)
{
	return k->found && k->unit == l->unit && k->configured == l->configured;
}

static int apply_limit(struct change *j, sqlite3 *db, void *arg)
{
	const struct operate_limit *l = arg;
	struct known_limit known;
	int r = find_limit(db, l->budget, &known);

	if (r < 0)
		return r;
	(void)operate_words(l->unit, limit_holds(&known, l) ? known.limit : l->configured, j->ret->before);
	(void)operate_words(l->unit, l->limit, j->ret->after);
	return set_limit(db, l, j->op->now_ns);
}

int operate_limits_read(struct sqlite3 *db, struct operate_limit *list, size_t n)
{
	struct known_limit known;
	int r = BUR_OK;

	for (size_t i = 0; i < n && r == BUR_OK; i++) {
		r = find_limit(db, list[i].budget, &known);
		list[i].limit = r == BUR_OK && limit_holds(&known, &list[i]) ? known.limit : list[i].configured;
	}
	return r;
}

int operate_limit(struct store *s, const struct operation *op, const struct operate_limit *l, struct operated *ret,
		  int64_t *ret_in_force)
{
	struct operate_limit copy = *l;
	struct change j = {.store = s, .op = op, .action = "limit", .apply = apply_limit, .arg = &copy, .ret = ret};
	int64_t what[] = {l->unit, l->limit};
	sqlite3 *db = NULL;
	int r;

	if (l->limit <= 0 || l->limit > OPERATE_AMOUNT_MAX || l->budget.n == 0 ||
	    !operate_object(&j, l->budget, SLICE_NONE))
		return BUR_INVALID;
	r = operate_run(&j, what, sizeof what);
	*ret_in_force = l->limit;
	if (r < 0 || !ret->repeated)
		return r;
	r = store_reader(s, &db);
	if (r == BUR_OK)
		r = operate_limits_read(db, &copy, 1);
	(void)sqlite3_close(db);
	*ret_in_force = copy.limit;
	return r;
}

struct limits_job {
	struct operate_limit *list;
	size_t n;
	int64_t now_ns;
	struct {
		int64_t before, by_hand;
		bool edited;
	} * changes;
};

/* The configuration's own limit is another than it was. */
static int note_edit(sqlite3 *db, const struct limits_job *l, const struct operate_limit *now,
		     const struct known_limit *known)
{
	char before[AMOUNT_WORDS_MAX], after[AMOUNT_WORDS_MAX];
	const struct audit_entry e = {.ts_ns = l->now_ns,
				      .actor = SLICE(CONFIG_ACTOR),
				      .action = SLICE("limit"),
				      .object = now->budget,
				      .reason = known->limit != known->configured
						    ? SLICE("the configuration was edited: the limit set by hand ends")
						    : SLICE("the configuration was edited"),
				      .before = slice_of(operate_words(known->unit, known->limit, before)),
				      .after = slice_of(operate_words(now->unit, now->configured, after))};
	int64_t seq;

	return audit_append(db, &e, &seq);
}

static int begin_limits(sqlite3 *db, void *arg)
{
	struct limits_job *l = arg;
	struct known_limit known;
	int r = BUR_OK;

	for (size_t i = 0; i < l->n && r == BUR_OK; i++) {
		struct operate_limit *now = &l->list[i];

		l->changes[i].edited = false;
		r = find_limit(db, now->budget, &known);
		if (r < 0)
			break;
		now->limit = limit_holds(&known, now) ? known.limit : now->configured;
		if (limit_holds(&known, now))
			continue;
		if (known.found) {
			l->changes[i].edited = true;
			l->changes[i].before = known.configured;
			l->changes[i].by_hand = known.limit != known.configured ? known.limit : 0;
			r = note_edit(db, l, now, &known);
		}
		if (r == BUR_OK)
			r = set_limit(db, now, l->now_ns);
	}
	return r;
}

int operate_limits_begin(struct store *s, struct operate_limit *list, size_t n, int64_t now_ns,
			 void (*told)(void *ctx, const struct operate_limit *, int64_t before, int64_t by_hand),
			 void *ctx)
{
	struct limits_job l = {.list = list, .n = n, .now_ns = now_ns};
	int r;

	if (n == 0)
		return BUR_OK;
	l.changes = calloc(n, sizeof *l.changes);
	if (!l.changes)
		return BUR_NOMEM;
	r = store_execute(s, begin_limits, &l);
	for (size_t i = 0; i < n && r == BUR_OK && told; i++)
		if (l.changes[i].edited)
			told(ctx, &list[i], l.changes[i].before, l.changes[i].by_hand);
	free(l.changes);
	return r;
}

static int amount_of_words(struct slice words, int64_t *ret)
{
	enum amount_unit unit;

	return amount_parse_limit(words, &unit, ret);
}

int operate_limit_at(struct sqlite3 *db, struct slice budget, int64_t ts_ns, int64_t fallback, int64_t *ret)
{
	struct known_limit noted;
	bool known;
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db,
			    "SELECT * FROM (SELECT after FROM audit WHERE action='limit' AND object=?1 AND ts<?2"
			    " ORDER BY seq DESC LIMIT 1) UNION ALL SELECT * FROM (SELECT before FROM audit WHERE"
			    " action='limit' AND object=?1 AND ts>=?2 ORDER BY seq LIMIT 1)",
			    &st),
	    r;

	if (rc != SQLITE_OK)
		return db_err(rc);
	operate_bind(st, 1, budget);
	(void)sqlite3_bind_int64(st, 2, ts_ns);
	rc = sqlite3_step(st);
	known = rc == SQLITE_ROW && amount_of_words(operate_column(st, 0), ret) == BUR_OK;
	(void)sqlite3_finalize(st);
	if (known || (rc != SQLITE_ROW && rc != SQLITE_DONE))
		return known ? BUR_OK : db_err(rc);
	r = find_limit(db, budget, &noted); /* never changed: as it was when a server began */
	*ret = r == BUR_OK && noted.found ? noted.limit : fallback;
	return r;
}

/* --- credits ------------------------------------------------------------------------------------------------------ */

static int insert_credit(struct change *j, sqlite3 *db, struct operate_credit *c)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db,
			    "INSERT INTO credit(budget,scope,unit,amount_n,win_start,expires_s,carry,ts)"
			    " VALUES(?1,?2,?3,?4,?5,?6,?7,?8)",
			    &st);

	if (rc != SQLITE_OK)
		return db_err(rc);
	operate_bind(st, 1, c->budget);
	operate_bind(st, 2, c->scope);
	(void)sqlite3_bind_int(st, 3, c->unit);
	(void)sqlite3_bind_int64(st, 4, c->amount);
	(void)sqlite3_bind_int64(st, 5, c->win_start);
	(void)sqlite3_bind_int64(st, 6, c->expires_s);
	(void)sqlite3_bind_int(st, 7, c->carry_over);
	(void)sqlite3_bind_int64(st, 8, j->op->now_ns);
	rc = db_run(st);
	(void)sqlite3_finalize(st);
	c->id = sqlite3_last_insert_rowid(db);
	return db_err(rc);
}

#define UNTIL_MAX 64

/* "until 2026-11-28T00:00:00Z" */
static const char *until_words(int64_t unix_s, char dst[UNTIL_MAX])
{
	int64_t day = unix_s / 86400, year;
	int month, mday, left = (int)(unix_s % 86400);

	civil_from_days(day, &year, &month, &mday);
	(void)snprintf(dst, UNTIL_MAX, "until %04lld-%02d-%02dT%02d:%02d:%02dZ", (long long)year, month, mday,
		       left / 3600, left / 60 % 60, left % 60);
	return dst;
}

static int apply_credit(struct change *j, sqlite3 *db, void *arg)
{
	struct operate_credit *c = arg;
	char sum[AMOUNT_WORDS_MAX], more[AMOUNT_WORDS_MAX], until[UNTIL_MAX];
	int64_t after;
	int n;

	if (__builtin_add_overflow(c->before, c->amount, &after))
		return BUR_INVALID;
	(void)operate_words(c->unit, c->before, j->ret->before);
	(void)operate_words(c->unit, after, sum);
	(void)operate_words(c->unit, c->amount, more);
	n = snprintf(j->ret->after, sizeof j->ret->after, "%s: %s more %s%s", sum, more,
		     c->expires_s != OPERATE_NEVER ? until_words(c->expires_s, until)
		     : c->carry_over               ? "until it is used"
						   : "for this window",
		     c->carry_over && c->expires_s != OPERATE_NEVER ? ", carried over" : "");
	CHECK(n > 0 && (size_t)n < sizeof j->ret->after);
	return insert_credit(j, db, c);
}

int operate_credit(struct store *s, const struct operation *op, struct operate_credit *c, struct operated *ret)
{
	struct change j = {.store = s, .op = op, .action = "credit", .apply = apply_credit, .arg = c, .ret = ret};
	int64_t what[] = {c->unit, c->amount, c->carry_over, c->expires_s == OPERATE_NEVER};

	if (c->amount <= 0 || c->amount > OPERATE_AMOUNT_MAX || c->budget.n == 0 ||
	    !operate_object(&j, c->budget, c->scope))
		return BUR_INVALID;
	return operate_run(&j, what, sizeof what);
}

struct undo {
	struct change job;
	const struct operate_credit *credit;
};

static int undo_credit(sqlite3 *db, void *arg)
{
	const struct undo *u = arg;
	const struct operate_credit *c = u->credit;
	char before[AMOUNT_WORDS_MAX], after[AMOUNT_WORDS_MAX];
	sqlite3_stmt *st = NULL;
	int64_t seq, sum = 0;
	int rc = db_prepare(db, "DELETE FROM credit WHERE id=?1", &st), r;

	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 1, c->id);
	if (rc == SQLITE_OK)
		rc = db_run(st);
	(void)sqlite3_finalize(st);
	st = NULL;
	if (rc == SQLITE_OK)
		rc = db_prepare(db, "DELETE FROM operation WHERE id=?1", &st);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_blob(st, 1, u->job.id, sizeof u->job.id, SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = db_run(st);
	(void)sqlite3_finalize(st);
	r = db_err(rc);
	(void)__builtin_add_overflow(c->before, c->amount, &sum);
	return r < 0 ? r
		     : operate_log(db, &u->job, "credit.undone", operate_words(c->unit, sum, before),
				   operate_words(c->unit, c->before, after), &seq);
}

int operate_credit_undo(struct store *s, const struct operation *op, const struct operate_credit *c)
{
	struct operated none;
	struct undo u = {.job = {.store = s, .op = op, .action = "credit", .ret = &none}, .credit = c};
	int r;

	if (!operate_object(&u.job, c->budget, c->scope))
		return BUR_INVALID;
	r = operate_begin(&u.job, NULL, 0);
	return r == BUR_OK ? store_execute(s, undo_credit, &u) : r;
}

int operate_each_credit(struct sqlite3 *db, int (*visit)(void *ctx, const struct operate_credit *), void *ctx)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db,
			    "SELECT id,budget,scope,unit,amount_n,win_start,expires_s,carry,ts FROM credit"
			    " ORDER BY budget,scope,id",
			    &st),
	    r = BUR_OK;

	while (rc == SQLITE_OK && r == BUR_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		const struct operate_credit c = {.id = sqlite3_column_int64(st, 0),
						 .budget = operate_column(st, 1),
						 .scope = operate_column(st, 2),
						 .unit = sqlite3_column_int(st, 3),
						 .amount = sqlite3_column_int64(st, 4),
						 .win_start = sqlite3_column_int64(st, 5),
						 .expires_s = sqlite3_column_int64(st, 6),
						 .carry_over = sqlite3_column_int(st, 7) != 0,
						 .granted_ns = sqlite3_column_int64(st, 8)};

		r = visit(ctx, &c);
		rc = SQLITE_OK;
	}
	(void)sqlite3_finalize(st);
	return r < 0 ? r : rc == SQLITE_DONE || rc == SQLITE_OK ? BUR_OK : db_err(rc);
}

struct left_job {
	const struct operate_credit *list;
	size_t n;
};

static int put_left(sqlite3 *db, void *arg)
{
	const struct left_job *l = arg;
	sqlite3_stmt *gone = NULL, *set = NULL;
	int rc = db_prepare(db, "DELETE FROM credit WHERE id=?1", &gone);

	if (rc == SQLITE_OK)
		rc = db_prepare(db, "UPDATE credit SET amount_n=?2,win_start=?3 WHERE id=?1", &set);
	for (size_t i = 0; i < l->n && rc == SQLITE_OK; i++) {
		const struct operate_credit *c = &l->list[i];
		sqlite3_stmt *st = c->amount > 0 ? set : gone;

		(void)sqlite3_bind_int64(st, 1, c->id);
		if (c->amount > 0) {
			(void)sqlite3_bind_int64(st, 2, c->amount);
			(void)sqlite3_bind_int64(st, 3, c->win_start);
		}
		rc = db_run(st);
	}
	(void)sqlite3_finalize(gone);
	(void)sqlite3_finalize(set);
	return db_err(rc);
}

int operate_credits_left(struct store *s, const struct operate_credit *list, size_t n)
{
	struct left_job l = {list, n};

	return n > 0 ? store_execute(s, put_left, &l) : BUR_OK;
}

int operate_each_spent(struct sqlite3 *db, uint64_t meter_uid, int64_t from_s, int64_t to_s,
		       int (*visit)(void *ctx, int64_t win_start, int64_t posted), void *ctx)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db,
			    "SELECT win_start,posted_n FROM meter WHERE meter_uid=?1 AND win_start>=?2"
			    " AND win_start<?3 ORDER BY win_start",
			    &st),
	    r = BUR_OK;

	if (rc != SQLITE_OK)
		return db_err(rc);
	(void)sqlite3_bind_int64(st, 1, (int64_t)meter_uid);
	(void)sqlite3_bind_int64(st, 2, from_s);
	(void)sqlite3_bind_int64(st, 3, to_s);
	while (r == BUR_OK && (rc = sqlite3_step(st)) == SQLITE_ROW)
		r = visit(ctx, sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1));
	(void)sqlite3_finalize(st);
	return r < 0 ? r : rc == SQLITE_DONE || rc == SQLITE_ROW ? BUR_OK : db_err(rc);
}

int operate_spent_before(struct sqlite3 *db, uint64_t meter_uid, int64_t win_start, int64_t ts_ns, int64_t *ret)
{
	sqlite3_stmt *st = NULL;
	/* a seal is never younger than its rows: none up to the last one before the window can be of it */
	int rc = db_prepare(db,
			    "SELECT coalesce(sum(amount),0) FROM posting JOIN ledger USING(seq) WHERE seq>coalesce("
			    "(SELECT seq_to FROM ledger_seal WHERE ts<?3 ORDER BY ts DESC, seq_to DESC LIMIT 1),0)"
			    " AND meter_uid=?1 AND win_start=?2 AND ts_admit<?4",
			    &st);

	*ret = 0;
	if (rc != SQLITE_OK)
		return db_err(rc);
	(void)sqlite3_bind_int64(st, 1, (int64_t)meter_uid);
	(void)sqlite3_bind_int64(st, 2, win_start);
	(void)sqlite3_bind_int64(st, 3, win_start > INT64_MAX / 1000000000 ? INT64_MAX : win_start * 1000000000);
	(void)sqlite3_bind_int64(st, 4, ts_ns);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW ? BUR_OK : db_err(rc);
}
