#include "meter/exchange.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "meter/decode.h"
#include "meter/reqscan.h"
#include "meter/tap.h"

/* --- the route ---------------------------------------------------------------------------------------------------- */

/* The value of the first parameter of that name, as sent; empty when absent. */
static struct slice query_value(struct slice query, struct slice name)
{
	struct slice rest = query, item, key, value;
	bool more = query.n > 0;

	while (more) {
		more = slice_cut(rest, '&', &item, &rest);
		if (slice_cut(item, '=', &key, &value) && slice_eq(key, name))
			return value;
	}
	return (struct slice){NULL, 0};
}

struct api_match exchange_match(enum api_family family, struct slice method, struct slice target)
{
	struct slice path, query = {NULL, 0};
	struct api_match m;

	(void)slice_cut(target, '?', &path, &query);
	m = api_classify(family, method, path);
	if (m.kind != API_REALTIME || m.model.n > 0)
		return m;
	m.model = query_value(query, SLICE("model"));
	if (m.model.n == 0) {
		m.model = query_value(query, SLICE("deployment"));
		m.model_is_deployment |= m.model.n > 0;
	}
	return m;
}

/* --- what the request adds ---------------------------------------------------------------------------------------- */

static void path_model(const struct api_match *m, char dst[MODEL_NAME_MAX + 1])
{
	dst[0] = '\0';
	if (m->model.n > 0 && api_decode_model(m->model, dst, MODEL_NAME_MAX + 1) < 0)
		dst[0] = '\0';
}

static void copy_text(char *dst, size_t dst_size, const char *src)
{
	(void)slice_to_cstr(slice_of(src), dst, dst_size);
}

static void apply_model(struct usage *u, const struct api_match *m, const struct request_info *q)
{
	char from_path[MODEL_NAME_MAX + 1];

	path_model(m, from_path);
	if (m->model_is_deployment)
		copy_text(u->deployment, sizeof(u->deployment), from_path[0] != '\0' ? from_path : q->model);
	if (m->model_is_final && from_path[0] != '\0')
		copy_text(u->model, sizeof(u->model), from_path);
	if (u->model[0] == '\0')
		copy_text(u->model, sizeof(u->model), q->model[0] != '\0' ? q->model : from_path);
}

void usage_apply_request(struct usage *u, const struct api_match *m, const struct request_info *q, int status)
{
	bool ran = status == 101 || (status >= 200 && status <= 299);

	apply_model(u, m, q);
	if (!ran || m->kind == API_FREE || m->kind == API_FILE_UPLOAD) {
		u->requests = 0;
		return;
	}
	if (m->kind == API_SPEECH)
		u->input_characters = q->input_chars;
	if (q->annotations)
		u->pages_annotated = u->pages;
	if (u->dedupe_key[0] == '\0')
		(void)slice_to_cstr(m->late_id, u->dedupe_key, sizeof(u->dedupe_key));
}

/* --- a recorded exchange ------------------------------------------------------------------------------------------ */

struct exchange_run {
	const struct exchange *x;
	struct api_match match;
	struct reqscan scan;
	struct request_info none; /* stands for a request that nobody can read */
	const struct request_info *info;
	struct tap *tap;
};

static struct slice field_value(const struct exchange_field *f, size_t n, struct slice name)
{
	for (size_t i = 0; i < n; i++)
		if (slice_ieq(f[i].name, name))
			return slice_trim(f[i].value);
	return (struct slice){NULL, 0};
}

static int scan_sink(void *ctx, const char *p, size_t n)
{
	return reqscan_feed(ctx, p, n);
}

static int scan_coded(struct reqscan *scan, struct slice coding, struct slice body)
{
	struct decode_limits limits = DECODE_LIMITS;
	struct decode *d;
	int r;

	limits.strict = true;
	r = decode_new(coding, &limits, scan_sink, scan, &d);
	if (r < 0)
		return r;
	r = decode_feed(d, body.p, body.n);
	if (r == BUR_OK)
		r = decode_finish(d);
	decode_free(d);
	return r;
}

static void read_request(struct exchange_run *run)
{
	const struct exchange *x = run->x;
	struct slice coding = field_value(x->request_head, x->n_request_head, SLICE("content-encoding"));
	enum api_kind kind = run->match.kind;
	bool billed = kind != API_FREE && kind != API_FILE_UPLOAD && kind != API_UNKNOWN;
	const struct reqscan_options options = {
	    .kind = billed ? kind : API_CHAT, /* others may still name a model as all do */
	    .provider = x->provider,
	    .model = run->match.model,
	    .content_type = field_value(x->request_head, x->n_request_head, SLICE("content-type")),
	};
	int r;

	run->info = &run->none;
	if (x->request_body.n == 0)
		return;
	reqscan_begin(&run->scan, &options);
	if (decode_is_identity(coding))
		r = reqscan_feed(&run->scan, x->request_body.p, x->request_body.n);
	else
		r = scan_coded(&run->scan, coding, x->request_body);
	if (r == BUR_OK && reqscan_finish(&run->scan) == BUR_OK)
		run->info = &run->scan.info;
}

static enum api_family family_of(struct slice provider)
{
	enum api_family family = api_family_from_name(provider);

	return family == FAMILY_OTHER ? FAMILY_OPENAI : family;
}

int exchange_begin(const struct exchange *x, struct exchange_run **ret)
{
	struct exchange_run *run = calloc(1, sizeof(*run));
	struct tap_options options = {
	    .status = x->status,
	    .content_type = field_value(x->answer_head, x->n_answer_head, SLICE("content-type")),
	    .content_encoding = field_value(x->answer_head, x->n_answer_head, SLICE("content-encoding")),
	};

	if (!run)
		return BUR_NOMEM;
	run->x = x;
	run->match = exchange_match(family_of(x->provider), x->method, x->target);
	read_request(run);
	options.kind = run->match.kind;
	run->tap = tap_new(&options);
	if (!run->tap) {
		free(run);
		return BUR_NOMEM;
	}
	for (size_t i = 0; i < x->n_answer_head; i++)
		tap_header(run->tap, x->answer_head[i].name, x->answer_head[i].value);
	*ret = run;
	return BUR_OK;
}

void exchange_feed(struct exchange_run *run, const char *p, size_t n)
{
	tap_feed(run->tap, p, n);
}

void exchange_end(struct exchange_run *run, bool clean, struct usage *ret)
{
	tap_finish(run->tap, clean, ret);
	tap_free(run->tap);
	usage_apply_request(ret, &run->match, run->info, run->x->status);
	free(run);
}
