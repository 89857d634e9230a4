/* Signed links: what we made is known again, anything else is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "alerts/link.h"
#include "base/clock.h"
#include "base/error.h"

#define NOW INT64_C(1795248000)

static const unsigned char secret[LINK_SECRET_BYTES] = "0123456789abcdef0123456789abcde";
static const unsigned char other[LINK_SECRET_BYTES] = "0123456789abcdef0123456789abcdf";

static int check(const char *query, int64_t now_s, int64_t *id, enum link_action *action)
{
	int64_t expires;

	return link_check(secret, slice_of(query), now_s, id, action, &expires);
}

static void what_we_made_is_known(void **state)
{
	static const enum link_action actions[] = {LINK_ACK, LINK_RESOLVE, LINK_OPEN};
	static const int64_t ids[] = {1, 12, 4711, INT64_MAX};
	char query[LINK_QUERY_MAX];

	(void)state;
	for (size_t a = 0; a < ARRAY_LEN(actions); a++)
		for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
			enum link_action action;
			int64_t id, expires;

			assert_int_equal(link_query(secret, ids[i], actions[a], NOW + 60, query), BUR_OK);
			assert_int_equal(link_check(secret, slice_of(query), NOW, &id, &action, &expires), BUR_OK);
			assert_true(id == ids[i] && action == actions[a] && expires == NOW + 60);
		}
}

static void the_secret_matters(void **state)
{
	char query[LINK_QUERY_MAX];
	enum link_action action;
	int64_t id;

	(void)state;
	assert_int_equal(link_query(other, 12, LINK_ACK, NOW + 60, query), BUR_OK);
	assert_int_equal(check(query, NOW, &id, &action), BUR_DENIED);
	assert_true(id == 0);
}

static void it_ends(void **state)
{
	char query[LINK_QUERY_MAX];
	enum link_action action;
	int64_t id;

	(void)state;
	assert_int_equal(link_query(secret, 12, LINK_RESOLVE, NOW, query), BUR_OK);
	assert_int_equal(check(query, NOW - 1, &id, &action), BUR_OK);
	assert_int_equal(check(query, NOW, &id, &action), BUR_TIMEOUT);
	assert_int_equal(check(query, NOW + 1000000, &id, &action), BUR_TIMEOUT);
	assert_true(id == 12);
}

/* Another incident, action or end under the same signature; and every single bit of the whole. */
static void no_change_passes(void **state)
{
	char query[LINK_QUERY_MAX], changed[LINK_QUERY_MAX], mac[64];
	static const char *const forged[] = {"i=13&a=ack&e=1795248060&s=%s",      "i=12&a=resolve&e=1795248060&s=%s",
					     "i=12&a=open&e=1795248060&s=%s",     "i=12&a=ack&e=1995248060&s=%s",
					     "i=12&a=ack&e=1795248060&s=%s&x=1",  "i=12&a=ack&e=1795248060&s=%s&",
					     "&i=12&a=ack&e=1795248060&s=%s",     "a=ack&i=12&e=1795248060&s=%s",
					     "i=012&a=ack&e=1795248060&s=%s",     "i=12&i=12&a=ack&e=1795248060&s=%s",
					     "i=12&a=ack&e=1795248060&s=%s&s=%s", "i=%%312&a=ack&e=1795248060&s=%s"};
	enum link_action action;
	int64_t id;

	(void)state;
	assert_int_equal(link_query(secret, 12, LINK_ACK, NOW + 60, query), BUR_OK);
	assert_string_equal(strstr(query, "i=12"), query);
	(void)snprintf(mac, sizeof(mac), "%s", strstr(query, "&s=") + 3);
	assert_int_equal(strlen(mac), 43);
	assert_int_equal(strspn(mac, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), 43);
	for (size_t i = 0; i < ARRAY_LEN(forged); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		(void)snprintf(changed, sizeof(changed), forged[i], mac, mac);
#pragma GCC diagnostic pop
		if (check(changed, NOW, &id, &action) != BUR_DENIED)
			fail_msg("passed: %s", changed);
	}
	for (size_t i = 0; i < strlen(query); i++)
		for (int bit = 0; bit < 8; bit++) {
			memcpy(changed, query, sizeof(changed));
			changed[i] = (char)(changed[i] ^ (1 << bit));
			if (changed[i] != '\0' && check(changed, NOW, &id, &action) != BUR_DENIED)
				fail_msg("passed: %s", changed);
		}
}

static void junk_is_refused(void **state)
{
	static const char *const junk[] = {"",
					   "i=",
					   "i=1",
					   "i=1&a=ack",
					   "i=1&a=ack&e=1&s=",
					   "i=&a=&e=&s=",
					   "i=1&a=ack&e=1&s=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
					   "====&&&&",
					   "s=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
	enum link_action action;
	char longest[4096];
	int64_t id;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(junk); i++)
		assert_int_equal(check(junk[i], NOW, &id, &action), BUR_DENIED);
	memset(longest, '1', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	memcpy(longest, "i=", 2);
	assert_int_equal(check(longest, NOW, &id, &action), BUR_DENIED);
	assert_int_equal(link_check(secret, SLICE_NONE, NOW, &id, &action, &(int64_t){0}), BUR_DENIED);
}

static const char *link_of(const json_t *facts, const char *name)
{
	return json_string_value(json_object_get(json_object_get(facts, "links"), name));
}

static void facts_get_links(void **state)
{
	struct alerts_config config = {.public_url = "https://bursar.example/x", .link_valid_s = 3600};
	json_t *facts = json_object();
	enum link_action action;
	int64_t id;

	(void)state;
	assert_int_equal(link_add(facts, &config, secret, 12, false, NOW * NS_PER_S), BUR_OK);
	assert_int_equal(strncmp(link_of(facts, "acknowledge"), "https://bursar.example/x/alerts/act?i=12&a=ack&", 47),
			 0);
	assert_int_equal(check(strchr(link_of(facts, "resolve"), '?') + 1, NOW + 3599, &id, &action), BUR_OK);
	assert_int_equal(action, LINK_RESOLVE);
	assert_int_equal(check(strchr(link_of(facts, "open"), '?') + 1, NOW + 3600, &id, &action), BUR_TIMEOUT);
	assert_int_equal(link_add(facts, &config, secret, 12, true, NOW * NS_PER_S), BUR_OK);
	assert_null(link_of(facts, "acknowledge"));
	assert_null(link_of(facts, "resolve"));
	assert_non_null(link_of(facts, "open"));
	config.public_url = "";
	assert_int_equal(link_add(facts, &config, secret, 12, false, NOW * NS_PER_S), BUR_OK);
	assert_int_equal(json_object_size(json_object_get(facts, "links")), 0);
	config.public_url = "https://bursar.example";
	assert_int_equal(link_add(facts, &config, NULL, 12, false, NOW * NS_PER_S), BUR_OK);
	assert_int_equal(json_object_size(json_object_get(facts, "links")), 0);
	json_decref(facts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_we_made_is_known),
	    cmocka_unit_test(the_secret_matters),
	    cmocka_unit_test(it_ends),
	    cmocka_unit_test(no_change_passes),
	    cmocka_unit_test(junk_is_refused),
	    cmocka_unit_test(facts_get_links),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
