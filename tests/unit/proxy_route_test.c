/* Where a request goes: gateway prefixes, absolute form, tunnels; and what may be tunnelled at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/error.h"
#include "proxy/route.h"

static const char *const openai_hosts[] = {"api.openai.com", "*.api.openai.com", NULL};
static const char *const bedrock_hosts[] = {"bedrock-runtime.*.amazonaws.com", "*-aiplatform.googleapis.com", NULL};
static const struct model_alias models[] = {{"prod-gpt", "gpt-5"}, {"arn:aws:x/abc", "amazon.nova-pro-v1:0"}};
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
    {.name = "bedrock", .family = FAMILY_AWS, .gateway_prefix = "bedrock", .hosts = bedrock_hosts, .base_path = ""},
    {.name = "zed",
     .family = FAMILY_OPENAI,
     .gateway_prefix = "zed",
     .tls = true,
     .host = "zed.example",
     .port = 443,
     .base_path = "/api/paas/v9"},
    {.name = "aws",
     .family = FAMILY_AWS,
     .gateway_prefix = "aws",
     .tls = true,
     .host = "bedrock-runtime.us-east-1.amazonaws.com",
     .port = 443,
     .base_path = "",
     .models = models,
     .n_models = 2},
};
static const struct host_rule rules[] = {
    {"pinned.api.openai.com", VERB_TUNNEL, false},
    {"open.api.openai.com", VERB_TUNNEL, true},
    {"bad.example", VERB_DENY, false},
    {"*.example", VERB_TUNNEL, false},
};
static const uint16_t ports[] = {8443};
static const struct proxy_config config = {.providers = providers,
					   .n_providers = ARRAY_LEN(providers),
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

static void test_providers_without_an_origin_say_so(void **state)
{
	struct target t;
	enum refusal_reason why;

	(void)state;
	assert_true(resolve("POST /bedrock/model/m/converse HTTP/1.1\r\nHost: any\r\n\r\n", NULL, &t, &why) < 0);
	assert_int_equal(why, REFUSE_NOT_FOUND);
	assert_int_equal(t.api.family, FAMILY_AWS); /* refused in its words */
}

static void test_base_path_is_no_part_of_the_route(void **state)
{
	(void)state;
	accepts("POST /zed/chat/completions HTTP/1.1\r\nHost: any\r\n\r\n", NULL, "zed.example", 443,
		"/api/paas/v9/chat/completions", API_CHAT);
	accepts("POST /zed/v1/messages HTTP/1.1\r\nHost: any\r\n\r\n", NULL, "zed.example", 443,
		"/api/paas/v9/v1/messages", API_MESSAGES);
	accepts("GET /zed/../../models HTTP/1.1\r\nHost: any\r\n\r\n", NULL, "zed.example", 443,
		"/api/paas/v9/../../models", API_UNKNOWN);
	accepts("GET /zed/models/ HTTP/1.1\r\nHost: any\r\n\r\n", NULL, "zed.example", 443, "/api/paas/v9/models/",
		API_UNKNOWN);
}

#define SIGNED(id)                                                                                                     \
	"Authorization: AWS4-HMAC-SHA256 Credential=" id                                                               \
	"/20261121/us-east-1/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature=00\r\n"
#define BEDROCK_HOST "bedrock-runtime.us-east-1.amazonaws.com"

static void test_signed_requests(void **state)
{
	struct target t;
	enum refusal_reason why;

	(void)state;
	assert_int_equal(resolve("POST /model/a%3A0/converse HTTP/1.1\r\nHost: " BEDROCK_HOST
				 "\r\n" SIGNED("AKIAX") "\r\n",
				 BEDROCK_HOST ":443", &t, &why),
			 BUR_OK);
	assert_true(t.signed_by_client);
	assert_int_equal(t.api.kind, API_CONVERSE);
	assert_true(slice_eq(t.path_query, SLICE("/model/a%3A0/converse"))); /* byte for byte: it is signed */
	refuses("POST /aws/model/a/converse HTTP/1.1\r\nHost: any\r\n" SIGNED("AKIAX") "\r\n", NULL,
		REFUSE_BAD_REQUEST);
	/* with one of our keys for an id the signature is only a way to show the key */
	assert_int_equal(
	    resolve("POST /aws/model/a/converse HTTP/1.1\r\nHost: any\r\n" SIGNED("bur_abc") "\r\n", NULL, &t, &why),
	    BUR_OK);
	assert_false(t.signed_by_client);
	assert_int_equal(resolve("POST /aws/model/a/converse HTTP/1.1\r\nHost: any\r\nAuthorization: Bearer k\r\n\r\n",
				 NULL, &t, &why),
			 BUR_OK);
	assert_false(t.signed_by_client);
}

static void test_host_patterns(void **state)
{
	static const struct {
		const char *pattern, *host;
		bool want;
	} cases[] = {
	    {"bedrock-runtime.*.amazonaws.com", "bedrock-runtime.eu-west-9.amazonaws.com", true},
	    {"bedrock-runtime.*.amazonaws.com", "Bedrock-Runtime.EU-west-9.amazonaws.com", true},
	    {"bedrock-runtime.*.amazonaws.com", "bedrock-runtime..amazonaws.com", false},
	    {"bedrock-runtime.*.amazonaws.com", "bedrock-runtime.amazonaws.com", false},
	    {"bedrock-runtime.*.amazonaws.com", "bedrock-runtime.a.b.amazonaws.com", false},
	    {"bedrock-runtime.*.amazonaws.com", "bedrock-runtime.a.amazonaws.com.evil.org", false},
	    {"bedrock-runtime.*.amazonaws.com", "x.bedrock-runtime.a.amazonaws.com", false},
	    {"*-aiplatform.googleapis.com", "mars-north1-aiplatform.googleapis.com", true},
	    {"*-aiplatform.googleapis.com", "-aiplatform.googleapis.com", false},
	    {"*-aiplatform.googleapis.com", "a.b-aiplatform.googleapis.com", false},
	    {"*.bedrock-runtime.*.vpce.amazonaws.com", "vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com", true},
	    {"*.bedrock-runtime.*.vpce.amazonaws.com", "bedrock-runtime.us-east-1.vpce.amazonaws.com", false},
	    {"*.openai.azure.com", "contoso.openai.azure.com", true},
	    {"*.openai.azure.com", "openai.azure.com", false},
	    {"*", "anything", true},
	    {"a.example", "a.example", true},
	    {"a.example", "b.example", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (route_host_matches(slice_of(cases[i].pattern), slice_of(cases[i].host)) != cases[i].want)
			fail_msg("%s %s", cases[i].pattern, cases[i].host);
}

static void test_price_models(void **state)
{
	const struct proxy_provider *p = &providers[ARRAY_LEN(providers) - 1];

	(void)state;
	assert_string_equal(route_price_model(p, SLICE("prod-gpt")), "gpt-5");
	assert_string_equal(route_price_model(p, SLICE("Prod-GPT")), "gpt-5");
	assert_string_equal(route_price_model(p, SLICE("arn:aws:x/abc")), "amazon.nova-pro-v1:0");
	assert_null(route_price_model(p, SLICE("prod-gpt2")));
	assert_null(route_price_model(p, SLICE("")));
	assert_null(route_price_model(&providers[0], SLICE("prod-gpt")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_gateway_prefix_names_the_provider),
	    cmocka_unit_test(test_absolute_form_rebuilds_the_host),
	    cmocka_unit_test(test_host_inside_a_tunnel_must_be_the_tunnels),
	    cmocka_unit_test(test_connect_rules),
	    cmocka_unit_test(test_providers_without_an_origin_say_so),
	    cmocka_unit_test(test_base_path_is_no_part_of_the_route),
	    cmocka_unit_test(test_signed_requests),
	    cmocka_unit_test(test_host_patterns),
	    cmocka_unit_test(test_price_models),
	};

	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	arena_reset(&arena);
	return failed;
}
