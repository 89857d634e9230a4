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

static int start_alerts(struct notify *n, const struct boot *b, struct loop *loop)
{
	const struct alerts_deps deps = {.store = b->store,
					 .loop = loop,
					 .describe = facts_describe,
					 .figures = facts_figures,
					 .ctx = &n->facts,
					 .link_secret = n->link_secret};

	n->alerts = alerts_new(&n->config, &deps);
	return n->alerts ? BUR_OK : BUR_NOMEM;
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
	if (r == BUR_OK)
		r = start_alerts(n, b, loop);
	if (r < 0)
		(void)snprintf(reterr, BOOT_ERROR_MAX, "cannot read what people were told: %s", bur_strerror(r));
	return r;
}

void notify_tick(struct notify *n)
{
	reset_tick(n->reset);
	expiry_tick(&n->expiry);
	alerts_tick(n->alerts);
}

void notify_stop(struct notify *n)
{
	alerts_free(n->alerts);
	reset_free(n->reset);
	facts_close(&n->facts);
	bytes_wipe(n->link_secret, sizeof(n->link_secret));
	*n = (struct notify){0};
}
