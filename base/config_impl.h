/* config_impl.h - what config.c, config_tree.c and config_print.c share; nobody else includes it. */
#ifndef BASE_CONFIG_IMPL_H
#define BASE_CONFIG_IMPL_H

#include "base/amount.h"
#include "base/config.h"

/* The i-th of "a|b|c"; false when there are not that many. */
bool config_choice(const char *choices, size_t i, struct slice *ret);
/* Nothing was written behind the colon, or `null` or `~`. */
bool config_is_null(const struct node *);

struct config_unit {
	const char *name;
	int64_t size;
};

#define CONFIG_NUMBER_TEXT_MAX (AMOUNT_TEXT_MAX + 8)
/* "10s", "64KiB", "50 USD" or "12": reads back as the same number. */
void config_number_text(enum option_type type, int64_t v, char dst[CONFIG_NUMBER_TEXT_MAX]);
/* Ordered from small to large, ended by a NULL name. */
extern const struct config_unit config_durations[], config_bytes[];

#endif
