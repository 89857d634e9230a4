/* Where a request goes: gateway prefixes, absolute form, tunnels; and what may be tunnelled at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/error.h"
#include "proxy/route.h"

static const char *const openai_hosts[] = {"api.openai.com", "*.api.openai.com", NULL};
static const struct proxy_provider providers[] = {
    {.name = "openai",
     .family = FAMILY_OPENAI,
     .gateway_prefix = "openai",
     .hosts = openai_hosts,
     .tls = true,
     .host = "api.openai.com",
     .port = 443,
     .base_path = ""},
    {.name = "mirror",
     .family = FAMILY_OPENAI,
     .gateway_prefix = "mirror",
     .tls = false,
     .host = "10.0.0.9",
     .port = 8000,
     .base_path = "/base"},
};
static const struct host_rule rules[] = {
    {"pinned.api.openai.com", VERB_TUNNEL, false},
    {"open.api.openai.com", VERB_TUNNEL, true},
    {"bad.example", VERB_DENY, false},
    {"*.example", VERB_TUNNEL, false},
};
static const uint16_t ports[] = {8443};
static const struct proxy_config config = {.providers = providers,
					   .n_providers = 2,
					   .rules = rules,
					   .n_rules = 4,
					   .other_hosts = VERB_DENY,
					   .connect_ports = ports,
					   .n_connect_ports = 1};

static struct arena arena; /* of the last target */

static int resolve(const char *head, const char *tunnel, struct target *t, enum refusal_reason *why)
{
	static struct h1_head h;
	struct h1_scan scan = {0};
	struct authority a;
	enum h1_error e;
	struct slice message;

	arena_reset(&arena);
	arena_init(&arena, 65536);
	assert_int_equal(h1_parse_request(&scan, head, strlen(head), &h, &e), BUR_OK);
	if (tunnel)
		assert_int_equal(authority_parse(slice_of(tunnel), 443, &a), BUR_OK);
	return route_resolve(&config, tunnel ? &a : NULL, &h, &arena, t, why, &message);
}

static void accepts(const char *head, const char *tunnel, const char *host, int port, const char *path_query,
		    enum api_kind kind)
{
	struct target t;
	enum refusal_reason why;

	assert_int_equal(resolve(head, tunnel, &t, &why), BUR_OK);
	assert_string_equal(t.host, host);
	assert_int_equal(t.port, port);
	assert_true(slice_eq(t.path_query, slice_of(path_query)));
	assert_int_equal(t.api.kind, kind);
}

static void refuses(const char *head, const char *tunnel, enum refusal_reason want)
{
	struct target t;
	enum refusal_reason why = REFUSE_INTERNAL;

	assert_true(resolve(head, tunnel, &t, &why) < 0);
	assert_int_equal(why, want);
}

static void test_gateway_prefix_names_the_provider(void **state)
{
	(void)state;
	accepts("POST /openai/v1/chat/completions?x=1 HTTP/1.1\r\nHost: any\r\n\r\n", NULL, "api.openai.com", 443,
		"/v1/chat/completions?x=1", API_CHAT);
	accepts("POST /mirror/v1/embeddings HTTP/1.1\r\nHost: any\r\n\r\n", NULL, "10.0.0.9", 8000,
		"/base/v1/embeddings", API_EMBEDDINGS);
	refuses("GET / HTTP/1.1\r\nHost: any\r\n\r\n", NULL, REFUSE_NOT_FOUND);
	refuses("GET /openaix/v1 HTTP/1.1\r\nHost: any\r\n\r\n", NULL, REFUSE_NOT_FOUND);
	refuses("OPTIONS * HTTP/1.1\r\nHost: any\r\n\r\n", NULL, REFUSE_BAD_REQUEST);
}

static void test_absolute_form_rebuilds_the_host(void **state)
{
	(void)state;
	accepts("GET http://a.example/x?y HTTP/1.1\r\nHost: a.example\r\n\r\n", NULL, "a.example", 80, "/x?y",
		API_UNKNOWN);
	accepts("GET http://a.example HTTP/1.1\r\nHost: a.example:80\r\n\r\n", NULL, "a.example", 80, "/", API_UNKNOWN);
	accepts("GET http://a.example?q HTTP/1.1\r\nHost: a.example\r\n\r\n", NULL, "a.example", 80, "/?q",
		API_UNKNOWN);
	accepts("POST https://api.openai.com/v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\n\r\n", NULL,
		"api.openai.com", 443, "/v1/chat/completions", API_CHAT);
	refuses("GET http://a.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n", NULL, REFUSE_MISDIRECTED);
	refuses("GET http://u:p@a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", NULL, REFUSE_BAD_REQUEST);
	refuses("GET http://bad.example/ HTTP/1.1\r\nHost: bad.example\r\n\r\n", NULL, REFUSE_FORBIDDEN);
	refuses("GET http://other.org/ HTTP/1.1\r\nHost: other.org\r\n\r\n", NULL, REFUSE_FORBIDDEN);
}

static void test_host_inside_a_tunnel_must_be_the_tunnels(void **state)
{
	(void)state;
	accepts("POST /v1/responses HTTP/1.1\r\nHost: API.OpenAI.com\r\n\r\n", "api.openai.com:443", "api.openai.com",
		443, "/v1/responses", API_RESPONSES);
	refuses("POST /v1/responses HTTP/1.1\r\nHost: evil.example\r\n\r\n", "api.openai.com:443", REFUSE_MISDIRECTED);
	refuses("POST /v1/responses HTTP/1.1\r\nHost: api.openai.com:8443\r\n\r\n", "api.openai.com:443",
		REFUSE_MISDIRECTED);
	refuses("POST https://evil.example/v1 HTTP/1.1\r\nHost: api.openai.com\r\n\r\n", "api.openai.com:443",
		REFUSE_MISDIRECTED);
	refuses("POST http://api.openai.com/v1 HTTP/1.1\r\nHost: api.openai.com\r\n\r\n", "api.openai.com:443",
		REFUSE_BAD_REQUEST);
}

static void test_connect_rules(void **state)
{
	static const struct {
		const char *target;
		enum host_verb want;
	} cases[] = {
	    {"api.openai.com:443", VERB_INTERCEPT},   {"eu.api.openai.com:443", VERB_INTERCEPT},
	    {"api.openai.com:8443", VERB_INTERCEPT},  {"api.openai.com:22", VERB_DENY},
	    {"pinned.api.openai.com:443", VERB_DENY}, /* an unmetered way to a priced host needs its name */
	    {"open.api.openai.com:443", VERB_TUNNEL}, {"bad.example:443", VERB_DENY},
	    {"x.example:443", VERB_TUNNEL},           {"unknown.org:443", VERB_DENY},
	};
	struct authority a;
	const char *why;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(authority_parse(slice_of(cases[i].target), 0, &a), BUR_OK);
		assert_int_equal(route_verb(&config, &a, &why), cases[i].want);
		if (cases[i].want == VERB_DENY)
			assert_true(why[0] != '\0');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_gateway_prefix_names_the_provider),
	    cmocka_unit_test(test_absolute_form_rebuilds_the_host),
	    cmocka_unit_test(test_host_inside_a_tunnel_must_be_the_tunnels),
	    cmocka_unit_test(test_connect_rules),
	};

	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	arena_reset(&arena);
	return failed;
}
