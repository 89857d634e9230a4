/* txn_once.c - SDKs repeat a call under its idempotency key when they have waited too long for the answer. Where the
 * vendor bills such calls once (`bills_once_by`), their bills are one here too: the first that is settled puts it down,
 * the others bring it to the newest final one. Each of them takes a hold of its own. */
#include <openssl/sha.h>

#include "base/log.h"
#include "proxy/once.h"
#include "proxy/txn_outcome.h"
#include "store/late.h"

/* A field that stands twice says nothing. */
static struct slice only_value(const struct h1_head *h, struct slice lower_name)
{
	struct slice found = SLICE_NONE;

	for (size_t i = 0; i < h->n_fields; i++) {
		if (!slice_ieq(h->fields[i].name, lower_name))
			continue;
		if (found.n > 0)
			return SLICE_NONE;
		found = h->fields[i].value;
	}
	return found;
}

/* Caller, key, target and body: another body under the same key is another call, whatever the vendor makes of it. */
void txn_once_find(struct txn *t)
{
	const char *name = t->target.provider->bills_once_by;
	uint8_t digest[SHA256_DIGEST_LENGTH];
	struct slice value, id, body = txn_body(t);
	char hex[2 * sizeof(digest) + 1];

	t->once_key = 0;
	if (!name || !t->worker->proxy->once || t->stream_body || txn_is_late(t))
		return;
	value = only_value(t->head, slice_of(name));
	if (value.n == 0 || !SHA256((const unsigned char *)(body.n ? body.p : ""), body.n, digest))
		return;
	hex_encode(digest, sizeof(digest), hex);
	id = arena_printf(&t->arena, "once " SLICE_FMT " " SLICE_FMT " " SLICE_FMT " %s", SLICE_ARG(t->key_name),
			  SLICE_ARG(t->target.path), SLICE_ARG(value), hex);
	if (id.p)
		t->once_key = late_key(slice_of(t->target.provider->name), id);
}

struct txn_once txn_once_begin(struct txn *t, struct outcome *o)
{
	struct txn_once once = {0};
	bool final = o->source == SOURCE_USAGE || o->source == SOURCE_REPORTED;

	/* what costs nothing (refused by the vendor) is nobody's bill */
	if (t->once_key == 0 || o->fetched || o->actual_nanousd == 0)
		return once;
	once.claimed = true;
	if (once_claim(t->worker->proxy->once, t->once_key, loop_mono_ns(t->worker->loop))) {
		once.other_key = o->late_key;
	} else {
		o->fetched = true;
		t->row_flags |= ROW_LATE | (final ? 0 : ROW_PENDING | ROW_ESTIMATED);
	}
	o->late_key = t->once_key;
	return once;
}

void txn_once_end(struct txn *t, const struct txn_once *once)
{
	if (!once->claimed)
		return;
	once_done(t->worker->proxy->once, t->once_key);
	if (once->other_key != 0 &&
	    store_late_also(t->worker->proxy->deps.store, t->worker->index, t->once_key, once->other_key) < 0)
		log_limited(LOG_WARN, "late.queue", "%s: its bill is not known by the vendor's id", t->id_text);
}
