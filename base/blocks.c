#include "base/blocks.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/check.h"

#if defined(__SANITIZE_ADDRESS__)
#define WATCHED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WATCHED 1
#endif
#endif
#ifdef WATCHED
#define KEPT_MAX 0
#else
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

/* Buffers come and go in waves (a thousand calls that begin at once), and small things that live long are allocated
 * between them: taken from the heap they would leave holes that never go back to the system. So they are pages. */
static bool is_pages(enum block_kind kind)
{
#ifdef WATCHED
	(void)kind;
	return false; /* the sanitizer watches the heap */
#else
	return kind == BLOCK_BUF;
#endif
}

static void *system_take(enum block_kind kind)
{
	void *p;

	if (!is_pages(kind))
		return malloc(block_bytes[kind]);
	p = mmap(NULL, block_bytes[kind], PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

static void system_give(enum block_kind kind, void *block)
{
	if (is_pages(kind))
		CHECK(munmap(block, block_bytes[kind]) == 0);
	else
		free(block);
}

/* Runs when a thread ends; `arg` is that thread's own cache. */
static void cache_drop(void *arg)
{
	struct cache *c = arg;

	for (int k = 0; k < BLOCK_KINDS; k++) {
		while (c->head[k]) {
			struct free_block *b = c->head[k];

			c->head[k] = b->next;
			system_give((enum block_kind)k, b);
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
		return system_take(kind);
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
		system_give(kind, b);
		return;
	}
	b->next = cache.head[kind];
	cache.head[kind] = b;
	cache.n[kind]++;
}
