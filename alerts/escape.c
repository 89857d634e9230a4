/* Values made safe for where they are put. */
#include <stdio.h>

#include "alerts/template.h"
#include "alerts/words.h"
#include "base/error.h"
#include "base/utf8.h"

#define ZERO_WIDTH_SPACE "\xe2\x80\x8b"

struct escaping {
	struct buf *out;
	enum escape escape;
	bool line_start; /* only spaces and digits so far in this line */
	bool digits;     /* and at least one digit */
};

static int put(struct escaping *e, const char *s)
{
	return buf_append_slice(e->out, slice_of(s));
}

static int put_code_point(struct escaping *e, uint32_t cp)
{
	char bytes[4] = "";

	return buf_append(e->out, bytes, utf8_encode(cp, bytes));
}

static int put_html(struct escaping *e, uint32_t cp)
{
	switch (cp) {
	case '&':
		return put(e, "&amp;");
	case '<':
		return put(e, "&lt;");
	case '>':
		return put(e, "&gt;");
	case '"':
		return e->escape == ESCAPE_HTML ? put(e, "&quot;") : put(e, "\"");
	case '\'':
		return e->escape == ESCAPE_HTML ? put(e, "&#39;") : put(e, "'");
	default:
		return put_code_point(e, cp);
	}
}

/* Nothing is lost here: a program reads it. */
static int put_json(struct escaping *e, uint32_t cp)
{
	char text[8];

	switch (cp) {
	case '"':
		return put(e, "\\\"");
	case '\\':
		return put(e, "\\\\");
	case '\n':
		return put(e, "\\n");
	case '\r':
		return put(e, "\\r");
	case '\t':
		return put(e, "\\t");
	default:
		break;
	}
	if (cp >= 0x20 && cp != 0x7f && cp != 0x2028 && cp != 0x2029)
		return put_code_point(e, cp);
	(void)snprintf(text, sizeof(text), "\\u%04x", (unsigned)cp);
	return put(e, text);
}

static int put_url(struct escaping *e, uint32_t cp)
{
	char bytes[4] = "", text[4];
	size_t n = utf8_encode(cp, bytes);
	int r = BUR_OK;

	if ((cp >= '0' && cp <= '9') || ((cp | 0x20) >= 'a' && (cp | 0x20) <= 'z') || cp == '-' || cp == '_' ||
	    cp == '.' || cp == '~')
		return buf_append(e->out, bytes, n);
	for (size_t i = 0; i < n && r == BUR_OK; i++) {
		(void)snprintf(text, sizeof(text), "%%%02X", (unsigned char)bytes[i]);
		r = put(e, text);
	}
	return r;
}

/* In the middle of a line a hyphen is a hyphen; at its beginning it makes a list. "://" makes a link of what may be
 * anybody's. A mention is broken by a space without width, because a backslash does not stop it everywhere. */
static int put_markdown(struct escaping *e, uint32_t cp, struct slice rest)
{
	const char *marks = "\\`*_~|<>[](){}#!&";
	bool means = false;
	char escaped[3] = {'\\', (char)cp, '\0'};

	if (cp == '@')
		return put(e, "@" ZERO_WIDTH_SPACE);
	if (cp < 0x80 && cp > 0)
		means = strchr(marks, (int)cp) || (cp == ':' && slice_starts(rest, SLICE("//"))) ||
			(e->line_start && !e->digits && strchr("-+=", (int)cp)) ||
			(e->line_start && e->digits && cp == '.');
	return means ? put(e, escaped) : put_code_point(e, cp);
}

static int put_one(struct escaping *e, uint32_t cp, struct slice rest)
{
	bool space = cp == '\n' || cp == '\t';

	if (e->escape == ESCAPE_JSON)
		return put_json(e, cp);
	if (e->escape == ESCAPE_LINE && (space || cp == 0x2028 || cp == 0x2029 || cp == 0x85))
		cp = ' ';
	else if ((!space && words_is_control(cp)) || words_is_hidden(cp))
		return BUR_OK;
	if (e->escape == ESCAPE_HTML || e->escape == ESCAPE_MRKDWN)
		return put_html(e, cp);
	if (e->escape == ESCAPE_URL)
		return put_url(e, cp);
	if (e->escape == ESCAPE_MARKDOWN)
		return put_markdown(e, cp, rest);
	return put_code_point(e, cp);
}

int escape_append(struct buf *out, enum escape escape, struct slice text)
{
	struct escaping e = {.out = out, .escape = escape, .line_start = true};
	int r = BUR_OK;
	uint32_t cp;
	size_t n;

	for (size_t i = 0; i < text.n && r == BUR_OK; i += n) {
		n = utf8_decode(text.p + i, text.n - i, &cp);
		if (n == 0) {
			n = 1;
			cp = 0xfffd;
		}
		r = put_one(&e, cp, slice_sub(text, i + n, SIZE_MAX));
		e.digits = cp != '\n' && (e.digits || (cp >= '0' && cp <= '9'));
		e.line_start = cp == '\n' || (e.line_start && (cp == ' ' || cp == '\t' || (cp >= '0' && cp <= '9')));
	}
	return r;
}
