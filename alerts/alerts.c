#include "alerts/alerts.h"

#include <stdlib.h>

#include "alerts/deliver.h"
#include "alerts/core.h"
#include "base/check.h"
#include "base/error.h"
#include "base/log.h"

struct alerts *alerts_new(const struct alerts_config *config, const struct alerts_deps *deps)
{
	struct alerts *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return NULL;
	a->config = config;
	a->deps = *deps;
	r = core_open(a);
	if (r == BUR_OK) {
		a->deliver = deliver_new(config, &a->deps, a->reader);
		r = a->deliver ? BUR_OK : BUR_NOMEM;
	}
	if (r == BUR_OK)
		return a;
	log_msg(LOG_ERROR, "alerts.start", "nobody can be told of anything: %s", bur_strerror(r));
	alerts_free(a);
	return NULL;
}

void alerts_free(struct alerts *a)
{
	if (!a)
		return;
	deliver_free(a->deliver);
	core_close(a);
	free(a);
}

void alerts_tick(struct alerts *a)
{
	CHECK(a->magic == ALERTS_MAGIC);
	core_tick(a);
	if (a->queued)
		deliver_wake(a->deliver);
	a->queued = false;
	deliver_tick(a->deliver, alerts_now(a));
}

bool alerts_idle(const struct alerts *a)
{
	return core_idle(a) && !a->queued && deliver_idle(a->deliver);
}
