/* What the file says, checked against itself and turned into what the rooms take: listeners, hosts, network. Providers,
 * meters and budgets have files of their own. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/settings_file.h"
#include "base/error.h"
#include "proxy/route.h"

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

/* --- hosts ------------------------------------------------------------------------------------------------------ */

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

int settings_check_patterns(struct settings_ctx *ctx, const struct node *at, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!host_pattern_ok(list[i]))
			return config_fail(ctx->err, ctx->file_name, at,
					   "expected a host pattern in lower case such as `api.example.com` or "
					   "`*.example.com`, got `%s`",
					   list[i]);
	return BUR_OK;
}

static bool host_is_priced(const struct proxy_config *p, const char *pattern)
{
	for (size_t i = 0; i < p->n_providers; i++)
		for (const char *const *h = p->providers[i].hosts; *h; h++)
			if (route_host_matches(slice_of(*h), slice_of(pattern)) || strcmp(*h, pattern) == 0)
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
		r = settings_check_patterns(ctx, settings_at(f[i].node, "host"), &f[i].host, 1);
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
	    .min_free_bytes = raw->min_free_bytes > 0 ? raw->min_free_bytes : -1, /* 0: no check */
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
	s->deny_without_budget = raw->default_verdict == 0;
	s->drain_timeout_ns = raw->limits.drain_timeout_ns;
	s->believe_clock = !raw->limits.clock_guard;
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
	    check_listeners,        settings_check_providers,
	    settings_check_meters,  check_rules,
	    collect_ca_hosts,       check_network,
	    check_storage,          check_limits,
	    settings_check_budgets, settings_check_prices,
	    settings_check_guard,   settings_check_alerts,
	};
	int r = BUR_OK;

	copy_plain(ctx->s);
	for (size_t i = 0; i < ARRAY_LEN(parts) && r == BUR_OK; i++)
		r = parts[i](ctx);
	return r;
}
