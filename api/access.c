#include "api/access.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define KEYS_MAX 1000000

struct key_list {
	struct key_row *rows;
	size_t n, cap;
};

static int list_add(void *ctx, const struct key_row *row)
{
	struct key_list *l = ctx;

	if (l->n == KEYS_MAX)
		return BUR_FULL;
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 64;
		struct key_row *rows = realloc(l->rows, cap * sizeof(*rows));

		if (!rows)
			return BUR_NOMEM;
		l->rows = rows;
		l->cap = cap;
	}
	l->rows[l->n++] = *row;
	return BUR_OK;
}

static bool tag_is(const struct tag *t, const char *name, const char *value)
{
	return slice_eq(t->name, slice_of(name)) && slice_eq(t->value, slice_of(value));
}

enum api_level access_key_level(const struct key_row *row)
{
	struct tag tags[TAGS_MAX];
	size_t n = 0;

	if (row->admin)
		return API_ADMIN;
	if (tags_parse(slice_of(row->tags), tags, &n) < 0)
		return API_CLOSED;
	for (size_t i = 0; i < n; i++)
		if (tag_is(&tags[i], ACCESS_ROLE_TAG, "viewer"))
			return API_VIEWER;
	return API_CLOSED;
}

/* Tags that cannot be read are left out: they were checked when the key was made. */
static void principal_of_key(const struct key_row *row, struct principal *p)
{
	*p = (struct principal){.key = row->name,
				.user = row->user,
				.team = row->team,
				.project = row->project,
				.may_set_user = row->may_set_user,
				.not_after_s = row->not_after_s,
				.revoked = row->revoked_s != 0};
	memcpy(p->digest, row->digest, sizeof(p->digest));
	if (tags_parse(slice_of(row->tags), p->tags, &p->n_tags) < 0)
		p->n_tags = 0;
}

static struct slice level_text(enum api_level level)
{
	return level == API_ADMIN ? SLICE("admin") : level == API_VIEWER ? SLICE("viewer") : SLICE("call");
}

static void principal_of_token(const struct key_row *row, struct principal *p)
{
	principal_of_key(row, p);
	p->tags[0] = (struct tag){SLICE(ACCESS_ROLE_TAG), level_text(access_key_level(row))};
	p->n_tags = 1;
}

static int build_dirs(const struct key_list *l, int64_t now_s, struct access_dirs *ret)
{
	struct principal *tokens = calloc(l->n + 1, sizeof(*tokens)), *callers = calloc(l->n + 1, sizeof(*callers));
	struct access_dirs dirs = {0};
	size_t n_callers = 0;
	int r = BUR_NOMEM;

	if (!tokens || !callers)
		goto out;
	for (size_t i = 0; i < l->n; i++) {
		const struct key_row *row = &l->rows[i];
		bool live = row->revoked_s == 0 && (row->not_after_s == 0 || row->not_after_s > now_s);
		enum api_level level = access_key_level(row);

		principal_of_token(row, &tokens[i]);
		dirs.n_admins += level == API_ADMIN && live;
		if (level != API_CLOSED)
			continue;
		principal_of_key(row, &callers[n_callers++]);
		dirs.n_callers += live;
	}
	dirs.tokens = principal_dir_new(tokens, l->n);
	dirs.callers = principal_dir_new(callers, n_callers);
	if (!dirs.tokens || !dirs.callers)
		goto out;
	*ret = dirs;
	dirs = (struct access_dirs){0};
	r = BUR_OK;
out:
	access_done(&dirs);
	free(tokens);
	free(callers);
	return r;
}

int access_load(struct store *store, int64_t now_s, struct access_dirs *ret)
{
	struct key_list list = {0};
	int r = keys_each(store, list_add, &list);

	if (r == BUR_OK)
		r = build_dirs(&list, now_s, ret);
	free(list.rows);
	return r;
}

void access_done(struct access_dirs *d)
{
	principal_dir_unref(d->callers);
	principal_dir_unref(d->tokens);
	*d = (struct access_dirs){0};
}

int access_level(const struct principal_dir *tokens, struct slice authorization, int64_t now_s, enum api_level *ret,
		 const char **ret_name)
{
	const struct principal *p;
	uint8_t digest[KEY_DIGEST_BYTES];

	if (!slice_istarts(authorization, SLICE("Bearer ")))
		return BUR_DENIED;
	/* the digest of whatever was sent: one path for malformed, unknown, expired and revoked keys */
	key_digest(slice_trim(slice_sub(authorization, 7, authorization.n)), digest);
	p = principal_find(tokens, digest, now_s);
	if (!p || p->n_tags != 1)
		return BUR_DENIED;
	*ret = slice_eq(p->tags[0].value, SLICE("admin"))    ? API_ADMIN
	       : slice_eq(p->tags[0].value, SLICE("viewer")) ? API_VIEWER
							     : API_CLOSED;
	*ret_name = p->key;
	return BUR_OK;
}
