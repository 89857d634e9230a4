/* `alerts:` as people write it: who is told of what. The channels have files of their own (settings_channel*.c). */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/settings_alerts.h"
#include "app/settings_file.h"
#include "base/error.h"

#define ROWS(a) .rows = (a), .n_rows = ARRAY_LEN(a)
#define AT(type_, field) .offset = offsetof(struct type_, field)
#define S_NS INT64_C(1000000000)
#define DAY_NS (86400 * S_NS)
#define PATTERNS_MAX 64
#define TEXT_MAX 256
#define NODE_NAME_MAX 128

/* --- the tables --------------------------------------------------------------------------------------------------- */

static const struct option escalate_rows[] = {
    {.name = "after",
     .type = OPT_DURATION,
     AT(file_escalate, after_ns),
     .min = 10 * S_NS,
     .max = 30 * DAY_NS,
     .sentence = "nobody acknowledged it for so long"},
    {.name = "to",
     .type = OPT_STRINGS,
     AT(file_escalate, to),
     .optional = true,
     .max = ALERTS_CHANNELS_MAX,
     .sentence = "channels; default: all"},
};
static const struct option_table escalate_table = {.name = "escalate", ROWS(escalate_rows), .node_offset = SIZE_MAX};

#define PATTERNS(name_, field, sentence_)                                                                              \
	{                                                                                                              \
		.name = (name_), .type = OPT_STRINGS, AT(file_alert_rule, field), .optional = true,                    \
		.max = PATTERNS_MAX, .sentence = (sentence_)                                                           \
	}

static const struct option rule_rows[] = {
    PATTERNS("events", events, "types of events such as budget.exceeded or budget.*; default: all"),
    PATTERNS("budgets", budgets, "names of budgets, which may end in *; default: all, and what is about no budget"),
    PATTERNS("key", key, "name of the virtual key it is about, one of these; may end in *"),
    PATTERNS("user", user, "user, one of these"),
    PATTERNS("team", team, "team, one of these"),
    PATTERNS("project", project, "project, one of these"),
    PATTERNS("model", model, "model, one of these"),
    PATTERNS("provider", provider, "provider, one of these"),
    {.name = "tags",
     .type = OPT_NODE,
     AT(file_alert_rule, tags),
     .optional = true,
     .sentence = "tags and their values: {env: prod} or {env: [prod, staging]}"},
    {.name = "severity",
     .type = OPT_ENUM,
     AT(file_alert_rule, severity),
     .fallback = "auto",
     .choices = "auto|info|warning|error|critical",
     .sentence = "the least that is told by this rule; auto: each channel's own"},
    {.name = "channels",
     .type = OPT_STRINGS,
     AT(file_alert_rule, channels),
     .optional = true,
     .max = ALERTS_CHANNELS_MAX,
     .sentence = "who is told; default: all"},
    {.name = "escalate",
     .type = OPT_GROUP,
     AT(file_alert_rule, escalate),
     .optional = true,
     .sub = &escalate_table,
     .sentence = "who is told when nobody takes care of it"},
};
static const struct option_table rule_table = {.name = "rule",
					       .record_bytes = sizeof(struct file_alert_rule),
					       ROWS(rule_rows),
					       .node_offset = offsetof(struct file_alert_rule, node)};

static const struct option alerts_rows[] = {
    {.name = "enabled",
     .type = OPT_BOOL,
     AT(file_alerts, enabled),
     .fallback = "true",
     .sentence = "false: incidents are kept, nobody is told"},
    {.name = "public_url",
     .type = OPT_STRING,
     AT(file_alerts, public_url),
     .optional = true,
     .sentence = "where people reach the admin listener, for links in messages: https://bursar.example.com"},
    {.name = "node",
     .type = OPT_STRING,
     AT(file_alerts, node_name),
     .optional = true,
     .sentence = "name of this machine in messages; default: its host name"},
    {.name = "channels",
     .type = OPT_MAP,
     AT(file_alerts, channels),
     .optional = true,
     .max = ALERTS_CHANNELS_MAX,
     .sub = &settings_channel_table,
     .sentence = "ways to reach people, each of one kind; `log` (bursar's own log) is there unless one is called so"},
    {.name = "quiet_hours",
     .type = OPT_GROUP,
     AT(file_alerts, quiet),
     .optional = true,
     .sub = &settings_quiet_table,
     .sentence = "of channels that have none of their own; of kinds log, webhook and alertmanager only where written"},
    {.name = "rules",
     .type = OPT_LIST,
     AT(file_alerts, rules),
     .optional = true,
     .max = ALERTS_RULES_MAX,
     .sub = &rule_table,
     .sentence = "which events go to which channels; an event goes to the channels of all rules that match it; "
		 "without rules every event goes to every channel, by the channel's severity"},
    {.name = "escalate",
     .type = OPT_BOOL,
     AT(file_alerts, escalate),
     .fallback = "true",
     .sentence = "tell all channels of what goes on for long, or comes five times in an hour, and is acknowledged by "
		 "nobody"},
    {.name = "key_expiry",
     .type = OPT_DURATION,
     AT(file_alerts, key_expiry_ns),
     .fallback = "7d",
     .min = 0,
     .max = 90 * DAY_NS,
     .sentence = "virtual keys that end are told of so long before; 0s: not"},
    {.name = "link_valid",
     .type = OPT_DURATION,
     AT(file_alerts, link_valid_ns),
     .fallback = "7d",
     .min = 60 * S_NS,
     .max = 90 * DAY_NS,
     .sentence = "links in messages (acknowledge, resolve) work for so long"},
    {.name = "retention",
     .type = OPT_DURATION,
     AT(file_alerts, retention_ns),
     .fallback = "90d",
     .min = DAY_NS,
     .max = 3650 * DAY_NS,
     .sentence = "what was sent is kept for so long"},
};
const struct option_table settings_alerts_table = {.name = "alerts",
						   .record_bytes = sizeof(struct file_alerts),
						   ROWS(alerts_rows),
						   .node_offset = offsetof(struct file_alerts, node)};

/* --- quiet hours -------------------------------------------------------------------------------------------------- */

/* "07:00" */
static bool read_minute(const char *text, int *ret)
{
	uint64_t hour, minute;
	struct slice head, rest;

	if (!slice_cut(slice_of(text), ':', &head, &rest) || head.n < 1 || head.n > 2 || rest.n != 2 ||
	    slice_u64(head, &hour) < 0 || slice_u64(rest, &minute) < 0 || hour > 23 || minute > 59)
		return false;
	*ret = (int)(hour * 60 + minute);
	return true;
}

static int day_of(struct slice word)
{
	static const char *const days[] = {"monday", "tuesday",  "wednesday", "thursday",
					   "friday", "saturday", "sunday"};

	for (int i = 0; i < 7; i++)
		if (slice_ieq(word, slice_of(days[i])) || slice_ieq(word, slice_sub(slice_of(days[i]), 0, 3)))
			return i;
	return -1;
}

/* "sat", "sunday" or "mon-fri", over the end of the week too. */
static bool read_days(const char *text, unsigned *inout)
{
	struct slice first, last;
	bool range = slice_cut(slice_of(text), '-', &first, &last);
	int from = day_of(slice_trim(first)), to = range ? day_of(slice_trim(last)) : from;

	if (from < 0 || to < 0)
		return false;
	for (int i = from;; i = (i + 1) % 7) {
		*inout |= 1U << i;
		if (i == to)
			return true;
	}
}

int settings_read_quiet(struct settings_ctx *ctx, const struct node *at, const struct file_quiet *f,
			struct quiet_hours *ret)
{
	*ret = (struct quiet_hours){.on = true};
	if (!read_minute(f->from, &ret->from_min))
		return config_fail(ctx->err, ctx->file_name, settings_at(at, "from"),
				   "quiet_hours.from: expected a time such as `22:00`, got `%.40s`", f->from);
	if (!read_minute(f->to, &ret->to_min) || ret->to_min == ret->from_min)
		return config_fail(ctx->err, ctx->file_name, settings_at(at, "to"),
				   "quiet_hours.to: expected a time such as `07:00` that is not `from`, got `%.40s`",
				   f->to);
	for (size_t i = 0; i < f->days.n; i++)
		if (!read_days(f->days.items[i], &ret->days))
			return config_fail(ctx->err, ctx->file_name, settings_at(at, "days"),
					   "quiet_hours.days: expected days such as `sat` or `mon-fri`, got `%.40s`",
					   f->days.items[i]);
	if (f->days.n == 0)
		ret->days = 0x7f;
	return settings_zone(ctx, settings_at(at, "timezone"), f->timezone, &ret->zone);
}

/* --- rules -------------------------------------------------------------------------------------------------------- */

static struct arena *arena_of(struct settings_ctx *ctx)
{
	return &ctx->s->own->arena;
}

/* A pattern: any text that has no star but at its end. */
static int check_patterns(struct settings_ctx *ctx, const struct node *at, const char *what,
			  const struct string_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		size_t n = strlen(list->items[i]), star = strcspn(list->items[i], "*");

		if (n == 0 || n > TEXT_MAX || star + 1 < n)
			return config_fail(
			    ctx->err, ctx->file_name, at,
			    "%s: expected a name, or the beginning of one with `*` behind it, got `%.64s`", what,
			    list->items[i]);
	}
	return BUR_OK;
}

static int check_events(struct settings_ctx *ctx, const struct file_alert_rule *f)
{
	const struct node *at = settings_at(f->node, "events");
	size_t n, best_distance = SIZE_MAX;
	const struct alert_type *types = alert_types(&n);
	struct slice best = SLICE_NONE;
	int r = check_patterns(ctx, at, "events", &f->events);

	for (size_t i = 0; i < f->events.n && r == BUR_OK; i++) {
		bool known = false;

		for (size_t k = 0; k < n; k++) {
			known = known || rule_text_matches(f->events.items[i], types[k].name);
			config_consider(slice_of(f->events.items[i]), slice_of(types[k].name), &best, &best_distance);
		}
		if (!known)
			return config_fail(ctx->err, ctx->file_name, at,
					   "events: there is no event `%.64s`%s" SLICE_FMT "%s", f->events.items[i],
					   best.n ? "; did you mean `" : "; docs/alerts.md lists them", SLICE_ARG(best),
					   best.n ? "`?" : "");
	}
	return r;
}

/* Budgets by name; `search` is `search/day` and `search/month` too when those are its limits. */
static int read_budgets(struct settings_ctx *ctx, const struct file_alert_rule *f, struct rule *to)
{
	const struct node *at = settings_at(f->node, "budgets");
	const struct settings *s = ctx->s;
	const char **list = arena_zalloc(arena_of(ctx), (2 * f->budgets.n + 1) * sizeof(*list));
	int r = list ? check_patterns(ctx, at, "budgets", &f->budgets) : BUR_NOMEM;

	for (size_t i = 0; i < f->budgets.n && r == BUR_OK; i++) {
		const char *pattern = f->budgets.items[i];
		struct slice best = SLICE_NONE;
		size_t best_distance = SIZE_MAX;
		bool known = pattern[strlen(pattern) - 1] == '*', group = false;

		for (size_t k = 0; k < s->n_budgets; k++) {
			known = known || strcmp(pattern, s->budgets[k].name) == 0;
			group = group || (strcmp(pattern, s->budgets[k].group) == 0 &&
					  strcmp(s->budgets[k].name, s->budgets[k].group) != 0);
			config_consider(slice_of(pattern), slice_of(s->budgets[k].name), &best, &best_distance);
		}
		if (!known && !group)
			return config_fail(ctx->err, ctx->file_name, at,
					   "budgets: there is no budget `%.64s`%s" SLICE_FMT "%s", pattern,
					   best.n ? "; did you mean `" : "", SLICE_ARG(best), best.n ? "`?" : "");
		list[to->n_budgets++] = pattern;
		if (group && !(list[to->n_budgets++] = arena_printf(arena_of(ctx), "%s/*", pattern).p))
			return BUR_NOMEM;
	}
	to->budgets = list;
	return r;
}

static int add_match(struct settings_ctx *ctx, const struct node *at, const char *label, const struct string_list *list,
		     struct rule *to)
{
	int r = list->n > 0 ? check_patterns(ctx, at, label, list) : BUR_OK;

	if (list->n == 0 || r < 0)
		return r;
	if (to->n_match == RULE_MATCHES_MAX)
		return config_fail(ctx->err, ctx->file_name, at, "rules: more than %d conditions", RULE_MATCHES_MAX);
	to->match[to->n_match++] = (struct rule_match){label, list->items, list->n};
	return BUR_OK;
}

/* {env: prod} or {env: [prod, staging]} */
static int read_tag(struct settings_ctx *ctx, const struct node *tag, struct rule *to)
{
	struct string_list list = {0};
	const struct node *c = tag->kind == NODE_LIST ? tag->first_child : tag;
	const char *label;

	for (const struct node *n = tag->first_child; n && tag->kind == NODE_LIST; n = n->next)
		list.n++;
	if (tag->kind == NODE_SCALAR)
		list.n = 1;
	label = arena_printf(arena_of(ctx), "tag.%s", tag->key.p).p;
	list.items = arena_zalloc(arena_of(ctx), (list.n + 1) * sizeof(*list.items));
	if (!list.items || !label)
		return BUR_NOMEM;
	if (list.n == 0 || list.n > PATTERNS_MAX || tag->kind == NODE_MAP)
		return config_fail(ctx->err, ctx->file_name, tag, "tags.%.64s: expected a value or a list of values",
				   tag->key.p);
	for (size_t i = 0; i < list.n; i++, c = c->next) {
		if (c->kind != NODE_SCALAR)
			return config_fail(ctx->err, ctx->file_name, c, "tags.%.64s: expected a text", tag->key.p);
		list.items[i] = c->text.p;
	}
	return add_match(ctx, tag, label, &list, to);
}

static int read_matches(struct settings_ctx *ctx, const struct file_alert_rule *f, struct rule *to)
{
	const struct {
		const char *label;
		const struct string_list *list;
	} facts[] = {{"key", &f->key},         {"user", &f->user},   {"team", &f->team},
		     {"project", &f->project}, {"model", &f->model}, {"provider", &f->provider}};
	int r = BUR_OK;

	for (size_t i = 0; i < ARRAY_LEN(facts) && r == BUR_OK; i++)
		r = add_match(ctx, settings_at(f->node, facts[i].label), facts[i].label, facts[i].list, to);
	if (r < 0 || !f->tags)
		return r;
	if (f->tags->kind != NODE_MAP)
		return config_fail(ctx->err, ctx->file_name, f->tags, "tags: expected a map such as {env: prod}");
	for (const struct node *n = f->tags->first_child; n && r == BUR_OK; n = n->next)
		r = read_tag(ctx, n, to);
	return r;
}

static int check_channels(struct settings_ctx *ctx, const struct node *at, const char *what,
			  const struct string_list *list)
{
	const struct alerts_config *c = &ctx->s->alerts;

	for (size_t i = 0; i < list->n; i++) {
		struct slice best = SLICE_NONE;
		size_t best_distance = SIZE_MAX;
		bool known = false;

		for (size_t k = 0; k < c->n_channels; k++) {
			known = known || strcmp(c->channels[k].group, list->items[i]) == 0;
			config_consider(slice_of(list->items[i]), slice_of(c->channels[k].group), &best,
					&best_distance);
		}
		if (!known)
			return config_fail(ctx->err, ctx->file_name, at,
					   "%s: there is no channel `%.64s`%s" SLICE_FMT "%s", what, list->items[i],
					   best.n ? "; did you mean `" : "", SLICE_ARG(best), best.n ? "`?" : "");
	}
	return BUR_OK;
}

static int read_rule(struct settings_ctx *ctx, const struct file_alert_rule *f, struct rule *to)
{
	const struct node *escalate = settings_at(f->node, "escalate");
	int r = check_events(ctx, f);

	*to = (struct rule){
	    .events = f->events.items,
	    .n_events = f->events.n,
	    .has_severity = f->severity > 0,
	    .severity = f->severity > 0 ? (enum severity)(f->severity - 1) : SEVERITY_INFO,
	    .channels = f->channels.items,
	    .n_channels = f->channels.n,
	    .escalate_s = f->escalate.after_ns / S_NS,
	    .escalate_to = f->escalate.to.items,
	    .n_escalate_to = f->escalate.to.n,
	};
	if (r == BUR_OK)
		r = read_budgets(ctx, f, to);
	if (r == BUR_OK)
		r = read_matches(ctx, f, to);
	if (r == BUR_OK)
		r = check_channels(ctx, settings_at(f->node, "channels"), "channels", &f->channels);
	if (r == BUR_OK)
		r = check_channels(ctx, settings_at(escalate, "to"), "escalate.to", &f->escalate.to);
	return r;
}

static int read_rules(struct settings_ctx *ctx, const struct file_alerts *f)
{
	const struct file_alert_rule *from = f->rules.items;
	struct rule *list = arena_zalloc(arena_of(ctx), (f->rules.n + 1) * sizeof(*list));
	int r = list ? BUR_OK : BUR_NOMEM;

	for (size_t i = 0; i < f->rules.n && r == BUR_OK; i++)
		r = read_rule(ctx, &from[i], &list[i]);
	ctx->s->alerts.rules = list;
	ctx->s->alerts.n_rules = f->rules.n;
	return r;
}

/* --- channels ----------------------------------------------------------------------------------------------------- */

/* What is told in any case, unless somebody says otherwise: a line in bursar's own log. */
static void add_log(struct alerts_config *c)
{
	for (size_t i = 0; i < c->n_channels; i++)
		if (strcmp(c->channels[i].group, "log") == 0)
			return;
	if (c->n_channels == ALERTS_CHANNELS_MAX)
		return;
	c->channels[c->n_channels++] = (struct channel){.name = "log",
							.group = "log",
							.ops = &logline_ops,
							.severity = SEVERITY_INFO,
							.window_s = 300,
							.per_window = 100000,
							.critical_per_window = 100000,
							.resolves = true,
							.logline = {LOGLINE_JSON, NULL, logline_facility("daemon")}};
}

/* Programs are not woken by a message. */
static bool is_disturbed(const struct channel *ch)
{
	return ch->ops != &logline_ops && ch->ops != &webhook_ops && ch->ops != &alertmanager_ops;
}

static int read_channels(struct settings_ctx *ctx, const struct file_alerts *f)
{
	struct alerts_config *c = &ctx->s->alerts;
	const struct file_channel *from = f->channels.items;
	const struct node *quiet_at = node_get(f->node, "quiet_hours");
	struct quiet_hours quiet = {0};
	int r = BUR_OK;

	c->channels = arena_zalloc(arena_of(ctx), ALERTS_CHANNELS_MAX * sizeof(*c->channels));
	if (!c->channels)
		return BUR_NOMEM;
	if (quiet_at)
		r = settings_read_quiet(ctx, quiet_at, &f->quiet, &quiet);
	for (size_t i = 0; i < f->channels.n && r == BUR_OK; i++)
		r = settings_read_channel(ctx, &from[i], c);
	for (size_t i = 0; i < c->n_channels; i++)
		if (!c->channels[i].quiet.on && is_disturbed(&c->channels[i]))
			c->channels[i].quiet = quiet;
	if (r == BUR_OK)
		add_log(c);
	return r;
}

/* --- the rest ----------------------------------------------------------------------------------------------------- */

int settings_keep_secret(struct settings_ctx *ctx, const char *text)
{
	struct settings_own *own = ctx->s->own;
	struct settings_secret *one;

	if (!text || !*text)
		return BUR_OK;
	one = arena_alloc(&own->arena, sizeof(*one));
	if (!one)
		return BUR_NOMEM;
	*one = (struct settings_secret){text, own->secrets};
	own->secrets = one;
	return BUR_OK;
}

static int read_public_url(struct settings_ctx *ctx, const struct file_alerts *f)
{
	static const struct settings_url rules = {"public_url", true, true, false, false};
	struct slice url = slice_of(f->public_url ? f->public_url : "");
	int r = BUR_OK;

	if (url.n > 0)
		r = settings_check_url(ctx, settings_at(f->node, "public_url"), &rules, url.p);
	while (slice_ends(url, SLICE("/")))
		url.n--;
	ctx->s->alerts.public_url = arena_dup(arena_of(ctx), url).p;
	return r < 0 ? r : ctx->s->alerts.public_url ? BUR_OK : BUR_NOMEM;
}

static int read_node(struct settings_ctx *ctx, const struct file_alerts *f)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	char host[NODE_NAME_MAX + 1] = "";
	const char *name = f->node_name;

	if (!name) {
		/* a host may have any name; whatever is no letter of one becomes a dash */
		if (gethostname(host, sizeof(host) - 1) < 0 || !host[0])
			(void)snprintf(host, sizeof(host), "bursar");
		for (char *c = host; *c; c++)
			if (!strchr(allowed, *c))
				*c = '-';
		name = host;
	}
	if (!*name || strlen(name) > NODE_NAME_MAX || strspn(name, allowed) != strlen(name))
		return config_fail(ctx->err, ctx->file_name, settings_at(f->node, "node"),
				   "node: expected letters, digits, -, _ and . only, at most %d of them, got `%.64s`",
				   NODE_NAME_MAX, name);
	ctx->s->alerts.node = arena_dup(arena_of(ctx), slice_of(name)).p;
	return ctx->s->alerts.node ? BUR_OK : BUR_NOMEM;
}

int settings_check_alerts(struct settings_ctx *ctx)
{
	const struct file_alerts *f = &ctx->s->own->raw.alerts;
	struct alerts_config *c = &ctx->s->alerts;
	int r;

	*c = (struct alerts_config){
	    .enabled = f->enabled,
	    .from_instance = "",
	    .escalate = f->escalate,
	    .key_expiry_s = f->key_expiry_ns / S_NS,
	    .link_valid_s = f->link_valid_ns / S_NS,
	    .retention_s = f->retention_ns / S_NS,
	};
	r = read_public_url(ctx, f);
	if (r == BUR_OK)
		r = read_node(ctx, f);
	if (r == BUR_OK)
		r = read_channels(ctx, f);
	return r == BUR_OK ? read_rules(ctx, f) : r;
}
