/* OpenAI: embeddings, moderation, the list of models. */
#include "tests/vendor/shape.h"

static int embeddings_whole(struct answer *a, struct buf *out)
{
	/* Eight little-endian floats of 0.5. */
	const char *vector = a->request->base64 ? "\"AAAAPwAAAD8AAAA/AAAAPwAAAD8AAAA/AAAAPwAAAD8=\""
						: "[0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5]";
	uint64_t n = a->request->inputs ? a->request->inputs : 1;

	TRY(buf_printf(out, "{\"object\":\"list\",\"data\":["));
	for (uint64_t i = 0; i < n; i++)
		TRY(buf_printf(out, "%s{\"object\":\"embedding\",\"index\":%" PRIu64 ",\"embedding\":%s}", i ? "," : "",
			       i, vector));
	TRY(buf_printf(out, "],\"model\":\"%s\"", shape_model(a)));
	if (a->with_usage)
		TRY(buf_printf(out, ",\"usage\":{\"prompt_tokens\":%" PRIu64 ",\"total_tokens\":%" PRIu64 "}",
			       bill_input(&a->usage), bill_input(&a->usage)));
	return buf_printf(out, "}");
}

static int models_whole(struct answer *a, struct buf *out)
{
	(void)a;
	return buf_printf(out,
			  "{\"object\":\"list\",\"data\":[{\"id\":\"gpt-4.1-mini\",\"object\":\"model\",\"created\":"
			  "1744318707,\"owned_by\":\"system\"},{\"id\":\"gpt-4o\",\"object\":\"model\",\"created\":"
			  "1715367049,\"owned_by\":\"system\"}]}");
}

static int moderations_whole(struct answer *a, struct buf *out)
{
	return buf_printf(out,
			  "{\"id\":\"modr-%s\",\"model\":\"%s\",\"results\":[{\"flagged\":false,\"categories\":{},"
			  "\"category_scores\":{},\"category_applied_input_types\":{}}]}",
			  a->id, shape_model(a));
}

const struct shape shape_embeddings = {.whole = embeddings_whole};
const struct shape shape_moderations = {.whole = moderations_whole};
const struct shape shape_models = {.whole = models_whole};
