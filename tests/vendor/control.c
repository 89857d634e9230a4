#include "tests/vendor/control.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/json.h"

static void put_bill(const struct server *s, struct buf *out)
{
	const struct bill_totals *t = bill_totals(s->bill);

	CHECK(buf_printf(out,
			 "{\"begun\":%" PRIu64 ",\"ended\":%" PRIu64 ",\"complete\":%" PRIu64 ",\"aborted\":%" PRIu64
			 ",\"cut\":%" PRIu64 ",\"error\":%" PRIu64 ",\"input\":%" PRIu64 ",\"output\":%" PRIu64
			 ",\"nanousd\":%" PRId64 "}\n",
			 t->begun, t->ended, t->by_status[BILL_COMPLETE], t->by_status[BILL_ABORTED],
			 t->by_status[BILL_CUT], t->by_status[BILL_ERROR], t->input, t->output, t->nanousd) == BUR_OK);
}

static void put_hits(const struct server *server, struct buf *out)
{
	const struct server_stats *s = &server->stats;

	CHECK(buf_printf(out,
			 "{\"hits\":%" PRIu64 ",\"connections\":%" PRIu64 ",\"open_calls\":%" PRIu64
			 ",\"peak_calls\":%" PRIu64 ",\"client_gone\":%" PRIu64 "}\n",
			 s->hits, s->connections, s->open_calls, s->peak_calls, s->client_gone) == BUR_OK);
}

void control_answer(struct server *s, struct slice target, struct buf *out)
{
	bill_flush(s->bill);
	if (slice_eq(target, SLICE("/__bill")))
		put_bill(s, out);
	else if (slice_eq(target, SLICE("/__hits")))
		put_hits(s, out);
	else if (slice_eq(target, SLICE("/__last")))
		CHECK(buf_printf(out, "%s\n", s->last_head) == BUR_OK);
	else
		CHECK(buf_printf(out, "{}\n") == BUR_OK);
}

void control_head_json(const struct h1_head *head, char *dst, size_t size)
{
	size_t n = 0;
	char name[256], value[4096];

	(void)json_escape(head->target, value, sizeof(value));
	n += (size_t)snprintf(dst, size, "{\"method\":\"%.*s\",\"target\":\"%s\",\"fields\":[",
			      SLICE_ARG(head->method_text), value);
	for (size_t i = 0; i < head->n_fields; i++) {
		(void)json_escape(head->fields[i].name, name, sizeof(name));
		(void)json_escape(head->fields[i].value, value, sizeof(value));
		if (n + strlen(name) + strlen(value) + 32 > size)
			break;
		n += (size_t)snprintf(dst + n, size - n, "%s[\"%s\",\"%s\"]", i ? "," : "", name, value);
	}
	(void)snprintf(dst + n, size - n, "]}");
}
