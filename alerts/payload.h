/* payload.h - what channels to machines share: facts that fit, what they are about in one word, the words of the cost
 * API, and signing in.
 * Pure; any thread. */
#ifndef ALERTS_PAYLOAD_H
#define ALERTS_PAYLOAD_H

#include "alerts/channel.h"

/* The facts with `state` as this message says, as compact JSON at most max_bytes long: long texts are cut, then the
 * least important members go; `truncated` tells of it. A new reference; NULL: no memory. */
json_t *payload_facts(const struct message *, size_t max_bytes) NONNULL(1) MUST_USE;
/* The fields that an alert of the cost API has: alert_level, period_type, period_key, current_cost, budget_limit,
 * percentage_used, threshold_percentage, timestamp, metadata; what people's templates for it name. A new reference;
 * NULL: no memory. */
json_t *payload_cost_alert(const struct message *) NONNULL(1) MUST_USE;

/* "key:ci-bot", "global", "budget:search-daily": at most max bytes on one line. In the arena; NULL: no room. */
const char *payload_subject(struct arena *, const json_t *facts, size_t max) NONNULL(1, 2) MUST_USE;
/* `Authorization` of a token, or of a name and password; nothing when all are NULL. BUR_OK, BUR_INVALID, BUR_FULL,
 * BUR_NOMEM. */
int payload_sign_in(struct request *, const char *bearer, const char *user, const char *password) NONNULL(1) MUST_USE;

/* RFC 3339 in UTC with milliseconds; "0001-01-01T00:00:00Z" of 0. */
#define PAYLOAD_TIME_MAX 32
char *payload_time(int64_t unix_ns, char dst[PAYLOAD_TIME_MAX]) NONNULL(2);
/* A member that is such a time, or the event's own time when it has none. */
int64_t payload_time_ns(const struct message *, const char *member) NONNULL(1, 2);
bool payload_is_over(const struct message *) NONNULL(1); /* it tells of the end */

#endif
