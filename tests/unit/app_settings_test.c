/* bursar.yaml: what is good, what it becomes, and where each mistake is said to be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/settings.h"
#include "base/error.h"

static struct config_error err;

static struct settings *good(const char *text, const char *const *env)
{
	struct settings *s = NULL;

	if (settings_parse(slice_of(text), "b.yaml", env, &s, &err) != BUR_OK)
		fail_msg("refused: %s", err.text);
	return s;
}

/* --- what it becomes ---------------------------------------------------------------------------------------------- */

static void empty_file_has_defaults(void **state)
{
	struct settings *s = good("", NULL);

	(void)state;
	assert_int_equal(s->proxy.n_listen, 1);
	assert_string_equal(s->proxy.listen[0], "127.0.0.1:8080");
	assert_string_equal(s->admin_listen, "127.0.0.1:8050");
	assert_string_equal(s->data_dir, "./run/data");
	assert_true(s->proxy.workers >= 1);
	assert_true(s->proxy.n_providers >= 20);
	assert_int_equal(s->proxy.other_hosts, VERB_DENY);
	assert_true(s->proxy.require_key);
	assert_true(s->deny_without_budget);
	assert_int_equal(s->n_budgets, 0);
	assert_int_equal(s->proxy.limits.head_timeout_ns, INT64_C(10000000000));
	assert_int_equal(s->proxy.limits.max_body_bytes, 32 * 1024 * 1024);
	assert_int_equal(s->proxy.limits.body_min_rate, 240);
	assert_int_equal(s->drain_timeout_ns, INT64_C(600000000000));
	assert_int_equal(s->store.journal_slots, 16384);
	assert_int_equal(s->store.max_unpersisted_nanousd, INT64_C(10000000000));
	assert_int_equal(s->log_level, LOG_INFO);
	assert_true(s->proxy.log_requests);
	settings_free(s);
}

static const struct proxy_provider *provider(const struct settings *s, const char *name)
{
	for (size_t i = 0; i < s->proxy.n_providers; i++)
		if (strcmp(s->proxy.providers[i].name, name) == 0)
			return &s->proxy.providers[i];
	fail_msg("no provider %s", name);
	return NULL;
}

static void providers_are_changed_and_added(void **state)
{
	const char *env[] = {"BURSAR_PROVIDERS__OPENAI__API_KEY=sk-from-environment", NULL};
	struct settings *s = good("providers:\n"
				  "  openai: {block_status: 429}\n"
				  "  mycloud:\n"
				  "    base_url: http://10.1.2.3:9000/llm/\n"
				  "    family: anthropic\n"
				  "    hosts: [llm.example.com, '*.llm.example.com']\n"
				  "  other: {base_url: 'https://other.example'}\n",
				  env);
	const struct proxy_provider *p = provider(s, "openai");

	(void)state;
	assert_string_equal(p->api_key, "sk-from-environment");
	assert_int_equal(p->block_status, 429);
	assert_true(p->tls);
	assert_string_equal(p->host, "api.openai.com");
	p = provider(s, "mycloud");
	assert_false(p->tls);
	assert_string_equal(p->host, "10.1.2.3");
	assert_int_equal(p->port, 9000);
	assert_string_equal(p->base_path, "/llm");
	assert_string_equal(p->gateway_prefix, "mycloud");
	assert_int_equal(p->family, FAMILY_ANTHROPIC);
	assert_string_equal(p->hosts[1], "*.llm.example.com");
	assert_null(p->hosts[2]);
	assert_null(p->api_key);
	p = provider(s, "other");
	assert_string_equal(p->hosts[0], "other.example");
	assert_int_equal(p->block_status, 402);
	settings_free(s);
}

static void every_vendor_is_one_line(void **state)
{
	struct settings *s =
	    good("providers:\n"
		 "  mine: {base_url: 'https://llm.example.com/api/v1'}\n"
		 "  prod:\n"
		 "    base_url: https://contoso.openai.azure.com\n"
		 "    models: {prod-gpt: gpt-5, Embed: text-embedding-3-small}\n"
		 "  apim: {base_url: 'https://x.azure-api.net', family: azure}\n"
		 "  eu: {base_url: 'https://bedrock-runtime.eu-west-1.amazonaws.com', full_bill_on_abort: 'no',\n"
		 "       models: {'arn:aws:bedrock:eu-west-1:1:application-inference-profile/abc': "
		 "amazon.nova-pro-v1:0}}\n"
		 "  fast: {base_url: 'https://api.groq.com/openai/v1', price_as: x-ai}\n"
		 "  router: {base_url: 'https://r.example', family: openrouter, on_client_abort: cancel,\n"
		 "           bills_errors: true}\n"
		 "  box: {base_url: 'http://192.168.1.5:8000', price: free, ask_usage: never}\n"
		 "  host: {base_url: 'http://llm:8000', price: free}\n"
		 "  vllm: {base_url: 'https://llm.corp.example', price: free}\n"
		 "  ollama: {price: free}\n",
		 NULL);
	const struct proxy_provider *p = provider(s, "mine");

	(void)state;
	assert_string_equal(p->price_id, "mine");
	assert_true(p->ask_usage && !p->price_free && !p->bills_errors && !p->full_bill_on_abort);
	assert_int_equal(p->on_client_abort, ABORT_DRAIN);
	p = provider(s, "prod");
	assert_int_equal(p->family, FAMILY_AZURE);
	assert_string_equal(p->price_id, "azure");
	assert_int_equal(p->n_models, 2);
	assert_string_equal(p->models[0].name, "prod-gpt");
	assert_string_equal(p->models[0].price_model, "gpt-5");
	assert_string_equal(p->hosts[0], "contoso.openai.azure.com");
	assert_string_equal(provider(s, "apim")->price_id, "azure");
	p = provider(s, "eu");
	assert_int_equal(p->family, FAMILY_AWS);
	assert_string_equal(p->price_id, "aws");
	assert_false(p->full_bill_on_abort);
	assert_int_equal(p->n_models, 1);
	p = provider(s, "fast");
	assert_string_equal(p->price_id, "x-ai");
	assert_false(p->ask_usage);
	p = provider(s, "router");
	assert_true(!p->ask_usage && p->bills_errors && p->on_client_abort == ABORT_CANCEL);
	p = provider(s, "box");
	assert_true(p->price_free && !p->ask_usage);
	assert_true(provider(s, "host")->price_free && provider(s, "ollama")->price_free);
	p = provider(s, "vllm");
	assert_true(p->price_free);
	assert_string_equal(p->hosts[0], "llm.corp.example");
	settings_free(s);
}

static void built_in_providers(void **state)
{
	struct settings *s = good("", NULL);
	const struct proxy_provider *p = provider(s, "bedrock");

	(void)state;
	assert_true(p->full_bill_on_abort && p->host[0] == '\0');
	assert_string_equal(p->price_id, "aws");
	p = provider(s, "xai");
	assert_string_equal(p->price_id, "x-ai");
	assert_string_equal(p->host, "api.x.ai");
	assert_false(provider(s, "mistral")->ask_usage);
	assert_false(provider(s, "perplexity")->ask_usage);
	assert_true(provider(s, "deepseek")->ask_usage);
	p = provider(s, "ollama");
	assert_true(!p->tls && p->port == 11434);
	for (size_t i = 0; i < s->n_ca_hosts; i++) /* the certificate authority is held to names, not to whole clouds */
		assert_null(strchr(s->ca_hosts[i] + (s->ca_hosts[i][0] == '*'), '*'));
	settings_free(s);
}

static void hosts_and_network(void **state)
{
	struct settings *s = good("hosts:\n"
				  "  - {host: api.example.com, do: intercept}\n"
				  "  - {host: '*.example.org', do: tunnel}\n"
				  "  - {host: api.anthropic.com, do: tunnel, allow_priced: true}\n"
				  "other_hosts: tunnel\nconnect_ports: [8443, 563]\n"
				  "network: {allow: [10.0.0.0/8, '::1'], dns: ['127.0.0.1:5353']}\n"
				  "auth: {require_key: false}\ndefault: allow\n",
				  NULL);
	bool found = false;

	(void)state;
	assert_int_equal(s->proxy.n_rules, 3);
	assert_int_equal(s->proxy.rules[1].verb, VERB_TUNNEL);
	assert_true(s->proxy.rules[2].allow_priced);
	assert_int_equal(s->proxy.other_hosts, VERB_TUNNEL);
	assert_int_equal(s->proxy.connect_ports[0], 8443);
	assert_int_equal(s->proxy.dial.n_allow, 2);
	assert_int_equal(s->proxy.n_dns_servers, 1);
	assert_false(s->proxy.require_key);
	assert_false(s->deny_without_budget);
	for (size_t i = 0; i < s->n_ca_hosts; i++) {
		found |= strcmp(s->ca_hosts[i], "api.example.com") == 0;
		assert_string_not_equal(s->ca_hosts[i], "*.example.org"); /* tunnelled: no business of the CA */
	}
	assert_true(found);
	settings_free(s);
}

static void budgets_as_people_write_them(void **state)
{
	struct settings *s = good("budgets:\n"
				  "  - name: search-daily\n"
				  "    match: {team: search, tag.env: prod, model: gpt-5*}\n"
				  "    per: [user, tag.app]\n"
				  "    window: week\n"
				  "    timezone: Europe/Berlin\n"
				  "    week_start: sunday\n"
				  "    month_anchor: 15\n"
				  "    limit: 50 USD\n"
				  "    mode: soft\n"
				  "    steps:\n"
				  "      - {at: 50%, do: alert}\n"
				  "      - {at: 99.5%, do: block}\n"
				  "    unknown_model: {charge: 0.05 USD}\n"
				  "  - {name: tokens, window: total, limit: 2M tokens, match: {key: first}}\n"
				  "  - {name: n, window: hour, limit: 1000 requests, unknown_model: free}\n",
				  NULL);
	const struct budget *b = s->budgets;

	(void)state;
	assert_int_equal(s->n_budgets, 3);
	assert_int_equal(b->n_match, 3);
	assert_int_equal(b->match[0].fact, FACT_TEAM);
	assert_string_equal(b->match[0].value, "search");
	assert_string_equal(b->match[1].tag, "env");
	assert_string_equal(b->match[2].value, "gpt-5*");
	assert_int_equal(b->n_per, 2);
	assert_string_equal(b->per[1].tag, "app");
	assert_int_equal(b->window.kind, WINDOW_WEEK);
	assert_int_equal(b->window.week_start, 6);
	assert_int_equal(b->window.month_anchor, 15);
	assert_string_equal(tz_name(b->window.tz), "Europe/Berlin");
	assert_int_equal(b->limit, INT64_C(50000000000));
	assert_int_equal(b->mode, MODE_SOFT);
	assert_int_equal(b->n_steps, 2);
	assert_int_equal(b->steps[1].at_ppm, 995000);
	assert_int_equal(b->steps[1].action, STEP_BLOCK);
	assert_int_equal(b->unknown_model, UNKNOWN_CHARGE);
	assert_int_equal(b->unknown_charge_nanousd, 50000000);
	assert_int_equal(b[1].unit, UNIT_TOKENS);
	assert_int_equal(b[1].limit, 2000000);
	assert_int_equal(b[1].mode, MODE_HARD);
	assert_int_equal(b[1].unknown_model, UNKNOWN_BLOCK);
	assert_int_equal(b[2].unit, UNIT_REQUESTS);
	assert_int_equal(b[2].unknown_model, UNKNOWN_FREE);
	settings_free(s);
}

static const char ladder[] =
    "budgets:\n"
    "  - name: b\n"
    "    window: month\n"
    "    limit: 100 USD\n"
    "    hold: growing\n"
    "    default_max_out: 4096\n"
    "    lower_mode: cut\n"
    "    breaker: {max_request: 5 USD, velocity: 20 USD, velocity_window: 30m, burn: trip, anomaly: trip,\n"
    "              cool_down: 20m, latch: true, probe: 1 USD}\n"
    "    steps:\n"
    "      - {at: 50%, do: alert}\n"
    "      - {at: 70%, do: throttle, max_delay: 2s}\n"
    "      - {at: 75%, do: pace, factor: 1.5, burst: 5m, max_wait: 20s}\n"
    "      - {do: pace, rate: 0.5 USD}\n"
    "      - {do: degrade, map: {gpt-5: gpt-5-mini, 'claude-opus-*': claude-haiku-4-5}}\n"
    "      - {do: clamp, min_out: 64}\n"
    "      - {do: block}\n"
    "  - {name: plain, window: day, limit: 1 USD, steps: [{do: throttle}, {do: clamp}]}\n";

static void check_ladder(const struct settings *s)
{
	const struct budget *b = s->budgets;
	const struct budget_step *step = b->steps;

	assert_int_equal(b->n_steps, 7);
	assert_true(step[1].action == STEP_THROTTLE && step[1].max_delay_ns == INT64_C(2000000000));
	assert_true(step[2].action == STEP_PACE && step[2].pace.factor_milli == 1500);
	assert_true(step[2].pace.burst_ns == INT64_C(300000000000) && step[2].pace.per_minute_nanousd == 0);
	assert_int_equal(step[2].pace.max_wait_ns, INT64_C(20000000000));
	assert_true(step[3].at_ppm == 800000 && step[3].pace.per_minute_nanousd == 500000000);
	assert_true(step[3].pace.factor_milli == 3000 && step[3].pace.burst_ns == INT64_C(600000000000));
	assert_true(step[4].action == STEP_DEGRADE && step[4].at_ppm == 900000 && step[4].n_map == 2);
	assert_string_equal(step[4].map[0].from, "gpt-5");
	assert_string_equal(step[4].map[1].from, "claude-opus-*");
	assert_string_equal(step[4].map[1].to, "claude-haiku-4-5");
	assert_true(step[5].action == STEP_CLAMP && step[5].at_ppm == 950000 && step[5].min_out == 64);
	assert_true(step[6].action == STEP_BLOCK && step[6].at_ppm == 1000000);
	assert_true(b->hold == HOLD_GROWING && b->default_max_out == 4096 && b->lower_cuts);
	assert_true(b->breaker.on && b->breaker.trip_on_burn && b->breaker.trip_on_anomaly && b->breaker.latch);
	assert_int_equal(b->breaker.max_request_nanousd, INT64_C(5000000000));
	assert_int_equal(b->breaker.velocity_nanousd, INT64_C(20000000000));
	assert_int_equal(b->breaker.velocity_window_s, 1800);
	assert_int_equal(b->breaker.cool_down_s, 1200);
	assert_int_equal(b->breaker.probe_nanousd, INT64_C(1000000000));
	b++;
	assert_true(b->steps[0].at_ppm == 800000 && b->steps[0].max_delay_ns == INT64_C(5000000000));
	assert_true(b->steps[1].at_ppm == 950000 && b->steps[1].min_out == STEP_MIN_OUT);
	assert_true(b->hold == HOLD_AUTO && b->default_max_out == 0 && !b->lower_cuts && !b->breaker.on);
}

static void the_whole_ladder(void **state)
{
	struct settings *s = good(ladder, NULL), *again;
	struct buf b;

	(void)state;
	check_ladder(s);
	buf_init(&b, 1024 * 1024);
	assert_int_equal(settings_dump(s, &b), BUR_OK);
	assert_int_equal(buf_append(&b, "", 1), BUR_OK);
	again = good(buf_slice(&b).p, NULL);
	check_ladder(again);
	settings_free(again);
	settings_free(s);
	buf_done(&b);
}

static void breakers_and_runaway_programs(void **state)
{
	struct settings *s = good("", NULL);

	(void)state;
	assert_true(s->proxy.upstream_breaker);
	assert_int_equal(s->proxy.runaway_action, RUNAWAY_OFF);
	assert_int_equal(s->proxy.runaway.repeat_max, 50);
	assert_int_equal(s->proxy.runaway.fanout_doublings, 6);
	assert_int_equal(s->proxy.runaway.min_nanousd, 100000000);
	assert_int_equal(s->proxy.limits.inflight_allow_tokens, 64);
	assert_null(provider(s, "openai")->bills_once_by);
	settings_free(s);
	s = good("breakers: {upstream: off}\n"
		 "runaway: {do: quarantine, repeat: 5, repeat_window: 1m, fanout: 0, cache_misses: 7, minimum: 2 USD, "
		 "quarantine: 1h}\n"
		 "limits: {inflight_allow_tokens: 0}\n"
		 "providers: {openai: {bills_once_by: Idempotency-Key}}\n",
		 NULL);
	assert_false(s->proxy.upstream_breaker);
	assert_int_equal(s->proxy.runaway_action, RUNAWAY_QUARANTINE);
	assert_int_equal(s->proxy.runaway.repeat_max, 5);
	assert_int_equal(s->proxy.runaway.repeat_window_ns, INT64_C(60000000000));
	assert_int_equal(s->proxy.runaway.fanout_min, 0);
	assert_int_equal(s->proxy.runaway.miss_max, 7);
	assert_int_equal(s->proxy.runaway.min_nanousd, INT64_C(2000000000));
	assert_int_equal(s->proxy.runaway.quarantine_ns, INT64_C(3600000000000));
	assert_int_equal(s->proxy.limits.inflight_allow_tokens, 0);
	assert_string_equal(provider(s, "openai")->bills_once_by, "idempotency-key");
	settings_free(s);
}

static void breakers_by_hand_and_none(void **state)
{
	struct settings *s = good("budgets:\n"
				  "  - {name: a, window: day, limit: 1 USD, breaker: {}}\n"
				  "  - {name: b, window: day, limit: 1 USD, breaker: {enabled: on, latch: on}}\n"
				  "  - {name: c, window: day, limit: 1 USD, breaker: {enabled: off, burn: trip}}\n",
				  NULL);

	(void)state;
	assert_false(s->budgets[0].breaker.on);
	assert_true(s->budgets[1].breaker.on && s->budgets[1].breaker.latch);
	assert_int_equal(s->budgets[1].breaker.cool_down_s, 900);
	assert_false(s->budgets[2].breaker.on);
	settings_free(s);
}

static void rolling_windows_and_shadows(void **state)
{
	struct settings *s =
	    good("budgets:\n"
		 "  - {name: a, mode: shadow, window: rolling 24h, limit: 1 USD, timezone: Europe/Berlin}\n"
		 "  - {name: b, window: 'rolling:7d', limit: 2 USD}\n"
		 "  - {name: c, window: rolling:90m, limit: 2 USD}\n",
		 NULL);
	const struct budget *b = s->budgets;

	(void)state;
	assert_int_equal(b[0].mode, MODE_SHADOW);
	assert_int_equal(b[0].unknown_model, UNKNOWN_FREE);
	assert_int_equal(b[0].rolling_s, 86400);
	assert_string_equal(b[0].window_name, "rolling 24h");
	assert_string_equal(tz_name(b[0].window.tz), "Europe/Berlin");
	assert_int_equal(b[1].rolling_s, 7 * 86400);
	assert_string_equal(b[1].window_name, "rolling 7d");
	assert_int_equal(b[2].rolling_s, 5400);
	settings_free(s);
}

static void several_windows_and_parents(void **state)
{
	struct settings *s = good("budgets:\n"
				  "  - name: org\n"
				  "    limits: [{window: month, limit: 100 USD}, {window: rolling 24h, limit: 5 USD},\n"
				  "             {window: month, limit: 9M tokens}]\n"
				  "    fiscal_year_start: 4\n"
				  "    timezone: Europe/Berlin\n"
				  "  - name: team\n"
				  "    parent: org\n"
				  "    match: {team: search}\n"
				  "    mode: soft\n"
				  "    window: month\n"
				  "    limit: 100 USD\n"
				  "    limits: [{window: hour, limit: 50 requests}]\n",
				  NULL);
	static const char *const names[] = {"org/month", "org/rolling 24h", "org/month/tokens", "team",
					    "team/hour/requests"};

	(void)state;
	assert_int_equal(s->n_budgets, ARRAY_LEN(names));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct budget *b = &s->budgets[i];

		assert_string_equal(b->name, names[i]);
		assert_string_equal(b->group, i < 3 ? "org" : "team");
		assert_int_equal(b->fiscal_month, i < 3 ? 4 : 1);
		assert_string_equal(tz_name(b->window.tz), i < 3 ? "Europe/Berlin" : "UTC");
		assert_int_equal(b->mode, i < 3 ? MODE_HARD : MODE_SOFT);
		assert_int_equal(b->n_match, i < 3 ? 0 : 1);
		if (i < 3)
			assert_null(b->parent);
		else
			assert_string_equal(b->parent, "org");
	}
	assert_int_equal(s->budgets[1].rolling_s, 86400);
	assert_int_equal(s->budgets[0].rolling_s, 0);
	assert_int_equal(s->budgets[2].unit, UNIT_TOKENS);
	settings_free(s);
}

static void json_is_yaml_too(void **state)
{
	struct settings *s = good("{\"listen\": [\"[::1]:0\", \":9000\"], \"workers\": 3,\n"
				  " \"limits\": {\"max_body\": \"1MiB\", \"drain_timeout\": \"0s\"}}",
				  NULL);

	(void)state;
	assert_int_equal(s->proxy.n_listen, 2);
	assert_int_equal(s->proxy.workers, 3);
	assert_int_equal(s->store.workers, 3);
	assert_int_equal(s->proxy.limits.max_body_bytes, 1048576);
	assert_int_equal(s->drain_timeout_ns, 0);
	settings_free(s);
}

static void environment_wins(void **state)
{
	const char *env[] = {"BURSAR_ADMIN__LISTEN=127.0.0.1:9999",
			     "BURSAR_DATA=/srv/bursar",
			     "BURSAR_LIMITS__HEAD_TIMEOUT=3s",
			     "BURSAR_CONFIG=/not/an/option",
			     "BURSAR_FAKE_NOW=2026-01-01T00:00:00Z",
			     "BURSAR_TOKEN=bur_x",
			     "PATH=/bin",
			     NULL};
	struct settings *s = good("admin: {listen: '127.0.0.1:1', allowed_hosts: [b.example]}\ndata: here\n", env);

	(void)state;
	assert_string_equal(s->admin_listen, "127.0.0.1:9999");
	assert_string_equal(s->admin_hosts[0], "b.example"); /* its neighbour in the map stays */
	assert_string_equal(s->data_dir, "/srv/bursar");
	assert_int_equal(s->proxy.limits.head_timeout_ns, INT64_C(3000000000));
	settings_free(s);
}

/* --- mistakes ----------------------------------------------------------------------------------------------------- */

#define BUDGET "budgets:\n  - name: b\n    window: day\n    limit: 1 USD\n"

static const struct {
	const char *text, *at, *words;
} bad[] = {
    {"listne: 1", "b.yaml:1:1:", "listen"},
    {"listen: localhost", "b.yaml:1:", "127.0.0.1:8080"},
    {"listen: 127.0.0.1:99999", "b.yaml:1:", "listen"},
    {"listen: []", "b.yaml:1:", "listen"},
    {"admin: {listen: example.com:80}", "b.yaml:1:9:", "admin.listen"},
    {"admin: {lissten: x}", "b.yaml:1:9:", "listen"},
    {"tls: {cert: a.pem}", "b.yaml:1:", "both"},
    {"workers: many", "b.yaml:1:1:", "workers"},
    {"workers: 65", "b.yaml:1:1:", "64"},
    {"workers: [1]", "b.yaml:1:", "workers"},
    {"providers: {openai: {api_key: sk-plain}}", "b.yaml:1:22:", "api_key"},
    {"providers: {mine: {family: openai}}", "b.yaml:1:", "base_url"},
    {"providers: {mine: {base_url: 'ftp://x'}}", "b.yaml:1:20:", "base_url"},
    {"providers: {mine: {base_url: 'https://u:p@x.example'}}", "b.yaml:1:20:", "base_url"},
    {"providers: {mine: {base_url: 'https://x.example?k=v'}}", "b.yaml:1:20:", "base_url"},
    {"providers: {mine: {base_url: 'https://0x7f.1'}}", "b.yaml:1:20:", "base_url"},
    {"providers: {Mine: {base_url: 'https://x.example'}}", "b.yaml:1:", "a-z"},
    {"providers: {mine: {base_url: 'https://x.example', prefix: openai}}", "b.yaml:1:51:", "taken"},
    {"providers: {mine: {base_url: 'https://x.example', prefix: a/b}}", "b.yaml:1:51:", "prefix"},
    {"providers: {openai: {family: acme}}", "b.yaml:1:22:", "family"},
    {"providers: {openai: {famly: openai}}", "b.yaml:1:22:", "family"},
    {"providers: {openai: {price: free}}", "b.yaml:1:22:", "own machines"},
    {"providers: {azure: {price: free}}", "b.yaml:1:21:", "own machines"},
    {"providers: {ollama: {base_url: 'https://ollama.com', price: free}}", "b.yaml:1:", "own machines"},
    {"providers: {mine: {base_url: 'https://x.example', price: free}}", "b.yaml:1:51:", "own machines"},
    {"providers: {mine: {base_url: 'http://8.8.8.8', price: free}}", "b.yaml:1:", "own machines"},
    {"providers: {openai: {price: cheap}}", "b.yaml:1:22:", "book"},
    {"providers: {openai: {price_as: 'Open AI'}}", "b.yaml:1:22:", "price_as"},
    {"providers: {openai: {models: [a]}}", "b.yaml:1:22:", "models"},
    {"providers: {openai: {models: {a: ''}}}", "b.yaml:1:", "models"},
    {"providers: {openai: {ask_usage: always}}", "b.yaml:1:22:", "never"},
    {"providers: {openai: {on_client_abort: stop}}", "b.yaml:1:22:", "cancel"},
    {"providers: {openai: {full_bill_on_abort: maybe}}", "b.yaml:1:22:", "auto"},
    {"providers: {openai: {bills_errors: sometimes}}", "b.yaml:1:22:", "bills_errors"},
    {"providers: {openai: {block_status: 410}}", "b.yaml:1:22:", "402"},
    {"providers: {openai: {hosts: ['API.openai.com']}}", "b.yaml:1:", "lower case"},
    {"hosts:\n  - {host: 'a b', do: deny}", "b.yaml:2:6:", "host pattern"},
    {"hosts:\n  - {host: a.example:443, do: deny}", "b.yaml:2:6:", "host pattern"},
    {"hosts:\n  - {host: x.example, do: allow}", "b.yaml:2:23:", "intercept"},
    {"hosts:\n  - {do: deny}", "b.yaml:2:", "host"},
    {"hosts:\n  - {host: api.openai.com, do: tunnel}", "b.yaml:2:28:", "allow_priced"},
    {"other_hosts: intercept", "b.yaml:1:1:", "deny"},
    {"connect_ports: [https]", "b.yaml:1:", "port"},
    {"connect_ports: [0]", "b.yaml:1:", "port"},
    {"network: {allow: [10.0.0.0/33]}", "b.yaml:1:", "10.0.0.0/8"},
    {"network: {dns: [dns.example]}", "b.yaml:1:", "network.dns"},
    {"auth: {require_key: maybe}", "b.yaml:1:8:", "require_key"},
    {"default: refuse", "b.yaml:1:1:", "deny"},
    {"limits: {head_timeout: 5}", "b.yaml:1:10:", "head_timeout"},
    {"limits: {head_timeout: 5 years}", "b.yaml:1:10:", "head_timeout"},
    {"limits: {connect_timeout: 20s}", "b.yaml:1:", "connect_total"},
    {"limits: {max_body: 1GiB, max_body_memory: 1MiB}", "b.yaml:1:", "max_body_memory"},
    {"storage: {journal_slots: 1000}", "b.yaml:1:11:", "power of two"},
    {"log: {level: loud}", "b.yaml:1:7:", "debug"},
    {"budgets: {name: x}", "b.yaml:1:", "list"},
    {"budgets:\n  - {window: day, limit: 1 USD}", "b.yaml:2:", "name"},
    {"budgets:\n  - {name: b, limit: 1 USD}", "b.yaml:2:", "window"},
    {"budgets:\n  - {name: b, window: day}", "b.yaml:2:", "limit"},
    {"budgets:\n  - {name: b, window: fortnight, limit: 1 USD}", "b.yaml:2:15:", "quarter"},
    {"budgets:\n  - {name: b, window: rolling, limit: 1 USD}", "b.yaml:2:15:", "from 1m"},
    {"budgets:\n  - {name: b, window: rolling 90s, limit: 1 USD}", "b.yaml:2:15:", "24h"},
    {"budgets:\n  - {name: b, window: rolling 367d, limit: 1 USD}", "b.yaml:2:15:", "366d"},
    {"budgets:\n  - {name: b, window: day, limit: fifty}", "b.yaml:2:28:", "50 USD"},
    {"budgets:\n  - {name: b, window: day, limit: 0 USD}", "b.yaml:2:28:", "50 USD"},
    {"budgets:\n  - {name: b, window: day, limit: 1 EUR}", "b.yaml:2:28:", "50 USD"},
    {BUDGET "    mode: firm\n", "b.yaml:5:5:", "hard, soft or shadow"},
    {BUDGET "    timezone: Mars/Olympus\n", "b.yaml:5:5:", "Europe/Berlin"},
    {BUDGET "    timezone: ../../etc/passwd\n", "b.yaml:5:5:", "IANA"},
    {BUDGET "    week_start: noday\n", "b.yaml:5:5:", "monday"},
    {BUDGET "    month_anchor: 29\n", "b.yaml:5:5:", "28"},
    {BUDGET "    fiscal_year_start: 13\n", "b.yaml:5:5:", "12"},
    {BUDGET "    parent: nobody\n", "b.yaml:1:", "no budget `nobody`"},
    {BUDGET "    parent: b\n", "b.yaml:1:", "back to itself"},
    {BUDGET "  - {name: c, parent: b, window: day, limit: 2 USD}\n", "b.yaml:1:", "budget `c`: its limit of 2 USD"},
    {BUDGET "    match: {team: x}\n  - {name: c, parent: b, window: day, limit: 1 USD}\n", "b.yaml:1:", "team `x`"},
    {BUDGET "    limits: {day: 1 USD}\n", "b.yaml:5:", "list"},
    {BUDGET "    limits: []\n", "b.yaml:5:", "list"},
    {BUDGET "    limits: [day]\n", "b.yaml:5:", "window: day"},
    {BUDGET "    limits: [{window: day}]\n", "b.yaml:5:", "and a `limit`"},
    {BUDGET "    limits: [{window: day, limit: 1 USD, mode: soft}]\n", "b.yaml:5:", "mode"},
    {BUDGET "    limits: [{window: week, limit: 1 EUR}]\n", "b.yaml:5:29:", "50 USD"},
    {BUDGET "    limits: [{window: decade, limit: 1 USD}]\n", "b.yaml:5:15:", "quarter"},
    {BUDGET "    limits:\n      - {window: week, limit: 1 USD}\n      - {window: week, limit: 2 USD}\n",
     "b.yaml:7:", "`b/week`"},
    {BUDGET "    limits: [{window: week, limit: 1 USD}]\n  - {name: b/week, window: day, limit: 1 USD}\n",
     "b.yaml:", "`b/week`"},
    {"budgets:\n  - name: a-name-of-sixty-bytes-which-leaves-no-room-for-what-is-behind\n"
     "    limits: [{window: rolling 24h, limit: 1 USD}]\n",
     "b.yaml:3:", "shorter name"},
    {"budgets:\n  - {name: b, limit: 1 USD, limits: [{window: day, limit: 1 USD}]}", "b.yaml:2:", "window: is missing"},
    {BUDGET "    match: {color: red}\n", "b.yaml:5:", "tag.<name>"},
    {BUDGET "    match: {team: [a, b]}\n", "b.yaml:5:13:", "one value"},
    {BUDGET "    match: {team: 'a*b'}\n", "b.yaml:5:13:", "at the end"},
    {BUDGET "    match: [team]\n", "b.yaml:5:", "map"},
    {BUDGET "    per: [color]\n", "b.yaml:5:", "tag.<name>"},
    {BUDGET "    steps: {at: 50%}\n", "b.yaml:5:", "list"},
    {BUDGET "    steps:\n      - {at: 50%, do: sing}\n", "b.yaml:6:19:", "alert|block|throttle|pace|degrade|clamp"},
    {BUDGET "    steps:\n      - {at: 50%, do: thottle}\n", "b.yaml:6:19:", "did you mean `throttle`"},
    {BUDGET "    steps:\n      - {at: 50%}\n", "b.yaml:6:", "do: expected"},
    {BUDGET "    steps:\n      - {do: throttle, max_dealy: 1s}\n", "b.yaml:6:24:", "max_delay"},
    {BUDGET "    steps:\n      - {do: throttle, max_delay: 61s}\n", "b.yaml:6:24:", "1ms to 1m"},
    {BUDGET "    steps:\n      - {do: throttle, max_delay: 5}\n", "b.yaml:6:24:", "duration"},
    {BUDGET "    steps:\n      - {at: 101%, do: throttle}\n", "b.yaml:6:10:", "100%"},
    {BUDGET "    steps:\n      - {do: throttle, burst: 5m}\n", "b.yaml:6:24:", "`burst` belongs to `do: pace`"},
    {BUDGET "    steps:\n      - {do: block, min_out: 5}\n", "b.yaml:6:21:", "`min_out` belongs to `do: clamp`"},
    {BUDGET "    steps:\n      - {do: clamp, map: {a: b}}\n", "b.yaml:6:21:", "`map` belongs to `do: degrade`"},
    {BUDGET "    steps:\n      - {do: pace, factor: 0}\n", "b.yaml:6:20:", "0.001 to 1000"},
    {BUDGET "    steps:\n      - {do: pace, factor: 1000.001}\n", "b.yaml:6:20:", "0.001 to 1000"},
    {BUDGET "    steps:\n      - {do: pace, factor: 2, rate: 1 USD}\n", "b.yaml:6:20:", "means nothing"},
    {BUDGET "    steps:\n      - {do: pace, rate: 5 tokens}\n", "b.yaml:6:20:", "50 USD"},
    {BUDGET "    steps:\n      - {do: pace, rate: 0 USD}\n", "b.yaml:6:20:", "USD"},
    {BUDGET "    steps:\n      - {do: pace, burst: 2d}\n", "b.yaml:6:20:", "1s to 1d"},
    {BUDGET "    steps:\n      - {do: pace, max_wait: 61s}\n", "b.yaml:6:20:", "1ms to 1m"},
    {"budgets:\n  - {name: b, window: day, limit: 5 tokens, steps: [{do: pace}]}\n", "b.yaml:2:", "limits in USD"},
    {"budgets:\n  - {name: b, window: day, limit: 1 USD, limits: [{window: day, limit: 5 requests}], "
     "steps: [{do: pace}]}\n",
     "b.yaml:2:", "in requests"},
    {BUDGET "    steps:\n      - {do: degrade}\n", "b.yaml:6:9:", "{gpt-5: gpt-5-mini}"},
    {BUDGET "    steps:\n      - {do: degrade, map: {}}\n", "b.yaml:6:23:", "{gpt-5: gpt-5-mini}"},
    {BUDGET "    steps:\n      - {do: degrade, map: [a]}\n", "b.yaml:6:23:", "map"},
    {BUDGET "    steps:\n      - {do: degrade, map: {a: b, c: c}}\n", "b.yaml:6:35:", "by itself"},
    {BUDGET "    steps:\n      - {do: degrade, map: {a: b*}}\n", "b.yaml:6:29:", "at the end of the model"},
    {BUDGET "    steps:\n      - {do: degrade, map: {'a*b': b}}\n", "b.yaml:6:29:", "at the end of the model"},
    {BUDGET "    steps:\n      - {do: degrade, map: {a: ''}}\n", "b.yaml:6:29:", "gpt-5-mini"},
    {BUDGET "    steps:\n      - {do: clamp, min_out: 0}\n", "b.yaml:6:21:", "1 to 10000000"},
    {BUDGET "    steps:\n      - {do: clamp}\n      - {do: clamp}\n", "b.yaml:7:9:", "twice"},
    {BUDGET "    steps:\n      - {do: block}\n      - {do: clamp}\n", "b.yaml:7:9:", "ascending"},
    {BUDGET "    hold: tight\n", "b.yaml:5:5:", "auto|worst|growing"},
    {BUDGET "    default_max_out: 0\n", "b.yaml:5:5:", "1 to 10000000"},
    {BUDGET "    default_max_out: 10000001\n", "b.yaml:5:5:", "1 to 10000000"},
    {BUDGET "    lower_mode: kill\n", "b.yaml:5:5:", "keep|cut"},
    {BUDGET "    breaker: on\n", "b.yaml:5:5:", "map"},
    {BUDGET "    breaker: {velosity: 1 USD}\n", "b.yaml:5:15:", "velocity"},
    {BUDGET "    breaker: {burn: alert}\n", "b.yaml:5:15:", "off|trip"},
    {BUDGET "    breaker: {latch: true}\n", "b.yaml:5:5:", "nothing would open it"},
    {BUDGET "    breaker: {burn: trip, cool_down: 500ms}\n", "b.yaml:5:27:", "1s to 1d"},
    {BUDGET "    breaker: {burn: trip, cool_down: 1500ms}\n", "b.yaml:5:27:", "whole seconds"},
    {BUDGET "    breaker: {velocity: 1 USD, velocity_window: 25h}\n", "b.yaml:5:32:", "1s to 1d"},
    {BUDGET "    breaker: {max_request: -1 USD}\n", "b.yaml:5:15:", "USD"},
    {"breakers: {upsteam: on}\n", "b.yaml:1:12:", "upstream"},
    {"runaway: {do: stop}\n", "b.yaml:1:11:", "off|alert|quarantine"},
    {"runaway: {repeat: 1000001}\n", "b.yaml:1:11:", "0 to 1000000"},
    {"runaway: {quarantine: 2h}\n", "b.yaml:1:11:", "1s to 1h"},
    {"limits: {inflight_allow_tokens: 100001}\n", "b.yaml:1:10:", "0 to 100000"},
    {"providers: {openai: {bills_once_by: 'a b'}}\n", "b.yaml:1:22:", "idempotency-key"},
    {BUDGET "    steps:\n      - {at: half, do: alert}\n", "b.yaml:6:10:", "80%"},
    {BUDGET "    steps:\n      - {at: 50, do: alert}\n", "b.yaml:6:10:", "80%"},
    {BUDGET "    steps:\n      - {at: -1%, do: alert}\n", "b.yaml:6:10:", "80%"},
    {BUDGET "    steps:\n      - {do: alert}\n", "b.yaml:6:", "needs an `at`"},
    {BUDGET "    steps:\n      - {at: 50%, do: alert, who: me}\n", "b.yaml:6:", "who"},
    {BUDGET "    steps:\n      - {at: 90%, do: alert}\n      - {at: 50%, do: alert}\n", "b.yaml:7:", "ascending"},
    {BUDGET "    unknown_model: maybe\n", "b.yaml:5:5:", "block, default, free"},
    {BUDGET "    unknown_model: {charge: 5 tokens}\n", "b.yaml:5:21:", "0.05 USD"},
    {BUDGET "  - name: b\n    window: day\n    limit: 2 USD\n", "b.yaml:", "b"},
    {"budgets:\n  - {name: \"a\\nb\", window: day, limit: 1 USD}\n", "b.yaml:2:6:", "name"},
};

static void every_mistake_has_its_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct settings *s = NULL;
		int r = settings_parse(slice_of(bad[i].text), "b.yaml", NULL, &s, &err);

		if (r != BUR_INVALID)
			fail_msg("accepted: %s", bad[i].text);
		if (strncmp(err.text, bad[i].at, strlen(bad[i].at)) != 0 || !strstr(err.text, bad[i].words))
			fail_msg("`%s`\n  gave   %s\n  wanted %s ... %s", bad[i].text, err.text, bad[i].at,
				 bad[i].words);
	}
}

static void mistakes_in_the_environment_name_the_variable(void **state)
{
	static const struct {
		const char *entry, *words;
	} cases[] = {
	    {"BURSAR_WORKERS=many", "BURSAR_WORKERS"},
	    {"BURSAR_ADMIN__LISSTEN=x", "listen"},
	    {"BURSAR_ADMNI__LISTEN=x", "admin"},
	    {"BURSAR_STORAGE__JOURNAL_SLOTS=1000", "BURSAR_STORAGE__JOURNAL_SLOTS"},
	    {"BURSAR_DATA__X__Y__Z__W=1", "BURSAR_DATA__X__Y__Z__W"},
	    {"BURSAR___X=1", "BURSAR___X"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *env[] = {"A=b", cases[i].entry, NULL};
		struct settings *s = NULL;

		assert_int_equal(settings_parse(SLICE("data: x"), "b.yaml", env, &s, &err), BUR_INVALID);
		if (strncmp(err.text, "environment: BURSAR_", 20) != 0 || !strstr(err.text, cases[i].words))
			fail_msg("`%s` gave %s", cases[i].entry, err.text);
	}
}

/* --- printing ----------------------------------------------------------------------------------------------------- */

static void dump_reads_back_and_hides_secrets(void **state)
{
	const char *env[] = {"BURSAR_PROVIDERS__OPENAI__API_KEY=sk-canary-123", NULL};
	struct settings *s = good(BUDGET "    steps:\n      - {at: 80%, do: alert}\n", env), *again;
	struct buf b;

	(void)state;
	buf_init(&b, 1024 * 1024);
	assert_int_equal(settings_dump(s, &b), BUR_OK);
	assert_int_equal(buf_append(&b, "", 1), BUR_OK);
	assert_null(strstr(buf_slice(&b).p, "canary"));
	assert_non_null(strstr(buf_slice(&b).p, "***"));
	again = NULL;
	if (settings_parse(slice_of(buf_slice(&b).p), "dump", env, &again, &err) != BUR_OK)
		fail_msg("the dump does not read back: %s", err.text);
	assert_int_equal(again->n_budgets, 1);
	assert_int_equal(again->budgets[0].n_steps, 1);
	settings_free(again);
	settings_free(s);
	buf_done(&b);
}

static void reference_names_every_section(void **state)
{
	static const char *const words[] = {"listen", "journal_slots", "unknown_model", "allow_priced", "block_status"};
	struct buf b;

	(void)state;
	buf_init(&b, 1024 * 1024);
	assert_int_equal(settings_reference(&b), BUR_OK);
	assert_int_equal(buf_append(&b, "", 1), BUR_OK);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		assert_non_null(strstr(buf_slice(&b).p, words[i]));
	buf_done(&b);
}

static void environment_is_wiped_of_keys(void **state)
{
	char secret[] = "BURSAR_PROVIDERS__OPENAI__API_KEY=sk-canary-123", other[] = "HOME=/root";
	char *env[] = {secret, other, NULL};
	struct settings *s = good("", (const char *const *)env);

	(void)state;
	settings_wipe_env(s, env);
	assert_null(memmem(secret, sizeof(secret), "canary", 6));
	assert_string_equal(other, "HOME=/root");
	assert_string_equal(provider(s, "openai")->api_key, "sk-canary-123");
	settings_free(s);
}

/* Cut anywhere, the file is good or refused with a place; never a crash. */
static void every_prefix_is_judged(void **state)
{
	static const char text[] = "listen: [127.0.0.1:0]\nproviders:\n  x: {base_url: 'https://x.example/v1'}\n" BUDGET
				   "    steps: [{at: 80%, do: alert}]\n    match: {team: a}\n    per: [user]\n";

	(void)state;
	for (size_t n = 0; n < sizeof(text); n++) {
		struct settings *s = NULL;
		int r = settings_parse(slice_mem(text, n), "b.yaml", NULL, &s, &err);

		if (r == BUR_OK)
			settings_free(s);
		else if (strncmp(err.text, "b.yaml:", 7) != 0)
			fail_msg("%zu bytes: %s", n, err.text);
	}
}

static void shipped_files_are_good(void **state)
{
	static const char *const files[] = {"conf/bursar.yaml", "conf/examples/ladder.yaml"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct settings *s = NULL;

		if (settings_load(files[i], &s, &err) == BUR_NOTFOUND)
			continue; /* run from elsewhere */
		assert_non_null(s);
		assert_true(s->n_budgets >= 2);
		settings_free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(empty_file_has_defaults),
	    cmocka_unit_test(providers_are_changed_and_added),
	    cmocka_unit_test(every_vendor_is_one_line),
	    cmocka_unit_test(built_in_providers),
	    cmocka_unit_test(hosts_and_network),
	    cmocka_unit_test(budgets_as_people_write_them),
	    cmocka_unit_test(the_whole_ladder),
	    cmocka_unit_test(breakers_and_runaway_programs),
	    cmocka_unit_test(breakers_by_hand_and_none),
	    cmocka_unit_test(rolling_windows_and_shadows),
	    cmocka_unit_test(several_windows_and_parents),
	    cmocka_unit_test(json_is_yaml_too),
	    cmocka_unit_test(environment_wins),
	    cmocka_unit_test(every_mistake_has_its_place),
	    cmocka_unit_test(mistakes_in_the_environment_name_the_variable),
	    cmocka_unit_test(dump_reads_back_and_hides_secrets),
	    cmocka_unit_test(reference_names_every_section),
	    cmocka_unit_test(environment_is_wiped_of_keys),
	    cmocka_unit_test(every_prefix_is_judged),
	    cmocka_unit_test(shipped_files_are_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
