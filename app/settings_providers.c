/* `providers:` as people write them: the table, and the shipped providers with the file's changes. */
#include <stdio.h>
#include <string.h>

#include "app/settings_file.h"
#include "base/error.h"
#include "proxy/route.h"

#define AT(field) .offset = offsetof(struct file_provider, field)
#define HEADER_NAME_MAX 64
#define FAMILIES "openai, azure, anthropic, google, bedrock, cohere, mistral, openrouter, ollama or other"

/* --- the table ---------------------------------------------------------------------------------------------------- */

static const struct option provider_rows[] = {
    {.name = "base_url",
     .type = OPT_STRING,
     AT(base_url),
     .optional = true,
     .sentence = "where gateway calls go: https://host[:port][/path]; needed for providers that are not built in"},
    {.name = "api_key",
     .type = OPT_STRING,
     AT(api_key),
     .optional = true,
     .secret = true,
     .sentence = "the vendor's key that bursar holds, as ${ENV} or ${file:PATH}; without it clients bring their own"},
    {.name = "hosts",
     .type = OPT_STRINGS,
     AT(hosts),
     .optional = true,
     .max = 32,
     .sentence = "host patterns the forward proxy meters for this provider, such as api.openai.com or *.example.com"},
    {.name = "prefix",
     .type = OPT_STRING,
     AT(prefix),
     .optional = true,
     .sentence = "first path segment of gateway calls; default is the provider's name, gemini for google"},
    {.name = "family",
     .type = OPT_STRING,
     AT(family),
     .optional = true,
     .sentence = "whose API it speaks: " FAMILIES " (no LLM: see meters); default openai"},
    {.name = "ca_file",
     .type = OPT_STRING,
     AT(ca_file),
     .optional = true,
     .sentence = "PEM file with roots to trust for this provider, beside the system's"},
    {.name = "block_status",
     .type = OPT_INT,
     AT(block_status),
     .fallback = "402",
     .min = 402,
     .max = 429,
     .sentence = "status of the answer when a budget is spent: 402, 403 or 429"},
    {.name = "price_as",
     .type = OPT_STRING,
     AT(price_as),
     .optional = true,
     .sentence =
	 "provider of the price book whose prices hold, such as openai or x-ai; default is the vendor behind the "
	 "host, else the provider's own name"},
    {.name = "models",
     .type = OPT_PAIRS,
     AT(models),
     .optional = true,
     .max = 1000,
     .sentence = "names as callers write them (Azure deployments, inference profiles, endpoints, own names) and the "
		 "model each is priced as"},
    {.name = "price",
     .type = OPT_ENUM,
     AT(price),
     .fallback = "book",
     .choices = "book|free",
     .sentence = "free: calls cost nothing; for the operator's own machines (private addresses, ollama, vllm)"},
    {.name = "ask_usage",
     .type = OPT_ENUM,
     AT(ask_usage),
     .fallback = "auto",
     .choices = "auto|never",
     .sentence = "auto: a stream that does not ask for its usage is made to, where the vendor needs that"},
    {.name = "on_client_abort",
     .type = OPT_ENUM,
     AT(on_client_abort),
     .fallback = "drain",
     .choices = "drain|cancel",
     .sentence =
	 "when a client leaves a running answer: read on to learn its bill, or hang up and charge what was seen"},
    {.name = "full_bill_on_abort",
     .type = OPT_ENUM,
     AT(full_bill_on_abort),
     .fallback = "auto",
     .choices = "auto|no|yes",
     .sentence = "the vendor generates and bills an abandoned answer to its end; auto: yes for Bedrock"},
    {.name = "bills_errors",
     .type = OPT_BOOL,
     AT(bills_errors),
     .fallback = "false",
     .sentence = "error answers (4xx, 5xx) may be billed: they are charged their hold instead of nothing"},
    {.name = "bills_once_by",
     .type = OPT_STRING,
     AT(bills_once_by),
     .optional = true,
     .sentence = "request header of which the vendor bills every value once, such as idempotency-key: a repeat then "
		 "shares the first call's hold"},
};

const struct option_table settings_provider_table = {.name = "provider",
						     .record_bytes = sizeof(struct file_provider),
						     .rows = provider_rows,
						     .n_rows = ARRAY_LEN(provider_rows),
						     .node_offset = offsetof(struct file_provider, node)};

/* --- what one entry says ------------------------------------------------------------------------------------------ */

/* "https://host[:port][/path]" */
static int check_base_url(struct settings_ctx *ctx, const struct node *at, const char *text, struct proxy_provider *p)
{
	struct slice rest = slice_of(text), authority, path;
	struct authority a;

	if (slice_starts(rest, SLICE("https://")))
		p->tls = true;
	else if (slice_starts(rest, SLICE("http://")))
		p->tls = false;
	else
		goto bad;
	rest = slice_sub(rest, p->tls ? 8 : 7, rest.n);
	authority = slice_sub(rest, 0, slice_find(rest, '/'));
	path = slice_sub(rest, authority.n, rest.n);
	for (size_t i = 0; i < path.n; i++)
		if (path.p[i] <= ' ' || path.p[i] >= 127 || strchr("?#\\\"<>", path.p[i]))
			goto bad;
	while (slice_ends(path, SLICE("/")))
		path.n--;
	if (authority_parse(authority, p->tls ? 443 : 80, &a) < 0)
		goto bad;
	memcpy(p->host, a.host, sizeof(p->host));
	p->port = a.port;
	p->base_path = arena_dup(&ctx->s->own->arena, path).p;
	return p->base_path ? BUR_OK : BUR_NOMEM;
bad:
	return config_fail(ctx->err, ctx->file_name, at,
			   "base_url: expected a URL such as `https://api.example.com/v1`, got `%s`", text);
}

static bool name_ok(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_");

	return n > 0 && n <= 32 && name[n] == '\0';
}

static bool is_host_of(const char *const *hosts, const char *host)
{
	for (; hosts && *hosts; hosts++)
		if (route_host_matches(slice_of(*hosts), slice_of(host)))
			return true;
	return false;
}

/* The file's patterns in place of the shipped ones; without any, the origin's host beside them. */
static int apply_hosts(struct settings_ctx *ctx, const struct file_provider *f, struct proxy_provider *p)
{
	const char *const *from = f->hosts.n > 0 ? f->hosts.items : p->hosts;
	size_t n = f->hosts.n, k = 0;
	const char **hosts;
	int r;

	if (f->hosts.n == 0 && p->hosts && (!f->base_url || is_host_of(p->hosts, p->host)))
		return BUR_OK;
	r = settings_check_patterns(ctx, settings_at(f->node, "hosts"), f->hosts.items, f->hosts.n);
	if (r < 0)
		return r;
	while (f->hosts.n == 0 && from && from[n])
		n++;
	hosts = arena_zalloc(&ctx->s->own->arena, (n + 2) * sizeof(*hosts));
	if (!hosts)
		return BUR_NOMEM;
	for (; k < n; k++)
		hosts[k] = from[k];
	if (f->hosts.n == 0 && !(hosts[k++] = arena_dup(&ctx->s->own->arena, slice_of(p->host)).p))
		return BUR_NOMEM;
	p->hosts = hosts;
	return BUR_OK;
}

static void set_traits(struct proxy_provider *p, unsigned traits)
{
	p->ask_usage = !(traits & PROVIDER_SENDS_USAGE);
	p->full_bill_on_abort = (traits & PROVIDER_FULL_BILL) != 0;
	p->tells_cost = (traits & PROVIDER_TELLS_COST) != 0;
}

static int apply_family(struct settings_ctx *ctx, const struct file_provider *f, struct proxy_provider *p)
{
	enum api_family family;

	if (!f->family)
		return BUR_OK;
	family = api_family_from_name(slice_of(f->family));
	if (family == FAMILY_OTHER && !slice_ieq(slice_of(f->family), SLICE("other")))
		return config_fail(ctx->err, ctx->file_name, settings_at(f->node, "family"),
				   "family: expected " FAMILIES ", got `%s`", f->family);
	if (p->family != family)
		set_traits(p, api_family_traits(family));
	p->family = family;
	return BUR_OK;
}

static int apply_key(struct settings_ctx *ctx, const struct file_provider *f, struct proxy_provider *p)
{
	const struct node *at = settings_at(f->node, "api_key");

	if (!f->api_key)
		return BUR_OK;
	if (!at->secret)
		return config_fail(ctx->err, ctx->file_name, at,
				   "api_key: a key must not stand in the file; write ${ENV_NAME} or ${file:/path}");
	for (const char *c = f->api_key; *c; c++)
		if (*c <= ' ' || *c >= 127)
			return config_fail(ctx->err, ctx->file_name, at,
					   "api_key: has a space or control character; is the variable or file right?");
	if (f->api_key[0] != '\0')
		p->api_key = f->api_key;
	return BUR_OK;
}

static int apply_models(struct settings_ctx *ctx, const struct file_provider *f, struct proxy_provider *p)
{
	struct model_alias *list = arena_zalloc(&ctx->s->own->arena, (f->models.n + 1) * sizeof(*list));

	if (!list)
		return BUR_NOMEM;
	for (size_t i = 0; i < f->models.n; i++) {
		const struct pair *m = &f->models.items[i];
		size_t n = strlen(m->value);

		if (n == 0 || n > MODEL_NAME_MAX || strlen(m->key) > MODEL_NAME_MAX)
			return config_fail(
			    ctx->err, ctx->file_name, settings_at(f->node, "models"),
			    "models: expected names of at most %d letters such as `prod-gpt: gpt-5`, got "
			    "`%.40s: %.40s`",
			    MODEL_NAME_MAX, m->key, m->value);
		list[i] = (struct model_alias){m->key, m->value};
	}
	p->models = list;
	p->n_models = f->models.n;
	return BUR_OK;
}

/* The shipped provider whose hosts have this one. */
static const struct provider *vendor_of(const char *host)
{
	size_t n;
	const struct provider *list = providers_builtin(&n);

	for (size_t i = 0; i < n && host[0] != '\0'; i++)
		if (is_host_of(list[i].hosts, host))
			return &list[i];
	return NULL;
}

/* An address or name that is nobody's on the internet. */
static bool is_private(const char *host)
{
	static const char *const endings[] = {".local", ".internal", ".localhost", ".lan", ".home.arpa"};
	struct addr a;

	if (addr_from_ip(host, 0, &a) == BUR_OK)
		return addr_classify(&a.sa) != ADDR_GLOBAL;
	for (size_t i = 0; i < ARRAY_LEN(endings); i++)
		if (slice_ends(slice_of(host), slice_of(endings[i])))
			return true;
	return host[0] != '\0' && !strchr(host, '.');
}

static bool may_be_free(const struct proxy_provider *p)
{
	const struct provider *b = provider_builtin(slice_of(p->name));

	if (is_private(p->host))
		return true;
	return !vendor_of(p->host) && (p->family == FAMILY_OLLAMA || (b && (b->traits & PROVIDER_LOCAL)));
}

static int apply_money(struct settings_ctx *ctx, const struct file_provider *f, struct proxy_provider *p)
{
	if (f->price_as && !name_ok(f->price_as))
		return config_fail(ctx->err, ctx->file_name, settings_at(f->node, "price_as"),
				   "price_as: expected a provider of the price book such as `openai`, got `%s`",
				   f->price_as);
	if (f->price_as)
		p->price_id = f->price_as;
	p->price_free = f->price == 1;
	if (p->price_free && !may_be_free(p))
		return config_fail(
		    ctx->err, ctx->file_name, settings_at(f->node, "price"),
		    "price: free is for your own machines only (a private address, ollama or vllm), not for "
		    "`%s`",
		    p->host[0] ? p->host : p->name);
	if (f->ask_usage == 1)
		p->ask_usage = false;
	if (f->full_bill_on_abort != 0)
		p->full_bill_on_abort = f->full_bill_on_abort == 2;
	p->on_client_abort = (enum on_client_abort)f->on_client_abort;
	p->bills_errors = f->bills_errors;
	return apply_models(ctx, f, p);
}

/* A header's name, as they are compared: in lower case. */
static int apply_once(struct settings_ctx *ctx, const struct file_provider *f, struct proxy_provider *p)
{
	static const char token[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t n = f->bills_once_by ? strlen(f->bills_once_by) : 0;
	char name[HEADER_NAME_MAX + 1];

	if (!f->bills_once_by)
		return BUR_OK;
	for (size_t i = 0; i < n && n <= HEADER_NAME_MAX; i++) {
		char c = f->bills_once_by[i];

		name[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	name[n <= HEADER_NAME_MAX ? n : 0] = '\0';
	if (n == 0 || n > HEADER_NAME_MAX || strspn(name, token) != n)
		return config_fail(ctx->err, ctx->file_name, settings_at(f->node, "bills_once_by"),
				   "bills_once_by: expected the name of a request header such as `idempotency-key`, "
				   "got `%.80s`",
				   f->bills_once_by);
	p->bills_once_by = arena_dup(&ctx->s->own->arena, slice_of(name)).p;
	return p->bills_once_by ? BUR_OK : BUR_NOMEM;
}

static int apply_provider(struct settings_ctx *ctx, const struct file_provider *f, struct proxy_provider *p)
{
	int r = BUR_OK;

	if (f->base_url)
		r = check_base_url(ctx, settings_at(f->node, "base_url"), f->base_url, p);
	if (r == BUR_OK)
		r = apply_hosts(ctx, f, p);
	if (r == BUR_OK)
		r = apply_family(ctx, f, p);
	if (r == BUR_OK)
		r = apply_key(ctx, f, p);
	if (r == BUR_OK)
		r = apply_money(ctx, f, p);
	if (r == BUR_OK)
		r = apply_once(ctx, f, p);
	if (r < 0)
		return r;
	if (f->prefix) {
		if (!name_ok(f->prefix))
			return config_fail(ctx->err, ctx->file_name, settings_at(f->node, "prefix"),
					   "prefix: expected one lower-case path segment such as `openai`, got `%s`",
					   f->prefix);
		p->gateway_prefix = f->prefix;
	}
	if (f->ca_file)
		p->extra_ca_file = f->ca_file;
	if (f->block_status != 402 && f->block_status != 403 && f->block_status != 429)
		return config_fail(ctx->err, ctx->file_name, settings_at(f->node, "block_status"),
				   "block_status: expected 402, 403 or 429");
	p->block_status = (int)f->block_status;
	return BUR_OK;
}

static int add_builtin(struct settings_ctx *ctx, const struct provider *b, struct proxy_provider *p)
{
	*p = (struct proxy_provider){.name = b->name,
				     .family = b->family,
				     .gateway_prefix = b->gateway_prefix,
				     .hosts = b->hosts,
				     .base_path = "",
				     .block_status = 402,
				     .price_id = b->price_id};
	set_traits(p, b->traits);
	return b->default_origin ? check_base_url(ctx, ctx->s->own->raw.root, b->default_origin, p) : BUR_OK;
}

static struct proxy_provider *provider_find(struct proxy_provider *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i].name, name) == 0)
			return &list[i];
	return NULL;
}

/* A provider that is not built in: the vendor behind its host tells whose prices hold, else the family, where only one
 * vendor speaks it. */
static int add_new(struct settings_ctx *ctx, const struct file_provider *f, struct proxy_provider *p)
{
	const struct provider *vendor;
	int r;

	if (!name_ok(f->name))
		return config_fail(ctx->err, ctx->file_name, f->node,
				   "providers: a name has a-z, 0-9, - and _ only, got `%s`", f->name);
	if (!f->base_url)
		return config_fail(ctx->err, ctx->file_name, f->node,
				   "providers.%s: base_url is needed for a provider that is not built in", f->name);
	*p = (struct proxy_provider){
	    .name = f->name, .gateway_prefix = f->name, .family = FAMILY_OPENAI, .price_id = f->name};
	set_traits(p, 0);
	r = check_base_url(ctx, settings_at(f->node, "base_url"), f->base_url, p);
	vendor = r == BUR_OK ? vendor_of(p->host) : NULL;
	if (vendor) {
		p->family = vendor->family;
		p->price_id = vendor->price_id;
		set_traits(p, vendor->traits);
	} else if (f->family) {
		enum api_family family = api_family_from_name(slice_of(f->family));

		if (family == FAMILY_AZURE || family == FAMILY_AWS)
			p->price_id = family == FAMILY_AZURE ? "azure" : "aws";
	}
	return r;
}

static int add_from_file(struct settings_ctx *ctx, const struct file_provider *f, struct proxy_provider *list,
			 size_t *inout_n)
{
	struct proxy_provider *p = provider_find(list, *inout_n, f->name);
	int r = BUR_OK;

	if (!p) {
		p = &list[(*inout_n)++];
		r = add_new(ctx, f, p);
	}
	return r < 0 ? r : apply_provider(ctx, f, p);
}

static const struct node *provider_node(struct settings_ctx *ctx, const char *name)
{
	return settings_at(settings_at(ctx->s->own->raw.root, "providers"), name);
}

static int check_prefixes(struct settings_ctx *ctx, const struct proxy_provider *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = i + 1; k < n; k++)
			if (strcmp(list[i].gateway_prefix, list[k].gateway_prefix) == 0)
				return config_fail(
				    ctx->err, ctx->file_name, settings_at(provider_node(ctx, list[k].name), "prefix"),
				    "prefix: `%s` is taken by provider %s", list[k].gateway_prefix, list[i].name);
	return BUR_OK;
}

int settings_check_providers(struct settings_ctx *ctx)
{
	const struct record_list *from = &ctx->s->own->raw.providers;
	const struct file_provider *f = from->items;
	const struct provider *builtin;
	struct proxy_provider *list;
	size_t n_builtin, n = 0;
	int r = BUR_OK;

	builtin = providers_builtin(&n_builtin);
	list = arena_zalloc(&ctx->s->own->arena, (n_builtin + from->n) * sizeof(*list));
	if (!list)
		return BUR_NOMEM;
	for (; n < n_builtin && r == BUR_OK; n++)
		r = add_builtin(ctx, &builtin[n], &list[n]);
	for (size_t i = 0; i < from->n && r == BUR_OK; i++)
		r = add_from_file(ctx, &f[i], list, &n);
	if (r == BUR_OK)
		r = check_prefixes(ctx, list, n);
	ctx->s->proxy.providers = list;
	ctx->s->proxy.n_providers = n;
	return r;
}
