/* guards_tell.c - what stops calls beside their budgets, as events: their kinds, and the sentence for people in each.
 */
#include <stdio.h>
#include <stdlib.h>

#include "app/guards.h"
#include "app/settings.h"
#include "base/calendar.h"
#include "base/clock.h"
#include "policy/engine_meter.h"

#define SENTENCE_MAX 900

static char *dump_free(json_t *o)
{
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	json_decref(o);
	return text;
}

int64_t guards_wall_ns(int64_t mono_ns)
{
	return clock_wall_ns() + (mono_ns - clock_mono_ns());
}

static const char *kind_of_change(enum breaker_state to)
{
	static const char *const kinds[] = {[BREAKER_CLOSED] = "breaker.closed",
					    [BREAKER_OPEN] = "breaker.opened",
					    [BREAKER_HALF_OPEN] = "breaker.half_open"};

	return kinds[to];
}

const char *guards_event_kind(const struct guard_event *e)
{
	return e->kind == GUARD_LOOP ? "loop.quarantined" : kind_of_change(e->change.to);
}

/* --- breakers ----------------------------------------------------------------------------------------------------- */

static const char *usd(int64_t nanousd, char dst[AMOUNT_TEXT_MAX])
{
	return amount_format_usd(nanousd, dst);
}

/* Why it opened or closed; what the numbers mean stands in policy/breaker.h. */
static void say_cause(const struct guard_event *e, char *dst, size_t size)
{
	const struct breaker_event *c = &e->change;
	char value[AMOUNT_TEXT_MAX], threshold[AMOUNT_TEXT_MAX];

	switch (c->cause) {
	case BREAKER_FAILURE_STREAK:
		(void)snprintf(dst, size, "%lld calls in a row failed", (long long)c->value);
		break;
	case BREAKER_FAILURE_RATE:
		(void)snprintf(dst, size, "%lld %% of its calls failed", (long long)(c->value / 10000));
		break;
	case BREAKER_PROBE_FAILED:
		(void)snprintf(dst, size, "a call that tried it again failed");
		break;
	case BREAKER_PROBES_GOOD:
		(void)snprintf(dst, size, "%lld calls that tried it again went well", (long long)c->value);
		break;
	case BREAKER_BURN:
	case BREAKER_PROBE_BURN:
		(void)snprintf(dst, size, "money is spent %.1f times as fast as planned", (double)c->value / 1e3);
		break;
	case BREAKER_PROBE_CALM:
		(void)snprintf(dst, size, "money is spent slowly again");
		break;
	case BREAKER_ANOMALY:
		(void)snprintf(dst, size, "far more is spent than usual");
		break;
	case BREAKER_SINGLE_CALL:
		(void)snprintf(dst, size, "one call could have cost %s USD, at most %s USD are allowed",
			       usd(c->value, value), usd(c->threshold, threshold));
		break;
	case BREAKER_VELOCITY:
		(void)snprintf(dst, size, "%s USD an hour were spent, the limit is %s USD", usd(c->value, value),
			       usd(c->threshold, threshold));
		break;
	case BREAKER_PROBE_FAST:
		(void)snprintf(dst, size, "what may be spent to try again was gone within %lld s", (long long)c->value);
		break;
	case BREAKER_COOLED:
		(void)snprintf(dst, size, "it has cooled down");
		break;
	case BREAKER_RESTART:
		(void)snprintf(dst, size, "bursar was restarted and tries it anew");
		break;
	case BREAKER_MANUAL:
		(void)snprintf(dst, size, "%s did it: %s", e->actor[0] ? e->actor : "somebody",
			       e->reason[0] ? e->reason : "without a reason");
		break;
	default:
		(void)snprintf(dst, size, "%s", breaker_cause_name(c->cause));
	}
}

static void say_breaker(const struct guard_event *e, char *dst, size_t size)
{
	static const char *const what[2][3] = {
	    {[BREAKER_CLOSED] = "is called again", [BREAKER_OPEN] = "is left alone", [BREAKER_HALF_OPEN] = "is tried"},
	    {[BREAKER_CLOSED] = "lets calls pass again",
	     [BREAKER_OPEN] = "refuses calls",
	     [BREAKER_HALF_OPEN] = "lets some calls pass"}};
	bool cost = e->kind == GUARD_COST;
	char why[SENTENCE_MAX / 2];

	say_cause(e, why, sizeof(why));
	(void)snprintf(dst, size, "%s%s %s%s: %s", cost ? "The cost breaker of budget " : "Upstream ", e->name,
		       e->shadow ? "would act (shadow), it now " : "", what[cost][e->change.to], why);
}

static json_t *until_of(const struct guard_event *e)
{
	if (e->change.to != BREAKER_OPEN || e->change.until == INT64_MAX)
		return json_null();
	return guards_time(e->kind == GUARD_COST ? e->change.until * NS_PER_S : guards_wall_ns(e->change.until));
}

/* Which budget, or which upstream: what the event is about. */
static void put_about(struct guards *g, const struct guard_event *e, json_t *o)
{
	const struct budget *b;
	const char *scope;

	if (e->kind == GUARD_COST && engine_meter_of(g->engine, e->uid, &b, &scope) == 0) {
		(void)json_object_set_new(o, "budget", json_string(b->name));
		(void)json_object_set_new(o, "scope", json_string(scope));
		return;
	}
	(void)json_object_set_new(o, "object", json_string(e->name));
	(void)json_object_set_new(o, "object_kind", json_string(e->kind == GUARD_COST ? "global" : "provider"));
}

char *guards_breaker_payload(struct guards *g, const struct guard_event *e)
{
	char message[SENTENCE_MAX];
	json_t *o;

	say_breaker(e, message, sizeof(message));
	o = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:o,s:b}", "message", message, "kind", guard_kind_name(e->kind),
		      "name", e->name, "from", breaker_state_name(e->change.from), "to",
		      breaker_state_name(e->change.to), "cause", breaker_cause_name(e->change.cause), "value",
		      (json_int_t)e->change.value, "threshold_value", (json_int_t)e->change.threshold, "until",
		      until_of(e), "shadow", e->shadow);
	if (!o)
		return NULL;
	put_about(g, e, o);
	if (e->shadow)
		(void)json_object_set_new(o, "severity", json_string("info"));
	if (e->reason[0]) {
		(void)json_object_set_new(o, "actor", json_string(e->actor));
		(void)json_object_set_new(o, "reason", json_string(e->reason));
	}
	return dump_free(o);
}

/* --- loops -------------------------------------------------------------------------------------------------------- */

static void say_loop(const struct guard_event *e, bool quarantine, char *dst, size_t size)
{
	char cost[AMOUNT_TEXT_MAX];
	const char *what = e->loop.cause == RUNAWAY_REPEAT   ? "sent the same call again and again"
			   : e->loop.cause == RUNAWAY_FANOUT ? "makes ever more calls"
							     : "sends a long prompt that the vendor's cache never has";

	(void)snprintf(dst, size, "%s %s (%lld times, the limit is %lld; %s USD)%s", e->name, what,
		       (long long)e->loop.value, (long long)e->loop.threshold, usd(e->loop.nanousd, cost),
		       quarantine ? ": its calls are refused for a while" : ": its calls go on, it is only told");
}

char *guards_loop_payload(struct guards *g, const struct guard_event *e)
{
	bool quarantine = g->settings->proxy.runaway_action == RUNAWAY_QUARANTINE;
	int64_t until_ns = guards_wall_ns(e->loop.until_ns);
	char message[SENTENCE_MAX];

	say_loop(e, quarantine, message, sizeof(message));
	return dump_free(json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:b}", "message", message, "object",
				   e->name, "object_kind", "key", "name", e->name, "cause",
				   runaway_cause_name(e->loop.cause), "value", (json_int_t)e->loop.value,
				   "threshold_value", (json_int_t)e->loop.threshold, "cost_nanousd",
				   (json_int_t)e->loop.nanousd, "until_ns", (json_int_t)until_ns, "ends_s",
				   (json_int_t)((until_ns + NS_PER_S - 1) / NS_PER_S), "quarantine", quarantine));
}

char *guards_released_payload(const char *key, const char *actor, const char *reason)
{
	char message[SENTENCE_MAX];

	(void)snprintf(message, sizeof(message), "Key %s may call again: %s lifted its quarantine: %s", key, actor,
		       reason);
	return dump_free(json_pack("{s:s,s:s,s:s,s:s,s:s}", "message", message, "object", key, "object_kind", "key",
				   "actor", actor, "reason", reason));
}

/* --- stops -------------------------------------------------------------------------------------------------------- */

char *guards_stop_payload(const struct stop *s, bool set, const char *actor, const char *reason)
{
	bool all = s->what == STOP_EVERYTHING;
	char message[SENTENCE_MAX];

	if (all)
		(void)snprintf(message, sizeof(message), "All calls %s by %s%s: %s",
			       set ? "are stopped" : "may go on, let", actor, set && s->cut ? ", running ones too" : "",
			       reason);
	else
		(void)snprintf(message, sizeof(message), "Calls of %s %s %s by %s%s: %s", stop_word(s->what), s->value,
			       set ? "are stopped" : "may go on, let", actor, set && s->cut ? ", running ones too" : "",
			       reason);
	return dump_free(json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:o,s:b,s:b}", "message", message, "object",
				   all ? "everything" : s->value, "object_kind", all ? "global" : stop_word(s->what),
				   "what", stop_word(s->what), "value", s->value, "reason", reason, "actor", actor,
				   "since", guards_time(s->since_ns), "cut", s->cut, "stopped", set));
}
