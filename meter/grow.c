#include "meter/grow.h"

/* Output tokens to begin with where nothing is known of the model; else what is enough for so many of its answers. */
#define START_TOKENS 1024
#define START_MIN 128
#define START_MAX 16384
#define START_SHARE_PPM 980000
/* Less than this beyond the allowance is too little to begin with... */
#define BEGIN_MIN 8
#define BEGIN_SHARE 64 /* ...or, for a long prompt, less than one token for so many of its own. */
#define PROMPTS_MAX 1000

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static bool is_text_kind(enum api_kind kind)
{
	switch (kind) {
	case API_CHAT:
	case API_COMPLETIONS:
	case API_RESPONSES:
	case API_MESSAGES:
	case API_GENERATE:
	case API_CONVERSE:
	case API_INVOKE:
	case API_COHERE_CHAT:
	case API_OLLAMA:
		return true;
	default:
		return false;
	}
}

bool grow_shows_bill(const struct price_model *m, enum api_kind kind, const struct request_info *q)
{
	return is_text_kind(kind) && !q->audio_output && !q->background && !q->agent &&
	       !price_model_has(m, PRICE_OUT_IMAGE) && bound_is_seen(m, kind, q);
}

uint64_t grow_answers(enum api_kind kind, const struct request_info *q)
{
	uint64_t n = most(q->candidates, 1);

	return kind == API_COMPLETIONS ? n * least(most(q->messages, 1), PROMPTS_MAX) : n;
}

uint64_t grow_allowance(const struct grow_call *c)
{
	return c->allow_tokens * grow_answers(c->kind, c->info);
}

uint64_t grow_start(const struct grow_call *c, const struct learn *learn, struct slice provider)
{
	uint64_t usual = START_TOKENS;

	if (learn && learn_output(learn, provider, slice_of(price_model_id(c->price)), START_SHARE_PPM, &usual))
		usual = most(START_MIN, least(usual, START_MAX));
	return usual * grow_answers(c->kind, c->info) + grow_allowance(c);
}

uint64_t grow_least(const struct grow_call *c)
{
	return grow_allowance(c) +
	       most(BEGIN_MIN * grow_answers(c->kind, c->info), c->full->input_tokens / BEGIN_SHARE);
}

bool grow_bound(const struct grow_call *c, uint64_t output_tokens, struct bound *ret)
{
	const struct bound *full = c->full;
	int64_t all, some;

	*ret = *full;
	if (output_tokens >= full->output_tokens)
		return true;
	if (bound_estimate(c->price, c->info, full->input_tokens, full->output_tokens, c->at_s, &all) < 0 ||
	    bound_estimate(c->price, c->info, full->input_tokens, output_tokens, c->at_s, &some) < 0 || some > all ||
	    all - some > full->worst_nanousd)
		return false;
	ret->output_tokens = output_tokens;
	ret->worst_nanousd = full->worst_nanousd - (all - some) + (all > some); /* both were rounded up */
	return true;
}

static bool fits(const struct bound *b, const struct bound *base, const struct bound_room *room)
{
	uint64_t tokens = b->input_tokens + b->output_tokens - base->input_tokens - base->output_tokens;

	return b->worst_nanousd - base->worst_nanousd <= room->nanousd && tokens <= (uint64_t)room->tokens;
}

uint64_t grow_most(const struct grow_call *c, uint64_t from, uint64_t to, const struct bound *base,
		   const struct bound_room *room)
{
	struct bound b;
	uint64_t best = from - 1;

	while (from <= to) {
		uint64_t middle = from + (to - from) / 2;

		if (grow_bound(c, middle, &b) && fits(&b, base, room)) {
			best = middle;
			from = middle + 1;
		} else {
			to = middle - 1;
		}
	}
	return best;
}
