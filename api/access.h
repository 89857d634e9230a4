/* access.h - keys from the store as directories of principals: one for calls through the proxy, one for the admin side.
 *
 * A key is for calls unless it is an administrator's or carries the tag `bursar.role=viewer`; those two open the admin
 * side only, so that a key in an application can neither read the books nor change them. */
#ifndef API_ACCESS_H
#define API_ACCESS_H

#include "api/api.h"
#include "policy/principal.h"
#include "store/keys.h"

#define ACCESS_ROLE_TAG "bursar.role"

struct access_dirs {
	struct principal_dir *callers; /* for the proxy */
	struct principal_dir *tokens;  /* every key, its level in the first tag */
	size_t n_callers, n_admins;    /* of them, not revoked and not expired */
};

/* BUR_OK: both directories are the caller's. Else the store's error or BUR_NOMEM. */
int access_load(struct store *, int64_t now_s, struct access_dirs *ret) NONNULL(1, 3) MUST_USE;
void access_done(struct access_dirs *) NONNULL(1);

/* What the bearer of this Authorization header may do: API_CLOSED for a valid key that is for calls only; and the key's
 * name, which lives as long as `tokens`. BUR_DENIED: no such key (missing, malformed, unknown, expired and revoked
 * alike). */
int access_level(const struct principal_dir *tokens, struct slice authorization, int64_t now_s, enum api_level *ret,
		 const char **ret_name) NONNULL(1, 4, 5) MUST_USE;
/* The level of a key. Pure. */
enum api_level access_key_level(const struct key_row *) NONNULL(1);

#endif
