/* args.h - options of a command, declared as a list of where each value goes (getopt_long behind it). */
#ifndef APP_ARGS_H
#define APP_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "app/cmd.h"
#include "base/attr.h"

#define ARGS_WORDS_MAX 4
#define ARGS_MANY_MAX 16

struct args_many {
	const char *v[ARGS_MANY_MAX];
	size_t n;
};

/* Exactly one of value, many, flag is set. */
struct arg {
	const char *name; /* "from" for --from */
	char letter;      /* 'n' for -n, or 0 */
	const char **value;
	struct args_many *many; /* may be given again and again */
	bool *flag;
};

struct args {
	const char *config; /* -c, --config; NULL when not given */
	const char *words[ARGS_WORDS_MAX];
	size_t n_words;
};

#define ARGS_GO (-1) /* go on; any other result is the exit code: help was printed, or an error */

/* At most `max_words` words beside the options. */
int args_read(const struct cmd *, int argc, char **argv, const struct arg *list, size_t n, size_t max_words,
	      struct args *ret) NONNULL(1, 3, 7) MUST_USE;
/* A count in decimal digits. false: message printed. */
bool args_number(const struct cmd *, const char *name, const char *text, unsigned long long min, unsigned long long max,
		 unsigned long long *ret) NONNULL(1, 2, 3, 6) MUST_USE;

#endif
