/* body.h - JSON bodies of answers, built with jansson. Internal to the room; apart from reply.h because jansson.h and
 * base/json.h (which comes with proxy/proxy.h) cannot stand in one translation unit. */
#ifndef API_BODY_H
#define API_BODY_H

#include <jansson.h>
#include <stdbool.h>

#include "api/api.h"

/* Takes `body` over; NULL (out of memory while it was made) gives 500. */
void body_send(struct api_call *, int status, json_t *body) NONNULL(1);
/* Bad UTF-8 is replaced; NULL only when out of memory, as for all of these. */
json_t *body_text(struct slice) MUST_USE;
json_t *body_usd(int64_t nanousd) MUST_USE;  /* exact decimal text */
json_t *body_time(int64_t unix_ns) MUST_USE; /* RFC 3339 UTC; null for 0 */

/* Has the object of a request no member but these (NULL behind the last; "tag.*" is every one that begins so)? false:
 * answered with 422. A name that is not known would be a filter that does not filter. */
bool body_only_has(struct api_call *, const json_t *, const char *const *known) NONNULL(1, 2, 3) MUST_USE;

#endif
