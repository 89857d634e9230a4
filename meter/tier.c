#include "meter/tier.h"

#include <string.h>

/* Stored in the ledger: append only, never reorder. */
static const char *const tiers[16] = {"",      "default", "standard", "flex",           "priority",          "batch",
				      "scale", "fast",    "auto",     "ON_DEMAND_FLEX", "ON_DEMAND_PRIORITY"};

#define FAST 0x10
#define GEO_US 0x20

uint8_t tier_pack(const struct usage *u)
{
	uint8_t packed = 0;

	for (uint8_t i = 0; i < ARRAY_LEN(tiers) && tiers[i]; i++)
		if (strcmp(u->service_tier, tiers[i]) == 0)
			packed = i;
	if (strcmp(u->speed, "fast") == 0)
		packed |= FAST;
	if (strcmp(u->inference_geo, "us") == 0)
		packed |= GEO_US;
	return packed;
}

void tier_unpack(uint8_t packed, struct usage *u)
{
	const char *name = tiers[packed & 0x0f];

	(void)slice_to_cstr(slice_of(name ? name : ""), u->service_tier, sizeof(u->service_tier));
	(void)slice_to_cstr(packed & FAST ? SLICE("fast") : SLICE(""), u->speed, sizeof(u->speed));
	(void)slice_to_cstr(packed & GEO_US ? SLICE("us") : SLICE(""), u->inference_geo, sizeof(u->inference_geo));
}
