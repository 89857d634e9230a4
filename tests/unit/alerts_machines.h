/* alerts_machines.h - messages for the tests of channels to programs, and what their requests come to. */
#ifndef TESTS_ALERTS_MACHINES_H
#define TESTS_ALERTS_MACHINES_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "alerts/channel.h"
#include "base/error.h"

#define AT_NS (INT64_C(1795248000) * 1000000000) /* 2026-11-21T08:00:00Z */

static struct arena arena;

static const char usual[] =
    "{\"id\":\"abc123-7\",\"type\":\"budget.threshold\",\"severity\":\"warning\",\"level\":\"warning\",\"state\":"
    "\"firing\","
    "\"title\":\"Budget threshold reached\",\"message\":\"Budget search-daily is 80 % used.\",\"incident\":12,"
    "\"dedup_key\":\"0123456789abcdef0123456789abcdef\",\"scope\":{\"kind\":\"key\",\"id\":\"ci-bot\"},"
    "\"labels\":{\"team\":\"search\",\"tag.cost-center\":\"a "
    "\\\"b\\\"\"},\"budget_id\":\"search-daily\",\"period\":\"day\","
    "\"window_start\":1795212000,\"window_end\":1795298400,\"limit_nanos\":50000000000,\"spent_nanos\":40120000000,"
    "\"reserved_nanos\":0,\"unit\":\"USD\",\"currency\":\"USD\",\"ratio\":0.8024,\"threshold\":0.8,"
    "\"at\":\"2026-11-21T08:00:00.000Z\",\"since\":\"2026-11-21T07:00:00.000Z\",\"node\":\"node-1\",\"revision\":1,"
    "\"top\":[{\"key\":\"ci-bot\",\"user\":\"\",\"model\":\"gpt-5\",\"spent\":\"39.00 USD\"}],"
    "\"links\":{\"open\":\"https://bursar.example/alerts/12\"},\"details\":{}}";

static json_t *facts_of(const char *text)
{
	json_error_t e;
	json_t *j = json_loads(text, 0, &e);

	if (!j)
		fail_msg("%s at %d", e.text, e.position);
	return j;
}

/* Facts with one member replaced by a text of n bytes made of `piece`. */
__attribute__((unused)) static json_t *facts_with(const char *member, const char *piece, size_t n)
{
	json_t *j = facts_of(usual);
	char *text = calloc(1, n + 1);

	assert_non_null(text);
	for (size_t i = 0; i < n; i++)
		text[i] = piece[i % strlen(piece)];
	if (strcmp(member, "scope.id") == 0)
		assert_int_equal(json_object_set_new(json_object_get(j, "scope"), "id", json_string(text)), 0);
	else if (strcmp(member, "labels.team") == 0)
		assert_int_equal(json_object_set_new(json_object_get(j, "labels"), "team", json_string(text)), 0);
	else
		assert_int_equal(json_object_set_new(j, member, json_string(text)), 0);
	free(text);
	return j;
}

static struct message message_of(json_t *facts, enum message_op op)
{
	return (struct message){.op = op,
				.severity = SEVERITY_WARNING,
				.facts = facts,
				.id = "abc123-7",
				.dedup_key = "0123456789abcdef0123456789abcdef",
				.ref = "",
				.public_url = "https://bursar.example",
				.node = "node-1",
				.at_ns = AT_NS,
				.now_ns = AT_NS + INT64_C(5000000000),
				.attempt = 1};
}

static struct request request_of(const struct channel *c, const struct message *m)
{
	struct request q = {.arena = &arena};

	assert_int_equal(c->ops->request(c, m, &q), BUR_OK);
	return q;
}

/* The value of a header, or NULL; there is at most one of a name. */
__attribute__((unused)) static const char *header(const struct request *q, const char *name)
{
	const char *found = NULL;
	size_t n = strlen(name);

	for (size_t i = 0; i < q->n_headers; i++) {
		assert_null(strpbrk(q->header[i], "\r\n"));
		if (strncasecmp(q->header[i], name, n) != 0 || strncmp(q->header[i] + n, ": ", 2) != 0)
			continue;
		assert_null(found);
		found = q->header[i] + n + 2;
	}
	return found;
}

static json_t *body_of(const struct request *q)
{
	json_error_t e;
	json_t *j = json_loadb(q->body.p, q->body.n, JSON_REJECT_DUPLICATES, &e);

	if (!j)
		fail_msg("%s in %.*s", e.text, (int)q->body.n, q->body.p);
	return j;
}

static const char *text_at(json_t *j, const char *name)
{
	const char *text = json_string_value(json_object_get(j, name));

	if (!text)
		fail_msg("no text %s", name);
	return text;
}

static int setup(void **state)
{
	(void)state;
	arena_init(&arena, 4 << 20);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_reset(&arena);
	return 0;
}

#endif
