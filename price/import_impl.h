/* import_impl.h - what the importers share; for the files import*.c only. */
#ifndef PRICE_IMPORT_IMPL_H
#define PRICE_IMPORT_IMPL_H

#include <stdbool.h>

#include "price/import.h"

#define RATE_TEXT_MAX 40

/* A converter's work on one document. */
struct import_work {
	const struct import_ask *ask;
	json_t *local, *notes;
	bool no_memory;
};

/* A price literal times `times` (1, 1000, 3600, 1000000, 1000000000), rounded half-even at 12 decimals, into pico-USD.
 * false: no decimal, negative, or too large. */
bool import_rate(const json_t *literal, int64_t times, int64_t *ret_pusd) NONNULL(3);
/* "0.15", without trailing zeros. Returns dst. */
char *import_rate_text(int64_t pusd, char dst[RATE_TEXT_MAX]) NONNULL(2);
/* A whole number literal, or 0. */
json_int_t import_count(const json_t *literal);
/* The literal's text, or NULL. */
const char *import_text(const json_t *);

/* Says why a model was left out. */
void import_note(struct import_work *, const char *provider, const char *model, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* Does the question ask for this provider? */
bool import_wants(const struct import_work *, const char *provider) NONNULL(1, 2);
/* A new model (lower-cased id) with an empty list of prices, at the end of its provider; borrowed. NULL: the name is no
 * name, or out of memory. */
json_t *import_model(struct import_work *, const char *provider, const char *id) NONNULL(1, 2, 3);
void import_drop_model(struct import_work *, const char *provider, json_t *model) NONNULL(1, 2);
/* The row of a model with this service ("" = standard) and threshold, made when it is not there; borrowed. */
json_t *import_row(struct import_work *, json_t *model, const char *service, uint64_t over) NONNULL(1, 3);
/* Sets a rate of a row. */
void import_put_rate(struct import_work *, json_t *row, const char *unit, int64_t pusd) NONNULL(1, 3);
void import_put_count(struct import_work *, json_t *model, const char *key, json_int_t) NONNULL(1, 3);

/* --- documents in the form of a book -------------------------------------------------------------------------------
 */

/* The text of a member, "" when there is none. */
const char *import_member(const json_t *object, const char *key) NONNULL(2);
/* The entry of a list with that "id", or NULL; borrowed. */
json_t *import_find_id(json_t *list, const char *id) NONNULL(2);
/* The provider of that id, made when it is not there; borrowed. NULL: out of memory. */
json_t *import_provider(json_t *book, const char *id) NONNULL(1, 2);
/* Exact names of models, by import_lookup; borrows the book's models. NULL: out of memory. */
json_t *import_index(json_t *book) NONNULL(1) MUST_USE;
json_t *import_lookup(json_t *index, const char *provider, const char *name) NONNULL(1, 2, 3);
json_int_t import_over(const json_t *row);
/* The same service and region. */
bool import_same_terms(const json_t *a, const json_t *b);
bool import_has_windows(json_t *rows);
bool import_in_force(const json_t *row, const char *day) NONNULL(2);
/* What holds on that day for this much input under the terms of `like`, outside windows; NULL: nothing. */
json_t *import_row_on(json_t *rows, const json_t *like, json_int_t over, const char *day) NONNULL(4);

/* The converters. BUR_OK, or BUR_INVALID with reterr. */
int import_litellm(struct import_work *, json_t *tree, char *reterr, size_t reterr_size) NONNULL(1, 3);
int import_genai(struct import_work *, json_t *tree, char *reterr, size_t reterr_size) NONNULL(1, 3);
int import_models_dev(struct import_work *, json_t *tree, char *reterr, size_t reterr_size) NONNULL(1, 3);
int import_openrouter(struct import_work *, json_t *tree, char *reterr, size_t reterr_size) NONNULL(1, 3);

#endif
