/* Kill switches and breakers. What is done about them is the application's, see app/guards.h.
 *
 * GET /api/v1/stops: {"stops":[{"what","value","reason","actor","since","cut"}]}
 * POST /api/v1/stops {"key":"ann"} (or user, team, project, provider, model, or "everything":true), "reason", "cut":
 * that stop. In force before the answer is written. DELETE /api/v1/stops, with the same body: {"resumed",
 * "quarantine_lifted"}.
 * GET /api/v1/breakers: {"breakers":[...],"quarantine":[...]}
 * POST /api/v1/breakers/{name}/open|close|half-open {"reason","stay"}: {"name","state"} */
#include <string.h>

#include "api/body.h"
#include "api/reply.h"
#include "api/views.h"
#include "base/error.h"
#include "base/log.h"

static void run(struct api *api, struct api_call *call, const char *action, const json_t *ask)
{
	const char *field = "body";
	char err[512] = "";
	json_t *answer = NULL;
	int r;

	if (!api->deps.guards) {
		reply_error(call, 503, "There are no stops and breakers here");
		return;
	}
	r = api->deps.guards(api->deps.guards_ctx, action, ask, &answer, &field, err, sizeof(err));
	if (r == BUR_OK) {
		body_send(call, 200, answer);
	} else if (r == BUR_INVALID) {
		reply_invalid(call, "body", field, "value_error", err, SLICE_NONE);
	} else if (r == BUR_NOTFOUND) {
		reply_error(call, 404, "No such breaker");
	} else if (r == BUR_FULL) {
		reply_error(call, 409, "Too many stops are set");
	} else {
		log_limited(LOG_ERROR, "api.guard", "%s: %s", action, err);
		reply_error(call, 503, err);
	}
}

static void ask_with_body(struct api *api, struct api_call *call, const char *action, const char *const *known)
{
	json_t *ask;

	if (!slice_istarts(call->content_type, SLICE("application/json"))) {
		reply_error(call, 415, "Content-Type must be application/json");
		return;
	}
	ask = json_loadb(call->body.n ? call->body.p : "", call->body.n, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(ask)) {
		reply_invalid(call, "body", "body", "json_invalid", "JSON decode error", SLICE_NONE);
	} else if (body_only_has(call, ask, known)) {
		if (call->param.n > 0)
			(void)json_object_set_new(ask, "name", body_text(call->param));
		if (call->actor.n > 0)
			(void)json_object_set_new(ask, "actor", body_text(call->actor));
		run(api, call, action, ask);
	}
	json_decref(ask);
}

static const char *const stop_fields[] = {"key",   "user",       "team",   "project", "provider",
					  "model", "everything", "reason", "cut",     NULL};
static const char *const breaker_fields[] = {"reason", "stay", NULL};

void view_stops(struct api *api, struct api_call *call)
{
	run(api, call, "stops", NULL);
}

void view_stop(struct api *api, struct api_call *call)
{
	ask_with_body(api, call, "stop", stop_fields);
}

void view_resume(struct api *api, struct api_call *call)
{
	ask_with_body(api, call, "resume", stop_fields);
}

void view_breakers(struct api *api, struct api_call *call)
{
	run(api, call, "breakers", NULL);
}

void view_breaker_open(struct api *api, struct api_call *call)
{
	ask_with_body(api, call, "open", breaker_fields);
}

void view_breaker_close(struct api *api, struct api_call *call)
{
	ask_with_body(api, call, "close", breaker_fields);
}

void view_breaker_half_open(struct api *api, struct api_call *call)
{
	ask_with_body(api, call, "half-open", breaker_fields);
}
