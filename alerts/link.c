#include "alerts/link.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"

#define MAC_BYTES 32
#define MAC_TEXT 43 /* base64url without padding */

static const char *const actions[] = {[LINK_ACK] = "ack", [LINK_RESOLVE] = "resolve", [LINK_OPEN] = "open"};

const char *link_action_name(enum link_action action)
{
	return actions[action];
}

/* --- signature ---------------------------------------------------------------------------------------------------- */

static void base64url(const unsigned char mac[MAC_BYTES], char dst[MAC_TEXT + 1])
{
	char text[64];

	CHECK(base64_encode(mac, MAC_BYTES, text, sizeof(text)) == MAC_TEXT + 1); /* the last one is '=' */
	for (size_t i = 0; i < MAC_TEXT; i++)
		dst[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
	dst[MAC_TEXT] = '\0';
}

/* Over the text as it stands in the link before "&s="; the first words keep it apart from other uses of the secret. */
static int sign(const unsigned char secret[LINK_SECRET_BYTES], struct slice claim, char dst[MAC_TEXT + 1])
{
	static const char purpose[] = "bursar alert link v1\n";
	unsigned char text[sizeof(purpose) + LINK_QUERY_MAX], mac[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (claim.n > LINK_QUERY_MAX)
		return BUR_TOOBIG;
	memcpy(text, purpose, sizeof(purpose) - 1);
	memcpy(text + sizeof(purpose) - 1, claim.p, claim.n);
	if (!HMAC(EVP_sha256(), secret, LINK_SECRET_BYTES, text, sizeof(purpose) - 1 + claim.n, mac, &n) ||
	    n != MAC_BYTES)
		return BUR_CRYPTO;
	base64url(mac, dst);
	return BUR_OK;
}

int link_query(const unsigned char secret[LINK_SECRET_BYTES], int64_t incident, enum link_action action,
	       int64_t expires_s, char dst[LINK_QUERY_MAX])
{
	char mac[MAC_TEXT + 1];
	int n = snprintf(dst, LINK_QUERY_MAX, "i=%lld&a=%s&e=%lld", (long long)incident, actions[action],
			 (long long)expires_s);
	int r = sign(secret, slice_mem(dst, (size_t)n), mac);

	if (r == BUR_OK)
		(void)snprintf(dst + n, LINK_QUERY_MAX - (size_t)n, "&s=%s", mac);
	return r;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* Cuts "name=value" off the front. */
static bool member(struct slice *text, struct slice name, struct slice *ret)
{
	struct slice rest;

	if (!slice_starts(*text, name))
		return false;
	(void)slice_cut(slice_sub(*text, name.n, text->n), '&', ret, &rest);
	*text = rest;
	return true;
}

static bool action_parse(struct slice word, enum link_action *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(actions); i++)
		if (slice_eq(word, slice_of(actions[i]))) {
			*ret = (enum link_action)i;
			return true;
		}
	return false;
}

int link_check(const unsigned char secret[LINK_SECRET_BYTES], struct slice query, int64_t now_s, int64_t *ret_incident,
	       enum link_action *ret_action, int64_t *ret_expires_s)
{
	struct slice rest = query, id, action, expires, mac;
	char expected[MAC_TEXT + 1];
	uint64_t incident, until;

	*ret_incident = 0;
	*ret_expires_s = 0;
	*ret_action = LINK_OPEN;
	if (query.n >= LINK_QUERY_MAX || !member(&rest, SLICE("i="), &id) || !member(&rest, SLICE("a="), &action) ||
	    !member(&rest, SLICE("e="), &expires) || !member(&rest, SLICE("s="), &mac) || rest.n > 0 ||
	    mac.n != MAC_TEXT)
		return BUR_DENIED;
	/* What is not exactly as we wrote it has another signature, so nothing is read before this. */
	if (sign(secret, slice_mem(query.p, query.n - MAC_TEXT - 3), expected) < 0 ||
	    !bytes_equal_consttime(expected, mac.p, MAC_TEXT))
		return BUR_DENIED;
	if (slice_u64(id, &incident) < 0 || slice_u64(expires, &until) < 0 || incident > INT64_MAX ||
	    until > INT64_MAX || !action_parse(action, ret_action))
		return BUR_DENIED;
	*ret_incident = (int64_t)incident;
	*ret_expires_s = (int64_t)until;
	return now_s < *ret_expires_s ? BUR_OK : BUR_TIMEOUT;
}

/* --- for messages ------------------------------------------------------------------------------------------------- */

static int put_link(json_t *links, const char *name, const struct alerts_config *config, const unsigned char *secret,
		    int64_t incident, enum link_action action, int64_t now_ns)
{
	char query[LINK_QUERY_MAX];
	int r;

	if (!config->public_url || config->public_url[0] == '\0' || !secret || incident <= 0)
		return BUR_OK;
	r = link_query(secret, incident, action, now_ns / NS_PER_S + config->link_valid_s, query);
	if (r == BUR_OK &&
	    json_object_set_new(links, name, json_sprintf("%s" LINK_PATH "?%s", config->public_url, query)) != 0)
		r = BUR_NOMEM;
	return r;
}

int link_add(json_t *facts, const struct alerts_config *config, const unsigned char *secret, int64_t incident,
	     bool over, int64_t now_ns)
{
	json_t *links = json_object();
	int r = links ? put_link(links, "open", config, secret, incident, LINK_OPEN, now_ns) : BUR_NOMEM;

	if (r == BUR_OK && !over)
		r = put_link(links, "acknowledge", config, secret, incident, LINK_ACK, now_ns);
	if (r == BUR_OK && !over)
		r = put_link(links, "resolve", config, secret, incident, LINK_RESOLVE, now_ns);
	if (r == BUR_OK && json_object_set(facts, "links", links) != 0)
		r = BUR_NOMEM;
	json_decref(links);
	return r;
}
