/* alerts_chat.h - for the tests of chat and paging channels: alerts of every kind, a request and its payload, answers,
 * and names that want to break out. With BURSAR_PAYLOADS=folder every payload is written there, for validators that
 * nobody here wrote (tests/alerts). */
#ifndef TESTS_ALERTS_CHAT_H
#define TESTS_ALERTS_CHAT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alerts/channel.h"
#include "base/error.h"
#include "base/utf8.h"

#define CHAT_ID "1a2b3c4d5e6f-42"
#define CHAT_KEY "0123456789abcdef0123456789abcdef"
#define CHAT_AT_NS (INT64_C(1795248000) * 1000000000) /* 2026-11-21T08:00:00Z */

#define CHAT_LINKS                                                                                                     \
	"\"links\":{\"open\":\"https://bursar.example/alerts/act?i=12&a=open&e=1&s=x\","                               \
	"\"acknowledge\":\"https://bursar.example/alerts/act?i=12&a=ack&e=1&s=x\","                                    \
	"\"resolve\":\"https://bursar.example/alerts/act?i=12&a=resolve&e=1&s=x\"}"
static const char chat_facts_budget[] =
    "{\"id\":\"" CHAT_ID "\",\"type\":\"budget.threshold\",\"severity\":\"warning\",\"state\":\"firing\","
    "\"title\":\"Budget threshold reached\",\"message\":\"Budget search-daily reached 80 % of its limit.\","
    "\"incident\":12,\"dedup_key\":\"" CHAT_KEY "\",\"scope\":{\"kind\":\"team\",\"id\":\"search\"},"
    "\"labels\":{\"team\":\"search\",\"project\":\"ranking\"},\"budget_id\":\"search-daily\",\"period\":\"day\","
    "\"window_start\":1795219200,\"window_end\":1795305600,\"limit_nanos\":50000000000,\"spent_nanos\":40120000000,"
    "\"reserved_nanos\":350000000,\"unit\":\"USD\",\"currency\":\"USD\",\"ratio\":0.8024,\"threshold\":0.8,"
    "\"at\":\"2026-11-21T08:00:00.000Z\",\"since\":\"2026-11-21T08:00:00.000Z\",\"node\":\"node-1\",\"revision\":1,"
    "\"rate\":{\"per_hour\":6.1,\"runs_out_at\":\"2026-11-21T09:37:00.000Z\"},"
    "\"top\":[{\"key\":\"ci-bot\",\"user\":\"ann\",\"model\":\"gpt-5\",\"spent\":\"21.90 USD\"},"
    "{\"key\":\"nightly-eval\",\"user\":\"bob\",\"model\":\"claude-sonnet-4-5\",\"spent\":\"11.02 USD\"},"
    "{\"key\":\"notebook\",\"user\":\"cho\",\"model\":\"gpt-5-mini\",\"spent\":\"7.20 USD\"}],"
    "\"next\":\"From 90 % on calls go to a cheaper model; at 100 % they are refused until the day ends.\","
    "\"command\":\"bursar budgets credit search-daily '10 USD' --reason '...'\"," CHAT_LINKS "}";
static const char chat_facts_digest[] =
    "{\"id\":\"1a2b3c4d5e6f-d7\",\"type\":\"digest\",\"severity\":\"error\",\"state\":\"digest\",\"node\":\"node-1\","
    "\"at\":\"2026-11-21T08:00:00.000Z\",\"digest\":{\"count\":14,\"by_type\":{\"budget.threshold\":14},"
    "\"by_severity\":{\"error\":14},\"lines\":[\"Budget a: 90 % used\",\"Budget b: 92 % used\"]}," CHAT_LINKS "}";
static const char chat_facts_test[] =
    "{\"id\":\"" CHAT_ID "\",\"type\":\"test\",\"severity\":\"info\",\"state\":\"test\",\"title\":\"Test\","
    "\"message\":\"This is a test.\",\"node\":\"node-1\",\"at\":\"2026-11-21T08:00:00.000Z\"," CHAT_LINKS "}";

struct chat {
	struct arena arena;
	json_t *facts, *body; /* body: of the last request */
	struct brief brief;
	struct message m;
	struct request q;
	char ref[MESSAGE_REF_MAX];
};

/* An alert with the words that people get. */
static inline void chat_begin(struct chat *t, enum message_op op, enum severity severity, const char *facts)
{
	memset(t, 0, sizeof(*t));
	arena_init(&t->arena, 2 << 20); /* half of what a message has when it is sent */
	t->facts = json_loads(facts, 0, NULL);
	assert_non_null(t->facts);
	assert_int_equal(json_object_set_new(t->facts, "severity", json_string(severity_name(severity))), 0);
	assert_int_equal(brief_make(&t->arena, t->facts, op, &t->brief), BUR_OK);
	t->m = (struct message){.op = op,
				.severity = severity,
				.facts = t->facts,
				.brief = &t->brief,
				.id = CHAT_ID,
				.dedup_key = op == SAY_DIGEST || op == SAY_TEST ? "" : CHAT_KEY,
				.ref = "",
				.public_url = "https://bursar.example",
				.node = "node-1",
				.at_ns = CHAT_AT_NS,
				.now_ns = CHAT_AT_NS,
				.attempt = 1};
}

static inline void chat_end(struct chat *t)
{
	json_decref(t->body);
	json_decref(t->facts);
	arena_reset(&t->arena);
}

/* Builds the request; its body is t->body. */
static inline void chat_request(struct chat *t, const struct channel *c)
{
	json_decref(t->body);
	t->q = (struct request){.arena = &t->arena};
	assert_int_equal(c->ops->request(c, &t->m, &t->q), BUR_OK);
	assert_int_equal(t->q.kind, REQUEST_HTTP);
	t->body = json_loadb(t->q.body.p, t->q.body.n, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(t->body);
}

/* For validators; `form` says which of them: slack, teams, discord, pagerduty, opsgenie. */
static inline void chat_dump(const struct chat *t, const char *form, const char *name)
{
	const char *folder = getenv("BURSAR_PAYLOADS");
	char path[512];
	FILE *f;

	if (!folder)
		return;
	(void)snprintf(path, sizeof(path), "%s/%s-%s.json", folder, form, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(t->q.body.p, 1, t->q.body.n, f), t->q.body.n);
	assert_int_equal(fclose(f), 0);
}

static inline bool chat_has_header(const struct chat *t, const char *header)
{
	for (size_t i = 0; i < t->q.n_headers; i++)
		if (strcmp(t->q.header[i], header) == 0)
			return true;
	return false;
}

static inline struct verdict chat_judge_text(const struct chat *t, const struct channel *c, int code, int64_t retry_s,
					     const char *body)
{
	struct answer a = {.code = code,
			   .error = code >= 200 && code < 300 ? "" : "the peer's words",
			   .body = slice_of(body),
			   .retry_after_s = retry_s};
	struct verdict v;

	memset(&v, 0xa5, sizeof(v));
	c->ops->judge(c, &t->m, &a, &v);
	assert_true(memchr(v.why, '\0', sizeof(v.why)) != NULL);
	assert_true(memchr(v.ref, '\0', sizeof(v.ref)) != NULL);
	/* Whoever reads of a failure learns why. */
	if (v.outcome != OUTCOME_SENT && v.outcome != OUTCOME_MORE)
		assert_true(v.why[0] != '\0');
	return v;
}

/* A row of a table of answers. */
struct chat_row {
	int code;
	int64_t retry_s;
	const char *body;
	bool plain;
	enum outcome outcome;
	int64_t wait_s;
	const char *why; /* a part of it; NULL: any */
};

static inline void chat_rows(struct chat *t, const struct channel *c, const struct chat_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct verdict v;

		t->m.plain = rows[i].plain;
		v = chat_judge_text(t, c, rows[i].code, rows[i].retry_s, rows[i].body);
		if (v.outcome != rows[i].outcome || v.wait_s != rows[i].wait_s ||
		    (rows[i].why && !strstr(v.why, rows[i].why)))
			fail_msg("row %zu (%d %s): outcome %d, wait %lld, %s", i, rows[i].code, rows[i].body,
				 (int)v.outcome, (long long)v.wait_s, v.why);
	}
	t->m.plain = false;
}

/* The ref that an answer left, for the next message. */
static inline void chat_keep(struct chat *t, const struct verdict *v)
{
	if (v->ref[0])
		(void)snprintf(t->ref, sizeof(t->ref), "%s", v->ref);
	t->m.ref = t->ref;
}

/* --- hostile names ------------------------------------------------------------------------------------------------ */

static const char *const chat_hostile[] = {
    "<!channel> <!here> <@U1> <#C1> <!subteam^S1>",
    "@everyone @here <@123456789012345678> <@&1> <#1>",
    "[click](https://evil.example) <https://evil.example|free money> https://evil.example/a_b",
    "\"},{\"type\":\"actions\"}],\"x\":\"",
    "</TextBlock><script>alert(1)</script><img src=x onerror=alert(1)>&amp;&lt;",
    "{{title}} {{{x}}} ${x} {{DATE(2026-01-01T00:00:00Z, SHORT)}} {% raw %}",
    "*bold* _it_ ~no~ `code` ```fence``` > quote # head\\ | table | \\*",
    "```\n@everyone\n```",
    "line\r\nX-Header: 1\r\n\r\nbody \x01\x1b[31m\x7f",
    "\xe2\x80\xae txet desrever \xe2\x81\xa6 x \xe2\x80\x8b zero",
    "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d \xd8\xb3\xd9\x84\xd8\xa7\xd9\x85 right to left",
    "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7 family \xf0\x9f\x87\xa9\xf0\x9f\x87\xaa",
    "e\xcc\x81\xcc\x82\xcc\x83\xcc\x84 combining",
    "bad \xff\xfe utf-8 \xc3",
};

/* 10 KB of one text again and again. */
static inline char *chat_long(struct arena *arena, const char *unit)
{
	size_t n = strlen(unit), total = 10240 / n * n;
	char *text = arena_alloc(arena, total + 1);

	assert_non_null(text);
	for (size_t i = 0; i < total; i += n)
		memcpy(text + i, unit, n);
	text[total] = '\0';
	return text;
}

static const char *const chat_units[] = {
    "a", "&", "<", "*", "@", "\\", "`", "\"", "\xc3\xa9", "\xf0\x9f\x98\x80", "e\xcc\x81", "\xd7\xa9", "://", " ",
};

/* A brief of which every part is that text, far over the sizes that brief.h allows. */
static inline void chat_fill(struct chat *t, const char *text)
{
	struct brief *b = &t->brief;

	b->title = b->text = b->next = b->command = b->footer = text;
	b->lines_title = "Who spent most";
	b->n_fields = BRIEF_FIELDS_MAX;
	b->n_lines = BRIEF_LINES_MAX;
	for (size_t i = 0; i < BRIEF_FIELDS_MAX; i++)
		b->field[i] = (struct brief_field){.label = "Label", .value = text};
	for (size_t i = 0; i < BRIEF_LINES_MAX; i++)
		b->line[i] = text;
}

/* Names that want to break out, as the words of people get them: through the brief. `name` is for chat_dump. */
static inline void chat_each_hostile(void (*check)(struct chat *, const char *name))
{
	char name[32];
	struct chat t;

	for (size_t i = 0; i < ARRAY_LEN(chat_hostile); i++) {
		chat_begin(&t, SAY_FIRE, SEVERITY_ERROR, chat_facts_budget);
		assert_int_equal(json_object_set_new(t.facts, "budget_id",
						     json_stringn_nocheck(chat_hostile[i], strlen(chat_hostile[i]))),
				 0);
		assert_int_equal(brief_make(&t.arena, t.facts, SAY_FIRE, &t.brief), BUR_OK);
		(void)snprintf(name, sizeof(name), "hostile-%zu", i);
		check(&t, name);
		chat_end(&t);
	}
}

/* Texts past all limits of the brief. */
static inline void chat_each_long(enum message_op op, void (*check)(struct chat *, const char *name))
{
	char name[32];
	struct chat t;

	for (size_t i = 0; i < ARRAY_LEN(chat_units); i++) {
		chat_begin(&t, op, SEVERITY_CRITICAL, chat_facts_budget);
		chat_fill(&t, chat_long(&t.arena, chat_units[i]));
		(void)snprintf(name, sizeof(name), "long-%zu", i);
		check(&t, name);
		chat_end(&t);
	}
}

/* --- without memory ----------------------------------------------------------------------------------------------- */

static size_t chat_allocations_left;

static void *chat_scarce_malloc(size_t n)
{
	if (chat_allocations_left == 0)
		return NULL;
	chat_allocations_left--;
	return malloc(n);
}

/* The request when memory ends at any place: it says so, and (the sanitizer looks) nothing leaks. */
static inline void chat_starve(const struct chat *t, const struct channel *c)
{
	struct arena arena;
	int r = BUR_NOMEM;

	for (size_t max = 0; max < (256 << 10) && r != BUR_OK; max += 509) {
		struct request q = {.arena = &arena};

		arena_init(&arena, max);
		r = c->ops->request(c, &t->m, &q);
		assert_true(r == BUR_OK || r == BUR_NOMEM);
		arena_reset(&arena);
	}
	assert_int_equal(r, BUR_OK);
	r = BUR_NOMEM;
	json_set_alloc_funcs(chat_scarce_malloc, free);
	for (size_t n = 0; n < 5000 && r != BUR_OK; n++) {
		struct request q = {.arena = &arena};

		chat_allocations_left = n;
		arena_init(&arena, 2 << 20);
		r = c->ops->request(c, &t->m, &q);
		assert_true(r == BUR_OK || r == BUR_NOMEM);
		arena_reset(&arena);
	}
	json_set_alloc_funcs(malloc, free);
	assert_int_equal(r, BUR_OK);
}

/* --- looking into payloads ---------------------------------------------------------------------------------------- */

/* Every text of a JSON value, depth first. */
static inline void chat_each_text(const json_t *value, void (*visit)(void *ctx, const char *text), void *ctx)
{
	const char *name;
	json_t *member;
	size_t i;

	if (json_is_string(value))
		visit(ctx, json_string_value(value));
	json_array_foreach(value, i, member) chat_each_text(member, visit, ctx);
	json_object_foreach((json_t *)(uintptr_t)value, name, member) chat_each_text(member, visit, ctx);
}

static inline void chat_check_utf8(void *ctx, const char *text)
{
	size_t n = strlen(text), i = 0;

	(void)ctx;
	while (i < n) {
		uint32_t cp;
		size_t k = utf8_decode(text + i, n - i, &cp);

		assert_true(k > 0);
		assert_false(cp < ' ' && cp != '\n');
		assert_false(cp >= 0x202a && cp <= 0x202e);
		i += k;
	}
}

/* "a.b.0.c" of a payload; fails when it is not there. */
static inline const json_t *chat_at(const json_t *value, const char *path)
{
	struct slice part, rest = slice_of(path);
	char name[64];
	uint64_t i;

	while (rest.n > 0) {
		if (!slice_cut(rest, '.', &part, &rest))
			rest = SLICE("");
		(void)slice_to_cstr(part, name, sizeof(name));
		value = slice_u64(part, &i) == BUR_OK && json_is_array(value) ? json_array_get(value, (size_t)i)
									      : json_object_get(value, name);
		if (!value)
			fail_msg("%s is not there", path);
	}
	return value;
}

static inline const char *chat_text(const json_t *value, const char *path)
{
	const char *text = json_string_value(chat_at(value, path));

	assert_non_null(text);
	return text;
}

static inline void chat_equal(const json_t *got, const char *expected)
{
	json_t *want = json_loads(expected, 0, NULL);
	char *text = json_dumps(got, JSON_SORT_KEYS | JSON_INDENT(1));

	assert_non_null(want);
	if (!json_equal((json_t *)(uintptr_t)got, want))
		fail_msg("not as expected: %s", text);
	free(text);
	json_decref(want);
}

#endif
