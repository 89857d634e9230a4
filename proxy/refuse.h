/* refuse.h - bursar's own answers on a client connection. */
#ifndef PROXY_REFUSE_H
#define PROXY_REFUSE_H

#include "meter/envelope.h"
#include "proxy/client.h"

struct refuse_options {
	enum api_family family;
	int status;                         /* wanted; 0 = the reason's own. The family may have another word for it */
	int retry_after_s;                  /* used where the reason needs one; 1..60 */
	struct slice budget, remaining_usd; /* x-bursar-budget…; empty = none */
	bool keep_alive;                    /* the request was read whole */
	bool head_only;                     /* HEAD: no body */
};

/* Queues the whole answer and sends what the socket takes. */
void refuse_write(struct client *, const struct refusal *, const struct refuse_options *) NONNULL(1, 2, 3);
/* For a connection without a transaction (malformed head, CONNECT): answers and closes. */
void refuse_and_close(struct client *, enum refusal_reason, int status, const char *message) NONNULL(1, 4);

#endif
