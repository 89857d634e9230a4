/* expiry.h - keys that end soon: told once some days before, and once the day before (key.expiring). Looked for at the
 * start and every hour. Control thread. */
#ifndef APP_EXPIRY_H
#define APP_EXPIRY_H

#include <stdint.h>

#include "base/attr.h"

struct store;

#define EXPIRY_DEFAULT_S (7 * 86400)
#define EXPIRY_LAST_S 86400

struct expiry {
	struct store *store;
	int64_t before_s; /* 0: EXPIRY_DEFAULT_S */
	int64_t next_ns;
};
/* After store_start; as often as one likes. */
void expiry_tick(struct expiry *) NONNULL(1);

#endif
