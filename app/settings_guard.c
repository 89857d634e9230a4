/* What watches the calls beside the budgets: the upstreams' breakers, and programs that have lost their way. */
#include "app/settings_file.h"
#include "base/error.h"

#define AT(field) .offset = offsetof(struct file_guard, field)
#define S_NS INT64_C(1000000000)
#define COUNT_MAX 1000000

static const struct option breakers_rows[] = {
    {.name = "upstream",
     .type = OPT_BOOL,
     AT(upstream),
     .fallback = "on",
     .sentence =
	 "a vendor's host that fails (5 times in a row, or half of 20 calls in 30 s) is left alone for a while: "
	 "503 with Retry-After; off: every call is tried"},
};
const struct option_table settings_breakers_table = {.name = "breakers",
						     .record_bytes = sizeof(struct file_guard),
						     .rows = breakers_rows,
						     .n_rows = ARRAY_LEN(breakers_rows),
						     .node_offset = SIZE_MAX};

static const struct option runaway_rows[] = {
    {.name = "do",
     .type = OPT_ENUM,
     AT(action),
     .fallback = "off",
     .choices = "off|alert|quarantine",
     .sentence = "what is done about one: off, alert (told only), quarantine (told, and that key or user is refused)"},
    {.name = "repeat",
     .type = OPT_INT,
     AT(repeat),
     .fallback = "50",
     .min = 0,
     .max = COUNT_MAX,
     .sentence = "the same call sent again after its answer, so often within repeat_window; 0: not watched for"},
    {.name = "repeat_window",
     .type = OPT_DURATION,
     AT(repeat_window_ns),
     .fallback = "5m",
     .min = S_NS,
     .max = 86400 * S_NS,
     .sentence = "the time for that"},
    {.name = "fanout",
     .type = OPT_INT,
     AT(fanout),
     .fallback = "128",
     .min = 0,
     .max = COUNT_MAX,
     .sentence = "calls in 10 s, after the number doubled six times in a row; 0: not watched for"},
    {.name = "cache_misses",
     .type = OPT_INT,
     AT(cache_misses),
     .fallback = "20",
     .min = 0,
     .max = COUNT_MAX,
     .sentence = "the same long prompt, not found in the vendor's cache so often in a row; 0: not watched for"},
    {.name = "minimum",
     .type = OPT_USD,
     AT(minimum_nanousd),
     .fallback = "0.10 USD",
     .min = 0,
     .max = COUNT_MAX * INT64_C(1000000000),
     .sentence = "repeats and misses that cost less together are let be"},
    {.name = "quarantine",
     .type = OPT_DURATION,
     AT(quarantine_ns),
     .fallback = "5m",
     .min = S_NS,
     .max = RUNAWAY_QUARANTINE_MAX_NS,
     .sentence = "how long the first one lasts; doubled each time it comes again, up to an hour"},
};
const struct option_table settings_runaway_table = {.name = "runaway",
						    .record_bytes = sizeof(struct file_guard),
						    .rows = runaway_rows,
						    .n_rows = ARRAY_LEN(runaway_rows),
						    .node_offset = SIZE_MAX};

int settings_check_guard(struct settings_ctx *ctx)
{
	const struct file_guard *f = &ctx->s->own->raw.guard;
	struct proxy_config *p = &ctx->s->proxy;

	p->upstream_breaker = f->upstream;
	p->runaway_action = (enum runaway_action)f->action;
	p->runaway = RUNAWAY_CONFIG_DEFAULT;
	p->runaway.repeat_max = (uint32_t)f->repeat;
	p->runaway.repeat_window_ns = f->repeat_window_ns;
	p->runaway.fanout_min = (uint32_t)f->fanout;
	p->runaway.miss_max = (uint32_t)f->cache_misses;
	p->runaway.min_nanousd = f->minimum_nanousd;
	p->runaway.quarantine_ns = f->quarantine_ns;
	return BUR_OK;
}
