/* meter_grow_test - which streams may begin on less than their bound, on how much, and what that comes to. */
#include "meter/grow.h"
#include "tests/unit/price_help.h"

#define AT_2026_01_01 INT64_C(1767225600)

/* 1 USD a million tokens of input, 2 of output: 1000 and 2000 nano-USD a token. */
static const char book_json[] =
    "{\"format\":\"bursar-prices/1\",\"version\":7,\"currency\":\"USD\",\"providers\":[{\"id\":\"acme\",\"models\":["
    "{\"id\":\"basic\",\"ctx\":100000,\"max_out\":20000,\"match\":[[\"eq\",\"basic\"]],"
    "\"prices\":[{\"rates\":{\"in\":\"1\",\"out\":\"2\"}}]},"
    "{\"id\":\"paints\",\"max_out\":8000,\"match\":[[\"eq\",\"paints\"]],"
    "\"prices\":[{\"rates\":{\"in\":\"1\",\"out\":\"3\",\"out_image\":\"30\"}}]}"
    "]}]}";

struct fixture {
	struct price_book *book;
	struct request_info info;
	struct bound full;
	struct grow_call call;
};

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){.info = {.candidates = 1, .stream = true},
			     .full = {.worst_nanousd = 1000 * 1000 + 20000 * 2000,
				      .input_nanousd = 1000 * 1000,
				      .input_tokens = 1000,
				      .output_tokens = 20000}};
	f.book = book_of(book_json);
	f.call = (struct grow_call){.price = find(f.book, "basic"),
				    .kind = API_CHAT,
				    .info = &f.info,
				    .full = &f.full,
				    .allow_tokens = 64,
				    .at_s = AT_2026_01_01};
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	price_book_unref(((struct fixture *)*state)->book);
	return 0;
}

static void test_bill_must_be_seen(void **state)
{
	struct fixture *f = *state;
	const struct price_model *m = find(f->book, "basic");
	bool *const hides[] = {&f->info.hosted_tools, &f->info.audio_output, &f->info.prediction,
			       &f->info.background,   &f->info.agent,        &f->info.reasoning_hidden};

	assert_true(grow_shows_bill(m, API_CHAT, &f->info));
	assert_true(grow_shows_bill(m, API_MESSAGES, &f->info));
	assert_false(grow_shows_bill(m, API_IMAGES, &f->info));
	assert_false(grow_shows_bill(find(f->book, "paints"), API_CHAT, &f->info));
	for (size_t i = 0; i < ARRAY_LEN(hides); i++) {
		*hides[i] = true;
		assert_false(grow_shows_bill(m, API_CHAT, &f->info));
		*hides[i] = false;
	}
}

static void test_answers_side_by_side(void **state)
{
	struct fixture *f = *state;

	f->info.candidates = 3;
	f->info.messages = 4;
	assert_int_equal(grow_answers(API_CHAT, &f->info), 3);
	assert_int_equal(grow_answers(API_COMPLETIONS, &f->info), 12); /* each prompt has its own */
	f->info.messages = UINT32_MAX;
	assert_int_equal(grow_answers(API_COMPLETIONS, &f->info), 3000);
	assert_int_equal(grow_allowance(&f->call), 3 * 64);
	f->info.candidates = 0;
	assert_int_equal(grow_answers(API_CHAT, &f->info), 1);
}

static void test_beginning(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(grow_start(&f->call, NULL, SLICE("acme")), 1024 + 64);
	assert_int_equal(grow_least(&f->call), 64 + 1000 / 64);
	f->full.input_tokens = 100;
	assert_int_equal(grow_least(&f->call), 64 + 8);
	f->info.candidates = 2;
	assert_int_equal(grow_start(&f->call, NULL, SLICE("acme")), 2 * (1024 + 64));
	assert_int_equal(grow_least(&f->call), 2 * (64 + 8));
}

static void test_bound_with_less_output(void **state)
{
	struct fixture *f = *state;
	struct bound b;

	assert_true(grow_bound(&f->call, 500, &b));
	assert_int_equal(b.output_tokens, 500);
	assert_int_equal(b.input_tokens, 1000);
	/* what is left out was rounded up, so one more nano-USD stays */
	assert_int_equal(b.worst_nanousd, 1000 * 1000 + 500 * 2000 + 1);
	assert_true(grow_bound(&f->call, 20000, &b));
	assert_memory_equal(&b, &f->full, sizeof(b));
	assert_true(grow_bound(&f->call, UINT64_MAX, &b));
	assert_memory_equal(&b, &f->full, sizeof(b));
}

static void test_most_that_fits(void **state)
{
	static const struct bound nothing;
	struct fixture *f = *state;
	struct bound held;
	struct bound_room room = {1000 * 1000 + 500 * 2000 + 1, INT64_MAX};

	assert_int_equal(grow_most(&f->call, 80, 19999, &nothing, &room), 500);
	room.nanousd--;
	assert_int_equal(grow_most(&f->call, 80, 19999, &nothing, &room), 499);
	assert_int_equal(grow_most(&f->call, 80, 300, &nothing, &room), 300);
	room.tokens = 1000 + 123;
	assert_int_equal(grow_most(&f->call, 80, 19999, &nothing, &room), 123);
	room.tokens = 1000;
	assert_int_equal(grow_most(&f->call, 80, 19999, &nothing, &room), 79); /* not even 80 */
	/* beside what is held already */
	assert_true(grow_bound(&f->call, 500, &held));
	room = (struct bound_room){10 * 2000, INT64_MAX};
	assert_int_equal(grow_most(&f->call, 501, 19999, &held, &room), 510);
	room = (struct bound_room){0, 0};
	assert_int_equal(grow_most(&f->call, 501, 19999, &held, &room), 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_bill_must_be_seen, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_answers_side_by_side, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_beginning, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_bound_with_less_output, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_most_that_fits, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
