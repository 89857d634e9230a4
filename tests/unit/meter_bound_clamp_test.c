/* meter_bound_clamp_test - the largest answer that fits what is left, to the token; thinking with it. */
#include "meter/bound.h"
#include "tests/unit/price_help.h"

#define AT_2026_01_01 INT64_C(1767225600)
#define OVERHEAD 32 /* REQUEST_OVERHEAD_TOKENS */

static const char book_json[] =
    "{\"format\":\"bursar-prices/1\",\"version\":7,\"currency\":\"USD\",\"providers\":[{\"id\":\"acme\",\"models\":["
    "{\"id\":\"basic\",\"ctx\":1000,\"max_out\":100,\"match\":[[\"eq\",\"basic\"]],"
    "\"prices\":[{\"rates\":{\"in\":\"1\",\"out\":\"2\"}}]},"
    "{\"id\":\"full\",\"max_out\":1000,\"match\":[[\"eq\",\"full\"]],\"prices\":[{\"rates\":{\"in\":\"10\",\"out\":"
    "\"20\",\"cr\":\"1\",\"cw\":\"12.5\",\"cw1h\":\"20\",\"req\":\"1\"}}]},"
    "{\"id\":\"tiered\",\"max_out\":1000,\"match\":[[\"eq\",\"tiered\"]],\"prices\":[{\"rates\":{\"in\":\"1\",\"out\":"
    "\"1\"}},{\"over\":900,\"rates\":{\"in\":\"3\",\"out\":\"3\"}}]},"
    "{\"id\":\"gemini-3-image\",\"match\":[[\"eq\",\"gemini-3-image\"]],\"max_out\":8000,\"prices\":[{\"rates\":{"
    "\"in\":\"1\",\"out\":\"3\",\"out_image\":\"30\"}}]}"
    "]}]}";

#define ROOM(usd, tok) (&(struct bound_room){usd, tok})

/* The result fits, and one more would not. */
static uint64_t cap(const struct price_model *m, enum api_kind kind, struct request_info q,
		    const struct prompt_count *count, const struct bound_room *room)
{
	struct bound got, more = {0};
	uint64_t n = bound_max_out(m, kind, &q, AT_2026_01_01, count, false, room, &got);
	const char *why = NULL;

	if (n == 0)
		return 0;
	assert_true(got.worst_nanousd <= room->nanousd);
	assert_true(room->tokens == INT64_MAX || (int64_t)(got.input_tokens + got.output_tokens) <= room->tokens);
	assert_true(n <= bound_answer_tokens(m, kind, &q));
	if (n == bound_answer_tokens(m, kind, &q))
		return n;
	q.has_max_out = true;
	q.max_out = n + 1;
	assert_int_equal(bound_upper(m, kind, &q, AT_2026_01_01, &more, &why), BOUND_OK);
	if (count)
		assert_int_equal(bound_tighten(m, kind, &q, AT_2026_01_01, count, false, &more), BOUND_OK);
	assert_true(more.worst_nanousd > room->nanousd ||
		    (int64_t)(more.input_tokens + more.output_tokens) > room->tokens);
	return n;
}

static void test_max_out(void **state)
{
	struct price_book *b = book_of(book_json);
	const struct price_model *basic = find(b, "basic"), *full = find(b, "full"), *tiered = find(b, "tiered");
	struct prompt_count count = {.tokens = 100, .margin_tokens = 10, .exact = true};
	struct request_info q = {.candidates = 1,
				 .body_bytes = 1000 - OVERHEAD,
				 .has_max_out = true,
				 .max_out = 80,
				 .inference_geo = "global",
				 .max_out_edit = {.before = "", .after = ""}};

	(void)state;
	/* basic: 1000 nano-USD for a token of input, 2000 of output */
	assert_int_equal(cap(basic, API_CHAT, q, NULL, ROOM(1000000 + 100000, INT64_MAX)), 50);
	assert_int_equal(cap(basic, API_CHAT, q, NULL, ROOM(1000000 + 101999, INT64_MAX)), 50);
	assert_int_equal(cap(basic, API_CHAT, q, NULL, ROOM(1000000 + 2000, INT64_MAX)), 1);
	assert_int_equal(cap(basic, API_CHAT, q, NULL, ROOM(1000000 + 1999, INT64_MAX)), 0);
	assert_int_equal(cap(basic, API_CHAT, q, NULL, ROOM(0, INT64_MAX)), 0);
	assert_int_equal(cap(basic, API_CHAT, q, NULL, ROOM(INT64_MAX, 1030)), 30);
	assert_int_equal(cap(basic, API_CHAT, q, NULL, ROOM(INT64_MAX, -1)), 0);
	/* never more than the call has now */
	assert_int_equal(cap(basic, API_CHAT, q, NULL, ROOM(INT64_MAX, INT64_MAX)), 80);
	q.has_max_out = false;
	assert_int_equal(cap(basic, API_CHAT, q, NULL, ROOM(INT64_MAX, INT64_MAX)), 100);
	/* of each candidate */
	q.candidates = 4;
	assert_int_equal(cap(basic, API_CHAT, q, NULL, ROOM(1000000 + 100000, INT64_MAX)), 12);
	q.candidates = 1;
	/* the exact count leaves more of it to the answer */
	assert_int_equal(cap(basic, API_CHAT, q, &count, ROOM(110000 + 100000, INT64_MAX)), 50);
	/* OpenAI takes no less than 16 */
	assert_int_equal(cap(basic, API_RESPONSES, q, NULL, ROOM(1000000 + 30000, INT64_MAX)), 0);
	assert_int_equal(cap(basic, API_RESPONSES, q, NULL, ROOM(1000000 + 32000, INT64_MAX)), 16);
	for (int64_t room = 0; room < 40000000; room += 777777)
		(void)cap(full, API_MESSAGES, q, NULL, ROOM(room, room / 10000));
	for (int64_t room = 0; room < 4000000; room += 77777)
		(void)cap(tiered, API_CHAT, q, NULL, ROOM(room, INT64_MAX));
	q.max_out_edit.before = NULL;
	assert_int_equal(cap(basic, API_CHAT, q, NULL, ROOM(INT64_MAX, INT64_MAX)), 0);
	price_book_unref(b);
}

static void test_what_cannot_be_clamped(void **state)
{
	struct price_book *b = book_of(book_json);
	struct request_info q = {.candidates = 1, .max_out_edit = {.before = "", .after = ""}};

	(void)state;
	assert_true(bound_can_clamp(find(b, "full"), API_CHAT, &q));
	assert_false(bound_can_clamp(find(b, "full"), API_BATCH_SUBMIT, &q));
	assert_false(bound_can_clamp(find(b, "gemini-3-image"), API_GENERATE, &q)); /* pictures beside the text */
	q.audio_output = true;
	assert_false(bound_can_clamp(find(b, "basic"), API_GENERATE, &q));
	price_book_unref(b);
}

static void test_thinking(void **state)
{
	struct request_info q = {.thinking_budget = 4000, .thinking_min = 1024};

	(void)state;
	assert_int_equal(bound_thinking(&q, 8000, 4000), 2000);
	assert_int_equal(bound_thinking(&q, 8000, 8000), 4000);
	assert_int_equal(bound_thinking(&q, 8000, 2000), 1024);
	assert_int_equal(bound_thinking(&q, 8000, 1025), 1024);
	assert_int_equal(bound_thinking(&q, 8000, 1024), 0);
	assert_int_equal(bound_thinking(&q, 0, 3000), 1500); /* no bound was asked for */
	assert_int_equal(bound_thinking(&q, 3000, 2400), 1200);
	assert_int_equal(bound_thinking(&q, UINT64_MAX, 2400), 1024);
	assert_int_equal(bound_least_out(&q, 16), 1025);
	assert_int_equal(bound_least_out(&q, 2000), 2000);
	q.thinking_budget = 500; /* less than the vendor takes: left to it */
	assert_int_equal(bound_least_out(&q, 16), 501);
	assert_int_equal(bound_thinking(&q, 8000, 800), 500);
	assert_int_equal(bound_thinking(&q, 8000, 500), 0);
	q.thinking_budget = UINT64_MAX;
	assert_int_equal(bound_thinking(&q, 8000, 3000), 1500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_max_out),
	    cmocka_unit_test(test_what_cannot_be_clamped),
	    cmocka_unit_test(test_thinking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
