/* slice.h - a view of bytes owned by somebody else, and strict readers for it.
 *
 * Pure and thread-safe. A slice is valid as long as what it points into. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/attr.h"

struct slice {
	const char *p;
	size_t n;
};

#define SLICE(lit) ((struct slice){(lit), sizeof(lit) - 1})
#define SLICE_NONE ((struct slice){NULL, 0})
#define SLICE_FMT "%.*s"
#define SLICE_ARG(s) (int)(s).n, (s).p

static inline struct slice slice_of(const char *cstr)
{
	return (struct slice){cstr, cstr ? strlen(cstr) : 0};
}

static inline struct slice slice_mem(const void *p, size_t n)
{
	return (struct slice){p, n};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool slice_ieq(struct slice a, struct slice b); /* ASCII case-insensitive */
bool slice_starts(struct slice s, struct slice prefix);
bool slice_istarts(struct slice s, struct slice prefix);
bool slice_ends(struct slice s, struct slice suffix);
bool slice_iends(struct slice s, struct slice suffix);
struct slice slice_trim(struct slice s);                         /* spaces and tabs at both ends */
struct slice slice_sub(struct slice s, size_t from, size_t len); /* clipped to s */
/* Index of `c`, or s.n when absent. */
size_t slice_find(struct slice s, char c);
/* Cut at the first `sep`: *head is what stands before, *rest what follows (empty when there is none).
 * false when s has no `sep` (then *head = s). */
bool slice_cut(struct slice s, char sep, struct slice *ret_head, struct slice *ret_rest);

/* Decimal digits only: no sign, no space, no overflow. BUR_OK, BUR_INVALID or BUR_OVERFLOW. */
int slice_u64(struct slice s, uint64_t *ret) MUST_USE;
/* As slice_u64, with an optional leading '-'. */
int slice_i64(struct slice s, int64_t *ret) MUST_USE;

/* Copy to a NUL-terminated buffer, truncating; returns the number of bytes copied without the NUL. */
size_t slice_to_cstr(struct slice s, char *dst, size_t dst_size);

/* Lower-case hex of n bytes; dst has room for 2n+1. */
void hex_encode(const void *src, size_t n, char *dst);
int hex_decode(struct slice s, void *dst, size_t dst_size, size_t *ret_n) MUST_USE;
/* RFC 4648 base64 with padding; returns bytes written, or BUR_INVALID / BUR_TOOBIG. */
int base64_decode(struct slice s, void *dst, size_t dst_size, size_t *ret_n) MUST_USE;
int base64_encode(const void *src, size_t n, char *dst, size_t dst_size) MUST_USE;

/* A seeded 64-bit hash for tables that hold attackers' bytes. The seed is random per process. */
uint64_t hash_bytes(const void *p, size_t n);
/* The same bytes give the same value in every process and version: for identities that are stored. */
uint64_t stable_hash64(const void *p, size_t n);
/* CRC-32C (Castagnoli), as used by the journal. `crc` is 0 to start, or the previous result. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);

/* Equal or not in time that depends on n only. */
bool bytes_equal_consttime(const void *a, const void *b, size_t n);
/* Overwrites secrets; not optimised away. */
void bytes_wipe(void *p, size_t n);

#endif
