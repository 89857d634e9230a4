/* Microsoft Teams by a workflow "when a Teams webhook request is received": an adaptive card. The workflow answers
 * before it draws the card, and a bad card is lost without a word: what is sent must be right. */
#include <string.h>

#include "alerts/compose.h"
#include "base/clock.h"
#include "base/error.h"

#define CARD_BYTES_MAX 26000 /* of about 28 KB */
#define SHORT_BYTES_MAX 4000
#define SCHEMA "http://adaptivecards.io/schemas/adaptive-card.json"
#define NEW_WORKFLOW                                                                                                   \
	"make a new workflow in Teams (\"when a Teams webhook request is received\") and set its URL as teams.url"

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* --- the card ----------------------------------------------------------------------------------------------------- */

static json_t *text_block(const char *text)
{
	return json_pack("{s:s,s:s,s:b}", "type", "TextBlock", "text", text, "wrap", 1);
}

/* With members of its own: name, value, name, value. */
static json_t *styled(json_t *block, const char *a, const char *a_value, const char *b, const char *b_value)
{
	if (block && (json_object_set_new(block, a, json_string(a_value)) ||
		      json_object_set_new(block, b, json_string(b_value)))) {
		json_decref(block);
		return NULL;
	}
	return block;
}

static const char *style_of(const struct message *m)
{
	static const char *const by_severity[SEVERITY_COUNT] = {"accent", "warning", "attention", "attention"};

	if (m->op == SAY_RESOLVE)
		return "good";
	return m->op == SAY_TEST || m->op == SAY_DIGEST || m->op == SAY_ACK ? "accent" : by_severity[m->severity];
}

static json_t *heading(const struct message *m, struct arena *arena, size_t cap)
{
	const char *title =
	    compose_text(arena, ESCAPE_MARKDOWN, m->brief->title[0] ? m->brief->title : "Alert", least(cap, 500));
	const char *text = title ? arena_printf(arena, "%s %s", compose_sign(m), title).p : NULL;

	return json_pack("{s:s,s:s,s:b,s:[o]}", "type", "Container", "style", style_of(m), "bleed", 1, "items",
			 styled(text_block(text), "size", "Large", "weight", "Bolder"));
}

static json_t *facts(const struct brief *b, struct arena *arena, size_t cap)
{
	json_t *all = json_array();
	int bad = 0;

	for (size_t i = 0; i < b->n_fields; i++) {
		const char *value = compose_text(arena, ESCAPE_MARKDOWN, b->field[i].value, cap);

		bad |= json_array_append_new(all, json_pack("{s:s,s:s}", "title", b->field[i].label, "value", value));
	}
	if (bad) {
		json_decref(all);
		return NULL;
	}
	return json_pack("{s:s,s:o}", "type", "FactSet", "facts", all);
}

static int add_text(json_t *body, struct arena *arena, const char *text, size_t max)
{
	const char *safe = compose_text(arena, ESCAPE_MARKDOWN, text, max);

	if (safe && safe[0] == '\0')
		return 0;
	return json_array_append_new(body, text_block(safe));
}

static int add_title(json_t *body, const char *text)
{
	return json_array_append_new(body, styled(text_block(text), "weight", "Bolder", "spacing", "Medium"));
}

static int add_lines(json_t *body, const struct brief *b, struct arena *arena, size_t cap)
{
	int bad = add_title(body, b->lines_title ? b->lines_title : "Details");

	for (size_t i = 0; i < b->n_lines; i++) {
		const char *line = compose_text(arena, ESCAPE_MARKDOWN, b->line[i], least(cap, 400));

		bad |= json_array_append_new(
		    body, styled(text_block(line), "spacing", i > 0 ? "None" : "Small", "size", "Default"));
	}
	return bad;
}

static int add_advice(json_t *body, const struct brief *b, struct arena *arena, size_t cap)
{
	int bad = 0;

	if (b->next[0])
		bad |= add_title(body, "What happens next") | add_text(body, arena, b->next, cap);
	if (b->command[0]) {
		const char *code = compose_text(arena, ESCAPE_MARKDOWN, b->command, cap);

		bad |=
		    json_array_append_new(body, styled(text_block(code), "fontType", "Monospace", "spacing", "Small"));
	}
	return bad;
}

static json_t *card_body(const struct message *m, struct arena *arena, size_t cap)
{
	const struct brief *b = m->brief;
	bool whole = !compose_is_short(m) && !m->plain;
	json_t *body = json_array();
	int bad = json_array_append_new(body, heading(m, arena, cap));

	bad |= add_text(body, arena, b->text, cap);
	if (whole && b->n_fields > 0)
		bad |= json_array_append_new(body, facts(b, arena, cap));
	if (whole && b->n_lines > 0)
		bad |= add_lines(body, b, arena, cap);
	if (whole)
		bad |= add_advice(body, b, arena, cap);
	if (b->footer[0]) {
		const char *footer = compose_text(arena, ESCAPE_MARKDOWN, b->footer, least(cap, 500));
		json_t *block = styled(text_block(footer), "size", "Small", "spacing", "Medium");

		bad |= block ? json_object_set_new(block, "isSubtle", json_true()) : -1;
		bad |= json_array_append_new(body, block);
	}
	if (bad) {
		json_decref(body);
		return NULL;
	}
	return body;
}

static json_t *card_actions(const struct brief *b, struct arena *arena)
{
	json_t *all = json_array();
	int bad = 0;

	for (size_t i = 0; i < b->n_actions; i++)
		if (compose_url_ok(b->action[i].url))
			bad |= json_array_append_new(all,
						     json_pack("{s:s,s:s,s:s}", "type", "Action.OpenUrl", "title",
							       compose_text(arena, ESCAPE_LINE, b->action[i].label, 75),
							       "url", b->action[i].url));
	if (bad) {
		json_decref(all);
		return NULL;
	}
	return all;
}

static json_t *message_with_card(const struct channel *c, const struct message *m, struct arena *arena, size_t cap)
{
	json_t *card;

	(void)c;
	card = json_pack("{s:s,s:s,s:s,s:{s:s},s:s,s:o,s:o}", "$schema", SCHEMA, "type", "AdaptiveCard", "version",
			 "1.4", "msteams", "width", "Full", "fallbackText",
			 compose_text(arena, ESCAPE_MARKDOWN, m->brief->title, least(cap, 500)), "body",
			 card_body(m, arena, cap), "actions", card_actions(m->brief, arena));
	return json_pack("{s:s,s:[{s:s,s:n,s:o}]}", "type", "message", "attachments", "contentType",
			 "application/vnd.microsoft.card.adaptive", "contentUrl", "content", card);
}

static int request_message(const struct channel *c, const struct message *m, struct request *q)
{
	json_t *body = compose_own(c, m, ESCAPE_MARKDOWN);

	if (!body)
		body = compose_fitting(message_with_card, c, m, q->arena, m->plain ? SHORT_BYTES_MAX : CARD_BYTES_MAX);
	return compose_post(q, c->teams.url, body);
}

/* --- the answer --------------------------------------------------------------------------------------------------- */

static bool says(const struct answer *a, const char *word)
{
	return a->body.n > 0 && memmem(a->body.p, a->body.n, word, strlen(word)) != NULL;
}

static void judge_refused(const struct message *m, const struct answer *a, struct verdict *v)
{
	char words[COMPOSE_WORDS_MAX];

	if (says(a, "TriggerIsNotEnabled")) {
		compose_verdict(v, OUTCOME_CHANNEL, "the workflow is turned off in Teams: turn it on");
		return;
	}
	compose_verdict(v, m->plain ? OUTCOME_DEAD : OUTCOME_PLAIN, "Teams refused the card (%d): %s", a->code,
			compose_words(a, words));
}

static void judge(const struct channel *c, const struct message *m, const struct answer *a, struct verdict *v)
{
	(void)c;
	*v = (struct verdict){.outcome = OUTCOME_SENT};
	switch (a->fault == ANSWER_NO_FAULT ? a->code : 0) {
	case 200:
	case 202:
		/* The older connectors tell their failures so. */
		if (says(a, "message delivery failed"))
			compose_verdict(v, OUTCOME_RETRY, "Teams took the message but could not deliver it");
		break;
	case 400:
	case 413:
		judge_refused(m, a, v);
		break;
	case 401:
	case 403:
		compose_verdict(v, OUTCOME_CHANNEL,
				"Teams does not accept the URL any more (%d): it expired or was revoked; " NEW_WORKFLOW,
				a->code);
		break;
	case 404:
	case 410:
		compose_verdict(v, OUTCOME_DISABLE, "the workflow was deleted in Teams (%d): " NEW_WORKFLOW, a->code);
		break;
	default:
		compose_http(a, "Teams", v);
	}
}

const struct channel_ops teams_ops = {
    .type = "teams",
    .severity = SEVERITY_ERROR,
    .interval_ns = NS_PER_S,
    .request = request_message,
    .judge = judge,
};
