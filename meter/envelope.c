#include "meter/envelope.h"

#include <inttypes.h>
#include <zlib.h>

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
	const char *openai, *anthropic, *google, *aws;
} types[REFUSE_COUNT] = {
    [REFUSE_BUDGET_EXCEEDED] = {"insufficient_quota", "billing_error", "RESOURCE_EXHAUSTED",
				"ServiceQuotaExceededException"},
    [REFUSE_STOPPED] = {"insufficient_quota", "billing_error", "RESOURCE_EXHAUSTED", "ServiceQuotaExceededException"},
    [REFUSE_BUDGET_HELD] = {"rate_limit_exceeded", "rate_limit_error", "RESOURCE_EXHAUSTED", "ThrottlingException"},
    [REFUSE_THROTTLED] = {"rate_limit_exceeded", "rate_limit_error", "RESOURCE_EXHAUSTED", "ThrottlingException"},
    [REFUSE_PRICE_UNKNOWN] = {"invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT",
			      "ValidationException"},
    [REFUSE_PRICE_ERROR] = {"invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT",
			    "ValidationException"},
    [REFUSE_ROUTE_UNMETERED] = {"invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT",
				"ValidationException"},
    [REFUSE_NO_BUDGET] = {"invalid_request_error", "permission_error", "PERMISSION_DENIED", "AccessDeniedException"},
    [REFUSE_BAD_REQUEST] = {"invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT",
			    "ValidationException"},
    [REFUSE_BODY_TOO_LARGE] = {"invalid_request_error", "request_too_large", "INVALID_ARGUMENT", "ValidationException"},
    [REFUSE_UNAUTHENTICATED] = {"invalid_request_error", "authentication_error", "UNAUTHENTICATED",
				"UnrecognizedClientException"},
    [REFUSE_PROXY_AUTH] = {"invalid_request_error", "authentication_error", "UNAUTHENTICATED", "AccessDeniedException"},
    [REFUSE_FORBIDDEN] = {"invalid_request_error", "permission_error", "PERMISSION_DENIED", "AccessDeniedException"},
    [REFUSE_MISDIRECTED] = {"invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT",
			    "ValidationException"},
    [REFUSE_NOT_FOUND] = {"invalid_request_error", "not_found_error", "NOT_FOUND", "ResourceNotFoundException"},
    [REFUSE_LOOP] = {"server_error", "api_error", "INTERNAL", "InternalServerException"},
    [REFUSE_UPSTREAM_CONNECT] = {"server_error", "api_error", "UNAVAILABLE", "ServiceUnavailableException"},
    [REFUSE_UPSTREAM_TLS] = {"server_error", "api_error", "INTERNAL", "InternalServerException"},
    [REFUSE_UPSTREAM_PROTOCOL] = {"server_error", "api_error", "INTERNAL", "InternalServerException"},
    [REFUSE_UPSTREAM_TIMEOUT] = {"server_error", "timeout_error", "DEADLINE_EXCEEDED", "ServiceUnavailableException"},
    [REFUSE_UPSTREAM_UNAVAILABLE] = {"server_error", "overloaded_error", "UNAVAILABLE", "ServiceUnavailableException"},
    [REFUSE_STORAGE_UNAVAILABLE] = {"server_error", "overloaded_error", "UNAVAILABLE", "ServiceUnavailableException"},
    [REFUSE_DRAINING] = {"server_error", "overloaded_error", "UNAVAILABLE", "ServiceUnavailableException"},
    [REFUSE_OVERLOADED] = {"server_error", "overloaded_error", "UNAVAILABLE", "ServiceUnavailableException"},
    [REFUSE_INTERNAL] = {"server_error", "api_error", "INTERNAL", "InternalServerException"},
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

/* AWS knows a spent quota as 400. OpenRouter's SDK tries a 5xx again for an hour. */
int envelope_status(enum api_family family, enum refusal_reason reason, int wanted)
{
	int status = wanted ? wanted : refusal_status(reason);

	if (family == FAMILY_AWS && (reason == REFUSE_BUDGET_EXCEEDED || reason == REFUSE_STOPPED) && status == 402)
		return 400;
	if (family == FAMILY_OPENROUTER && status >= 500)
		return refusal_may_retry(reason) ? 429 : 400;
	return status;
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

static int status_of(enum api_family family, const struct refusal *f)
{
	return f->status ? f->status : envelope_status(family, f->reason, 0);
}

static void put_google(struct writer *w, const struct refusal *f)
{
	put(w, "{\"error\":{\"code\":");
	put_int(w, status_of(FAMILY_GOOGLE, f));
	put(w, ",\"message\":");
	put_string(w, f->message);
	put(w, ",\"status\":");
	put_cstr(w, types[f->reason].google);
	put(w, ",\"details\":[");
	if (f->retry_after_s > 0) {
		put(w, "{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"");
		put_int(w, f->retry_after_s);
		put(w, "s\"}");
	}
	put(w, "]}}");
}

/* {"<key>": message}, after `before` */
static void put_message(struct writer *w, const char *before, const struct refusal *f)
{
	put(w, before);
	put_string(w, f->message);
	put(w, "}");
}

static void put_cohere(struct writer *w, const struct refusal *f)
{
	put(w, "{\"id\":");
	put_string(w, f->request_id);
	put_message(w, ",\"message\":", f);
}

static void put_mistral(struct writer *w, const struct refusal *f)
{
	put(w, "{\"object\":\"error\",\"message\":");
	put_string(w, f->message);
	put(w, ",\"type\":");
	put_cstr(w, types[f->reason].openai);
	put(w, ",\"param\":null,\"code\":");
	put_cstr(w, refusal_code(f->reason));
	put_budgets(w, f);
	put(w, "}");
}

static void put_openrouter(struct writer *w, const struct refusal *f)
{
	put(w, "{\"error\":{\"code\":");
	put_int(w, status_of(FAMILY_OPENROUTER, f));
	put(w, ",\"message\":");
	put_string(w, f->message);
	put(w, ",\"metadata\":{}}}");
}

/* RFC 9457 */
static void put_problem(struct writer *w, const struct refusal *f)
{
	put(w, "{\"type\":\"about:blank\",\"title\":");
	put_cstr(w, refusal_code(f->reason));
	put(w, ",\"status\":");
	put_int(w, status_of(FAMILY_OTHER, f));
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
	case FAMILY_AZURE:
		put_openai(&w, f);
		break;
	case FAMILY_ANTHROPIC:
		put_anthropic(&w, f);
		break;
	case FAMILY_GOOGLE:
		put_google(&w, f);
		break;
	case FAMILY_AWS:
		put_message(&w, "{\"message\":", f);
		break;
	case FAMILY_COHERE:
		put_cohere(&w, f);
		break;
	case FAMILY_MISTRAL:
		put_mistral(&w, f);
		break;
	case FAMILY_OPENROUTER:
		put_openrouter(&w, f);
		break;
	case FAMILY_OLLAMA:
		put_message(&w, "{\"error\":", f);
		break;
	case FAMILY_OTHER:
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
	switch (family) {
	case FAMILY_ANTHROPIC:
		return "request-id";
	case FAMILY_AWS:
		return "x-amzn-requestid";
	default:
		return "x-request-id";
	}
}

bool envelope_extra_field(enum api_family family, enum refusal_reason reason, struct slice *ret_name,
			  struct slice *ret_value)
{
	CHECK(reason < REFUSE_COUNT);
	if (family != FAMILY_AWS)
		return false;
	*ret_name = SLICE("x-amzn-errortype");
	*ret_value = slice_of(types[reason].aws);
	return true;
}

/* --- endings of a running stream ---------------------------------------------------------------------------------- */

static bool is_budget_end(enum refusal_reason reason)
{
	return reason == REFUSE_BUDGET_EXCEEDED || reason == REFUSE_STOPPED || reason == REFUSE_BUDGET_HELD;
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

static void put_bytes(struct writer *w, const void *p, size_t n)
{
	if (w->r == BUR_OK)
		w->r = buf_append(w->out, p, n);
}

static void store_be32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* A header of an AWS event stream: name, type 7 (text), value. */
static size_t aws_header(uint8_t *p, const char *name, const char *value)
{
	size_t n = strlen(name), v = strlen(value);

	p[0] = (uint8_t)n;
	memcpy(p + 1, name, n);
	p[1 + n] = 7;
	p[2 + n] = (uint8_t)(v >> 8);
	p[3 + n] = (uint8_t)v;
	memcpy(p + 4 + n, value, v);
	return 4 + n + v;
}

/* One message of type exception: prelude, its CRC, headers, JSON, CRC of all (providers' event stream encoding). */
static void put_aws_end(struct writer *w, const struct refusal *f)
{
	const char *type = is_budget_end(f->reason) ? "throttlingException" : "serviceUnavailableException";
	uint8_t head[192], crc_bytes[4];
	size_t n = 12;
	struct buf json;
	struct slice body;
	struct writer inner = {&json, BUR_OK};
	uLong crc;

	buf_init(&json, 64 * 1024);
	put_message(&inner, "{\"message\":", f);
	body = buf_slice(&json);
	n += aws_header(head + n, ":exception-type", type);
	n += aws_header(head + n, ":content-type", "application/json");
	n += aws_header(head + n, ":message-type", "exception");
	CHECK(n <= sizeof(head));
	store_be32(head, (uint32_t)(n + body.n + 4));
	store_be32(head + 4, (uint32_t)(n - 12));
	store_be32(head + 8, (uint32_t)crc32(0, head, 8));
	crc = crc32(crc32(0, head, (uInt)n), (const Bytef *)body.p, (uInt)body.n);
	store_be32(crc_bytes, (uint32_t)crc);
	if (w->r == BUR_OK)
		w->r = inner.r;
	put_bytes(w, head, n);
	put_bytes(w, body.p, body.n);
	put_bytes(w, crc_bytes, sizeof(crc_bytes));
	buf_done(&json);
}

/* A server's text frame with an error event, then a close (RFC 6455; 1008 = policy). */
static void put_websocket_end(struct writer *w, const struct refusal *f)
{
	static const uint8_t close_frame[] = {0x88, 2, 1008 >> 8, 1008 & 0xff};
	uint8_t head[4] = {0x81};
	struct buf json;
	struct slice body;
	struct writer inner = {&json, BUR_OK};

	buf_init(&json, UINT16_MAX);
	put(&inner, "{\"type\":\"error\",\"error\":{\"type\":");
	put_cstr(&inner, types[f->reason].openai);
	put(&inner, ",\"code\":");
	put_cstr(&inner, refusal_code(f->reason));
	put(&inner, ",\"param\":null");
	put_message(&inner, ",\"message\":", f);
	put(&inner, "}");
	body = buf_slice(&json);
	head[1] = body.n < 126 ? (uint8_t)body.n : 126;
	head[2] = (uint8_t)(body.n >> 8);
	head[3] = (uint8_t)body.n;
	if (w->r == BUR_OK)
		w->r = inner.r;
	put_bytes(w, head, body.n < 126 ? 2 : 4);
	put_bytes(w, body.p, body.n);
	put_bytes(w, close_frame, sizeof(close_frame));
	buf_done(&json);
}

static void put_interaction_end(struct writer *w, const struct refusal *f)
{
	put(w, "event: error\ndata: {\"event_type\":\"error\",\"error\":{\"code\":");
	put_cstr(w, refusal_code(f->reason));
	put(w, ",\"message\":");
	put_string(w, f->message);
	put(w, "}}\n\n");
}

static void put_cohere_end(struct writer *w, const struct refusal *f)
{
	put(w, "event: message-end\ndata: "
	       "{\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"ERROR\",\"error\":");
	put_string(w, f->message);
	put(w, "}}\n\n");
}

static void put_event(struct writer *w, const char *before, void (*json)(struct writer *, const struct refusal *),
		      const struct refusal *f)
{
	put(w, before);
	json(w, f);
	put(w, "\n\n");
}

int envelope_stream_end(enum api_kind kind, const struct refusal *f, struct buf *out)
{
	struct writer w = {out, BUR_OK};

	CHECK(f->reason < REFUSE_COUNT);
	switch (kind) {
	case API_CHAT:
	case API_COMPLETIONS:
		put_event(&w, "data: ", put_openai, f);
		put(&w, "data: [DONE]\n\n");
		break;
	case API_IMAGES:
	case API_SPEECH:
	case API_TRANSCRIPTIONS:
		put_event(&w, "event: error\ndata: ", put_openai, f);
		break;
	case API_RESPONSES:
	case API_RESPONSE_LATE:
		put_responses_end(&w, f);
		break;
	case API_MESSAGES:
		put_event(&w, "event: error\ndata: ", put_anthropic, f);
		break;
	case API_GENERATE:
		put_event(&w, "data: ", put_google, f);
		break;
	case API_INTERACTIONS:
	case API_INTERACTION_LATE:
		put_interaction_end(&w, f);
		break;
	case API_CONVERSE:
	case API_INVOKE:
		put_aws_end(&w, f);
		break;
	case API_COHERE_CHAT:
		put_cohere_end(&w, f);
		break;
	case API_OLLAMA:
		put_message(&w, "{\"error\":", f);
		put(&w, "\n");
		break;
	case API_REALTIME:
		put_websocket_end(&w, f);
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
