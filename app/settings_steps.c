/* The ladder of a budget as people write it: its steps, and its cost breaker. */
#include <stdio.h>
#include <string.h>

#include "app/settings_file.h"
#include "base/error.h"
#include "policy/breaker.h"
#include "policy/pace.h"
#include "proxy/route.h"

#define AT(type_, field) .offset = offsetof(struct type_, field)
#define MS_NS INT64_C(1000000)
#define S_NS INT64_C(1000000000)
#define OUT_TOKENS_MAX 10000000
#define AT_MAX_PPM 10000000 /* 1000 % */
#define FACTOR_MAX_MILLI 1000000
#define USD_MAX (INT64_C(1000000000) * NANOUSD_PER_USD)

/* --- the tables --------------------------------------------------------------------------------------------------- */

static const struct option step_rows[] = {
    {.name = "at",
     .type = OPT_STRING,
     AT(file_step, at),
     .optional = true,
     .sentence =
	 "part of the limit at which it begins, the call counted in, such as 80%; default: throttle and pace 80%, "
	 "degrade 90%, clamp 95%, block 100%; alert needs one"},
    {.name = "do",
     .type = OPT_ENUM,
     AT(file_step, action),
     .choices = "alert|block|throttle|pace|degrade|clamp",
     .sentence =
	 "alert: tell once for each window; throttle: delay calls, the more the nearer the limit is; pace: delay "
	 "them so that money flows evenly; degrade: another model instead; clamp: fewer output tokens where "
	 "all of them do not fit; block: refuse"},
    {.name = "max_delay",
     .type = OPT_DURATION,
     AT(file_step, max_delay_ns),
     .optional = true,
     .min = MS_NS,
     .max = 60 * S_NS,
     .sentence = "throttle: the delay at 100 % of the limit; default 5s"},
    {.name = "factor",
     .type = OPT_STRING,
     AT(file_step, factor),
     .optional = true,
     .sentence = "pace: how much faster than evenly (what is left over the time that is left) money may flow, 0.001 to "
		 "1000; default 3"},
    {.name = "rate",
     .type = OPT_USD,
     AT(file_step, rate_nanousd),
     .optional = true,
     .min = 1000,
     .max = USD_MAX,
     .sentence = "pace: so much a minute instead, such as 1 USD"},
    {.name = "burst",
     .type = OPT_DURATION,
     AT(file_step, burst_ns),
     .optional = true,
     .min = S_NS,
     .max = 86400 * S_NS,
     .sentence = "pace: the money of so much time may flow at once; default 10m"},
    {.name = "max_wait",
     .type = OPT_DURATION,
     AT(file_step, max_wait_ns),
     .optional = true,
     .min = MS_NS,
     .max = 60 * S_NS,
     .sentence = "pace: a call that would have to wait longer is refused (429 with Retry-After); default 10s"},
    {.name = "map",
     .type = OPT_PAIRS,
     AT(file_step, map),
     .optional = true,
     .max = DEGRADES_MAX,
     .sentence = "degrade: model and what is called in its place; the former may end in *"},
    {.name = "min_out",
     .type = OPT_INT,
     AT(file_step, min_out),
     .optional = true,
     .min = 1,
     .max = OUT_TOKENS_MAX,
     .sentence = "clamp: fewer output tokens than this are no answer, the call is refused; default 256"},
};
const struct option_table settings_step_table = {.name = "step",
						 .record_bytes = sizeof(struct file_step),
						 .rows = step_rows,
						 .n_rows = ARRAY_LEN(step_rows),
						 .node_offset = offsetof(struct file_step, node)};

static const struct option breaker_rows[] = {
    {.name = "enabled",
     .type = OPT_ENUM,
     AT(file_breaker, enabled),
     .fallback = "auto",
     .choices = "auto|on|off",
     .sentence = "auto: when something below can open it; on: also without, to be opened by hand"},
    {.name = "max_request",
     .type = OPT_USD,
     AT(file_breaker, max_request_nanousd),
     .optional = true,
     .min = 0,
     .max = USD_MAX,
     .sentence = "a call that could cost more than this opens it"},
    {.name = "velocity",
     .type = OPT_USD,
     AT(file_breaker, velocity_nanousd),
     .optional = true,
     .min = 0,
     .max = USD_MAX,
     .sentence = "this much spent within velocity_window opens it"},
    {.name = "velocity_window",
     .type = OPT_DURATION,
     AT(file_breaker, velocity_window_ns),
     .fallback = "1h",
     .min = S_NS,
     .max = 86400 * S_NS,
     .sentence = "the time for that, in whole seconds"},
    {.name = "burn",
     .type = OPT_ENUM,
     AT(file_breaker, burn),
     .fallback = "off",
     .choices = "off|trip",
     .sentence = "trip: a fast burn opens it (on a month: 2 % of the limit in an hour)"},
    {.name = "anomaly",
     .type = OPT_ENUM,
     AT(file_breaker, anomaly),
     .fallback = "off",
     .choices = "off|trip",
     .sentence = "trip: an hour far above what that hour of the week usually costs opens it"},
    {.name = "cool_down",
     .type = OPT_DURATION,
     AT(file_breaker, cool_down_ns),
     .fallback = "15m",
     .min = S_NS,
     .max = 86400 * S_NS,
     .sentence = "it stays open for this long, in whole seconds, then tries with a little money"},
    {.name = "latch",
     .type = OPT_BOOL,
     AT(file_breaker, latch),
     .fallback = "false",
     .sentence = "it stays open until a person closes it"},
    {.name = "probe",
     .type = OPT_USD,
     AT(file_breaker, probe_nanousd),
     .optional = true,
     .min = 0,
     .max = USD_MAX,
     .sentence = "what may be spent while it tries; default 1 % of the limit"},
};
const struct option_table settings_breaker_table = {.name = "breaker",
						    .record_bytes = sizeof(struct file_breaker),
						    .rows = breaker_rows,
						    .n_rows = ARRAY_LEN(breaker_rows),
						    .node_offset = SIZE_MAX};

/* --- where a step begins ------------------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	int64_t at_ppm; /* 0: must be written */
} actions[] = {
    [STEP_ALERT] = {"alert", 0},
    [STEP_BLOCK] = {"block", 1000000},
    [STEP_THROTTLE] = {"throttle", PACE_CURVE_FROM_PPM},
    [STEP_PACE] = {"pace", 800000},
    [STEP_DEGRADE] = {"degrade", 900000},
    [STEP_CLAMP] = {"clamp", 950000},
};

static int read_at(struct settings_ctx *ctx, const struct file_step *f, struct budget_step *step)
{
	const struct node *at = settings_at(f->node, "at");
	struct slice text = slice_of(f->at);

	if (!f->at) {
		step->at_ppm = actions[f->action].at_ppm;
		return step->at_ppm > 0 ? BUR_OK
					: config_fail(ctx->err, ctx->file_name, f->node,
						      "steps: a step that alerts needs an `at`, such as `at: 80%%`");
	}
	if (!slice_ends(text, SLICE("%")) ||
	    decimal_parse(slice_trim(slice_sub(text, 0, text.n - 1)), 4, false, &step->at_ppm) < 0 ||
	    step->at_ppm <= 0 || step->at_ppm > AT_MAX_PPM)
		return config_fail(ctx->err, ctx->file_name, at,
				   "at: expected a part of the limit such as `80%%`, at most `1000%%`, got `%.80s`",
				   f->at);
	if (f->action == STEP_THROTTLE && step->at_ppm > 1000000)
		return config_fail(ctx->err, ctx->file_name, at,
				   "at: throttle begins at 100%% of the limit or below, got `%.80s`", f->at);
	return BUR_OK;
}

/* --- what each action takes --------------------------------------------------------------------------------------- */

/* The first key of the step that means nothing for its action. */
static int check_keys(struct settings_ctx *ctx, const struct file_step *f)
{
	static const struct {
		const char *key;
		enum step_action action;
	} owners[] = {{"max_delay", STEP_THROTTLE}, {"factor", STEP_PACE},   {"rate", STEP_PACE},
		      {"burst", STEP_PACE},         {"max_wait", STEP_PACE}, {"min_out", STEP_CLAMP}};

	for (size_t i = 0; i < ARRAY_LEN(owners); i++) {
		const struct node *n = f->node->kind == NODE_MAP ? node_get(f->node, owners[i].key) : NULL;

		if (n && (int)owners[i].action != f->action)
			return config_fail(ctx->err, ctx->file_name, n,
					   "steps: `%s` belongs to `do: %s`, not to `do: %s`", owners[i].key,
					   actions[owners[i].action].name, actions[f->action].name);
	}
	if (f->map.n > 0 && f->action != STEP_DEGRADE)
		return config_fail(ctx->err, ctx->file_name, settings_at(f->node, "map"),
				   "steps: `map` belongs to `do: degrade`, not to `do: %s`", actions[f->action].name);
	return BUR_OK;
}

static int read_pace(struct settings_ctx *ctx, const struct file_step *f, struct budget_step *step)
{
	const struct node *at = settings_at(f->node, "factor");

	step->pace.factor_milli = PACE_FACTOR_MILLI;
	step->pace.burst_ns = f->burst_ns ? f->burst_ns : PACE_BURST_NS;
	step->pace.max_wait_ns = f->max_wait_ns ? f->max_wait_ns : PACE_MAX_WAIT_NS;
	step->pace.per_minute_nanousd = f->rate_nanousd;
	if (!f->factor)
		return BUR_OK;
	if (f->rate_nanousd > 0)
		return config_fail(ctx->err, ctx->file_name, at,
				   "steps: `rate` is a fixed sum a minute; `factor` means nothing beside it");
	if (decimal_parse(slice_of(f->factor), 3, false, &step->pace.factor_milli) < 0 || step->pace.factor_milli < 1 ||
	    step->pace.factor_milli > FACTOR_MAX_MILLI)
		return config_fail(ctx->err, ctx->file_name, at,
				   "factor: expected a number from 0.001 to 1000 such as `3`, got `%.80s`", f->factor);
	return BUR_OK;
}

/* Models: what is called, which may be a pattern, and what is called in its place, which may not. */
static int check_pair(struct settings_ctx *ctx, const struct node *at, const struct pair *p)
{
	struct slice from = slice_of(p->key), to = slice_of(p->value);
	size_t star = slice_find(from, '*');

	if (from.n == 0 || to.n == 0 || from.n > MODEL_NAME_MAX || to.n > MODEL_NAME_MAX)
		return config_fail(ctx->err, ctx->file_name, at,
				   "map: expected names of at most %d letters such as `gpt-5: gpt-5-mini`, got "
				   "`%.40s: %.40s`",
				   MODEL_NAME_MAX, p->key, p->value);
	if (star + 1 < from.n || slice_find(to, '*') != to.n)
		return config_fail(ctx->err, ctx->file_name, at,
				   "map: `*` may only stand at the end of the model that is replaced, got "
				   "`%.40s: %.40s`",
				   p->key, p->value);
	if (slice_eq(from, to))
		return config_fail(ctx->err, ctx->file_name, at, "map: `%.80s` is replaced by itself", p->key);
	for (size_t i = 0; i < from.n + to.n; i++) {
		unsigned char c = (unsigned char)(i < from.n ? from.p[i] : to.p[i - from.n]);

		if (c < ' ' || c == 0x7f)
			return config_fail(ctx->err, ctx->file_name, at, "map: a model's name has a control character");
	}
	return BUR_OK;
}

static int read_map(struct settings_ctx *ctx, const struct file_step *f, struct budget_step *step)
{
	const struct node *at = settings_at(f->node, "map"), *c;
	struct degrade *map;
	int r = BUR_OK;

	if (f->map.n == 0)
		return config_fail(ctx->err, ctx->file_name, at,
				   "map: is missing; degrade needs a map such as {gpt-5: gpt-5-mini}");
	map = arena_zalloc(&ctx->s->own->arena, f->map.n * sizeof(*map));
	if (!map)
		return BUR_NOMEM;
	c = at->first_child;
	for (size_t i = 0; i < f->map.n && r == BUR_OK; i++, c = c ? c->next : NULL) {
		map[i] = (struct degrade){f->map.items[i].key, f->map.items[i].value};
		r = check_pair(ctx, c ? c : at, &f->map.items[i]);
	}
	step->map = map;
	step->n_map = f->map.n;
	return r;
}

static int read_step(struct settings_ctx *ctx, const struct file_step *f, struct budget_step *step)
{
	int r = check_keys(ctx, f);

	step->action = (enum step_action)f->action;
	if (r == BUR_OK)
		r = read_at(ctx, f, step);
	if (r < 0)
		return r;
	if (step->action == STEP_THROTTLE)
		step->max_delay_ns = f->max_delay_ns ? f->max_delay_ns : PACE_CURVE_MAX_NS;
	if (step->action == STEP_CLAMP)
		step->min_out = f->min_out ? (uint64_t)f->min_out : STEP_MIN_OUT;
	if (step->action == STEP_PACE)
		return read_pace(ctx, f, step);
	return step->action == STEP_DEGRADE ? read_map(ctx, f, step) : BUR_OK;
}

int settings_read_steps(struct settings_ctx *ctx, const struct file_budget *f, struct budget *b)
{
	const struct file_step *from = f->steps.items;
	int r = BUR_OK;

	for (size_t i = 0; i < f->steps.n && r == BUR_OK; i++) {
		struct budget_step *step = &b->steps[i];

		r = read_step(ctx, &from[i], step);
		for (size_t k = 0; k < i && r == BUR_OK; k++)
			if (step->action == b->steps[k].action && step->at_ppm == b->steps[k].at_ppm)
				r = config_fail(ctx->err, ctx->file_name, from[i].node,
						"steps: this step stands there twice");
		if (r == BUR_OK && i > 0 && step->at_ppm < step[-1].at_ppm)
			r = config_fail(ctx->err, ctx->file_name, from[i].node,
					"steps: must be in ascending order of `at`; this one begins at %g%%",
					(double)step->at_ppm / 10000);
		b->n_steps = i + 1;
	}
	return r;
}

int settings_check_steps(struct settings_ctx *ctx, const struct file_budget *f, const struct budget *b)
{
	const struct file_step *from = f->steps.items;

	for (size_t i = 0; i < f->steps.n; i++)
		if (b->steps[i].action == STEP_PACE && b->unit != UNIT_USD)
			return config_fail(ctx->err, ctx->file_name, from[i].node,
					   "steps: pace is for limits in USD; `%s` has one in %s", b->name,
					   b->unit == UNIT_TOKENS ? "tokens" : "requests");
	return BUR_OK;
}

/* --- the breaker -------------------------------------------------------------------------------------------------- */

int settings_read_breaker(struct settings_ctx *ctx, const struct file_budget *f, struct budget *b)
{
	const struct file_breaker *from = &f->breaker;
	const struct node *at = settings_at(f->node, "breaker");
	bool opens = from->max_request_nanousd > 0 || from->velocity_nanousd > 0 || from->burn || from->anomaly;

	b->breaker = (struct budget_breaker){
	    .on = from->enabled == 1 || (from->enabled == 0 && opens),
	    .trip_on_burn = from->burn == 1,
	    .trip_on_anomaly = from->anomaly == 1,
	    .latch = from->latch,
	    .max_request_nanousd = from->max_request_nanousd,
	    .velocity_nanousd = from->velocity_nanousd,
	    .velocity_window_s = from->velocity_window_ns / S_NS,
	    .cool_down_s = from->cool_down_ns / S_NS,
	    .probe_nanousd = from->probe_nanousd,
	};
	if (from->velocity_window_ns % S_NS != 0)
		return config_fail(ctx->err, ctx->file_name, settings_at(at, "velocity_window"),
				   "breaker.velocity_window: expected whole seconds");
	if (from->cool_down_ns % S_NS != 0)
		return config_fail(ctx->err, ctx->file_name, settings_at(at, "cool_down"),
				   "breaker.cool_down: expected whole seconds");
	if (from->enabled == 0 && !opens &&
	    (from->latch || from->probe_nanousd > 0 || b->breaker.cool_down_s != BREAKER_COST_COOL_S))
		return config_fail(ctx->err, ctx->file_name, at,
				   "breaker: nothing would open it; give max_request, velocity, burn or anomaly, or "
				   "`enabled: on` to open it by hand only");
	return BUR_OK;
}
