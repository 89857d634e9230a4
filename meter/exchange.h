/* exchange.h - one whole exchange, request and answer, to usage. What the proxy does with a call while it runs and what
 * `bursar meter` does with a recorded one goes through the same functions, so the two cannot differ.
 *
 * Pure; one owner thread. */
#ifndef METER_EXCHANGE_H
#define METER_EXCHANGE_H

#include "base/attr.h"
#include "meter/api.h"
#include "meter/usage.h"

struct request_info; /* meter/reqscan.h */

/* As api_classify, for a target as it stands in the request line ("/v1/realtime?model=m"): a socket's model or
 * deployment is named in the query. The result points into `target`. */
struct api_match exchange_match(enum api_family, struct slice method, struct slice target);
/* Completes what the answer said with what only route and request know: the model where the answer names none (or must
 * not: Bedrock), the deployment, spoken characters, the key of a late bill, how many runs it stands for. */
void usage_apply_request(struct usage *, const struct api_match *, const struct request_info *, int status)
    NONNULL(1, 2, 3);

struct exchange_field {
	struct slice name, value;
};

struct exchange {
	struct slice provider; /* shipped name; an unknown one is taken for a vendor of OpenAI's shape */
	struct slice method, target;
	const struct exchange_field *request_head, *answer_head;
	size_t n_request_head, n_answer_head;
	struct slice request_body; /* as sent: its coding is undone here */
	int status;
};

struct exchange_run;

/* Reads the request and stands ready for the answer's body. Everything in `exchange` must outlive the run. A request
 * that nobody can read names no model, but its answer is read. BUR_OK, BUR_NOMEM. */
int exchange_begin(const struct exchange *, struct exchange_run **ret) NONNULL(1, 2) MUST_USE;
/* The answer's body, in any pieces. */
void exchange_feed(struct exchange_run *, const char *p, size_t n) NONNULL(1);
/* The body ended, `clean`ly as it was framed or not. Frees the run. */
void exchange_end(struct exchange_run *, bool clean, struct usage *ret) NONNULL(1, 3);

#endif
