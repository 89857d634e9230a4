/* meter_prompt_test - the prompt of a body in tokens: framing, escapes, tools, pictures, factors; and that what is
 * called exact is a bound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "meter/prompt.h"

static uint64_t text(const char *s)
{
	return tok_count(TOK_O200K, NULL, s, strlen(s), UINT64_MAX);
}

static int count_as(const char *provider, const char *model, enum api_kind kind, const char *body,
		    struct prompt_count *ret)
{
	static struct reqscan s;

	reqscan_init(&s, kind);
	if (reqscan_feed(&s, body, strlen(body)) < 0 || reqscan_finish(&s) < 0)
		fail_msg("not understood: %s", body);
	return prompt_count(kind, slice_of(provider), slice_of(model), &s.info, slice_of(body), NULL, ret);
}

static struct prompt_count count(enum api_kind kind, const char *body)
{
	struct prompt_count c;

	assert_int_equal(count_as("openai", "gpt-5.4", kind, body, &c), BUR_OK);
	assert_true(c.exact);
	return c;
}

static void test_chat(void **state)
{
	struct prompt_count c;

	(void)state;
	c = count(API_CHAT,
		  "{\"model\":\"gpt-5.4\",\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":"
		  "\"user\",\"content\":[{\"type\":\"text\",\"text\":\"What is a budget?\"}],\"name\":\"ada\"}]}");
	assert_int_equal(c.tokens, 3 + text("system") + text("Be brief.") + 3 + text("user") +
				       text("What is a budget?") + text("ada") + 1 + 3);
	assert_int_equal(c.margin_tokens, 2 * 5 + 29);
	assert_int_equal(c.script, SCRIPT_LATIN);
	/* escapes are read as the vendor reads them, keys too */
	assert_int_equal(
	    count(
		API_CHAT,
		"{\"mess\\u0061ges\":[{\"role\":\"user\",\"c\\u006fntent\":\"Gr\\u00fc\\u00dfe \\ud83d\\ude00\\n\"}]}")
		.tokens,
	    3 + 1 + text("Gr\303\274\303\237e \360\237\230\200\n") + 3);
	/* what the model does not see */
	assert_int_equal(
	    count(API_CHAT,
		  "{\"user\":\"abc\",\"metadata\":{\"a\":\"b\"},\"messages\":[{\"role\":\"assistant\",\"content\":null,"
		  "\"tool_calls\":[{\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":"
		  "\"{}\"}}]},"
		  "{\"role\":\"tool\",\"tool_call_id\":\"call_1\",\"content\":\"x\"}]}")
		.tokens,
	    3 + text("assistant") + 3 + 1 + text("f") + text("{}") + 3 + text("tool") + text("x") + 3);
	/* members nobody knows may be part of it: a token a byte above */
	c = count(API_CHAT, "{\"news\":\"abcdef\",\"messages\":[]}");
	assert_int_equal(c.tokens, 3);
	assert_true(c.margin_tokens >= 29 + 8);
}

/* Lists of a server's tools, results of searches: shown to the model with their keys, and in no known form. */
static void test_what_may_be_anything(void **state)
{
	static const char list[] =
	    "{\"input\":[{\"type\":\"mcp_list_tools\",\"tools\":[{\"name\":\"a\",\"input_schema\":{"
	    "\"properties\":{\"image\":{\"description\":\"one two three\"},\"zq zq zq\":{\"id\":"
	    "1}}}}]}],\"x\":1}";
	struct prompt_count c;

	(void)state;
	c = count(API_RESPONSES, list);
	assert_true(c.tokens + c.margin_tokens >= sizeof(list) - 1 - 45);
	c = count(API_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\",\"foo\":\"0123456789\"}]}");
	assert_int_equal(c.tokens, 3 + 1 + 1 + 3);
	assert_int_equal(c.margin_tokens, 5 + 29 + strlen("\"foo\":\"0123456789\""));
}

static void test_other_kinds(void **state)
{
	(void)state;
	assert_int_equal(count(API_RESPONSES, "{\"input\":\"Hello there\",\"instructions\":\"Be brief.\"}").tokens,
			 3 + text("Hello there") + 3 + text("Be brief.") + 3);
	assert_int_equal(count(API_COMPLETIONS, "{\"prompt\":[\"Hello\",\"there\"]}").tokens,
			 text("Hello") + text("there"));
	assert_int_equal(count(API_COMPLETIONS, "{\"prompt\":[[1,2,3],[4]]}").tokens, 4);
	assert_int_equal(count(API_EMBEDDINGS, "{\"input\":[1,2,3]}").tokens, 3);
	assert_int_equal(count(API_EMBEDDINGS, "{\"input\":\"\"}").tokens, 0);
}

static void test_tools(void **state)
{
	static const char compact[] = "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"a\":[1,"
				      "true,null],\"b\":\"x\\\"y\"}}}]";
	struct prompt_count c;

	(void)state;
	c = count(API_CHAT,
		  "{\"messages\":[],\"tools\": [ {\"type\" : \"function\", \"function\":{\"name\":\"f\",\"parameters\":"
		  "{\"a\":[1, true,null ],\n\"b\":\"\\u0078\\u0022y\"}}} ] }");
	assert_int_equal(c.tokens, 3 + text(compact) + 9);
	/* as a bound: never more tokens than bytes */
	assert_true(c.tokens + c.margin_tokens >= sizeof(compact) - 1 + 1024);
}

static void test_pictures(void **state)
{
	struct prompt_count c;

	(void)state;
	assert_int_equal(
	    count_as("openai", "gpt-4o", API_CHAT,
		     "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":"
		     "\"data:image/gif;base64,R0lGODlhIANYAgAAAAAA\",\"detail\":\"low\"}}]}]}",
		     &c),
	    BUR_OK);
	assert_int_equal(c.image_tokens, 85);
	assert_int_equal(c.tokens, 85 + 3 + 1 + 3);
}

static void test_not_counted(void **state)
{
	struct prompt_count c;

	(void)state;
	assert_int_equal(count_as("openai", "gpt-4o", API_CHAT,
				  "{\"messages\":[{\"content\":[{\"type\":\"file\",\"file\":{\"file_id\":"
				  "\"f\"}}]}]}",
				  &c),
			 BUR_NOTFOUND);
	assert_int_equal(count_as("openai", "gpt-4o", API_RESPONSES, "{\"previous_response_id\":\"r\"}", &c),
			 BUR_NOTFOUND);
	assert_int_equal(count_as("openai", "tts-1", API_SPEECH, "{\"input\":\"r\"}", &c), BUR_NOTFOUND);
	assert_int_equal(count_as("openai", "dall-e-3", API_IMAGES, "{\"prompt\":\"r\"}", &c), BUR_NOTFOUND);
}

static void test_foreign(void **state)
{
	static const char body[] =
	    "{\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"The quick brown fox jumps over "
	    "the lazy dog and runs away from the bear.\"}]}";
	struct prompt_count old, new;

	(void)state;
	assert_int_equal(count_as("anthropic", "claude-sonnet-4-6", API_MESSAGES, body, &old), BUR_OK);
	assert_int_equal(count_as("anthropic", "claude-opus-5-5", API_MESSAGES, body, &new), BUR_OK);
	assert_false(old.exact || new.exact);
	assert_true(new.tokens > old.tokens &&old.tokens > old.text_tokens);
	assert_int_equal(count_as("vllm", "gpt-4o", API_CHAT, body, &old), BUR_OK);
	assert_false(old.exact); /* anybody's model can be called that */
	assert_int_equal(prompt_factor(SLICE("meta-llama/Llama-4"), SCRIPT_LATIN).mean, 1010);
	assert_int_equal(prompt_factor(SLICE("us.anthropic.claude-opus-4-7"), SCRIPT_LATIN).reserve, 1800);
	assert_int_equal(prompt_factor(SLICE("gemini-3-pro"), SCRIPT_CJK).mean, 950);
	assert_int_equal(prompt_factor(SLICE("who-knows"), SCRIPT_OTHER).reserve, 1800);
}

static void test_script(void **state)
{
	(void)state;
	assert_int_equal(count(API_EMBEDDINGS, "{\"input\":\"\346\227\245\346\234\254\350\252\236\"}").script,
			 SCRIPT_CJK);
	assert_int_equal(count(API_EMBEDDINGS, "{\"input\":\"\\u65e5\\u672c ab\\u8a9e\"}").script, SCRIPT_CJK);
	assert_int_equal(
	    count(API_EMBEDDINGS, "{\"input\":\"\320\237\321\200\320\270\320\262\320\265\321\202\"}").script,
	    SCRIPT_OTHER);
	assert_int_equal(count(API_EMBEDDINGS, "{\"input\":\"123\"}").script, SCRIPT_LATIN);
}

/* Random messages: the count is what their texts have, and no more than the bytes of the body and the framing. */
static void test_random(void **state)
{
	static const char *const words[] = {
	    "budget", "\\n", "\\u00e9",      "\303\251", " ",          "\\\"", "\\ud83d\\ude00",
	    "1234",   "{}",  "\346\227\245", "\\t\\t",   "https://x/", "\\\\"};
	char body[2000];
	int i, k;

	(void)state;
	srand(5);
	for (i = 0; i < 500; i++) {
		struct prompt_count c;
		int n = snprintf(body, sizeof(body), "{\"messages\":[{\"role\":\"user\",\"content\":\"");

		for (k = rand() % 60; k > 0; k--)
			n += snprintf(body + n, sizeof(body) - (size_t)n, "%s",
				      words[(size_t)rand() % ARRAY_LEN(words)]);
		(void)snprintf(body + n, sizeof(body) - (size_t)n, "\"}]}");
		c = count(API_CHAT, body);
		assert_true(c.tokens + c.margin_tokens <= strlen(body) + 8 + 32);
	}
}

/* In slices of any size, from a body that moves between them. */
static struct prompt_count count_in_slices(enum api_kind kind, const char *provider, const struct request_info *q,
					   const char *body, size_t n, size_t slice)
{
	struct prompt_scan *c = malloc(sizeof(*c));
	struct prompt_count ret;
	int r;

	assert_non_null(c);
	memset(c, 0xa5, sizeof(*c));
	assert_int_equal(prompt_scan_begin(c, kind, slice_of(provider), SLICE("gpt-5.4"), q, NULL), BUR_OK);
	do {
		char *copy = malloc(n);

		assert_non_null(copy);
		memcpy(copy, body, n);
		r = prompt_scan_step(c, slice_mem(copy, n), slice > 0 ? slice : 1 + (size_t)rand() % 30000);
		free(copy);
	} while (r == BUR_AGAIN);
	assert_int_equal(r, BUR_OK);
	prompt_scan_finish(c, &ret);
	free(c);
	return ret;
}

static size_t put(char *p, const char *text)
{
	size_t n = strlen(text);

	memcpy(p, text, n);
	return n;
}

static size_t put_words(char *p, size_t min_bytes, bool escapes)
{
	static const char *const words[] = {
	    " budget",
	    " The",
	    ", and it",
	    "\303\251t\303\251 ",
	    "1234",
	    "\346\227\245\346\234\254",
	    " https://x/y",
	    "!?",
	    "\360\237\230\200",
	    "\\n",
	    "\\u00e9",
	    "\\ud83d\\ude00",
	    "\\\"",
	};
	size_t n = 0;

	while (n < min_bytes)
		n += put(p + n, words[(size_t)rand() % (escapes ? ARRAY_LEN(words) : 9)]);
	return n;
}

static void test_slices(void **state)
{
	static const char
	    head[] = "{\"model\":\"gpt-5.4\",\"user\":\"ada\",\"tools\":[{\"type\":\"function\",\"function\":{"
		     "\"name\":\"f\",\"description\":\"",
	    middle[] = "\",\"strict\":true,\"parameters\":{\"a\":[1,2.5,null]}}}],\"messages\":[{\"role\":\"user\","
		       "\"content\":\"",
	    next[] = "\"},{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"",
	    tail[] = "\"}]}],\"news\":{\"a\":\"b\"}}";
	static const size_t slices[] = {0, 0, 1000, 65536, SIZE_MAX};
	char *body = malloc(400000);
	static struct reqscan s;

	(void)state;
	assert_non_null(body);
	srand(6);
	for (int round = 0; round < 4; round++) {
		struct prompt_count whole, part;
		size_t n = 0;

		n += put(body + n, head);
		n += put_words(body + n, round == 0 ? 100 : 50000, round != 2);
		n += put(body + n, middle);
		n += put_words(body + n, round == 0 ? 100 : 100000, round % 2 == 1);
		n += put(body + n, next);
		n += put_words(body + n, 20000, round % 2 == 1);
		n += put(body + n, tail);
		reqscan_init(&s, API_CHAT);
		assert_int_equal(reqscan_feed(&s, body, n), BUR_OK);
		assert_int_equal(reqscan_finish(&s), BUR_OK);
		for (int exact = 0; exact < 2; exact++) {
			const char *provider = exact ? "openai" : "vllm";

			assert_int_equal(prompt_count(API_CHAT, slice_of(provider), SLICE("gpt-5.4"), &s.info,
						      slice_mem(body, n), NULL, &whole),
					 BUR_OK);
			for (size_t i = 0; i < ARRAY_LEN(slices); i++) {
				part = count_in_slices(API_CHAT, provider, &s.info, body, n, slices[i]);
				assert_int_equal(part.tokens, whole.tokens);
				assert_int_equal(part.margin_tokens, whole.margin_tokens);
				assert_int_equal(part.text_tokens, whole.text_tokens);
				assert_int_equal(part.script, whole.script);
				assert_int_equal(part.exact, exact);
			}
		}
	}
	free(body);
}

/* Nonsense ends the count in any slice. */
static void test_slices_of_nonsense(void **state)
{
	static const char body[] = "{\"messages\":[{\"content\":\"x\"]}";
	static struct request_info q;
	struct prompt_scan c;
	int r;

	(void)state;
	assert_int_equal(prompt_scan_begin(&c, API_CHAT, SLICE("openai"), SLICE("gpt-5.4"), &q, NULL), BUR_OK);
	while ((r = prompt_scan_step(&c, slice_of(body), 3)) == BUR_AGAIN)
		continue;
	assert_int_equal(r, BUR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_chat),
	    cmocka_unit_test(test_other_kinds),
	    cmocka_unit_test(test_what_may_be_anything),
	    cmocka_unit_test(test_tools),
	    cmocka_unit_test(test_pictures),
	    cmocka_unit_test(test_not_counted),
	    cmocka_unit_test(test_foreign),
	    cmocka_unit_test(test_script),
	    cmocka_unit_test(test_random),
	    cmocka_unit_test(test_slices),
	    cmocka_unit_test(test_slices_of_nonsense),
	};

	if (!tok_available(TOK_O200K)) {
		printf("no vocabulary is built in; nothing to test\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
