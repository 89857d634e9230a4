/* unit.h - what vendors put a price on, and how much of each a call used.
 *
 * Units form a tree: a unit's quantity counts all of it, its parts included ("in" is every input token, "cr" those of
 * them that were read from a cache). What is billed is decided by price.c: a part with a price of its own is taken out
 * of what it is a part of. Keys are those of the price book's `rates`. */
#ifndef PRICE_UNIT_H
#define PRICE_UNIT_H

#include <stdint.h>

/* name, key in the book, units per price, parent, second parent (a cached audio token is cached and audio) */
#define PRICE_UNITS(X)                                                                                                 \
	X(IN, "in", 1000000, NONE, NONE)                                                                               \
	X(OUT, "out", 1000000, NONE, NONE)                                                                             \
	X(CR, "cr", 1000000, IN, NONE)                                                                                 \
	X(CW, "cw", 1000000, IN, NONE)                                                                                 \
	X(CW5M, "cw5m", 1000000, CW, NONE)                                                                             \
	X(CW1H, "cw1h", 1000000, CW, NONE)                                                                             \
	X(IN_AUDIO, "in_audio", 1000000, IN, NONE)                                                                     \
	X(IN_IMAGE, "in_image", 1000000, IN, NONE)                                                                     \
	X(IN_VIDEO, "in_video", 1000000, IN, NONE)                                                                     \
	X(IN_TEXT, "in_text", 1000000, IN, NONE)                                                                       \
	X(CR_AUDIO, "cr_audio", 1000000, CR, IN_AUDIO)                                                                 \
	X(CR_IMAGE, "cr_image", 1000000, CR, IN_IMAGE)                                                                 \
	X(CR_VIDEO, "cr_video", 1000000, CR, IN_VIDEO)                                                                 \
	X(CR_TEXT, "cr_text", 1000000, CR, IN_TEXT)                                                                    \
	X(OUT_AUDIO, "out_audio", 1000000, OUT, NONE)                                                                  \
	X(OUT_IMAGE, "out_image", 1000000, OUT, NONE)                                                                  \
	X(OUT_VIDEO, "out_video", 1000000, OUT, NONE)                                                                  \
	X(OUT_TEXT, "out_text", 1000000, OUT, NONE)                                                                    \
	X(OUT_REASONING, "out_reasoning", 1000000, OUT, NONE)                                                          \
	X(OUT_CITATION, "out_citation", 1000000, OUT, NONE)                                                            \
	X(CHARS, "chars", 1000000, NONE, NONE)                                                                         \
	X(PIXELS, "px", 1000000000, NONE, NONE)                                                                        \
	X(AUDIO_MS, "audio_ms", 3600000, NONE, NONE)                                                                   \
	X(IN_AUDIO_MS, "in_audio_ms", 3600000, AUDIO_MS, NONE)                                                         \
	X(OUT_AUDIO_MS, "out_audio_ms", 3600000, AUDIO_MS, NONE)                                                       \
	X(REQ, "req", 1000, NONE, NONE)                                                                                \
	X(WEB, "web", 1000, NONE, NONE)                                                                                \
	X(FILE, "file", 1000, NONE, NONE)                                                                              \
	X(SOCIAL, "social", 1000, NONE, NONE)                                                                          \
	X(CODE, "code", 1000, NONE, NONE)                                                                              \
	X(RERANK, "rerank", 1000, NONE, NONE)                                                                          \
	X(PAGES, "pages", 1000, NONE, NONE)                                                                            \
	X(PAGES_ANNOTATED, "pages_annotated", 1000, PAGES, NONE)                                                       \
	X(MESSAGES, "msgs", 1000, NONE, NONE)                                                                          \
	X(IMAGES, "img", 1000, NONE, NONE)                                                                             \
	X(VIDEO_S, "sec", 1000, NONE, NONE)

enum price_unit {
#define X(uc, key, per, parent, parent2) PRICE_##uc,
	PRICE_UNITS(X)
#undef X
	    PRICE_UNIT_COUNT,
	PRICE_NONE = PRICE_UNIT_COUNT
};
#define PRICE_FIRST_FEE PRICE_REQ /* from here on: fees, which no multiplier touches */

struct quantities {
	uint64_t n[PRICE_UNIT_COUNT];
};

#endif
