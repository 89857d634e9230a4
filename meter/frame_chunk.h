/* frame_chunk.h - the envelope of Bedrock's InvokeModelWithResponseStream: {"bytes":"<base64 of the vendor's JSON>"}.
 *
 * What stands inside is the event, however large; it is decoded as it comes. */
#ifndef METER_FRAME_CHUNK_H
#define METER_FRAME_CHUNK_H

#include <stdint.h>

#include "base/json.h"
#include "meter/frame.h"

struct frame_chunk {
	struct frame_out out;
	uint8_t phase;
	uint8_t escape;  /* inside an escape of the string */
	uint8_t sextets; /* of the group at hand */
	uint8_t padding;
	bool found; /* the value of "bytes" began */
	bool bad;
	uint16_t unit;  /* digits of \u */
	uint32_t group; /* bits of the group at hand */
	struct json_reader json;
};

/* For each envelope. */
void frame_chunk_begin(struct frame_chunk *, struct frame_out) NONNULL(1);
void frame_chunk_feed(struct frame_chunk *, const char *p, size_t n) NONNULL(1);
/* The envelope was whole: the event ends, or is dropped when it cannot be read. */
void frame_chunk_end(struct frame_chunk *) NONNULL(1);

#endif
