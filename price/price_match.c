/* Which model is meant by a name. */
#include "base/error.h"
#include "price/price_impl.h"

struct name {
	char text[MODEL_NAME_MAX + 1];
	size_t n;
};

static struct slice slice_of_name(const struct name *name)
{
	return slice_mem(name->text, name->n);
}

static bool name_set(struct name *name, struct slice text)
{
	if (text.n == 0 || text.n > MODEL_NAME_MAX || memchr(text.p, '\0', text.n))
		return false;
	for (size_t i = 0; i < text.n; i++)
		name->text[i] = (char)(text.p[i] >= 'A' && text.p[i] <= 'Z' ? text.p[i] + 32 : text.p[i]);
	name->text[text.n] = '\0';
	name->n = text.n;
	return true;
}

/* "models/NAME" of Gemini, "publishers/google/models/NAME" of Vertex, "arn:…/NAME" of Bedrock. */
static struct slice without_path(struct slice s)
{
	static const char marker[] = "/models/";
	const char *at;

	if (slice_istarts(s, SLICE("models/")))
		return slice_sub(s, 7, s.n);
	at = memmem(s.p, s.n, marker, sizeof(marker) - 1);
	if (at && (slice_istarts(s, SLICE("publishers/")) || slice_istarts(s, SLICE("projects/")))) {
		size_t from = (size_t)(at - s.p) + sizeof(marker) - 1;

		return slice_sub(s, from, s.n);
	}
	at = slice_istarts(s, SLICE("arn:")) ? memrchr(s.p, '/', s.n) : NULL;
	return at ? slice_sub(s, (size_t)(at - s.p) + 1, s.n) : s;
}

/* --- rules -------------------------------------------------------------------------------------------------------- */

static bool group_matches(const struct price_rule *r, const char *name, size_t name_n)
{
	bool want = r->op == OP_OR;

	for (size_t i = 0; i < r->n_parts; i++)
		if (price_rule_matches(&r->parts[i], name, name_n) == want)
			return want;
	return !want;
}

bool price_rule_matches(const struct price_rule *r, const char *name, size_t name_n)
{
	struct slice s = slice_mem(name, name_n), text = slice_mem(r->text, r->text_n);

	switch (r->op) {
	case OP_EQ:
		return slice_eq(s, text);
	case OP_RE:
		return slice_starts(s, text) && regexec(r->re, name, 0, NULL, 0) == 0;
	case OP_STARTS_WITH:
		return slice_starts(s, text);
	case OP_ENDS_WITH:
		return slice_ends(s, text);
	case OP_CONTAINS:
		return text.n <= s.n && memmem(s.p, s.n, text.p, text.n) != NULL;
	case OP_AND:
	case OP_OR:
		return group_matches(r, name, name_n);
	case OP_NOT:
		return !price_rule_matches(&r->parts[0], name, name_n);
	}
	return false; /* no such operation */
}

/* Operator's alias, whole name, then the rules, best first. */
static const struct price_model *match_own(const struct price_provider *p, const struct name *name)
{
	const char *alias = map_get(p->aliases, slice_of_name(name));
	struct slice s = alias ? slice_of(alias) : slice_of_name(name);
	const struct price_model *m = map_get(p->names, s);

	for (size_t i = 0; !m && i < p->n_rules; i++)
		if (price_rule_matches(&p->rules[i], s.p, s.n))
			m = p->rules[i].model;
	return m;
}

static const struct price_model *match(const struct price_provider *p, const struct name *name)
{
	const struct price_model *m = match_own(p, name);

	for (size_t i = 0; !m && i < p->n_fallback; i++)
		m = match_own(p->fallback[i], name);
	return m;
}

/* --- related names ------------------------------------------------------------------------------------------------ */

static bool all_digits(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n > 0;
}

/* Length of a "-YYYY-MM-DD" or "-YYYYMMDD" at the end, or 0. */
static size_t date_suffix(struct slice s)
{
	struct slice d;

	if (s.n > 11) {
		d = slice_sub(s, s.n - 11, 11);
		if (d.p[0] == '-' && d.p[5] == '-' && d.p[8] == '-' && all_digits(slice_sub(d, 1, 4)) &&
		    all_digits(slice_sub(d, 6, 2)) && all_digits(slice_sub(d, 9, 2)))
			return 11;
	}
	if (s.n > 9) {
		d = slice_sub(s, s.n - 9, 9);
		if (d.p[0] == '-' && all_digits(slice_sub(d, 1, 8)))
			return 9;
	}
	return 0;
}

/* "…-20260131" as "…-2026-01-31": both are written for the same edition. */
static bool spread_date(const struct name *from, struct name *to)
{
	struct slice s = slice_of_name(from);

	if (date_suffix(s) != 9 || s.n + 2 > MODEL_NAME_MAX)
		return false;
	memcpy(to->text, s.p, s.n - 4);
	to->text[s.n - 4] = '-';
	memcpy(to->text + s.n - 3, s.p + s.n - 4, 2);
	to->text[s.n - 1] = '-';
	memcpy(to->text + s.n, s.p + s.n - 2, 2);
	to->n = s.n + 2;
	to->text[to->n] = '\0';
	return true;
}

static struct slice cut_at(struct slice s, const char *mark)
{
	const char *at = memmem(s.p, s.n, mark, strlen(mark));

	return at && at > s.p ? slice_sub(s, 0, (size_t)(at - s.p)) : s;
}

/* Length of a "-v2", "-v1:0" at the end, or 0. */
static size_t version_suffix(struct slice s)
{
	size_t i = s.n, digits = 0;

	while (i > 0 && ((s.p[i - 1] >= '0' && s.p[i - 1] <= '9') || s.p[i - 1] == ':'))
		digits += s.p[--i] != ':';
	return digits > 0 && i > 2 && s.p[i - 1] == 'v' && s.p[i - 2] == '-' ? s.n - i + 2 : 0;
}

/* The name without its last suffix that says only which edition it is; unchanged when there is none. */
static struct slice strip_suffix(struct slice s)
{
	static const char *const endings[] = {"-latest", "-preview", "-exp",      ":free",
					      ":nitro",  ":floor",   ":thinking", ":batch"};
	static const char *const marks[] = {"@", "-preview-", "-exp-"};
	size_t edition = date_suffix(s) > 0 ? date_suffix(s) : version_suffix(s);

	if (edition > 0)
		return slice_sub(s, 0, s.n - edition);
	for (size_t i = 0; i < ARRAY_LEN(endings); i++)
		if (slice_ends(s, slice_of(endings[i])) && s.n > strlen(endings[i]))
			return slice_sub(s, 0, s.n - strlen(endings[i]));
	if (s.n > 5 && s.p[s.n - 5] == '-' && all_digits(slice_sub(s, s.n - 4, 4)))
		return slice_sub(s, 0, s.n - 5);
	for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
		struct slice cut = cut_at(s, marks[i]);

		if (cut.n < s.n)
			return cut;
	}
	return s;
}

#define STRIPS_MAX 4

/* Fine-tuned models cost more than their base: only a row of their own prices them. */
static const struct price_model *match_related(const struct price_provider *p, struct name *name)
{
	const struct price_model *m = NULL;

	if (slice_starts(slice_of_name(name), SLICE("ft:")))
		return NULL;
	for (int i = 0; !m && i < STRIPS_MAX; i++) {
		size_t n = strip_suffix(slice_of_name(name)).n;

		if (n == name->n)
			return NULL;
		name->text[n] = '\0';
		name->n = n;
		m = match(p, name);
	}
	return m;
}

/* --- looking up --------------------------------------------------------------------------------------------------- */

static const struct price_provider *find_provider(const struct price_book *b, struct slice name)
{
	struct name lower;

	return name_set(&lower, name) ? map_get(b->by_name, slice_of_name(&lower)) : NULL;
}

const struct price_model *price_find(const struct price_book *b, struct slice provider, struct slice model,
				     bool *ret_inherited)
{
	const struct price_provider *p = find_provider(b, provider);
	const struct price_model *m;
	struct name name, spread;

	if (ret_inherited)
		*ret_inherited = false;
	if (!p || !name_set(&name, without_path(slice_trim(model))))
		return NULL;
	m = match(p, &name);
	if (!m && spread_date(&name, &spread))
		m = match(p, &spread);
	if (m)
		return m;
	m = match_related(p, &name);
	if (m && ret_inherited)
		*ret_inherited = true;
	return m;
}

const char *price_provider_at(const struct price_book *b, const char *url)
{
	struct slice rest = slice_of(url), host;
	const struct price_provider *p;
	const char *end;

	if (!slice_istarts(rest, SLICE("https://")))
		return NULL;
	rest = slice_sub(rest, 8, rest.n);
	end = memchr(rest.p, '/', rest.n);
	host = end ? slice_sub(rest, 0, (size_t)(end - rest.p)) : rest;
	p = map_get(b->by_host, host);
	if (p)
		return p->id;
	for (size_t i = 0; i < b->n_providers; i++)
		for (size_t k = 0; k < b->providers[i].n_url_res; k++)
			if (regexec(b->providers[i].url_res[k], rest.p, 0, NULL, 0) == 0)
				return b->providers[i].id;
	return NULL;
}
