/* OpenAI pictures, speech and transcription. */
#include <string.h>

#include "tests/vendor/shape.h"

#define PICTURE "iVBORw0KGgo="       /* the first bytes of a PNG */
#define SOUND_BYTES_PER_TOKEN 800    /* about 48 kbit/s at 20 tokens a second */
#define SOUND "//uQxAAAAAAAAAAAAAA=" /* the first bytes of an MPEG frame */

/* --- pictures ------------------------------------------------------------------------------------------------------
 */

static int image_usage(struct buf *out, const struct answer *a)
{
	const struct bill_usage *u = &a->usage;
	uint64_t in = bill_input(u);

	return buf_printf(out,
			  "\"usage\":{\"total_tokens\":%" PRIu64 ",\"input_tokens\":%" PRIu64
			  ",\"input_tokens_details\":{\"text_tokens\":%" PRIu64 ",\"image_tokens\":%" PRIu64
			  "},\"output_tokens\":%" PRIu64 ",\"output_tokens_details\":{\"image_tokens\":%" PRIu64
			  ",\"text_tokens\":0}}",
			  in + u->output, in, in - u->image, u->image, u->output, u->output);
}

static int images_whole(struct answer *a, struct buf *out)
{
	TRY(buf_printf(out, "{\"created\":" CREATED ",\"background\":\"opaque\",\"output_format\":\"png\",\"data\":["));
	for (uint64_t i = 0; i < a->request->candidates; i++)
		TRY(buf_printf(out, "%s{\"b64_json\":\"" PICTURE "\"}", i ? "," : ""));
	TRY(buf_printf(out, "]"));
	if (a->with_usage) {
		TRY(buf_printf(out, ","));
		TRY(image_usage(out, a));
	}
	return buf_printf(out, "}");
}

static const char *image_verb(const struct answer *a)
{
	return a->request->api == API_IMAGE_EDITS ? "image_edit" : "image_generation";
}

static int image_begin(struct answer *a, struct buf *out)
{
	(void)a;
	(void)out;
	return BUR_OK;
}

static int image_content(struct answer *a, struct buf *out, uint64_t from, uint64_t to)
{
	const char *verb = image_verb(a);

	(void)from;
	(void)to;
	return buf_printf(out,
			  "event: %s.partial_image\ndata: {\"type\":\"%s.partial_image\",\"b64_json\":\"" PICTURE
			  "\",\"partial_image_index\":%" PRIu64 "}\n\n",
			  verb, verb, a->piece - 1);
}

static int image_end(struct answer *a, struct buf *out)
{
	const char *verb = image_verb(a);

	TRY(buf_printf(out,
		       "event: %s.completed\ndata: {\"type\":\"%s.completed\",\"created_at\":" CREATED
		       ",\"b64_json\":\"" PICTURE "\"",
		       verb, verb));
	if (a->with_usage) {
		TRY(buf_printf(out, ","));
		TRY(image_usage(out, a));
	}
	return buf_printf(out, "}\n\n");
}

/* --- speech --------------------------------------------------------------------------------------------------------
 */

static int speech_whole(struct answer *a, struct buf *out)
{
	size_t n = (size_t)a->usage.audio_output * SOUND_BYTES_PER_TOKEN;
	char *room = buf_reserve(out, n + 1, NULL);

	if (!room)
		return BUR_TOOBIG;
	memset(room, '\xff', n);
	buf_commit(out, n);
	return BUR_OK;
}

static int speech_begin(struct answer *a, struct buf *out)
{
	for (uint64_t i = 0; i < a->usage.audio_output; i++)
		TRY(buf_printf(out, "data: {\"type\":\"speech.audio.delta\",\"audio\":\"" SOUND "\"}\n\n"));
	return BUR_OK;
}

static int speech_content(struct answer *a, struct buf *out, uint64_t from, uint64_t to)
{
	(void)a;
	(void)out;
	(void)from;
	(void)to;
	return BUR_OK;
}

static int speech_end(struct answer *a, struct buf *out)
{
	uint64_t in = bill_input(&a->usage), o = a->usage.audio_output;

	if (!a->with_usage)
		return buf_printf(out, "data: {\"type\":\"speech.audio.done\"}\n\n");
	return buf_printf(out,
			  "data: {\"type\":\"speech.audio.done\",\"usage\":{\"input_tokens\":%" PRIu64
			  ",\"output_tokens\":%" PRIu64 ",\"total_tokens\":%" PRIu64 "}}\n\n",
			  in, o, in + o);
}

/* --- transcription -------------------------------------------------------------------------------------------------
 */

static int transcript_usage(struct buf *out, const struct answer *a)
{
	const struct bill_usage *u = &a->usage;
	uint64_t in = bill_input(u);

	if (!a->with_usage)
		return BUR_OK;
	if (a->tariff->audio_ms)
		return buf_printf(out, ",\"usage\":{\"type\":\"duration\",\"seconds\":%" PRIu64 ".%03" PRIu64 "}",
				  u->audio_ms / 1000, u->audio_ms % 1000);
	return buf_printf(out,
			  ",\"usage\":{\"type\":\"tokens\",\"input_tokens\":%" PRIu64
			  ",\"input_token_details\":{\"text_tokens\":%" PRIu64 ",\"audio_tokens\":%" PRIu64
			  "},\"output_tokens\":%" PRIu64 ",\"total_tokens\":%" PRIu64 "}",
			  in, in - u->audio, u->audio, u->output, in + u->output);
}

static int transcript_whole(struct answer *a, struct buf *out)
{
	TRY(buf_printf(out, "{\"text\":\""));
	TRY(shape_text(out, a));
	TRY(buf_printf(out, "\""));
	TRY(transcript_usage(out, a));
	return buf_printf(out, "}");
}

static int transcript_begin(struct answer *a, struct buf *out)
{
	(void)a;
	(void)out;
	return BUR_OK;
}

static int transcript_content(struct answer *a, struct buf *out, uint64_t from, uint64_t to)
{
	TRY(buf_printf(out, "data: {\"type\":\"transcript.text.delta\",\"delta\":\""));
	TRY(shape_words(out, a, from, to));
	return buf_printf(out, "\"}\n\n");
}

static int transcript_end(struct answer *a, struct buf *out)
{
	TRY(buf_printf(out, "data: {\"type\":\"transcript.text.done\",\"text\":\""));
	TRY(shape_text(out, a));
	TRY(buf_printf(out, "\""));
	TRY(transcript_usage(out, a));
	return buf_printf(out, "}\n\n");
}

const struct shape shape_images = {images_whole, image_begin, image_content, image_end, NULL, NULL, NULL};
const struct shape shape_speech = {speech_whole, speech_begin, speech_content, speech_end, NULL, "audio/mpeg", NULL};
const struct shape shape_transcriptions = {
    transcript_whole, transcript_begin, transcript_content, transcript_end, NULL, NULL, NULL};
