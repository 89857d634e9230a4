#include "price/import.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/amount.h"
#include "base/error.h"
#include "base/json.h"
#include "price/import_impl.h"
#include "price/price.h"

#define RATE_MAX_PUSD INT64_C(10000000000000000) /* 10 000 USD, as in a book */
#define STACK_MAX 64
#define NOTES_MAX 5000

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* Open containers; the key that waits for its value belongs to the innermost object. */
struct tree_reader {
	json_t *stack[STACK_MAX];
	char key[JSON_CAPTURE_MAX + 1];
	int depth;
	json_t *root;
	const char *wrong;
};

/* Takes the reference over. */
static bool put_value(struct tree_reader *t, json_t *v)
{
	json_t *top = t->depth > 0 ? t->stack[t->depth - 1] : NULL;
	bool good = v != NULL;

	if (!v)
		return false;
	if (!top)
		t->root = v;
	else if (json_is_array(top))
		good = json_array_append_new(top, v) == 0;
	else if (json_object_get(top, t->key)) {
		json_decref(v);
		t->wrong = "a key stands twice in one object";
		good = false;
	} else
		good = json_object_set_new(top, t->key, v) == 0;
	return good;
}

static bool open_container(struct tree_reader *t, json_t *v)
{
	if (t->depth == STACK_MAX) {
		json_decref(v);
		t->wrong = "nested too deep";
		return false;
	}
	if (!put_value(t, v))
		return false;
	t->stack[t->depth++] = v;
	return true;
}

static bool take_token(struct tree_reader *t, const struct json_reader *r, enum json_token token)
{
	struct slice text = json_text(r);

	switch (token) {
	case JT_OBJECT_BEGIN:
		return open_container(t, json_object());
	case JT_ARRAY_BEGIN:
		return open_container(t, json_array());
	case JT_OBJECT_END:
	case JT_ARRAY_END:
		t->depth--;
		return true;
	case JT_KEY:
		(void)slice_to_cstr(text, t->key, sizeof(t->key));
		return !r->cut;
	case JT_STRING:
		/* Long texts are descriptions: never a price, a name or a rule. */
		return put_value(t, r->cut ? json_string("") : json_stringn(text.p, text.n));
	case JT_NUMBER:
		return !r->cut && put_value(t, json_stringn(text.p, text.n));
	case JT_TRUE:
		return put_value(t, json_true());
	case JT_FALSE:
		return put_value(t, json_false());
	default:
		return put_value(t, json_null());
	}
}

static int read_tree(struct tree_reader *t, struct slice text)
{
	struct json_reader r;
	enum json_token token;
	size_t i = 0;

	json_reader_init(&r);
	r.want_text = true;
	r.utf8_strict = true;
	while ((token = json_next(&r, text.p, text.n, &i)) != JT_MORE) {
		if (token == JT_ERROR)
			return BUR_INVALID;
		if (token != JT_END && !take_token(t, &r, token))
			return t->wrong || r.cut ? BUR_INVALID : BUR_NOMEM;
	}
	return json_reader_complete(&r) && t->root ? BUR_OK : BUR_INVALID;
}

int import_read(struct slice text, json_t **ret, char *reterr, size_t reterr_size)
{
	struct tree_reader *t;
	int r;

	if (text.n > IMPORT_BYTES_MAX) {
		(void)snprintf(reterr, reterr_size, "a price list may have at most %u bytes", IMPORT_BYTES_MAX);
		return BUR_TOOBIG;
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		return BUR_NOMEM;
	r = read_tree(t, text);
	if (r == BUR_OK) {
		*ret = t->root;
	} else {
		json_decref(t->root); /* the stack only borrows */
		(void)snprintf(reterr, reterr_size, "%s",
			       r == BUR_NOMEM ? "out of memory"
			       : t->wrong     ? t->wrong
					      : "it is no complete JSON document");
	}
	free(t);
	return r;
}

/* --- literals ----------------------------------------------------------------------------------------------------- */

const char *import_text(const json_t *v)
{
	return json_string_value(v);
}

json_int_t import_count(const json_t *literal)
{
	uint64_t n;

	if (!json_is_string(literal) || json_count(slice_of(json_string_value(literal)), &n) < 0 || n > INT64_MAX)
		return 0;
	return (json_int_t)n;
}

/* Half-even; num and den over 0. */
static __int128 divide_even(__int128 num, __int128 den)
{
	__int128 q = num / den, rest = num % den * 2;

	return q + (rest > den || (rest == den && q % 2 == 1));
}

bool import_rate(const json_t *literal, int64_t times, int64_t *ret_pusd)
{
	struct slice text = slice_of(json_string_value(literal));
	int64_t v;
	__int128 pusd;

	if (text.n == 0)
		return false;
	/* As many decimals as fit: prices per token are tiny, those per million are not. */
	if (times > 1 && decimal_parse(text, 18, true, &v) == BUR_OK)
		pusd = v < 0 ? -1 : divide_even((__int128)v * times, 1000000);
	else if (decimal_parse(text, 12, true, &v) == BUR_OK)
		pusd = (__int128)v * times;
	else
		return false;
	if (pusd < 0 || pusd > RATE_MAX_PUSD)
		return false;
	*ret_pusd = (int64_t)pusd;
	return true;
}

char *import_rate_text(int64_t pusd, char dst[RATE_TEXT_MAX])
{
	int n = snprintf(dst, RATE_TEXT_MAX, "%lld.%012lld", (long long)(pusd / 1000000000000),
			 (long long)(pusd % 1000000000000));

	while (n > 0 && dst[n - 1] == '0')
		n--;
	if (n > 0 && dst[n - 1] == '.')
		n--;
	dst[n] = '\0';
	return dst;
}

/* --- building ----------------------------------------------------------------------------------------------------- */

static bool failed(struct import_work *w, int jansson_result)
{
	w->no_memory = w->no_memory || jansson_result != 0;
	return jansson_result != 0;
}

void import_note(struct import_work *w, const char *provider, const char *model, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n = snprintf(text, sizeof(text), "%.64s/%.191s: ", provider, model);

	if (n < 0 || json_array_size(w->notes) >= NOTES_MAX)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
	va_end(ap);
	(void)json_array_append_new(w->notes, json_string(text)); /* bad UTF-8 was refused before */
}

bool import_wants(const struct import_work *w, const char *provider)
{
	return !w->ask->provider || strcmp(w->ask->provider, provider) == 0;
}

static json_t *provider_of(json_t *book, const char *id)
{
	json_t *p;
	size_t i;

	json_array_foreach(json_object_get(book, "providers"), i, p)
	{
		const char *name = json_string_value(json_object_get(p, "id"));

		if (name && strcmp(name, id) == 0)
			return p;
	}
	return NULL;
}

/* Lower case, no control bytes or blanks. */
static bool lower_name(const char *id, char *dst, size_t size)
{
	size_t n = strlen(id);

	if (n == 0 || n >= size || n > 128)
		return false;
	for (size_t i = 0; i <= n; i++) {
		unsigned char c = (unsigned char)id[i];

		if (i < n && (c <= ' ' || c == 127))
			return false;
		dst[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : (char)c;
	}
	return true;
}

json_t *import_model(struct import_work *w, const char *provider, const char *id)
{
	char name[MODEL_NAME_MAX + 1];
	json_t *p = provider_of(w->local, provider), *m;

	if (!lower_name(id, name, sizeof(name)))
		return NULL;
	if (!p) {
		p = json_pack("{s:s,s:[]}", "id", provider, "models");
		if (failed(w, p ? json_array_append_new(json_object_get(w->local, "providers"), p) : -1))
			return NULL;
	}
	m = json_pack("{s:s,s:s,s:[[s,s]],s:[]}", "id", name, "origin", "import", "match", "eq", name, "prices");
	return failed(w, m ? json_array_append_new(json_object_get(p, "models"), m) : -1) ? NULL : m;
}

void import_drop_model(struct import_work *w, const char *provider, json_t *model)
{
	json_t *models = json_object_get(provider_of(w->local, provider), "models");

	for (size_t i = json_array_size(models); i-- > 0;)
		if (json_array_get(models, i) == model) {
			(void)json_array_remove(models, i);
			return;
		}
}

json_t *import_row(struct import_work *w, json_t *model, const char *service, uint64_t over)
{
	json_t *rows = json_object_get(model, "prices"), *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		const char *s = json_string_value(json_object_get(row, "service"));

		if (strcmp(s ? s : "", service) == 0 &&
		    (uint64_t)json_integer_value(json_object_get(row, "over")) == over)
			return row;
	}
	row = json_pack("{s:s,s:{}}", "from", w->ask->today, "rates");
	if (row && service[0])
		(void)failed(w, json_object_set_new(row, "service", json_string(service)));
	if (row && over > 0)
		(void)failed(w, json_object_set_new(row, "over", json_integer((json_int_t)over)));
	return failed(w, row ? json_array_append_new(rows, row) : -1) ? NULL : row;
}

void import_put_rate(struct import_work *w, json_t *row, const char *unit, int64_t pusd)
{
	char text[RATE_TEXT_MAX];

	(void)failed(
	    w, json_object_set_new(json_object_get(row, "rates"), unit, json_string(import_rate_text(pusd, text))));
}

void import_put_count(struct import_work *w, json_t *model, const char *key, json_int_t n)
{
	if (n > 0)
		(void)failed(w, json_object_set_new(model, key, json_integer(n)));
}

json_t *import_local_new(void)
{
	return json_pack("{s:s,s:s,s:[]}", "format", "bursar-prices/1", "currency", "USD", "providers");
}

/* --- converting --------------------------------------------------------------------------------------------------- */

static enum import_format detect(const json_t *tree)
{
	const char *format = json_string_value(json_object_get(tree, "format"));
	void *first;

	if (format && strcmp(format, "bursar-prices/1") == 0)
		return IMPORT_BURSAR;
	if (json_is_array(tree))
		return IMPORT_GENAI;
	if (json_object_get(tree, "sample_spec"))
		return IMPORT_LITELLM;
	if (json_is_array(json_object_get(tree, "data")))
		return IMPORT_OPENROUTER;
	first = json_object_iter((json_t *)tree);
	if (first && json_is_object(json_object_get(json_object_iter_value(first), "models")))
		return IMPORT_MODELS_DEV;
	return IMPORT_AUTO;
}

/* In our own form numbers are counts. */
static void numbers_back(struct import_work *w, json_t *object)
{
	static const char *const counts[] = {"ctx", "max_out", "image_max", "min_audio_ms", "over"};

	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		const json_t *v = json_object_get(object, counts[i]);

		if (json_is_string(v))
			(void)failed(w, json_object_set_new(object, counts[i], json_integer(import_count(v))));
	}
}

static int take_own(struct import_work *w, json_t *tree)
{
	json_t *p, *m, *row;
	size_t i, k, j;

	json_array_foreach(json_object_get(tree, "providers"), i, p)
	{
		const char *id = json_string_value(json_object_get(p, "id"));

		if (!id || !import_wants(w, id))
			continue;
		json_array_foreach(json_object_get(p, "models"), k, m)
		{
			const char *name = json_string_value(json_object_get(m, "id"));
			json_t *to = name ? import_model(w, id, name) : NULL, *copy = to ? json_deep_copy(m) : NULL;

			if (!copy)
				continue;
			numbers_back(w, copy);
			json_array_foreach(json_object_get(copy, "prices"), j, row) numbers_back(w, row);
			(void)failed(w, json_object_update(to, copy));
			(void)failed(w, json_object_set_new(to, "origin", json_string("import")));
			json_decref(copy);
		}
	}
	return BUR_OK;
}

/* Rows that price nothing are no rows, and models without rows no models. */
static void drop_empty(json_t *local)
{
	json_t *p;
	size_t i;

	json_array_foreach(json_object_get(local, "providers"), i, p)
	{
		json_t *models = json_object_get(p, "models");

		for (size_t k = json_array_size(models); k-- > 0;) {
			json_t *rows = json_object_get(json_array_get(models, k), "prices");

			for (size_t j = json_array_size(rows); j-- > 0;)
				if (json_object_size(json_object_get(json_array_get(rows, j), "rates")) == 0)
					(void)json_array_remove(rows, j);
			if (json_array_size(rows) == 0)
				(void)json_array_remove(models, k);
		}
	}
}

int import_convert(json_t *tree, const struct import_ask *ask, json_t **ret_local, json_t **ret_notes, char *reterr,
		   size_t reterr_size)
{
	struct import_work w = {.ask = ask, .local = import_local_new(), .notes = json_array()};
	int r = BUR_INVALID;

	if (!w.local || !w.notes)
		w.no_memory = true;
	switch (ask->format == IMPORT_AUTO ? detect(tree) : ask->format) {
	case IMPORT_BURSAR:
		r = take_own(&w, tree);
		break;
	case IMPORT_GENAI:
		r = import_genai(&w, tree, reterr, reterr_size);
		break;
	case IMPORT_LITELLM:
		r = import_litellm(&w, tree, reterr, reterr_size);
		break;
	case IMPORT_MODELS_DEV:
		r = import_models_dev(&w, tree, reterr, reterr_size);
		break;
	case IMPORT_OPENROUTER:
		r = import_openrouter(&w, tree, reterr, reterr_size);
		break;
	default:
		(void)snprintf(reterr, reterr_size, "no price list that is known here; name it with --format");
	}
	if (r == BUR_OK && w.no_memory) {
		(void)snprintf(reterr, reterr_size, "out of memory");
		r = BUR_NOMEM;
	}
	if (r < 0) {
		json_decref(w.local);
		json_decref(w.notes);
		return r;
	}
	drop_empty(w.local);
	*ret_local = w.local;
	*ret_notes = w.notes;
	return BUR_OK;
}
