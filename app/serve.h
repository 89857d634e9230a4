/* serve.h - the server from start to end: parts put together, control loop, drain. Main thread. */
#ifndef APP_SERVE_H
#define APP_SERVE_H

#include <stdbool.h>

#include "app/settings.h"

struct serve_options {
	bool verify; /* check the whole ledger at start */
};

/* Runs until SIGTERM or SIGINT. Returns the exit code. */
int serve_run(const struct settings *, const struct serve_options *) NONNULL(1, 2);

#endif
