/* webhook.h - what a message looks like to a program: the parts of the webhook channel that others may want to check.
 * Pure; any thread. */
#ifndef ALERTS_WEBHOOK_H
#define ALERTS_WEBHOOK_H

#include "alerts/channel.h"

#define WEBHOOK_SIGNATURE_MAX 64
/* "v1,<base64>" of Standard Webhooks 1.0: HMAC-SHA256 of "id.timestamp.body" with the bytes behind whsec_. BUR_OK,
 * BUR_INVALID (the secret), BUR_CRYPTO, BUR_NOMEM. */
int webhook_sign(const char *secret, const char *id, int64_t timestamp_s, struct slice body,
		 char ret[WEBHOOK_SIGNATURE_MAX]) NONNULL(1, 2, 5) MUST_USE;

#endif
