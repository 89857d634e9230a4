/* metrics.h - counters, gauges and histograms, printed in Prometheus text format.
 *
 * A metric has a fixed set of series, registered before threads start (labels are fixed strings: no user data, so no
 * cardinality attack). Adding is one relaxed atomic on the caller's own stripe; reading sums the stripes. */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"

#define METRIC_STRIPES 8

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE };

struct metric {
	const char *name, *labels, *help; /* labels: "reason=\"client\"" or NULL */
	enum metric_kind kind;
	struct {
		CACHE_ALIGNED _Atomic int64_t v;
	} stripe[METRIC_STRIPES];
	struct metric *next;
};

/* A seconds histogram; bounds in nanoseconds, ascending. */
#define METRIC_BUCKETS_MAX 20
struct histogram {
	const char *name, *labels, *help;
	int64_t bound_ns[METRIC_BUCKETS_MAX];
	int n_bounds;
	_Atomic uint64_t count[METRIC_BUCKETS_MAX + 1];
	_Atomic int64_t sum_ns;
	struct histogram *next;
};

/* The struct must live for ever; same name with other labels gives another series of the same metric. */
void metric_register(struct metric *) NONNULL(1);
void histogram_register(struct histogram *) NONNULL(1);
void metric_add(struct metric *, int64_t n) NONNULL(1);
void metric_set(struct metric *, int64_t value) NONNULL(1); /* gauges: one writer */
int64_t metric_read(const struct metric *) NONNULL(1);
void histogram_observe(struct histogram *, int64_t value_ns) NONNULL(1);
int metrics_print(struct buf *out) NONNULL(1) MUST_USE;
/* A label's value as the text format wants it, without the quotes around it. */
int metrics_print_label(struct buf *out, const char *value) NONNULL(1, 2) MUST_USE;

#endif
