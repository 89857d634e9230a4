/* The option tables of `alerts.channels`. */
#include "app/settings_alerts.h"
#include "base/attr.h"

#define ROWS(a) .rows = (a), .n_rows = ARRAY_LEN(a)
#define S_NS INT64_C(1000000000)
#define DAY_NS (86400 * S_NS)
#define LIST_MAX 32

/* A text that may be missing; one that is never shown. */
#define TEXT(name_, type_, field, sentence_)                                                                           \
	{                                                                                                              \
		.name = (name_), .type = OPT_STRING, .offset = offsetof(struct type_, field), .optional = true,        \
		.sentence = (sentence_)                                                                                \
	}
#define HIDDEN(name_, type_, field, sentence_)                                                                         \
	{                                                                                                              \
		.name = (name_), .type = OPT_STRING, .offset = offsetof(struct type_, field), .optional = true,        \
		.secret = true, .sentence = (sentence_)                                                                \
	}
#define NEEDED(name_, type_, field, hidden, sentence_)                                                                 \
	{                                                                                                              \
		.name = (name_), .type = OPT_STRING, .offset = offsetof(struct type_, field), .secret = (hidden),      \
		.sentence = (sentence_)                                                                                \
	}
#define TEXTS(name_, type_, field, max_, hidden, sentence_)                                                            \
	{                                                                                                              \
		.name = (name_), .type = OPT_STRINGS, .offset = offsetof(struct type_, field), .optional = true,       \
		.max = (max_), .secret = (hidden), .sentence = (sentence_)                                             \
	}
#define WORD(name_, type_, field, fallback_, choices_, sentence_)                                                      \
	{                                                                                                              \
		.name = (name_), .type = OPT_ENUM, .offset = offsetof(struct type_, field), .fallback = (fallback_),   \
		.choices = (choices_), .sentence = (sentence_)                                                         \
	}
#define SWITCH(name_, type_, field, fallback_, sentence_)                                                              \
	{                                                                                                              \
		.name = (name_), .type = OPT_BOOL, .offset = offsetof(struct type_, field), .fallback = (fallback_),   \
		.sentence = (sentence_)                                                                                \
	}

/* --- kinds -------------------------------------------------------------------------------------------------------- */

static const struct option email_rows[] = {
    NEEDED("server", file_email, server, false, "host of the mail server"),
    {.name = "port",
     .type = OPT_INT,
     .offset = offsetof(struct file_email, port),
     .optional = true,
     .min = 1,
     .max = 65535,
     .sentence = "default 587, with security tls 465, with none 25"},
    WORD("security", file_email, security, "starttls", "starttls|tls|none",
	 "starttls: plain at first, then TLS or nothing is sent; tls from the start; none: without a password only"),
    TEXT("username", file_email, username, "who bursar is to the mail server"),
    HIDDEN("password", file_email, password, "as ${ENV} or ${file:PATH}; with auth xoauth2 the access token"),
    WORD("auth", file_email, auth, "auto", "auto|plain|login|xoauth2", "auto: the best that the server offers"),
    NEEDED("from", file_email, from, false, "sender: bursar@example.com or \"bursar <bursar@example.com>\""),
    {.name = "to",
     .type = OPT_STRINGS,
     .offset = offsetof(struct file_email, to),
     .min = 1,
     .max = LIST_MAX,
     .sentence = "addresses; each gets messages of its own"},
    TEXT("ca_file", file_email, ca_file, "PEM file with roots to trust instead of the system's"),
    TEXT("ehlo", file_email, ehlo, "name to greet the server with; default alerts.node"),
    TEXT("subject", file_email, subject, "template of the subject (docs/alerts.md); default: ours"),
    TEXT("text", file_email, text, "template of the plain text, here or as ${file:PATH}"),
    TEXT("html", file_email, html, "template of the HTML part"),
};
static const struct option_table email_table = {.name = "email", ROWS(email_rows), .node_offset = SIZE_MAX};

static const struct option slack_rows[] = {
    HIDDEN("webhook", file_slack, webhook, "URL of an incoming webhook; or:"),
    HIDDEN("token", file_slack, token, "bot token (xoxb-...) with chat:write; updates then go into one thread"),
    TEXT("channel", file_slack, channel, "with token: id of the channel (C...); with format attachments: its name"),
    TEXT("api_url", file_slack, api_url, "with token: default https://slack.com/api"),
    WORD("format", file_slack, format, "blocks", "blocks|attachments", "attachments: the form of old custom webhooks"),
    TEXT("username", file_slack, username, "with format attachments: shown as the sender"),
    TEXT("icon_emoji", file_slack, icon_emoji, "with format attachments: such as :warning:"),
    TEXTS("mentions", file_slack, mentions, LIST_MAX, false,
	  "who is pinged first: <@U123>, <!here>, <!channel>, <!subteam^S123>"),
    TEXT("json", file_slack, json, "template of the whole payload"),
};
static const struct option_table slack_table = {.name = "slack", ROWS(slack_rows), .node_offset = SIZE_MAX};

static const struct option teams_rows[] = {
    NEEDED("url", file_chat, url, true, "URL of the Workflows webhook"),
    TEXT("json", file_chat, json, "template of the whole payload"),
};
static const struct option_table teams_table = {.name = "teams", ROWS(teams_rows), .node_offset = SIZE_MAX};

static const struct option discord_rows[] = {
    NEEDED("url", file_chat, url, true, "URL of the webhook"),
    TEXT("username", file_chat, username, "shown as the sender; default bursar"),
    TEXT("json", file_chat, json, "template of the whole payload"),
};
static const struct option_table discord_table = {.name = "discord", ROWS(discord_rows), .node_offset = SIZE_MAX};

static const struct option pagerduty_rows[] = {
    NEEDED("routing_key", file_pager, key, true, "integration key (Events API v2), 32 characters"),
    TEXT("url", file_pager, url, "default https://events.pagerduty.com/v2/enqueue; EU: events.eu.pagerduty.com"),
};
static const struct option_table pagerduty_table = {.name = "pagerduty", ROWS(pagerduty_rows), .node_offset = SIZE_MAX};

static const struct option opsgenie_rows[] = {
    NEEDED("key", file_pager, key, true, "API key of the integration"),
    TEXT("url", file_pager, url, "default https://api.opsgenie.com; EU: https://api.eu.opsgenie.com"),
    TEXTS("tags", file_pager, tags, LIST_MAX, false, "added to each alert"),
    TEXTS("responders", file_pager, responders, LIST_MAX, false, "names of teams"),
};
static const struct option_table opsgenie_table = {.name = "opsgenie", ROWS(opsgenie_rows), .node_offset = SIZE_MAX};

static const struct option alertmanager_rows[] = {
    HIDDEN("url", file_http, url, "where it is, without /api/v2: http://alertmanager:9093"),
    TEXTS("urls", file_http, urls, LIST_MAX, true, "every replica of a cluster"),
    HIDDEN("bearer", file_http, bearer, "token for the header Authorization"),
    TEXT("username", file_http, username, "or name and password (basic)"),
    HIDDEN("password", file_http, password, "as ${ENV} or ${file:PATH}"),
};
static const struct option_table alertmanager_table = {
    .name = "alertmanager", ROWS(alertmanager_rows), .node_offset = SIZE_MAX};

static const struct option webhook_rows[] = {
    HIDDEN("url", file_http, url, "where it is sent to"),
    TEXTS("urls", file_http, urls, LIST_MAX, true, "several; each gets every message"),
    WORD("format", file_http, format, "standard", "standard|cloudevents|cloudevents-binary|alertmanager|template",
	 "standard: Standard Webhooks; alertmanager: as Alertmanager's own webhook; template: as `template` says"),
    HIDDEN("secret", file_http, secret, "whsec_ and the base64 of 24 to 64 bytes: signs every message"),
    TEXTS("secrets", file_http, secrets, 4, true, "several: each signs, while one takes the other's place"),
    {.name = "headers",
     .type = OPT_PAIRS,
     .offset = offsetof(struct file_http, headers),
     .optional = true,
     .max = 16,
     .secret = true,
     .sentence = "further headers"},
    HIDDEN("bearer", file_http, bearer, "token for the header Authorization"),
    TEXT("username", file_http, username, "or name and password (basic)"),
    HIDDEN("password", file_http, password, "as ${ENV} or ${file:PATH}"),
    HIDDEN("api_key", file_http, api_key, "for the header X-API-Key"),
    {.name = "method",
     .type = OPT_STRING,
     .offset = offsetof(struct file_http, method),
     .fallback = "POST",
     .sentence = "POST, PUT or PATCH"},
    TEXT("template", file_http, template, "with format template: the body; values are escaped for its content_type"),
    TEXT("content_type", file_http, content_type, "with format template; default application/json"),
};
static const struct option_table webhook_table = {.name = "webhook", ROWS(webhook_rows), .node_offset = SIZE_MAX};

static const struct option log_rows[] = {
    WORD("format", file_log, format, "json", "json|syslog", "a JSON line, or a line by RFC 5424"),
    TEXT("path", file_log, path, "a file to append to, or a socket such as /dev/log; default: bursar's own log"),
    {.name = "facility",
     .type = OPT_STRING,
     .offset = offsetof(struct file_log, facility),
     .fallback = "daemon",
     .sentence = "with format syslog: daemon, user, auth, authpriv, cron, local0 to local7"},
};
static const struct option_table log_table = {.name = "log", ROWS(log_rows), .node_offset = SIZE_MAX};

/* --- what all have ------------------------------------------------------------------------------------------------ */

static const struct option quiet_rows[] = {
    NEEDED("from", file_quiet, from, false, "such as 22:00"),
    NEEDED("to", file_quiet, to, false, "such as 07:00; over midnight too"),
    {.name = "timezone",
     .type = OPT_STRING,
     .offset = offsetof(struct file_quiet, timezone),
     .fallback = "UTC",
     .sentence = "IANA name such as Europe/Berlin"},
    TEXTS("days", file_quiet, days, 7, false,
	  "days on which the silence begins: mon, tue, sat-sun; default: every day"),
};
const struct option_table settings_quiet_table = {.name = "quiet hours", ROWS(quiet_rows), .node_offset = SIZE_MAX};

static const struct option rate_rows[] = {
    {.name = "messages",
     .type = OPT_INT,
     .offset = offsetof(struct file_rate, messages),
     .optional = true,
     .min = 1,
     .max = 100000,
     .sentence =
	 "so many messages in a window; what is more is told in one (10; alertmanager, webhook 1000; log 100000)"},
    {.name = "critical",
     .type = OPT_INT,
     .offset = offsetof(struct file_rate, critical),
     .optional = true,
     .min = 1,
     .max = 100000,
     .sentence = "and so many critical ones (30; the others as messages)"},
    {.name = "window",
     .type = OPT_DURATION,
     .offset = offsetof(struct file_rate, window_ns),
     .fallback = "5m",
     .min = S_NS,
     .max = DAY_NS,
     .sentence = "the time for that, in whole seconds"},
};
static const struct option_table rate_table = {.name = "rate", ROWS(rate_rows), .node_offset = SIZE_MAX};

/* Exactly one of these stands in a channel. */
#define KIND(name_, field, sentence_)                                                                                  \
	{                                                                                                              \
		.name = #name_, .type = OPT_GROUP, .offset = offsetof(struct file_channel, field), .optional = true,   \
		.sub = &name_##_table, .sentence = (sentence_)                                                         \
	}

static const struct option channel_rows[] = {
    WORD(
	"severity", file_channel, severity, "auto", "auto|info|warning|error|critical",
	"the least it is told; auto: log info, webhook and alertmanager warning, mail and chat error, pagers critical"),
    KIND(email, email, "by mail"),
    KIND(slack, slack, "to Slack"),
    KIND(teams, teams, "to Microsoft Teams"),
    KIND(discord, discord, "to Discord"),
    KIND(pagerduty, pagerduty, "to PagerDuty"),
    KIND(opsgenie, opsgenie, "to Opsgenie"),
    KIND(alertmanager, alertmanager, "to Prometheus' Alertmanager"),
    KIND(webhook, webhook, "to a URL of your own"),
    KIND(log, log, "a line in a log"),
    {.name = "quiet_hours",
     .type = OPT_GROUP,
     .offset = offsetof(struct file_channel, quiet),
     .optional = true,
     .sub = &settings_quiet_table,
     .sentence = "what is not critical waits for their end; default: alerts.quiet_hours"},
    {.name = "rate",
     .type = OPT_GROUP,
     .offset = offsetof(struct file_channel, rate),
     .sub = &rate_table,
     .sentence = "how many messages it gets at most"},
    {.name = "min_gap",
     .type = OPT_DURATION,
     .offset = offsetof(struct file_channel, gap_ns),
     .optional = true,
     .max = DAY_NS,
     .sentence = "between messages of one incident that is not getting worse (5m; alertmanager and log 0s)"},
    {.name = "critical_min_gap",
     .type = OPT_DURATION,
     .offset = offsetof(struct file_channel, critical_gap_ns),
     .optional = true,
     .max = DAY_NS,
     .sentence = "and of a critical one (1m; alertmanager and log 0s)"},
    SWITCH("resolves", file_channel, resolves, "true", "is told of the end, too"),
    SWITCH("allow_http", file_channel, allow_http, "false", "its URL may be http: anybody on the way can read it"),
    SWITCH("allow_private", file_channel, allow_private, "false",
	   "it may be at a private or loopback address, such as a receiver in your own network"),
    TEXT("ca_file", file_channel, ca_file, "PEM file with roots to trust instead of the system's"),
};
const struct option_table settings_channel_table = {.name = "channel",
						    .record_bytes = sizeof(struct file_channel),
						    ROWS(channel_rows),
						    .node_offset = offsetof(struct file_channel, node)};
