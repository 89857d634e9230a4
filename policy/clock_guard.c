#include "policy/clock_guard.h"

#define SECOND_NS INT64_C(1000000000)
#define JUMP_NS (300 * SECOND_NS)
#define STABLE_NS (60 * SECOND_NS)
#define BEHIND_NS SECOND_NS       /* less is two threads that read it in turns, or slewing, and no news */
#define WANDER_NS (2 * SECOND_NS) /* a clock that is being slewed, or looked at late, still stands */

typedef __int128 wide;

static int64_t clamp64(wide v)
{
	return v > INT64_MAX ? INT64_MAX : v < INT64_MIN ? INT64_MIN : (int64_t)v;
}

void clock_guard_init(struct clock_guard *g)
{
	*g = (struct clock_guard){.started = false};
}

static int64_t give(struct clock_guard *g, int64_t now_ns)
{
	if (now_ns > g->last_ns)
		g->last_ns = now_ns;
	return g->last_ns;
}

/* The wall clock is what it should be, or was put back: it is believed. */
static int64_t believe(struct clock_guard *g, int64_t wall_ns, int64_t offset_ns, enum clock_event *ret)
{
	bool behind = (wide)g->last_ns - wall_ns >= BEHIND_NS;

	if (g->jumped)
		*ret = CLOCK_RETURNED;
	else if (behind && !g->behind)
		*ret = CLOCK_WENT_BACK;
	g->jumped = false;
	g->behind = behind;
	g->offset_ns = offset_ns;
	return give(g, wall_ns);
}

static bool stands(const struct clock_guard *g, int64_t offset_ns)
{
	wide moved = (wide)offset_ns - g->jump_offset_ns;

	return g->jumped && moved <= WANDER_NS && moved >= -WANDER_NS;
}

int64_t clock_guard_now(struct clock_guard *g, int64_t wall_ns, int64_t mono_ns, enum clock_event *ret)
{
	int64_t offset_ns = clamp64((wide)wall_ns - mono_ns);

	*ret = CLOCK_STEADY;
	if (!g->started) {
		*g = (struct clock_guard){.started = true, .last_ns = wall_ns, .offset_ns = offset_ns};
		return wall_ns;
	}
	if ((wide)offset_ns - g->offset_ns <= JUMP_NS)
		return believe(g, wall_ns, offset_ns, ret);
	if (!stands(g, offset_ns)) {
		*ret = CLOCK_JUMPED;
		g->jumped = true;
		g->jump_offset_ns = offset_ns;
		g->jump_at_ns = mono_ns;
	} else if ((wide)mono_ns - g->jump_at_ns >= STABLE_NS) {
		*ret = CLOCK_ADOPTED;
		g->jumped = g->behind = false;
		g->offset_ns = offset_ns;
		return give(g, wall_ns);
	}
	return give(g, clamp64((wide)mono_ns + g->offset_ns));
}
