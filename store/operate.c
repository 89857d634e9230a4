#include "store/operate_internal.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/json.h"

#define IDS_KEPT 100000 /* ids that are remembered; far more than people change by hand */

/* --- amounts as texts --------------------------------------------------------------------------------------------- */

const char *operate_words(int unit, int64_t v, char dst[AMOUNT_WORDS_MAX])
{
	char usd[AMOUNT_TEXT_MAX];

	if (unit == UNIT_USD)
		(void)snprintf(dst, AMOUNT_WORDS_MAX, "%s USD", amount_format_usd(v, usd));
	else
		(void)snprintf(dst, AMOUNT_WORDS_MAX, "%lld %s", (long long)v,
			       unit == UNIT_TOKENS ? "tokens" : "requests");
	return dst;
}

/* --- one change: an id, the change itself, its row in the log ----------------------------------------------------- */

static void hash_part(EVP_MD_CTX *ctx, const void *p, size_t n)
{
	uint64_t bytes = n;

	CHECK(EVP_DigestUpdate(ctx, &bytes, sizeof bytes) == 1);
	CHECK(n == 0 || EVP_DigestUpdate(ctx, p, n) == 1);
}

/* What is asked for, so that an id is not taken for another change. The time and what was before are no part of it. */
static void hash_request(const struct change *j, const void *what, size_t n, uint8_t ret[16])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t hash[HASH_BYTES];

	CHECK(ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1);
	hash_part(ctx, j->action, strlen(j->action));
	hash_part(ctx, j->object, strlen(j->object));
	hash_part(ctx, j->op->reason.p, j->op->reason.n);
	hash_part(ctx, what, n);
	CHECK(EVP_DigestFinal_ex(ctx, hash, NULL) == 1);
	EVP_MD_CTX_free(ctx);
	memcpy(ret, hash, 16);
}

/* BUR_NOTFOUND: the id is new. */
static int find_id(sqlite3 *db, struct change *j)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db,
			    "SELECT request,audit_seq,a.before,a.after FROM operation JOIN audit a ON a.seq=audit_seq"
			    " WHERE id=?1",
			    &st),
	    r;

	if (rc == SQLITE_OK)
		rc = sqlite3_bind_blob(st, 1, j->id, sizeof j->id, SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	r = rc == SQLITE_DONE ? BUR_NOTFOUND : rc == SQLITE_ROW ? BUR_OK : db_err(rc);
	if (r == BUR_OK && (sqlite3_column_bytes(st, 0) != (int)sizeof j->request ||
			    memcmp(sqlite3_column_blob(st, 0), j->request, sizeof j->request) != 0))
		r = BUR_ALREADY;
	if (r == BUR_OK) {
		*j->ret = (struct operated){.repeated = true, .audit_seq = sqlite3_column_int64(st, 1)};
		(void)slice_to_cstr(operate_column(st, 2), j->ret->before, sizeof j->ret->before);
		(void)slice_to_cstr(operate_column(st, 3), j->ret->after, sizeof j->ret->after);
	}
	(void)sqlite3_finalize(st);
	return r;
}

static int note_id(sqlite3 *db, const struct change *j)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db, "INSERT INTO operation(id,request,audit_seq) VALUES(?1,?2,?3)", &st);

	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_blob(st, 1, j->id, sizeof j->id, SQLITE_STATIC);
		(void)sqlite3_bind_blob(st, 2, j->request, sizeof j->request, SQLITE_STATIC);
		(void)sqlite3_bind_int64(st, 3, j->ret->audit_seq);
		rc = db_run(st);
	}
	(void)sqlite3_finalize(st);
	st = NULL;
	if (rc == SQLITE_OK)
		rc = db_prepare(db, "DELETE FROM operation WHERE audit_seq<?1", &st);
	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_int64(st, 1, j->ret->audit_seq - IDS_KEPT);
		rc = db_run(st);
	}
	(void)sqlite3_finalize(st);
	return db_err(rc);
}

int operate_log(sqlite3 *db, const struct change *j, const char *action, const char *before, const char *after,
		int64_t *ret_seq)
{
	const struct audit_entry e = {.ts_ns = j->op->now_ns,
				      .actor = j->op->actor,
				      .action = slice_of(action),
				      .object = slice_of(j->object),
				      .reason = j->op->reason,
				      .before = slice_of(before),
				      .after = slice_of(after)};

	return audit_append(db, &e, ret_seq);
}

static int run_job(sqlite3 *db, void *arg)
{
	struct change *j = arg;
	int r = find_id(db, j);

	if (r != BUR_NOTFOUND)
		return r;
	r = j->apply(j, db, j->arg);
	if (r == BUR_OK)
		r = operate_log(db, j, j->action, j->ret->before, j->ret->after, &j->ret->audit_seq);
	return r == BUR_OK ? note_id(db, j) : r;
}

/* A commit without an answer may have taken place. What a reader does not see is not there: the next transaction writes
 * over it, and after a crash the database is what counts anyway. */
static int was_written(struct change *j)
{
	sqlite3 *db = NULL;
	int r = store_reader(j->store, &db);

	if (r == BUR_OK)
		r = find_id(db, j);
	(void)sqlite3_close(db);
	j->ret->repeated = false;
	return r == BUR_OK ? BUR_OK : BUR_IO;
}

int operate_begin(struct change *j, const void *what, size_t n)
{
	EVP_MD_CTX *ctx;
	uint8_t hash[HASH_BYTES];

	*j->ret = (struct operated){.repeated = false};
	if (j->op->id.n > OPERATE_ID_MAX)
		return BUR_INVALID;
	hash_request(j, what, n, j->request);
	if (j->op->id.n == 0)
		return RAND_bytes(j->id, sizeof j->id) == 1 ? BUR_OK : BUR_CRYPTO;
	ctx = EVP_MD_CTX_new();
	CHECK(ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1);
	hash_part(ctx, j->op->id.p, j->op->id.n);
	CHECK(EVP_DigestFinal_ex(ctx, hash, NULL) == 1);
	EVP_MD_CTX_free(ctx);
	memcpy(j->id, hash, sizeof j->id);
	return BUR_OK;
}

int operate_run(struct change *j, const void *what, size_t n)
{
	int r = operate_begin(j, what, n);

	if (r == BUR_OK)
		r = store_execute(j->store, run_job, j);
	return r == BUR_IO ? was_written(j) : r;
}

bool operate_object(struct change *j, struct slice budget, struct slice scope)
{
	int n = snprintf(j->object, sizeof j->object, SLICE_FMT "%s" SLICE_FMT, SLICE_ARG(budget), scope.n ? " " : "",
			 SLICE_ARG(scope));

	return n > 0 && (size_t)n < sizeof j->object;
}

/* --- charges ------------------------------------------------------------------------------------------------------ */

static int make_extra(const struct operation *op, struct slice budget, char *dst, size_t size)
{
	char reason[6 * AUDIT_REASON_MAX + 1], actor[6 * AUDIT_ACTOR_MAX + 1], name[6 * 64 + 1];
	char text[AUDIT_REASON_MAX + 1];

	/* the texts were not judged yet: what is too long is cut here and refused by the log in the same transaction */
	(void)slice_to_cstr(op->reason, text, sizeof text);
	(void)json_escape(slice_of(text), reason, sizeof reason);
	(void)slice_to_cstr(op->actor, text, AUDIT_ACTOR_MAX + 1);
	(void)json_escape(slice_of(text), actor, sizeof actor);
	(void)slice_to_cstr(budget, text, 64);
	(void)json_escape(slice_of(text), name, sizeof name);
	return snprintf(dst, size, "{\"reason\":\"%s\",\"actor\":\"%s\"%s%s%s}", reason, actor,
			name[0] ? ",\"budget\":\"" : "", name, name[0] ? "\"" : "");
}
#define EXTRA_MAX (6 * (AUDIT_REASON_MAX + AUDIT_ACTOR_MAX + 64) + 64)

/* What the ledger has for that window. */
static int posted_now(sqlite3 *db, const struct operate_charge *c, int64_t *ret)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db, "SELECT posted_n FROM meter WHERE meter_uid=?1 AND win_start=?2", &st);

	*ret = 0;
	if (rc != SQLITE_OK)
		return db_err(rc);
	(void)sqlite3_bind_int64(st, 1, (int64_t)c->meter_uid);
	(void)sqlite3_bind_int64(st, 2, c->win_start);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? BUR_OK : db_err(rc);
}

static void charge_row(struct row *r, const struct change *j, const struct operate_charge *c, const uint8_t uid[16],
		       struct slice extra)
{
	*r = (struct row){.extra = extra, .n_postings = 1};
	memcpy(r->uid, uid, 16);
	r->postings[0] = (struct posting){
	    .meter_uid = (int64_t)c->meter_uid, .win_start = c->win_start, .amount = c->amount, .unit = c->unit};
	r->v[R_KIND] = c->amount > 0 ? LEDGER_CHARGE : LEDGER_CREDIT;
	r->v[R_TS_ADMIT] = r->v[R_TS_SETTLE] = j->op->now_ns;
	r->v[R_SOURCE] = SOURCE_REPORTED;
	if (c->unit == UNIT_USD)
		r->v[R_AMOUNT] = c->amount;
	else
		r->v[c->unit == UNIT_TOKENS ? R_INPUT : R_REQUESTS] = c->amount;
}

/* The id makes the row's: the same charge again is the same row. */
static void row_uid(const struct change *j, const uint8_t ref[16], uint8_t ret[16])
{
	adjust_uid(ref, j->action, slice_mem((const char *)j->id, sizeof j->id), ret);
}

static int put_row(struct writer *w)
{
	int rc;

	w->n_rows = 1;
	rc = writer_flush(w);
	if (rc == SQLITE_OK && w->rows[0].fresh)
		posts_add(w, &w->rows[0]);
	w->n_rows = 0;
	return db_err(rc);
}

static int apply_charge(struct change *j, sqlite3 *db, void *arg)
{
	static const uint8_t none[16];
	const struct operate_charge *c = arg;
	struct writer *w = &j->store->writer;
	char extra[EXTRA_MAX];
	int64_t before, after;
	uint8_t uid[16];
	int n, r = posted_now(db, c, &before);

	if (r < 0)
		return r;
	if (__builtin_add_overflow(before, c->amount, &after) || after < 0 || after > INT64_MAX / 2)
		return BUR_DENIED;
	(void)operate_words(c->unit, before, j->ret->before);
	(void)operate_words(c->unit, after, j->ret->after);
	n = make_extra(j->op, c->budget, extra, sizeof extra);
	CHECK(n > 0 && (size_t)n < sizeof extra);
	r = db_err(seal_begin(&w->seal, db)); /* for the row's number; the seal itself is made by the caller */
	if (r < 0)
		return r;
	row_uid(j, none, uid);
	charge_row(&w->rows[0], j, c, uid, slice_mem(extra, (size_t)n));
	return put_row(w);
}

int operate_charge(struct store *s, const struct operation *op, const struct operate_charge *c, struct operated *ret,
		   uint8_t ret_uid[16])
{
	static const uint8_t none[16];
	struct operate_charge copy = *c;
	struct change j = {.store = s, .op = op, .action = "charge", .apply = apply_charge, .arg = &copy, .ret = ret};
	int64_t what[] = {c->unit, c->amount};
	int r;

	if (c->amount == 0 || c->amount > OPERATE_AMOUNT_MAX || c->amount < -OPERATE_AMOUNT_MAX || c->budget.n == 0 ||
	    !operate_object(&j, c->budget, c->scope))
		return BUR_INVALID;
	r = store_meter_known(s, c->meter_uid, c->budget, c->scope, c->unit);
	if (r == BUR_OK)
		r = operate_run(&j, what, sizeof what);
	row_uid(&j, none, ret_uid);
	return r;
}

/* --- corrections of calls ----------------------------------------------------------------------------------------- */

/* The difference that is asked for. BUR_INVALID: none. */
static int delta_of(const struct operate_correction *c, const struct adjust_total *t, int64_t *ret)
{
	*ret = c->refund ? -c->nanousd : c->nanousd;
	if (!c->refund && c->is_total && __builtin_sub_overflow(c->nanousd, t->nanousd, ret))
		return BUR_DENIED;
	return *ret == 0 ? BUR_INVALID : BUR_OK;
}

static int apply_correction(struct change *j, sqlite3 *db, void *arg)
{
	const struct operate_correction *ask = arg;
	struct writer *w = &j->store->writer;
	struct adjust_total total;
	char extra[EXTRA_MAX];
	uint8_t uid[16];
	struct correction c = {.uid = uid,
			       .ref_uid = ask->ref_uid,
			       .kind = ask->refund ? LEDGER_REFUND : LEDGER_ADJUST,
			       .now_ns = j->op->now_ns};
	bool found;
	int n, result = BUR_OK, r = db_err(seal_begin(&w->seal, db));

	if (r == BUR_OK)
		r = db_err(adjust_sums(w, ask->ref_uid, &total, &found));
	if (r == BUR_OK && !found)
		r = BUR_NOTFOUND;
	if (r == BUR_OK)
		r = delta_of(ask, &total, &c.nanousd);
	if (r < 0)
		return r;
	n = make_extra(j->op, SLICE_NONE, extra, sizeof extra);
	CHECK(n > 0 && (size_t)n < sizeof extra);
	c.extra = slice_mem(extra, (size_t)n);
	row_uid(j, ask->ref_uid, uid);
	w->n_rows = 0;
	r = db_err(correction_put(w, &c, &result));
	if (r < 0 || result < 0)
		return r < 0 ? r : result;
	(void)operate_words(UNIT_USD, total.all_nanousd, j->ret->before);
	(void)operate_words(UNIT_USD, total.all_nanousd + c.nanousd, j->ret->after); /* was judged not to overflow */
	return BUR_OK;
}

int operate_correct(struct store *s, const struct operation *op, const struct operate_correction *c,
		    struct operated *ret, uint8_t ret_uid[16])
{
	struct operate_correction copy = *c;
	struct change j = {.store = s,
			   .op = op,
			   .action = c->refund ? "refund" : "adjust",
			   .apply = apply_correction,
			   .arg = &copy,
			   .ret = ret};
	int64_t what[] = {c->is_total, c->nanousd};
	int r;

	if (c->nanousd > OPERATE_AMOUNT_MAX || c->nanousd < -OPERATE_AMOUNT_MAX ||
	    ((c->refund || c->is_total) && c->nanousd < 0) || (c->refund && c->nanousd == 0))
		return BUR_INVALID;
	hex_encode(c->ref_uid, sizeof c->ref_uid, j.object);
	r = operate_run(&j, what, sizeof what);
	row_uid(&j, c->ref_uid, ret_uid);
	return r;
}

int operate_row_uid(struct sqlite3 *db, int64_t seq, uint8_t ret[16])
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db, "SELECT uid FROM ledger WHERE seq=?1", &st);

	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 1, seq);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW && sqlite3_column_bytes(st, 0) == 16)
		memcpy(ret, sqlite3_column_blob(st, 0), 16);
	else if (rc == SQLITE_ROW)
		rc = SQLITE_CORRUPT;
	(void)sqlite3_finalize(st);
	return rc == SQLITE_DONE ? BUR_NOTFOUND : rc == SQLITE_ROW ? BUR_OK : db_err(rc);
}
