/* explain.h - why a call is, would be or was admitted or refused, with every figure. Nothing changes by explaining: no
 * hold, no counter, no warning bit. Main thread. */
#ifndef APP_EXPLAIN_H
#define APP_EXPLAIN_H

#include <stddef.h>

#include "app/prices.h"
#include "policy/engine.h"

struct guards;

struct explain {
	const struct settings *settings;
	struct store *store;
	struct engine *engine;
	struct prices *prices;       /* its book is loaded when first needed */
	const struct guards *guards; /* whose stops are told; NULL: none */
};

/* For struct api_deps: the question and the answer of POST /api/v1/explain, which api/view_explain.c describes. `ctx`
 * is a struct explain. BUR_OK: *ret is the answer. BUR_INVALID: *ret_field and reterr say what is wrong with the
 * question. BUR_NOTFOUND: there is no such call. Else reterr says what went wrong. */
int explain_api(void *ctx, const struct json_t *ask, struct json_t **ret, const char **ret_field, char *reterr,
		size_t reterr_size) NONNULL(1, 2, 3, 4, 5) MUST_USE;

#endif
