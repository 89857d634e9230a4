/* bursar price: what one call costs, exactly. */
#include <stdio.h>
#include <string.h>

#include "app/args.h"
#include "app/boot.h"
#include "base/clock.h"
#include "base/error.h"
#include "meter/usage.h"

struct question {
	const char *provider, *model;
	struct usage usage;
	bool json;
};

static int print_price(const struct cmd *cmd, const struct price_book *book, const struct question *q)
{
	bool inherited = false;
	const struct price_model *model = price_find(book, slice_of(q->provider), slice_of(q->model), &inherited);
	struct quantities quantities;
	struct price_terms terms;
	char usd[64];
	struct cost_sum sum = {0};
	int r;

	if (!model) {
		(void)fprintf(stderr, "bursar %s: no price for %s %s\n", cmd->name, q->provider, q->model);
		return EXIT_FAILED;
	}
	usage_quantities(&q->usage, &quantities);
	usage_terms(&q->usage, clock_wall_ns() / NS_PER_S, false, &terms);
	r = price_cost(model, &quantities, &terms, &sum);
	if (r == BUR_OK)
		r = cost_format_usd(&sum, usd, sizeof(usd));
	if (r < 0) {
		(void)fprintf(stderr, "bursar %s: %s\n", cmd->name, bur_strerror(r));
		return EXIT_FAILED;
	}
	if (q->json)
		printf("{\"provider\":\"%s\",\"model\":\"%s\",\"inherited\":%s,\"usd\":\"%s\"}\n", q->provider,
		       price_model_id(model), inherited ? "true" : "false", usd);
	else
		printf("%s USD  (%s%s)\n", usd, price_model_id(model), inherited ? ", price of a related name" : "");
	return EXIT_OK;
}

static bool read_counts(const struct cmd *cmd, const char *const text[4], struct usage *u)
{
	static const char *const names[] = {"in", "out", "cached", "cache-write"};
	unsigned long long n[4];

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!args_number(cmd, names[i], text[i], 0, 1000000000000ull, &n[i]))
			return false;
	if (n[2] > n[0] || n[3] > n[0] - n[2]) {
		(void)cmd_usage_error(cmd, "--in counts all input: it is at least --cached plus --cache-write");
		return false;
	}
	*u = (struct usage){.has_input = true,
			    .has_output = true,
			    .complete = true,
			    .requests = 1,
			    .input_tokens = n[0],
			    .output_tokens = n[1],
			    .cached_input_tokens = n[2],
			    .cache_write_tokens = n[3]};
	return true;
}

int cmd_price(const struct cmd *cmd, int argc, char **argv)
{
	const char *text[4] = {"0", "0", "0", "0"}, *format = "table";
	const struct arg list[] = {
	    {.name = "in", .value = &text[0]},     {.name = "out", .value = &text[1]},
	    {.name = "cached", .value = &text[2]}, {.name = "cache-write", .value = &text[3]},
	    {.name = "format", .value = &format},
	};
	struct question q = {0};
	char err[BOOT_ERROR_MAX];
	struct price_book *book;
	struct settings *s;
	struct args args;
	int r = args_read(cmd, argc, argv, list, ARRAY_LEN(list), 2, &args);

	if (r != ARGS_GO)
		return r;
	if (args.n_words != 2)
		return cmd_usage_error(cmd, "which provider and model?");
	if (strpbrk(args.words[0], "\"\\"))
		return cmd_usage_error(cmd, "a provider is a plain word such as openai");
	if (!read_counts(cmd, text, &q.usage))
		return EXIT_USAGE;
	q.provider = args.words[0];
	q.model = args.words[1];
	q.json = strcmp(format, "json") == 0;
	r = cmd_settings(cmd, args.config, &s);
	if (r != EXIT_OK)
		return r;
	if (boot_price_book(s, &book, NULL, NULL, err) < 0) {
		(void)fprintf(stderr, "bursar %s: %s\n", cmd->name, err);
		r = EXIT_FAILED;
	} else {
		r = print_price(cmd, book, &q);
		price_book_unref(book);
	}
	settings_free(s);
	return r;
}
