/* bound_clamp.c - with how few tokens of output a call fits what is left. */
#include "base/error.h"
#include "meter/bound_impl.h"

/* OpenAI refuses less (API reference, responses: max_output_tokens). */
#define RESPONSES_OUT_MIN 16

bool bound_can_clamp(const struct price_model *m, enum api_kind kind, const struct request_info *q)
{
	struct sketch s = {.model = m, .kind = kind, .q = q};

	return q->max_out_edit.before && kind != API_BATCH_SUBMIT && !q->batch_lines && !bound_is_for_text(&s);
}

uint64_t bound_answer_tokens(const struct price_model *m, enum api_kind kind, const struct request_info *q)
{
	struct sketch s = {.model = m, .kind = kind, .q = q};

	return bound_answer(&s);
}

static bool fits(const struct bound *b, const struct bound_room *room)
{
	return b->worst_nanousd <= room->nanousd &&
	       bound_plus(b->input_tokens, b->output_tokens) <= (uint64_t)(room->tokens < 0 ? 0 : room->tokens);
}

/* One point of the search: the bound of the same request with another maximum. */
struct trial {
	const struct price_model *model;
	enum api_kind kind;
	struct request_info q;
	int64_t at_s;
	const struct prompt_count *count;
	bool estimate;
};

static bool trial_fits(struct trial *t, uint64_t max_out, const struct bound_room *room, struct bound *ret)
{
	const char *why;

	t->q.has_max_out = true;
	t->q.max_out = max_out;
	if (bound_upper(t->model, t->kind, &t->q, t->at_s, ret, &why) != BOUND_OK)
		return false;
	if (t->count && bound_tighten(t->model, t->kind, &t->q, t->at_s, t->count, t->estimate, ret) != BOUND_OK)
		return false;
	return fits(ret, room);
}

uint64_t bound_max_out(const struct price_model *m, enum api_kind kind, const struct request_info *q, int64_t at_s,
		       const struct prompt_count *count, bool estimate, const struct bound_room *room,
		       struct bound *ret)
{
	struct trial t = {.model = m, .kind = kind, .q = *q, .at_s = at_s, .count = count, .estimate = estimate};
	uint64_t low = kind == API_RESPONSES ? RESPONSES_OUT_MIN : 1, high = bound_answer_tokens(m, kind, q);
	struct bound tried;

	*ret = (struct bound){0};
	if (high > INT64_MAX)
		high = INT64_MAX;
	if (high < low || !bound_can_clamp(m, kind, q) || !trial_fits(&t, low, room, ret))
		return 0;
	/* what it costs never falls with the output: `low` always fits, and *ret is its bound */
	while (low < high) {
		uint64_t mid = low + (high - low + 1) / 2;

		if (trial_fits(&t, mid, room, &tried)) {
			low = mid;
			*ret = tried;
		} else {
			high = mid - 1;
		}
	}
	return low;
}

uint64_t bound_thinking(const struct request_info *q, uint64_t asked_out, uint64_t max_out)
{
	uint64_t budget = q->thinking_budget, least = q->thinking_min < budget ? q->thinking_min : budget;
	unsigned __int128 asked = asked_out;

	if (asked <= budget) /* beside the answer's bound, or without one: half of it */
		asked = (unsigned __int128)budget * 2;
	if (asked > max_out)
		budget = (uint64_t)((unsigned __int128)budget * max_out / asked);
	if (budget < least)
		budget = least;
	return budget < max_out ? budget : 0;
}

uint64_t bound_least_out(const struct request_info *q, uint64_t min_out)
{
	uint64_t thought = q->thinking_min < q->thinking_budget ? q->thinking_min : q->thinking_budget;

	return min_out > thought ? min_out : thought + 1;
}
