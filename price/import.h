/* import.h - price lists of others, and local changes, over the shipped book.
 *
 * Everything here works on documents in the form of a price book (format "bursar-prices/1", docs/prices.md) as jansson
 * trees. Numbers of foreign lists are taken as the decimal text that stands there, never as floating point.
 * A local document is such a book whose models may also have: "origin" ("import" or "operator"), "source" (text),
 * "stale" (true: the list it came from names it no more; its last price stays). Pure; any thread. */
#ifndef PRICE_IMPORT_H
#define PRICE_IMPORT_H

#include <jansson.h>

#include "base/attr.h"
#include "base/slice.h"

#define IMPORT_BYTES_MAX (16u << 20)

enum import_format {
	IMPORT_AUTO,
	IMPORT_BURSAR,     /* a book of ours */
	IMPORT_GENAI,      /* genai-prices, v2 data: an array of providers */
	IMPORT_LITELLM,    /* LiteLLM's model map: an object of models, one key is "sample_spec" */
	IMPORT_MODELS_DEV, /* models.dev: an object of providers with "models" */
	IMPORT_OPENROUTER, /* OpenRouter's models: {"data":[…]} */
};

/* Reads JSON into a tree in which every number is a string, its literal. Duplicate keys are an error, as is more than
 * IMPORT_BYTES_MAX. BUR_OK, BUR_INVALID (reterr), BUR_TOOBIG, BUR_NOMEM. */
int import_read(struct slice text, json_t **ret, char *reterr, size_t reterr_size) NONNULL(2, 3) MUST_USE;

struct import_ask {
	enum import_format format; /* IMPORT_AUTO: by what the document looks like */
	const char *provider;      /* id in our book; only this one; NULL = all */
	const char *today;         /* "YYYY-MM-DD": prices without a date begin here */
};

/* A foreign list as a local document of origin "import". *ret_notes: an array of texts, one for each model that could
 * not be taken and why (a price of an unknown kind would otherwise be lost). BUR_INVALID: reterr says what is wrong. */
int import_convert(json_t *tree, const struct import_ask *, json_t **ret_local, json_t **ret_notes, char *reterr,
		   size_t reterr_size) NONNULL(2, 3, 4, 5) MUST_USE;

/* Lays the local models of one origin over the book. A model that is named there keeps what the local rows do not
 * price; rows before the first local date stay, closed at that date. BUR_NOMEM, BUR_INVALID. */
int import_overlay(json_t *book, const json_t *local, const char *origin, const char *today, char *reterr,
		   size_t reterr_size) NONNULL(1, 2, 3, 4, 5) MUST_USE;

/* Takes models out of a converted list for which the book has prices by the time of day and the list has not; a note
 * for each. BUR_NOMEM. */
int import_keep_windows(const json_t *book, json_t *fresh, json_t *notes) NONNULL(1, 2, 3) MUST_USE;
/* Takes models out of it that cost what the book says already, unless local prices of them were imported before: they
 * then follow the book. BUR_NOMEM. */
int import_drop_same(const json_t *book, const json_t *local, json_t *fresh, const char *today)
    NONNULL(1, 2, 3, 4) MUST_USE;
/* Providers get the names that the book has for them. */
void import_our_names(const json_t *book, json_t *fresh) NONNULL(1, 2);
/* Takes a converted list into the local document: same prices change nothing, other ones close the rows before at
 * today's date, models that the list no longer has are marked stale. */
int import_keep(json_t *local, const json_t *fresh, const char *today) NONNULL(1, 2, 3) MUST_USE;
/* Adds or replaces one model of the operator. `model`: {"id","prices",…}; taken over. */
int import_set(json_t *local, const char *provider, json_t *model) NONNULL(1, 2, 3) MUST_USE;

/* What costs another amount on that day: an array of {"provider","model","unit","service","over","old","new","change"},
 * old or new "" when there is none, change such as "+25.0 %". *ret_wild: how many fell by more than half, or rose to
 * more than three times. NULL: out of memory. */
json_t *import_diff(const json_t *before, const json_t *after, const char *day, size_t *ret_wild)
    NONNULL(1, 2, 3, 4) MUST_USE;

/* What a match of provider and model costs, as a share of what the book says. `*` stands for any text. */
struct import_factor {
	const char *provider, *model;
	int64_t num, den;
};
/* Multiplies every rate of each model by the first of the factors that matches it, rounded up at the twelfth decimal.
 */
int import_scale(json_t *book, const struct import_factor *, size_t n) NONNULL(1) MUST_USE;

/* An empty local document. NULL: out of memory. */
json_t *import_local_new(void) MUST_USE;

#endif
