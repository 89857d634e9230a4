/* brief.h - an alert in words for people, the same for every channel: which budget, how much of how much, since when,
 * when it runs out, who spends most, what happens next, and what to do. Each channel only lays it out and escapes it.
 *
 * Texts are UTF-8 without control characters, cut to the sizes below on character borders, not escaped for anything. */
#ifndef ALERTS_BRIEF_H
#define ALERTS_BRIEF_H

#include "alerts/alert.h"
#include "base/arena.h"

/* What a message does to its incident. */
enum message_op {
	SAY_FIRE,
	SAY_UPDATE, /* it got worse, or more is known */
	SAY_RESOLVE,
	SAY_ACK, /* somebody takes care of it */
	SAY_ESCALATE,
	SAY_DIGEST, /* what was held back, in one */
	SAY_TEST
};
#define SAY_COUNT 7
const char *message_op_name(enum message_op); /* "firing", "updated", "resolved", "acknowledged", "escalated", "digest",
						 "test": the member `state` of facts */

#define BRIEF_TITLE_MAX 140 /* bytes */
#define BRIEF_TEXT_MAX 2000
#define BRIEF_VALUE_MAX 600
#define BRIEF_FIELDS_MAX 10
#define BRIEF_LINES_MAX 20

struct brief_field {
	const char *label, *value; /* "Spent", "40.12 of 50.00 USD (80.2 %)" */
};
struct brief_action {
	const char *label, *url;
};
struct brief {
	enum message_op op;
	enum severity severity;
	const char *title; /* "Budget search-daily: 80 % used" */
	/* "Budget search-daily (incident 12)": the same for all messages of an incident, for channels that thread by it
	 */
	const char *subject;
	const char *text; /* one to three sentences */
	struct brief_field field[BRIEF_FIELDS_MAX];
	size_t n_fields;
	const char *line[BRIEF_LINES_MAX]; /* the top spenders, or what a digest is of: one line each */
	size_t n_lines;
	const char *lines_title; /* "Who spent most" */
	const char *next;        /* what bursar will do next; "" */
	const char *command;     /* to act on the command line; "" */
	struct brief_action action[3];
	size_t n_actions;
	const char *footer; /* "2026-11-21 08:00 UTC, node-1, incident 12" */
	unsigned color;     /* 0xRRGGBB of the severity; resolved: green */
};

/* BUR_OK, BUR_NOMEM (the arena is full). Everything lives in the arena. */
int brief_make(struct arena *, const json_t *facts, enum message_op, struct brief *ret) NONNULL(1, 2, 4) MUST_USE;

/* Values for users' templates: the facts, and what was made of them as the member `brief`: title, subject, text, fields
 * [{label,value}], lines_title, lines [text], next, command, footer. The caller's to release; NULL: out of memory. */
json_t *brief_values(const json_t *facts, const struct brief *) NONNULL(1, 2) MUST_USE;

/* Helpers for channels: at most max bytes of text (its NUL aside), on a UTF-8 border, with an ellipsis where it was
 * cut; CR, LF and other control characters become spaces. In the arena; NULL: no room. */
const char *brief_cut(struct arena *, const char *text, size_t max) NONNULL(1, 2) MUST_USE;

#endif
