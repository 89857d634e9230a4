#include "store/late.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "store/internal.h"

enum late_state { LATE_PENDING = 0, LATE_FINAL = 1 };

#define DAY_NS (86400 * NS_PER_S)

uint64_t late_key(struct slice provider, struct slice id)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t hash[HASH_BYTES];
	uint64_t key;

	CHECK(ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1);
	CHECK(EVP_DigestUpdate(ctx, provider.p, provider.n) == 1);
	CHECK(EVP_DigestUpdate(ctx, "/", 1) == 1);
	CHECK(EVP_DigestUpdate(ctx, id.p, id.n) == 1);
	CHECK(EVP_DigestFinal_ex(ctx, hash, NULL) == 1);
	EVP_MD_CTX_free(ctx);
	memcpy(&key, hash, sizeof key);
	return key != 0 ? key : 1;
}

int store_late_bill(struct store *s, uint32_t worker, uint64_t key, const struct late_bill *b)
{
	const struct adjust_units *u = &b->units;
	struct late_item *item;

	CHECK(s->magic == STORE_MAGIC && worker < s->cfg.workers);
	if (key == 0 || b->nanousd < 0 || u->input_tokens < 0 || u->output_tokens < 0 || u->cached_tokens < 0 ||
	    u->cache_write_tokens < 0 || u->cache_write_1h_tokens < 0 || u->reasoning_tokens < 0 || u->requests < 0 ||
	    u->searches < 0)
		return BUR_INVALID;
	item = ring_claim(&s->workers[worker].bills);
	if (!item)
		return BUR_FULL;
	*item = (struct late_item){.key = key, .bill = *b};
	ring_publish(&s->workers[worker].bills);
	return BUR_OK;
}

int store_late_also(struct store *s, uint32_t worker, uint64_t key, uint64_t also)
{
	struct late_item *item;

	CHECK(s->magic == STORE_MAGIC && worker < s->cfg.workers);
	if (key == 0 || also == 0 || key == also)
		return BUR_INVALID;
	item = ring_claim(&s->workers[worker].bills);
	if (!item)
		return BUR_FULL;
	*item = (struct late_item){.key = key, .also = also};
	ring_publish(&s->workers[worker].bills);
	return BUR_OK;
}

/* --- the table of numbers ----------------------------------------------------------------------------------------- */

struct known {
	bool found;
	uint8_t uid[16]; /* the call that the bill belongs to */
	enum late_state state;
	int64_t bills; /* that were taken so far */
};

static int find_key(struct writer *w, uint64_t key, struct known *ret)
{
	sqlite3_stmt *st = w->st[W_LATE_FIND];
	int rc;

	*ret = (struct known){.found = false};
	(void)sqlite3_bind_int64(st, 1, (int64_t)key);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW && sqlite3_column_bytes(st, 0) == 16) {
		ret->found = true;
		memcpy(ret->uid, sqlite3_column_blob(st, 0), 16);
		ret->state = sqlite3_column_int64(st, 1) == LATE_FINAL ? LATE_FINAL : LATE_PENDING;
		ret->bills = sqlite3_column_int64(st, 2);
	}
	(void)sqlite3_reset(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int add_key(struct writer *w, uint64_t key, const uint8_t uid[16], bool pending, int64_t ts)
{
	sqlite3_stmt *st = w->st[W_LATE_ADD];

	(void)sqlite3_bind_int64(st, 1, (int64_t)key);
	(void)sqlite3_bind_blob(st, 2, uid, 16, SQLITE_STATIC);
	(void)sqlite3_bind_int(st, 3, pending ? LATE_PENDING : LATE_FINAL);
	(void)sqlite3_bind_int64(st, 4, ts);
	w->n_late_keys++;
	return db_run(st);
}

static int set_key(struct writer *w, uint64_t key, enum late_state state)
{
	sqlite3_stmt *st = w->st[W_LATE_SET];

	(void)sqlite3_bind_int64(st, 1, (int64_t)key);
	(void)sqlite3_bind_int(st, 2, (int)state);
	return db_run(st);
}

/* A number that is there already stays with the first call: the second one keeps what it was charged. */
int late_note(struct writer *w, const struct row *r)
{
	if (LIKELY(r->late_key == 0) || !r->fresh)
		return SQLITE_OK;
	return add_key(w, r->late_key, r->uid, (r->v[R_FLAGS] & ROW_PENDING) != 0, r->v[R_TS_SETTLE]);
}

int late_prune(struct writer *w, int64_t now_ns)
{
	int64_t most = (int64_t)w->n_late_keys * 2 + 16; /* a little more than came in: the table shrinks */
	int rc;

	if (w->n_late_keys == 0)
		return SQLITE_OK;
	(void)sqlite3_bind_int64(w->st[W_LATE_OVER], 1, LATE_MAX);
	(void)sqlite3_bind_int64(w->st[W_LATE_OVER], 2, most);
	rc = db_run(w->st[W_LATE_OVER]);
	if (rc != SQLITE_OK)
		return rc;
	(void)sqlite3_bind_int64(w->st[W_LATE_OLD], 1, now_ns - LATE_DAYS * DAY_NS);
	(void)sqlite3_bind_int64(w->st[W_LATE_OLD], 2, most);
	return db_run(w->st[W_LATE_OLD]);
}

/* --- a bill for a call that is known ------------------------------------------------------------------------------ */

/* Who says so, for the row that it makes. */
struct bill {
	int64_t nanousd;
	struct adjust_units units;
	bool final;
	const uint8_t *by;
	struct slice extra; /* of the fetching call: units without a column; a JSON object, or empty */
	int source;
	uint32_t price_version;
	int64_t now_ns;
};

static struct adjust_units units_minus(const struct adjust_units *a, const struct adjust_units *b)
{
	/* Both are not negative. */
	return (struct adjust_units){
	    .input_tokens = a->input_tokens - b->input_tokens,
	    .output_tokens = a->output_tokens - b->output_tokens,
	    .cached_tokens = a->cached_tokens - b->cached_tokens,
	    .cache_write_tokens = a->cache_write_tokens - b->cache_write_tokens,
	    .cache_write_1h_tokens = a->cache_write_1h_tokens - b->cache_write_1h_tokens,
	    .reasoning_tokens = a->reasoning_tokens - b->reasoning_tokens,
	    .requests = a->requests - b->requests,
	    .searches = a->searches - b->searches,
	};
}

/* What the bill changes, given what the call costs so far. false: nothing. */
static bool difference(const struct known *k, const struct adjust_total *t, const struct bill *b, int64_t *ret_nanousd,
		       struct adjust_units *ret_units)
{
	static const struct adjust_units none;
	struct adjust_units more = units_minus(&b->units, &t->units);
	bool same = memcmp(&more, &none, sizeof more) == 0;
	int64_t nanousd = b->nanousd - t->nanousd; /* both are not negative */

	if (k->state == LATE_FINAL && (same || !b->final))
		return false;
	if (!b->final && nanousd <= 0)
		return false; /* so far; it may still grow */
	if (nanousd < -t->all_nanousd)
		nanousd = -t->all_nanousd; /* part of it was refunded before */
	*ret_nanousd = nanousd;
	*ret_units = more;
	return nanousd != 0 || !same;
}

static int put_difference(struct writer *w, uint64_t key, const struct known *k, const struct bill *b, int64_t nanousd,
			  const struct adjust_units *units)
{
	char cause[64], by[33], extra[640];
	/* its members, with the closing brace */
	struct slice members = b->extra.n > 2 && b->extra.p[0] == '{' ? slice_sub(b->extra, 1, b->extra.n) : SLICE("}");
	uint8_t uid[16];
	struct correction c = {.uid = uid,
			       .ref_uid = k->uid,
			       .kind = LEDGER_ADJUST,
			       .nanousd = nanousd,
			       .units = *units,
			       .price_version = b->price_version,
			       .flags = ROW_LATE | (b->final ? 0 : ROW_PENDING),
			       .source = b->source,
			       .now_ns = b->now_ns};
	int n = snprintf(cause, sizeof cause, "%016llx/%lld", (unsigned long long)key, (long long)k->bills), result;

	adjust_uid(k->uid, "late", slice_mem(cause, (size_t)n), uid);
	hex_encode(b->by, 16, by);
	n = snprintf(extra, sizeof extra, "{\"reason\":\"late bill\",\"actor\":\"bursar\",\"by\":\"%s\"%s" SLICE_FMT,
		     by, members.n > 1 ? "," : "", SLICE_ARG(members));
	CHECK(n > 0 && (size_t)n < sizeof extra);
	c.extra = slice_mem(extra, (size_t)n);
	return correction_put(w, &c, &result); /* DENIED: corrected too often; it stays as it is */
}

static int bill_known(struct writer *w, uint64_t key, const struct known *k, const struct bill *b)
{
	struct adjust_total total;
	struct adjust_units units;
	int64_t nanousd;
	bool found;
	int rc = adjust_sums(w, k->uid, &total, &found);

	if (rc != SQLITE_OK || !found)
		return rc;
	if (!difference(k, &total, b, &nanousd, &units))
		return b->final && k->state == LATE_PENDING ? set_key(w, key, LATE_FINAL) : SQLITE_OK;
	rc = put_difference(w, key, k, b, nanousd, &units);
	kill_point();
	if (rc == SQLITE_OK)
		rc = set_key(w, key, b->final ? LATE_FINAL : k->state);
	kill_point();
	return rc;
}

/* --- the end of a call that fetched one --------------------------------------------------------------------------- */

static struct bill bill_of(const struct journal_entry *e)
{
	const struct journal_cell *c = &e->cell;

	return (struct bill){.nanousd = c->actual_nanousd,
			     .units = {.input_tokens = c->input_tokens,
				       .output_tokens = c->output_tokens,
				       .cached_tokens = c->cached_tokens,
				       .cache_write_tokens = c->cache_write_tokens,
				       .cache_write_1h_tokens = c->cache_write_1h_tokens,
				       .reasoning_tokens = c->reasoning_tokens,
				       .requests = c->requests,
				       .searches = c->searches},
			     .final = (c->flags & ROW_PENDING) == 0,
			     .by = e->uid,
			     .source = c->source,
			     .price_version = e->price_version};
}

/* The row of a call whose bill stands elsewhere: it was made, and cost nothing of its own. */
static struct journal_entry without_bill(const struct journal_entry *e)
{
	struct journal_entry none = *e;

	none.cell = (struct journal_cell){.worst_nanousd = e->cell.worst_nanousd,
					  .source = e->cell.source,
					  .tier = e->cell.tier,
					  .status = e->cell.status,
					  .flags = e->cell.flags & ~ROW_PENDING};
	return none;
}

int late_call(struct writer *w, const struct journal_entry *e, int64_t settled_ns, struct slice extra,
	      struct names *names)
{
	struct journal_entry none = without_bill(e);
	struct bill b = bill_of(e);
	struct known k = {.found = false};
	bool written;
	int rc = adjust_known(w, e->uid, &written);

	CHECK(w->n_rows == 0);
	if (rc != SQLITE_OK || written)
		return rc;
	if (e->cell.late_key != 0)
		rc = find_key(w, e->cell.late_key, &k);
	if (rc != SQLITE_OK)
		return rc;
	writer_row(w, k.found ? &none : e, settled_ns, extra, names);
	rc = writer_flush(w);
	kill_point();
	if (rc == SQLITE_OK && !k.found)
		posts_add(w, &w->rows[0]); /* the engine was told zero when the call ended */
	if (rc != SQLITE_OK || !k.found)
		return rc;
	b.now_ns = settled_ns;
	b.extra = extra;
	w->n_rows = 0;
	rc = bill_known(w, e->cell.late_key, &k, &b);
	w->n_rows = 1; /* written; what is in rows[0] by now is a correction */
	return rc;
}

/* --- bills beside calls ------------------------------------------------------------------------------------------- */

bool late_gather(struct store *s)
{
	struct writer *w = &s->writer;

	w->n_bills = 0;
	for (uint32_t k = 0; k < s->cfg.workers; k++) {
		uint32_t i = (w->turn + k) % s->cfg.workers;
		size_t n = ring_len(&s->workers[i].bills);

		w->bills[i] = (uint32_t)(n < BATCH_ROWS - w->n_bills ? n : BATCH_ROWS - w->n_bills);
		w->n_bills += w->bills[i];
	}
	return w->n_bills > 0;
}

/* The number is not known: a row of its own, with the names and counters of the call that learned it. */
static int bill_unknown(struct writer *w, const struct late_item *it, bool learner_known, int64_t now_ns)
{
	struct correction c = {.ref_uid = it->bill.learned_by,
			       .kind = LEDGER_SPEND,
			       .nanousd = it->bill.nanousd,
			       .units = it->bill.units,
			       .flags = ROW_LATE | (it->bill.final ? 0 : ROW_PENDING),
			       .source = it->bill.final ? SOURCE_USAGE : SOURCE_PARTIAL,
			       .now_ns = now_ns};
	uint8_t uid[16];
	char by[33], extra[48];
	int n, result = BUR_NOTFOUND, rc = SQLITE_OK;

	adjust_uid(it->bill.learned_by, "unknown", slice_mem(&it->key, sizeof it->key), uid);
	c.uid = uid;
	hex_encode(it->bill.learned_by, 16, by);
	n = snprintf(extra, sizeof extra, "{\"by\":\"%s\"}", by);
	c.extra = slice_mem(extra, (size_t)n);
	if (learner_known)
		rc = correction_put(w, &c, &result);
	if (rc == SQLITE_OK && result == BUR_OK)
		return add_key(w, it->key, uid, !it->bill.final, now_ns);
	if (rc == SQLITE_OK && result != BUR_ALREADY)
		w->unknown[w->n_unknown++] = (struct late_unknown){it->key, it->bill.nanousd};
	return rc;
}

static int add_also(struct writer *w, const struct late_item *it, int64_t now_ns)
{
	sqlite3_stmt *st = w->st[W_LATE_ALSO];

	(void)sqlite3_bind_int64(st, 1, (int64_t)it->key);
	(void)sqlite3_bind_int64(st, 2, (int64_t)it->also);
	(void)sqlite3_bind_int64(st, 3, now_ns);
	w->n_late_keys++;
	return db_run(st);
}

/* *ret_wait: the call that learned it is not in the ledger yet, and this batch was not all there is. */
static int put_bill(struct writer *w, const struct late_item *it, int64_t now_ns, bool *ret_wait)
{
	struct bill b = {.nanousd = it->bill.nanousd,
			 .units = it->bill.units,
			 .final = it->bill.final,
			 .by = it->bill.learned_by,
			 .now_ns = now_ns};
	struct known k;
	bool learner_known = false;
	int rc = find_key(w, it->key, &k);

	*ret_wait = false;
	if (rc == SQLITE_OK && it->also != 0) {
		*ret_wait = !k.found && w->n_items == BATCH_ROWS;
		return k.found ? add_also(w, it, now_ns) : SQLITE_OK;
	}
	if (rc == SQLITE_OK && k.found)
		return bill_known(w, it->key, &k, &b);
	if (rc == SQLITE_OK)
		rc = adjust_known(w, it->bill.learned_by, &learner_known);
	if (rc != SQLITE_OK)
		return rc;
	*ret_wait = !learner_known && w->n_items == BATCH_ROWS;
	return *ret_wait ? SQLITE_OK : bill_unknown(w, it, learner_known, now_ns);
}

/* Second names of bills, before the fetches of this batch look for theirs: a batch and its file may be fetched within
 * one. Also those that came after late_gather, for they were told before the fetch that needs them; they stay in the
 * ring, and are nothing new when they are taken. */
int late_names(struct store *s, int64_t now_ns)
{
	struct writer *w = &s->writer;
	int rc = SQLITE_OK;

	for (uint32_t i = 0; i < s->cfg.workers; i++) {
		size_t n = ring_len(&s->workers[i].bills);

		for (uint32_t k = 0; k < n && rc == SQLITE_OK; k++) {
			const struct late_item *it = ring_peek(&s->workers[i].bills, k);
			struct known known;

			if (!it || it->also == 0)
				continue;
			rc = find_key(w, it->key, &known);
			if (rc == SQLITE_OK && known.found)
				rc = add_also(w, it, now_ns);
		}
	}
	return rc;
}

int late_bills(struct store *s, int64_t now_ns)
{
	struct writer *w = &s->writer;
	bool wait = false;
	int rc = SQLITE_OK;

	w->n_rows = 0;
	for (uint32_t i = 0; i < s->cfg.workers && rc == SQLITE_OK; i++) {
		for (uint32_t k = 0; k < w->bills[i] && rc == SQLITE_OK; k++) {
			const struct late_item *it = ring_peek(&s->workers[i].bills, k);

			CHECK(it);
			rc = put_bill(w, it, now_ns, &wait);
			if (wait)
				w->bills[i] = k; /* this one and those after it stay where they are */
		}
	}
	return rc;
}

void late_committed(struct store *s)
{
	struct writer *w = &s->writer;

	for (uint32_t i = 0; i < s->cfg.workers; i++)
		ring_release(&s->workers[i].bills, w->bills[i]);
	for (size_t i = 0; i < w->n_unknown && s->hooks.late_unknown; i++)
		s->hooks.late_unknown(s->hooks.ctx, w->unknown[i].key, w->unknown[i].nanousd);
	w->n_unknown = 0;
}
