/* price.h - the price book: what a unit costs for a model at a time.
 *
 * A book is immutable once loaded and counted by reference: a call keeps the book it started with. Prices are exact
 * integers (pico-USD per `per`). File format "bursar-prices/1" as in docs/prices.md. Pure; any thread. */
#ifndef PRICE_PRICE_H
#define PRICE_PRICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/amount.h"
#include "base/attr.h"
#include "base/slice.h"
#include "price/unit.h"

#define MODEL_NAME_MAX 191 /* bytes of a model's name, wherever it comes from */

struct price_book;
struct price_model;

/* BUR_OK, BUR_INVALID (reterr says line or entry), BUR_NOMEM. */
int price_book_parse(struct slice json, struct price_book **ret, char *reterr, size_t reterr_size)
    NONNULL(2, 3) MUST_USE;
struct price_book *price_book_ref(struct price_book *) NONNULL(1);
void price_book_unref(struct price_book *); /* NULL is fine */
/* Number of the book in force (from its file; made of its content when there is none) and the SHA-256-independent
 * stable hash of its content. */
uint32_t price_book_version(const struct price_book *) NONNULL(1);
uint64_t price_book_hash(const struct price_book *) NONNULL(1);
size_t price_book_models(const struct price_book *) NONNULL(1);

/* Model by requested or reported name: trimmed, lower-cased; operator's alias, exact, then the book's match rules, then
 * one step of the provider's fallback, then inheritance (date and -latest/-preview suffixes stripped; *ret_inherited).
 * NULL: unknown. */
const struct price_model *price_find(const struct price_book *, struct slice provider, struct slice model,
				     bool *ret_inherited) NONNULL(1) MUST_USE;
/* The provider whose list prices hold at "https://host/path", or NULL. Lives as long as the book. */
const char *price_provider_at(const struct price_book *, const char *url) NONNULL(1, 2);
const char *price_model_id(const struct price_model *) NONNULL(1);
uint64_t price_model_max_out(const struct price_model *) NONNULL(1); /* 0 = not known */
uint64_t price_model_context(const struct price_model *) NONNULL(1); /* 0 = not known */
uint64_t price_model_image_max(const struct price_model *)
    NONNULL(1); /* tokens of the dearest picture; 0 = not known */
/* Reasoning is billed but not sent: text seen on the wire is then no bound of the output. `asked`: the request says
 * something about reasoning; some models reason only then. */
bool price_model_hides_reasoning(const struct price_model *, bool asked) NONNULL(1);
/* Whether any row of the model prices this unit. */
bool price_model_has(const struct price_model *, enum price_unit) NONNULL(1);

enum price_service { SERVICE_STANDARD, SERVICE_FLEX, SERVICE_PRIORITY, SERVICE_BATCH, SERVICE_COUNT };

/* Under which terms the call ran, as the answer (or, before it, the request) says. */
struct price_terms {
	int64_t at_s; /* when the call was sent, Unix s */
	enum price_service service;
	/* Of several calls that are priced together: none had more input than this, and long-context tiers go by it.
	 * Where some are over a tier's border and some are not, all are priced as if they were over. 0: it is one call.
	 */
	uint64_t call_input;
	bool fast;      /* Anthropic speed "fast" */
	bool us;        /* Anthropic inference_geo "us" */
	bool residency; /* a vendor's regional host with a surcharge */
};

/* Exact cost: a part with a price of its own is taken out of all that it is a part of; one without is part of its
 * whole. Quantities that contradict each other are read the larger way. BUR_OK, BUR_OVERFLOW (`price_error`),
 * BUR_NOTFOUND (no price in force at that time). */
int price_cost(const struct price_model *, const struct quantities *, const struct price_terms *, struct cost_sum *ret)
    NONNULL(1, 2, 3, 4) MUST_USE;

/* The same, unit by unit: `quantity` is what is left of the unit without the parts that have a price of their own, and
 * costs quantity * rate_pusd / per, by the row that was in force from from_s until to_s. */
struct price_line {
	enum price_unit unit;
	uint64_t quantity;
	int64_t rate_pusd, per;
	int64_t from_s, to_s;
	uint64_t over; /* for inputs of more tokens than this; 0: any */
	enum price_service service;
};
struct price_bill {
	struct price_line lines[PRICE_UNIT_COUNT];
	size_t n;
	struct cost_sum sum;
};
/* Codes as price_cost. */
int price_bill(const struct price_model *, const struct quantities *, const struct price_terms *,
	       struct price_bill *ret) NONNULL(1, 2, 3, 4) MUST_USE;

/* What is not yet known before the answer. */
struct price_doubt {
	int64_t until_s;   /* the call may be priced up to then: every time-of-day and dated row until then counts */
	bool may_priority; /* the vendor may serve it on its priority tier */
	bool may_write_cache, may_write_cache_1h; /* input may be billed as a cache write */
};
/* The dearest cost that quantities up to `most` can have, for all parts of a unit that they could turn out to be:
 * PRICE_IN is taken at the dearest of plain, cache write (if it may), and those input parts whose quantity in `most` is
 * not 0; PRICE_OUT at the dearest of its parts whose quantity is not 0, and of plain; fees as they stand. Cache reads,
 * text, reasoning and citations are always possible. Every
 * long-context tier that the input can reach. Codes as price_cost. */
int price_worst(const struct price_model *, const struct quantities *most, const struct price_terms *,
		const struct price_doubt *, struct cost_sum *ret) NONNULL(1, 2, 3, 4, 5) MUST_USE;

#endif
