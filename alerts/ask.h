/* ask.h - what answers about alerts are made of: rows of the store as JSON. Internal to the room. */
#ifndef ALERTS_ASK_H
#define ALERTS_ASK_H

#include <jansson.h>

#include "alerts/core.h"
#include "store/alerts.h"

/* Every function that gives JSON gives NULL only when out of memory. */

json_t *ask_text(struct slice) MUST_USE;         /* bad UTF-8 is replaced */
json_t *ask_time(int64_t unix_ns) MUST_USE;      /* RFC 3339 UTC, seconds; null for 0 */
json_t *ask_facts(struct slice) MUST_USE;        /* an object, empty when the text is none */
const char *ask_state(enum incident_state);      /* "firing", "acknowledged", "resolved" */
const char *ask_outbox_state(enum outbox_state); /* "queued" ... */

/* An incident as cost-endpoints B5.5 lists it, with members of ours beside; and as C3.4 does. */
json_t *ask_alert(const struct incident *) NONNULL(1) MUST_USE;
json_t *ask_cost_alert(const struct incident *) NONNULL(1) MUST_USE;
const char *ask_provider(const json_t *facts); /* "" when it is about none */
/* One message to one channel. */
json_t *ask_message(const struct outbox_row *) NONNULL(1) MUST_USE;
json_t *ask_try(const struct delivery_try *) NONNULL(1) MUST_USE;
json_t *ask_mute(const struct mute *) NONNULL(1) MUST_USE;

/* Facts as those of a real alert, for a preview of `type`, "digest" or "escalation"; NULL: nobody is told of such (or
 * out of memory). */
json_t *ask_sample(struct alerts *, const char *type, enum message_op *ret_op) NONNULL(1, 2, 3) MUST_USE;

/* What was asked, and how it is refused. */
struct ask {
	struct alerts *a;
	const json_t *in;
	json_t **ret;
	const char **ret_field;
	char *err;
	size_t err_size;
};
/* Says what is wrong with the field; BUR_INVALID. */
int ask_refuse(struct ask *, const char *field, const char *fmt, ...) NONNULL(1, 2, 3) PRINTF_LIKE(3, 4);
/* A text member, "" when absent; a number where a text is wanted is refused. BUR_OK, BUR_INVALID. */
int ask_read_text(struct ask *, const char *name, size_t max, const char **ret) NONNULL(1, 2, 4) MUST_USE;
/* A whole number above 0. BUR_NOTFOUND: it is none. */
int ask_read_id(struct ask *, const char *name, int64_t *ret) NONNULL(1, 2, 3) MUST_USE;
int ask_read_limit(struct ask *, size_t *ret) NONNULL(1, 2) MUST_USE;
/* Is there a channel or group of this name? NULL or "" matches all. */
bool ask_channel_is(const struct channel *, const char *name) NONNULL(1);
int ask_check_channel(struct ask *, const char *name) NONNULL(1) MUST_USE;

/* Answers that are long enough for a file of their own. */
int ask_list(struct ask *) NONNULL(1) MUST_USE;
int ask_show(struct ask *) NONNULL(1) MUST_USE;
int ask_outbox(struct ask *) NONNULL(1) MUST_USE;
int ask_channels(struct ask *) NONNULL(1) MUST_USE;
int ask_stats(struct ask *) NONNULL(1) MUST_USE;
int ask_dashboard(struct ask *) NONNULL(1) MUST_USE;
int ask_test(struct ask *) NONNULL(1) MUST_USE;
int ask_test_result(struct ask *) NONNULL(1) MUST_USE;
int ask_preview(struct ask *) NONNULL(1) MUST_USE;

#endif
