/* routes.h - every endpoint of the admin listener: method, path, who may, what it does. The only list there is. */
#ifndef API_ROUTES_H
#define API_ROUTES_H

#include "api/api.h"

struct api_route {
	const char *method, *path; /* one segment may be {name} */
	enum api_level level;
	void (*run)(struct api *, struct api_call *);
	const char *summary;
};

const struct api_route *routes_all(size_t *ret_n) NONNULL(1);

enum route_result { ROUTE_FOUND, ROUTE_UNKNOWN, ROUTE_BAD_METHOD, ROUTE_SLASH };
/* HEAD counts as GET. ROUTE_SLASH: the path without its trailing slash is known. ROUTE_BAD_METHOD: the path is known,
 * allow (at least 64 bytes) gets its methods. *ret_param is the raw text in place of {name}. */
enum route_result routes_find(struct slice method, struct slice path, const struct api_route **ret,
			      struct slice *ret_param, char *allow, size_t allow_size) NONNULL(3, 4, 5);

#endif
