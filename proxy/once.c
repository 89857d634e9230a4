#include "proxy/once.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define SETS 4096
#define WAYS 16

struct once_set {
	pthread_mutex_t lock;
	struct {
		uint64_t key; /* 0: empty */
		int64_t at_ns;
	} way[WAYS];
};
struct once {
	struct once_set set[SETS];
};

struct once *once_new(void)
{
	struct once *o = calloc(1, sizeof(*o));

	for (size_t i = 0; o && i < SETS; i++)
		CHECK(pthread_mutex_init(&o->set[i].lock, NULL) == 0);
	return o;
}

void once_free(struct once *o)
{
	for (size_t i = 0; o && i < SETS; i++)
		(void)pthread_mutex_destroy(&o->set[i].lock);
	free(o);
}

/* Keys are parts of a SHA-256. */
static struct once_set *set_of(struct once *o, uint64_t key)
{
	return &o->set[key % SETS];
}

bool once_claim(struct once *o, uint64_t key, int64_t mono_ns)
{
	struct once_set *s = set_of(o, key);
	size_t oldest = 0;

	CHECK(pthread_mutex_lock(&s->lock) == 0);
	for (size_t i = 0; i < WAYS; i++) {
		if (s->way[i].key == key && mono_ns - s->way[i].at_ns < ONCE_NS)
			return false;
		if (s->way[i].key == key) {
			oldest = i;
			break;
		}
		if (s->way[oldest].key != 0 && (s->way[i].key == 0 || s->way[i].at_ns < s->way[oldest].at_ns))
			oldest = i;
	}
	s->way[oldest].key = key;
	s->way[oldest].at_ns = mono_ns;
	return true;
}

void once_done(struct once *o, uint64_t key)
{
	CHECK(pthread_mutex_unlock(&set_of(o, key)->lock) == 0);
}
