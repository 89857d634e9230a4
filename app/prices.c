#include "app/prices.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/reprice.h"
#include "base/calendar.h"
#include "base/error.h"
#include "base/log.h"
#include "store/adjust.h"

/* --- keeping the book --------------------------------------------------------------------------------------------- */

/* A book whose number belongs to another one already, because it was changed and kept its number, is known by its
 * content instead. *inout_text is replaced. */
static int without_number(char **inout_text, struct price_book **inout_book)
{
	struct price_book *book = NULL;
	char *text = NULL, why[256];
	json_t *root = json_loads(*inout_text, 0, NULL);
	int r = BUR_NOMEM;

	if (root && json_object_del(root, "version") == 0)
		text = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	if (text)
		r = price_book_parse(slice_of(text), &book, why, sizeof(why));
	if (r < 0) {
		free(text);
		return r;
	}
	price_book_unref(*inout_book);
	free(*inout_text);
	*inout_book = book;
	*inout_text = text;
	return BUR_OK;
}

static int save(struct prices *p, const struct price_book *book, const char *text)
{
	return store_save_price_book(p->store, price_book_version(book), price_book_hash(book), slice_of(text));
}

static void take(struct prices *p, struct price_book *book)
{
	bool changed = !p->book || price_book_hash(p->book) != price_book_hash(book);

	price_book_unref(p->book);
	p->book = book;
	if (changed && p->use)
		p->use(p->use_ctx, book);
}

int prices_load(struct prices *p, char reterr[BOOT_ERROR_MAX])
{
	struct price_book *book = NULL;
	char *text = NULL;
	size_t n = 0;
	int r = boot_price_book(p->settings, &book, &text, &n, reterr);

	if (r < 0)
		return r;
	r = save(p, book, text);
	if (r == BUR_ALREADY) {
		r = without_number(&text, &book);
		if (r == BUR_OK)
			r = save(p, book, text);
	}
	free(text);
	if (r < 0) {
		price_book_unref(book);
		(void)snprintf(reterr, BOOT_ERROR_MAX, "cannot keep the price book in the ledger: %s", bur_strerror(r));
		return r;
	}
	take(p, book);
	return BUR_OK;
}

void prices_done(struct prices *p)
{
	price_book_unref(p->book);
	p->book = NULL;
}

/* --- the admin API ------------------------------------------------------------------------------------------------ */

static int reload(struct prices *p, json_t **ret, char *reterr, size_t reterr_size)
{
	uint64_t before = p->book ? price_book_hash(p->book) : 0;
	char why[BOOT_ERROR_MAX];
	int r = prices_load(p, why);

	if (r < 0) {
		(void)snprintf(reterr, reterr_size, "%s", why);
		return r == BUR_INVALID ? BUR_CORRUPT : r; /* the question was right */
	}
	if (before != price_book_hash(p->book))
		log_msg(LOG_INFO, "prices.loaded", "price book %u is in force, %zu models with a price",
			price_book_version(p->book), price_book_models(p->book));
	*ret = json_pack("{s:I,s:I,s:b}", "price_version", (json_int_t)price_book_version(p->book), "models",
			 (json_int_t)price_book_models(p->book), "changed", before != price_book_hash(p->book));
	return *ret ? BUR_OK : BUR_NOMEM;
}

static int bad(const char **ret_field, const char *field, char *reterr, size_t size, const char *text)
{
	*ret_field = field;
	(void)snprintf(reterr, size, "%s", text);
	return BUR_INVALID;
}

static int take_time(const json_t *ask, const char *field, int64_t *ret_ns)
{
	const json_t *v = json_object_get(ask, field);

	if (!v || json_is_null(v))
		return BUR_OK;
	return json_is_string(v) ? time_parse(slice_of(json_string_value(v)), ret_ns) : BUR_INVALID;
}

static int take_name(const json_t *ask, const char *field, struct slice *ret)
{
	const json_t *v = json_object_get(ask, field);

	if (!v || json_is_null(v))
		return BUR_OK;
	*ret = slice_mem(json_string_value(v), json_string_length(v));
	return json_is_string(v) ? BUR_OK : BUR_INVALID;
}

static int read_reprice(const json_t *ask, struct reprice_ask *a, const char **ret_field, char *err, size_t size)
{
	static const char *const times[] = {"since", "until"}, *const names[] = {"provider", "model"};
	int64_t *const to_time[] = {&a->from_ns, &a->to_ns};
	struct slice *const to_name[] = {&a->provider, &a->model};
	const json_t *after = json_object_get(ask, "after"), *dry = json_object_get(ask, "dry_run"),
		     *actor = json_object_get(ask, "actor");

	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		if (take_time(ask, times[i], to_time[i]) < 0)
			return bad(ret_field, times[i], err, size, "Input should be a valid date or datetime");
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (take_name(ask, names[i], to_name[i]) < 0)
			return bad(ret_field, names[i], err, size, "Input should be a valid string");
	if (after && !json_is_null(after) && (!json_is_integer(after) || json_integer_value(after) < 0))
		return bad(ret_field, "after", err, size, "Input should be a valid integer, 0 or more");
	if (dry && !json_is_boolean(dry))
		return bad(ret_field, "dry_run", err, size, "Input should be a valid boolean");
	if (actor && (!json_is_string(actor) || json_string_length(actor) == 0 ||
		      json_string_length(actor) > ADJUST_ACTOR_MAX || strlen(json_string_value(actor)) == 0))
		return bad(ret_field, "actor", err, size, "Input should be a short text");
	a->after_seq = json_integer_value(after); /* 0 when absent */
	a->dry_run = json_is_true(dry);
	a->actor = actor ? json_string_value(actor) : "admin API";
	return BUR_OK;
}

int prices_api(void *ctx, const char *action, const struct json_t *ask, struct json_t **ret, const char **ret_field,
	       char *reterr, size_t reterr_size)
{
	struct prices *p = ctx;
	struct reprice_ask a = {0};
	char why[BOOT_ERROR_MAX];
	int r;

	if (strcmp(action, "reload") == 0)
		return reload(p, ret, reterr, reterr_size);
	r = read_reprice(ask, &a, ret_field, reterr, reterr_size);
	if (r < 0)
		return r;
	if (!p->book && prices_load(p, why) < 0) {
		(void)snprintf(reterr, reterr_size, "%s", why);
		return BUR_IO;
	}
	r = reprice(p, &a, ret);
	if (r < 0)
		(void)snprintf(reterr, reterr_size, "the ledger cannot be corrected: %s", bur_strerror(r));
	return r == BUR_INVALID ? BUR_IO : r;
}
