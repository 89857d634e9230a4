/* explain_grow.c - streams that begin on less than they may cost, as proxy/txn_grow.c has them. What workers learned of
 * a model's usual answers is theirs; here a stream begins on what one of an unknown model begins on. */
#include "app/explain_impl.h"
#include "base/error.h"

#define START_TOKENS 1024
/* Beyond the allowance; with less a call is not worth its input, nor with less than a share of a long prompt. */
#define BEGIN_MIN 8
#define BEGIN_SHARE 64

static uint64_t answers(const struct question *q)
{
	uint64_t n = q->info.candidates > 1 ? q->info.candidates : 1, prompts = q->info.messages;

	if (q->api.kind != API_COMPLETIONS)
		return n;
	return n * (prompts < 1 ? 1 : prompts > 1000 ? 1000 : prompts);
}

static uint64_t allowance(const struct question *q)
{
	return (uint64_t)q->e->settings->proxy.limits.inflight_allow_tokens * answers(q);
}

static bool is_text_kind(enum api_kind kind)
{
	static const enum api_kind kinds[] = {API_CHAT,     API_COMPLETIONS, API_RESPONSES,
					      API_MESSAGES, API_GENERATE,    API_CONVERSE,
					      API_INVOKE,   API_COHERE_CHAT, API_OLLAMA};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i] == kind)
			return true;
	return false;
}

static bool is_by_tokens(const struct price_model *m)
{
	static const enum price_unit things[] = {PRICE_CHARS,   PRICE_AUDIO_MS, PRICE_IN_AUDIO_MS, PRICE_OUT_AUDIO_MS,
						 PRICE_VIDEO_S, PRICE_PIXELS,   PRICE_PAGES,       PRICE_RERANK};

	for (size_t i = 0; i < ARRAY_LEN(things); i++)
		if (price_model_has(m, things[i]))
			return false;
	return true;
}

/* Is all that will be billed seen as it goes by? */
static bool shows_its_bill(const struct question *q)
{
	const struct request_info *i = &q->info;

	return is_text_kind(q->api.kind) && !i->hosted_tools && !i->audio_output && !i->prediction && !i->background &&
	       !i->agent && !price_model_hides_reasoning(q->price, i->thinking) && !i->reasoning_hidden &&
	       !price_model_has(q->price, PRICE_OUT_IMAGE) && is_by_tokens(q->price);
}

static bool is_counted_hard(const struct question *q)
{
	for (size_t i = 0; i < q->n_counters; i++)
		if (q->counters[i].budget->mode == MODE_HARD && q->counters[i].budget->unit != UNIT_REQUESTS)
			return true;
	return false;
}

bool explain_may_grow(const struct question *q)
{
	enum hold_mode mode = q->match.hold;

	if (!q->match.any_hard || !q->price || !q->info.stream || q->rule || mode == HOLD_WORST ||
	    (mode == HOLD_AUTO && q->info.has_max_out))
		return false;
	return !q->provider->full_bill_on_abort && !q->provider->price_free && shows_its_bill(q) && is_counted_hard(q);
}

/* The whole call's bound but with so many output tokens. */
static bool bound_of(const struct question *q, uint64_t out, struct bound *ret)
{
	const struct bound *full = &q->full;
	int64_t all, some;

	*ret = *full;
	if (out >= full->output_tokens)
		return true;
	if (bound_estimate(q->price, &q->info, full->input_tokens, full->output_tokens, q->now_s, &all) < 0 ||
	    bound_estimate(q->price, &q->info, full->input_tokens, out, q->now_s, &some) < 0 || some > all ||
	    all - some > full->worst_nanousd)
		return false;
	ret->output_tokens = out;
	ret->worst_nanousd = full->worst_nanousd - (all - some) + (all > some); /* both were rounded up */
	return true;
}

bool explain_grow_begin(struct question *q)
{
	uint64_t start = START_TOKENS * answers(q) + allowance(q);

	q->full = q->bound;
	return explain_may_grow(q) && start < q->full.output_tokens && bound_of(q, start, &q->bound);
}

bool explain_grow_with(struct question *q, const struct amounts *room)
{
	uint64_t least = BEGIN_MIN * answers(q), share = q->full.input_tokens / BEGIN_SHARE;
	uint64_t from = allowance(q) + (share > least ? share : least), to = q->bound.output_tokens, best = 0;
	struct bound b;

	if (!explain_may_grow(q) || room->requests < 1 || to <= from)
		return false;
	for (to--; from <= to;) {
		uint64_t middle = from + (to - from) / 2;
		bool fits = bound_of(q, middle, &b) && b.worst_nanousd <= room->nanousd &&
			    b.input_tokens + b.output_tokens <= (uint64_t)room->tokens;

		if (fits) {
			best = middle;
			from = middle + 1;
		} else {
			to = middle - 1;
		}
	}
	return best > 0 && bound_of(q, best, &q->bound);
}
