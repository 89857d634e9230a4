#include "meter/multipart.h"

#include "base/error.h"

enum state {
	AT_BEGIN,    /* the first delimiter, without the CR LF before it */
	AT_BOUNDARY, /* behind a delimiter: CR LF, or the two hyphens of the last */
	AT_HEADERS,
	AT_DATA,
	AT_END, /* behind the last: at most one CR LF */
	FAILED,
};

static enum multipart_event fail(struct multipart *m)
{
	m->state = FAILED;
	return MULTIPART_ERROR;
}

/* --- parameters of a header: ;name=token or ;name="text" -----------------------------------------------------------
 */

static bool token_char(unsigned char c)
{
	return c > ' ' && c < 0x7f && !strchr("()<>@,;:\\\"/[]?={}", c);
}

static bool take_token(struct slice *s, struct slice *ret)
{
	size_t n = 0;

	while (n < s->n && token_char((unsigned char)s->p[n]))
		n++;
	*ret = slice_sub(*s, 0, n);
	*s = slice_sub(*s, n, s->n - n);
	return n > 0;
}

/* Backslashes are read in two ways by readers: *ret_plain is false then. */
static bool take_quoted(struct slice *s, struct slice *ret, bool *ret_plain)
{
	size_t i;

	*ret_plain = true;
	for (i = 1; i < s->n && s->p[i] != '"'; i++) {
		if (s->p[i] != '\\')
			continue;
		*ret_plain = false;
		i++;
	}
	if (i >= s->n)
		return false;
	*ret = slice_sub(*s, 1, i - 1);
	*s = slice_sub(*s, i + 1, s->n - i - 1);
	return true;
}

struct param {
	struct slice name, value;
	bool quoted, plain;
};

/* 1: a parameter; 0: the end; BUR_INVALID. */
static int next_param(struct slice *s, struct param *ret)
{
	*s = slice_trim(*s);
	if (s->n == 0)
		return 0;
	if (s->p[0] != ';')
		return BUR_INVALID;
	*s = slice_trim(slice_sub(*s, 1, s->n - 1));
	if (!take_token(s, &ret->name) || s->n == 0 || s->p[0] != '=')
		return BUR_INVALID;
	*s = slice_sub(*s, 1, s->n - 1);
	ret->plain = true;
	ret->quoted = s->n > 0 && s->p[0] == '"';
	if (ret->quoted ? !take_quoted(s, &ret->value, &ret->plain) : !take_token(s, &ret->value))
		return BUR_INVALID;
	return 1;
}

/* --- the media type ------------------------------------------------------------------------------------------------
 */

static bool cut_type(struct slice *s)
{
	static const char type[] = "multipart/form-data";
	struct slice rest;

	*s = slice_trim(*s);
	if (!slice_istarts(*s, SLICE(type)))
		return false;
	rest = slice_trim(slice_sub(*s, sizeof(type) - 1, s->n));
	*s = rest;
	return rest.n == 0 || rest.p[0] == ';';
}

bool multipart_is_form(struct slice content_type)
{
	return slice_istarts(slice_trim(content_type), SLICE("multipart/"));
}

static bool boundary_valid(struct slice b)
{
	size_t i;

	if (b.n == 0 || b.n > MULTIPART_BOUNDARY_MAX || b.p[b.n - 1] == ' ')
		return false;
	for (i = 0; i < b.n; i++) {
		unsigned char c = (unsigned char)b.p[i];

		if (!(c >= '0' && c <= '9') && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') &&
		    (c == 0 || !strchr("'()+_,-./:=? ", c)))
			return false;
	}
	return true;
}

int multipart_init(struct multipart *m, struct slice content_type)
{
	struct slice boundary = SLICE_NONE;
	struct param param;
	int r;

	memset(m, 0, sizeof(*m));
	if (!cut_type(&content_type))
		return BUR_INVALID;
	while ((r = next_param(&content_type, &param)) > 0) {
		if (!slice_ieq(param.name, SLICE("boundary")))
			continue;
		if (boundary.n > 0 || !param.plain || !boundary_valid(param.value))
			return BUR_INVALID;
		boundary = param.value;
	}
	if (r < 0 || boundary.n == 0)
		return BUR_INVALID;
	memcpy(m->delimiter, "\r\n--", 4);
	memcpy(m->delimiter + 4, boundary.p, boundary.n);
	m->delimiter_n = (uint8_t)(4 + boundary.n);
	m->match = 2;
	return BUR_OK;
}

/* ASCII is the same in these; UTF-7 and UTF-16 hide quotes and braces in other bytes, for readers who know them. */
static bool charset_known(struct slice s)
{
	static const char *const names[] = {"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin1"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (slice_ieq(s, slice_of(names[i])))
			return true;
	return false;
}

bool multipart_charset_plain(struct slice media_type)
{
	static const char word[] = "charset";

	for (size_t i = 0; i + sizeof(word) - 1 <= media_type.n; i++) {
		struct slice rest = slice_sub(media_type, i, media_type.n);
		size_t n = sizeof(word) - 1;

		if (!slice_istarts(rest, SLICE(word)))
			continue;
		while (n < rest.n && strchr(" \t=\"'", rest.p[n]))
			n++;
		rest = slice_sub(rest, n, rest.n);
		for (n = 0; n < rest.n && !strchr(" \t;,\"'", rest.p[n]); n++)
			;
		if (!charset_known(slice_sub(rest, 0, n)))
			return false;
	}
	return true;
}

/* --- headers of a part ---------------------------------------------------------------------------------------------
 */

static bool take_name(struct multipart *m, const struct param *p)
{
	size_t i;

	if (m->has_name || !p->plain || p->value.n > MULTIPART_NAME_MAX)
		return false;
	for (i = 0; i < p->value.n; i++)
		if ((unsigned char)p->value.p[i] < 0x20 || p->value.p[i] == 0x7f)
			return false;
	(void)slice_to_cstr(p->value, m->name, sizeof(m->name));
	m->has_name = true;
	return true;
}

static bool take_disposition(struct multipart *m, struct slice value)
{
	static const char type[] = "form-data";
	struct param param;
	int r;

	if (m->has_name || !slice_istarts(value, SLICE(type)))
		return false;
	value = slice_sub(value, sizeof(type) - 1, value.n);
	while ((r = next_param(&value, &param)) > 0) {
		if (slice_ieq(param.name, SLICE("name"))) {
			if (!take_name(m, &param))
				return false;
		} else if (slice_ieq(param.name, SLICE("filename")) || slice_ieq(param.name, SLICE("filename*"))) {
			m->is_file = true;
		} else if (slice_istarts(param.name, SLICE("name"))) { /* name*, name*0: another name to some */
			return false;
		}
	}
	return r == 0 && m->has_name;
}

/* The data must stand as it is. */
static bool encoding_plain(struct slice value)
{
	return slice_ieq(value, SLICE("binary")) || slice_ieq(value, SLICE("8bit")) || slice_ieq(value, SLICE("7bit"));
}

static bool take_header(struct multipart *m, struct slice line)
{
	struct slice name, value;

	if (++m->headers > MULTIPART_HEADERS_MAX || !slice_cut(line, ':', &name, &value))
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (!token_char((unsigned char)name.p[i]))
			return false;
	value = slice_trim(value);
	if (name.n == 0)
		return false;
	if (slice_ieq(name, SLICE("content-disposition")))
		return take_disposition(m, value);
	if (slice_ieq(name, SLICE("content-transfer-encoding")))
		return encoding_plain(value);
	if (slice_ieq(name, SLICE("content-type")))
		return !slice_istarts(value, SLICE("multipart/")) && multipart_charset_plain(value);
	return true;
}

/* One byte of the header block; a line ends with CR LF. */
static enum multipart_event header_byte(struct multipart *m, char c)
{
	struct slice line = slice_mem(m->line, m->line_n);

	if (c == '\0' || m->line_n == MULTIPART_LINE_MAX)
		return fail(m);
	if (m->line_n > 0 && m->line[m->line_n - 1] == '\r') {
		if (c != '\n')
			return fail(m);
		line.n--;
		m->line_n = 0;
		if (line.n > 0)
			return take_header(m, line) ? MULTIPART_MORE : fail(m);
		if (!m->has_name)
			return fail(m);
		m->state = AT_DATA;
		m->match = 0;
		m->part_open = true;
		return MULTIPART_PART;
	}
	if (c == '\n')
		return fail(m);
	m->line[m->line_n++] = c;
	return MULTIPART_MORE;
}

/* --- delimiters and data -------------------------------------------------------------------------------------------
 */

static enum multipart_event begin_byte(struct multipart *m, char c)
{
	if (c != m->delimiter[m->match])
		return fail(m);
	if (++m->match == m->delimiter_n) {
		m->state = AT_BOUNDARY;
		m->tail = 0;
	}
	return MULTIPART_MORE;
}

/* Behind a delimiter there is CR LF or "--"; all else would be a boundary to some readers and data to others. */
static enum multipart_event boundary_byte(struct multipart *m, char c)
{
	if (m->tail == 0 && (c == '\r' || c == '-')) {
		m->tail = (uint8_t)c;
		return MULTIPART_MORE;
	}
	if (m->tail == '\r' && c == '\n') {
		m->state = AT_HEADERS;
		m->line_n = 0;
		m->headers = 0;
		m->has_name = m->is_file = false;
		m->name[0] = '\0';
		return MULTIPART_MORE;
	}
	if (m->tail != '-' || c != '-')
		return fail(m);
	m->state = AT_END;
	m->match = 0;
	return MULTIPART_MORE;
}

static enum multipart_event end_byte(struct multipart *m, char c)
{
	if (m->match == 2 || c != "\r\n"[m->match])
		return fail(m);
	m->match++;
	return MULTIPART_MORE;
}

/* A run of data, or what had looked like the beginning of a delimiter. */
static enum multipart_event data_run(struct multipart *m, const char *p, size_t n, size_t *inout_i, struct slice *ret)
{
	size_t i = *inout_i;

	if (m->match == 0) {
		const char *cr = memchr(p + i, '\r', n - i);
		size_t end = cr ? (size_t)(cr - p) : n;

		*inout_i = end;
		if (end > i) {
			*ret = slice_mem(p + i, end - i);
			return MULTIPART_DATA;
		}
	}
	for (i = *inout_i; i < n && m->match < m->delimiter_n && p[i] == m->delimiter[m->match]; i++)
		m->match++;
	*inout_i = i;
	if (m->match == m->delimiter_n) {
		m->state = AT_BOUNDARY;
		m->tail = 0;
		m->part_open = false;
		return MULTIPART_PART_END;
	}
	if (i == n)
		return MULTIPART_MORE;
	*ret = slice_mem(m->delimiter, m->match); /* a CR stands only at its begin: nothing of it can begin anew */
	m->match = 0;
	return MULTIPART_DATA;
}

static enum multipart_event byte(struct multipart *m, char c)
{
	switch ((enum state)m->state) {
	case AT_BEGIN:
		return begin_byte(m, c);
	case AT_BOUNDARY:
		return boundary_byte(m, c);
	case AT_HEADERS:
		return header_byte(m, c);
	case AT_END:
		return end_byte(m, c);
	case AT_DATA:
	case FAILED:
		break;
	}
	return fail(m);
}

enum multipart_event multipart_next(struct multipart *m, const char *p, size_t n, size_t *inout_i,
				    struct slice *ret_data)
{
	enum multipart_event e = m->state == FAILED ? MULTIPART_ERROR : MULTIPART_MORE;

	while (e == MULTIPART_MORE && *inout_i < n)
		e = m->state == AT_DATA ? data_run(m, p, n, inout_i, ret_data) : byte(m, p[(*inout_i)++]);
	return e;
}

bool multipart_complete(const struct multipart *m)
{
	return m->state == AT_END && (m->match == 0 || m->match == 2);
}
