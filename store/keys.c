#include "store/keys.h"

#include <openssl/rand.h>
#include <openssl/sha.h>
#include <sqlite3.h>
#include <string.h>
#include <zlib.h>

#include "base/check.h"
#include "base/error.h"
#include "store/internal.h"

#define SECRET_BYTES 32
#define PREFIX "bur_"
#define PREFIX_N 4
#define BODY_N 43 /* 62^43 > 2^256 */
#define CRC_N 6   /* 62^6 > 2^32 */
#define TEXT_N (PREFIX_N + BODY_N + CRC_N)
#define FIRST_N 10

_Static_assert(TEXT_N < KEY_TEXT_MAX, "room for the text and its NUL");

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* --- text --------------------------------------------------------------------------------------------------------- */

/* Big-endian bytes as a number in base 62, n digits, leading zeros kept. The bytes are used up. */
static void base62(uint8_t *bytes, size_t n_bytes, char *dst, size_t n)
{
	for (size_t d = n; d-- > 0;) {
		unsigned rest = 0;

		for (size_t i = 0; i < n_bytes; i++) {
			unsigned v = rest << 8 | bytes[i];

			bytes[i] = (uint8_t)(v / 62);
			rest = v % 62;
		}
		dst[d] = digits[rest];
	}
}

static void crc_text(const char *text, size_t n, char dst[CRC_N])
{
	uint32_t crc = (uint32_t)crc32(0, (const Bytef *)text, (uInt)n);
	uint8_t bytes[4] = {(uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8), (uint8_t)crc};

	base62(bytes, sizeof bytes, dst, CRC_N);
}

static int make_text(char dst[KEY_TEXT_MAX])
{
	uint8_t secret[SECRET_BYTES];

	if (RAND_bytes(secret, sizeof secret) != 1)
		return BUR_CRYPTO;
	memset(dst, 0, KEY_TEXT_MAX);
	memcpy(dst, PREFIX, PREFIX_N);
	base62(secret, sizeof secret, dst + PREFIX_N, BODY_N);
	crc_text(dst, PREFIX_N + BODY_N, dst + PREFIX_N + BODY_N);
	bytes_wipe(secret, sizeof secret);
	return BUR_OK;
}

void key_digest(struct slice text, uint8_t ret[32])
{
	static const char none[1];

	CHECK(SHA256((const unsigned char *)(text.n ? text.p : none), text.n, ret) != NULL);
}

bool key_well_formed(struct slice text)
{
	char crc[CRC_N];

	if (text.n != TEXT_N || memcmp(text.p, PREFIX, PREFIX_N) != 0)
		return false;
	for (size_t i = PREFIX_N; i < TEXT_N; i++) {
		if (text.p[i] == 0 || !strchr(digits, text.p[i]))
			return false;
	}
	crc_text(text.p, PREFIX_N + BODY_N, crc);
	return memcmp(crc, text.p + PREFIX_N + BODY_N, CRC_N) == 0;
}

/* --- table -------------------------------------------------------------------------------------------------------- */

static bool ends(const char *text, size_t size)
{
	return memchr(text, 0, size) != NULL;
}

static bool row_ok(const struct key_row *k)
{
	return ends(k->name, sizeof k->name) && ends(k->user, sizeof k->user) && ends(k->team, sizeof k->team) &&
	       ends(k->project, sizeof k->project) && ends(k->tags, sizeof k->tags);
}

static void bind_cstr(sqlite3_stmt *st, int i, const char *text)
{
	(void)sqlite3_bind_text(st, i, text, -1, SQLITE_STATIC);
}

static int insert(sqlite3 *db, void *arg)
{
	const struct key_row *k = arg;
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db,
			    "INSERT INTO key(digest,name,first,user,team,project,tags,admin,may_set_user,created_s,"
			    "not_after_s,revoked_s) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)",
			    &st);

	if (rc != SQLITE_OK)
		return db_err(rc);
	(void)sqlite3_bind_blob(st, 1, k->digest, sizeof k->digest, SQLITE_STATIC);
	bind_cstr(st, 2, k->name);
	bind_cstr(st, 3, k->first);
	bind_cstr(st, 4, k->user);
	bind_cstr(st, 5, k->team);
	bind_cstr(st, 6, k->project);
	bind_cstr(st, 7, k->tags);
	(void)sqlite3_bind_int(st, 8, k->admin);
	(void)sqlite3_bind_int(st, 9, k->may_set_user);
	(void)sqlite3_bind_int64(st, 10, k->created_s);
	(void)sqlite3_bind_int64(st, 11, k->not_after_s);
	(void)sqlite3_bind_int64(st, 12, k->revoked_s);
	rc = db_run(st);
	(void)sqlite3_finalize(st);
	return (rc & 0xff) == SQLITE_CONSTRAINT ? BUR_ALREADY : db_err(rc);
}

int keys_create(struct store *s, const struct key_row *wanted, char ret_text[KEY_TEXT_MAX])
{
	struct key_row k = *wanted;
	char text[KEY_TEXT_MAX];
	int r;

	if (!row_ok(wanted))
		return BUR_INVALID;
	r = make_text(text);
	if (r < 0)
		return r;
	key_digest(slice_mem(text, TEXT_N), k.digest);
	memset(k.first, 0, sizeof k.first);
	memcpy(k.first, text, FIRST_N);
	if (k.name[0] == 0)
		memcpy(k.name, k.first, FIRST_N + 1);
	r = store_execute(s, insert, &k);
	if (r == BUR_OK)
		memcpy(ret_text, text, KEY_TEXT_MAX);
	bytes_wipe(text, sizeof text);
	return r;
}

struct revocation {
	struct slice name;
	int64_t now_s;
};

static int find_revoked(sqlite3 *db, struct slice name, int64_t *ret_revoked_s)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db, "SELECT revoked_s FROM key WHERE name=?1", &st);

	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text64(st, 1, name.n ? name.p : "", name.n, SQLITE_STATIC, SQLITE_UTF8);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*ret_revoked_s = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	if (rc == SQLITE_DONE)
		return BUR_NOTFOUND;
	return rc == SQLITE_ROW ? BUR_OK : db_err(rc);
}

static int set_revoked(sqlite3 *db, void *arg)
{
	const struct revocation *v = arg;
	sqlite3_stmt *st = NULL;
	int64_t before = 0;
	int rc, r = find_revoked(db, v->name, &before);

	if (r < 0)
		return r;
	if (before != 0)
		return BUR_ALREADY;
	rc = db_prepare(db, "UPDATE key SET revoked_s=?2 WHERE name=?1", &st);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text64(st, 1, v->name.n ? v->name.p : "", v->name.n, SQLITE_STATIC, SQLITE_UTF8);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 2, v->now_s);
	if (rc == SQLITE_OK)
		rc = db_run(st);
	(void)sqlite3_finalize(st);
	return db_err(rc);
}

int keys_revoke(struct store *s, struct slice name, int64_t now_s)
{
	struct revocation v = {.name = name, .now_s = now_s};

	if (now_s <= 0)
		return BUR_INVALID; /* 0 would mean: not revoked */
	return store_execute(s, set_revoked, &v);
}

static void column_cstr(sqlite3_stmt *st, int i, char *dst, size_t size)
{
	const char *p = (const char *)sqlite3_column_text(st, i);

	(void)slice_to_cstr(slice_mem(p, p ? (size_t)sqlite3_column_bytes(st, i) : 0), dst, size);
}

static int read_row(sqlite3_stmt *st, struct key_row *k)
{
	*k = (struct key_row){.admin = sqlite3_column_int(st, 7) != 0,
			      .may_set_user = sqlite3_column_int(st, 8) != 0,
			      .created_s = sqlite3_column_int64(st, 9),
			      .not_after_s = sqlite3_column_int64(st, 10),
			      .revoked_s = sqlite3_column_int64(st, 11)};
	if (sqlite3_column_bytes(st, 0) != (int)sizeof k->digest)
		return BUR_CORRUPT;
	memcpy(k->digest, sqlite3_column_blob(st, 0), sizeof k->digest);
	column_cstr(st, 1, k->name, sizeof k->name);
	column_cstr(st, 2, k->first, sizeof k->first);
	column_cstr(st, 3, k->user, sizeof k->user);
	column_cstr(st, 4, k->team, sizeof k->team);
	column_cstr(st, 5, k->project, sizeof k->project);
	column_cstr(st, 6, k->tags, sizeof k->tags);
	return BUR_OK;
}

#define KEY_SELECT                                                                                                     \
	"SELECT digest,name,first,user,team,project,tags,admin,may_set_user,created_s,not_after_s,revoked_s FROM key"

int keys_find(struct sqlite3 *db, struct slice name, struct key_row *ret)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db, KEY_SELECT " WHERE name=?1", &st), r = BUR_NOTFOUND;

	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_text64(st, 1, name.n ? name.p : "", name.n, SQLITE_STATIC, SQLITE_UTF8);
		rc = sqlite3_step(st);
	}
	if (rc == SQLITE_ROW)
		r = read_row(st, ret);
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? r : db_err(rc);
}

int keys_each(struct store *s, int (*visit)(void *ctx, const struct key_row *), void *ctx)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;
	struct key_row k;
	int rc, r = store_reader(s, &db);

	if (r < 0)
		return r;
	rc = db_prepare(db, KEY_SELECT " ORDER BY id", &st);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	while (rc == SQLITE_ROW && r == BUR_OK) {
		r = read_row(st, &k);
		if (r == BUR_OK)
			r = visit(ctx, &k);
		rc = sqlite3_step(st);
	}
	(void)sqlite3_finalize(st);
	(void)sqlite3_close(db);
	if (r < 0)
		return r;
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? BUR_OK : db_err(rc);
}
