/* POST /api/v1/explain: why a call is, would be or was admitted or refused. Nothing changes by asking.
 *
 * A call that is described:
 * {"key","user","team","project","tags":{},"provider","model","path","input_tokens","max_out",
 * "stream","no_degrade","body","all"}; `body` is a whole request as text, which then says model, bounds and the rest.
 * Answer: {"principal","request","budgets":[…],"others":[…] (with all),"ladder":[{"rung","result","text"}],"decision":
 * {"admitted","status","code","message","body",…}}.
 * A call of the past: {"call":"req_…"}; answer: {"call","corrections","costs_usd"}. */
#include <string.h>

#include "api/body.h"
#include "api/reply.h"
#include "api/views.h"
#include "base/error.h"
#include "base/log.h"

static void run(struct api *api, struct api_call *call, const json_t *ask)
{
	const char *field = "body";
	char err[512] = "";
	json_t *answer = NULL;
	int r;

	if (!api->deps.explain) {
		reply_error(call, 503, "Nothing can be explained here");
		return;
	}
	r = api->deps.explain(api->deps.explain_ctx, ask, &answer, &field, err, sizeof(err));
	switch (r) {
	case BUR_OK:
		body_send(call, 200, answer);
		break;
	case BUR_INVALID:
		reply_invalid(call, "body", field, "value_error", err, SLICE_NONE);
		break;
	case BUR_NOTFOUND:
		reply_error(call, 404, err);
		break;
	default:
		log_limited(LOG_ERROR, "api.explain", "%s", err);
		reply_error(call, 503, err);
	}
}

void view_explain(struct api *api, struct api_call *call)
{
	json_t *ask;

	if (!slice_istarts(call->content_type, SLICE("application/json"))) {
		reply_error(call, 415, "Content-Type must be application/json");
		return;
	}
	ask = json_loadb(call->body.n ? call->body.p : "", call->body.n, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(ask))
		run(api, call, ask);
	else
		reply_invalid(call, "body", "body", "json_invalid", "JSON decode error", SLICE_NONE);
	json_decref(ask);
}
