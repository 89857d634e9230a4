#include "base/blocks.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"

#if defined(__SANITIZE_ADDRESS__)
#define KEPT_MAX 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KEPT_MAX 0
#endif
#endif
#ifndef KEPT_MAX
#define KEPT_MAX BLOCKS_KEPT_MAX
#endif

struct free_block {
	struct free_block *next;
};

struct cache {
	struct free_block *head[BLOCK_KINDS];
	int n[BLOCK_KINDS];
	char has_destructor;
};

static const size_t block_bytes[BLOCK_KINDS] = {BLOCK_ARENA_BYTES, BLOCK_BUF_BYTES};
static _Thread_local struct cache cache;
static pthread_key_t cache_key;

/* Runs when a thread ends; `arg` is that thread's own cache. */
static void cache_drop(void *arg)
{
	struct cache *c = arg;

	for (int k = 0; k < BLOCK_KINDS; k++) {
		while (c->head[k]) {
			struct free_block *b = c->head[k];

			c->head[k] = b->next;
			free(b);
		}
		c->n[k] = 0;
	}
	c->has_destructor = 0;
}

__attribute__((constructor)) static void cache_setup(void)
{
	CHECK(pthread_key_create(&cache_key, cache_drop) == 0);
}

void *blocks_take(enum block_kind kind)
{
	struct free_block *b = cache.head[kind];

	if (!b)
		return malloc(block_bytes[kind]);
	cache.head[kind] = b->next;
	cache.n[kind]--;
	return b;
}

void blocks_give(enum block_kind kind, void *block)
{
	struct free_block *b = block;

	if (!b)
		return;
	if (!cache.has_destructor && pthread_setspecific(cache_key, &cache) == 0)
		cache.has_destructor = 1;
	if (cache.n[kind] >= KEPT_MAX || !cache.has_destructor) {
		free(b);
		return;
	}
	b->next = cache.head[kind];
	cache.head[kind] = b;
	cache.n[kind]++;
}
