/* What would be sent, without sending it: tests, their results, and previews. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alerts/ask.h"
#include "alerts/deliver.h"
#include "alerts/tell.h"
#include "alerts/transport.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"

#define COMPOSE_MAX (4 * 1024 * 1024)
#define URL_SHOWN_MAX 512
#define HIDDEN "***"

/* --- test --------------------------------------------------------------------------------------------------------- */

static int add_queued(void *ctx, const struct outbox_row *row)
{
	return json_array_append_new(ctx, ask_text(row->channel)) == 0 ? BUR_OK : BUR_NOMEM;
}

int ask_test(struct ask *q)
{
	int64_t ids[ALERTS_CHANNELS_MAX];
	const char *channel;
	json_t *names;
	size_t n = 0;
	int r = ask_read_text(q, "channel", ALERTS_NAME_MAX, &channel);

	if (r == BUR_OK)
		r = ask_check_channel(q, channel);
	if (r < 0)
		return r;
	if (q->a->config->n_channels == 0 || !q->a->config->enabled) {
		*q->ret = json_pack("{s:b,s:s}", "skipped", true, "reason",
				    q->a->config->enabled ? "no_channels_configured" : "alerts_disabled");
		return *q->ret ? BUR_OK : BUR_NOMEM;
	}
	r = alerts_test(q->a, channel[0] ? channel : NULL, ids, ARRAY_LEN(ids), &n);
	names = json_array();
	for (size_t i = 0; i < n && r == BUR_OK; i++) {
		struct outbox_filter filter = {.state = -1, .id = ids[i], .limit = 1};

		r = names ? alerts_each_outbox(q->a->reader, &filter, add_queued, names) : BUR_NOMEM;
	}
	if (r == BUR_OK && n > 0)
		*q->ret = json_pack("{s:o,s:O}", "test",
				    json_sprintf("test-%lld-%lld", (long long)ids[0], (long long)ids[n - 1]),
				    "channels", names);
	json_decref(names);
	return r < 0 ? r : *q->ret ? BUR_OK : BUR_NOMEM;
}

/* --- what became of it -------------------------------------------------------------------------------------------- */

struct result {
	struct ask *q;
	json_t *channels, *failed;
	json_t *disabled; /* why, by name */
	bool found, waiting;
};

struct last_try {
	int64_t took_ms, ts_ns;
	int n;
};

static int take_try(void *ctx, const struct delivery_try *t)
{
	struct last_try *last = ctx;

	*last = (struct last_try){t->took_ms, t->ts_ns, last->n + 1};
	return BUR_OK;
}

static const struct channel *channel_named(const struct alerts_config *config, struct slice name)
{
	for (size_t i = 0; i < config->n_channels; i++)
		if (slice_eq(name, slice_of(config->channels[i].name)))
			return &config->channels[i];
	return NULL;
}

/* One try is enough to know: what is tried again later is a failure now. */
static json_t *success_of(const struct outbox_row *row, const char *disabled)
{
	if (row->state == OUTBOX_SENT)
		return json_true();
	if (row->state != OUTBOX_QUEUED || row->attempts > 0 || disabled)
		return json_false();
	return json_null();
}

static int take_result(void *ctx, const struct outbox_row *row)
{
	struct result *res = ctx;
	const struct channel *c = channel_named(res->q->a->config, row->channel);
	struct last_try last = {0, 0, 0};
	char name[ALERTS_NAME_MAX + 1];
	const char *disabled;
	json_t *o, *success;
	int r;

	if (row->op != SAY_TEST)
		return BUR_OK;
	(void)slice_to_cstr(row->channel, name, sizeof(name));
	disabled = json_string_value(json_object_get(res->disabled, name));
	r = alerts_each_try(res->q->a->reader, row->id, take_try, &last);
	success = success_of(row, disabled);
	if (r < 0)
		return r;
	res->found = true;
	res->waiting |= json_is_null(success);
	if (json_is_false(success))
		(void)json_array_append_new(res->failed, json_string(name));
	o = json_pack("{s:o,s:s,s:s,s:I,s:i,s:o,s:o}", "success", success, "type", c ? c->ops->type : "", "state",
		      ask_outbox_state(row->state), "delivery_time_ms", (json_int_t)last.took_ms, "attempts",
		      row->attempts, "status_code", row->last_status ? json_integer(row->last_status) : json_null(),
		      "timestamp", ask_time(row->sent_ns ? row->sent_ns : last.ts_ns));
	if (o && c && strcmp(c->ops->type, "email") == 0)
		(void)json_object_set_new(o, "recipients", json_pack("[s]", c->email.to));
	if (o && json_is_false(success))
		(void)json_object_set_new(o, "error",
					  row->last_error.n ? ask_text(row->last_error)
					  : disabled        ? json_string(disabled)
							    : json_string("it was not sent"));
	return json_object_set_new(res->channels, name, o) == 0 ? BUR_OK : BUR_NOMEM;
}

static int take_disabled(void *ctx, const struct channel_state *s)
{
	json_t *why;
	char name[ALERTS_NAME_MAX + 1];

	if (!s->disabled)
		return BUR_OK;
	(void)slice_to_cstr(s->channel, name, sizeof(name));
	why = json_sprintf("the channel is disabled (%.*s); `bursar alerts enable` tries it again", (int)s->why.n,
			   s->why.n ? s->why.p : "");
	return json_object_set_new(ctx, name, why ? why : json_string("the channel is disabled")) == 0 ? BUR_OK
												       : BUR_NOMEM;
}

/* "test-7-9": the outbox rows of the test. */
static bool read_test_id(const char *text, uint64_t *ret_first, uint64_t *ret_last)
{
	struct slice first, last, rest = slice_of(text);

	if (!slice_starts(rest, SLICE("test-")) || !slice_cut(slice_sub(rest, 5, rest.n), '-', &first, &last))
		return false;
	return slice_u64(first, ret_first) == BUR_OK && slice_u64(last, ret_last) == BUR_OK && *ret_first > 0 &&
	       *ret_last >= *ret_first && *ret_last - *ret_first < ALERTS_CHANNELS_MAX && *ret_last <= INT64_MAX;
}

int ask_test_result(struct ask *q)
{
	struct result res = {.q = q, .channels = json_object(), .failed = json_array(), .disabled = json_object()};
	const char *text;
	uint64_t first = 0, last = 0;
	int r = res.channels && res.failed && res.disabled ? ask_read_text(q, "test", 80, &text) : BUR_NOMEM;

	if (r == BUR_OK && !read_test_id(text, &first, &last))
		r = BUR_NOTFOUND;
	if (r == BUR_OK)
		r = alerts_each_channel(q->a->reader, take_disabled, res.disabled);
	for (uint64_t id = first; r == BUR_OK && id <= last; id++) {
		struct outbox_filter filter = {.state = -1, .id = (int64_t)id, .limit = 1};

		r = alerts_each_outbox(q->a->reader, &filter, take_result, &res);
	}
	if (r == BUR_OK && !res.found)
		r = BUR_NOTFOUND;
	if (r == BUR_OK)
		*q->ret =
		    json_pack("{s:s,s:O,s:b,s:b,s:O,s:o}", "alert_id", text, "channels", res.channels,
			      "overall_success", !res.waiting && json_array_size(res.failed) == 0, "done", !res.waiting,
			      "failed_channels", res.failed, "timestamp", ask_time(alerts_now(q->a)));
	else if (r == BUR_NOTFOUND)
		(void)snprintf(q->err, q->err_size, "There is no such test");
	json_decref(res.channels);
	json_decref(res.failed);
	json_decref(res.disabled);
	return r < 0 ? r : *q->ret ? BUR_OK : BUR_NOMEM;
}

/* --- hiding secrets ----------------------------------------------------------------------------------------------- */

#define SECRETS_MAX 24
#define SECRET_MIN 4 /* shorter ones would hide half the text */

struct secrets {
	const char *text[SECRETS_MAX];
	size_t n;
};

static void add_secret(struct secrets *s, const char *text)
{
	if (text && strlen(text) >= SECRET_MIN && s->n < SECRETS_MAX)
		s->text[s->n++] = text;
}

static void secrets_of(const struct channel *c, struct secrets *s)
{
	if (c->ops == &email_ops)
		add_secret(s, c->email.password);
	if (c->ops == &slack_webhook_ops || c->ops == &slack_api_ops) {
		add_secret(s, c->slack.webhook);
		add_secret(s, c->slack.token);
	}
	if (c->ops == &teams_ops)
		add_secret(s, c->teams.url);
	if (c->ops == &discord_ops)
		add_secret(s, c->discord.url);
	if (c->ops == &pagerduty_ops)
		add_secret(s, c->pagerduty.routing_key);
	if (c->ops == &opsgenie_ops)
		add_secret(s, c->opsgenie.key);
	if (c->ops == &alertmanager_ops) {
		add_secret(s, c->alertmanager.bearer);
		add_secret(s, c->alertmanager.password);
	}
	if (c->ops != &webhook_ops)
		return;
	add_secret(s, c->webhook.bearer);
	add_secret(s, c->webhook.password);
	add_secret(s, c->webhook.api_key);
	for (size_t i = 0; i < c->webhook.n_secrets; i++)
		add_secret(s, c->webhook.secrets[i]);
}

/* The text with every secret as ***. */
static json_t *hide(const struct secrets *s, struct slice text)
{
	struct buf out;
	json_t *o;
	int r = BUR_OK;

	buf_init(&out, COMPOSE_MAX);
	for (size_t i = 0; i < text.n && r == BUR_OK;) {
		size_t n = 0;

		for (size_t k = 0; k < s->n && n == 0; k++)
			if (slice_starts(slice_sub(text, i, text.n), slice_of(s->text[k])))
				n = strlen(s->text[k]);
		r = n ? buf_append(&out, HIDDEN, strlen(HIDDEN)) : buf_append(&out, text.p + i, 1);
		i += n ? n : 1;
	}
	o = r == BUR_OK ? ask_text(buf_slice(&out)) : NULL;
	buf_done(&out);
	return o;
}

/* Headers that sign in, and those that users add, which may. */
static bool is_secret_header(const struct channel *c, struct slice name)
{
	static const char *const names[] = {"authorization", "x-api-key", "proxy-authorization", "cookie"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (slice_ieq(name, slice_of(names[i])))
			return true;
	if (c->ops != &webhook_ops)
		return false;
	for (size_t i = 0; i < c->webhook.n_headers; i++) {
		struct slice own, value;

		(void)slice_cut(slice_of(c->webhook.headers[i]), ':', &own, &value);
		if (slice_ieq(name, own))
			return true;
	}
	return false;
}

static json_t *headers_json(const struct channel *c, const struct secrets *s, const struct request *req)
{
	json_t *list = json_array();
	struct slice name, value;

	for (size_t i = 0; i < req->n_headers; i++) {
		(void)slice_cut(slice_of(req->header[i]), ':', &name, &value);
		(void)json_array_append_new(list, is_secret_header(c, name)
						      ? json_sprintf("%.*s: " HIDDEN, (int)name.n, name.p)
						      : hide(s, slice_of(req->header[i])));
	}
	return list;
}

/* --- preview ------------------------------------------------------------------------------------------------------ */

static int put_request(json_t *o, const struct channel *c, const struct request *req)
{
	static const char *const kinds[] = {[REQUEST_HTTP] = "http", [REQUEST_MAIL] = "mail", [REQUEST_LOG] = "log"};
	struct secrets s = {.n = 0};
	char url[URL_SHOWN_MAX];
	int bad = 0;

	secrets_of(c, &s);
	bad |= json_object_set_new(o, "kind", json_string(kinds[req->kind]));
	bad |= json_object_set_new(o, "headers", headers_json(c, &s, req));
	if (req->url)
		bad |= json_object_set_new(
		    o, "url",
		    ask_text(
			slice_of(req->kind == REQUEST_MAIL ? req->url : transport_redact(req->url, url, sizeof(url)))));
	if (req->kind == REQUEST_MAIL) {
		bad |= json_object_set_new(o, "from", ask_text(slice_of(req->mail_from)));
		bad |= json_object_set_new(o, "to", ask_text(slice_of(req->mail_to)));
		bad |= json_object_set_new(o, "text", hide(&s, slice_of(req->mail_text)));
		if (req->mail_html)
			bad |= json_object_set_new(o, "html", hide(&s, slice_of(req->mail_html)));
		return bad ? BUR_NOMEM : BUR_OK;
	}
	if (req->method)
		bad |= json_object_set_new(o, "method", json_string(req->method));
	bad |= json_object_set_new(o, "body", hide(&s, req->body));
	return bad ? BUR_NOMEM : BUR_OK;
}

static json_t *preview_one(struct ask *q, const struct channel *c, const json_t *facts, enum message_op op)
{
	const struct alerts_config *config = q->a->config;
	struct message m = {.op = op,
			    .severity = fact_severity(facts),
			    .facts = facts,
			    .id = fact_text(facts, "id"),
			    .dedup_key = fact_text(facts, "dedup_key"),
			    .ref = "",
			    .public_url = config->public_url ? config->public_url : "",
			    .node = config->node ? config->node : "",
			    .at_ns = alerts_now(q->a),
			    .now_ns = alerts_now(q->a),
			    .attempt = 1};
	json_t *o = json_pack("{s:s,s:s,s:s}", "channel", c->name, "type", c->ops->type, "op", message_op_name(op));
	struct arena arena;
	struct request req = {.arena = &arena};
	struct brief brief;
	int r;

	if (!o)
		return NULL;
	arena_init(&arena, COMPOSE_MAX);
	r = deliver_compose(config, c, &m, &brief, &req);
	if (r == BUR_OK)
		r = put_request(o, c, &req);
	else if (r == BUR_ALREADY)
		r = json_object_set_new(o, "nothing", json_true()) == 0 ? BUR_OK : BUR_NOMEM;
	else
		r = json_object_set_new(o, "error", json_string(bur_strerror(r))) == 0 ? BUR_OK : BUR_NOMEM;
	arena_reset(&arena);
	if (r == BUR_OK)
		return o;
	json_decref(o);
	return NULL;
}

struct found {
	json_t *facts;
	enum incident_state state;
};

static int take_facts(void *ctx, const struct incident *row)
{
	struct found *f = ctx;

	f->facts = ask_facts(row->facts);
	f->state = row->state;
	return f->facts ? BUR_OK : BUR_NOMEM;
}

/* Of a real incident, as its next message would tell of it. */
static int real_facts(struct ask *q, json_t **ret, enum message_op *ret_op)
{
	static const enum message_op ops[] = {
	    [INCIDENT_FIRING] = SAY_FIRE, [INCIDENT_ACKED] = SAY_ACK, [INCIDENT_RESOLVED] = SAY_RESOLVE};
	struct incident_filter filter = {.limit = 1};
	struct found f = {NULL, INCIDENT_FIRING};
	int r = ask_read_id(q, "incident", &filter.id);

	if (r == BUR_OK)
		r = alerts_each_incident(q->a->reader, &filter, take_facts, &f);
	if (r == BUR_OK && !f.facts)
		r = BUR_NOTFOUND;
	if (r == BUR_NOTFOUND)
		(void)snprintf(q->err, q->err_size, "There is no such incident");
	if (r < 0)
		return r;
	*ret_op = ops[f.state];
	(void)json_object_set_new(f.facts, "state", json_string(message_op_name(*ret_op)));
	if (fact_text(f.facts, "id")[0] == '\0')
		(void)json_object_set_new(f.facts, "id", json_sprintf("%s-preview", q->a->instance));
	if (!json_object_get(f.facts, "incident"))
		(void)json_object_set_new(f.facts, "incident", json_integer(filter.id));
	r = tell_figures(q->a, f.facts, filter.id, f.state == INCIDENT_RESOLVED, alerts_now(q->a));
	if (r < 0)
		json_decref(f.facts);
	else
		*ret = f.facts;
	return r;
}

static int sample_facts(struct ask *q, json_t **ret, enum message_op *ret_op)
{
	const char *type;
	int r = ask_read_text(q, "type", 100, &type);

	if (r < 0)
		return r;
	*ret = ask_sample(q->a, type[0] ? type : "budget.threshold", ret_op);
	return *ret ? BUR_OK
		    : ask_refuse(q, "type",
				 "nobody is told of such events; docs/alerts.md lists the types, and digest and "
				 "escalation beside them");
}

int ask_preview(struct ask *q)
{
	const struct alerts_config *config = q->a->config;
	bool real = json_object_get(q->in, "incident") != NULL;
	json_t *facts = NULL, *list = json_array();
	enum message_op op = SAY_FIRE;
	const char *channel;
	int r = list ? ask_read_text(q, "channel", ALERTS_NAME_MAX, &channel) : BUR_NOMEM;

	if (r == BUR_OK)
		r = ask_check_channel(q, channel);
	if (r == BUR_OK)
		r = real ? real_facts(q, &facts, &op) : sample_facts(q, &facts, &op);
	for (size_t i = 0; i < config->n_channels && r == BUR_OK; i++)
		if (ask_channel_is(&config->channels[i], channel) &&
		    json_array_append_new(list, preview_one(q, &config->channels[i], facts, op)) != 0)
			r = BUR_NOMEM;
	if (r == BUR_OK)
		*q->ret = json_pack("{s:O,s:O}", "previews", list, "facts", facts);
	json_decref(facts);
	json_decref(list);
	return r < 0 ? r : *q->ret ? BUR_OK : BUR_NOMEM;
}
