/* One entry of `alerts.channels`, checked and turned into channels: one for each address or URL. */
#include <stdio.h>
#include <string.h>

#include "app/settings_alerts.h"
#include "app/settings_file.h"
#include "alerts/template.h"
#include "base/error.h"
#include "net/addr.h"

/* linked as they arrive */
#pragma weak email_ops
#pragma weak slack_webhook_ops
#pragma weak slack_api_ops
#pragma weak teams_ops
#pragma weak discord_ops
#pragma weak pagerduty_ops
#pragma weak opsgenie_ops
#pragma weak alertmanager_ops
#pragma weak webhook_ops
#pragma weak logline_ops
#pragma weak template_check

#define S_NS INT64_C(1000000000)
#define NAME_MAX_BYTES 40 /* with an address behind it still within ALERTS_NAME_MAX */
#define URL_MAX 2000
#define ADDRESS_MAX 254
#define HEADER_VALUE_MAX 4096
#define SECRET_MIN 24
#define SECRET_MAX 64
#define TOKEN_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

/* What is being read: the record, and the map of its kind for messages. */
struct reading {
	struct settings_ctx *ctx;
	const struct file_channel *f;
	const struct node *at;
	struct alerts_config *to;
	struct channel ch;
};

static const struct node *at(const struct reading *rd, const char *key)
{
	return settings_at(rd->at, key);
}

#define FAIL(rd, node, ...) config_fail((rd)->ctx->err, (rd)->ctx->file_name, (node), __VA_ARGS__)

static struct arena *arena_of(const struct reading *rd)
{
	return &rd->ctx->s->own->arena;
}

static int add(struct reading *rd, const char *suffix)
{
	struct alerts_config *to = rd->to;
	struct channel *ch = &to->channels[to->n_channels];
	int same = 1;

	if (to->n_channels == ALERTS_CHANNELS_MAX)
		return FAIL(rd, rd->f->node, "channels: more than %d, each address and URL counted",
			    ALERTS_CHANNELS_MAX);
	*ch = rd->ch;
	ch->group = rd->f->name;
	ch->name = suffix ? arena_printf(arena_of(rd), "%s:%s", ch->group, suffix).p : ch->group;
	/* two URLs of one host */
	for (size_t i = 0; i < to->n_channels && ch->name; i++)
		if (strcmp(to->channels[i].name, ch->name) == 0)
			ch->name = arena_printf(arena_of(rd), "%s:%s#%d", ch->group, suffix ? suffix : "", ++same).p;
	if (!ch->name)
		return BUR_NOMEM;
	to->n_channels++;
	return BUR_OK;
}

/* --- texts -------------------------------------------------------------------------------------------------------- */

static bool is_printable(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return false;
	return true;
}

/* Visible ASCII: what a header's value, a password or a token may be without any encoding. */
static bool is_visible(const char *text, bool spaces)
{
	for (; *text; text++)
		if ((unsigned char)*text > '~' || *text < (spaces ? ' ' : '!'))
			return false;
	return true;
}

/* A credential that goes into a header; NULL: none. */
static int check_secret(struct reading *rd, const char *key, const char *text)
{
	if (!text)
		return BUR_OK;
	if (!*text || strlen(text) > HEADER_VALUE_MAX || !is_visible(text, false))
		return FAIL(
		    rd, at(rd, key),
		    "%s: is empty, or has a space, a line end or a letter that is not ASCII; is the variable or "
		    "file right?",
		    key);
	return settings_keep_secret(rd->ctx, text);
}

static int check_text(struct reading *rd, const char *key, const char *text, size_t max)
{
	if (text && (!*text || strlen(text) > max || !is_printable(text)))
		return FAIL(rd, at(rd, key), "%s: expected 1 to %zu characters in one line", key, max);
	return BUR_OK;
}

static int check_template(struct reading *rd, const char *key, const char *text)
{
	char why[256] = "";

	if (!text || !template_check || template_check(slice_of(text), why, sizeof(why)) == BUR_OK)
		return BUR_OK;
	return FAIL(rd, at(rd, key), "%s: %s", key, why);
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

	if (!tls && !slice_istarts(slice_of(text), SLICE("http://")))
		goto bad;
	rest = slice_sub(slice_of(text), tls ? 8 : 7, SIZE_MAX);
	authority = slice_sub(rest, 0, strcspn(rest.p, "/?#"));
	if (rest.n > URL_MAX || strcspn(rest.p, "#") != rest.n || !is_visible(rest.p, false) ||
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

static int check_url(struct reading *rd, const char *key, const char *text, bool secret)
{
	const struct settings_url rules = {key, rd->f->allow_http, rd->f->allow_private, secret, true};
	int r = settings_check_url(rd->ctx, at(rd, key), &rules, text);

	return r == BUR_OK && secret ? settings_keep_secret(rd->ctx, text) : r;
}

/* "host" or "host:8443" of a URL that was checked: the rest may be a secret. */
static const char *url_place(struct reading *rd, const char *url)
{
	const char *start = strstr(url, "//") + 2;
	size_t n = strcspn(start, "/?");

	return arena_dup(arena_of(rd), slice_mem(start, n > 200 ? 200 : n)).p;
}

/* local@domain of RFC 5321 without quoting: that is what people have. */
static bool is_address(const char *text)
{
	static const char local[] = TOKEN_CHARS "!#$%&'*+-/=?^_`{|}~.";
	size_t n = strspn(text, local);
	const char *domain = text + n + 1;
	struct authority a;

	if (strlen(text) > ADDRESS_MAX || n == 0 || n > 64 || text[n] != '@' || text[0] == '.' || text[n - 1] == '.')
		return false;
	return strspn(domain, TOKEN_CHARS "-.") == strlen(domain) && !strstr(text, "..") &&
	       authority_parse(slice_of(domain), 25, &a) == BUR_OK && !a.is_ip;
}

/* --- mail --------------------------------------------------------------------------------------------------------- */

/* "bursar <bursar@example.com>" or the address alone. */
static int read_from(struct reading *rd)
{
	struct email_channel *to = &rd->ch.email;
	struct slice all = slice_trim(slice_of(rd->f->email.from)), name = SLICE_NONE, address = all;
	size_t open = slice_find(all, '<');

	if (open < all.n && slice_ends(all, SLICE(">"))) {
		name = slice_trim(slice_sub(all, 0, open));
		address = slice_sub(all, open + 1, all.n - open - 2);
	}
	if (name.n >= 2 && name.p[0] == '"' && slice_ends(name, SLICE("\"")))
		name = slice_sub(name, 1, name.n - 2);
	to->from = arena_dup(arena_of(rd), address).p;
	to->from_name = arena_dup(arena_of(rd), name).p;
	if (!to->from || !to->from_name)
		return BUR_NOMEM;
	if (!is_address(to->from) || !is_printable(to->from_name) || strpbrk(to->from_name, "\"\\<>") || name.n > 128)
		return FAIL(
		    rd, at(rd, "from"),
		    "from: expected an address such as `bursar@example.com` or `bursar <bursar@example.com>`, got "
		    "`%.100s`",
		    rd->f->email.from);
	return BUR_OK;
}

static int read_server(struct reading *rd)
{
	static const int ports[] = {[MAIL_STARTTLS] = 587, [MAIL_TLS] = 465, [MAIL_PLAINTEXT] = 25};
	const struct file_email *f = &rd->f->email;
	struct email_channel *to = &rd->ch.email;
	struct authority a;
	struct addr addr;

	to->security = f->security;
	to->port = (uint16_t)(f->port ? f->port : ports[f->security]);
	to->host = f->server;
	if (strpbrk(f->server, ":/@[]") || authority_parse(slice_of(f->server), to->port, &a) < 0)
		return FAIL(rd, at(rd, "server"),
			    "server: expected the host of a mail server such as `smtp.example.com` (the port has a key "
			    "of its own), got `%.100s`",
			    f->server);
	if (!rd->f->allow_private && addr_from_ip(a.host, a.port, &addr) == BUR_OK &&
	    addr_classify(&addr.sa) != ADDR_GLOBAL)
		return FAIL(
		    rd, at(rd, "server"),
		    "server: `%s` is a private or loopback address; if that is meant, say `allow_private: true` "
		    "beside `email`",
		    f->server);
	to->ehlo = f->ehlo ? f->ehlo : rd->to->node;
	if (strlen(to->ehlo) > HOST_MAX || strspn(to->ehlo, TOKEN_CHARS "-._") != strlen(to->ehlo))
		return FAIL(rd, at(rd, "ehlo"), "ehlo: expected a host name, got `%.80s`", to->ehlo);
	return BUR_OK;
}

static int read_login(struct reading *rd)
{
	static const char *const auths[] = {NULL, "plain", "login", "xoauth2"};
	const struct file_email *f = &rd->f->email;
	struct email_channel *to = &rd->ch.email;

	if (!f->username != !f->password)
		return FAIL(rd, rd->at, "%s: is missing; username and password go together",
			    f->username ? "password" : "username");
	if (f->password && f->security == MAIL_PLAINTEXT)
		return FAIL(rd, at(rd, "security"),
			    "security: `none` would send the password unencrypted; use starttls or tls, or leave out "
			    "username and password");
	if (f->auth && !f->username)
		return FAIL(rd, at(rd, "auth"), "auth: needs username and password");
	if (f->username && (!*f->username || !is_printable(f->username) || !*f->password || !is_printable(f->password)))
		return FAIL(
		    rd, at(rd, "password"),
		    "username, password: one of them is empty or has a line end; is the variable or file right?");
	to->user = f->username;
	to->password = f->password;
	to->auth = auths[f->auth];
	return settings_keep_secret(rd->ctx, f->password);
}

static int read_email(struct reading *rd)
{
	const struct file_email *f = &rd->f->email;
	int r = read_server(rd);

	if (r == BUR_OK)
		r = read_login(rd);
	if (r == BUR_OK)
		r = read_from(rd);
	if (r == BUR_OK)
		r = check_template(rd, "subject", f->subject);
	if (r == BUR_OK)
		r = check_template(rd, "text", f->text);
	if (r == BUR_OK)
		r = check_template(rd, "html", f->html);
	rd->ch.templates = (struct channel_templates){.subject = f->subject, .text = f->text, .html = f->html};
	if (f->ca_file)
		rd->ch.ca_file = f->ca_file;
	for (size_t i = 0; i < f->to.n && r == BUR_OK; i++) {
		rd->ch.email.to = f->to.items[i];
		if (!is_address(f->to.items[i]))
			return FAIL(rd, at(rd, "to"), "to: expected an address such as `ops@example.com`, got `%.100s`",
				    f->to.items[i]);
		for (size_t k = 0; k < i; k++)
			if (strcmp(f->to.items[i], f->to.items[k]) == 0)
				return FAIL(rd, at(rd, "to"), "to: `%s` stands there twice", f->to.items[i]);
		r = add(rd, f->to.n > 1 ? f->to.items[i] : NULL);
	}
	return r;
}

/* --- chat --------------------------------------------------------------------------------------------------------- */

/* "<@U123>", "<!here>", "<!subteam^S123>" */
static bool is_mention(const char *text)
{
	size_t n = strlen(text);

	return n >= 4 && n <= 80 && text[0] == '<' && (text[1] == '@' || text[1] == '!') && text[n - 1] == '>' &&
	       strspn(text + 2, TOKEN_CHARS "^-_") == n - 3;
}

static int check_slack_keys(struct reading *rd)
{
	const struct file_slack *f = &rd->f->slack;
	bool old = f->format == 1;

	if (!f->webhook == !f->token)
		return FAIL(rd, rd->at, "slack: needs %s",
			    f->token ? "either webhook or token, not both" : "a webhook, or a token and a channel");
	if (f->token && !f->channel)
		return FAIL(rd, rd->at, "channel: is missing; with a token, say which channel");
	if (f->token && old)
		return FAIL(rd, at(rd, "format"), "format: attachments are for webhooks, not for a token");
	if (!old && ((f->webhook && f->channel) || f->username || f->icon_emoji))
		return FAIL(rd, rd->at,
			    "slack: a webhook belongs to one channel and one sender; channel, username and icon_emoji "
			    "work with `format: attachments` only");
	if (f->webhook && f->api_url)
		return FAIL(rd, at(rd, "api_url"), "api_url: belongs to token, not to webhook");
	for (size_t i = 0; i < f->mentions.n; i++)
		if (!is_mention(f->mentions.items[i]))
			return FAIL(
			    rd, at(rd, "mentions"),
			    "mentions: expected `<@U123>`, `<!here>`, `<!channel>` or `<!subteam^S123>`, got `%.80s`",
			    f->mentions.items[i]);
	return BUR_OK;
}

static int read_slack(struct reading *rd)
{
	const struct file_slack *f = &rd->f->slack;
	int r = check_slack_keys(rd);

	if (r == BUR_OK && f->webhook)
		r = check_url(rd, "webhook", f->webhook, true);
	if (r == BUR_OK && f->api_url)
		r = check_url(rd, "api_url", f->api_url, false);
	if (r == BUR_OK)
		r = check_secret(rd, "token", f->token);
	if (r == BUR_OK)
		r = check_text(rd, "channel", f->channel, 80);
	if (r == BUR_OK)
		r = check_text(rd, "username", f->username, 80);
	if (r == BUR_OK)
		r = check_text(rd, "icon_emoji", f->icon_emoji, 80);
	if (r == BUR_OK)
		r = check_template(rd, "json", f->json);
	if (r < 0)
		return r;
	rd->ch.templates.json = f->json;
	rd->ch.ops = f->token ? &slack_api_ops : &slack_webhook_ops;
	rd->ch.slack = (struct slack_channel){
	    .webhook = f->webhook,
	    .token = f->token,
	    .channel = f->token ? f->channel : NULL,
	    .api_url = f->api_url ? f->api_url : "https://slack.com/api",
	    .attachments = f->format == 1,
	    .username = f->username,
	    .icon_emoji = f->icon_emoji,
	    .room = f->token ? NULL : f->channel,
	    .mentions = f->mentions.items,
	    .n_mentions = f->mentions.n,
	};
	return add(rd, NULL);
}

static int read_chat(struct reading *rd, const struct file_chat *f)
{
	int r = check_url(rd, "url", f->url, true);

	if (r == BUR_OK)
		r = check_text(rd, "username", f->username, 80);
	if (r == BUR_OK)
		r = check_template(rd, "json", f->json);
	rd->ch.templates.json = f->json;
	return r;
}

static int read_teams(struct reading *rd)
{
	int r = read_chat(rd, &rd->f->teams);

	rd->ch.teams.url = rd->f->teams.url;
	return r == BUR_OK ? add(rd, NULL) : r;
}

static int read_discord(struct reading *rd)
{
	int r = read_chat(rd, &rd->f->discord);

	rd->ch.discord = (struct discord_channel){rd->f->discord.url, rd->f->discord.username};
	return r == BUR_OK ? add(rd, NULL) : r;
}

/* --- pagers ------------------------------------------------------------------------------------------------------- */

static int read_pagerduty(struct reading *rd)
{
	const struct file_pager *f = &rd->f->pagerduty;
	const char *url = f->url ? f->url : "https://events.pagerduty.com/v2/enqueue";
	int r = check_url(rd, "url", url, false);

	if (r == BUR_OK)
		r = settings_keep_secret(rd->ctx, f->key);
	if (r < 0)
		return r;
	if (strlen(f->key) != 32 || strspn(f->key, TOKEN_CHARS) != 32)
		return FAIL(rd, at(rd, "routing_key"),
			    "routing_key: expected the 32 letters and digits of an Events API v2 integration");
	rd->ch.pagerduty = (struct pagerduty_channel){.url = url, .routing_key = f->key};
	return add(rd, NULL);
}

static int read_opsgenie(struct reading *rd)
{
	const struct file_pager *f = &rd->f->opsgenie;
	const char *url = f->url ? f->url : "https://api.opsgenie.com";
	int r = check_url(rd, "url", url, false);

	if (r == BUR_OK)
		r = check_secret(rd, "key", f->key);
	for (size_t i = 0; i < f->tags.n && r == BUR_OK; i++)
		r = check_text(rd, "tags", f->tags.items[i], 50);
	for (size_t i = 0; i < f->responders.n && r == BUR_OK; i++)
		r = check_text(rd, "responders", f->responders.items[i], 100);
	rd->ch.opsgenie = (struct opsgenie_channel){.url = url,
						    .key = f->key,
						    .tags = f->tags.items,
						    .n_tags = f->tags.n,
						    .responders = f->responders.items,
						    .n_responders = f->responders.n};
	return r == BUR_OK ? add(rd, NULL) : r;
}

/* --- machines ----------------------------------------------------------------------------------------------------- */

/* At most one way to sign in goes into the header Authorization. */
static int check_auth(struct reading *rd, const struct file_http *f)
{
	int r = check_secret(rd, "bearer", f->bearer);

	if (r == BUR_OK)
		r = check_secret(rd, "api_key", f->api_key);
	if (r == BUR_OK)
		r = settings_keep_secret(rd->ctx, f->password);
	if (r < 0)
		return r;
	if (!f->username != !f->password)
		return FAIL(rd, rd->at, "%s: is missing; username and password go together",
			    f->username ? "password" : "username");
	if (f->bearer && f->username)
		return FAIL(rd, at(rd, "bearer"), "bearer: either a bearer token or username and password, not both");
	if (f->username && (strchr(f->username, ':') || strlen(f->username) > 256 || strlen(f->password) > 1024 ||
			    !is_printable(f->username) || !is_printable(f->password)))
		return FAIL(rd, at(rd, "username"),
			    "username, password: one of them is too long or has a line end, or the name has a colon");
	return BUR_OK;
}

/* Header names that bursar itself writes. */
static bool is_ours(const char *name)
{
	static const char *const list[] = {"host",
					   "content-length",
					   "content-type",
					   "transfer-encoding",
					   "connection",
					   "idempotency-key",
					   "proxy-connection",
					   "upgrade",
					   "te",
					   "expect",
					   "trailer",
					   "keep-alive",
					   "x-api-key",
					   "authorization",
					   "proxy-authorization"};

	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		if (slice_ieq(slice_of(name), slice_of(list[i])))
			return true;
	return slice_istarts(slice_of(name), SLICE("webhook-")) || slice_istarts(slice_of(name), SLICE("ce-"));
}

static int read_headers(struct reading *rd, const struct file_http *f)
{
	const char **list = arena_zalloc(arena_of(rd), (f->headers.n + 1) * sizeof(*list));
	int r = list ? BUR_OK : BUR_NOMEM;

	for (size_t i = 0; i < f->headers.n && r == BUR_OK; i++) {
		const struct pair *h = &f->headers.items[i];
		size_t n = strlen(h->key);

		if (n == 0 || n > 64 || strspn(h->key, TOKEN_CHARS "-_") != n || is_ours(h->key))
			return FAIL(
			    rd, at(rd, "headers"),
			    "headers: expected a header's name that bursar does not write itself, got `%.64s` (bearer, "
			    "username, api_key and content_type are keys of their own)",
			    h->key);
		if (strlen(h->value) > HEADER_VALUE_MAX || !is_visible(h->value, true))
			return FAIL(
			    rd, at(rd, "headers"),
			    "headers: the value of `%s` has a line end or a letter that is not ASCII, or is too long",
			    h->key);
		list[i] = arena_printf(arena_of(rd), "%s: %s", h->key, h->value).p;
		r = list[i] ? settings_keep_secret(rd->ctx, h->value) : BUR_NOMEM;
	}
	rd->ch.webhook.headers = list;
	rd->ch.webhook.n_headers = f->headers.n;
	return r;
}

/* whsec_ and base64 */
static int check_signing(struct reading *rd, const char *key, const char *text)
{
	unsigned char raw[SECRET_MAX + 4];
	size_t n = 0;
	struct slice s = slice_of(text);
	bool good = slice_starts(s, SLICE("whsec_")) &&
		    base64_decode(slice_sub(s, 6, s.n), raw, sizeof(raw), &n) == BUR_OK && n >= SECRET_MIN &&
		    n <= SECRET_MAX;

	bytes_wipe(raw, sizeof(raw));
	if (good)
		return settings_keep_secret(rd->ctx, text);
	return FAIL(rd, at(rd, key),
		    "%s: expected `whsec_` and the base64 of %d to %d random bytes; `echo whsec_$(openssl rand -base64 "
		    "32)` makes one",
		    key, SECRET_MIN, SECRET_MAX);
}

static int read_secrets(struct reading *rd, const struct file_http *f)
{
	struct webhook_channel *to = &rd->ch.webhook;
	const char **one;
	int r = BUR_OK;

	if (f->secret && f->secrets.n)
		return FAIL(rd, at(rd, "secret"), "secret: either secret or secrets, not both");
	to->secrets = f->secrets.items;
	to->n_secrets = f->secrets.n;
	if (f->secret) {
		one = arena_zalloc(arena_of(rd), 2 * sizeof(*one));
		if (!one)
			return BUR_NOMEM;
		one[0] = f->secret;
		to->secrets = one;
		to->n_secrets = 1;
	}
	for (size_t i = 0; i < to->n_secrets && r == BUR_OK; i++)
		r = check_signing(rd, f->secret ? "secret" : "secrets", to->secrets[i]);
	return r;
}

static int read_webhook_body(struct reading *rd, const struct file_http *f)
{
	struct webhook_channel *to = &rd->ch.webhook;
	bool template = f->format == WEBHOOK_TEMPLATE;
	int r;

	if (strcmp(f->method, "POST") != 0 && strcmp(f->method, "PUT") != 0 && strcmp(f->method, "PATCH") != 0)
		return FAIL(rd, at(rd, "method"), "method: expected POST, PUT or PATCH, got `%.20s`", f->method);
	if (template != (f->template != NULL))
		return FAIL(rd, at(rd, "format"),
			    template ? "format: template needs a `template`" : "template: needs `format: template`");
	if (f->content_type && !template)
		return FAIL(rd, at(rd, "content_type"), "content_type: needs `format: template`");
	to->format = (enum webhook_format)f->format;
	to->method = f->method;
	to->content_type = f->content_type ? f->content_type : "application/json";
	rd->ch.templates.json = f->template;
	if (strlen(to->content_type) > 128 || !is_visible(to->content_type, true))
		return FAIL(rd, at(rd, "content_type"), "content_type: expected a type such as `application/json`");
	r = check_template(rd, "template", f->template);
	return r;
}

/* A channel for each URL; `dst` is where its URL goes. */
static int add_urls(struct reading *rd, const struct file_http *f, const char **dst)
{
	size_t n = f->url ? 1 : f->urls.n;
	int r = BUR_OK;

	if (!f->url == !f->urls.n)
		return FAIL(rd, rd->at, "url: %s", f->url ? "either url or urls, not both" : "is missing");
	for (size_t i = 0; i < n && r == BUR_OK; i++) {
		const char *place;

		*dst = f->url ? f->url : f->urls.items[i];
		r = check_url(rd, f->url ? "url" : "urls", *dst, true);
		if (r < 0)
			return r;
		place = url_place(rd, *dst);
		r = place ? add(rd, n > 1 ? place : NULL) : BUR_NOMEM;
	}
	return r;
}

static int read_webhook(struct reading *rd)
{
	const struct file_http *f = &rd->f->webhook;
	struct webhook_channel *to = &rd->ch.webhook;
	int r = read_webhook_body(rd, f);

	if (r == BUR_OK)
		r = check_auth(rd, f);
	if (r == BUR_OK)
		r = read_headers(rd, f);
	if (r == BUR_OK)
		r = read_secrets(rd, f);
	to->bearer = f->bearer;
	to->user = f->username;
	to->password = f->password;
	to->api_key = f->api_key;
	return r == BUR_OK ? add_urls(rd, f, &to->url) : r;
}

static int read_alertmanager(struct reading *rd)
{
	const struct file_http *f = &rd->f->alertmanager;
	struct alertmanager_channel *to = &rd->ch.alertmanager;
	int r = check_auth(rd, f);

	to->bearer = f->bearer;
	to->user = f->username;
	to->password = f->password;
	return r == BUR_OK ? add_urls(rd, f, &to->url) : r;
}

static int read_log(struct reading *rd)
{
	static const char *const facilities[] = {"kern",   "user",     "mail",   "daemon", "auth",   "syslog", "lpr",
						 "news",   "uucp",     "cron",   "ftp",    "local0", "local1", "local2",
						 "local3", "authpriv", "local4", "local5", "local6", "local7"};
	const struct file_log *f = &rd->f->log;
	bool known = false;

	for (size_t i = 0; i < ARRAY_LEN(facilities); i++)
		known = known || strcmp(f->facility, facilities[i]) == 0;
	if (!known)
		return FAIL(rd, at(rd, "facility"),
			    "facility: expected a facility of syslog such as daemon or local0, got `%.40s`",
			    f->facility);
	if (f->path && (!*f->path || strlen(f->path) > 4000))
		return FAIL(rd, at(rd, "path"), "path: expected the path of a file or socket");
	rd->ch.logline = (struct logline_channel){(enum logline_format)f->format, f->path, f->facility};
	return add(rd, NULL);
}

/* --- all of a channel --------------------------------------------------------------------------------------------- */

struct kind {
	const char *key;
	const struct channel_ops *ops;
	int (*read)(struct reading *);
	int per_window, critical_per_window; /* unless written */
	int64_t gap_s, critical_gap_s;
};

static const struct kind kinds[] = {
    {"email", &email_ops, read_email, 10, 30, 300, 60},
    {"slack", &slack_webhook_ops, read_slack, 10, 30, 300, 60},
    {"teams", &teams_ops, read_teams, 10, 30, 300, 60},
    {"discord", &discord_ops, read_discord, 10, 30, 300, 60},
    {"pagerduty", &pagerduty_ops, read_pagerduty, 10, 30, 300, 60},
    {"opsgenie", &opsgenie_ops, read_opsgenie, 10, 30, 300, 60},
    /* machines group and filter themselves */
    {"alertmanager", &alertmanager_ops, read_alertmanager, 1000, 1000, 0, 0},
    {"webhook", &webhook_ops, read_webhook, 1000, 1000, 300, 60},
    {"log", &logline_ops, read_log, 100000, 100000, 0, 0},
};

static const struct kind *kind_find(struct slice key)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (slice_eq(key, slice_of(kinds[i].key)))
			return &kinds[i];
	return NULL;
}

/* The one kind of the channel, and its map. */
static int find_kind(struct reading *rd, const struct kind **ret)
{
	const struct file_channel *f = rd->f;

	*ret = NULL;
	for (const struct node *n = f->node->kind == NODE_MAP ? f->node->first_child : NULL; n; n = n->next) {
		const struct kind *k = kind_find(n->key);

		if (!k)
			continue;
		if (*ret)
			return FAIL(rd, n,
				    "channels.%.64s: is of two kinds, `%s` (line %d) and `%s`; make two channels",
				    f->name, (*ret)->key, rd->at->line, k->key);
		*ret = k;
		rd->at = n;
	}
	if (!*ret)
		return FAIL(rd, f->node,
			    "channels.%.64s: is of no kind; one of email, slack, teams, discord, pagerduty, opsgenie, "
			    "alertmanager, webhook or log is needed",
			    f->name);
	return BUR_OK;
}

static int64_t gap_of(const struct file_channel *f, const char *key, int64_t written_ns, int64_t otherwise_s)
{
	return node_get(f->node, key) ? (written_ns + S_NS - 1) / S_NS : otherwise_s;
}

static int read_common(struct reading *rd, const struct kind *k)
{
	const struct file_channel *f = rd->f;
	const struct node *quiet = node_get(f->node, "quiet_hours");
	struct channel *ch = &rd->ch;
	int r = BUR_OK;

	if (!k->ops)
		return FAIL(rd, rd->at, "%s: this build cannot send there", k->key);
	if (f->rate.window_ns % S_NS != 0)
		return FAIL(rd, settings_at(settings_at(f->node, "rate"), "window"),
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
	struct reading rd = {.ctx = ctx, .f = f, .to = to};
	const struct kind *k;
	size_t n = strspn(f->name, TOKEN_CHARS "-_.");
	int r;

	if (n == 0 || n > NAME_MAX_BYTES || f->name[n] != '\0')
		return FAIL(&rd, f->node,
			    "channels: a name has letters, digits, -, _ and . only, at most %d of them, got `%.64s`",
			    NAME_MAX_BYTES, f->name);
	r = find_kind(&rd, &k);
	if (r == BUR_OK)
		r = read_common(&rd, k);
	return r == BUR_OK ? k->read(&rd) : r;
}
