/* Steps told beside calls, what ends them, and that a step is told anew after it ended; each once. */
#include "store/crossing.h"

#include "store/alerts.h"
#include "tests/unit/store_help.h"

static char dir[64];

static int setup(void **state)
{
	(void)state;
	new_dir(dir);
	log_init(STDERR_FILENO, LOG_ERROR);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	remove_dir(dir);
	return 0;
}

static struct threshold_event step_at(int64_t win_start, int64_t ppm, uint32_t mask)
{
	struct threshold_event e = {.kind = "budget.threshold",
				    .word = "alert",
				    .mode = "hard",
				    .uid = METER_A,
				    .win_start = win_start,
				    .win_end = win_start + 100,
				    .at_ppm = ppm,
				    .limit = 1000,
				    .at_ns = 5,
				    .warned_mask = mask};

	(void)snprintf(e.budget, sizeof(e.budget), "a");
	return e;
}

static struct crossing_end end_of(const char *kind, uint32_t steps, int64_t after)
{
	return (struct crossing_end){.uid = METER_A,
				     .win_start = WINDOW,
				     .steps = steps,
				     .kind = kind,
				     .after = after,
				     .at_ns = 6,
				     .payload = SLICE("{}")};
}

#define EVENTS "SELECT count(*) FROM event WHERE kind="

static void a_step_is_one_event_until_it_is_told_anew(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	struct threshold_event e[] = {step_at(WINDOW, 500000, 1), step_at(WINDOW, 900000, 5)};
	struct crossing_end recovered = end_of("budget.recovered", 4, 0), silent = end_of(NULL, 1, 0);

	(void)state;
	assert_int_equal(crossings_tell(s, e, 2), BUR_OK);
	assert_int_equal(crossings_tell(s, e, 2), BUR_OK); /* an answer that was lost */
	assert_int_equal(sql_int(dir, EVENTS "'budget.threshold'"), 2);
	assert_int_equal(sql_int(dir, "SELECT warned_mask FROM meter WHERE win_start=1700000000"), 5);
	assert_int_equal(crossings_end(s, &recovered, 1, 2), BUR_OK);
	assert_int_equal(sql_int(dir, "SELECT warned_mask FROM meter WHERE win_start=1700000000"), 1);
	assert_int_equal(sql_int(dir, EVENTS "'budget.recovered' AND action=101"), 1);
	assert_int_equal(crossings_tell(s, &e[1], 1), BUR_OK);
	assert_int_equal(crossings_tell(s, &e[1], 1), BUR_OK);
	assert_int_equal(sql_int(dir, EVENTS "'budget.threshold' AND payload->>'at_ppm'=900000"), 2);
	assert_int_equal(crossings_end(s, &silent, 1, 2), BUR_OK);
	assert_int_equal(crossings_tell(s, e, 1), BUR_OK);
	assert_int_equal(sql_int(dir, EVENTS "'budget.threshold' AND payload->>'at_ppm'=500000"), 2);
	assert_int_equal(crossings_end(s, &recovered, 1, 2), BUR_OK); /* and over once more */
	assert_int_equal(sql_int(dir, EVENTS "'budget.recovered'"), 2);
	store_close(s);
}

static void a_window_ends_once_for_what_was_told_of_it(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	struct crossing_end a = end_of("budget.reset", 0, 7), b = end_of("budget.reset", 0, 9);

	(void)state;
	assert_int_equal(crossings_end(s, &a, 1, 7), BUR_OK);
	assert_int_equal(crossings_end(s, &a, 1, 7), BUR_OK);
	assert_int_equal(sql_int(dir, EVENTS "'budget.reset'"), 1);
	assert_int_equal(crossings_end(s, &b, 1, 9), BUR_OK); /* a late bill crossed another threshold of it */
	assert_int_equal(sql_int(dir, EVENTS "'budget.reset'"), 2);
	store_close(s);
}

static void steps_of_a_rolling_window_stand_in_its_buckets(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	struct threshold_event e[] = {step_at(WINDOW, 500000, 1), step_at(WINDOW + 60, 900000, 4)};
	struct crossing_end over = end_of("budget.recovered", 5, 0);

	(void)state;
	over.rolling = true;
	over.win_start = WINDOW + 60;
	assert_int_equal(crossings_tell(s, e, 2), BUR_OK);
	assert_int_equal(crossings_end(s, &over, 1, 0), BUR_OK);
	assert_int_equal(sql_int(dir, "SELECT sum(warned_mask) FROM meter"), 0);
	assert_int_equal(crossings_tell(s, e, 2), BUR_OK);
	assert_int_equal(sql_int(dir, EVENTS "'budget.threshold'"), 4);
	store_close(s);
}

static void how_far_all_is_ended_is_kept(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	struct alerts_change taken = {.cursor = 41, .now_ns = 1};
	sqlite3 *db = NULL;
	int64_t mark, posted;

	(void)state;
	assert_int_equal(store_reader(s, &db), BUR_OK);
	assert_int_equal(crossings_mark(db, &mark), BUR_OK);
	assert_int_equal(mark, 0);
	assert_int_equal(alerts_write(s, &taken), BUR_OK);
	assert_int_equal(crossings_mark(db, &mark), BUR_OK);
	assert_int_equal(mark, 41); /* an upgrade: what was told before has no end */
	assert_int_equal(crossings_end(s, NULL, 0, 12), BUR_OK);
	assert_int_equal(crossings_mark(db, &mark), BUR_OK);
	assert_int_equal(mark, 12);
	assert_int_equal(crossing_posted(db, METER_A, WINDOW, &posted), BUR_OK);
	assert_int_equal(posted, 0);
	assert_int_equal(store_start(s), BUR_OK);
	whole_call(s, 77);
	assert_int_equal(store_sync(s, 5 * NS_PER_S), BUR_OK);
	assert_int_equal(crossing_posted(db, METER_A, WINDOW, &posted), BUR_OK);
	assert_int_equal(posted, 77);
	(void)sqlite3_close(db);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_step_is_one_event_until_it_is_told_anew, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_window_ends_once_for_what_was_told_of_it, setup, teardown),
	    cmocka_unit_test_setup_teardown(steps_of_a_rolling_window_stand_in_its_buckets, setup, teardown),
	    cmocka_unit_test_setup_teardown(how_far_all_is_ended_is_kept, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
