#include "policy/engine_page.h"

#include "policy/engine_internal.h"

size_t engine_uids(struct engine *e, size_t from, uint64_t *dst, size_t max)
{
	uint32_t n = atomic_load_explicit(&e->n_meters, memory_order_acquire);
	size_t got = 0;

	for (size_t i = from; i < n && got < max; i++)
		dst[got++] = meter_at(e, (uint32_t)i)->uid;
	return got;
}
