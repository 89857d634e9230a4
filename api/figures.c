#include "api/figures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/body.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"

#define PERCENT_MICRO (100 * INT64_C(1000000))
#define LISTED_MAX 64
#define LISTED_S 300

struct listed {
	enum period_kind kind;
	char key[16];
	int level;
	int64_t at_s;
};
struct figures {
	struct tz *utc;
	int64_t started_ns; /* monotonic */
	uint64_t requests;
	struct listed listed[LISTED_MAX];
	size_t next;
};

struct figures *figures_new(void)
{
	struct figures *f = calloc(1, sizeof(*f));

	if (!f || tz_load("UTC", &f->utc) < 0) {
		free(f);
		return NULL;
	}
	f->started_ns = clock_mono_ns();
	return f;
}

void figures_free(struct figures *f)
{
	if (!f)
		return;
	tz_free(f->utc);
	free(f);
}

const struct tz *figures_utc(const struct api *api)
{
	return api->figures->utc;
}

json_t *figures_uptime(const struct api *api)
{
	return figure_number((double)(clock_mono_ns() - api->figures->started_ns) / 1e9, 3);
}

int64_t figure_now_ns(const struct api *api)
{
	return api->deps.now_ns ? api->deps.now_ns(api->deps.ctx) : clock_wall_ns();
}

/* --- numbers ------------------------------------------------------------------------------------------------------ */

static int64_t round_to(int64_t v, int64_t unit)
{
	int64_t rest = v % unit;

	v -= rest;
	if (rest >= (unit + 1) / 2)
		return v > INT64_MAX - unit ? v : v + unit;
	if (rest <= -(unit + 1) / 2)
		return v < INT64_MIN + unit ? v : v - unit;
	return v;
}

json_t *figure_usd(int64_t nanousd)
{
	return json_real((double)(round_to(nanousd, 1000) / 1000) / 1e6);
}

json_t *figure_number(double v, int decimals)
{
	double scale = pow(10, decimals);

	if (!isfinite(v))
		return json_real(0);
	if (fabs(v) < 1e15 / scale)
		v = round(v * scale) / scale;
	return json_real(v == 0 ? 0 : v); /* no -0 */
}

json_t *figure_estimate(double nanousd)
{
	return figure_number(nanousd / 1e9, 6);
}

int64_t figure_percent_micro(__int128 part, int64_t whole)
{
	__int128 scaled, q, rest;

	if (whole <= 0)
		return part > 0 ? PERCENT_MICRO : 0;
	scaled = part * PERCENT_MICRO;
	q = scaled / whole;
	rest = scaled % whole;
	if (2 * rest >= whole)
		q++;
	if (-2 * rest >= whole)
		q--;
	return q > INT64_MAX ? INT64_MAX : q < -INT64_MAX ? -INT64_MAX : (int64_t)q;
}

json_t *figure_percent(__int128 part, int64_t whole)
{
	return json_real((double)figure_percent_micro(part, whole) / 1e6);
}

json_t *figure_time(int64_t unix_ns)
{
	return json_real((double)(unix_ns / NS_PER_MS) / 1e3);
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static int append(const char *p, size_t n, void *out)
{
	return buf_append(out, p, n) == BUR_OK ? 0 : -1;
}

/* Fifteen digits are what a double holds for sure: 23.45 is printed as it was meant. */
static void send_json(struct api_call *call, int status, json_t *body)
{
	size_t before = buf_len(&call->out);

	call->status = status;
	if (!body || json_dump_callback(body, append, &call->out, JSON_COMPACT | JSON_REAL_PRECISION(15)) != 0) {
		buf_consume(&call->out, buf_len(&call->out) - before);
		call->status = 500;
	}
	json_decref(body);
}

static json_t *meta_json(struct api *api)
{
	struct figures *f = api->figures;
	char id[32];

	f->requests++;
	(void)snprintf(id, sizeof(id), "req_%08llx%08llx", (unsigned long long)(f->started_ns / 1000 & 0xffffffff),
		       (unsigned long long)f->requests);
	return json_pack("{s:o,s:s,s:s,s:I,s:o}", "timestamp", body_time(figure_now_ns(api)), "request_id", id,
			 "version", api->deps.version ? api->deps.version : "", "request_count",
			 (json_int_t)f->requests, "uptime_seconds", figures_uptime(api));
}

void figure_send(struct api *api, struct api_call *call, int status, json_t *data)
{
	if (!data) {
		figure_error(api, call, 500, "DATABASE_ERROR", "out of memory", NULL);
		return;
	}
	send_json(call, status, json_pack("{s:s,s:o,s:o}", "status", "success", "data", data, "meta", meta_json(api)));
}

void figure_error(struct api *api, struct api_call *call, int status, const char *code, const char *message,
		  json_t *details)
{
	json_t *error = json_pack("{s:s,s:s,s:o,s:n}", "code", code, "message", message, "details",
				  details ? details : json_object(), "retry_after");

	send_json(call, status, json_pack("{s:s,s:o,s:o}", "status", "error", "error", error, "meta", meta_json(api)));
}

void figure_invalid(struct api *api, struct api_call *call, const char *name, const char *message)
{
	figure_error(api, call, 422, "INVALID_PARAMETERS", message, json_pack("{s:s}", "parameter", name));
}

void figure_broken(struct api *api, struct api_call *call, int r)
{
	figure_error(api, call, r == BUR_NOMEM ? 503 : 500, "DATABASE_ERROR", bur_strerror(r), NULL);
}

json_t *figure_body(struct api *api, struct api_call *call, const char *const *known, size_t n_known)
{
	json_t *o, *v;
	const char *name;
	size_t i;

	if (!slice_istarts(call->content_type, SLICE("application/json"))) {
		figure_invalid(api, call, "content-type", "The body must be application/json");
		return NULL;
	}
	o = json_loadb(call->body.p ? call->body.p : "", call->body.n, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(o)) {
		json_decref(o);
		figure_invalid(api, call, "body", "The body must be a JSON object");
		return NULL;
	}
	json_object_foreach(o, name, v)
	{
		for (i = 0; i < n_known && strcmp(known[i], name) != 0; i++)
			;
		if (i == n_known) {
			figure_error(api, call, 422, "INVALID_PARAMETERS", "Extra inputs are not permitted",
				     json_pack("{s:o}", "parameter", body_text(slice_of(name))));
			json_decref(o);
			return NULL;
		}
	}
	return o;
}

int figure_query_int(struct api *api, struct api_call *call, const char *name, int64_t min, int64_t max, int64_t *inout)
{
	char message[96];
	struct slice text;
	uint64_t n;

	if (reply_query(call, name, &text) < 0)
		return BUR_INVALID;
	if (!text.p)
		return BUR_OK;
	if (slice_u64(text, &n) < 0 || n < (uint64_t)min || n > (uint64_t)max) {
		(void)snprintf(message, sizeof(message), "%s should be a whole number from %lld to %lld", name,
			       (long long)min, (long long)max);
		figure_invalid(api, call, name, message);
		return BUR_INVALID;
	}
	*inout = (int64_t)n;
	return BUR_OK;
}

int figure_query_bool(struct api *api, struct api_call *call, const char *name, bool *inout)
{
	static const char *const words[] = {"0", "false", "f", "no", "n", "off", "1", "true", "t", "yes", "y", "on"};
	struct slice text;

	if (reply_query(call, name, &text) < 0)
		return BUR_INVALID;
	if (!text.p)
		return BUR_OK;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (slice_ieq(text, slice_of(words[i]))) {
			*inout = i >= ARRAY_LEN(words) / 2;
			return BUR_OK;
		}
	}
	figure_invalid(api, call, name, "Input should be true or false");
	return BUR_INVALID;
}

/* --- alerts of a period ------------------------------------------------------------------------------------------- */

static const struct {
	int64_t micro;
	const char *name, *word;
} levels[] = {
    {THRESHOLD_WARNING, "warning", "warning!"},
    {THRESHOLD_CRITICAL, "critical", "critical!"},
    {THRESHOLD_EXCEEDED, "exceeded", "exceeded!"},
};

void period_forget_alerts(struct api *api)
{
	memset(api->figures->listed, 0, sizeof(api->figures->listed));
}

/* Notes it when it was not listed within the last 300 s. */
static bool may_list(struct figures *f, const struct period *p, int level, int64_t now_s)
{
	for (size_t i = 0; i < LISTED_MAX; i++) {
		struct listed *l = &f->listed[i];

		if (l->at_s == 0 || l->kind != p->kind || l->level != level || strcmp(l->key, p->key) != 0)
			continue;
		if (now_s - l->at_s < LISTED_S && now_s >= l->at_s)
			return false;
		l->at_s = now_s;
		return true;
	}
	f->listed[f->next] = (struct listed){.kind = p->kind, .level = level, .at_s = now_s};
	memcpy(f->listed[f->next].key, p->key, sizeof(p->key));
	f->next = (f->next + 1) % LISTED_MAX;
	return true;
}

static int64_t clip(__int128 v)
{
	return v > INT64_MAX ? INT64_MAX : v < INT64_MIN ? INT64_MIN : (int64_t)v;
}

json_t *period_alert(struct api *api, const struct period *p, __int128 used, int64_t now_ns, const char *operation,
		     const char *category)
{
	int64_t micro, shown = clip(used);
	char id[48], message[200], name[16];
	int level = -1;

	if (!p->budget)
		return NULL;
	micro = figure_percent_micro(used, p->limit_nanousd);
	for (int i = 0; i < (int)ARRAY_LEN(levels); i++)
		if (micro >= levels[i].micro)
			level = i;
	if (level < 0 || !may_list(api->figures, p, level, now_ns / NS_PER_S))
		return NULL;
	(void)snprintf(id, sizeof(id), "alert_%s_%s_%s", period_name(p->kind), p->key, levels[level].name);
	(void)snprintf(name, sizeof(name), "%s", period_name(p->kind));
	name[0] = (char)(name[0] - 'a' + 'A');
	(void)snprintf(message, sizeof(message), "%s budget %s Current: $%.2f, Limit: $%.2f (%.1f%%)", name,
		       levels[level].word, (double)shown / 1e9, (double)p->limit_nanousd / 1e9, (double)micro / 1e6);
	return json_pack("{s:s,s:o,s:s,s:s,s:s,s:o,s:o,s:o,s:o,s:s,s:{s:s,s:s,s:o,s:s,s:o}}", "id", id, "timestamp",
			 figure_time(now_ns), "alert_level", levels[level].name, "period_type", period_name(p->kind),
			 "period_key", p->key, "current_cost", figure_usd(shown), "budget_limit",
			 figure_usd(p->limit_nanousd), "percentage_used", figure_number((double)micro / 1e6, 6),
			 "threshold_percentage", figure_number((double)levels[level].micro / 1e6, 6), "message",
			 message, "metadata", "operation_type", operation, "research_category", category,
			 "remaining_budget", figure_usd(clip(p->limit_nanousd - used)), "period_type",
			 period_name(p->kind), "threshold_crossed",
			 figure_number((double)levels[level].micro / 1e6, 6));
}
