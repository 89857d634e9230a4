/* Channels to people: mail, chats, pagers. */
#include <string.h>

#include "app/settings_channel.h"
#include "base/error.h"
#include "net/addr.h"

#define ADDRESS_MAX 254

/* --- mail --------------------------------------------------------------------------------------------------------- */

/* local@domain of RFC 5321 without quoting: that is what people have. */
static bool is_address(const char *text)
{
	static const char local[] = CHANNEL_WORD "!#$%&'*+-/=?^_`{|}~.";
	size_t n = strspn(text, local);
	const char *domain = text + n + 1;
	struct authority a;

	if (strlen(text) > ADDRESS_MAX || n == 0 || n > 64 || text[n] != '@' || text[0] == '.' || text[n - 1] == '.')
		return false;
	return strspn(domain, CHANNEL_WORD "-.") == strlen(domain) && !strstr(text, "..") &&
	       authority_parse(slice_of(domain), 25, &a) == BUR_OK && !a.is_ip;
}

/* "bursar <bursar@example.com>" or the address alone. */
static int read_from(struct channel_reading *rd)
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
	to->from = arena_dup(channel_arena(rd), address).p;
	to->from_name = arena_dup(channel_arena(rd), name).p;
	if (!to->from || !to->from_name)
		return BUR_NOMEM;
	if (!is_address(to->from) || !channel_is_printable(to->from_name) || strpbrk(to->from_name, "\"\\<>") ||
	    name.n > 128)
		return CHANNEL_FAIL(
		    rd, channel_at(rd, "from"),
		    "from: expected an address such as `bursar@example.com` or `bursar <bursar@example.com>`, got "
		    "`%.100s`",
		    rd->f->email.from);
	return BUR_OK;
}

static int read_server(struct channel_reading *rd)
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
		return CHANNEL_FAIL(
		    rd, channel_at(rd, "server"),
		    "server: expected the host of a mail server such as `smtp.example.com` (the port has a key "
		    "of its own), got `%.100s`",
		    f->server);
	if (!rd->f->allow_private && addr_from_ip(a.host, a.port, &addr) == BUR_OK &&
	    addr_classify(&addr.sa) != ADDR_GLOBAL)
		return CHANNEL_FAIL(
		    rd, channel_at(rd, "server"),
		    "server: `%s` is a private or loopback address; if that is meant, say `allow_private: true` "
		    "beside `email`",
		    f->server);
	to->ehlo = f->ehlo ? f->ehlo : rd->to->node;
	if (strlen(to->ehlo) > HOST_MAX || strspn(to->ehlo, CHANNEL_WORD "-._") != strlen(to->ehlo))
		return CHANNEL_FAIL(rd, channel_at(rd, "ehlo"), "ehlo: expected a host name, got `%.80s`", to->ehlo);
	return BUR_OK;
}

static int read_login(struct channel_reading *rd)
{
	static const char *const auths[] = {NULL, "plain", "login", "xoauth2"};
	const struct file_email *f = &rd->f->email;
	struct email_channel *to = &rd->ch.email;

	if (!f->username != !f->password)
		return CHANNEL_FAIL(rd, rd->at, "%s: is missing; username and password go together",
				    f->username ? "password" : "username");
	if (f->password && f->security == MAIL_PLAINTEXT)
		return CHANNEL_FAIL(
		    rd, channel_at(rd, "security"),
		    "security: `none` would send the password unencrypted; use starttls or tls, or leave out "
		    "username and password");
	if (f->auth && !f->username)
		return CHANNEL_FAIL(rd, channel_at(rd, "auth"), "auth: needs username and password");
	if (f->username && (!*f->username || !channel_is_printable(f->username) || !*f->password ||
			    !channel_is_printable(f->password)))
		return CHANNEL_FAIL(
		    rd, channel_at(rd, "password"),
		    "username, password: one of them is empty or has a line end; is the variable or file right?");
	to->user = f->username;
	to->password = f->password;
	to->auth = auths[f->auth];
	return settings_keep_secret(rd->ctx, f->password);
}

int channel_read_email(struct channel_reading *rd)
{
	const struct file_email *f = &rd->f->email;
	int r = read_server(rd);

	if (r == BUR_OK)
		r = read_login(rd);
	if (r == BUR_OK)
		r = read_from(rd);
	if (r == BUR_OK)
		r = channel_check_template(rd, "subject", f->subject);
	if (r == BUR_OK)
		r = channel_check_template(rd, "text", f->text);
	if (r == BUR_OK)
		r = channel_check_template(rd, "html", f->html);
	rd->ch.templates = (struct channel_templates){.subject = f->subject, .text = f->text, .html = f->html};
	if (f->ca_file)
		rd->ch.ca_file = f->ca_file;
	for (size_t i = 0; i < f->to.n && r == BUR_OK; i++) {
		rd->ch.email.to = f->to.items[i];
		if (!is_address(f->to.items[i]))
			return CHANNEL_FAIL(rd, channel_at(rd, "to"),
					    "to: expected an address such as `ops@example.com`, got `%.100s`",
					    f->to.items[i]);
		for (size_t k = 0; k < i; k++)
			if (strcmp(f->to.items[i], f->to.items[k]) == 0)
				return CHANNEL_FAIL(rd, channel_at(rd, "to"), "to: `%s` stands there twice",
						    f->to.items[i]);
		r = channel_add(rd, f->to.n > 1 ? f->to.items[i] : NULL);
	}
	return r;
}

/* --- chat --------------------------------------------------------------------------------------------------------- */

/* "<@U123>", "<!here>", "<!subteam^S123>" */
static bool is_mention(const char *text)
{
	size_t n = strlen(text);

	return n >= 4 && n <= 80 && text[0] == '<' && (text[1] == '@' || text[1] == '!') && text[n - 1] == '>' &&
	       strspn(text + 2, CHANNEL_WORD "^-_") == n - 3;
}

static int check_slack_keys(struct channel_reading *rd)
{
	const struct file_slack *f = &rd->f->slack;
	bool old = f->format == 1;

	if (!f->webhook == !f->token)
		return CHANNEL_FAIL(rd, rd->at, "slack: needs %s",
				    f->token ? "either webhook or token, not both"
					     : "a webhook, or a token and a channel");
	if (f->token && !f->channel)
		return CHANNEL_FAIL(rd, rd->at, "channel: is missing; with a token, say which channel");
	if (f->token && old)
		return CHANNEL_FAIL(rd, channel_at(rd, "format"),
				    "format: attachments are for webhooks, not for a token");
	if (!old && ((f->webhook && f->channel) || f->username || f->icon_emoji))
		return CHANNEL_FAIL(
		    rd, rd->at,
		    "slack: a webhook belongs to one channel and one sender; channel, username and icon_emoji "
		    "work with `format: attachments` only");
	if (f->webhook && f->api_url)
		return CHANNEL_FAIL(rd, channel_at(rd, "api_url"), "api_url: belongs to token, not to webhook");
	for (size_t i = 0; i < f->mentions.n; i++)
		if (!is_mention(f->mentions.items[i]))
			return CHANNEL_FAIL(
			    rd, channel_at(rd, "mentions"),
			    "mentions: expected `<@U123>`, `<!here>`, `<!channel>` or `<!subteam^S123>`, got `%.80s`",
			    f->mentions.items[i]);
	return BUR_OK;
}

int channel_read_slack(struct channel_reading *rd)
{
	const struct file_slack *f = &rd->f->slack;
	int r = check_slack_keys(rd);

	if (r == BUR_OK && f->webhook)
		r = channel_check_url(rd, "webhook", f->webhook, true);
	if (r == BUR_OK && f->api_url)
		r = channel_check_url(rd, "api_url", f->api_url, false);
	if (r == BUR_OK)
		r = channel_check_secret(rd, "token", f->token);
	if (r == BUR_OK)
		r = channel_check_text(rd, "channel", f->channel, 80);
	if (r == BUR_OK)
		r = channel_check_text(rd, "username", f->username, 80);
	if (r == BUR_OK)
		r = channel_check_text(rd, "icon_emoji", f->icon_emoji, 80);
	if (r == BUR_OK)
		r = channel_check_template(rd, "json", f->json);
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
	return channel_add(rd, NULL);
}

static int read_chat(struct channel_reading *rd, const struct file_chat *f)
{
	int r = channel_check_url(rd, "url", f->url, true);

	if (r == BUR_OK)
		r = channel_check_text(rd, "username", f->username, 80);
	if (r == BUR_OK)
		r = channel_check_template(rd, "json", f->json);
	rd->ch.templates.json = f->json;
	return r;
}

int channel_read_teams(struct channel_reading *rd)
{
	int r = read_chat(rd, &rd->f->teams);

	rd->ch.teams.url = rd->f->teams.url;
	return r == BUR_OK ? channel_add(rd, NULL) : r;
}

int channel_read_discord(struct channel_reading *rd)
{
	int r = read_chat(rd, &rd->f->discord);

	rd->ch.discord = (struct discord_channel){rd->f->discord.url, rd->f->discord.username};
	return r == BUR_OK ? channel_add(rd, NULL) : r;
}

/* --- pagers ------------------------------------------------------------------------------------------------------- */

int channel_read_pagerduty(struct channel_reading *rd)
{
	const struct file_pager *f = &rd->f->pagerduty;
	const char *url = f->url ? f->url : "https://events.pagerduty.com/v2/enqueue";
	int r = channel_check_url(rd, "url", url, false);

	if (r == BUR_OK)
		r = settings_keep_secret(rd->ctx, f->key);
	if (r < 0)
		return r;
	if (strlen(f->key) != 32 || strspn(f->key, CHANNEL_WORD) != 32)
		return CHANNEL_FAIL(rd, channel_at(rd, "routing_key"),
				    "routing_key: expected the 32 letters and digits of an Events API v2 integration");
	rd->ch.pagerduty = (struct pagerduty_channel){.url = url, .routing_key = f->key};
	return channel_add(rd, NULL);
}

int channel_read_opsgenie(struct channel_reading *rd)
{
	const struct file_pager *f = &rd->f->opsgenie;
	const char *url = f->url ? f->url : "https://api.opsgenie.com";
	int r = channel_check_url(rd, "url", url, false);

	if (r == BUR_OK)
		r = channel_check_secret(rd, "key", f->key);
	for (size_t i = 0; i < f->tags.n && r == BUR_OK; i++)
		r = channel_check_text(rd, "tags", f->tags.items[i], 50);
	for (size_t i = 0; i < f->responders.n && r == BUR_OK; i++)
		r = channel_check_text(rd, "responders", f->responders.items[i], 100);
	rd->ch.opsgenie = (struct opsgenie_channel){.url = url,
						    .key = f->key,
						    .tags = f->tags.items,
						    .n_tags = f->tags.n,
						    .responders = f->responders.items,
						    .n_responders = f->responders.n};
	return r == BUR_OK ? channel_add(rd, NULL) : r;
}
