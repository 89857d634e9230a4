/* stops.h - kill switches: what is stopped, by whom, since when, and why; as an immutable counted snapshot.
 *
 * While nothing is stopped there is no set at all (NULL), so that a call pays one test of a pointer. Pure; a set is
 * built once and then read by any thread. Units: Unix ns. */
#ifndef POLICY_STOPS_H
#define POLICY_STOPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "policy/budget.h"

#define STOPS_MAX 4096 /* in one set */
#define STOP_VALUE_MAX 255
#define STOP_REASON_MAX 200
#define STOP_ACTOR_MAX 100

/* A plain fact (enum fact, the same numbers), or everything. */
#define STOP_EVERYTHING FACT_COUNT

struct stop {
	int what;          /* enum fact below FACT_COUNT, or STOP_EVERYTHING */
	const char *value; /* "" for everything; equal, or with one trailing '*' a prefix */
	const char *reason, *actor;
	int64_t since_ns;
	bool cut; /* calls that run were ended too */
};
#define STOP_SENTENCE_MAX 700
/* For people: "calls of key ann were stopped by ops on 2026-11-21T10:00:00Z: leaked". Ends with a NUL. */
void stop_sentence(const struct stop *, char dst[STOP_SENTENCE_MAX]) NONNULL(1, 2);
/* "key", "everything". */
const char *stop_word(int what);
/* BUR_INVALID: no such word. */
int stop_parse(struct slice word, int *ret) NONNULL(2) MUST_USE;

struct stop_set;
/* Copies all; a later one of the same (what, value) wins. NULL: out of memory, or more than STOPS_MAX. */
struct stop_set *stop_set_new(const struct stop *, size_t n) MUST_USE;
struct stop_set *stop_set_ref(struct stop_set *); /* NULL is fine, as for unref */
void stop_set_unref(struct stop_set *);
size_t stop_set_len(const struct stop_set *); /* NULL: 0 */
const struct stop *stop_set_at(const struct stop_set *, size_t i) NONNULL(1);
/* The one that is written exactly so, or NULL. */
const struct stop *stop_set_get(const struct stop_set *, int what, struct slice value);
/* What stops a call of these facts, or NULL. A fact that is not known is stopped by nothing but everything.
 * only_cut: looks at those alone that end running calls. */
const struct stop *stop_set_find(const struct stop_set *, const struct facts *, bool only_cut) NONNULL(2);

#endif
