/* usage.h - what a call used, in one normalised record, whatever the vendor calls it.
 *
 * Input includes cache reads and writes; output includes reasoning. Absent and zero are different: has_input and
 * has_output say whether the vendor reported at all. Pure. */
#ifndef METER_USAGE_H
#define METER_USAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"
#include "meter/api.h"
#include "price/price.h"

#define USAGE_OTHERS_MAX 4

struct usage {
	char model[MODEL_NAME_MAX + 1]; /* that the answer names; "" when none */
	bool has_input, has_output;
	uint64_t input_tokens; /* all, cache reads and writes included */
	uint64_t cached_input_tokens;
	uint64_t cache_write_tokens; /* all lifetimes */
	uint64_t cache_write_1h_tokens;
	uint64_t output_tokens; /* all, reasoning included */
	uint64_t reasoning_tokens;
	uint64_t audio_input_tokens, cached_audio_tokens, audio_output_tokens;
	uint64_t image_input_tokens, image_output_tokens;
	uint64_t web_searches, file_searches, code_sessions;
	uint64_t images;          /* generated pictures that were delivered */
	uint64_t citation_tokens; /* of the output */
	uint64_t search_units, pages, pages_annotated;
	uint64_t audio_ms;          /* duration of audio that is billed by time */
	uint64_t input_characters;  /* billed text of speech synthesis, or the vendor's count of billable characters */
	uint64_t call_input_tokens; /* of runs that are counted together: no more in each; 0: not known */
	uint64_t requests;          /* model runs it stands for: 1 for a 2xx call, 0 for refused and control calls */
	char service_tier[32], speed[16], inference_geo[16]; /* as reported; "" when not */
	char dedupe_key[64];                                 /* several exchanges with the same key are one bill */
	char also_key[64];      /* under which the same bill may come too: the file with a batch's results */
	char deployment[64];    /* Azure: from the path */
	bool has_reported_cost; /* the vendor says itself what the call cost */
	int64_t reported_cost_pusd;
	int64_t
	    upstream_cost_pusd; /* what a vendor behind the reporting one charges besides, on the caller's own key */
	/* tokens billed to other models inside the same exchange; not part of the counts above */
	struct usage_other {
		char model[MODEL_NAME_MAX + 1]; /* "" when not named */
		char role[32];
		uint64_t input_tokens, cached_input_tokens, cache_write_tokens, cache_write_1h_tokens,
		    audio_input_tokens, output_tokens, audio_ms;
	} others[USAGE_OTHERS_MAX];
	uint8_t n_others;
	bool stream;             /* the answer came in pieces */
	bool complete;           /* the vendor's own final figures; nothing to estimate */
	bool error_seen;         /* an error object inside a 200 answer */
	uint64_t output_bytes;   /* visible output text seen, an upper bound of visible tokens when usage is missing */
	uint64_t output_counted; /* the same with the answer's words as tokens, where the tap was asked to count them */
};

/* What there is to bill, in the units of the price book; the tokens of `others` are not in it. */
void usage_quantities(const struct usage *, struct quantities *ret) NONNULL(1, 2);
/* Under which terms: the vendors' words for service tier, speed and geography. `residency`: the call went to a regional
 * host with a surcharge. */
void usage_terms(const struct usage *, int64_t at_s, bool residency, struct price_terms *ret) NONNULL(1, 4);

#endif
