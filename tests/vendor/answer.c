#include "tests/vendor/answer.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "tests/vendor/shape.h"

#define CHUNKS_DEFAULT_MAX 20
#define IMAGE_TOKENS 272      /* of a small picture, when the script names none */
#define AUDIO_BYTES_PER_MS 32 /* 16 kHz, 16 bit, one channel */
#define AUDIO_MS_PER_TOKEN 100
#define IMAGE_BYTES_PER_TOKEN 16

/* One token of the usual vocabularies each. */
static const char *const words[] = {" the",   " money", " is",   " counted", " before", " it",     " leaves", " and",
				    " after", " every", " word", " of",      " an",     " answer", " comes",  " back"};

static const struct shape *const shapes[API_COUNT] = {
    [API_MODELS] = &shape_models,
    [API_CHAT] = &shape_chat,
    [API_COMPLETIONS] = &shape_completions,
    [API_RESPONSES] = &shape_responses,
    [API_EMBEDDINGS] = &shape_embeddings,
    [API_MODERATIONS] = &shape_moderations,
    [API_IMAGES] = &shape_images,
    [API_IMAGE_EDITS] = &shape_images,
    [API_SPEECH] = &shape_speech,
    [API_TRANSCRIPTIONS] = &shape_transcriptions,
    [API_MESSAGES] = &shape_messages,
    [API_COUNT_TOKENS] = &shape_count_tokens,
    [API_GENERATE] = &shape_generate,
    [API_GOOGLE_COUNT] = &shape_google_count,
    [API_EMBED_CONTENT] = &shape_embed_content,
    [API_EMBED_CONTENTS] = &shape_embed_contents,
    [API_CONVERSE] = &shape_converse,
    [API_INVOKE] = &shape_invoke,
    [API_COHERE_CHAT] = &shape_cohere_chat,
    [API_COHERE_EMBED] = &shape_cohere_embed,
    [API_COHERE_RERANK] = &shape_cohere_rerank,
    [API_OCR] = &shape_ocr,
    [API_OLLAMA_CHAT] = &shape_ollama_chat,
    [API_OLLAMA_GENERATE] = &shape_ollama_generate,
    [API_OLLAMA_EMBED] = &shape_ollama_embed,
};

/* --- for the families ----------------------------------------------------------------------------------------------
 */

uint64_t shape_per_candidate(const struct answer *a)
{
	return a->usage.output / a->request->candidates;
}

bool shape_cut_short(const struct answer *a)
{
	const struct request *r = a->request;

	return r->has_max_out && r->script.has_out && r->script.out > r->max_out;
}

int shape_words(struct buf *out, const struct answer *a, uint64_t from, uint64_t to)
{
	uint64_t thought = a->request->script.reasoning;

	for (uint64_t i = from > thought ? from : thought; i < to; i++) {
		const char *w = words[i % ARRAY_LEN(words)];

		TRY(buf_append(out, w, strlen(w)));
	}
	return BUR_OK;
}

int shape_text(struct buf *out, const struct answer *a)
{
	char *room;

	TRY(shape_words(out, a, 0, shape_per_candidate(a)));
	if (a->pad_bytes == 0)
		return BUR_OK;
	room = buf_reserve(out, a->pad_bytes, NULL);
	if (!room)
		return BUR_TOOBIG;
	memset(room, 'x', a->pad_bytes);
	buf_commit(out, a->pad_bytes);
	return BUR_OK;
}

const char *shape_model(const struct answer *a)
{
	return a->tariff && a->tariff->reported ? a->tariff->reported : a->request->model;
}

int shape_dollars(struct buf *out, int64_t nanousd)
{
	return buf_printf(out, "%" PRId64 ".%09" PRId64, nanousd / 1000000000, nanousd % 1000000000);
}

/* --- what is sold --------------------------------------------------------------------------------------------------
 */

static uint64_t take(uint64_t *from, uint64_t wanted)
{
	uint64_t n = wanted < *from ? wanted : *from;

	*from -= n;
	return n;
}

static void measure_text(struct bill_usage *u, const struct request *r)
{
	uint64_t in = request_input_tokens(r);

	u->cached = take(&in, r->script.cached);
	u->write_5m = take(&in, r->script.write_5m);
	u->write_1h = take(&in, r->script.write_1h);
	u->fresh = in;
}

static void measure(struct answer *a)
{
	const struct request *r = a->request;
	struct bill_usage *u = &a->usage;

	measure_text(u, r);
	u->requests = 1;
	switch (r->api) {
	case API_EMBEDDINGS:
	case API_MODERATIONS:
	case API_EMBED_CONTENT:
	case API_EMBED_CONTENTS:
	case API_COHERE_EMBED:
	case API_OLLAMA_EMBED:
		break;
	case API_COHERE_RERANK:
		*u = (struct bill_usage){.searches = 1, .requests = 1};
		break;
	case API_OCR:
		*u = (struct bill_usage){.pages = r->script.has_out ? r->script.out : 1, .requests = 1};
		break;
	case API_SPEECH:
		u->audio_output = request_output_tokens(r);
		u->characters = r->text_bytes;
		break;
	case API_TRANSCRIPTIONS:
		u->audio_ms = r->file_bytes / AUDIO_BYTES_PER_MS;
		if (a->tariff && a->tariff->audio_ms) {
			*u = (struct bill_usage){.audio_ms = u->audio_ms, .requests = 1};
		} else {
			u->audio = u->audio_ms / AUDIO_MS_PER_TOKEN + 1;
			u->output = request_output_tokens(r);
		}
		break;
	case API_IMAGES:
	case API_IMAGE_EDITS:
		u->image = r->file_bytes / IMAGE_BYTES_PER_TOKEN;
		u->output = r->script.has_out ? request_output_tokens(r) : IMAGE_TOKENS * r->candidates;
		break;
	default:
		u->output = request_output_tokens(r);
		break;
	}
}

void answer_init(struct answer *a, const struct request *r, uint64_t number)
{
	const struct script *s = &r->script;
	uint64_t per;

	memset(a, 0, sizeof(*a));
	a->request = r;
	a->tariff = tariff_find(seller_name(r->seller), slice_of(r->model));
	measure(a);
	a->with_usage = s->fault != FAULT_NO_USAGE;
	if (s->call[0])
		(void)snprintf(a->id, sizeof(a->id), "%s", s->call);
	else
		(void)snprintf(a->id, sizeof(a->id), "%016" PRIx64, number);
	per = shape_per_candidate(a);
	a->chunks = s->chunks ? s->chunks : per < CHUNKS_DEFAULT_MAX ? per : CHUNKS_DEFAULT_MAX;
	if (a->chunks > per)
		a->chunks = per;
}

struct bill_usage answer_usage(const struct answer *a, uint64_t output)
{
	struct bill_usage u = a->usage;

	u.output = output < u.output ? output : u.output;
	return u;
}

int64_t answer_price(const struct answer *a, uint64_t output)
{
	struct bill_usage u = answer_usage(a, output);

	if (a->request->script.has_cost)
		return (int64_t)a->request->script.cost_nanousd;
	return a->tariff ? bill_price(a->tariff, &u) : 0;
}

/* --- whole, or in pieces -------------------------------------------------------------------------------------------
 */

int answer_whole(struct answer *a, struct buf *out)
{
	const struct shape *s = shapes[a->request->api];

	CHECK(s && s->whole);
	a->generated = a->usage.output;
	return s->whole(a, out);
}

int answer_piece(struct answer *a, struct buf *out, bool *ret_done)
{
	const struct shape *s = shapes[a->request->api];
	uint64_t per = shape_per_candidate(a), i = a->piece, from, to;

	*ret_done = false;
	if (i == 0) {
		TRY(s->begin(a, out));
	} else if (i <= a->chunks) {
		from = per * (i - 1) / a->chunks;
		to = per * i / a->chunks;
		a->generated = to * a->request->candidates;
		TRY(s->content(a, out, from, to));
	} else {
		TRY(s->end(a, out));
		*ret_done = true;
	}
	a->piece++;
	return BUR_OK;
}

int answer_fields(const struct answer *a, struct buf *out)
{
	const struct shape *s = shapes[a->request->api];

	return s && s->fields ? s->fields(a, out) : BUR_OK;
}

bool answer_is_stream(const struct request *r)
{
	const struct shape *s = shapes[r->api];

	return r->stream && s && s->begin;
}

const char *answer_type(const struct request *r)
{
	const struct shape *s = shapes[r->api];

	if (!answer_is_stream(r))
		return s && s->whole_type ? s->whole_type : "application/json";
	if (s->stream_type)
		return s->stream_type;
	if (r->api == API_GENERATE)
		return r->json_array ? "application/json; charset=UTF-8" : "text/event-stream";
	return SSE_TYPE;
}
