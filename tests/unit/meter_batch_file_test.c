/* meter_batch_file_test - what an uploaded file of requests can use: sums by model, forms, lines that bound nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "meter/batch_file.h"
#include "meter/bound.h"

#define TYPE SLICE("multipart/form-data; boundary=B")
#define PURPOSE(word) "--B\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\n" word "\r\n"
#define FILE_HEAD "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"b.jsonl\"\r\n\r\n"
#define END "--B--\r\n"
#define FORM(lines) PURPOSE("batch") FILE_HEAD lines "\r\n" END
#define LINE(url, body) "{\"custom_id\":\"c\",\"method\":\"POST\",\"url\":\"" url "\",\"body\":" body "}\n"
#define CHAT(body) LINE("/v1/chat/completions", body)
#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]"

/* A copy outlives the reader. False: it is no batch. */
static bool read_pieces(struct slice type, const char *form, size_t n, size_t piece, struct batch_sum *ret)
{
	struct batch_file *b = batch_file_new(SLICE("openai"), type);
	const struct batch_sum *sum;

	assert_non_null(b);
	for (size_t i = 0; i < n; i += piece) {
		size_t k = piece < n - i ? piece : n - i;
		char *copy = malloc(k); /* so that ASan sees the borders */

		assert_non_null(copy);
		memcpy(copy, form + i, k);
		batch_file_feed(b, copy, k);
		free(copy);
	}
	sum = batch_file_end(b);
	memset(ret, 0, sizeof(*ret));
	if (sum) {
		ret->kind = sum->kind;
		ret->items = sum->items;
		ret->n = sum->n;
		memcpy(ret->why, sum->why, sizeof(ret->why));
		memcpy(ret->of, sum->of, sum->n * sizeof(sum->of[0]));
	}
	batch_file_free(b);
	return sum != NULL;
}

static bool read_type(struct slice type, const char *form, struct batch_sum *ret)
{
	static struct batch_sum split;
	size_t n = strlen(form);
	bool is_batch = read_pieces(type, form, n, n + 1, ret);

	for (size_t piece = 1; piece <= 17; piece += piece < 4 ? 1 : 13) {
		assert_int_equal(read_pieces(type, form, n, piece, &split), is_batch);
		assert_string_equal(split.why, ret->why);
		assert_memory_equal(&split, ret, sizeof(split));
	}
	return is_batch;
}

static const struct batch_sum *good(const char *form)
{
	static struct batch_sum sum;

	assert_true(read_type(TYPE, form, &sum));
	if (sum.why[0] != '\0')
		fail_msg("%s", sum.why);
	return &sum;
}

static void bad(const char *form, const char *why)
{
	struct batch_sum sum;

	assert_true(read_type(TYPE, form, &sum));
	if (!strstr(sum.why, why) || why[0] == '\0')
		fail_msg("%s\nsays \"%s\", not \"%s\"", form, sum.why, why);
	assert_int_equal(sum.n, 0);
}

static void test_sums(void **state)
{
	static const char one[] = "{\"model\":\"m\",\"max_tokens\":10," HI "}";
	static const char two[] = "{\"model\":\"m\",\"max_completion_tokens\":7,\"n\":3," HI "}";
	static const char open[] = "{\"n\":2,\"model\":\"m\"," HI "}";
	const struct batch_sum *s;
	char form[2048];

	(void)state;
	(void)snprintf(form, sizeof(form), FORM(CHAT("%s") "\n \t\r\n" CHAT("%s") CHAT("%s")), one, two, open);
	s = good(form);
	assert_int_equal(s->kind, API_CHAT);
	assert_int_equal(s->items, 3);
	assert_int_equal(s->n, 1);
	assert_string_equal(s->of[0].model, "m");
	assert_int_equal(s->of[0].batch_items, 3);
	assert_int_equal(s->of[0].max_out, 31);
	assert_int_equal(s->of[0].batch_uncapped, 2);
	assert_int_equal(s->of[0].messages, 3);
	assert_in_range(s->of[0].call_input, strlen(one), strlen(two) + 40);
	/* the envelope is not read by the model */
	assert_int_equal(s->of[0].body_bytes, strlen(one) + strlen(two) + strlen(open));
}

static void test_models_and_order_of_keys(void **state)
{
	const struct batch_sum *s;

	(void)state;
	s = good(FORM("{\"body\":{\"model\":\"a\",\"max_output_tokens\":5,\"input\":\"x\"},\"url\":\"/v1/responses\"}\n"
		      "{\"body\":{\"model\":\"b\",\"max_output_tokens\":6,\"input\":\"x\"},\"method\":\"POST\","
		      "\"url\":\"/v1/responses\"}\r\n"
		      "{\"body\":{\"model\":\"a\",\"max_output_tokens\":7,\"tools\":[{\"type\":\"web_search\"}],"
		      "\"max_tool_calls\":4,\"previous_response_id\":\"r\"},\"url\":\"/v1/responses\"}"));
	assert_int_equal(s->kind, API_RESPONSES);
	assert_int_equal(s->n, 2);
	assert_int_equal(s->of[0].max_out, 12);
	assert_int_equal(s->of[1].max_out, 6);
	assert_true(s->of[0].hosted_bounded && s->of[0].hosted_tools && s->of[0].stored_context);
	assert_int_equal(s->of[0].hosted_calls, 4);
	assert_true(s->of[0].call_input == UINT64_MAX && s->of[1].call_input < 100);
	assert_false(s->of[1].hosted_tools || s->of[1].stored_context);
	/* one that is not bounded unbounds all */
	s = good(FORM(LINE("/v1/responses", "{\"model\":\"a\",\"tools\":[{\"type\":\"web_search\"}]}") LINE(
	    "/v1/responses", "{\"model\":\"a\",\"max_tool_calls\":1,\"tools\":[{\"type\":\"web_search\"}]}")));
	assert_false(s->of[0].hosted_bounded);
	/* models that nobody keeps apart */
	bad(FORM(CHAT("{\"model\":\"1\"}") CHAT("{\"model\":\"2\"}") CHAT("{\"model\":\"3\"}") CHAT("{\"model\":\"4\"}")
		     CHAT("{\"model\":\"5\"}") CHAT("{\"model\":\"6\"}") CHAT("{\"model\":\"7\"}")
			 CHAT("{\"model\":\"8\"}") CHAT("{\"model\":\"9\"}")),
	    "line 9: the file names more models");
}

static void test_kinds(void **state)
{
	const struct batch_sum *s;

	(void)state;
	s = good(FORM(LINE("/v1/embeddings", "{\"model\":\"e\",\"input\":[\"a\",\"b\"]}")));
	assert_int_equal(s->kind, API_EMBEDDINGS);
	assert_int_equal(s->of[0].max_out + s->of[0].batch_uncapped, 0);
	s = good(
	    FORM(LINE("/v1/completions", "{\"model\":\"c\",\"prompt\":[\"a\",\"b\"],\"best_of\":3,\"max_tokens\":4}")));
	assert_int_equal(s->kind, API_COMPLETIONS);
	assert_int_equal(s->of[0].max_out, 4 * 3 * 2);
	s = good(FORM(LINE("/v1/moderations", "{\"input\":\"a\"}")));
	assert_int_equal(s->kind, API_MODERATIONS);
	assert_int_equal(s->n, 0);
	assert_int_equal(s->items, 1);
	/* Azure writes it so */
	assert_int_equal(good(FORM(LINE("/chat/completions", "{\"model\":\"m\"}")))->kind, API_CHAT);
	/* a prediction is billed as output where it is not taken */
	s = good(
	    FORM(CHAT("{\"model\":\"m\",\"max_tokens\":1,\"prediction\":{\"type\":\"content\",\"content\":\"x\"}}")));
	assert_int_equal(s->of[0].max_out, 1 + s->of[0].body_bytes);
}

static void test_what_bounds_nothing(void **state)
{
	(void)state;
	bad(FORM(""), "empty");
	bad(FORM("\n\n"), "empty");
	bad(FORM(CHAT("{\"model\":\"m\"}") "x"), "line 2: the request body is not a JSON object");
	bad(FORM(CHAT("{\"model\":\"m\"}") "\n{\"custom_id\":"), "line 3: ");
	bad(FORM(CHAT("{\"model\":\"m\",\"max_tokens\":1,\"max_tokens\":2}")),
	    "line 1: the key \"max_tokens\" stands twice");
	bad(FORM("{\"url\":\"/v1/chat/completions\",\"body\":{\"model\":\"m\"},\"body\":{\"model\":\"n\"}}"),
	    "\"body\" stands twice");
	bad(FORM("{\"url\":\"/v1/chat/completions\",\"body\":{\"model\":\"m\"},\"url\":\"/v1/embeddings\"}"),
	    "\"url\" stands twice");
	bad(FORM(CHAT("{}")), "names no model");
	bad(FORM(CHAT("[]")), "no `body`");
	bad(FORM(CHAT("{\"model\":7}")), "\"model\" has the wrong type");
	bad(FORM("{\"body\":{\"model\":\"m\"}}"), "no `url`");
	bad(FORM("{\"url\":7,\"body\":{\"model\":\"m\"}}"), "no `url`");
	bad(FORM("{\"url\":{},\"body\":{\"model\":\"m\"}}"), "\"url\" has the wrong type");
	bad(FORM("{\"method\":\"PUT\",\"url\":\"/v1/chat/completions\",\"body\":{\"model\":\"m\"}}"),
	    "\"method\" has the wrong type");
	bad(FORM(LINE("/v1/videos", "{\"model\":\"m\"}")), "endpoint costs in a batch is not known");
	bad(FORM(LINE("/v1/images/generations", "{\"model\":\"m\"}")), "not known");
	bad(FORM(LINE("/v1/messages", "{\"model\":\"m\"}")), "not known");
	bad(FORM(CHAT("{\"model\":\"m\"}") LINE("/v1/embeddings", "{\"model\":\"m\"}")),
	    "line 2: it goes to another endpoint");
	/* a line for readers that end lines with a carriage return */
	bad(FORM("{\"x\":[\r{\"url\":\"/v1/chat/completions\",\"body\":{\"model\":\"m\"}}\r]}"), "carriage return");
	bad(FORM(CHAT("{\"model\":\"m\"}") "\r\r\n"), "carriage return");
	/* a request over two lines is two that are none */
	bad(FORM("{\"url\":\"/v1/chat/completions\",\n\"body\":{\"model\":\"m\"}}"), "line 1: ");
	bad(FORM(CHAT("{\"model\":\"m\",\"max_tokens\":-1}")), "max_tokens");
	bad(FORM("\xef\xbb\xbf" CHAT("{\"model\":\"m\"}")), "line 1: ");
}

static void test_forms(void **state)
{
	static const char line[] = CHAT("{\"model\":\"m\"}");
	struct batch_sum sum;
	char form[1024];

	(void)state;
	/* the purpose may stand behind; other fields are nobody's */
	(void)snprintf(form, sizeof(form),
		       FILE_HEAD "%s\r\n--B\r\nContent-Disposition: form-data; name=\"expires_after[anchor]\"\r\n\r\n"
				 "created_at\r\n" PURPOSE("batch") END,
		       line);
	assert_int_equal(good(form)->items, 1);
	/* files for other ends */
	assert_false(read_type(TYPE, PURPOSE("fine-tune") FILE_HEAD "{}\r\n" END, &sum));
	assert_false(read_type(TYPE, FILE_HEAD "{}\r\n" PURPOSE("assistants") END, &sum));
	assert_false(read_type(TYPE, FILE_HEAD "{}\r\n" PURPOSE("batch_output_that_is_long") END, &sum));
	bad(FILE_HEAD "{}\r\n" END, "plain form");
	bad(PURPOSE("batch") END, "plain form");
	bad(FORM("") "x", "plain form");
	bad(PURPOSE("batch") FILE_HEAD "{}", "plain form");
	bad(PURPOSE("batch") FILE_HEAD "x\r\n" FILE_HEAD "y\r\n" END, "plain form");
	bad(FILE_HEAD "x\r\n" PURPOSE("batch") PURPOSE("assistants") END, "plain form");
	bad("--B\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n" PURPOSE("batch") END, "plain form");
	assert_true(read_type(SLICE("application/json"), "{\"purpose\":\"batch\"}", &sum));
	assert_non_null(strstr(sum.why, "plain form"));
}

/* What the sum may cost is never less than what its requests may cost one by one, at the same prices. */
static void test_sum_bounds_its_requests(void **state)
{
	static const char book_json[] =
	    "{\"format\":\"bursar-prices/"
	    "1\",\"version\":1,\"currency\":\"USD\",\"providers\":[{\"id\":\"p\",\"models\":[{"
	    "\"id\":\"m\",\"ctx\":20000,\"max_out\":300,\"match\":[[\"eq\",\"m\"]],\"prices\":[{\"rates\":{\"in\":"
	    "\"1\","
	    "\"out\":\"4\",\"cw\":\"1.25\",\"web\":\"10\"}},{\"over\":2000,\"rates\":{\"in\":\"2\",\"out\":\"6\"}}]}]}]"
	    "}";
	static const char *const bodies[] = {
	    "{\"model\":\"m\",\"input\":\"Hi\"}",
	    "{\"model\":\"m\",\"input\":\"Hi\",\"max_output_tokens\":20,\"tools\":[{\"type\":\"function\"}]}",
	    "{\"model\":\"m\",\"previous_response_id\":\"r\",\"max_output_tokens\":20}",
	    "{\"model\":\"m\",\"input\":\"Hi\",\"tools\":[{\"type\":\"web_search\"}],\"max_tool_calls\":3}",
	    "{\"model\":\"m\",\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_image\",\"image_url\":"
	    "\"http://"
	    "x\"}]}],\"max_output_tokens\":20}"};
	struct price_book *book = NULL;
	const struct price_model *m;
	struct bound one, all;
	struct reqscan scan;
	const char *why = "";
	char err[200], form[4096];
	unsigned seed = 5;

	(void)state;
	assert_int_equal(price_book_parse(SLICE(book_json), &book, err, sizeof(err)), BUR_OK);
	m = price_find(book, SLICE("p"), SLICE("m"), NULL);
	for (int round = 0; round < 300; round++) {
		size_t n = (size_t)snprintf(form, sizeof(form), "%s", PURPOSE("batch") FILE_HEAD);
		int64_t sum = 0;

		for (int k = rand_r(&seed) % 6; k >= 0; k--) {
			const char *body = bodies[(size_t)rand_r(&seed) % ARRAY_LEN(bodies)];

			n += (size_t)snprintf(form + n, sizeof(form) - n, LINE("/v1/responses", "%s"), body);
			reqscan_init(&scan, API_RESPONSES);
			assert_int_equal(reqscan_feed(&scan, body, strlen(body)), BUR_OK);
			assert_int_equal(reqscan_finish(&scan), BUR_OK);
			assert_int_equal(bound_upper(m, API_RESPONSES, &scan.info, 0, &one, &why), BOUND_OK);
			sum += one.worst_nanousd;
		}
		(void)snprintf(form + n, sizeof(form) - n, "\r\n%s", END);
		assert_int_equal(bound_upper(m, API_BATCH_SUBMIT, &good(form)->of[0], 0, &all, &why), BOUND_OK);
		assert_true(all.worst_nanousd >= sum - 6); /* each of those was rounded up */
	}
	price_book_unref(book);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sums),  cmocka_unit_test(test_models_and_order_of_keys),
	    cmocka_unit_test(test_kinds), cmocka_unit_test(test_what_bounds_nothing),
	    cmocka_unit_test(test_forms), cmocka_unit_test(test_sum_bounds_its_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
