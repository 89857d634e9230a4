/* sentence.h - what is said of an alert: what it is about, how it stands, and one to three sentences. All from its
 * facts; whatever is missing there is not said. Pure; any thread. */
#ifndef ALERTS_SENTENCE_H
#define ALERTS_SENTENCE_H

#include "alerts/brief.h"
#include "alerts/words.h"

/* What facts say in figures. Times are unix seconds, 0 when not known. */
struct figures {
	const char *unit;           /* "USD", "tokens", "requests" */
	bool limited;               /* limit, spent and held mean something */
	int64_t limit, spent, held; /* in the unit, money in nano-USD */
	double ratio;               /* of the limit; what is held counts where the budget counts it */
	int64_t at_s, since_s;
	int64_t start_s, end_s; /* of the window; 0: it has none */
	const char *window; /* "day", "month", "window": what begins and ends; "" for one that slides or never ends */
	int64_t rate;       /* in the unit, an hour; 0: not known */
	int64_t runs_out_s;
};
void figures_read(const json_t *facts, struct figures *ret) NONNULL(2);
/* "40.12 of 50.00 USD (80.2 %)" */
void figures_used(const struct figures *, struct text *) NONNULL(1, 2);

bool figures_full(const struct figures *) NONNULL(1); /* nothing is left beside what running calls hold */

/* RFC 3339 text of a member to unix seconds; 0: absent or no time. */
int64_t fact_time_s(const json_t *facts, const char *name) NONNULL(2);
/* The member as a name that is safe in a line of ours; "" when absent. Returns dst. */
char *fact_words(const json_t *facts, const char *name, char dst[WORDS_NAME_MAX]) NONNULL(2, 3);

/* "Budget search-daily, user ann": the same for all messages of an incident. */
void sentence_thing(const json_t *facts, struct text *) NONNULL(2);
/* "Budget search-daily: 80 % used", "Resolved: Budget search-daily" */
void sentence_title(const json_t *facts, enum message_op, struct text *) NONNULL(3);
void sentence_text(const json_t *facts, enum message_op, struct text *) NONNULL(3);

#endif
