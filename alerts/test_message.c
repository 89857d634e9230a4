/* test_message.c - a message that says nothing but that it arrived (cost-endpoints C5.9). */
#include <string.h>

#include "alerts/tell.h"
#include "base/error.h"

#define HUNDRED_USD INT64_C(100000000000)

static json_t *test_facts(struct batch *b, const struct channel *c, int64_t outbox)
{
	const struct alerts *a = b->alerts;
	char id[MESSAGE_ID_MAX];
	json_t *facts;

	message_id(a, 0, false, SAY_TEST, outbox, id);
	facts = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:o,s:s,s:{s:s,s:s},s:{},s:s,s:s,s:I,s:I,s:i,s:s,s:s,s:f,s:f,s:o,s:"
			  "s,s:i,s:{s:s,s:s}}",
			  "id", id, "type", "test", "severity", severity_name(SEVERITY_INFO), "level",
			  severity_level(SEVERITY_INFO), "state", message_op_name(SAY_TEST), "title", "Test", "message",
			  event_words("This is a test of channel %s. Nothing happened.", c->name), "dedup_key", "",
			  "scope", "kind", "global", "id", "", "labels", "budget_id", "test", "period", "test",
			  "limit_nanos", (json_int_t)HUNDRED_USD, "spent_nanos", (json_int_t)(HUNDRED_USD / 2),
			  "reserved_nanos", 0, "unit", "USD", "currency", "USD", "ratio", 0.5, "threshold", 0.5, "at",
			  event_time(b->now_ns), "node", a->config->node ? a->config->node : "", "revision", 1,
			  "details", "period_key", "test-period", "channel", c->name);
	return batch_keep(b, facts) ? facts : NULL;
}

static int queue_test(struct batch *b, const struct channel *c, int64_t *ret_id)
{
	struct alerts *a = b->alerts;
	struct outbox_row row = {.id = a->next_outbox,
				 .channel = slice_of(c->name),
				 .op = SAY_TEST,
				 .severity = SEVERITY_INFO,
				 .state = OUTBOX_QUEUED,
				 .reason = SLICE(""),
				 .created_ns = b->now_ns,
				 .next_ns = b->now_ns,
				 .last_error = SLICE("")};
	json_t *facts = test_facts(b, c, row.id);
	int r = facts ? tell_figures(a, facts, 0, true, b->now_ns) : BUR_NOMEM;

	if (r < 0)
		return r;
	row.facts = batch_json(b, facts);
	if (!row.facts.p)
		return BUR_NOMEM;
	a->next_outbox++;
	return batch_outbox(b, &row, ret_id);
}

static bool is_meant(const struct channel *c, const char *name)
{
	return !name || strcmp(c->name, name) == 0 || strcmp(c->group, name) == 0;
}

int alerts_test(struct alerts *a, const char *channel, int64_t *ret_ids, size_t max, size_t *ret_n)
{
	struct batch b;
	size_t n = 0;
	int r = BUR_OK;

	*ret_n = 0;
	if (!a->loaded)
		return BUR_IO;
	batch_begin(&b, a);
	for (size_t i = 0; i < a->config->n_channels && r == BUR_OK; i++) {
		const struct channel *c = &a->config->channels[i];

		if (!is_meant(c, channel))
			continue;
		r = n < max ? queue_test(&b, c, &ret_ids[n]) : BUR_FULL;
		n++;
	}
	if (r == BUR_OK)
		r = n > 0 ? batch_write(&b) : BUR_NOTFOUND;
	else
		core_forget(a, r);
	if (r == BUR_OK)
		*ret_n = n;
	batch_end(&b);
	return r;
}
