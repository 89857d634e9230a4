/* price_impl.h - what a loaded book looks like inside. For this room and its tests only. */
#ifndef PRICE_PRICE_IMPL_H
#define PRICE_PRICE_IMPL_H

#include <regex.h>
#include <stdbool.h>

#include "base/map.h"
#include "price/price.h"

#define RATE_NONE (-1)
#define SECONDS_PER_DAY 86400
#define MULTIPLIER_ONE 1000000 /* parts per million */

/* Where a call may run at another price. */
enum price_region { REGION_ANY, REGION_US, REGION_RESIDENCY, REGION_COUNT };

struct price_row {
	int64_t from_s, to_s;                /* in force: from_s <= t < to_s */
	int32_t tod_begin, tod_end;          /* seconds of the UTC day, may wrap; tod_begin < 0: all day */
	uint64_t over;                       /* applies when the input is over this many tokens */
	uint8_t service, region;             /* enum price_service, enum price_region */
	uint32_t place;                      /* in the book */
	int64_t rate_pusd[PRICE_UNIT_COUNT]; /* RATE_NONE when not priced */
};

struct price_model {
	char *id;
	uint64_t context, max_out, image_max;
	uint64_t min_audio_ms; /* audio that is billed by time is billed for at least this long */
	bool hides_reasoning, reasons_if_asked;
	int64_t fast_ppm, region_ppm[REGION_COUNT]; /* MULTIPLIER_ONE when there is none */
	struct price_row *rows;                     /* best first */
	size_t n_rows;
};

/* In the order in which rules are tried. */
enum price_op { OP_EQ, OP_RE, OP_STARTS_WITH, OP_ENDS_WITH, OP_CONTAINS, OP_AND, OP_OR, OP_NOT };

struct price_rule {
	enum price_op op;
	enum price_op rank; /* its own operation; of a group that of its weakest member */
	char *text;         /* OP_RE: what every name that matches begins with */
	size_t text_n;
	regex_t *re;
	struct price_rule *parts; /* of a group */
	size_t n_parts;
	const struct price_model *model;
};

struct price_provider {
	char *id;
	struct map *names;        /* name to struct price_model */
	struct map *aliases;      /* name to another name, free()d with the book */
	struct price_rule *rules; /* by rank, then longest first */
	size_t n_rules;
	struct price_model *models;
	size_t n_models;
	regex_t **url_res; /* hosts that are no plain names */
	size_t n_url_res;
	struct price_provider *fallback[8];
	size_t n_fallback;
};

struct price_book {
	_Atomic unsigned refs;
	uint32_t version;
	uint64_t hash;
	struct map *by_name, *by_host; /* to struct price_provider */
	struct price_provider *providers;
	size_t n_providers;
};

/* Whether this one rule says so; the name is normalised. */
bool price_rule_matches(const struct price_rule *, const char *name, size_t name_n) NONNULL(1, 2);

/* --- loading, price_book.c and its helpers ------------------------------------------------------------------------ */

struct json_t;

/* Where the loader is, for messages. */
struct price_loader {
	struct price_book *book;
	const char *provider, *model;
	char *err;
	size_t err_size;
};

/* Multipliers in force: a model's own override those of its provider. */
struct price_multipliers {
	int64_t service_ppm[SERVICE_COUNT]; /* 0 = none */
	int64_t fast_ppm, region_ppm[REGION_COUNT];
};

/* Says what is wrong and where; BUR_INVALID. */
int price_complain(const struct price_loader *, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* BUR_INVALID when the object has a key that is not in the NULL-terminated list. */
int price_only_keys(const struct price_loader *, struct json_t *, const char *const *keys) MUST_USE;
int price_load_count(const struct price_loader *, struct json_t *, const char *key, uint64_t *ret) MUST_USE;
/* price_rows.c */
int price_load_multipliers(const struct price_loader *, struct json_t *, struct price_multipliers *) MUST_USE;
int price_load_rows(const struct price_loader *, struct json_t *prices, const struct price_multipliers *,
		    struct price_model *) MUST_USE;
/* price_rules.c */
int price_load_matches(struct price_loader *, struct price_provider *, struct json_t *match,
		       struct price_model *) MUST_USE;
void price_sort_rules(struct price_provider *);
void price_free_rule(struct price_rule *);
/* Anchored at both ends. BUR_INVALID, BUR_NOMEM. */
int price_compile(const struct price_loader *, const char *pattern, regex_t **ret) MUST_USE;

#endif
