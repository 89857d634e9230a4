#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/amount.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/json.h"
#include "store/internal.h"

#define DAY_S 86400
#define NAME_BYTES 256 /* names.c keeps none that is longer */
#define ESCAPED (6 * NAME_BYTES + 1)

/* --- payloads ----------------------------------------------------------------------------------------------------- */

struct payload {
	char text[NOTE_PAYLOAD_MAX];
	size_t n;
};

PRINTF_LIKE(2, 3) static void add(struct payload *p, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(p->text + p->n, sizeof p->text - p->n, fmt, ap);
	va_end(ap);
	CHECK(n >= 0 && (size_t)n < sizeof p->text - p->n); /* every text in it is bounded */
	p->n += (size_t)n;
}

static void add_text(struct payload *p, const char *name, struct slice text)
{
	char escaped[6 * 600 + 1];

	(void)json_escape(text, escaped, sizeof escaped);
	add(p, "%c\"%s\":\"%s\"", p->n == 0 ? '{' : ',', name, escaped);
}

static int put(struct writer *w, struct note *n, struct payload *p)
{
	add(p, "}");
	n->payload = slice_mem(p->text, p->n);
	return note_put(w, n);
}

int event_put(struct writer *w, const struct own_event *e)
{
	struct note n = {.kind = e->kind,
			 .object = slice_of(e->object),
			 .since_s = e->since_s,
			 .part = e->part,
			 .state = e->state,
			 .at_ns = e->at_ns};
	struct payload p = {.n = 0};

	add_text(&p, "message", slice_of(e->message));
	add_text(&p, "object", slice_of(e->object));
	add(&p, ",\"object_kind\":\"store\"");
	if (e->severity)
		add(&p, ",\"severity\":\"%s\"", e->severity);
	if (e->ends_s > 0)
		add(&p, ",\"ends_s\":%lld", (long long)e->ends_s);
	if (e->details)
		add(&p, ",%s", e->details);
	return put(w, &n, &p);
}

int event_of_quarantine(struct writer *w, uint32_t n, int64_t part, int64_t now_ns)
{
	char text[200], details[32];
	const struct own_event e = {.kind = "ledger.repaired",
				    .object = "journal",
				    .message = text,
				    .severity = "critical",
				    .details = details,
				    .since_s = now_ns / NS_PER_S,
				    .part = part,
				    .at_ns = now_ns,
				    .state = NOTE_BEGAN};

	(void)snprintf(text, sizeof text,
		       "%u damaged journal slot%s kept in table journal_quarantine: what %s cost is not in the ledger",
		       n, n == 1 ? " is" : "s are", n == 1 ? "this call" : "these calls");
	(void)snprintf(details, sizeof details, "\"slots\":%u", n);
	return event_put(w, &e);
}

/* --- steps of budgets ------------------------------------------------------------------------------------------- */

static int step_payload(const struct threshold_event *e, char *dst, size_t size)
{
	char budget[6 * sizeof e->budget], scope[6 * sizeof e->scope];

	(void)json_escape(slice_mem(e->budget, strnlen(e->budget, sizeof e->budget)), budget, sizeof budget);
	(void)json_escape(slice_mem(e->scope, strnlen(e->scope, sizeof e->scope)), scope, sizeof scope);
	return snprintf(
	    dst, size,
	    "{\"budget\":\"%s\",\"scope\":\"%s\",\"mode\":\"%s\",\"action\":\"%s\",\"at_ppm\":%lld,\"posted\":%lld,"
	    "\"held\":%lld,\"need\":%lld,\"limit\":%lld,\"credit\":%lld,\"win_start\":%lld,\"win_end\":%lld,"
	    "\"at_ns\":%lld%s%s%s}",
	    budget, scope, e->mode ? e->mode : "", e->word, (long long)e->at_ppm, (long long)e->posted,
	    (long long)e->held, (long long)e->need, (long long)e->limit, (long long)e->credit,
	    (long long)(e->endless ? 0 : e->win_start), (long long)(e->endless ? 0 : e->win_end), (long long)e->at_ns,
	    e->severity ? ",\"severity\":\"" : "", e->severity ? e->severity : "", e->severity ? "\"" : "");
}

int event_of_step(struct writer *w, const struct threshold_event *e)
{
	sqlite3_stmt *m = w->st[W_WARNED], *o = w->st[W_EVENT];
	char payload[3072];
	int rc, n = step_payload(e, payload, sizeof payload);

	CHECK(n > 0 && (size_t)n < sizeof payload);
	(void)sqlite3_bind_int64(m, 1, (int64_t)e->uid);
	(void)sqlite3_bind_int64(m, 2, e->win_start);
	(void)sqlite3_bind_int64(m, 3, e->win_end);
	(void)sqlite3_bind_int64(m, 4, e->limit);
	(void)sqlite3_bind_int64(m, 5, e->warned_mask);
	rc = db_run(m);
	if (rc != SQLITE_OK)
		return rc;
	(void)sqlite3_bind_int64(o, 1, e->at_ns);
	(void)sqlite3_bind_text(o, 2, e->kind, -1, SQLITE_STATIC);
	(void)sqlite3_bind_int64(o, 3, (int64_t)e->uid);
	(void)sqlite3_bind_int64(o, 4, e->win_start);
	(void)sqlite3_bind_int64(o, 5, e->at_ppm);
	(void)sqlite3_bind_int(o, 6, e->action);
	(void)sqlite3_bind_text(o, 7, payload, n, SQLITE_STATIC);
	rc = db_run(o);
	(void)sqlite3_clear_bindings(o);
	return rc;
}

/* --- what rows tell ----------------------------------------------------------------------------------------------- */

/* Names of the row, in the order of its ids; they are in the database before it. */
struct row_names {
	struct slice text[JOURNAL_NAMES];
	char mem[JOURNAL_NAMES][NAME_BYTES];
};

static int read_names(struct writer *w, const struct row *r, struct row_names *ret)
{
	sqlite3_stmt *st = w->st[W_NAME_OF];
	int rc = SQLITE_DONE;

	for (int i = 0; i < JOURNAL_NAMES && (rc == SQLITE_DONE || rc == SQLITE_ROW); i++) {
		struct slice text = SLICE("");

		(void)sqlite3_bind_int64(st, 1, r->v[R_IDS + i]);
		rc = sqlite3_step(st);
		if (rc == SQLITE_ROW)
			text = db_slice(st, 0);
		if (text.n > NAME_BYTES)
			text.n = NAME_BYTES;
		memcpy(ret->mem[i], text.n ? text.p : "", text.n);
		ret->text[i] = slice_mem(ret->mem[i], text.n);
		(void)sqlite3_reset(st);
	}
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static void add_names(struct payload *p, const struct row_names *names)
{
	static const char *const words[JOURNAL_NAMES] = {"key", "user", "team", "project", "provider", "model", NULL};

	for (int i = 0; i < JOURNAL_NAMES; i++)
		if (words[i] && names->text[i].n > 0)
			add_text(p, words[i], names->text[i]);
}

/* The budgets that the call counted in. */
static int add_budgets(struct writer *w, struct payload *p, const struct row *r)
{
	sqlite3_stmt *st = w->st[W_BUDGET_OF];
	char escaped[ESCAPED];
	int rc = SQLITE_DONE;

	add(p, ",\"budgets\":[");
	for (size_t i = 0; i < r->n_postings && (rc == SQLITE_DONE || rc == SQLITE_ROW); i++) {
		(void)sqlite3_bind_int64(st, 1, r->postings[i].meter_uid);
		rc = sqlite3_step(st);
		if (rc == SQLITE_ROW && p->n < sizeof p->text / 2) {
			(void)json_escape(db_slice(st, 0), escaped, sizeof escaped);
			add(p, "%s\"%s\"", p->text[p->n - 1] == '[' ? "" : ",", escaped);
		}
		(void)sqlite3_reset(st);
	}
	add(p, "]");
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static int tell_overrun(struct writer *w, const struct row *r, const struct row_names *names)
{
	struct slice model = names->text[NAME_MODEL].n > 0 ? names->text[NAME_MODEL] : names->text[NAME_PROVIDER];
	struct note n = {.kind = "budget.overrun",
			 .object = model,
			 .since_s = r->v[R_TS_SETTLE] / NS_PER_S,
			 .part = r->seq,
			 .state = NOTE_BEGAN,
			 .at_ns = r->v[R_TS_SETTLE]};
	char cost[AMOUNT_TEXT_MAX], held[AMOUNT_TEXT_MAX], uid[33], text[NAME_BYTES + 200];
	struct payload p = {.n = 0};
	int rc;

	hex_encode(r->uid, sizeof r->uid, uid);
	(void)snprintf(text, sizeof text, "A call to " SLICE_FMT " cost %s USD, but only %s USD were held for it",
		       SLICE_ARG(model), amount_format_usd(r->v[R_AMOUNT], cost),
		       amount_format_usd(r->v[R_WORST], held));
	add_text(&p, "message", slice_of(text));
	add_text(&p, "object", model);
	add(&p, ",\"object_kind\":\"model\",\"call\":\"%s\",\"cost_nanos\":%lld,\"held_nanos\":%lld", uid,
	    (long long)r->v[R_AMOUNT], (long long)r->v[R_WORST]);
	add_names(&p, names);
	rc = add_budgets(w, &p, r);
	return rc == SQLITE_OK ? put(w, &n, &p) : rc;
}

/* A vendor that refuses a name that nobody knows has told enough: without this rule any client could make up models. */
static bool was_served(const struct row *r)
{
	return !(r->v[R_FLAGS] & ROW_ERROR_STATUS) && r->v[R_STATUS] < 400;
}

/* The same identity as what the data path tells of calls that it refuses for this reason. */
static int tell_unpriced(struct writer *w, const struct row *r, const struct row_names *names)
{
	char object[300], text[sizeof object + 100];
	int64_t s = r->v[R_TS_SETTLE] / NS_PER_S;
	struct note n = {
	    .kind = "price.unknown_model", .since_s = s - s % DAY_S, .state = NOTE_BEGAN, .at_ns = r->v[R_TS_SETTLE]};
	struct payload p = {.n = 0};

	if (names->text[NAME_MODEL].n == 0)
		return SQLITE_OK; /* a route without models */
	(void)snprintf(object, sizeof object, SLICE_FMT "/" SLICE_FMT, SLICE_ARG(names->text[NAME_PROVIDER]),
		       SLICE_ARG(names->text[NAME_MODEL]));
	n.object = slice_of(object);
	(void)snprintf(text, sizeof text, "Calls to %s pass without a price: none is known for it", object);
	add_text(&p, "message", slice_of(text));
	add_text(&p, "object", n.object);
	add(&p, ",\"object_kind\":\"model\",\"refused\":false");
	add_names(&p, names);
	return put(w, &n, &p);
}

int event_of_row(struct writer *w, const struct row *r)
{
	struct row_names names;
	int rc;

	if (!r->fresh || r->v[R_KIND] != LEDGER_SPEND)
		return SQLITE_OK;
	rc = read_names(w, r, &names);
	if (rc == SQLITE_OK && (r->v[R_FLAGS] & ROW_OVERRUN))
		rc = tell_overrun(w, r, &names);
	if (rc == SQLITE_OK && (r->v[R_FLAGS] & ROW_NO_PRICE) && was_served(r))
		rc = tell_unpriced(w, r, &names);
	return rc;
}
