/* usage_openai.h - places in answers of OpenAI's shape: its own APIs, and those of all vendors that speak it. Internal
 * to the meter room. */
#ifndef METER_USAGE_OPENAI_H
#define METER_USAGE_OPENAI_H

#include "meter/extract.h"

enum openai_place {
	PL_IGNORE = WALK_IGNORE,
	/* the usage object, of every generation */
	PL_USAGE,
	PL_INPUT_DETAILS,
	PL_CACHED_DETAILS,
	PL_OUTPUT_DETAILS,
	PL_COST,
	PL_COST_DETAILS,
	PL_SERVER_TOOLS,
	PL_CONNECTORS,
	/* text in many forms */
	PL_DELTA,
	PL_CALLS,
	PL_CALL,
	PL_FUNCTION,
	PL_AUDIO,
	PL_WHOLE,
	PL_PARTS,
	PL_PART,
	PL_THOUGHTS,
	PL_THOUGHT,
	/* chat completions, completions, embeddings, moderations */
	PL_CHAT,
	PL_CHOICES,
	PL_CHOICE,
	PL_X_GROQ,
	PL_PERF_METRICS,
	/* a response, or an event of its stream */
	PL_EVENT,
	PL_RESPONSE,
	PL_OUTPUT,
	PL_ITEM,
	PL_ACTION,
	/* a socket: events of responses, and what only realtime has */
	PL_SOCKET,
	PL_SESSION,
	PL_SESSION_AUDIO,
	PL_SESSION_INPUT,
	PL_TRANSCRIPTION,
	/* pictures, speech, transcripts */
	PL_MEDIA,
	PL_DATA,
	PL_DATUM,
	/* a batch, and a line of its results */
	PL_BATCH,
	PL_REQUEST_COUNTS,
	PL_LINE,
	PL_LINE_RESPONSE,
	PL_LINE_BODY,
	PL_LINE_RESULT,
	PL_LINE_MESSAGE,
	PL_MESSAGE_USAGE,
	PL_CACHE_CREATION,
	PL_MESSAGE_DETAILS,
	PL_ITERATIONS,
	PL_ITERATION,
	PL_ITERATION_CREATION,
};

extern const struct walk_place openai_places[];

/* The hook for tables with PL_ITEM or PL_ITERATION: adds to what was found what an item costs beside its tokens. */
void openai_end(struct extract *, uint8_t place) NONNULL(1);

#endif
