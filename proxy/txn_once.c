/* txn_once.c - SDKs repeat a call under its idempotency key when they have waited too long for the answer. Where the
 * vendor bills such calls once (`bills_once_by`), their bills are one here too: the first that is settled puts it down,
 * the others bring it to the newest final one. Each of them takes a hold of its own. */
#include <openssl/sha.h>

#include "base/log.h"
#include "proxy/auth.h"
#include "proxy/once.h"
#include "proxy/txn_outcome.h"
#include "store/late.h"

/* What the vendor reads there too. A field that stands twice, or does not cross, says nothing: the vendor would bill
 * each of the calls. */
static struct slice only_value(const struct txn *t, struct slice lower_name)
{
	const struct h1_field *found = NULL;

	for (size_t i = 0; i < t->head->n_fields; i++) {
		const struct h1_field *f = &t->head->fields[i];

		if (!slice_ieq(f->name, lower_name))
			continue;
		if (found)
			return SLICE_NONE;
		found = f;
	}
	return found && txn_field_crosses(t, found) ? found->value : SLICE_NONE;
}

/* Caller, the vendor's account, key, target and body as they leave: another body under the same key is another call,
 * whatever the vendor makes of it. */
void txn_once_find(struct txn *t)
{
	const char *name = t->target.provider->bills_once_by;
	uint8_t digest[SHA256_DIGEST_LENGTH];
	struct slice value, credential, id, body = txn_body(t);
	char hex[2 * sizeof(digest) + 1];

	t->once_key = 0;
	if (!name || !t->worker->proxy->once || t->stream_body || txn_is_late(t))
		return;
	value = only_value(t, slice_of(name));
	if (value.n == 0 || !SHA256((const unsigned char *)(body.n ? body.p : ""), body.n, digest))
		return;
	hex_encode(digest, sizeof(digest), hex);
	credential = t->swap_credential ? t->vendor_credential : auth_credential(t->head, t->target.query);
	id = arena_printf(&t->arena, "once " SLICE_FMT " %s:%u %llx " SLICE_FMT " " SLICE_FMT " %s %s %llu",
			  SLICE_ARG(t->key_name), t->target.host, t->target.port,
			  (unsigned long long)(credential.n > 0 ? hash_bytes(credential.p, credential.n) : 0),
			  SLICE_ARG(t->target.path_query), SLICE_ARG(value), hex, t->info.model,
			  (unsigned long long)t->clamped_to);
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
		t->row_flags |= final ? 0 : ROW_PENDING; /* a repeat may see more of it */
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
