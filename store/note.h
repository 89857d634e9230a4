/* note.h - what is told to people: events beside budget thresholds (burn rates, forecasts, anomalies,
 * breakers). Written in a transaction of their own, once; told by the room alerts.
 *
 * A note is about an object ("budget:team-a", "model:gpt-x") and has an identity of its own: kind, object, since and
 * part. The same note twice is one row. What goes on for a while is noted when it begins and when it ends. */
#ifndef STORE_NOTE_H
#define STORE_NOTE_H

#include "base/attr.h"
#include "store/store.h"

/* column `action`; below 100 are steps of budgets */
enum note_state { NOTE_BEGAN = 100, NOTE_ENDED = 101 };

struct note {
	const char *kind; /* "spend.anomaly" */
	struct slice object;
	int64_t since_s; /* when it began, or the window it is about */
	int64_t part;    /* tells one from the next at the same instant: a row, a level */
	enum note_state state;
	int64_t at_ns;
	struct slice payload; /* a JSON object */
};
#define NOTE_PAYLOAD_MAX 16384
/* BUR_OK, BUR_ALREADY (it is there), BUR_TOOBIG, BUR_IO. Waits for the writer: control thread, not the data path. */
int store_note(struct store *, const struct note *) NONNULL(1, 2) MUST_USE;

/* The same from a worker, without waiting: written with the next batch; kind and object are copied. The same note twice
 * is one row, so the caller need not remember what it told. BUR_FULL: too many wait (it is counted; tell again at the
 * next chance). BUR_TOOBIG: object over 300 bytes, payload over TELL_PAYLOAD_MAX. */
#define TELL_PAYLOAD_MAX 1024
int store_tell(struct store *, uint32_t worker, const struct note *) NONNULL(1, 3) MUST_USE;

struct note_row {
	int64_t id, at_ns;
	struct slice kind, payload; /* during the visit */
	int64_t object, since_s, part;
	int action;
};
struct note_filter {
	const char *kind;    /* NULL: all, thresholds too */
	struct slice object; /* .p NULL: any; needs a kind */
	int64_t from_ns;     /* told then or later */
	size_t limit;        /* 1..1000 */
};
/* Newest first. visit returns BUR_OK to go on. */
int note_each(struct sqlite3 *, const struct note_filter *, int (*visit)(void *ctx, const struct note_row *), void *ctx)
    NONNULL(1, 2, 3) MUST_USE;
/* How many were told in [from_ns, to_ns], thresholds included; ends do not count. */
int note_count(struct sqlite3 *, int64_t from_ns, int64_t to_ns, int64_t *ret) NONNULL(1, 4) MUST_USE;
/* Was the last that is known of it that it began? *ret_since_s: when. BUR_NOTFOUND: never, or it ended. */
int note_open(struct sqlite3 *, const char *kind, struct slice object, int64_t part, int64_t *ret_since_s)
    NONNULL(1, 2, 5) MUST_USE;

#endif
