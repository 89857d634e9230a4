/* pool.c - idle upstream connections by key, most recently used first.
 *
 * Records are kept on free lists: a keep-alive exchange takes a connection out and puts it back without malloc. */
#include "net/pool.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/slice.h"

#define POOL_MAGIC 0x706f6f6cu

/* All idle connections of one key. Exists only while there are any. */
struct pool_bucket {
	LIST_ENTRY(pool_bucket) chain;         /* in pool->table, or on the free list */
	TAILQ_HEAD(idle_list, pool_idle) list; /* most recently used first */
	size_t n;
	uint64_t hash;
	struct pool_key key;
};

struct pool_idle {
	struct deadline deadline; /* first, so that the deadline's callback finds the record */
	TAILQ_ENTRY(pool_idle) in_bucket, in_lru;
	LIST_ENTRY(pool_idle) spare;
	struct pool *pool;
	struct pool_bucket *bucket;
	struct stream *stream;
};

LIST_HEAD(bucket_chain, pool_bucket);

struct pool {
	unsigned magic;
	struct loop *loop;
	struct pool_config config;
	struct deadline_queue expiry;
	TAILQ_HEAD(lru_list, pool_idle) lru; /* most recently used first */
	LIST_HEAD(spare_list, pool_idle) spare_idles;
	struct bucket_chain spare_buckets;
	_Atomic size_t n; /* written by the loop's thread only */
	size_t mask;
	struct bucket_chain *table;
};

/* A stream whose memory libevent may still look at. */
struct corpse {
	struct loop_free_node node;
	struct stream *stream;
};

/* --- closing -------------------------------------------------------------------------------------------------------
 */

static void corpse_free(void *arg)
{
	struct corpse *c = arg;

	free(c->stream);
	free(c);
}

/* Closes; the memory goes at the end of the turn, for we may be inside the stream's own callback. */
static void stream_dispose(struct loop *loop, struct stream *s)
{
	struct corpse *c;

	stream_close(s);
	c = malloc(sizeof(*c));
	if (!c)
		return; /* leaks one record when memory is out anyway: better than a dangling event */
	c->stream = s;
	loop_free_later(loop, &c->node, corpse_free, c);
}

/* --- table ---------------------------------------------------------------------------------------------------------
 */

static uint64_t key_hash(const struct pool_key *k)
{
	struct {
		uint64_t host, credential;
		uint32_t port, tls;
	} mix = {hash_bytes(k->host, strnlen(k->host, sizeof(k->host))), k->credential, k->port, k->tls};

	return hash_bytes(&mix, sizeof(mix));
}

static bool key_equal(const struct pool_key *a, const struct pool_key *b)
{
	return a->port == b->port && a->tls == b->tls && a->credential == b->credential &&
	       strncmp(a->host, b->host, sizeof(a->host)) == 0;
}

static struct pool_bucket *bucket_find(struct pool *p, const struct pool_key *key, uint64_t hash)
{
	struct pool_bucket *b;

	LIST_FOREACH (b, &p->table[hash & p->mask], chain) {
		if (b->hash == hash && key_equal(&b->key, key))
			return b;
	}
	return NULL;
}

/* NULL: out of memory. */
static struct pool_bucket *bucket_get(struct pool *p, const struct pool_key *key, uint64_t hash)
{
	struct pool_bucket *b = bucket_find(p, key, hash);

	if (b)
		return b;
	b = LIST_FIRST(&p->spare_buckets);
	if (b)
		LIST_REMOVE(b, chain);
	else
		b = malloc(sizeof(*b));
	if (!b)
		return NULL;
	b->key = *key;
	b->hash = hash;
	b->n = 0;
	TAILQ_INIT(&b->list);
	LIST_INSERT_HEAD(&p->table[hash & p->mask], b, chain);
	return b;
}

static void bucket_drop_if_empty(struct pool *p, struct pool_bucket *b)
{
	if (b->n > 0)
		return;
	LIST_REMOVE(b, chain);
	LIST_INSERT_HEAD(&p->spare_buckets, b, chain);
}

/* --- records -------------------------------------------------------------------------------------------------------
 */

static struct pool_idle *idle_new(struct pool *p)
{
	struct pool_idle *i = LIST_FIRST(&p->spare_idles);

	if (i)
		LIST_REMOVE(i, spare);
	else
		i = calloc(1, sizeof(*i));
	return i;
}

/* Takes the connection out of the pool and gives the record back. */
static struct stream *idle_remove(struct pool_idle *i)
{
	struct pool *p = i->pool;
	struct pool_bucket *b = i->bucket;
	struct stream *s = i->stream;

	deadline_disarm(&i->deadline);
	TAILQ_REMOVE(&b->list, i, in_bucket);
	TAILQ_REMOVE(&p->lru, i, in_lru);
	b->n--;
	p->n--;
	bucket_drop_if_empty(p, b);
	i->bucket = NULL;
	i->stream = NULL;
	LIST_INSERT_HEAD(&p->spare_idles, i, spare);
	return s;
}

static void idle_close(struct pool_idle *i)
{
	struct loop *loop = i->pool->loop;

	stream_dispose(loop, idle_remove(i));
}

static void idle_expired(struct deadline *d)
{
	idle_close((struct pool_idle *)(void *)d);
}

/* An idle connection has nothing to say: data and an end both make it useless. TLS may have had a session ticket to
 * read, which does no harm. */
static void idle_ready(void *ctx, unsigned what)
{
	struct pool_idle *i = ctx;
	char byte;

	(void)what;
	CHECK(i->stream != NULL);
	if (stream_read(i->stream, &byte, 1) != BUR_AGAIN)
		idle_close(i);
}

/* --- public --------------------------------------------------------------------------------------------------------
 */

struct pool *pool_new(struct loop *loop, const struct pool_config *config)
{
	struct pool *p = calloc(1, sizeof(*p));
	size_t slots = 64;

	if (!p)
		return NULL;
	while (slots < config->max_idle && slots < 65536)
		slots *= 2;
	p->magic = POOL_MAGIC;
	p->loop = loop;
	p->config = *config;
	p->mask = slots - 1;
	TAILQ_INIT(&p->lru);
	deadline_queue_init(&p->expiry, loop, config->idle_timeout_ns, idle_expired);
	p->table = calloc(slots, sizeof(*p->table));
	if (!p->table) {
		free(p);
		return NULL;
	}
	return p;
}

void pool_free(struct pool *p)
{
	struct pool_bucket *b;
	struct pool_idle *i;

	if (!p)
		return;
	CHECK_OBJ(p, POOL_MAGIC);
	while ((i = TAILQ_FIRST(&p->lru)) != NULL)
		idle_close(i);
	while ((i = LIST_FIRST(&p->spare_idles)) != NULL) {
		LIST_REMOVE(i, spare);
		free(i);
	}
	while ((b = LIST_FIRST(&p->spare_buckets)) != NULL) {
		LIST_REMOVE(b, chain);
		free(b);
	}
	free(p->table);
	p->magic = 0;
	free(p);
}

static bool is_clean(const struct stream *s)
{
	return s->fd >= 0 && !stream_pending(s) && !(s->want & STREAM_WRITE) && !s->tls_wants_write;
}

/* Room for one more of this key: the oldest of the key, then the oldest of all, makes way. */
static void make_room(struct pool *p, struct pool_bucket *b)
{
	if (b->n >= p->config.max_idle_per_key)
		idle_close(TAILQ_LAST(&b->list, idle_list));
	else if (p->n >= p->config.max_idle)
		idle_close(TAILQ_LAST(&p->lru, lru_list));
}

void pool_put(struct pool *p, const struct pool_key *key, struct stream *s)
{
	struct pool_bucket *b;
	struct pool_idle *i;
	uint64_t hash;

	CHECK(p->magic == POOL_MAGIC);
	if (!is_clean(s) || p->config.max_idle == 0 || p->config.max_idle_per_key == 0) {
		stream_dispose(p->loop, s);
		return;
	}
	hash = key_hash(key);
	b = bucket_find(p, key, hash);
	if (b)
		make_room(p, b);
	else if (p->n >= p->config.max_idle)
		idle_close(TAILQ_LAST(&p->lru, lru_list));
	b = bucket_get(p, key, hash); /* anew: the last connection of a key takes its bucket with it */
	i = b ? idle_new(p) : NULL;
	if (!i) {
		if (b)
			bucket_drop_if_empty(p, b);
		stream_dispose(p->loop, s);
		return;
	}
	i->pool = p;
	i->bucket = b;
	i->stream = s;
	TAILQ_INSERT_HEAD(&b->list, i, in_bucket);
	TAILQ_INSERT_HEAD(&p->lru, i, in_lru);
	b->n++;
	p->n++;
	stream_rebind(s, idle_ready, i);
	stream_want(s, STREAM_READ);
	deadline_arm(&p->expiry, &i->deadline);
}

struct stream *pool_get(struct pool *p, const struct pool_key *key)
{
	struct pool_bucket *b;

	CHECK(p->magic == POOL_MAGIC);
	b = bucket_find(p, key, key_hash(key));
	return b ? idle_remove(TAILQ_FIRST(&b->list)) : NULL;
}

size_t pool_len(const struct pool *p)
{
	return atomic_load_explicit(&p->n, memory_order_relaxed);
}

void stream_rebind(struct stream *s, void (*on_ready)(void *, unsigned), void *ctx)
{
	s->on_ready = on_ready;
	s->ctx = ctx;
}
