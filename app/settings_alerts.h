/* settings_alerts.h - `alerts:` of bursar.yaml as it is written, before it is checked; for the settings files only. */
#ifndef APP_SETTINGS_ALERTS_H
#define APP_SETTINGS_ALERTS_H

#include "alerts/rule.h"
#include "base/config.h"

struct settings_ctx;

struct file_quiet {
	const char *from, *to, *timezone;
	struct string_list days;
};

struct file_rate {
	int64_t messages, critical, window_ns; /* 0: by the kind */
};

struct file_email {
	const char *server, *username, *password, *from, *ca_file, *ehlo, *subject, *text, *html;
	int64_t port; /* 0: by `security` */
	int security; /* MAIL_STARTTLS ... */
	int auth;     /* 0 auto, 1 plain, 2 login, 3 xoauth2 */
	struct string_list to;
};
struct file_slack {
	const char *webhook, *token, *channel, *api_url, *username, *icon_emoji, *json;
	int format; /* 0 blocks, 1 attachments */
	struct string_list mentions;
};
/* teams and discord */
struct file_chat {
	const char *url, *username, *json;
};
struct file_pager {
	const char *url, *key;
	struct string_list tags, responders;
};
struct file_http {
	const char *url, *method, *secret, *bearer, *username, *password, *api_key, *template, *content_type;
	struct string_list urls, secrets;
	struct pair_list headers;
	int format; /* enum webhook_format */
};
struct file_log {
	const char *path, *facility;
	int format; /* enum logline_format */
};

struct file_channel {
	const char *name; /* map key */
	int severity;     /* 0: by the kind, else enum severity + 1 */
	struct file_email email;
	struct file_slack slack;
	struct file_chat teams, discord;
	struct file_pager pagerduty, opsgenie;
	struct file_http webhook, alertmanager;
	struct file_log log;
	struct file_quiet quiet;
	struct file_rate rate;
	int64_t gap_ns, critical_gap_ns; /* by the kind when not written */
	bool resolves, allow_http, allow_private;
	const char *ca_file;
	const struct node *node;
};

struct file_escalate {
	int64_t after_ns;
	struct string_list to;
};
struct file_alert_rule {
	struct string_list events, budgets, key, user, team, project, model, provider, channels;
	const struct node *tags;
	int severity; /* as in struct file_channel */
	struct file_escalate escalate;
	const struct node *node;
};

struct file_alerts {
	bool enabled, escalate;
	const char *public_url, *node_name;
	struct record_list channels; /* struct file_channel */
	struct record_list rules;    /* struct file_alert_rule */
	struct file_quiet quiet;
	int64_t key_expiry_ns, link_valid_ns, retention_ns;
	const struct node *node;
};
extern const struct option_table settings_alerts_table, settings_channel_table, settings_quiet_table;

/* The channels under one name, appended to c->channels: one for each address or URL. There is room for
 * ALERTS_CHANNELS_MAX. BUR_INVALID fills the error; BUR_NOMEM. */
int settings_read_channel(struct settings_ctx *, const struct file_channel *, struct alerts_config *c)
    NONNULL(1, 2, 3) MUST_USE;
/* `at`: the map of the quiet hours; NULL: none. */
int settings_read_quiet(struct settings_ctx *, const struct node *at, const struct file_quiet *,
			struct quiet_hours *ret) NONNULL(1, 3, 4) MUST_USE;
/* http(s)://host[:port][/path][?query], and by the channel's own rules where it may lead; `secret`: not shown. */
struct settings_url {
	const char *what; /* the key, for messages */
	bool allow_http, allow_private, secret, query;
};
int settings_check_url(struct settings_ctx *, const struct node *at, const struct settings_url *, const char *text)
    NONNULL(1, 3, 4) MUST_USE;
/* Before ${ENV} is forgotten: texts to be wiped from the environment and from memory at the end. NULL is fine. */
int settings_keep_secret(struct settings_ctx *, const char *) NONNULL(1) MUST_USE;

#endif
