/* /health/live and /health/ready. */
#include <string.h>

#include "api/body.h"
#include "api/reply.h"
#include "api/views.h"
#include "base/clock.h"
#include "base/error.h"
#include "policy/engine.h"
#include "store/store.h"

void view_live(struct api *api, struct api_call *call)
{
	(void)api;
	body_send(call, 200, json_pack("{s:s,s:o}", "status", "alive", "timestamp", body_time(clock_wall_ns())));
}

static const char *state_name(enum store_state state)
{
	switch (state) {
	case STORE_OK:
		return "ok";
	case STORE_LAGGING:
		return "lagging";
	case STORE_DOWN:
		return "down";
	case STORE_DAMAGED:
		return "damaged";
	}
	return "unknown";
}

static void add_reason(json_t *reasons, const char *code, const char *text)
{
	(void)json_array_append_new(reasons, json_pack("{s:s,s:o}", "code", code, "text", body_text(slice_of(text))));
}

/* How many kill switches are set. A stop is somebody's will: it makes nobody unready. */
static json_int_t stops_set(struct api *api)
{
	const char *field = "";
	json_t *answer = NULL;
	char err[512];
	json_int_t n = 0;

	if (api->deps.guards &&
	    api->deps.guards(api->deps.guards_ctx, "stops", NULL, &answer, &field, err, sizeof(err)) == BUR_OK)
		n = (json_int_t)json_array_size(json_object_get(answer, "stops"));
	json_decref(answer);
	return n;
}

/* Open to everybody, so it says what is wrong but nothing about paths, names or money. */
void view_ready(struct api *api, struct api_call *call)
{
	struct store_health h;
	json_t *reasons = json_array();
	bool ready;

	store_health(api->deps.store, &h);
	if (h.state == STORE_DOWN)
		add_reason(reasons, "storage_down", "the ledger cannot be written; hard budgets are refused");
	if (h.state == STORE_DAMAGED)
		add_reason(reasons, "storage_damaged", "the ledger is damaged; see the log");
	if (h.slots_used >= h.slots && h.slots > 0)
		add_reason(reasons, "journal_full", "every journal slot is in use");
	if (api->draining)
		add_reason(reasons, "draining", "the process is ending");
	ready = json_array_size(reasons) == 0;
	body_send(call, ready ? 200 : 503,
		  json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:o,s:o}", "status", ready ? "ready" : "not_ready", "storage",
			    state_name(h.state), "journal_slots", (json_int_t)h.slots, "journal_slots_used",
			    (json_int_t)h.slots_used, "open_holds", (json_int_t)engine_open_holds(api->deps.engine),
			    "stops", stops_set(api), "timestamp", body_time(clock_wall_ns()), "reasons", reasons));
}
