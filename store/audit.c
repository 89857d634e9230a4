#include "store/audit.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/utf8.h"
#include "store/internal.h"

#define LIMIT_MAX 1000
#define COLUMNS "seq,ts,actor,action,object,reason,before,after,prev,hash"

/* --- canonical bytes ---------------------------------------------------------------------------------------------- */

static void digest_int(EVP_MD_CTX *ctx, int64_t v)
{
	uint64_t z = (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0);
	uint8_t mem[10];
	size_t n = 0;

	for (; z >= 0x80; z >>= 7)
		mem[n++] = (uint8_t)(z | 0x80);
	mem[n++] = (uint8_t)z;
	CHECK(EVP_DigestUpdate(ctx, mem, n) == 1);
}

static void digest_text(EVP_MD_CTX *ctx, struct slice s)
{
	digest_int(ctx, (int64_t)s.n);
	CHECK(s.n == 0 || EVP_DigestUpdate(ctx, s.p, s.n) == 1);
}

static void hash_entry(const struct audit_entry *e, const uint8_t prev[HASH_BYTES], uint8_t ret[HASH_BYTES])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned n = 0;

	CHECK(ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1);
	CHECK(EVP_DigestUpdate(ctx, prev, HASH_BYTES) == 1);
	digest_int(ctx, e->seq);
	digest_int(ctx, e->ts_ns);
	digest_text(ctx, e->actor);
	digest_text(ctx, e->action);
	digest_text(ctx, e->object);
	digest_text(ctx, e->reason);
	digest_text(ctx, e->before);
	digest_text(ctx, e->after);
	CHECK(EVP_DigestFinal_ex(ctx, ret, &n) == 1 && n == HASH_BYTES);
	EVP_MD_CTX_free(ctx);
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static bool text_ok(struct slice s, size_t min, size_t max)
{
	uint32_t cp;

	if (s.n < min || s.n > max)
		return false;
	for (size_t i = 0, step; i < s.n; i += step) {
		step = utf8_decode(s.p + i, s.n - i, &cp);
		if (step == 0 || cp == 0)
			return false;
	}
	return true;
}

static bool entry_ok(const struct audit_entry *e)
{
	return text_ok(e->actor, 1, AUDIT_ACTOR_MAX) && text_ok(e->action, 1, AUDIT_TEXT_MAX) &&
	       text_ok(e->object, 1, AUDIT_TEXT_MAX) && text_ok(e->reason, 1, AUDIT_REASON_MAX) &&
	       text_ok(e->before, 0, AUDIT_TEXT_MAX) && text_ok(e->after, 0, AUDIT_TEXT_MAX);
}

static int load_last(sqlite3 *db, int64_t *ret_seq, uint8_t ret_hash[HASH_BYTES])
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db, "SELECT seq,hash FROM audit ORDER BY seq DESC LIMIT 1", &st);

	*ret_seq = 0;
	memset(ret_hash, 0, HASH_BYTES);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		*ret_seq = sqlite3_column_int64(st, 0);
		if (sqlite3_column_bytes(st, 1) == HASH_BYTES)
			memcpy(ret_hash, sqlite3_column_blob(st, 1), HASH_BYTES);
		else
			rc = SQLITE_CORRUPT;
	}
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? BUR_OK : db_err(rc);
}

int audit_append(struct sqlite3 *db, const struct audit_entry *entry, int64_t *ret_seq)
{
	struct audit_entry e = *entry;
	uint8_t prev[HASH_BYTES], hash[HASH_BYTES];
	sqlite3_stmt *st = NULL;
	int rc, r;

	if (!entry_ok(entry))
		return BUR_INVALID;
	r = load_last(db, &e.seq, prev);
	if (r < 0)
		return r;
	e.seq++;
	hash_entry(&e, prev, hash);
	rc = db_prepare(db, "INSERT INTO audit(" COLUMNS ") VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)", &st);
	if (rc != SQLITE_OK)
		return db_err(rc);
	(void)sqlite3_bind_int64(st, 1, e.seq);
	(void)sqlite3_bind_int64(st, 2, e.ts_ns);
	db_bind_slice(st, 3, e.actor);
	db_bind_slice(st, 4, e.action);
	db_bind_slice(st, 5, e.object);
	db_bind_slice(st, 6, e.reason);
	db_bind_slice(st, 7, e.before);
	db_bind_slice(st, 8, e.after);
	(void)sqlite3_bind_blob(st, 9, prev, HASH_BYTES, SQLITE_STATIC);
	(void)sqlite3_bind_blob(st, 10, hash, HASH_BYTES, SQLITE_STATIC);
	rc = db_run(st);
	(void)sqlite3_finalize(st);
	*ret_seq = e.seq;
	return db_err(rc);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static void read_entry(sqlite3_stmt *st, struct audit_entry *e)
{
	*e = (struct audit_entry){.seq = sqlite3_column_int64(st, 0),
				  .ts_ns = sqlite3_column_int64(st, 1),
				  .actor = db_slice(st, 2),
				  .action = db_slice(st, 3),
				  .object = db_slice(st, 4),
				  .reason = db_slice(st, 5),
				  .before = db_slice(st, 6),
				  .after = db_slice(st, 7)};
}

int audit_each(struct sqlite3 *db, const struct audit_filter *f, int (*visit)(void *ctx, const struct audit_entry *),
	       void *ctx)
{
	sqlite3_stmt *st = NULL;
	struct audit_entry e;
	int rc, r = BUR_OK;

	if (f->limit == 0 || f->limit > LIMIT_MAX || f->before_seq < 0)
		return BUR_INVALID;
	rc = db_prepare(db,
			"SELECT " COLUMNS " FROM audit WHERE (?1=0 OR seq<?1) AND (?2='' OR object=?2)"
			" ORDER BY seq DESC LIMIT ?3",
			&st);
	if (rc != SQLITE_OK)
		return db_err(rc);
	(void)sqlite3_bind_int64(st, 1, f->before_seq);
	db_bind_slice(st, 2, f->object);
	(void)sqlite3_bind_int64(st, 3, (int64_t)f->limit);
	for (rc = sqlite3_step(st); rc == SQLITE_ROW && r == BUR_OK; rc = r == BUR_OK ? sqlite3_step(st) : rc) {
		read_entry(st, &e);
		r = visit(ctx, &e);
	}
	(void)sqlite3_finalize(st);
	return r < 0 ? r : rc == SQLITE_DONE ? BUR_OK : db_err(rc);
}

static void note_error(struct audit_report *rep, int64_t seq, const char *what)
{
	if (rep->errors++ == 0)
		(void)snprintf(rep->first_error, sizeof rep->first_error, "audit row %lld: %s", (long long)seq, what);
}

static bool blob_is(sqlite3_stmt *st, int i, const uint8_t hash[HASH_BYTES])
{
	const void *p = sqlite3_column_blob(st, i);

	return p && sqlite3_column_bytes(st, i) == HASH_BYTES && memcmp(p, hash, HASH_BYTES) == 0;
}

/* Goes on from the hash that is stored, to find each break once. */
static void verify_row(sqlite3_stmt *st, uint8_t head[HASH_BYTES], struct audit_report *rep)
{
	uint8_t hash[HASH_BYTES];
	struct audit_entry e;

	read_entry(st, &e);
	rep->rows++;
	if (e.seq != (int64_t)rep->rows && rep->errors == 0)
		note_error(rep, e.seq, "a row before it is missing");
	if (!blob_is(st, 8, head))
		note_error(rep, e.seq, "does not continue the row before it");
	hash_entry(&e, head, hash);
	if (!blob_is(st, 9, hash))
		note_error(rep, e.seq, "is not what was written");
	if (sqlite3_column_bytes(st, 9) == HASH_BYTES)
		memcpy(head, sqlite3_column_blob(st, 9), HASH_BYTES);
}

/* Rows that were cut off at the end leave no gap; the ids of the changes still name them. */
static int verify_end(sqlite3 *db, struct audit_report *rep)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db, "SELECT coalesce(max(audit_seq),0) FROM operation", &st);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW && sqlite3_column_int64(st, 0) > (int64_t)rep->rows)
		note_error(rep, sqlite3_column_int64(st, 0), "is missing");
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW ? BUR_OK : db_err(rc);
}

int audit_verify(struct sqlite3 *db, struct audit_report *ret)
{
	uint8_t head[HASH_BYTES] = {0};
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db, "SELECT " COLUMNS " FROM audit ORDER BY seq", &st);

	*ret = (struct audit_report){0};
	for (rc = rc == SQLITE_OK ? sqlite3_step(st) : rc; rc == SQLITE_ROW; rc = sqlite3_step(st))
		verify_row(st, head, ret);
	(void)sqlite3_finalize(st);
	return rc == SQLITE_DONE ? verify_end(db, ret) : db_err(rc);
}
