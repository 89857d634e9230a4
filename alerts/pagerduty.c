/* PagerDuty by its Events API v2. It keeps incidents of its own, named by our dedup key. */
#include <string.h>

#include "alerts/compose.h"
#include "base/clock.h"
#include "base/error.h"

#define EVENT_BYTES_MAX (500 * 1024) /* of 512 KB */
#define SUMMARY_MAX 1024
#define KEY_MAX 255
#define SLOWER_S 60 /* they ask for minutes */

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* A test ends by itself, so that nobody is left with an incident. */
static const char *action_of(const struct message *m)
{
	if (m->op == SAY_RESOLVE || (m->op == SAY_TEST && m->step > 0))
		return "resolve";
	return m->op == SAY_ACK ? "acknowledge" : "trigger";
}

static const char *key_of(const struct message *m, struct arena *arena)
{
	return compose_text(arena, ESCAPE_LINE, m->dedup_key[0] ? m->dedup_key : m->id, KEY_MAX);
}

/* --- payload ------------------------------------------------------------------------------------------------------ */

/* For programs that work on incidents. */
static int add_machine_facts(json_t *details, const json_t *facts, bool all)
{
	static const char *const names[] = {
	    "type",        "state",          "budget_id", "period", "window_start", "window_end", "limit_nanos",
	    "spent_nanos", "reserved_nanos", "unit",      "ratio",  "threshold",    "node",       "incident",
	};
	static const char *const large[] = {"labels", "digest"};
	int bad = 0;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		json_t *value = json_object_get(facts, names[i]);

		if (value && json_string_length(value) <= KEY_MAX)
			bad |= json_object_set(details, names[i], value);
	}
	for (size_t i = 0; all && i < ARRAY_LEN(large); i++) {
		json_t *value = json_object_get(facts, large[i]);

		if (value)
			bad |= json_object_set(details, large[i], value);
	}
	return bad;
}

static int add_text(json_t *details, struct arena *arena, const char *name, const char *text, size_t cap)
{
	return text[0] ? json_object_set_new(details, name, json_string(compose_text(arena, ESCAPE_NONE, text, cap)))
		       : 0;
}

static json_t *details_of(const struct message *m, struct arena *arena, size_t cap)
{
	const struct brief *b = m->brief;
	json_t *made = json_object(), *list = json_array();
	int bad = add_machine_facts(made, m->facts, cap > 500);

	bad |= add_text(made, arena, "message", b->text, cap);
	for (size_t i = 0; i < b->n_fields; i++)
		bad |= add_text(made, arena, b->field[i].label, b->field[i].value, cap);
	for (size_t i = 0; i < b->n_lines; i++)
		bad |= json_array_append_new(list, json_string(compose_text(arena, ESCAPE_LINE, b->line[i], cap)));
	if (b->n_lines > 0)
		bad |= json_object_set(made, b->lines_title ? b->lines_title : "Details", list);
	bad |= add_text(made, arena, "next", b->next, cap);
	bad |= add_text(made, arena, "command", b->command, cap);
	json_decref(list);
	if (bad) {
		json_decref(made);
		return NULL;
	}
	return made;
}

static const char *joined(struct arena *arena, const char *a, const char *mark, const char *b, size_t cap)
{
	struct slice all = arena_printf(arena, "%s%s%s", a, a[0] && b[0] ? mark : "", b);

	return all.p ? compose_text(arena, ESCAPE_LINE, all.p, cap) : NULL;
}

static json_t *payload_of(const struct message *m, struct arena *arena, size_t cap)
{
	const json_t *scope = json_object_get(m->facts, "scope");
	const char *type = fact_text(m->facts, "type");
	char at[COMPOSE_TIME_MAX];

	return json_pack(
	    "{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:o}", "summary",
	    compose_text(arena, ESCAPE_LINE, m->brief->title[0] ? m->brief->title : "Alert", least(cap, SUMMARY_MAX)),
	    "source", joined(arena, "bursar", "/", m->node ? m->node : "", KEY_MAX), "severity",
	    severity_name(m->severity), "timestamp", compose_time(m->at_ns, "+0000", at), "component",
	    arena_printf(arena, "%.*s", (int)strcspn(type, "."), type).p, "group",
	    joined(arena, fact_text(scope, "kind"), ":", fact_text(scope, "id"), KEY_MAX), "class",
	    compose_text(arena, ESCAPE_LINE, type, KEY_MAX), "custom_details", details_of(m, arena, cap));
}

static json_t *links_of(const struct brief *b, struct arena *arena)
{
	json_t *all = json_array();
	int bad = 0;

	for (size_t i = 0; i < b->n_actions; i++)
		if (compose_url_ok(b->action[i].url))
			bad |= json_array_append_new(
			    all, json_pack("{s:s,s:s}", "href", b->action[i].url, "text",
					   compose_text(arena, ESCAPE_LINE, b->action[i].label, 100)));
	if (bad) {
		json_decref(all);
		return NULL;
	}
	return all;
}

static json_t *trigger(const struct channel *c, const struct message *m, struct arena *arena, size_t cap)
{
	(void)c;
	return json_pack("{s:s,s:o,s:o}", "client", "bursar", "links", links_of(m->brief, arena), "payload",
			 payload_of(m, arena, cap));
}

static const char *client_url(const struct message *m)
{
	const char *open = fact_text(json_object_get(m->facts, "links"), "open");

	return compose_url_ok(open) ? open : compose_url_ok(m->public_url) ? m->public_url : NULL;
}

static json_t *event(const struct channel *c, const struct message *m, struct arena *arena)
{
	bool triggers = strcmp(action_of(m), "trigger") == 0;
	json_t *made = triggers ? compose_own(c, m, ESCAPE_NONE) : json_object();
	int bad;

	if (triggers && !made)
		made = compose_fitting(trigger, c, m, arena, EVENT_BYTES_MAX);
	bad = json_object_set_new(made, "routing_key", json_string(c->pagerduty.routing_key));
	bad |= json_object_set_new(made, "event_action", json_string(action_of(m)));
	bad |= json_object_set_new(made, "dedup_key", json_string(key_of(m, arena)));
	if (triggers && client_url(m) && !json_object_get(made, "client_url"))
		bad |= json_object_set_new(made, "client_url", json_string(client_url(m)));
	if (bad) {
		json_decref(made);
		return NULL;
	}
	return made;
}

static int request_message(const struct channel *c, const struct message *m, struct request *q)
{
	const char *url = c->pagerduty.url ? c->pagerduty.url : "https://events.pagerduty.com";

	return compose_post(q, compose_url(q->arena, url, "/v2/enqueue"), event(c, m, q->arena));
}

/* --- answer ------------------------------------------------------------------------------------------------------- */

/* {"status":"invalid event","message":"...","errors":["...", ...]} */
static void judge_invalid(const struct answer *a, struct verdict *v)
{
	json_t *said = a->body.n > 0 ? json_loadb(a->body.p, a->body.n, 0, NULL) : NULL;
	const char *first = json_string_value(json_array_get(json_object_get(said, "errors"), 0));
	struct answer shown = *a;
	char words[COMPOSE_WORDS_MAX];

	if (first)
		shown.body = slice_of(first);
	(void)compose_words(&shown, words);
	if (strstr(words, "routing_key") || strstr(words, "outing key"))
		compose_verdict(v, OUTCOME_DEAD,
				"PagerDuty knows no such integration key: set as pagerduty.routing_key the one of an "
				"\"Events API v2\" "
				"integration (%s)",
				words);
	else
		compose_verdict(v, OUTCOME_DEAD, "PagerDuty refused the event: %s", words);
	json_decref(said);
}

static void judge(const struct channel *c, const struct message *m, const struct answer *a, struct verdict *v)
{
	(void)c;
	*v = (struct verdict){.outcome = OUTCOME_SENT};
	switch (a->fault == ANSWER_NO_FAULT ? a->code : 0) {
	case 202:
		if (m->op == SAY_TEST && m->step == 0)
			v->outcome = OUTCOME_MORE;
		break;
	case 400:
		judge_invalid(a, v);
		break;
	case 429:
		verdict_http(a, v);
		v->wait_s = v->wait_s > SLOWER_S ? v->wait_s : SLOWER_S;
		break;
	default:
		compose_http(a, "PagerDuty", v);
	}
}

const struct channel_ops pagerduty_ops = {
    .type = "pagerduty",
    .severity = SEVERITY_CRITICAL,
    .interval_ns = NS_PER_S / 2,
    .in_place = true,
    .stateful = true,
    .request = request_message,
    .judge = judge,
};
