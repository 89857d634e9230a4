/* `alerts:` of bursar.yaml: what it becomes, and where each mistake is said to be. */
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

static struct settings *good_in(const char *text, const char *const *env)
{
	struct settings *s = NULL;

	if (settings_parse(slice_of(text), "b.yaml", env, &s, &err) != BUR_OK)
		fail_msg("refused: %s", err.text);
	return s;
}

static struct settings *good(const char *text)
{
	return good_in(text, NULL);
}

static const struct channel *channel(const struct settings *s, const char *name)
{
	for (size_t i = 0; i < s->alerts.n_channels; i++)
		if (strcmp(s->alerts.channels[i].name, name) == 0)
			return &s->alerts.channels[i];
	fail_msg("no channel %s", name);
	return NULL;
}

/* --- what it becomes ---------------------------------------------------------------------------------------------- */

static void nothing_said_is_a_line_in_the_log(void **state)
{
	struct settings *s = good("");
	const struct channel *log;

	(void)state;
	assert_true(s->alerts.enabled);
	assert_true(s->alerts.escalate);
	assert_string_equal(s->alerts.public_url, "");
	assert_true(strlen(s->alerts.node) > 0);
	assert_int_equal(s->alerts.key_expiry_s, 7 * 86400);
	assert_int_equal(s->alerts.link_valid_s, 7 * 86400);
	assert_int_equal(s->alerts.retention_s, 90 * 86400);
	assert_int_equal(s->alerts.n_rules, 0);
	assert_int_equal(s->alerts.n_channels, 1);
	log = channel(s, "log");
	assert_ptr_equal(log->ops, &logline_ops);
	assert_int_equal(log->severity, SEVERITY_INFO);
	assert_null(log->logline.path);
	assert_int_equal(log->logline.format, LOGLINE_JSON);
	settings_free(s);
}

static void the_log_is_there_beside_others_unless_it_is_named(void **state)
{
	struct settings *s = good("alerts: {channels: {hook: {webhook: {url: 'https://a.example'}}}}");

	(void)state;
	assert_int_equal(s->alerts.n_channels, 2);
	assert_ptr_equal(channel(s, "log")->ops, &logline_ops);
	settings_free(s);
	s = good(
	    "alerts: {channels: {log: {severity: error, log: {path: /var/log/a, format: syslog, facility: local3}}}}");
	assert_int_equal(s->alerts.n_channels, 1);
	assert_int_equal(channel(s, "log")->severity, SEVERITY_ERROR);
	assert_string_equal(channel(s, "log")->logline.path, "/var/log/a");
	assert_int_equal(channel(s, "log")->logline.facility, 19);
	assert_int_equal(channel(s, "log")->logline.format, LOGLINE_SYSLOG);
	settings_free(s);
}

static const char mail[] =
    "alerts:\n"
    "  node: node-1\n"
    "  public_url: https://bursar.example.com/\n"
    "  quiet_hours: {from: '22:00', to: '7:30', timezone: Europe/Berlin, days: [sat-mon, wed]}\n"
    "  channels:\n"
    "    ops-mail:\n"
    "      severity: warning\n"
    "      rate: {messages: 3, critical: 7, window: 10m}\n"
    "      min_gap: 2m\n"
    "      critical_min_gap: 0s\n"
    "      resolves: no\n"
    "      email:\n"
    "        server: smtp.example.com\n"
    "        username: bursar\n"
    "        password: hunter2\n"
    "        from: '\"bursar of Köln\" <bursar@example.com>'\n"
    "        to: [a@example.com, b@example.com]\n"
    "        subject: 'budget {{budget_id}}'\n"
    "    one:\n"
    "      quiet_hours: {from: '0:00', to: '23:59'}\n"
    "      email: {server: mx, security: tls, from: b@example.com, to: c@example.com, ca_file: x.pem}\n";

static void every_address_is_a_channel_of_its_own(void **state)
{
	struct settings *s = good(mail);
	const struct channel *a = channel(s, "ops-mail:a@example.com"), *one = channel(s, "one");

	(void)state;
	assert_int_equal(s->alerts.n_channels, 4);
	assert_string_equal(a->group, "ops-mail");
	assert_string_equal(a->email.to, "a@example.com");
	assert_string_equal(channel(s, "ops-mail:b@example.com")->email.to, "b@example.com");
	assert_string_equal(a->email.host, "smtp.example.com");
	assert_int_equal(a->email.port, 587);
	assert_int_equal(a->email.security, MAIL_STARTTLS);
	assert_string_equal(a->email.from, "bursar@example.com");
	assert_string_equal(a->email.from_name, "bursar of Köln");
	assert_string_equal(a->email.ehlo, "node-1");
	assert_string_equal(a->email.user, "bursar");
	assert_string_equal(a->email.password, "hunter2");
	assert_null(a->email.auth);
	assert_string_equal(a->templates.subject, "budget {{budget_id}}");
	assert_null(a->templates.html);
	assert_string_equal(s->alerts.public_url, "https://bursar.example.com");
	assert_int_equal(one->email.port, 465);
	assert_string_equal(one->ca_file, "x.pem");
	assert_string_equal(one->email.from_name, "");
	assert_null(one->email.user);
	settings_free(s);
}

static void what_all_channels_have(void **state)
{
	struct settings *s = good(mail);
	const struct channel *a = channel(s, "ops-mail:a@example.com"), *one = channel(s, "one");

	(void)state;
	assert_int_equal(a->severity, SEVERITY_WARNING);
	assert_int_equal(a->per_window, 3);
	assert_int_equal(a->critical_per_window, 7);
	assert_int_equal(a->window_s, 600);
	assert_int_equal(a->gap_s, 120);
	assert_int_equal(a->critical_gap_s, 0);
	assert_false(a->resolves);
	assert_true(a->quiet.on);
	assert_int_equal(a->quiet.from_min, 22 * 60);
	assert_int_equal(a->quiet.to_min, 7 * 60 + 30);
	assert_string_equal(tz_name(a->quiet.zone), "Europe/Berlin");
	assert_int_equal(a->quiet.days, 1U << 5 | 1U << 6 | 1U << 0 | 1U << 2);
	assert_int_equal(one->per_window, 10);
	assert_int_equal(one->critical_per_window, 30);
	assert_int_equal(one->window_s, 300);
	assert_int_equal(one->gap_s, 300);
	assert_int_equal(one->critical_gap_s, 60);
	assert_true(one->resolves);
	assert_int_equal(one->quiet.to_min, 23 * 60 + 59);
	assert_int_equal(one->quiet.days, 0x7f);
	assert_string_equal(tz_name(one->quiet.zone), "UTC");
	assert_false(channel(s, "log")->quiet.on);
	settings_free(s);
}

static void chats_and_pagers(void **state)
{
	struct settings *s = good(
	    "alerts:\n"
	    "  channels:\n"
	    "    chat: {slack: {webhook: 'https://hooks.slack.com/services/T/B/x', mentions: ['<!here>', '<@U1>']}}\n"
	    "    old: {slack: {webhook: 'https://h.example/x', format: attachments, channel: '#b', username: bursar}}\n"
	    "    api: {slack: {token: xoxb-1, channel: C1}}\n"
	    "    team: {teams: {url: 'https://x.logic.azure.com/w?sig=abc'}}\n"
	    "    guild: {discord: {url: 'https://discord.com/api/webhooks/1/t', username: b}}\n"
	    "    pager: {pagerduty: {routing_key: 0123456789abcdef0123456789abcdef}}\n"
	    "    genie: {opsgenie: {key: k-1, tags: [money], responders: [ops, sre]}}\n");

	(void)state;
	assert_ptr_equal(channel(s, "chat")->ops, &slack_webhook_ops);
	assert_int_equal(channel(s, "chat")->slack.n_mentions, 2);
	assert_int_equal(channel(s, "chat")->severity, SEVERITY_ERROR);
	assert_true(channel(s, "old")->slack.attachments);
	assert_string_equal(channel(s, "old")->slack.room, "#b");
	assert_ptr_equal(channel(s, "api")->ops, &slack_api_ops);
	assert_string_equal(channel(s, "api")->slack.channel, "C1");
	assert_string_equal(channel(s, "api")->slack.api_url, "https://slack.com/api");
	assert_string_equal(channel(s, "team")->teams.url, "https://x.logic.azure.com/w?sig=abc");
	assert_string_equal(channel(s, "guild")->discord.username, "b");
	assert_string_equal(channel(s, "pager")->pagerduty.url, "https://events.pagerduty.com/v2/enqueue");
	assert_int_equal(channel(s, "pager")->severity, SEVERITY_CRITICAL);
	assert_int_equal(channel(s, "genie")->opsgenie.n_responders, 2);
	assert_string_equal(channel(s, "genie")->opsgenie.url, "https://api.opsgenie.com");
	settings_free(s);
}

#define SECRET_A "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
#define SECRET_B "whsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY="

static void every_url_is_a_channel_of_its_own(void **state)
{
	struct settings *s =
	    good("alerts:\n"
		 "  channels:\n"
		 "    hook:\n"
		 "      webhook:\n"
		 "        urls: ['https://a.example/x?token=t', 'https://a.example/y', 'https://b.example:8443/']\n"
		 "        secrets: [" SECRET_A ", " SECRET_B "]\n"
		 "        headers: {X-Tenant: blue, X-Odd: 'a b'}\n"
		 "        api_key: k\n"
		 "        method: PUT\n"
		 "        format: cloudevents-binary\n"
		 "    own:\n"
		 "      allow_http: true\n"
		 "      allow_private: true\n"
		 "      webhook: {url: 'http://10.0.0.7:9000/a', format: template, template: '{\"t\":\"{{title}}\"}',\n"
		 "                username: u, password: 'p w'}\n"
		 "    am: {alertmanager: {urls: ['https://am1.example', 'https://am2.example/prefix']}}\n");
	const struct channel *ch = channel(s, "hook:a.example");

	(void)state;
	assert_string_equal(ch->webhook.url, "https://a.example/x?token=t");
	assert_string_equal(channel(s, "hook:a.example#2")->webhook.url, "https://a.example/y");
	assert_string_equal(channel(s, "hook:b.example:8443")->webhook.url, "https://b.example:8443/");
	assert_int_equal(ch->webhook.format, WEBHOOK_CLOUDEVENTS_BINARY);
	assert_int_equal(ch->webhook.n_secrets, 2);
	assert_string_equal(ch->webhook.headers[1], "X-Odd: a b");
	assert_string_equal(ch->webhook.method, "PUT");
	assert_string_equal(ch->webhook.api_key, "k");
	ch = channel(s, "own");
	assert_string_equal(ch->templates.json, "{\"t\":\"{{title}}\"}");
	assert_string_equal(ch->webhook.content_type, "application/json");
	assert_string_equal(ch->webhook.password, "p w");
	assert_true(ch->allow_http && ch->allow_private);
	ch = channel(s, "am:am2.example");
	assert_string_equal(ch->alertmanager.url, "https://am2.example/prefix");
	assert_int_equal(ch->gap_s, 0);
	assert_int_equal(ch->severity, SEVERITY_WARNING);
	settings_free(s);
}

static void rules_name_what_and_whom(void **state)
{
	struct settings *s =
	    good("budgets:\n"
		 "  - {name: search-daily, window: day, limit: 1 USD}\n"
		 "  - {name: ads, limits: [{window: day, limit: 1 USD}, {window: month, limit: 9 USD}]}\n"
		 "alerts:\n"
		 "  escalate: no\n"
		 "  channels: {pager: {pagerduty: {routing_key: 0123456789abcdef0123456789abcdef}}}\n"
		 "  rules:\n"
		 "    - events: ['budget.*', breaker.opened]\n"
		 "      severity: error\n"
		 "      budgets: [search-*, ads]\n"
		 "      team: [search, 'ad*']\n"
		 "      tags: {env: [prod, staging], tier: gold}\n"
		 "      channels: [pager]\n"
		 "      escalate: {after: 15m, to: [pager, log]}\n"
		 "    - {}\n");
	const struct rule *r = &s->alerts.rules[0];

	(void)state;
	assert_int_equal(s->alerts.n_rules, 2);
	assert_false(s->alerts.escalate);
	assert_int_equal(r->n_events, 2);
	assert_true(r->has_severity);
	assert_int_equal(r->severity, SEVERITY_ERROR);
	assert_int_equal(r->n_budgets, 3);
	assert_string_equal(r->budgets[1], "ads");
	assert_string_equal(r->budgets[2], "ads/*");
	assert_int_equal(r->n_match, 3);
	assert_string_equal(r->match[0].label, "team");
	assert_string_equal(r->match[0].values[1], "ad*");
	assert_string_equal(r->match[1].label, "tag.env");
	assert_int_equal(r->match[1].n_values, 2);
	assert_string_equal(r->match[2].label, "tag.tier");
	assert_string_equal(r->match[2].values[0], "gold");
	assert_int_equal(r->escalate_s, 900);
	assert_int_equal(r->n_escalate_to, 2);
	assert_false(s->alerts.rules[1].has_severity);
	assert_int_equal(s->alerts.rules[1].n_channels, 0);
	settings_free(s);
}

/* --- the environment ---------------------------------------------------------------------------------------------- */

static void names_of_other_programs_are_read(void **state)
{
	static const char *const env[] = {"ALERT_EMAIL_SMTP_SERVER=smtp.example.com",
					  "ALERT_EMAIL_SMTP_PORT=2525",
					  "ALERT_EMAIL_USERNAME=u",
					  "ALERT_EMAIL_PASSWORD=p",
					  "ALERT_EMAIL_SENDER=bursar@example.com",
					  "ALERT_EMAIL_RECIPIENTS=a@example.com, b@example.com",
					  "ALERT_EMAIL_USE_TLS=True",
					  "ALERT_SLACK_WEBHOOK_URL=https://hooks.slack.com/services/x",
					  "ALERT_SLACK_CHANNEL=#budget-alerts",
					  "ALERT_WEBHOOK_URLS=https://a.example/1,https://b.example/2",
					  "LIGHTRAG_ENABLE_BUDGET_ALERTS=False",
					  "BUDGET_ALERT_CHANNELS=logging, email,webhook",
					  "BURSAR_ALERTS__CHANNELS__EMAIL__SEVERITY=info",
					  NULL};
	struct settings *s = good_in("alerts: {enabled: true}", env);
	const struct channel *a = channel(s, "email:a@example.com");

	(void)state;
	assert_false(s->alerts.enabled);
	assert_int_equal(s->alerts.n_channels, 5); /* two addresses, two URLs, the log; Slack is not wanted */
	assert_int_equal(a->email.port, 2525);
	assert_int_equal(a->email.security, MAIL_STARTTLS);
	assert_string_equal(a->email.password, "p");
	assert_int_equal(a->severity, SEVERITY_INFO);
	assert_string_equal(channel(s, "webhook:b.example")->webhook.url, "https://b.example/2");
	settings_free(s);
}

static void mistakes_there_name_the_variable(void **state)
{
	static const char *const env[] = {"ALERT_SLACK_WEBHOOK_URL=http://hooks.slack.com/services/secret", NULL};
	struct settings *s = NULL;

	(void)state;
	assert_int_equal(settings_parse(SLICE(""), "b.yaml", env, &s, &err), BUR_INVALID);
	assert_non_null(strstr(err.text, "environment: ALERT_SLACK_WEBHOOK_URL:"));
	assert_null(strstr(err.text, "secret"));
}

static void secrets_are_wiped_and_never_shown(void **state)
{
	char password[] = "A7_PASSWORD=hunter2-of-the-test", path[] = "A7_PATH=T0000/B0000/abcdefgh",
	     other[] = "A7_OTHER=7";
	char *env[] = {password, path, other, NULL};
	struct settings *s;
	struct buf out;

	(void)state;
	assert_int_equal(setenv("A7_PASSWORD", "hunter2-of-the-test", 1), 0);
	assert_int_equal(setenv("A7_PATH", "T0000/B0000/abcdefgh", 1), 0);
	s = good("alerts:\n"
		 "  channels:\n"
		 "    m: {email: {server: mx, username: u, password: '${A7_PASSWORD}', from: a@b.example, to: "
		 "c@d.example}}\n"
		 "    s: {slack: {webhook: 'https://hooks.slack.com/services/${A7_PATH}'}}\n"
		 "    h: {webhook: {url: 'https://h.example/in-the-url', secret: " SECRET_A ", bearer: in-the-bearer,\n"
		 "                  headers: {X-Key: in-the-header}}}\n");
	buf_init(&out, 1 << 20);
	assert_int_equal(settings_dump(s, &out), BUR_OK);
	assert_int_equal(buf_append(&out, "", 1), BUR_OK);
	assert_null(strstr(buf_slice(&out).p, "hunter2"));
	assert_null(strstr(buf_slice(&out).p, "B0000"));
	assert_null(strstr(buf_slice(&out).p, "in-the-"));
	assert_null(strstr(buf_slice(&out).p, "whsec_M"));
	buf_done(&out);
	settings_wipe_env(s, env);
	assert_string_equal(password + strlen("A7_PASSWORD="), "");
	assert_string_equal(path + strlen("A7_PATH="), "");
	assert_string_equal(other, "A7_OTHER=7");
	settings_free(s);
}

static void what_is_dumped_reads_back(void **state)
{
	static const char text[] =
	    "alerts:\n"
	    "  public_url: https://b.example\n"
	    "  quiet_hours: {from: '22:00', to: '6:00', days: [sat]}\n"
	    "  channels:\n"
	    "    one: {log: {path: /var/log/x}, min_gap: 3m, rate: {messages: 5}}\n"
	    "    m: {email: {server: mx, from: a@b.example, to: [c@d.example, e@f.example], subject: "
	    "'${A7_UNSET:-x}{{id}}'}}\n"
	    "  rules: [{events: ['budget.*'], tags: {env: [prod, 'st*']}, channels: [one], escalate: {after: 1h}}]\n";
	struct settings *s = good(text), *again;
	struct buf first, second;

	(void)state;
	buf_init(&first, 1 << 20);
	buf_init(&second, 1 << 20);
	assert_int_equal(settings_dump(s, &first), BUR_OK);
	assert_int_equal(buf_append(&first, "", 1), BUR_OK);
	assert_non_null(strstr(buf_slice(&first).p, "# webhook: not set"));
	again = good(buf_slice(&first).p);
	assert_int_equal(settings_dump(again, &second), BUR_OK);
	assert_int_equal(buf_append(&second, "", 1), BUR_OK);
	assert_string_equal(buf_slice(&first).p, buf_slice(&second).p);
	assert_int_equal(again->alerts.n_channels, 4);
	assert_int_equal(channel(again, "one")->gap_s, 180);
	buf_done(&first);
	buf_done(&second);
	settings_free(s);
	settings_free(again);
}

/* --- mistakes ----------------------------------------------------------------------------------------------------- */

/* Each under `alerts: {channels: {x: ...}}` in a file of its own. */
static const struct {
	const char *channel, *words;
} bad_channels[] = {
    {"{}", "no kind"},
    {"{webhook: {url: 'https://a.example'}, log: {}}", "two kinds, `webhook` (line 1) and `log`"},
    {"{slack: {}}", "a webhook, or a token and a channel"},
    {"{slack: {webhook: 'https://a.example', token: t, channel: c}}", "not both"},
    {"{slack: {token: xoxb-1}}", "channel: is missing"},
    {"{slack: {webhook: 'https://a.example', channel: c}}", "format: attachments"},
    {"{slack: {webhook: 'https://a.example', mentions: ['@here']}}", "<!here>"},
    {"{webhook: {}}", "url: is missing"},
    {"{webhook: {url: 'https://a.example', urls: ['https://b.example']}}", "not both"},
    {"{webhook: {url: 'http://a.example/x'}}", "allow_http: true"},
    {"{webhook: {url: 'https://127.0.0.1/x'}}", "allow_private: true"},
    {"{webhook: {url: 'https://[::ffff:10.0.0.1]/x'}}", "allow_private: true"},
    {"{webhook: {url: 'https://u:p@a.example/x'}}", "no valid host"},
    {"{webhook: {url: 'ftp://a.example/x'}}", "expected a URL"},
    {"{webhook: {url: \"https://a.example/x\\r\\nX: y\"}}", "expected a URL"},
    {"{webhook: {url: 'https://a.example', secret: whsec_c2hvcnQ=}}", "24 to 64 random bytes"},
    {"{webhook: {url: 'https://a.example', secret: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=}}", "whsec_"},
    {"{webhook: {url: 'https://a.example', bearer: t, username: u, password: p}}", "not both"},
    {"{webhook: {url: 'https://a.example', bearer: 'a b'}}", "bearer: is empty, or has a space"},
    {"{webhook: {url: 'https://a.example', username: u}}", "password: is missing"},
    {"{webhook: {url: 'https://a.example', headers: {Host: x}}}", "`Host`"},
    {"{webhook: {url: 'https://a.example', headers: {Webhook-Id: x}}}", "`Webhook-Id`"},
    {"{webhook: {url: 'https://a.example', headers: {'X Y': x}}}", "`X Y`"},
    {"{webhook: {url: 'https://a.example', headers: {X: \"a\\r\\nEvil: 1\"}}}", "line end"},
    {"{webhook: {url: 'https://a.example', method: GET}}", "POST, PUT or PATCH"},
    {"{webhook: {url: 'https://a.example', format: template}}", "needs a `template`"},
    {"{webhook: {url: 'https://a.example', template: x}}", "needs `format: template`"},
    {"{webhook: {url: 'https://a.example', format: template, template: '{{a'}}", "template:"},
    {"{webhook: {url: 'https://a.example', format: cloudevent}}", "did you mean `cloudevents`"},
    {"{email: {server: mx, from: a@b.example, to: []}}", "to:"},
    {"{email: {server: mx, from: a@b.example, to: ['a@b.example', 'a@b.example']}}", "stands there twice"},
    {"{email: {server: mx, from: nobody, to: c@d.example}}", "from: expected an address"},
    {"{email: {server: mx, from: \"a\\nBcc: x <a@b.example>\", to: c@d.example}}", "from: expected an address"},
    {"{email: {server: mx, from: a@b.example, to: 'c@d.example>,<x@y.example'}}", "to: expected an address"},
    {"{email: {server: 'mx:25', from: a@b.example, to: c@d.example}}", "the port has a key"},
    {"{email: {server: 192.168.1.1, from: a@b.example, to: c@d.example}}", "allow_private: true"},
    {"{email: {server: mx, security: none, username: u, password: p, from: a@b.example, to: c@d.example}}",
     "unencrypted"},
    {"{email: {server: mx, username: u, from: a@b.example, to: c@d.example}}", "password: is missing"},
    {"{email: {server: mx, auth: plain, from: a@b.example, to: c@d.example}}", "auth: needs username"},
    {"{email: {server: mx, to: c@d.example}}", "email.from: expected this option"},
    {"{email: {server: mx, from: a@b.example, to: c@d.example, subject: '{{/x}}'}}", "subject:"},
    {"{pagerduty: {routing_key: abc}}", "32 letters and digits"},
    {"{log: {facility: nowhere}}", "facility of syslog"},
    {"{slack: {webhook: \"\"}}", "webhook: is empty"},
    {"{log: {}, severity: loud}", "auto|info|warning|error|critical"},
    {"{log: {}, quiet_hours: {from: '25:00', to: '1:00'}}", "a time such as `22:00`"},
    {"{log: {}, quiet_hours: {from: '1:00', to: '1:00'}}", "not `from`"},
    {"{log: {}, quiet_hours: {from: '1:00', to: '2:00', timezone: Mars/Base}}", "Europe/Berlin"},
    {"{log: {}, quiet_hours: {from: '1:00', to: '2:00', days: [someday]}}", "mon-fri"},
    {"{log: {}, rate: {window: 1500ms}}", "whole seconds"},
    {"{log: {}, rate: {messages: 0}}", "1 to 100000"},
    {"{logg: {}}", "did you mean `log`"},
};

static void wrong_channels_are_refused(void **state)
{
	char text[512];
	struct settings *s = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_channels); i++) {
		(void)snprintf(text, sizeof(text), "alerts: {channels: {x: %s}}", bad_channels[i].channel);
		if (settings_parse(slice_of(text), "b.yaml", NULL, &s, &err) != BUR_INVALID)
			fail_msg("taken: %s", text);
		if (!strstr(err.text, bad_channels[i].words) || strncmp(err.text, "b.yaml:1:", 9) != 0)
			fail_msg("%s\nsaid: %s", text, err.text);
	}
}

static const struct {
	const char *rest, *words;
} bad_alerts[] = {
    {"rules: [{channels: [logg]}]", "there is no channel `logg`; did you mean `log`?"},
    {"rules: [{escalate: {after: 1m, to: [pager]}}]", "escalate.to: there is no channel `pager`"},
    {"rules: [{escalate: {to: [log]}}]", "escalate.after: expected this option"},
    {"rules: [{events: [budget.exceded]}]", "did you mean `budget.exceeded`?"},
    {"rules: [{events: ['bud*.x']}]", "`*` behind it"},
    {"rules: [{budgets: [nothing]}]", "there is no budget `nothing`"},
    {"rules: [{team: ['']}]", "team: expected a name"},
    {"rules: [{tags: [x]}]", "{env: prod}"},
    {"rules: [{tags: {env: {a: b}}}]", "tags.env"},
    {"channels: {'a b': {log: {}}}", "letters, digits"},
    {"channels: {aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: {log: {}}}", "at most 40"},
    {"public_url: bursar.example.com", "expected a URL"},
    {"public_url: 'https://bursar.example.com/?x=1'", "?query"},
    {"node: 'a b'", "node: expected letters"},
    {"retention: 1h", "1d to"},
};

static void wrong_alerts_are_refused(void **state)
{
	char text[512];
	struct settings *s = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_alerts); i++) {
		(void)snprintf(text, sizeof(text), "alerts: {%s}", bad_alerts[i].rest);
		if (settings_parse(slice_of(text), "b.yaml", NULL, &s, &err) != BUR_INVALID)
			fail_msg("taken: %s", text);
		if (!strstr(err.text, bad_alerts[i].words))
			fail_msg("%s\nsaid: %s", text, err.text);
	}
}

static void no_more_than_so_many_channels(void **state)
{
	char text[8192];
	struct settings *s = NULL;
	size_t n = (size_t)snprintf(text, sizeof(text), "alerts: {channels: {");

	(void)state;
	/* 3 x 32 addresses */
	for (int i = 0; i < 3; i++) {
		n += (size_t)snprintf(text + n, sizeof(text) - n, "m%d: {email: {server: mx, from: a@b.example, to: [",
				      i);
		for (int k = 0; k < 32; k++)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "r%d@c.example, ", k);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "]}}, ");
	}
	(void)snprintf(text + n, sizeof(text) - n, "}}");
	assert_int_equal(settings_parse(slice_of(text), "b.yaml", NULL, &s, &err), BUR_INVALID);
	assert_non_null(strstr(err.text, "more than 64"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_said_is_a_line_in_the_log),
	    cmocka_unit_test(the_log_is_there_beside_others_unless_it_is_named),
	    cmocka_unit_test(every_address_is_a_channel_of_its_own),
	    cmocka_unit_test(what_all_channels_have),
	    cmocka_unit_test(chats_and_pagers),
	    cmocka_unit_test(every_url_is_a_channel_of_its_own),
	    cmocka_unit_test(rules_name_what_and_whom),
	    cmocka_unit_test(names_of_other_programs_are_read),
	    cmocka_unit_test(mistakes_there_name_the_variable),
	    cmocka_unit_test(secrets_are_wiped_and_never_shown),
	    cmocka_unit_test(what_is_dumped_reads_back),
	    cmocka_unit_test(wrong_channels_are_refused),
	    cmocka_unit_test(wrong_alerts_are_refused),
	    cmocka_unit_test(no_more_than_so_many_channels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
