/* frame_ws.h - the frames that a server sends on a WebSocket (RFC 6455 5.2): each message is an event.
 *
 * Text and binary messages alike; control frames may stand between the pieces of a message. Extensions are not read:
 * they must not be offered. What follows a close frame does not count. */
#ifndef METER_FRAME_WS_H
#define METER_FRAME_WS_H

#include <stdint.h>

#include "meter/frame.h"

struct frame_ws {
	struct frame_out out;
	uint64_t left; /* bytes of the payload at hand */
	uint8_t head[10];
	uint8_t head_n, head_need; /* bytes there are; bytes the head has, as far as is known */
	bool in_payload;
	bool open; /* a message has begun */
	bool closed, failed;
};

void frame_ws_init(struct frame_ws *, struct frame_out) NONNULL(1);
/* BUR_OK; BUR_INVALID: no frame of a server; sticky, nothing more is read. */
int frame_ws_feed(struct frame_ws *, const char *p, size_t n) NONNULL(1) MUST_USE;
/* End of bytes. BUR_OK; BUR_EOF: inside a frame or a message; BUR_INVALID as before. */
int frame_ws_finish(const struct frame_ws *) NONNULL(1) MUST_USE;

#endif
