/* Vectors, judgements, pictures and sound, in OpenAI's shape. */
#include "meter/usage_openai.h"

static void end_media(struct extract *x, uint8_t place)
{
	if (place == PL_DATUM && x->kind == API_IMAGES)
		counts_add(&x->ev->found, RAW_IMAGES, 1);
}

/* Output of these models is pictures unless details say otherwise. Each finished picture of a stream has its usage. */
static void commit_images(struct extract *x)
{
	struct staged *ev = x->ev;

	if (event_is(x, "image_generation.completed") || event_is(x, "image_edit.completed"))
		counts_add(&ev->found, RAW_IMAGES, 1);
	if (ev->usage && counts_have(&ev->counts, RAW_OUTPUT) && !counts_have(&ev->counts, RAW_IMAGE_OUT))
		counts_set(&ev->counts, RAW_IMAGE_OUT, ev->counts.n[RAW_OUTPUT]);
}

static void commit_speech(struct extract *x)
{
	if (x->ev->usage && counts_have(&x->ev->counts, RAW_OUTPUT))
		counts_set(&x->ev->counts, RAW_AUDIO_OUT, x->ev->counts.n[RAW_OUTPUT]);
}

/* Usage is tokens, or a duration and then no tokens; some vendors only state the duration, beside the text. */
static void commit_transcriptions(struct extract *x)
{
	struct staged *ev = x->ev;

	if (!ev->usage && counts_have(&ev->entry, RAW_AUDIO_MS)) {
		counts_set(&ev->counts, RAW_AUDIO_MS, ev->entry.n[RAW_AUDIO_MS]);
		ev->usage = true;
	}
	if (ev->usage && counts_have(&ev->counts, RAW_AUDIO_MS)) {
		counts_set(&ev->counts, RAW_INPUT, counts_get(&ev->counts, RAW_INPUT));
		counts_set(&ev->counts, RAW_OUTPUT, counts_get(&ev->counts, RAW_OUTPUT));
	}
}

static const char *const images_done[] = {"image_generation.completed", "image_edit.completed", NULL};
static const char *const speech_done[] = {"speech.audio.done", NULL};
static const char *const transcript_done[] = {"transcript.text.done", "transcription.done", NULL};

const struct extract_ops extract_embeddings = {
    .places = openai_places,
    .root = PL_CHAT,
    .take = TAKE_REPLACE,
    .final = FINAL_USAGE,
    .zero = ZERO_NO_OUTPUT,
};
const struct extract_ops extract_moderations = {
    .places = openai_places,
    .root = PL_CHAT,
    .take = TAKE_REPLACE,
    .final = FINAL_USAGE,
    .zero = ZERO_INPUT | ZERO_OUTPUT | ZERO_BODY,
};
const struct extract_ops extract_images = {
    .places = openai_places,
    .root = PL_MEDIA,
    .take = TAKE_ADD,
    .final = FINAL_TYPE,
    .zero = ZERO_INPUT | ZERO_OUTPUT | ZERO_BODY,
    .terminal = images_done,
    .end = end_media,
    .commit = commit_images,
};
const struct extract_ops extract_speech = {
    .places = openai_places,
    .root = PL_MEDIA,
    .take = TAKE_REPLACE,
    .final = FINAL_TYPE,
    .terminal = speech_done,
    .commit = commit_speech,
};
const struct extract_ops extract_transcriptions = {
    .places = openai_places,
    .root = PL_MEDIA,
    .take = TAKE_REPLACE,
    .final = FINAL_TYPE,
    .terminal = transcript_done,
    .commit = commit_transcriptions,
};
