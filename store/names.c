#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "store/internal.h"

#define NAMES_MAX 1000000u
#define METERS_MAX 1000000u
#define NAME_TEXT_MAX 256u
#define METER_TEXT_MAX 1024u
#define KIND_METER 7
#define KINDS 7
#define OTHER "(other)"
#define TABLE_FIRST 4096u

/* A name, or (kind KIND_METER) a counter: then `a` is the budget and `b` the scope. Never changed, never freed before
 * names_close, so that readers need no lock. */
struct entry {
	uint64_t key; /* hash of the text, or the meter's uid */
	uint32_t id;
	uint16_t a_n, b_n;
	uint8_t kind, unit;
	bool in_database; /* writer thread */
	char text[];
};

struct table {
	size_t mask;
	struct table *older; /* kept: a reader may still look into it */
	_Atomic(struct entry *) slot[];
};

struct names {
	_Atomic(struct table *) table;
	pthread_mutex_t lock; /* all below */
	size_t n_entries;
	uint32_t last_id, n_meters;
	struct entry **order; /* as in the file */
	size_t n_order, cap_order;
	int fd;
	off_t file_bytes;
	bool dirty;
	_Atomic size_t n_pending_upto;   /* n_order, for the writer's quick look */
	size_t mirror_from, mirror_upto; /* writer thread */
};

/* In names.log: u32 bytes after the CRC | u32 crc32c of them | this | a | b */
struct record {
	uint8_t kind, unit;
	uint16_t a_n;
	uint32_t id;
	uint64_t uid;
};
_Static_assert(sizeof(struct record) == 16, "file layout");
#define RECORD_MAX (sizeof(struct record) + NAME_TEXT_MAX + METER_TEXT_MAX)

/* --- looking up: lock-free ---------------------------------------------------------------------------------------- */

static size_t place(uint64_t key, int kind)
{
	uint64_t h = key ^ ((uint64_t)kind + 1) * UINT64_C(0x9e3779b97f4a7c15);

	/* A meter's uid is a public function of text that callers choose; the seed keeps them from piling it up. */
	return (size_t)hash_bytes(&h, sizeof h);
}

static bool entry_is(const struct entry *e, uint64_t key, int kind, struct slice text)
{
	if (e->key != key || e->kind != kind)
		return false;
	return kind == KIND_METER || (e->a_n == text.n && memcmp(e->text, text.p, text.n) == 0);
}

static struct entry *find(struct names *n, uint64_t key, int kind, struct slice text)
{
	struct table *t = atomic_load_explicit(&n->table, memory_order_acquire);

	for (size_t i = place(key, kind);; i++) {
		struct entry *e = atomic_load_explicit(&t->slot[i & t->mask], memory_order_acquire);

		if (!e || entry_is(e, key, kind, text))
			return e;
	}
}

/* --- inserting: under the lock ------------------------------------------------------------------------------------ */

static struct table *table_new(size_t size, struct table *older)
{
	struct table *t = calloc(1, sizeof *t + size * sizeof t->slot[0]);

	if (!t)
		return NULL;
	t->mask = size - 1;
	t->older = older;
	return t;
}

static void table_put(struct table *t, struct entry *e)
{
	size_t i = place(e->key, e->kind);

	while (atomic_load_explicit(&t->slot[i & t->mask], memory_order_relaxed))
		i++;
	atomic_store_explicit(&t->slot[i & t->mask], e, memory_order_release);
}

/* At most half full. */
static int table_room(struct names *n)
{
	struct table *t = atomic_load_explicit(&n->table, memory_order_relaxed), *bigger;

	if ((n->n_entries + 1) * 2 <= t->mask + 1)
		return BUR_OK;
	bigger = table_new((t->mask + 1) * 2, t);
	if (!bigger)
		return BUR_NOMEM;
	for (size_t i = 0; i < n->n_order; i++)
		table_put(bigger, n->order[i]);
	atomic_store_explicit(&n->table, bigger, memory_order_release);
	return BUR_OK;
}

static int order_room(struct names *n)
{
	size_t cap = n->cap_order ? n->cap_order * 2 : 1024;
	struct entry **bigger;

	if (n->n_order < n->cap_order)
		return BUR_OK;
	bigger = realloc(n->order, cap * sizeof *bigger);
	if (!bigger)
		return BUR_NOMEM;
	n->order = bigger;
	n->cap_order = cap;
	return BUR_OK;
}

static struct entry *entry_new(const struct record *r, struct slice a, struct slice b)
{
	struct entry *e = malloc(sizeof *e + a.n + b.n + 1);

	if (!e)
		return NULL;
	*e = (struct entry){.id = r->id, .a_n = (uint16_t)a.n, .b_n = (uint16_t)b.n, .kind = r->kind, .unit = r->unit};
	if (a.n)
		memcpy(e->text, a.p, a.n);
	if (b.n)
		memcpy(e->text + a.n, b.p, b.n);
	e->text[a.n + b.n] = 0;
	e->key = r->kind == KIND_METER ? r->uid : hash_bytes(e->text, a.n);
	return e;
}

/* Into memory; what is there already stays. */
static int remember(struct names *n, const struct record *r, struct slice a, struct slice b, struct entry **ret)
{
	struct entry *e;

	if (table_room(n) < 0 || order_room(n) < 0)
		return BUR_NOMEM;
	e = entry_new(r, a, b);
	if (!e)
		return BUR_NOMEM;
	table_put(atomic_load_explicit(&n->table, memory_order_relaxed), e);
	n->order[n->n_order++] = e;
	n->n_entries++;
	if (r->kind == KIND_METER)
		n->n_meters++;
	else if (r->id > n->last_id)
		n->last_id = r->id;
	atomic_store_explicit(&n->n_pending_upto, n->n_order, memory_order_release);
	*ret = e;
	return BUR_OK;
}

/* One write: a kill leaves the whole record or none; a power cut may leave a part, which start-up cuts off. */
static int append(struct names *n, const struct record *r, struct slice a, struct slice b)
{
	char mem[8 + RECORD_MAX];
	uint32_t bytes = (uint32_t)(sizeof *r + a.n + b.n), crc;
	ssize_t w;

	memcpy(mem + 8, r, sizeof *r);
	if (a.n)
		memcpy(mem + 8 + sizeof *r, a.p, a.n);
	if (b.n)
		memcpy(mem + 8 + sizeof *r + a.n, b.p, b.n);
	crc = crc32c(0, mem + 8, bytes);
	memcpy(mem, &bytes, 4);
	memcpy(mem + 4, &crc, 4);
	w = pwrite(n->fd, mem, 8 + bytes, n->file_bytes);
	if (w != (ssize_t)(8 + bytes)) {
		(void)!ftruncate(n->fd, n->file_bytes); /* what is left is overwritten by the next one */
		return BUR_IO;
	}
	n->file_bytes += w;
	n->dirty = true;
	return BUR_OK;
}

static int add(struct names *n, const struct record *r, struct slice a, struct slice b, struct entry **ret)
{
	int e;

	kill_point();
	e = append(n, r, a, b);
	kill_point();
	return e < 0 ? e : remember(n, r, a, b, ret);
}

/* --- loading ------------------------------------------------------------------------------------------------------ */

static bool record_ok(const struct record *r, uint32_t bytes)
{
	if (r->kind == KIND_METER)
		return r->a_n <= bytes - sizeof *r;
	return r->kind < KINDS && r->a_n == bytes - sizeof *r && r->id > 0 && r->id <= NAMES_MAX + KINDS;
}

/* The record at p, or 0 when it is torn or damaged; else its length with the head. */
static size_t load_one(struct names *n, const char *p, size_t left)
{
	uint32_t bytes, crc;
	struct record r;
	struct slice a, b;
	struct entry *e;

	if (left < 8)
		return 0;
	memcpy(&bytes, p, 4);
	memcpy(&crc, p + 4, 4);
	if (bytes < sizeof r || bytes > RECORD_MAX || bytes > left - 8 || crc != crc32c(0, p + 8, bytes))
		return 0;
	memcpy(&r, p + 8, sizeof r);
	if (!record_ok(&r, bytes))
		return 0;
	a = slice_mem(p + 8 + sizeof r, r.a_n);
	b = slice_mem(p + 8 + sizeof r + r.a_n, bytes - sizeof r - r.a_n);
	if (!find(n, r.kind == KIND_METER ? r.uid : hash_bytes(a.p, a.n), r.kind, a) && remember(n, &r, a, b, &e) < 0)
		return 0;
	return 8 + bytes;
}

static int load(struct names *n)
{
	struct stat st;
	char *mem;
	size_t size, at = 0, step;
	int r = BUR_OK;

	if (fstat(n->fd, &st) < 0)
		return BUR_IO;
	size = (size_t)st.st_size;
	mem = malloc(size + 1);
	if (!mem)
		return BUR_NOMEM;
	for (size_t got = 0; got < size;) {
		ssize_t k = pread(n->fd, mem + got, size - got, (off_t)got);

		if (k <= 0) {
			r = BUR_IO;
			goto out;
		}
		got += (size_t)k;
	}
	for (step = load_one(n, mem, size); step; step = load_one(n, mem + at, size - at))
		at += step;
	n->file_bytes = (off_t)at;
	if (at < size) {
		log_msg(LOG_WARN, "store.names", "names.log: cut %zu unreadable bytes at its end", size - at);
		if (ftruncate(n->fd, n->file_bytes) < 0)
			r = BUR_IO;
	}
out:
	free(mem);
	return r;
}

/* The seven names that stand for all that find no room; there from the first start. */
static int add_others(struct names *n)
{
	struct slice text = SLICE(OTHER);
	struct entry *e;

	for (int kind = 0; kind < KINDS; kind++) {
		struct record r = {.kind = (uint8_t)kind, .a_n = (uint16_t)text.n, .id = n->last_id + 1};

		if (!find(n, hash_bytes(text.p, text.n), kind, text)) {
			int x = add(n, &r, text, SLICE_NONE, &e);

			if (x < 0)
				return x;
		}
	}
	return BUR_OK;
}

int names_open(const char *path, struct names **ret, char *reterr, size_t reterr_size)
{
	struct names *n = calloc(1, sizeof *n);
	struct table *t = table_new(TABLE_FIRST, NULL);
	int r = BUR_NOMEM;

	if (!n || !t) {
		free(n);
		free(t);
		(void)snprintf(reterr, reterr_size, "out of memory");
		return r;
	}
	(void)pthread_mutex_init(&n->lock, NULL);
	atomic_init(&n->table, t);
	n->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	r = n->fd < 0 ? BUR_IO : load(n);
	if (r < 0) {
		(void)snprintf(reterr, reterr_size, "%s: %s", path, r == BUR_IO ? os_error(errno) : bur_strerror(r));
		names_close(n);
		return r;
	}
	*ret = n;
	return BUR_OK;
}

void names_close(struct names *n)
{
	struct table *t, *older;

	if (!n)
		return;
	for (size_t i = 0; i < n->n_order; i++)
		free(n->order[i]);
	free(n->order);
	for (t = atomic_load(&n->table); t; t = older) {
		older = t->older;
		free(t);
	}
	if (n->fd >= 0)
		(void)close(n->fd);
	(void)pthread_mutex_destroy(&n->lock);
	free(n);
}

/* --- names -------------------------------------------------------------------------------------------------------- */

/* Long texts keep their beginning and a hash of the whole. */
static struct slice shorten(struct slice text, char dst[NAME_TEXT_MAX + 1])
{
	uint64_t h;
	int n;

	if (text.n <= NAME_TEXT_MAX)
		return text;
	h = stable_hash64(text.p, text.n);
	memcpy(dst, text.p, NAME_TEXT_MAX - 17);
	n = snprintf(dst + NAME_TEXT_MAX - 17, 18, "~%016llx", (unsigned long long)h);
	CHECK(n == 17);
	return slice_mem(dst, NAME_TEXT_MAX);
}

static uint32_t other_id(struct names *n, int kind)
{
	struct slice text = SLICE(OTHER);
	struct entry *e = find(n, hash_bytes(text.p, text.n), kind, text);

	CHECK(e);
	return e->id;
}

uint32_t names_id(struct names *n, enum name_kind kind, struct slice text)
{
	char shortened[NAME_TEXT_MAX + 1];
	struct record r = {.kind = (uint8_t)kind};
	struct entry *e;
	uint64_t key;

	CHECK((int)kind >= 0 && (int)kind < KINDS);
	if (text.n == 0)
		return 0;
	text = shorten(text, shortened);
	key = hash_bytes(text.p, text.n);
	e = find(n, key, kind, text);
	if (LIKELY(e != NULL))
		return e->id;
	(void)pthread_mutex_lock(&n->lock);
	e = find(n, key, kind, text); /* another thread may have been quicker */
	r.a_n = (uint16_t)text.n;
	r.id = n->last_id + 1;
	if (!e && (n->last_id >= NAMES_MAX || add(n, &r, text, SLICE_NONE, &e) < 0))
		e = NULL;
	(void)pthread_mutex_unlock(&n->lock);
	return e ? e->id : other_id(n, kind);
}

uint32_t names_last_id(struct names *n)
{
	uint32_t id;

	(void)pthread_mutex_lock(&n->lock);
	id = n->last_id;
	(void)pthread_mutex_unlock(&n->lock);
	return id;
}

/* --- meters ------------------------------------------------------------------------------------------------------- */

int names_meter(struct names *n, uint64_t uid, struct slice budget, struct slice scope, int unit)
{
	struct record rec = {.kind = KIND_METER, .unit = (uint8_t)unit, .a_n = (uint16_t)budget.n, .uid = uid};
	struct entry *e = find(n, uid, KIND_METER, SLICE_NONE);
	int r = BUR_OK;

	if (LIKELY(e != NULL))
		return BUR_OK;
	if (budget.n > NAME_TEXT_MAX || scope.n > METER_TEXT_MAX || unit < 0 || unit > UINT8_MAX)
		return BUR_TOOBIG;
	(void)pthread_mutex_lock(&n->lock);
	if (!find(n, uid, KIND_METER, SLICE_NONE))
		r = n->n_meters >= METERS_MAX ? BUR_FULL : add(n, &rec, budget, scope, &e);
	(void)pthread_mutex_unlock(&n->lock);
	return r;
}

bool names_meter_find(struct names *n, uint64_t uid, struct meter_def *ret)
{
	const struct entry *e = find(n, uid, KIND_METER, SLICE_NONE);

	if (!e)
		return false;
	ret->budget = slice_mem(e->text, e->a_n);
	ret->scope = slice_mem(e->text + e->a_n, e->b_n);
	ret->unit = e->unit;
	return true;
}

/* --- the database's copy ------------------------------------------------------------------------------------------ */

static struct slice column(sqlite3_stmt *st, int i)
{
	const char *p = (const char *)sqlite3_column_text(st, i);

	return slice_mem(p, p ? (size_t)sqlite3_column_bytes(st, i) : 0);
}

static int merge_one(struct names *n, const struct record *r, struct slice a, struct slice b)
{
	struct entry *e = find(n, r->kind == KIND_METER ? r->uid : hash_bytes(a.p, a.n), r->kind, a);
	int x;

	if (!e) {
		x = add(n, r, a, b, &e);
		if (x < 0)
			return x;
	}
	if (e->id != r->id)
		return BUR_CORRUPT;
	e->in_database = true;
	return BUR_OK;
}

static int merge_names(struct names *n, sqlite3_stmt *st)
{
	int rc, r = BUR_OK;

	for (rc = sqlite3_step(st); rc == SQLITE_ROW && r == BUR_OK; rc = sqlite3_step(st)) {
		struct slice text = column(st, 2);
		int64_t kind = sqlite3_column_int64(st, 1), id = sqlite3_column_int64(st, 0);
		struct record rec = {.kind = (uint8_t)kind, .id = (uint32_t)id, .a_n = (uint16_t)text.n};

		if (kind < 0 || kind >= KINDS || id <= 0 || id > NAMES_MAX + KINDS || text.n > NAME_TEXT_MAX)
			return BUR_CORRUPT;
		r = merge_one(n, &rec, text, SLICE_NONE);
	}
	return r < 0 ? r : rc == SQLITE_DONE ? BUR_OK : db_err(rc);
}

static int merge_meters(struct names *n, sqlite3_stmt *st)
{
	int rc, r = BUR_OK;

	for (rc = sqlite3_step(st); rc == SQLITE_ROW && r == BUR_OK; rc = sqlite3_step(st)) {
		struct slice budget = column(st, 1), scope = column(st, 2);
		struct record rec = {.kind = KIND_METER,
				     .unit = (uint8_t)sqlite3_column_int(st, 3),
				     .a_n = (uint16_t)budget.n,
				     .uid = (uint64_t)sqlite3_column_int64(st, 0)};

		if (budget.n > NAME_TEXT_MAX || scope.n > METER_TEXT_MAX)
			return BUR_CORRUPT;
		r = merge_one(n, &rec, budget, scope);
	}
	return r < 0 ? r : rc == SQLITE_DONE ? BUR_OK : db_err(rc);
}

/* Two names with one number: the file and the database do not belong together. */
static int check_ids(struct names *n)
{
	uint8_t *seen = calloc(NAMES_MAX / 8 + 8, 1);
	int r = BUR_OK;

	if (!seen)
		return BUR_NOMEM;
	for (size_t i = 0; i < n->n_order && r == BUR_OK; i++) {
		const struct entry *e = n->order[i];

		if (e->kind == KIND_METER)
			continue;
		if (seen[e->id / 8] & 1u << e->id % 8)
			r = BUR_CORRUPT;
		seen[e->id / 8] |= (uint8_t)(1u << e->id % 8);
	}
	free(seen);
	return r;
}

int names_merge(struct names *n, sqlite3 *db)
{
	sqlite3_stmt *names = NULL, *meters = NULL;
	int r = BUR_IO;

	if (db_prepare(db, "SELECT id,kind,text FROM name ORDER BY id", &names) != SQLITE_OK ||
	    db_prepare(db, "SELECT uid,budget,scope,unit FROM meter_def", &meters) != SQLITE_OK)
		goto out;
	r = merge_names(n, names);
	if (r == BUR_OK)
		r = merge_meters(n, meters);
	if (r == BUR_OK)
		r = check_ids(n);
	if (r == BUR_OK)
		r = add_others(n);
out:
	(void)sqlite3_finalize(names);
	(void)sqlite3_finalize(meters);
	return r;
}

bool names_pending(struct names *n)
{
	return atomic_load_explicit(&n->n_pending_upto, memory_order_acquire) > n->mirror_from;
}

static int mirror_one(const struct entry *e, sqlite3_stmt *name, sqlite3_stmt *meter)
{
	if (e->kind == KIND_METER) {
		(void)sqlite3_bind_int64(meter, 1, (int64_t)e->key);
		(void)sqlite3_bind_text(meter, 2, e->text, e->a_n, SQLITE_STATIC);
		(void)sqlite3_bind_text(meter, 3, e->text + e->a_n, e->b_n, SQLITE_STATIC);
		(void)sqlite3_bind_int(meter, 4, e->unit);
		return db_run(meter);
	}
	(void)sqlite3_bind_int64(name, 1, e->id);
	(void)sqlite3_bind_int(name, 2, e->kind);
	(void)sqlite3_bind_text(name, 3, e->text, e->a_n, SQLITE_STATIC);
	return db_run(name);
}

int names_mirror(struct names *n, sqlite3_stmt *insert_name, sqlite3_stmt *insert_meter)
{
	const struct entry *piece[64];
	int rc = SQLITE_OK;

	n->mirror_upto = n->mirror_from;
	while (rc == SQLITE_OK) {
		size_t k = 0;

		(void)pthread_mutex_lock(&n->lock);
		while (k < ARRAY_LEN(piece) && n->mirror_upto < n->n_order)
			piece[k++] = n->order[n->mirror_upto++];
		(void)pthread_mutex_unlock(&n->lock);
		if (k == 0)
			break;
		for (size_t i = 0; i < k && rc == SQLITE_OK; i++) {
			if (!piece[i]->in_database)
				rc = mirror_one(piece[i], insert_name, insert_meter);
		}
	}
	return rc;
}

void names_mirrored(struct names *n)
{
	n->mirror_from = n->mirror_upto;
}

int names_flush(struct names *n)
{
	bool dirty;

	(void)pthread_mutex_lock(&n->lock);
	dirty = n->dirty;
	n->dirty = false;
	(void)pthread_mutex_unlock(&n->lock);
	if (!dirty || fdatasync(n->fd) == 0)
		return BUR_OK;
	(void)pthread_mutex_lock(&n->lock);
	n->dirty = true;
	(void)pthread_mutex_unlock(&n->lock);
	return BUR_IO;
}
