/* frame_sse.h - event streams (`text/event-stream`, WHATWG HTML 9.2) down to the data of each event.
 *
 * Only `data` matters: event names, ids and comments are skipped. An event that the end of the body cuts off before its
 * blank line still counts. */
#ifndef METER_FRAME_SSE_H
#define METER_FRAME_SSE_H

#include <stdint.h>

#include "meter/frame.h"

struct frame_sse {
	struct frame_out out;
	uint8_t line;     /* where in a line we are */
	uint8_t name_n;   /* bytes of "data" matched */
	uint8_t bom_n;    /* bytes of a byte order mark matched; 3 = past it */
	uint8_t marker_n; /* bytes of "[DONE]" matched; 0xff = it is something else */
	bool line_empty, after_cr, has_data;
};

void frame_sse_init(struct frame_sse *, struct frame_out) NONNULL(1);
void frame_sse_feed(struct frame_sse *, const char *p, size_t n) NONNULL(1);
/* End of body. */
void frame_sse_finish(struct frame_sse *) NONNULL(1);

#endif
