#include "policy/overlap.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define WORD_BITS 64
#define WORK_MAX (UINT64_C(1) << 30) /* word operations; about a second */

/* --- pairs -------------------------------------------------------------------------------------------------------- */

static bool same_fact(const struct selector *a, const struct selector *b)
{
	return a->fact == b->fact && (a->fact != FACT_TAG || strcmp(a->tag, b->tag) == 0);
}

/* Is there a value that both patterns accept? */
static bool values_meet(const char *a, const char *b)
{
	size_t na = strlen(a), nb = strlen(b), shorter;
	bool open_a = na > 0 && a[na - 1] == '*', open_b = nb > 0 && b[nb - 1] == '*';

	na -= open_a;
	nb -= open_b;
	if (!open_a && !open_b)
		return strcmp(a, b) == 0;
	if (!open_a && na < nb)
		return false;
	if (!open_b && nb < na)
		return false;
	shorter = na < nb ? na : nb;
	return memcmp(a, b, shorter) == 0;
}

bool overlap_pair(const struct budget *a, const struct budget *b)
{
	for (size_t i = 0; i < a->n_match; i++) {
		for (size_t j = 0; j < b->n_match; j++) {
			if (same_fact(&a->match[i], &b->match[j]) && !values_meet(a->match[i].value, b->match[j].value))
				return false;
		}
	}
	return true;
}

/* --- clique ------------------------------------------------------------------------------------------------------- */

struct graph {
	size_t n, words, max;
	uint64_t *adjacent; /* n rows of `words` */
	uint64_t work;
};

/* One step of the search: the candidates in the order in which they were coloured, the colour of each. */
struct level {
	uint32_t *vertex, *colour;
	size_t n;
};

static uint64_t *row(const struct graph *g, size_t i)
{
	return g->adjacent + i * g->words;
}

static void link_pairs(struct graph *g, const struct budget *list)
{
	for (size_t i = 0; i < g->n; i++) {
		for (size_t j = 0; j < i; j++) {
			if (!overlap_pair(&list[i], &list[j]))
				continue;
			row(g, i)[j / WORD_BITS] |= UINT64_C(1) << j % WORD_BITS;
			row(g, j)[i / WORD_BITS] |= UINT64_C(1) << i % WORD_BITS;
		}
	}
}

static size_t first_bit(const uint64_t *set, size_t words)
{
	for (size_t w = 0; w < words; w++) {
		if (set[w] != 0)
			return w * WORD_BITS + (size_t)__builtin_ctzll(set[w]);
	}
	return SIZE_MAX;
}

/* Greedy colouring: vertices of one colour exclude each other, so a clique takes at most one of each. */
static void colour_level(struct graph *g, const uint64_t *candidates, uint64_t *left, uint64_t *class, struct level *l)
{
	uint32_t colour = 0;
	size_t v;

	l->n = 0;
	memcpy(left, candidates, g->words * sizeof(*left));
	while (first_bit(left, g->words) != SIZE_MAX) {
		colour++;
		memcpy(class, left, g->words * sizeof(*class));
		while ((v = first_bit(class, g->words)) != SIZE_MAX) {
			class[v / WORD_BITS] &= ~(UINT64_C(1) << v % WORD_BITS);
			left[v / WORD_BITS] &= ~(UINT64_C(1) << v % WORD_BITS);
			for (size_t w = 0; w < g->words; w++)
				class[w] &= ~row(g, v)[w];
			g->work += 2 * g->words;
			l->vertex[l->n] = (uint32_t)v;
			l->colour[l->n++] = colour;
		}
	}
}

/* Can `size` chosen budgets and a clique among the candidates pass the maximum? BUR_TOOBIG: yes, or the work is used
 * up. The recursion is at most max + 1 deep. */
static int search(struct graph *g, uint64_t *candidates, size_t size)
{
	size_t set_bytes = g->words * sizeof(uint64_t);
	uint64_t *sets = malloc(3 * set_bytes);
	uint32_t *lists = malloc(2 * g->n * sizeof(*lists));
	struct level l = {lists, lists ? lists + g->n : NULL, 0};
	uint64_t *inner;
	int r = BUR_NOMEM;

	if (!sets || !lists)
		goto out;
	r = BUR_OK;
	colour_level(g, candidates, sets, sets + g->words, &l);
	inner = sets + 2 * g->words;
	for (size_t i = l.n; i-- > 0 && size + l.colour[i] > g->max && r == BUR_OK;) {
		uint32_t v = l.vertex[i];

		if (size + 1 > g->max || g->work > WORK_MAX) {
			r = BUR_TOOBIG;
			break;
		}
		for (size_t w = 0; w < g->words; w++)
			inner[w] = candidates[w] & row(g, v)[w];
		r = search(g, inner, size + 1);
		candidates[v / WORD_BITS] &= ~(UINT64_C(1) << v % WORD_BITS);
	}
out:
	free(lists);
	free(sets);
	return r;
}

int overlap_check(const struct budget *list, size_t n, size_t max)
{
	struct graph g = {.n = n, .words = (n + WORD_BITS - 1) / WORD_BITS, .max = max};
	uint64_t *all = NULL;
	int r = BUR_NOMEM;

	if (n <= max)
		return BUR_OK;
	g.adjacent = calloc(n, g.words * sizeof(uint64_t));
	all = calloc(g.words, sizeof(uint64_t));
	if (!g.adjacent || !all)
		goto out;
	link_pairs(&g, list);
	for (size_t i = 0; i < n; i++)
		all[i / WORD_BITS] |= UINT64_C(1) << i % WORD_BITS;
	r = search(&g, all, 0);
out:
	free(all);
	free(g.adjacent);
	return r;
}
