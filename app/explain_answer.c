/* explain_answer.c - what the application would see. */
#include "app/explain_impl.h"
#include "base/error.h"

static int list_blocked(struct question *q, const struct decision *d, struct refusal_budget *list)
{
	char when[TIME_TEXT_MAX];

	for (size_t i = 0; i < d->n_blocked; i++) {
		const struct blocked *b = &d->blocked[i];

		list[i] = (struct refusal_budget){.name = slice_of(b->budget->name),
						  .window = slice_of(b->budget->window_name),
						  .scope = slice_of(b->scope),
						  .unit = slice_of(explain_unit(b->budget->unit)),
						  .limit = b->limit,
						  .posted = b->posted,
						  .held = b->held,
						  .need = b->need};
		if (b->budget->window.kind == WINDOW_TOTAL && b->budget->rolling_s == 0)
			continue;
		list[i].resets_at = arena_dup(&q->arena, slice_of(time_format(b->budget->window.tz, b->win_end, when)));
		if (!list[i].resets_at.p)
			return BUR_NOMEM;
	}
	return BUR_OK;
}

static int write_refusal(struct question *q, const struct explained *o, struct buf *message, struct buf *body)
{
	struct refusal_budget list[MATCH_MAX];
	struct refusal f = {.reason = o->reason, .retry_after_s = o->retry_after_s, .request_id = SLICE("req_…")};
	int r = BUR_OK;

	if (o->blocked) {
		r = list_blocked(q, o->blocked, list);
		if (r == BUR_OK)
			r = refusal_budget_message(list, o->blocked->n_blocked, message);
		f.budgets = list;
		f.n_budgets = o->blocked->n_blocked;
	} else {
		r = buf_append_slice(message, slice_of(o->message));
	}
	f.message = buf_slice(message);
	return r == BUR_OK ? envelope_write(q->api.family, &f, body) : r;
}

static json_t *refused_json(struct question *q, const struct explained *o)
{
	int wanted = o->reason == REFUSE_BUDGET_EXCEEDED ? q->provider->block_status : 0;
	int status = envelope_status(q->api.family, o->reason, wanted);
	struct buf message, body;
	json_t *answer = NULL, *out = NULL;

	buf_init(&message, 16384);
	buf_init(&body, 65536);
	if (write_refusal(q, o, &message, &body) == BUR_OK) {
		answer = json_loadb(buf_slice(&body).p, buf_len(&body), 0, NULL);
		out = json_pack("{s:b,s:i,s:s,s:o,s:b,s:o,s:o}", "admitted", 0, "status", status, "code",
				refusal_code(o->reason), "message",
				json_stringn(buf_slice(&message).p, buf_len(&message)), "retry",
				refusal_may_retry(o->reason), "retry_after_s",
				o->retry_after_s ? json_integer(o->retry_after_s) : json_null(), "body",
				answer ? answer : json_null());
	}
	buf_done(&message);
	buf_done(&body);
	return out;
}

static json_t *admitted_json(const struct question *q, const struct explained *o)
{
	json_t *fields = json_object();
	json_t *out = json_pack("{s:b,s:s,s:o,s:o,s:f,s:O}", "admitted", 1, "model", q->info.model, "held_usd",
				explain_usd(q->worst.nanousd), "max_out",
				q->info.has_max_out ? json_integer((json_int_t)q->info.max_out) : json_null(),
				"delay_s", (double)(o->delay_ns / NS_PER_MS) / 1000, "headers", fields);

	if (o->degraded_from[0])
		(void)json_object_set_new(fields, "x-bursar-degraded-from", json_string(o->degraded_from));
	if (o->clamped_to)
		(void)json_object_set_new(fields, "x-bursar-clamped",
					  json_sprintf("%s=%llu",
						       q->info.max_out_field ? q->info.max_out_field : "max_tokens",
						       (unsigned long long)o->clamped_to));
	if (q->decision->over_budget)
		(void)json_object_set_new(fields, "x-bursar-over-budget", json_string("1"));
	json_decref(fields);
	return out;
}

json_t *explain_answer(struct question *q, const struct explained *o)
{
	return o->admitted ? admitted_json(q, o) : refused_json(q, o);
}
