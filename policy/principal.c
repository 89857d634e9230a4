#include "policy/principal.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/error.h"

#define TAG_NAME_BYTES_MAX 32
#define TAG_VALUE_BYTES_MAX 128
#define DIR_BYTES_MAX ((size_t)1 << 32)

struct principal_dir {
	_Atomic(size_t) refs;
	size_t n;
	struct principal *list; /* by digest, ascending, no two equal */
	struct arena strings;
};

/* --- making ------------------------------------------------------------------------------------------------------- */

static int copy_slice(struct arena *a, struct slice *inout)
{
	*inout = arena_dup(a, *inout);
	return inout->p ? BUR_OK : BUR_NOMEM;
}

static int copy_text(struct arena *a, const char **inout)
{
	*inout = arena_dup(a, slice_of(*inout)).p; /* NULL becomes "" */
	return *inout ? BUR_OK : BUR_NOMEM;
}

/* The struct is already a flat copy; strings are made our own. */
static int own_principal(struct arena *a, struct principal *p)
{
	int r = copy_text(a, &p->key);

	CHECK(p->n_tags <= TAGS_MAX);
	if (r == BUR_OK)
		r = copy_text(a, &p->user);
	if (r == BUR_OK)
		r = copy_text(a, &p->team);
	if (r == BUR_OK)
		r = copy_text(a, &p->project);
	for (size_t i = 0; i < p->n_tags && r == BUR_OK; i++) {
		r = copy_slice(a, &p->tags[i].name);
		if (r == BUR_OK)
			r = copy_slice(a, &p->tags[i].value);
	}
	return r;
}

/* By digest, then by place in the caller's list. */
static int by_digest(const void *a, const void *b)
{
	const struct principal *const *left = a, *const *right = b;
	int c = memcmp((*left)->digest, (*right)->digest, KEY_DIGEST_BYTES);

	return c != 0 ? c : (*left > *right) - (*left < *right);
}

static int dir_fill(struct principal_dir *dir, const struct principal **order, const struct principal *list, size_t n)
{
	int r = BUR_OK;

	for (size_t i = 0; i < n; i++)
		order[i] = &list[i];
	if (n > 1)
		qsort(order, n, sizeof(*order), by_digest);
	for (size_t i = 0; i < n && r == BUR_OK; i++) {
		/* Of equal digests the last in the list counts. */
		if (i + 1 < n && memcmp(order[i]->digest, order[i + 1]->digest, KEY_DIGEST_BYTES) == 0)
			continue;
		dir->list[dir->n] = *order[i];
		r = own_principal(&dir->strings, &dir->list[dir->n++]);
	}
	return r;
}

struct principal_dir *principal_dir_new(const struct principal *list, size_t n)
{
	struct principal_dir *dir = calloc(1, sizeof(*dir));
	const struct principal **order = calloc(n > 0 ? n : 1, sizeof(const struct principal *));
	int r = BUR_NOMEM;

	if (!dir)
		goto out;
	atomic_init(&dir->refs, 1);
	arena_init(&dir->strings, DIR_BYTES_MAX);
	dir->list = calloc(n > 0 ? n : 1, sizeof(*dir->list));
	if (dir->list && order)
		r = dir_fill(dir, order, list, n);
out:
	free(order);
	if (r < 0) {
		principal_dir_unref(dir);
		dir = NULL;
	}
	return dir;
}

struct principal_dir *principal_dir_ref(struct principal_dir *dir)
{
	CHECK(atomic_fetch_add_explicit(&dir->refs, 1, memory_order_relaxed) > 0);
	return dir;
}

void principal_dir_unref(struct principal_dir *dir)
{
	size_t refs;

	if (!dir)
		return;
	refs = atomic_fetch_sub_explicit(&dir->refs, 1, memory_order_acq_rel);
	CHECK(refs > 0);
	if (refs > 1)
		return;
	arena_reset(&dir->strings);
	free(dir->list);
	free(dir);
}

/* --- finding ------------------------------------------------------------------------------------------------------ */

/* The number of steps depends on the size of the directory only, and the same work is done for a key that is unknown,
 * expired, revoked or good. */
const struct principal *principal_find(const struct principal_dir *dir, const uint8_t digest[KEY_DIGEST_BYTES],
				       int64_t now_s)
{
	const struct principal *base = dir->list;
	bool good;

	if (dir->n == 0)
		return NULL;
	for (size_t n = dir->n; n > 1;) {
		size_t half = n / 2;

		base = memcmp(base[half].digest, digest, KEY_DIGEST_BYTES) <= 0 ? base + half : base;
		n -= half;
	}
	good = bytes_equal_consttime(base->digest, digest, KEY_DIGEST_BYTES);
	good &= !base->revoked;
	good &= (base->not_after_s == 0) | (now_s <= base->not_after_s);
	return good ? base : NULL;
}

/* --- tags --------------------------------------------------------------------------------------------------------- */

static bool name_ok(struct slice name)
{
	if (name.n == 0 || name.n > TAG_NAME_BYTES_MAX)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-'))
			return false;
	}
	return true;
}

/* An empty value would be the same as no tag, so that it can only be a mistake. */
static bool value_ok(struct slice value)
{
	if (value.n == 0 || value.n > TAG_VALUE_BYTES_MAX)
		return false;
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] < 0x20 || value.p[i] > 0x7e || value.p[i] == '=')
			return false;
	}
	return true;
}

static int tag_put(struct tag *tags, size_t *inout_n, struct slice name, struct slice value)
{
	for (size_t i = 0; i < *inout_n; i++) {
		if (slice_eq(tags[i].name, name)) {
			tags[i].value = value;
			return BUR_OK;
		}
	}
	if (*inout_n >= TAGS_MAX)
		return BUR_FULL;
	tags[(*inout_n)++] = (struct tag){name, value};
	return BUR_OK;
}

int tags_parse(struct slice text, struct tag *tags, size_t *inout_n)
{
	struct tag merged[TAGS_MAX];
	size_t n = *inout_n;
	bool more = slice_trim(text).n > 0;
	int r = BUR_OK;

	CHECK(n <= TAGS_MAX);
	memcpy(merged, tags, n * sizeof(*tags));
	while (more && r == BUR_OK) {
		struct slice item, name, value;

		more = slice_cut(text, ',', &item, &text);
		if (!slice_cut(slice_trim(item), '=', &name, &value))
			return BUR_INVALID;
		name = slice_trim(name);
		value = slice_trim(value);
		if (!name_ok(name) || !value_ok(value))
			return BUR_INVALID;
		r = tag_put(merged, &n, name, value);
	}
	if (r < 0)
		return r; /* all or nothing: what was there stays */
	memcpy(tags, merged, n * sizeof(*tags));
	*inout_n = n;
	return BUR_OK;
}
