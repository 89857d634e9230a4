/* envelope.h - bursar's own answers in the vendor's words, so that each SDK raises its own error class.
 *
 * Pure. The body follows the family; status and headers follow the reason. */
#ifndef METER_ENVELOPE_H
#define METER_ENVELOPE_H

#include "base/attr.h"
#include "base/buf.h"
#include "meter/api.h"

/* name, code in the body, status, may the client retry, Retry-After needed */
#define REFUSALS(X)                                                                                                    \
	X(BUDGET_EXCEEDED, "budget_exceeded", 402, false, false)                                                       \
	X(STOPPED, "stopped", 402, false, false)                                                                       \
	X(BUDGET_HELD, "budget_held", 429, true, true)                                                                 \
	X(THROTTLED, "rate_limit_exceeded", 429, true, true)                                                           \
	X(PRICE_UNKNOWN, "price_unknown", 400, false, false)                                                           \
	X(PRICE_ERROR, "price_error", 400, false, false)                                                               \
	X(ROUTE_UNMETERED, "route_unmetered", 400, false, false)                                                       \
	X(NO_BUDGET, "no_budget", 403, false, false)                                                                   \
	X(BAD_REQUEST, "bad_request", 400, false, false)                                                               \
	X(BODY_TOO_LARGE, "request_too_large", 413, false, false)                                                      \
	X(UNAUTHENTICATED, "invalid_api_key", 401, false, false)                                                       \
	X(PROXY_AUTH, "proxy_authentication_required", 407, false, false)                                              \
	X(FORBIDDEN, "forbidden", 403, false, false)                                                                   \
	X(MISDIRECTED, "misdirected_request", 421, false, false)                                                       \
	X(NOT_FOUND, "not_found", 404, false, false)                                                                   \
	X(LOOP, "loop_detected", 508, false, false)                                                                    \
	X(UPSTREAM_CONNECT, "upstream_unreachable", 502, true, false)                                                  \
	X(UPSTREAM_TLS, "upstream_certificate", 502, false, false)                                                     \
	X(UPSTREAM_PROTOCOL, "upstream_protocol", 502, false, false)                                                   \
	X(UPSTREAM_TIMEOUT, "upstream_timeout", 504, false, false)                                                     \
	X(UPSTREAM_UNAVAILABLE, "upstream_unavailable", 503, true, true)                                               \
	X(STORAGE_UNAVAILABLE, "storage_unavailable", 503, true, true)                                                 \
	X(DRAINING, "draining", 503, true, true)                                                                       \
	X(OVERLOADED, "overloaded", 503, true, true)                                                                   \
	X(INTERNAL, "internal_error", 500, false, false)

enum refusal_reason {
#define X(uc, code, status, retry, after) REFUSE_##uc,
	REFUSALS(X)
#undef X
	    REFUSE_COUNT
};

const char *refusal_code(enum refusal_reason);
int refusal_status(enum refusal_reason);
bool refusal_may_retry(enum refusal_reason);
bool refusal_needs_retry_after(enum refusal_reason);

/* One budget that blocked, as the `budgets` list shows it. */
struct refusal_budget {
	struct slice name, window;         /* "search-daily", "day" */
	struct slice scope;                /* "user=ann", or empty */
	struct slice unit;                 /* "USD", "tokens", "requests" */
	int64_t limit, posted, held, need; /* nano-USD, or counts */
	struct slice resets_at;            /* RFC 3339; empty = never */
};

struct refusal {
	enum refusal_reason reason;
	struct slice message; /* for people: what happened and what to do */
	struct slice request_id;
	const struct refusal_budget *budgets;
	size_t n_budgets;
	int status;        /* as sent, for families whose body repeats it; 0 = envelope_status(family, reason, 0) */
	int retry_after_s; /* as sent in Retry-After; 0 = none */
};

/* "search-daily, 49.5 of 50 USD, held 0.3, needed 0.4, resets 2026-11-22T00:00:00+01:00": the message text of a budget
 * refusal, the same in every family; several budgets are joined by "; ". */
int refusal_budget_message(const struct refusal_budget *, size_t n, struct buf *out) NONNULL(3) MUST_USE;
/* The status to answer with: the reason's own, or what this family's clients need in its place. `wanted`: the
 * operator's block_status for exhausted budgets, 0 = none. */
int envelope_status(enum api_family, enum refusal_reason, int wanted);
/* The JSON body in the family's shape (FAMILY_OTHER: application/problem+json). */
int envelope_write(enum api_family, const struct refusal *, struct buf *out) NONNULL(2, 3) MUST_USE;
const char *envelope_content_type(enum api_family);
/* "x-request-id", "request-id", … : the header in which this vendor names its request. */
const char *envelope_request_id_field(enum api_family);
/* A field by which this family's SDKs pick their error class: "x-amzn-ErrorType". false: it has none. */
bool envelope_extra_field(enum api_family, enum refusal_reason, struct slice *ret_name, struct slice *ret_value)
    NONNULL(3, 4);
/* What to send in a running stream to end it with an error in the family's vocabulary: complete events, lines, AWS
 * messages or WebSocket frames, after a whole one of the vendor's.
 * BUR_UNSUPPORTED: this kind has no streams. */
int envelope_stream_end(enum api_kind, const struct refusal *, struct buf *out) NONNULL(2, 3) MUST_USE;
/* The same for Gemini's JSON array form, after a whole element (`first`: nothing of the array was sent yet). */
int envelope_array_end(const struct refusal *, bool first, struct buf *out) NONNULL(1, 3) MUST_USE;

#endif
