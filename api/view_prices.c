/* Prices: take up a changed book, and apply it to calls of the past.
 *
 * POST /api/v1/prices/reload, no body: {"price_version","models","changed"}.
 * POST /api/v1/prices/reprice {"since","until","provider","model","dry_run","after","actor"}, all optional: looks at a
 * bounded number of calls and answers {"rows","changed","unpriced","models":[{"provider","model","calls","old_usd",
 * "new_usd","delta_usd"}],"next","price_version","dry_run"}; ask again with `after` = next until that is null. */
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

	if (!api->deps.prices) {
		reply_error(call, 503, "There are no prices here");
		return;
	}
	r = api->deps.prices(api->deps.prices_ctx, action, ask, &answer, &field, err, sizeof(err));
	if (r == BUR_OK) {
		body_send(call, 200, answer);
	} else if (r == BUR_INVALID) {
		reply_invalid(call, "body", field, "value_error", err, SLICE_NONE);
	} else {
		log_limited(LOG_ERROR, "api.prices", "%s: %s", action, err);
		reply_error(call, 503, err);
	}
}

void view_prices_reload(struct api *api, struct api_call *call)
{
	run(api, call, "reload", NULL);
}

void view_prices_reprice(struct api *api, struct api_call *call)
{
	static const char *const known[] = {"since", "until", "provider", "model", "dry_run", "after", "actor", NULL};
	json_t *ask;

	if (!slice_istarts(call->content_type, SLICE("application/json"))) {
		reply_error(call, 415, "Content-Type must be application/json");
		return;
	}
	ask = json_loadb(call->body.n ? call->body.p : "", call->body.n, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(ask))
		reply_invalid(call, "body", "body", "json_invalid", "JSON decode error", SLICE_NONE);
	else if (body_only_has(call, ask, known))
		run(api, call, "reprice", ask);
	json_decref(ask);
}
