/* eventstream.h - AWS event stream framing: prelude, headers and payload, each with its CRC-32. Pure. */
#ifndef VENDOR_EVENTSTREAM_H
#define VENDOR_EVENTSTREAM_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/slice.h"

/* Appends one message `:message-type` event with a JSON payload. */
int eventstream_event(struct buf *out, const char *type, struct slice payload) NONNULL(1, 2) MUST_USE;

#endif
