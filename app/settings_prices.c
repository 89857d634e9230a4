/* `prices:` as people write it: a path, or a map of the book, prices of their own, discounts and markups. */
#include <string.h>

#include "app/settings_file.h"
#include "base/amount.h"
#include "base/calendar.h"
#include "base/error.h"
#include "price/import.h"

#define PERCENT_DECIMALS 4
#define PERCENT_ONE INT64_C(10000) /* one per cent */

struct file_rates {
	const char *provider, *model, *from;
	struct pair_list usd;
	const struct node *node;
};

struct file_factor {
	const char *provider, *model, *discount, *markup;
	const struct node *node;
};

struct file_prices {
	const char *book;
	struct record_list rates, factors;
};

#define AT(record, field) .offset = offsetof(struct record, field)

static const struct option rates_rows[] = {
    {.name = "provider", .type = OPT_STRING, AT(file_rates, provider), .sentence = "provider of the price book"},
    {.name = "model", .type = OPT_STRING, AT(file_rates, model), .sentence = "the whole name of the model"},
    {.name = "from", .type = OPT_STRING, AT(file_rates, from), .optional = true, .sentence = "first day, YYYY-MM-DD"},
    {.name = "usd",
     .type = OPT_PAIRS,
     AT(file_rates, usd),
     .sentence = "unit: USD, such as {in: 3, out: 12}; units as in docs/prices.md; others stay as they are"},
};

static const struct option factor_rows[] = {
    {.name = "provider",
     .type = OPT_STRING,
     AT(file_factor, provider),
     .fallback = "*",
     .sentence = "provider of the price book; `*` stands for any text"},
    {.name = "model", .type = OPT_STRING, AT(file_factor, model), .fallback = "*", .sentence = "model, such as gpt-5*"},
    {.name = "discount", .type = OPT_STRING, AT(file_factor, discount), .optional = true, .sentence = "such as 10%"},
    {.name = "markup", .type = OPT_STRING, AT(file_factor, markup), .optional = true, .sentence = "such as 5%"},
};

static const struct option_table rates_table = {.name = "price",
						.record_bytes = sizeof(struct file_rates),
						.rows = rates_rows,
						.n_rows = ARRAY_LEN(rates_rows),
						.node_offset = offsetof(struct file_rates, node)};
static const struct option_table factor_table = {.name = "adjustment",
						 .record_bytes = sizeof(struct file_factor),
						 .rows = factor_rows,
						 .n_rows = ARRAY_LEN(factor_rows),
						 .node_offset = offsetof(struct file_factor, node)};

static const struct option prices_rows[] = {
    {.name = "book",
     .type = OPT_STRING,
     AT(file_prices, book),
     .optional = true,
     .sentence = "path of a price book; default is the one built into the program"},
    {.name = "rates",
     .type = OPT_LIST,
     AT(file_prices, rates),
     .optional = true,
     .max = 1000,
     .sub = &rates_table,
     .sentence = "prices of your own, over all others"},
    {.name = "adjust",
     .type = OPT_LIST,
     AT(file_prices, factors),
     .optional = true,
     .max = 1000,
     .sub = &factor_table,
     .sentence = "discounts and markups on what the book and imports say; of several that match, the first"},
};

static const struct option_table prices_table = {
    .name = "prices", .rows = prices_rows, .n_rows = ARRAY_LEN(prices_rows), .node_offset = SIZE_MAX};

/* --- checking ----------------------------------------------------------------------------------------------------- */

static int bad(struct settings_ctx *ctx, const struct node *at, const char *key, const char *expected, const char *got)
{
	return config_fail(ctx->err, ctx->file_name, settings_at(at, key), "%s: expected %s, got `%s`", key, expected,
			   got);
}

static bool is_day(const char *text)
{
	int64_t ns;

	return strlen(text) == 10 && time_parse(slice_of(text), &ns) == BUR_OK;
}

/* "12.5%" to ten thousandths of a per cent. */
static bool read_percent(const char *text, int64_t max, int64_t *ret)
{
	struct slice s = slice_trim(slice_of(text));

	if (!slice_ends(s, SLICE("%")))
		return false;
	s = slice_trim(slice_sub(s, 0, s.n - 1));
	return decimal_parse(s, PERCENT_DECIMALS, false, ret) == BUR_OK && *ret >= 0 && *ret <= max * PERCENT_ONE;
}

static int check_rates(struct settings_ctx *ctx, const struct file_rates *f, struct price_override *o)
{
	int64_t pusd;

	if (f->from && !is_day(f->from))
		return bad(ctx, f->node, "from", "a day such as 2026-08-21", f->from);
	for (size_t i = 0; i < f->usd.n; i++)
		if (decimal_parse(slice_of(f->usd.items[i].value), 12, false, &pusd) < 0 || pusd < 0)
			return bad(ctx, f->node, "usd", "a price in USD such as 0.15", f->usd.items[i].value);
	if (f->usd.n == 0)
		return bad(ctx, f->node, "usd", "at least one price", "nothing");
	*o = (struct price_override){f->provider, f->model, f->from, f->usd.items, f->usd.n};
	return BUR_OK;
}

static int check_factor(struct settings_ctx *ctx, const struct file_factor *f, struct import_factor *to)
{
	int64_t v = 0;

	if (!f->discount == !f->markup)
		return config_fail(ctx->err, ctx->file_name, f->node, "give either a discount or a markup");
	if (f->discount && !read_percent(f->discount, 100, &v))
		return bad(ctx, f->node, "discount", "0% to 100%", f->discount);
	if (f->markup && !read_percent(f->markup, 1000, &v))
		return bad(ctx, f->node, "markup", "0% to 1000%", f->markup);
	*to = (struct import_factor){.provider = f->provider,
				     .model = f->model,
				     .num = 100 * PERCENT_ONE + (f->discount ? -v : v),
				     .den = 100 * PERCENT_ONE};
	return BUR_OK;
}

static int check_lists(struct settings_ctx *ctx, const struct file_prices *f)
{
	struct settings *s = ctx->s;
	struct arena *arena = &s->own->arena;
	const struct file_rates *rates = f->rates.items;
	const struct file_factor *factors = f->factors.items;
	struct price_override *o = arena_alloc(arena, (f->rates.n + 1) * sizeof(*o));
	struct import_factor *to = arena_alloc(arena, (f->factors.n + 1) * sizeof(*to));
	int r = o && to ? BUR_OK : BUR_NOMEM;

	for (size_t i = 0; i < f->rates.n && r == BUR_OK; i++)
		r = check_rates(ctx, &rates[i], &o[i]);
	for (size_t i = 0; i < f->factors.n && r == BUR_OK; i++)
		r = check_factor(ctx, &factors[i], &to[i]);
	s->price_overrides = o;
	s->n_price_overrides = f->rates.n;
	s->price_factors = to;
	s->n_price_factors = f->factors.n;
	return r;
}

int settings_check_prices(struct settings_ctx *ctx)
{
	struct settings *s = ctx->s;
	const struct node *n = s->own->raw.prices;
	struct file_prices f = {0};
	int r;

	if (!n)
		return BUR_OK;
	if (n->kind == NODE_SCALAR) {
		s->prices = n->text.n > 0 ? arena_dup(&s->own->arena, n->text).p : NULL;
		return n->text.n > 0 && !s->prices ? BUR_NOMEM : BUR_OK;
	}
	r = config_read(&s->own->arena, ctx->file_name, n, &prices_table, &f, ctx->err);
	if (r < 0)
		return r;
	s->prices = f.book;
	return check_lists(ctx, &f);
}
