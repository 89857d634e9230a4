/* txn_request.c - the request: where it goes, who asks, and the head that leaves. */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "proxy/auth.h"
#include "proxy/txn.h"

/* --- route ----------------------------------------------------------------------------------------------------------
 */

static bool is_loop(const struct txn *t)
{
	struct slice via = slice_of(t->worker->proxy->via);

	for (size_t i = 0; i < t->head->n_fields; i++) {
		const struct h1_field *f = &t->head->fields[i];

		if (f->id == H1_F_VIA && memmem(f->value.p, f->value.n, via.p, via.n))
			return true;
	}
	return false;
}

/* A rule of the configuration goes before what the vendor's family says of this route. */
static int find_rule(struct txn *t)
{
	const struct proxy_provider *p = t->target.provider;
	const struct generic_meter *rule = p ? generic_find(p->meters, p->n_meters, t->method, t->target.path) : NULL;

	if (!rule)
		return BUR_OK;
	t->target.api.kind = API_GENERIC;
	t->generic = generic_call_new(rule);
	if (!t->generic)
		return BUR_NOMEM;
	for (size_t i = 0; i < t->head->n_fields; i++)
		generic_call_request_field(t->generic, t->head->fields[i].name, t->head->fields[i].value);
	generic_call_query(t->generic, t->target.query);
	return BUR_OK;
}

/* Google's APIs leave out of an answer what a mask does not name: a count that is left out looks like none. */
static bool hides_usage(const struct txn *t)
{
	if (!t->metered || t->generic || t->target.provider->family != FAMILY_GOOGLE)
		return false;
	return api_query_has_mask(t->target.query) || h1_find_name(t->head, SLICE("x-goog-fieldmask"));
}

enum step_result txn_step_route(struct txn *t)
{
	const struct proxy_config *cfg = &t->worker->proxy->config;
	const struct authority *a = t->client->intercepted ? t->client->authority : NULL;
	enum refusal_reason reason;
	struct slice message;

	h1_body_init(&t->body_in, t->head->framing, t->head->content_length);
	t->body_complete = t->head->framing == H1_NO_BODY;
	if (t->worker->draining)
		return txn_refuse(t, REFUSE_DRAINING, "bursar is shutting down; try again");
	if (is_loop(t))
		return txn_refuse(t, REFUSE_LOOP,
				  "this request has passed this bursar before; check base URLs and proxies");
	if (route_resolve(cfg, a, t->head, &t->arena, &t->target, &reason, &message) < 0) {
		t->client_keep_alive &=
		    reason != REFUSE_BAD_REQUEST; /* who writes such targets may mean something else next */
		return txn_refuse(t, reason, SLICE_FMT, SLICE_ARG(message));
	}
	if (find_rule(t) < 0)
		return txn_refuse(t, REFUSE_OVERLOADED, "out of memory");
	t->metered = t->target.provider && !api_kind_is_unbilled(t->target.api.kind);
	if (hides_usage(t))
		return txn_refuse(
		    t, REFUSE_BAD_REQUEST,
		    "this call asks for a part of the answer only (`fields`, X-Goog-FieldMask), which may "
		    "leave out what it is billed by; ask for all of it");
	t->step = TXN_PRINCIPAL;
	return STEP_MORE;
}

/* --- principal ------------------------------------------------------------------------------------------------------
 */

static struct slice field_value(const struct txn *t, const char *name)
{
	const struct h1_field *f = h1_find_name(t->head, slice_of(name));

	return f ? f->value : SLICE_NONE;
}

static void add_tag(struct facts *f, struct slice name, struct slice value)
{
	if (value.n > 0 && value.n <= 128 && f->n_tags < TAGS_MAX)
		f->tags[f->n_tags++] = (struct tag){name, value};
}

/* What the client may say about itself; names of other gateways are read too, so that people can move over. */
static int facts_from_fields(const struct txn *t, struct facts *f)
{
	static const char *const user_fields[] = {"x-litellm-end-user-id", "helicone-user-id"};
	struct slice property = SLICE("helicone-property-"), v;
	int r = BUR_OK;

	for (size_t i = 0; i < ARRAY_LEN(user_fields); i++) {
		v = field_value(t, user_fields[i]);
		if (v.n > 0 && v.n <= 128)
			f->v[FACT_USER] = v;
	}
	v = field_value(t, "x-bursar-tags");
	if (v.n > 0)
		r = tags_parse(v, f->tags, &f->n_tags);
	v = field_value(t, "x-litellm-tags");
	if (r == BUR_OK && slice_find(v, '=') < v.n) /* bare words of LiteLLM mean nothing here */
		r = tags_parse(v, f->tags, &f->n_tags);
	add_tag(f, SLICE("category"), field_value(t, "x-bursar-category"));
	for (size_t i = 0; i < t->head->n_fields; i++) {
		const struct h1_field *h = &t->head->fields[i];

		if (slice_istarts(h->name, property))
			add_tag(f, slice_sub(h->name, property.n, h->name.n), h->value);
	}
	return r;
}

int txn_gather_facts(struct txn *t, struct facts *f)
{
	const struct principal *p = t->principal;

	memset(f, 0, sizeof(*f));
	f->v[FACT_PROVIDER] = slice_of(t->target.provider->name);
	f->v[FACT_MODEL] = slice_of(t->info.model);
	f->v[FACT_KEY] = t->key_name;
	if (p) {
		f->v[FACT_USER] = slice_of(p->user);
		f->v[FACT_TEAM] = slice_of(p->team);
		f->v[FACT_PROJECT] = slice_of(p->project);
		f->n_tags = p->n_tags;
		memcpy(f->tags, p->tags, p->n_tags * sizeof(p->tags[0]));
	}
	return p && !p->may_set_user ? BUR_OK : facts_from_fields(t, f);
}

static enum step_result need_key(struct txn *t, const char *what)
{
	bool proxy = t->target.way == WAY_ABSOLUTE;

	return txn_refuse(t, proxy ? REFUSE_PROXY_AUTH : REFUSE_UNAUTHENTICATED, "%s", what);
}

/* A stored key is bound to where it belongs: the provider's configured origin, or its hosts over TLS on the usual port.
 */
static bool is_origin(const struct txn *t, const struct proxy_provider *p)
{
	bool tls = t->target.tls_profile != 0;

	if (t->target.port == p->port && tls == p->tls && strcmp(t->target.host, p->host) == 0)
		return true;
	return tls && t->target.port == 443;
}

/* The vendor's key that bursar holds goes in only for a caller we know. */
static enum step_result use_held_key(struct txn *t)
{
	const struct proxy_provider *p = t->target.provider;

	if (p && p->api_key && !is_origin(t, p))
		return txn_refuse(t, REFUSE_FORBIDDEN,
				  "the vendor key that bursar holds goes only to the provider's own origin, over TLS");
	if (!p || !p->api_key)
		return txn_refuse(
		    t, REFUSE_UNAUTHENTICATED,
		    "this virtual key needs a vendor key in bursar: set providers.%s.api_key, or send the "
		    "vendor's own key",
		    p ? p->name : "NAME");
	t->swap_credential = true;
	t->vendor_credential = slice_of(p->api_key);
	return STEP_MORE;
}

static const struct principal *find(const struct txn *t, const uint8_t *digest)
{
	return principal_find(t->principals, digest, t->start_wall_ns / NS_PER_S);
}

static const struct principal *proxy_principal(struct txn *t, bool *ret_claimed)
{
	char text[512];
	struct slice s = auth_proxy_credential(t->head, text, sizeof(text));
	const struct principal *p = NULL;

	*ret_claimed = s.n > 0 || t->client->has_proxy_identity;
	if (t->client->has_proxy_identity)
		p = find(t, t->client->proxy_digest);
	else if (s.n > 0)
		p = find(t, auth_digest(t->client, s));
	bytes_wipe(text, sizeof(text));
	return p;
}

/* A copy: the connection may be gone before the call is written down. */
static struct slice fingerprint(struct txn *t, struct slice credential)
{
	return arena_dup(&t->arena, auth_fingerprint(t->client, credential));
}

static void take_principal(struct txn *t, const struct principal *p)
{
	t->principal = p;
	t->key_name = slice_of(p->key);
}

static enum step_result find_principal(struct txn *t)
{
	struct slice credential = auth_credential(t->head, t->target.query);
	const struct principal *p = NULL;
	bool claimed = false;

	t->principals = principal_dir_ref(t->worker->principals);
	t->step = TXN_BODY;
	if (auth_is_virtual(credential)) {
		p = find(t, auth_digest(t->client, credential));
		if (!p)
			return need_key(t, "unknown, expired or revoked virtual key");
		take_principal(t, p);
		return use_held_key(t);
	}
	p = proxy_principal(t, &claimed);
	if (p) {
		take_principal(t, p);
		return credential.n == 0 && t->target.provider && t->target.provider->api_key ? use_held_key(t)
											      : STEP_MORE;
	}
	if (claimed || t->worker->proxy->config.require_key)
		return need_key(t, claimed
				       ? "unknown, expired or revoked virtual key"
				       : "bursar needs a virtual key: send it as the API key, or as the password of "
					 "HTTPS_PROXY; `bursar keys create` makes one");
	if (auth_credential_count(t->head, t->target.query) > 1)
		return txn_refuse(t, REFUSE_BAD_REQUEST,
				  "more than one credential; send one, so that it is clear who calls");
	t->key_name = credential.n > 0 ? fingerprint(t, credential) : SLICE("anonymous");
	return STEP_MORE;
}

enum step_result txn_step_principal(struct txn *t)
{
	enum step_result r = find_principal(t);

	if (t->end == TXN_END_NONE)
		(void)txn_guard_principal(t, &r);
	return r;
}

/* --- the head that leaves -------------------------------------------------------------------------------------------
 */

static bool is_credential(const struct h1_field *f)
{
	return f->id == H1_F_AUTHORIZATION || f->id == H1_F_X_API_KEY || f->id == H1_F_X_GOOG_API_KEY ||
	       f->id == H1_F_API_KEY;
}

/* Fields that stop here: ours, virtual keys wherever they stand, those that would make the vendor read another method
 * than the one that was priced, and those that ask for a part of what it is billed by. */
static bool stays_here(const struct txn *t, const struct h1_field *f)
{
	static const char *const overrides[] = {"x-http-method-override", "x-http-method", "x-method-override"};

	if (slice_istarts(f->name, SLICE("x-bursar-")))
		return true;
	if ((is_credential(f) && t->swap_credential) || auth_has_virtual(f->value))
		return true;
	if (t->swap_credential && slice_ieq(f->name, SLICE("x-amz-security-token")))
		return true; /* belongs to the signature that goes */
	for (size_t i = 0; t->target.provider && i < ARRAY_LEN(overrides); i++)
		if (slice_ieq(f->name, slice_of(overrides[i])))
			return true;
	/* a part of an answer is no bill */
	return t->metered && !t->generic &&
	       (slice_ieq(f->name, SLICE("range")) || slice_ieq(f->name, SLICE("if-range")));
}

/* The field in which this vendor wants its key on this route; NULL: as a bearer token. Tokens of an identity provider
 * (Google's ya29., a JWT, Anthropic's OAuth) are bearer tokens everywhere. */
static const char *key_field(const struct txn *t)
{
	struct slice key = t->vendor_credential;

	if (slice_starts(key, SLICE("ya29.")) || slice_starts(key, SLICE("eyJ")) ||
	    slice_starts(key, SLICE("sk-ant-oat")))
		return NULL;
	switch (t->target.provider->family) {
	case FAMILY_AZURE:
		return "api-key";
	case FAMILY_ANTHROPIC:
		return t->target.api.family == FAMILY_OPENAI ? NULL : "x-api-key";
	case FAMILY_GOOGLE:
		return t->target.api.family == FAMILY_OPENAI ? NULL : "x-goog-api-key";
	default:
		/* vendors that take Anthropic's requests too take them as Anthropic's SDK sends them */
		return t->target.api.family == FAMILY_ANTHROPIC && h1_find(t->head, H1_F_X_API_KEY) ? "x-api-key"
												    : NULL;
	}
}

static void write_credential(struct h1_writer *w, struct txn *t)
{
	const char *field = key_field(t);
	struct slice v;

	if (field) {
		h1_write_field(w, slice_of(field), t->vendor_credential);
		return;
	}
	v = arena_printf(&t->arena, "Bearer " SLICE_FMT, SLICE_ARG(t->vendor_credential));
	if (v.p)
		h1_write_field(w, SLICE("authorization"), v);
	else
		w->err = BUR_NOMEM;
}

/* A field that the client's signature covers is the signature's, whatever we would rather say. */
static bool is_field_signed(const struct txn *t, struct slice name)
{
	const struct h1_field *f = t->target.signed_by_client ? h1_find(t->head, H1_F_AUTHORIZATION) : NULL;
	struct slice list, one, key = SLICE("SignedHeaders=");
	const char *at = f ? memmem(f->value.p, f->value.n, key.p, key.n) : NULL;

	if (!at)
		return false;
	list = slice_sub(f->value, (size_t)(at - f->value.p) + key.n, f->value.n);
	(void)slice_cut(list, ',', &list, &one);
	while (list.n > 0) {
		(void)slice_cut(list, ';', &one, &list);
		if (slice_ieq(slice_trim(one), name))
			return true;
	}
	return false;
}

/* `?key=` with a virtual key must not reach the vendor. */
static struct slice target_without_key(struct txn *t)
{
	struct slice part, rest = t->target.query;
	char *out, *at;

	if (rest.n == 0 || !memmem(rest.p, rest.n, "key=", 4))
		return t->target.path_query;
	at = out = arena_alloc(&t->arena, t->target.path_query.n + 1);
	if (!out)
		return SLICE_NONE;
	memcpy(at, t->target.path.p, t->target.path.n);
	at += t->target.path.n;
	*at = '?';
	for (char *first = at; rest.n > 0;) {
		(void)slice_cut(rest, '&', &part, &rest);
		if (slice_starts(part, SLICE("key=")) && (t->swap_credential || auth_has_virtual(part)))
			continue;
		*at = at == first ? '?' : '&';
		memcpy(at + 1, part.p, part.n);
		at += 1 + part.n;
	}
	return slice_mem(out, (size_t)(at - out));
}

static void write_accept_encoding(struct h1_writer *w, struct txn *t, const struct h1_field *f)
{
	char cut[128];
	size_t n;

	if ((!t->metered && !t->upload) || is_field_signed(t, f->name)) {
		h1_write_field(w, f->name, f->value);
		return;
	}
	/* the usage chunk can only be hidden in plain bytes, and an end of ours written among them */
	n = t->info.has_usage_edit || t->growing ? 0 : tap_cut_accept_encoding(f->value, cut, sizeof(cut));
	h1_write_field(w, f->name, n > 0 ? slice_mem(cut, n) : SLICE("identity"));
}

bool txn_field_crosses(const struct txn *t, const struct h1_field *f)
{
	return !h1_is_hop_by_hop(t->head, f) && f->id != H1_F_HOST && f->id != H1_F_CONTENT_LENGTH &&
	       f->id != H1_F_EXPECT && f->id != H1_F_PROXY_AUTHORIZATION && !stays_here(t, f);
}

static void write_fields(struct h1_writer *w, struct txn *t)
{
	for (size_t i = 0; i < t->head->n_fields; i++) {
		const struct h1_field *f = &t->head->fields[i];

		if (!txn_field_crosses(t, f))
			continue;
		if (t->body_made_plain && f->id == H1_F_CONTENT_ENCODING)
			continue;
		if (f->id == H1_F_ACCEPT_ENCODING)
			write_accept_encoding(w, t, f);
		else
			h1_write_field(w, f->name, f->value);
	}
}

static void add_iov(void *ctx, struct slice s)
{
	struct txn *t = ctx;

	if (s.n > 0)
		t->request_iov[t->n_request_iov++] = (struct iovec){(void *)(uintptr_t)s.p, s.n};
	t->request_bytes += s.n;
}

void txn_gather_request(struct txn *t)
{
	if (t->body_in_place)
		t->body.p = buf_slice(&t->client->in).p;
	t->n_request_iov = 0;
	t->request_bytes = 0;
	add_iov(t, buf_slice(&t->send));
	if (!t->stream_body)
		txn_edit_pieces(t, add_iov, t);
}

int txn_write_request_head(struct txn *t)
{
	struct h1_writer w = {0};
	bool v6 = slice_find(slice_of(t->target.host), ':') < strlen(t->target.host);
	char host[HOST_MAX + 16];
	struct slice target = target_without_key(t);
	int r;

	if (!target.p)
		return BUR_NOMEM;
	if (t->target.port == (t->target.tls_profile ? 443 : 80))
		(void)snprintf(host, sizeof(host), v6 ? "[%s]" : "%s", t->target.host);
	else
		(void)snprintf(host, sizeof(host), v6 ? "[%s]:%u" : "%s:%u", t->target.host, t->target.port);
	h1_write_request(&w, &t->send, t->head->method_text, target);
	h1_write_field(&w, SLICE("host"), slice_of(host));
	write_fields(&w, t);
	if (t->swap_credential)
		write_credential(&w, t);
	h1_write_field(&w, SLICE("via"), slice_of(t->worker->proxy->via));
	if (t->stream_body && t->head->framing == H1_CHUNKED)
		h1_write_field(&w, SLICE("transfer-encoding"), SLICE("chunked"));
	else if (t->stream_body && t->head->framing == H1_LENGTH)
		h1_write_field_u64(&w, SLICE("content-length"), t->head->content_length);
	else if (!t->stream_body)
		h1_write_field_u64(&w, SLICE("content-length"), txn_edit_length(t));
	r = h1_write_end(&w);
	if (r == BUR_OK)
		txn_gather_request(t);
	return r;
}
