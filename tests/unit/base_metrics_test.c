/* base_metrics_test - Prometheus text, stripes, histograms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <pthread.h>

#include "base/error.h"
#include "base/metrics.h"

static struct metric calls_ok = {.name = "t_calls_total", .labels = "reason=\"ok\"", .help = "Calls."};
static struct metric calls_bad = {.name = "t_calls_total", .labels = "reason=\"bad\"", .help = "Calls."};
static struct metric held = {.name = "t_held", .help = "Held.", .kind = METRIC_GAUGE};
static struct histogram wait = {.name = "t_wait_seconds", .help = "Wait.", .bound_ns = {1000, 2500000}, .n_bounds = 2};
static struct histogram wait_x = {
    .name = "t_wait_seconds", .labels = "x=\"1\"", .bound_ns = {INT64_C(10000000000)}, .n_bounds = 1};

static void *add_many(void *arg)
{
	for (int i = 0; i < 10000; i++) {
		metric_add(&calls_ok, 1);
		histogram_observe(&wait, 1000);
	}
	return arg;
}

static void test_print(void **state)
{
	static const char expected[] = "# HELP t_calls_total Calls.\n# TYPE t_calls_total counter\n"
				       "t_calls_total{reason=\"ok\"} 120000\nt_calls_total{reason=\"bad\"} 3\n"
				       "# HELP t_held Held.\n# TYPE t_held gauge\nt_held -7\n"
				       "# HELP t_wait_seconds Wait.\n# TYPE t_wait_seconds histogram\n"
				       "t_wait_seconds_bucket{le=\"0.000001\"} 120000\n"
				       "t_wait_seconds_bucket{le=\"0.0025\"} 120001\n"
				       "t_wait_seconds_bucket{le=\"+Inf\"} 120002\n"
				       "t_wait_seconds_sum 5.120001001\nt_wait_seconds_count 120002\n"
				       "t_wait_seconds_bucket{x=\"1\",le=\"10\"} 0\n"
				       "t_wait_seconds_bucket{x=\"1\",le=\"+Inf\"} 0\n"
				       "t_wait_seconds_sum{x=\"1\"} 0\nt_wait_seconds_count{x=\"1\"} 0\n";
	pthread_t threads[12];
	struct buf out;

	(void)state;
	metric_register(&calls_ok);
	metric_register(&held);
	metric_register(&calls_bad); /* joins its name */
	metric_register(&calls_ok);  /* changes nothing */
	histogram_register(&wait);
	histogram_register(&wait_x);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	metric_add(&calls_bad, 3);
	metric_add(&held, 40);
	metric_set(&held, -7);
	assert_int_equal(metric_read(&held), -7);
	histogram_observe(&wait, 1001);
	histogram_observe(&wait, INT64_C(5000000000));
	buf_init(&out, 65536);
	assert_int_equal(metrics_print(&out), BUR_OK);
	assert_int_equal(buf_append(&out, "", 1), BUR_OK);
	assert_string_equal(out.mem, expected);
	buf_done(&out);
	buf_init(&out, 50);
	assert_int_equal(metrics_print(&out), BUR_TOOBIG);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_print)};

	return cmocka_run_group_tests_name("base_metrics", tests, NULL, NULL);
}
