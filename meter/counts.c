#include "meter/counts.h"

#include <string.h>

#include "base/slice.h"

static uint64_t add_capped(uint64_t a, uint64_t b)
{
	uint64_t sum;

	if (__builtin_add_overflow(a, b, &sum) || sum > INT64_MAX)
		return INT64_MAX;
	return sum;
}

static uint64_t at_most(uint64_t v, uint64_t max)
{
	return v < max ? v : max;
}

void counts_add(struct counts *c, enum raw raw, uint64_t v)
{
	counts_set(c, raw, add_capped(counts_get(c, raw), v));
}

/* The first of the counts in `bits`, which must not be 0. */
static enum raw first_raw(uint32_t bits)
{
	return (enum raw)__builtin_ctz(bits);
}

void counts_copy(struct counts *c, const struct counts *from)
{
	c->have = 0;
	counts_merge(c, from);
}

bool counts_same(const struct counts *a, const struct counts *b)
{
	uint32_t left = a->have;

	if (a->have != b->have)
		return false;
	while (left != 0 && a->n[first_raw(left)] == b->n[first_raw(left)])
		left &= left - 1;
	return left == 0;
}

void counts_sum(struct counts *c, const struct counts *more)
{
	for (uint32_t left = more->have; left != 0; left &= left - 1)
		counts_add(c, first_raw(left), more->n[first_raw(left)]);
}

void counts_merge(struct counts *c, const struct counts *newer)
{
	for (uint32_t left = newer->have; left != 0; left &= left - 1)
		c->n[first_raw(left)] = newer->n[first_raw(left)];
	c->have |= newer->have;
}

void counts_raise(struct counts *c, const struct counts *other)
{
	for (uint32_t left = other->have; left != 0; left &= left - 1)
		if (counts_get(c, first_raw(left)) <= other->n[first_raw(left)])
			counts_set(c, first_raw(left), other->n[first_raw(left)]);
}

static void rename_raw(struct counts *c, enum raw from, enum raw to)
{
	if (counts_have(c, from) && !counts_have(c, to))
		counts_set(c, to, c->n[from]);
	counts_drop(c, from);
}

/* The total tells whether the reasoning is in the output. */
static bool reasoning_is_beside(const struct counts *c)
{
	uint64_t two = add_capped(counts_get(c, RAW_INPUT), counts_get(c, RAW_OUTPUT));
	uint64_t reasoning = counts_get(c, RAW_REASONING);

	return reasoning > 0 && counts_have(c, RAW_TOTAL) && c->n[RAW_TOTAL] == add_capped(two, reasoning);
}

void counts_settle(struct counts *c, bool xai)
{
	rename_raw(c, RAW_CACHED_ALT, RAW_CACHED);
	rename_raw(c, RAW_REASONING_TOP, counts_have(c, RAW_CITATION) ? RAW_REASONING_BESIDE : RAW_REASONING);
	if ((xai || counts_have(c, RAW_XAI)) && reasoning_is_beside(c))
		rename_raw(c, RAW_REASONING, RAW_REASONING_BESIDE);
	counts_drop(c, RAW_TOTAL);
}

static void input_to_usage(const struct counts *c, struct usage *u)
{
	uint64_t cached = counts_get(c, RAW_CACHED), written = counts_get(c, RAW_CACHE_WRITE);
	uint64_t input = add_capped(counts_get(c, RAW_INPUT), counts_get(c, RAW_INPUT_FRESH));

	if (counts_have(c, RAW_INPUT_FRESH))
		input = add_capped(input, add_capped(cached, written));
	input = add_capped(input, add_capped(counts_get(c, RAW_INPUT_TOOL), counts_get(c, RAW_INPUT_IMAGE)));
	u->has_input = counts_have(c, RAW_INPUT) || counts_have(c, RAW_INPUT_FRESH) || counts_have(c, RAW_INPUT_IMAGE);
	u->input_tokens = input;
	/* a part is never more than what it is a part of, whatever the vendor says */
	u->cached_input_tokens = at_most(cached, input);
	u->cache_write_tokens = at_most(written, input - u->cached_input_tokens);
	u->cache_write_1h_tokens = at_most(counts_get(c, RAW_CACHE_WRITE_1H), u->cache_write_tokens);
	u->audio_input_tokens = at_most(counts_get(c, RAW_AUDIO_IN), input);
	u->cached_audio_tokens = at_most(counts_get(c, RAW_CACHED_AUDIO), u->cached_input_tokens);
	u->image_input_tokens = at_most(add_capped(counts_get(c, RAW_IMAGE_IN), counts_get(c, RAW_INPUT_IMAGE)), input);
}

static void output_to_usage(const struct counts *c, struct usage *u)
{
	uint64_t beside = add_capped(counts_get(c, RAW_REASONING_BESIDE), counts_get(c, RAW_CITATION));
	uint64_t output = add_capped(counts_get(c, RAW_OUTPUT), beside);

	u->has_output = counts_have(c, RAW_OUTPUT) || counts_have(c, RAW_REASONING_BESIDE);
	u->output_tokens = output;
	u->reasoning_tokens =
	    at_most(add_capped(counts_get(c, RAW_REASONING), counts_get(c, RAW_REASONING_BESIDE)), output);
	u->citation_tokens = counts_get(c, RAW_CITATION);
	u->audio_output_tokens = at_most(counts_get(c, RAW_AUDIO_OUT), output);
	u->image_output_tokens = at_most(counts_get(c, RAW_IMAGE_OUT), output);
}

void counts_to_usage(const struct counts *c, struct usage *u)
{
	input_to_usage(c, u);
	output_to_usage(c, u);
	u->web_searches = counts_get(c, RAW_WEB);
	u->file_searches = counts_get(c, RAW_FILES);
	u->code_sessions = counts_get(c, RAW_CODE);
	u->images = counts_get(c, RAW_IMAGES);
	u->search_units = counts_get(c, RAW_SEARCH_UNITS);
	u->pages = counts_get(c, RAW_PAGES);
	u->pages_annotated = at_most(counts_get(c, RAW_PAGES_ANNOTATED), u->pages);
	u->audio_ms = counts_get(c, RAW_AUDIO_MS);
	u->input_characters = counts_get(c, RAW_CHARS);
	u->has_reported_cost = counts_have(c, RAW_COST_PUSD);
	u->reported_cost_pusd = (int64_t)counts_get(c, RAW_COST_PUSD);
	u->upstream_cost_pusd = (int64_t)counts_get(c, RAW_UPSTREAM_PUSD);
}

/* The entry of this model and role, made if need be; NULL: there is no room. */
static struct usage_other *others_find(struct others *o, const char *model, const char *role)
{
	struct usage_other *v = o->v, *end = o->v + o->n;

	for (; v < end; v++)
		if (strcmp(v->model, model) == 0 && strcmp(v->role, role) == 0)
			return v;
	if (o->n == USAGE_OTHERS_MAX) {
		o->full = true;
		return NULL;
	}
	o->n++;
	memset(v, 0, sizeof(*v));
	(void)slice_to_cstr(slice_of(model), v->model, sizeof(v->model));
	(void)slice_to_cstr(slice_of(role), v->role, sizeof(v->role));
	return v;
}

static void add_to(uint64_t *sum, uint64_t more)
{
	*sum = add_capped(*sum, more);
}

static void other_sum(struct usage_other *v, const struct usage_other *more)
{
	add_to(&v->input_tokens, more->input_tokens);
	add_to(&v->cached_input_tokens, more->cached_input_tokens);
	add_to(&v->cache_write_tokens, more->cache_write_tokens);
	add_to(&v->cache_write_1h_tokens, more->cache_write_1h_tokens);
	add_to(&v->audio_input_tokens, more->audio_input_tokens);
	add_to(&v->output_tokens, more->output_tokens);
	add_to(&v->audio_ms, more->audio_ms);
}

void others_add(struct others *o, const char *model, const char *role, const struct counts *c)
{
	struct usage_other *v = others_find(o, model, role);
	struct usage u = {0};

	if (!v)
		return;
	counts_to_usage(c, &u);
	other_sum(v, &(const struct usage_other){
			 .input_tokens = u.input_tokens,
			 .cached_input_tokens = u.cached_input_tokens,
			 .cache_write_tokens = u.cache_write_tokens,
			 .cache_write_1h_tokens = u.cache_write_1h_tokens,
			 .audio_input_tokens = u.audio_input_tokens,
			 .output_tokens = u.output_tokens,
			 .audio_ms = u.audio_ms,
		     });
}

void others_sum(struct others *o, const struct others *more)
{
	for (size_t i = 0; i < more->n; i++) {
		struct usage_other *v = others_find(o, more->v[i].model, more->v[i].role);

		if (v)
			other_sum(v, &more->v[i]);
	}
	o->full |= more->full;
}
