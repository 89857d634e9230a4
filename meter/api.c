/* Paths are compared exactly: what two parsers could read differently (dot segments, empty segments, percent-encoded
 * letters of the fixed parts) is no path of the table, so it is API_UNKNOWN and never mistaken for a free call. */
#include "meter/api.h"

/* --- providers ---------------------------------------------------------------------------------------------------- */

static const char *const openai_hosts[] = {"api.openai.com", "*.api.openai.com", NULL};
static const char *const anthropic_hosts[] = {"api.anthropic.com", NULL};
static const char *const google_hosts[] = {"generativelanguage.googleapis.com", NULL};

static const struct provider builtin[] = {
    {"openai", FAMILY_OPENAI, openai_hosts, "https://api.openai.com", "openai"},
    {"anthropic", FAMILY_ANTHROPIC, anthropic_hosts, "https://api.anthropic.com", "anthropic"},
    {"google", FAMILY_GOOGLE, google_hosts, "https://generativelanguage.googleapis.com", "gemini"},
};

const struct provider *providers_builtin(size_t *ret_n)
{
	*ret_n = ARRAY_LEN(builtin);
	return builtin;
}

enum api_family api_family_from_name(struct slice name)
{
	if (slice_ieq(name, SLICE("openai")))
		return FAMILY_OPENAI;
	if (slice_ieq(name, SLICE("anthropic")))
		return FAMILY_ANTHROPIC;
	if (slice_ieq(name, SLICE("google")) || slice_ieq(name, SLICE("gemini")))
		return FAMILY_GOOGLE;
	return FAMILY_OTHER;
}

const char *api_kind_name(enum api_kind kind)
{
	static const char *const names[API_KIND_COUNT] = {
	    [API_UNKNOWN] = "unknown",
	    [API_FREE] = "free",
	    [API_CHAT] = "chat",
	    [API_RESPONSES] = "responses",
	    [API_EMBEDDINGS] = "embeddings",
	    [API_MESSAGES] = "messages",
	    [API_GENERATE] = "generate",
	    [API_COMPLETIONS] = "completions",
	    [API_MODERATIONS] = "moderations",
	    [API_IMAGES] = "images",
	    [API_SPEECH] = "speech",
	    [API_TRANSCRIPTIONS] = "transcriptions",
	    [API_RESPONSE_LATE] = "response",
	    [API_BATCH_SUBMIT] = "batch_submit",
	    [API_BATCH] = "batch",
	    [API_BATCH_RESULTS] = "batch_results",
	    [API_INTERACTIONS] = "interactions",
	    [API_INTERACTION_LATE] = "interaction",
	    [API_EMBED_CONTENT] = "embed_content",
	    [API_PREDICT] = "predict",
	    [API_CONVERSE] = "converse",
	    [API_INVOKE] = "invoke",
	    [API_COHERE_CHAT] = "cohere_chat",
	    [API_COHERE_UNITS] = "cohere",
	    [API_OCR] = "ocr",
	    [API_OLLAMA] = "ollama",
	    [API_REALTIME] = "realtime",
	    [API_GENERIC] = "generic",
	};

	return (unsigned)kind < API_KIND_COUNT ? names[kind] : "unknown";
}

/* --- paths -------------------------------------------------------------------------------------------------------- */

#define SEGMENTS_MAX 16

struct path {
	struct slice seg[SEGMENTS_MAX];
	size_t n;
};

static bool segment_char(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
	       c == '.' || c == '~' || c == ':' || c == '@' || c == '%' || c == '+' || c == '=' || c == ',';
}

static bool segment_valid(struct slice s)
{
	size_t i;

	if (s.n == 0 || slice_eq(s, SLICE(".")) || slice_eq(s, SLICE("..")))
		return false;
	for (i = 0; i < s.n; i++)
		if (!segment_char((unsigned char)s.p[i]))
			return false;
	return true;
}

static bool path_split(struct slice path, struct path *ret)
{
	struct slice rest = path, seg;

	ret->n = 0;
	if (path.n == 0 || path.p[0] != '/')
		return false;
	rest = slice_sub(path, 1, path.n - 1);
	for (;;) {
		bool more = slice_cut(rest, '/', &seg, &rest);

		if (ret->n == SEGMENTS_MAX || !segment_valid(seg))
			return false;
		ret->seg[ret->n++] = seg;
		if (!more)
			return true;
	}
}

static bool seg_is(const struct path *p, size_t i, const char *lit)
{
	return i < p->n && slice_eq(p->seg[i], slice_of(lit));
}

/* An id segment: names one object, never an action. */
static bool seg_is_id(const struct path *p, size_t i)
{
	return i < p->n && slice_find(p->seg[i], '%') == p->seg[i].n;
}

static bool seg_is_version(struct slice s)
{
	return s.n >= 2 && s.p[0] == 'v' && s.p[1] >= '0' && s.p[1] <= '9' && slice_find(s, '%') == s.n &&
	       slice_find(s, ':') == s.n;
}

/* Index of the first segment after the base: "/v1", "/openai/v1", "/inference/v1", "/openai", or nothing. */
static size_t base_end(const struct path *p)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (seg_is_version(p->seg[i]))
			return i + 1;
	if (seg_is(p, 0, "openai") || seg_is(p, 0, "anthropic"))
		return 1;
	return 0;
}

/* "files", "files/{id}", "files/{id}/content": storing a file is not billed. */
static bool is_files(const struct path *p, size_t b, struct slice method)
{
	if (!seg_is(p, b, "files") || p->n > b + 3)
		return false;
	if (p->n == b + 1)
		return slice_eq(method, SLICE("GET")) || slice_eq(method, SLICE("POST"));
	if (!seg_is_id(p, b + 1))
		return false;
	if (p->n == b + 3)
		return seg_is(p, b + 2, "content") && slice_eq(method, SLICE("GET"));
	return slice_eq(method, SLICE("GET")) || slice_eq(method, SLICE("DELETE"));
}

/* "models", "models/{id}" with slashes in the id as some compatibles have them. */
static bool is_models(const struct path *p, size_t b, struct slice method)
{
	return slice_eq(method, SLICE("GET")) && seg_is(p, b, "models");
}

/* --- families ----------------------------------------------------------------------------------------------------- */

static enum api_kind openai_get(const struct path *p, size_t b, struct slice method)
{
	bool get = slice_eq(method, SLICE("GET")), del = slice_eq(method, SLICE("DELETE"));

	if (is_files(p, b, method) || is_models(p, b, method))
		return API_FREE;
	/* A stored or background response is billed where it was made. */
	if (seg_is(p, b, "responses") && p->n == b + 2 && seg_is_id(p, b + 1) && (get || del))
		return API_FREE;
	if (seg_is(p, b, "responses") && p->n == b + 3 && seg_is_id(p, b + 1) && seg_is(p, b + 2, "input_items") && get)
		return API_FREE;
	return API_UNKNOWN;
}

static enum api_kind openai_post(const struct path *p, size_t b)
{
	size_t n = p->n - b;

	if (n == 2 && seg_is(p, b, "chat") && seg_is(p, b + 1, "completions"))
		return API_CHAT;
	if (n == 1 && seg_is(p, b, "responses"))
		return API_RESPONSES;
	if (n == 1 && seg_is(p, b, "embeddings"))
		return API_EMBEDDINGS;
	if (n == 1 && seg_is(p, b, "moderations"))
		return API_FREE;
	if (n == 2 && seg_is(p, b, "responses") && seg_is(p, b + 1, "input_tokens"))
		return API_FREE;
	if (n == 3 && seg_is(p, b, "responses") && seg_is_id(p, b + 1) && seg_is(p, b + 2, "cancel"))
		return API_FREE;
	return is_files(p, b, SLICE("POST")) ? API_FREE : API_UNKNOWN;
}

static enum api_kind openai_kind(const struct path *p, struct slice method)
{
	size_t b = base_end(p);

	if (b >= p->n)
		return API_UNKNOWN;
	return slice_eq(method, SLICE("POST")) ? openai_post(p, b) : openai_get(p, b, method);
}

static enum api_kind anthropic_kind(const struct path *p, struct slice method)
{
	size_t b = base_end(p);
	bool post = slice_eq(method, SLICE("POST"));

	if (b >= p->n)
		return API_UNKNOWN;
	if (post && p->n == b + 1 && seg_is(p, b, "messages"))
		return API_MESSAGES;
	if (post && p->n == b + 2 && seg_is(p, b, "messages") && seg_is(p, b + 1, "count_tokens"))
		return API_FREE;
	return is_files(p, b, method) || is_models(p, b, method) ? API_FREE : API_UNKNOWN;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* A name in a path may be percent-encoded, but not what separates: "%2F", "%3A", "%2E" could make another path of it.
 */
static bool model_segment_valid(struct slice s)
{
	size_t i;

	if (s.n == 0)
		return false;
	for (i = 0; i < s.n; i++) {
		int hi, lo, c;

		if (s.p[i] != '%')
			continue;
		if (i + 2 >= s.n)
			return false;
		hi = hex_digit(s.p[i + 1]);
		lo = hex_digit(s.p[i + 2]);
		if (hi < 0 || lo < 0)
			return false;
		c = hi * 16 + lo;
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '@' ||
		      c == '-' || c == '_'))
			return false;
		i += 2;
	}
	return true;
}

/* "{model}:{method}" */
static struct api_match google_method(struct slice seg)
{
	struct api_match m = {.kind = API_UNKNOWN};
	struct slice model, verb;

	if (!slice_cut(seg, ':', &model, &verb) || !model_segment_valid(model))
		return m;
	if (slice_eq(verb, SLICE("generateContent"))) {
		m.kind = API_GENERATE;
	} else if (slice_eq(verb, SLICE("streamGenerateContent"))) {
		m.kind = API_GENERATE;
		m.stream_by_path = true;
	} else if (slice_eq(verb, SLICE("countTokens"))) {
		m.kind = API_FREE;
	} else {
		return m;
	}
	m.model = model;
	return m;
}

static bool google_version(struct slice s)
{
	return slice_eq(s, SLICE("v1")) || slice_eq(s, SLICE("v1beta")) || slice_eq(s, SLICE("v1alpha")) ||
	       slice_eq(s, SLICE("v1beta1"));
}

/* "models/{model}:{method}", and below a cloud project "projects/{p}/locations/{l}/publishers/google/models/…". */
static struct api_match google_match(const struct path *p, struct slice method)
{
	struct api_match m = {.kind = API_UNKNOWN};
	bool upload = seg_is(p, 0, "upload");
	size_t b = upload ? 2 : 1;

	if (p->n <= b || !google_version(p->seg[b - 1]))
		return m;
	if (upload || seg_is(p, b, "files")) {
		if (is_files(p, b, method))
			m.kind = API_FREE;
		return m;
	}
	if (seg_is(p, b, "projects") && seg_is(p, b + 2, "locations") && seg_is(p, b + 4, "publishers") &&
	    seg_is(p, b + 5, "google"))
		b += 6;
	if (!seg_is(p, b, "models") || p->n > b + 2)
		return m;
	if (slice_eq(method, SLICE("GET"))) {
		if (p->n == b + 1 || slice_find(p->seg[b + 1], ':') == p->seg[b + 1].n)
			m.kind = API_FREE;
		return m;
	}
	return slice_eq(method, SLICE("POST")) && p->n == b + 2 ? google_method(p->seg[b + 1]) : m;
}

struct api_match api_classify(enum api_family family, struct slice method, struct slice path)
{
	struct api_match m = {.kind = API_UNKNOWN};
	struct path p;

	/* the vendor may decode what we would compare as it stands */
	if (memchr(path.p, '%', path.n) || !path_split(path, &p))
		return m;
	switch (family) {
	case FAMILY_OPENAI:
		m.kind = openai_kind(&p, method);
		break;
	case FAMILY_ANTHROPIC:
		m.kind = anthropic_kind(&p, method);
		break;
	case FAMILY_GOOGLE:
		m = google_match(&p, method);
		break;
	default:
		break;
	}
	return m;
}

/* --- secrets in the URL ------------------------------------------------------------------------------------------- */

#define SECRET_NAME_MAX 32

/* Decodes and lower-cases a parameter name; names too long for any secret come out empty. */
static struct slice param_name(struct slice s, char dst[SECRET_NAME_MAX])
{
	size_t i, n = 0;

	for (i = 0; i < s.n; i++) {
		int c = (unsigned char)s.p[i];

		if (n == SECRET_NAME_MAX)
			return SLICE_NONE;
		if (c == '%' && i + 2 < s.n && hex_digit(s.p[i + 1]) >= 0 && hex_digit(s.p[i + 2]) >= 0) {
			c = hex_digit(s.p[i + 1]) * 16 + hex_digit(s.p[i + 2]);
			i += 2;
		}
		dst[n++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
	}
	return slice_mem(dst, n);
}

bool api_query_has_secret(struct slice query)
{
	static const char *const names[] = {"key",          "api_key", "api-key",        "apikey",
					    "access_token", "token",   "x-goog-api-key", "upload_token"};
	struct slice rest = query, param, name, value;
	char text[SECRET_NAME_MAX];
	size_t i;

	while (rest.n > 0) {
		slice_cut(rest, '&', &param, &rest);
		slice_cut(param, '=', &name, &value);
		name = param_name(name, text);
		for (i = 0; i < ARRAY_LEN(names); i++)
			if (slice_eq(name, slice_of(names[i])))
				return true;
	}
	return false;
}
