#include "app/book.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/boot.h"
#include "app/files.h"
#include "base/calendar.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "price/import.h"
#include "price/price.h"

char *book_day(int64_t unix_s, char dst[BOOK_DAY_MAX])
{
	char text[40];
	int64_t y;
	int m, d;

	civil_from_days(unix_s / 86400, &y, &m, &d);
	(void)snprintf(text, sizeof(text), "%04d-%02d-%02d", (int)(y % 10000), m, d);
	memcpy(dst, text, BOOK_DAY_MAX - 1);
	dst[BOOK_DAY_MAX - 1] = '\0';
	return dst;
}

char *book_today(char dst[BOOK_DAY_MAX])
{
	return book_day(clock_wall_ns() / NS_PER_S, dst);
}

/* --- the local file ----------------------------------------------------------------------------------------------- */

static bool local_path(const struct settings *s, char dst[PATH_MAX])
{
	return files_path(dst, PATH_MAX, s->data_dir, BOOK_LOCAL_FILE);
}

int book_read_local(const struct settings *s, json_t **ret, char *reterr, size_t reterr_size)
{
	char path[PATH_MAX], *text = NULL;
	json_error_t error;
	size_t n = 0;
	int r = local_path(s, path) ? files_read(path, IMPORT_BYTES_MAX, &text, &n) : BUR_TOOBIG;

	if (r == BUR_NOTFOUND) {
		*ret = import_local_new();
		return *ret ? BUR_OK : BUR_NOMEM;
	}
	if (r < 0) {
		(void)snprintf(reterr, reterr_size, "cannot read %.300s: %s", path, bur_strerror(r));
		return r;
	}
	*ret = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
	free(text);
	if (json_is_object(*ret) && json_is_array(json_object_get(*ret, "providers")))
		return BUR_OK;
	(void)snprintf(reterr, reterr_size, "%.300s: %s", path, *ret ? "it is no list of local prices" : error.text);
	json_decref(*ret);
	return BUR_INVALID;
}

int book_write_local(const struct settings *s, const json_t *local, char *reterr, size_t reterr_size)
{
	char path[PATH_MAX], *text = json_dumps(local, JSON_INDENT(1));
	int r = !text ? BUR_NOMEM : local_path(s, path) ? BUR_OK : BUR_TOOBIG;

	if (r == BUR_OK && strlen(text) > IMPORT_BYTES_MAX)
		r = BUR_TOOBIG;
	if (r == BUR_OK)
		r = files_write(path, text, strlen(text), 0600);
	if (r < 0)
		(void)snprintf(reterr, reterr_size, "cannot write %s in %.300s: %s", BOOK_LOCAL_FILE, s->data_dir,
			       bur_strerror(r));
	free(text);
	return r;
}

/* --- putting together --------------------------------------------------------------------------------------------- */

/* The configuration's prices as a local document. NULL: out of memory. */
static json_t *configured(const struct settings *s)
{
	json_t *local = import_local_new();

	for (size_t i = 0; local && i < s->n_price_overrides; i++) {
		const struct price_override *o = &s->price_overrides[i];
		json_t *rates = json_object(), *m;

		for (size_t k = 0; rates && k < o->n_rates; k++)
			(void)json_object_set_new(rates, o->rates[k].key, json_string(o->rates[k].value));
		m = json_pack("{s:s,s:[[s,s]],s:[{s:s*,s:o}]}", "id", o->model, "match", "eq", o->model, "prices",
			      "from", o->from, "rates", rates);
		if (!m || import_set(local, o->provider, m) < 0) {
			json_decref(local);
			return NULL;
		}
	}
	return local;
}

static int lay_configured(const struct settings *s, json_t *root, const char *today, char *reterr, size_t reterr_size)
{
	json_t *local = configured(s);
	int r = local ? import_overlay(root, local, "operator", today, reterr, reterr_size) : BUR_NOMEM;

	json_decref(local);
	return r;
}

static int scale(const struct settings *s, json_t *root, char *reterr, size_t reterr_size)
{
	int r = import_scale(root, s->price_factors, s->n_price_factors);

	if (r < 0)
		(void)snprintf(reterr, reterr_size, "prices.adjust: %s", bur_strerror(r));
	return r;
}

static bool is_plain(const struct settings *s, const json_t *local)
{
	return json_array_size(json_object_get(local, "providers")) == 0 && s->n_price_overrides == 0 &&
	       s->n_price_factors == 0;
}

int book_overlay(const struct settings *s, const json_t *local, json_t *root, bool *ret_changed, char *reterr,
		 size_t reterr_size)
{
	char today[BOOK_DAY_MAX];
	int r;

	*ret_changed = !is_plain(s, local);
	if (!*ret_changed)
		return BUR_OK;
	r = import_overlay(root, local, "import", book_today(today), reterr, reterr_size);
	if (r == BUR_OK)
		r = scale(s, root, reterr, reterr_size); /* what people write by hand is what they pay */
	if (r == BUR_OK)
		r = import_overlay(root, local, "operator", today, reterr, reterr_size);
	if (r == BUR_OK)
		r = lay_configured(s, root, today, reterr, reterr_size);
	(void)json_object_del(root, "version"); /* it is another book now, known by its content */
	return r;
}

int book_assemble(const struct settings *s, struct slice base, char **ret_text, char *reterr, size_t reterr_size)
{
	json_t *local = NULL, *root = NULL;
	bool changed = false;
	int r = book_read_local(s, &local, reterr, reterr_size);

	*ret_text = NULL;
	if (r < 0)
		return r;
	if (is_plain(s, local))
		goto out;
	root = json_loadb(base.p, base.n, 0, NULL);
	if (!root)
		goto out; /* what is wrong with it is said by who parses it */
	r = book_overlay(s, local, root, &changed, reterr, reterr_size);
	if (r == BUR_OK && changed) {
		*ret_text = json_dumps(root, JSON_COMPACT);
		r = *ret_text ? BUR_OK : BUR_NOMEM;
	}
out:
	json_decref(root);
	json_decref(local);
	return r;
}

/* --- with and without --------------------------------------------------------------------------------------------- */

void book_done(struct books *b)
{
	json_decref(b->base);
	json_decref(b->now);
	json_decref(b->local);
}

int book_with(const struct settings *s, const json_t *base, const json_t *local, json_t **ret, char *err, size_t size)
{
	struct price_book *book = NULL;
	json_t *root = json_deep_copy(base);
	char *text = NULL;
	bool changed;
	int r = root ? book_overlay(s, local, root, &changed, err, size) : BUR_NOMEM;

	if (r == BUR_OK) {
		text = json_dumps(root, JSON_COMPACT);
		r = text ? price_book_parse(slice_of(text), &book, err, size) : BUR_NOMEM;
	}
	price_book_unref(book);
	free(text);
	if (r < 0) {
		json_decref(root);
		return r;
	}
	*ret = root;
	return BUR_OK;
}

int book_open(const struct settings *s, struct books *b, char *err, size_t size)
{
	char *text = NULL;
	struct slice base;
	int r;

	CHECK(size >= BOOT_ERROR_MAX);
	*b = (struct books){0};
	r = boot_base_prices(s, &text, &base, err);
	if (r == BUR_OK) {
		b->base = json_loadb(base.p, base.n, 0, NULL);
		if (!b->base) {
			(void)snprintf(err, size, "the price book is no JSON");
			r = BUR_INVALID;
		}
	}
	free(text);
	if (r == BUR_OK)
		r = book_read_local(s, &b->local, err, size);
	if (r == BUR_OK)
		r = book_with(s, b->base, b->local, &b->now, err, size);
	if (r < 0)
		book_done(b);
	return r;
}
