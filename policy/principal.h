/* principal.h - who calls: virtual keys by digest, as an immutable snapshot.
 *
 * Secrets never come here: only their SHA-256. Pure; a directory is built once and then read by any thread. */
#ifndef POLICY_PRINCIPAL_H
#define POLICY_PRINCIPAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "policy/budget.h"

#define KEY_DIGEST_BYTES 32

struct principal {
	uint8_t digest[KEY_DIGEST_BYTES];
	const char *key;                   /* its public name: "bur_a1b2c3" or what the operator called it */
	const char *user, *team, *project; /* "" when not given */
	struct tag tags[TAGS_MAX];
	size_t n_tags;
	bool may_set_user;   /* the client may name another user and add tags */
	int64_t not_after_s; /* 0 = never expires */
	bool revoked;
};

struct principal_dir;

/* Copies everything. NULL: out of memory. Reference-counted; swapped as a whole when keys change. */
struct principal_dir *principal_dir_new(const struct principal *list, size_t n) MUST_USE;
struct principal_dir *principal_dir_ref(struct principal_dir *) NONNULL(1);
void principal_dir_unref(struct principal_dir *); /* NULL is fine */
/* The principal of a digest, or NULL for unknown, expired and revoked alike (the same path and time for all three). */
const struct principal *principal_find(const struct principal_dir *, const uint8_t digest[KEY_DIGEST_BYTES],
				       int64_t now_s) NONNULL(1, 2);
/* "k=v,k2=v2" of a client's header into tags (slices into text). Names [a-z0-9_.-]{1,32}, values printable up to 128
 * bytes without ',' '='. BUR_INVALID at the first that is not; BUR_FULL beyond TAGS_MAX. Later equal names win. */
int tags_parse(struct slice text, struct tag *tags, size_t *inout_n) NONNULL(2, 3) MUST_USE;

#endif
