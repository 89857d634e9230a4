/* event.h - an event of the store as an alert: its type, the incident it belongs to, and its facts. Pure but for what
 * the caller's `describe` knows. */
#ifndef ALERTS_EVENT_H
#define ALERTS_EVENT_H

#include "alerts/alert.h"
#include "alerts/alerts.h"
#include "store/alerts.h"

struct event {
	int64_t id, at_ns, part;
	const struct alert_type *type; /* a threshold at 100 % or above is budget.exceeded */
	bool ends;                     /* the incident, or by_part this part of it */
	char key[DEDUP_KEY_LEN + 1];
	json_t *facts; /* without what depends on the incident: id, state, since, incident, links */
	enum severity severity;
	double threshold; /* 0: it is about none */
	bool crossing;    /* of a threshold that only tells, not of a step that changes calls */
	int64_t ends_ns;  /* the incident is over by itself then, if nothing more is heard; 0: it does not say */
	uint64_t route;   /* set by the caller */
};

/* A budget's incident ends by itself this long after its window, should nobody tell of the new one. */
#define EVENT_WINDOW_GRACE_S 90
/* What an event carries beside the members that are known, at most. */
#define EVENT_DETAILS_MAX 8192

/* BUR_OK: the facts are the caller's. BUR_NOTFOUND: nobody is told of such events. BUR_NOMEM. */
int event_read(const struct alerts_config *, const struct alerts_deps *, const struct event_row *, struct event *ret)
    NONNULL(1, 2, 3, 4) MUST_USE;
/* facts.severity and facts.level. */
int event_set_severity(json_t *facts, enum severity) NONNULL(1) MUST_USE;
json_t *event_time(int64_t unix_ns) MUST_USE; /* RFC 3339, UTC, milliseconds; null for 0; NULL: no memory */

/* A sentence made like printf, cut to EVENT_WORDS_MAX bytes on a character's border. NULL: no memory, or not UTF-8. */
#define EVENT_WORDS_MAX 600
json_t *event_words(const char *fmt, ...) NONNULL(1) PRINTF_LIKE(1, 2) MUST_USE;

#endif
