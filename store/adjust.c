#include "store/adjust.h"

#include <stdio.h>
#include <string.h>

#include "base/amount.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "store/internal.h"

#define ADJUSTS_PER_CALL 1000 /* a call that is corrected more often than this is a loop somewhere */

/* The units stand in one order in the row and in the struct. */
#define UNITS_N (sizeof(struct adjust_units) / sizeof(int64_t))
_Static_assert(R_INPUT + UNITS_N == R_TIER && offsetof(struct adjust_units, searches) / sizeof(int64_t) == UNITS_N - 1,
	       "order of the units");

void store_set_hooks(struct store *s, const struct store_hooks *h)
{
	CHECK(s->magic == STORE_MAGIC && !s->started);
	s->hooks = *h;
}

static void hash_part(EVP_MD_CTX *ctx, const void *p, size_t n)
{
	uint64_t bytes = n; /* first, so that no two lists of parts are the same bytes */

	CHECK(EVP_DigestUpdate(ctx, &bytes, sizeof bytes) == 1);
	CHECK(n == 0 || EVP_DigestUpdate(ctx, p, n) == 1);
}

void adjust_uid(const uint8_t ref_uid[16], const char *cause, struct slice key, uint8_t ret[16])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t hash[HASH_BYTES];

	CHECK(ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1);
	hash_part(ctx, ref_uid, 16);
	hash_part(ctx, cause, strlen(cause));
	hash_part(ctx, key.p, key.n);
	CHECK(EVP_DigestFinal_ex(ctx, hash, NULL) == 1);
	EVP_MD_CTX_free(ctx);
	memcpy(ret, hash, 16);
}

/* Of CALL_SELECT. */
enum call_column {
	COLUMN_KIND,
	COLUMN_AMOUNT,
	COLUMN_UNITS,
	COLUMN_SEQ = COLUMN_UNITS + (int)UNITS_N,
	COLUMN_FLAGS,
	COLUMN_SOURCE,
	COLUMN_EXTRA
};

/* --- sums of a call ----------------------------------------------------------------------------------------------- */

struct sums {
	struct adjust_total total;
	int64_t row_nanousd, refunds_nanousd; /* refunds: 0 or below */
	bool found, overflow;
};

static void sum(struct sums *s, int64_t *to, int64_t v)
{
	if (__builtin_add_overflow(*to, v, to))
		s->overflow = true;
}

static void take_late(struct adjust_total *t, sqlite3_stmt *st)
{
	const unsigned char *extra = sqlite3_column_text(st, COLUMN_EXTRA);
	int64_t seq = sqlite3_column_int64(st, COLUMN_SEQ), flags = sqlite3_column_int64(st, COLUMN_FLAGS);
	size_t n = extra ? (size_t)sqlite3_column_bytes(st, COLUMN_EXTRA) : 0;

	if (!(flags & ROW_LATE) || seq < t->late_seq)
		return;
	t->late_seq = seq;
	t->late_flags = (uint32_t)flags;
	t->late_source = sqlite3_column_int(st, COLUMN_SOURCE);
	if (n >= sizeof t->late_extra)
		n = 0;
	if (n > 0)
		memcpy(t->late_extra, extra, n);
	t->late_extra[n] = '\0';
}

/* The columns of CALL_SELECT. */
static void sums_take(struct sums *s, sqlite3_stmt *st)
{
	int64_t kind = sqlite3_column_int64(st, COLUMN_KIND), units[UNITS_N],
		amount = sqlite3_column_int64(st, COLUMN_AMOUNT);

	sum(s, &s->total.all_nanousd, amount);
	if (kind == LEDGER_SPEND || kind == LEDGER_ADJUST)
		sum(s, &s->total.nanousd, amount);
	if (kind == LEDGER_REFUND)
		sum(s, &s->refunds_nanousd, amount);
	if (kind == LEDGER_SPEND) {
		s->found = true;
		s->row_nanousd = amount;
	} else {
		s->total.n_adjusts++;
		take_late(&s->total, st);
	}
	memcpy(units, &s->total.units, sizeof units);
	for (size_t i = 0; i < UNITS_N; i++)
		sum(s, &units[i], sqlite3_column_int64(st, COLUMN_UNITS + (int)i));
	memcpy(&s->total.units, units, sizeof units);
}

static int sums_read(sqlite3_stmt *st, const uint8_t uid[16], struct sums *ret)
{
	int rc;

	*ret = (struct sums){.found = false};
	(void)sqlite3_bind_blob(st, 1, uid, 16, SQLITE_STATIC);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		sums_take(ret, st);
	(void)sqlite3_reset(st);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int adjust_sums(struct writer *w, const uint8_t uid[16], struct adjust_total *ret, bool *ret_found)
{
	struct sums s;
	int rc = sums_read(w->st[W_CALL_OF], uid, &s);

	*ret = s.total;
	*ret_found = s.found && !s.overflow;
	return rc;
}

int adjust_total(struct sqlite3 *reader, const uint8_t uid[16], struct adjust_total *ret)
{
	sqlite3_stmt *st = NULL;
	struct sums s = {.found = false};
	int rc = db_prepare(reader, CALL_SELECT, &st);

	if (rc == SQLITE_OK)
		rc = sums_read(st, uid, &s);
	(void)sqlite3_finalize(st);
	if (rc != SQLITE_OK)
		return BUR_IO;
	*ret = s.total;
	return s.found ? BUR_OK : BUR_NOTFOUND;
}

/* --- one correction ----------------------------------------------------------------------------------------------- */

int adjust_known(struct writer *w, const uint8_t uid[16], bool *ret)
{
	sqlite3_stmt *st = w->st[W_UID];
	int rc;

	(void)sqlite3_bind_blob(st, 1, uid, 16, SQLITE_STATIC);
	rc = sqlite3_step(st);
	*ret = rc == SQLITE_ROW;
	(void)sqlite3_reset(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* The row that is corrected, without its texts and postings. */
static int find_row(struct writer *w, const uint8_t uid[16], struct row *ret, bool *ret_found)
{
	sqlite3_stmt *st = w->st[W_ROW_OF];
	int rc;

	(void)sqlite3_bind_blob(st, 1, uid, 16, SQLITE_STATIC);
	rc = sqlite3_step(st);
	*ret_found = rc == SQLITE_ROW;
	if (rc == SQLITE_ROW)
		row_read(st, ret);
	ret->extra = SLICE_NONE;
	memset(ret->names, 0, sizeof ret->names);
	(void)sqlite3_reset(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int64_t posting_delta(const struct correction *c, int unit, bool *overflow)
{
	int64_t tokens = 0;

	switch (unit) {
	case UNIT_TOKENS:
		if (__builtin_add_overflow(c->units.input_tokens, c->units.output_tokens, &tokens))
			*overflow = true;
		return tokens;
	case UNIT_REQUESTS:
		return c->units.requests;
	default:
		return c->nanousd;
	}
}

/* To the counters and windows of the row `seq`, whatever has become of them since. */
static int take_postings(struct writer *w, const struct correction *c, int64_t seq, struct row *r, bool *overflow)
{
	sqlite3_stmt *st = w->st[W_POSTINGS_OF];
	int rc;

	r->n_postings = 0;
	(void)sqlite3_bind_int64(st, 1, seq);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW && r->n_postings < ROW_POSTINGS_MAX) {
		int unit = sqlite3_column_int(st, 2);

		r->postings[r->n_postings++] = (struct posting){.meter_uid = sqlite3_column_int64(st, 0),
								.win_start = sqlite3_column_int64(st, 1),
								.amount = posting_delta(c, unit, overflow),
								.unit = unit};
	}
	(void)sqlite3_reset(st);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static bool sign_fits(const struct correction *c)
{
	switch (c->kind) {
	case LEDGER_SPEND:
		return c->nanousd >= 0;
	case LEDGER_ADJUST:
		return true;
	case LEDGER_REFUND:
	case LEDGER_CREDIT:
		return c->nanousd < 0;
	case LEDGER_CHARGE:
		return c->nanousd > 0;
	default:
		return false;
	}
}

/* No sum of a call is ever below nothing, and no refund is more than what was paid. */
static bool sums_allow(const struct sums *s, const struct correction *c)
{
	int64_t have[UNITS_N], more[UNITS_N], v;

	if (c->kind == LEDGER_SPEND)
		return true; /* a call of its own */
	if (s->overflow || s->total.n_adjusts >= ADJUSTS_PER_CALL)
		return false;
	if (__builtin_add_overflow(s->total.all_nanousd, c->nanousd, &v) || v < 0)
		return false;
	if (__builtin_add_overflow(s->total.nanousd, c->nanousd, &v))
		return false;
	if (c->kind == LEDGER_REFUND &&
	    (__builtin_add_overflow(s->refunds_nanousd, c->nanousd, &v) || v < -s->row_nanousd))
		return false;
	memcpy(have, &s->total.units, sizeof have);
	memcpy(more, &c->units, sizeof more);
	for (size_t i = 0; i < UNITS_N; i++)
		if (__builtin_add_overflow(have[i], more[i], &v) || v < 0)
			return false;
	return true;
}

static void make_row(struct row *r, const struct correction *c)
{
	memcpy(r->uid, c->uid, sizeof r->uid);
	memcpy(r->ref_uid, c->ref_uid, sizeof r->ref_uid);
	r->has_ref = c->kind != LEDGER_SPEND;
	r->malformed = r->charged = false;
	r->late_key = 0;
	r->extra = c->extra;
	r->v[R_KIND] = c->kind;
	r->v[R_TS_SETTLE] = c->now_ns;
	r->v[R_AMOUNT] = c->nanousd;
	r->v[R_WORST] = 0;
	r->v[R_FLAGS] = c->flags;
	if (c->source != 0)
		r->v[R_SOURCE] = c->source;
	if (c->price_version != 0)
		r->v[R_PRICE_VERSION] = c->price_version;
	memcpy(&r->v[R_INPUT], &c->units, sizeof c->units);
}

/* Whether it may be written; *ret is then the row it refers to. SQLite's code. */
static int judge(struct writer *w, const struct correction *c, struct row *ret, int *ret_result)
{
	struct sums s;
	bool known, found = false;
	int rc = adjust_known(w, c->uid, &known);

	if (rc == SQLITE_OK && !known)
		rc = find_row(w, c->ref_uid, ret, &found);
	if (rc == SQLITE_OK && found)
		rc = sums_read(w->st[W_CALL_OF], c->ref_uid, &s);
	if (rc != SQLITE_OK)
		return rc;
	*ret_result = known                                                               ? BUR_ALREADY
		      : !found                                                            ? BUR_NOTFOUND
		      : ret->malformed || ret->v[R_KIND] != LEDGER_SPEND || !sign_fits(c) ? BUR_INVALID
		      : !sums_allow(&s, c)                                                ? BUR_DENIED
											  : BUR_OK;
	return SQLITE_OK;
}

int correction_put(struct writer *w, const struct correction *c, int *ret_result)
{
	struct row *r = &w->rows[0];
	bool overflow = false;
	int rc = judge(w, c, r, ret_result);

	CHECK(w->n_rows == 0);
	if (rc != SQLITE_OK || *ret_result != BUR_OK)
		return rc;
	rc = take_postings(w, c, r->seq, r, &overflow);
	if (rc != SQLITE_OK || overflow) {
		*ret_result = BUR_DENIED;
		return rc;
	}
	make_row(r, c);
	w->n_rows = 1;
	rc = writer_flush(w);
	if (rc == SQLITE_OK && r->fresh)
		posts_add(w, r);
	w->n_rows = 0;
	return rc;
}

/* --- what the engine is told -------------------------------------------------------------------------------------- */

void posts_add(struct writer *w, const struct row *r)
{
	struct post_row *p = &w->posts[w->n_posts];

	CHECK(w->n_posts < POSTS_MAX);
	w->n_posts++;
	memcpy(p->uid, r->uid, sizeof p->uid);
	p->n = r->n_postings;
	memcpy(p->at, r->postings, r->n_postings * sizeof p->at[0]);
}

static void post_deliver(struct store *s, const struct post_row *p)
{
	for (size_t i = 0; i < p->n && s->hooks.post; i++) {
		if (p->at[i].amount != 0)
			s->hooks.post(s->hooks.ctx, (uint64_t)p->at[i].meter_uid, p->at[i].win_start, p->at[i].amount);
	}
}

void posts_committed(struct store *s)
{
	struct writer *w = &s->writer;

	for (size_t i = 0; i < w->n_posts; i++)
		post_deliver(s, &w->posts[i]);
	w->n_posts = 0;
}

/* The commit may have taken place all the same: known when the next transaction looks. */
void posts_failed(struct writer *w)
{
	struct post_row *swap = w->unsure;

	if (w->n_posts == 0)
		return; /* an older doubt stays */
	CHECK(w->n_unsure == 0);
	w->unsure = w->posts;
	w->n_unsure = w->n_posts;
	w->posts = swap;
	w->n_posts = 0;
}

int posts_resolve(struct store *s)
{
	struct writer *w = &s->writer;
	int rc = SQLITE_OK;

	while (w->n_unsure > 0 && rc == SQLITE_OK) {
		bool known;

		rc = adjust_known(w, w->unsure[w->n_unsure - 1].uid, &known);
		if (rc != SQLITE_OK)
			break;
		w->n_unsure--;
		if (known)
			post_deliver(s, &w->unsure[w->n_unsure]);
	}
	return rc;
}

/* --- corrections by people and commands --------------------------------------------------------------------------- */

struct adjust_job {
	struct store *store;
	struct adjustment *list;
	size_t n;
};

static bool text_given(const char *text, size_t size)
{
	return text[0] != '\0' && memchr(text, '\0', size) != NULL;
}

static int put_one(struct store *s, struct adjustment *a)
{
	char reason[6 * sizeof a->reason], actor[6 * sizeof a->actor], extra[sizeof reason + sizeof actor + 32];
	struct correction c = {.uid = a->uid,
			       .ref_uid = a->ref_uid,
			       .kind = a->kind,
			       .nanousd = a->nanousd,
			       .units = a->units,
			       .price_version = a->price_version,
			       .now_ns = clock_wall_ns()};
	int n;

	if (!text_given(a->reason, sizeof a->reason) || !text_given(a->actor, sizeof a->actor) ||
	    a->kind == LEDGER_SPEND) {
		a->result = BUR_INVALID;
		return SQLITE_OK;
	}
	(void)json_escape(slice_of(a->reason), reason, sizeof reason);
	(void)json_escape(slice_of(a->actor), actor, sizeof actor);
	n = snprintf(extra, sizeof extra, "{\"reason\":\"%s\",\"actor\":\"%s\"}", reason, actor);
	CHECK(n > 0 && (size_t)n < sizeof extra);
	c.extra = slice_mem(extra, (size_t)n);
	return correction_put(&s->writer, &c, &a->result);
}

static int put_all(sqlite3 *db, void *arg)
{
	struct adjust_job *j = arg;
	struct writer *w = &j->store->writer;
	int rc = seal_begin(&w->seal, db); /* for the rows' numbers; the seal itself is made by the caller */

	w->n_rows = 0;
	for (size_t i = 0; i < j->n && rc == SQLITE_OK; i++)
		rc = put_one(j->store, &j->list[i]);
	return db_err(rc);
}

int store_adjust(struct store *s, struct adjustment *list, size_t n)
{
	struct adjust_job j = {.store = s, .list = list, .n = n};
	int r;

	_Static_assert(ADJUST_MANY_MAX <= POSTS_MAX, "each may post");
	if (n > ADJUST_MANY_MAX)
		return BUR_TOOBIG;
	r = n > 0 ? store_execute(s, put_all, &j) : BUR_OK;
	return r == BUR_OK ? BUR_OK : BUR_IO;
}
