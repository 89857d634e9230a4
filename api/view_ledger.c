/* GET /api/v1/ledger: pages of what was charged. */
#include <stdio.h>
#include <string.h>

#include "api/body.h"
#include "api/reply.h"
#include "api/views.h"
#include "base/calendar.h"
#include "base/error.h"
#include "base/log.h"
#include "store/ledger.h"

#define PAGE_DEFAULT 100
#define PAGE_MAX 1000

static const char *kind_name(int kind)
{
	static const char *const names[] = {"unknown", "spend", "adjust", "refund", "charge", "credit"};

	return names[kind >= LEDGER_SPEND && kind <= LEDGER_CREDIT ? kind : 0];
}

static const char *source_name(int source)
{
	static const char *const names[] = {"unknown", "usage", "partial", "counted", "worst", "reported"};

	return names[source >= SOURCE_USAGE && source <= SOURCE_REPORTED ? source : 0];
}

static json_t *flag_names(uint32_t flags)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} names[] = {
	    {ROW_ESTIMATED, "estimated"},       {ROW_RECOVERED, "recovered"}, {ROW_CLIENT_GONE, "client_gone"},
	    {ROW_UPSTREAM_CUT, "upstream_cut"}, {ROW_OVERRUN, "overrun"},     {ROW_INHERITED_PRICE, "inherited_price"},
	    {ROW_ERROR_STATUS, "error_status"}, {ROW_NO_PRICE, "no_price"},   {ROW_STREAM, "stream"},
	    {ROW_PENDING, "pending"},           {ROW_LATE, "late"},           {ROW_UNITS_CUT, "units_cut"},
	    {ROW_BUDGET_CUT, "budget_cut"},
	};
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (flags & names[i].bit)
			(void)json_array_append_new(list, json_string(names[i].name));
	return list;
}

static void put_names(json_t *o, const struct ledger_row *row)
{
	const struct {
		const char *key;
		struct slice value;
	} fields[] = {
	    {"key", row->key},           {"user", row->user},   {"team", row->team},   {"project", row->project},
	    {"provider", row->provider}, {"model", row->model}, {"route", row->route},
	};

	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		(void)json_object_set_new(o, fields[i].key, body_text(fields[i].value));
}

static void put_counts(json_t *o, const struct ledger_row *row)
{
	const struct {
		const char *key;
		int64_t value;
	} fields[] = {
	    {"input_tokens", row->input_tokens},
	    {"output_tokens", row->output_tokens},
	    {"cached_tokens", row->cached_tokens},
	    {"cache_write_tokens", row->cache_write_tokens},
	    {"cache_write_1h_tokens", row->cache_write_1h_tokens},
	    {"reasoning_tokens", row->reasoning_tokens},
	    {"requests", row->requests},
	    {"searches", row->searches},
	};

	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		(void)json_object_set_new(o, fields[i].key, json_integer(fields[i].value));
}

static json_t *ledger_json(const struct ledger_row *row)
{
	char uid[sizeof(row->uid) * 2 + 1], ref[sizeof(row->ref_uid) * 2 + 1];
	json_t *o, *extra;

	hex_encode(row->uid, sizeof(row->uid), uid);
	hex_encode(row->ref_uid, sizeof(row->ref_uid), ref);
	o = json_pack("{s:I,s:s,s:s,s:o,s:o,s:o,s:o,s:s,s:o}", "seq", (json_int_t)row->seq, "id", uid, "kind",
		      kind_name(row->kind), "admitted_at", body_time(row->ts_admit_ns), "settled_at",
		      body_time(row->ts_settle_ns), "usd", body_usd(row->amount_nanousd), "held_usd",
		      body_usd(row->worst_nanousd), "source", source_name(row->source), "flags",
		      flag_names(row->flags));
	if (!o)
		return NULL;
	(void)json_object_set_new(o, "corrects", row->has_ref ? json_string(ref) : json_null());
	put_names(o, row);
	put_counts(o, row);
	(void)json_object_set_new(o, "status", json_integer(row->status));
	(void)json_object_set_new(o, "price_version", json_integer(row->price_version));
	extra = row->extra.n ? json_loadb(row->extra.p, row->extra.n, 0, NULL) : NULL;
	(void)json_object_set_new(o, "extra", extra ? extra : json_null());
	return o;
}

/* --- parameters --------------------------------------------------------------------------------------------------- */

static int read_instant(struct api_call *call, const char *name, int64_t *ret_ns)
{
	struct slice text;

	if (reply_query(call, name, &text) < 0)
		return BUR_INVALID;
	if (text.p && time_parse(text, ret_ns) < 0) {
		reply_invalid(call, "query", name, "date_from_datetime_parsing",
			      "Input should be a valid date or datetime", text);
		return BUR_INVALID;
	}
	return BUR_OK;
}

static int read_order(struct api_call *call, bool *ret_descending)
{
	struct slice text;

	*ret_descending = true;
	if (reply_query(call, "order", &text) < 0)
		return BUR_INVALID;
	if (!text.p || slice_eq(text, SLICE("desc")))
		return BUR_OK;
	if (slice_eq(text, SLICE("asc"))) {
		*ret_descending = false;
		return BUR_OK;
	}
	reply_invalid(call, "query", "order", "enum", "Input should be 'asc' or 'desc'", text);
	return BUR_INVALID;
}

static int read_filter(struct api_call *call, struct ledger_filter *f)
{
	const struct {
		const char *name;
		struct slice *dst;
	} texts[] = {
	    {"key", &f->key},         {"user", &f->user},         {"team", &f->team},
	    {"project", &f->project}, {"provider", &f->provider}, {"model", &f->model},
	};
	uint64_t limit = PAGE_DEFAULT, cursor = 0;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (reply_query(call, texts[i].name, texts[i].dst) < 0)
			return BUR_INVALID;
	if (reply_query_u64(call, "limit", 1, PAGE_MAX, &limit) < 0 ||
	    reply_query_u64(call, "cursor", 1, INT64_MAX, &cursor) < 0 || read_order(call, &f->descending) < 0 ||
	    read_instant(call, "from", &f->from_ns) < 0 || read_instant(call, "to", &f->to_ns) < 0)
		return BUR_INVALID;
	f->limit = (size_t)limit;
	f->after_seq = (int64_t)cursor;
	if (f->descending && cursor == 0)
		f->after_seq = INT64_MAX;
	return BUR_OK;
}

struct page {
	json_t *rows;
	int64_t last_seq;
};

static int add_row(void *ctx, const struct ledger_row *row)
{
	struct page *page = ctx;

	page->last_seq = row->seq;
	return json_array_append_new(page->rows, ledger_json(row)) == 0 ? BUR_OK : BUR_NOMEM;
}

void view_ledger(struct api *api, struct api_call *call)
{
	struct ledger_filter filter = {0};
	struct page page = {0};
	struct sqlite3 *reader;
	char next[24];
	bool more;
	int r;

	if (read_filter(call, &filter) < 0)
		return;
	reader = reply_reader(api, call);
	if (!reader)
		return;
	page.rows = json_array();
	if (!page.rows)
		return; /* 500 stands */
	r = ledger_each(reader, &filter, add_row, &page);
	if (r < 0) {
		log_limited(LOG_ERROR, "api.ledger", "cannot read the ledger: %s", bur_strerror(r));
		json_decref(page.rows);
		reply_error(call, 503, "Database not available");
		return;
	}
	more = json_array_size(page.rows) == filter.limit;
	(void)snprintf(next, sizeof(next), "%lld", (long long)page.last_seq);
	body_send(call, 200, json_pack("{s:o,s:o}", "rows", page.rows, "next", more ? json_string(next) : json_null()));
}
