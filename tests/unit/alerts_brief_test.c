/* alerts_brief_test - the words of every type of alert, figures, and names that try to break out of a line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "alerts/brief.h"
#include "alerts/words.h"
#include "base/buf.h"
#include "base/error.h"
#include "tests/unit/alerts_brief_cases.h"

/* --- what is said ------------------------------------------------------------------------------------------------- */

static json_t *json_of(const char *single_quoted)
{
	size_t n = strlen(single_quoted);
	char *text = malloc(n + 1);
	json_t *v;

	assert_non_null(text);
	for (size_t i = 0; i <= n; i++)
		text[i] = (char)(single_quoted[i] == '\'' ? '"' : single_quoted[i]);
	v = json_loads(text, 0, NULL);
	free(text);
	assert_non_null(v);
	return v;
}

static json_t *facts_of(const struct brief_case *c)
{
	json_t *facts = json_of(c->base), *more = json_of(c->facts), *value;
	const char *name;

	json_object_foreach(more, name, value) assert_int_equal(
	    json_is_null(value) ? json_object_del(facts, name) : json_object_set(facts, name, value), 0);
	json_decref(more);
	return facts;
}

static void print_brief(const struct brief *b, struct buf *out)
{
	assert_int_equal(buf_printf(out, "%s\n%s\n[%s]\n", b->title, b->text, b->subject), BUR_OK);
	for (size_t i = 0; i < b->n_fields; i++)
		assert_int_equal(buf_printf(out, "%s: %s\n", b->field[i].label, b->field[i].value), BUR_OK);
	if (b->n_lines > 0)
		assert_int_equal(buf_printf(out, "%s:\n", b->lines_title), BUR_OK);
	for (size_t i = 0; i < b->n_lines; i++)
		assert_int_equal(buf_printf(out, "- %s\n", b->line[i]), BUR_OK);
	if (*b->next)
		assert_int_equal(buf_printf(out, "Next: %s\n", b->next), BUR_OK);
	if (*b->command)
		assert_int_equal(buf_printf(out, "$ %s\n", b->command), BUR_OK);
	for (size_t i = 0; i < b->n_actions; i++)
		assert_int_equal(buf_printf(out, "<%s %s>\n", b->action[i].label, b->action[i].url), BUR_OK);
	assert_int_equal(buf_printf(out, "(%s) %06x\n", b->footer, b->color), BUR_OK);
	assert_int_equal(buf_append(out, "", 1), BUR_OK);
}

static void test_words_of_each_type(void **state)
{
	struct arena arena;
	struct brief brief;
	struct buf out;

	(void)state;
	arena_init(&arena, 1 << 20);
	buf_init(&out, 1 << 20);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *facts = facts_of(&cases[i]);

		assert_int_equal(brief_make(&arena, facts, cases[i].op, &brief), BUR_OK);
		assert_int_equal(brief.op, cases[i].op);
		print_brief(&brief, &out);
		if (strcmp(buf_slice(&out).p, cases[i].want) != 0)
			print_error("%s:\n", cases[i].name);
		assert_string_equal(buf_slice(&out).p, cases[i].want);
		buf_consume(&out, buf_len(&out));
		json_decref(facts);
		arena_reset(&arena);
	}
	buf_done(&out);
}

/* Every type that the table knows reads well whatever else is known of it. */
static void test_every_type_has_words(void **state)
{
	struct arena arena;
	struct brief brief;
	size_t n;
	const struct alert_type *types = alert_types(&n);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		for (int op = SAY_FIRE; op < SAY_COUNT; op++) {
			json_t *facts = json_pack("{s:s,s:s,s:i,s:{s:s,s:s}}", "type", types[i].name, "title",
						  types[i].title, "incident", 3, "scope", "kind", "key", "id", "k1");

			arena_init(&arena, 1 << 20);
			assert_int_equal(brief_make(&arena, facts, (enum message_op)op, &brief), BUR_OK);
			assert_true(strlen(brief.title) > 5 && strlen(brief.subject) > 5 && *brief.footer);
			assert_null(strstr(brief.title, "null"));
			assert_null(strstr(brief.text, "null"));
			json_decref(facts);
			arena_reset(&arena);
		}
	}
}

/* --- what others bring -------------------------------------------------------------------------------------------- */

static void no_control(const char *s)
{
	assert_non_null(s);
	for (; *s; s++)
		assert_true((unsigned char)*s >= 0x20 && *s != 0x7f);
}

static void check_brief(const struct brief *b)
{
	no_control(b->title);
	no_control(b->text);
	no_control(b->subject);
	no_control(b->next);
	no_control(b->command);
	no_control(b->footer);
	assert_true(strlen(b->title) <= BRIEF_TITLE_MAX && strlen(b->text) <= BRIEF_TEXT_MAX);
	assert_true(b->n_fields <= BRIEF_FIELDS_MAX && b->n_lines <= BRIEF_LINES_MAX && b->n_actions <= 3);
	for (size_t i = 0; i < b->n_fields; i++) {
		no_control(b->field[i].label);
		no_control(b->field[i].value);
		assert_true(strlen(b->field[i].value) <= BRIEF_VALUE_MAX);
	}
	for (size_t i = 0; i < b->n_lines; i++)
		no_control(b->line[i]);
	for (size_t i = 0; i < b->n_actions; i++)
		no_control(b->action[i].url);
}

/* Puts `evil` in the place of every text. */
static void spoil(json_t *v, const char *evil)
{
	json_t *child;
	const char *name;
	void *next;

	json_object_foreach_safe(v, next, name, child)
	{
		if (json_is_string(child))
			assert_int_equal(json_object_set_new(v, name, json_string(evil)), 0);
		else
			spoil(child, evil);
	}
	for (size_t i = 0; i < json_array_size(v); i++)
		spoil(json_array_get(v, i), evil);
}

static void test_hostile_names(void **state)
{
	static char big[10241];
	const char *const evil[] = {"a\r\nBcc: everybody@example.com\r\n\r\nbody",
				    "\u202egnp.exe\u2066x\u2069",
				    "%s%n%s",
				    "\x01\x1b[31m\x7f",
				    "{{budget_id}}<script>alert(1)</script>",
				    "javascript:alert(1)",
				    "https://x/\"onclick=\"",
				    "",
				    "null",
				    big};
	struct arena arena;
	struct brief brief;

	(void)state;
	memset(big, 'w', sizeof(big) - 1);
	for (size_t e = 0; e < ARRAY_LEN(evil); e++) {
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			json_t *facts = facts_of(&cases[i]);

			spoil(facts, evil[e]);
			arena_init(&arena, 1 << 20);
			assert_int_equal(brief_make(&arena, facts, cases[i].op, &brief), BUR_OK);
			check_brief(&brief);
			assert_int_equal(brief.n_actions, 0);
			json_decref(facts);
			arena_reset(&arena);
		}
	}
}

static void test_wrong_types(void **state)
{
	static const char *const members[] = {
	    "type",    "scope", "labels", "budget_id", "limit_nanos", "spent_nanos", "ratio",    "rate",
	    "top",     "links", "digest", "details",   "at",          "window_end",  "unit",     "period",
	    "message", "next",  "since",  "escalated", "by",          "node",        "incident", "severity"};
	static const char *const values[] = {"[]",
					     "{}",
					     "[null]",
					     "[[]]",
					     "-1",
					     "9223372036854775807",
					     "1e308",
					     "true",
					     "'x'",
					     "{'id':7,'kind':[]}",
					     "{'lines':[1,null,{}],'count':'x'}",
					     "-9223372036854775808"};
	struct arena arena;
	struct brief brief;

	(void)state;
	for (size_t m = 0; m < ARRAY_LEN(members); m++) {
		for (size_t v = 0; v < ARRAY_LEN(values); v++) {
			for (int op = SAY_FIRE; op < SAY_COUNT; op++) {
				char wrapped[100];
				json_t *facts = json_of(budget_base), *wrong;

				(void)snprintf(wrapped, sizeof(wrapped), "{'v':%s}", values[v]);
				wrong = json_of(wrapped);
				assert_int_equal(json_object_set(facts, members[m], json_object_get(wrong, "v")), 0);
				arena_init(&arena, 1 << 20);
				assert_int_equal(brief_make(&arena, facts, (enum message_op)op, &brief), BUR_OK);
				check_brief(&brief);
				json_decref(facts);
				json_decref(wrong);
				arena_reset(&arena);
			}
		}
	}
}

static void test_no_memory(void **state)
{
	json_t *facts = json_of(budget_base);
	struct brief brief;
	struct arena arena;
	size_t max = 0;
	int r = BUR_NOMEM;

	(void)state;
	for (; r != BUR_OK && max < 65536; max += 512) {
		arena_init(&arena, max);
		r = brief_make(&arena, facts, SAY_FIRE, &brief);
		assert_true(r == BUR_OK || r == BUR_NOMEM);
		arena_reset(&arena);
	}
	assert_int_equal(r, BUR_OK);
	json_decref(facts);
}

/* Where a producer had no words, the title and the figures say it all. */
static void test_what_is_made_up_is_not_said_twice(void **state)
{
	json_t *facts = json_of(budget_base);
	struct brief brief;
	struct arena arena;

	(void)state;
	assert_int_equal(json_object_set_new(facts, "type", json_string("budget.throttled")), 0);
	assert_int_equal(json_object_set_new(facts, "title", json_string("Calls are slowed down")), 0);
	assert_int_equal(
	    json_object_set_new(facts, "message", json_string("Calls are slowed down: search-daily, 80.2 % in use")),
	    0);
	arena_init(&arena, 1 << 16);
	assert_int_equal(brief_make(&arena, facts, SAY_FIRE, &brief), BUR_OK);
	assert_null(strstr(brief.text, "in use"));
	assert_int_equal(json_object_set_new(facts, "message", json_string("Calls are slowed down: by 5 s")), 0);
	assert_int_equal(brief_make(&arena, facts, SAY_FIRE, &brief), BUR_OK);
	assert_non_null(strstr(brief.text, "by 5 s"));
	arena_reset(&arena);
	json_decref(facts);
}

static void test_values(void **state)
{
	json_t *facts = json_of(budget_base), *values, *said;
	struct brief brief;
	struct arena arena;

	(void)state;
	arena_init(&arena, 1 << 20);
	assert_int_equal(brief_make(&arena, facts, SAY_FIRE, &brief), BUR_OK);
	values = brief_values(facts, &brief);
	said = json_object_get(values, "brief");
	assert_null(json_object_get(facts, "brief")); /* a copy */
	assert_string_equal(fact_text(values, "budget_id"), "search-daily");
	assert_string_equal(fact_text(said, "title"), "Budget search-daily: 80 % used");
	assert_string_equal(fact_text(json_array_get(json_object_get(said, "fields"), 1), "label"), "Spent");
	assert_int_equal(json_array_size(json_object_get(said, "lines")), 3);
	json_decref(values);
	json_decref(facts);
	arena_reset(&arena);
}

/* --- words -------------------------------------------------------------------------------------------------------- */

static void test_amounts(void **state)
{
	char t[WORDS_MAX];

	(void)state;
	assert_string_equal(words_amount(0, "USD", t), "0.00 USD");
	assert_string_equal(words_amount(40123456789, "USD", t), "40.12 USD");
	assert_string_equal(words_amount(49999999999, "USD", t), "49.99 USD");
	assert_string_equal(words_amount(-1500000000, "USD", t), "-1.50 USD");
	assert_string_equal(words_amount(1234567890123456789, "USD", t), "1,234,567,890.12 USD");
	assert_string_equal(words_amount(INT64_MIN, "USD", t), "-9,223,372,036.85 USD");
	assert_string_equal(words_amount(9999999, "USD", t), "0.0099 USD");
	assert_string_equal(words_amount(10000000, "USD", t), "0.01 USD");
	assert_string_equal(words_amount(1, "USD", t), "0.000000001 USD");
	assert_string_equal(words_amount(-1234, "USD", t), "-0.0000012 USD");
	assert_string_equal(words_exactly(125000000, "USD", t), "0.125 USD");
	assert_string_equal(words_exactly(50000000000, "USD", t), "50.00 USD");
	assert_string_equal(words_exactly(1000000001, "USD", t), "1.000000001 USD");
	assert_string_equal(words_exactly(1000, "tokens", t), "1,000 tokens");
	assert_string_equal(words_amount(1234567, "tokens", t), "1,234,567 tokens");
	assert_string_equal(words_amount(1, "requests", t), "1 request");
	assert_string_equal(words_amount(-100, "requests", t), "-100 requests");
	assert_string_equal(words_amount(INT64_MIN, "tokens", t), "-9,223,372,036,854,775,808 tokens");
}

static void test_shares_and_times(void **state)
{
	char t[WORDS_MAX];

	(void)state;
	assert_string_equal(words_share(0.8, false, t), "80 %");
	assert_string_equal(words_share(0.802469, false, t), "80.2 %");
	assert_string_equal(words_share(0.9999, true, t), "99 %");
	assert_string_equal(words_share(1.0, true, t), "100 %");
	assert_string_equal(words_share(-1, true, t), "0 %");
	assert_string_equal(words_share(0.0 / 0.0, true, t), "0 %");
	assert_string_equal(words_share(1e300, false, t), "100,000,000,000 %");
	assert_string_equal(words_time(1795248000, t), "2026-11-21 08:00 UTC");
	assert_string_equal(words_time(0, t), "1970-01-01 00:00 UTC");
	assert_string_equal(words_time(-1, t), "");
	assert_string_equal(words_time(INT64_MAX, t), "");
	assert_string_equal(words_duration(1, t), "1 second");
	assert_string_equal(words_duration(119, t), "119 seconds");
	assert_string_equal(words_duration(120, t), "2 minutes");
	assert_string_equal(words_duration(7199, t), "119 minutes");
	assert_string_equal(words_duration(7200, t), "2 hours");
	assert_string_equal(words_duration(172800, t), "2 days");
	assert_string_equal(words_duration(-5, t), "0 seconds");
}

static const char *clean(const char *text, size_t size)
{
	static char dst[300];
	size_t n;

	assert_true(size <= sizeof(dst));
	n = words_clean(slice_of(text), dst, size);
	assert_int_equal(n, strlen(dst));
	assert_true(strlen(dst) < size);
	return dst;
}

static void test_clean(void **state)
{
	char once[64], twice[64];

	(void)state;
	assert_string_equal(clean("  a \r\n\t b\u2028c  ", 100), "a b c");
	assert_string_equal(clean("a\u202eb\u2066c\u2069\u200bd\ufeff\u00ad", 100), "abcd");
	assert_string_equal(clean("a\xff\xc3z", 100), "a\ufffd\ufffdz");
	assert_string_equal(clean("👩\u200d💻 a\u200db", 100), "👩\u200d💻 ab");
	/* from right to left: fenced, once */
	assert_string_equal(clean("שלום", 100), "שלום\u200e");
	assert_string_equal(clean("שלום\u200e: 80 % \u202bמה", 100), "שלום\u200e: 80 % מה\u200e");
	(void)words_clean(slice_of("ab שלום"), once, sizeof(once));
	(void)words_clean(slice_of(once), twice, sizeof(twice));
	assert_string_equal(once, twice);
	/* cut on borders */
	assert_string_equal(clean("abcdefgh", 9), "abcdefgh");
	assert_string_equal(clean("abcdefghi", 9), "abcde…");
	assert_string_equal(clean("äöüäöü", 9), "äö…");
	assert_string_equal(clean("abc", 3), "");
	assert_string_equal(clean("abcd", 4), "…");
	assert_string_equal(clean("a", 1), "");
	assert_string_equal(clean("שלוםשלום", 12), "של…\u200e");
}

static void test_cut(void **state)
{
	struct arena arena;
	const char *s;

	(void)state;
	arena_init(&arena, 1 << 16);
	s = brief_cut(&arena, "line\r\nline", 100);
	assert_string_equal(s, "line line");
	s = brief_cut(&arena, "0123456789", 9);
	assert_string_equal(s, "012345…");
	s = brief_cut(&arena, "0123456789", SIZE_MAX - 1);
	assert_string_equal(s, "0123456789");
	s = brief_cut(&arena, "", 0);
	assert_string_equal(s, "");
	s = brief_cut(&arena, "\xff\xff\xff", 100);
	assert_string_equal(s, "\ufffd\ufffd\ufffd");
	arena_reset(&arena);
}

static void test_op_names(void **state)
{
	(void)state;
	assert_string_equal(message_op_name(SAY_FIRE), "firing");
	assert_string_equal(message_op_name(SAY_TEST), "test");
	assert_string_equal(message_op_name((enum message_op)SAY_COUNT), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_words_of_each_type),
	    cmocka_unit_test(test_every_type_has_words),
	    cmocka_unit_test(test_hostile_names),
	    cmocka_unit_test(test_wrong_types),
	    cmocka_unit_test(test_no_memory),
	    cmocka_unit_test(test_what_is_made_up_is_not_said_twice),
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_amounts),
	    cmocka_unit_test(test_shares_and_times),
	    cmocka_unit_test(test_clean),
	    cmocka_unit_test(test_cut),
	    cmocka_unit_test(test_op_names),
	};

	return cmocka_run_group_tests_name("alerts_brief", tests, NULL, NULL);
}
