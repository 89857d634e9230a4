/* Changes by people, each with its reason and the name of the key that asked for it:
 *
 * POST /api/v1/budgets/{name}/limit   {"limit":"80 USD","reason":"...","direction":"raise"}
 * POST /api/v1/budgets/{name}/credit  {"amount":"5
 * USD","reason":"...","scope":"user=ann","expires":"7d","carry_over":true} POST /api/v1/budgets/{name}/charge
 * {"amount":"5 USD","reason":"...","scope":"user=ann"}; below 0: taken back POST /api/v1/ledger/{id}/refund
 * {"amount":"0.40 USD","reason":"..."} POST /api/v1/ledger/{id}/adjust     {"total":"1.30 USD","reason":"..."} or
 * {"amount":"-0.10 USD",...} GET  /api/v1/audit                  what was changed, newest first
 *
 * With a header `Idempotency-Key`, or `id` in the body, the same question may be asked again: it is done once. Amounts
 * are texts; one without a unit has the budget's. */
#include <stdio.h>
#include <string.h>

#include "api/body.h"
#include "api/operate.h"
#include "api/reply.h"
#include "api/views.h"
#include "base/amount.h"
#include "base/calendar.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#define PAGE_DEFAULT 100
#define PAGE_MAX 1000

/* --- questions ---------------------------------------------------------------------------------------------------- */

static int bad(struct api_call *call, const char *name, const char *message)
{
	reply_invalid(call, "body", name, "value_error", message, SLICE_NONE);
	return BUR_INVALID;
}

/* NULL: answered already. */
static json_t *read_body(struct api_call *call, const char *const *known)
{
	json_t *o;

	if (!slice_istarts(call->content_type, SLICE("application/json"))) {
		reply_error(call, 415, "Content-Type must be application/json");
		return NULL;
	}
	o = json_loadb(call->body.n ? call->body.p : "", call->body.n, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(o) && body_only_has(call, o, known))
		return o;
	if (!json_is_object(o))
		reply_error(call, 400, "The body must be a JSON object");
	json_decref(o);
	return NULL;
}

/* A text member, 1..max bytes without control characters; absent is empty. */
static int take_text(struct api_call *call, const json_t *o, const char *name, size_t max, struct slice *ret)
{
	const json_t *v = json_object_get(o, name);

	*ret = SLICE_NONE;
	if (!v || json_is_null(v))
		return BUR_OK;
	if (!json_is_string(v) || json_string_length(v) == 0 || json_string_length(v) > max)
		return bad(call, name, "Input should be a short text");
	*ret = slice_mem(json_string_value(v), json_string_length(v));
	for (size_t i = 0; i < ret->n; i++)
		if ((unsigned char)ret->p[i] < ' ' || ret->p[i] == 127)
			return bad(call, name, "Input should have no control characters");
	return BUR_OK;
}

/* Who, why, and the id. */
static int take_operation(struct api_call *call, const json_t *o, struct operation *ret)
{
	*ret = (struct operation){.actor = call->actor, .now_ns = clock_wall_ns()};
	if (take_text(call, o, "reason", AUDIT_REASON_MAX, &ret->reason) < 0 ||
	    take_text(call, o, "id", OPERATE_ID_MAX, &ret->id) < 0)
		return BUR_INVALID;
	if (ret->reason.n == 0)
		return bad(call, "reason", "Field required: why, for the audit log");
	if (ret->id.n == 0)
		ret->id = call->idempotency_key;
	if (ret->id.n > OPERATE_ID_MAX)
		return bad(call, "id", "Idempotency-Key is too long");
	return BUR_OK;
}

/* "5 USD", "2M tokens", or a number in `unit`; `sign`: it may be below 0. */
static int take_amount(struct api_call *call, const json_t *o, const char *name, enum amount_unit unit, bool sign,
		       int64_t *ret)
{
	struct slice text, digits;
	enum amount_unit got = unit;
	bool minus;

	if (take_text(call, o, name, 64, &text) < 0)
		return BUR_INVALID;
	minus = sign && slice_starts(text, SLICE("-"));
	digits = slice_trim(slice_sub(text, minus, text.n));
	if (digits.n == 0 || (decimal_parse(digits, unit == UNIT_USD ? 9 : 0, false, ret) < 0 &&
			      amount_parse_limit(digits, &got, ret) < 0))
		return bad(call, name, "Input should be an amount such as '50 USD', '2M tokens' or '1000 requests'");
	if (got != unit)
		return bad(call, name,
			   unit == UNIT_USD      ? "The budget counts USD"
			   : unit == UNIT_TOKENS ? "The budget counts tokens"
						 : "The budget counts requests");
	if (*ret < 0 || *ret > OPERATE_AMOUNT_MAX)
		return bad(call, name, "The amount is below nothing or too large");
	if (minus)
		*ret = -*ret;
	return BUR_OK;
}

/* "90m", "12h", "7d", "2w", a date or a date-time; in Unix seconds. Absent: never. */
static int take_expiry(struct api_call *call, const json_t *o, int64_t now_s, int64_t *ret)
{
	static const struct {
		char letter;
		int64_t s;
	} units[] = {{'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 7 * 86400}};
	struct slice text;
	uint64_t n;
	int64_t ns;

	*ret = OPERATE_NEVER;
	if (take_text(call, o, "expires", 64, &text) < 0)
		return BUR_INVALID;
	if (text.n == 0)
		return BUR_OK;
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (text.p[text.n - 1] == units[i].letter && slice_u64(slice_sub(text, 0, text.n - 1), &n) == BUR_OK &&
		    n > 0 && n <= 1000000) {
			*ret = now_s + (int64_t)n * units[i].s;
			return BUR_OK;
		}
	if (time_parse(text, &ns) < 0)
		return bad(call, "expires", "Input should be a duration such as '7d', a date or a date-time");
	*ret = ns / NS_PER_S;
	return *ret > now_s ? BUR_OK : bad(call, "expires", "Input should lie in the future");
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

/* What went wrong with which change. */
static void send_failed(struct api_call *call, const char *action, int r)
{
	static const struct {
		int code, status;
		const char *action, *text; /* action NULL: any */
	} answers[] = {
	    {BUR_NOTFOUND, 404, "call", "No such call: give the id or the number of its row in the ledger"},
	    {BUR_NOTFOUND, 404, NULL, "No such scope of this budget; it is written as in the list, such as user=ann"},
	    {BUR_INVALID, 422, "call", "That is what the call costs already, or no amount to correct it by"},
	    {BUR_INVALID, 422, "credit",
	     "Credit is above zero, expires in the future, and is not carried over in a rolling window"},
	    {BUR_INVALID, 422, NULL, "Such a change changes nothing, or its text is no UTF-8"},
	    {BUR_ALREADY, 409, NULL, "This id was used for another change"},
	    {BUR_DENIED, 409, "call", "A refund is at most what was paid, and no call costs less than nothing"},
	    {BUR_DENIED, 409, NULL, "Less than that was spent in this window, or more than can be counted"},
	    {BUR_FULL, 409, NULL, "No room for one more counter, or for one more credit of this counter"},
	    {BUR_OVERFLOW, 409, NULL, "More than can be counted"},
	};

	for (size_t i = 0; i < ARRAY_LEN(answers); i++)
		if (answers[i].code == r && (!answers[i].action || strcmp(answers[i].action, action) == 0)) {
			reply_error(call, answers[i].status, answers[i].text);
			return;
		}
	log_limited(LOG_ERROR, "api.operate", "cannot change a budget: %s", bur_strerror(r));
	reply_error(call, 503, "Database not available; ask again with the same id");
}

static void send_done(struct api_call *call, const char *key, struct slice name, struct slice scope,
		      const struct operated *done)
{
	json_t *o = json_pack("{s:o,s:s,s:s,s:I,s:b}", key, body_text(name), "before", done->before, "after",
			      done->after, "audit", (json_int_t)done->audit_seq, "repeated", done->repeated);

	if (scope.n > 0 && o)
		(void)json_object_set_new(o, "scope", body_text(scope));
	body_send(call, 200, o);
}

/* A budget with several limits has a name for each of them. */
static void send_unknown(struct api *api, struct api_call *call)
{
	const struct budget_set *set = api->deps.budgets;
	char text[512] = "No such budget";
	size_t n = strlen(text);

	for (size_t i = 0; set && i < budget_set_len(set); i++) {
		const struct budget *b = budget_set_at(set, i);
		int w;

		if (!b->group || !slice_eq(call->param, slice_of(b->group)))
			continue;
		w = snprintf(text + n, sizeof(text) - n, "%s%s",
			     strchr(text, ':') ? ", " : "; its limits are: ", b->name);
		if (w < 0 || (size_t)w >= sizeof(text) - n) {
			text[n] = '\0'; /* whole names */
			break;
		}
		n += (size_t)w;
	}
	reply_error(call, 404, text);
}

static const struct budget *find_budget(struct api *api, struct api_call *call)
{
	const struct budget *b = api_budget(api, call->param);

	if (!b)
		send_unknown(api, call);
	return b;
}

/* --- limits ------------------------------------------------------------------------------------------------------- */

/* What the caller believes to do must be what it does. */
static int check_direction(struct api *api, struct api_call *call, const json_t *o, const struct budget *b,
			   int64_t limit)
{
	struct slice word;
	int64_t now;
	int r;

	if (take_text(call, o, "direction", 8, &word) < 0)
		return BUR_INVALID;
	if (word.n == 0)
		return BUR_OK;
	if (!slice_eq(word, SLICE("raise")) && !slice_eq(word, SLICE("lower")))
		return bad(call, "direction", "Input should be 'raise' or 'lower'");
	r = api_limit_now(api, b, &now);
	if (r < 0) {
		send_failed(call, "limit", r);
		return r;
	}
	if (limit == now || (limit > now) == slice_eq(word, SLICE("raise")))
		return BUR_OK;
	reply_error(call, 409, limit > now ? "That would raise the limit" : "That would lower the limit");
	return BUR_DENIED;
}

static void set_limit(struct api *api, struct api_call *call, const json_t *o, const struct budget *b)
{
	struct operation op;
	struct operated done;
	int64_t limit;
	int r;

	if (take_operation(call, o, &op) < 0 || take_amount(call, o, "limit", b->unit, false, &limit) < 0 ||
	    check_direction(api, call, o, b, limit) < 0)
		return;
	if (limit == 0) {
		(void)bad(call, "limit", "Input should be above zero");
		return;
	}
	r = api_set_limit(api, b, limit, &op, &done);
	if (r < 0)
		send_failed(call, "limit", r);
	else
		send_done(call, "budget", slice_of(b->name), SLICE_NONE, &done);
}

void view_budget_limit(struct api *api, struct api_call *call)
{
	static const char *const known[] = {"limit", "reason", "direction", "id", NULL};
	const struct budget *b = find_budget(api, call);
	json_t *o = b ? read_body(call, known) : NULL;

	if (o)
		set_limit(api, call, o, b);
	json_decref(o);
}

/* --- credits and charges ------------------------------------------------------------------------------------------ */

static void give_credit(struct api *api, struct api_call *call, const json_t *o, const struct budget *b)
{
	const json_t *carry = json_object_get(o, "carry_over");
	struct api_credit c = {.carry_over = json_is_true(carry)};
	struct operation op;
	struct operated done;
	int r;

	if (take_operation(call, o, &op) < 0 || take_text(call, o, "scope", SCOPE_SIZE - 1, &c.scope) < 0 ||
	    take_amount(call, o, "amount", b->unit, false, &c.amount) < 0 ||
	    take_expiry(call, o, api_now_s(api), &c.expires_s) < 0)
		return;
	if (carry && !json_is_boolean(carry) && !json_is_null(carry)) {
		(void)bad(call, "carry_over", "Input should be true or false");
		return;
	}
	r = api_grant_credit(api, b, &c, &op, &done);
	if (r < 0)
		send_failed(call, "credit", r);
	else
		send_done(call, "budget", slice_of(b->name), c.scope, &done);
}

void view_budget_credit(struct api *api, struct api_call *call)
{
	static const char *const known[] = {"amount", "reason", "scope", "expires", "carry_over", "id", NULL};
	const struct budget *b = find_budget(api, call);
	json_t *o = b ? read_body(call, known) : NULL;

	if (o)
		give_credit(api, call, o, b);
	json_decref(o);
}

static void charge(struct api *api, struct api_call *call, const json_t *o, const struct budget *b)
{
	struct operation op;
	struct operated done;
	struct slice scope;
	uint8_t uid[16];
	int64_t amount;
	int r;

	if (take_operation(call, o, &op) < 0 || take_text(call, o, "scope", SCOPE_SIZE - 1, &scope) < 0 ||
	    take_amount(call, o, "amount", b->unit, true, &amount) < 0)
		return;
	r = api_charge(api, b, scope, amount, &op, &done, uid);
	if (r < 0)
		send_failed(call, "charge", r);
	else
		send_done(call, "budget", slice_of(b->name), scope, &done);
}

void view_budget_charge(struct api *api, struct api_call *call)
{
	static const char *const known[] = {"amount", "reason", "scope", "id", NULL};
	const struct budget *b = find_budget(api, call);
	json_t *o = b ? read_body(call, known) : NULL;

	if (o)
		charge(api, call, o, b);
	json_decref(o);
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

/* 32 hex digits, or the number of a row. Not BUR_OK: answered. */
static int read_call(struct api *api, struct api_call *call, uint8_t ret[16])
{
	struct sqlite3 *reader;
	uint64_t seq;
	size_t n = 0;
	int r;

	if (call->param.n == 32 && hex_decode(call->param, ret, 16, &n) == BUR_OK && n == 16)
		return BUR_OK;
	if (slice_u64(call->param, &seq) < 0 || seq > INT64_MAX) {
		reply_error(call, 404, "No such call: give its id or its row's number");
		return BUR_NOTFOUND;
	}
	reader = reply_reader(api, call);
	if (!reader)
		return BUR_IO;
	r = operate_row_uid(reader, (int64_t)seq, ret);
	if (r < 0)
		send_failed(call, "call", r);
	return r;
}

static void correct(struct api *api, struct api_call *call, const json_t *o, bool refund)
{
	struct operate_correction c = {.refund = refund, .is_total = json_object_get(o, "total") != NULL};
	struct operation op;
	struct operated done;
	uint8_t uid[16];
	char id[33];
	int r;

	if (read_call(api, call, c.ref_uid) < 0 || take_operation(call, o, &op) < 0)
		return;
	if (c.is_total && json_object_get(o, "amount")) {
		(void)bad(call, "amount", "Give either the total or the difference");
		return;
	}
	if (take_amount(call, o, c.is_total ? "total" : "amount", UNIT_USD, !refund && !c.is_total, &c.nanousd) < 0)
		return;
	r = operate_correct(api->deps.store, &op, &c, &done, uid);
	if (r < 0) {
		send_failed(call, "call", r);
		return;
	}
	hex_encode(c.ref_uid, sizeof(c.ref_uid), id);
	if (!done.repeated)
		log_msg(LOG_INFO, refund ? "ledger.refund" : "ledger.adjust",
			"call %s costs %s, was %s, by " SLICE_FMT ": " SLICE_FMT, id, done.after, done.before,
			SLICE_ARG(op.actor), SLICE_ARG(op.reason));
	send_done(call, "call", slice_of(id), SLICE_NONE, &done);
}

void view_ledger_refund(struct api *api, struct api_call *call)
{
	static const char *const known[] = {"amount", "reason", "id", NULL};
	json_t *o = read_body(call, known);

	if (o)
		correct(api, call, o, true);
	json_decref(o);
}

void view_ledger_adjust(struct api *api, struct api_call *call)
{
	static const char *const known[] = {"amount", "total", "reason", "id", NULL};
	json_t *o = read_body(call, known);

	if (o)
		correct(api, call, o, false);
	json_decref(o);
}

/* --- the log ------------------------------------------------------------------------------------------------------ */

static int read_number(struct api_call *call, const char *name, uint64_t max, uint64_t *inout)
{
	struct slice text;
	uint64_t n;

	if (reply_query(call, name, &text) < 0)
		return BUR_INVALID;
	if (!text.p)
		return BUR_OK;
	if (slice_u64(text, &n) < 0 || n == 0 || n > max) {
		reply_invalid(call, "query", name, "int_parsing", "Input should be a whole number within its bounds",
			      text);
		return BUR_INVALID;
	}
	*inout = n;
	return BUR_OK;
}

struct page {
	json_t *rows;
	int64_t last;
};

static int add_entry(void *ctx, const struct audit_entry *e)
{
	struct page *page = ctx;
	json_t *o =
	    json_pack("{s:I,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "seq", (json_int_t)e->seq, "at", body_time(e->ts_ns),
		      "actor", body_text(e->actor), "action", body_text(e->action), "object", body_text(e->object),
		      "before", body_text(e->before), "after", body_text(e->after), "reason", body_text(e->reason));

	page->last = e->seq;
	return json_array_append_new(page->rows, o) == 0 ? BUR_OK : BUR_NOMEM;
}

void view_audit(struct api *api, struct api_call *call)
{
	struct audit_filter f = {0};
	struct page page = {0};
	uint64_t limit = PAGE_DEFAULT, cursor = 0;
	struct sqlite3 *reader;
	char next[24];
	bool more;
	int r;

	if (read_number(call, "limit", PAGE_MAX, &limit) < 0 || read_number(call, "cursor", INT64_MAX, &cursor) < 0 ||
	    reply_query(call, "object", &f.object) < 0)
		return;
	reader = reply_reader(api, call);
	page.rows = reader ? json_array() : NULL;
	if (!page.rows)
		return;
	f.limit = (size_t)limit;
	f.before_seq = (int64_t)cursor;
	r = audit_each(reader, &f, add_entry, &page);
	if (r < 0) {
		json_decref(page.rows);
		send_failed(call, "audit", r);
		return;
	}
	more = json_array_size(page.rows) == f.limit && page.last > 1;
	(void)snprintf(next, sizeof(next), "%lld", (long long)page.last);
	body_send(call, 200, json_pack("{s:o,s:o}", "rows", page.rows, "next", more ? json_string(next) : json_null()));
}
