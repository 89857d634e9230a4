/* Loading the rules by which names match models. */
#include <jansson.h>
#include <stdlib.h>

#include "base/error.h"
#include "price/price_impl.h"

#define NESTING_MAX 3
#define PARTS_MAX 16
#define PATTERN_MAX 512

static const char *const op_names[] = {
    [OP_EQ] = "eq",
    [OP_RE] = "re",
    [OP_STARTS_WITH] = "starts_with",
    [OP_ENDS_WITH] = "ends_with",
    [OP_CONTAINS] = "contains",
    [OP_AND] = "and",
    [OP_OR] = "or",
    [OP_NOT] = "not",
};

/* --- regular expressions ------------------------------------------------------------------------------------------ */

int price_compile(const struct price_loader *l, const char *pattern, regex_t **ret)
{
	char anchored[PATTERN_MAX + 8], why[128];
	regex_t *re;
	int rc, n = snprintf(anchored, sizeof(anchored), "^(%s)$", pattern);

	if (n < 0 || (size_t)n >= sizeof(anchored))
		return price_complain(l, "the pattern \"%.40s…\" is too long", pattern);
	re = malloc(sizeof(*re));
	if (!re)
		return BUR_NOMEM;
	rc = regcomp(re, anchored, REG_EXTENDED | REG_NOSUB);
	if (rc == 0) {
		*ret = re;
		return BUR_OK;
	}
	(void)regerror(rc, re, why, sizeof(why));
	free(re);
	return rc == REG_ESPACE ? BUR_NOMEM : price_complain(l, "the pattern \"%.100s\": %s", pattern, why);
}

/* What every name that matches begins with, so that most names need not be run through the machine. */
static char *literal_prefix(const char *pattern)
{
	size_t n = 0, max = strchr(pattern, '|') ? 0 : strlen(pattern);
	char *dst = malloc(strlen(pattern) + 1);

	for (size_t i = 0; dst && i < max;) {
		size_t at = i;
		bool escaped = pattern[i] == '\\' && strchr(".[]()+*?{}|^$/\\-", pattern[i + 1]) && pattern[i + 1];

		if (!escaped && strchr(".[]()+*?{}|^$\\", pattern[i]))
			break;
		at += escaped ? 1 : 0;
		i = at + 1;
		if (pattern[i] == '*' || pattern[i] == '?' || pattern[i] == '{')
			break; /* this one may be missing */
		dst[n++] = pattern[at];
	}
	if (dst)
		dst[n] = '\0';
	return dst;
}

/* --- rules -------------------------------------------------------------------------------------------------------- */

static bool is_lower(const char *s)
{
	for (; *s; s++)
		if (*s >= 'A' && *s <= 'Z')
			return false;
	return true;
}

static int load_rule(struct price_loader *l, json_t *v, int depth, struct price_rule *rule);

static int load_group(struct price_loader *l, json_t *v, int depth, struct price_rule *rule)
{
	size_t n = json_array_size(v) - 1;
	int r = BUR_OK;

	if (n == 0 || n > PARTS_MAX || depth >= NESTING_MAX || (rule->op == OP_NOT && n != 1))
		return price_complain(l, "a group of rules must be [\"and\" or \"or\", rule, …] or [\"not\", rule]");
	rule->parts = calloc(n, sizeof(*rule->parts));
	if (!rule->parts)
		return BUR_NOMEM;
	rule->rank = OP_EQ;
	for (size_t i = 0; i < n && r == BUR_OK; i++) {
		struct price_rule *part = &rule->parts[i];

		rule->n_parts = i + 1;
		r = load_rule(l, json_array_get(v, i + 1), depth + 1, part);
		if (part->op != OP_NOT && part->rank >= rule->rank) {
			rule->rank = part->rank;
			rule->text_n = part->text_n;
		}
	}
	return r;
}

static int load_text(struct price_loader *l, json_t *v, struct price_rule *rule)
{
	const char *text = json_string_value(json_array_get(v, 1));
	int r = BUR_OK;

	if (json_array_size(v) != 2 || !text || !*text || !is_lower(text))
		return price_complain(l, "a match must be [operation, lower-case text]");
	rule->rank = rule->op;
	if (rule->op == OP_RE)
		r = price_compile(l, text, &rule->re);
	rule->text = rule->op == OP_RE ? literal_prefix(text) : strdup(text);
	if (r == BUR_OK && !rule->text)
		r = BUR_NOMEM;
	rule->text_n = rule->text ? strlen(rule->text) : 0;
	return r;
}

static int load_rule(struct price_loader *l, json_t *v, int depth, struct price_rule *rule)
{
	const char *op = json_string_value(json_array_get(v, 0));
	size_t i;

	for (i = 0; i < ARRAY_LEN(op_names) && !(op && strcmp(op, op_names[i]) == 0); i++)
		;
	if (!op || i == ARRAY_LEN(op_names))
		return price_complain(l, "unknown match operation \"%.40s\"", op ? op : "");
	rule->op = (enum price_op)i;
	return rule->op >= OP_AND ? load_group(l, v, depth, rule) : load_text(l, v, rule);
}

static int put_name(const struct price_loader *l, struct map *names, const char *name, struct price_model *m)
{
	int r = map_put(names, slice_of(name), m);

	if (r == BUR_ALREADY && map_get(names, slice_of(name)) == m)
		return BUR_OK;
	return r == BUR_ALREADY ? price_complain(l, "the name \"%s\" already belongs to another model", name) : r;
}

static int load_match(struct price_loader *l, struct price_provider *p, json_t *v, struct price_model *m)
{
	struct price_rule *rules, rule = {0};
	int r = load_rule(l, v, 0, &rule);

	if (r == BUR_OK && rule.op == OP_EQ) {
		r = put_name(l, p->names, rule.text, m);
		price_free_rule(&rule);
		return r;
	}
	if (r == BUR_OK && rule.op == OP_NOT)
		r = price_complain(l, "a match cannot be \"not\" alone");
	rules = r == BUR_OK ? realloc(p->rules, (p->n_rules + 1) * sizeof(*rules)) : NULL;
	if (!rules) {
		price_free_rule(&rule);
		return r == BUR_OK ? BUR_NOMEM : r;
	}
	rule.model = m;
	p->rules = rules;
	rules[p->n_rules++] = rule;
	return BUR_OK;
}

int price_load_matches(struct price_loader *l, struct price_provider *p, json_t *match, struct price_model *m)
{
	int r = BUR_OK;

	if (match && !json_is_array(match))
		return price_complain(l, "\"match\" must be a list");
	for (size_t i = 0; i < json_array_size(match) && r == BUR_OK; i++)
		r = load_match(l, p, json_array_get(match, i), m);
	return r;
}

/* Longest first within one operation, so that the more precise rule wins; a group before what is like it but alone. */
static int compare_rules(const void *a, const void *b)
{
	const struct price_rule *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	if (x->text_n != y->text_n)
		return x->text_n > y->text_n ? -1 : 1;
	if (x->op != y->op)
		return x->op > y->op ? -1 : 1;
	return x->model < y->model ? -1 : x->model > y->model;
}

void price_sort_rules(struct price_provider *p)
{
	if (p->n_rules > 0)
		qsort(p->rules, p->n_rules, sizeof(*p->rules), compare_rules);
}

void price_free_rule(struct price_rule *rule)
{
	for (size_t i = 0; i < rule->n_parts; i++)
		price_free_rule(&rule->parts[i]);
	free(rule->parts);
	free(rule->text);
	if (rule->re)
		regfree(rule->re);
	free(rule->re);
}
