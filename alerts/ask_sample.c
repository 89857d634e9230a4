/* Facts as those of a real alert, so that everybody can see what a message looks like before anything happened. They
 * are read from an event as any other, so that they cannot drift away from what is really sent. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alerts/ask.h"
#include "alerts/event.h"
#include "alerts/link.h"
#include "base/clock.h"
#include "base/error.h"
#include "store/note.h"

#define HOUR_S INT64_C(3600)
#define DAY_S (24 * HOUR_S)
#define USD INT64_C(1000000000)

/* What an alert that is about no budget is about. */
static const struct {
	const char *family, *kind, *object, *message;
} objects[] = {
    {"breaker", "provider", "openai@api.openai.com:443",
     "12 of the last 20 calls to openai failed; calls to it are refused for 30 seconds."},
    {"loop", "key", "ci-bot", "Key ci-bot sent the same request 40 times in a minute and is in quarantine."},
    {"stop", "key", "ci-bot", "ann stopped key ci-bot: leaked on a forum."},
    {"anomaly", "model", "gpt-4.1", "Model gpt-4.1 cost 9.60 USD in the last hour; 1.10 USD is usual."},
    {"price", "model", "gpt-7-preview", "Model gpt-7-preview has no price; calls under hard budgets are refused."},
    {"ledger", "store", "bursar.db", "3 calls were under way when bursar ended; they are charged at their bounds."},
    {"key", "key", "ci-bot", "Key ci-bot ends in 3 days."},
    {"balance", "provider", "openai", "The balance at openai is 4.20 USD."},
};

static void put_budget(json_t *payload, const char *type, int64_t now_s)
{
	int64_t start = now_s - now_s % DAY_S;
	bool full = strcmp(type, "budget.exceeded") == 0 || strcmp(type, "budget.blocked") == 0;
	bool over = strcmp(type, "budget.overrun") == 0;
	int64_t posted = full ? 50 * USD : over ? 50 * USD + USD / 5 : 40 * USD + 12 * USD / 100;

	(void)json_object_set_new(payload, "budget", json_string("search-daily"));
	(void)json_object_set_new(payload, "scope", json_string("user=ann"));
	(void)json_object_set_new(payload, "limit", json_integer(50 * USD));
	(void)json_object_set_new(payload, "posted", json_integer(posted));
	(void)json_object_set_new(payload, "held", json_integer(full ? 0 : USD / 4));
	(void)json_object_set_new(payload, "win_start", json_integer(start));
	(void)json_object_set_new(payload, "win_end", json_integer(start + DAY_S));
	if (strcmp(type, "budget.threshold") == 0 || full)
		(void)json_object_set_new(payload, "at_ppm", json_integer(full ? 1000000 : 800000));
}

static void put_object(json_t *payload, const struct alert_type *type)
{
	for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
		if (strcmp(objects[i].family, type->family) != 0)
			continue;
		(void)json_object_set_new(payload, "object_kind", json_string(objects[i].kind));
		(void)json_object_set_new(payload, "object", json_string(objects[i].object));
		if (!type->ends)
			(void)json_object_set_new(payload, "message", json_string(objects[i].message));
	}
}

static bool about_budget(const struct alert_type *type)
{
	return strncmp(type->name, "budget.", 7) == 0 || strcmp(type->family, "forecast") == 0;
}

static json_t *facts_of(struct alerts *a, const struct alert_type *type, int64_t now_ns)
{
	struct alerts_deps deps = a->deps;
	json_t *payload = json_object();
	struct event e = {.facts = NULL};
	struct event_row row = {.id = 1, .ts_ns = now_ns, .action = NOTE_BEGAN, .kind = slice_of(type->name)};
	char *text;

	if (!payload)
		return NULL;
	if (about_budget(type))
		put_budget(payload, type->name, now_ns / NS_PER_S);
	else
		put_object(payload, type);
	text = json_dumps(payload, JSON_COMPACT);
	json_decref(payload);
	row.payload = slice_of(text);
	deps.describe = NULL; /* it knows no such budget */
	if (!text || event_read(a->config, &deps, &row, &e) < 0)
		e.facts = NULL;
	free(text);
	return e.facts;
}

/* What is known when a message is really queued. */
static int put_figures(struct alerts *a, json_t *facts, int64_t now_ns)
{
	json_t *top = json_pack("[{s:s,s:s,s:s,s:s},{s:s,s:s,s:s,s:s},{s:s,s:s,s:s,s:s}]", "key", "ci-bot", "user",
				"ann", "model", "gpt-4.1", "spent", "31.07 USD", "key", "notebook", "user", "ann",
				"model", "claude-sonnet-4-5", "spent", "7.85 USD", "key", "notebook", "user", "ann",
				"model", "gpt-4.1-mini", "spent", "1.20 USD");
	json_t *rate = json_pack("{s:f,s:o}", "per_hour", 2.48, "runs_out_at",
				 event_time(now_ns + 3 * HOUR_S * NS_PER_S + 58 * 60 * NS_PER_S));
	int bad = 0;

	bad |= json_object_set_new(facts, "period", json_string("day"));
	bad |= json_object_set_new(facts, "rate", rate);
	bad |= json_object_set_new(facts, "top", top);
	bad |= json_object_set_new(facts, "next",
				   json_string("At 100 % bursar refuses further calls until the window ends."));
	bad |= json_object_set_new(facts, "command",
				   json_string("bursar budgets raise search-daily '75 USD' --reason '...'"));
	(void)a;
	return bad ? BUR_NOMEM : BUR_OK;
}

static int put_identity(struct alerts *a, json_t *facts, enum message_op op, int64_t now_ns)
{
	char id[64];
	int bad = 0;

	(void)snprintf(id, sizeof(id), "%s-sample", a->instance);
	bad |= json_object_set_new(facts, "id", json_string(id));
	bad |= json_object_set_new(facts, "state", json_string(message_op_name(op)));
	bad |= json_object_set_new(facts, "incident", json_integer(12));
	bad |= json_object_set_new(facts, "since", event_time(now_ns - 40 * 60 * NS_PER_S));
	/* A link that could be used for whatever incident really has this number would be a key for strangers. */
	bad |= json_object_set_new(facts, "links", json_object());
	if (!bad && a->config->public_url && a->config->public_url[0] != '\0') {
		json_t *links = json_object_get(facts, "links");

		bad |= json_object_set_new(links, "open",
					   json_sprintf("%s" LINK_PATH "?sample=open", a->config->public_url));
		if (op != SAY_RESOLVE) {
			bad |= json_object_set_new(links, "acknowledge",
						   json_sprintf("%s" LINK_PATH "?sample=ack", a->config->public_url));
			bad |= json_object_set_new(
			    links, "resolve", json_sprintf("%s" LINK_PATH "?sample=resolve", a->config->public_url));
		}
	}
	return bad ? BUR_NOMEM : BUR_OK;
}

static int put_digest(json_t *facts)
{
	json_t *digest =
	    json_pack("{s:i,s:{s:i,s:i},s:{s:i,s:i},s:[s,s,s]}", "count", 14, "by_type", "budget.threshold", 11,
		      "budget.exceeded", 3, "by_severity", "warning", 11, "critical", 3, "lines",
		      "Budget search-daily, user ann: 80 % used", "Budget search-daily, user bob: 100 % used",
		      "Budget ads-daily, team ads: 80 % used");

	return json_object_set_new(facts, "digest", digest) == 0 ? BUR_OK : BUR_NOMEM;
}

static int put_escalation(json_t *facts)
{
	json_t *o = json_pack("{s:s,s:s,s:i}", "original_level", "warning", "reason",
			      "repeated_alerts_or_persistent_condition", "events", 5);

	return json_object_set_new(facts, "escalated", o) == 0 ? event_set_severity(facts, SEVERITY_CRITICAL)
							       : BUR_NOMEM;
}

json_t *ask_sample(struct alerts *a, const char *name, enum message_op *ret_op)
{
	bool digest = strcmp(name, "digest") == 0, escalation = strcmp(name, "escalation") == 0;
	bool test = strcmp(name, "test") == 0;
	const struct alert_type *type =
	    alert_type_find(digest || escalation || test ? SLICE("budget.threshold") : slice_of(name));
	int64_t now_ns = alerts_now(a);
	json_t *facts;
	int r;

	if (!type || !type->family)
		return NULL;
	*ret_op = digest       ? SAY_DIGEST
		  : escalation ? SAY_ESCALATE
		  : test       ? SAY_TEST
		  : type->ends ? SAY_RESOLVE
			       : SAY_FIRE;
	facts = facts_of(a, type, now_ns);
	r = facts ? put_identity(a, facts, *ret_op, now_ns) : BUR_NOMEM;
	if (r == BUR_OK && about_budget(type))
		r = put_figures(a, facts, now_ns);
	if (r == BUR_OK && digest)
		r = put_digest(facts);
	if (r == BUR_OK && escalation)
		r = put_escalation(facts);
	if (r == BUR_OK && test) {
		r = event_set_severity(facts, SEVERITY_INFO);
		(void)json_object_set_new(facts, "type", json_string("test"));
		(void)json_object_set_new(facts, "title", json_string("Test"));
	}
	if (r == BUR_OK)
		return facts;
	json_decref(facts);
	return NULL;
}
