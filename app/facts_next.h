/* facts_next.h - what happens next with a budget, and what to type about an alert, in words. Pure. */
#ifndef APP_FACTS_NEXT_H
#define APP_FACTS_NEXT_H

#include <jansson.h>

#include "base/attr.h"
#include "policy/engine.h"

#define FACTS_TEXT_MAX 900

/* "At 90 % calls get cheaper models; at 100 % calls are refused until 2026-12-01 00:00 Europe/Berlin." Returns dst. */
char *facts_next(const struct meter_view *, char dst[FACTS_TEXT_MAX]) NONNULL(1, 2);
/* A command for a shell, names quoted; "" when there is none. `v`: the budget as it stands, or NULL. Returns dst. */
char *facts_command(const json_t *facts, const struct meter_view *v, char dst[FACTS_TEXT_MAX]) NONNULL(3);

#endif
