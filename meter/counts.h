/* counts.h - counts as vendors report them, and the one rule that turns them into the record of usage.h.
 *
 * What a count includes differs between vendors; the name a count is kept under here says it. Internal to the meter
 * room. Pure. */
#ifndef METER_COUNTS_H
#define METER_COUNTS_H

#include "base/attr.h"
#include "meter/usage.h"

/* Each is a bit in `have`. */
enum raw {
	RAW_INPUT,            /* all input, cache reads and writes included */
	RAW_INPUT_FRESH,      /* input without cache reads and writes, which stand beside it */
	RAW_INPUT_TOOL,       /* more input: what tools gave */
	RAW_INPUT_IMAGE,      /* more input: pictures */
	RAW_OUTPUT,           /* all output but what the next two say */
	RAW_REASONING_BESIDE, /* more output: reasoning */
	RAW_CITATION,         /* more output: citations */
	RAW_TOTAL,
	RAW_CACHED,     /* of the input */
	RAW_CACHED_ALT, /* the same by another name; the first is believed */
	RAW_CACHE_WRITE,
	RAW_CACHE_WRITE_1H,
	RAW_REASONING,     /* of the output */
	RAW_REASONING_TOP, /* the same by another name; but beside the output, if citations are */
	RAW_AUDIO_IN,
	RAW_CACHED_AUDIO,
	RAW_AUDIO_OUT,
	RAW_IMAGE_IN,
	RAW_IMAGE_OUT,
	RAW_WEB, /* fees from here on */
	RAW_FILES,
	RAW_CODE,
	RAW_IMAGES,
	RAW_SEARCH_UNITS,
	RAW_PAGES,
	RAW_PAGES_ANNOTATED,
	RAW_CHARS,
	RAW_AUDIO_MS,
	RAW_REQUESTS,
	RAW_COST_PUSD,
	RAW_UPSTREAM_PUSD,
	RAW_XAI, /* a count that only xAI reports */
	RAW_COUNT,
};
_Static_assert(RAW_COUNT <= 32, "a bit for each");

/* Only what `have` names is set. */
struct counts {
	uint32_t have;
	uint64_t n[RAW_COUNT];
};

static inline bool counts_have(const struct counts *c, enum raw raw)
{
	return (c->have >> raw & 1) != 0;
}
static inline uint64_t counts_get(const struct counts *c, enum raw raw)
{
	return counts_have(c, raw) ? c->n[raw] : 0;
}
static inline void counts_set(struct counts *c, enum raw raw, uint64_t v)
{
	c->n[raw] = v;
	c->have |= UINT32_C(1) << raw;
}
/* As if it had not been reported. */
static inline void counts_drop(struct counts *c, enum raw raw)
{
	c->have &= ~(UINT32_C(1) << raw);
}
void counts_add(struct counts *, enum raw, uint64_t) NONNULL(1); /* stops at INT64_MAX */
void counts_copy(struct counts *, const struct counts *) NONNULL(1, 2);
bool counts_same(const struct counts *, const struct counts *) NONNULL(1, 2);
void counts_sum(struct counts *, const struct counts *) NONNULL(1, 2);        /* adds each */
void counts_merge(struct counts *, const struct counts *newer) NONNULL(1, 2); /* newer ones win */
void counts_raise(struct counts *, const struct counts *other) NONNULL(1, 2); /* larger ones win */
/* Settles which of two names for one thing is believed, and what is inside of what where a vendor's answers differ. To
 * be done with each usage object, before it is added to others. */
void counts_settle(struct counts *, bool xai) NONNULL(1);
/* Sets every number of the record, and has_input and has_output as far as the counts tell. */
void counts_to_usage(const struct counts *, struct usage *) NONNULL(1, 2);

/* Usage of other models, beside the counts. */
struct others {
	struct usage_other v[USAGE_OTHERS_MAX];
	uint8_t n;
	bool full; /* some did not fit */
};

/* Added to what is there of the same model and role. */
void others_add(struct others *, const char *model, const char *role, const struct counts *) NONNULL(1, 2, 3, 4);
/* Adds each. */
void others_sum(struct others *, const struct others *) NONNULL(1, 2);

#endif
