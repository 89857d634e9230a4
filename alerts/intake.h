/* intake.h - takes events of the store in: some at a time, in one transaction with the cursor behind them. Events of
 * one incident that one call caused are told as one. Control thread. */
#ifndef ALERTS_INTAKE_H
#define ALERTS_INTAKE_H

#include "alerts/core.h"

#define INTAKE_EVENTS_MIN 16 /* in one transaction, if nothing fails */
#define INTAKE_EVENTS_MAX 256

/* One transaction's worth; alerts->behind says whether there is more. BUR_OK, or what failed: nothing was taken in, and
 * the next call tries again. */
int intake_tick(struct alerts *) NONNULL(1) MUST_USE;

#endif
