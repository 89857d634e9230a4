/* digest.h - what was held back: looked at again when its hold may be over, then sent as it is, put into one digest, or
 * dropped because it is over. Control thread. */
#ifndef ALERTS_DIGEST_H
#define ALERTS_DIGEST_H

#include "alerts/batch.h"

/* Ends of what a digest told gather for so long: a thousand of them are one message. */
#define DIGEST_GATHER_NS (INT64_C(5) * 1000000000)
#define DIGEST_STEP 500 /* messages that are looked at in one transaction */
#define DIGEST_LINES 20

/* One step for each channel that has something due; BUR_OK, or what failed (core_forget was called). */
int digest_tick(struct alerts *) NONNULL(1) MUST_USE;
/* Drops what is held of an incident for a channel: in the batch, and in the store by the batch. */
int held_drop(struct batch *, int64_t incident, size_t channel, const char *reason) NONNULL(1, 4) MUST_USE;

#endif
