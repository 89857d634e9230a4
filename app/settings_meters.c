/* `meters:` as people write them to the rules that meter an API that is no LLM. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/settings_file.h"
#include "base/amount.h"
#include "base/error.h"
#include "proxy/route.h"

#define AT(field) .offset = offsetof(struct file_meter, field)

static const struct option meter_rows[] = {
    {.name = "name",
     .type = OPT_STRING,
     AT(name),
     .sentence = "what budgets and ledger call it: the `model` of its calls"},
    {.name = "provider",
     .type = OPT_STRING,
     AT(provider),
     .optional = true,
     .sentence = "an entry of providers; or give `host`"},
    {.name = "host",
     .type = OPT_STRING,
     AT(host),
     .optional = true,
     .sentence = "host of the API; it becomes a provider of that name, and is served under /HOST/ by the gateway"},
    {.name = "method", .type = OPT_STRING, AT(method), .optional = true, .sentence = "GET, POST, …; default any"},
    {.name = "path",
     .type = OPT_STRING,
     AT(path),
     .sentence = "path without query; `*` stands for one segment, `**` at the end for the rest"},
    {.name = "quantity",
     .type = OPT_STRING,
     AT(quantity),
     .fallback = "requests",
     .sentence = "what is counted: requests, request_bytes, answer_bytes, seconds, request:/json/pointer, "
		 "answer:/json/pointer, request_header:NAME, answer_header:NAME or query:NAME; at a pointer a number "
		 "counts as it is, a text by its characters, a list by its elements"},
    {.name = "price", .type = OPT_STRING, AT(price), .sentence = "price of `per` units, such as `0.005 USD`"},
    {.name = "per",
     .type = OPT_INT,
     AT(per),
     .fallback = "1",
     .min = 1,
     .max = 1000000000,
     .sentence = "for how many units the price is"},
    {.name = "minimum",
     .type = OPT_STRING,
     AT(minimum),
     .fallback = "0",
     .sentence = "a billed call counts at least this many units"},
    {.name = "maximum",
     .type = OPT_STRING,
     AT(maximum),
     .optional = true,
     .sentence = "most units a call can have: what a hard budget holds where the quantity is known only afterwards"},
    {.name = "step",
     .type = OPT_STRING,
     AT(step),
     .fallback = "0.001",
     .sentence = "quantities are rounded up to whole steps, such as 60 for started minutes"},
    {.name = "free_status",
     .type = OPT_STRINGS,
     AT(free_status),
     .optional = true,
     .max = GENERIC_STATUSES_MAX,
     .sentence = "answers that cost nothing, such as [404, 500-599]; default all but 200-299"},
};

const struct option_table settings_meter_table = {.name = "meter",
						  .record_bytes = sizeof(struct file_meter),
						  .rows = meter_rows,
						  .n_rows = ARRAY_LEN(meter_rows),
						  .node_offset = offsetof(struct file_meter, node)};

/* What is being checked. */
struct meter_ctx {
	struct settings_ctx *ctx;
	const struct file_meter *f;
};

static int bad(const struct meter_ctx *c, const char *key, const char *fmt, const char *text)
{
	char sentence[300];

	(void)snprintf(sentence, sizeof(sentence), "%s: expected %s, got", key, fmt);
	return config_fail(c->ctx->err, c->ctx->file_name, settings_at(c->f->node, key), "%s `%s`", sentence, text);
}

/* --- the fields --------------------------------------------------------------------------------------------------- */

static int read_milli(const struct meter_ctx *c, const char *key, const char *text, int64_t *ret)
{
	*ret = 0;
	if (!text || generic_milli(slice_of(text), ret) == BUR_OK)
		return BUR_OK;
	return bad(c, key, "a number of units such as `1` or `0.5`", text);
}

static int read_price(const struct meter_ctx *c, struct generic_meter *m)
{
	struct slice s = slice_trim(slice_of(c->f->price));

	if (slice_ends(s, SLICE(" USD")))
		s.n -= 4;
	else if (slice_starts(s, SLICE("$")))
		s = slice_sub(s, 1, s.n);
	else
		return bad(c, "price", "an amount such as `0.005 USD`", c->f->price);
	if (decimal_parse(slice_trim(s), 12, false, &m->rate_pusd) < 0 || m->rate_pusd < 0)
		return bad(c, "price", "an amount of at most 12 decimals such as `0.005 USD`", c->f->price);
	m->per = c->f->per;
	return BUR_OK;
}

static bool read_status(const char *text, struct generic_statuses *ret)
{
	struct slice from, to;
	uint64_t a, b;

	if (!slice_cut(slice_of(text), '-', &from, &to))
		to = from;
	if (slice_u64(from, &a) < 0 || slice_u64(to, &b) < 0 || a < 100 || b > 599 || a > b)
		return false;
	*ret = (struct generic_statuses){(uint16_t)a, (uint16_t)b};
	return true;
}

static int read_statuses(const struct meter_ctx *c, struct generic_meter *m)
{
	const struct string_list *list = &c->f->free_status;

	if (list->n == 0) {
		m->free[0] = (struct generic_statuses){100, 199};
		m->free[1] = (struct generic_statuses){300, 599};
		m->n_free = 2;
	}
	for (size_t i = 0; i < list->n; i++)
		if (!read_status(list->items[i], &m->free[m->n_free++]))
			return bad(c, "free_status", "statuses such as `404` or `500-599`", list->items[i]);
	return BUR_OK;
}

static int read_rule(const struct meter_ctx *c, struct generic_meter *m)
{
	const struct file_meter *f = c->f;
	int r;

	*m = (struct generic_meter){.name = f->name, .method = f->method, .path = f->path};
	if (f->name[0] == '\0' || strlen(f->name) > MODEL_NAME_MAX)
		return bad(c, "name", "a name of at most 191 bytes", f->name);
	if (!generic_path_valid(slice_of(f->path)))
		return bad(c, "path", "a path such as `/v1/*/search`, with `**` only at its end", f->path);
	if (f->method && strspn(f->method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != strlen(f->method))
		return bad(c, "method", "a method in capitals such as `POST`", f->method);
	if (generic_parse_source(slice_of(f->quantity), &m->source, m->at) < 0)
		return bad(c, "quantity",
			   "requests, request_bytes, answer_bytes, seconds, request:/pointer, answer:/pointer, "
			   "request_header:NAME, answer_header:NAME or query:NAME",
			   f->quantity);
	r = read_price(c, m);
	if (r == BUR_OK)
		r = read_milli(c, "minimum", f->minimum, &m->minimum_milli);
	if (r == BUR_OK)
		r = read_milli(c, "maximum", f->maximum, &m->maximum_milli);
	if (r == BUR_OK)
		r = read_milli(c, "step", f->step, &m->step_milli);
	if (r == BUR_OK && m->step_milli == 0)
		r = bad(c, "step", "a number above 0", f->step);
	return r == BUR_OK ? read_statuses(c, m) : r;
}

/* --- whose rules they are ----------------------------------------------------------------------------------------- */

static struct proxy_provider *named(struct settings *s, struct proxy_provider *list, const char *name)
{
	for (size_t i = 0; i < s->proxy.n_providers; i++)
		if (strcmp(list[i].name, name) == 0)
			return &list[i];
	return NULL;
}

static struct proxy_provider *of_host(struct settings *s, struct proxy_provider *list, const char *host)
{
	for (size_t i = 0; i < s->proxy.n_providers; i++)
		for (const char *const *h = list[i].hosts; h && *h; h++)
			if (route_host_matches(slice_of(*h), slice_of(host)))
				return &list[i];
	return NULL;
}

/* A host that no provider has becomes one. */
static int new_provider(const struct meter_ctx *c, struct proxy_provider *p)
{
	const char **hosts = arena_zalloc(&c->ctx->s->own->arena, 2 * sizeof(*hosts));
	struct authority a;

	if (!hosts)
		return BUR_NOMEM;
	if (authority_parse(slice_of(c->f->host), 443, &a) < 0 || strcmp(a.host, c->f->host) != 0)
		return bad(c, "host", "a host name in lower case such as `api.example.com`", c->f->host);
	hosts[0] = c->f->host;
	*p = (struct proxy_provider){.name = c->f->host,
				     .gateway_prefix = c->f->host,
				     .family = FAMILY_OTHER,
				     .hosts = hosts,
				     .price_id = c->f->host,
				     .tls = true,
				     .port = 443,
				     .base_path = "",
				     .block_status = 402};
	memcpy(p->host, a.host, sizeof(p->host));
	return BUR_OK;
}

static int find_provider(const struct meter_ctx *c, struct proxy_provider *list, struct proxy_provider **ret)
{
	struct settings *s = c->ctx->s;

	if (!c->f->provider == !c->f->host)
		return config_fail(c->ctx->err, c->ctx->file_name, c->f->node,
				   "a meter names its `provider` or its `host`, one of the two");
	*ret = c->f->provider ? named(s, list, c->f->provider) : of_host(s, list, c->f->host);
	if (*ret)
		return BUR_OK;
	if (c->f->provider)
		return bad(c, "provider", "the name of an entry of providers", c->f->provider);
	*ret = &list[s->proxy.n_providers++];
	return new_provider(c, *ret);
}

/* Appends the rule to those of its provider. */
static int add_rule(const struct meter_ctx *c, struct proxy_provider *p, const struct generic_meter *m)
{
	struct generic_meter *list = arena_alloc(&c->ctx->s->own->arena, (p->n_meters + 1) * sizeof(*list));

	if (!list)
		return BUR_NOMEM;
	if (p->n_meters > 0)
		memcpy(list, p->meters, p->n_meters * sizeof(*list));
	list[p->n_meters] = *m;
	p->meters = list;
	p->n_meters++;
	return BUR_OK;
}

int settings_check_meters(struct settings_ctx *ctx)
{
	const struct record_list *from = &ctx->s->own->raw.meters;
	const struct file_meter *f = from->items;
	struct proxy_config *pc = &ctx->s->proxy;
	struct proxy_provider *list, *p = NULL;
	int r = BUR_OK;

	if (from->n == 0)
		return BUR_OK;
	list = arena_alloc(&ctx->s->own->arena, (pc->n_providers + from->n) * sizeof(*list));
	if (!list)
		return BUR_NOMEM;
	memcpy(list, pc->providers, pc->n_providers * sizeof(*list));
	for (size_t i = 0; i < from->n && r == BUR_OK; i++) {
		struct meter_ctx c = {ctx, &f[i]};
		struct generic_meter m;

		r = read_rule(&c, &m);
		if (r == BUR_OK)
			r = find_provider(&c, list, &p);
		if (r == BUR_OK)
			r = add_rule(&c, p, &m);
	}
	pc->providers = list;
	return r;
}
