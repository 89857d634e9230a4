/* frame.h - what a framing tells of the events it finds in a body. Internal to the meter room.
 *
 * The framings (frame_sse, frame_lines, frame_aws, frame_ws) take bytes in any pieces, keep a fixed amount and hand an
 * event's bytes on as they come; an event counts when `end` says that it was whole. Pure; one owner thread each. */
#ifndef METER_FRAME_H
#define METER_FRAME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/slice.h"

struct frame_ops {
	/* An event begins; one that has begun and not ended is dropped. */
	void (*begin)(void *ctx);
	void (*data)(void *ctx, const char *p, size_t n);
	/* What the framing calls the event at hand; an exception is the vendor's error. */
	void (*name)(void *ctx, struct slice name, bool exception);
	void (*end)(void *ctx);
	/* begin, data and end of an event that lies whole in memory. */
	void (*whole)(void *ctx, const char *p, size_t n);
	/* "[DONE]" stood for an event; one that has begun is dropped. */
	void (*done)(void *ctx);
};

/* Where the events go. */
struct frame_out {
	const struct frame_ops *ops;
	void *ctx;
};

#endif
