#include "meter/image_tokens.h"

static uint64_t ceil_div(uint64_t a, uint64_t b)
{
	return (a + b - 1) / b;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Width and height scaled by num/den, each rounded up: never a smaller picture than the vendor's. */
static void scale(uint64_t *w, uint64_t *h, uint64_t num, uint64_t den)
{
	if (num >= den)
		return;
	*w = ceil_div(*w * num, den);
	*h = ceil_div(*h * num, den);
}

/* --- formulas ----------------------------------------------------------------------------------------------------- */

/* Into 2048 x 2048, then the shorter side to 768, then tiles of 512. */
uint64_t image_tiles(uint32_t width, uint32_t height)
{
	uint64_t w = width, h = height;

	scale(&w, &h, 2048, w > h ? w : h);
	scale(&w, &h, 768, w < h ? w : h);
	return ceil_div(w, 512) * ceil_div(h, 512);
}

static uint64_t root(uint64_t v)
{
	uint64_t r = 0, bit = UINT64_C(1) << 31;

	for (; bit > 0; bit >>= 1)
		if ((r + bit) * (r + bit) <= v)
			r += bit;
	return r;
}

/* Over the limit the picture is scaled by sqrt(32 * 32 * limit / (w * h)), then down to whole patches on one side; the
 * other side may keep a part of a patch. So at most floor(a) * ceil(b) patches, and never over the limit. */
uint64_t image_patches(uint32_t width, uint32_t height, uint32_t limit)
{
	uint64_t patches = ceil_div(width, 32) * ceil_div(height, 32), a, b;

	if (patches <= limit)
		return patches;
	/* sides after scaling, in patches: sqrt(limit * w / h) and its fellow */
	a = root(UINT64_C(1) * limit * width / height) + 1;
	b = root(UINT64_C(1) * limit * height / width) + 1;
	return least(a * b, limit);
}

/* Visual tokens of 28 pixels a side, after scaling to the longest edge and the most tokens. */
uint64_t image_claude(uint32_t width, uint32_t height, uint32_t edge_max, uint32_t tokens_max)
{
	uint64_t w = width, h = height, old;

	scale(&w, &h, edge_max, w > h ? w : h);
	/* the older statement of the same is w * h / 750: the dearer of the two */
	old = ceil_div(w * h, 750);
	w = ceil_div(w, 28) * ceil_div(h, 28);
	return least(w > old ? w : old, tokens_max);
}

/* Up to 384 pixels a side one tile, else tiles of 768: the crop unit is floor(shorter / 1.5), at least 256 and at most
 * 768, so that there can be more of them than of 768 pixels. */
uint64_t image_gemini_tiles(uint32_t width, uint32_t height)
{
	uint64_t shorter = least(width, height), unit;

	if (width <= 384 && height <= 384)
		return 1;
	unit = shorter * 2 / 3;
	unit = unit < 256 ? 256 : least(unit, 768);
	return ceil_div(width, unit) * ceil_div(height, unit);
}

void image_sums_add(struct image_sums *s, uint32_t width, uint32_t height, enum image_detail detail)
{
	uint32_t large = detail == DETAIL_LOW || detail == DETAIL_HIGH ? 2500 : 10000;

	if (width > IMAGE_SIDE_MAX || height > IMAGE_SIDE_MAX)
		return;
	s->sized++;
	s->tiles += detail == DETAIL_LOW ? 0 : image_tiles(width, height);
	s->patches += image_patches(width, height, 1536);
	s->patches_large += image_patches(width, height, large);
	s->claude_standard += image_claude(width, height, 1568, 1568);
	s->claude_large += image_claude(width, height, 2576, 4784);
	s->gemini_tiles += image_gemini_tiles(width, height);
}

/* --- models ------------------------------------------------------------------------------------------------------- */

enum formula {
	TILES,
	PATCHES,
	PATCHES_LARGE,
	EITHER,
	CLAUDE_STANDARD,
	CLAUDE_LARGE,
	GEMINI_TILES,
	GEMINI_FIXED,
	OTHER
};

/* Multipliers are in hundredths, and the dearer one where documents and measurements disagree. */
struct family {
	const char *prefix; /* longest first */
	enum formula formula;
	uint16_t base, per; /* tiles: tokens a picture and a tile; patches: `per` hundredths of a token each */
};

#define EITHER_TILE 170

static const struct family families[] = {
    {"gpt-4o-mini", TILES, 2833, 5667},
    {"gpt-4o", TILES, 85, 170},
    {"chatgpt-4o", TILES, 85, 170},
    {"gpt-4.1-mini", PATCHES, 0, 162},
    {"gpt-4.1-nano", PATCHES, 0, 246},
    {"gpt-4.1", TILES, 85, 170},
    {"gpt-4.5", TILES, 85, 170},
    {"gpt-4-", TILES, 85, 170},
    {"o4-mini", PATCHES, 0, 172},
    {"codex-mini", PATCHES, 0, 172},
    {"o1", TILES, 75, 150},
    {"o3", TILES, 75, 150},
    {"computer-use-preview", TILES, 65, 129},
    {"gpt-5-mini", PATCHES, 0, 162},
    {"gpt-5-nano", PATCHES, 0, 246},
    {"gpt-5-codex-mini", PATCHES, 0, 172},
    {"gpt-5.1-codex-mini", PATCHES, 0, 172},
    {"gpt-5-chat", TILES, 70, 140},
    {"gpt-5-20", TILES, 70, 140}, /* dated names */
    {"gpt-5-", EITHER, 70, 246},  /* not documented which: both together are never less */
    {"gpt-5.1", EITHER, 70, 246},
    {"gpt-5.", PATCHES_LARGE, 0, 172},
    {"gpt-5", TILES, 70, 140},
    {"gpt-image", TILES, 6305, 129}, /* with what high input fidelity adds */
    {"gpt-", EITHER, 85, 246},       /* newer than this table */
    {"claude-3", CLAUDE_STANDARD, 0, 0},
    {"claude-haiku-4", CLAUDE_STANDARD, 0, 0},
    {"claude-sonnet-4", CLAUDE_STANDARD, 0, 0},
    {"claude-opus-4-0", CLAUDE_STANDARD, 0, 0},
    {"claude-opus-4-1", CLAUDE_STANDARD, 0, 0},
    {"claude-opus-4-2", CLAUDE_STANDARD, 0, 0}, /* dated names: 20250514 */
    {"claude-opus-4-5", CLAUDE_STANDARD, 0, 0},
    {"claude-opus-4-6", CLAUDE_STANDARD, 0, 0},
    {"claude", CLAUDE_LARGE, 0, 0},
    {"gemini-1", GEMINI_TILES, 0, 258},
    {"gemini-2", GEMINI_TILES, 0, 258},
    {"gemini", GEMINI_FIXED, 0, 0},
};

/* Routing names put vendor and region in front: "anthropic/claude-…", "us.anthropic.claude-…", "models/gemini-…". */
static struct slice bare_name(struct slice model)
{
	static const char *const starts[] = {"claude", "gemini", "gpt-", "chatgpt-4o"};
	size_t i, k;

	for (i = 0; i < model.n; i++)
		if (model.p[i] == '/')
			return bare_name(slice_sub(model, i + 1, model.n - i - 1));
	for (i = 0; i < model.n; i++)
		for (k = 0; (i == 0 || model.p[i - 1] == '.') && k < ARRAY_LEN(starts); k++)
			if (slice_istarts(slice_sub(model, i, model.n - i), slice_of(starts[k])))
				return slice_sub(model, i, model.n - i);
	return model;
}

static struct family find_family(struct slice model)
{
	static const struct family other = {"", OTHER, 0, 0};
	struct slice name = bare_name(model);
	size_t i, k;

	for (i = 0; i < ARRAY_LEN(families); i++) {
		struct family f = families[i];

		if (!slice_istarts(name, slice_of(f.prefix)))
			continue;
		for (k = 0; f.formula == PATCHES_LARGE && k < name.n; k++)
			if (slice_istarts(slice_sub(name, k, name.n - k), SLICE("-nano")))
				f.per = 246;
		return f;
	}
	return other;
}

/* Tokens of the dearest picture of a family. Tiles: 8 at most (768 x 2048 px: 2 x 4). */
static uint64_t dearest(const struct family *f, bool media_resolution)
{
	switch (f->formula) {
	case TILES:
		return f->base + UINT64_C(8) * f->per;
	case PATCHES:
		return ceil_div(UINT64_C(1536) * f->per, 100);
	case PATCHES_LARGE:
		return ceil_div(UINT64_C(10000) * f->per, 100);
	case EITHER:
		return f->base + 8 * EITHER_TILE + ceil_div(UINT64_C(10000) * f->per, 100);
	case CLAUDE_STANDARD:
		return 1568;
	case CLAUDE_LARGE:
		return 4784;
	case GEMINI_FIXED: /* high is the default; a request can ask for ultra-high */
		return media_resolution ? 2240 : 1120;
	case GEMINI_TILES: /* long pictures have many tiles; Google states no maximum, this is 17 of them */
		return 4480;
	case OTHER:
		break;
	}
	return 10000;
}

static uint64_t of_sums(const struct family *f, const struct image_sums *s, uint64_t each)
{
	switch (f->formula) {
	case TILES:
		return s->sized * f->base + s->tiles * f->per;
	case PATCHES:
		return ceil_div(s->patches * f->per, 100) + s->sized;
	case PATCHES_LARGE:
		return ceil_div(s->patches_large * f->per, 100) + s->sized;
	case EITHER:
		return s->sized * (f->base + UINT64_C(1)) + s->tiles * EITHER_TILE +
		       ceil_div(s->patches_large * f->per, 100);
	case CLAUDE_STANDARD:
		return s->claude_standard;
	case CLAUDE_LARGE:
		return s->claude_large;
	case GEMINI_TILES:
		return s->gemini_tiles * f->per;
	case GEMINI_FIXED:
	case OTHER:
		break;
	}
	return s->sized * each;
}

uint64_t image_tokens_bound(struct slice model, const struct image_sums *s, uint64_t images, bool media_resolution)
{
	const struct family f = find_family(model);
	uint64_t each = dearest(&f, media_resolution), rest;

	/* sums over more pictures than there are would be somebody's mistake: then all at the dearest */
	if (s->sized > images)
		return __builtin_mul_overflow(images, each, &rest) ? UINT64_MAX : rest;
	if (__builtin_mul_overflow(images - s->sized, each, &rest) ||
	    __builtin_add_overflow(rest, of_sums(&f, s, each), &rest))
		return UINT64_MAX;
	return rest;
}

bool image_model_known(struct slice model)
{
	return find_family(model).formula != OTHER;
}
