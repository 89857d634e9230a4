#include "app/boot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/book.h"
#include "app/files.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "policy/parent.h"

#define METERS_MAX 100000
#define PRICES_MAX_BYTES (16 * 1024 * 1024)

/* --- store and budgets -------------------------------------------------------------------------------------------- */

struct restore {
	struct engine *engine;
	int64_t now_s;
};

static int restore_meter(void *ctx, const struct meter_row *row)
{
	struct restore *re = ctx;
	int r = engine_restore(re->engine, row->budget, row->scope, row->win_start, row->win_end, row->posted,
			       row->credit, row->warned_mask, re->now_s);

	return r == BUR_NOTFOUND ? BUR_OK : r; /* a budget that is no longer configured */
}

static void warn(void *ctx, const char *text)
{
	(void)ctx;
	log_msg(LOG_WARN, "budget.parent", "%s", text);
}

static int open_engine(const struct settings *s, struct boot *b, char reterr[BOOT_ERROR_MAX])
{
	struct engine_config config = {
	    .max_meters = METERS_MAX, .deny_without_budget = s->deny_without_budget, .believe_clock = s->believe_clock};
	struct restore re = {0};
	int r = budget_set_new(s->budgets, s->n_budgets, &b->set, reterr, BOOT_ERROR_MAX);

	if (r < 0)
		return r;
	parent_each_overcommit(s->budgets, s->n_budgets, warn, NULL);
	b->engine = engine_new(b->set, &config);
	if (!b->engine) {
		(void)snprintf(reterr, BOOT_ERROR_MAX, "out of memory");
		return BUR_NOMEM;
	}
	re.engine = b->engine;
	re.now_s = engine_time_s(b->engine, clock_wall_ns(), clock_mono_ns());
	/* Rolling windows need every bucket of the last W; the engine leaves aside what counts no more. */
	r = store_each_meter(b->store, re.now_s - budget_set_longest_rolling_s(b->set), restore_meter, &re);
	if (r == BUR_OK)
		r = restore_changes(b->store, b->set, b->engine, re.now_s, &b->restored);
	if (r < 0) /* an unknown balance is not zero */
		(void)snprintf(reterr, BOOT_ERROR_MAX, "cannot restore the budgets from %s: %s", s->data_dir,
			       bur_strerror(r));
	return r;
}

int boot_open(const struct settings *s, struct boot *ret, int *ret_exit, char reterr[BOOT_ERROR_MAX])
{
	struct boot b = {0};
	int r;

	*ret_exit = EXIT_FAILED;
	reterr[0] = '\0';
	r = store_open(&s->store, &b.store, &b.recovery, ret_exit, reterr, BOOT_ERROR_MAX);
	if (r == BUR_OK) {
		*ret_exit = EXIT_STORE;
		r = open_engine(s, &b, reterr);
	}
	if (r < 0) {
		boot_close(&b);
		return r;
	}
	*ret = b;
	return BUR_OK;
}

void boot_close(struct boot *b)
{
	if (b->store)
		store_close(b->store);
	restore_done(&b->restored);
	engine_free(b->engine);
	budget_set_free(b->set);
	*b = (struct boot){0};
}

/* --- prices ------------------------------------------------------------------------------------------------------- */

/* The book that was made when the program was built; empty when it could not be made. */
__asm__(".pushsection .rodata, \"a\"\n"
	".globl boot_prices\n.hidden boot_prices\n"
	"boot_prices: .incbin \"" PRICES_FILE "\"\n"
	".globl boot_prices_end\n.hidden boot_prices_end\n"
	"boot_prices_end: .byte 0\n"
	".popsection");
extern const char boot_prices[] __attribute__((visibility("hidden")));
extern const char boot_prices_end[] __attribute__((visibility("hidden")));

/* Says nothing about any model, so that hard budgets refuse all. */
static const char no_prices[] =
    "{\"format\":\"bursar-prices/1\",\"currency\":\"USD\",\"version\":1,\"providers\":[]}\n";

static struct slice own_book(const struct settings *s)
{
	/* cppcheck-suppress comparePointers ; both ends of one linked file */
	struct slice text = slice_mem(boot_prices, (size_t)(boot_prices_end - boot_prices));

	if (text.n > 0)
		return text;
	log_msg(LOG_WARN, "prices.none",
		"this program was built without a price book, so every model is unknown and hard budgets refuse it; "
		"name a book with `prices: PATH` in %s, or build again with node and npm installed",
		s->file ? s->file : "the configuration");
	return SLICE(no_prices);
}

static int read_book(const char *path, char **ret_text, struct slice *ret, char reterr[BOOT_ERROR_MAX])
{
	size_t n = 0;
	int r = files_read(path, PRICES_MAX_BYTES, ret_text, &n);

	if (r < 0)
		(void)snprintf(reterr, BOOT_ERROR_MAX, "cannot read the price book %.200s: %s", path, bur_strerror(r));
	*ret = slice_mem(*ret_text, n);
	return r;
}

int boot_base_prices(const struct settings *s, char **ret_text, struct slice *ret, char reterr[BOOT_ERROR_MAX])
{
	*ret_text = NULL;
	if (s->prices)
		return read_book(s->prices, ret_text, ret, reterr);
	*ret = own_book(s);
	return BUR_OK;
}

/* What lies over the book replaces it. */
static int put_over(const struct settings *s, char **inout_text, struct slice *inout, char reterr[BOOT_ERROR_MAX])
{
	char *merged;
	int r = book_assemble(s, *inout, &merged, reterr, BOOT_ERROR_MAX);

	if (r < 0 || !merged)
		return r;
	free(*inout_text);
	*inout_text = merged;
	*inout = slice_of(merged);
	return BUR_OK;
}

int boot_price_book(const struct settings *s, struct price_book **ret, char **ret_text, size_t *ret_n,
		    char reterr[BOOT_ERROR_MAX])
{
	char why[256] = "", *text = NULL;
	struct slice json;
	int r = boot_base_prices(s, &text, &json, reterr);

	if (r == BUR_OK)
		r = put_over(s, &text, &json, reterr);
	if (r < 0)
		goto out;
	r = price_book_parse(json, ret, why, sizeof(why));
	if (r < 0)
		(void)snprintf(reterr, BOOT_ERROR_MAX, "%.200s: %s", s->prices ? s->prices : "the built-in price book",
			       why[0] ? why : bur_strerror(r));
	if (r == BUR_OK && ret_text) {
		*ret_text = text ? text : strndup(json.p, json.n);
		*ret_n = json.n;
		if (*ret_text)
			return BUR_OK;
		price_book_unref(*ret);
		r = BUR_NOMEM;
		(void)snprintf(reterr, BOOT_ERROR_MAX, "out of memory");
	}
out:
	free(text);
	return r;
}
