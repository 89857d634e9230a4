/* settings_channel.h - one entry of `alerts.channels` while it is read; for the settings_channel files only. */
#ifndef APP_SETTINGS_CHANNEL_H
#define APP_SETTINGS_CHANNEL_H

#include "app/settings_alerts.h"
#include "app/settings_file.h"

struct channel_reading {
	struct settings_ctx *ctx;
	const struct file_channel *f;
	const struct node *at; /* the map of its kind */
	struct alerts_config *to;
	struct channel ch;
};

#define CHANNEL_FAIL(rd, node, ...) config_fail((rd)->ctx->err, (rd)->ctx->file_name, (node), __VA_ARGS__)
#define CHANNEL_WORD "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define CHANNEL_HEADER_MAX 3900

const struct node *channel_at(const struct channel_reading *, const char *key) NONNULL(1, 2);
struct arena *channel_arena(const struct channel_reading *) NONNULL(1);
/* Appends rd->ch as GROUP, or GROUP:SUFFIX. BUR_INVALID: there are too many. */
int channel_add(struct channel_reading *, const char *suffix) NONNULL(1) MUST_USE;

bool channel_is_printable(const char *text) NONNULL(1);
/* Visible ASCII: what may stand in a header without any encoding. */
bool channel_is_visible(const char *text, bool spaces) NONNULL(1);
/* Each of these says what is wrong with the value of `key`; a text that is NULL is fine. */
int channel_check_secret(struct channel_reading *, const char *key, const char *text) NONNULL(1, 2) MUST_USE;
int channel_check_text(struct channel_reading *, const char *key, const char *text, size_t max) NONNULL(1, 2) MUST_USE;
int channel_check_template(struct channel_reading *, const char *key, const char *text) NONNULL(1, 2) MUST_USE;
int channel_check_url(struct channel_reading *, const char *key, const char *text, bool secret)
    NONNULL(1, 2, 3) MUST_USE;

/* A function for each kind. BUR_INVALID fills the error; BUR_NOMEM. */
typedef int channel_read(struct channel_reading *);
channel_read channel_read_email, channel_read_slack, channel_read_teams, channel_read_discord, channel_read_pagerduty,
    channel_read_opsgenie, channel_read_webhook, channel_read_alertmanager, channel_read_log;

#endif
