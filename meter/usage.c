#include "meter/usage.h"

void usage_quantities(const struct usage *u, struct quantities *ret)
{
	/* what is neither an hour's nor unknown lives five minutes; a vendor that names only the hour's named all */
	uint64_t written_5m =
	    u->cache_write_tokens > u->cache_write_1h_tokens ? u->cache_write_tokens - u->cache_write_1h_tokens : 0;

	*ret = (struct quantities){{
	    [PRICE_IN] = u->input_tokens,
	    [PRICE_OUT] = u->output_tokens,
	    [PRICE_CR] = u->cached_input_tokens,
	    [PRICE_CW] = u->cache_write_tokens,
	    [PRICE_CW5M] = written_5m,
	    [PRICE_CW1H] = u->cache_write_1h_tokens,
	    [PRICE_IN_AUDIO] = u->audio_input_tokens,
	    [PRICE_IN_IMAGE] = u->image_input_tokens,
	    [PRICE_CR_AUDIO] = u->cached_audio_tokens,
	    [PRICE_OUT_AUDIO] = u->audio_output_tokens,
	    [PRICE_OUT_IMAGE] = u->image_output_tokens,
	    [PRICE_OUT_REASONING] = u->reasoning_tokens,
	    [PRICE_OUT_CITATION] = u->citation_tokens,
	    [PRICE_CHARS] = u->input_characters,
	    [PRICE_AUDIO_MS] = u->audio_ms,
	    [PRICE_REQ] = u->requests,
	    [PRICE_WEB] = u->web_searches,
	    [PRICE_FILE] = u->file_searches,
	    [PRICE_CODE] = u->code_sessions,
	    [PRICE_RERANK] = u->search_units,
	    [PRICE_PAGES] = u->pages,
	    [PRICE_PAGES_ANNOTATED] = u->pages_annotated,
	    [PRICE_IMAGES] = u->images,
	}};
}

/* Words that bring a price of their own; all others (default, standard, auto, scale, reserved, ON_DEMAND,
 * PROVISIONED_THROUGHPUT, …) are billed at the standard price, or by a contract that no book knows. Vertex's
 * ON_DEMAND_OFFPEAK is cheaper by an unpublished share: standard is the safe side. */
static const struct {
	const char *word;
	enum price_service service;
} services[] = {
    {"flex", SERVICE_FLEX},
    {"on_demand_flex", SERVICE_FLEX}, /* Gemini's trafficType */
    {"priority", SERVICE_PRIORITY},
    {"fast", SERVICE_PRIORITY}, /* OpenAI's other word for it */
    {"on_demand_priority", SERVICE_PRIORITY},
    {"batch", SERVICE_BATCH},
};

static enum price_service service_of(const char *tier)
{
	for (size_t i = 0; i < ARRAY_LEN(services); i++)
		if (slice_ieq(slice_of(tier), slice_of(services[i].word)))
			return services[i].service;
	return SERVICE_STANDARD;
}

void usage_terms(const struct usage *u, int64_t at_s, bool residency, struct price_terms *ret)
{
	*ret = (struct price_terms){.at_s = at_s,
				    .service = service_of(u->service_tier),
				    .call_input = u->call_input_tokens,
				    .fast = slice_ieq(slice_of(u->speed), SLICE("fast")),
				    .us = slice_ieq(slice_of(u->inference_geo), SLICE("us")),
				    .residency = residency};
}
