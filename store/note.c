#include "store/note.h"

#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "store/internal.h"

#define LIMIT_MAX 1000

/* Numbers of objects share their column with uids of counters: 64 bits of a SHA-256 of kind and object. */
int64_t note_number(const char *kind, struct slice object)
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

/* --- writing ------------------------------------------------------------------------------------------------------ */

static int insert(sqlite3_stmt *st, const struct note *n, int64_t number)
{
	int rc;

	(void)sqlite3_bind_int64(st, 1, n->at_ns);
	(void)sqlite3_bind_text(st, 2, n->kind, -1, SQLITE_STATIC);
	(void)sqlite3_bind_int64(st, 3, number);
	(void)sqlite3_bind_int64(st, 4, n->since_s);
	(void)sqlite3_bind_int64(st, 5, n->part);
	(void)sqlite3_bind_int(st, 6, (int)n->state);
	db_bind_slice(st, 7, n->payload);
	rc = db_run(st);
	(void)sqlite3_clear_bindings(st);
	return rc;
}

struct note_job {
	struct writer *w;
	const struct note *note;
};

static int put(sqlite3 *db, void *arg)
{
	const struct note_job *j = arg;
	int rc = insert(j->w->st[W_NOTE], j->note, note_number(j->note->kind, j->note->object));

	if (rc != SQLITE_OK)
		return db_err(rc);
	return sqlite3_changes(db) == 1 ? BUR_OK : BUR_ALREADY;
}

int store_note(struct store *s, const struct note *n)
{
	struct note_job job = {.w = &s->writer, .note = n};

	if (n->payload.n > NOTE_PAYLOAD_MAX)
		return BUR_TOOBIG;
	return store_execute(s, put, &job);
}

int note_put(struct writer *w, const struct note *n)
{
	const struct note_id id = {.number = note_number(n->kind, n->object),
				   .since_s = n->since_s,
				   .part = n->part,
				   .state = (int64_t)n->state};
	uint64_t h = ((uint64_t)id.number ^ (uint64_t)id.since_s * UINT64_C(0x9e3779b97f4a7c15)) +
		     (uint64_t)id.part * UINT64_C(0xff51afd7ed558ccd) + (uint64_t)id.state;
	struct note_id *seen = &w->noted[(h ^ h >> 32) % NOTED_SIZE];
	int rc;

	if (memcmp(seen, &id, sizeof id) == 0)
		return SQLITE_OK;
	rc = insert(w->st[W_NOTE], n, id.number);
	if (rc == SQLITE_OK)
		*seen = id;
	return rc;
}

void note_unknown(struct writer *w)
{
	memset(w->noted, 0, sizeof w->noted);
}

/* --- from workers ------------------------------------------------------------------------------------------------- */

int store_tell(struct store *s, uint32_t worker, const struct note *n)
{
	struct tell *t;
	size_t kind_n = strlen(n->kind);

	CHECK(s->magic == STORE_MAGIC && worker < s->cfg.workers);
	if (kind_n >= sizeof t->kind || n->object.n > sizeof t->object || n->payload.n > sizeof t->payload)
		return BUR_TOOBIG;
	t = ring_claim(&s->workers[worker].tells);
	if (!t) {
		(void)atomic_fetch_add_explicit(&s->health.untold, 1, memory_order_relaxed);
		return BUR_FULL;
	}
	t->note = *n;
	memcpy(t->kind, n->kind, kind_n + 1);
	if (n->object.n > 0)
		memcpy(t->object, n->object.p, n->object.n);
	if (n->payload.n > 0)
		memcpy(t->payload, n->payload.p, n->payload.n);
	t->note.kind = t->kind; /* a record stays where it is until it is released */
	t->note.object.p = t->object;
	t->note.payload.p = t->payload;
	ring_publish(&s->workers[worker].tells);
	return BUR_OK;
}

bool note_gather(struct store *s)
{
	bool any = false;

	for (uint32_t i = 0; i < s->cfg.workers; i++) {
		s->writer.tells[i] = (uint32_t)ring_len(&s->workers[i].tells);
		any = any || s->writer.tells[i] > 0;
	}
	return any;
}

int note_tells(struct store *s)
{
	int rc = SQLITE_OK;

	for (uint32_t i = 0; i < s->cfg.workers; i++) {
		for (uint32_t k = 0; k < s->writer.tells[i] && rc == SQLITE_OK; k++) {
			const struct tell *t = ring_peek(&s->workers[i].tells, k);

			CHECK(t);
			rc = note_put(&s->writer, &t->note);
		}
	}
	return rc;
}

void note_committed(struct store *s)
{
	for (uint32_t i = 0; i < s->cfg.workers; i++)
		ring_release(&s->workers[i].tells, s->writer.tells[i]);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static int visit_rows(sqlite3_stmt *st, int (*visit)(void *, const struct note_row *), void *ctx)
{
	int rc, r;

	for (rc = sqlite3_step(st); rc == SQLITE_ROW; rc = sqlite3_step(st)) {
		const struct note_row row = {.id = sqlite3_column_int64(st, 0),
					     .at_ns = sqlite3_column_int64(st, 1),
					     .kind = db_slice(st, 2),
					     .payload = db_slice(st, 3),
					     .object = sqlite3_column_int64(st, 4),
					     .since_s = sqlite3_column_int64(st, 5),
					     .part = sqlite3_column_int64(st, 6),
					     .action = sqlite3_column_int(st, 7)};

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
		(void)sqlite3_bind_int64(st, 3, note_number(f->kind, f->object));
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
		(void)sqlite3_bind_int64(st, 1, note_number(kind, object));
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
