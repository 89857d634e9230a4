/* Bounds of what is no text: pictures drawn, speech made and written down, documents read and ranked. */
#include "meter/bound_impl.h"

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t ceil_div(uint64_t a, uint64_t b)
{
	return a / b + (a % b > 0);
}

/* --- pictures ----------------------------------------------------------------------------------------------------- */

/* Output tokens of one picture of the GPT image models (OpenAI, "Image generation": square, portrait and landscape). */
#define IMAGE_LOW_TOKENS 408
#define IMAGE_MEDIUM_TOKENS 1584
#define IMAGE_HIGH_TOKENS 6240
#define IMAGE_PARTIAL_TOKENS 100
/* Words beside the picture, where the model has a price for text of its own. */
#define IMAGE_TEXT_TOKENS 512
/* The documented sizes go up to here; larger ones are for newer models. */
#define IMAGE_SIDE_MAX_DOCUMENTED 1536

static uint64_t documented_image(const struct request_info *q)
{
	switch ((enum image_quality)q->quality) {
	case QUALITY_LOW:
		return IMAGE_LOW_TOKENS;
	case QUALITY_MEDIUM:
		return IMAGE_MEDIUM_TOKENS;
	default:
		return IMAGE_HIGH_TOKENS;
	}
}

/* Of the first GPT image models the documented sizes are all there are. */
static bool only_documented_sizes(struct slice id)
{
	return slice_ieq(id, SLICE("gpt-image-1")) || slice_ieq(id, SLICE("gpt-image-1-mini")) ||
	       slice_istarts(id, SLICE("gpt-image-1.5"));
}

/* 0: not known. */
static uint64_t tokens_a_picture(const struct sketch *s)
{
	struct slice id = slice_of(price_model_id(s->model));
	const struct request_info *q = s->q;
	bool sized = q->width > 0 && q->height > 0 && q->width <= IMAGE_SIDE_MAX_DOCUMENTED &&
		     q->height <= IMAGE_SIDE_MAX_DOCUMENTED && (uint64_t)q->width * q->height <= 1024 * 1536;
	uint64_t text = price_model_has(s->model, PRICE_OUT_IMAGE) ? IMAGE_TEXT_TOKENS : 0;

	if (only_documented_sizes(id) || (sized && slice_istarts(id, SLICE("gpt-image"))))
		return documented_image(q) + text + (uint64_t)q->partial_images * IMAGE_PARTIAL_TOKENS;
	return bound_model_out(s);
}

enum bound_result bound_images(struct sketch *s)
{
	const struct request_info *q = s->q;
	uint64_t n = most(q->candidates, 1), each = 0;

	if (price_model_has(s->model, PRICE_OUT) || price_model_has(s->model, PRICE_OUT_IMAGE)) {
		each = tokens_a_picture(s);
		if (each == 0)
			return bound_unbounded(s, "how many tokens a picture takes is not known; name `size` (up to "
						  "1536x1024) and `quality`, or set max_out in the price book");
	}
	if (price_model_has(s->model, PRICE_PIXELS) && (q->width == 0 || q->height == 0))
		return bound_unbounded(s, "the model is priced by the pixel; name the size of the pictures");
	s->input = bound_text(s);
	s->output = bound_times(n, each);
	s->n.n[PRICE_IMAGES] = n;
	s->n.n[PRICE_PIXELS] = bound_times(n, (uint64_t)q->width * q->height);
	return BOUND_OK;
}

/* Vertex: text to vectors, by tokens or characters, or pictures; what is priced by seconds is not bounded here. */
enum bound_result bound_predict(struct sketch *s)
{
	if (price_model_has(s->model, PRICE_VIDEO_S) || price_model_has(s->model, PRICE_OUT))
		return bound_unbounded(s, "what this model may answer has no bound in the request; use a soft budget");
	s->input = bound_text(s);
	s->n.n[PRICE_CHARS] = s->q->body_bytes;
	s->n.n[PRICE_IMAGES] = bound_times(most(s->q->candidates, 1), most(s->q->messages, 1));
	return BOUND_OK;
}

/* --- speech ------------------------------------------------------------------------------------------------------- */

/* Spoken text: two seconds a character are far slower than any voice, at 20 tokens of audio a second. */
#define SPEECH_CHAR_MS 2000
#define SPEECH_CHAR_TOKENS 40
#define SPEECH_LEAST_CHARS 10

enum bound_result bound_speech(struct sketch *s)
{
	uint64_t chars = s->q->input_chars, timed = bound_plus(chars, SPEECH_LEAST_CHARS), model = bound_model_out(s);

	s->input = bound_text(s);
	s->output = bound_times(timed, SPEECH_CHAR_TOKENS);
	if (model > 0 && model < s->output)
		s->output = model;
	s->n.n[PRICE_CHARS] = chars;
	s->n.n[PRICE_AUDIO_MS] = s->n.n[PRICE_OUT_AUDIO_MS] = bound_times(timed, SPEECH_CHAR_MS);
	return BOUND_OK;
}

/* --- transcription ------------------------------------------------------------------------------------------------ */

/* A file is at most as long as at 6 kbit/s, the least that the Opus codec is made for (RFC 6716): 4/3 ms a byte. Codecs
 * that shrink silence further (FLAC, discontinuous Opus) could pass it; their calls show as overruns. */
#define AUDIO_LEAST_MS 10000     /* Groq bills at least ten seconds */
#define AUDIO_TOKEN_MS 100       /* OpenAI: ten tokens a second */
#define TRANSCRIPT_TOKENS_A_S 10 /* no tongue is faster, timestamps included */

enum bound_result bound_transcriptions(struct sketch *s)
{
	const struct request_info *q = s->q;
	bool by_time = price_model_has(s->model, PRICE_AUDIO_MS) || price_model_has(s->model, PRICE_IN_AUDIO_MS);
	uint64_t context = price_model_context(s->model), model = bound_model_out(s);
	uint64_t ms = most(ceil_div(bound_times(q->upload_bytes, 4), 3), AUDIO_LEAST_MS);

	if (q->files > 0 && (by_time || context == 0))
		return bound_unbounded(s,
				       "the audio is named by URL or id, so its length is not known; send the file in "
				       "the request, or use a soft budget");
	s->input = bound_plus(bound_text(s), ms / AUDIO_TOKEN_MS);
	if (q->files > 0)
		s->input = most(s->input, context);
	s->output = q->files > 0 ? model : bound_times(bound_plus(ms / 1000, 1), TRANSCRIPT_TOKENS_A_S);
	if (model > 0 && model < s->output)
		s->output = model;
	s->n.n[PRICE_AUDIO_MS] = s->n.n[PRICE_IN_AUDIO_MS] = ms;
	return BOUND_OK;
}

/* --- documents ---------------------------------------------------------------------------------------------------- */

/* Mistral, "Document AI": at most 1 000 pages a document. */
#define OCR_PAGES_MAX 1000

enum bound_result bound_ocr(struct sketch *s)
{
	const struct request_info *q = s->q;
	bool picture = q->images > 0 && q->files == 0 && q->messages <= 1;
	uint64_t pages = q->pages > 0 ? q->pages : picture ? 1 : OCR_PAGES_MAX;

	s->n.n[PRICE_PAGES] = pages < OCR_PAGES_MAX ? pages : OCR_PAGES_MAX;
	s->n.n[PRICE_PAGES_ANNOTATED] = q->annotations ? s->n.n[PRICE_PAGES] : 0;
	s->input = bound_text(s);
	return BOUND_OK;
}

/* Cohere, "Rerank": a search unit is a query with up to 100 documents; one longer than 500 tokens with the query is cut
 * into several. The query takes at most half of them. */
#define RERANK_DOCUMENTS 100
#define RERANK_CHUNK_TOKENS 250

void bound_rerank(struct sketch *s)
{
	uint64_t chunks = bound_plus(s->q->documents, ceil_div(s->q->body_bytes, RERANK_CHUNK_TOKENS));

	s->n.n[PRICE_RERANK] = most(ceil_div(chunks, RERANK_DOCUMENTS), 1);
}
