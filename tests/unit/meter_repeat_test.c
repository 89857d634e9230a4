/* meter_repeat_test - events like the one before are compared and not read: the same result as reading each, for random
 * streams whose events differ in words, numbers, names, usage and form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "meter/repeat.h"

#define EVENTS 4000

/* `@` is a word, `#` a number, `?` now one thing, now another. */
static const struct {
	enum api_kind kind;
	const char *events[4];
} streams[] = {
    {API_CHAT,
     {"{\"id\":\"c\",\"created\":#,\"model\":\"gpt?\",\"choices\":[{\"index\":?,\"delta\":{\"content\":\"@\"},"
      "\"finish_reason\":null}],\"usage\":null,\"obfuscation\":\"@\"}",
      "{\"id\":\"c\",\"model\":\"gpt\",\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"@\"},"
      "\"finish_reason\":\"stop\"}]}",
      "{\"id\":\"c\",\"model\":\"gpt\",\"choices\":[],\"usage\":{\"prompt_tokens\":#,\"completion_tokens\":?}}",
      "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"arguments\":\"@\"}}]}}]}"}},
    {API_CHAT,
     {"{\"choices\":[{\"delta\":{\"reasoning\":\"@\",\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"@"
      "\"}]"
      "}}]}",
      "{\"choices\":[{\"delta\":{\"reasoning\":\"@\",\"reasoning_content\":\"@\",\"content\":\"@\"}}]}",
      "{\"choices\":[{\"delta\":{\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"text\":\"@\"}]}]}}]}",
      "{\"choices\":[{\"delta\":{\"reasoning\":\"@\"}},{\"delta\":{\"reasoning_details\":[{\"data\":\"@\"}]}}]}"}},
    {API_RESPONSES,
     {"{\"type\":\"response.output_text.delta\",\"sequence_number\":#,\"item_id\":\"@\",\"delta\":\"@\",\"logprobs\":[]"
      "}",
      "{\"type\":\"response.output_text.done\",\"sequence_number\":#,\"text\":\"@\"}",
      "{\"type\":\"response.audio.delta\",\"sequence_number\":#,\"delta\":\"@\"}",
      "{\"type\":\"response.completed\",\"response\":{\"id\":\"r?\",\"output\":[{\"type\":\"web_search_call\",\"id\":"
      "\"@\",\"action\":{\"type\":\"search\"}}],\"usage\":{\"input_tokens\":#,\"output_tokens\":?}}}"}},
    {API_MESSAGES,
     {"{\"type\":\"content_block_delta\",\"index\":?,\"delta\":{\"type\":\"text_delta\",\"text\":\"@\"}}",
      "{\"type\":\"ping\"}",
      "{\"type\":\"content_block_delta\",\"delta\":{\"partial_json\":\"@\",\"type\":\"input_json_delta\"}}",
      "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":null},\"usage\":{\"output_tokens\":?}}"}},
    {API_GENERATE,
     {"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"@\"}],\"role\":\"model\"},\"index\":0}]}",
      "{\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"args\":{\"a\":\"@\"}}}]}}]}",
      "{\"candidates\":[{\"content\":{\"parts\":[{\"inlineData\":{\"mimeType\":\"image/png\",\"data\":\"@\"}}]}}]}",
      "{\"usageMetadata\":{\"promptTokenCount\":#,\"candidatesTokenCount\":?}}"}},
    {API_OLLAMA,
     {"{\"model\":\"m\",\"created_at\":\"@\",\"message\":{\"role\":\"assistant\",\"content\":\"@\"},\"done\":false}",
      "{\"model\":\"m?\",\"response\":\"@\",\"done\":false}",
      "{\"model\":\"m\",\"done\":true,\"prompt_eval_count\":#,\"eval_count\":?}", "{\"error\":\"@\"}"}},
    {API_REALTIME,
     {"{\"type\":\"response.output_text.delta\",\"event_id\":\"@\",\"delta\":\"@\"}",
      "{\"type\":\"response.output_audio.delta\",\"event_id\":\"@\",\"delta\":\"@\"}",
      "{\"type\":\"response.created\",\"response\":{\"id\":\"r?\"}}",
      "{\"type\":\"response.done\",\"response\":{\"id\":\"r?\",\"usage\":{\"input_tokens\":#,\"output_tokens\":?}}}"}},
};

static const char *const words[] = {"",
				    " the",
				    "\\n\\n",
				    "caf\xc3\xa9",
				    "\\u00e9\\\"",
				    "}",
				    "]}}],",
				    "\\ud83d\\ude00",
				    "a longer piece of text than others, over several words"};

/* An event of a form. */
static size_t make(const char *form, char *dst, size_t cap)
{
	size_t n = 0;

	for (; *form; form++) {
		if (*form == '@')
			n += (size_t)snprintf(dst + n, cap - n, "%s", words[rand() % (int)ARRAY_LEN(words)]);
		else if (*form == '#')
			n += (size_t)snprintf(dst + n, cap - n, "%s%d", rand() % 50 ? "" : "-", rand() % 2000);
		else if (*form == '?')
			n += (size_t)snprintf(dst + n, cap - n, "%d", rand() % 10 == 0);
		else
			dst[n++] = *form;
	}
	return n;
}

/* Sometimes the event is not quite what it was. */
static size_t damage(char *p, size_t n)
{
	switch (rand() % 40) {
	case 0:
		p[(size_t)rand() % n] = (char)rand();
		return n;
	case 1:
		return (size_t)rand() % n;
	default:
		return n;
	}
}

static void play(struct repeat **r, struct extract *x, struct extract *y, const char *event, size_t n)
{
	char *p = malloc(n + 1);
	struct usage a, b;
	bool taken;

	assert_non_null(p);
	memcpy(p, event, n);
	taken = repeat_again(*r, x, p, n) || repeat_read(r, x, p, n);
	assert_int_equal(extract_whole(y, p, n), taken);
	if (taken)
		extract_commit(y);
	else
		repeat_forget(*r);
	extract_result(x, true, &a);
	extract_result(y, true, &b);
	if (memcmp(&a, &b, sizeof(a)) != 0)
		fail_msg("not the same after %.*s", (int)n, event);
	free(p);
}

static void test_random_streams(void **state)
{
	static struct staged staged; /* one for both: nothing may stay in it */
	struct extract x, y;
	char event[2048];

	(void)state;
	for (size_t s = 0; s < ARRAY_LEN(streams); s++) {
		for (int rare = 2; rare < 200; rare *= 5) {
			struct repeat *r = NULL;
			size_t form = 0, n;

			extract_init(&x, streams[s].kind, true);
			extract_init(&y, streams[s].kind, true);
			x.ev = y.ev = &staged;
			for (int i = 0; i < EVENTS; i++) {
				if (rand() % rare == 0)
					form = (size_t)rand() % 4;
				n = make(streams[s].events[form], event, sizeof(event));
				if (rare > 2)
					n = damage(event, n);
				play(&r, &x, &y, event, n);
			}
			repeat_free(r);
			extract_done(&x);
			extract_done(&y);
		}
	}
	repeat_free(NULL);
	repeat_forget(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_random_streams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
