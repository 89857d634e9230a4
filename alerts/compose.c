/* Texts, payloads and answers as chat and paging channels need them. */
#include "alerts/compose.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "alerts/words.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"

#define ELLIPSIS "\xe2\x80\xa6"
#define BULLET "\xe2\x80\xa2 "
#define SECONDS_A_DAY 86400
/* An escaped character is at most so much longer. */
#define ESCAPE_GROWTH 16

/* --- texts -------------------------------------------------------------------------------------------------------- */

/* The last border of a character at or before n. */
static size_t border(const char *text, size_t n)
{
	while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	return n;
}

static int escape_into(struct buf *out, enum escape how, const char *text, size_t n)
{
	buf_consume(out, buf_len(out));
	return escape_append(out, how, slice_mem(text, n));
}

/* The longest beginning of text that is at most `max` bytes when escaped, left in `out`. */
static int longest(struct buf *out, enum escape how, const char *text, size_t n, size_t max)
{
	size_t low = 0, high = n;
	int rc = BUR_OK;

	while (low < high && rc == BUR_OK) {
		size_t middle = low + (high - low + 1) / 2;

		rc = escape_into(out, how, text, border(text, middle));
		if (rc == BUR_OK && buf_len(out) <= max)
			low = middle;
		else
			high = middle - 1;
	}
	return rc == BUR_OK ? escape_into(out, how, text, border(text, low)) : rc;
}

const char *compose_text(struct arena *arena, enum escape how, const char *text, size_t max)
{
	size_t n = strnlen(text, max + 1);
	bool cut = n > max;
	struct slice made = SLICE_NONE;
	struct buf out;
	int rc;

	n = border(text, cut ? max : n);
	buf_init(&out, max * ESCAPE_GROWTH + BUF_BLOCK_BYTES);
	rc = escape_into(&out, how, text, n);
	if (rc == BUR_OK && (cut || buf_len(&out) > max)) {
		rc = longest(&out, how, text, n, max > strlen(ELLIPSIS) ? max - strlen(ELLIPSIS) : 0);
		if (rc == BUR_OK && max >= strlen(ELLIPSIS))
			rc = buf_append_slice(&out, SLICE(ELLIPSIS));
	}
	if (rc == BUR_OK)
		made = buf_len(&out) > 0 ? arena_dup(arena, buf_slice(&out)) : arena_dup(arena, SLICE(""));
	buf_done(&out);
	return made.p;
}

const char *compose_code(struct arena *arena, enum escape how, const char *text, size_t max)
{
	size_t n = strlen(text);
	bool ends_code = strstr(text, "```") || (n > 0 && (text[0] == '`' || text[n - 1] == '`'));

	/* Not with another sign in its place: for a shell, that sign may be the end of a quoted name. */
	return compose_text(arena, how, ends_code ? "" : text, max);
}

const char *compose_lines(struct arena *arena, enum escape how, const struct brief *b, size_t each, size_t max)
{
	struct slice all = SLICE("");

	for (size_t i = 0; i < b->n_lines; i++) {
		const char *line = compose_text(arena, how, b->line[i], each);

		if (!line)
			return NULL;
		/* Room for the words that some were left out. */
		if (all.n + strlen(BULLET) + strlen(line) + 24 > max)
			return arena_printf(arena, "%s\n" BULLET "and %zu more", all.p, b->n_lines - i).p;
		all = arena_printf(arena, "%s%s" BULLET "%s", all.p, i > 0 ? "\n" : "", line);
		if (!all.p)
			return NULL;
	}
	return all.p;
}

struct plain {
	struct arena *arena;
	enum escape how;
	struct buf out;
	bool no_memory;
};

/* A line "label: text", escaped, the mark being ": "; left out when the text is empty or there is no room. */
static void add_marked(struct plain *p, const char *label, const char *mark, const char *text, size_t max)
{
	const char *safe = compose_text(p->arena, p->how, text, max);
	struct slice line = SLICE_NONE;

	if (safe && safe[0] == '\0')
		return;
	if (safe)
		line = arena_printf(p->arena, "%s%s%s%s", buf_len(&p->out) > 0 ? "\n" : "", label, mark, safe);
	if (!line.p || buf_append_slice(&p->out, line) == BUR_NOMEM)
		p->no_memory = true;
}

static void add_line(struct plain *p, const char *label, const char *text, size_t max)
{
	add_marked(p, label, label[0] ? ": " : "", text, max);
}

/* A URL as it is: but for Slack, which wants & escaped, nothing in it means anything (compose_url_ok). */
static void add_link(struct plain *p, const struct brief_action *action)
{
	enum escape how = p->how;

	p->how = how == ESCAPE_MRKDWN ? ESCAPE_MRKDWN : ESCAPE_NONE;
	if (compose_url_ok(action->url))
		add_line(p, action->label, action->url, (size_t)COMPOSE_URL_MAX * 2);
	p->how = how;
}

const char *compose_plain(struct arena *arena, enum escape how, const struct message *m, size_t max)
{
	const struct brief *b = m->brief;
	struct plain p = {.arena = arena, .how = how};
	const char *made = NULL;

	buf_init(&p.out, max);
	add_marked(&p, compose_sign(m), " ", b->title, 400);
	add_line(&p, "", b->text, 1000);
	for (size_t i = 0; i < b->n_actions; i++)
		add_link(&p, &b->action[i]);
	for (size_t i = 0; i < b->n_fields; i++)
		add_line(&p, b->field[i].label, b->field[i].value, 300);
	for (size_t i = 0; i < b->n_lines; i++)
		add_line(&p, i == 0 && b->lines_title ? b->lines_title : "", b->line[i], 300);
	add_line(&p, "", b->next, 400);
	add_line(&p, "", b->command, 400);
	add_line(&p, "", b->footer, 300);
	if (!p.no_memory)
		made = arena_printf(arena, SLICE_FMT, SLICE_ARG(buf_slice(&p.out))).p;
	buf_done(&p.out);
	return made;
}

const char *compose_sign(const struct message *m)
{
	static const char *const by_severity[SEVERITY_COUNT] = {
	    "\xe2\x84\xb9\xef\xb8\x8f", /* information */
	    "\xe2\x9a\xa0\xef\xb8\x8f", /* warning */
	    "\xe2\x9d\x97",             /* exclamation mark */
	    "\xf0\x9f\x9a\xa8",         /* police light */
	};
	switch (m->op) {
	case SAY_RESOLVE:
		return "\xe2\x9c\x85"; /* check mark */
	case SAY_ACK:
		return "\xf0\x9f\x91\x80"; /* eyes */
	case SAY_DIGEST:
		return "\xf0\x9f\x93\x8b"; /* clipboard */
	case SAY_TEST:
		return "\xf0\x9f\x94\x94"; /* bell */
	default:
		return by_severity[m->severity];
	}
}

const char *compose_word(const struct message *m)
{
	static const char *const by_severity[SEVERITY_COUNT] = {"Info", "Warning", "Error", "Critical"};

	switch (m->op) {
	case SAY_RESOLVE:
		return "Resolved";
	case SAY_ACK:
		return "Acknowledged";
	case SAY_ESCALATE:
		return "Escalated";
	case SAY_DIGEST:
		return "Digest";
	case SAY_TEST:
		return "Test";
	default:
		return by_severity[m->severity];
	}
}

bool compose_is_short(const struct message *m)
{
	return m->op == SAY_ACK;
}

bool compose_url_ok(const char *url)
{
	static const char ends_links[] = "<>()[]{}|\"'`\\";

	if (!url || (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0))
		return false;
	for (const char *p = url; *p; p++)
		if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f || strchr(ends_links, *p) ||
		    p - url >= COMPOSE_URL_MAX)
			return false;
	return true;
}

char *compose_time(int64_t unix_ns, const char *zone, char dst[COMPOSE_TIME_MAX])
{
	int64_t ms = unix_ns > 0 ? unix_ns / NS_PER_MS : 0, year;
	int s = (int)(ms / 1000 % SECONDS_A_DAY), month, day;

	civil_from_days(ms / 1000 / SECONDS_A_DAY, &year, &month, &day);
	(void)snprintf(dst, COMPOSE_TIME_MAX, "%04d-%02d-%02dT%02d:%02d:%02d.%03d%s", (int)(year % 10000), month, day,
		       s / 3600, s / 60 % 60, s % 60, (int)(ms % 1000), zone);
	return dst;
}

/* --- payloads ----------------------------------------------------------------------------------------------------- */

#define CAP_FIRST 2000
#define CAP_LAST 60

json_t *compose_fitting(compose_fn *make, const struct channel *c, const struct message *m, struct arena *arena,
			size_t max_bytes)
{
	for (size_t cap = CAP_FIRST;; cap /= 2) {
		json_t *made = make(c, m, arena, cap);

		if (!made || cap / 2 < CAP_LAST || json_dumpb(made, NULL, 0, JSON_COMPACT) <= max_bytes)
			return made;
		json_decref(made);
	}
}

json_t *compose_own(const struct channel *c, const struct message *m, enum escape how)
{
	json_t *made = NULL;
	struct buf out;

	if (!c->templates.json || m->plain)
		return NULL;
	buf_init(&out, TEMPLATE_OUT_MAX);
	if (template_render_shown(slice_of(c->templates.json), m->facts, how, json_object_get(m->facts, "links"),
				  &out) == BUR_OK)
		made = json_loadb(buf_slice(&out).p, buf_len(&out), JSON_REJECT_DUPLICATES, NULL);
	buf_done(&out);
	if (json_is_object(made))
		return made;
	json_decref(made);
	return NULL;
}

int compose_post(struct request *q, const char *url, json_t *body)
{
	if (!url) {
		json_decref(body);
		return BUR_NOMEM;
	}
	q->kind = REQUEST_HTTP;
	q->method = "POST";
	q->url = url;
	return request_json(q, body, "application/json");
}

const char *compose_url(struct arena *arena, const char *url, const char *path)
{
	struct slice base = slice_of(url);

	while (base.n > 0 && base.p[base.n - 1] == '/')
		base.n--;
	return arena_printf(arena, SLICE_FMT "%s", SLICE_ARG(base), slice_ends(base, slice_of(path)) ? "" : path).p;
}

/* --- messages that are edited ------------------------------------------------------------------------------------- */

#define GONE "-"

void compose_keep(struct verdict *v, const struct message *m, const char *name, enum severity severity)
{
	int n;

	v->ref[0] = '\0';
	if (m->dedup_key[0] == '\0' || name[0] == '\0')
		return;
	n = snprintf(v->ref, sizeof(v->ref), "%s %d", name, (int)severity);
	if (n < 0 || (size_t)n >= sizeof(v->ref))
		v->ref[0] = '\0';
}

void compose_gone(struct verdict *v)
{
	(void)snprintf(v->ref, sizeof(v->ref), "%s", GONE);
}

/* Where the severity stands in what was kept; NULL: nothing was. */
static const char *kept_severity(const struct message *m)
{
	const char *space = strrchr(m->ref, ' ');

	return space && space > m->ref && space[1] >= '0' && space[1] < '0' + SEVERITY_COUNT && space[2] == '\0'
		   ? space + 1
		   : NULL;
}

bool compose_kept(const struct message *m, char *dst, size_t size)
{
	const char *severity = kept_severity(m);
	size_t n = severity ? (size_t)(severity - m->ref - 1) : 0;

	if (n == 0 || n >= size)
		return false;
	memcpy(dst, m->ref, n);
	dst[n] = '\0';
	return true;
}

enum severity compose_kept_severity(const struct message *m)
{
	const char *severity = kept_severity(m);

	return severity ? (enum severity)(*severity - '0') : SEVERITY_INFO;
}

bool compose_is_news(const struct message *m)
{
	return m->op == SAY_ESCALATE || m->op == SAY_RESOLVE ||
	       (m->op == SAY_UPDATE && m->severity > compose_kept_severity(m));
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

char *compose_words(const struct answer *a, char dst[COMPOSE_WORDS_MAX])
{
	struct slice said = slice_trim(a->body);

	while (said.n > 0 && (said.p[said.n - 1] == '\n' || said.p[said.n - 1] == '\r'))
		said.n--;
	if (words_clean(said, dst, COMPOSE_WORDS_MAX) == 0)
		(void)snprintf(dst, COMPOSE_WORDS_MAX, "nothing");
	return dst;
}

static bool take_value(const struct json_reader *r, enum json_token token, char *dst, size_t size)
{
	if (token == JT_TRUE || token == JT_FALSE)
		(void)snprintf(dst, size, "%s", token == JT_TRUE ? "true" : "false");
	else if ((token == JT_STRING || token == JT_NUMBER) && !r->cut && r->text_n < size)
		(void)slice_to_cstr(json_text(r), dst, size);
	return true;
}

char *compose_answer(const struct answer *a, const char *name, char *dst, size_t size)
{
	struct json_reader r;
	size_t i = 0;
	bool found = false;

	dst[0] = '\0';
	json_reader_init(&r);
	r.want_text = true;
	if (a->body.n == 0 || json_next(&r, a->body.p, a->body.n, &i) != JT_OBJECT_BEGIN)
		return dst;
	while (!found && json_next(&r, a->body.p, a->body.n, &i) == JT_KEY) {
		if (slice_eq(json_text(&r), slice_of(name)))
			found = take_value(&r, json_next(&r, a->body.p, a->body.n, &i), dst, size);
		else
			json_skip_value(&r);
	}
	return dst;
}

void compose_http(const struct answer *a, const char *peer, struct verdict *v)
{
	bool passing = a->code == 408 || a->code == 425 || a->code == 429;

	verdict_http(a, v);
	if (v->outcome == OUTCOME_SENT)
		compose_verdict(v, OUTCOME_RETRY, "the answer was %d, which %s does not say: is that %s?", a->code,
				peer, peer);
	else if (v->outcome == OUTCOME_RETRY && a->fault == ANSWER_NO_FAULT && a->code >= 400 && a->code < 500 &&
		 !passing)
		v->outcome = OUTCOME_DEAD;
}

void compose_verdict(struct verdict *v, enum outcome outcome, const char *fmt, ...)
{
	va_list ap;

	v->outcome = outcome;
	va_start(ap, fmt);
	(void)vsnprintf(v->why, sizeof(v->why), fmt, ap);
	va_end(ap);
}
