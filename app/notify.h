/* notify.h - people are told: the parts of it put together for the server. Windows of budgets that end, keys that end,
 * and the alerts themselves, which get what the configuration and the ledger know beside an event. Control thread. */
#ifndef APP_NOTIFY_H
#define APP_NOTIFY_H

#include <stdbool.h>

#include "alerts/alerts.h"
#include "app/boot.h"
#include "app/expiry.h"
#include "app/facts.h"

struct notify {
	struct alerts_config config;
	struct facts_source facts;
	struct alerts *alerts;
	struct reset *reset;
	struct expiry expiry;
	char instance[13];
	unsigned char link_secret[32];
};

/* After store_start, before the first call. All arguments outlive it. On failure reterr says what is wrong. */
int notify_start(struct notify *, const struct settings *, const struct boot *, struct loop *,
		 char reterr[BOOT_ERROR_MAX]) NONNULL(1, 2, 3, 4, 5) MUST_USE;
void notify_tick(struct notify *) NONNULL(1);
void notify_stop(struct notify *) NONNULL(1); /* before store_close; zeroed is fine */

#endif
