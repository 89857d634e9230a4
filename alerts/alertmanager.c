#include "alerts/alertmanager.h"

#include <stdio.h>
#include <string.h>

#include "alerts/payload.h"
#include "alerts/words.h"
#include "base/clock.h"
#include "base/error.h"

#define NAME_MAX_BYTES 100
#define LABEL_MAX 256
#define TEXT_MAX 2100
#define LABELS_MAX 40
#define REFRESH_NS (60 * NS_PER_S)
/* An alert that is not told of again is over by then: as Prometheus does it, four turns ahead. */
#define ALIVE_NS (4 * REFRESH_NS)

/* --- labels ------------------------------------------------------------------------------------------------------- */

/* "tag.cost-center" to "tag_cost_center". false: nothing is left. */
static bool label_name(const char *text, char dst[NAME_MAX_BYTES + 2])
{
	size_t n = 0;

	if (text[0] >= '0' && text[0] <= '9')
		dst[n++] = '_';
	for (; *text && n < NAME_MAX_BYTES; text++) {
		char c = *text;
		bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';

		dst[n++] = good ? c : '_';
	}
	dst[n] = '\0';
	return n > 0;
}

static int set(json_t *to, const char *name, const char *text, size_t max)
{
	char value[TEXT_MAX];

	if (!text || words_clean(slice_of(text), value, max < sizeof(value) ? max : sizeof(value)) == 0)
		return BUR_OK;
	return json_object_set_new(to, name, json_string(value)) < 0 ? BUR_NOMEM : BUR_OK;
}

/* "budget" to "BursarBudget", "cloud.correction" to "BursarCloudCorrection". Every event of an incident has the same.
 */
static void alert_name(const struct message *m, char *dst, size_t size)
{
	const struct alert_type *type = alert_type_find(slice_of(fact_text(m->facts, "type")));
	const char *family = m->op == SAY_DIGEST ? "digest" : m->op == SAY_TEST ? "test" : "alert";
	bool upper = true;
	size_t n;

	if (type && type->family && m->op != SAY_DIGEST)
		family = type->family;
	n = (size_t)snprintf(dst, size, "Bursar");
	for (; *family && n + 1 < size; family++) {
		bool letter = *family >= 'a' && *family <= 'z';

		if (letter)
			dst[n++] = upper ? (char)(*family - 'a' + 'A') : *family;
		upper = !letter;
	}
	dst[n] = '\0';
}

/* What the incident is about. Those of a call that only happened to be the last would make another alert of it. */
static int add_own_labels(json_t *to, const struct message *m)
{
	const char *name;
	char clean[NAME_MAX_BYTES + 2];
	json_t *value;
	int r = BUR_OK;

	json_object_foreach(json_object_get(m->facts, "labels"), name, value)
	{
		if (r < 0 || json_object_size(to) >= LABELS_MAX)
			break;
		if (json_is_string(value) && label_name(name, clean) && !json_object_get(to, clean))
			r = set(to, clean, json_string_value(value), LABEL_MAX);
	}
	return r;
}

json_t *alertmanager_labels(const struct message *m, enum severity severity)
{
	const json_t *scope = json_object_get(m->facts, "scope");
	const char *kind = fact_text(scope, "kind"), *id = fact_text(scope, "id");
	json_t *to = json_object();
	char name[64], what[2 * LABEL_MAX];
	int r;

	alert_name(m, name, sizeof(name));
	(void)snprintf(what, sizeof(what), "%.32s%s%.256s", kind, *kind && *id ? ":" : "", id);
	r = to ? set(to, "alertname", name, LABEL_MAX) : BUR_NOMEM;
	if (r == BUR_OK)
		r = set(to, "severity", severity_name(severity), LABEL_MAX);
	if (r == BUR_OK)
		r = set(to, "instance", m->node, LABEL_MAX);
	if (r == BUR_OK)
		r = set(to, "scope", what, LABEL_MAX);
	if (r == BUR_OK)
		r = set(to, "budget", fact_text(m->facts, "budget_id"), LABEL_MAX);
	if (r == BUR_OK)
		r = add_own_labels(to, m);
	if (r == BUR_OK)
		return to;
	json_decref(to);
	return NULL;
}

/* --- annotations -------------------------------------------------------------------------------------------------- */

/* "Held for running calls" to "held_for_running_calls" */
static void annotation_name(const char *label, char dst[NAME_MAX_BYTES + 2])
{
	if (!label_name(label, dst))
		(void)snprintf(dst, NAME_MAX_BYTES, "value");
	for (char *c = dst; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
}

json_t *alertmanager_annotations(const struct message *m)
{
	const struct brief *b = m->brief;
	json_t *to = json_object();
	char name[NAME_MAX_BYTES + 2];
	int r = to ? BUR_OK : BUR_NOMEM;

	if (r == BUR_OK)
		r = set(to, "summary", b ? b->title : fact_text(m->facts, "title"), TEXT_MAX);
	if (r == BUR_OK)
		r = set(to, "description", b ? b->text : fact_text(m->facts, "message"), TEXT_MAX);
	if (r == BUR_OK)
		r = set(to, "type", fact_text(m->facts, "type"), LABEL_MAX);
	for (size_t i = 0; b && i < b->n_fields && r == BUR_OK; i++) {
		annotation_name(b->field[i].label, name);
		if (!json_object_get(to, name))
			r = set(to, name, b->field[i].value, TEXT_MAX);
	}
	if (r == BUR_OK && b)
		r = set(to, "next", b->next, TEXT_MAX);
	if (r == BUR_OK && b)
		r = set(to, "command", b->command, TEXT_MAX);
	if (r == BUR_OK)
		return to;
	json_decref(to);
	return NULL;
}

const char *alertmanager_link(const struct message *m)
{
	const char *link = fact_text(json_object_get(m->facts, "links"), "open");

	if (!*link)
		link = m->public_url ? m->public_url : "";
	return strncmp(link, "https://", 8) == 0 || strncmp(link, "http://", 7) == 0 ? link : NULL;
}

/* --- what is sent ------------------------------------------------------------------------------------------------- */

/* The reference keeps the severities under which Alertmanager knows of the incident, as digits: each is an alert of its
 * own there, and all but the present one have to end. */
static unsigned told_of(const struct message *m)
{
	unsigned mask = 0;

	for (const char *c = m->ref ? m->ref : ""; *c; c++)
		if (*c >= '0' && *c < '0' + SEVERITY_COUNT)
			mask |= 1U << (*c - '0');
	return mask;
}

static json_t *one_alert(const struct message *m, enum severity severity, bool over)
{
	int64_t start = payload_time_ns(m, "since"), end = over ? m->now_ns : m->now_ns + ALIVE_NS;
	char from[PAYLOAD_TIME_MAX], to[PAYLOAD_TIME_MAX];

	if (end < start)
		end = start;
	return json_pack("{s:o, s:o, s:s, s:s, s:s*}", "labels", alertmanager_labels(m, severity), "annotations",
			 alertmanager_annotations(m), "startsAt", payload_time(start, from), "endsAt",
			 payload_time(end, to), "generatorURL", alertmanager_link(m));
}

/* The alert of the incident, and the ends of those under which it was known before. */
static int add_alerts(json_t *list, const struct message *m)
{
	unsigned mask = told_of(m) | 1U << m->severity;
	int r = BUR_OK;

	for (int s = 0; s < SEVERITY_COUNT && r == BUR_OK; s++) {
		bool over = payload_is_over(m) || s != (int)m->severity;

		if ((mask >> s & 1) && json_array_append_new(list, one_alert(m, (enum severity)s, over)) < 0)
			r = BUR_NOMEM;
	}
	return r;
}

static int send_list(const struct channel *c, json_t *list, struct request *q)
{
	const struct alertmanager_channel *to = &c->alertmanager;
	size_t n = strlen(to->url);
	int r;

	while (n > 0 && to->url[n - 1] == '/')
		n--;
	q->kind = REQUEST_HTTP;
	q->method = "POST";
	q->url = arena_printf(q->arena, "%.*s/api/v2/alerts", (int)n, to->url).p;
	r = request_json(q, list, "application/json");
	if (r == BUR_OK && !q->url)
		r = BUR_NOMEM;
	return r == BUR_OK ? payload_sign_in(q, to->bearer, to->user, to->password) : r;
}

/* That somebody acknowledged it is nothing that Alertmanager knows. */
static int request(const struct channel *c, const struct message *m, struct request *q)
{
	json_t *alerts;

	if (m->op == SAY_ACK)
		return BUR_ALREADY;
	alerts = json_array();
	if (!alerts || add_alerts(alerts, m) < 0) {
		json_decref(alerts);
		return BUR_NOMEM;
	}
	return send_list(c, alerts, q);
}

static int refresh(const struct channel *c, const struct message *list, size_t n, struct request *q)
{
	json_t *alerts = json_array();

	for (size_t i = 0; i < n && alerts; i++) {
		if (json_array_append_new(alerts, one_alert(&list[i], list[i].severity, payload_is_over(&list[i]))) <
		    0) {
			json_decref(alerts);
			alerts = NULL;
		}
	}
	return alerts ? send_list(c, alerts, q) : BUR_NOMEM;
}

/* --- what comes back ---------------------------------------------------------------------------------------------- */

static void keep_severities(const struct message *m, struct verdict *v)
{
	unsigned mask = told_of(m) | 1U << m->severity;
	size_t n = 0;

	for (int s = 0; s < SEVERITY_COUNT; s++)
		if (mask >> s & 1)
			v->ref[n++] = (char)('0' + s);
	v->ref[n] = '\0';
}

/* {"code":601,"message":"..."} or a JSON text. */
static void judge_refused(const struct answer *a, struct verdict *v)
{
	json_t *j = json_loadb(a->body.p ? a->body.p : "", a->body.n, JSON_DECODE_ANY, NULL);
	const char *said = json_is_string(j) ? json_string_value(j) : fact_text(j, "message");
	char words[200];

	if (words_clean(*said ? slice_of(said) : a->body, words, sizeof(words)) == 0)
		(void)snprintf(words, sizeof(words), "nothing");
	*v = (struct verdict){.outcome = OUTCOME_DEAD};
	(void)snprintf(v->why, sizeof(v->why), "Alertmanager refused the alert (400). It said: %s", words);
	json_decref(j);
}

static void judge(const struct channel *c, const struct message *m, const struct answer *a, struct verdict *v)
{
	(void)c;
	*v = (struct verdict){.outcome = OUTCOME_SENT};
	if (a->fault != ANSWER_NO_FAULT || a->code != 400)
		verdict_http(a, v);
	else
		judge_refused(a, v);
	if (v->outcome == OUTCOME_SENT && m)
		keep_severities(m, v);
}

const struct channel_ops alertmanager_ops = {
    .type = "alertmanager",
    .severity = SEVERITY_WARNING,
    .in_place = true, /* the same labels: the same alert */
    .stateful = true,
    .request = request,
    .judge = judge,
    .refresh = refresh,
    .refresh_ns = REFRESH_NS,
};
