/* Alerts in numbers, for /metrics. Labels are names of channels, which the operator chose, and types of a table. */
#include <stdatomic.h>
#include <string.h>

#include "alerts/deliver.h"
#include "alerts/core.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/metrics.h"

/* --- sent --------------------------------------------------------------------------------------------------------- */

struct print {
	struct buf *out;
	int r;
};

static void put_count(void *ctx, const char *channel, const char *type, const char *outcome, uint64_t n)
{
	struct print *p = ctx;

	p->r |= buf_printf(p->out, "bursar_alerts_sent_total{channel=\"");
	p->r |= metrics_print_label(p->out, channel);
	p->r |= buf_printf(p->out, "\",type=\"");
	p->r |= metrics_print_label(p->out, type);
	p->r |= buf_printf(p->out, "\",outcome=\"");
	p->r |= metrics_print_label(p->out, outcome);
	p->r |= buf_printf(p->out, "\"} %llu\n", (unsigned long long)n);
}

static int put_sent(const struct deliver *d, struct buf *out)
{
	struct print p = {out,
			  buf_printf(out, "# HELP bursar_alerts_sent_total tries to tell people, by what came of them\n"
					  "# TYPE bursar_alerts_sent_total counter\n")};

	deliver_each_count(d, put_count, &p);
	return p.r;
}

static int put_seconds(const struct histogram *h, struct buf *out)
{
	uint64_t below = 0;
	int r = buf_printf(out, "# HELP bursar_alert_delivery_seconds from the event to its delivery\n"
				"# TYPE bursar_alert_delivery_seconds histogram\n");

	for (int i = 0; i < h->n_bounds; i++) {
		below += atomic_load(&h->count[i]);
		r |= buf_printf(out, "bursar_alert_delivery_seconds_bucket{le=\"%g\"} %llu\n",
				(double)h->bound_ns[i] / (double)NS_PER_S, (unsigned long long)below);
	}
	below += atomic_load(&h->count[h->n_bounds]);
	r |= buf_printf(out, "bursar_alert_delivery_seconds_bucket{le=\"+Inf\"} %llu\n", (unsigned long long)below);
	r |= buf_printf(out, "bursar_alert_delivery_seconds_sum %.6f\n",
			(double)atomic_load(&h->sum_ns) / (double)NS_PER_S);
	return r | buf_printf(out, "bursar_alert_delivery_seconds_count %llu\n", (unsigned long long)below);
}

/* --- what waits --------------------------------------------------------------------------------------------------- */

static int put_outbox(struct alerts *a, struct buf *out)
{
	static const struct {
		const char *name;
		enum outbox_state state;
	} states[] = {{"queued", OUTBOX_QUEUED}, {"held", OUTBOX_HELD}, {"dead", OUTBOX_DEAD}};
	int r = buf_printf(out, "# HELP bursar_alert_outbox messages that wait, are held back, or were given up\n"
				"# TYPE bursar_alert_outbox gauge\n");

	for (size_t i = 0; i < ARRAY_LEN(states) && r == BUR_OK; i++) {
		int64_t n = 0;

		r = alerts_count_outbox(a->reader, SLICE_NONE, states[i].state, &n);
		if (r == BUR_OK)
			r = buf_printf(out, "bursar_alert_outbox{state=\"%s\"} %lld\n", states[i].name, (long long)n);
	}
	return r;
}

struct down {
	const struct alerts_config *config;
	bool down[ALERTS_CHANNELS_MAX];
};

static int take_state(void *ctx, const struct channel_state *s)
{
	struct down *d = ctx;

	for (size_t i = 0; i < d->config->n_channels && i < ALERTS_CHANNELS_MAX; i++)
		if (slice_eq(s->channel, slice_of(d->config->channels[i].name)))
			d->down[i] = s->disabled || s->since_ns > 0;
	return BUR_OK;
}

static int put_channels(struct alerts *a, struct buf *out)
{
	struct down d = {.config = a->config};
	int r = alerts_each_channel(a->reader, take_state, &d);

	if (r == BUR_OK)
		r = buf_printf(out,
			       "# HELP bursar_alert_channel_up 1: the last message got through, or none was sent yet\n"
			       "# TYPE bursar_alert_channel_up gauge\n");
	for (size_t i = 0; i < a->config->n_channels && i < ALERTS_CHANNELS_MAX && r == BUR_OK; i++) {
		r = buf_printf(out, "bursar_alert_channel_up{channel=\"");
		r |= metrics_print_label(out, a->config->channels[i].name);
		r |= buf_printf(out, "\"} %d\n", !d.down[i]);
	}
	return r;
}

int alerts_metrics(struct alerts *a, struct buf *out)
{
	int r = put_outbox(a, out);

	if (r == BUR_OK)
		r = put_channels(a, out);
	if (r == BUR_OK && a->deliver)
		r = put_sent(a->deliver, out) | put_seconds(deliver_seconds(a->deliver), out);
	return r < 0 ? r : BUR_OK;
}
