/* Slack by an incoming webhook: messages can only be added. */
#include <string.h>

#include "alerts/slack_blocks.h"
#include "base/clock.h"

#define NEW_WEBHOOK "make a new incoming webhook in Slack and set it as slack.webhook"

static int request_message(const struct channel *c, const struct message *m, struct request *q)
{
	compose_fn *form = m->plain ? slack_plain : c->slack.attachments ? slack_attachments : slack_blocks;
	json_t *body = compose_own(c, m, ESCAPE_MRKDWN);

	if (!body)
		body = compose_fitting(form, c, m, q->arena, SLACK_BYTES_MAX);
	return compose_post(q, c->slack.webhook, body);
}

struct reason {
	const char *error, *why;
};

/* What Slack's words of 403, 404 and 410 come to, and what helps. */
static const struct reason gone[] = {
    {"channel_is_archived", "the channel was archived in Slack: bring it back, or " NEW_WEBHOOK " for another one"},
    {"channel_not_found", "the channel does not exist any more in Slack: " NEW_WEBHOOK " for another one"},
    {"action_prohibited", "an administrator of the Slack workspace does not allow it: ask there, or " NEW_WEBHOOK},
    {"posting_to_general_channel_denied",
     "Slack does not allow it in the general channel: " NEW_WEBHOOK " for another one"},
    {"invalid_token", "the webhook's URL is not right, or was replaced in Slack: " NEW_WEBHOOK},
    {"no_team", "the Slack workspace of the webhook does not exist any more: " NEW_WEBHOOK},
};

static void judge_gone(const struct answer *a, struct verdict *v)
{
	char words[COMPOSE_WORDS_MAX];
	const char *why = "the webhook was removed in Slack: " NEW_WEBHOOK;

	(void)compose_words(a, words);
	for (size_t i = 0; i < ARRAY_LEN(gone); i++)
		if (strcmp(words, gone[i].error) == 0)
			why = gone[i].why;
	compose_verdict(v, OUTCOME_DISABLE, "%s (%d %.60s)", why, a->code, words);
}

static void judge(const struct channel *c, const struct message *m, const struct answer *a, struct verdict *v)
{
	char words[COMPOSE_WORDS_MAX];

	(void)c;
	*v = (struct verdict){.outcome = OUTCOME_SENT};
	(void)compose_words(a, words);
	switch (a->fault == ANSWER_NO_FAULT ? a->code : 0) {
	case 200:
		if (strcmp(words, "ok") != 0)
			compose_verdict(v, OUTCOME_RETRY,
					"the answer was 200 but not \"ok\": is that Slack? It said: %s", words);
		break;
	case 400:
		compose_verdict(v, m->plain ? OUTCOME_DEAD : OUTCOME_PLAIN, "Slack refused the message's form: %s",
				words);
		break;
	case 403:
	case 404:
	case 410:
		judge_gone(a, v);
		break;
	default:
		compose_http(a, "Slack", v);
	}
}

const struct channel_ops slack_webhook_ops = {
    .type = "slack",
    .severity = SEVERITY_ERROR,
    .interval_ns = NS_PER_S,
    .request = request_message,
    .judge = judge,
};
