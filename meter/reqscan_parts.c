/* The parts of messages that are not plain text: pictures, sound, files, tools that the vendor runs. */
#include "meter/reqscan_places.h"

static bool contains(struct slice s, const char *word)
{
	size_t n = strlen(word), i;

	for (i = 0; i + n <= s.n; i++)
		if (memcmp(s.p + i, word, n) == 0)
			return true;
	return false;
}

/* --- tools -------------------------------------------------------------------------------------------------------- */

/* Tools the client runs itself; every other type is run, and perhaps billed, by the vendor. */
static bool tool_is_local(struct slice type)
{
	static const char *const names[] = {"function", "custom",    "local_shell", "computer_use_preview",
					    "computer", "namespace", "apply_patch"};
	static const char *const prefixes[] = {"bash_", "text_editor_", "computer_", "memory_"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++)
		if (slice_eq(type, slice_of(names[i])))
			return true;
	for (i = 0; i < ARRAY_LEN(prefixes); i++)
		if (slice_starts(type, slice_of(prefixes[i])))
			return true;
	return false;
}

static uint8_t hosted_kind(struct slice type)
{
	if (contains(type, "web_search") || contains(type, "web_fetch"))
		return HOSTED_WEB;
	if (contains(type, "file_search"))
		return HOSTED_FILE;
	if (contains(type, "code_interpreter") || contains(type, "code_execution"))
		return HOSTED_CODE;
	return contains(type, "image_generation") ? HOSTED_IMAGE : HOSTED_OTHER;
}

/* --- parts of messages -------------------------------------------------------------------------------------------- */

/* What a part of this type costs beyond its bytes. New types are taken by their words. */
static uint16_t type_flags(struct slice type)
{
	if (slice_eq(type, SLICE("text")) || slice_eq(type, SLICE("input_text")) || slice_eq(type, SLICE("message")) ||
	    contains(type, "file_search"))
		return 0;
	if (contains(type, "image") || contains(type, "screenshot"))
		return FLAG_IMAGE;
	if (contains(type, "audio"))
		return FLAG_AUDIO;
	if (slice_eq(type, SLICE("document")))
		return FLAG_DOCUMENT;
	if (slice_eq(type, SLICE("container_upload")))
		return FLAG_FILE | FLAG_REMOTE;
	if (contains(type, "video") || contains(type, "file") || contains(type, "document") || contains(type, "media"))
		return FLAG_FILE;
	return 0;
}

static uint16_t mime_flags(struct slice mime)
{
	if (slice_istarts(mime, SLICE("image/")))
		return FLAG_TYPED_BLOB | FLAG_IMAGE;
	if (slice_istarts(mime, SLICE("audio/")))
		return FLAG_TYPED_BLOB | FLAG_AUDIO;
	if (slice_istarts(mime, SLICE("text/")) || slice_ieq(mime, SLICE("application/json")))
		return FLAG_TYPED_BLOB | FLAG_PLAIN;
	return FLAG_TYPED_BLOB | FLAG_FILE;
}

static uint16_t url_flags(struct slice url)
{
	return slice_istarts(url, SLICE("data:")) ? 0 : FLAG_REMOTE;
}

static uint16_t source_flags(struct slice type)
{
	if (slice_eq(type, SLICE("text")) || slice_eq(type, SLICE("content")))
		return FLAG_PLAIN;
	return slice_eq(type, SLICE("base64")) ? 0 : FLAG_REMOTE;
}

static uint16_t detail_flags(struct slice detail)
{
	if (slice_eq(detail, SLICE("low")))
		return FLAG_DETAIL_LOW;
	if (slice_eq(detail, SLICE("high")))
		return FLAG_DETAIL_HIGH;
	return slice_eq(detail, SLICE("original")) ? FLAG_DETAIL_ORIGINAL : 0;
}

/* Depth of the part in which the reader stands; 0: in none. */
static unsigned node_depth(const struct reqscan *s)
{
	unsigned d = s->walk.depth;

	while (d > 0 && s->walk.place[d] != PL_NODE)
		d--;
	return d;
}

static void mark(struct reqscan *s, uint16_t flags)
{
	s->flags[node_depth(s)] |= flags;
}

/* Data of a part that may turn out to be a picture. Escapes make it longer in the body than decoded: that errs on the
 * dear side. */
static void take_data(struct reqscan *s)
{
	unsigned d = node_depth(s);
	uint32_t w, h;

	s->blob_bytes[d] += s->json.length_bytes;
	if (s->flags[d] & FLAG_PICTURE)
		s->flags[d] |= FLAG_PICTURES;
	s->flags[d] |= FLAG_PICTURE | FLAG_BINARY;
	if (!image_sniff_size(&s->sniff, &w, &h))
		return;
	s->flags[d] |= FLAG_SIZED;
	s->picture_depth = d;
	s->picture_width = w;
	s->picture_height = h;
}

static void take_url(struct reqscan *s, struct slice url, uint16_t flags)
{
	mark(s, flags | url_flags(url));
	if (url_flags(url) == 0)
		take_data(s);
}

/* A picture in a list of them: data, a data URL, or a URL. */
static void take_listed_picture(struct reqscan *s, struct slice text)
{
	bool remote = slice_find(text, ':') < text.n && url_flags(text) != 0;
	uint32_t w, h;

	s->info.images++;
	s->info.remote_parts |= remote;
	if (remote)
		return;
	s->info.image_bytes += s->json.length_bytes;
	if (image_sniff_size(&s->sniff, &w, &h))
		image_sums_add(&s->info.image_sums, w, h, DETAIL_AUTO);
}

static void take_tool_type(struct reqscan *s, struct slice type)
{
	if (tool_is_local(type))
		return;
	s->tool_hosted = true;
	s->info.hosted_tools = true;
	s->info.hosted |= hosted_kind(type);
}

/* A name that does not fit is as none: nothing is known under a part of it. */
static void take_name(const struct reqscan *s, char *dst, size_t dst_size)
{
	struct slice text = json_text(&s->json);

	dst[0] = '\0';
	if (!s->json.cut && text.n < dst_size && !memchr(text.p, '\0', text.n))
		(void)slice_to_cstr(text, dst, dst_size);
}

static void take_other_text(struct reqscan *s, uint8_t id)
{
	struct slice text = json_text(&s->json);

	switch ((enum reqscan_id)id) {
	case ID_TTL:
		s->info.cache_marks_1h |= !slice_eq(text, SLICE("5m"));
		break;
	case ID_TOOL_TYPE:
		take_tool_type(s, text);
		break;
	case ID_EDIT_TYPE:
		if (contains(text, "compact")) {
			s->info.hosted_tools = true;
			s->info.hosted |= HOSTED_OTHER;
		}
		break;
	case ID_MODALITY:
		s->info.audio_output |= slice_ieq(text, SLICE("audio")) || slice_ieq(text, SLICE("image"));
		break;
	case ID_STREAM_FORMAT:
		s->info.stream = slice_eq(text, SLICE("sse"));
		break;
	case ID_RESPONSE_FORMAT:
		reqscan_take_format(s, text);
		break;
	case ID_PAGES:
	case ID_PAGE_ITEM:
		s->pages_open = true;
		break;
	case ID_MESSAGES:
	case ID_SYSTEM:
	case ID_ITEM:
		s->info.messages++;
		break;
	case ID_DOCUMENT_ITEM:
		s->info.documents++;
		break;
	case ID_BATCH_FILE:
		take_name(s, s->info.batch_input, sizeof(s->info.batch_input));
		break;
	case ID_BATCH_ENDPOINT:
		take_name(s, s->info.batch_endpoint, sizeof(s->info.batch_endpoint));
		break;
	default:
		break;
	}
}

void reqscan_take_part_text(struct reqscan *s, uint8_t id)
{
	struct slice text = json_text(&s->json);

	switch ((enum reqscan_id)id) {
	case ID_TYPE:
		mark(s, type_flags(text));
		s->info.stored_context |= slice_eq(text, SLICE("item_reference"));
		break;
	case ID_IMAGE_URL:
		take_url(s, text, FLAG_IMAGE);
		break;
	case ID_URL:
		take_url(s, text, 0);
		break;
	case ID_DATA:
		take_data(s);
		break;
	case ID_DETAIL:
		mark(s, detail_flags(text));
		break;
	case ID_FILE_ID: /* in the part, or in its "file" object */
	case ID_FILE_URL:
		mark(s, FLAG_REMOTE);
		break;
	case ID_FILE_DATA: /* OpenAI's file_data is inline base64 in the part; the type says the rest */
	case ID_DOCUMENT:
	case ID_VIDEO:
		mark(s, FLAG_FILE);
		break;
	case ID_SOURCE_TYPE:
		mark(s, source_flags(text));
		break;
	case ID_SOURCE_TEXT:
		mark(s, s->kind == API_CONVERSE ? FLAG_PLAIN : 0);
		break;
	case ID_MIME:
		mark(s, mime_flags(text));
		break;
	case ID_IMAGES:
	case ID_IMAGE_ITEM:
	case ID_UPLOAD_IMAGE:
		take_listed_picture(s, text);
		break;
	default:
		take_other_text(s, id);
		break;
	}
}

/* --- parts, from begin to end ------------------------------------------------------------------------------------ */

void reqscan_begin_part(struct reqscan *s, uint8_t id, bool object)
{
	if (object && (id == ID_MESSAGES || id == ID_SYSTEM || id == ID_ITEM))
		s->info.messages++;
	switch ((enum reqscan_id)id) {
	case ID_ITEM: /* inputs of token numbers; inputs that are no text */
		s->info.messages += !object;
		s->info.files += object && s->kind == API_EMBEDDINGS;
		break;
	case ID_CACHE_CONTROL:
		s->info.cache_marks = true;
		break;
	case ID_TOOLS:
		s->info.tools = true;
		break;
	case ID_BLOB:
		mark(s, FLAG_BLOB);
		break;
	case ID_FILE_DATA:
		mark(s, FLAG_BLOB | FLAG_REMOTE);
		break;
	case ID_IMAGE_URL:
		mark(s, FLAG_IMAGE);
		break;
	case ID_DOCUMENT:
		mark(s, FLAG_DOCUMENT);
		break;
	case ID_VIDEO:
		mark(s, FLAG_FILE);
		break;
	case ID_FILE_URL:
		mark(s, FLAG_REMOTE);
		break;
	case ID_AUDIO: /* an answer's audio by its id; Bedrock's by its source */
		if (object && s->kind != API_RESPONSES)
			mark(s, FLAG_AUDIO | FLAG_REMOTE);
		break;
	case ID_CONTENT:
		if (s->kind == API_CONVERSE && walk_here(&s->walk) == PL_SOURCE)
			mark(s, FLAG_PLAIN);
		break;
	case ID_DOCUMENT_ITEM:
		s->info.documents++;
		break;
	default:
		break;
	}
	reqscan_take_presence(s, id);
}

static enum image_detail detail_of(uint16_t f)
{
	if (f & FLAG_DETAIL_ORIGINAL)
		return DETAIL_ORIGINAL;
	if (f & FLAG_DETAIL_HIGH)
		return DETAIL_HIGH;
	return f & FLAG_DETAIL_LOW ? DETAIL_LOW : DETAIL_AUTO;
}

/* Where several pictures or details compete nothing is taken as known. */
static void close_picture(struct reqscan *s, uint16_t f)
{
	uint16_t details = f & (FLAG_DETAIL_LOW | FLAG_DETAIL_HIGH | FLAG_DETAIL_ORIGINAL);

	s->info.image_bytes += s->blob_bytes[s->walk.depth];
	if ((f & FLAG_SIZED) && !(f & (FLAG_PICTURES | FLAG_REMOTE)) && (details & (details - 1)) == 0 &&
	    s->picture_depth == s->walk.depth)
		image_sums_add(&s->info.image_sums, s->picture_width, s->picture_height, detail_of(f));
}

/* The part is complete: what is it? */
void reqscan_close_part(struct reqscan *s)
{
	uint16_t f = s->flags[s->walk.depth];

	if ((f & FLAG_DOCUMENT) && (!(f & FLAG_PLAIN) || (s->kind == API_CONVERSE && (f & FLAG_BINARY))))
		f |= FLAG_FILE;
	if ((f & FLAG_BLOB) && (!(f & FLAG_TYPED_BLOB) || ((f & FLAG_PLAIN) && (f & FLAG_REMOTE))))
		f |= FLAG_FILE;
	if ((f & FLAG_IMAGE) && !(f & (FLAG_AUDIO | FLAG_FILE | FLAG_DOCUMENT | FLAG_PLAIN)))
		close_picture(s, f);
	s->info.images += (f & FLAG_IMAGE) != 0;
	s->info.audios += (f & FLAG_AUDIO) != 0;
	s->info.files += (f & FLAG_FILE) != 0;
	if ((f & FLAG_REMOTE) && (f & (FLAG_IMAGE | FLAG_AUDIO | FLAG_FILE)))
		s->info.remote_parts = true;
}
