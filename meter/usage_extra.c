#include "meter/usage_extra.h"

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>

#include "base/error.h"
#include "base/json.h"

/* Names are in ledgers for ever: add, never rename. */
static const struct {
	const char *name;
	size_t offset;
} counts[] = {
#define COUNT(field)                                                                                                   \
	{                                                                                                              \
#field, offsetof(struct usage, field)                                                                  \
	}
    COUNT(audio_input_tokens),
    COUNT(cached_audio_tokens),
    COUNT(audio_output_tokens),
    COUNT(image_input_tokens),
    COUNT(image_output_tokens),
    COUNT(citation_tokens),
    COUNT(file_searches),
    COUNT(code_sessions),
    COUNT(images),
    COUNT(search_units),
    COUNT(pages),
    COUNT(pages_annotated),
    COUNT(audio_ms),
    COUNT(input_characters),
    COUNT(call_input_tokens),
#undef COUNT
};

/* Of one entry of `others`. */
static const struct {
	const char *name;
	size_t offset;
} other_counts[] = {
#define COUNT(name, field)                                                                                             \
	{                                                                                                              \
		name, offsetof(struct usage_other, field)                                                              \
	}
    COUNT("in", input_tokens),
    COUNT("cr", cached_input_tokens),
    COUNT("cw", cache_write_tokens),
    COUNT("cw1h", cache_write_1h_tokens),
    COUNT("in_audio", audio_input_tokens),
    COUNT("out", output_tokens),
#undef COUNT
};

static uint64_t *field(void *record, size_t offset)
{
	return (uint64_t *)(void *)((char *)record + offset);
}

struct out {
	char *dst;
	size_t size, n;
	bool all;
};

/* Appends the member, with a comma before all but the first, or nothing of it. */
static void put(struct out *o, const char *text, size_t n)
{
	size_t comma = o->n > 0;

	if (n + comma > o->size - o->n) {
		o->all = false;
		return;
	}
	if (comma)
		o->dst[o->n++] = ',';
	memcpy(o->dst + o->n, text, n);
	o->n += n;
}

static void put_count(struct out *o, const char *name, uint64_t v)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "\"%s\":%llu", name, (unsigned long long)v);

	if (v > 0)
		put(o, text, (size_t)n);
}

static void put_others(struct out *o, const struct usage *u)
{
	char text[USAGE_OTHERS_MAX * (2 * MODEL_NAME_MAX + 200)], name[2 * MODEL_NAME_MAX];
	size_t n = (size_t)snprintf(text, sizeof(text), "\"others\":[");

	for (size_t i = 0; i < u->n_others; i++) {
		struct usage_other other = u->others[i];
		size_t m = json_escape(slice_of(other.model), name, sizeof(name));
		struct out one = {text + n, sizeof(text) - n, 0, true};
		char head[2 * MODEL_NAME_MAX + 20];

		put(&one, head,
		    (size_t)snprintf(head, sizeof(head), "%s{\"model\":\"%.*s\"", i > 0 ? "," : "", (int)m, name));
		for (size_t k = 0; k < ARRAY_LEN(other_counts); k++)
			put_count(&one, other_counts[k].name, *field(&other, other_counts[k].offset));
		n += one.n;
		text[n++] = '}';
	}
	text[n++] = ']';
	if (u->n_others > 0)
		put(o, text, n);
}

size_t usage_extra_write(const struct usage *u, char *dst, size_t dst_size, bool *ret_all)
{
	struct out o = {dst, dst_size, 0, true};
	struct usage copy = *u;

	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		put_count(&o, counts[i].name, *field(&copy, counts[i].offset));
	put_others(&o, u);
	*ret_all = o.all;
	return o.n;
}

static void read_count(const json_t *object, const char *name, uint64_t *ret)
{
	const json_t *v = json_object_get(object, name);

	if (json_is_integer(v) && json_integer_value(v) >= 0)
		*ret = (uint64_t)json_integer_value(v);
}

static void read_others(const json_t *list, struct usage *u)
{
	size_t n = json_array_size(list);

	for (size_t i = 0; i < n && i < USAGE_OTHERS_MAX; i++) {
		const json_t *from = json_array_get(list, i);
		struct usage_other *o = &u->others[i];

		*o = (struct usage_other){0};
		(void)slice_to_cstr(slice_of(json_string_value(json_object_get(from, "model"))), o->model,
				    sizeof(o->model));
		for (size_t k = 0; k < ARRAY_LEN(other_counts); k++)
			read_count(from, other_counts[k].name, field(o, other_counts[k].offset));
		u->n_others = (uint8_t)(i + 1);
	}
}

int usage_extra_read(struct slice json, struct usage *u)
{
	json_t *root;

	if (json.n == 0)
		return BUR_OK;
	root = json_loadb(json.p, json.n, 0, NULL);
	if (!json_is_object(root)) {
		json_decref(root);
		return BUR_INVALID;
	}
	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		read_count(root, counts[i].name, field(u, counts[i].offset));
	read_others(json_object_get(root, "others"), u);
	json_decref(root);
	return BUR_OK;
}
