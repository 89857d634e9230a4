/* Lines are told apart before JSON is read, as every reader of JSON lines does: a line feed ends one, wherever it
 * stands. What a line's body means depends on its url, which may stand behind it: the first line is read as each of the
 * kinds there are, and the one that its url names is taken. All others must be of that kind. */
#include "meter/batch_file.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "meter/bound.h"
#include "meter/multipart.h"

static const enum api_kind kinds[] = {API_CHAT, API_RESPONSES, API_EMBEDDINGS, API_COMPLETIONS, API_MODERATIONS};

enum part { PART_OTHER, PART_PURPOSE, PART_FILE };

struct batch_file {
	struct multipart form;
	enum part part;
	bool form_bad, purpose_seen, file_seen, is_batch, is_other;
	char purpose[16];
	size_t purpose_n;
	char provider[64];
	uint64_t line;           /* number of the line at hand, or of the last */
	bool line_open, line_cr; /* something stands in it; its last byte was a carriage return */
	struct reqscan *scan;    /* n_scan of them: of the line at hand, as each kind that it may be */
	size_t n_scan;
	struct batch_sum sum;
};

enum api_kind batch_endpoint_kind(struct slice endpoint)
{
	struct api_match m = api_classify(FAMILY_OPENAI, SLICE("POST"), endpoint);

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (m.kind == kinds[i])
			return m.kind;
	return API_UNKNOWN;
}

static void fail(struct batch_file *b, const char *why)
{
	b->sum.n = 0;
	(void)snprintf(b->sum.why, sizeof(b->sum.why), "%s", why);
}

static bool failed(const struct batch_file *b)
{
	return b->sum.why[0] != '\0';
}

static void fail_line(struct batch_file *b, const char *why)
{
	char text[BATCH_WHY_MAX + 1];

	(void)snprintf(text, sizeof(text), "line %llu: %s", (unsigned long long)b->line, why);
	fail(b, text);
}

/* --- sums --------------------------------------------------------------------------------------------------------- */

static uint64_t plus(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static uint64_t times(uint64_t a, uint64_t b)
{
	uint64_t product;

	return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

static struct request_info *sum_of_model(struct batch_file *b, const char *model)
{
	struct batch_sum *s = &b->sum;

	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->of[i].model, model) == 0)
			return &s->of[i];
	if (s->n == BATCH_MODELS_MAX)
		return NULL;
	memset(&s->of[s->n], 0, sizeof(s->of[s->n]));
	(void)slice_to_cstr(slice_of(model), s->of[s->n].model, sizeof(s->of[s->n].model));
	s->of[s->n].batch_lines = true;
	s->of[s->n].hosted_bounded = true;
	s->of[s->n].candidates = 1;
	return &s->of[s->n++];
}

/* As bound_output does for a single call. */
static void add_output(struct request_info *sum, enum api_kind kind, const struct request_info *q)
{
	uint64_t answers = q->candidates > 0 ? q->candidates : 1;
	uint64_t each = q->has_max_out ? q->max_out : 0;

	if (kind == API_EMBEDDINGS)
		return;
	if (kind == API_COMPLETIONS) /* each of several prompts is answered */
		answers = times(answers, q->messages > 0 ? q->messages : 1);
	if (q->prediction) /* what is rejected of it is billed as output */
		each = plus(each, q->body_bytes);
	sum->max_out = plus(sum->max_out, times(each, answers));
	if (!q->has_max_out)
		sum->batch_uncapped = plus(sum->batch_uncapped, answers);
}

static void add_images(struct image_sums *sum, const struct image_sums *more)
{
	sum->sized = plus(sum->sized, more->sized);
	sum->tiles = plus(sum->tiles, more->tiles);
	sum->patches = plus(sum->patches, more->patches);
	sum->patches_large = plus(sum->patches_large, more->patches_large);
	sum->claude_standard = plus(sum->claude_standard, more->claude_standard);
	sum->claude_large = plus(sum->claude_large, more->claude_large);
	sum->gemini_tiles = plus(sum->gemini_tiles, more->gemini_tiles);
}

static void add_flags(struct request_info *sum, const struct request_info *q)
{
	sum->remote_parts |= q->remote_parts;
	sum->stored_context |= q->stored_context;
	sum->hosted_tools |= q->hosted_tools;
	sum->hosted |= q->hosted;
	sum->hosted_bounded &= !q->hosted_tools || q->hosted_bounded;
	sum->cache_marks |= q->cache_marks;
	sum->cache_marks_1h |= q->cache_marks_1h;
	sum->audio_output |= q->audio_output;
	sum->media_resolution |= q->media_resolution;
	sum->tools |= q->tools;
	if (q->speed[0] != '\0') /* there is one dear word, and all others are as none */
		(void)slice_to_cstr(slice_of(q->speed), sum->speed, sizeof(sum->speed));
}

/* Input that is not in the line's own text may be as large as it likes. */
static void add_input(struct request_info *sum, const struct request_info *q)
{
	bool more = q->images > 0 || q->audios > 0 || q->files > 0 || q->stored_context || q->hosted_tools;
	uint64_t input = more ? UINT64_MAX : bound_text_tokens(q);

	sum->call_input = input > sum->call_input ? input : sum->call_input;
}

static void add_request(struct batch_file *b, const struct request_info *q)
{
	struct request_info *sum;

	b->sum.items++;
	if (b->sum.kind == API_MODERATIONS)
		return; /* free */
	sum = sum_of_model(b, q->model);
	if (!sum) {
		fail_line(b, "the file names more models than are kept apart; make a file for each model");
		return;
	}
	sum->batch_items++;
	sum->body_bytes = plus(sum->body_bytes, q->body_bytes);
	sum->messages = plus(sum->messages, q->messages);
	sum->images = plus(sum->images, q->images);
	sum->audios = plus(sum->audios, q->audios);
	sum->files = plus(sum->files, q->files);
	sum->image_bytes = plus(sum->image_bytes, q->image_bytes);
	sum->hosted_calls = plus(sum->hosted_calls, q->hosted_calls);
	add_images(&sum->image_sums, &q->image_sums);
	add_input(sum, q);
	add_output(sum, b->sum.kind, q);
	add_flags(sum, q);
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

static void line_begin(struct batch_file *b)
{
	struct reqscan_options o = {.provider = slice_of(b->provider), .batch_line = true};

	for (size_t i = 0; i < b->n_scan; i++) {
		o.kind = b->n_scan > 1 ? kinds[i] : b->sum.kind;
		reqscan_begin(&b->scan[i], &o);
	}
	b->line_open = true;
}

/* Errors are sticky in the scanners, and asked for at the end of the line. */
static void line_feed(struct batch_file *b, struct slice s)
{
	static const char blanks[] = " \t";

	while (!b->line_open && s.n > 0 && memchr(blanks, s.p[0], 2))
		s = slice_sub(s, 1, s.n);
	if (s.n == 0)
		return;
	if (!b->line_open)
		line_begin(b);
	for (size_t i = 0; i < b->n_scan; i++)
		if (reqscan_feed(&b->scan[i], s.p, s.n) < 0)
			continue;
}

/* The scanner that read the line as what its url says; NULL: none did. */
static const struct reqscan *line_scan(struct batch_file *b)
{
	for (size_t i = 0; i < b->n_scan; i++) {
		struct reqscan *s = &b->scan[i];

		if (reqscan_finish(s) == BUR_OK && batch_endpoint_kind(slice_of(s->info.batch_endpoint)) == s->kind)
			return s;
	}
	return NULL;
}

static void line_wrong(struct batch_file *b)
{
	char text[200];

	for (size_t i = 0; i < b->n_scan; i++) {
		const struct reqscan *s = &b->scan[i];

		/* of several the one that its url means */
		if (s->error == REQSCAN_OK ||
		    (i + 1 < b->n_scan && s->kind != batch_endpoint_kind(slice_of(s->info.batch_endpoint))))
			continue;
		fail_line(b, reqscan_error_text(s, text, sizeof(text)));
		return;
	}
	if (b->scan[0].info.batch_endpoint[0] == '\0')
		fail_line(b, "it has no `url`, or one that is too long");
	else if (b->sum.items > 0)
		fail_line(b, "it goes to another endpoint than the lines before; make a file for each endpoint");
	else
		fail_line(b, "what its endpoint costs in a batch is not known");
}

/* From the first line on the kind is known. */
static void take_kind(struct batch_file *b, enum api_kind kind)
{
	struct reqscan *one;

	if (b->n_scan == 1)
		return;
	b->sum.kind = kind;
	b->n_scan = 1;
	one = realloc(b->scan, sizeof(*one));
	if (one)
		b->scan = one;
}

static void line_end(struct batch_file *b)
{
	const struct reqscan *s;
	struct request_info q;

	b->line_cr = false;
	if (!b->line_open)
		return;
	b->line_open = false;
	s = line_scan(b);
	if (!s) {
		line_wrong(b);
		return;
	}
	q = s->info;
	take_kind(b, s->kind);
	if (q.batch_items == 0)
		fail_line(b, "it has no `body`");
	else if (q.model[0] == '\0' && b->sum.kind != API_MODERATIONS)
		fail_line(b, "its request names no model");
	else
		add_request(b, &q);
}

/* --- the file ----------------------------------------------------------------------------------------------------- */

/* A carriage return ends a line for some readers, so it may stand before the line feed only. */
static void line_piece(struct batch_file *b, struct slice s)
{
	size_t cr = slice_find(s, '\r');

	if (s.n == 0)
		return;
	if (b->line_cr || cr + 1 < s.n) {
		fail_line(b, "a carriage return stands inside of it");
		return;
	}
	b->line_cr = cr < s.n;
	s.n = cr;
	line_feed(b, s);
}

static void file_data(struct batch_file *b, struct slice data)
{
	struct slice piece;

	while (data.n > 0 && !failed(b)) {
		bool ends = slice_cut(data, '\n', &piece, &data);

		line_piece(b, piece);
		if (!ends)
			return;
		if (!failed(b))
			line_end(b);
		b->line++;
	}
}

static void file_end(struct batch_file *b)
{
	if (!failed(b))
		line_end(b);
	if (!failed(b) && b->sum.items == 0)
		fail(b, "the file is empty");
}

/* --- the form ----------------------------------------------------------------------------------------------------- */

/* Twice the same field, or a file where a word is expected: readers differ in what they take. */
static void part_begin(struct batch_file *b)
{
	bool purpose = slice_eq(slice_of(b->form.name), SLICE("purpose"));
	bool file = slice_eq(slice_of(b->form.name), SLICE("file"));

	if ((purpose && b->purpose_seen) || (file && b->file_seen) || file != b->form.is_file) {
		b->form_bad = true;
		return;
	}
	b->part = purpose ? PART_PURPOSE : file ? PART_FILE : PART_OTHER;
	b->purpose_seen |= purpose;
	b->file_seen |= file;
}

static void part_data(struct batch_file *b, struct slice data)
{
	size_t room = sizeof(b->purpose) - b->purpose_n;

	if (b->part == PART_FILE)
		file_data(b, data);
	if (b->part != PART_PURPOSE)
		return;
	data.n = data.n < room ? data.n : room;
	memcpy(b->purpose + b->purpose_n, data.p, data.n);
	b->purpose_n += data.n;
}

static void part_end(struct batch_file *b)
{
	if (b->part == PART_FILE)
		file_end(b);
	if (b->part != PART_PURPOSE)
		return;
	b->is_batch = slice_eq(slice_mem(b->purpose, b->purpose_n), SLICE("batch"));
	b->is_other = !b->is_batch;
}

/* Of a file that bounds nothing the purpose is still of interest. */
void batch_file_feed(struct batch_file *b, const char *p, size_t n)
{
	struct slice data;
	size_t i = 0;

	while (!b->is_other && !b->form_bad) {
		switch (multipart_next(&b->form, p, n, &i, &data)) {
		case MULTIPART_MORE:
			return;
		case MULTIPART_PART:
			part_begin(b);
			break;
		case MULTIPART_DATA:
			part_data(b, data);
			break;
		case MULTIPART_PART_END:
			part_end(b);
			b->part = PART_OTHER;
			break;
		case MULTIPART_ERROR:
			b->form_bad = true;
			break;
		}
	}
}

const struct batch_sum *batch_file_end(struct batch_file *b)
{
	if (b->is_other)
		return NULL;
	if (b->form_bad || !multipart_complete(&b->form) || !b->purpose_seen || !b->file_seen)
		fail(b, "the upload is no plain form with one file and one purpose");
	return &b->sum;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

struct batch_file *batch_file_new(struct slice provider, struct slice content_type)
{
	struct batch_file *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->n_scan = ARRAY_LEN(kinds);
	b->scan = malloc(b->n_scan * sizeof(*b->scan));
	if (!b->scan) {
		free(b);
		return NULL;
	}
	b->line = 1;
	(void)slice_to_cstr(provider, b->provider, sizeof(b->provider));
	b->form_bad = multipart_init(&b->form, content_type) < 0;
	return b;
}

void batch_file_free(struct batch_file *b)
{
	if (!b)
		return;
	free(b->scan);
	free(b);
}
