#include "tests/vendor/later.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "tests/vendor/shape.h"

#define RESULTS_MAX (64u * 1024 * 1024)

/* What was ordered in one batch. */
struct order {
	const struct answer *answer; /* of the call that ordered */
	struct buf results;          /* JSON lines */
	struct bill_usage usage;
	uint64_t n;
	char model[MODEL_MAX + 1], reported[MODEL_MAX + 1];
};

/* --- batches -------------------------------------------------------------------------------------------------------
 */

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static void add_usage(struct bill_usage *sum, const struct bill_usage *u)
{
#define X(unit) sum->unit += u->unit;
	BILL_UNITS(X)
#undef X
}

/* Reads one part of the batch as the call it stands for. False: it is none that is sold. */
static bool part_read(const struct order *o, const char *url, const json_t *body, struct request *ret)
{
	char *text = json_dumps(body, JSON_COMPACT);
	struct body_scan scan;

	memset(ret, 0, sizeof(*ret));
	ret->candidates = 1;
	ret->seller = o->answer->request->seller;
	ret->script = o->answer->request->script;
	request_route(ret, SLICE("POST"), slice_of(url), SLICE(""));
	if (!text)
		return false;
	body_scan_init(&scan, ret);
	body_scan_feed(&scan, text, strlen(text));
	body_scan_finish(&scan);
	free(text);
	ret->stream = false;
	return !ret->bad_json && api_is_billed(ret->api) && api_body(ret->api) == BODY_JSON;
}

/* Does one part and writes its answer. */
static bool part_do(struct order *o, const char *url, const json_t *body)
{
	struct request r;
	struct answer a;

	if (!part_read(o, url, body, &r))
		return false;
	answer_init(&a, &r, o->n);
	if (!a.tariff || (o->n > 0 && strcmp(o->model, r.model) != 0))
		return false;
	a.usage.half_price = true;
	(void)snprintf(o->model, sizeof(o->model), "%s", r.model);
	(void)snprintf(o->reported, sizeof(o->reported), "%s", shape_model(&a));
	add_usage(&o->usage, &a.usage);
	o->n++;
	CHECK(answer_whole(&a, &o->results) == BUR_OK);
	return true;
}

static bool openai_part(struct order *o, struct slice line)
{
	json_t *part = json_loadb(line.p, line.n, 0, NULL);
	bool well = part != NULL;

	if (well)
		well = buf_printf(&o->results,
				  "{\"id\":\"batch_req_%" PRIu64
				  "\",\"custom_id\":\"%s\",\"response\":{\"status_code\":200,\"request_id\":\"r%" PRIu64
				  "\",\"body\":",
				  o->n, text_of(part, "custom_id"), o->n) == BUR_OK &&
		       part_do(o, text_of(part, "url"), json_object_get(part, "body")) &&
		       buf_printf(&o->results, "},\"error\":null}\n") == BUR_OK;
	json_decref(part);
	return well;
}

static bool openai_parts(struct order *o, struct slice lines)
{
	struct slice line;

	while (lines.n > 0) {
		(void)slice_cut(lines, '\n', &line, &lines);
		if (slice_trim(line).n > 0 && !openai_part(o, line))
			return false;
	}
	return o->n > 0;
}

static bool anthropic_parts(struct order *o, const json_t *root)
{
	const json_t *part;
	size_t i;

	json_array_foreach(json_object_get(root, "requests"), i, part)
	{
		bool well =
		    buf_printf(&o->results, "{\"custom_id\":\"%s\",\"result\":{\"type\":\"succeeded\",\"message\":",
			       text_of(part, "custom_id")) == BUR_OK &&
		    part_do(o, "/v1/messages", json_object_get(part, "params")) &&
		    buf_printf(&o->results, "}}\n") == BUR_OK;

		if (!well)
			return false;
	}
	return o->n > 0;
}

static void order_bill(const struct order *o, struct bill *bill, uint64_t number)
{
	const struct request *r = o->answer->request;
	struct bill_entry e = {.number = number,
			       .max_out = -1,
			       .thinking = -1,
			       .call = r->script.call,
			       .api = api_name(r->api),
			       .provider = seller_name(r->seller),
			       .model = o->model,
			       .usage = o->usage,
			       .special_nanousd = -1};

	e.usage.half_price = true;
	bill_begin(bill, &e);
	bill_end(bill, &e, BILL_COMPLETE);
}

static int openai_object(const struct order *o, const char *input, const char *endpoint, bool done, struct buf *out)
{
	const struct bill_usage *u = &o->usage;
	const char *id = o->answer->id;
	uint64_t in = bill_input(u);

	TRY(buf_printf(
	    out,
	    "{\"id\":\"batch_%s\",\"object\":\"batch\",\"endpoint\":\"%s\",\"errors\":null,\"input_file_id\":\"%s\","
	    "\"completion_window\":\"24h\",\"created_at\":" CREATED ",\"error_file_id\":null,\"status\":\"%s\"",
	    id, endpoint, input, done ? "completed" : "validating"));
	if (!done)
		return buf_printf(
		    out, ",\"output_file_id\":null,\"request_counts\":{\"total\":0,\"completed\":0,\"failed\":0}}");
	return buf_printf(out,
			  ",\"model\":\"%s\",\"output_file_id\":\"file-out-%s\",\"completed_at\":" CREATED
			  ",\"request_counts\":{\"total\":%" PRIu64 ",\"completed\":%" PRIu64
			  ",\"failed\":0},\"usage\":{\"input_tokens\":%" PRIu64
			  ",\"input_tokens_details\":{\"cached_tokens\":%" PRIu64 "},\"output_tokens\":%" PRIu64
			  ",\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":%" PRIu64 "}}",
			  o->reported, id, o->n, o->n, in, u->cached, u->output, in + u->output);
}

static int anthropic_object(const struct order *o, bool done, struct buf *out)
{
	const char *id = o->answer->id;

	TRY(buf_printf(
	    out,
	    "{\"id\":\"msgbatch_%s\",\"type\":\"message_batch\",\"processing_status\":\"%s\",\"request_counts\":{"
	    "\"processing\":%" PRIu64 ",\"succeeded\":%" PRIu64 ",\"errored\":0,\"canceled\":0,\"expired\":0},"
	    "\"created_at\":\"2026-11-21T00:00:00Z\",\"expires_at\":\"2026-11-22T00:00:00Z\",\"archived_at\":null,"
	    "\"cancel_initiated_at\":null",
	    id, done ? "ended" : "in_progress", done ? 0 : o->n, done ? o->n : 0));
	if (!done)
		return buf_printf(out, ",\"ended_at\":null,\"results_url\":null}");
	return buf_printf(
	    out,
	    ",\"ended_at\":\"2026-11-21T00:01:00Z\",\"results_url\":\"https://api.anthropic.com/v1/messages/"
	    "batches/msgbatch_%s/results\"}",
	    id);
}

/* The finished object and the results go on the shelf; the answer is the object as it is at first. */
static int order_finish(struct order *o, struct shelf *shelf, const char *input, const char *endpoint, struct buf *out)
{
	char id[OBJECT_ID_MAX + 1], results[OBJECT_ID_MAX + 1];
	bool openai = o->answer->request->api == API_BATCH;
	struct buf done;
	int r;

	buf_init(&done, RESULTS_MAX);
	(void)snprintf(id, sizeof(id), openai ? "batch_%s" : "msgbatch_%s", o->answer->id);
	(void)snprintf(results, sizeof(results), openai ? "file-out-%s" : "results-msgbatch_%s", o->answer->id);
	r = openai ? openai_object(o, input, endpoint, true, &done) : anthropic_object(o, true, &done);
	CHECK(r == BUR_OK);
	shelf_put(shelf, id, buf_slice(&done));
	shelf_put(shelf, results, buf_slice(&o->results));
	buf_done(&done);
	return openai ? openai_object(o, input, endpoint, false, out) : anthropic_object(o, false, out);
}

static int batch_create(struct shelf *shelf, struct bill *bill, const struct answer *a, uint64_t number,
			struct slice body, struct buf *out)
{
	json_t *root = json_loadb(body.p ? body.p : "", body.n, 0, NULL);
	struct order o = {.answer = a};
	const char *input = root ? text_of(root, "input_file_id") : "";
	int status = 400;

	buf_init(&o.results, RESULTS_MAX);
	if (root &&
	    (a->request->api == API_BATCH ? openai_parts(&o, shelf_get(shelf, input)) : anthropic_parts(&o, root))) {
		order_bill(&o, bill, number);
		CHECK(order_finish(&o, shelf, input, text_of(root, "endpoint"), out) == BUR_OK);
		status = 200;
	}
	buf_done(&o.results);
	json_decref(root);
	return status;
}

/* --- files, and all that is fetched --------------------------------------------------------------------------------
 */

static int file_upload(struct shelf *shelf, const struct answer *a, struct slice file, struct buf *out)
{
	char id[OBJECT_ID_MAX + 1];

	(void)snprintf(id, sizeof(id), "file-%s", a->id);
	shelf_put(shelf, id, file);
	CHECK(buf_printf(out,
			 "{\"id\":\"%s\",\"object\":\"file\",\"bytes\":%zu,\"created_at\":" CREATED
			 ",\"filename\":\"batch.jsonl\",\"purpose\":\"batch\",\"status\":\"processed\"}",
			 id, file.n) == BUR_OK);
	return 200;
}

static int fetch(const struct shelf *shelf, const char *prefix, const struct answer *a, struct buf *out)
{
	char id[OBJECT_ID_MAX + 16];
	struct slice found;

	(void)snprintf(id, sizeof(id), "%s%s", prefix, a->request->object_id);
	found = shelf_get(shelf, id);
	if (!found.p)
		return 404;
	CHECK(buf_append_slice(out, found) == BUR_OK);
	return 200;
}

bool later_handles(enum api api)
{
	switch (api) {
	case API_FILE_UPLOAD:
	case API_FILE_CONTENT:
	case API_BATCH:
	case API_BATCH_LATE:
	case API_MESSAGE_BATCH:
	case API_MESSAGE_BATCH_LATE:
	case API_MESSAGE_BATCH_RESULTS:
	case API_RESPONSE_LATE:
		return true;
	default:
		return false;
	}
}

int later_answer(struct shelf *shelf, struct bill *bill, const struct answer *a, uint64_t number, struct slice body,
		 struct slice file, struct buf *out)
{
	switch (a->request->api) {
	case API_FILE_UPLOAD:
		return file_upload(shelf, a, file, out);
	case API_BATCH:
	case API_MESSAGE_BATCH:
		return batch_create(shelf, bill, a, number, body, out);
	case API_MESSAGE_BATCH_RESULTS:
		return fetch(shelf, "results-", a, out);
	default:
		return fetch(shelf, "", a, out);
	}
}

void later_keep_response(struct shelf *shelf, const struct answer *a)
{
	char id[OBJECT_ID_MAX + 1];
	struct buf done;

	buf_init(&done, RESULTS_MAX);
	(void)snprintf(id, sizeof(id), "resp_%s", a->id);
	CHECK(shape_response(&done, a, "completed") == BUR_OK);
	shelf_put(shelf, id, buf_slice(&done));
	buf_done(&done);
}
