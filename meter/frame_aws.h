/* frame_aws.h - AWS event streams (`application/vnd.amazon.eventstream`).
 *
 * Both checksums of a message are verified; its event ends only behind the second one. Events of type `chunk`
 * (InvokeModelWithResponseStream) are unwrapped. Source of the format: the AWS SDKs' codec ("event stream encoding").
 */
#ifndef METER_FRAME_AWS_H
#define METER_FRAME_AWS_H

#include <stdint.h>

#include "meter/frame.h"
#include "meter/frame_chunk.h"

#define FRAME_AWS_HEADERS_MAX (128u << 10)
#define FRAME_AWS_PAYLOAD_MAX (24u << 20)

struct frame_aws {
	struct frame_out out;
	bool failed;
	uint8_t state;
	uint8_t kind;     /* of the message, known behind its headers */
	uint8_t number_n; /* bytes of the number at hand */
	uint8_t number[12];
	uint32_t crc;
	uint32_t headers_left, payload_left;
	/* the header at hand */
	uint8_t type, name_n;
	uint16_t value_left;
	char name[32]; /* cut */
	uint8_t slot;  /* which of the values below it is; SLOT_NONE */
	struct frame_aws_value {
		uint8_t n;
		char text[63]; /* cut */
	} values[4];
	struct frame_chunk chunk;
};

void frame_aws_init(struct frame_aws *, struct frame_out) NONNULL(1);
/* BUR_OK; BUR_INVALID: a checksum, a length or a header is wrong; sticky, nothing more is read. */
int frame_aws_feed(struct frame_aws *, const char *p, size_t n) NONNULL(1) MUST_USE;
/* End of body. BUR_OK; BUR_EOF: inside a message; BUR_INVALID as before. */
int frame_aws_finish(const struct frame_aws *) NONNULL(1) MUST_USE;

#endif
