/* A URL of the user's own: Standard Webhooks 1.0, CloudEvents 1.0, Alertmanager's webhook (version 4), or any body. */
#include "alerts/webhook.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "alerts/alertmanager.h"
#include "alerts/payload.h"
#include "alerts/template.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"

#define BODY_MAX 20000 /* Standard Webhooks: under 20 kB */
#define ENVELOPE_MAX 2000
#define SUBJECT_MAX 500
#define KEY_MAX 64
#define SLOW_DOWN_S 60

/* --- signatures --------------------------------------------------------------------------------------------------- */

int webhook_sign(const char *secret, const char *id, int64_t timestamp_s, struct slice body,
		 char ret[WEBHOOK_SIGNATURE_MAX])
{
	unsigned char key[KEY_MAX], mac[EVP_MAX_MD_SIZE];
	struct slice text = slice_of(secret);
	struct buf content;
	size_t key_n = 0;
	unsigned mac_n = 0;
	int r = BUR_INVALID;

	if (!slice_starts(text, SLICE("whsec_")) ||
	    base64_decode(slice_sub(text, 6, text.n), key, sizeof(key), &key_n) < 0 || key_n == 0)
		return BUR_INVALID;
	buf_init(&content, body.n + 512);
	r = buf_printf(&content, "%s.%lld.", id, (long long)timestamp_s);
	if (r == BUR_OK)
		r = buf_append_slice(&content, body);
	if (r == BUR_OK && !HMAC(EVP_sha256(), key, (int)key_n, (const unsigned char *)buf_slice(&content).p,
				 buf_len(&content), mac, &mac_n))
		r = BUR_CRYPTO;
	if (r == BUR_OK) {
		memcpy(ret, "v1,", 3);
		if (base64_encode(mac, mac_n, ret + 3, WEBHOOK_SIGNATURE_MAX - 3) < 0)
			r = BUR_CRYPTO;
	}
	bytes_wipe(key, sizeof(key));
	buf_done(&content);
	return r;
}

/* The id is the same for every try, the timestamp is of this one, and each secret signs. */
static int add_signatures(const struct channel *c, const struct message *m, struct request *q)
{
	const struct webhook_channel *to = &c->webhook;
	const char *id = arena_printf(q->arena, "msg_%s", m->id).p, *list = "";
	int64_t now_s = m->now_ns / NS_PER_S;
	char one[WEBHOOK_SIGNATURE_MAX];
	int r = id ? request_header(q, "webhook-id: %s", id) : BUR_NOMEM;

	if (r == BUR_OK)
		r = request_header(q, "webhook-timestamp: %lld", (long long)now_s);
	for (size_t i = 0; i < to->n_secrets && r == BUR_OK; i++) {
		r = webhook_sign(to->secrets[i], id, now_s, q->body, one);
		if (r < 0)
			break;
		list = arena_printf(q->arena, "%s%s%s", list, i ? " " : "", one).p;
		r = list ? BUR_OK : BUR_NOMEM;
	}
	if (r == BUR_OK && to->n_secrets > 0)
		r = request_header(q, "webhook-signature: %s", list);
	return r;
}

/* --- Standard Webhooks -------------------------------------------------------------------------------------------- */

static const char *type_of(const struct message *m)
{
	const char *type = fact_text(m->facts, "type");

	return *type ? type : m->op == SAY_DIGEST ? "digest" : "test";
}

static int body_standard(const struct message *m, struct request *q)
{
	char at[PAYLOAD_TIME_MAX];
	json_t *data = payload_facts(m, BODY_MAX - ENVELOPE_MAX);

	if (!data)
		return BUR_NOMEM;
	return request_json(
	    q, json_pack("{s:s, s:s, s:o}", "type", type_of(m), "timestamp", payload_time(m->at_ns, at), "data", data),
	    "application/json");
}

/* --- CloudEvents -------------------------------------------------------------------------------------------------- */

struct cloudevent {
	const char *id, *source, *type, *subject;
	char time[PAYLOAD_TIME_MAX];
};

static int cloudevent_of(const struct message *m, struct arena *arena, struct cloudevent *ret)
{
	ret->id = m->id;
	ret->source = arena_printf(arena, "/bursar/%s", m->node).p;
	ret->type = arena_printf(arena, "dev.bursar.%s", type_of(m)).p;
	ret->subject = payload_subject(arena, m->facts, SUBJECT_MAX);
	(void)payload_time(m->at_ns, ret->time);
	return ret->source && ret->type && ret->subject ? BUR_OK : BUR_NOMEM;
}

static int body_cloudevents(const struct message *m, struct request *q)
{
	struct cloudevent e;
	json_t *data = payload_facts(m, BODY_MAX - ENVELOPE_MAX);

	if (!data || cloudevent_of(m, q->arena, &e) < 0) {
		json_decref(data);
		return BUR_NOMEM;
	}
	return request_json(q,
			    json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o}", "specversion", "1.0", "id", e.id,
				      "source", e.source, "type", e.type, "subject", e.subject, "time", e.time,
				      "datacontenttype", "application/json", "data", data),
			    "application/cloudevents+json; charset=utf-8");
}

/* As the HTTP binding says: everything but visible ASCII is percent-encoded, and so are '"' and '%'. */
static int ce_header(struct request *q, const char *name, const char *value)
{
	static const char hex[] = "0123456789ABCDEF";
	char *text = arena_alloc(q->arena, strlen(value) * 3 + 1), *p = text;

	if (!text)
		return BUR_NOMEM;
	for (; *value; value++) {
		unsigned char c = (unsigned char)*value;

		if (c > ' ' && c < 0x7f && c != '"' && c != '%') {
			*p++ = *value;
			continue;
		}
		*p++ = '%';
		*p++ = hex[c >> 4];
		*p++ = hex[c & 15];
	}
	*p = '\0';
	return request_header(q, "ce-%s: %s", name, text);
}

static int body_cloudevents_binary(const struct message *m, struct request *q)
{
	struct cloudevent e;
	int r = cloudevent_of(m, q->arena, &e);
	const struct {
		const char *name, *value;
	} list[] = {{"specversion", "1.0"}, {"id", m->id},          {"source", e.source},
		    {"type", e.type},       {"subject", e.subject}, {"time", e.time}};

	if (r == BUR_OK)
		r = request_json(q, payload_facts(m, BODY_MAX - ENVELOPE_MAX), "application/json");
	for (size_t i = 0; i < ARRAY_LEN(list) && r == BUR_OK; i++)
		r = ce_header(q, list[i].name, list[i].value);
	return r;
}

/* --- Alertmanager's webhook --------------------------------------------------------------------------------------- */

static json_t *am_alert(const struct message *m, const char *link)
{
	bool over = payload_is_over(m);
	char from[PAYLOAD_TIME_MAX], to[PAYLOAD_TIME_MAX], fingerprint[17];

	(void)snprintf(fingerprint, sizeof(fingerprint), "%.16s", m->dedup_key && *m->dedup_key ? m->dedup_key : m->id);
	return json_pack("{s:s, s:o, s:o, s:s, s:s, s:s, s:s}", "status", over ? "resolved" : "firing", "labels",
			 alertmanager_labels(m, m->severity), "annotations", alertmanager_annotations(m), "startsAt",
			 payload_time(payload_time_ns(m, "since"), from), "endsAt",
			 payload_time(over ? m->now_ns : 0, to), "generatorURL", link, "fingerprint", fingerprint);
}

static int body_alertmanager(const struct channel *c, const struct message *m, struct request *q)
{
	const char *link = alertmanager_link(m), *key = m->dedup_key && *m->dedup_key ? m->dedup_key : m->id;
	const char *group = arena_printf(q->arena, "{}/{}:{dedup_key=\"%s\"}", key).p;
	json_t *alert = am_alert(m, link ? link : ""), *labels = json_object_get(alert, "labels");
	json_t *name = json_object_get(labels, "alertname");

	if (!group || !alert) {
		json_decref(alert);
		return BUR_NOMEM;
	}
	return request_json(q,
			    json_pack("{s:s, s:s, s:i, s:s, s:s, s:{s:O}, s:O, s:O, s:s, s:[o]}", "version", "4",
				      "groupKey", group, "truncatedAlerts", 0, "status",
				      payload_is_over(m) ? "resolved" : "firing", "receiver", c->group, "groupLabels",
				      "alertname", name, "commonLabels", labels, "commonAnnotations",
				      json_object_get(alert, "annotations"), "externalURL",
				      m->public_url ? m->public_url : "", "alerts", alert),
			    "application/json");
}

/* --- the user's own ----------------------------------------------------------------------------------------------- */

/* The facts, and the fields of the cost API's alert. */
static json_t *template_values(const struct message *m)
{
	json_t *values = payload_facts(m, 4 * (size_t)BODY_MAX), *more = payload_cost_alert(m);

	/* what the facts call so stays theirs */
	if (!values || !more || json_object_update_missing(values, more) < 0) {
		json_decref(values);
		values = NULL;
	}
	json_decref(more);
	return values;
}

static bool has(const char *type, const char *word)
{
	for (; *type; type++)
		if (slice_istarts(slice_of(type), slice_of(word)))
			return true;
	return false;
}

/* What is not known is JSON, as the documents say. */
static enum escape escape_of(const char *type)
{
	if (has(type, "xml") || has(type, "html"))
		return ESCAPE_HTML;
	if (has(type, "x-www-form-urlencoded"))
		return ESCAPE_URL;
	return slice_istarts(slice_of(type), SLICE("text/")) ? ESCAPE_LINE : ESCAPE_JSON;
}

static int body_template(const struct channel *c, const struct message *m, struct request *q)
{
	struct buf out;
	json_t *values = template_values(m);
	int r = values ? BUR_OK : BUR_NOMEM;

	buf_init(&out, TEMPLATE_OUT_MAX);
	if (r == BUR_OK)
		r = template_render(slice_of(c->templates.json), values, escape_of(c->webhook.content_type), &out);
	if (r == BUR_OK) {
		q->body = arena_dup(q->arena, buf_slice(&out));
		r = q->body.p ? BUR_OK : BUR_NOMEM;
	}
	buf_done(&out);
	json_decref(values);
	return r == BUR_OK ? request_header(q, "Content-Type: %s", c->webhook.content_type) : r;
}

/* --- the channel -------------------------------------------------------------------------------------------------- */

static int make_body(const struct channel *c, const struct message *m, struct request *q)
{
	switch (c->webhook.format) {
	case WEBHOOK_CLOUDEVENTS:
		return body_cloudevents(m, q);
	case WEBHOOK_CLOUDEVENTS_BINARY:
		return body_cloudevents_binary(m, q);
	case WEBHOOK_ALERTMANAGER:
		return body_alertmanager(c, m, q);
	case WEBHOOK_TEMPLATE:
		return body_template(c, m, q);
	case WEBHOOK_STANDARD:
		break;
	}
	return body_standard(m, q);
}

static int request(const struct channel *c, const struct message *m, struct request *q)
{
	const struct webhook_channel *to = &c->webhook;
	int r;

	q->kind = REQUEST_HTTP;
	q->method = to->method ? to->method : "POST";
	q->url = to->url;
	r = make_body(c, m, q);
	if (r == BUR_OK)
		r = add_signatures(c, m, q);
	if (r == BUR_OK)
		r = request_header(q, "Idempotency-Key: %s", m->id);
	if (r == BUR_OK)
		r = payload_sign_in(q, to->bearer, to->user, to->password);
	if (r == BUR_OK && to->api_key)
		r = request_header(q, "X-API-Key: %s", to->api_key);
	for (size_t i = 0; i < to->n_headers && r == BUR_OK; i++)
		r = request_header(q, "%s", to->headers[i]);
	return r;
}

/* Any 2xx is success and 410 the end; everything else is tried again, by those who are busy more slowly. */
static void judge(const struct channel *c, const struct message *m, const struct answer *a, struct verdict *v)
{
	(void)c;
	(void)m;
	verdict_http(a, v);
	if (a->fault != ANSWER_NO_FAULT || (a->code >= 200 && a->code < 300))
		return;
	v->outcome = OUTCOME_RETRY;
	v->wait_s = a->retry_after_s > 0 ? a->retry_after_s : 0;
	switch (a->code) {
	case 410:
		*v = (struct verdict){.outcome = OUTCOME_DISABLE};
		(void)snprintf(v->why, sizeof(v->why),
			       "the receiver answered 410: it wants no more messages; set another URL, or enable the "
			       "channel when it does again");
		break;
	case 429:
	case 502:
	case 503:
	case 504:
		if (v->wait_s < SLOW_DOWN_S)
			v->wait_s = SLOW_DOWN_S;
		break;
	default:
		break;
	}
}

const struct channel_ops webhook_ops = {
    .type = "webhook",
    .severity = SEVERITY_WARNING,
    .stateful = true,
    .request = request,
    .judge = judge,
};
