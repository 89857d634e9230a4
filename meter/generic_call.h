/* generic_call.h - one call that a rule of generic.h meters: what it may cost before it leaves, what it did cost.
 *
 * The caller hands in what passes by: fields, bodies (as sent), times. One owner thread; memory is fixed. */
#ifndef METER_GENERIC_CALL_H
#define METER_GENERIC_CALL_H

#include "meter/generic.h"

struct generic_call;

/* NULL: out of memory. The rule must outlive the call. */
struct generic_call *generic_call_new(const struct generic_meter *) NONNULL(1) MUST_USE;
void generic_call_free(struct generic_call *); /* NULL is fine */
const struct generic_meter *generic_call_rule(const struct generic_call *) NONNULL(1);
/* Must the request's body be read whole before the call may leave? */
bool generic_call_needs_body(const struct generic_call *) NONNULL(1);

/* --- the request ---------------------------------------------------------------------------------------------------
 */
/* A field of its head, and its query; those that do not count are ignored. */
void generic_call_request_field(struct generic_call *, struct slice name, struct slice value) NONNULL(1);
void generic_call_query(struct generic_call *, struct slice query) NONNULL(1);
/* The body, when it is read before the call leaves: decoded. */
void generic_call_request_body(struct generic_call *, const char *p, size_t n) NONNULL(1);
/* Length of the body as sent; known before (`final` false: so many came by so far, of a body without a length). */
void generic_call_request_bytes(struct generic_call *, uint64_t n, bool final) NONNULL(1);

/* Upper bound before the call leaves. BUR_OK; BUR_NOTFOUND: the quantity is known only afterwards, and the rule names
 * no maximum, so there is no bound; BUR_INVALID: the request lacks what the rule counts; BUR_OVERFLOW. */
int generic_call_bound(struct generic_call *, int64_t *ret_nanousd) NONNULL(1, 2) MUST_USE;

/* --- the answer ----------------------------------------------------------------------------------------------------
 */
void generic_call_answer_begin(struct generic_call *, int status, struct slice content_encoding) NONNULL(1);
void generic_call_answer_field(struct generic_call *, struct slice name, struct slice value) NONNULL(1);
void generic_call_answer_body(struct generic_call *, const char *p, size_t n) NONNULL(1); /* as sent */

/* What it cost. `whole`: the answer ended as framed. *ret_sure: the figure is the rule's own; else the bound, or (there
 * is none) what was seen. */
void generic_call_cost(struct generic_call *, bool whole, int64_t duration_ns, int64_t *ret_nanousd, bool *ret_sure)
    NONNULL(1, 4, 5);
/* Billed units, for people: thousandths. */
int64_t generic_call_milli(const struct generic_call *) NONNULL(1);

#endif
