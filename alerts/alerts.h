/* alerts.h - who is told: reads the events that the store keeps, opens and closes incidents, and delivers messages to
 * channels, each once, over any crash.
 *
 *   event (store) -> incident -> outbox row for each channel -> request -> answer -> sent, again later, or dead
 *
 * Each arrow is one transaction of the store (store/alerts.h). Everything runs on the control thread in small pieces; a
 * channel that hangs delays only itself. */
#ifndef ALERTS_ALERTS_H
#define ALERTS_ALERTS_H

#include <jansson.h>

#include "alerts/rule.h"
#include "base/buf.h"

struct alerts;
struct loop;
struct store;

struct alerts_deps {
	struct store *store;
	struct loop *loop;
	/* What is known beside the event, added to its facts. `describe` is cheap and runs for each event: labels,
	 * unit, window, limit, severity of budgets. `figures` may read the ledger and runs when a message is really
	 * queued: rate, runs_out_at, top, next, command. Either may be NULL. */
	void (*describe)(void *ctx, json_t *facts);
	void (*figures)(void *ctx, json_t *facts);
	void *ctx;
	const unsigned char *link_secret; /* 32 bytes; NULL: messages carry no signed links */
	int64_t (*now_ns)(void *ctx);     /* wall; NULL: the system's */
};

/* After store_open. Config and store outlive it. NULL: out of memory or the store cannot be read (said in the log). */
struct alerts *alerts_new(const struct alerts_config *, const struct alerts_deps *) NONNULL(1, 2) MUST_USE;
void alerts_free(struct alerts *); /* what was under way stays queued; before store_close. NULL is fine */
/* Every turn of the control thread's timer (200 ms). After store_start. */
void alerts_tick(struct alerts *) NONNULL(1);
/* Nothing is under way and nothing is due. For commands that wait for their messages. */
bool alerts_idle(const struct alerts *) NONNULL(1);

/* Questions of the API and the command line: "list", "show", "ack", "resolve", "mute", "unmute", "mutes", "test",
 * "retry", "preview", "channels", "enable", "stats", "dashboard"; asks and answers are listed in ask.c. BUR_INVALID:
 * *ret_field is wrong, reterr says how. BUR_NOTFOUND. BUR_IO, BUR_NOMEM. */
int alerts_ask(struct alerts *, const char *action, const json_t *ask, json_t **ret, const char **ret_field,
	       char *reterr, size_t reterr_size) NONNULL(1, 2, 4, 5, 6) MUST_USE;
/* In Prometheus text format: bursar_alerts_sent_total{channel,type,outcome}, bursar_alert_outbox{state},
 * bursar_alert_delivery_seconds, bursar_alert_channel_up{channel}. */
int alerts_metrics(struct alerts *, struct buf *out) NONNULL(1, 2) MUST_USE;

/* Signed links: "i=INCIDENT&a=ack&e=EXPIRY&s=MAC", see link.h. */
enum link_action { LINK_ACK, LINK_RESOLVE, LINK_OPEN };
/* BUR_OK; BUR_DENIED: not ours; BUR_TIMEOUT: it was, but is too old now. */
int alerts_link_check(struct alerts *, struct slice query, int64_t *ret_incident, enum link_action *ret_action)
    NONNULL(1, 3, 4) MUST_USE;

#endif
