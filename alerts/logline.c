/* A line in a log: JSON, or syslog by RFC 5424 with structured data. */
#include <stdio.h>
#include <string.h>

#include "alerts/payload.h"
#include "alerts/template.h"
#include "alerts/words.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"

#define LINE_MAX_BYTES 7900 /* a syslog socket takes datagrams of 8 KiB */
#define TEXT_MAX 1000
#define VALUE_MAX 300
#define SD_ID "bursar@32473"

/* In the words that logs know, and syslog's numbers; what is no trouble (any more) is information. */
static const struct {
	const char *level;
	int syslog;
} levels[SEVERITY_COUNT] = {
    [SEVERITY_INFO] = {"INFO", 6},
    [SEVERITY_WARNING] = {"WARNING", 4},
    [SEVERITY_ERROR] = {"ERROR", 3},
    [SEVERITY_CRITICAL] = {"CRITICAL", 2},
};

static enum severity severity_of(const struct message *m)
{
	return m->op == SAY_RESOLVE || m->op == SAY_ACK || m->op == SAY_TEST ? SEVERITY_INFO : m->severity;
}

/* "BUDGET ALERT: " and the sentence, on one line. */
static void make_text(const struct message *m, char *dst, size_t size)
{
	static const char prefix[] = "BUDGET ALERT: ";
	const char *text = fact_text(m->facts, "message");

	if (!*text && m->brief && m->brief->text)
		text = m->brief->text;
	memcpy(dst, prefix, sizeof(prefix));
	(void)words_clean(slice_of(text), dst + sizeof(prefix) - 1, size - sizeof(prefix) + 1);
}

/* --- JSON --------------------------------------------------------------------------------------------------------- */

/* The facts as members of the line itself; `level` is the log's. */
static int line_json(const struct message *m, struct request *q)
{
	char text[TEXT_MAX], now[PAYLOAD_TIME_MAX];
	json_t *facts = payload_facts(m, LINE_MAX_BYTES - TEXT_MAX - 500);
	json_t *line = json_pack("{s:s, s:s, s:s}", "ts", payload_time(m->now_ns, now), "level",
				 levels[severity_of(m)].level, "event", "alert");
	int r = BUR_NOMEM;

	make_text(m, text, sizeof(text));
	if (facts && line && json_object_set_new(line, "msg", json_string(text)) == 0 &&
	    json_object_update_missing(line, facts) == 0)
		r = request_json(q, json_incref(line), NULL);
	json_decref(line);
	json_decref(facts);
	return r;
}

/* --- syslog ------------------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	int code;
} facilities[] = {{"kern", 0},      {"user", 1},    {"mail", 2},    {"daemon", 3},  {"auth", 4},
		  {"syslog", 5},    {"lpr", 6},     {"news", 7},    {"uucp", 8},    {"cron", 9},
		  {"authpriv", 10}, {"ftp", 11},    {"local0", 16}, {"local1", 17}, {"local2", 18},
		  {"local3", 19},   {"local4", 20}, {"local5", 21}, {"local6", 22}, {"local7", 23}};

int logline_facility(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(facilities); i++)
		if (strcmp(name, facilities[i].name) == 0)
			return facilities[i].code;
	return -1;
}

/* A field of the header: printable ASCII without spaces, "-" when there is nothing. */
static int field(struct buf *out, const char *text, size_t max)
{
	size_t n = strlen(text);
	int r = n == 0 ? buf_append(out, "-", 1) : BUR_OK;

	for (size_t i = 0; i < n && i < max && r == BUR_OK; i++)
		r = buf_append(out, text[i] > ' ' && text[i] <= '~' ? &text[i] : "_", 1);
	return r;
}

/* A parameter of the structured data: quote, backslash and bracket are escaped. Left out when it is empty. */
static int param(struct buf *out, const char *name, const char *text)
{
	char value[VALUE_MAX];
	int r;

	if (words_clean(slice_of(text), value, sizeof(value)) == 0)
		return BUR_OK;
	r = buf_printf(out, " %s=\"", name);
	for (const char *c = value; *c && r == BUR_OK; c++) {
		if (strchr("\"\\]", *c))
			r = buf_append(out, "\\", 1);
		if (r == BUR_OK)
			r = buf_append(out, c, 1);
	}
	return r == BUR_OK ? buf_append(out, "\"", 1) : r;
}

static int params(struct buf *out, const struct message *m)
{
	static const char *const texts[] = {"type", "severity", "budget_id", "period", "unit", "since"};
	static const char *const numbers[] = {"window_start", "window_end",     "limit_nanos",
					      "spent_nanos",  "reserved_nanos", "incident"};
	const json_t *scope = json_object_get(m->facts, "scope");
	char number[32];
	int r = param(out, "id", m->id);

	if (r == BUR_OK)
		r = param(out, "state", message_op_name(m->op));
	for (size_t i = 0; i < ARRAY_LEN(texts) && r == BUR_OK; i++)
		r = param(out, texts[i], fact_text(m->facts, texts[i]));
	if (r == BUR_OK)
		r = param(out, "scope_kind", fact_text(scope, "kind"));
	if (r == BUR_OK)
		r = param(out, "scope_id", fact_text(scope, "id"));
	for (size_t i = 0; i < ARRAY_LEN(numbers) && r == BUR_OK; i++) {
		if (!json_is_integer(json_object_get(m->facts, numbers[i])))
			continue;
		(void)snprintf(number, sizeof(number), "%lld", (long long)fact_int(m->facts, numbers[i]));
		r = param(out, numbers[i], number);
	}
	return r;
}

static int line_syslog(const struct channel *c, const struct message *m, struct request *q)
{
	char text[TEXT_MAX], at[PAYLOAD_TIME_MAX];
	struct buf out;
	int r;

	buf_init(&out, LINE_MAX_BYTES);
	make_text(m, text, sizeof(text));
	r = buf_printf(&out, "<%d>1 %s ", c->logline.facility * 8 + levels[severity_of(m)].syslog,
		       payload_time(m->at_ns > 0 ? m->at_ns : m->now_ns, at));
	if (r == BUR_OK)
		r = field(&out, m->node, 255);
	if (r == BUR_OK)
		r = buf_printf(&out, " bursar - ");
	if (r == BUR_OK)
		r = field(&out, fact_text(m->facts, "type"), 32);
	if (r == BUR_OK)
		r = buf_printf(&out, " [" SD_ID);
	if (r == BUR_OK)
		r = params(&out, m);
	if (r == BUR_OK)
		r = buf_printf(&out, "] %s", text);
	if (r == BUR_OK) {
		q->body = arena_dup(q->arena, buf_slice(&out));
		r = q->body.p ? BUR_OK : BUR_NOMEM;
	}
	buf_done(&out);
	return r;
}

/* --- the channel -------------------------------------------------------------------------------------------------- */

static int request(const struct channel *c, const struct message *m, struct request *q)
{
	q->kind = REQUEST_LOG;
	return c->logline.format == LOGLINE_SYSLOG ? line_syslog(c, m, q) : line_json(m, q);
}

static void judge(const struct channel *c, const struct message *m, const struct answer *a, struct verdict *v)
{
	(void)c;
	(void)m;
	*v = (struct verdict){.outcome = a->fault == ANSWER_NO_FAULT ? OUTCOME_SENT : OUTCOME_RETRY};
	if (v->outcome != OUTCOME_SENT)
		(void)snprintf(v->why, sizeof(v->why), "the log cannot be written: %.200s", a->error ? a->error : "");
}

const struct channel_ops logline_ops = {
    .type = "log",
    .severity = SEVERITY_INFO,
    .stateful = true, /* every line is an event of its own: whoever reads it counts */
    .request = request,
    .judge = judge,
};
