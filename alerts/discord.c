/* Discord by a webhook. One message for each incident shows its state, as it is edited; what gets worse and what is
 * over is told by a line of its own, because edits disturb nobody. Nothing that is sent can mention anybody. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alerts/compose.h"
#include "base/clock.h"
#include "base/error.h"

/* Of the whole JSON, so that the texts of the embed stay under 6000 characters together. */
#define EMBED_BYTES_MAX 6000
#define CONTENT_MAX 1900 /* of 2000 */
#define TITLE_MAX 250
#define DESCRIPTION_MAX 3000
#define NAME_MAX_BYTES 250
#define VALUE_MAX 1000
#define FOOTER_MAX 1000
#define USERNAME_MAX 80
#define INLINE_MAX 40
#define ID_MAX 24
#define WAIT_MAX_S 86400

#define UNKNOWN_MESSAGE "10008"
#define NEW_WEBHOOK "make a new one (channel settings, Integrations, Webhooks) and set its URL as discord.url"

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* --- what is done ------------------------------------------------------------------------------------------------- */

enum call { POST, EDIT, LINE };

static enum call call_of(const struct message *m, char id[ID_MAX])
{
	/* It becomes part of a path. */
	if (!compose_kept(m, id, ID_MAX) || strspn(id, "0123456789") != strlen(id))
		return POST;
	return m->step == 0 ? EDIT : LINE;
}

/* --- payload ------------------------------------------------------------------------------------------------------ */

static int add_field(json_t *all, const char *name, const char *value, bool narrow)
{
	/* Values without anything to see are refused. */
	if (value && value[strspn(value, " ")] == '\0')
		return 0;
	return json_array_append_new(all,
				     json_pack("{s:s,s:s,s:b}", "name", name, "value", value, "inline", (int)narrow));
}

static const char *links_text(const struct brief *b, struct arena *arena)
{
	struct slice all = SLICE("");

	for (size_t i = 0; all.p && i < b->n_actions; i++) {
		const char *label = compose_text(arena, ESCAPE_MARKDOWN, b->action[i].label, 80);

		if (!label)
			return NULL;
		if (compose_url_ok(b->action[i].url) &&
		    all.n + strlen(label) + strlen(b->action[i].url) + 16 < VALUE_MAX)
			all = arena_printf(arena, "%s%s[%s](%s)", all.p, all.n > 0 ? " \xc2\xb7 " : "", label,
					   b->action[i].url);
	}
	return all.p;
}

static json_t *embed_fields(const struct message *m, struct arena *arena, size_t cap)
{
	const struct brief *b = m->brief;
	bool whole = !compose_is_short(m);
	json_t *all = json_array();
	int bad = 0;

	for (size_t i = 0; whole && i < b->n_fields; i++)
		bad |= add_field(all, compose_text(arena, ESCAPE_MARKDOWN, b->field[i].label, NAME_MAX_BYTES),
				 compose_text(arena, ESCAPE_MARKDOWN, b->field[i].value, least(cap, VALUE_MAX)),
				 strlen(b->field[i].value) <= INLINE_MAX);
	if (whole && b->n_lines > 0)
		bad |= add_field(all, b->lines_title ? b->lines_title : "Details",
				 compose_lines(arena, ESCAPE_MARKDOWN, b, least(cap, 200), least(cap * 4, VALUE_MAX)),
				 false);
	if (b->n_actions > 0)
		bad |= add_field(all, "Links", links_text(b, arena), false);
	if (bad) {
		json_decref(all);
		return NULL;
	}
	return all;
}

/* What happens next, and the command to act, which nothing in it can leave. */
static const char *description(const struct message *m, struct arena *arena, size_t cap)
{
	const char *next = compose_text(arena, ESCAPE_MARKDOWN, m->brief->next, least(cap, DESCRIPTION_MAX / 2));
	const char *command = compose_code(arena, ESCAPE_LINE, m->brief->command, least(cap, DESCRIPTION_MAX / 2));

	if (!next || !command)
		return NULL;
	if (compose_is_short(m))
		return "";
	return arena_printf(arena, "%s%s%s%s", next, command[0] ? "\n```\n" : "", command, command[0] ? "\n```" : "").p;
}

/* The first link that may be clicked, behind the title. */
static const char *first_url(const struct brief *b)
{
	for (size_t i = 0; i < b->n_actions; i++)
		if (compose_url_ok(b->action[i].url))
			return b->action[i].url;
	return NULL;
}

static json_t *embed(const struct message *m, struct arena *arena, size_t cap)
{
	char at[COMPOSE_TIME_MAX];
	const char *url = first_url(m->brief), *text = description(m, arena, cap);
	json_t *made = json_pack("{s:s,s:i,s:s,s:o}", "title",
				 compose_text(arena, ESCAPE_MARKDOWN, m->brief->title, least(cap, TITLE_MAX)), "color",
				 (int)(m->brief->color & 0xffffff), "timestamp", compose_time(m->at_ns, "Z", at),
				 "fields", embed_fields(m, arena, cap));
	int bad = text ? 0 : -1;

	if (text && text[0])
		bad |= json_object_set_new(made, "description", json_string(text));
	if (url)
		bad |= json_object_set_new(made, "url", json_string(url));
	if (m->brief->footer[0])
		bad |= json_object_set_new(
		    made, "footer",
		    json_pack("{s:s}", "text",
			      compose_text(arena, ESCAPE_LINE, m->brief->footer, least(cap, FOOTER_MAX))));
	if (bad) {
		json_decref(made);
		return NULL;
	}
	return made;
}

static const char *content(const struct message *m, struct arena *arena, size_t cap)
{
	const char *text = m->brief->text[0] ? m->brief->text : m->brief->title;
	const char *safe = compose_text(arena, ESCAPE_MARKDOWN, text, least(cap, CONTENT_MAX));

	return safe ? arena_printf(arena, "%s %s", compose_sign(m), safe).p : NULL;
}

static json_t *body_embed(const struct channel *c, const struct message *m, struct arena *arena, size_t cap)
{
	(void)c;
	return json_pack("{s:s,s:[o]}", "content", content(m, arena, cap), "embeds", embed(m, arena, cap));
}

static json_t *body_plain(const struct message *m, struct arena *arena)
{
	return json_pack("{s:s,s:[]}", "content", compose_plain(arena, ESCAPE_MARKDOWN, m, CONTENT_MAX), "embeds");
}

static json_t *body_line(const struct message *m, struct arena *arena)
{
	const char *title = compose_text(arena, ESCAPE_MARKDOWN, m->brief->title, 400);
	const char *text = compose_text(arena, ESCAPE_MARKDOWN, m->brief->text, 1400);

	return json_pack("{s:s}", "content",
			 title && text
			     ? arena_printf(arena, "%s **%s**%s%s", compose_sign(m), title, text[0] ? "\n" : "", text).p
			     : NULL);
}

static json_t *body_of(const struct channel *c, const struct message *m, struct arena *arena, enum call call)
{
	json_t *body = call == LINE ? body_line(m, arena) : compose_own(c, m, ESCAPE_MARKDOWN);

	if (body)
		return body;
	return m->plain ? body_plain(m, arena) : compose_fitting(body_embed, c, m, arena, EMBED_BYTES_MAX);
}

/* --- request ------------------------------------------------------------------------------------------------------ */

/* The webhook's URL may have a query (thread_id); ours is added, and for an edit the message's path put before it. */
static const char *url_of(const struct channel *c, struct arena *arena, enum call call, const char *id)
{
	struct slice base, query, part;
	struct slice kept = SLICE("");

	if (!slice_cut(slice_of(c->discord.url), '?', &base, &query))
		query = SLICE("");
	while (base.n > 0 && base.p[base.n - 1] == '/')
		base.n--;
	while (query.n > 0 && kept.p) {
		if (!slice_cut(query, '&', &part, &query))
			query = SLICE("");
		if (part.n > 0 && !slice_starts(part, SLICE("wait=")))
			kept = arena_printf(arena, "%s%s" SLICE_FMT, kept.p, kept.n > 0 ? "&" : "", SLICE_ARG(part));
	}
	if (!kept.p)
		return NULL;
	if (call == EDIT)
		return arena_printf(arena, SLICE_FMT "/messages/%s%s%s", SLICE_ARG(base), id, kept.n > 0 ? "?" : "",
				    kept.p)
		    .p;
	return arena_printf(arena, SLICE_FMT "?%s%swait=true", SLICE_ARG(base), kept.p, kept.n > 0 ? "&" : "").p;
}

static int request_message(const struct channel *c, const struct message *m, struct request *q)
{
	char id[ID_MAX];
	enum call call = call_of(m, id);
	json_t *body = body_of(c, m, q->arena, call);
	const char *name =
	    compose_text(q->arena, ESCAPE_LINE, c->discord.username ? c->discord.username : "bursar", USERNAME_MAX);
	/* Also into what a user's template made: names of others are in it. */
	int bad = json_object_set_new(body, "allowed_mentions", json_pack("{s:[]}", "parse"));
	int rc;

	if (call != EDIT && !json_object_get(body, "username"))
		bad |= json_object_set_new(body, "username", json_string(name));
	if (bad) {
		json_decref(body);
		return BUR_NOMEM;
	}
	rc = compose_post(q, url_of(c, q->arena, call, id), body);
	if (call == EDIT)
		q->method = "PATCH";
	return rc;
}

/* --- answer ------------------------------------------------------------------------------------------------------- */

static void judge_sent(const struct message *m, const struct answer *a, enum call call, const char *id,
		       struct verdict *v)
{
	enum severity told = compose_kept_severity(m) > m->severity ? compose_kept_severity(m) : m->severity;
	char made[ID_MAX];

	if (call == EDIT && compose_is_news(m)) {
		v->outcome = OUTCOME_MORE;
		return;
	}
	if (call == POST)
		compose_keep(v, m, compose_answer(a, "id", made, sizeof(made)), told);
	else if (call == LINE)
		compose_keep(v, m, id, told);
}

/* {"retry_after": 0.5}: seconds, perhaps a fraction. */
static void judge_slower(const struct answer *a, struct verdict *v)
{
	char text[32];
	double wait;

	verdict_http(a, v);
	wait = strtod(compose_answer(a, "retry_after", text, sizeof(text)), NULL);
	if (isfinite(wait) && wait > 0) {
		int64_t s = wait < WAIT_MAX_S ? (int64_t)ceil(wait) : WAIT_MAX_S;

		v->wait_s = s > v->wait_s ? s : v->wait_s;
	}
}

static void judge_unknown(const struct message *m, const struct answer *a, enum call call, struct verdict *v)
{
	char code[16];

	if (a->code == 404 && call == EDIT && m->step < 2 &&
	    strcmp(compose_answer(a, "code", code, sizeof(code)), UNKNOWN_MESSAGE) == 0) {
		v->outcome = OUTCOME_MORE;
		compose_gone(v);
		return;
	}
	compose_verdict(v, OUTCOME_DISABLE, "the webhook was deleted in Discord (%d): " NEW_WEBHOOK, a->code);
}

static void judge(const struct channel *c, const struct message *m, const struct answer *a, struct verdict *v)
{
	char id[ID_MAX], words[COMPOSE_WORDS_MAX];
	enum call call = call_of(m, id);

	(void)c;
	*v = (struct verdict){.outcome = OUTCOME_SENT};
	switch (a->fault == ANSWER_NO_FAULT ? a->code : 0) {
	case 200:
	case 204:
		judge_sent(m, a, call, id, v);
		break;
	case 400:
		compose_verdict(v, m->plain ? OUTCOME_DEAD : OUTCOME_PLAIN, "Discord refused the message's form: %s",
				compose_words(a, words));
		break;
	case 401:
	case 404:
		judge_unknown(m, a, call, v);
		break;
	case 403:
		compose_verdict(v, OUTCOME_CHANNEL, "Discord does not let the webhook write there: %s",
				compose_words(a, words));
		break;
	case 429:
		judge_slower(a, v);
		break;
	default:
		compose_http(a, "Discord", v);
	}
}

const struct channel_ops discord_ops = {
    .type = "discord",
    .severity = SEVERITY_ERROR,
    .interval_ns = NS_PER_S / 2,
    .in_place = true,
    .request = request_message,
    .judge = judge,
};
