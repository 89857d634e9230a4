#include "alerts/gate.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"

#define WINDOW_MESSAGES_MAX 1024
#define DAY_S 86400

/* When the last messages were queued, in order, newest last. */
struct window {
	int64_t *at_ns;
	size_t n, max; /* max: the larger of both rates; older ones cannot matter */
};

struct gate {
	const struct alerts_config *config;
	struct window windows[ALERTS_CHANNELS_MAX];
};

static size_t clamp(int n)
{
	return n < 1 ? 1 : n > WINDOW_MESSAGES_MAX ? WINDOW_MESSAGES_MAX : (size_t)n;
}

struct gate *gate_new(const struct alerts_config *config)
{
	struct gate *g = calloc(1, sizeof(*g));

	CHECK(config->n_channels <= ALERTS_CHANNELS_MAX);
	if (!g)
		return NULL;
	g->config = config;
	for (size_t i = 0; i < config->n_channels; i++) {
		const struct channel *c = &config->channels[i];
		struct window *w = &g->windows[i];
		size_t a = clamp(c->per_window), b = clamp(c->critical_per_window);

		w->max = a > b ? a : b;
		w->at_ns = calloc(w->max, sizeof(*w->at_ns));
		if (!w->at_ns) {
			gate_free(g);
			return NULL;
		}
	}
	return g;
}

void gate_free(struct gate *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < ALERTS_CHANNELS_MAX; i++)
		free(g->windows[i].at_ns);
	free(g);
}

/* --- the rate ----------------------------------------------------------------------------------------------------- */

void gate_count(struct gate *g, size_t channel, int64_t queued_ns)
{
	struct window *w = &g->windows[channel];
	size_t at = w->n;

	CHECK(channel < g->config->n_channels);
	while (at > 0 && w->at_ns[at - 1] > queued_ns)
		at--;
	if (w->n == w->max) { /* the oldest goes */
		if (at == 0)
			return;
		memmove(w->at_ns, w->at_ns + 1, (at - 1) * sizeof(*w->at_ns));
		w->at_ns[at - 1] = queued_ns;
		return;
	}
	memmove(w->at_ns + at + 1, w->at_ns + at, (w->n - at) * sizeof(*w->at_ns));
	w->at_ns[at] = queued_ns;
	w->n++;
}

int64_t gate_opens_ns(struct gate *g, size_t channel, bool critical, int64_t now_ns)
{
	const struct channel *c = &g->config->channels[channel];
	struct window *w = &g->windows[channel];
	size_t most = clamp(critical ? c->critical_per_window : c->per_window), gone = 0;
	int64_t window_ns = c->window_s * NS_PER_S;

	CHECK(channel < g->config->n_channels);
	while (gone < w->n && now_ns - w->at_ns[gone] >= window_ns)
		gone++;
	memmove(w->at_ns, w->at_ns + gone, (w->n - gone) * sizeof(*w->at_ns));
	w->n -= gone;
	if (w->n < most)
		return 0;
	return w->at_ns[w->n - most] + window_ns;
}

/* --- quiet hours -------------------------------------------------------------------------------------------------- */

/* The instant of a local time. Of an hour that comes twice the first; a time that the clock leaps over is as much later
 * as the leap. */
static int64_t local_instant(const struct tz *tz, int64_t day, int minute)
{
	int64_t local = day * DAY_S + (int64_t)minute * 60;
	int64_t before = tz_offset_at(tz, local - DAY_S), after = tz_offset_at(tz, local + DAY_S);

	if (tz_offset_at(tz, local - before) == before)
		return local - before;
	if (tz_offset_at(tz, local - after) == after)
		return local - after;
	return local - before;
}

int64_t quiet_until_ns(const struct quiet_hours *q, int64_t now_ns)
{
	int64_t now_s = now_ns / NS_PER_S, until = 0, today;
	struct civil c;

	if (!q->on)
		return 0;
	civil_from_unix(q->zone, now_s, &c);
	today = days_from_civil(c.year, c.month, c.day);
	for (int64_t day = today - 1; day <= today; day++) {
		int weekday = (int)(((day + 3) % 7 + 7) % 7); /* 1970-01-01 was a Thursday; 0 = Monday */
		int64_t begin, end;

		if (!(q->days & 1U << weekday))
			continue;
		begin = local_instant(q->zone, day, q->from_min);
		end = local_instant(q->zone, q->to_min > q->from_min ? day : day + 1, q->to_min);
		if (begin <= now_s && now_s < end && end > until)
			until = end;
	}
	return until * NS_PER_S;
}

/* --- the question ------------------------------------------------------------------------------------------------- */

const char *gate_answer_name(enum gate_answer a)
{
	static const char *const names[] = {
	    [GATE_PASS] = "",
	    [GATE_DUPLICATE] = "duplicate",
	    [GATE_FLAPPING] = "flapping",
	    [GATE_MUTED] = "muted",
	    [GATE_QUIET] = "quiet",
	    [GATE_RATE] = "rate_limited",
	    [GATE_QUEUE] = "queue_full",
	};

	return names[a];
}

uint64_t gate_mark(const char *type, double threshold)
{
	/* parts per million, as budgets have them: the same after it was written as text and read again */
	int64_t ppm = threshold > 0 && threshold < 1e9 ? (int64_t)(threshold * 1e6 + 0.5) : 0;

	return stable_hash64(type, strlen(type)) ^ (uint64_t)ppm * UINT64_C(0x9e3779b97f4a7c15);
}

/* Told lately, of this incident or of one before it: until when it is a repetition. 0: it is none. */
static int64_t repeats_until(const struct channel *c, const struct gate_ask *a, bool before)
{
	int64_t gap_ns = (a->severity == SEVERITY_CRITICAL ? c->critical_gap_s : c->gap_s) * NS_PER_S, until_ns = 0;

	if (a->again || (a->op != SAY_FIRE && a->op != SAY_UPDATE) || (c->ops->in_place && a->editable))
		return 0;
	for (size_t i = 0; i < a->n_recent; i++) {
		const struct gate_recent *r = &a->recent[i];

		if (r->before == before && r->channel == a->channel && a->now_ns - r->at_ns < gap_ns &&
		    a->severity <= r->severity && (a->threshold <= 0 || a->mark == r->mark) &&
		    r->at_ns + gap_ns > until_ns)
			until_ns = r->at_ns + gap_ns;
	}
	return until_ns;
}

/* Ends and acknowledgements disturb nobody for long, however bad the incident was. */
static bool is_critical(const struct gate_ask *a)
{
	return a->severity == SEVERITY_CRITICAL && a->op != SAY_RESOLVE && a->op != SAY_ACK;
}

/* Where the other side keeps incidents, what it knows of is brought to an end whatever goes on. */
static bool closes(const struct channel *c, const struct gate_ask *a)
{
	return c->ops->stateful && a->told && (a->op == SAY_RESOLVE || a->op == SAY_ACK);
}

bool gate_counts(const struct gate *g, const struct gate_ask *a)
{
	const struct channel *c = &g->config->channels[a->channel];

	return !(c->ops->stateful && a->told);
}

enum gate_answer gate_ask(struct gate *g, const struct gate_ask *a, int64_t *ret_until_ns)
{
	const struct channel *c = &g->config->channels[a->channel];

	CHECK(a->channel < g->config->n_channels);
	*ret_until_ns = a->now_ns;
	if (closes(c, a))
		return GATE_PASS;
	if (repeats_until(c, a, false) > a->now_ns)
		return GATE_DUPLICATE;
	*ret_until_ns = repeats_until(c, a, true);
	if (*ret_until_ns > a->now_ns)
		return GATE_FLAPPING;
	*ret_until_ns = a->muted_ns;
	if (a->muted_ns > a->now_ns)
		return GATE_MUTED;
	*ret_until_ns = is_critical(a) ? 0 : quiet_until_ns(&c->quiet, a->now_ns);
	if (*ret_until_ns > a->now_ns)
		return GATE_QUIET;
	*ret_until_ns = gate_counts(g, a) ? gate_opens_ns(g, a->channel, is_critical(a), a->now_ns) : 0;
	if (*ret_until_ns > a->now_ns)
		return GATE_RATE;
	*ret_until_ns = a->now_ns + GATE_QUEUE_LOOK_NS;
	return a->waiting >= GATE_QUEUE_MAX ? GATE_QUEUE : GATE_PASS;
}
