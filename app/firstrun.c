#include "app/firstrun.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/files.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "store/keys.h"

struct census {
	size_t n, n_admins;
};

static int count_key(void *ctx, const struct key_row *row)
{
	struct census *c = ctx;

	c->n++;
	c->n_admins += row->admin && row->revoked_s == 0;
	return BUR_OK;
}

static int keep_text(const char *data_dir, const char *file, const char *text, char reterr[BOOT_ERROR_MAX])
{
	char path[PATH_MAX];
	int r = BUR_TOOBIG;

	if (files_path(path, sizeof(path), data_dir, file))
		r = files_write(path, text, strlen(text), 0600);
	if (r < 0)
		(void)snprintf(reterr, BOOT_ERROR_MAX, "cannot write %.200s/%s: %s", data_dir, file, bur_strerror(r));
	return r;
}

static int make_admin(struct store *store, const char *data_dir, char reterr[BOOT_ERROR_MAX])
{
	struct key_row row = {.name = "admin", .admin = true, .created_s = clock_wall_ns() / NS_PER_S};
	char text[KEY_TEXT_MAX];
	int r = keys_create(store, &row, text);

	if (r == BUR_ALREADY) { /* the name of a revoked one: let the store choose */
		row.name[0] = '\0';
		r = keys_create(store, &row, text);
	}
	if (r < 0) {
		(void)snprintf(reterr, BOOT_ERROR_MAX, "cannot make the administrator's key: %s", bur_strerror(r));
		return r;
	}
	r = keep_text(data_dir, ADMIN_TOKEN_FILE, text, reterr);
	bytes_wipe(text, sizeof(text));
	return r;
}

static int make_first(struct store *store, const char *data_dir, char reterr[BOOT_ERROR_MAX])
{
	struct key_row row = {.name = "first", .created_s = clock_wall_ns() / NS_PER_S};
	char text[KEY_TEXT_MAX];
	int r = keys_create(store, &row, text);

	if (r < 0) {
		(void)snprintf(reterr, BOOT_ERROR_MAX, "cannot make the first key: %s", bur_strerror(r));
		return r;
	}
	if (isatty(STDOUT_FILENO)) {
		printf("Your first virtual key, shown this once:\n\n  %s\n\n", text);
		(void)fflush(stdout);
	} else {
		r = keep_text(data_dir, FIRST_KEY_FILE, text, reterr);
		if (r == BUR_OK)
			log_msg(LOG_INFO, "key.first", "the first virtual key is in %s/%s", data_dir, FIRST_KEY_FILE);
	}
	bytes_wipe(text, sizeof(text));
	return r;
}

int firstrun_keys(struct store *store, const char *data_dir, char reterr[BOOT_ERROR_MAX])
{
	struct census c = {0};
	int r = keys_each(store, count_key, &c);

	if (r < 0) {
		(void)snprintf(reterr, BOOT_ERROR_MAX, "cannot read the keys: %s", bur_strerror(r));
		return r;
	}
	if (c.n_admins == 0)
		r = make_admin(store, data_dir, reterr);
	if (r == BUR_OK && c.n == 0)
		r = make_first(store, data_dir, reterr);
	return r;
}
