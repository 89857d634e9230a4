#include "store/note.h"

#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "store/internal.h"

#define LIMIT_MAX 1000

/* Numbers of objects share their column with uids of counters: 64 bits of a SHA-256 of kind and object. */
static int64_t object_number(const char *kind, struct slice object)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t hash[HASH_BYTES];
	uint64_t n = strlen(kind);
	int64_t v;

	CHECK(ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1);
	CHECK(EVP_DigestUpdate(ctx, &n, sizeof n) == 1 && EVP_DigestUpdate(ctx, kind, strlen(kind)) == 1);
	CHECK(object.n == 0 || EVP_DigestUpdate(ctx, object.p, object.n) == 1);
	CHECK(EVP_DigestFinal_ex(ctx, hash, NULL) == 1);
	EVP_MD_CTX_free(ctx);
	memcpy(&v, hash, sizeof v);
	return v;
}

static int put(sqlite3 *db, void *arg)
{
	const struct note *n = arg;
	sqlite3_stmt *st = NULL;
	int rc =
	    db_prepare(db,
		       "INSERT INTO event(ts,kind,uid,win_start,at_ppm,action,payload) VALUES(?1,?2,?3,?4,?5,?6,?7)"
		       " ON CONFLICT DO NOTHING",
		       &st);

	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_int64(st, 1, n->at_ns);
		(void)sqlite3_bind_text(st, 2, n->kind, -1, SQLITE_STATIC);
		(void)sqlite3_bind_int64(st, 3, object_number(n->kind, n->object));
		(void)sqlite3_bind_int64(st, 4, n->since_s);
		(void)sqlite3_bind_int64(st, 5, n->part);
		(void)sqlite3_bind_int(st, 6, (int)n->state);
		(void)sqlite3_bind_text64(st, 7, n->payload.p, n->payload.n, SQLITE_STATIC, SQLITE_UTF8);
		rc = db_run(st);
	}
	(void)sqlite3_finalize(st);
	if (rc != SQLITE_OK)
		return db_err(rc);
	return sqlite3_changes(db) == 1 ? BUR_OK : BUR_ALREADY;
}

int store_note(struct store *s, const struct note *n)
{
	struct note copy = *n;

	if (n->payload.n > NOTE_PAYLOAD_MAX)
		return BUR_TOOBIG;
	return store_execute(s, put, &copy);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static int visit_rows(sqlite3_stmt *st, int (*visit)(void *, const struct note_row *), void *ctx)
{
	int rc, r;

	for (rc = sqlite3_step(st); rc == SQLITE_ROW; rc = sqlite3_step(st)) {
		const char *kind = (const char *)sqlite3_column_text(st, 2),
			   *payload = (const char *)sqlite3_column_text(st, 3);
		struct note_row row = {.id = sqlite3_column_int64(st, 0),
				       .at_ns = sqlite3_column_int64(st, 1),
				       .object = sqlite3_column_int64(st, 4),
				       .since_s = sqlite3_column_int64(st, 5),
				       .part = sqlite3_column_int64(st, 6),
				       .action = sqlite3_column_int(st, 7)};

		row.kind = kind ? slice_of(kind) : SLICE_NONE;
		row.payload = payload ? slice_of(payload) : SLICE_NONE;
		r = visit(ctx, &row);
		if (r != BUR_OK)
			return r;
	}
	return rc == SQLITE_DONE ? BUR_OK : db_err(rc);
}

int note_each(struct sqlite3 *db, const struct note_filter *f, int (*visit)(void *ctx, const struct note_row *),
	      void *ctx)
{
	static const char by_object[] =
	    "SELECT id,ts,kind,payload,uid,win_start,at_ppm,action FROM event WHERE uid=?3 AND kind=?1 AND ts>=?2"
	    " ORDER BY id DESC LIMIT ?4";
	static const char all[] =
	    "SELECT id,ts,kind,payload,uid,win_start,at_ppm,action FROM event WHERE (?1 IS NULL OR kind=?1)"
	    " AND ts>=?2 ORDER BY id DESC LIMIT ?4";
	sqlite3_stmt *st = NULL;
	bool object = f->object.p != NULL;
	int rc, r;

	if (f->limit == 0 || f->limit > LIMIT_MAX || (object && !f->kind))
		return BUR_INVALID;
	rc = db_prepare(db, object ? by_object : all, &st);
	if (rc != SQLITE_OK)
		return db_err(rc);
	if (f->kind)
		(void)sqlite3_bind_text(st, 1, f->kind, -1, SQLITE_STATIC);
	(void)sqlite3_bind_int64(st, 2, f->from_ns);
	if (object)
		(void)sqlite3_bind_int64(st, 3, object_number(f->kind, f->object));
	(void)sqlite3_bind_int64(st, 4, (int64_t)f->limit);
	r = visit_rows(st, visit, ctx);
	(void)sqlite3_finalize(st);
	return r;
}

int note_count(struct sqlite3 *db, int64_t from_ns, int64_t to_ns, int64_t *ret)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db, "SELECT count(*) FROM event WHERE ts>=?1 AND ts<=?2 AND action<>101", &st);

	*ret = 0;
	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_int64(st, 1, from_ns);
		(void)sqlite3_bind_int64(st, 2, to_ns);
		rc = sqlite3_step(st);
	}
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW ? BUR_OK : db_err(rc);
}
_Static_assert(NOTE_ENDED == 101, "the number in note_count");

int note_open(struct sqlite3 *db, const char *kind, struct slice object, int64_t part, int64_t *ret_since_s)
{
	sqlite3_stmt *st = NULL;
	bool began = false;
	int rc = db_prepare(db,
			    "SELECT action,win_start FROM event WHERE uid=?1 AND kind=?2 AND at_ppm=?3 AND action>=100"
			    " ORDER BY id DESC LIMIT 1",
			    &st);

	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_int64(st, 1, object_number(kind, object));
		(void)sqlite3_bind_text(st, 2, kind, -1, SQLITE_STATIC);
		(void)sqlite3_bind_int64(st, 3, part);
		rc = sqlite3_step(st);
	}
	if (rc == SQLITE_ROW) {
		began = sqlite3_column_int(st, 0) == NOTE_BEGAN;
		*ret_since_s = sqlite3_column_int64(st, 1);
	}
	(void)sqlite3_finalize(st);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return db_err(rc);
	return began ? BUR_OK : BUR_NOTFOUND;
}
