/* Block Kit and attachments. */
#include "alerts/slack_blocks.h"

#include <stdio.h>
#include <string.h>

#include "alerts/words.h"
#include "base/error.h"

#define HEADER_MAX 150
#define SECTION_MAX 2900 /* of 3000 */
#define FIELD_MAX 1900   /* of 2000 */
#define BUTTON_MAX 75
#define NOTICE_MAX 600
#define MENTIONS_MAX 1000
#define PLAIN_MAX 3800

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* "<@U1> <!here> " for messages that are to disturb people: only what the configuration names, as it stands there. */
static const char *mentions(const struct channel *c, const struct message *m, struct arena *arena)
{
	struct slice all = SLICE("");

	if (m->op != SAY_FIRE && m->op != SAY_UPDATE && m->op != SAY_ESCALATE)
		return "";
	for (size_t i = 0; all.p && i < c->slack.n_mentions; i++)
		if (all.n + strlen(c->slack.mentions[i]) < MENTIONS_MAX)
			all = arena_printf(arena, "%s%s ", all.p, c->slack.mentions[i]);
	return all.p;
}

/* What a notification on a telephone shows. */
static const char *notice(const struct channel *c, const struct message *m, struct arena *arena, size_t cap)
{
	const char *before = mentions(c, m, arena);
	const char *title = compose_text(arena, ESCAPE_MRKDWN, m->brief->title, least(cap, NOTICE_MAX));
	const char *text = compose_text(arena, ESCAPE_MRKDWN, m->brief->text, least(cap, NOTICE_MAX));

	if (!before || !title || !text)
		return NULL;
	return arena_printf(arena, "%s%s %s%s%s", before, compose_sign(m), title, text[0] ? ". " : "", text).p;
}

/* --- blocks ------------------------------------------------------------------------------------------------------- */

static json_t *mrkdwn(const char *text)
{
	return json_pack("{s:s,s:s,s:b}", "type", "mrkdwn", "text", text, "verbatim", 1);
}

static json_t *section(const char *text)
{
	return json_pack("{s:s,s:o}", "type", "section", "text", mrkdwn(text));
}

static json_t *header(const struct message *m, struct arena *arena, size_t cap)
{
	const char *title = compose_text(arena, ESCAPE_LINE, m->brief->title[0] ? m->brief->title : "Alert",
					 least(cap, HEADER_MAX - 10));
	const char *text = title ? arena_printf(arena, "%s %s", compose_sign(m), title).p : NULL;

	return json_pack("{s:s,s:{s:s,s:s,s:b}}", "type", "header", "text", "type", "plain_text", "text", text, "emoji",
			 1);
}

#define BAR_CELLS 20

/* How full the budget is, with what running calls hold, to be seen at a glance; "" for what has no limit, is over, or
 * says only that something changed. */
static const char *bar(const struct message *m, struct arena *arena)
{
	int64_t limit = fact_int(m->facts, "limit_nanos"), held = fact_int(m->facts, "reserved_nanos");
	__int128 used = (__int128)fact_int(m->facts, "spent_nanos") + (held > 0 ? held : 0);
	struct slice all = SLICE("\n");
	char share[WORDS_MAX];
	int full;

	if (limit <= 0 || used <= 0 || m->op == SAY_RESOLVE || compose_is_short(m))
		return "";
	full = used >= limit ? BAR_CELLS : (int)(used * BAR_CELLS / limit);
	for (int i = 0; i < BAR_CELLS && all.p; i++)
		all = arena_printf(arena, "%s%s", all.p, i < full ? "\xe2\x96\xb0" : "\xe2\x96\xb1");
	return all.p ? arena_printf(arena, "%s  %s", all.p, words_share((double)used / (double)limit, true, share)).p
		     : NULL;
}

static json_t *lead(const struct channel *c, const struct message *m, struct arena *arena, size_t cap)
{
	const char *before = mentions(c, m, arena);
	const char *text = compose_text(arena, ESCAPE_MRKDWN, m->brief->text, least(cap, SECTION_MAX - MENTIONS_MAX));

	const char *after = bar(m, arena);

	if (!before || !text || !after)
		return NULL;
	/* A section without text is refused. */
	return section(before[0] || text[0] ? arena_printf(arena, "%s%s%s", before, text, after).p : compose_word(m));
}

static json_t *field(const struct brief_field *f, struct arena *arena, size_t cap)
{
	const char *label = compose_text(arena, ESCAPE_MRKDWN, f->label, least(cap, 100));
	const char *value = compose_text(arena, ESCAPE_MRKDWN, f->value, least(cap, FIELD_MAX - 100));

	return mrkdwn(label && value ? arena_printf(arena, "*%s*\n%s", label, value).p : NULL);
}

static json_t *fields(const struct brief *b, struct arena *arena, size_t cap)
{
	json_t *all = json_array();

	for (size_t i = 0; all && i < b->n_fields; i++) {
		if (json_array_append_new(all, field(&b->field[i], arena, cap)) < 0) {
			json_decref(all);
			all = NULL;
		}
	}
	return json_pack("{s:s,s:o}", "type", "section", "fields", all);
}

static json_t *titled(const char *title, const char *text, struct arena *arena)
{
	return section(title && text ? arena_printf(arena, "*%s*\n%s", title, text).p : NULL);
}

static json_t *lines(const struct brief *b, struct arena *arena, size_t cap)
{
	return titled(compose_text(arena, ESCAPE_MRKDWN, b->lines_title ? b->lines_title : "Details", 100),
		      compose_lines(arena, ESCAPE_MRKDWN, b, least(cap, 300), least(cap * 4, SECTION_MAX)), arena);
}

/* What happens next, and the command to act, which nothing in it can leave. */
static json_t *advice(const struct brief *b, struct arena *arena, size_t cap)
{
	const char *next = compose_text(arena, ESCAPE_MRKDWN, b->next, least(cap, 1000));
	const char *command = compose_code(arena, ESCAPE_MRKDWN, b->command, least(cap, 1000));
	const char *code = "";

	if (command && command[0])
		code = arena_printf(arena, "%s```%s```", b->next[0] ? "\n" : "", command).p;
	return titled(b->next[0] ? "What happens next" : "To act",
		      next && command && code ? arena_printf(arena, "%s%s", next, code).p : NULL, arena);
}

static bool is_link(const struct message *m, const char *name, const char *url)
{
	const char *link = json_string_value(json_object_get(json_object_get(m->facts, "links"), name));

	return link && strcmp(link, url) == 0;
}

static json_t *button(const struct message *m, const struct brief_action *a, size_t i, struct arena *arena)
{
	char id[32];
	json_t *made;

	(void)snprintf(id, sizeof(id), "link_%zu", i + 1);
	made =
	    json_pack("{s:s,s:s,s:{s:s,s:s,s:b},s:s}", "type", "button", "action_id", id, "text", "type", "plain_text",
		      "text", compose_text(arena, ESCAPE_LINE, a->label, BUTTON_MAX), "emoji", 1, "url", a->url);
	if (made && is_link(m, "acknowledge", a->url) &&
	    json_object_set_new(made, "style", json_string("primary")) < 0) {
		json_decref(made);
		return NULL;
	}
	return made;
}

static json_t *buttons(const struct message *m, struct arena *arena)
{
	json_t *all = json_array();

	for (size_t i = 0; all && i < m->brief->n_actions; i++) {
		if (compose_url_ok(m->brief->action[i].url) && m->brief->action[i].label[0] &&
		    json_array_append_new(all, button(m, &m->brief->action[i], i, arena)) < 0) {
			json_decref(all);
			all = NULL;
		}
	}
	return json_pack("{s:s,s:o}", "type", "actions", "elements", all);
}

static json_t *context(const struct message *m, struct arena *arena, size_t cap)
{
	const char *footer = compose_text(arena, ESCAPE_MRKDWN, m->brief->footer, least(cap, 500));
	const char *text =
	    footer ? arena_printf(arena, "*%s*%s%s", compose_word(m), footer[0] ? "  \xc2\xb7  " : "", footer).p : NULL;

	return json_pack("{s:s,s:[o]}", "type", "context", "elements", mrkdwn(text));
}

static bool has_buttons(const struct brief *b)
{
	for (size_t i = 0; i < b->n_actions; i++)
		if (compose_url_ok(b->action[i].url) && b->action[i].label[0])
			return true;
	return false;
}

json_t *slack_blocks(const struct channel *c, const struct message *m, struct arena *arena, size_t cap)
{
	const struct brief *b = m->brief;
	bool whole = !compose_is_short(m);
	json_t *all = json_array();
	int bad = json_array_append_new(all, header(m, arena, cap));

	bad |= json_array_append_new(all, lead(c, m, arena, cap));
	if (whole && b->n_fields > 0)
		bad |= json_array_append_new(all, fields(b, arena, cap));
	if (whole && b->n_lines > 0)
		bad |= json_array_append_new(all, lines(b, arena, cap));
	if (whole && (b->next[0] || b->command[0]))
		bad |= json_array_append_new(all, advice(b, arena, cap));
	if (has_buttons(b))
		bad |= json_array_append_new(all, buttons(m, arena));
	bad |= json_array_append_new(all, context(m, arena, cap));
	if (bad) {
		json_decref(all);
		return NULL;
	}
	return json_pack("{s:s,s:o}", "text", notice(c, m, arena, cap), "blocks", all);
}

json_t *slack_note(const struct channel *c, const struct message *m, struct arena *arena, size_t cap)
{
	const char *before = compose_is_news(m) ? mentions(c, m, arena) : "";
	const char *title = compose_text(arena, ESCAPE_MRKDWN, m->brief->title, least(cap, 800));
	const char *text = compose_text(arena, ESCAPE_MRKDWN, m->brief->text, least(cap, 1000));
	const char *all = NULL;

	if (before && title && text)
		all = arena_printf(arena, "%s%s *%s*%s%s", before, compose_sign(m), title, text[0] ? "\n" : "", text).p;
	return json_pack("{s:s,s:[o]}", "text", all, "blocks", section(all));
}

json_t *slack_plain(const struct channel *c, const struct message *m, struct arena *arena, size_t cap)
{
	const char *before = mentions(c, m, arena);
	const char *text = compose_plain(arena, ESCAPE_MRKDWN, m, least(cap * 4, PLAIN_MAX));

	return json_pack("{s:s}", "text", before && text ? arena_printf(arena, "%s%s", before, text).p : NULL);
}

/* --- attachments -------------------------------------------------------------------------------------------------- */

struct look {
	const char *sign, *color;
};

static const struct look *look_of(const struct message *m)
{
	static const struct look by_severity[SEVERITY_COUNT] = {
	    {":information_source:", "#36a64f"},
	    {":warning:", "#ff9500"},
	    {":rotating_light:", "#ff4444"},
	    {":x:", "#8b0000"},
	};
	static const struct look resolved = {":white_check_mark:", "#36a64f"};

	return m->op == SAY_RESOLVE ? &resolved : &by_severity[m->severity];
}

#define DAY_S 86400
#define EASTMOST_S (13 * 3600)

/* The local date on which a window of days began. Facts tell only the instant of that midnight: it is the next one of
 * UTC for zones up to 13 hours east, else the last one. */
static int64_t local_day(int64_t start_s)
{
	int64_t past = start_s % DAY_S;

	return start_s / DAY_S + (past > 0 && DAY_S - past <= EASTMOST_S ? 1 : 0);
}

/* "Daily (2025-08-06)" */
static const char *period_text(const json_t *facts, struct arena *arena)
{
	static const char *const names[][2] = {{"hour", "Hourly"},   {"day", "Daily"},         {"week", "Weekly"},
					       {"month", "Monthly"}, {"quarter", "Quarterly"}, {"year", "Yearly"}};
	const char *period = fact_text(facts, "period"), *name = period;
	int64_t start = fact_int(facts, "window_start"), year;
	char when[WORDS_MAX];
	int month, day;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(period, names[i][0]) == 0)
			name = names[i][1];
	if (start <= 0)
		return compose_text(arena, ESCAPE_MRKDWN, name[0] ? name : "Total", 100);
	if (strcmp(period, "hour") == 0)
		return arena_printf(arena, "%s (%s)", name, words_time(start, when)).p;
	civil_from_days(local_day(start), &year, &month, &day);
	name = compose_text(arena, ESCAPE_MRKDWN, name, 100);
	return name ? arena_printf(arena, "%s (%04d-%02d-%02d)", name, (int)(year % 10000), month, day).p : NULL;
}

static const char *cost_text(const json_t *facts, const char *member, struct arena *arena)
{
	const char *unit = fact_text(facts, "unit");
	char figure[WORDS_MAX];

	if (unit[0] == '\0' || strcmp(unit, "USD") == 0)
		return arena_printf(arena, "$%s", words_figure(fact_int(facts, member), "USD", figure)).p;
	return arena_printf(arena, "%s", words_amount(fact_int(facts, member), unit, figure)).p;
}

/* "75.0%", cut and not rounded: 99.96 % is not all. */
static const char *usage_text(const json_t *facts, struct arena *arena)
{
	int64_t limit = fact_int(facts, "limit_nanos"), spent = fact_int(facts, "spent_nanos");
	long long permille = limit > 0 && spent > 0 ? (long long)((__int128)spent * 1000 / limit) : 0;

	return arena_printf(arena, "%lld.%lld%%", permille / 10, permille % 10).p;
}

static int add_field(json_t *all, const char *title, const char *value, bool narrow)
{
	return json_array_append_new(all,
				     json_pack("{s:s,s:s,s:b}", "title", title, "value", value, "short", (int)narrow));
}

static int add_brief_fields(json_t *all, const struct brief *b, struct arena *arena, size_t cap)
{
	int bad = 0;

	for (size_t i = 0; i < b->n_fields; i++) {
		const char *value = compose_text(arena, ESCAPE_MRKDWN, b->field[i].value, least(cap, FIELD_MAX));

		bad |= add_field(all, b->field[i].label, value, strlen(b->field[i].value) <= 40);
	}
	return bad;
}

static json_t *attachment_fields(const struct message *m, struct arena *arena, size_t cap)
{
	const struct brief *b = m->brief;
	json_t *all = json_array();
	int bad = 0;

	if (fact_int(m->facts, "limit_nanos") > 0) {
		bad |= add_field(all, "Period", period_text(m->facts, arena), true);
		bad |= add_field(all, "Current Cost", cost_text(m->facts, "spent_nanos", arena), true);
		bad |= add_field(all, "Budget Limit", cost_text(m->facts, "limit_nanos", arena), true);
		bad |= add_field(all, "Usage", usage_text(m->facts, arena), true);
	} else {
		bad |= add_brief_fields(all, b, arena, cap);
	}
	if (b->n_lines > 0 && !compose_is_short(m))
		bad |= add_field(all, b->lines_title ? b->lines_title : "Details",
				 compose_lines(arena, ESCAPE_MRKDWN, b, least(cap, 300), least(cap * 4, FIELD_MAX)),
				 false);
	if (b->next[0] && !compose_is_short(m))
		bad |= add_field(all, "Next", compose_text(arena, ESCAPE_MRKDWN, b->next, least(cap, 1000)), false);
	if (bad) {
		json_decref(all);
		return NULL;
	}
	return all;
}

/* What the sentence of the alert is in this form: the producer's own while it fires, else ours that says how it ended.
 */
static const char *message_text(const struct message *m)
{
	const char *own = fact_text(m->facts, "message");

	return (m->op == SAY_FIRE || m->op == SAY_UPDATE) && own[0] ? own : m->brief->text;
}

static json_t *attachment_body(const struct channel *c, const struct message *m, struct arena *arena, size_t cap)
{
	const char *text = compose_text(arena, ESCAPE_MRKDWN, message_text(m), least(cap, 1500));
	const char *before = mentions(c, m, arena);
	const struct look *look = look_of(m);

	if (!text || !before)
		return NULL;
	return json_pack("{s:s,s:s,s:s,s:[{s:s,s:s,s:o,s:I}]}", "text",
			 arena_printf(arena, "%s%s *%s*: %s", before, look->sign,
				      m->op == SAY_RESOLVE ? "Budget Alert resolved" : "Budget Alert", text)
			     .p,
			 "username", c->slack.username ? c->slack.username : "Budget Alert Bot", "icon_emoji",
			 c->slack.icon_emoji ? c->slack.icon_emoji : ":warning:", "attachments", "color", look->color,
			 "fallback", compose_text(arena, ESCAPE_MRKDWN, m->brief->title, least(cap, 300)), "fields",
			 attachment_fields(m, arena, cap), "ts", (json_int_t)(m->at_ns / INT64_C(1000000000)));
}

json_t *slack_attachments(const struct channel *c, const struct message *m, struct arena *arena, size_t cap)
{
	json_t *made = attachment_body(c, m, arena, cap);

	if (made && c->slack.room && c->slack.room[0] &&
	    json_object_set_new(made, "channel", json_string(c->slack.room)) < 0) {
		json_decref(made);
		return NULL;
	}
	return made;
}
