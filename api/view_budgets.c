/* GET /api/v1/budgets: the engine's counters as people read them. */
#include <stdlib.h>
#include <string.h>

#include "api/body.h"
#include "api/operate.h"
#include "api/reply.h"
#include "api/views.h"
#include "base/clock.h"
#include "base/error.h"
#include "policy/engine.h"

#define VIEWS_MAX 100000
#define SAFE_INT (INT64_C(1) << 53) /* a double carries integers up to here exactly */

static const char *unit_name(enum amount_unit unit)
{
	return unit == UNIT_USD ? "USD" : unit == UNIT_TOKENS ? "tokens" : "requests";
}

static json_t *amount_text(enum amount_unit unit, int64_t value)
{
	char text[24];
	int n;

	if (unit == UNIT_USD)
		return body_usd(value);
	n = snprintf(text, sizeof(text), "%lld", (long long)value);
	return json_stringn(text, (size_t)n);
}

/* For programs that want to calculate; null where a double would not be exact to the last digit. */
static json_t *amount_number(enum amount_unit unit, int64_t value)
{
	if (value > SAFE_INT || value < -SAFE_INT)
		return json_null();
	return unit == UNIT_USD ? json_real((double)value / 1e9) : json_integer(value);
}

/* In tenths of a percent, cut; sums in 128 bits because spent * 1000 may not fit. */
static json_t *used_percent(const struct meter_view *v)
{
	__int128 limit = (__int128)v->limit + v->credit, tenths;

	if (limit <= 0)
		return json_null();
	tenths = (__int128)v->posted * 1000 / limit;
	if (tenths > 1000000000)
		tenths = 1000000000;
	return json_real((double)(int64_t)tenths / 10);
}

static json_t *instant(const struct budget *b, int64_t unix_s)
{
	char text[TIME_TEXT_MAX];

	if (b->window.kind == WINDOW_TOTAL || !b->window.tz)
		return json_null();
	return json_string(time_format(b->window.tz, unix_s, text));
}

static int put_amount(json_t *row, json_t *numbers, const char *key, enum amount_unit unit, int64_t value)
{
	int r = json_object_set_new(row, key, amount_text(unit, value));

	return r | json_object_set_new(numbers, key, amount_number(unit, value));
}

static int64_t remaining(const struct meter_view *v)
{
	__int128 left = (__int128)v->limit + v->credit - v->posted - v->held;

	return left > INT64_MAX ? INT64_MAX : left < INT64_MIN ? INT64_MIN : (int64_t)left;
}

/* The highest step that is reached by what is spent and held; null: none. */
static json_t *step_json(const struct meter_view *v)
{
	static const char *const names[] = {
	    [STEP_ALERT] = "alert", [STEP_BLOCK] = "block",     [STEP_THROTTLE] = "throttle",
	    [STEP_PACE] = "pace",   [STEP_DEGRADE] = "degrade", [STEP_CLAMP] = "clamp"};
	const struct budget *b = v->budget;
	__int128 used = ((__int128)v->posted + v->held) * 1000000;
	size_t n = 0;

	while (n < b->n_steps && used >= (__int128)b->steps[n].at_ppm * v->limit)
		n++;
	return n > 0 ? json_string(names[b->steps[n - 1].action]) : json_null();
}

static json_t *budget_row(const struct meter_view *v)
{
	const struct budget *b = v->budget;
	json_t *row = json_pack("{s:o,s:o,s:s,s:s,s:s}", "name", body_text(slice_of(b->name)), "scope",
				body_text(slice_of(v->scope)), "window", b->window_name, "mode",
				budget_mode_name(b->mode), "unit", unit_name(b->unit));
	json_t *numbers = json_object();
	int r = 0;

	if (!row || !numbers)
		goto fail;
	r |= put_amount(row, numbers, "limit", b->unit, v->limit);
	r |= put_amount(row, numbers, "configured_limit", b->unit, b->limit);
	r |= put_amount(row, numbers, "credit", b->unit, v->credit);
	r |= put_amount(row, numbers, "spent", b->unit, v->posted);
	r |= put_amount(row, numbers, "held", b->unit, v->held);
	r |= put_amount(row, numbers, "remaining", b->unit, remaining(v));
	r |= json_object_set_new(row, "used_percent", used_percent(v));
	r |= json_object_set_new(row, "step", step_json(v));
	r |= json_object_set_new(row, "starts_at", instant(b, v->win_start));
	r |= json_object_set_new(row, "resets_at", instant(b, v->win_end));
	r |= json_object_set_new(row, "closing", json_boolean(v->closing));
	if (b->mode == MODE_SHADOW)
		r |= json_object_set_new(row, "would_block", json_integer((json_int_t)v->would_block));
	r |= json_object_set_new(row, "numbers", numbers);
	numbers = NULL;
	if (r == 0)
		return row;
fail:
	json_decref(numbers);
	json_decref(row);
	return NULL;
}

/* The engine's copy; its number may grow between two looks, so ask again with room to spare. */
static struct meter_view *snapshot(struct engine *engine, int64_t now_s, size_t *ret_n)
{
	struct meter_view *views = NULL;
	size_t room = 64, n;

	for (;;) {
		struct meter_view *bigger = realloc(views, room * sizeof(*views));

		if (!bigger)
			break;
		views = bigger;
		n = engine_snapshot(engine, now_s, views, room);
		if (n <= room || room == VIEWS_MAX) {
			*ret_n = n < room ? n : room;
			return views;
		}
		room = n + n / 4 < VIEWS_MAX ? n + n / 4 : VIEWS_MAX;
	}
	free(views);
	return NULL;
}

void view_budgets(struct api *api, struct api_call *call)
{
	int64_t now_ns = clock_wall_ns();
	struct meter_view *views;
	json_t *rows = json_array();
	struct slice name;
	size_t n = 0;

	if (reply_query(call, "name", &name) < 0) {
		json_decref(rows);
		return;
	}
	views = snapshot(api->deps.engine, api_now_s(api), &n);
	if (!views || !rows) {
		reply_error(call, 503, "out of memory");
		goto out;
	}
	for (size_t i = 0; i < n; i++)
		if (!name.p || slice_eq(name, slice_of(views[i].budget->name)))
			(void)json_array_append_new(rows, budget_row(&views[i]));
	body_send(call, 200, json_pack("{s:o,s:O}", "at", body_time(now_ns), "budgets", rows));
out:
	json_decref(rows);
	free(views);
}
