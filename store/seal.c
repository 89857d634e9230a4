#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "store/internal.h"

/* --- canonical bytes ---------------------------------------------------------------------------------------------- */

/* Numbers as zigzag varints: every field is self-delimiting, so no two rows have the same bytes. */
static char *put(char *p, int64_t v)
{
	uint64_t z = (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0);

	for (; z >= 0x80; z >>= 7)
		*p++ = (char)(z | 0x80);
	*p++ = (char)z;
	return p;
}

static void digest(EVP_MD_CTX *ctx, const void *p, size_t n)
{
	CHECK(EVP_DigestUpdate(ctx, p, n) == 1);
}

static void digest_row(EVP_MD_CTX *ctx, const struct row *r)
{
	char mem[64 + 10 * (R_INTS + 3) + 30 * ROW_POSTINGS_MAX], *p = mem;

	memcpy(p, r->uid, 16);
	p = put(p + 16, r->has_ref);
	if (r->has_ref) {
		memcpy(p, r->ref_uid, 16);
		p += 16;
	}
	p = put(p, r->seq);
	for (int i = 0; i < R_INTS; i++)
		p = put(p, r->v[i]);
	p = put(p, (int64_t)r->n_postings);
	for (size_t i = 0; i < r->n_postings; i++) {
		p = put(p, r->postings[i].meter_uid);
		p = put(p, r->postings[i].win_start);
		p = put(p, r->postings[i].amount);
	}
	p = put(p, r->extra.p ? (int64_t)r->extra.n : -1);
	digest(ctx, mem, (size_t)(p - mem));
	if (r->extra.p && r->extra.n > 0)
		digest(ctx, r->extra.p, r->extra.n);
}

static void digest_begin(EVP_MD_CTX *ctx, const uint8_t prev[HASH_BYTES])
{
	CHECK(EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1);
	digest(ctx, prev, HASH_BYTES);
}

static void digest_end(EVP_MD_CTX *ctx, int64_t seq_to, int64_t rows, int64_t sum, int64_t ts, uint8_t ret[HASH_BYTES])
{
	char mem[40], *p = put(put(put(put(mem, seq_to), rows), sum), ts);
	unsigned n = 0;

	digest(ctx, mem, (size_t)(p - mem));
	CHECK(EVP_DigestFinal_ex(ctx, ret, &n) == 1 && n == HASH_BYTES);
}

static int64_t add_clamped(int64_t a, int64_t b)
{
	int64_t sum;

	if (!__builtin_add_overflow(a, b, &sum))
		return sum;
	return b > 0 ? INT64_MAX : INT64_MIN;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

int seal_init(struct seal *s, sqlite3 *db)
{
	int rc;

	*s = (struct seal){.ctx = EVP_MD_CTX_new()};
	if (!s->ctx)
		return SQLITE_NOMEM;
	rc = db_prepare(db, "INSERT INTO ledger_seal(seq_to,prev,hash,rows,sum_n,ts) VALUES(?1,?2,?3,?4,?5,?6)",
			&s->insert);
	return rc == SQLITE_OK ? rollup_init(&s->rollup, db) : rc;
}

void seal_done(struct seal *s)
{
	EVP_MD_CTX_free(s->ctx);
	(void)sqlite3_finalize(s->insert);
	rollup_done(&s->rollup);
	*s = (struct seal){0};
}

/* The chain's end as the database has it; zeros before the first seal. */
static int load_last(struct seal *s, sqlite3 *db)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db, "SELECT seq_to,hash,ts FROM ledger_seal ORDER BY seq_to DESC LIMIT 1", &st);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	s->seq_to = s->ts = 0;
	memset(s->head, 0, sizeof s->head);
	if (rc == SQLITE_ROW && sqlite3_column_bytes(st, 1) != HASH_BYTES) {
		rc = SQLITE_CORRUPT;
	} else if (rc == SQLITE_ROW) {
		s->seq_to = sqlite3_column_int64(st, 0);
		memcpy(s->head, sqlite3_column_blob(st, 1), HASH_BYTES);
		s->ts = sqlite3_column_int64(st, 2);
	}
	(void)sqlite3_finalize(st);
	s->loaded = rc == SQLITE_ROW || rc == SQLITE_DONE;
	return s->loaded ? SQLITE_OK : rc;
}

int seal_begin(struct seal *s, sqlite3 *db)
{
	int rc = s->loaded ? SQLITE_OK : load_last(s, db);

	if (rc != SQLITE_OK)
		return rc;
	s->rows = s->sum = 0;
	s->next_ts = s->ts;
	s->next_seq_to = s->seq_to;
	digest_begin(s->ctx, s->head);
	CHECK(!s->rollup.spilled); /* the transaction before is over, or this one has no rows yet */
	rollup_clear(&s->rollup);
	return SQLITE_OK;
}

void seal_row(struct seal *s, const struct row *r)
{
	digest_row(s->ctx, r);
	s->rows++;
	s->sum = add_clamped(s->sum, r->v[R_AMOUNT]);
	s->next_seq_to = r->seq;
	if (r->v[R_TS_ADMIT] > s->next_ts)
		s->next_ts = r->v[R_TS_ADMIT];
	rollup_add(&s->rollup, r, clock_wall_ns());
}

int seal_end(struct seal *s, int64_t now_ns)
{
	int rc;

	if (s->rows == 0)
		return SQLITE_OK;
	rc = rollup_write(&s->rollup, now_ns);
	if (rc != SQLITE_OK)
		return rc;
	if (now_ns > s->next_ts)
		s->next_ts = now_ns;
	digest_end(s->ctx, s->next_seq_to, s->rows, s->sum, s->next_ts, s->next_head);
	(void)sqlite3_bind_int64(s->insert, 1, s->next_seq_to);
	(void)sqlite3_bind_blob(s->insert, 2, s->head, HASH_BYTES, SQLITE_STATIC);
	(void)sqlite3_bind_blob(s->insert, 3, s->next_head, HASH_BYTES, SQLITE_STATIC);
	(void)sqlite3_bind_int64(s->insert, 4, s->rows);
	(void)sqlite3_bind_int64(s->insert, 5, s->sum);
	(void)sqlite3_bind_int64(s->insert, 6, s->next_ts);
	return db_run(s->insert);
}

void seal_committed(struct seal *s)
{
	if (s->rows == 0)
		return;
	s->seq_to = s->next_seq_to;
	s->ts = s->next_ts;
	memcpy(s->head, s->next_head, HASH_BYTES);
	s->rows = 0;
	rollup_clear(&s->rollup);
}

void seal_unknown(struct seal *s)
{
	s->loaded = false;
	s->rows = 0;
	rollup_clear(&s->rollup);
}

int seal_catch_up(struct seal *s, sqlite3 *db, int64_t now_ns)
{
	struct row_cursor c = {0};
	struct row row;
	int rc, r;

	rc = seal_begin(s, db);
	if (rc != SQLITE_OK)
		return rc;
	r = row_cursor_open(&c, db, s->seq_to);
	if (r == BUR_OK)
		r = row_cursor_next(&c, &row);
	for (; r == BUR_OK; r = row_cursor_next(&c, &row))
		seal_row(s, &row);
	row_cursor_close(&c);
	if (r != BUR_EOF)
		return r == BUR_CORRUPT ? SQLITE_CORRUPT : SQLITE_IOERR;
	return seal_end(s, now_ns);
}

/* --- reading rows ------------------------------------------------------------------------------------------------- */

static struct slice column_text(sqlite3_stmt *st, int i)
{
	const char *p = (const char *)sqlite3_column_text(st, i);

	return p ? slice_mem(p, (size_t)sqlite3_column_bytes(st, i)) : SLICE_NONE;
}

static bool column_uid(sqlite3_stmt *st, int i, uint8_t ret[16])
{
	const void *p = sqlite3_column_blob(st, i);

	if (!p || sqlite3_column_bytes(st, i) != 16)
		return false;
	memcpy(ret, p, 16);
	return true;
}

void row_read(sqlite3_stmt *st, struct row *r)
{
	r->malformed = !column_uid(st, 0, r->uid);
	if (r->malformed)
		memset(r->uid, 0, sizeof r->uid);
	r->has_ref = sqlite3_column_type(st, 1) != SQLITE_NULL;
	memset(r->ref_uid, 0, sizeof r->ref_uid);
	if (r->has_ref && !column_uid(st, 1, r->ref_uid))
		r->malformed = true;
	r->extra = column_text(st, 2);
	if (r->extra.p == NULL && sqlite3_column_type(st, 2) != SQLITE_NULL)
		r->malformed = true;
	for (int i = 0; i < R_INTS; i++) {
		r->v[i] = sqlite3_column_int64(st, 3 + i);
		if (sqlite3_column_type(st, 3 + i) != SQLITE_INTEGER)
			r->malformed = true;
	}
	r->seq = sqlite3_column_int64(st, 3 + R_INTS);
	for (int i = 0; i < JOURNAL_NAMES; i++)
		r->names[i] = column_text(st, 4 + R_INTS + i);
	r->n_postings = 0;
}

int row_cursor_open(struct row_cursor *c, sqlite3 *db, int64_t after_seq)
{
	int rc;

	*c = (struct row_cursor){0};
	rc = db_prepare(db, ROW_SELECT "WHERE seq>?1 ORDER BY seq", &c->rows);
	if (rc == SQLITE_OK)
		rc = db_prepare(db,
				"SELECT seq,meter_uid,win_start,amount,coalesce(unit,0) FROM posting"
				" LEFT JOIN meter_def ON uid=meter_uid WHERE seq>?1 ORDER BY seq,meter_uid,win_start",
				&c->postings);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(c->rows, 1, after_seq);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(c->postings, 1, after_seq);
	if (rc == SQLITE_OK) {
		rc = sqlite3_step(c->postings);
		c->posting_ready = rc == SQLITE_ROW;
	}
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? BUR_OK : db_err(rc);
}

void row_cursor_close(struct row_cursor *c)
{
	(void)sqlite3_finalize(c->rows);
	(void)sqlite3_finalize(c->postings);
	*c = (struct row_cursor){0};
}

static int posting_take(struct row_cursor *c, struct row *r)
{
	sqlite3_stmt *st = c->postings;
	int rc;

	if (sqlite3_column_int64(st, 0) < r->seq) {
		c->orphans++;
	} else {
		if (r->n_postings == ROW_POSTINGS_MAX)
			return BUR_CORRUPT;
		r->postings[r->n_postings++] = (struct posting){.meter_uid = sqlite3_column_int64(st, 1),
								.win_start = sqlite3_column_int64(st, 2),
								.amount = sqlite3_column_int64(st, 3),
								.unit = sqlite3_column_int(st, 4)};
	}
	rc = sqlite3_step(st);
	c->posting_ready = rc == SQLITE_ROW;
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? BUR_OK : db_err(rc);
}

int row_cursor_next(struct row_cursor *c, struct row *ret)
{
	int rc = sqlite3_step(c->rows), r = BUR_OK;

	if (rc == SQLITE_DONE) {
		c->orphans += c->posting_ready;
		return BUR_EOF;
	}
	if (rc != SQLITE_ROW)
		return db_err(rc);
	row_read(c->rows, ret);
	while (r == BUR_OK && c->posting_ready && sqlite3_column_int64(c->postings, 0) <= ret->seq)
		r = posting_take(c, ret);
	return r;
}

/* --- verifying ---------------------------------------------------------------------------------------------------- */

struct verifier {
	sqlite3_stmt *seals;
	struct row_cursor cursor;
	EVP_MD_CTX *ctx;
	struct seal_report *rep;
	int (*each)(void *, const struct row *);
	void *each_ctx;
	uint8_t head[HASH_BYTES];
	bool row_ready, row_bad;
	struct row row;
};

static void seal_error(struct seal_report *rep, int64_t seq_to, const char *what)
{
	if (rep->errors++ == 0)
		(void)snprintf(rep->first_error, sizeof rep->first_error, "seal %lld: %s", (long long)seq_to, what);
}

static int next_row(struct verifier *v)
{
	int r = row_cursor_next(&v->cursor, &v->row);

	v->row_ready = r == BUR_OK;
	if (r == BUR_OK) {
		v->rep->rows++;
		v->row_bad = v->row_bad || v->row.malformed;
		if (v->each)
			r = v->each(v->each_ctx, &v->row);
	}
	return r == BUR_EOF ? BUR_OK : r;
}

/* Takes the rows up to this seal and compares. */
static int verify_seal(struct verifier *v)
{
	int64_t seq_to = sqlite3_column_int64(v->seals, 0), rows = 0, sum = 0, ts = sqlite3_column_int64(v->seals, 5);
	const void *prev = sqlite3_column_blob(v->seals, 1), *hash;
	uint8_t got[HASH_BYTES];
	int r = BUR_OK;

	v->rep->seals++;
	if (!prev || sqlite3_column_bytes(v->seals, 1) != HASH_BYTES || memcmp(prev, v->head, HASH_BYTES) != 0)
		seal_error(v->rep, seq_to, "does not continue the seal before it");
	digest_begin(v->ctx, v->head);
	v->row_bad = v->row_ready && v->row.malformed;
	while (r == BUR_OK && v->row_ready && v->row.seq <= seq_to) {
		digest_row(v->ctx, &v->row);
		rows++;
		sum = add_clamped(sum, v->row.v[R_AMOUNT]);
		v->row_bad = v->row_bad || v->row.malformed;
		r = next_row(v);
	}
	if (r < 0)
		return r;
	digest_end(v->ctx, seq_to, rows, sum, ts, got);
	hash = sqlite3_column_blob(v->seals, 2);
	if (!hash || sqlite3_column_bytes(v->seals, 2) != HASH_BYTES) {
		seal_error(v->rep, seq_to, "has no hash");
		memcpy(v->head, got, HASH_BYTES);
		return BUR_OK;
	}
	if (rows != sqlite3_column_int64(v->seals, 3) || sum != sqlite3_column_int64(v->seals, 4))
		seal_error(v->rep, seq_to, "number or sum of its rows differs");
	else if (memcmp(hash, got, HASH_BYTES) != 0 || v->row_bad)
		seal_error(v->rep, seq_to, "its rows are not what was sealed");
	memcpy(v->head, hash, HASH_BYTES); /* go on from what is stored, to find each break once */
	return BUR_OK;
}

static int verify_all(struct verifier *v)
{
	int rc, r = next_row(v);

	for (rc = sqlite3_step(v->seals); r == BUR_OK && rc == SQLITE_ROW; rc = sqlite3_step(v->seals))
		r = verify_seal(v);
	if (r == BUR_OK && rc != SQLITE_DONE)
		r = db_err(rc);
	if (r == BUR_OK && v->row_ready)
		seal_error(v->rep, v->row.seq, "rows after the last seal");
	while (r == BUR_OK && v->row_ready)
		r = next_row(v);
	if (r == BUR_OK && v->cursor.orphans > 0)
		seal_error(v->rep, 0, "postings without a row");
	return r;
}

static int head_at(sqlite3 *db, int64_t seq_to, uint8_t ret[HASH_BYTES])
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db, "SELECT hash FROM ledger_seal WHERE seq_to=?1", &st);

	memset(ret, 0, HASH_BYTES);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 1, seq_to);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW && sqlite3_column_bytes(st, 0) == HASH_BYTES)
		memcpy(ret, sqlite3_column_blob(st, 0), HASH_BYTES);
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int seal_verify(sqlite3 *db, int64_t after_seq, int (*each)(void *ctx, const struct row *), void *ctx,
		struct seal_report *ret)
{
	struct verifier v = {.ctx = EVP_MD_CTX_new(), .rep = ret, .each = each, .each_ctx = ctx};
	int rc, r = BUR_NOMEM;

	*ret = (struct seal_report){0};
	if (!v.ctx)
		goto out;
	rc = head_at(db, after_seq, v.head);
	if (rc == SQLITE_OK)
		rc = db_prepare(
		    db, "SELECT seq_to,prev,hash,rows,sum_n,ts FROM ledger_seal WHERE seq_to>?1 ORDER BY seq_to",
		    &v.seals);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(v.seals, 1, after_seq);
	r = db_err(rc);
	if (r == BUR_OK)
		r = row_cursor_open(&v.cursor, db, after_seq);
	if (r == BUR_OK)
		r = verify_all(&v);
out:
	row_cursor_close(&v.cursor);
	(void)sqlite3_finalize(v.seals);
	EVP_MD_CTX_free(v.ctx);
	return r;
}
