#include "app/args.h"

#include <getopt.h>
#include <string.h>

#include "base/check.h"
#include "base/slice.h"

#define OPTIONS_MAX 24
#define FIRST_ID 1000

struct tables {
	struct option longs[OPTIONS_MAX + 3];
	char shorts[2 * OPTIONS_MAX + 8];
};

static void build(const struct arg *list, size_t n, struct tables *t)
{
	size_t k = 0;

	*t = (struct tables){.shorts = "c:h"};
	k = strlen(t->shorts);
	CHECK(n <= OPTIONS_MAX);
	for (size_t i = 0; i < n; i++) {
		int has = list[i].flag ? no_argument : required_argument;

		t->longs[i] = (struct option){list[i].name, has, NULL, FIRST_ID + (int)i};
		if (!list[i].letter)
			continue;
		t->shorts[k++] = list[i].letter;
		if (has == required_argument)
			t->shorts[k++] = ':';
	}
	t->longs[n] = (struct option){"config", required_argument, NULL, 'c'};
	t->longs[n + 1] = (struct option){"help", no_argument, NULL, 'h'};
}

static const struct arg *find(const struct arg *list, size_t n, int c)
{
	if (c >= FIRST_ID && (size_t)(c - FIRST_ID) < n)
		return &list[c - FIRST_ID];
	for (size_t i = 0; i < n; i++)
		if (list[i].letter && list[i].letter == c)
			return &list[i];
	return NULL;
}

static int take(const struct cmd *cmd, const struct arg *a)
{
	if (a->flag)
		*a->flag = true;
	else if (a->value)
		*a->value = optarg;
	else if (a->many->n == ARGS_MANY_MAX)
		return cmd_usage_error(cmd, "--%s more than %d times", a->name, ARGS_MANY_MAX);
	else
		a->many->v[a->many->n++] = optarg;
	return ARGS_GO;
}

int args_read(const struct cmd *cmd, int argc, char **argv, const struct arg *list, size_t n, size_t max_words,
	      struct args *ret)
{
	struct tables t;
	int c, r;

	*ret = (struct args){0};
	build(list, n, &t);
	optind = 0; /* start anew: commands may be run more than once in a process */
	while ((c = getopt_long(argc, argv, t.shorts, t.longs, NULL)) != -1) {
		const struct arg *a = find(list, n, c);

		if (c == 'h')
			return cmd_print_help(cmd);
		if (c == 'c')
			ret->config = optarg;
		else if (!a)
			return EXIT_USAGE; /* getopt has said why */
		else if ((r = take(cmd, a)) != ARGS_GO)
			return r;
	}
	for (int i = optind; i < argc; i++) {
		if (ret->n_words == max_words || ret->n_words == ARGS_WORDS_MAX)
			return cmd_usage_error(cmd, "unexpected word `%s`", argv[i]);
		ret->words[ret->n_words++] = argv[i];
	}
	return ARGS_GO;
}

bool args_number(const struct cmd *cmd, const char *name, const char *text, unsigned long long min,
		 unsigned long long max, unsigned long long *ret)
{
	uint64_t n;

	if (slice_u64(slice_of(text), &n) < 0 || n < min || n > max) {
		(void)cmd_usage_error(cmd, "--%s: expected a number from %llu to %llu, got `%s`", name, min, max, text);
		return false;
	}
	*ret = n;
	return true;
}
