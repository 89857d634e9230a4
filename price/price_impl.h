/* price_impl.h - what a loaded book looks like inside. For this room and its tests only. */
#ifndef PRICE_PRICE_IMPL_H
#define PRICE_PRICE_IMPL_H

#include <stdbool.h>

#include "base/map.h"
#include "price/price.h"

#define RATE_NONE (-1)
#define SECONDS_PER_DAY 86400
#define MULTIPLIER_ONE 1000000 /* parts per million */

struct price_row {
	int64_t from_s, to_s;       /* in force: from_s <= t < to_s */
	int32_t tod_begin, tod_end; /* seconds of the UTC day, may wrap; tod_begin < 0: all day */
	uint64_t over;              /* applies when the input is over this many tokens */
	uint8_t service;
	uint32_t place;                      /* in the book */
	int64_t rate_pusd[PRICE_UNIT_COUNT]; /* RATE_NONE when not priced */
};

struct price_model {
	char *id;
	uint64_t context, max_out, image_max;
	bool hides_reasoning;
	int64_t fast_ppm, us_ppm; /* MULTIPLIER_ONE when there is none */
	struct price_row *rows;   /* best first */
	size_t n_rows;
};

enum price_op { OP_STARTS_WITH, OP_ENDS_WITH, OP_CONTAINS };

struct price_rule {
	enum price_op op;
	char *text;
	char *without; /* NULL, or what the name must not contain */
	size_t text_n;
	struct price_model *model;
};

struct price_provider {
	char *id;
	struct price_rule *rules; /* by op, then longest first */
	size_t n_rules;
	struct price_model *models;
	size_t n_models;
};

struct price_book {
	_Atomic unsigned refs;
	uint32_t version;
	uint64_t hash;
	struct map *exact; /* "provider/name" to struct price_model */
	struct map *dated; /* the same for names that may carry a date */
	struct price_provider *providers;
	size_t n_providers;
};

#endif
