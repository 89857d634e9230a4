/* Mistral: reading documents by the page. Its chat is a dialect of answer_chat.c. */
#include "tests/vendor/shape.h"

static int whole(struct answer *a, struct buf *out)
{
	TRY(buf_printf(out, "{\"pages\":["));
	for (uint64_t i = 0; i < a->usage.pages; i++)
		TRY(buf_printf(out,
			       "%s{\"index\":%" PRIu64
			       ",\"markdown\":\"counted\",\"images\":[],\"dimensions\":{\"dpi\":200,\"height\":2200,"
			       "\"width\":1700}}",
			       i ? "," : "", i));
	TRY(buf_printf(out, "],\"model\":\"%s\",\"document_annotation\":null", shape_model(a)));
	if (a->with_usage)
		TRY(buf_printf(out, ",\"usage_info\":{\"pages_processed\":%" PRIu64 ",\"doc_size_bytes\":%" PRIu64 "}",
			       a->usage.pages, a->request->text_bytes));
	return buf_printf(out, "}");
}

const struct shape shape_ocr = {.whole = whole};
