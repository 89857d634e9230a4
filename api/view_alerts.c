/* Alerts: what goes on, who was told, and what people do about it. Questions and answers are those of alerts/ask.c.
 *
 * GET /api/v1/alerts?level&state&provider&limit&since: {"active_alerts","alerts":[...]}; GET /api/v1/alerts/{id}: one,
 * with its events, messages and tries, or the result of a test. What docs/alerts.md tells of the others. */
#include <stdio.h>
#include <string.h>

#include "alerts/alerts.h"
#include "api/body.h"
#include "api/figures.h"
#include "api/reply.h"
#include "api/views.h"
#include "base/error.h"
#include "base/log.h"

#define SHOWN_DEFAULT 100
#define SHOWN_MAX 1000

/* --- asking ------------------------------------------------------------------------------------------------------- */

enum shape { PLAIN, ENVELOPE }; /* as the API's own answers are, or in the envelope of the cost API */

struct question {
	const char *action, *where; /* "query" or "body": where a wrong field stands */
	int status;                 /* when all is well */
	enum shape shape;
};

/* The words of cost-endpoints 0.5 for what is wrong. */
static const char *error_type(const char *err)
{
	static const struct {
		const char *begin, *type;
	} types[] = {{"Input should be '", "enum"},
		     {"Input should be a valid date", "date_from_datetime_parsing"},
		     {"Input should be a valid string", "string_type"}};

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (strncmp(err, types[i].begin, strlen(types[i].begin)) == 0)
			return types[i].type;
	return "value_error";
}

static void fail(struct api *api, struct api_call *call, const struct question *q, const json_t *ask, int r,
		 const char *field, const char *err)
{
	const char *input = json_string_value(json_object_get(ask, field));

	if (r == BUR_INVALID && q->shape == ENVELOPE)
		figure_invalid(api, call, field, err);
	else if (r == BUR_INVALID)
		reply_invalid(call, q->where, field, error_type(err), err, slice_of(input));
	else if (r == BUR_NOTFOUND)
		reply_error(call, 404, err[0] ? err : "Not Found");
	else if (r == BUR_FULL)
		reply_error(call, 409, err[0] ? err : "There are too many already");
	else {
		log_limited(LOG_ERROR, "api.alerts", "%s: %s", q->action, err[0] ? err : bur_strerror(r));
		reply_error(call, 503, "The alerts cannot be read or changed now");
	}
}

/* Takes `ask` over; NULL is out of memory, answered by the 500 that stands. */
static void run(struct api *api, struct api_call *call, const struct question *q, json_t *ask)
{
	const char *field = "body";
	char err[512] = "";
	json_t *answer = NULL;
	int r;

	if (!api->deps.alerts) {
		json_decref(ask);
		reply_error(call, 503, "There are no alerts here");
		return;
	}
	if (!ask)
		return;
	if (call->actor.n > 0)
		(void)json_object_set_new(ask, "actor", body_text(call->actor));
	r = alerts_ask(api->deps.alerts, q->action, ask, &answer, &field, err, sizeof(err));
	if (r < 0)
		fail(api, call, q, ask, r, field, err);
	else if (q->shape == ENVELOPE)
		figure_send(api, call, q->status, answer);
	else
		body_send(call, q->status, answer);
	json_decref(ask);
}

/* The number that stands in the path. 0: none, answered already. */
static int64_t path_id(struct api_call *call)
{
	uint64_t id;

	if (slice_u64(call->param, &id) == BUR_OK && id > 0 && id <= INT64_MAX)
		return (int64_t)id;
	reply_error(call, 404, "Not Found");
	return 0;
}

/* The body, an object of known members, or nothing at all, which is an empty one. NULL: answered already. */
static json_t *read_body(struct api_call *call, const char *const *known)
{
	json_t *ask;

	if (!slice_istarts(call->content_type, SLICE("application/json")) && call->body.n > 0) {
		reply_error(call, 415, "Content-Type must be application/json");
		return NULL;
	}
	ask = call->body.n ? json_loadb(call->body.p, call->body.n, JSON_REJECT_DUPLICATES, NULL) : json_object();
	if (!json_is_object(ask)) {
		reply_invalid(call, "body", "body", "json_invalid", "JSON decode error", SLICE_NONE);
	} else if (body_only_has(call, ask, known)) {
		return ask;
	}
	json_decref(ask);
	return NULL;
}

/* A POST about the incident of the path. */
static void run_on_incident(struct api *api, struct api_call *call, const char *action, const char *member,
			    const char *const *known)
{
	const struct question q = {action, "body", 200, PLAIN};
	int64_t id = path_id(call);
	json_t *ask = id ? read_body(call, known) : NULL;

	if (!ask)
		return;
	(void)json_object_set_new(ask, member, json_integer(id));
	run(api, call, &q, ask);
}

/* Texts of the query into members of the same names. BUR_INVALID: answered already. */
static int put_query(struct api_call *call, const char *const *names, json_t *ask)
{
	struct slice text;

	for (; *names; names++) {
		if (reply_query(call, *names, &text) < 0)
			return BUR_INVALID;
		if (text.p)
			(void)json_object_set_new(ask, *names, body_text(text));
	}
	return BUR_OK;
}

/* A GET with these members of the query and a limit. */
static void run_query(struct api *api, struct api_call *call, const struct question *q, const char *const *names)
{
	uint64_t limit = SHOWN_DEFAULT;
	json_t *ask = json_object();

	if (!ask || put_query(call, names, ask) < 0 || reply_query_u64(call, "limit", 1, SHOWN_MAX, &limit) < 0) {
		json_decref(ask);
		return;
	}
	(void)json_object_set_new(ask, "limit", json_integer((json_int_t)limit));
	run(api, call, q, ask);
}

static const char *const no_fields[] = {NULL};
static const char *const reason_fields[] = {"reason", NULL};

/* --- reading ------------------------------------------------------------------------------------------------------ */

void view_alerts(struct api *api, struct api_call *call)
{
	static const char *const names[] = {"level", "state", "provider", "since", NULL};
	static const struct question q = {"list", "query", 200, PLAIN};

	run_query(api, call, &q, names);
}

/* "12", or "test-7" as the test's answer said. */
void view_alert(struct api *api, struct api_call *call)
{
	static const struct question q = {"show", "query", 200, PLAIN};
	int64_t id;

	if (slice_starts(call->param, SLICE("test-"))) {
		run(api, call, &q, json_pack("{s:o}", "test", body_text(call->param)));
		return;
	}
	id = path_id(call);
	if (id)
		run(api, call, &q, json_pack("{s:I}", "id", (json_int_t)id));
}

void view_alert_outbox(struct api *api, struct api_call *call)
{
	static const char *const names[] = {"state", "channel", "since", NULL};
	static const struct question q = {"outbox", "query", 200, PLAIN};

	run_query(api, call, &q, names);
}

void view_alert_channels(struct api *api, struct api_call *call)
{
	static const struct question q = {"channels", "query", 200, PLAIN};

	run(api, call, &q, json_object());
}

void view_alert_stats(struct api *api, struct api_call *call)
{
	static const struct question q = {"stats", "query", 200, ENVELOPE};

	run(api, call, &q, json_object());
}

void view_alert_dashboard(struct api *api, struct api_call *call)
{
	static const char *const names[] = {"time_range", NULL};
	static const struct question q = {"dashboard", "query", 200, ENVELOPE};
	bool escalation = true;
	json_t *ask = json_object();

	if (!ask || put_query(call, names, ask) < 0 ||
	    figure_query_bool(api, call, "include_escalation", &escalation) < 0) {
		json_decref(ask);
		return;
	}
	(void)json_object_set_new(ask, "include_escalation", json_boolean(escalation));
	run(api, call, &q, ask);
}

/* --- acting ------------------------------------------------------------------------------------------------------- */

void view_alert_ack(struct api *api, struct api_call *call)
{
	run_on_incident(api, call, "ack", "id", reason_fields);
}

void view_alert_resolve(struct api *api, struct api_call *call)
{
	run_on_incident(api, call, "resolve", "id", reason_fields);
}

void view_alert_retry(struct api *api, struct api_call *call)
{
	run_on_incident(api, call, "retry", "id", no_fields);
}

void view_alert_outbox_retry(struct api *api, struct api_call *call)
{
	run_on_incident(api, call, "retry", "outbox", no_fields);
}

void view_alert_mutes(struct api *api, struct api_call *call)
{
	static const struct question q = {"mutes", "query", 200, PLAIN};

	run(api, call, &q, json_object());
}

void view_alert_mute(struct api *api, struct api_call *call)
{
	static const char *const known[] = {"budget", "key", "user",  "team",   "project",    "model", "provider",
					    "type",   "for", "until", "reason", "everything", "tag.*", NULL};
	static const struct question q = {"mute", "body", 201, PLAIN};
	json_t *ask = read_body(call, known);

	if (ask)
		run(api, call, &q, ask);
}

void view_alert_unmute(struct api *api, struct api_call *call)
{
	run_on_incident(api, call, "unmute", "id", reason_fields);
}

/* Accepted, not yet done: the messages are on their way when this is answered. */
void view_alert_test(struct api *api, struct api_call *call)
{
	static const char *const known[] = {"channel", NULL};
	static const struct question q = {"test", "body", 202, PLAIN};
	json_t *ask = read_body(call, known);

	if (ask)
		run(api, call, &q, ask);
}

void view_alert_preview(struct api *api, struct api_call *call)
{
	static const char *const known[] = {"channel", "type", "incident", NULL};
	static const struct question q = {"preview", "body", 200, PLAIN};
	json_t *ask = read_body(call, known);

	if (ask)
		run(api, call, &q, ask);
}

void view_alert_enable(struct api *api, struct api_call *call)
{
	static const struct question q = {"enable", "body", 200, PLAIN};
	json_t *ask = read_body(call, no_fields);

	if (!ask)
		return;
	(void)json_object_set_new(ask, "name", body_text(call->param));
	run(api, call, &q, ask);
}
