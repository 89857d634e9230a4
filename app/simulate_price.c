/* simulate_price.c - what a call of the ledger would have cost with another model, or with less output. */
#include <stdlib.h>

#include "app/row_cost.h"
#include "app/simulate_impl.h"
#include "base/error.h"

/* The row says which model ran and was priced; that must not come before the one that is asked for. */
static char *without_models(struct slice extra)
{
	json_t *o = json_loadb(extra.p, extra.n, 0, NULL);
	char *text = NULL;

	if (o) {
		(void)json_object_del(o, "priced_as");
		(void)json_object_del(o, "answer_model");
		text = json_dumps(o, JSON_COMPACT);
	}
	json_decref(o);
	return text;
}

int sim_cost_as(const struct sim *s, const struct ledger_row *row, struct slice model, int64_t output_tokens,
		int64_t *ret_nanousd)
{
	struct ledger_row as = *row;
	char *extra = row->extra.n > 0 ? without_models(row->extra) : NULL;
	int r;

	as.model = model;
	as.extra = slice_of(extra);
	if (output_tokens >= 0) {
		as.output_tokens = output_tokens;
		as.reasoning_tokens = 0;
		as.extra = SLICE_NONE; /* parts of the output may stand there */
	}
	r = row_cost(s->ask->settings, s->ask->book, &as, NULL, ret_nanousd);
	free(extra);
	return r;
}
