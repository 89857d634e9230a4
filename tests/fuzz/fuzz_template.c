/* fuzz_template - any bytes as template and as value: what is checked renders, what is rendered is escaped, nothing
 * explodes; and names of any bytes become clean ones of the wanted length. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "alerts/template.h"
#include "alerts/words.h"
#include "base/check.h"
#include "base/error.h"
#include "base/utf8.h"

static bool is_utf8(struct slice s)
{
	uint32_t cp;
	size_t n;

	for (size_t i = 0; i < s.n; i += n) {
		n = utf8_decode(s.p + i, s.n - i, &cp);
		if (n == 0)
			return false;
	}
	return true;
}

static bool has_any(struct slice s, const char *chars)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] && strchr(chars, s.p[i]))
			return true;
	return false;
}

static bool has_control(struct slice s, bool line_ends)
{
	for (size_t i = 0; i < s.n; i++) {
		bool allowed = line_ends && (s.p[i] == '\n' || s.p[i] == '\t');

		if (((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f) && !allowed)
			return true;
	}
	return false;
}

static void check_escaped(enum escape escape, struct slice value)
{
	struct slice s;
	json_t *parsed;
	struct buf b;

	buf_init(&b, 4 << 20);
	CHECK(buf_append_slice(&b, SLICE("[\"")) == BUR_OK);
	CHECK(escape_append(&b, escape, value) == BUR_OK);
	s = slice_sub(buf_slice(&b), 2, SIZE_MAX);
	CHECK(is_utf8(s));
	CHECK(!has_control(s, escape != ESCAPE_LINE && escape != ESCAPE_JSON));
	if (escape == ESCAPE_HTML)
		CHECK(!has_any(s, "<>\"'"));
	if (escape == ESCAPE_MRKDWN)
		CHECK(!has_any(s, "<>"));
	if (escape == ESCAPE_JSON) {
		CHECK(buf_append_slice(&b, SLICE("\"]")) == BUR_OK);
		parsed = json_loadb(buf_slice(&b).p, buf_len(&b), JSON_ALLOW_NUL, NULL);
		CHECK(parsed);
		json_decref(parsed);
	}
	buf_done(&b);
}

static void check_clean(struct slice value, size_t size)
{
	char once[512], twice[512];
	size_t n = words_clean(value, once, size), again;

	CHECK(n < size && strlen(once) == n && is_utf8(slice_mem(once, n)) && !has_control(slice_mem(once, n), false));
	again = words_clean(slice_mem(once, n), twice, sizeof(twice));
	CHECK(again == n && memcmp(once, twice, n) == 0);
}

static json_t *values_of(struct slice value)
{
	/* as jansson would have read it: UTF-8 only */
	json_t *text = json_stringn(value.p ? value.p : "", value.n);

	if (!text)
		text = json_string("<\"&'>{{a}}");
	return json_pack("{s:o,s:{s:[s,s,{s:i}],s:b},s:[[],{},n],s:f}", "a", text, "b", "l", "x", "", "c", 7, "t", 1,
			 "e", "r", 0.5);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_mem(data, size), value;
	enum escape escape;
	json_t *values;
	char err[256];
	struct buf b;
	int r, checked;

	if (size < 2)
		return 0;
	escape = (enum escape)(data[0] % (ESCAPE_MARKDOWN + 1));
	(void)slice_cut(slice_sub(text, 2, SIZE_MAX), '\0', &text, &value);
	values = values_of(value);
	CHECK(values);
	buf_init(&b, 4 << 20);
	checked = template_check(text, err, sizeof(err));
	CHECK(checked == BUR_OK ? err[0] == '\0' : strncmp(err, "line ", 5) == 0);
	r = template_render(text, values, escape, &b);
	CHECK(checked == BUR_OK ? r == BUR_OK || r == BUR_TOOBIG : r == BUR_INVALID);
	CHECK(is_utf8(buf_slice(&b)));
	check_escaped(escape, value);
	check_clean(value, 1 + data[1]);
	buf_done(&b);
	json_decref(values);
	return 0;
}
