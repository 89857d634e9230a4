/* ports.h - DATA/ports.json: where the running server listens. */
#ifndef APP_PORTS_H
#define APP_PORTS_H

#include <stdint.h>

#include "base/attr.h"

struct ports {
	uint16_t proxy, admin;
	char admin_host[64]; /* an address */
};

/* BUR_OK; BUR_NOTFOUND: no server has started here, or it has ended in good order; BUR_CORRUPT. */
int ports_read(const char *data_dir, struct ports *ret) NONNULL(1, 2) MUST_USE;

#endif
