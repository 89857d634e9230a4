/* deliver_gone.c - channels that are configured no more: what waits for them is dropped, and what was told of their
 * troubles ends. */
#include <stdio.h>
#include <stdlib.h>

#include "alerts/deliver_impl.h"
#include "base/error.h"
#include "base/log.h"
#include "store/note.h"

#define GONE_MAX 256 /* in one start */

struct gone {
	const struct deliver *deliver;
	char *name[GONE_MAX];
	size_t n;
};

static int take_channel(void *ctx, const struct channel_state *s)
{
	struct gone *g = ctx;

	for (size_t i = 0; i < g->deliver->n_lanes; i++)
		if (slice_eq(s->channel, slice_of(g->deliver->lane[i].channel->name)))
			return BUR_OK;
	if (g->n == GONE_MAX)
		return BUR_OK;
	g->name[g->n] = malloc(s->channel.n + 1);
	if (!g->name[g->n])
		return BUR_NOMEM;
	(void)slice_to_cstr(s->channel, g->name[g->n++], s->channel.n + 1);
	return BUR_OK;
}

/* That it does not work was told to others, who wait for the end of it. */
static int end_notice(const struct deliver *d, const char *name, int64_t now_ns)
{
	char object[ALERTS_NAME_MAX + 16], words[ALERTS_NAME_MAX + 100];
	struct note n = {.kind = "system.degraded", .state = NOTE_ENDED, .at_ns = now_ns};
	json_t *payload;
	char *text;
	int rc;

	(void)snprintf(object, sizeof(object), "channel %s", name);
	(void)snprintf(words, sizeof(words), "Channel %s is configured no more.", name);
	n.object = slice_of(object);
	rc = note_open(d->reader, n.kind, n.object, 0, &n.since_s);
	if (rc != BUR_OK)
		return rc == BUR_NOTFOUND ? BUR_OK : rc;
	payload = json_pack("{s:s,s:s,s:s,s:s}", "message", words, "severity", "info", "object", name, "object_kind",
			    "channel");
	text = payload ? json_dumps(payload, JSON_COMPACT) : NULL;
	n.payload = slice_of(text);
	rc = text ? store_note(d->deps.store, &n) : BUR_NOMEM;
	free(text);
	json_decref(payload);
	return rc == BUR_ALREADY ? BUR_OK : rc;
}

static int drop_waiting(const struct deliver *d)
{
	struct slice *names = calloc(d->n_lanes + 1, sizeof(*names));
	size_t n = 0;
	int rc = names ? BUR_OK : BUR_NOMEM;

	for (size_t i = 0; i < d->n_lanes && names; i++)
		names[i] = slice_of(d->lane[i].channel->name);
	if (rc == BUR_OK)
		rc = alerts_drop_gone(d->deps.store, names, d->n_lanes, &n);
	if (n > 0)
		log_msg(LOG_WARN, "alerts.deliver", "%zu message%s for channels that are configured no more dropped", n,
			n == 1 ? " is" : "s are");
	free(names);
	return rc;
}

int deliver_drop_gone(const struct deliver *d, int64_t now_ns)
{
	struct gone g = {.deliver = d};
	int rc = drop_waiting(d);

	if (rc == BUR_OK)
		rc = alerts_each_channel(d->reader, take_channel, &g);
	for (size_t i = 0; i < g.n; i++) {
		if (rc == BUR_OK)
			rc = end_notice(d, g.name[i], now_ns);
		free(g.name[i]);
	}
	return rc;
}
