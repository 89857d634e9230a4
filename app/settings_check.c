/* What the file says, checked against itself and turned into what the rooms take: listeners, providers, hosts, network.
 * Budgets have a file of their own. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/settings_file.h"
#include "base/error.h"

#define WORKERS_MAX 64

const struct node *settings_at(const struct node *map, const char *key)
{
	const struct node *n = map && map->kind == NODE_MAP ? node_get(map, key) : NULL;

	return n ? n : map;
}

static struct settings_file *raw_of(struct settings_ctx *ctx)
{
	return &ctx->s->own->raw;
}

static struct arena *arena_of(struct settings_ctx *ctx)
{
	return &ctx->s->own->arena;
}

/* The place of a nested key for a message: root -> a -> b, as deep as it is there. */
static const struct node *root_at(struct settings_ctx *ctx, const char *a, const char *b)
{
	const struct node *n = settings_at(raw_of(ctx)->root, a);

	return b ? settings_at(n, b) : n;
}

/* --- listeners ---------------------------------------------------------------------------------------------------- */

static bool listen_text_ok(const char *text)
{
	struct authority a;
	struct addr addr;
	struct slice s = slice_of(text), port;

	if (s.n > 1 && s.p[0] == ':') {
		uint64_t n;

		port = slice_sub(s, 1, s.n);
		return slice_u64(port, &n) == BUR_OK && n <= 65535;
	}
	if (slice_ends(s, SLICE(":0"))) /* a free port: authority_parse knows real ports only */
		return authority_parse(slice_sub(s, 0, s.n - 2), 1, &a) == BUR_OK &&
		       addr_from_ip(a.host, 0, &addr) == BUR_OK;
	return authority_parse(s, 0, &a) == BUR_OK && addr_from_ip(a.host, a.port, &addr) == BUR_OK;
}

static int check_listeners(struct settings_ctx *ctx)
{
	struct settings_file *raw = raw_of(ctx);
	struct proxy_config *p = &ctx->s->proxy;

	for (size_t i = 0; i < raw->listen.n; i++)
		if (!listen_text_ok(raw->listen.items[i]))
			return config_fail(ctx->err, ctx->file_name, root_at(ctx, "listen", NULL),
					   "listen: expected ip:port such as `127.0.0.1:8080`, got `%s`",
					   raw->listen.items[i]);
	if (!listen_text_ok(raw->admin_listen))
		return config_fail(ctx->err, ctx->file_name, root_at(ctx, "admin", "listen"),
				   "admin.listen: expected ip:port such as `127.0.0.1:8050`, got `%s`",
				   raw->admin_listen);
	if (!raw->tls_cert != !raw->tls_key)
		return config_fail(ctx->err, ctx->file_name, root_at(ctx, "tls", NULL),
				   "tls: needs both cert and key, or neither");
	p->listen = raw->listen.items;
	p->n_listen = raw->listen.n;
	p->tls_cert_file = raw->tls_cert;
	p->tls_key_file = raw->tls_key;
	ctx->s->admin_listen = raw->admin_listen;
	ctx->s->admin_hosts = raw->admin_hosts.items;
	ctx->s->n_admin_hosts = raw->admin_hosts.n;
	return BUR_OK;
}

/* --- hosts and providers ------------------------------------------------------------------------------------------ */

/* "api.example.com", "*.example.com", "*", or an address. */
static bool host_pattern_ok(const char *pattern)
{
	struct slice s = slice_of(pattern);
	struct authority a;

	if (slice_eq(s, SLICE("*")))
		return true;
	if (slice_starts(s, SLICE("*.")))
		s = slice_sub(s, 2, s.n);
	if (slice_find(s, ':') != s.n && slice_find(s, '[') == s.n)
		return false; /* a port has no place here */
	/* an exact pattern must be what authorities are normalised to, or it would never match */
	return authority_parse(s, 443, &a) == BUR_OK && slice_eq(slice_of(a.host), s);
}

static int check_patterns(struct settings_ctx *ctx, const struct node *at, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!host_pattern_ok(list[i]))
			return config_fail(ctx->err, ctx->file_name, at,
					   "expected a host pattern in lower case such as `api.example.com` or "
					   "`*.example.com`, got `%s`",
					   list[i]);
	return BUR_OK;
}

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
	p->base_path = arena_dup(arena_of(ctx), path).p;
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

static int apply_hosts(struct settings_ctx *ctx, const struct file_provider *f, struct proxy_provider *p)
{
	const char **hosts;
	int r;

	if (f->hosts.n == 0 && p->hosts)
		return BUR_OK;
	r = check_patterns(ctx, settings_at(f->node, "hosts"), f->hosts.items, f->hosts.n);
	if (r < 0)
		return r;
	/* a provider without hosts is reached by its own name only */
	hosts = arena_zalloc(arena_of(ctx), (f->hosts.n + 2) * sizeof(*hosts));
	if (!hosts)
		return BUR_NOMEM;
	for (size_t i = 0; i < f->hosts.n; i++)
		hosts[i] = f->hosts.items[i];
	if (f->hosts.n == 0)
		hosts[0] = arena_dup(arena_of(ctx), slice_of(p->host)).p;
	p->hosts = hosts;
	return f->hosts.n > 0 || hosts[0] ? BUR_OK : BUR_NOMEM;
}

static int apply_family(struct settings_ctx *ctx, const struct file_provider *f, struct proxy_provider *p)
{
	enum api_family family;

	if (!f->family)
		return BUR_OK;
	family = api_family_from_name(slice_of(f->family));
	if (family == FAMILY_OTHER)
		return config_fail(ctx->err, ctx->file_name, settings_at(f->node, "family"),
				   "family: expected openai, anthropic or google, got `%s`", f->family);
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

static void set_traits(struct proxy_provider *p, unsigned traits)
{
	p->ask_usage = !(traits & PROVIDER_SENDS_USAGE);
	p->full_bill_on_abort = (traits & PROVIDER_FULL_BILL) != 0;
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
	return b->default_origin ? check_base_url(ctx, raw_of(ctx)->root, b->default_origin, p) : BUR_OK;
}

static struct proxy_provider *provider_find(struct proxy_provider *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i].name, name) == 0)
			return &list[i];
	return NULL;
}

static int add_from_file(struct settings_ctx *ctx, const struct file_provider *f, struct proxy_provider *list,
			 size_t *inout_n)
{
	struct proxy_provider *p = provider_find(list, *inout_n, f->name);

	if (!p) {
		if (!name_ok(f->name))
			return config_fail(ctx->err, ctx->file_name, f->node,
					   "providers: a name has a-z, 0-9, - and _ only, got `%s`", f->name);
		if (!f->base_url)
			return config_fail(ctx->err, ctx->file_name, f->node,
					   "providers.%s: base_url is needed for a provider that is not built in",
					   f->name);
		p = &list[(*inout_n)++];
		*p = (struct proxy_provider){
		    .name = f->name, .gateway_prefix = f->name, .family = FAMILY_OPENAI, .price_id = f->name};
		set_traits(p, 0);
	}
	return apply_provider(ctx, f, p);
}

static int check_prefixes(struct settings_ctx *ctx, const struct proxy_provider *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = i + 1; k < n; k++)
			if (strcmp(list[i].gateway_prefix, list[k].gateway_prefix) == 0)
				return config_fail(ctx->err, ctx->file_name,
						   settings_at(root_at(ctx, "providers", list[k].name), "prefix"),
						   "prefix: `%s` is taken by provider %s", list[k].gateway_prefix,
						   list[i].name);
	return BUR_OK;
}

static int check_providers(struct settings_ctx *ctx)
{
	const struct record_list *from = &raw_of(ctx)->providers;
	const struct file_provider *f = from->items;
	const struct provider *builtin;
	struct proxy_provider *list;
	size_t n_builtin, n = 0;
	int r = BUR_OK;

	builtin = providers_builtin(&n_builtin);
	list = arena_zalloc(arena_of(ctx), (n_builtin + from->n) * sizeof(*list));
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

static bool host_is_priced(const struct proxy_config *p, const char *pattern)
{
	for (size_t i = 0; i < p->n_providers; i++)
		for (const char *const *h = p->providers[i].hosts; *h; h++)
			if (host_matches(slice_of(*h), slice_of(pattern)) || strcmp(*h, pattern) == 0)
				return true;
	return false;
}

static int check_rules(struct settings_ctx *ctx)
{
	const struct file_rule *f = raw_of(ctx)->rules.items;
	size_t n = raw_of(ctx)->rules.n;
	struct host_rule *rules = arena_zalloc(arena_of(ctx), (n + 1) * sizeof(*rules));
	int r;

	if (!rules)
		return BUR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		r = check_patterns(ctx, settings_at(f[i].node, "host"), &f[i].host, 1);
		if (r < 0)
			return r;
		rules[i] = (struct host_rule){f[i].host, (enum host_verb)f[i].verb, f[i].allow_priced};
		if (rules[i].verb == VERB_TUNNEL && !rules[i].allow_priced &&
		    host_is_priced(&ctx->s->proxy, rules[i].pattern))
			return config_fail(ctx->err, ctx->file_name, settings_at(f[i].node, "do"),
					   "%s belongs to a provider: a tunnel to it is not metered; say "
					   "`allow_priced: true` if that is what you want",
					   f[i].host);
	}
	ctx->s->proxy.rules = rules;
	ctx->s->proxy.n_rules = n;
	ctx->s->proxy.other_hosts = raw_of(ctx)->other_hosts ? VERB_TUNNEL : VERB_DENY;
	return BUR_OK;
}

/* A pattern with '*' inside a label recognises hosts; a certificate authority could only be held to a whole domain by
 * it, and that would be too much. */
static bool is_for_ca(const char *pattern)
{
	return strcmp(pattern, "*") == 0 || !strchr(pattern + (pattern[0] == '*' && pattern[1] == '.'), '*');
}

/* Every name the certificate authority may have to sign. */
static int collect_ca_hosts(struct settings_ctx *ctx)
{
	const struct proxy_config *p = &ctx->s->proxy;
	const char **list;
	size_t n = p->n_rules, k = 0;

	for (size_t i = 0; i < p->n_providers; i++)
		for (const char *const *h = p->providers[i].hosts; *h; h++)
			n++;
	list = arena_zalloc(arena_of(ctx), (n + 1) * sizeof(*list));
	if (!list)
		return BUR_NOMEM;
	for (size_t i = 0; i < p->n_providers; i++)
		for (const char *const *h = p->providers[i].hosts; *h; h++)
			if (is_for_ca(*h))
				list[k++] = *h;
	for (size_t i = 0; i < p->n_rules; i++)
		if (p->rules[i].verb == VERB_INTERCEPT)
			list[k++] = p->rules[i].pattern;
	ctx->s->ca_hosts = list;
	ctx->s->n_ca_hosts = k;
	return BUR_OK;
}

/* --- network ------------------------------------------------------------------------------------------------------ */

static int check_ports(struct settings_ctx *ctx)
{
	const struct string_list *from = &raw_of(ctx)->connect_ports;
	uint16_t *ports = arena_zalloc(arena_of(ctx), (from->n + 1) * sizeof(*ports));
	uint64_t n;

	if (!ports)
		return BUR_NOMEM;
	for (size_t i = 0; i < from->n; i++) {
		if (slice_u64(slice_of(from->items[i]), &n) < 0 || n == 0 || n > 65535)
			return config_fail(ctx->err, ctx->file_name, root_at(ctx, "connect_ports", NULL),
					   "connect_ports: expected a port from 1 to 65535, got `%s`", from->items[i]);
		ports[i] = (uint16_t)n;
	}
	ctx->s->proxy.connect_ports = ports;
	ctx->s->proxy.n_connect_ports = from->n;
	return BUR_OK;
}

static bool dns_server_ok(const char *text)
{
	struct authority a;

	return authority_parse(slice_of(text), 53, &a) == BUR_OK && a.is_ip;
}

static int check_network(struct settings_ctx *ctx)
{
	const struct settings_file *raw = raw_of(ctx);
	struct cidr *allow = arena_zalloc(arena_of(ctx), (raw->network_allow.n + 1) * sizeof(*allow));

	if (!allow)
		return BUR_NOMEM;
	for (size_t i = 0; i < raw->network_allow.n; i++)
		if (cidr_parse(slice_of(raw->network_allow.items[i]), &allow[i]) < 0)
			return config_fail(ctx->err, ctx->file_name, root_at(ctx, "network", "allow"),
					   "network.allow: expected a range such as `10.0.0.0/8`, got `%s`",
					   raw->network_allow.items[i]);
	for (size_t i = 0; i < raw->network_dns.n; i++)
		if (!dns_server_ok(raw->network_dns.items[i]))
			return config_fail(ctx->err, ctx->file_name, root_at(ctx, "network", "dns"),
					   "network.dns: expected ip or ip:port, got `%s`", raw->network_dns.items[i]);
	ctx->s->proxy.dial.allow = allow;
	ctx->s->proxy.dial.n_allow = raw->network_allow.n;
	ctx->s->proxy.dns_servers = raw->network_dns.items;
	ctx->s->proxy.n_dns_servers = raw->network_dns.n;
	return check_ports(ctx);
}

/* --- the rest ----------------------------------------------------------------------------------------------------- */

static uint32_t worker_count(int64_t wanted)
{
	long n = wanted > 0 ? (long)wanted : sysconf(_SC_NPROCESSORS_ONLN);

	if (n < 1)
		n = 1;
	return n > WORKERS_MAX ? WORKERS_MAX : (uint32_t)n;
}

static int check_storage(struct settings_ctx *ctx)
{
	const struct settings_file *raw = raw_of(ctx);

	if ((raw->journal_slots & (raw->journal_slots - 1)) != 0)
		return config_fail(ctx->err, ctx->file_name, root_at(ctx, "storage", "journal_slots"),
				   "storage.journal_slots: expected a power of two such as 16384");
	ctx->s->store = (struct store_config){
	    .dir = raw->data,
	    .workers = ctx->s->proxy.workers,
	    .journal_slots = (uint32_t)raw->journal_slots,
	    .writer_interval_ns = 50 * INT64_C(1000000),
	    .storage_grace_ns = raw->grace_ns,
	    .max_unpersisted_nanousd = raw->max_unpersisted_nanousd,
	    .min_free_bytes = raw->min_free_bytes,
	};
	return BUR_OK;
}

static int check_limits(struct settings_ctx *ctx)
{
	const struct proxy_limits *l = &raw_of(ctx)->limits.proxy;

	if (l->connect_total_ns < l->connect_timeout_ns)
		return config_fail(ctx->err, ctx->file_name, root_at(ctx, "limits", "connect_total"),
				   "limits.connect_total: must not be shorter than connect_timeout");
	if (l->max_body_memory_bytes < l->max_body_bytes)
		return config_fail(ctx->err, ctx->file_name, root_at(ctx, "limits", "max_body_memory"),
				   "limits.max_body_memory: must hold at least one body of max_body");
	return BUR_OK;
}

static void copy_plain(struct settings *s)
{
	const struct settings_file *raw = &s->own->raw;

	s->data_dir = raw->data;
	s->prices = raw->prices;
	s->deny_without_budget = raw->default_verdict == 0;
	s->drain_timeout_ns = raw->limits.drain_timeout_ns;
	s->log_level = (enum log_level)raw->log_level;
	s->log_file = raw->log_file;
	s->proxy.workers = worker_count(raw->workers);
	s->proxy.require_key = raw->require_key;
	s->proxy.log_requests = raw->log_requests;
	s->proxy.limits = raw->limits.proxy;
}

int settings_check(struct settings_ctx *ctx)
{
	static int (*const parts[])(struct settings_ctx *) = {
	    check_listeners, check_providers, settings_check_meters,  check_rules, collect_ca_hosts, check_network,
	    check_storage,   check_limits,    settings_check_budgets,
	};
	int r = BUR_OK;

	copy_plain(ctx->s);
	for (size_t i = 0; i < ARRAY_LEN(parts) && r == BUR_OK; i++)
		r = parts[i](ctx);
	return r;
}
