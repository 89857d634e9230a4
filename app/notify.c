#include "app/notify.h"

#include <sqlite3.h>
#include <stdio.h>

#include "app/files.h"
#include "app/reset.h"
#include "base/error.h"
#include "store/alerts.h"

static int load_instance(struct notify *n, struct store *store)
{
	sqlite3 *db = NULL;
	int r = store_reader(store, &db);

	if (r == BUR_OK)
		r = alerts_instance(db, n->instance);
	(void)sqlite3_close(db);
	return r;
}

int notify_start(struct notify *n, const struct settings *s, const struct boot *b, struct loop *loop,
		 char reterr[BOOT_ERROR_MAX])
{
	int r;

	*n = (struct notify){.config = s->alerts, .expiry = {.store = b->store, .before_s = s->alerts.key_expiry_s}};
	n->config.from_instance = n->instance;
	/* Links in messages are signed with it: the same for as long as they are valid. */
	r = files_secret(s->data_dir, "alerts.key", n->link_secret, sizeof(n->link_secret), reterr, BOOT_ERROR_MAX);
	if (r < 0)
		return r;
	r = load_instance(n, b->store);
	if (r == BUR_OK)
		r = facts_open(&n->facts, b->store, b->engine, b->set);
	if (r == BUR_OK) {
		n->reset = reset_new(b->store, b->engine, b->set);
		r = n->reset ? BUR_OK : BUR_NOMEM;
	}
	(void)loop;
	if (r < 0)
		(void)snprintf(reterr, BOOT_ERROR_MAX, "cannot read what people were told: %s", bur_strerror(r));
	return r;
}

void notify_tick(struct notify *n)
{
	reset_tick(n->reset);
	expiry_tick(&n->expiry);
}

void notify_stop(struct notify *n)
{
	reset_free(n->reset);
	facts_close(&n->facts);
	bytes_wipe(n->link_secret, sizeof(n->link_secret));
	*n = (struct notify){0};
}
