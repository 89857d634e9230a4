/* prices_cmd.h - the words of `bursar prices`; each is a command of its own with options of its own. argv[1] is its
 * word. */
#ifndef APP_PRICES_CMD_H
#define APP_PRICES_CMD_H

#include "app/book.h"
#include "app/cmd.h"
#include "app/table.h"

int prices_reprice(const struct cmd *, int argc, char **argv);
int prices_show(const struct cmd *, int argc, char **argv);
int prices_check(const struct cmd *, int argc, char **argv);
int prices_set(const struct cmd *, int argc, char **argv);
int prices_import(const struct cmd *, int argc, char **argv);
int prices_diff(const struct cmd *, int argc, char **argv);

/* Other local prices: what they change is shown, judged (not with `force`), written, and told to a running server. */
struct prices_change {
	const struct cmd *cmd;
	const struct settings *settings;
	const char *config;
	enum table_format format;
	bool dry_run, force;
};
/* The exit code; what is wrong was said. */
int prices_apply(const struct prices_change *, const struct books *, const json_t *new_local) NONNULL(1, 2, 3);
/* After the local prices changed: a running server takes them up. Says what happened. EXIT_OK also when none runs. */
int prices_tell_server(const struct cmd *, const char *config);

#endif
