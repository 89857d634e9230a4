/* store_help.h - what the tests of the store room share: a directory, a store in it, calls, and a look into the ledger.
 */
#ifndef TESTS_STORE_HELP_H
#define TESTS_STORE_HELP_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <ftw.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/amount.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "store/internal.h"

#define METER_A UINT64_C(0xf000000000000001) /* its sign bit is set: kept as it is */
#define METER_B UINT64_C(0x0000000000000002)
#define METER_TOKENS UINT64_C(0x0000000000000003)
#define WINDOW 1700000000

static inline int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static inline void remove_dir(const char *dir)
{
	(void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline char *new_dir(char dst[64])
{
	(void)snprintf(dst, 64, "/tmp/bursar-store-XXXXXX");
	assert_non_null(mkdtemp(dst));
	return dst;
}

struct opened {
	struct store *s;
	struct recovery_report rep;
	int exit_code, r;
	char text[400];
};

static inline struct store_config test_config(const char *dir)
{
	return (struct store_config){
	    .dir = dir, .workers = 1, .journal_slots = 64, .writer_interval_ns = 2 * NS_PER_MS, .min_free_bytes = -1};
}

static inline struct opened try_open(const struct store_config *cfg)
{
	struct opened o = {.exit_code = 0};

	o.r = store_open(cfg, &o.s, &o.rep, &o.exit_code, o.text, sizeof o.text);
	return o;
}

static inline struct store *must_open(const struct store_config *cfg, struct recovery_report *ret_rep)
{
	struct opened o = try_open(cfg);

	if (o.r < 0)
		print_message("%s\n", o.text);
	assert_int_equal(o.r, BUR_OK);
	if (ret_rep)
		*ret_rep = o.rep;
	assert_int_equal(store_meter_known(o.s, METER_A, SLICE("a"), SLICE(""), UNIT_USD), BUR_OK);
	assert_int_equal(store_meter_known(o.s, METER_B, SLICE("b"), SLICE("user=ann"), UNIT_USD), BUR_OK);
	assert_int_equal(store_meter_known(o.s, METER_TOKENS, SLICE("t"), SLICE(""), UNIT_TOKENS), BUR_OK);
	return o.s;
}

static inline struct call make_call(struct store *s, uint32_t worker, int64_t worst)
{
	struct call c = {.hard = true};

	store_uid(s, worker, c.entry.uid);
	c.entry.hold_id = 7;
	c.entry.created_ns = clock_wall_ns();
	c.entry.price_version = 3;
	c.entry.flags = ROW_STREAM;
	c.entry.cell = (struct journal_cell){.worst_nanousd = worst, .input_tokens = 10, .output_tokens = 100};
	c.entry.ids[NAME_KEY] = store_name(s, NAME_KEY, SLICE("bur_abc"));
	c.entry.ids[NAME_USER] = store_name(s, NAME_USER, SLICE("ann"));
	c.entry.ids[NAME_MODEL] = store_name(s, NAME_MODEL, SLICE("gpt-x"));
	c.entry.ids[NAME_PROVIDER] = store_name(s, NAME_PROVIDER, SLICE("openai"));
	c.entry.n_meters = 3;
	c.entry.meters[0] = (struct journal_meter){METER_A, WINDOW};
	c.entry.meters[1] = (struct journal_meter){METER_B, WINDOW};
	c.entry.meters[2] = (struct journal_meter){METER_TOKENS, WINDOW};
	(void)snprintf((char *)c.entry.trace, sizeof c.entry.trace, "t\"1");
	return c;
}

static inline uint32_t begin_sent(struct store *s, const struct call *c)
{
	uint32_t slot = 0;

	assert_int_equal(store_call_begin(s, 0, c, &slot), BUR_OK);
	store_call_sent(s, slot);
	return slot;
}

static inline struct call_end make_end(int64_t actual)
{
	struct call_end e = {.settled_ns = clock_wall_ns()};

	e.cell = (struct journal_cell){.worst_nanousd = 5000,
				       .actual_nanousd = actual,
				       .input_tokens = 11,
				       .output_tokens = 22,
				       .cached_tokens = 3,
				       .cache_write_tokens = 4,
				       .cache_write_1h_tokens = 5,
				       .reasoning_tokens = 6,
				       .requests = 1,
				       .searches = 2,
				       .source = SOURCE_USAGE,
				       .tier = 1,
				       .status = 200};
	e.extra_n = (uint32_t)snprintf(e.extra, sizeof e.extra, "{\"end\":\"ok\"}");
	return e;
}

static inline void whole_call(struct store *s, int64_t actual)
{
	struct call c = make_call(s, 0, 5000);
	uint32_t slot = begin_sent(s, &c);
	struct call_end e = make_end(actual);

	store_call_settle(s, 0, slot, &e);
}

static inline sqlite3 *raw_db(const char *dir, bool writable)
{
	char path[128];
	sqlite3 *db = NULL;

	(void)snprintf(path, sizeof path, "%s/bursar.db", dir);
	assert_int_equal(sqlite3_open_v2(path, &db, writable ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY, NULL), 0);
	(void)sqlite3_busy_timeout(db, 5000);
	return db;
}

static inline int64_t sql_int(const char *dir, const char *sql)
{
	sqlite3 *db = raw_db(dir, false);
	sqlite3_stmt *st = NULL;
	int64_t v;

	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	v = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	(void)sqlite3_close(db);
	return v;
}

static inline void sql_change(const char *dir, const char *sql)
{
	sqlite3 *db = raw_db(dir, true);
	char *text = NULL;
	int rc = sqlite3_exec(db, sql, NULL, NULL, &text);

	if (rc != SQLITE_OK)
		print_message("%s: %s\n", sql, text);
	assert_int_equal(rc, SQLITE_OK);
	(void)sqlite3_close(db);
}

static inline struct verify_report verify_dir(const char *dir)
{
	sqlite3 *db = raw_db(dir, false);
	struct verify_report rep;

	assert_int_equal(ledger_verify(db, NULL, NULL, &rep), BUR_OK);
	(void)sqlite3_close(db);
	return rep;
}

static inline void assert_verified(const char *dir)
{
	struct verify_report rep = verify_dir(dir);

	if (rep.seal_errors || rep.sum_errors)
		print_message("%s\n", rep.first_error);
	assert_int_equal(rep.seal_errors, 0);
	assert_int_equal(rep.sum_errors, 0);
}

/* Waits for a condition instead of sleeping. */
#define WAIT_FOR(condition)                                                                                            \
	do {                                                                                                           \
		int64_t until_ = clock_mono_ns() + 10 * NS_PER_S;                                                      \
		while (!(condition) && clock_mono_ns() < until_)                                                       \
			(void)usleep(500);                                                                             \
		assert_true(condition);                                                                                \
	} while (0)

#endif
