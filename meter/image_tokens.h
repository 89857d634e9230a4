/* image_tokens.h - what a picture costs in tokens, by the vendors' published formulas.
 *
 * A request is scanned before its model is known, so the scanner adds every picture up under each formula; the bound
 * then takes the sum of the model's own. Sources: OpenAI "Images and vision", Anthropic "Vision", Google "Understand
 * and count tokens" and "Media resolution". Integers only, rounded up. Pure. */
#ifndef METER_IMAGE_TOKENS_H
#define METER_IMAGE_TOKENS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

enum image_detail { DETAIL_AUTO, DETAIL_LOW, DETAIL_HIGH, DETAIL_ORIGINAL };

/* Over the pictures whose size is known. Sums stay far below 2^63: a body has less than 2^40 bytes. */
struct image_sums {
	uint64_t sized;           /* pictures */
	uint64_t tiles;           /* OpenAI, 512 pixels a side after scaling; detail "low" has none */
	uint64_t patches;         /* OpenAI, 32 pixels a side, at most 1 536 a picture */
	uint64_t patches_large;   /* at most 10 000, or 2 500 where the request asks for low or high detail */
	uint64_t claude_standard; /* long edge 1568, at most 1 568 tokens */
	uint64_t claude_large;    /* long edge 2576, at most 4 784 tokens */
	uint64_t gemini_tiles;    /* Gemini 2: 258 tokens each */
};

#define IMAGE_SIDE_MAX 16384 /* no vendor takes larger ones; they stay unknown */
void image_sums_add(struct image_sums *, uint32_t width, uint32_t height, enum image_detail) NONNULL(1);

uint64_t image_tiles(uint32_t width, uint32_t height);
/* Patches of 32 pixels after scaling down to at most `limit` of them. */
uint64_t image_patches(uint32_t width, uint32_t height, uint32_t limit);
uint64_t image_claude(uint32_t width, uint32_t height, uint32_t edge_max, uint32_t tokens_max);
uint64_t image_gemini_tiles(uint32_t width, uint32_t height);

/* Tokens of one request's pictures for the model: of `images` pictures those counted in the sums exactly or dearer, all
 * others at the model's dearest. `media_resolution`: the request sets one (Gemini). Saturates at UINT64_MAX. */
uint64_t image_tokens_bound(struct slice model, const struct image_sums *, uint64_t images, bool media_resolution)
    NONNULL(2);

/* Whether the name says which formula holds. */
bool image_model_known(struct slice model);

#endif
