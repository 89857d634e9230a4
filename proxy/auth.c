#include "proxy/auth.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

#include "store/keys.h"

static struct slice bearer(struct slice value)
{
	return slice_istarts(value, SLICE("bearer ")) ? slice_trim(slice_sub(value, 7, value.n)) : SLICE_NONE;
}

/* "AWS4-HMAC-SHA256 Credential=AKIA…/20261121/us-east-1/bedrock/aws4_request, …": the access key id. The signature is
 * not ours to check: like any other credential, the id is known to its owner alone. */
static struct slice access_key(struct slice value)
{
	struct slice name = SLICE("Credential="), key, rest;
	const char *at = slice_istarts(value, SLICE("AWS4-")) ? memmem(value.p, value.n, name.p, name.n) : NULL;

	if (!at)
		return SLICE_NONE;
	rest = slice_sub(value, (size_t)(at - value.p) + name.n, value.n);
	return slice_cut(rest, '/', &key, &rest) ? key : SLICE_NONE;
}

static struct slice query_key(struct slice query)
{
	struct slice part, rest = query;

	while (rest.n > 0) {
		(void)slice_cut(rest, '&', &part, &rest);
		if (slice_starts(part, SLICE("key=")))
			return slice_sub(part, 4, part.n);
	}
	return SLICE_NONE;
}

struct slice auth_credential(const struct h1_head *h, struct slice query)
{
	static const enum h1_field_id plain[] = {H1_F_X_API_KEY, H1_F_X_GOOG_API_KEY, H1_F_API_KEY};
	const struct h1_field *f = h1_find(h, H1_F_AUTHORIZATION);
	struct slice s = f ? bearer(f->value) : SLICE_NONE;

	if (f && s.n == 0)
		s = access_key(f->value);
	if (s.n > 0)
		return s;
	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		f = h1_find(h, plain[i]);
		if (f && f->value.n > 0)
			return f->value;
	}
	return query_key(query);
}

struct slice auth_proxy_credential(const struct h1_head *h, char *dst, size_t dst_size)
{
	const struct h1_field *f = h1_find(h, H1_F_PROXY_AUTHORIZATION);
	struct slice user, password;
	size_t n;

	if (!f)
		return SLICE_NONE;
	if (slice_istarts(f->value, SLICE("bearer "))) {
		struct slice token = bearer(f->value);

		n = slice_to_cstr(token, dst, dst_size);
		return slice_mem(dst, n);
	}
	if (!slice_istarts(f->value, SLICE("basic ")) ||
	    base64_decode(slice_trim(slice_sub(f->value, 6, f->value.n)), dst, dst_size, &n) != BUR_OK)
		return SLICE_NONE;
	if (!slice_cut(slice_mem(dst, n), ':', &user, &password))
		return SLICE_NONE;
	/* people put the key into either half of user:password */
	return password.n == 0 || (auth_is_virtual(user) && !auth_is_virtual(password)) ? user : password;
}

bool auth_is_virtual(struct slice credential)
{
	return slice_starts(credential, SLICE("bur_"));
}

bool auth_has_virtual(struct slice text)
{
	return memmem(text.p, text.n, "bur_", 4) != NULL;
}

size_t auth_credential_count(const struct h1_head *h, struct slice query)
{
	size_t n = query_key(query).n > 0;

	for (size_t i = 0; i < h->n_fields; i++) {
		enum h1_field_id id = h->fields[i].id;

		n +=
		    id == H1_F_AUTHORIZATION || id == H1_F_X_API_KEY || id == H1_F_X_GOOG_API_KEY || id == H1_F_API_KEY;
	}
	return n;
}

static bool is_cached(const struct credential_cache *k, struct slice credential)
{
	return credential.n == k->n && k->n > 0 && memcmp(k->text, credential.p, k->n) == 0;
}

static void remember(struct credential_cache *k, struct slice credential)
{
	k->n = 0;
	k->fingerprint[0] = '\0';
	if (credential.n <= sizeof(k->text)) {
		memcpy(k->text, credential.p, credential.n);
		k->n = (uint16_t)credential.n;
	}
}

const uint8_t *auth_digest(struct client *c, struct slice credential)
{
	struct credential_cache *k = &c->cache;

	if (is_cached(k, credential))
		return k->digest;
	remember(k, credential);
	key_digest(credential, k->digest);
	return k->digest;
}

struct slice auth_fingerprint(struct client *c, struct slice credential)
{
	const uint8_t *secret = c->worker->proxy->config.fingerprint_secret;
	struct credential_cache *k = &c->cache;
	uint8_t mac[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	char hex[13];

	(void)auth_digest(c, credential); /* makes the cache this credential's */
	if (k->fingerprint[0] != '\0')
		return slice_of(k->fingerprint);
	if (!HMAC(EVP_sha256(), secret, KEY_DIGEST_BYTES, (const unsigned char *)credential.p, credential.n, mac, &n))
		return SLICE_NONE;
	hex_encode(mac, 6, hex);
	(void)snprintf(k->fingerprint, sizeof(k->fingerprint), "vendor-%s", hex);
	return slice_of(k->fingerprint);
}
