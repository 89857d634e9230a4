/* alerts_template_test - places, sections, escaping for each kind of channel, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "alerts/template.h"
#include "base/error.h"

static const char values[] =
    "{\"budget_id\":\"search-daily\",\"ratio\":0.8012,\"incident\":12,\"on\":true,\"off\":false,\"none\":null,"
    "\"empty\":\"\",\"list\":[],\"scope\":{\"kind\":\"user\",\"id\":\"ann\"},\"labels\":{\"tag.env\":\"prod\"},"
    "\"top\":[{\"model\":\"gpt-5\",\"spent\":\"3.00 USD\"},{\"model\":\"o3\",\"spent\":\"1.00 USD\",\"incident\":7}],"
    "\"lines\":[\"a\",\"b\"],\"evil\":\"{{budget_id}}<b>&\\\"'\\r\\nBcc: x\\u0007\\u202e@here *x*\"}";

static const char *rendered(const char *text, enum escape escape)
{
	static char out[8192];
	json_t *v = json_loads(values, 0, NULL);
	struct buf b;

	assert_non_null(v);
	buf_init(&b, 1 << 20);
	assert_int_equal(template_render(slice_of(text), v, escape, &b), BUR_OK);
	(void)slice_to_cstr(buf_slice(&b), out, sizeof(out));
	buf_done(&b);
	json_decref(v);
	return out;
}

static void test_places(void **state)
{
	(void)state;
	assert_string_equal(rendered("", ESCAPE_NONE), "");
	assert_string_equal(rendered("Budget {{budget_id}} is at {{ ratio }}.", ESCAPE_NONE),
			    "Budget search-daily is at 0.8012.");
	assert_string_equal(
	    rendered("{{scope.kind}} {{scope.id}} {{top.1.model}} {{top.2.model}}|{{labels.tag.env}}", ESCAPE_NONE),
	    "user ann o3 |prod");
	assert_string_equal(rendered("{{incident}}{{on}}{{off}}{{none}}{{missing}}{{scope}}", ESCAPE_NONE),
			    "12truefalse{\"id\":\"ann\",\"kind\":\"user\"}");
	assert_string_equal(rendered("} }} {x} {", ESCAPE_NONE), "} }} {x} {");
	assert_string_equal(rendered("{{scope.kind.id}}{{top.x}}{{top.-1}}{{top.18446744073709551616}}", ESCAPE_NONE),
			    "");
}

static void test_sections(void **state)
{
	(void)state;
	assert_string_equal(rendered("{{#top}}{{model}}: {{spent}} ({{incident}}); {{/top}}", ESCAPE_NONE),
			    "gpt-5: 3.00 USD (12); o3: 1.00 USD (7); ");
	assert_string_equal(rendered("{{#lines}}[{{.}}]{{/lines}}", ESCAPE_NONE), "[a][b]");
	assert_string_equal(
	    rendered("{{#scope}}{{kind}}={{id}}{{/scope}}{{#on}}!{{/on}}{{#incident}}?{{/incident}}", ESCAPE_NONE),
	    "user=ann!?");
	assert_string_equal(
	    rendered("{{#off}}a{{/off}}{{#none}}b{{/none}}{{#missing}}c{{/missing}}{{#empty}}d{{/empty}}"
		     "{{#list}}e{{/list}}",
		     ESCAPE_NONE),
	    "");
	assert_string_equal(
	    rendered("{{^off}}a{{/off}}{{^missing}}c{{/missing}}{{^list}}e{{/list}}{{^on}}f{{/on}}", ESCAPE_NONE),
	    "ace");
	assert_string_equal(rendered("{{#on}}{{^off}}x{{#lines}}{{.}}{{/lines}}y{{/off}}{{/on}}z", ESCAPE_NONE),
			    "xabyz");
	/* a tag alone on its line takes the line with it */
	assert_string_equal(rendered("Top:\n  {{#top}}\n- {{model}}\n  {{/top}}\r\nend", ESCAPE_NONE),
			    "Top:\n- gpt-5\n- o3\nend");
	assert_string_equal(rendered("{{#on}}\n{{#on}}\nx\n{{/on}}\n{{/on}}", ESCAPE_NONE), "x\n");
	assert_string_equal(rendered("{{#on}} {{/on}}\n", ESCAPE_NONE), " \n");
}

static void test_escapes(void **state)
{
	(void)state;
	/* what a value holds is never a place, and never leaves its own */
	assert_string_equal(rendered("{{evil}}", ESCAPE_NONE), "{{budget_id}}<b>&\"'\nBcc: x@here *x*");
	assert_string_equal(rendered("{{evil}}", ESCAPE_LINE), "{{budget_id}}<b>&\"' Bcc: x@here *x*");
	assert_string_equal(rendered("<p title=\"{{evil}}\">", ESCAPE_HTML),
			    "<p title=\"{{budget_id}}&lt;b&gt;&amp;&quot;&#39;\nBcc: x@here *x*\">");
	assert_string_equal(rendered("{{evil}}", ESCAPE_MRKDWN), "{{budget_id}}&lt;b&gt;&amp;\"'\nBcc: x@here *x*");
	assert_string_equal(rendered("{\"a\":\"{{evil}}\"}", ESCAPE_JSON),
			    "{\"a\":\"{{budget_id}}<b>&\\\"'\\r\\nBcc: x\\u0007\u202e@here *x*\"}");
	assert_string_equal(rendered("{{evil}}", ESCAPE_MARKDOWN),
			    "\\{\\{budget\\_id\\}\\}\\<b\\>\\&\"'\nBcc: x@\u200bhere \\*x\\*");
}

static const char *escaped(enum escape escape, struct slice text)
{
	static char out[8192];
	struct buf b;

	buf_init(&b, 1 << 16);
	assert_int_equal(escape_append(&b, escape, text), BUR_OK);
	(void)slice_to_cstr(buf_slice(&b), out, sizeof(out));
	buf_done(&b);
	return out;
}

static void test_escape_alone(void **state)
{
	(void)state;
	assert_string_equal(escaped(ESCAPE_MARKDOWN, SLICE("- a\n1. b\n# c - d 1.50 https://e.f g:h")),
			    "\\- a\n1\\. b\n\\# c - d 1.50 https\\://e.f g:h");
	assert_string_equal(escaped(ESCAPE_MARKDOWN, SLICE("[a](b) ||c|| ~~d~~ `e` > !")),
			    "\\[a\\]\\(b\\) \\|\\|c\\|\\| \\~\\~d\\~\\~ \\`e\\` \\> \\!");
	assert_string_equal(escaped(ESCAPE_HTML, SLICE("a\xff\xc3(\xed\xa0\x80")), "a\ufffd\ufffd(\ufffd\ufffd\ufffd");
	assert_string_equal(escaped(ESCAPE_JSON, SLICE("\\\t\x7f\x01\0z")), "\\\\\\t\\u007f\\u0001\\u0000z");
	assert_string_equal(escaped(ESCAPE_JSON, SLICE("\u2028")), "\\u2028");
	assert_string_equal(escaped(ESCAPE_LINE, SLICE("a\nb\tc\u2028d\re")), "a b c de");
	assert_string_equal(escaped(ESCAPE_NONE, SLICE("\u200b\u2066\ufeffx\U000e0041 👩\u200d💻")), "x 👩\u200d💻");
}

static void refused(const char *text, const char *why)
{
	char err[200];
	struct buf b;

	buf_init(&b, 1 << 20);
	assert_int_equal(template_check(slice_of(text), err, sizeof(err)), BUR_INVALID);
	assert_string_equal(err, why);
	assert_int_equal(template_render(slice_of(text), json_null(), ESCAPE_NONE, &b), BUR_INVALID);
	buf_done(&b);
}

static void test_malformed(void **state)
{
	static char big[TEMPLATE_BYTES_MAX + 2];
	char err[8];

	(void)state;
	refused("a\nb {{name", "line 2: {{ without }}");
	refused("{{}}", "line 1: between {{ and }} stands no name: letters, digits, _ and dots");
	refused("{{a b}}", "line 1: between {{ and }} stands no name: letters, digits, _ and dots");
	refused("{{.a}}", "line 1: between {{ and }} stands no name: letters, digits, _ and dots");
	refused("{{{a}}}", "line 1: escaping cannot be switched off: write {{name}}");
	refused("{{& a}}", "line 1: escaping cannot be switched off: write {{name}}");
	refused("\n\n{{/a}}", "line 3: there is nothing to close for a");
	refused("{{#a}}", "line 1: a section is not closed: a");
	refused("{{#a}}{{#b}}\n{{/a}}{{/b}}", "line 2: another section must be closed first: b");
	refused("\xff", "line 1: the template is not UTF-8 text");
	refused("{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}",
		"line 1: sections are nested too deeply at a");
	memset(big, 'x', sizeof(big) - 1);
	refused(big, "line 1: the template is longer than 65,536 bytes");
	assert_int_equal(template_check(SLICE("{{#a}}"), err, sizeof(err)), BUR_INVALID);
	assert_string_equal(err, "line 1:");
	assert_int_equal(template_check(SLICE("{{#a}}"), err, 0), BUR_INVALID);
	assert_int_equal(template_check(SLICE("{{#a}}{{b}}{{/a}}"), err, sizeof(err)), BUR_OK);
	assert_string_equal(err, "");
}

/* Neither output nor work can explode. */
static void test_limits(void **state)
{
	static const char deep[] = "{{#l}}{{#l}}{{#l}}{{#l}}{{#l}}{{#l}}{{#l}}{{#l}}"
				   "{{/l}}{{/l}}{{/l}}{{/l}}{{/l}}{{/l}}{{/l}}{{/l}}";
	json_t *list = json_array(), *v = json_object();
	char big[5001] = "";
	struct buf b;

	(void)state;
	memset(big, 'y', 5000);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(json_array_append_new(list, json_string(big)), 0);
	assert_int_equal(json_object_set_new(v, "l", list), 0);
	buf_init(&b, 4 << 20);
	assert_int_equal(template_render(SLICE("{{#l}}{{.}}{{/l}}"), v, ESCAPE_HTML, &b), BUR_TOOBIG);
	assert_true(buf_len(&b) < TEMPLATE_OUT_MAX + 6000);
	buf_consume(&b, buf_len(&b));
	assert_int_equal(template_render(slice_of(deep), v, ESCAPE_HTML, &b), BUR_TOOBIG);
	buf_done(&b);
	buf_init(&b, 10);
	assert_int_equal(template_render(SLICE("12345678901"), v, ESCAPE_HTML, &b), BUR_TOOBIG);
	buf_done(&b);
	json_decref(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_places),       cmocka_unit_test(test_sections),  cmocka_unit_test(test_escapes),
	    cmocka_unit_test(test_escape_alone), cmocka_unit_test(test_malformed), cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests_name("alerts_template", tests, NULL, NULL);
}
