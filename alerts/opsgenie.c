/* Opsgenie and Jira Service Management: alerts named by our dedup key as their alias. */
#include <string.h>

#include "alerts/compose.h"
#include "base/clock.h"
#include "base/error.h"

#define MESSAGE_MAX 130
#define ALIAS_MAX 512
#define DESCRIPTION_MAX 14000 /* of 15000 */
#define DETAILS_MAX 7000      /* of 8000, names and values together */
#define ENTITY_MAX 512
#define SOURCE_MAX 100
#define TAG_MAX 50
#define TAGS_MAX 20

static const char *alias_of(const struct message *m)
{
	return m->dedup_key[0] ? m->dedup_key : m->id;
}

static const char *priority_of(const struct message *m)
{
	static const char *const by_severity[SEVERITY_COUNT] = {"P5", "P3", "P2", "P1"};

	return by_severity[m->severity];
}

/* --- what is done ------------------------------------------------------------------------------------------------- */

/* An alert that is there already only counts when it is made again: that it got worse is a second request. A test ends
 * by itself. */
enum call { CREATE, PRIORITY, ACKNOWLEDGE, CLOSE };

static enum call call_of(const struct message *m)
{
	if (m->op == SAY_RESOLVE || (m->op == SAY_TEST && m->step > 0))
		return CLOSE;
	if (m->op == SAY_ACK)
		return ACKNOWLEDGE;
	return m->step > 0 ? PRIORITY : CREATE;
}

static bool has_second(const struct message *m)
{
	return m->step == 0 && (m->op == SAY_UPDATE || m->op == SAY_ESCALATE || m->op == SAY_TEST);
}

/* --- payload ------------------------------------------------------------------------------------------------------ */

static json_t *details_of(const struct brief *b, struct arena *arena)
{
	json_t *made = json_object();
	size_t total = 0;
	int bad = 0;

	for (size_t i = 0; i < b->n_fields; i++) {
		const char *value = compose_text(arena, ESCAPE_LINE, b->field[i].value, DETAILS_MAX / 4);

		total += strlen(b->field[i].label) + (value ? strlen(value) : 0);
		if (total <= DETAILS_MAX)
			bad |= json_object_set_new(made, b->field[i].label, json_string(value));
	}
	if (bad) {
		json_decref(made);
		return NULL;
	}
	return made;
}

static json_t *tags_of(const struct channel *c, const struct message *m, struct arena *arena)
{
	json_t *all = json_pack("[s,s]", "bursar", severity_name(m->severity));
	int bad = all ? 0 : -1;

	for (size_t i = 0; i < c->opsgenie.n_tags && i + 2 < TAGS_MAX; i++)
		bad |= json_array_append_new(
		    all, json_string(compose_text(arena, ESCAPE_LINE, c->opsgenie.tags[i], TAG_MAX)));
	if (bad) {
		json_decref(all);
		return NULL;
	}
	return all;
}

static json_t *responders_of(const struct channel *c)
{
	json_t *all = json_array();
	int bad = 0;

	for (size_t i = 0; i < c->opsgenie.n_responders; i++)
		bad |= json_array_append_new(all,
					     json_pack("{s:s,s:s}", "name", c->opsgenie.responders[i], "type", "team"));
	if (bad) {
		json_decref(all);
		return NULL;
	}
	return all;
}

static const char *source_of(const struct message *m, struct arena *arena)
{
	struct slice all = arena_printf(arena, "bursar%s%s", m->node && m->node[0] ? "/" : "", m->node ? m->node : "");

	return all.p ? compose_text(arena, ESCAPE_LINE, all.p, SOURCE_MAX) : NULL;
}

static const char *entity_of(const struct message *m, struct arena *arena)
{
	const json_t *scope = json_object_get(m->facts, "scope");
	const char *kind = fact_text(scope, "kind"), *id = fact_text(scope, "id");
	struct slice all = arena_printf(arena, "%s%s%s", kind, kind[0] && id[0] ? ":" : "", id);

	return all.p ? compose_text(arena, ESCAPE_LINE, all.p, ENTITY_MAX) : NULL;
}

static json_t *alert(const struct channel *c, const struct message *m, struct arena *arena)
{
	json_t *made =
	    json_pack("{s:s,s:s,s:o,s:o,s:s,s:s,s:s}", "message",
		      compose_text(arena, ESCAPE_LINE, m->brief->title[0] ? m->brief->title : "Alert", MESSAGE_MAX),
		      "description", compose_plain(arena, ESCAPE_NONE, m, DESCRIPTION_MAX), "tags",
		      tags_of(c, m, arena), "details", details_of(m->brief, arena), "entity", entity_of(m, arena),
		      "source", source_of(m, arena), "priority", priority_of(m));

	if (made && c->opsgenie.n_responders > 0 && json_object_set_new(made, "responders", responders_of(c)) < 0) {
		json_decref(made);
		return NULL;
	}
	return made;
}

static json_t *body_of(const struct channel *c, const struct message *m, struct arena *arena, enum call call)
{
	json_t *made;

	if (call == PRIORITY)
		return json_pack("{s:s}", "priority", priority_of(m));
	if (call != CREATE)
		return json_pack("{s:s,s:s}", "source", source_of(m, arena), "note",
				 compose_text(arena, ESCAPE_NONE, m->brief->text, DESCRIPTION_MAX));
	made = compose_own(c, m, ESCAPE_NONE);
	if (!made)
		made = alert(c, m, arena);
	if (json_object_set_new(made, "alias", json_string(compose_text(arena, ESCAPE_LINE, alias_of(m), ALIAS_MAX)))) {
		json_decref(made);
		return NULL;
	}
	return made;
}

/* --- request ------------------------------------------------------------------------------------------------------ */

static const char *url_of(const struct channel *c, const struct message *m, struct arena *arena, enum call call)
{
	static const char *const verbs[] = {[PRIORITY] = "priority", [ACKNOWLEDGE] = "acknowledge", [CLOSE] = "close"};
	const char *base =
	    compose_url(arena, c->opsgenie.url ? c->opsgenie.url : "https://api.opsgenie.com", "/v2/alerts");

	if (call == CREATE || !base)
		return base;
	/* Dedup keys are hex, ids letters, digits, - and _: nothing to be escaped. */
	return arena_printf(arena, "%s/%s/%s?identifierType=alias", base, alias_of(m), verbs[call]).p;
}

static int request_message(const struct channel *c, const struct message *m, struct request *q)
{
	enum call call = call_of(m);
	int rc = compose_post(q, url_of(c, m, q->arena, call), body_of(c, m, q->arena, call));

	if (call == PRIORITY)
		q->method = "PUT";
	return rc ? rc : request_header(q, "Authorization: GenieKey %s", c->opsgenie.key);
}

static void judge(const struct channel *c, const struct message *m, const struct answer *a, struct verdict *v)
{
	char words[COMPOSE_WORDS_MAX];

	(void)c;
	*v = (struct verdict){.outcome = OUTCOME_SENT};
	(void)compose_words(a, words);
	switch (a->fault == ANSWER_NO_FAULT ? a->code : 0) {
	case 200:
	case 202:
		if (has_second(m))
			v->outcome = OUTCOME_MORE;
		break;
	case 401:
	case 403:
		compose_verdict(
		    v, OUTCOME_CHANNEL,
		    "Opsgenie does not accept the key (%d): set as opsgenie.key that of an API integration which may "
		    "create and update, and mind opsgenie.url (EU: https://api.eu.opsgenie.com)",
		    a->code);
		break;
	case 400:
	case 422:
		compose_verdict(v, OUTCOME_DEAD, "Opsgenie refused the alert (%d): %s", a->code, words);
		break;
	default:
		compose_http(a, "Opsgenie", v);
	}
}

const struct channel_ops opsgenie_ops = {
    .type = "opsgenie",
    .severity = SEVERITY_CRITICAL,
    .interval_ns = NS_PER_S / 2,
    .stateful = true,
    .request = request_message,
    .judge = judge,
};
