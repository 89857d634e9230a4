#include "meter/envelope.h"

#include <inttypes.h>

#include "base/amount.h"
#include "base/check.h"
#include "base/error.h"
#include "base/json.h"

/* --- what each reason is called ----------------------------------------------------------------------------------- */

static const struct {
	const char *code;
	int status;
	bool retry, after;
} refusals[REFUSE_COUNT] = {
#define X(uc, code, status, retry, after) [REFUSE_##uc] = {code, status, retry, after},
    REFUSALS(X)
#undef X
};

/* The vendors' own class names; an SDK picks its exception by status first, then by these. */
static const struct {
	const char *openai, *anthropic, *google;
} types[REFUSE_COUNT] = {
    [REFUSE_BUDGET_EXCEEDED] = {"insufficient_quota", "billing_error", "RESOURCE_EXHAUSTED"},
    [REFUSE_BUDGET_HELD] = {"rate_limit_exceeded", "rate_limit_error", "RESOURCE_EXHAUSTED"},
    [REFUSE_THROTTLED] = {"rate_limit_exceeded", "rate_limit_error", "RESOURCE_EXHAUSTED"},
    [REFUSE_PRICE_UNKNOWN] = {"invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"},
    [REFUSE_PRICE_ERROR] = {"invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"},
    [REFUSE_ROUTE_UNMETERED] = {"invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"},
    [REFUSE_NO_BUDGET] = {"invalid_request_error", "permission_error", "PERMISSION_DENIED"},
    [REFUSE_BAD_REQUEST] = {"invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"},
    [REFUSE_BODY_TOO_LARGE] = {"invalid_request_error", "request_too_large", "INVALID_ARGUMENT"},
    [REFUSE_UNAUTHENTICATED] = {"invalid_request_error", "authentication_error", "UNAUTHENTICATED"},
    [REFUSE_PROXY_AUTH] = {"invalid_request_error", "authentication_error", "UNAUTHENTICATED"},
    [REFUSE_FORBIDDEN] = {"invalid_request_error", "permission_error", "PERMISSION_DENIED"},
    [REFUSE_MISDIRECTED] = {"invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"},
    [REFUSE_NOT_FOUND] = {"invalid_request_error", "not_found_error", "NOT_FOUND"},
    [REFUSE_LOOP] = {"server_error", "api_error", "INTERNAL"},
    [REFUSE_UPSTREAM_CONNECT] = {"server_error", "api_error", "UNAVAILABLE"},
    [REFUSE_UPSTREAM_TLS] = {"server_error", "api_error", "INTERNAL"},
    [REFUSE_UPSTREAM_PROTOCOL] = {"server_error", "api_error", "INTERNAL"},
    [REFUSE_UPSTREAM_TIMEOUT] = {"server_error", "timeout_error", "DEADLINE_EXCEEDED"},
    [REFUSE_UPSTREAM_UNAVAILABLE] = {"server_error", "overloaded_error", "UNAVAILABLE"},
    [REFUSE_STORAGE_UNAVAILABLE] = {"server_error", "overloaded_error", "UNAVAILABLE"},
    [REFUSE_DRAINING] = {"server_error", "overloaded_error", "UNAVAILABLE"},
    [REFUSE_OVERLOADED] = {"server_error", "overloaded_error", "UNAVAILABLE"},
    [REFUSE_INTERNAL] = {"server_error", "api_error", "INTERNAL"},
};

const char *refusal_code(enum refusal_reason reason)
{
	CHECK(reason < REFUSE_COUNT);
	return refusals[reason].code;
}

int refusal_status(enum refusal_reason reason)
{
	CHECK(reason < REFUSE_COUNT);
	return refusals[reason].status;
}

bool refusal_may_retry(enum refusal_reason reason)
{
	CHECK(reason < REFUSE_COUNT);
	return refusals[reason].retry;
}

bool refusal_needs_retry_after(enum refusal_reason reason)
{
	CHECK(reason < REFUSE_COUNT);
	return refusals[reason].after;
}

/* --- a writer that remembers its first failure -------------------------------------------------------------------- */

struct writer {
	struct buf *out;
	int r;
};

static void put(struct writer *w, const char *text)
{
	if (w->r == BUR_OK)
		w->r = buf_append_slice(w->out, slice_of(text));
}

static void put_string(struct writer *w, struct slice s)
{
	if (w->r == BUR_OK)
		w->r = json_write_string(w->out, s);
}

static void put_cstr(struct writer *w, const char *text)
{
	put_string(w, slice_of(text));
}

static void put_int(struct writer *w, int64_t v)
{
	if (w->r == BUR_OK)
		w->r = buf_printf(w->out, "%" PRId64, v);
}

static bool is_usd(const struct refusal_budget *b)
{
	return slice_eq(b->unit, SLICE("USD"));
}

/* Money is an exact decimal string, counts are numbers. */
static void put_amount(struct writer *w, const struct refusal_budget *b, const char *key, int64_t v)
{
	char text[AMOUNT_TEXT_MAX];

	put(w, key);
	if (is_usd(b))
		put_cstr(w, amount_format_usd(v, text));
	else
		put_int(w, v);
}

static void put_budget(struct writer *w, const struct refusal_budget *b)
{
	put(w, "{\"name\":");
	put_string(w, b->name);
	put(w, ",\"window\":");
	put_string(w, b->window);
	if (b->scope.n > 0) {
		put(w, ",\"scope\":");
		put_string(w, b->scope);
	}
	put(w, ",\"unit\":");
	put_string(w, b->unit);
	put_amount(w, b, ",\"limit\":", b->limit);
	put_amount(w, b, ",\"posted\":", b->posted);
	put_amount(w, b, ",\"held\":", b->held);
	put_amount(w, b, ",\"need\":", b->need);
	put(w, ",\"resets_at\":");
	if (b->resets_at.n > 0)
		put_string(w, b->resets_at);
	else
		put(w, "null");
	put(w, "}");
}

static void put_budgets(struct writer *w, const struct refusal *f)
{
	size_t i;

	if (f->n_budgets == 0)
		return;
	put(w, ",\"budgets\":[");
	for (i = 0; i < f->n_budgets; i++) {
		if (i > 0)
			put(w, ",");
		put_budget(w, &f->budgets[i]);
	}
	put(w, "]");
}

/* --- the message -------------------------------------------------------------------------------------------------- */

static void put_plain(struct writer *w, struct slice s)
{
	if (w->r == BUR_OK)
		w->r = buf_append_slice(w->out, s);
}

static void put_figure(struct writer *w, const struct refusal_budget *b, int64_t v)
{
	char text[AMOUNT_TEXT_MAX];

	if (is_usd(b))
		put(w, amount_format_usd(v, text));
	else
		put_int(w, v);
}

int refusal_budget_message(const struct refusal_budget *budgets, size_t n, struct buf *out)
{
	struct writer w = {out, BUR_OK};
	size_t i;

	for (i = 0; i < n; i++) {
		const struct refusal_budget *b = &budgets[i];

		put(&w, i > 0 ? "; " : "");
		put_plain(&w, b->name);
		if (b->scope.n > 0) {
			put(&w, " (");
			put_plain(&w, b->scope);
			put(&w, ")");
		}
		put(&w, ", ");
		put_figure(&w, b, b->posted);
		put(&w, " of ");
		put_figure(&w, b, b->limit);
		put(&w, " ");
		put_plain(&w, b->unit);
		put(&w, ", held ");
		put_figure(&w, b, b->held);
		put(&w, ", needed ");
		put_figure(&w, b, b->need);
		if (b->resets_at.n > 0) {
			put(&w, ", resets ");
			put_plain(&w, b->resets_at);
		} else {
			put(&w, ", never resets");
		}
	}
	return w.r;
}

/* --- bodies ------------------------------------------------------------------------------------------------------- */

static void put_openai(struct writer *w, const struct refusal *f)
{
	put(w, "{\"error\":{\"message\":");
	put_string(w, f->message);
	put(w, ",\"type\":");
	put_cstr(w, types[f->reason].openai);
	put(w, ",\"param\":null,\"code\":");
	put_cstr(w, refusal_code(f->reason));
	put_budgets(w, f);
	put(w, "}}");
}

static void put_anthropic(struct writer *w, const struct refusal *f)
{
	put(w, "{\"type\":\"error\",\"error\":{\"type\":");
	put_cstr(w, types[f->reason].anthropic);
	put(w, ",\"message\":");
	put_string(w, f->message);
	put(w, "},\"request_id\":");
	put_string(w, f->request_id);
	put(w, "}");
}

static void put_google(struct writer *w, const struct refusal *f)
{
	put(w, "{\"error\":{\"code\":");
	put_int(w, refusal_status(f->reason));
	put(w, ",\"message\":");
	put_string(w, f->message);
	put(w, ",\"status\":");
	put_cstr(w, types[f->reason].google);
	put(w, ",\"details\":[]}}");
}

/* RFC 9457 */
static void put_problem(struct writer *w, const struct refusal *f)
{
	put(w, "{\"type\":\"about:blank\",\"title\":");
	put_cstr(w, refusal_code(f->reason));
	put(w, ",\"status\":");
	put_int(w, refusal_status(f->reason));
	put(w, ",\"detail\":");
	put_string(w, f->message);
	put(w, ",\"code\":");
	put_cstr(w, refusal_code(f->reason));
	put(w, ",\"request_id\":");
	put_string(w, f->request_id);
	put_budgets(w, f);
	put(w, "}");
}

int envelope_write(enum api_family family, const struct refusal *f, struct buf *out)
{
	struct writer w = {out, BUR_OK};

	CHECK(f->reason < REFUSE_COUNT);
	switch (family) {
	case FAMILY_OPENAI:
		put_openai(&w, f);
		break;
	case FAMILY_ANTHROPIC:
		put_anthropic(&w, f);
		break;
	case FAMILY_GOOGLE:
		put_google(&w, f);
		break;
	default:
		put_problem(&w, f);
		break;
	}
	return w.r;
}

const char *envelope_content_type(enum api_family family)
{
	return family == FAMILY_OTHER ? "application/problem+json" : "application/json";
}

const char *envelope_request_id_field(enum api_family family)
{
	return family == FAMILY_ANTHROPIC ? "request-id" : "x-request-id";
}

/* --- endings of a running stream ---------------------------------------------------------------------------------- */

static bool is_budget_end(enum refusal_reason reason)
{
	return reason == REFUSE_BUDGET_EXCEEDED || reason == REFUSE_BUDGET_HELD;
}

/* Over budget: a truncated answer, which every client understands; anything else: a failed one. An `error` event would
 * be yielded by some SDKs as if it were content. */
static void put_responses_end(struct writer *w, const struct refusal *f)
{
	bool budget = is_budget_end(f->reason);
	const char *status = budget ? "incomplete" : "failed";

	put(w, "event: response.");
	put(w, status);
	put(w, "\ndata: {\"type\":\"response.");
	put(w, status);
	put(w, "\",\"response\":{\"id\":");
	put_string(w, f->request_id);
	put(w, ",\"object\":\"response\",\"status\":\"");
	put(w, status);
	put(w, "\",\"error\":");
	if (budget) {
		put(w, "null,\"incomplete_details\":{\"reason\":\"max_output_tokens\"}");
	} else {
		put(w, "{\"code\":");
		put_cstr(w, types[f->reason].openai);
		put(w, ",\"message\":");
		put_string(w, f->message);
		put(w, "},\"incomplete_details\":null");
	}
	put(w, ",\"output\":[],\"usage\":null,\"metadata\":{\"bursar_code\":");
	put_cstr(w, refusal_code(f->reason));
	put(w, ",\"bursar_message\":");
	put_string(w, f->message);
	put(w, "}}}\n\n");
}

int envelope_stream_end(enum api_kind kind, const struct refusal *f, struct buf *out)
{
	struct writer w = {out, BUR_OK};

	CHECK(f->reason < REFUSE_COUNT);
	switch (kind) {
	case API_CHAT:
		put(&w, "data: ");
		put_openai(&w, f);
		put(&w, "\n\ndata: [DONE]\n\n");
		break;
	case API_RESPONSES:
		put_responses_end(&w, f);
		break;
	case API_MESSAGES:
		put(&w, "event: error\ndata: ");
		put_anthropic(&w, f);
		put(&w, "\n\n");
		break;
	case API_GENERATE:
		put(&w, "data: ");
		put_google(&w, f);
		put(&w, "\n\n");
		break;
	default:
		return BUR_UNSUPPORTED;
	}
	return w.r;
}

int envelope_array_end(const struct refusal *f, bool first, struct buf *out)
{
	struct writer w = {out, BUR_OK};

	CHECK(f->reason < REFUSE_COUNT);
	put(&w, first ? "[" : ",");
	put_google(&w, f);
	put(&w, "]");
	return w.r;
}
