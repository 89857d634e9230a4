/* One entry of `alerts.channels`, checked and turned into channels: what all kinds have. */
#include "app/settings_channel.h"

#include <stdio.h>
#include <string.h>

#include "alerts/template.h"
#include "base/error.h"
#include "net/addr.h"

#define S_NS INT64_C(1000000000)
#define NAME_MAX_BYTES 40 /* with an address behind it still within ALERTS_NAME_MAX */
#define URL_MAX 2000

const struct node *channel_at(const struct channel_reading *rd, const char *key)
{
	return settings_at(rd->at, key);
}

struct arena *channel_arena(const struct channel_reading *rd)
{
	return &rd->ctx->s->own->arena;
}

int channel_add(struct channel_reading *rd, const char *suffix)
{
	struct alerts_config *to = rd->to;
	struct channel *ch = &to->channels[to->n_channels];
	int same = 1;

	if (to->n_channels == ALERTS_CHANNELS_MAX)
		return CHANNEL_FAIL(rd, rd->f->node, "channels: more than %d, each address and URL counted",
				    ALERTS_CHANNELS_MAX);
	*ch = rd->ch;
	ch->group = rd->f->name;
	ch->name = suffix ? arena_printf(channel_arena(rd), "%s:%s", ch->group, suffix).p : ch->group;
	/* two URLs of one host */
	for (size_t i = 0; i < to->n_channels && ch->name; i++)
		if (strcmp(to->channels[i].name, ch->name) == 0)
			ch->name =
			    arena_printf(channel_arena(rd), "%s:%s#%d", ch->group, suffix ? suffix : "", ++same).p;
	if (!ch->name)
		return BUR_NOMEM;
	to->n_channels++;
	return BUR_OK;
}

/* --- texts -------------------------------------------------------------------------------------------------------- */

bool channel_is_printable(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return false;
	return true;
}

bool channel_is_visible(const char *text, bool spaces)
{
	for (; *text; text++)
		if ((unsigned char)*text > '~' || *text < (spaces ? ' ' : '!'))
			return false;
	return true;
}

/* A credential that goes into a header; NULL: none. */
int channel_check_secret(struct channel_reading *rd, const char *key, const char *text)
{
	if (!text)
		return BUR_OK;
	if (!*text || strlen(text) > CHANNEL_HEADER_MAX || !channel_is_visible(text, false))
		return CHANNEL_FAIL(
		    rd, channel_at(rd, key),
		    "%s: is empty, or has a space, a line end or a letter that is not ASCII; is the variable or "
		    "file right?",
		    key);
	return settings_keep_secret(rd->ctx, text);
}

int channel_check_text(struct channel_reading *rd, const char *key, const char *text, size_t max)
{
	if (text && (!*text || strlen(text) > max || !channel_is_printable(text)))
		return CHANNEL_FAIL(rd, channel_at(rd, key), "%s: expected 1 to %zu characters in one line", key, max);
	return BUR_OK;
}

int channel_check_template(struct channel_reading *rd, const char *key, const char *text)
{
	char why[256] = "";

	if (!text || template_check(slice_of(text), why, sizeof(why)) == BUR_OK)
		return BUR_OK;
	return CHANNEL_FAIL(rd, channel_at(rd, key), "%s: %s", key, why);
}

/* --- addresses ---------------------------------------------------------------------------------------------------- */

int settings_check_url(struct settings_ctx *ctx, const struct node *node, const struct settings_url *rules,
		       const char *text)
{
	bool tls = slice_istarts(slice_of(text), SLICE("https://"));
	struct slice rest, authority;
	struct authority a;
	struct addr addr;
	const char *why = "expected a URL such as https://host/path";

	if (*text == '\0')
		why = "is empty; is the variable or file right?";
	if (!tls && !slice_istarts(slice_of(text), SLICE("http://")))
		goto bad;
	rest = slice_sub(slice_of(text), tls ? 8 : 7, SIZE_MAX);
	authority = slice_sub(rest, 0, strcspn(rest.p, "/?#"));
	if (rest.n > URL_MAX || strcspn(rest.p, "#") != rest.n || !channel_is_visible(rest.p, false) ||
	    strpbrk(rest.p, "\"<>\\^`{|}"))
		goto bad;
	why = "the URL must have no ?query";
	if (!rules->query && strchr(rest.p, '?'))
		goto bad;
	why = "there is no valid host in the URL (name and password have keys of their own)";
	if (authority_parse(authority, tls ? 443 : 80, &a) < 0)
		goto bad;
	why = "is http: whoever is on the way can read it; use https, or say `allow_http: true`";
	if (!tls && !rules->allow_http)
		goto bad;
	why = "leads to a private or loopback address; if that is meant, say `allow_private: true`";
	if (!rules->allow_private && addr_from_ip(a.host, a.port, &addr) == BUR_OK &&
	    addr_classify(&addr.sa) != ADDR_GLOBAL)
		goto bad;
	return BUR_OK;
bad:
	if (rules->secret)
		return config_fail(ctx->err, ctx->file_name, node, "%s: %s", rules->what, why);
	return config_fail(ctx->err, ctx->file_name, node, "%s: %s, got `%.100s`", rules->what, why, text);
}

int channel_check_url(struct channel_reading *rd, const char *key, const char *text, bool secret)
{
	const struct settings_url rules = {key, rd->f->allow_http, rd->f->allow_private, secret, true};
	int r = settings_check_url(rd->ctx, channel_at(rd, key), &rules, text);

	return r == BUR_OK && secret ? settings_keep_secret(rd->ctx, text) : r;
}

/* --- all of a channel --------------------------------------------------------------------------------------------- */

struct kind {
	const char *key;
	const struct channel_ops *ops;
	channel_read *read;
	int per_window, critical_per_window; /* unless written */
	int64_t gap_s, critical_gap_s;
};

static const struct kind kinds[] = {
    {"email", &email_ops, channel_read_email, 10, 30, 300, 60},
    {"slack", &slack_webhook_ops, channel_read_slack, 10, 30, 300, 60},
    {"teams", &teams_ops, channel_read_teams, 10, 30, 300, 60},
    {"discord", &discord_ops, channel_read_discord, 10, 30, 300, 60},
    {"pagerduty", &pagerduty_ops, channel_read_pagerduty, 10, 30, 300, 60},
    {"opsgenie", &opsgenie_ops, channel_read_opsgenie, 10, 30, 300, 60},
    /* machines group and filter themselves */
    {"alertmanager", &alertmanager_ops, channel_read_alertmanager, 1000, 1000, 0, 0},
    {"webhook", &webhook_ops, channel_read_webhook, 1000, 1000, 300, 60},
    {"log", &logline_ops, channel_read_log, 100000, 100000, 0, 0},
};

static const struct kind *kind_find(struct slice key)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (slice_eq(key, slice_of(kinds[i].key)))
			return &kinds[i];
	return NULL;
}

/* The one kind of the channel, and its map. */
static int find_kind(struct channel_reading *rd, const struct kind **ret)
{
	const struct file_channel *f = rd->f;

	*ret = NULL;
	for (const struct node *n = f->node->kind == NODE_MAP ? f->node->first_child : NULL; n; n = n->next) {
		const struct kind *k = kind_find(n->key);

		if (!k)
			continue;
		if (*ret)
			return CHANNEL_FAIL(
			    rd, n, "channels.%.64s: is of two kinds, `%s` (line %d) and `%s`; make two channels",
			    f->name, (*ret)->key, rd->at->line, k->key);
		*ret = k;
		rd->at = n;
	}
	if (!*ret)
		return CHANNEL_FAIL(
		    rd, f->node,
		    "channels.%.64s: is of no kind; one of email, slack, teams, discord, pagerduty, opsgenie, "
		    "alertmanager, webhook or log is needed",
		    f->name);
	return BUR_OK;
}

static int64_t gap_of(const struct file_channel *f, const char *key, int64_t written_ns, int64_t otherwise_s)
{
	return node_get(f->node, key) ? (written_ns + S_NS - 1) / S_NS : otherwise_s;
}

static int read_common(struct channel_reading *rd, const struct kind *k)
{
	const struct file_channel *f = rd->f;
	const struct node *quiet = node_get(f->node, "quiet_hours");
	struct channel *ch = &rd->ch;
	int r = BUR_OK;

	if (!k->ops)
		return CHANNEL_FAIL(rd, rd->at, "%s: this build cannot send there", k->key);
	if (f->rate.window_ns % S_NS != 0)
		return CHANNEL_FAIL(rd, settings_at(settings_at(f->node, "rate"), "window"),
				    "rate.window: expected whole seconds");
	*ch = (struct channel){
	    .ops = k->ops,
	    .severity = f->severity ? (enum severity)(f->severity - 1) : k->ops->severity,
	    .window_s = f->rate.window_ns / S_NS,
	    .per_window = f->rate.messages ? (int)f->rate.messages : k->per_window,
	    .critical_per_window = f->rate.critical ? (int)f->rate.critical : k->critical_per_window,
	    .gap_s = gap_of(f, "min_gap", f->gap_ns, k->gap_s),
	    .critical_gap_s = gap_of(f, "critical_min_gap", f->critical_gap_ns, k->critical_gap_s),
	    .resolves = f->resolves,
	    .allow_http = f->allow_http,
	    .allow_private = f->allow_private,
	    .ca_file = f->ca_file,
	};
	if (ch->critical_per_window < ch->per_window)
		ch->critical_per_window = ch->per_window;
	if (quiet)
		r = settings_read_quiet(rd->ctx, quiet, &f->quiet, &ch->quiet);
	return r;
}

int settings_read_channel(struct settings_ctx *ctx, const struct file_channel *f, struct alerts_config *to)
{
	struct channel_reading rd = {.ctx = ctx, .f = f, .to = to};
	const struct kind *k;
	size_t n = strspn(f->name, CHANNEL_WORD "-_.");
	int r;

	if (n == 0 || n > NAME_MAX_BYTES || f->name[n] != '\0')
		return CHANNEL_FAIL(
		    &rd, f->node,
		    "channels: a name has letters, digits, -, _ and . only, at most %d of them, got `%.64s`",
		    NAME_MAX_BYTES, f->name);
	r = find_kind(&rd, &k);
	if (r == BUR_OK)
		r = read_common(&rd, k);
	return r == BUR_OK ? k->read(&rd) : r;
}
