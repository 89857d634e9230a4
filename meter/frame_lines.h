/* frame_lines.h - JSON lines (`application/x-ndjson`, `application/x-jsonl`): each line is an event.
 *
 * Lines end in LF or CRLF; blank ones are skipped; the last one may lack its end. */
#ifndef METER_FRAME_LINES_H
#define METER_FRAME_LINES_H

#include "meter/frame.h"

struct frame_lines {
	struct frame_out out;
	bool open; /* the line at hand is not blank */
};

void frame_lines_init(struct frame_lines *, struct frame_out) NONNULL(1);
void frame_lines_feed(struct frame_lines *, const char *p, size_t n) NONNULL(1);
/* End of body. */
void frame_lines_finish(struct frame_lines *) NONNULL(1);

#endif
