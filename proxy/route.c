#include "proxy/route.h"

#include <stdio.h>
#include <string.h>

#include "proxy/auth.h"

static char lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

/* Recursion as deep as the pattern has stars; patterns are ours. */
static bool glob_matches(struct slice pattern, struct slice host)
{
	for (; pattern.n > 0 && pattern.p[0] != '*'; pattern.p++, pattern.n--, host.p++, host.n--)
		if (host.n == 0 || lower(host.p[0]) != pattern.p[0])
			return false;
	if (pattern.n == 0)
		return host.n == 0;
	pattern = slice_sub(pattern, 1, pattern.n);
	for (size_t i = 1; i <= host.n && host.p[i - 1] != '.'; i++)
		if (glob_matches(pattern, slice_sub(host, i, host.n)))
			return true;
	return false;
}

bool route_host_matches(struct slice pattern, struct slice host)
{
	size_t from = slice_starts(pattern, SLICE("*.")) ? 2 : 0;

	if (pattern.n == 1 || slice_find(slice_sub(pattern, from, pattern.n), '*') + from >= pattern.n)
		return host_matches(pattern, host);
	return glob_matches(pattern, host);
}

const char *route_price_model(const struct proxy_provider *p, struct slice model)
{
	for (size_t i = 0; i < p->n_models; i++)
		if (slice_ieq(slice_of(p->models[i].name), model))
			return p->models[i].price_model;
	return NULL;
}

/* A host that is spelled out is meant more than one that fits a pattern: a customer's own resource in a vendor's
 * domain. */
const struct proxy_provider *route_provider_of(const struct proxy_config *cfg, const char *host)
{
	const struct proxy_provider *by_pattern = NULL;
	struct slice h = slice_of(host);

	for (size_t i = 0; i < cfg->n_providers; i++)
		for (const char *const *p = cfg->providers[i].hosts; p && *p; p++) {
			struct slice pattern = slice_of(*p);

			if (slice_ieq(pattern, h))
				return &cfg->providers[i];
			if (!by_pattern && route_host_matches(pattern, h))
				by_pattern = &cfg->providers[i];
		}
	return by_pattern;
}

static bool port_allowed(const struct proxy_config *cfg, uint16_t port)
{
	if (port == 443)
		return true;
	for (size_t i = 0; i < cfg->n_connect_ports; i++)
		if (cfg->connect_ports[i] == port)
			return true;
	return false;
}

static const struct host_rule *rule_for(const struct proxy_config *cfg, const char *host)
{
	for (size_t i = 0; i < cfg->n_rules; i++)
		if (host_matches(slice_of(cfg->rules[i].pattern), slice_of(host)))
			return &cfg->rules[i];
	return NULL;
}

/* A vendor's address is as good as its name, and has no name to judge by: only a rule that spells it out lets it pass.
 */
static bool is_spelled_out(const struct host_rule *r, const struct authority *a)
{
	return r && strcmp(r->pattern, a->host) == 0;
}

enum host_verb route_verb(const struct proxy_config *cfg, const struct authority *a, const char **ret_why)
{
	const struct proxy_provider *provider = route_provider_of(cfg, a->host);
	const struct host_rule *rule = rule_for(cfg, a->host);
	enum host_verb verb = rule ? rule->verb : provider ? VERB_INTERCEPT : cfg->other_hosts;

	*ret_why = "";
	if (!port_allowed(cfg, a->port))
		*ret_why = "CONNECT is allowed to port 443 only; list others under connect_ports";
	else if (verb == VERB_DENY && rule)
		*ret_why = "a rule under hosts denies it";
	else if (verb == VERB_DENY)
		*ret_why = "no rule under hosts and no provider names it; add a rule, or set other_hosts: tunnel";
	else if (verb == VERB_TUNNEL && provider && !rule->allow_priced)
		*ret_why = "a blind tunnel to a metered host is not metered; set allow_priced on its rule to permit it";
	else if (verb == VERB_TUNNEL && a->is_ip && !is_spelled_out(rule, a))
		*ret_why =
		    "a bare address may be a metered vendor; add a rule under hosts that names exactly this address";
	return **ret_why ? VERB_DENY : verb;
}

bool route_tunnel_may_carry(const struct proxy_config *cfg, const char *name)
{
	const struct host_rule *rule = rule_for(cfg, name);

	return !route_provider_of(cfg, name) || (rule && rule->verb == VERB_TUNNEL && rule->allow_priced);
}

/* Plain proxying: the rules hold here too, and odd ports are for those who list them. */
static const char *absolute_denied(const struct proxy_config *cfg, const struct authority *a,
				   const struct proxy_provider *provider)
{
	const struct host_rule *rule = rule_for(cfg, a->host);

	if (rule && rule->verb == VERB_DENY)
		return "a rule under hosts denies it";
	if (!rule && !provider && cfg->other_hosts == VERB_DENY)
		return "no rule under hosts and no provider names it; add a rule, or set other_hosts: tunnel";
	if (a->port != 80 && !port_allowed(cfg, a->port) && !(provider && a->port == provider->port))
		return "only the ports 80, 443 and those under connect_ports are allowed";
	return NULL;
}

static size_t profile_of(const struct proxy_config *cfg, const struct proxy_provider *p, bool tls)
{
	if (!tls)
		return 0;
	return p ? 2 + (size_t)(p - cfg->providers) : 1;
}

static void set_provider(struct target *t, const struct proxy_provider *p)
{
	t->provider = p;
	t->api.family = p ? api_family_shape(p->family) : FAMILY_OTHER;
}

static void split_query(struct target *t)
{
	struct slice rest;

	(void)slice_cut(t->path_query, '?', &t->path, &rest);
	t->query = rest;
}

static int fail(struct arena *a, enum refusal_reason reason, enum refusal_reason *reterr, struct slice *ret_message,
		const char *text)
{
	*reterr = reason;
	*ret_message = arena_dup(a, slice_of(text));
	return BUR_INVALID;
}

static bool host_agrees(const struct h1_head *h, const struct authority *want, uint16_t default_port)
{
	const struct h1_field *f = h1_find(h, H1_F_HOST);
	struct authority got;

	return f && authority_parse(f->value, default_port, &got) == BUR_OK && strcmp(got.host, want->host) == 0 &&
	       got.port == want->port;
}

/* Inside a tunnel the CONNECT name decides; a Host that names another would dodge a budget by fronting. */
static int resolve_intercepted(const struct proxy_config *cfg, const struct authority *a, const struct h1_head *h,
			       struct arena *arena, struct target *t, enum refusal_reason *reterr, struct slice *msg)
{
	struct slice target = h->target;

	if (target.n > 0 && target.p[0] != '/' && !slice_eq(target, SLICE("*"))) {
		if (!slice_istarts(target, SLICE("https://")))
			return fail(arena, REFUSE_BAD_REQUEST, reterr, msg,
				    "a request inside a tunnel names its path only");
		struct slice rest = slice_sub(target, 8, target.n);
		size_t slash = slice_find(rest, '/');
		struct authority got;
		if (authority_parse(slice_sub(rest, 0, slash), 443, &got) != BUR_OK || strcmp(got.host, a->host) != 0 ||
		    got.port != a->port)
			return fail(arena, REFUSE_MISDIRECTED, reterr, msg,
				    "the request target names another host than the tunnel");
		target = slash < rest.n ? slice_sub(rest, slash, rest.n) : SLICE("/");
	}
	if (!host_agrees(h, a, 443))
		return fail(arena, REFUSE_MISDIRECTED, reterr, msg,
			    "Host names another host than the CONNECT of this tunnel; open a tunnel for each host");
	t->way = WAY_INTERCEPTED;
	t->host = arena_dup(arena, slice_of(a->host)).p;
	t->port = a->port;
	t->path_query = target;
	set_provider(t, route_provider_of(cfg, a->host));
	t->tls_profile = profile_of(cfg, t->provider, true);
	return BUR_OK;
}

static int resolve_absolute(const struct proxy_config *cfg, const struct h1_head *h, struct arena *arena,
			    struct target *t, enum refusal_reason *reterr, struct slice *msg)
{
	bool tls = slice_istarts(h->target, SLICE("https://"));
	struct slice rest = slice_sub(h->target, tls ? 8 : 7, h->target.n);
	size_t end = 0;
	struct authority a;
	const char *why;

	while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?')
		end++;
	if (authority_parse(slice_sub(rest, 0, end), tls ? 443 : 80, &a) != BUR_OK)
		return fail(arena, REFUSE_BAD_REQUEST, reterr, msg, "malformed host in the request target");
	if (!host_agrees(h, &a, tls ? 443 : 80))
		return fail(arena, REFUSE_MISDIRECTED, reterr, msg, "Host and the request target name different hosts");
	t->way = WAY_ABSOLUTE;
	t->host = arena_dup(arena, slice_of(a.host)).p;
	t->port = a.port;
	set_provider(t, route_provider_of(cfg, a.host));
	t->tls_profile = profile_of(cfg, t->provider, tls);
	why = absolute_denied(cfg, &a, t->provider);
	if (why) {
		*reterr = REFUSE_FORBIDDEN;
		*msg = arena_printf(arena, "%s is not allowed: %s", a.host, why);
		return BUR_INVALID;
	}
	rest = slice_sub(rest, end, rest.n);
	if (rest.n == 0)
		t->path_query = SLICE("/");
	else if (rest.p[0] == '?')
		t->path_query = arena_printf(arena, "/" SLICE_FMT, SLICE_ARG(rest));
	else
		t->path_query = rest;
	return t->path_query.p ? BUR_OK : fail(arena, REFUSE_OVERLOADED, reterr, msg, "out of memory");
}

/* Customers of this vendor have addresses of their own. */
static int no_origin(struct arena *arena, const struct proxy_provider *p, enum refusal_reason *reterr,
		     struct slice *msg)
{
	*reterr = REFUSE_NOT_FOUND;
	*msg =
	    arena_printf(arena,
			 "bursar does not know your endpoint of %s: set providers.%s.base_url to its address, or call "
			 "it through the forward proxy",
			 p->name, p->name);
	return BUR_INVALID;
}

static int resolve_gateway(const struct proxy_config *cfg, const struct h1_head *h, struct arena *arena,
			   struct target *t, enum refusal_reason *reterr, struct slice *msg)
{
	struct slice rest, first = h->target;
	size_t end = 1;

	if (first.n == 0 || first.p[0] != '/')
		return fail(arena, REFUSE_BAD_REQUEST, reterr, msg, "malformed request target");
	while (end < first.n && first.p[end] != '/' && first.p[end] != '?')
		end++;
	rest = slice_sub(first, end, first.n);
	first = slice_sub(first, 1, end - 1);
	for (size_t i = 0; i < cfg->n_providers; i++) {
		const struct proxy_provider *p = &cfg->providers[i];

		if (!slice_eq(first, slice_of(p->gateway_prefix)))
			continue;
		t->way = WAY_GATEWAY;
		set_provider(t, p);
		if (p->host[0] == '\0')
			return no_origin(arena, p, reterr, msg);
		t->host = p->host;
		t->port = p->port;
		t->tls_profile = profile_of(cfg, p, p->tls);
		if (p->base_path[0] == '\0' && rest.n > 0 && rest.p[0] == '/')
			t->path_query = rest;
		else
			t->path_query = arena_printf(arena, "%s%s" SLICE_FMT, p->base_path,
						     rest.n > 0 && rest.p[0] == '/' ? "" : "/", SLICE_ARG(rest));
		return t->path_query.p ? BUR_OK : fail(arena, REFUSE_OVERLOADED, reterr, msg, "out of memory");
	}
	return fail(arena, REFUSE_NOT_FOUND, reterr, msg,
		    "no provider is served under this path; use /openai/v1, /anthropic, /gemini, the name of "
		    "another provider, or a prefix of your configuration");
}

/* What a configured base_url puts before the path is no part of the vendor's routes. */
static struct api_match classify(const struct proxy_provider *p, struct slice method, struct slice path)
{
	struct slice base = slice_of(p->base_path);
	struct api_match m = {.kind = API_UNKNOWN};

	if (base.n > 0 && slice_starts(path, base) && path.n > base.n && path.p[base.n] == '/')
		m = api_classify(p->family, method, slice_sub(path, base.n, path.n));
	return m.kind != API_UNKNOWN ? m : api_classify(p->family, method, path);
}

/* A signature made with one of our keys as access key id is a way to show that key, and goes no further. */
static bool is_signed(const struct h1_head *h, struct slice query)
{
	const struct h1_field *f = h1_find(h, H1_F_AUTHORIZATION);

	if (f && slice_istarts(f->value, SLICE("AWS4-")))
		return !auth_has_virtual(f->value);
	return query.n > 0 && memmem(query.p, query.n, "X-Amz-Signature=", 16) != NULL;
}

int route_resolve(const struct proxy_config *cfg, const struct authority *authority, const struct h1_head *h,
		  struct arena *arena, struct target *t, enum refusal_reason *reterr, struct slice *ret_message)
{
	int r;

	memset(t, 0, sizeof(*t));
	if (authority)
		r = resolve_intercepted(cfg, authority, h, arena, t, reterr, ret_message);
	else if (slice_istarts(h->target, SLICE("http://")) || slice_istarts(h->target, SLICE("https://")))
		r = resolve_absolute(cfg, h, arena, t, reterr, ret_message);
	else
		r = resolve_gateway(cfg, h, arena, t, reterr, ret_message);
	if (r < 0)
		return r;
	if (!t->host)
		return fail(arena, REFUSE_OVERLOADED, reterr, ret_message, "out of memory");
	split_query(t);
	if (!t->provider)
		return BUR_OK;
	t->api = classify(t->provider, h->method_text, t->path);
	t->signed_by_client = t->provider->family == FAMILY_AWS && is_signed(h, t->query);
	if (t->signed_by_client && t->way == WAY_GATEWAY)
		return fail(
		    arena, REFUSE_BAD_REQUEST, reterr, ret_message,
		    "this request is signed for bursar's address, so AWS would refuse it: show a virtual key as "
		    "AWS_BEARER_TOKEN_BEDROCK or as access key id, or call through the forward proxy");
	return BUR_OK;
}
