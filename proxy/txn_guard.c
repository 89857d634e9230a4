/* txn_guard.c - what stops a call beside its budgets: kill switches, breakers of upstreams and of money, the watch for
 * programs that have lost their way. What was begun with a call is told its end exactly once (txn_guard_end). */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/calendar.h"
#include "base/check.h"
#include "base/log.h"
#include "proxy/txn.h"
#include "proxy/txn_outcome.h"

#define RETRY_MAX 1000000 /* tries that an SDK may say it made */
#define PREFIX_BYTES 4096 /* a prompt that is shorter is in no vendor's cache (1024 tokens) */

struct guarded {
	struct guard_upstream_ticket upstream;
	struct guard_admission cost;
	struct runaway_ticket loop;
	bool in_loop;
	int64_t retry_after_ns; /* as the vendor asks */
	char *user;             /* that the client named, see txn_guard_user */
};

static struct guard *guard_of(const struct txn *t)
{
	return t->worker->proxy->deps.guard;
}

/* False: no memory, the call is refused. */
static bool guarded_get(struct txn *t, enum step_result *ret)
{
	if (!t->guarded)
		t->guarded = calloc(1, sizeof(*t->guarded));
	if (t->guarded)
		return true;
	*ret = txn_refuse(t, REFUSE_OVERLOADED, "out of memory");
	return false;
}

/* --- who calls ---------------------------------------------------------------------------------------------------- */

static uint32_t number_in(struct slice s)
{
	uint64_t n;
	size_t digits = 0;

	while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
		digits++;
	return slice_u64(slice_sub(s, 0, digits), &n) == BUR_OK && n <= RETRY_MAX ? (uint32_t)n : 0;
}

/* SDKs say it in their own ways: `x-stainless-retry-count: 1` and `amz-sdk-request: attempt=2; max=3` are both the
 * second try. */
static uint32_t sdk_retry(const struct h1_head *h)
{
	const struct h1_field *f = h1_find_name(h, SLICE("x-stainless-retry-count"));
	struct slice attempt = SLICE("attempt=");
	const char *at;
	uint32_t n;

	if (f)
		return number_in(f->value);
	f = h1_find_name(h, SLICE("amz-sdk-request"));
	at = f ? memmem(f->value.p, f->value.n, attempt.p, attempt.n) : NULL;
	if (!at)
		return 0;
	n = number_in(slice_sub(f->value, (size_t)(at - f->value.p) + attempt.n, f->value.n));
	return n > 0 ? n - 1 : 0;
}

bool txn_guard_principal(struct txn *t, enum step_result *ret)
{
	if (t->metered)
		t->sdk_retry = sdk_retry(t->head);
	return txn_stop_admits(t, NULL, ret);
}

struct slice txn_guard_user(const struct txn *t)
{
	return t->guarded && t->guarded->user ? slice_of(t->guarded->user) : SLICE_NONE;
}

/* A stop may come while the call runs, when its head is gone. */
static void keep_user(struct txn *t, const struct facts *f)
{
	struct slice user = f->v[FACT_USER];

	if (user.n == 0 || (t->principal && slice_eq(user, slice_of(t->principal->user))) || t->guarded->user)
		return;
	t->guarded->user = strndup(user.p, user.n); /* without it the call is found by all but its user */
}

/* --- cost --------------------------------------------------------------------------------------------------------- */

static size_t counters_of(const struct txn *t, struct guard_counter dst[MATCH_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < t->hold.n; i++) {
		struct guard_counter c = {.uid = t->hold.m[i].uid};

		engine_meter_name(t->worker->proxy->deps.engine, t->hold.m[i].meter, &c.budget, &c.scope);
		if (c.budget->breaker.on)
			dst[n++] = c;
	}
	return n;
}

static const char *when(const struct budget *b, int64_t unix_s, char dst[TIME_TEXT_MAX])
{
	if (!b->window.tz || unix_s == INT64_MAX)
		return "a person closes it";
	return time_format(b->window.tz, unix_s, dst);
}

static enum step_result cost_refused(struct txn *t, const struct guard_refusal *w)
{
	char since[TIME_TEXT_MAX], until[TIME_TEXT_MAX], worst[AMOUNT_TEXT_MAX], most[AMOUNT_TEXT_MAX];
	const char *name = w->budget->name, *open = w->scope[0] ? "(" : "", *close = w->scope[0] ? ")" : "";

	(void)amount_format_usd(w->worst_nanousd, worst);
	(void)amount_format_usd(w->max_nanousd, most);
	switch (w->why) {
	case BREAKER_REFUSED_SINGLE_CALL:
		return txn_refuse(t, REFUSE_BUDGET_EXCEEDED,
				  "this call could cost %s USD; budget %s %s%s%s lets no call cost more than %s", worst,
				  name, open, w->scope, close, most);
	case BREAKER_REFUSED_PROBE:
		return txn_refuse(
		    t, REFUSE_BUDGET_EXCEEDED,
		    "the cost breaker of budget %s %s%s%s tries with %s USD whether spending is as usual again; "
		    "this call (up to %s) does not fit in what is left of that",
		    name, open, w->scope, close, most, worst);
	case BREAKER_REFUSED_PROBE_HELD:
		t->retry_after_s = 2;
		return txn_refuse(
		    t, REFUSE_BUDGET_HELD,
		    "the cost breaker of budget %s %s%s%s tries with %s USD whether spending is as usual again; "
		    "other calls hold what this one (up to %s) needs",
		    name, open, w->scope, close, most, worst);
	default:
		return txn_refuse(
		    t, REFUSE_BUDGET_EXCEEDED,
		    "the cost breaker of budget %s %s%s%s is open since %s (%s); nothing is spent until %s", name, open,
		    w->scope, close, when(w->budget, w->changed_s, since), breaker_cause_name(w->cause),
		    when(w->budget, w->until_s, until));
	}
}

/* Of the whole call, also where its hold begins with less. */
static int64_t worst_of(const struct txn *t)
{
	return t->full_bound.worst_nanousd > t->bound.worst_nanousd ? t->full_bound.worst_nanousd
								    : t->bound.worst_nanousd;
}

static bool cost_admits(struct txn *t, enum step_result *ret)
{
	struct guard_counter counters[MATCH_MAX];
	struct guard_refusal why;
	size_t n = counters_of(t, counters);
	int r;

	if (n == 0)
		return true;
	r = guard_cost_admit(guard_of(t), counters, n, worst_of(t), txn_engine_time_s(t), &t->guarded->cost, &why);
	if (r == BUR_DENIED)
		*ret = cost_refused(t, &why);
	else if (r < 0)
		*ret = txn_refuse(t, REFUSE_OVERLOADED, "there are too many counters with a cost breaker");
	return r == BUR_OK;
}

/* --- loops -------------------------------------------------------------------------------------------------------- */

uint64_t proxy_loop_id(struct slice key_name)
{
	uint64_t id = hash_bytes(key_name.p, key_name.n);

	if (key_name.n == 0 || slice_eq(key_name, SLICE("anonymous")))
		return 0; /* nobody in particular */
	return id != 0 ? id : 1;
}

static uint64_t print_of(struct slice a, struct slice b)
{
	uint64_t h[2] = {hash_bytes(a.p, a.n), hash_bytes(b.p, b.n)}, all = hash_bytes(h, sizeof(h));

	return all != 0 ? all : 1;
}

/* The beginning of a prompt that the vendor's cache could hold: where the model has a price for what is read from it,
 * and, with Anthropic, the request asks for it. */
static uint64_t prefix_of(const struct txn *t)
{
	struct slice mark = SLICE("\"cache_control\""), body = txn_body(t);

	if (body.n < PREFIX_BYTES || !t->price || !price_model_has(t->price, PRICE_CR))
		return 0;
	if (t->target.api.family == FAMILY_ANTHROPIC && !memmem(body.p, body.n, mark.p, mark.n))
		return 0;
	return print_of(slice_of(t->info.model), slice_sub(body, 0, PREFIX_BYTES));
}

static bool loop_admits(struct txn *t, enum step_result *ret)
{
	const struct proxy_config *cfg = &t->worker->proxy->config;
	struct runaway_call call = {.id = proxy_loop_id(t->key_name)};
	int64_t now_ns = loop_mono_ns(t->worker->loop), until_ns, s;

	if (cfg->runaway_action == RUNAWAY_OFF || worst_of(t) == 0 || call.id == 0)
		return true;
	if (t->body.n > 0 && !t->stream_body)
		call.fingerprint = print_of(t->target.path, txn_body(t));
	if (t->body.n > 0 && !t->stream_body && t->body_coding.n == 0)
		call.prefix = prefix_of(t);
	if (guard_loop_start(guard_of(t), &call, t->key_name, now_ns, &t->guarded->loop, &until_ns) == BUR_OK) {
		t->guarded->in_loop = true;
		return true;
	}
	if (cfg->runaway_action != RUNAWAY_QUARANTINE)
		return true;
	s = (until_ns - now_ns) / NS_PER_S + 1;
	t->retry_after_s = s > 60 ? 60 : (int)s;
	*ret = txn_refuse(t, REFUSE_THROTTLED,
			  "key " SLICE_FMT
			  " looks like a program that has lost its way, and may call again in %lld s; `bursar "
			  "resume --key` lets it call at once",
			  SLICE_ARG(t->key_name), (long long)s);
	return false;
}

/* --- admission ---------------------------------------------------------------------------------------------------- */

bool txn_guard_admit(struct txn *t, enum step_result *ret)
{
	const struct proxy_config *cfg = &t->worker->proxy->config;
	const struct worker *w = t->worker;

	if (!txn_stop_admits(t, &w->facts, ret))
		return false;
	txn_once_find(t);
	if (!guard_of(t))
		return true;
	if (!cfg->upstream_breaker && !w->match.has_breaker && cfg->runaway_action == RUNAWAY_OFF)
		return true;
	if (!guarded_get(t, ret))
		return false;
	keep_user(t, &w->facts);
	if (w->match.has_breaker && !cost_admits(t, ret))
		return false;
	return loop_admits(t, ret);
}

/* --- upstream ----------------------------------------------------------------------------------------------------- */

bool txn_guard_dial(struct txn *t, enum step_result *ret)
{
	const struct proxy_provider *p = t->target.provider;
	int retry_s = 0;

	if (!txn_stop_admits(t, NULL, ret)) /* it may have waited */
		return false;
	if (!p || !guard_of(t) || !t->worker->proxy->config.upstream_breaker || (t->guarded && t->guarded->upstream.on))
		return true;
	if (!guarded_get(t, ret))
		return false;
	if (guard_upstream_admit(guard_of(t), slice_of(p->name), slice_of(t->target.host), t->target.port,
				 loop_mono_ns(t->worker->loop), &t->guarded->upstream, &retry_s) == BUR_OK)
		return true;
	t->retry_after_s = retry_s;
	*ret =
	    txn_refuse(t, REFUSE_UPSTREAM_UNAVAILABLE,
		       "%s at %s:%u has failed repeatedly and is left alone for a while; the next try is in about %d s",
		       p->name, t->target.host, t->target.port, retry_s);
	return false;
}

/* "120", or "Wed, 21 Oct 2026 07:28:00 GMT". 0: neither. */
static int64_t wait_of(struct slice text, int64_t wall_s)
{
	struct tm tm = {0};
	char line[40];
	const char *end;
	uint64_t s;

	if (slice_u64(text, &s) == BUR_OK)
		return s > INT32_MAX ? INT32_MAX : (int64_t)s;
	(void)slice_to_cstr(text, line, sizeof(line));
	end = strptime(line, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	if (!end || *end != '\0')
		return 0;
	return days_from_civil(tm.tm_year + INT64_C(1900), tm.tm_mon + 1, tm.tm_mday) * 86400 + tm.tm_hour * 3600 +
	       tm.tm_min * 60 + tm.tm_sec - wall_s;
}

void txn_guard_answer(struct txn *t, const struct h1_head *h)
{
	const struct h1_field *f;
	int64_t s;

	if (h->status < 400 || !t->guarded)
		return;
	f = h1_find_name(h, SLICE("retry-after"));
	s = f ? wait_of(f->value, loop_wall_ns(t->worker->loop) / NS_PER_S) : 0;
	t->guarded->retry_after_ns = s > 0 ? s * NS_PER_S : 0;
}

/* Nothing that the client or we did says anything about the upstream. */
static enum breaker_outcome outcome_of(const struct txn *t)
{
	if (t->answer_head_seen && t->answer_status >= 500)
		return BREAKER_FAILURE;
	if (t->answer_head_seen && t->answer_status == 429)
		return BREAKER_LIMITED;
	if (t->answer_ended)
		return BREAKER_SUCCESS;
	switch (t->end) {
	case TXN_END_UPSTREAM_CONNECT:
		return t->refusal == REFUSE_FORBIDDEN ? BREAKER_ABORT : BREAKER_FAILURE; /* we may not call there */
	case TXN_END_UPSTREAM_TLS:
	case TXN_END_UPSTREAM_SEND:
	case TXN_END_UPSTREAM_HEAD:
	case TXN_END_UPSTREAM_ANSWER:
	case TXN_END_UPSTREAM_PROTOCOL:
	case TXN_END_UPSTREAM_TIMEOUT:
		return BREAKER_FAILURE;
	default:
		return BREAKER_ABORT;
	}
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void end_loop(struct txn *t, int64_t actual_nanousd)
{
	struct runaway_outcome o = {.nanousd = actual_nanousd,
				    .answered = t->hold.state == HOLD_SETTLED && t->answer_ended &&
						t->answer_status >= 200 && t->answer_status < 300};

	o.cache_hit = o.answered && txn_usage(t)->cached_input_tokens > 0; /* of this call: it was settled just now */
	guard_loop_end(guard_of(t), &t->guarded->loop, t->key_name, &o, loop_mono_ns(t->worker->loop));
}

void txn_guard_end(struct txn *t, int64_t actual_nanousd)
{
	struct guarded *g = t->guarded;
	uint64_t jitter;

	if (!g)
		return;
	memcpy(&jitter, t->uid + 8, sizeof(jitter));
	if (g->cost.n > 0)
		guard_cost_settle(guard_of(t), &g->cost, actual_nanousd, txn_engine_time_s(t));
	if (g->in_loop)
		end_loop(t, actual_nanousd);
	guard_upstream_report(guard_of(t), &g->upstream, outcome_of(t), g->retry_after_ns, jitter,
			      loop_mono_ns(t->worker->loop));
	t->guarded = NULL;
	free(g->user);
	free(g);
}
