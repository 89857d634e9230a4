/* engine_credit.c - credits that end by themselves or go on into the next window. Those without either are only a
 * figure of their window (engine_window_credit). */
#include "policy/engine_internal.h"

#include <stdlib.h>

static wide sum_of(const struct meter *m)
{
	wide sum = 0;

	for (const struct credit *c = m->credits; c; c = c->next)
		sum += c->left;
	return sum;
}

/* How much of the expiring credits the window has used up: they are the last to be used. What is held counts, since it
 * was admitted with them. */
static wide used_of(const struct meter *m, const struct instance *in)
{
	wide sum = sum_of(m), lasting = (wide)m->entry->limit + in->credit - sum;
	wide used = (wide)in->posted + in->held - lasting;

	return used < 0 ? 0 : used > sum ? sum : used;
}

/* Out of the list; freed later, outside the lock. */
static void drop_first(struct engine *e, struct meter *m)
{
	struct credit *c = m->credits;

	m->credits = c->next;
	m->n_credits--;
	c->next = e->dead_credits;
	e->dead_credits = c;
}

void engine_credit_expire(struct engine *e, struct meter *m, int64_t now_s)
{
	struct instance *in = &m->now;

	while (m->credits && m->credits->expires_s <= now_s) {
		/* What was used stays where it was used; a rolling window forgets its use anyhow. */
		wide used = m->ring ? 0 : used_of(m, in), left = m->credits->left;

		in->credit -= (int64_t)(left > used ? left - used : 0);
		drop_first(e, m);
	}
}

int64_t engine_credit_carry(struct engine *e, struct meter *m, struct instance *old)
{
	wide used = used_of(m, old);
	struct credit *kept = NULL, **end = &kept;
	int64_t carried = 0;

	while (m->credits) {
		struct credit *c = m->credits;
		int64_t gone = used < c->left ? (int64_t)used : c->left;

		used -= gone;
		if (!c->carry_over || gone == c->left) {
			drop_first(e, m);
			continue;
		}
		m->credits = c->next;
		c->next = NULL;
		c->left -= gone;
		carried += c->left;
		*end = c;
		end = &c->next;
	}
	m->credits = kept;
	old->credit -= carried; /* calls that are still under way there cannot use it a second time */
	return carried;
}

void engine_credit_put(struct meter *m, struct credit *c)
{
	struct credit **at = &m->credits;

	while (*at && (*at)->expires_s <= c->expires_s)
		at = &(*at)->next;
	c->next = *at;
	*at = c;
	m->n_credits++;
}

void engine_credit_free(struct credit *list)
{
	while (list) {
		struct credit *next = list->next;

		free(list);
		list = next;
	}
}
