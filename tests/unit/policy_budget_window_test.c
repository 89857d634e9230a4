/* Which window an instant lies in: fiscal years and quarters, buckets, and the words for rolling windows. */
#include "tests/unit/policy_build.h"

#include <time.h>

#include "policy/budget_window.h"

static int64_t at(int year, int month, int day)
{
	struct tm tm = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};

	return timegm(&tm);
}

static struct budget fiscal(enum window_kind kind, int month, int anchor)
{
	struct budget b = budget_of("b", 1);

	b.window.kind = kind;
	b.window.month_anchor = anchor;
	b.fiscal_month = month;
	return b;
}

static void assert_window(const struct budget *b, int64_t t, int64_t start, int64_t end)
{
	int64_t s, e;

	budget_window_at(b, t, &s, &e);
	assert_int_equal(s, start);
	assert_int_equal(e, end);
}

static void r7_1_fiscal_years_and_quarters(void **state)
{
	struct budget year = fiscal(WINDOW_YEAR, 4, 1), quarter = fiscal(WINDOW_QUARTER, 2, 1);

	(void)state;
	assert_window(&year, at(2026, 3, 31), at(2025, 4, 1), at(2026, 4, 1));
	assert_window(&year, at(2026, 4, 1) - 1, at(2025, 4, 1), at(2026, 4, 1));
	assert_window(&year, at(2026, 4, 1), at(2026, 4, 1), at(2027, 4, 1));
	assert_window(&year, at(2026, 12, 31), at(2026, 4, 1), at(2027, 4, 1));
	assert_window(&quarter, at(2026, 1, 15), at(2025, 11, 1), at(2026, 2, 1));
	assert_window(&quarter, at(2026, 2, 1), at(2026, 2, 1), at(2026, 5, 1));
	assert_window(&quarter, at(2026, 12, 1), at(2026, 11, 1), at(2027, 2, 1));
}

static void r7_1_years_begin_on_the_anchor_day(void **state)
{
	struct budget year = fiscal(WINDOW_YEAR, 4, 6), calendar = fiscal(WINDOW_YEAR, 1, 15),
		      quarter = fiscal(WINDOW_QUARTER, 1, 28);

	(void)state;
	assert_window(&year, at(2026, 4, 5), at(2025, 4, 6), at(2026, 4, 6));
	assert_window(&year, at(2026, 4, 6), at(2026, 4, 6), at(2027, 4, 6));
	assert_window(&year, at(2026, 1, 1), at(2025, 4, 6), at(2026, 4, 6));
	assert_window(&calendar, at(2026, 1, 14), at(2025, 1, 15), at(2026, 1, 15));
	assert_window(&quarter, at(2026, 1, 27), at(2025, 10, 28), at(2026, 1, 28));
	assert_window(&quarter, at(2026, 4, 28), at(2026, 4, 28), at(2026, 7, 28));
}

/* I11, for windows of every kind that this file computes itself. */
static void i11_fiscal_windows_tile_time(void **state)
{
	static const char *const zones[] = {"UTC", "Europe/Berlin", "Pacific/Apia", "America/Havana"};

	(void)state;
	for (size_t z = 0; z < ARRAY_LEN(zones); z++) {
		struct tz *tz = NULL;

		assert_int_equal(tz_load(zones[z], &tz), BUR_OK);
		for (int month = 1; month <= 12; month++) {
			for (int kind = WINDOW_QUARTER; kind <= WINDOW_YEAR; kind++) {
				struct budget b = fiscal((enum window_kind)kind, month, month % 28 + 1);
				int64_t t = 0, start, end, before = INT64_MIN;

				b.window.tz = tz;
				for (int i = 0; i < 200; i++, t = end) {
					int64_t same_start, same_end;

					budget_window_at(&b, t, &start, &end);
					assert_true(start <= t && t < end);
					assert_true(before == INT64_MIN || (before == start && t == start));
					budget_window_at(&b, end - 1, &same_start, &same_end);
					assert_int_equal(same_start, start);
					assert_int_equal(same_end, end);
					before = end;
				}
			}
		}
		tz_free(tz);
	}
}

static void r7_1_a_plain_year_is_the_calendar_s(void **state)
{
	struct budget b = fiscal(WINDOW_YEAR, 1, 1);

	(void)state;
	assert_window(&b, at(2026, 7, 1), at(2026, 1, 1), at(2027, 1, 1));
	b.window.kind = WINDOW_TOTAL;
	assert_window(&b, at(2026, 7, 1), 0, INT64_MAX);
}

static void r7_6_buckets_are_a_sixtieth(void **state)
{
	struct budget b = budget_of("b", 1);
	int64_t start, end;

	(void)state;
	b.rolling_s = 60;
	assert_window(&b, NOON + 7, NOON + 7, NOON + 8);
	b.rolling_s = DAY_S;
	assert_window(&b, NOON, NOON, NOON + 1440);
	assert_window(&b, NOON + 1439, NOON, NOON + 1440);
	assert_window(&b, -5, 0, 1440);
	budget_window_at(&b, INT64_MAX, &start, &end);
	assert_true(start % 1440 == 0 && end == start + 1440 && end < INT64_MAX / 2);
}

static void rolling_words(void **state)
{
	static const struct {
		const char *text;
		int64_t seconds;
	} good[] = {{"rolling 24h", DAY_S},       {"rolling:24h", DAY_S},    {"rolling 1m", 60},
		    {"rolling  90m", 5400},       {"rolling 7d", 7 * DAY_S}, {"rolling 2w", 14 * DAY_S},
		    {"rolling 366d", 366 * DAY_S}};
	char name[ROLLING_NAME_SIZE];
	static const char *const bad[] = {"rolling",
					  "rolling ",
					  "rolling h",
					  "rolling 0h",
					  "rolling 24",
					  "rolling 1s",
					  "rolling 1.5h",
					  "rolling -1h",
					  "rolling 367d",
					  "rolling24h",
					  "rolling 99999999999999999999h",
					  "roll 24h",
					  "rolling 24H",
					  "rolling: "};
	int64_t s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(budget_window_parse_rolling(slice_of(good[i].text), &s), BUR_OK);
		assert_int_equal(s, good[i].seconds);
	}
	assert_string_equal(budget_window_rolling_name(DAY_S, name), "rolling 24h");
	assert_string_equal(budget_window_rolling_name(7 * DAY_S, name), "rolling 7d");
	assert_string_equal(budget_window_rolling_name(5400, name), "rolling 90m");
	assert_string_equal(budget_window_rolling_name(3600, name), "rolling 1h");
	assert_string_equal(budget_window_rolling_name(366 * DAY_S, name), "rolling 366d");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (budget_window_parse_rolling(slice_of(bad[i]), &s) != BUR_INVALID)
			fail_msg("accepted: %s", bad[i]);
	}
}

static struct budget rolling(int64_t s)
{
	struct budget b = budget_of("b", 1);

	b.rolling_s = s;
	return b;
}

static void windows_within_windows(void **state)
{
	struct budget hour = fiscal(WINDOW_HOUR, 1, 1), day = fiscal(WINDOW_DAY, 1, 1),
		      week = fiscal(WINDOW_WEEK, 1, 1), month = fiscal(WINDOW_MONTH, 1, 1),
		      total = fiscal(WINDOW_TOTAL, 1, 1), r1 = rolling(60), r2 = rolling(120);

	(void)state;
	assert_true(budget_window_within(&hour, &day) && budget_window_within(&day, &day));
	assert_true(budget_window_within(&day, &week) && budget_window_within(&day, &month));
	assert_false(budget_window_within(&week, &month) || budget_window_within(&month, &week));
	assert_false(budget_window_within(&month, &day));
	assert_true(budget_window_within(&r1, &r2) && budget_window_within(&r1, &r1));
	assert_false(budget_window_within(&r2, &r1));
	assert_false(budget_window_within(&r1, &day) || budget_window_within(&hour, &r2));
	assert_true(budget_window_within(&r1, &total) && budget_window_within(&month, &total));
	assert_false(budget_window_within(&total, &month));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(r7_1_fiscal_years_and_quarters), cmocka_unit_test(r7_1_years_begin_on_the_anchor_day),
	    cmocka_unit_test(i11_fiscal_windows_tile_time),   cmocka_unit_test(r7_1_a_plain_year_is_the_calendar_s),
	    cmocka_unit_test(r7_6_buckets_are_a_sixtieth),    cmocka_unit_test(rolling_words),
	    cmocka_unit_test(windows_within_windows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
