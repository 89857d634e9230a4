/* base_config_test - the option table: reading, every kind of error, dumping, the reference page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/config.h"
#include "base/error.h"

struct step {
	int64_t at_percent;
	int action;
};

struct budget {
	const char *name; /* the map key in `named` */
	int64_t limit_nanousd;
	struct record_list steps;
	const struct node *node;
};

struct tls {
	const char *key_file;
	bool on;
};

struct sample {
	const char *listen, *password, *note;
	int64_t workers, timeout_ns, body_bytes, cap_nanousd, optional_int;
	int mode;
	struct string_list tags, hosts;
	struct pair_list aliases;
	struct record_list budgets, named;
	struct tls tls;
	const struct node *match, *node;
};

static const struct option step_rows[] = {
    {.name = "at", .type = OPT_INT, .offset = offsetof(struct step, at_percent), .min = 1, .max = 100},
    {.name = "do",
     .type = OPT_ENUM,
     .offset = offsetof(struct step, action),
     .choices = "alert|throttle|block",
     .fallback = "alert"},
};
static const struct option_table step_table = {"step", sizeof(struct step), step_rows, ARRAY_LEN(step_rows), SIZE_MAX};

static const struct option budget_rows[] = {
    {.name = "name", .type = OPT_STRING, .offset = offsetof(struct budget, name), .sentence = "Its name."},
    {.name = "limit", .type = OPT_USD, .offset = offsetof(struct budget, limit_nanousd), .min = 1000000000},
    {.name = "steps",
     .type = OPT_LIST,
     .offset = offsetof(struct budget, steps),
     .sub = &step_table,
     .optional = true,
     .max = 3},
};
static const struct option_table budget_table = {"budget", sizeof(struct budget), budget_rows, ARRAY_LEN(budget_rows),
						 offsetof(struct budget, node)};
static const struct option named_rows[] = {
    {.name = "limit", .type = OPT_USD, .offset = offsetof(struct budget, limit_nanousd), .fallback = "5 USD"},
};
static const struct option_table named_table = {"named", sizeof(struct budget), named_rows, ARRAY_LEN(named_rows),
						SIZE_MAX};
static const struct option tls_rows[] = {
    {.name = "key_file", .type = OPT_STRING, .offset = offsetof(struct tls, key_file), .fallback = "key.pem"},
    {.name = "on", .type = OPT_BOOL, .offset = offsetof(struct tls, on), .fallback = "no"},
};
static const struct option_table tls_table = {"tls", sizeof(struct tls), tls_rows, ARRAY_LEN(tls_rows), SIZE_MAX};

#define AT(field) offsetof(struct sample, field)
static const struct option sample_rows[] = {
    {.name = "listen",
     .type = OPT_STRING,
     .offset = AT(listen),
     .fallback = "127.0.0.1:8080",
     .sentence = "Address | port."},
    {.name = "password", .type = OPT_STRING, .offset = AT(password), .optional = true, .secret = true},
    {.name = "note", .type = OPT_STRING, .offset = AT(note), .optional = true},
    {.name = "workers", .type = OPT_INT, .offset = AT(workers), .fallback = "2", .min = 1, .max = 256},
    {.name = "timeout",
     .type = OPT_DURATION,
     .offset = AT(timeout_ns),
     .fallback = "10s",
     .min = 1000000,
     .max = INT64_C(3600000000000)},
    {.name = "body", .type = OPT_BYTES, .offset = AT(body_bytes), .fallback = "32MiB", .min = 1024, .max = 1073741824},
    {.name = "cap", .type = OPT_USD, .offset = AT(cap_nanousd), .fallback = "0.25 USD"},
    {.name = "optional_int", .type = OPT_INT, .offset = AT(optional_int), .optional = true},
    {.name = "mode", .type = OPT_ENUM, .offset = AT(mode), .choices = "hard|soft|shadow", .fallback = "soft"},
    {.name = "tags", .type = OPT_STRINGS, .offset = AT(tags), .fallback = "a, b", .min = 1, .max = 3},
    {.name = "hosts", .type = OPT_STRINGS, .offset = AT(hosts), .optional = true},
    {.name = "aliases", .type = OPT_PAIRS, .offset = AT(aliases), .optional = true},
    {.name = "budgets", .type = OPT_LIST, .offset = AT(budgets), .sub = &budget_table, .fallback = ""},
    {.name = "named", .type = OPT_MAP, .offset = AT(named), .sub = &named_table, .fallback = ""},
    {.name = "tls", .type = OPT_GROUP, .offset = AT(tls), .sub = &tls_table, .reloadable = true},
    {.name = "match", .type = OPT_NODE, .offset = AT(match), .optional = true},
};
static const struct option_table sample_table = {"sample", sizeof(struct sample), sample_rows, ARRAY_LEN(sample_rows),
						 AT(node)};

struct fixture {
	struct arena arena;
	struct sample sample;
	struct config_error err;
};

static int read_text(struct fixture *f, const char *text)
{
	struct node *root;
	int r;

	arena_reset(&f->arena);
	f->sample = (struct sample){0};
	f->err.text[0] = '\0';
	r = config_parse(&f->arena, slice_of(text), "f.yaml", &root, &f->err);
	return r < 0 ? r : config_read(&f->arena, "f.yaml", root, &sample_table, &f->sample, &f->err);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	arena_init(&f->arena, 64 << 20);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	arena_reset(&f->arena);
	free(f);
	return 0;
}

static void test_defaults(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(read_text(f, ""), BUR_OK);
	assert_string_equal(f->sample.listen, "127.0.0.1:8080");
	assert_null(f->sample.password);
	assert_int_equal(f->sample.workers, 2);
	assert_int_equal(f->sample.timeout_ns, INT64_C(10000000000));
	assert_int_equal(f->sample.body_bytes, 32 << 20);
	assert_int_equal(f->sample.cap_nanousd, 250000000);
	assert_int_equal(f->sample.mode, 1);
	assert_int_equal(f->sample.tags.n, 2);
	assert_string_equal(f->sample.tags.items[1], "b");
	assert_int_equal(f->sample.budgets.n, 0);
	assert_string_equal(f->sample.tls.key_file, "key.pem");
	assert_false(f->sample.tls.on);
	assert_non_null(f->sample.node);
}

static const char full[] = "listen: '0.0.0.0:1'\n"
			   "password: pw\n"
			   "workers: 4\n"
			   "timeout: 1.5s\n"
			   "body: 64KiB\n"
			   "cap: $10\n"
			   "mode: shadow\n"
			   "tags: one\n"
			   "hosts: [a.example, \"b $${x}\"]\n"
			   "aliases: {gpt: mini, x: 'y z'}\n"
			   "budgets:\n"
			   "  - name: day\n"
			   "    limit: 50 USD\n"
			   "    steps:\n"
			   "      - {at: 50}\n"
			   "      - {at: 100, do: block}\n"
			   "  - {name: b, limit: 1.000000001 USD}\n"
			   "named:\n"
			   "  first: {limit: 2 USD}\n"
			   "  second:\n"
			   "tls: {on: yes}\n"
			   "match: {team: [a, {b: ~}], empty: {}}\n";

static void check_full(const struct sample *s)
{
	const struct budget *budgets = s->budgets.items, *named = s->named.items;
	const struct step *steps = budgets[0].steps.items;

	assert_string_equal(s->listen, "0.0.0.0:1");
	assert_int_equal(s->workers, 4);
	assert_int_equal(s->timeout_ns, INT64_C(1500000000));
	assert_int_equal(s->body_bytes, 65536);
	assert_int_equal(s->cap_nanousd, INT64_C(10000000000));
	assert_int_equal(s->mode, 2);
	assert_int_equal(s->tags.n, 1);
	assert_string_equal(s->hosts.items[1], "b ${x}");
	assert_int_equal(s->aliases.n, 2);
	assert_string_equal(s->aliases.items[1].key, "x");
	assert_string_equal(s->aliases.items[1].value, "y z");
	assert_int_equal(s->budgets.n, 2);
	assert_int_equal(budgets[0].steps.n, 2);
	assert_int_equal(steps[0].action, 0);
	assert_int_equal(steps[1].action, 2);
	assert_int_equal(budgets[1].limit_nanousd, 1000000001);
	assert_int_equal(s->named.n, 2);
	assert_string_equal(named[0].name, "first");
	assert_int_equal(named[1].limit_nanousd, INT64_C(5000000000));
	assert_true(s->tls.on);
	assert_non_null(node_get(s->match, "team"));
}

static void test_everything_and_dump_reads_back(void **state)
{
	struct fixture *f = *state, again = {0};
	struct buf out;

	assert_int_equal(read_text(f, full), BUR_OK);
	check_full(&f->sample);
	assert_int_equal(((const struct budget *)f->sample.budgets.items)[1].node->line, 17);
	buf_init(&out, 65536);
	assert_int_equal(config_dump(&sample_table, &f->sample, &out), BUR_OK);
	assert_int_equal(buf_append(&out, "", 1), BUR_OK);
	assert_null(strstr(out.mem + out.head, "pw"));
	assert_non_null(strstr(out.mem + out.head, "password: \"***\"\n"));
	assert_non_null(strstr(out.mem + out.head, "# optional_int: not set\n"));
	arena_init(&again.arena, 1 << 20);
	if (read_text(&again, out.mem + out.head) != BUR_OK)
		fail_msg("%s\n%s", again.err.text, out.mem + out.head);
	check_full(&again.sample);
	arena_reset(&again.arena);
	buf_done(&out);
}

static void test_reference(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 65536);
	assert_int_equal(config_reference(&sample_table, &out), BUR_OK);
	assert_int_equal(buf_append(&out, "", 1), BUR_OK);
	assert_non_null(strstr(out.mem, "| `listen` | text | `127.0.0.1:8080` | – | no | Address \\| port. |\n"));
	assert_non_null(strstr(out.mem, "| `timeout` | duration | `10s` | 1ms to 1h | no |"));
	assert_non_null(strstr(out.mem, "| `budgets[].limit` | amount | required | at least 1 USD | no |"));
	assert_non_null(strstr(out.mem, "| `budgets[].steps[].do` | one of `alert`, `throttle`, `block` | `alert`"));
	assert_non_null(strstr(out.mem, "| `named.*.limit` |"));
	assert_non_null(strstr(out.mem, "| `tls` | group | – | – | yes |"));
	buf_done(&out);
}

static void test_errors(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
	    {"workers: 2\nbudgets:\n  - name: x\n    limt: 5 USD\n",
	     "f.yaml:4:5: budgets[0].limt: unknown option `limt`; did you mean `limit`?"},
	    {"zzzzzz: 1\n", "f.yaml:1:1: zzzzzz: unknown option `zzzzzz`"},
	    {"workers: fifty", "f.yaml:1:1: workers: expected a whole number, found `fifty`"},
	    {"workers: 0", "f.yaml:1:1: workers: expected 1 to 256, found `0`"},
	    {"workers: 99999999999999999999",
	     "f.yaml:1:1: workers: expected a whole number, found `99999999999999999999`"},
	    {"workers:", "f.yaml:1:1: workers: expected a whole number, found nothing"},
	    {"workers: [1]", "f.yaml:1:1: workers: expected a whole number, found a list"},
	    {"timeout: 10", "f.yaml:1:1: timeout: expected a duration such as `10s`, `250ms` or `5m`, found `10`"},
	    {"timeout: 2h", "f.yaml:1:1: timeout: expected 1ms to 1h, found `2h`"},
	    {"timeout: 999999999999999999d", "f.yaml:1:1: timeout: expected a duration such as"},
	    {"body: 10 potatoes", "f.yaml:1:1: body: expected a size such as `64KiB` or `1GB`, found `10 potatoes`"},
	    {"body: 1KiB\ncap: fifty", "f.yaml:2:1: cap: expected an amount such as `50 USD`, found `fifty`"},
	    {"cap: 5 tokens", "f.yaml:1:1: cap: expected an amount such as `50 USD`, found `5 tokens`"},
	    {"mode: sotf", "f.yaml:1:1: mode: expected one of hard|soft|shadow, found `sotf`; did you mean `soft`?"},
	    {"tls: {on: 1}", "f.yaml:1:7: tls.on: expected `true` or `false`, found `1`"},
	    {"tls: 5", "f.yaml:1:1: tls: expected a map, found `5`"},
	    {"tags: [a, b, c, d]", "f.yaml:1:1: tags: expected 1 to 3 entries, found 4"},
	    {"tags: [a, [b]]", "f.yaml:1:11: tags: expected text, found a list"},
	    {"aliases: {a: {}}", "f.yaml:1:11: aliases: expected a map of texts, found a map"},
	    {"budgets: [{limit: 5 USD}]", "f.yaml:1:11: budgets[0].name: expected this option, found nothing"},
	    {"budgets: {a: 1}", "f.yaml:1:1: budgets: expected a list, found a map"},
	    {"budgets: [5]", "f.yaml:1:11: budgets[0]: expected a map, found `5`"},
	    {"budgets: [{name: a, limit: 5 USD, steps: [{at: 1}, {at: 1}, {at: 1}, {at: 1}]}]",
	     "f.yaml:1:35: budgets[0].steps: expected 0 to 3 entries, found 4"},
	    {"named: {x: {limit: -5 USD}}", "f.yaml:1:13: named.x.limit: expected an amount"},
	    {"password: [1]", "f.yaml:1:1: password: expected text, found a list"},
	    {"workers: 1\nworkers: 2", "f.yaml:2:1: workers: expected each key once, found it again"},
	    {"a: &x 1\nb: *x", "f.yaml:1:4: expected a plain value, found an anchor (`&`): not supported"},
	    {"b: *x", "f.yaml:1:4: expected a value, found an alias"},
	    {"b: !!int 5", "f.yaml:1:4: expected a plain value, found a tag (`!`): not supported"},
	    {"a: [", "f.yaml:2:1: expected YAML: "},
	    {"a: 1\n---\nb: 2\n", "f.yaml:2:1: expected one document, found another"},
	    {"? [a]\n: 1", "f.yaml:1:3: expected a name as key, found a map or list"},
	    {"listen: \"a\\0b\"", "f.yaml:1:9: expected text, found a NUL character"},
	    {"- a", "f.yaml:1:1: expected a map of options, found a list"},
	    {"listen: ${BURSAR_TEST_UNSET}", "f.yaml:1:1: listen: environment variable BURSAR_TEST_UNSET is not set"},
	    {"listen: ${file:/dev/null}", "f.yaml:1:1: listen: expected a regular file: /dev/null"},
	    {"listen: ${file:/nonexistent/x}", "f.yaml:1:1: listen: cannot read /nonexistent/x: No such file"},
	    {"listen: ${1x}", "f.yaml:1:1: listen: expected `${NAME}`, `${NAME:-default}` or `${file:PATH}`, found"},
	    {"listen: ${OPEN", "f.yaml:1:1: listen: expected `}` after `${`, found the end"},
	};
	struct fixture *f = *state;

	(void)unsetenv("BURSAR_TEST_UNSET");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(read_text(f, cases[i].text), BUR_INVALID);
		if (strncmp(f->err.text, cases[i].message, strlen(cases[i].message)) != 0)
			fail_msg("%s\n  got:  %s\n  want: %s", cases[i].text, f->err.text, cases[i].message);
	}
}

static void test_substitution(void **state)
{
	struct fixture *f = *state;
	char path[] = "/tmp/bursar-config-XXXXXX", text[256];
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "hunter2\n\n", 9), 9);
	(void)close(fd);
	(void)setenv("BURSAR_TEST_A", "one", 1);
	(void)setenv("BURSAR_TEST_EMPTY", "", 1);
	(void)snprintf(text, sizeof(text),
		       "listen: x${BURSAR_TEST_A}y${BURSAR_TEST_EMPTY:-dflt}$z$${k}${BURSAR_TEST_EMPTY}\n"
		       "note: \"<${file:%s}>\"\nworkers: ${BURSAR_TEST_UNSET:-7}\n",
		       path);
	assert_int_equal(read_text(f, text), BUR_OK);
	assert_string_equal(f->sample.listen, "xoneydflt$z${k}");
	assert_string_equal(f->sample.note, "<hunter2\n>");
	assert_int_equal(f->sample.workers, 7);
	assert_true(node_get(f->sample.node, "note")->secret);
	(void)unlink(path);
}

/* What came from the environment or a file is not shown: neither in errors nor in the dump. */
static void test_secrets_stay(void **state)
{
	struct fixture *f = *state;
	struct buf out;

	(void)setenv("BURSAR_TEST_SECRET", "c4n4ry", 1);
	assert_int_equal(read_text(f, "workers: ${BURSAR_TEST_SECRET}"), BUR_INVALID);
	assert_string_equal(f->err.text, "f.yaml:1:1: workers: expected a whole number, found `***`");
	assert_int_equal(read_text(f, "mode: ${BURSAR_TEST_SECRET}"), BUR_INVALID);
	assert_null(strstr(f->err.text, "c4n4ry"));
	assert_int_equal(
	    read_text(f, "note: a${BURSAR_TEST_SECRET}\nhosts: [\"${BURSAR_TEST_SECRET}\"]\n"
			 "tls: {key_file: \"${BURSAR_TEST_SECRET}\"}\naliases: {a: \"${BURSAR_TEST_SECRET}\"}\n"
			 "budgets: [{name: \"${BURSAR_TEST_SECRET}\", limit: 1 USD}]\n"
			 "match: {a: \"${BURSAR_TEST_SECRET}\"}\n"),
	    BUR_OK);
	buf_init(&out, 65536);
	assert_int_equal(config_dump(&sample_table, &f->sample, &out), BUR_OK);
	assert_int_equal(buf_append(&out, "", 1), BUR_OK);
	assert_null(strstr(out.mem, "c4n4ry"));
	buf_done(&out);
}

static void test_hostile(void **state)
{
	struct fixture *f = *state;
	char *big = malloc(5 << 20);
	struct node *root;
	size_t n = 0;

	assert_non_null(big);
	for (int i = 0; i < 40; i++)
		big[n++] = '[';
	big[n] = '\0';
	assert_int_equal(read_text(f, big), BUR_INVALID);
	assert_non_null(strstr(f->err.text, "expected at most 32 levels"));
	memset(big, 'a', 5 << 20);
	assert_int_equal(config_parse(&f->arena, slice_mem(big, 5 << 20), "f", &root, &f->err), BUR_INVALID);
	for (n = 0; n < 100000 * 8; n += 8)
		(void)snprintf(big + n, 9, "k%05zu:\n", n / 8);
	assert_int_equal(config_parse(&f->arena, slice_mem(big, n), "f", &root, &f->err), BUR_OK);
	memcpy(big + n - 8, "k00000:\n", 8);
	assert_int_equal(config_parse(&f->arena, slice_mem(big, n), "f", &root, &f->err), BUR_INVALID);
	assert_int_equal(read_text(f, "\"\\e[31m\": 1"), BUR_INVALID);
	assert_null(strchr(f->err.text, 0x1b));
	free(big);
}

static void test_small_arena(void **state)
{
	struct fixture f = {0};

	(void)state;
	for (size_t max = 0; max < 20000; max += 16) {
		arena_init(&f.arena, max);
		(void)read_text(&f, full);
		arena_reset(&f.arena);
	}
}

static void test_load(void **state)
{
	struct fixture *f = *state;
	struct node *root;

	assert_int_equal(config_load(&f->arena, "/nonexistent.yaml", &root, &f->err), BUR_NOTFOUND);
	assert_string_equal(f->err.text, "/nonexistent.yaml:1:1: cannot read the file: No such file or directory");
	assert_int_equal(config_load(&f->arena, "/tmp", &root, &f->err), BUR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_defaults),     cmocka_unit_test(test_everything_and_dump_reads_back),
	    cmocka_unit_test(test_reference),    cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_substitution), cmocka_unit_test(test_secrets_stay),
	    cmocka_unit_test(test_hostile),      cmocka_unit_test(test_small_arena),
	    cmocka_unit_test(test_load),
	};

	return cmocka_run_group_tests_name("base_config", tests, setup, teardown);
}
