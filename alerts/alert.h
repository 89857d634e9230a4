/* alert.h - what can be told: severities, the table of types, and the facts of one alert.
 *
 * The facts of an alert are one JSON object, its members listed in docs/alerts.md: webhooks get it as it is, templates
 * take their values from it, and the texts for people (brief.h) are made of it alone. Pure; any thread. */
#ifndef ALERTS_ALERT_H
#define ALERTS_ALERT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

enum severity { SEVERITY_INFO, SEVERITY_WARNING, SEVERITY_ERROR, SEVERITY_CRITICAL };
#define SEVERITY_COUNT 4
const char *severity_name(enum severity);  /* "info", "warning", "error", "critical" */
const char *severity_level(enum severity); /* the same in the words of the cost API: info warning critical exceeded */
int severity_parse(struct slice, enum severity *ret) NONNULL(2) MUST_USE; /* either word; BUR_INVALID */

/* A kind of event: what the column `kind` of the store's events says. */
struct alert_type {
	const char *name; /* "budget.threshold" */
	/* Events of one family about one thing belong to one incident; NULL: it is part of the history and nobody is
	 * told. */
	const char *family;
	enum severity severity; /* when the event does not say */
	bool ends;              /* it ends the family's incident */
	/* An incident that no event ends is over when nothing was heard of it for so long; 0: only an event ends it. */
	int64_t quiet_s;
	const char *title; /* "Budget threshold reached" */
	/* Several may go on about one thing at once, told apart by the event's part: it is over when the last is. */
	bool by_part;
};
const struct alert_type *alert_types(size_t *ret_n) NONNULL(1);
const struct alert_type *alert_type_find(struct slice name); /* NULL: unknown */

#define DEDUP_KEY_LEN 32
/* The first 32 hex digits of SHA-256("family|scope|budget|window_start"). */
void alert_dedup_key(const char *family, struct slice scope, struct slice budget, int64_t window_start,
		     char ret[DEDUP_KEY_LEN + 1]) NONNULL(1, 5);

/* Members of facts; "" and 0 when absent or of another type. The text lives as long as the facts. */
const char *fact_text(const json_t *facts, const char *name) NONNULL(2);
int64_t fact_int(const json_t *facts, const char *name) NONNULL(2);
double fact_real(const json_t *facts, const char *name) NONNULL(2);
enum severity fact_severity(const json_t *facts);

#endif
