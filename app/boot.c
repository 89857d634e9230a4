#include "app/boot.h"

#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/files.h"
#include "base/clock.h"
#include "base/error.h"

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

static int open_engine(const struct settings *s, struct boot *b, char reterr[BOOT_ERROR_MAX])
{
	struct engine_config config = {.max_meters = METERS_MAX, .deny_without_budget = s->deny_without_budget};
	struct restore re = {.now_s = clock_wall_ns() / NS_PER_S};
	int r = budget_set_new(s->budgets, s->n_budgets, &b->set, reterr, BOOT_ERROR_MAX);

	if (r < 0)
		return r;
	b->engine = engine_new(b->set, &config);
	if (!b->engine) {
		(void)snprintf(reterr, BOOT_ERROR_MAX, "out of memory");
		return BUR_NOMEM;
	}
	re.engine = b->engine;
	r = store_each_meter(b->store, re.now_s, restore_meter, &re);
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
	engine_free(b->engine);
	budget_set_free(b->set);
	*b = (struct boot){0};
}

/* --- prices ------------------------------------------------------------------------------------------------------- */

/* Beside the binary, in its installation, in the current folder, in the source tree that the binary was built in. */
static bool find_prices(char dst[PATH_MAX])
{
	static const char *const from_binary[] = {"prices.json", "conf/prices.json", "../share/bursar/prices.json",
						  "../../conf/prices.json"};
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *dir;

	if (access("conf/prices.json", R_OK) == 0)
		return files_path(dst, PATH_MAX, "conf", "prices.json");
	if (n <= 0)
		return false;
	self[n] = '\0';
	dir = dirname(self);
	for (size_t i = 0; i < ARRAY_LEN(from_binary); i++)
		if (files_path(dst, PATH_MAX, dir, from_binary[i]) && access(dst, R_OK) == 0)
			return true;
	return false;
}

int boot_price_book(const struct settings *s, struct price_book **ret, char **ret_text, size_t *ret_n,
		    char reterr[BOOT_ERROR_MAX])
{
	char found[PATH_MAX], why[256] = "";
	const char *path = s->prices;
	char *text = NULL;
	size_t n = 0;
	int r;

	if (!path) {
		if (!find_prices(found)) {
			(void)snprintf(reterr, BOOT_ERROR_MAX,
				       "no price book found; name one with `prices: PATH` in %s", s->file);
			return BUR_NOTFOUND;
		}
		path = found;
	}
	r = files_read(path, PRICES_MAX_BYTES, &text, &n);
	if (r < 0) {
		(void)snprintf(reterr, BOOT_ERROR_MAX, "cannot read the price book %.200s: %s", path, bur_strerror(r));
		return r;
	}
	r = price_book_parse(slice_mem(text, n), ret, why, sizeof(why));
	if (r < 0)
		(void)snprintf(reterr, BOOT_ERROR_MAX, "%.200s: %s", path, why[0] ? why : bur_strerror(r));
	if (r == BUR_OK && ret_text) {
		*ret_text = text;
		*ret_n = n;
		return BUR_OK;
	}
	free(text);
	return r;
}
