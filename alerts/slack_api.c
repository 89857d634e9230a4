/* Slack by its Web API: one message for each incident, edited as the incident goes on, and a thread below it that says
 * what changed. Edits disturb nobody, so what got worse is shown in the channel, too. */
#include <stdio.h>
#include <string.h>

#include "alerts/slack_blocks.h"
#include "base/clock.h"
#include "base/error.h"

/* What was kept: "C0123ABC 1795248000.000100". */
#define NAME_MAX_BYTES 120
struct place {
	char channel[NAME_MAX_BYTES], ts[NAME_MAX_BYTES];
};

static bool kept_place(const struct message *m, struct place *ret)
{
	char name[MESSAGE_REF_MAX];
	struct slice channel, ts;

	if (!compose_kept(m, name, sizeof(name)) || !slice_cut(slice_of(name), ' ', &channel, &ts) || channel.n == 0 ||
	    ts.n == 0 || channel.n >= NAME_MAX_BYTES || ts.n >= NAME_MAX_BYTES)
		return false;
	(void)slice_to_cstr(channel, ret->channel, sizeof(ret->channel));
	(void)slice_to_cstr(ts, ret->ts, sizeof(ret->ts));
	return true;
}

enum call { POST, EDIT, NOTE };

static enum call call_of(const struct message *m, struct place *place)
{
	if (!kept_place(m, place))
		return POST;
	return m->step == 0 ? EDIT : NOTE;
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

/* So that programs in the workspace can react to alerts. */
static json_t *metadata(const struct message *m)
{
	return json_pack("{s:s,s:{s:s,s:s,s:s,s:s,s:s,s:I}}", "event_type", "bursar_alert", "event_payload", "id",
			 m->id, "type", fact_text(m->facts, "type"), "severity", severity_name(m->severity), "state",
			 message_op_name(m->op), "dedup_key", m->dedup_key, "incident",
			 (json_int_t)fact_int(m->facts, "incident"));
}

static json_t *content(const struct channel *c, const struct message *m, struct arena *arena, enum call call)
{
	compose_fn *form = m->plain ? slack_plain : call == NOTE ? slack_note : slack_blocks;
	json_t *body = call == NOTE ? NULL : compose_own(c, m, ESCAPE_MRKDWN);

	return body ? body : compose_fitting(form, c, m, arena, SLACK_BYTES_MAX);
}

static int address(json_t *body, const struct channel *c, const struct message *m, enum call call,
		   const struct place *place)
{
	int bad = json_object_set_new(body, "channel", json_string(call == POST ? c->slack.channel : place->channel));

	if (call == EDIT)
		bad |= json_object_set_new(body, "ts", json_string(place->ts));
	/* An edit that says nothing of blocks leaves the old ones, which are what people see. */
	if (call == EDIT && m->plain)
		bad |= json_object_set_new(body, "blocks", json_array());
	if (call == NOTE) {
		bad |= json_object_set_new(body, "thread_ts", json_string(place->ts));
		if (compose_is_news(m) && m->op != SAY_RESOLVE)
			bad |= json_object_set_new(body, "reply_broadcast", json_true());
	}
	if (call != EDIT) {
		bad |= json_object_set_new(body, "unfurl_links", json_false());
		bad |= json_object_set_new(body, "unfurl_media", json_false());
	}
	if (call != NOTE && !json_object_get(body, "metadata"))
		bad |= json_object_set_new(body, "metadata", metadata(m));
	return bad;
}

static int request_message(const struct channel *c, const struct message *m, struct request *q)
{
	struct place place;
	enum call call = call_of(m, &place);
	json_t *body = content(c, m, q->arena, call);
	int rc;

	if (!body || address(body, c, m, call, &place)) {
		json_decref(body);
		return BUR_NOMEM;
	}
	q->kind = REQUEST_HTTP;
	q->method = "POST";
	q->url = compose_url(q->arena, c->slack.api_url ? c->slack.api_url : "https://slack.com/api",
			     call == EDIT ? "/chat.update" : "/chat.postMessage");
	rc = q->url ? request_json(q, body, "application/json; charset=utf-8") : BUR_NOMEM;
	if (!q->url)
		json_decref(body);
	return rc ? rc : request_header(q, "Authorization: Bearer %s", c->slack.token);
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

#define TOKEN_WHY "Slack does not accept the token: set a new bot token (xoxb-...) as slack.token"
#define SHAPE_WHY "Slack refused the message's form"
#define OURS_WHY "Slack has trouble of its own"
#define RIGHTS_WHY "the Slack workspace does not allow the bot to write there: ask its administrator"

/* `error` of an answer with ok: false. */
struct reason {
	const char *error;
	enum outcome outcome;
	const char *why;
};
static const struct reason reasons[] = {
    {"channel_not_found", OUTCOME_CHANNEL,
     "Slack knows no such channel: set the channel's id (C...) as slack.channel, and invite the bot to it if it is "
     "private"},
    {"not_in_channel", OUTCOME_CHANNEL, "the bot is not in the channel: invite it there (/invite @name of the bot)"},
    {"is_archived", OUTCOME_DISABLE,
     "the channel was archived in Slack: bring it back, or set another one as slack.channel"},
    {"invalid_auth", OUTCOME_CHANNEL, TOKEN_WHY},
    {"not_authed", OUTCOME_CHANNEL, TOKEN_WHY},
    {"token_revoked", OUTCOME_CHANNEL, TOKEN_WHY},
    {"token_expired", OUTCOME_CHANNEL, TOKEN_WHY},
    {"account_inactive", OUTCOME_CHANNEL, TOKEN_WHY},
    {"missing_scope", OUTCOME_CHANNEL,
     "the token may not write: add the scope chat:write to the Slack app and install it anew"},
    {"not_allowed_token_type", OUTCOME_CHANNEL, TOKEN_WHY},
    {"restricted_action", OUTCOME_CHANNEL, RIGHTS_WHY},
    {"restricted_action_read_only_channel", OUTCOME_CHANNEL, RIGHTS_WHY},
    {"restricted_action_thread_only_channel", OUTCOME_CHANNEL, RIGHTS_WHY},
    {"no_permission", OUTCOME_CHANNEL, RIGHTS_WHY},
    {"access_denied", OUTCOME_CHANNEL, RIGHTS_WHY},
    {"org_login_required", OUTCOME_CHANNEL, RIGHTS_WHY},
    {"ekm_access_denied", OUTCOME_CHANNEL, RIGHTS_WHY},
    {"team_access_not_granted", OUTCOME_CHANNEL, RIGHTS_WHY},
    {"ratelimited", OUTCOME_RETRY, "Slack wants fewer messages"},
    {"rate_limited", OUTCOME_RETRY, "Slack wants fewer messages"},
    {"message_limit_exceeded", OUTCOME_RETRY, "the Slack workspace has used up its messages"},
    {"internal_error", OUTCOME_RETRY, OURS_WHY},
    {"fatal_error", OUTCOME_RETRY, OURS_WHY},
    {"service_unavailable", OUTCOME_RETRY, OURS_WHY},
    {"request_timeout", OUTCOME_RETRY, OURS_WHY},
    {"team_added_to_org", OUTCOME_RETRY, OURS_WHY},
    {"msg_too_long", OUTCOME_PLAIN, SHAPE_WHY},
    {"msg_blocks_too_long", OUTCOME_PLAIN, SHAPE_WHY},
    {"invalid_blocks", OUTCOME_PLAIN, SHAPE_WHY},
    {"invalid_blocks_format", OUTCOME_PLAIN, SHAPE_WHY},
    {"invalid_attachments", OUTCOME_PLAIN, SHAPE_WHY},
    {"too_many_attachments", OUTCOME_PLAIN, SHAPE_WHY},
    {"invalid_metadata_format", OUTCOME_PLAIN, SHAPE_WHY},
    {"invalid_metadata_schema", OUTCOME_PLAIN, SHAPE_WHY},
    {"metadata_too_large", OUTCOME_PLAIN, SHAPE_WHY},
    {"no_text", OUTCOME_PLAIN, SHAPE_WHY},
    /* Errors of an edit: the thread still tells what changed. */
    {"cant_update_message", OUTCOME_MORE, ""},
    {"edit_window_closed", OUTCOME_MORE, ""},
    {"message_not_owned_by_app", OUTCOME_MORE, ""},
    {"update_failed", OUTCOME_MORE, ""},
};

static void judge_sent(const struct message *m, const struct answer *a, enum call call, const struct place *place,
		       struct verdict *v)
{
	enum severity told = compose_kept_severity(m) > m->severity ? compose_kept_severity(m) : m->severity;
	struct place made;
	char name[2 * NAME_MAX_BYTES + 2];

	if (call == EDIT) {
		v->outcome = OUTCOME_MORE;
		return;
	}
	made = *place;
	if (call == POST) {
		(void)compose_answer(a, "channel", made.channel, sizeof(made.channel));
		(void)compose_answer(a, "ts", made.ts, sizeof(made.ts));
	}
	(void)snprintf(name, sizeof(name), "%s %s", made.channel, made.ts);
	if (made.channel[0] && made.ts[0])
		compose_keep(v, m, name, call == NOTE && m->op == SAY_ACK ? compose_kept_severity(m) : told);
}

static void judge_error(const struct message *m, const char *error, enum call call, struct verdict *v)
{
	if (call != POST && m->step < 2 &&
	    (strcmp(error, "message_not_found") == 0 || strcmp(error, "thread_not_found") == 0)) {
		v->outcome = OUTCOME_MORE;
		compose_gone(v);
		return;
	}
	compose_verdict(v, OUTCOME_RETRY, "Slack said: %.60s", error);
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (strcmp(error, reasons[i].error) == 0)
			compose_verdict(v, reasons[i].outcome, "%s (%s)", reasons[i].why, error);
	if (v->outcome == OUTCOME_PLAIN && m->plain)
		v->outcome = OUTCOME_DEAD;
	if (v->outcome == OUTCOME_MORE && call != EDIT)
		v->outcome = OUTCOME_RETRY;
}

static void judge(const struct channel *c, const struct message *m, const struct answer *a, struct verdict *v)
{
	struct place place = {.channel = ""};
	enum call call = call_of(m, &place);
	char ok[8], error[80];

	(void)c;
	*v = (struct verdict){.outcome = OUTCOME_SENT};
	if (a->fault != ANSWER_NO_FAULT || a->code != 200) {
		compose_http(a, "Slack", v);
		return;
	}
	if (strcmp(compose_answer(a, "ok", ok, sizeof(ok)), "true") == 0)
		judge_sent(m, a, call, &place, v);
	else if (compose_answer(a, "error", error, sizeof(error))[0] != '\0')
		judge_error(m, error, call, v);
	else
		compose_verdict(v, OUTCOME_RETRY, "the answer was 200 but nothing that Slack says: is that Slack?");
	if (v->outcome == OUTCOME_RETRY && a->retry_after_s > 0)
		v->wait_s = a->retry_after_s;
}

const struct channel_ops slack_api_ops = {
    .type = "slack",
    .severity = SEVERITY_ERROR,
    .interval_ns = NS_PER_S,
    .in_place = true,
    .request = request_message,
    .judge = judge,
};
