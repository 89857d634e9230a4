/* base_calendar_test - windows in every zone of the system, texts, and broken zone files.
 *
 * `base_calendar_test --answer` answers lines "ZONE WHAT FROM TO STEP"; base_calendar_zones.py compares with Python's
 * zoneinfo. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <ftw.h>
#include <unistd.h>

#include "base/calendar.c" /* transitions are looked at */
#include "tests/unit/faults.h"

static const char *self;

static struct tz *load(const char *name)
{
	struct tz *tz = NULL;

	assert_int_equal(tz_load(name, &tz), BUR_OK);
	return tz;
}

static int64_t at(const char *text)
{
	int64_t ns = 0;

	if (time_parse(slice_of(text), &ns) < 0)
		fail_msg("%s", text);
	return ns / 1000000000;
}

static void expect_window(const char *zone, enum window_kind kind, int week_start, int anchor, const char *t,
			  const char *start, const char *end)
{
	struct tz *tz = load(zone);
	struct window_spec spec = {kind, week_start, anchor, tz};
	int64_t s, e;
	char a[TIME_TEXT_MAX], b[TIME_TEXT_MAX];

	window_at(&spec, at(t), &s, &e);
	if (strcmp(time_format(tz, s, a), start) != 0 || strcmp(time_format(tz, e, b), end) != 0)
		fail_msg("%s %s: %s to %s, expected %s to %s", zone, t, a, time_format(tz, e, b), start, end);
	tz_free(tz);
}

static void test_windows(void **state)
{
	(void)state;
	expect_window("UTC", WINDOW_DAY, 0, 1, "2026-11-21T23:59:59Z", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z");
	expect_window("UTC", WINDOW_HOUR, 0, 1, "2026-11-21T23:59:59Z", "2026-11-21T23:00:00Z", "2026-11-22T00:00:00Z");
	expect_window("Europe/Berlin", WINDOW_DAY, 0, 1, "2026-03-29T12:00:00Z", "2026-03-29T00:00:00+01:00",
		      "2026-03-30T00:00:00+02:00");
	expect_window("Europe/Berlin", WINDOW_WEEK, 0, 1, "2026-11-22T22:59:59Z", "2026-11-16T00:00:00+01:00",
		      "2026-11-23T00:00:00+01:00");
	expect_window("UTC", WINDOW_WEEK, 6, 1, "2026-11-21T10:00:00Z", "2026-11-15T00:00:00Z", "2026-11-22T00:00:00Z");
	expect_window("UTC", WINDOW_MONTH, 0, 1, "2026-12-31T10:00:00Z", "2026-12-01T00:00:00Z",
		      "2027-01-01T00:00:00Z");
	expect_window("UTC", WINDOW_MONTH, 0, 28, "2027-01-27T10:00:00Z", "2026-12-28T00:00:00Z",
		      "2027-01-28T00:00:00Z");
	expect_window("UTC", WINDOW_MONTH, 0, 28, "2027-01-28T00:00:00Z", "2027-01-28T00:00:00Z",
		      "2027-02-28T00:00:00Z");
	expect_window("UTC", WINDOW_QUARTER, 0, 1, "2026-11-21T10:00:00Z", "2026-10-01T00:00:00Z",
		      "2027-01-01T00:00:00Z");
	expect_window("UTC", WINDOW_YEAR, 0, 1, "2024-02-29T10:00:00Z", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z");
}

static void test_odd_zones(void **state)
{
	(void)state;
	/* the day that was left out: 29 December is followed by 31 */
	expect_window("Pacific/Apia", WINDOW_DAY, 0, 1, "2011-12-30T09:59:59Z", "2011-12-29T00:00:00-10:00",
		      "2011-12-31T00:00:00+14:00");
	expect_window("Pacific/Apia", WINDOW_DAY, 0, 1, "2011-12-30T10:00:00Z", "2011-12-31T00:00:00+14:00",
		      "2012-01-01T00:00:00+14:00");
	/* midnight that does not exist: the day begins at one */
	expect_window("America/Sao_Paulo", WINDOW_DAY, 0, 1, "2018-11-04T12:00:00Z", "2018-11-04T01:00:00-02:00",
		      "2018-11-05T00:00:00-02:00");
	expect_window("America/Havana", WINDOW_DAY, 0, 1, "2026-03-08T12:00:00Z", "2026-03-08T01:00:00-04:00",
		      "2026-03-09T00:00:00-04:00");
	/* midnight twice: St John's went back from 00:01 to 23:01; the second 23:30 belongs to the new day */
	expect_window("America/St_Johns", WINDOW_DAY, 0, 1, "2005-10-30T03:00:00Z", "2005-10-30T00:00:00-02:30",
		      "2005-10-31T00:00:00-03:30");
	/* half an hour: the day has 24.5 hours; the hours stay whole or are cut at the switch */
	expect_window("Australia/Lord_Howe", WINDOW_DAY, 0, 1, "2026-04-04T20:00:00Z", "2026-04-05T00:00:00+11:00",
		      "2026-04-06T00:00:00+10:30");
	expect_window("Australia/Lord_Howe", WINDOW_HOUR, 0, 1, "2026-04-04T15:10:00Z", "2026-04-05T01:30:00+10:30",
		      "2026-04-05T02:00:00+10:30");
	expect_window("Australia/Lord_Howe", WINDOW_HOUR, 0, 1, "2026-04-04T14:59:59Z", "2026-04-05T01:00:00+11:00",
		      "2026-04-05T01:30:00+10:30");
	expect_window("Asia/Kathmandu", WINDOW_HOUR, 0, 1, "2026-04-04T15:10:00Z", "2026-04-04T20:00:00+05:45",
		      "2026-04-04T21:00:00+05:45");
	expect_window("Pacific/Kiritimati", WINDOW_DAY, 0, 1, "2026-04-04T10:00:00Z", "2026-04-05T00:00:00+14:00",
		      "2026-04-06T00:00:00+14:00");
	expect_window("Etc/GMT+12", WINDOW_DAY, 0, 1, "2026-04-04T11:59:59Z", "2026-04-03T00:00:00-12:00",
		      "2026-04-04T00:00:00-12:00");
}

static void check_tiles(const struct window_spec *spec, int64_t t)
{
	int64_t start, end, s, e;

	window_at(spec, t, &start, &end);
	assert_true(start <= t && t < end);
	window_at(spec, start, &s, &e);
	assert_true(s == start && e == end);
	window_at(spec, end - 1, &s, &e);
	assert_true(s == start && e == end);
	window_at(spec, end, &s, &e);
	assert_true(s == end && e > end);
	window_at(spec, start - 1, &s, &e);
	assert_true(e == start && s < start);
}

static size_t n_zones;

static int check_zone(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	const char *name = path + strlen("/usr/share/zoneinfo/");
	struct tz *tz;

	(void)ftw;
	if (type != FTW_F || st->st_size < 44 || strncmp(name, "right/", 6) == 0 || tz_load(name, &tz) < 0)
		return 0;
	n_zones++;
	for (int kind = WINDOW_HOUR; kind <= WINDOW_YEAR; kind++) {
		struct window_spec spec = {(enum window_kind)kind, (int)(n_zones % 7), (int)(n_zones % 28) + 1, tz};

		for (size_t i = 0; i < tz->n_transitions; i++) {
			for (int64_t t = tz->transitions[i] - 1; t <= tz->transitions[i] + 1; t++)
				check_tiles(&spec, t);
		}
		for (int64_t t = (int64_t)n_zones * 7919; t < at("2100-12-31"); t += INT64_C(86400) * 197 + 4999)
			check_tiles(&spec, t);
	}
	tz_free(tz);
	return 0;
}

static void test_every_zone_tiles(void **state)
{
	(void)state;
	if (access("/usr/share/zoneinfo/UTC", R_OK) != 0)
		skip();
	assert_int_equal(nftw("/usr/share/zoneinfo", check_zone, 20, FTW_PHYS), 0);
	assert_true(n_zones > 200);
}

static void test_extremes(void **state)
{
	static const int64_t times[] = {INT64_MIN, INT64_MAX, INT64_MIN + 1, -1, 0, INT64_C(1) << 56};
	struct tz *tz = load("Europe/Berlin");
	char text[TIME_TEXT_MAX];
	int64_t start, end;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		for (int kind = WINDOW_HOUR; kind <= WINDOW_TOTAL; kind++) {
			struct window_spec spec = {(enum window_kind)kind, 0, 1, tz};

			window_at(&spec, times[i], &start, &end);
			assert_true(start < end);
		}
		assert_int_equal(strlen(time_format(tz, times[i], text)), 25);
	}
	(void)local_day_start(tz, INT64_MAX, INT32_MAX, INT32_MAX);
	(void)local_day_start(tz, INT64_MIN, INT32_MIN, INT32_MIN);
	assert_int_equal(local_day_start(&utc, 2026, 13, 1), at("2027-01-01"));
	assert_int_equal(local_day_start(&utc, 2026, 1, 0), at("2025-12-31"));
	assert_int_equal(local_day_start(&utc, 2026, -11, 1), at("2025-01-01"));
	tz_free(tz);
}

static void test_civil(void **state)
{
	int64_t year;
	int month, day;

	(void)state;
	for (int64_t days = -800000; days < 800000; days += 1) {
		civil_from_days(days, &year, &month, &day);
		assert_true(month >= 1 && month <= 12 && day >= 1 && day <= days_in_month(year, month));
		assert_true(days_from_civil(year, month, day) == days);
	}
	assert_int_equal(days_from_civil(1970, 1, 1), 0);
	assert_int_equal(days_from_civil(2000, 3, 1), 11017);
}

static void test_names(void **state)
{
	static const char *const bad[] = {"",
					  "..",
					  "../etc/passwd",
					  "/etc/passwd",
					  "Europe/../Europe/Berlin",
					  "Europe/",
					  "Europe//Berlin",
					  ".",
					  "a b",
					  "Europe/Berlin\n",
					  "posixrules.",
					  "zone.tab"};
	struct tz *tz = NULL;
	char longer[80];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(tz_load(bad[i], &tz), BUR_INVALID);
	memset(longer, 'a', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(tz_load(longer, &tz), BUR_INVALID);
	assert_int_equal(tz_load("Europe/Nowhere", &tz), BUR_NOTFOUND);
	assert_int_equal(tz_load("Europe", &tz), BUR_NOTFOUND);
	assert_null(tz);
	(void)setenv("BURSAR_ZONEINFO", "/nonexistent", 1);
	assert_int_equal(tz_load("Europe/Berlin", &tz), BUR_NOTFOUND);
	tz = load("UTC"); /* needs no file */
	assert_string_equal(tz_name(tz), "UTC");
	assert_int_equal(tz_offset_at(tz, 12345), 0);
	tz_free(tz);
	(void)unsetenv("BURSAR_ZONEINFO");
	tz_free(NULL);
}

/* Every truncation and many one-byte changes of a real file: refused or usable, never a crash. */
static void test_broken_files(void **state)
{
	char mem[8192];
	FILE *f = fopen("/usr/share/zoneinfo/Africa/Casablanca", "rb");
	size_t n;

	(void)state;
	if (!f)
		skip();
	n = fread(mem, 1, sizeof(mem), f);
	(void)fclose(f);
	srand(6);
	for (size_t i = 0; i < n + 20000; i++) {
		struct tz tz = {.name = "x"};
		size_t len = i < n ? i : n;
		char *copy = malloc(len ? len : 1);

		memcpy(copy, mem, len);
		if (i >= n)
			copy[(size_t)rand() % (rand() % 2 ? len : 120)] = (char)rand();
		if (tzif_parse(&tz, slice_mem(copy, len)) == BUR_OK) {
			struct window_spec spec = {WINDOW_MONTH, 0, 1, &tz};
			int64_t start, end;

			assert_int_equal(i >= n, true);
			window_at(&spec, at("2050-06-01"), &start, &end);
			assert_true(start < end);
		}
		free(tz.transitions);
		free(tz.offsets);
		free(copy);
	}
}

static void test_rules(void **state)
{
	static const char *const bad[] = {"X",
					  "CET",
					  "CET-1CEST",
					  "CET-1CEST,M3.5.0",
					  "CET-1CEST,M13.5.0,M10.5.0",
					  "CET-25",
					  "CET-1CEST,M3.6.0,M10.5.0",
					  "CET-1CEST,J0,J5",
					  "CET-1CEST,366,5",
					  "CET-1CEST,M3.5.0/168,M10.5.0",
					  "CET-1CEST,M3.5.0,M10.5.0x",
					  "<CET-1",
					  "CET-1:60",
					  "CET-1:00:60",
					  "CET-1:00:x",
					  "CE[-1",
					  "CE{-1",
					  "CET-1CEST-25,M3.5.0,M10.5.0",
					  "CET-1CEST,M3,M10.5.0",
					  "CET-1CEST,M3.5,M10.5.0",
					  "CET-1CEST,M3.0.0,M10.5.0",
					  "CET-1CEST,M3.5.0,M10.5",
					  "CET-1CEST,Mx.5.0,M10.5.0",
					  "CET-1CEST;M3.5.0,M10.5.0",
					  "CET-12345",
					  "CET-/",
					  "CET-1x"};
	struct rule rule = {0};
	struct tz tz = {.name = "x"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(rule_parse(slice_of(bad[i]), &rule), BUR_INVALID);
	assert_int_equal(rule_parse(SLICE("CET-1CEST,M3.5.0,M10.5.0/3"), &tz.rule), BUR_OK);
	assert_int_equal(tz_offset_at(&tz, at("2200-03-30T00:59:59Z")), 3600);
	assert_int_equal(tz_offset_at(&tz, at("2100-03-28T01:00:00Z")), 7200);
	assert_int_equal(tz_offset_at(&tz, at("2100-10-31T00:59:59Z")), 7200);
	assert_int_equal(tz_offset_at(&tz, at("2100-10-31T01:00:00Z")), 3600);
	/* daylight time all year round */
	assert_int_equal(rule_parse(SLICE("XXX3EDT4,0/0,J365/23"), &tz.rule), BUR_OK);
	for (int64_t t = at("2030-01-01"); t < at("2033-01-01"); t += 3600)
		assert_int_equal(tz_offset_at(&tz, t), -4 * 3600);
	/* daylight time that ends in the instant in which it begins goes on */
	assert_int_equal(rule_parse(SLICE("XXX0YYY,J365/24,J1/1"), &tz.rule), BUR_OK);
	for (int64_t t = at("2030-12-30"); t < at("2031-01-03"); t += 3600)
		assert_int_equal(tz_offset_at(&tz, t), 3600);
	/* minutes and seconds; days of the year with and without 29 February */
	assert_int_equal(rule_parse(SLICE("XXX-1:02:03YYY-2:03,J59/0,J60/0"), &tz.rule), BUR_OK);
	assert_int_equal(tz_offset_at(&tz, at("2024-02-01")), 3723);
	assert_int_equal(tz_offset_at(&tz, at("2024-02-28T12:00:00Z")), 7380);
	assert_int_equal(tz_offset_at(&tz, at("2024-03-01T00:00:00Z")), 3723);
	assert_int_equal(tz_offset_at(&tz, at("2023-02-28T12:00:00Z")), 7380);
	assert_int_equal(rule_parse(SLICE("XXX-1YYY,J61/0,J90/0"), &tz.rule), BUR_OK);
	assert_int_equal(tz_offset_at(&tz, at("2024-03-02T12:00:00Z")), 7200);
	assert_int_equal(tz_offset_at(&tz, at("2023-03-02T12:00:00Z")), 7200);
	assert_int_equal(tz_offset_at(&tz, at("2023-03-01T12:00:00Z")), 3600);
	assert_int_equal(rule_parse(SLICE("XXX-1YYY,59/0,90/0"), &tz.rule), BUR_OK);
	assert_int_equal(tz_offset_at(&tz, at("2024-02-29T12:00:00Z")), 7200);
	assert_int_equal(tz_offset_at(&tz, at("2023-03-01T12:00:00Z")), 7200);
	/* the southern half, names in brackets, times below zero */
	assert_int_equal(rule_parse(SLICE("<-02>2<-01>,M3.5.0/-1,M10.5.0/0"), &tz.rule), BUR_OK);
	assert_int_equal(tz_offset_at(&tz, at("2030-03-31T00:59:59Z")), -7200);
	assert_int_equal(tz_offset_at(&tz, at("2030-03-31T01:00:00Z")), -3600);
}

static void test_time_texts(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = {
	    {"1970-01-01", 0},
	    {"1970-01-01T00:00:00Z", 0},
	    {"1970-01-01t00:00:00.000000001z", 1},
	    {"1970-01-01 01:00:00.5+01:00", 500000000},
	    {"1969-12-31T23:59:59.999999999999-00:00", -1},
	    {"2016-12-31T23:59:60Z", INT64_C(1483228800000000000)},
	};
	static const char *const bad[] = {"",
					  "2026",
					  "2026-13-01",
					  "2026-02-29",
					  "2026-11-21T",
					  "2026-11-21T09:53:16",
					  "2026-11-21T24:00:00Z",
					  "2026-11-21x",
					  "2026-1-21",
					  "2026-11-21T09:53:16+0545",
					  "2026-11-21T09:53:16.Z",
					  "2026-11-21T09:53:61Z",
					  "+026-11-21",
					  "2026-11-21T09:53:16Zx",
					  "2026-11-21T09:53Z",
					  "2026/11-21",
					  "2026-11/21",
					  "x026-11-21",
					  "2026-11-2x",
					  "2026-11-21T",
					  "2026-11-21Tx9:53:16Z",
					  "2026-11-21T09-53:16Z",
					  "2026-11-21T09:x3:16Z",
					  "2026-11-21T09:53-16Z",
					  "2026-11-21T09:53:16./Z",
					  "2026-11-21T09:53:16.5",
					  "2026-11-21T09:53:16.5:Z",
					  "2026-11-21T09:53:16*01:00",
					  "2026-11-21T09:53:16+24:00",
					  "2026-11-21T09:53:16+01-00",
					  "2026-11-21T09:53:16+01:60"};
	int64_t ns = 42;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(time_parse(slice_of(good[i].text), &ns), BUR_OK);
		if (ns != good[i].ns)
			fail_msg("%s: %lld", good[i].text, (long long)ns);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (time_parse(slice_of(bad[i]), &ns) != BUR_INVALID)
			fail_msg("%s", bad[i]);
	}
	assert_int_equal(time_parse(SLICE_NONE, &ns), BUR_INVALID);
	/* the last nanosecond that there is, and the next */
	assert_int_equal(time_parse(SLICE("2262-04-11T23:47:16.854775807Z"), &ns), BUR_OK);
	assert_true(ns == INT64_MAX);
	assert_int_equal(time_parse(SLICE("2262-04-11T23:47:16.854775808Z"), &ns), BUR_OVERFLOW);
	assert_int_equal(time_parse(SLICE("9999-01-01"), &ns), BUR_OVERFLOW);
	assert_int_equal(time_parse(SLICE("0000-01-01"), &ns), BUR_OVERFLOW);
	assert_int_equal(at("2026-11-21T09:53:16+05:45"), at("2026-11-21T04:08:16Z"));
}

/* --- files and folders that are not what they should be ----------------------------------------------------------- */

static int load_lisbon(void *arg)
{
	struct tz *tz = NULL;
	int r = tz_load("Europe/Lisbon", &tz);

	(void)arg;
	tz_free(tz);
	return r;
}

/* Disk and memory fail at each place in turn; nothing is left behind (the sanitizer looks). */
static void test_faults(void **state)
{
	(void)state;
	assert_int_equal(every_fault(FAULTY_ALLOC, ENOMEM, BUR_NOMEM, load_lisbon, NULL), 4);
	assert_int_equal(every_fault(FAULTY_OPEN, EACCES, BUR_IO, load_lisbon, NULL), 1);
	assert_int_equal(every_fault(FAULTY_OPEN, ENOTDIR, BUR_NOTFOUND, load_lisbon, NULL), 1);
	assert_int_equal(every_fault(FAULTY_STAT, EIO, BUR_IO, load_lisbon, NULL), 1);
	assert_int_equal(every_fault(FAULTY_READ, EIO, BUR_IO, load_lisbon, NULL), 1);
	assert_int_equal(every_fault(FAULTY_READ, 0, BUR_INVALID, load_lisbon, NULL), 1); /* it shrank meanwhile */
	fault_arm(FAULTY_READ, 1, EINTR); /* a signal came: read again */
	assert_int_equal(load_lisbon(NULL), BUR_OK);
	assert_true(fault_met(FAULTY_READ));
}

static void write_zone(const char *dir, const char *name, const void *mem, size_t n, off_t size)
{
	char path[160];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(mem, 1, n, f), n);
	(void)fclose(f);
	assert_int_equal(truncate(path, size), 0);
}

/* A file of one transition and two kinds of time; `offset` and `index` may be out of range, `n_type` may be 0. */
static size_t make_zone(char dst[256], int32_t offset, unsigned index, unsigned n_type)
{
	static const char head[44] = "TZif2";
	const char footer[] = "\nXXX0\n";
	char *p = dst;

	memset(dst, 0, 256);
	memcpy(p, head, 44);
	p += 44;
	memcpy(p, head, 44);
	p[20 + 4 * 3 + 3] = 1; /* n_time */
	p[20 + 4 * 4 + 3] = (char)n_type;
	p += 44 + 8;
	*p++ = (char)index;
	for (int i = 0; i < 4; i++)
		p[6 * (index < n_type ? index : 0) + (unsigned)i] = (char)((uint32_t)offset >> (24 - 8 * i));
	p += 6 * n_type;
	memcpy(p, footer, sizeof(footer) - 1);
	return (size_t)(p - dst) + sizeof(footer) - 1;
}

static void test_odd_files(void **state)
{
	char dir[] = "/tmp/bursar-zones-XXXXXX", mem[256], deep[4200], path[200];
	struct tz *tz = NULL;
	size_t n;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)setenv("BURSAR_ZONEINFO", dir, 1);
	n = make_zone(mem, 3600, 1, 2);
	write_zone(dir, "Good", mem, n, (off_t)n);
	tz = load("Good");
	assert_int_equal(tz_offset_at(tz, -1), 0);
	assert_int_equal(tz_offset_at(tz, 5), 0); /* the footer rules after the last transition */
	tz_free(tz);
	write_zone(dir, "Empty", mem, n, 0);
	write_zone(dir, "Huge", mem, n, ZONE_FILE_MAX + 1);
	n = make_zone(mem, OFFSET_MAX + 1, 1, 2);
	write_zone(dir, "Far-east", mem, n, (off_t)n);
	n = make_zone(mem, -OFFSET_MAX - 1, 1, 2);
	write_zone(dir, "Far-west", mem, n, (off_t)n);
	n = make_zone(mem, OFFSET_MAX + 1, 0, 2);
	write_zone(dir, "First", mem, n, (off_t)n);
	n = make_zone(mem, 0, 0, 0);
	write_zone(dir, "No-type", mem, n, (off_t)n);
	n = make_zone(mem, 0, 2, 2);
	write_zone(dir, "No-such-type", mem, n, (off_t)n);
	{
		static const char *const bad[] = {"Empty", "Huge",    "Far-east",    "Far-west",
						  "First", "No-type", "No-such-type"};

		for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
			assert_int_equal(tz_load(bad[i], &tz), BUR_INVALID);
			(void)snprintf(path, sizeof(path), "%s/%s", dir, bad[i]);
			assert_int_equal(unlink(path), 0);
		}
	}
	(void)snprintf(path, sizeof(path), "%s/Good", dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	memset(deep, 'a', sizeof(deep));
	deep[sizeof(deep) - 1] = '\0';
	(void)setenv("BURSAR_ZONEINFO", deep, 1);
	assert_int_equal(tz_load("Europe/Berlin", &tz), BUR_INVALID);
	(void)setenv("BURSAR_ZONEINFO", "", 1); /* as if it were not there */
	tz = load("Europe/Berlin");
	tz_free(tz);
	(void)unsetenv("BURSAR_ZONEINFO");
}

/* Without a zone a window is one of UTC, and an anchor that no month has is the first. */
static void test_missing_parts_of_a_window(void **state)
{
	static const int anchors[] = {0, -5, 29, 1};
	int64_t start, end;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(anchors); i++) {
		struct window_spec spec = {WINDOW_MONTH, 0, anchors[i], NULL};

		window_at(&spec, at("2026-11-21T10:00:00Z"), &start, &end);
		assert_true(start == at("2026-11-01") && end == at("2026-12-01"));
	}
}

static void test_texts_of_utc_and_its_equals(void **state)
{
	struct tz *gmt = load("Etc/GMT"), *london = load("Europe/London");
	char text[TIME_TEXT_MAX];

	(void)state;
	assert_string_equal(time_format(&utc, 0, text), "1970-01-01T00:00:00Z");
	assert_string_equal(time_format(gmt, 0, text), "1970-01-01T00:00:00+00:00");
	assert_string_equal(time_format(london, at("2026-07-01"), text), "2026-07-01T01:00:00+01:00");
	tz_free(gmt);
	tz_free(london);
}

static void test_against_python(void **state)
{
	char command[4200];

	(void)state;
	if (access("tests/unit/base_calendar_zones.py", R_OK) != 0 ||
	    system("python3 -c 'import zoneinfo' >/dev/null 2>&1") != 0)
		skip();
	(void)snprintf(command, sizeof(command), "python3 tests/unit/base_calendar_zones.py '%s'", self);
	assert_int_equal(system(command), 0);
}

/* "day N": where local day N begins, the offsets a second before, at and after that, and where its window ends.
 * "KIND T": the window of that kind around T and the offset there. */
static int answer(const struct tz *tz, const char *what, long long n)
{
	static const char *const kinds[] = {"hour", "daily", "week", "month", "quarter", "year"};
	int64_t start = 0, end = 0;

	if (strcmp(what, "day") == 0) {
		struct window_spec spec = {WINDOW_DAY, 0, 1, tz};
		int64_t t = day_start(tz, n);

		window_at(&spec, t, &start, &end);
		return printf("%lld %d %d %d %lld\n", (long long)t, tz_offset_at(tz, t - 1), tz_offset_at(tz, t),
			      tz_offset_at(tz, t + 1), (long long)end);
	}
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct window_spec spec = {(enum window_kind)i, 0, 1, tz};

		if (strcmp(what, kinds[i]) == 0)
			window_at(&spec, n, &start, &end);
	}
	return printf("%lld %lld %d\n", (long long)start, (long long)end, tz_offset_at(tz, n));
}

/* Lines "ZONE WHAT FROM TO STEP", each answered by as many lines. */
static int answer_lines(void)
{
	char name[ZONE_NAME_MAX + 1], what[16];
	long long from, to, step;
	struct tz *tz = NULL;

	while (scanf("%64s %15s %lld %lld %lld", name, what, &from, &to, &step) == 5) {
		if (tz && strcmp(tz_name(tz), name) != 0) {
			tz_free(tz);
			tz = NULL;
		}
		if (!tz && tz_load(name, &tz) < 0)
			return 1;
		for (long long n = from; n < to; n += step)
			(void)answer(tz, what, n);
		(void)fflush(stdout);
	}
	tz_free(tz);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_windows),
	    cmocka_unit_test(test_odd_zones),
	    cmocka_unit_test(test_every_zone_tiles),
	    cmocka_unit_test(test_extremes),
	    cmocka_unit_test(test_civil),
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_broken_files),
	    cmocka_unit_test(test_rules),
	    cmocka_unit_test(test_time_texts),
	    cmocka_unit_test(test_faults),
	    cmocka_unit_test(test_odd_files),
	    cmocka_unit_test(test_missing_parts_of_a_window),
	    cmocka_unit_test(test_texts_of_utc_and_its_equals),
	    cmocka_unit_test(test_against_python),
	};

	self = argv[0];
	if (argc > 1 && strcmp(argv[1], "--answer") == 0)
		return answer_lines();
	return cmocka_run_group_tests_name("base_calendar", tests, NULL, NULL);
}
