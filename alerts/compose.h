/* compose.h - what the chat and paging channels share: texts cut to a size after their escaping, payloads of users' own
 * templates, edited messages, and the few words of an answer that matter. Pure; any thread. */
#ifndef ALERTS_COMPOSE_H
#define ALERTS_COMPOSE_H

#include "alerts/channel.h"
#include "alerts/template.h"

/* --- texts -------------------------------------------------------------------------------------------------------- */

/* The text escaped and at most max bytes long then, cut on a character's border (never within an escape) with an
 * ellipsis. In the arena; NULL: no room. Limits that peers state in characters are kept in bytes. */
const char *compose_text(struct arena *, enum escape, const char *text, size_t max) NONNULL(1, 3) MUST_USE;
/* For between three back-quotes, where nothing can be escaped: "" when it would end them, for a command must be shown
 * as it is or not at all. */
const char *compose_code(struct arena *, enum escape, const char *text, size_t max) NONNULL(1, 3) MUST_USE;
/* Some of the brief's lines, one to a row with a bullet, together at most max bytes; "" when there are none. */
const char *compose_lines(struct arena *, enum escape, const struct brief *, size_t each, size_t max)
    NONNULL(1, 3) MUST_USE;

/* The whole message as plain lines, the most important first, at most max bytes: what does not fit is left out. */
const char *compose_plain(struct arena *, enum escape, const struct message *, size_t max) NONNULL(1, 3) MUST_USE;

const char *compose_sign(const struct message *) NONNULL(1); /* one emoji for the severity or what became of it */
const char *compose_word(const struct message *) NONNULL(1); /* "Warning", "Resolved" */
bool compose_is_short(const struct message *) NONNULL(1);    /* says only that something changed: no advice, no top */
/* May be put behind a button: http(s), nothing that ends a link in some syntax; at most COMPOSE_URL_MAX bytes. */
#define COMPOSE_URL_MAX 1000
bool compose_url_ok(const char *url);

#define COMPOSE_TIME_MAX 32
/* "2026-11-21T08:00:00.000" and the text of the zone: "Z", "+0000". */
char *compose_time(int64_t unix_ns, const char *zone, char dst[COMPOSE_TIME_MAX]) NONNULL(2, 3);

/* --- payloads ----------------------------------------------------------------------------------------------------- */

typedef json_t *compose_fn(const struct channel *, const struct message *, struct arena *, size_t cap);
/* Asks for the payload with shorter and shorter texts, `cap` bytes each, until it is at most max_bytes of JSON. NULL:
 * no memory. */
json_t *compose_fitting(compose_fn *make, const struct channel *c, const struct message *m, struct arena *arena,
			size_t max_bytes) NONNULL(1, 2, 3, 4) MUST_USE;
/* The user's own template of the payload, filled in. NULL: there is none, it made no JSON object, or its form was
 * refused (message.plain): then ours is sent, because an alert in another form is better than none. */
json_t *compose_own(const struct channel *, const struct message *, enum escape) NONNULL(1, 2) MUST_USE;
/* POST of that JSON to the URL; takes the body over. BUR_OK, BUR_NOMEM. */
int compose_post(struct request *, const char *url, json_t *body) NONNULL(1) MUST_USE;
/* `url` with `path` behind it, unless it ends so already. NULL: no room. */
const char *compose_url(struct arena *, const char *url, const char *path) NONNULL(1, 2, 3) MUST_USE;

/* --- messages that are edited ------------------------------------------------------------------------------------- */

/* Keeps the peer's name of the message, and how bad it was when people were last disturbed by it: "<name> 2". */
void compose_keep(struct verdict *, const struct message *, const char *name, enum severity) NONNULL(1, 2, 3);
/* The name that was kept; false: none. */
bool compose_kept(const struct message *, char *dst, size_t size) NONNULL(1, 2);
/* The message is no more: as OUTCOME_MORE, the next step has nothing to edit and posts anew. */
void compose_gone(struct verdict *) NONNULL(1);
enum severity compose_kept_severity(const struct message *) NONNULL(1); /* info when nothing was kept */
/* Worth a line of its own beside the edited message, because edits disturb nobody. */
bool compose_is_news(const struct message *) NONNULL(1);

/* --- answers ------------------------------------------------------------------------------------------------------ */

#define COMPOSE_WORDS_MAX 121
/* The beginning of the answer on one line, for people; "nothing" when it is empty. */
char *compose_words(const struct answer *, char dst[COMPOSE_WORDS_MAX]) NONNULL(1, 2);
/* A member of the answer's outermost object, as text ("true", numbers); "" when it has none. Answers are cut at
 * ANSWER_BODY_MAX: what comes after that is not there. Returns dst. */
char *compose_answer(const struct answer *, const char *name, char *dst, size_t size) NONNULL(1, 2, 3);
/* As verdict_http; what is refused with a status that no channel knows better will be refused again: dead. And a
 * success that is not the one the peer is known for is none: `peer` is its name. */
void compose_http(const struct answer *, const char *peer, struct verdict *) NONNULL(1, 2, 3);
void compose_verdict(struct verdict *, enum outcome, const char *fmt, ...) NONNULL(1, 3) PRINTF_LIKE(3, 4);

#endif
