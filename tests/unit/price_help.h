/* price_help.h - price books of a test's own, whose vendor is acme. */
#ifndef TESTS_PRICE_HELP_H
#define TESTS_PRICE_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "price/price.h"

UNUSED static struct price_book *book_of(const char *json)
{
	struct price_book *b = NULL;
	char err[256] = "";

	if (price_book_parse(slice_of(json), &b, err, sizeof(err)) < 0)
		fail_msg("%s", err);
	return b;
}

UNUSED static const struct price_model *find(const struct price_book *b, const char *name)
{
	const struct price_model *m = price_find(b, SLICE("acme"), slice_of(name), NULL);

	if (!m)
		fail_msg("no %s", name);
	return m;
}

#endif
