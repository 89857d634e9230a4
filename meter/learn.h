/* learn.h - how the vendors' counts of input compare with our own, by provider, model and script; and how long a
 * model's answers are.
 *
 * Exponentially weighted mean and variance of the ratio reported/own, and a fading histogram of lengths, in integers;
 * fixed memory. Estimates only, never bounds. One owner thread. */
#ifndef METER_LEARN_H
#define METER_LEARN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"
#include "meter/prompt.h"

#define LEARN_ANSWERS_MIN 50 /* before that the table of prompt.h counts */
#define LEARN_COHORT 32
#define LEARN_OWN_MIN 200 /* tokens; shorter prompts say more of the framing than of the text */

struct learn;

struct learned {
	uint64_t answers;
	uint64_t ratio_ppm;   /* mean */
	uint64_t sigma_ppm;   /* of the ratio itself */
	uint64_t max_ppm;     /* of the last 900 to 1,000 answers */
	uint64_t reserve_ppm; /* ratio * (1 + max(3 sigma, 2 %)) */
};

/* `slots` combinations at most; the least used gives way to a new one. NULL: out of memory. */
struct learn *learn_new(size_t slots) MUST_USE;
void learn_free(struct learn *); /* NULL is fine */
/* An answer to a request of text only, that reported `reported` input tokens where we counted `own` (text_tokens of
 * prompt_count). Ratios outside 0.1 to 10 are somebody's mistake and not taken. */
void learn_add(struct learn *, struct slice provider, struct slice model, enum script, uint64_t own, uint64_t reported)
    NONNULL(1);
/* False: fewer than LEARN_ANSWERS_MIN answers, or none; *ret is as far as it goes. */
bool learn_get(const struct learn *, struct slice provider, struct slice model, enum script, struct learned *ret)
    NONNULL(1, 5) MUST_USE;
/* An answer has begun; its length will be told. Returns its ticket, or 0: it is not among those that are looked at.
 * Short answers end first: so the lengths of the next LEARN_COHORT that begin are taken together, once nearly all of
 * them are known. */
uint32_t learn_output_begin(struct learn *, struct slice provider, struct slice model) NONNULL(1) MUST_USE;
/* It ended after that many output tokens. */
void learn_output_end(struct learn *, struct slice provider, struct slice model, uint32_t ticket, uint64_t tokens)
    NONNULL(1);
/* That many tokens, or up to a quarter fewer, were enough for this share of the latest answers. False: not known. */
bool learn_output(const struct learn *, struct slice provider, struct slice model, uint32_t share_ppm, uint64_t *ret)
    NONNULL(1, 5) MUST_USE;
/* An estimate by what was learned, in place of the table's. Exact counts stay. */
void learn_apply(const struct learn *, struct slice provider, struct slice model, struct prompt_count *inout)
    NONNULL(1, 4);

#endif
