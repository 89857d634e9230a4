/* usage_hide.h - undoes, on the way back, what asking for usage did to a chat stream.
 *
 * When bursar put `stream_options.include_usage` into a request whose client had not asked, the vendor adds
 * `"usage":null` to every chunk and one extra chunk with empty `choices`. This filter removes both, so that the client
 * reads the bytes it would have read without bursar. Works on plain (not compressed) SSE; an event is passed on as
 * soon as its blank line has arrived. One owner thread. */
#ifndef METER_USAGE_HIDE_H
#define METER_USAGE_HIDE_H

#include "base/attr.h"
#include "base/buf.h"

struct usage_hide;

struct usage_hide *usage_hide_new(void) MUST_USE;
void usage_hide_free(struct usage_hide *);
/* Appends to `out` what the client shall see of p[0..n). BUR_OK, BUR_NOMEM, BUR_TOOBIG (out is full; nothing was
 * taken). An event over 1 MiB is passed through as it is from there on. */
int usage_hide_feed(struct usage_hide *, const char *p, size_t n, struct buf *out) NONNULL(1, 4) MUST_USE;
/* End of body: what is still held back is passed on. */
int usage_hide_finish(struct usage_hide *, struct buf *out) NONNULL(1, 2) MUST_USE;

#endif
