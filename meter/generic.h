/* generic.h - metering an API that is no LLM: which calls count, how much of what they use, and what that costs.
 *
 * A rule names method and path on a provider's hosts, says where the quantity stands (in the request or the answer),
 * and its price. The rules come from the configuration and do not change. Pure; rules any thread, one probe one thread.
 * Quantities are thousandths of a unit, so that seconds with a fraction stay exact. */
#ifndef METER_GENERIC_H
#define METER_GENERIC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/json.h"
#include "base/slice.h"

#define GENERIC_MILLI 1000
#define GENERIC_POINTER_DEPTH_MAX 16
#define GENERIC_POINTER_MAX 512
#define GENERIC_STATUSES_MAX 16
/* A vendor that reports more than this is broken: the maximum of the rule is charged instead. */
#define GENERIC_MILLI_MAX (INT64_C(1000000000000) * GENERIC_MILLI)

enum generic_source {
	GENERIC_REQUESTS,      /* every call is one */
	GENERIC_REQUEST_BYTES, /* of the body */
	GENERIC_ANSWER_BYTES,  /* of the body as it was sent */
	GENERIC_SECONDS,       /* from the request's first byte to the answer's last */
	GENERIC_REQUEST_JSON,  /* what stands at a JSON Pointer */
	GENERIC_ANSWER_JSON,
	GENERIC_REQUEST_HEADER, /* a decimal number in a field */
	GENERIC_ANSWER_HEADER,
	GENERIC_REQUEST_QUERY, /* a decimal number in a parameter of the URL */
};

struct generic_meter {
	const char *name;   /* model in ledger and budgets: "geocode" */
	const char *method; /* NULL: any */
	const char *path;   /* segments; `*` is one of any text, `**` at the end is any rest */
	enum generic_source source;
	char at[GENERIC_POINTER_MAX + 1]; /* JSON Pointer (RFC 6901), or name of field or parameter */
	int64_t rate_pusd, per;           /* price: pico-USD for `per` units */
	int64_t minimum_milli;            /* a billed call counts at least this much */
	int64_t maximum_milli;            /* upper bound for the hold; 0 = none known */
	int64_t step_milli;               /* rounded up to whole steps (60 s, 1 KB); at least 1 */
	struct generic_statuses {
		uint16_t from, to;
	} free[GENERIC_STATUSES_MAX]; /* answers that cost nothing */
	uint8_t n_free;
};

/* "answer:/usage/pages", "request_header:x-units", "requests", "seconds", … as people write it. BUR_INVALID. */
int generic_parse_source(struct slice text, enum generic_source *ret, char ret_at[GENERIC_POINTER_MAX + 1])
    NONNULL(2, 3) MUST_USE;
/* Is this a path pattern? Absolute, no empty or dot segment, `**` only at the end. */
bool generic_path_valid(struct slice pattern);
bool generic_path_matches(struct slice pattern, struct slice path);
/* The first rule of a provider that covers the call (its path without query); NULL when none does. */
const struct generic_meter *generic_find(const struct generic_meter *list, size_t n, struct slice method,
					 struct slice path);
bool generic_is_free(const struct generic_meter *, int status) NONNULL(1);
/* Is the quantity known before the call leaves? */
bool generic_known_before(enum generic_source);

/* The quantity as billed: minimum and steps applied. */
int64_t generic_billed_milli(const struct generic_meter *, int64_t milli) NONNULL(1);
/* ceil(milli / 1000 * rate / per) in nano-USD. BUR_OVERFLOW. */
int generic_cost(const struct generic_meter *, int64_t billed_milli, int64_t *ret_nanousd) NONNULL(1, 3) MUST_USE;

/* Looks for what stands at a JSON Pointer while a document streams by: a number (also as text: "3"), else its size (the
 * characters of a text, the members of a list or object). */
struct generic_probe {
	struct json_reader json;
	const char *pointer;
	uint8_t n_tokens;
	struct {
		uint16_t from, n;
		int32_t index; /* of a list; -1: no index */
	} token[GENERIC_POINTER_DEPTH_MAX];
	uint8_t matched;                              /* containers entered along the pointer */
	int64_t index[GENERIC_POINTER_DEPTH_MAX + 1]; /* of the element at hand, by matched depth */
	bool in_list[GENERIC_POINTER_DEPTH_MAX + 1];  /* [0] is never a list */
	bool key_fits, counting, found, failed;
	/* Of a request, which the vendor may read otherwise: a key of the way that stands twice, or in another case
	 * (readers differ in which one they take), leaves the quantity unknown; a text that is a number is billed as
	 * the larger of that and its size. Set after init. */
	bool strict;
	bool twice, key_seen[GENERIC_POINTER_DEPTH_MAX + 1];
	int64_t count;
	int64_t milli; /* valid when found */
};
/* The pointer must outlive the probe. BUR_INVALID: no JSON Pointer, or too deep. */
int generic_probe_init(struct generic_probe *, const char *pointer) NONNULL(1, 2) MUST_USE;
void generic_probe_feed(struct generic_probe *, const char *bytes, size_t n) NONNULL(1);
/* At the end of the document. BUR_OK and the quantity, or BUR_NOTFOUND: not there, no document, or nothing that can be
 * counted. */
int generic_probe_result(struct generic_probe *, int64_t *ret_milli) NONNULL(1, 2) MUST_USE;
/* A decimal number as thousandths, rounded up. BUR_INVALID: negative or no number; BUR_OVERFLOW over the maximum. */
int generic_milli(struct slice text, int64_t *ret) NONNULL(2) MUST_USE;

#endif
