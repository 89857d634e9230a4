/* Which model is meant by a name. */
#include "price/price_impl.h"

#define KEY_MAX (MODEL_NAME_MAX + 128)

struct name {
	char text[MODEL_NAME_MAX + 1];
	size_t n;
};

static bool name_normalise(struct slice model, struct name *ret)
{
	size_t i;

	model = slice_trim(model);
	if (slice_istarts(model, SLICE("models/")))
		model = slice_sub(model, 7, model.n);
	if (model.n == 0 || model.n > MODEL_NAME_MAX)
		return false;
	for (i = 0; i < model.n; i++) {
		char c = model.p[i];

		ret->text[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
	}
	ret->text[model.n] = '\0';
	ret->n = model.n;
	return true;
}

static const struct price_model *look_up(const struct map *names, const struct price_provider *p, struct slice name)
{
	char key[KEY_MAX];
	size_t id_n = strlen(p->id);

	if (id_n + 1 + name.n > sizeof(key))
		return NULL;
	memcpy(key, p->id, id_n);
	key[id_n] = '/';
	memcpy(key + id_n + 1, name.p, name.n);
	return map_get(names, slice_mem(key, id_n + 1 + name.n));
}

static bool all_digits(struct slice s)
{
	size_t i;

	for (i = 0; i < s.n; i++)
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

static bool contains(struct slice s, const char *text, size_t n)
{
	return n <= s.n && memmem(s.p, s.n, text, n) != NULL;
}

static bool rule_matches(const struct price_rule *r, struct slice name)
{
	struct slice text = slice_mem(r->text, r->text_n);

	if (r->without && contains(name, r->without, strlen(r->without)))
		return false;
	switch (r->op) {
	case OP_STARTS_WITH:
		return slice_starts(name, text);
	case OP_ENDS_WITH:
		return slice_ends(name, text);
	case OP_CONTAINS:
		return contains(name, r->text, r->text_n);
	}
	return false;
}

static const struct price_model *match(const struct price_book *b, const struct price_provider *p, struct slice name)
{
	const struct price_model *m = look_up(b->exact, p, name);
	size_t date = m ? 0 : date_suffix(name), i;

	if (!m && date > 0)
		m = look_up(b->dated, p, slice_sub(name, 0, name.n - date));
	for (i = 0; !m && i < p->n_rules; i++)
		if (rule_matches(&p->rules[i], name))
			m = p->rules[i].model;
	return m;
}

static struct slice cut_at(struct slice s, const char *mark)
{
	const char *at = memmem(s.p, s.n, mark, strlen(mark));

	return at && at > s.p ? slice_sub(s, 0, (size_t)(at - s.p)) : s;
}

/* The name without its last suffix that says only which edition it is; unchanged when there is none. */
static struct slice strip_suffix(struct slice s)
{
	static const char *const endings[] = {"-latest", "-preview", "-exp", ":free", ":nitro", ":floor", ":thinking"};
	size_t date = date_suffix(s), i;

	if (date > 0)
		return slice_sub(s, 0, s.n - date);
	for (i = 0; i < ARRAY_LEN(endings); i++)
		if (slice_ends(s, slice_of(endings[i])) && s.n > strlen(endings[i]))
			return slice_sub(s, 0, s.n - strlen(endings[i]));
	if (s.n > 5 && s.p[s.n - 5] == '-' && all_digits(slice_sub(s, s.n - 4, 4)))
		return slice_sub(s, 0, s.n - 5);
	for (i = 0; i < 3; i++) {
		static const char *const marks[] = {"@", "-preview-", "-exp-"};
		struct slice cut = cut_at(s, marks[i]);

		if (cut.n < s.n)
			return cut;
	}
	return s;
}

static const struct price_provider *find_provider(const struct price_book *b, struct slice id)
{
	size_t i;

	for (i = 0; i < b->n_providers; i++)
		if (slice_eq(id, slice_of(b->providers[i].id)))
			return &b->providers[i];
	return NULL;
}

#define STRIPS_MAX 4

const struct price_model *price_find(const struct price_book *b, struct slice provider, struct slice model,
				     bool *ret_inherited)
{
	const struct price_provider *p = find_provider(b, provider);
	const struct price_model *m;
	struct name name;
	struct slice s;
	int i;

	if (ret_inherited)
		*ret_inherited = false;
	if (!p || !name_normalise(model, &name))
		return NULL;
	s = slice_mem(name.text, name.n);
	m = match(b, p, s);
	/* fine-tuned models cost more than their base: only a row of their own prices them */
	for (i = 0; !m && i < STRIPS_MAX && !slice_starts(s, SLICE("ft:")); i++) {
		struct slice shorter = strip_suffix(s);

		if (shorter.n == s.n)
			break;
		s = shorter;
		m = match(b, p, s);
		if (m && ret_inherited)
			*ret_inherited = true;
	}
	return m;
}
