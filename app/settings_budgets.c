/* Budgets as people write them (bursar.yaml) to budgets as policy takes them. */
#include <stdio.h>
#include <string.h>

#include "app/settings_file.h"
#include "base/error.h"
#include "policy/budget_window.h"

#define AT(type_, field) .offset = offsetof(struct type_, field)
#define OUT_TOKENS_MAX 10000000

static const struct {
	const char *name;
	enum window_kind kind;
} windows[] = {
    {"hour", WINDOW_HOUR},       {"day", WINDOW_DAY},   {"week", WINDOW_WEEK},   {"month", WINDOW_MONTH},
    {"quarter", WINDOW_QUARTER}, {"year", WINDOW_YEAR}, {"total", WINDOW_TOTAL},
};

/* --- the table -------------------------------------------------------------------------------------------------- */

static const struct option budget_rows[] = {
    {.name = "name",
     .type = OPT_STRING,
     AT(file_budget, name),
     .sentence = "identity of the budget, also across restarts; another name is another counter"},
    {.name = "match",
     .type = OPT_NODE,
     AT(file_budget, match),
     .optional = true,
     .sentence = "which calls it counts: any of provider, model, key, user, team, project, tag.<name>; a value may end "
		 "in * ; empty = all calls"},
    {.name = "per",
     .type = OPT_STRINGS,
     AT(file_budget, per),
     .optional = true,
     .max = SELECTORS_MAX,
     .sentence = "one counter with the whole limit for each distinct value of these facts"},
    {.name = "window",
     .type = OPT_STRING,
     AT(file_budget, window),
     .optional = true,
     .sentence = "hour, day, week, month, quarter, year (calendar, in its time zone), total, or the last so long: "
		 "`rolling 24h`, in whole minutes from 1m to 366d"},
    {.name = "timezone",
     .type = OPT_STRING,
     AT(file_budget, timezone),
     .fallback = "UTC",
     .sentence = "IANA name of the zone in which the window begins"},
    {.name = "week_start",
     .type = OPT_ENUM,
     AT(file_budget, week_start),
     .fallback = "monday",
     .choices = "monday|tuesday|wednesday|thursday|friday|saturday|sunday",
     .sentence = "first day of a week"},
    {.name = "month_anchor",
     .type = OPT_INT,
     AT(file_budget, month_anchor),
     .fallback = "1",
     .min = 1,
     .max = 28,
     .sentence = "day on which months, quarters and years begin"},
    {.name = "fiscal_year_start",
     .type = OPT_INT,
     AT(file_budget, fiscal_year_start),
     .fallback = "1",
     .min = 1,
     .max = 12,
     .sentence = "month in which years begin, and with them quarters: 4 = April"},
    {.name = "limit",
     .type = OPT_STRING,
     AT(file_budget, limit),
     .optional = true,
     .sentence = "what may be spent in a window: 50 USD, 2M tokens or 1000 requests"},
    {.name = "limits",
     .type = OPT_NODE,
     AT(file_budget, limits),
     .optional = true,
     .sentence = "further windows of the same budget, or all of them: list of {window: day, limit: 5 USD}; each is a "
		 "counter of its own, named NAME/WINDOW (other units than USD: NAME/WINDOW/tokens)"},
    {.name = "parent",
     .type = OPT_STRING,
     AT(file_budget, parent),
     .optional = true,
     .sentence = "budget of which this one is a part: it must match all that this one matches, and no limit may be "
		 "above the parent's for a window within the parent's"},
    {.name = "mode",
     .type = OPT_STRING,
     AT(file_budget, mode),
     .fallback = "hard",
     .sentence = "hard: never passes the limit; soft: counts and warns, refuses nothing; shadow: counts, and counts "
		 "what it would have refused, without any effect on calls"},
    {.name = "steps",
     .type = OPT_LIST,
     AT(file_budget, steps),
     .optional = true,
     .max = STEPS_MAX,
     .sub = &settings_step_table,
     .sentence = "what happens on the way to the limit, in ascending order; default: alert at 75, 90 and 100 %, clamp "
		 "and block at 100 %"},
    {.name = "unknown_model",
     .type = OPT_NODE,
     AT(file_budget, unknown_model),
     .optional = true,
     .sentence =
	 "calls without a price: block (default of hard budgets), default (a dear price: 30 USD in, 180 USD out "
	 "for a million tokens), free, or {charge: 0.05 USD} a call"},
    {.name = "input_bound",
     .type = OPT_ENUM,
     AT(file_budget, input_bound),
     .fallback = "exact",
     .choices = "exact|estimate",
     .sentence = "what a hold may stand on near the limit: exact (bytes, or an exact count of tokens) or estimate, for "
		 "vendors without a public tokenizer: tighter, and no guarantee"},
    {.name = "hold",
     .type = OPT_ENUM,
     AT(file_budget, hold),
     .fallback = "auto",
     .choices = "auto|worst|growing",
     .sentence =
	 "what a stream holds: worst, all that it can cost; growing, what it needs next, cut off when there is no "
	 "more; auto, growing where the request has no output bound and the vendor stops when told"},
    {.name = "default_max_out",
     .type = OPT_INT,
     AT(file_budget, default_max_out),
     .optional = true,
     .min = 1,
     .max = OUT_TOKENS_MAX,
     .sentence = "output tokens written into requests that have no output bound of their own"},
    {.name = "lower_mode",
     .type = OPT_ENUM,
     AT(file_budget, lower_mode),
     .fallback = "keep",
     .choices = "keep|cut",
     .sentence = "when the limit is lowered while calls run: keep lets them end; cut ends streams, the youngest first, "
		 "until it holds again"},
    {.name = "breaker",
     .type = OPT_GROUP,
     AT(file_budget, breaker),
     .sub = &settings_breaker_table,
     .sentence = "the cost breaker: refuses all paid calls of the budget for a while when money flows too fast"},
};
const struct option_table settings_budget_table = {.name = "budget",
						   .record_bytes = sizeof(struct file_budget),
						   .rows = budget_rows,
						   .n_rows = ARRAY_LEN(budget_rows),
						   .node_offset = offsetof(struct file_budget, node)};

/* --- one field after the other ------------------------------------------------------------------------------------ */

int settings_zone(struct settings_ctx *ctx, const struct node *at, const char *name, const struct tz **ret)
{
	struct settings_own *own = ctx->s->own;
	int r;

	for (size_t i = 0; i < own->n_zones; i++)
		if (strcmp(tz_name(own->zones[i]), name) == 0) {
			*ret = own->zones[i];
			return BUR_OK;
		}
	if (own->n_zones == SETTINGS_ZONES_MAX)
		return config_fail(ctx->err, ctx->file_name, at, "timezone: more than %d different zones",
				   SETTINGS_ZONES_MAX);
	r = tz_load(name, &own->zones[own->n_zones]);
	if (r == BUR_NOMEM)
		return r;
	if (r < 0)
		return config_fail(ctx->err, ctx->file_name, at,
				   "timezone: expected an IANA name such as `Europe/Berlin`, got `%s` (%s)", name,
				   bur_strerror(r));
	*ret = own->zones[own->n_zones++];
	return BUR_OK;
}

/* One window and its limit, as written. */
struct file_limit {
	const char *window, *limit;
	const struct node *window_at, *limit_at;
};

/* `rolling 24h`; the zone is only for how instants are written. */
static int read_rolling(struct settings_ctx *ctx, const struct file_limit *l, struct budget *b)
{
	char *name;

	if (budget_window_parse_rolling(slice_of(l->window), &b->rolling_s) < 0)
		return config_fail(ctx->err, ctx->file_name, l->window_at,
				   "window: expected `rolling 24h`: whole minutes (m), hours (h), days (d) or weeks "
				   "(w), from 1m to 366d, got `%s`",
				   l->window);
	name = arena_alloc(&ctx->s->own->arena, ROLLING_NAME_SIZE);
	if (!name)
		return BUR_NOMEM;
	b->window_name = budget_window_rolling_name(b->rolling_s, name);
	b->window.kind = WINDOW_DAY;
	return BUR_OK;
}

static int read_window(struct settings_ctx *ctx, const struct file_limit *l, struct budget *b)
{
	for (size_t i = 0; i < ARRAY_LEN(windows); i++)
		if (strcmp(l->window, windows[i].name) == 0) {
			b->window.kind = windows[i].kind;
			b->window_name = windows[i].name;
			return BUR_OK;
		}
	if (strncmp(l->window, "rolling", 7) == 0)
		return read_rolling(ctx, l, b);
	return config_fail(ctx->err, ctx->file_name, l->window_at,
			   "window: expected hour, day, week, month, quarter, year, total or `rolling 24h`, got `%s`",
			   l->window);
}

static int read_limit(struct settings_ctx *ctx, const struct file_limit *l, struct budget *b)
{
	if (amount_parse_limit(slice_of(l->limit), &b->unit, &b->limit) < 0 || b->limit <= 0)
		return config_fail(ctx->err, ctx->file_name, l->limit_at,
				   "limit: expected an amount such as `50 USD`, `2M tokens` or `1000 requests`, got "
				   "`%s`",
				   l->limit);
	return BUR_OK;
}

static int read_calendar(struct settings_ctx *ctx, const struct file_budget *f, struct budget *b)
{
	b->window.week_start = f->week_start;
	b->window.month_anchor = (int)f->month_anchor;
	b->fiscal_month = (int)f->fiscal_year_start;
	return settings_zone(ctx, settings_at(f->node, "timezone"), f->timezone, &b->window.tz);
}

static int read_mode(struct settings_ctx *ctx, const struct file_budget *f, struct budget *b)
{
	const struct node *at = settings_at(f->node, "mode");

	if (strcmp(f->mode, "hard") == 0)
		b->mode = MODE_HARD;
	else if (strcmp(f->mode, "soft") == 0)
		b->mode = MODE_SOFT;
	else if (strcmp(f->mode, "shadow") == 0)
		b->mode = MODE_SHADOW;
	else
		return config_fail(ctx->err, ctx->file_name, at, "mode: expected hard, soft or shadow, got `%s`",
				   f->mode);
	return BUR_OK;
}

static int read_fact(struct settings_ctx *ctx, const struct node *at, struct slice word, const char *what,
		     enum fact *ret_fact, const char **ret_tag)
{
	struct slice tag = SLICE_NONE;

	if (fact_parse(word, ret_fact, &tag) < 0)
		return config_fail(ctx->err, ctx->file_name, at,
				   "%s: expected provider, model, key, user, team, project or tag.<name>, got "
				   "`" SLICE_FMT "`",
				   what, SLICE_ARG(word));
	*ret_tag = NULL;
	if (*ret_fact == FACT_TAG) {
		*ret_tag = arena_dup(&ctx->s->own->arena, tag).p;
		if (!*ret_tag)
			return BUR_NOMEM;
	}
	return BUR_OK;
}

static int read_match_value(struct settings_ctx *ctx, const struct node *n, struct selector *s)
{
	size_t star;

	if (n->kind != NODE_SCALAR || n->text.n == 0)
		return config_fail(ctx->err, ctx->file_name, n,
				   "match." SLICE_FMT ": expected one value, which may end in `*`; for several values "
				   "write one budget each",
				   SLICE_ARG(n->key));
	star = slice_find(n->text, '*');
	if (star + 1 < n->text.n)
		return config_fail(ctx->err, ctx->file_name, n, "match." SLICE_FMT ": `*` may only stand at the end",
				   SLICE_ARG(n->key));
	s->value = arena_dup(&ctx->s->own->arena, n->text).p;
	return s->value ? BUR_OK : BUR_NOMEM;
}

static bool node_is_empty(const struct node *n)
{
	return !n || (n->kind == NODE_SCALAR && n->text.n == 0 && !n->quoted);
}

static int read_match(struct settings_ctx *ctx, const struct file_budget *f, struct budget *b)
{
	int r = BUR_OK;

	if (node_is_empty(f->match))
		return BUR_OK;
	if (f->match->kind != NODE_MAP)
		return config_fail(ctx->err, ctx->file_name, f->match, "match: expected a map such as {team: search}");
	for (const struct node *n = f->match->first_child; n && r == BUR_OK; n = n->next) {
		struct selector *s = &b->match[b->n_match];

		if (b->n_match == SELECTORS_MAX)
			return config_fail(ctx->err, ctx->file_name, n, "match: more than %d conditions",
					   SELECTORS_MAX);
		r = read_fact(ctx, n, n->key, "match", &s->fact, &s->tag);
		if (r == BUR_OK)
			r = read_match_value(ctx, n, s);
		b->n_match++;
	}
	return r;
}

static int read_per(struct settings_ctx *ctx, const struct file_budget *f, struct budget *b)
{
	const struct node *at = settings_at(f->node, "per");
	int r = BUR_OK;

	if (f->per.n > SELECTORS_MAX)
		return config_fail(ctx->err, ctx->file_name, at, "per: more than %d facts", SELECTORS_MAX);
	for (size_t i = 0; i < f->per.n && r == BUR_OK; i++)
		r = read_fact(ctx, at, slice_of(f->per.items[i]), "per", &b->per[i].fact, &b->per[i].tag);
	b->n_per = f->per.n;
	return r;
}

static int read_hold(struct settings_ctx *ctx, const struct file_budget *f, struct budget *b)
{
	(void)ctx;
	b->hold = (enum hold_mode)f->hold;
	b->default_max_out = (uint64_t)f->default_max_out;
	b->lower_cuts = f->lower_mode == 1;
	return BUR_OK;
}

/* --- calls without a price ---------------------------------------------------------------------------------------- */

static int read_charge(struct settings_ctx *ctx, const struct node *n, struct budget *b)
{
	const struct node *charge = node_get(n, "charge");
	enum amount_unit unit;

	if (!charge || charge->next || charge != n->first_child)
		return config_fail(ctx->err, ctx->file_name, n, "unknown_model: expected {charge: 0.05 USD}");
	if (charge->kind != NODE_SCALAR || amount_parse_limit(charge->text, &unit, &b->unknown_charge_nanousd) < 0 ||
	    unit != UNIT_USD || b->unknown_charge_nanousd < 0)
		return config_fail(ctx->err, ctx->file_name, charge, "charge: expected an amount such as `0.05 USD`");
	b->unknown_model = UNKNOWN_CHARGE;
	return BUR_OK;
}

static int read_unknown(struct settings_ctx *ctx, const struct file_budget *f, struct budget *b)
{
	const struct node *n = f->unknown_model;

	b->estimate_input = f->input_bound == 1;
	b->unknown_model = b->mode == MODE_HARD ? UNKNOWN_BLOCK : UNKNOWN_FREE;
	if (node_is_empty(n))
		return BUR_OK;
	if (n->kind == NODE_MAP)
		return read_charge(ctx, n, b);
	if (n->kind == NODE_SCALAR && slice_eq(n->text, SLICE("block")))
		b->unknown_model = UNKNOWN_BLOCK;
	else if (n->kind == NODE_SCALAR && slice_eq(n->text, SLICE("free")))
		b->unknown_model = UNKNOWN_FREE;
	else if (n->kind == NODE_SCALAR && slice_eq(n->text, SLICE("default")))
		b->unknown_model = UNKNOWN_DEFAULT;
	else
		return config_fail(ctx->err, ctx->file_name, n,
				   "unknown_model: expected block, default, free or {charge: 0.05 USD}");
	return BUR_OK;
}

/* --- the limits of one budget ------------------------------------------------------------------------------------- */

#define LIMITS_MAX MATCH_MAX /* all of them match the same calls */

/* What is written under `limits`: {window: day, limit: 5 USD}. */
static int read_limits_item(struct settings_ctx *ctx, const struct node *n, struct file_limit *l)
{
	struct arena *a = &ctx->s->own->arena;

	if (n->kind != NODE_MAP)
		return config_fail(ctx->err, ctx->file_name, n, "limits: expected {window: day, limit: 5 USD}");
	for (const struct node *c = n->first_child; c; c = c->next)
		if (!slice_eq(c->key, SLICE("window")) && !slice_eq(c->key, SLICE("limit")))
			return config_fail(ctx->err, ctx->file_name, c,
					   "limits: unknown key `" SLICE_FMT "`; one of them has `window` and `limit`",
					   SLICE_ARG(c->key));
	l->window_at = node_get(n, "window");
	l->limit_at = node_get(n, "limit");
	if (!l->window_at || !l->limit_at || l->window_at->kind != NODE_SCALAR || l->limit_at->kind != NODE_SCALAR)
		return config_fail(ctx->err, ctx->file_name, n, "limits: one of them needs a `window` and a `limit`");
	l->window = arena_dup(a, l->window_at->text).p;
	l->limit = arena_dup(a, l->limit_at->text).p;
	return l->window && l->limit ? BUR_OK : BUR_NOMEM;
}

/* `window` and `limit` of the budget itself come first and keep its name. */
static int read_own_limit(struct settings_ctx *ctx, const struct file_budget *f, struct file_limit *l, size_t *ret_n)
{
	bool window = f->window != NULL, limit = f->limit != NULL;

	*ret_n = 0;
	if (!window && !limit && f->limits)
		return BUR_OK;
	if (!window || !limit)
		return config_fail(ctx->err, ctx->file_name, f->node,
				   "%s: is missing; a budget has `window` and `limit`, or a list of them in `limits`",
				   window ? "limit" : "window");
	*l = (struct file_limit){f->window, f->limit, settings_at(f->node, "window"), settings_at(f->node, "limit")};
	*ret_n = 1;
	return BUR_OK;
}

static int read_limits(struct settings_ctx *ctx, const struct file_budget *f, struct file_limit list[LIMITS_MAX],
		       size_t *ret_n)
{
	int r = read_own_limit(ctx, f, list, ret_n);

	if (r < 0 || !f->limits)
		return r;
	if (f->limits->kind != NODE_LIST || !f->limits->first_child)
		return config_fail(ctx->err, ctx->file_name, f->limits,
				   "limits: expected a list of {window: day, limit: 5 USD}");
	for (const struct node *n = f->limits->first_child; n && r == BUR_OK; n = n->next) {
		if (*ret_n == LIMITS_MAX)
			return config_fail(ctx->err, ctx->file_name, n, "limits: more than %d", LIMITS_MAX);
		r = read_limits_item(ctx, n, &list[(*ret_n)++]);
	}
	return r;
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

#define NAME_MAX_BYTES 63

/* What is the same for all its limits. */
static int read_budget(struct settings_ctx *ctx, const struct file_budget *f, struct budget *b)
{
	static int (*const fields[])(struct settings_ctx *, const struct file_budget *, struct budget *) = {
	    read_match,   read_per,  read_calendar,       read_mode,
	    read_unknown, read_hold, settings_read_steps, settings_read_breaker,
	};
	int r = BUR_OK;

	*b = (struct budget){.name = f->name, .group = f->name, .parent = f->parent};
	if (f->name[0] == '\0' || strlen(f->name) > NAME_MAX_BYTES || strpbrk(f->name, "\"\\\r\n\t"))
		return config_fail(ctx->err, ctx->file_name, settings_at(f->node, "name"),
				   "name: expected 1 to 63 plain characters");
	for (size_t i = 0; i < ARRAY_LEN(fields) && r == BUR_OK; i++)
		r = fields[i](ctx, f, b);
	return r;
}

/* Under `limits`: NAME/WINDOW, and the unit when it is not money. */
static int name_limit(struct settings_ctx *ctx, const struct file_limit *l, struct budget *b)
{
	static const char *const units[] = {[UNIT_USD] = "", [UNIT_TOKENS] = "/tokens", [UNIT_REQUESTS] = "/requests"};
	char name[256];
	int n = snprintf(name, sizeof(name), "%s/%s%s", b->group, b->window_name, units[b->unit]);

	if (n < 0 || n > NAME_MAX_BYTES)
		return config_fail(ctx->err, ctx->file_name, l->window_at,
				   "limits: `%s` would be longer than %d bytes; give the budget a shorter name", name,
				   NAME_MAX_BYTES);
	b->name = arena_dup(&ctx->s->own->arena, slice_of(name)).p;
	return b->name ? BUR_OK : BUR_NOMEM;
}

static int read_budget_limits(struct settings_ctx *ctx, const struct file_budget *f, struct budget *list,
			      size_t *inout_n)
{
	struct file_limit limits[LIMITS_MAX];
	struct budget common;
	size_t n = 0;
	int r = read_budget(ctx, f, &common);

	if (r == BUR_OK)
		r = read_limits(ctx, f, limits, &n);
	for (size_t i = 0; i < n && r == BUR_OK; i++) {
		struct budget *b = &list[(*inout_n)++];

		*b = common;
		r = read_window(ctx, &limits[i], b);
		if (r == BUR_OK)
			r = read_limit(ctx, &limits[i], b);
		if (r == BUR_OK)
			r = settings_check_steps(ctx, f, b);
		if (r == BUR_OK && (i > 0 || !f->window))
			r = name_limit(ctx, &limits[i], b);
		for (size_t k = 0; k + 1 < *inout_n && r == BUR_OK; k++)
			if (strcmp(list[k].name, b->name) == 0)
				r = config_fail(ctx->err, ctx->file_name, limits[i].window_at,
						"name: two budgets are called `%s`; a name is a budget's identity",
						b->name);
	}
	return r;
}

/* The rules that need all budgets together are policy's own. */
static int check_set(struct settings_ctx *ctx)
{
	struct budget_set *set = NULL;
	char text[512] = "";
	int r = budget_set_new(ctx->s->budgets, ctx->s->n_budgets, &set, text, sizeof(text));

	budget_set_free(set);
	if (r == BUR_INVALID)
		return config_fail(ctx->err, ctx->file_name, settings_at(ctx->s->own->raw.root, "budgets"),
				   "budgets: %s", text);
	return r;
}

static int check_groups(struct settings_ctx *ctx, const struct file_budget *f, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < i; k++)
			if (strcmp(f[k].name, f[i].name) == 0)
				return config_fail(ctx->err, ctx->file_name, settings_at(f[i].node, "name"),
						   "name: two budgets are called `%s`; a name is a budget's identity",
						   f[i].name);
	return BUR_OK;
}

int settings_check_budgets(struct settings_ctx *ctx)
{
	const struct record_list *from = &ctx->s->own->raw.budgets;
	const struct file_budget *f = from->items;
	struct budget *list;
	size_t n = 0, room = 1;
	int r = check_groups(ctx, f, from->n);

	if (r < 0)
		return r;
	for (size_t i = 0; i < from->n; i++) {
		room++;
		for (const struct node *c = f[i].limits ? f[i].limits->first_child : NULL; c; c = c->next)
			room++;
	}
	list = arena_zalloc(&ctx->s->own->arena, room * sizeof(*list));
	if (!list)
		return BUR_NOMEM;
	for (size_t i = 0; i < from->n && r == BUR_OK; i++)
		r = read_budget_limits(ctx, &f[i], list, &n);
	if (r < 0)
		return r;
	ctx->s->budgets = list;
	ctx->s->n_budgets = n;
	return check_set(ctx);
}
