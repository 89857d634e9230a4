/* Channels to programs: webhooks, Alertmanager, logs. */
#include <string.h>

#include "app/settings_channel.h"
#include "base/error.h"

#define SECRET_MIN 24
#define SECRET_MAX 64

/* --- webhooks ----------------------------------------------------------------------------------------------------- */

/* At most one way to sign in goes into the header Authorization. */
static int check_auth(struct channel_reading *rd, const struct file_http *f)
{
	int r = channel_check_secret(rd, "bearer", f->bearer);

	if (r == BUR_OK)
		r = channel_check_secret(rd, "api_key", f->api_key);
	if (r == BUR_OK)
		r = settings_keep_secret(rd->ctx, f->password);
	if (r < 0)
		return r;
	if (!f->username != !f->password)
		return CHANNEL_FAIL(rd, rd->at, "%s: is missing; username and password go together",
				    f->username ? "password" : "username");
	if (f->bearer && f->username)
		return CHANNEL_FAIL(rd, channel_at(rd, "bearer"),
				    "bearer: either a bearer token or username and password, not both");
	if (f->username && (strchr(f->username, ':') || strlen(f->username) > 256 || strlen(f->password) > 1024 ||
			    !channel_is_printable(f->username) || !channel_is_printable(f->password)))
		return CHANNEL_FAIL(
		    rd, channel_at(rd, "username"),
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

static int read_headers(struct channel_reading *rd, const struct file_http *f)
{
	const char **list = arena_zalloc(channel_arena(rd), (f->headers.n + 1) * sizeof(*list));
	int r = list ? BUR_OK : BUR_NOMEM;

	for (size_t i = 0; i < f->headers.n && r == BUR_OK; i++) {
		const struct pair *h = &f->headers.items[i];
		size_t n = strlen(h->key);

		if (n == 0 || n > 64 || strspn(h->key, CHANNEL_WORD "-_") != n || is_ours(h->key))
			return CHANNEL_FAIL(
			    rd, channel_at(rd, "headers"),
			    "headers: expected a header's name that bursar does not write itself, got `%.64s` (bearer, "
			    "username, api_key and content_type are keys of their own)",
			    h->key);
		if (strlen(h->value) > CHANNEL_HEADER_MAX || !channel_is_visible(h->value, true))
			return CHANNEL_FAIL(
			    rd, channel_at(rd, "headers"),
			    "headers: the value of `%s` has a line end or a letter that is not ASCII, or is too long",
			    h->key);
		list[i] = arena_printf(channel_arena(rd), "%s: %s", h->key, h->value).p;
		r = list[i] ? settings_keep_secret(rd->ctx, h->value) : BUR_NOMEM;
	}
	rd->ch.webhook.headers = list;
	rd->ch.webhook.n_headers = f->headers.n;
	return r;
}

/* whsec_ and base64 */
static int check_signing(struct channel_reading *rd, const char *key, const char *text)
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
	return CHANNEL_FAIL(
	    rd, channel_at(rd, key),
	    "%s: expected `whsec_` and the base64 of %d to %d random bytes; `echo whsec_$(openssl rand -base64 "
	    "32)` makes one",
	    key, SECRET_MIN, SECRET_MAX);
}

static int read_secrets(struct channel_reading *rd, const struct file_http *f)
{
	struct webhook_channel *to = &rd->ch.webhook;
	const char **one;
	int r = BUR_OK;

	if (f->secret && f->secrets.n)
		return CHANNEL_FAIL(rd, channel_at(rd, "secret"), "secret: either secret or secrets, not both");
	to->secrets = f->secrets.items;
	to->n_secrets = f->secrets.n;
	if (f->secret) {
		one = arena_zalloc(channel_arena(rd), 2 * sizeof(*one));
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

static int read_webhook_body(struct channel_reading *rd, const struct file_http *f)
{
	struct webhook_channel *to = &rd->ch.webhook;
	bool template = f->format == WEBHOOK_TEMPLATE;
	int r;

	if (strcmp(f->method, "POST") != 0 && strcmp(f->method, "PUT") != 0 && strcmp(f->method, "PATCH") != 0)
		return CHANNEL_FAIL(rd, channel_at(rd, "method"), "method: expected POST, PUT or PATCH, got `%.20s`",
				    f->method);
	if (template != (f->template != NULL))
		return CHANNEL_FAIL(rd, channel_at(rd, "format"),
				    template ? "format: template needs a `template`"
					     : "template: needs `format: template`");
	if (f->content_type && !template)
		return CHANNEL_FAIL(rd, channel_at(rd, "content_type"), "content_type: needs `format: template`");
	to->format = (enum webhook_format)f->format;
	to->method = f->method;
	to->content_type = f->content_type ? f->content_type : "application/json";
	rd->ch.templates.json = f->template;
	if (strlen(to->content_type) > 128 || !channel_is_visible(to->content_type, true))
		return CHANNEL_FAIL(rd, channel_at(rd, "content_type"),
				    "content_type: expected a type such as `application/json`");
	r = channel_check_template(rd, "template", f->template);
	return r;
}

/* "host" or "host:8443" of a URL that was checked: the rest may be a secret. */
static const char *url_place(struct channel_reading *rd, const char *url)
{
	const char *start = strstr(url, "//") + 2;
	size_t n = strcspn(start, "/?");

	return arena_dup(channel_arena(rd), slice_mem(start, n > 200 ? 200 : n)).p;
}

/* A channel for each URL; `dst` is where its URL goes. */
static int add_urls(struct channel_reading *rd, const struct file_http *f, const char **dst)
{
	size_t n = f->url ? 1 : f->urls.n;
	int r = BUR_OK;

	if (!f->url == !f->urls.n)
		return CHANNEL_FAIL(rd, rd->at, "url: %s", f->url ? "either url or urls, not both" : "is missing");
	for (size_t i = 0; i < n && r == BUR_OK; i++) {
		const char *place;

		*dst = f->url ? f->url : f->urls.items[i];
		r = channel_check_url(rd, f->url ? "url" : "urls", *dst, true);
		if (r < 0)
			return r;
		place = url_place(rd, *dst);
		r = place ? channel_add(rd, n > 1 ? place : NULL) : BUR_NOMEM;
	}
	return r;
}

int channel_read_webhook(struct channel_reading *rd)
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

int channel_read_alertmanager(struct channel_reading *rd)
{
	const struct file_http *f = &rd->f->alertmanager;
	struct alertmanager_channel *to = &rd->ch.alertmanager;
	int r = check_auth(rd, f);

	to->bearer = f->bearer;
	to->user = f->username;
	to->password = f->password;
	return r == BUR_OK ? add_urls(rd, f, &to->url) : r;
}

int channel_read_log(struct channel_reading *rd)
{
	const struct file_log *f = &rd->f->log;
	int facility = logline_facility(f->facility);

	if (facility < 0)
		return CHANNEL_FAIL(rd, channel_at(rd, "facility"),
				    "facility: expected a facility of syslog such as daemon or local0, got `%.40s`",
				    f->facility);
	if (f->path && (!*f->path || strlen(f->path) > 4000))
		return CHANNEL_FAIL(rd, channel_at(rd, "path"), "path: expected the path of a file or socket");
	rd->ch.logline = (struct logline_channel){(enum logline_format)f->format, f->path, facility};
	return channel_add(rd, NULL);
}
