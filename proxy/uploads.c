#include "proxy/uploads.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "base/error.h"
#include "base/map.h"

#define KEY_MAX 256

struct upload_entry {
	TAILQ_ENTRY(upload_entry) link;
	int64_t at_s;
	size_t bytes, key_n;
	char key[KEY_MAX];    /* provider, '/', id */
	struct batch_sum sum; /* cut behind its last model */
};
TAILQ_HEAD(entry_list, upload_entry);

struct uploads {
	pthread_mutex_t lock;
	struct map *by_key;
	struct entry_list entries; /* longest not asked for first */
	size_t n, bytes, max, bytes_max;
};

static bool make_key(struct slice provider, struct slice id, char dst[KEY_MAX], size_t *ret_n)
{
	size_t n = provider.n + 1 + id.n;

	if (provider.n >= KEY_MAX || id.n >= KEY_MAX || n > KEY_MAX || id.n == 0)
		return false;
	memcpy(dst, provider.p, provider.n);
	dst[provider.n] = '/';
	memcpy(dst + provider.n + 1, id.p, id.n);
	*ret_n = n;
	return true;
}

static void drop(struct uploads *u, struct upload_entry *e)
{
	TAILQ_REMOVE(&u->entries, e, link);
	(void)map_remove(u->by_key, slice_mem(e->key, e->key_n));
	u->n--;
	u->bytes -= e->bytes;
	free(e);
}

static void insert(struct uploads *u, struct upload_entry *e)
{
	struct upload_entry *old = map_get(u->by_key, slice_mem(e->key, e->key_n));

	if (old)
		drop(u, old);
	while (u->n > 0 && (u->n >= u->max || u->bytes + e->bytes > u->bytes_max))
		drop(u, TAILQ_FIRST(&u->entries));
	if (e->bytes > u->bytes_max || map_put(u->by_key, slice_mem(e->key, e->key_n), e) < 0) {
		free(e);
		return;
	}
	TAILQ_INSERT_TAIL(&u->entries, e, link);
	u->n++;
	u->bytes += e->bytes;
}

void uploads_put(struct uploads *u, struct slice provider, struct slice id, const struct batch_sum *sum, int64_t now_s)
{
	size_t bytes = offsetof(struct upload_entry, sum) + BATCH_SUM_BYTES(sum->n);
	struct upload_entry *e = malloc(bytes);

	if (!e)
		return;
	if (!make_key(provider, id, e->key, &e->key_n)) {
		free(e);
		return;
	}
	e->at_s = now_s;
	e->bytes = bytes;
	memcpy(&e->sum, sum, BATCH_SUM_BYTES(sum->n));
	pthread_mutex_lock(&u->lock);
	insert(u, e);
	pthread_mutex_unlock(&u->lock);
}

static struct batch_sum *take_copy(struct uploads *u, struct upload_entry *e, struct arena *arena)
{
	struct batch_sum *copy = arena_alloc(arena, sizeof(*copy));

	TAILQ_REMOVE(&u->entries, e, link);
	TAILQ_INSERT_TAIL(&u->entries, e, link);
	if (copy)
		memcpy(copy, &e->sum, BATCH_SUM_BYTES(e->sum.n));
	return copy;
}

struct batch_sum *uploads_find(struct uploads *u, struct slice provider, struct slice id, int64_t now_s,
			       struct arena *arena)
{
	struct batch_sum *found = NULL;
	struct upload_entry *e;
	char key[KEY_MAX];
	size_t n;

	if (!make_key(provider, id, key, &n))
		return NULL;
	pthread_mutex_lock(&u->lock);
	e = map_get(u->by_key, slice_mem(key, n));
	if (e && now_s - e->at_s > UPLOADS_KEPT_S)
		drop(u, e);
	else if (e)
		found = take_copy(u, e, arena);
	pthread_mutex_unlock(&u->lock);
	return found;
}

struct uploads *uploads_new(size_t max, size_t bytes_max)
{
	struct uploads *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->by_key = map_new(max);
	if (!u->by_key) {
		free(u);
		return NULL;
	}
	TAILQ_INIT(&u->entries);
	u->max = max;
	u->bytes_max = bytes_max;
	pthread_mutex_init(&u->lock, NULL);
	return u;
}

void uploads_free(struct uploads *u)
{
	if (!u)
		return;
	map_free(u->by_key, free);
	pthread_mutex_destroy(&u->lock);
	free(u);
}
