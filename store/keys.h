/* keys.h - virtual keys on disk: only digests, never the key. */
#ifndef STORE_KEYS_H
#define STORE_KEYS_H

#include "base/attr.h"
#include "store/store.h"

#define KEY_TEXT_MAX 64 /* "bur_" + base62 of 32 random bytes + 6 characters of CRC-32 */

struct key_row {
	uint8_t digest[32];
	char name[64];  /* unique, chosen or "bur_" and six characters */
	char first[12]; /* first characters of the key, to recognise it */
	char user[64], team[64], project[64];
	char tags[512]; /* "k=v,k2=v2" */
	bool admin;     /* opens the admin API */
	bool may_set_user;
	int64_t created_s, not_after_s, revoked_s; /* 0 = never */
};

/* Makes a key, stores its digest, and writes the text (shown once) to ret_text. BUR_ALREADY: the name is taken. */
int keys_create(struct store *, const struct key_row *wanted, char ret_text[KEY_TEXT_MAX]) NONNULL(1, 2, 3) MUST_USE;
/* BUR_NOTFOUND, BUR_ALREADY (was revoked before). */
int keys_revoke(struct store *, struct slice name, int64_t now_s) NONNULL(1) MUST_USE;
/* Every key, oldest first. */
int keys_each(struct store *, int (*visit)(void *ctx, const struct key_row *), void *ctx) NONNULL(1, 2) MUST_USE;
/* BUR_NOTFOUND. With a reader of the caller's. */
int keys_find(struct sqlite3 *, struct slice name, struct key_row *ret) NONNULL(1, 3) MUST_USE;
/* SHA-256 of the key's text. Pure. */
void key_digest(struct slice text, uint8_t ret[32]) NONNULL(2);
/* Prefix, length and CRC are right: a typo is told from an unknown key. Pure. */
bool key_well_formed(struct slice text);

#endif
