/* extract.h - from JSON tokens of an answer to usage: one small table per vendor API. Internal to the meter room.
 *
 * An answer is one or more events (a whole JSON body is one). What an event says is staged and taken over only when the
 * event proved to be complete, valid JSON. Pure; one owner thread. */
#ifndef METER_EXTRACT_H
#define METER_EXTRACT_H

#include "base/attr.h"
#include "base/json.h"
#include "meter/api.h"
#include "meter/usage.h"
#include "meter/walk.h"

/* Counts as reported, before normalising. Each is a bit in `have`. */
enum raw {
	RAW_INPUT,
	RAW_OUTPUT,
	RAW_CACHED,
	RAW_CACHE_WRITE,
	RAW_CACHE_WRITE_1H,
	RAW_REASONING,
	RAW_TOOL_INPUT,
	RAW_AUDIO_IN,
	RAW_CACHED_AUDIO,
	RAW_AUDIO_OUT,
	RAW_IMAGE_IN,
	RAW_IMAGE_OUT,
	RAW_WEB,
	RAW_FILES,
	RAW_COUNT,
};

/* Only what `have` names is set. */
struct counts {
	uint32_t have;
	uint64_t n[RAW_COUNT];
};

/* What an answer says of itself besides numbers; "" when it does not. */
struct names {
	char model[MODEL_NAME_MAX + 1];
	char tier[16], speed[16], geo[16];
	char id[64];
};

/* What the event at hand says. */
struct staged {
	bool usage;  /* a usage object, not null */
	bool finish; /* finish_reason, stop_reason, finishReason, promptFeedback */
	bool error;
	bool list_seen, list_any; /* choices: present; not empty */
	bool entry_other;         /* the element's action is named and is none that counts */
	bool sum_seen;
	uint64_t web, files;
	/* from here on only `have` and the first byte of texts are cleared between events */
	struct counts counts;
	struct counts entry; /* one element of a list inside the usage */
	struct counts sum;   /* of such elements that count beside the totals */
	char type[40], entry_type[24];
	struct names names;
};

/* A value that is no container, or a key that counts as text. */
struct scalar {
	struct slice text; /* of numbers, and of strings whose id wants it; cut to JSON_CAPTURE_MAX */
	uint64_t length_bytes;
	bool cut;
};

struct extract;

struct extract_ops {
	const struct walk_place *places;
	const bool *wants_text; /* by id */
	uint8_t root;
	void (*begin)(struct extract *, uint8_t id, bool object);
	void (*end)(struct extract *, uint8_t place);
	void (*scalar)(struct extract *, uint8_t id, enum json_token, const struct scalar *);
	void (*commit)(struct extract *);
};

struct extract {
	const struct extract_ops *ops;
	enum api_kind kind;
	struct walk walk;
	struct staged ev;
	struct counts head; /* what the answer's head said; the body knows better */
	uint64_t opaque_bytes;
	/* taken over from complete events */
	struct counts counts, sum;
	uint64_t items_web, items_files; /* finished items of a stream, until the final event counts them all */
	uint64_t output_bytes;
	bool stream, usage_seen, finish_seen, started, final, fatal, error_seen;
	struct names names;
};

void extract_init(struct extract *, enum api_kind, bool stream) NONNULL(1);
/* Before each event; readies the reader as well. */
void extract_event_begin(struct extract *, struct json_reader *) NONNULL(1, 2);
/* The short way, instead of extract_event_begin and the tokens: p[0..n) is a whole event and an object. False: nothing
 * was done, the reader must look at it. */
bool extract_whole(struct extract *, const char *p, size_t n) NONNULL(1, 2) MUST_USE;
/* A field of the answer's head, before the body: some vendors count there (Bedrock, Fireworks). Any name may come. */
void extract_header(struct extract *, struct slice name, struct slice value) NONNULL(1);
/* After extract_event_begin: what the framing calls this event (`:event-type` of an AWS event stream). An exception is
 * the vendor's error inside a 200 answer. */
void extract_event_name(struct extract *, struct slice name, bool exception) NONNULL(1);
/* Every token of the event. True: nothing matters up to the next one, for the reader skips the container just begun. */
bool extract_token(struct extract *, struct json_reader *, enum json_token) NONNULL(1, 2);
/* The event was whole: take it over. */
void extract_commit(struct extract *) NONNULL(1);
/* One object of a JSON array answer was whole: take it over and go on with the next. */
void extract_element_end(struct extract *) NONNULL(1);
/* "[DONE]" */
void extract_done_marker(struct extract *) NONNULL(1);
/* Bytes of a body that is no JSON (audio, subtitles). */
void extract_opaque(struct extract *, size_t n) NONNULL(1);
void extract_result(const struct extract *, struct usage *ret) NONNULL(1, 2);

/* For the vendors' tables. */
void extract_set(struct counts *, enum raw, const struct scalar *) NONNULL(1, 3); /* bad numbers are not reported */
void extract_add(struct counts *, enum raw, uint64_t) NONNULL(1);
void extract_merge(struct counts *, const struct counts *newer) NONNULL(1, 2);
void extract_word(char *dst, size_t dst_size, const struct scalar *) NONNULL(1, 3);
static inline void extract_text(struct extract *x, const struct scalar *s)
{
	x->output_bytes += s->length_bytes;
}

extern const struct extract_ops extract_chat, extract_responses, extract_messages, extract_generate;

#endif
