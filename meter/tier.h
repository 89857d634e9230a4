/* tier.h - service tier, speed and region of a call in one byte, so that a ledger row can be priced again. Pure. */
#ifndef METER_TIER_H
#define METER_TIER_H

#include <stdint.h>

#include "base/attr.h"
#include "meter/usage.h"

#define TIER_RESIDENCY 0x40 /* served by a regional host with a surcharge; the caller sets and reads it */

/* What the price of this usage depends on beside its counts. */
uint8_t tier_pack(const struct usage *) NONNULL(1);
/* Puts it back into service_tier, speed and inference_geo. */
void tier_unpack(uint8_t packed, struct usage *) NONNULL(2);

#endif
