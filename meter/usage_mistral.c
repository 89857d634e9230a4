/* Mistral's document reading; its other APIs are OpenAI's shape. */
#include "meter/extract.h"

enum place {
	PL_IGNORE = WALK_IGNORE,
	PL_ANSWER,
	PL_PAGES,
	PL_PAGE,
	PL_IMAGES,
	PL_IMAGE,
	PL_USAGE,
};

static const struct walk_key answer_keys[] = {
    ROW_MARK("model", MARK_MODEL),
    ROW_OPEN("pages", PL_PAGES),
    ROW_MARK("document_annotation", MARK_FINISH),
    WALK_KEY("usage_info", MARK_USAGE, PL_USAGE),
};
static const struct walk_key page_keys[] = {
    ROW_MARK("markdown", MARK_TEXT),
    ROW_OPEN("images", PL_IMAGES),
};
static const struct walk_key image_keys[] = {ROW_MARK("image_annotation", MARK_FINISH)};
static const struct walk_key usage_keys[] = {ROW_COUNT("pages_processed", RAW_PAGES)};

static const struct walk_place places[] = {
    [PL_IGNORE] = PLACE_DEAD,
    [PL_ANSWER] = WALK_OBJECT(answer_keys),
    [PL_PAGES] = WALK_ARRAY(PL_PAGE, MARK_NONE),
    [PL_PAGE] = WALK_OBJECT(page_keys),
    [PL_IMAGES] = WALK_ARRAY(PL_IMAGE, MARK_NONE),
    [PL_IMAGE] = WALK_OBJECT(image_keys),
    [PL_USAGE] = WALK_OBJECT(usage_keys),
};

/* Annotations make every page dearer. */
static void commit(struct extract *x)
{
	struct counts *c = &x->ev->counts;

	if (x->ev->finish && counts_have(c, RAW_PAGES))
		counts_set(c, RAW_PAGES_ANNOTATED, c->n[RAW_PAGES]);
}

const struct extract_ops extract_ocr = {
    .places = places,
    .root = PL_ANSWER,
    .take = TAKE_REPLACE,
    .final = FINAL_USAGE,
    .zero = ZERO_INPUT | ZERO_OUTPUT,
    .commit = commit,
};
