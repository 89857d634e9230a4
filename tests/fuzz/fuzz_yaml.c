/* fuzz_yaml - any bytes as configuration: a tree or a message, and what was read can be dumped and read again. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/config.h"
#include "base/error.h"

struct step {
	int64_t at;
	int action;
};

struct budget {
	const char *name;
	int64_t limit_nanousd;
	struct record_list steps;
};

struct sample {
	const char *listen;
	int64_t workers, timeout_ns, body_bytes;
	bool flag;
	int mode;
	struct string_list tags;
	struct pair_list aliases;
	struct record_list budgets, named;
	struct {
		const char *file;
	} tls;
	const struct node *match;
};

static const struct option step_rows[] = {
    {.name = "at", .type = OPT_INT, .offset = offsetof(struct step, at), .min = 1, .max = 100},
    {.name = "do",
     .type = OPT_ENUM,
     .offset = offsetof(struct step, action),
     .choices = "alert|block",
     .fallback = "alert"},
};
static const struct option_table step_table = {"step", sizeof(struct step), step_rows, ARRAY_LEN(step_rows), SIZE_MAX};
static const struct option budget_rows[] = {
    {.name = "limit", .type = OPT_USD, .offset = offsetof(struct budget, limit_nanousd), .fallback = "1 USD"},
    {.name = "steps", .type = OPT_LIST, .offset = offsetof(struct budget, steps), .sub = &step_table, .optional = true},
};
static const struct option_table budget_table = {"budget", sizeof(struct budget), budget_rows, ARRAY_LEN(budget_rows),
						 SIZE_MAX};
static const struct option tls_rows[] = {
    {.name = "file", .type = OPT_STRING, .offset = 0, .optional = true},
};
static const struct option_table tls_table = {"tls", sizeof(const char *), tls_rows, ARRAY_LEN(tls_rows), SIZE_MAX};

#define AT(field) offsetof(struct sample, field)
static const struct option rows[] = {
    {.name = "listen", .type = OPT_STRING, .offset = AT(listen), .optional = true},
    {.name = "workers", .type = OPT_INT, .offset = AT(workers), .fallback = "2", .min = 1, .max = 256},
    {.name = "timeout", .type = OPT_DURATION, .offset = AT(timeout_ns), .fallback = "10s"},
    {.name = "body", .type = OPT_BYTES, .offset = AT(body_bytes), .fallback = "32MiB"},
    {.name = "flag", .type = OPT_BOOL, .offset = AT(flag), .fallback = "no"},
    {.name = "mode", .type = OPT_ENUM, .offset = AT(mode), .choices = "hard|soft", .fallback = "soft"},
    {.name = "tags", .type = OPT_STRINGS, .offset = AT(tags), .optional = true},
    {.name = "aliases", .type = OPT_PAIRS, .offset = AT(aliases), .optional = true},
    {.name = "budgets", .type = OPT_LIST, .offset = AT(budgets), .sub = &budget_table, .optional = true},
    {.name = "named", .type = OPT_MAP, .offset = AT(named), .sub = &budget_table, .optional = true},
    {.name = "tls", .type = OPT_GROUP, .offset = AT(tls), .sub = &tls_table},
    {.name = "match", .type = OPT_NODE, .offset = AT(match), .optional = true},
};
static const struct option_table table = {"sample", sizeof(struct sample), rows, ARRAY_LEN(rows), SIZE_MAX};

static int read_text(struct arena *arena, struct slice text, struct sample *s, struct config_error *err)
{
	struct node *root;
	int r = config_parse(arena, text, "fuzz.yaml", &root, err);

	return r < 0 ? r : config_read(arena, "fuzz.yaml", root, &table, s, err);
}

/* What a dump says must read back to the same dump. */
static void round_trip(const struct sample *s)
{
	struct config_error err = {""};
	struct sample again = {0};
	struct buf first, second;
	struct arena arena;

	arena_init(&arena, 16 << 20);
	buf_init(&first, 4 << 20);
	buf_init(&second, 4 << 20);
	if (config_dump(&table, s, &first) == BUR_OK && read_text(&arena, buf_slice(&first), &again, &err) == BUR_OK) {
		CHECK(config_dump(&table, &again, &second) == BUR_OK);
		CHECK(slice_eq(buf_slice(&first), buf_slice(&second)));
	} else {
		CHECK(buf_len(&first) > 1 << 20); /* only size is an excuse */
	}
	buf_done(&first);
	buf_done(&second);
	arena_reset(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_mem(data, size);
	struct config_error err = {""};
	struct sample s = {0};
	struct arena arena;
	int r;

	/* not the machine's own files and environment */
	for (size_t i = 0; i + 1 < size; i++) {
		if (data[i] == '$' && data[i + 1] == '{' && memmem(data + i, size - i, "file:", 5))
			return 0;
	}
	arena_init(&arena, 4 << 20);
	r = read_text(&arena, text, &s, &err);
	CHECK(r == BUR_OK || strncmp(err.text, "fuzz.yaml:", 10) == 0);
	if (r == BUR_OK)
		round_trip(&s);
	arena_reset(&arena);
	return 0;
}
