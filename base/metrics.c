#include "base/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/amount.h"
#include "base/check.h"
#include "base/error.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* the two lists */
static struct metric *metrics;
static struct histogram *histograms;

static _Atomic unsigned next_stripe;
static _Thread_local unsigned my_stripe; /* index + 1; 0 = not chosen yet */

static unsigned stripe_index(void)
{
	if (UNLIKELY(my_stripe == 0))
		my_stripe = atomic_fetch_add_explicit(&next_stripe, 1, memory_order_relaxed) % METRIC_STRIPES + 1;
	return my_stripe - 1;
}

/* Series of one name stand together, as the text format wants; registering twice changes nothing. */
void metric_register(struct metric *m)
{
	struct metric **at, **place = NULL;

	(void)pthread_mutex_lock(&lock);
	for (at = &metrics; *at && *at != m; at = &(*at)->next) {
		if (strcmp((*at)->name, m->name) == 0)
			place = &(*at)->next;
	}
	if (!*at) {
		at = place ? place : at;
		m->next = *at;
		*at = m;
	}
	(void)pthread_mutex_unlock(&lock);
}

void histogram_register(struct histogram *h)
{
	struct histogram **at, **place = NULL;

	CHECK(h->n_bounds >= 0 && h->n_bounds <= METRIC_BUCKETS_MAX);
	(void)pthread_mutex_lock(&lock);
	for (at = &histograms; *at && *at != h; at = &(*at)->next) {
		if (strcmp((*at)->name, h->name) == 0)
			place = &(*at)->next;
	}
	if (!*at) {
		at = place ? place : at;
		h->next = *at;
		*at = h;
	}
	(void)pthread_mutex_unlock(&lock);
}

void metric_add(struct metric *m, int64_t n)
{
	atomic_fetch_add_explicit(&m->stripe[stripe_index()].v, n, memory_order_relaxed);
}

void metric_set(struct metric *m, int64_t value)
{
	for (int i = 1; i < METRIC_STRIPES; i++)
		value -= atomic_load_explicit(&m->stripe[i].v, memory_order_relaxed);
	atomic_store_explicit(&m->stripe[0].v, value, memory_order_relaxed);
}

int64_t metric_read(const struct metric *m)
{
	int64_t sum = 0;

	for (int i = 0; i < METRIC_STRIPES; i++)
		sum += atomic_load_explicit(&m->stripe[i].v, memory_order_relaxed);
	return sum;
}

void histogram_observe(struct histogram *h, int64_t value_ns)
{
	int i = 0;

	while (i < h->n_bounds && value_ns > h->bound_ns[i])
		i++;
	atomic_fetch_add_explicit(&h->count[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->sum_ns, value_ns, memory_order_relaxed);
}

/* --- printing ----------------------------------------------------------------------------------------------------- */

static int print_head(struct buf *out, const char *name, const char *help, const char *type)
{
	return buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help ? help : "", name, type);
}

static int print_metric(struct buf *out, const struct metric *m)
{
	long long v = (long long)metric_read(m);

	if (m->labels)
		return buf_printf(out, "%s{%s} %lld\n", m->name, m->labels, v);
	return buf_printf(out, "%s %lld\n", m->name, v);
}

/* Nanoseconds as exact seconds: the same text as nano-USD in USD. */
static int print_bucket(struct buf *out, const struct histogram *h, int i, uint64_t cumulative)
{
	char le[AMOUNT_TEXT_MAX];

	if (i < h->n_bounds)
		(void)amount_format_usd(h->bound_ns[i], le);
	return buf_printf(out, "%s_bucket{%s%sle=\"%s\"} %llu\n", h->name, h->labels ? h->labels : "",
			  h->labels ? "," : "", i < h->n_bounds ? le : "+Inf", (unsigned long long)cumulative);
}

static int print_histogram(struct buf *out, const struct histogram *h)
{
	const char *open = h->labels ? "{" : "", *labels = h->labels ? h->labels : "", *end = h->labels ? "}" : "";
	char sum[AMOUNT_TEXT_MAX];
	uint64_t total = 0;
	int r;

	for (int i = 0; i <= h->n_bounds; i++) {
		total += atomic_load_explicit(&h->count[i], memory_order_relaxed);
		r = print_bucket(out, h, i, total);
		if (r < 0)
			return r;
	}
	(void)amount_format_usd(atomic_load_explicit(&h->sum_ns, memory_order_relaxed), sum);
	return buf_printf(out, "%s_sum%s%s%s %s\n%s_count%s%s%s %llu\n", h->name, open, labels, end, sum, h->name, open,
			  labels, end, (unsigned long long)total);
}

static int print_all(struct buf *out)
{
	const char *last = "";
	int r = BUR_OK;

	for (const struct metric *m = metrics; m && r >= 0; m = m->next) {
		if (strcmp(last, m->name) != 0)
			r = print_head(out, m->name, m->help, m->kind == METRIC_COUNTER ? "counter" : "gauge");
		last = m->name;
		if (r >= 0)
			r = print_metric(out, m);
	}
	for (const struct histogram *h = histograms; h && r >= 0; h = h->next) {
		if (strcmp(last, h->name) != 0)
			r = print_head(out, h->name, h->help, "histogram");
		last = h->name;
		if (r >= 0)
			r = print_histogram(out, h);
	}
	return r;
}

int metrics_print(struct buf *out)
{
	int r;

	(void)pthread_mutex_lock(&lock);
	r = print_all(out);
	(void)pthread_mutex_unlock(&lock);
	return r;
}

int metrics_print_label(struct buf *out, const char *value)
{
	int r = BUR_OK;

	for (; *value && r == BUR_OK; value++) {
		if (*value == '"' || *value == '\\')
			r = buf_printf(out, "\\%c", *value);
		else if (*value == '\n')
			r = buf_printf(out, "\\n");
		else
			r = buf_append(out, value, 1);
	}
	return r;
}
