/* proxy_txn_edit_test - any choice of edits, in any order, in any place: what leaves is JSON that says what was meant.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "meter/reqscan.h"
#include "proxy/txn.h"

struct out {
	char text[2048];
	size_t n, pieces;
};

static void add(void *ctx, struct slice s)
{
	struct out *o = ctx;

	assert_true(o->n + s.n < sizeof(o->text));
	if (s.n > 0)
		memcpy(o->text + o->n, s.p, s.n);
	o->n += s.n;
	o->text[o->n] = '\0';
	o->pieces++;
}

static struct request_info scan(const struct reqscan_options *o, struct slice body)
{
	static struct reqscan s;
	char text[256];

	reqscan_begin(&s, o);
	if (reqscan_feed(&s, body.p, body.n) < 0 || reqscan_finish(&s) < 0)
		fail_msg("%.*s: %s", (int)body.n, body.p, reqscan_error_text(&s, text, sizeof(text)));
	return s.info;
}

static void set(struct txn *t, enum txn_edit_what what, uint64_t from, uint64_t to, const char *text)
{
	assert_int_equal(txn_edit_set(t, what, from, to, slice_of(text)), BUR_OK);
}

static void edit(struct txn *t, enum txn_edit_what what, const struct request_info *q, char *max_text)
{
	switch (what) {
	case EDIT_USAGE:
		if (q->has_usage_edit)
			set(t, what, q->usage_edit.from, q->usage_edit.to, q->usage_edit.text);
		break;
	case EDIT_MAX_OUT:
		if (q->max_out_edit.before)
			set(t, what, q->max_out_edit.from, q->max_out_edit.to, max_text);
		break;
	case EDIT_THINKING:
		if (q->thinking_edit.to > 0)
			set(t, what, q->thinking_edit.from, q->thinking_edit.to, "1111");
		break;
	case EDIT_MODEL:
		if (q->model_edit.to > 0)
			set(t, what, q->model_edit.from, q->model_edit.to, "\"other\"");
		break;
	default:
		break;
	}
}

static void judge(const struct reqscan_options *o, const struct request_info *q, const struct out *out, unsigned chosen)
{
	struct request_info r = scan(o, slice_mem(out->text, out->n));

	assert_string_equal(r.model, (chosen & 1u << EDIT_MODEL) && q->model_edit.to > 0 ? "other" : q->model);
	if ((chosen & 1u << EDIT_USAGE) && q->has_usage_edit)
		assert_true(r.include_usage && !r.has_usage_edit);
	else
		assert_int_equal(r.has_usage_edit, q->has_usage_edit);
	if ((chosen & 1u << EDIT_MAX_OUT) && q->max_out_edit.before)
		assert_true(r.has_max_out && r.max_out == 2222);
	else
		assert_int_equal(r.max_out, q->max_out);
	assert_int_equal(r.thinking_budget,
			 (chosen & 1u << EDIT_THINKING) && q->thinking_edit.to > 0 ? 1111 : q->thinking_budget);
	assert_int_equal(r.messages, q->messages);
	assert_int_equal(r.stream, q->stream);
}

/* All choices in all orders. */
static void all_edits(const struct reqscan_options *o, const char *body)
{
	struct request_info q = scan(o, slice_of(body));
	char max_text[128];

	(void)snprintf(max_text, sizeof(max_text), "%s2222%s", q.max_out_edit.before ? q.max_out_edit.before : "",
		       q.max_out_edit.before ? q.max_out_edit.after : "");
	for (unsigned order = 0; order < 256; order++) { /* four places, each of which names an edit, maybe one again */
		struct txn t = {.body = slice_of(body)};
		struct out out = {0};
		unsigned chosen = 0;

		for (unsigned i = 0; i < 4; i++) {
			unsigned what = order >> 2 * i & 3;

			edit(&t, (enum txn_edit_what)what, &q, max_text);
			chosen |= 1u << what;
		}
		txn_edit_pieces(&t, add, &out);
		assert_true(out.pieces <= TXN_BODY_PIECES_MAX);
		assert_int_equal(txn_edit_length(&t), out.n);
		judge(o, &q, &out, chosen);
		/* taken back, the body is what it was */
		for (int what = 0; what < TXN_EDITS_MAX; what++)
			txn_edit_drop(&t, (enum txn_edit_what)what);
		out.n = 0;
		txn_edit_pieces(&t, add, &out);
		assert_string_equal(out.text, body);
	}
}

static void test_all_choices(void **state)
{
	static const char *const chats[] = {
	    "{\"model\":\"m\",\"stream\":true}",
	    "{ \"stream\" : true }",
	    "{\"stream\":true,\"max_tokens\":5,\"model\":\"m\",\"messages\":[{\"content\":\"x\"}]}",
	    "{\"stream_options\":{},\"stream\":true,\"model\":\"m\"}",
	    "{\"stream_options\":null,\"stream\":true,\"max_completion_tokens\":null,\"model\":\"m\"}",
	    "{\"stream_options\":{\"include_usage\":false,\"a\":1},\"stream\":true}",
	    "{\"model\":\"m\",\"reasoning\":{\"max_tokens\":5000},\"stream\":true,\"messages\":[]}",
	    "{}",
	    "{\"model\":\"m\\u0041\"}",
	};
	static const char *const messages[] = {
	    "{\"model\":\"m\",\"max_tokens\":9000,\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":4000}}",
	    "{\"thinking\":{\"budget_tokens\":4000},\"model\":\"m\"}",
	};
	static const char *const generates[] = {
	    "{}",
	    "{\"contents\":[]}",
	    "{\"generationConfig\":{}}",
	    "{\"generationConfig\":{\"thinkingConfig\":{\"thinkingBudget\":700}}}",
	    "{\"generationConfig\":{\"maxOutputTokens\":\"9\",\"thinkingConfig\":{\"thinkingBudget\":\"7\"}},\"x\":[]}",
	};
	struct reqscan_options chat = {.kind = API_CHAT, .provider = SLICE("openai")};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(chats); i++)
		all_edits(&chat, chats[i]);
	for (size_t i = 0; i < ARRAY_LEN(messages); i++)
		all_edits(&(struct reqscan_options){.kind = API_MESSAGES}, messages[i]);
	for (size_t i = 0; i < ARRAY_LEN(generates); i++)
		all_edits(&(struct reqscan_options){.kind = API_GENERATE}, generates[i]);
}

/* In an object that is empty no insert brings a comma; between two there must be one. */
static void test_two_members_in_an_empty_object(void **state)
{
	struct txn t = {.body = SLICE("{}")};
	struct out out = {0};

	(void)state;
	set(&t, EDIT_MAX_OUT, 1, 1, "\"b\":2");
	set(&t, EDIT_USAGE, 1, 1, "\"a\":1");
	set(&t, EDIT_MODEL, 1, 1, "\"c\":3");
	txn_edit_pieces(&t, add, &out);
	assert_string_equal(out.text, "{\"a\":1,\"b\":2,\"c\":3}");
	assert_int_equal(txn_edit_length(&t), out.n);
}

static void test_what_is_not_edited(void **state)
{
	struct txn t = {.body = SLICE("{\"a\":123}")}, signed_body = {.body = SLICE("{}")},
		   streamed = {.stream_body = true};

	(void)state;
	set(&t, EDIT_MAX_OUT, 5, 8, "4");
	assert_int_equal(txn_edit_set(&t, EDIT_THINKING, 6, 7, SLICE("x")), BUR_INVALID); /* inside the other */
	assert_int_equal(txn_edit_set(&t, EDIT_THINKING, 6, 6, SLICE("x")), BUR_INVALID);
	assert_int_equal(txn_edit_set(&t, EDIT_THINKING, 4, 6, SLICE("x")), BUR_INVALID);
	assert_int_equal(txn_edit_set(&t, EDIT_THINKING, 7, 6, SLICE("x")), BUR_INVALID);
	assert_int_equal(txn_edit_set(&t, EDIT_THINKING, 9, 10, SLICE("x")), BUR_INVALID); /* behind the end */
	assert_int_equal(txn_edit_set(&t, EDIT_THINKING, UINT64_MAX, UINT64_MAX, SLICE("x")), BUR_INVALID);
	assert_int_equal(t.n_edits, 1);
	set(&t, EDIT_THINKING, 8, 8, " ");
	set(&t, EDIT_MAX_OUT, 5, 8, "56"); /* in place of its own */
	assert_int_equal(t.n_edits, 2);
	assert_int_equal(txn_edit_length(&t), 9);
	signed_body.target.signed_by_client = true;
	assert_int_equal(txn_edit_set(&signed_body, EDIT_MODEL, 1, 1, SLICE("x")), BUR_INVALID);
	assert_int_equal(txn_edit_set(&streamed, EDIT_MODEL, 0, 0, SLICE("x")), BUR_INVALID);
	assert_false(txn_edit_allowed(&signed_body) || txn_edit_allowed(&streamed));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_all_choices),
	    cmocka_unit_test(test_two_members_in_an_empty_object),
	    cmocka_unit_test(test_what_is_not_edited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
