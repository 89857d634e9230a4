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
#include "meter/reqscan.h"

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
	uint64_t web_searches, file_searches;
	uint64_t requests;                                   /* 1 for a 2xx call, 0 for others */
	char service_tier[16], speed[16], inference_geo[16]; /* as reported; "" when not */
	char dedupe_key[64];
	bool stream;           /* the answer came in pieces */
	bool complete;         /* the vendor's own final figures; nothing to estimate */
	bool error_seen;       /* an error object inside a 200 answer */
	uint64_t output_bytes; /* visible output text seen, an upper bound of visible tokens when usage is missing */
};

#endif
