#include "policy/parent.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "policy/budget_window.h"

typedef __int128 wide;

#define AMOUNT_SIZE (AMOUNT_TEXT_MAX + 16)

static const char *group_of(const struct budget *b)
{
	return b->group ? b->group : b->name;
}

static bool is_child(const struct budget *b, const struct budget *parent)
{
	return b->parent && strcmp(b->parent, group_of(parent)) == 0;
}

PRINTF_LIKE(2, 3) static int invalid(char reterr[PARENT_TEXT_MAX], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(reterr, PARENT_TEXT_MAX, fmt, ap);
	va_end(ap);
	return BUR_INVALID;
}

static const char *amount_text(enum amount_unit unit, int64_t value, char dst[AMOUNT_SIZE])
{
	char usd[AMOUNT_TEXT_MAX];

	if (unit == UNIT_USD)
		(void)snprintf(dst, AMOUNT_SIZE, "%s USD", amount_format_usd(value, usd));
	else
		(void)snprintf(dst, AMOUNT_SIZE, "%lld %s", (long long)value,
			       unit == UNIT_TOKENS ? "tokens" : "requests");
	return dst;
}

static bool same_fact(enum fact a, const char *tag_a, enum fact b, const char *tag_b)
{
	return a == b && (a != FACT_TAG || strcmp(tag_a, tag_b) == 0);
}

/* --- who is whose ------------------------------------------------------------------------------------------------- */

static const struct budget *first_of(const struct budget *list, size_t n, const char *group)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(group_of(&list[i]), group) == 0)
			return &list[i];
	}
	return NULL;
}

/* All of a line match at once, so that a longer one could never be loaded. */
static int check_line(const struct budget *list, size_t n, const struct budget *b, char reterr[PARENT_TEXT_MAX])
{
	const struct budget *at = b;

	for (size_t depth = 0; at->parent; depth++) {
		const char *name = at->parent;

		if (depth == MATCH_MAX || strcmp(name, group_of(b)) == 0)
			return invalid(reterr, "`parent: %.100s` leads back to itself or too far", b->parent);
		at = first_of(list, n, name);
		if (!at)
			return invalid(reterr, "there is no budget `%.100s` to be its parent", name);
	}
	return BUR_OK;
}

/* --- does the parent take all that the child takes? --------------------------------------------------------------- */

/* Every value that `inner` accepts, `outer` accepts too. */
static bool pattern_covers(const char *outer, const char *inner)
{
	size_t n = strlen(outer);

	if (n > 0 && outer[n - 1] == '*')
		return strncmp(outer, inner, n - 1) == 0;
	return strcmp(outer, inner) == 0;
}

static bool selector_covered(const struct selector *s, const struct budget *child)
{
	for (size_t i = 0; i < child->n_match; i++) {
		const struct selector *c = &child->match[i];

		if (same_fact(s->fact, s->tag, c->fact, c->tag))
			return pattern_covers(s->value, c->value);
	}
	return false;
}

/* One counter of the child lies in one counter of the parent. */
static bool per_covered(const struct per *p, const struct budget *child)
{
	for (size_t i = 0; i < child->n_per; i++) {
		if (same_fact(p->fact, p->tag, child->per[i].fact, child->per[i].tag))
			return true;
	}
	for (size_t i = 0; i < child->n_match; i++) {
		const struct selector *c = &child->match[i];

		if (same_fact(p->fact, p->tag, c->fact, c->tag))
			return !strchr(c->value, '*');
	}
	return false;
}

static int check_selectors(const struct budget *parent, const struct budget *child, char reterr[PARENT_TEXT_MAX])
{
	for (size_t i = 0; i < parent->n_match; i++) {
		const struct selector *s = &parent->match[i];

		if (!selector_covered(s, child))
			return invalid(reterr,
				       "its parent `%.100s` counts only calls with %s%s `%.64s`, but this one counts "
				       "others too: its `match` must be as narrow",
				       group_of(parent), fact_name(s->fact), s->fact == FACT_TAG ? s->tag : "",
				       s->value);
	}
	for (size_t i = 0; i < parent->n_per; i++) {
		const struct per *p = &parent->per[i];

		if (!per_covered(p, child))
			return invalid(reterr,
				       "its parent `%.100s` has a counter for each %s%s, so this one needs it in its "
				       "`per`, or one value of it in its `match`",
				       group_of(parent), fact_name(p->fact), p->fact == FACT_TAG ? p->tag : "");
	}
	return BUR_OK;
}

static int check_limit(const struct budget *parent, const struct budget *child, char reterr[PARENT_TEXT_MAX])
{
	char has[AMOUNT_SIZE], wants[AMOUNT_SIZE];

	if (child->unit != parent->unit || child->limit <= parent->limit || !budget_window_within(child, parent))
		return BUR_OK;
	return invalid(reterr, "its limit of %s (%s) is above the %s (%s) of its parent `%.100s`",
		       amount_text(child->unit, child->limit, wants), child->window_name ? child->window_name : "",
		       amount_text(parent->unit, parent->limit, has), parent->window_name ? parent->window_name : "",
		       group_of(parent));
}

int parent_check(const struct budget *list, size_t n, size_t *ret_index, char reterr[PARENT_TEXT_MAX])
{
	for (size_t i = 0; i < n; i++) {
		int r = check_line(list, n, &list[i], reterr);

		*ret_index = i;
		for (size_t k = 0; k < n && r == BUR_OK && list[i].parent; k++) {
			if (!is_child(&list[i], &list[k]))
				continue;
			r = check_selectors(&list[k], &list[i], reterr);
			if (r == BUR_OK)
				r = check_limit(&list[k], &list[i], reterr);
		}
		if (r < 0)
			return r;
	}
	return BUR_OK;
}

/* --- more promised than there is ---------------------------------------------------------------------------------- */

static bool same_window(const struct budget *a, const struct budget *b)
{
	return budget_window_within(a, b) && budget_window_within(b, a);
}

void parent_each_overcommit(const struct budget *list, size_t n, void (*visit)(void *ctx, const char *text), void *ctx)
{
	char text[PARENT_TEXT_MAX], has[AMOUNT_SIZE], wants[AMOUNT_SIZE];

	for (size_t i = 0; i < n; i++) {
		const struct budget *p = &list[i];
		wide sum = 0;

		for (size_t k = 0; k < n && p->n_per == 0; k++) {
			const struct budget *c = &list[k];

			if (is_child(c, p) && c->n_per == 0 && c->unit == p->unit && same_window(c, p))
				sum += c->limit;
		}
		if (sum <= p->limit)
			continue;
		(void)snprintf(text, sizeof(text),
			       "the budgets with the parent `%.100s` promise %s (%s) together, which is more than its "
			       "%s; each of them ends where the parent ends",
			       group_of(p), amount_text(p->unit, sum > INT64_MAX ? INT64_MAX : (int64_t)sum, wants),
			       p->window_name ? p->window_name : "", amount_text(p->unit, p->limit, has));
		visit(ctx, text);
	}
}
