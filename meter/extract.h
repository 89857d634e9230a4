/* extract.h - from JSON tokens of an answer to usage, by tables: one for each vendor API. Internal to the meter room.
 *
 * A table of places (walk.h) says for each key of an answer what its value means: a mark. A word is kept, a flag is
 * raised, a number becomes a raw count, text is measured. The raw a number is kept under says what it includes, so one
 * rule turns the counts of every vendor into the record of usage.h. Three choices (`take`, `final`, `zero`) say how the
 * events of a stream make one answer; two hooks are there for what a table cannot say. A vendor's API is added by such
 * a table and a row in `ops_by_kind` of extract.c.
 *
 * An answer is one or more events (a whole JSON body is one). What an event says is staged and taken over only when the
 * event proved to be complete, valid JSON. Pure; one owner thread. */
#ifndef METER_EXTRACT_H
#define METER_EXTRACT_H

#include "base/attr.h"
#include "base/json.h"
#include "meter/api.h"
#include "meter/counts.h"
#include "meter/tap_text.h"
#include "meter/usage.h"
#include "meter/walk.h"

/* What a value means. */
enum mark {
	MARK_NONE,
	/* words */
	MARK_MODEL,
	MARK_ID,   /* under which the bill is known */
	MARK_FILE, /* of a batch's results */
	MARK_TIER,
	MARK_SPEED,
	MARK_GEO,
	MARK_TYPE, /* of the event */
	MARK_STATUS,
	MARK_PHASE,      /* how far the whole answer is */
	MARK_SIDE_MODEL, /* a second model at work, for as long as the answer lasts */
	MARK_ENTRY_TYPE, /* of one element of a list */
	MARK_ENTRY_MODEL,
	MARK_ENTRY_KEY,
	MARK_LAST_WORD = MARK_ENTRY_KEY,
	/* flags; null raises none */
	MARK_USAGE, /* an object: counts begin anew, for the last of two wins */
	MARK_ITEMS, /* a list: what was found begins anew */
	MARK_PARTS, /* a list of the parts of a usage */
	MARK_ERROR,
	MARK_FINISH,
	MARK_LIST,
	MARK_LIST_ITEM,
	MARK_DONE,    /* true */
	MARK_BYOK,    /* true */
	MARK_METRICS, /* not null */
	MARK_QUERY,   /* a string: one web search */
	/* text that the model wrote */
	MARK_TEXT,
	MARK_SAID, /* plain text of the answer's own words, whose tokens can be counted */
	/* thoughts; some vendors say the same under two or three names at once: of an event the longest counts */
	MARK_THOUGHT,
	MARK_THOUGHT_TWIN,
	MARK_THOUGHT_LIST,
	MARK_DELTA, /* a piece of it, which a later event may repeat as MARK_TEXT */
	MARK_AUDIO, /* base64 */
	MARK_BLOB,  /* base64 */
	/* numbers that are no whole counts */
	MARK_COST,     /* USD */
	MARK_UPSTREAM, /* USD */
	MARK_TICKS,    /* 1e-10 USD */
	MARK_SECONDS,
	MARK_DURATION, /* s, stated outside of the usage */
	/* counts, MARK_x_BASE + raw */
	MARK_COUNT_BASE,                               /* in the usage object */
	MARK_FOUND_BASE = MARK_COUNT_BASE + RAW_COUNT, /* elsewhere; may be in quotes */
	MARK_ENTRY_BASE = MARK_FOUND_BASE + RAW_COUNT, /* in an element of a list */
	MARK_END = MARK_ENTRY_BASE + RAW_COUNT,
};
_Static_assert(MARK_END <= UINT8_MAX, "a mark is an id of walk.h");

/* Rows of the tables: a key whose value has a meaning, opens a place, is a count. */
#define ROW_MARK(name, mark) WALK_KEY(name, mark, 0)
#define ROW_OPEN(name, place) WALK_KEY(name, MARK_NONE, place)
#define ROW_COUNT(name, raw) WALK_KEY(name, MARK_COUNT_BASE + (raw), 0)
#define ROW_FOUND(name, raw) WALK_KEY(name, MARK_FOUND_BASE + (raw), 0)
#define ROW_ENTRY(name, raw) WALK_KEY(name, MARK_ENTRY_BASE + (raw), 0)
/* A place below which every text counts, keys included. */
#define PLACE_TEXT(self)                                                                                               \
	{                                                                                                              \
		NULL, 0, self, MARK_TEXT, MARK_TEXT, self                                                              \
	}
/* A place of no interest in a list whose elements are counted. */
#define PLACE_DEAD                                                                                                     \
	{                                                                                                              \
		NULL, 0, 0, 0, 0, 0                                                                                    \
	}

/* What an answer says of itself besides numbers. */
enum word {
	WORD_MODEL,
	WORD_SIDE_MODEL,
	WORD_TIER,
	WORD_SPEED,
	WORD_GEO,
	WORD_ID,
	WORD_FILE,
	WORD_SESSION,
	WORD_COUNT
};

/* The same in the event at hand; "" when it does not say. */
struct names {
	char model[MODEL_NAME_MAX + 1], side_model[MODEL_NAME_MAX + 1];
	char tier[32], speed[16], geo[16];
	char id[64], file[64];
	char session[64]; /* of code execution, the last one met */
};

#define EXTRACT_SAID_MAX 8
#define EXTRACT_THOUGHTS 3

/* What the event at hand says; and where in it the reader stands. */
struct staged {
	bool usage, error, finish, done, byok, metrics;
	bool list_seen, list_any;
	bool defer; /* what was said is kept in `said` until the event proves to be whole */
	uint8_t n_said;
	uint64_t thought_bytes[EXTRACT_THOUGHTS]; /* by MARK_THOUGHT and its like */
	bool parts_seen;      /* the usage comes in parts: `sum` and `others` say it all, and replace what was said */
	struct counts counts; /* of the usage object */
	/* from here on only `have`, `n` and the first byte of texts are cleared between events */
	struct counts found; /* of the rest */
	struct counts entry; /* of one element of a list */
	struct counts sum;   /* of elements that count beside the totals */
	char type[64], status[24], phase[24], entry_type[32], entry_key[64], entry_model[MODEL_NAME_MAX + 1];
	struct names names;
	struct others others;
	struct walk walk;
	struct counts nowhere;               /* for what there is no memory to keep */
	struct slice said[EXTRACT_SAID_MAX]; /* raw JSON, of the event in memory */
};

/* A value that is no container, or a key that counts as text. */
struct scalar {
	struct slice text; /* of numbers, and of strings whose mark wants it; cut to JSON_CAPTURE_MAX */
	uint64_t length_bytes;
	bool cut;
};

/* How the usage of one event joins that of the earlier ones. */
enum extract_take {
	TAKE_REPLACE, /* a snapshot of all so far */
	TAKE_MERGE,   /* so is each count; one that is absent stands as before */
	TAKE_ADD,     /* it is of this event only */
};

/* When the usage of a stream is final; that of a whole body is when it is there. */
enum extract_final {
	FINAL_USAGE,  /* it comes once, at the end */
	FINAL_TYPE,   /* it stands in an event of a `terminal` type */
	FINAL_FINISH, /* once the answer has finished, in an earlier event or in this one */
	FINAL_HOOK,   /* the hook says so, for whole bodies as well */
};

enum extract_zero {
	ZERO_INPUT = 1,     /* where no input is reported it is 0, once there is usage */
	ZERO_OUTPUT = 2,    /* likewise */
	ZERO_NO_OUTPUT = 4, /* there is no output, usage or not */
	ZERO_BODY = 8,      /* a whole body without usage says that nothing is counted */
	ZERO_RUNS = 16,     /* stands for as many runs as were counted; without any there was nothing to bill */
};

struct extract;

struct extract_ops {
	const struct walk_place *places;
	uint8_t root;
	uint8_t take, final, zero;                    /* enum extract_take, extract_final; bits of extract_zero */
	bool deltas_only;                             /* in a stream text counts as MARK_DELTA only */
	const char *const *terminal;                  /* types, NULL at the end */
	void (*end)(struct extract *, uint8_t place); /* a place was closed; or NULL */
	void (*commit)(struct extract *);             /* the event was whole; before it is taken over; or NULL */
};

/* Streams stay open for long and by the thousands: what an event needs is lent, and what an answer may tell takes
 * memory when it does. Where there is none the answer counts as not understood (`lost`). */
struct extract {
	const struct extract_ops *ops;
	enum api_kind kind;
	bool stream;
	struct staged
	    *ev; /* lent by the owner for as long as an event is read; its contents need not be kept between */
	uint64_t output_bytes;
	struct tap_text *text; /* counts what was said, exactly; NULL: nobody asked for it. The owner's */
	uint64_t text_bytes;   /* of output_bytes: what went to `text` */
	/* what is known: taken over from complete events */
	struct counts *head; /* what the answer's head said; the body knows better */
	struct counts *counts, *found, *sum;
	struct others *others;
	char *words[WORD_COUNT];
	uint64_t opaque_bytes;
	uint64_t call_input; /* the largest of those of several runs */
	uint64_t open_runs;  /* begun and not ended, in an answer of several runs */
	bool usage_seen, finish_seen, started, final, fatal, error_seen, lost;
};

/* `ev` stays unset. */
void extract_init(struct extract *, enum api_kind, bool stream) NONNULL(1);
void extract_done(struct extract *) NONNULL(1);
/* A field of the answer's head, before the body: some vendors count there (Bedrock, Fireworks). Any name may come. */
void extract_header(struct extract *, struct slice name, struct slice value) NONNULL(1);
/* Before each event; readies the reader as well. */
void extract_event_begin(struct extract *, struct json_reader *) NONNULL(1, 2);
/* The short way, instead of extract_event_begin and the tokens: p[0..n) is a whole event and an object. False: nothing
 * was done, the reader must look at it. */
bool extract_whole(struct extract *, const char *p, size_t n) NONNULL(1, 2) MUST_USE;
/* After extract_event_begin: what the framing calls this event (`:event-type` of an AWS event stream). An exception is
 * the vendor's error inside a 200 answer. */
void extract_event_name(struct extract *, struct slice name, bool exception) NONNULL(1);
/* Every token of the event. True: nothing matters up to the next one, for the reader skips the container just begun. */
bool extract_token(struct extract *, struct json_reader *, enum json_token) NONNULL(1, 2);
/* The event was whole: take it over. */
void extract_commit(struct extract *) NONNULL(1);
/* The event was no valid JSON. To be called where each one is a bill of its own (lines of results, frames). */
void extract_event_lost(struct extract *) NONNULL(1);
/* One object of a JSON array answer was whole: take it over and go on with the next. */
void extract_element_end(struct extract *) NONNULL(1);
/* "[DONE]" */
void extract_done_marker(struct extract *) NONNULL(1);
/* Bytes of a body that is no JSON (audio, subtitles). */
void extract_opaque(struct extract *, size_t n) NONNULL(1);
/* Tokens of the output that was seen: what is counted by its text, the rest as bytes. `exact`: the last piece, which
 * may go on, is counted as well, else it is taken as bytes. */
uint64_t extract_counted(const struct extract *, bool exact) NONNULL(1);
/* Output that the vendor itself has told so far, and whether that is final. */
uint64_t extract_reported(const struct extract *, bool *ret_final) NONNULL(1, 2);
/* `clean`: the body ended as framed. */
void extract_result(const struct extract *, bool clean, struct usage *ret) NONNULL(1, 3);

/* --- for the hooks of the tables ---------------------------------------------------------------------------------- */

static inline bool event_is(const struct extract *x, const char *type)
{
	return strcmp(x->ev->type, type) == 0;
}
static inline bool entry_is(const struct extract *x, const char *type)
{
	return strcmp(x->ev->entry_type, type) == 0;
}
static inline bool is_thought(uint8_t mark)
{
	return mark >= MARK_THOUGHT && mark <= MARK_THOUGHT_LIST;
}
/* How much of an event's thoughts there is, whatever they are called. */
static inline uint64_t thoughts_most(const uint64_t bytes[EXTRACT_THOUGHTS])
{
	uint64_t most = bytes[0] > bytes[1] ? bytes[0] : bytes[1];

	return most > bytes[2] ? most : bytes[2];
}
/* Counts that may not have been made yet, for reading. */
static inline const struct counts *counts_or_none(const struct counts *c)
{
	static const struct counts none;

	return c ? c : &none;
}
/* One of the known counts, for writing; to be used at once. */
struct counts *extract_known(struct extract *, struct counts **) NONNULL(1, 2);
/* As others_add and others_sum, to what is known. */
void extract_add_other(struct extract *, const char *model, const char *role, const struct counts *)
    NONNULL(1, 2, 3, 4);
void extract_add_others(struct extract *, const struct others *) NONNULL(1, 2);
/* What is known; "" when it is not. */
static inline const char *extract_word(const struct extract *x, enum word w)
{
	return x->words[w] ? x->words[w] : "";
}
/* The element of a list is over. */
void extract_entry_clear(struct extract *) NONNULL(1);
extern const struct extract_ops extract_chat, extract_responses;                          /* usage_openai.c */
extern const struct extract_ops extract_embeddings, extract_moderations, extract_images;  /* usage_media.c */
extern const struct extract_ops extract_speech, extract_transcriptions;                   /* usage_media.c */
extern const struct extract_ops extract_batch, extract_batch_results;                     /* usage_batch.c */
extern const struct extract_ops extract_realtime;                                         /* usage_realtime.c */
extern const struct extract_ops extract_messages;                                         /* usage_anthropic.c */
extern const struct extract_ops extract_generate, extract_embed_content, extract_predict; /* usage_gemini.c */
extern const struct extract_ops extract_interactions;                                     /* usage_gemini.c */
extern const struct extract_ops extract_converse, extract_invoke;                         /* usage_bedrock.c */
extern const struct extract_ops extract_cohere;                                           /* usage_cohere.c */
extern const struct extract_ops extract_ocr;                                              /* usage_mistral.c */
extern const struct extract_ops extract_ollama;                                           /* usage_ollama.c */

#endif
