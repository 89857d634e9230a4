#include "app/expiry.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/calendar.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "store/keys.h"
#include "store/note.h"

#define LOOK_NS (3600 * NS_PER_S)

enum { PART_FIRST, PART_LAST };

/* Writing waits for the writer, which a visit of its rows must not. */
struct found {
	int64_t now_s, before_s;
	struct key {
		char name[64];
		int64_t not_after_s;
	} * list;
	size_t n, cap;
};

static int take_key(void *ctx, const struct key_row *row)
{
	struct found *f = ctx;
	int64_t left = row->not_after_s - f->now_s;

	if (row->not_after_s == 0 || row->revoked_s != 0 || left <= 0 || left > f->before_s)
		return BUR_OK;
	if (f->n == f->cap) {
		size_t cap = f->cap ? 2 * f->cap : 16;
		struct key *list = realloc(f->list, cap * sizeof(*list));

		if (!list)
			return BUR_NOMEM;
		f->list = list;
		f->cap = cap;
	}
	f->list[f->n].not_after_s = row->not_after_s;
	(void)snprintf(f->list[f->n++].name, sizeof(row->name), "%s", row->name);
	return BUR_OK;
}

static int tell(struct store *store, const struct key *k, int64_t now_s)
{
	bool last = k->not_after_s - now_s <= EXPIRY_LAST_S;
	struct note n = {.kind = "key.expiring",
			 .object = slice_of(k->name),
			 .since_s = k->not_after_s,
			 .part = last ? PART_LAST : PART_FIRST,
			 .state = NOTE_BEGAN,
			 .at_ns = clock_wall_ns()};
	char when[TIME_TEXT_MAX] = "", message[256], *text;
	struct tz *utc = NULL;
	json_t *o;
	int r = BUR_NOMEM;

	if (tz_load("UTC", &utc) < 0)
		return r;
	(void)time_format(utc, k->not_after_s, when);
	tz_free(utc);
	(void)snprintf(message, sizeof(message), "Key %s ends at %s: from then on its calls are refused", k->name,
		       when);
	o = json_pack("{s:s,s:s,s:s,s:s,s:I,s:I}", "message", message, "object", k->name, "object_kind", "key",
		      "severity", last ? "error" : "warning", "not_after", (json_int_t)k->not_after_s, "ends_s",
		      (json_int_t)k->not_after_s);
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	if (text) {
		n.payload = slice_of(text);
		r = store_note(store, &n);
	}
	free(text);
	if (r == BUR_OK)
		log_msg(LOG_WARN, n.kind, "%s", message);
	return r == BUR_ALREADY ? BUR_OK : r;
}

void expiry_tick(struct expiry *e)
{
	int64_t now_ns = clock_mono_ns();
	struct found f = {.now_s = clock_wall_ns() / NS_PER_S,
			  .before_s = e->before_s > 0 ? e->before_s : EXPIRY_DEFAULT_S};
	int r;

	if (now_ns < e->next_ns)
		return;
	e->next_ns = now_ns + LOOK_NS;
	r = keys_each(e->store, take_key, &f);
	for (size_t i = 0; i < f.n && r == BUR_OK; i++)
		r = tell(e->store, &f.list[i], f.now_s);
	free(f.list);
	if (r < 0)
		log_msg(LOG_ERROR, "key.expiring", "keys that end soon cannot be told of: %s", bur_strerror(r));
}
