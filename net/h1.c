/* h1.c - HTTP/1.1 heads and bodies, strictly; and the writer.
 *
 * A head is parsed once, when it is complete: h1_scan remembers how far the end has been looked for. Every check below
 * gives the same verdict however the bytes were split. */
#include "net/h1.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/check.h"
#include "base/error.h"

#define METHOD_MAX 32
#define LEADING_CRLF_MAX 2

/* --- tables --------------------------------------------------------------------------------------------------------
 */

static const struct {
	int status;
	const char *text;
} errors[] = {
#define X(uc, st, txt) [H1_##uc] = {st, txt},
    H1_ERRORS(X)
#undef X
};

const char *h1_error_text(enum h1_error e)
{
	return (size_t)e < ARRAY_LEN(errors) ? errors[e].text : "unknown error";
}

int h1_error_status(enum h1_error e)
{
	return (size_t)e < ARRAY_LEN(errors) ? errors[e].status : 400;
}

/* Classes of bytes, a bit each. */
enum { C_TOKEN = 1, C_TARGET = 2, C_VALUE = 4, C_HEX = 8, C_DIGIT = 16, C_HOST = 32 };

#define T4(v) v, v, v, v
#define T16(v) T4(v), T4(v), T4(v), T4(v)
#define DIGIT_ (C_TOKEN | C_TARGET | C_VALUE | C_HEX | C_DIGIT | C_HOST)
#define ALPHA_ (C_TOKEN | C_TARGET | C_VALUE | C_HOST)
#define HEXAL_ (ALPHA_ | C_HEX)
#define TOKEN_ (C_TOKEN | C_TARGET | C_VALUE)
#define PUNCT_ (C_TARGET | C_VALUE)
#define HOSTP_ (PUNCT_ | C_HOST)
#define HOSTT_ (TOKEN_ | C_HOST)
#define OBS_ C_VALUE

/* clang-format off */
static const uint8_t class_of[256] = {
	/* 0x00            */ 0, 0, 0, 0, 0, 0, 0, 0, 0, C_VALUE, 0, 0, 0, 0, 0, 0,
	/* 0x10            */ T16(0),
	/* sp ! " # $ % & '*/ C_VALUE, TOKEN_, PUNCT_, TOKEN_, TOKEN_, TOKEN_, TOKEN_, TOKEN_,
	/* ( ) * + , - . / */ PUNCT_, PUNCT_, TOKEN_, TOKEN_, PUNCT_, HOSTT_, HOSTT_, PUNCT_,
	/* 0 - 7           */ T4(DIGIT_), T4(DIGIT_),
	/* 8 9 : ; < = > ? */ DIGIT_, DIGIT_, HOSTP_, PUNCT_, PUNCT_, PUNCT_, PUNCT_, PUNCT_,
	/* @ A - G         */ PUNCT_, HEXAL_, HEXAL_, HEXAL_, HEXAL_, HEXAL_, HEXAL_, ALPHA_,
	/* H - W           */ T16(ALPHA_),
	/* X Y Z [ \ ] ^ _ */ ALPHA_, ALPHA_, ALPHA_, HOSTP_, PUNCT_, HOSTP_, TOKEN_, HOSTT_,
	/* ` a - g         */ TOKEN_, HEXAL_, HEXAL_, HEXAL_, HEXAL_, HEXAL_, HEXAL_, ALPHA_,
	/* h - w           */ T16(ALPHA_),
	/* x y z { | } ~ del*/ ALPHA_, ALPHA_, ALPHA_, PUNCT_, TOKEN_, PUNCT_, TOKEN_, 0,
	/* 0x80            */ T16(OBS_), T16(OBS_), T16(OBS_), T16(OBS_), T16(OBS_), T16(OBS_), T16(OBS_), T16(OBS_),
};
/* clang-format on */

static inline bool is_class(char c, uint8_t want)
{
	return (class_of[(unsigned char)c] & want) != 0;
}

static bool all_class(struct slice s, uint8_t want)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!is_class(s.p[i], want))
			return false;
	}
	return true;
}

static bool is_token(struct slice s)
{
	return s.n > 0 && all_class(s, C_TOKEN);
}

/* First byte of p[0..n) that no field value may hold (its CR, mostly), or n. */
static size_t value_end(const char *p, size_t n)
{
	size_t i = 0;

#ifdef __SSE2__
	const __m128i last_ctl = _mm_set1_epi8(0x1f), del = _mm_set1_epi8(0x7f), tab = _mm_set1_epi8('\t');

	for (; n - i >= 16; i += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
		__m128i ctl = _mm_cmpeq_epi8(_mm_min_epu8(v, last_ctl), v);
		__m128i bad = _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(v, tab), ctl), _mm_cmpeq_epi8(v, del));
		int mask = _mm_movemask_epi8(bad);

		if (mask != 0)
			return i + (size_t)__builtin_ctz((unsigned)mask);
	}
#endif
	while (i < n && is_class(p[i], C_VALUE))
		i++;
	return i;
}

/* --- known fields --------------------------------------------------------------------------------------------------
 */

/* `lower` has only letters and '-'; a token byte equals one of these after |0x20 only when it is that letter. */
static inline bool name_is(const char *p, const char *lower, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if ((p[i] | 0x20) != lower[i])
			return false;
	}
	return true;
}

#define TRY(uc, text)                                                                                                  \
	if (name_is(p, text, sizeof(text) - 1))                                                                        \
	return H1_F_##uc

static enum h1_field_id field_id(const char *p, size_t n)
{
	switch (n) {
	case 2:
		TRY(TE, "te");
		break;
	case 3:
		TRY(VIA, "via");
		break;
	case 4:
		TRY(HOST, "host");
		TRY(DATE, "date");
		break;
	case 6:
		TRY(COOKIE, "cookie");
		TRY(SERVER, "server");
		TRY(EXPECT, "expect");
		break;
	case 7:
		TRY(UPGRADE, "upgrade");
		TRY(TRAILER, "trailer");
		TRY(API_KEY, "api-key");
		break;
	case 9:
		TRY(X_API_KEY, "x-api-key");
		break;
	case 10:
		TRY(CONNECTION, "connection");
		TRY(USER_AGENT, "user-agent");
		TRY(KEEP_ALIVE, "keep-alive");
		TRY(REQUEST_ID, "request-id");
		break;
	case 11:
		TRY(RETRY_AFTER, "retry-after");
		break;
	case 12:
		TRY(CONTENT_TYPE, "content-type");
		TRY(X_REQUEST_ID, "x-request-id");
		break;
	case 13:
		TRY(AUTHORIZATION, "authorization");
		TRY(CACHE_CONTROL, "cache-control");
		break;
	case 14:
		TRY(CONTENT_LENGTH, "content-length");
		TRY(X_GOOG_API_KEY, "x-goog-api-key");
		TRY(X_SHOULD_RETRY, "x-should-retry");
		break;
	case 15:
		TRY(ACCEPT_ENCODING, "accept-encoding");
		break;
	case 16:
		TRY(CONTENT_ENCODING, "content-encoding");
		TRY(PROXY_CONNECTION, "proxy-connection");
		break;
	case 17:
		TRY(TRANSFER_ENCODING, "transfer-encoding");
		TRY(X_ACCEL_BUFFERING, "x-accel-buffering");
		break;
	case 18:
		TRY(PROXY_AUTHENTICATE, "proxy-authenticate");
		break;
	case 19:
		TRY(PROXY_AUTHORIZATION, "proxy-authorization");
		break;
	default:
		break;
	}
	return H1_F_OTHER;
}

static enum h1_method method_of(struct slice s)
{
	static const struct {
		const char *text;
		enum h1_method method;
	} methods[] = {
	    {"POST", H1_POST},       {"GET", H1_GET},     {"CONNECT", H1_CONNECT},
	    {"HEAD", H1_HEAD},       {"PUT", H1_PUT},     {"DELETE", H1_DELETE},
	    {"OPTIONS", H1_OPTIONS}, {"PATCH", H1_PATCH}, {"TRACE", H1_TRACE},
	};

	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		if (slice_eq(s, slice_of(methods[i].text)))
			return methods[i].method;
	}
	return H1_OTHER;
}

/* --- where the head ends -------------------------------------------------------------------------------------------
 */

static int refuse(enum h1_error *reterr, enum h1_error e)
{
	*reterr = e;
	return BUR_INVALID;
}

/* Length of the CRLFs before a request: BUR_OK, BUR_AGAIN (cannot tell yet), BUR_INVALID. */
static int skip_leading_crlf(const char *p, size_t n, size_t *ret, enum h1_error *reterr)
{
	size_t i = 0;

	for (int count = 0;; count++) {
		if (i == n)
			return BUR_AGAIN;
		if (p[i] == '\n')
			return refuse(reterr, H1_BARE_LF);
		if (p[i] != '\r')
			break;
		if (count == LEADING_CRLF_MAX)
			return refuse(reterr, H1_BAD_LINE);
		if (i + 1 == n)
			return BUR_AGAIN;
		if (p[i + 1] != '\n')
			return refuse(reterr, H1_BARE_CR);
		i += 2;
	}
	*ret = i;
	return BUR_OK;
}

/* Looks for the blank line, going on where the last call stopped. A bare LF ends the search at once. */
static int find_head_end(struct h1_scan *scan, const char *p, size_t begin, size_t n, size_t *ret_end,
			 enum h1_error *reterr)
{
	size_t limit = n < H1_HEAD_MAX ? n : H1_HEAD_MAX;
	size_t i = scan->scanned > begin ? scan->scanned : begin;
	const char *lf;

	while (i < limit) {
		lf = memchr(p + i, '\n', limit - i);
		if (!lf)
			break;
		i = (size_t)(lf - p);
		if (i == begin || p[i - 1] != '\r')
			return refuse(reterr, H1_BARE_LF);
		if (i >= begin + 3 && p[i - 2] == '\n') {
			*ret_end = i + 1;
			return BUR_OK;
		}
		i++;
	}
	scan->scanned = limit;
	if (limit == H1_HEAD_MAX)
		return refuse(reterr, H1_HEAD_TOO_LARGE);
	return BUR_AGAIN;
}

/* --- fields --------------------------------------------------------------------------------------------------------
 */

/* What the fields said that decides about framing and connection. */
struct head_facts {
	const struct h1_field *length, *coding, *host;
	unsigned n_length, n_coding, n_host;
	bool has_upgrade, option_close, option_keep_alive, option_upgrade;
};

static enum h1_error parse_field(const char *p, size_t n, size_t *inout_i, struct h1_field *f)
{
	size_t begin = *inout_i, i = begin, value;

	if (p[i] == ' ' || p[i] == '\t')
		return H1_OBS_FOLD;
	while (i < n && is_class(p[i], C_TOKEN))
		i++;
	if (i == n || i == begin || p[i] != ':')
		return H1_BAD_NAME;
	f->name = slice_mem(p + begin, i - begin);
	value = i + 1;
	i = value + value_end(p + value, n - value);
	if (i + 1 >= n)
		return H1_BAD_VALUE;
	if (p[i] != '\r')
		return H1_BAD_VALUE;
	if (p[i + 1] != '\n')
		return H1_BARE_CR;
	if (i - begin > H1_LINE_MAX)
		return H1_HEAD_TOO_LARGE;
	f->value = slice_trim(slice_mem(p + value, i - value));
	f->id = field_id(f->name.p, f->name.n);
	*inout_i = i + 2;
	return H1_NONE;
}

/* Fields that Connection must not take away from the other end. Transfer-Encoding may be named by answers (some content
 * networks do it); it is of this hop anyway. */
static bool is_essential(struct slice name, bool request)
{
	if (name.n > 0 && name.n < 20) {
		switch (field_id(name.p, name.n)) {
		case H1_F_HOST:
		case H1_F_CONTENT_LENGTH:
		case H1_F_CONTENT_TYPE:
		case H1_F_CONTENT_ENCODING:
		case H1_F_AUTHORIZATION:
		case H1_F_X_API_KEY:
		case H1_F_X_GOOG_API_KEY:
		case H1_F_API_KEY:
		case H1_F_COOKIE:
		case H1_F_EXPECT:
			return true;
		case H1_F_TRANSFER_ENCODING:
			return request;
		default:
			break;
		}
	}
	return false;
}

static enum h1_error read_connection(struct h1_head *h, struct head_facts *facts, struct slice list, bool request)
{
	struct slice one;
	bool more = true;

	while (more) {
		more = slice_cut(list, ',', &one, &list);
		one = slice_trim(one);
		if (one.n == 0)
			continue;
		if (!is_token(one) || is_essential(one, request))
			return H1_BAD_CONNECTION;
		if (slice_ieq(one, SLICE("close")))
			facts->option_close = true;
		else if (slice_ieq(one, SLICE("keep-alive")))
			facts->option_keep_alive = true;
		else if (slice_ieq(one, SLICE("upgrade")))
			facts->option_upgrade = true;
		else
			h->names_hop_fields = true;
	}
	return H1_NONE;
}

static bool list_has(struct slice list, struct slice want)
{
	struct slice one;
	bool more = true;

	while (more) {
		more = slice_cut(list, ',', &one, &list);
		if (slice_ieq(slice_trim(one), want))
			return true;
	}
	return false;
}

static enum h1_error note_field(struct h1_head *h, struct head_facts *facts, const struct h1_field *f, bool request)
{
	switch (f->id) {
	case H1_F_CONTENT_LENGTH:
		facts->length = f;
		facts->n_length++;
		break;
	case H1_F_TRANSFER_ENCODING:
		facts->coding = f;
		facts->n_coding++;
		break;
	case H1_F_HOST:
		facts->host = f;
		facts->n_host++;
		break;
	case H1_F_CONNECTION:
		return read_connection(h, facts, f->value, request);
	case H1_F_PROXY_CONNECTION: /* never a standard; believed only when it is the careful answer */
		facts->option_close |= list_has(f->value, SLICE("close"));
		break;
	case H1_F_UPGRADE:
		facts->has_upgrade = f->value.n > 0;
		break;
	case H1_F_EXPECT:
		h->expect_continue = slice_ieq(f->value, SLICE("100-continue"));
		break;
	case H1_F_TE:
		h->te_trailers |= list_has(f->value, SLICE("trailers"));
		break;
	default:
		break;
	}
	return H1_NONE;
}

static enum h1_error parse_fields(const char *p, size_t i, size_t end, struct h1_head *h, struct head_facts *facts,
				  bool request)
{
	enum h1_error e;

	while (i < end - 2) { /* the blank line is at end - 2 */
		if (h->n_fields == H1_FIELDS_MAX)
			return H1_TOO_MANY_FIELDS;
		e = parse_field(p, end, &i, &h->fields[h->n_fields]);
		if (e == H1_NONE)
			e = note_field(h, facts, &h->fields[h->n_fields], request);
		if (e != H1_NONE)
			return e;
		h->n_fields++;
	}
	/* A value that runs into the blank line would have been refused as control byte; this is our own arithmetic. */
	CHECK(i == end - 2);
	return H1_NONE;
}

/* --- framing -------------------------------------------------------------------------------------------------------
 */

static enum h1_error read_framing_fields(struct h1_head *h, const struct head_facts *facts)
{
	if (facts->n_coding > 0 && facts->n_length > 0)
		return H1_LENGTH_AND_CODING;
	if (facts->n_length > 1)
		return H1_TWO_LENGTHS;
	if (facts->n_length == 1) {
		if (slice_u64(facts->length->value, &h->content_length) < 0 || h->content_length > INT64_MAX)
			return H1_BAD_LENGTH;
		h->framing = H1_LENGTH;
	}
	if (facts->n_coding > 0) {
		if (h->minor == 0)
			return H1_CODING_IN_10;
		if (facts->n_coding > 1 || !slice_ieq(facts->coding->value, SLICE("chunked")))
			return H1_BAD_CODING;
		h->framing = H1_CHUNKED;
	}
	return H1_NONE;
}

static void read_keep_alive(struct h1_head *h, const struct head_facts *facts)
{
	h->keep_alive = !facts->option_close && (h->minor == 1 || facts->option_keep_alive);
	h->upgrade = h->minor == 1 && facts->has_upgrade && facts->option_upgrade;
}

/* host, host:port, [v6], [v6]:port by their bytes; what the name means is for the owner. */
static bool host_ok(struct slice v)
{
	size_t name_n;
	uint64_t port;

	if (v.n == 0 || v.n > 262 || !all_class(v, C_HOST))
		return false;
	if (v.p[0] == '[') {
		name_n = slice_find(v, ']');
		if (name_n == v.n || name_n < 3)
			return false;
		name_n++;
	} else {
		name_n = slice_find(v, ':');
	}
	for (size_t i = 1; i < name_n; i++) {
		if (v.p[i] == '[' || (v.p[i] == ']' && i != name_n - 1))
			return false;
	}
	if (v.p[0] != '[' && (name_n == 0 || memchr(v.p, ']', name_n)))
		return false;
	if (name_n == v.n)
		return true;
	v = slice_sub(v, name_n, v.n);
	return v.p[0] == ':' && v.n <= 6 && slice_u64(slice_sub(v, 1, v.n), &port) == BUR_OK && port <= UINT16_MAX;
}

/* --- requests ------------------------------------------------------------------------------------------------------
 */

/* "HTTP/1.0" or "HTTP/1.1". */
static enum h1_error read_version(struct slice s, int *ret_minor)
{
	if (s.n != 8 || memcmp(s.p, "HTTP/", 5) != 0 || !is_class(s.p[5], C_DIGIT) || s.p[6] != '.' ||
	    !is_class(s.p[7], C_DIGIT))
		return H1_BAD_LINE;
	if (s.p[5] != '1' || (s.p[7] != '0' && s.p[7] != '1'))
		return H1_BAD_VERSION;
	*ret_minor = s.p[7] - '0';
	return H1_NONE;
}

/* The forms of RFC 9112 3.2 by their first bytes; the owner reads the authority in absolute and CONNECT targets. */
static bool target_ok(const struct h1_head *h)
{
	struct slice t = h->target;

	if (t.n == 0 || !all_class(t, C_TARGET))
		return false;
	if (h->method == H1_CONNECT)
		return all_class(t, C_HOST);
	if (t.p[0] == '/')
		return true;
	if (h->method == H1_OPTIONS && slice_eq(t, SLICE("*")))
		return true;
	return slice_istarts(t, SLICE("http://")) || slice_istarts(t, SLICE("https://"));
}

static enum h1_error parse_request_line(struct slice line, struct h1_head *h)
{
	struct slice rest, version;
	enum h1_error e;

	if (line.n > H1_LINE_MAX)
		return H1_TARGET_TOO_LONG;
	if (memchr(line.p, '\r', line.n))
		return H1_BARE_CR;
	if (!slice_cut(line, ' ', &h->method_text, &rest))
		return is_token(line) ? H1_BAD_LINE : H1_BAD_METHOD;
	if (!is_token(h->method_text) || h->method_text.n > METHOD_MAX)
		return H1_BAD_METHOD;
	if (!slice_cut(rest, ' ', &h->target, &version))
		return H1_BAD_LINE;
	h->method = method_of(h->method_text);
	e = read_version(version, &h->minor);
	if (e != H1_NONE)
		return e;
	return target_ok(h) ? H1_NONE : H1_BAD_TARGET;
}

static enum h1_error finish_request(struct h1_head *h, const struct head_facts *facts)
{
	enum h1_error e = read_framing_fields(h, facts);

	if (e != H1_NONE)
		return e;
	if (facts->n_host > 1 || (facts->n_host == 0 && h->minor == 1))
		return H1_BAD_HOST;
	if (facts->n_host == 1 && !host_ok(facts->host->value))
		return H1_BAD_HOST;
	if (h->method == H1_CONNECT) { /* what follows is the tunnel: nothing else may claim those bytes */
		if (h->framing == H1_CHUNKED)
			return H1_BAD_CODING;
		if (h->content_length > 0)
			return H1_BAD_LENGTH;
		h->framing = H1_NO_BODY;
	}
	if (h->minor == 0)
		h->expect_continue = false;
	read_keep_alive(h, facts);
	return H1_NONE;
}

static void head_reset(struct h1_head *h)
{
	memset(h, 0, offsetof(struct h1_head, fields));
}

static enum h1_error parse_request_head(const char *p, size_t begin, size_t end, struct h1_head *h)
{
	struct head_facts facts = {0};
	const char *lf = memchr(p + begin, '\n', end - begin);
	size_t line_n = (size_t)(lf - (p + begin)) - 1;
	enum h1_error e;

	head_reset(h);
	h->head_bytes = end;
	e = parse_request_line(slice_mem(p + begin, line_n), h);
	if (e == H1_NONE)
		e = parse_fields(p, begin + line_n + 2, end, h, &facts, true);
	return e == H1_NONE ? finish_request(h, &facts) : e;
}

int h1_parse_request(struct h1_scan *scan, const char *p, size_t n, struct h1_head *ret, enum h1_error *reterr)
{
	size_t begin = 0, end = 0;
	int r;

	if (n == 0)
		return BUR_AGAIN;
	r = skip_leading_crlf(p, n, &begin, reterr);
	if (r < 0)
		return r;
	if (!is_class(p[begin], C_TOKEN)) /* say it now: somebody who speaks TLS to us waits for an answer */
		return refuse(reterr, H1_BAD_METHOD);
	r = find_head_end(scan, p, begin, n, &end, reterr);
	if (r < 0)
		return r;
	*reterr = parse_request_head(p, begin, end, ret);
	return *reterr == H1_NONE ? BUR_OK : BUR_INVALID;
}

/* --- answers -------------------------------------------------------------------------------------------------------
 */

static enum h1_error parse_status_line(struct slice line, struct h1_head *h)
{
	struct slice version, rest, code;
	enum h1_error e;

	if (line.n > H1_LINE_MAX)
		return H1_HEAD_TOO_LARGE;
	if (memchr(line.p, '\r', line.n))
		return H1_BARE_CR;
	if (!slice_cut(line, ' ', &version, &rest))
		return H1_BAD_LINE;
	e = read_version(version, &h->minor);
	if (e != H1_NONE)
		return e;
	(void)slice_cut(rest, ' ', &code, &h->reason); /* servers that leave the reason out leave its space out, too */
	if (code.n != 3 || !all_class(code, C_DIGIT) || code.p[0] == '0')
		return H1_BAD_STATUS;
	h->status = (code.p[0] - '0') * 100 + (code.p[1] - '0') * 10 + (code.p[2] - '0');
	return all_class(h->reason, C_VALUE) ? H1_NONE : H1_BAD_LINE;
}

static bool answer_has_no_body(int status, enum h1_method request_method)
{
	return request_method == H1_HEAD || status < 200 || status == 204 || status == 304 ||
	       (request_method == H1_CONNECT && status < 300);
}

static enum h1_error finish_response(struct h1_head *h, const struct head_facts *facts, enum h1_method request_method)
{
	enum h1_error e = read_framing_fields(h, facts);

	if (e != H1_NONE)
		return e;
	read_keep_alive(h, facts);
	if (answer_has_no_body(h->status, request_method)) {
		h->framing = H1_NO_BODY;
	} else if (h->framing == H1_NO_BODY) {
		h->framing = H1_UNTIL_EOF;
		h->keep_alive = false;
	}
	return H1_NONE;
}

int h1_parse_response(struct h1_scan *scan, const char *p, size_t n, enum h1_method request_method, struct h1_head *ret,
		      enum h1_error *reterr)
{
	struct head_facts facts = {0};
	size_t end = 0, line_n;
	enum h1_error e;
	int r;

	if (n == 0)
		return BUR_AGAIN;
	if (p[0] != 'H')
		return refuse(reterr, H1_BAD_LINE);
	r = find_head_end(scan, p, 0, n, &end, reterr);
	if (r < 0)
		return r;
	line_n = (size_t)((const char *)memchr(p, '\n', end) - p) - 1;
	head_reset(ret);
	ret->head_bytes = end;
	e = parse_status_line(slice_mem(p, line_n), ret);
	if (e == H1_NONE)
		e = parse_fields(p, line_n + 2, end, ret, &facts, false);
	if (e == H1_NONE)
		e = finish_response(ret, &facts, request_method);
	*reterr = e;
	return e == H1_NONE ? BUR_OK : BUR_INVALID;
}

/* --- looking at heads ----------------------------------------------------------------------------------------------
 */

const struct h1_field *h1_find(const struct h1_head *h, enum h1_field_id id)
{
	for (size_t i = 0; i < h->n_fields; i++) {
		if (h->fields[i].id == id)
			return &h->fields[i];
	}
	return NULL;
}

const struct h1_field *h1_find_name(const struct h1_head *h, struct slice lower_name)
{
	for (size_t i = 0; i < h->n_fields; i++) {
		if (slice_ieq(h->fields[i].name, lower_name))
			return &h->fields[i];
	}
	return NULL;
}

bool h1_is_hop_by_hop(const struct h1_head *h, const struct h1_field *f)
{
	switch (f->id) {
	case H1_F_CONNECTION:
	case H1_F_KEEP_ALIVE:
	case H1_F_PROXY_CONNECTION:
	case H1_F_PROXY_AUTHORIZATION:
	case H1_F_PROXY_AUTHENTICATE:
	case H1_F_TE:
	case H1_F_TRAILER:
	case H1_F_TRANSFER_ENCODING:
	case H1_F_UPGRADE:
		return true;
	default:
		break;
	}
	if (!h->names_hop_fields)
		return false;
	for (size_t i = 0; i < h->n_fields; i++) {
		if (h->fields[i].id == H1_F_CONNECTION && list_has(h->fields[i].value, f->name))
			return true;
	}
	return false;
}

/* --- bodies --------------------------------------------------------------------------------------------------------
 */

enum body_state {
	B_SIZE_FIRST, /* the first digit of a chunk's size */
	B_SIZE,
	B_EXT,
	B_SIZE_LF,
	B_DATA,
	B_DATA_CR,
	B_DATA_LF,
	B_TRAILER_FIRST,
	B_TRAILER_NAME,
	B_TRAILER_VALUE,
	B_TRAILER_LF,
	B_END_LF,
	B_DONE,
	B_FAILED,
};

void h1_body_init(struct h1_body *b, enum h1_framing framing, uint64_t content_length)
{
	*b = (struct h1_body){.framing = framing, .error = H1_NONE};
	if (framing == H1_LENGTH)
		b->left = content_length;
	if (framing == H1_NO_BODY || (framing == H1_LENGTH && content_length == 0))
		b->state = B_DONE;
	else
		b->state = framing == H1_CHUNKED ? B_SIZE_FIRST : B_DATA;
}

static enum h1_error size_digit(struct h1_body *b, char c)
{
	unsigned digit = is_class(c, C_DIGIT) ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);

	if (b->left > (uint64_t)INT64_MAX >> 4 ||
	    b->ext_bytes == 16) /* ext_bytes counts the digits before it counts ext */
		return H1_BAD_CHUNK;
	b->left = b->left << 4 | digit;
	b->ext_bytes++;
	return H1_NONE;
}

static enum h1_error step_size(struct h1_body *b, char c)
{
	if (is_class(c, C_HEX)) {
		b->state = B_SIZE;
		return size_digit(b, c);
	}
	if (b->state == B_SIZE_FIRST)
		return H1_BAD_CHUNK;
	b->ext_bytes = 0;
	if (c == '\r')
		b->state = B_SIZE_LF;
	else if (c == ';')
		b->state = B_EXT;
	else
		return H1_BAD_CHUNK;
	return H1_NONE;
}

static enum h1_error step_ext(struct h1_body *b, char c)
{
	if (c == '\r') {
		b->state = B_SIZE_LF;
		return H1_NONE;
	}
	if (!is_class(c, C_VALUE))
		return H1_BAD_CHUNK;
	b->ext_bytes++;
	b->ext_total_bytes++;
	if (b->ext_bytes > H1_CHUNK_EXT_MAX || b->ext_total_bytes > H1_CHUNK_EXT_TOTAL_MAX)
		return H1_CHUNK_EXT_TOO_LARGE;
	return H1_NONE;
}

static enum h1_error step_trailer(struct h1_body *b, char c)
{
	if (++b->trailer_bytes > H1_TRAILERS_MAX)
		return H1_BAD_TRAILER;
	switch (b->state) {
	case B_TRAILER_FIRST:
		if (c == '\r')
			b->state = B_END_LF;
		else if (is_class(c, C_TOKEN))
			b->state = B_TRAILER_NAME;
		else
			return H1_BAD_TRAILER;
		return H1_NONE;
	case B_TRAILER_NAME:
		if (c == ':')
			b->state = B_TRAILER_VALUE;
		else if (!is_class(c, C_TOKEN))
			return H1_BAD_TRAILER;
		return H1_NONE;
	default:
		if (c == '\r')
			b->state = B_TRAILER_LF;
		else if (!is_class(c, C_VALUE))
			return H1_BAD_TRAILER;
		return H1_NONE;
	}
}

static enum h1_error step_expect(struct h1_body *b, char c, char want, enum body_state next, enum h1_error e)
{
	if (c != want)
		return e;
	b->state = next;
	return H1_NONE;
}

static enum h1_error step_size_lf(struct h1_body *b, char c)
{
	if (c != '\n')
		return H1_BAD_CHUNK;
	b->ext_bytes = 0;
	b->state = b->left > 0 ? B_DATA : B_TRAILER_FIRST;
	return H1_NONE;
}

/* One byte of a chunked body that is not payload. */
static enum h1_error chunk_step(struct h1_body *b, char c)
{
	switch ((enum body_state)b->state) {
	case B_SIZE_FIRST:
	case B_SIZE:
		return step_size(b, c);
	case B_EXT:
		return step_ext(b, c);
	case B_SIZE_LF:
		return step_size_lf(b, c);
	case B_DATA_CR:
		return step_expect(b, c, '\r', B_DATA_LF, H1_BAD_CHUNK);
	case B_DATA_LF:
		return step_expect(b, c, '\n', B_SIZE_FIRST, H1_BAD_CHUNK);
	case B_TRAILER_FIRST:
	case B_TRAILER_NAME:
	case B_TRAILER_VALUE:
		return step_trailer(b, c);
	case B_TRAILER_LF:
		return step_expect(b, c, '\n', B_TRAILER_FIRST, H1_BAD_TRAILER);
	case B_END_LF:
		return step_expect(b, c, '\n', B_DONE, H1_BAD_CHUNK);
	case B_DATA:
	case B_DONE:
	case B_FAILED:
		break;
	}
	CHECK(!"a state that takes no single bytes");
	return H1_BAD_CHUNK;
}

static int body_data(struct h1_body *b, const char *p, size_t n, size_t *inout_i, struct slice *ret_data)
{
	size_t take = n - *inout_i;

	if (b->framing != H1_UNTIL_EOF) {
		if (take > b->left)
			take = (size_t)b->left;
		b->left -= take;
		if (b->left == 0)
			b->state = b->framing == H1_CHUNKED ? B_DATA_CR : B_DONE;
	}
	*ret_data = slice_mem(p + *inout_i, take);
	*inout_i += take;
	b->total += take;
	return BUR_OK;
}

int h1_body_next(struct h1_body *b, const char *p, size_t n, size_t *inout_i, struct slice *ret_data)
{
	enum h1_error e;

	while (b->state != B_DONE && b->state != B_FAILED && *inout_i < n) {
		if (b->state == B_DATA)
			return body_data(b, p, n, inout_i, ret_data);
		e = chunk_step(b, p[*inout_i]);
		if (e != H1_NONE) {
			b->error = e;
			b->state = B_FAILED;
			break;
		}
		++*inout_i;
	}
	if (b->state == B_FAILED)
		return BUR_INVALID;
	return b->state == B_DONE ? BUR_EOF : BUR_AGAIN;
}

bool h1_body_eof_ok(const struct h1_body *b)
{
	return b->state == B_DONE || (b->framing == H1_UNTIL_EOF && b->state == B_DATA);
}

/* --- writer --------------------------------------------------------------------------------------------------------
 */

static void writer_begin(struct h1_writer *w, struct buf *out)
{
	*w = (struct h1_writer){.out = out, .err = BUR_OK, .start = buf_len(out)};
}

static void writer_fail(struct h1_writer *w, int err)
{
	if (w->err == BUR_OK)
		w->err = err;
}

static char *put(char *dst, struct slice s)
{
	if (s.n > 0)
		memcpy(dst, s.p, s.n);
	return dst + s.n;
}

/* a b c d CRLF in one go. */
static void writer_line(struct h1_writer *w, struct slice a, struct slice b, struct slice c, struct slice d)
{
	size_t space = buf_space(w->out), want = a.n + b.n + c.n + d.n + 2; /* slices are real memory: no overflow */
	char *dst, *end;

	if (w->err != BUR_OK)
		return;
	if (want > space) {
		writer_fail(w, BUR_TOOBIG);
		return;
	}
	dst = buf_reserve(w->out, want, &space);
	if (!dst) {
		writer_fail(w, BUR_NOMEM);
		return;
	}
	end = put(put(put(put(dst, a), b), c), d);
	memcpy(end, "\r\n", 2);
	buf_commit(w->out, want);
}

void h1_write_request(struct h1_writer *w, struct buf *out, struct slice method, struct slice target)
{
	writer_begin(w, out);
	if (!is_token(method) || method.n > METHOD_MAX || target.n == 0 || !all_class(target, C_TARGET)) {
		writer_fail(w, BUR_INVALID);
		return;
	}
	writer_line(w, method, SLICE(" "), target, SLICE(" HTTP/1.1"));
}

void h1_write_status(struct h1_writer *w, struct buf *out, int status, struct slice reason)
{
	char code[] = "HTTP/1.1 000 ";

	writer_begin(w, out);
	if (status < 100 || status > 999 || value_end(reason.p, reason.n) != reason.n) {
		writer_fail(w, BUR_INVALID);
		return;
	}
	code[9] = (char)('0' + status / 100);
	code[10] = (char)('0' + status / 10 % 10);
	code[11] = (char)('0' + status % 10);
	writer_line(w, slice_mem(code, sizeof(code) - 1), reason, SLICE_NONE, SLICE_NONE);
}

void h1_write_field(struct h1_writer *w, struct slice name, struct slice value)
{
	if (!is_token(name) || value_end(value.p, value.n) != value.n) {
		writer_fail(w, BUR_INVALID);
		return;
	}
	writer_line(w, name, SLICE(": "), value, SLICE_NONE);
}

void h1_write_field_u64(struct h1_writer *w, struct slice name, uint64_t value)
{
	char digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	h1_write_field(w, name, slice_mem(digits + i, sizeof(digits) - i));
}

int h1_write_end(struct h1_writer *w)
{
	writer_line(w, SLICE_NONE, SLICE_NONE, SLICE_NONE, SLICE_NONE);
	if (w->err != BUR_OK) /* nothing of a bad head leaves */
		w->out->tail = w->out->head + w->start;
	return w->err;
}

size_t h1_chunk_line(char dst[H1_CHUNK_LINE_MAX], size_t n)
{
	static const char digits[] = "0123456789abcdef";
	size_t len = 1;

	while (len < 16 && n >> (4 * len) != 0)
		len++;
	for (size_t i = 0; i < len; i++)
		dst[i] = digits[n >> (4 * (len - 1 - i)) & 15];
	dst[len] = '\r';
	dst[len + 1] = '\n';
	return len + 2;
}

static const struct {
	int status;
	const char *text;
} reasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {508, "Loop Detected"},
    {529, "Overloaded"},
};

const char *h1_reason(int status)
{
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		if (reasons[i].status == status)
			return reasons[i].text;
	}
	return "Unknown";
}
