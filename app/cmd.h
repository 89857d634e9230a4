/* cmd.h - the command line: one row for each command, and what they share. */
#ifndef APP_CMD_H
#define APP_CMD_H

#include <stdbool.h>
#include <stddef.h>

#include "app/exit.h"
#include "base/attr.h"

struct settings;

struct cmd {
	const char *name, *summary;
	const char *help; /* after the usage line: options, examples, exit codes where they say something */
	int (*run)(const struct cmd *, int argc, char **argv); /* argv[0] is the command's name */
};

int cmd_serve(const struct cmd *, int argc, char **argv);
int cmd_check_config(const struct cmd *, int argc, char **argv);
int cmd_demo(const struct cmd *, int argc, char **argv);
int cmd_env(const struct cmd *, int argc, char **argv);
int cmd_ca(const struct cmd *, int argc, char **argv);
int cmd_keys(const struct cmd *, int argc, char **argv);
int cmd_budgets(const struct cmd *, int argc, char **argv);
int cmd_explain(const struct cmd *, int argc, char **argv);
int cmd_simulate(const struct cmd *, int argc, char **argv);
int cmd_forecast(const struct cmd *, int argc, char **argv);
int cmd_ledger(const struct cmd *, int argc, char **argv);
int cmd_stop(const struct cmd *, int argc, char **argv);
int cmd_resume(const struct cmd *, int argc, char **argv);
int cmd_alerts(const struct cmd *, int argc, char **argv);
int cmd_breakers(const struct cmd *, int argc, char **argv);
int cmd_verify(const struct cmd *, int argc, char **argv);
int cmd_price(const struct cmd *, int argc, char **argv);
int cmd_prices(const struct cmd *, int argc, char **argv);
int cmd_meter(const struct cmd *, int argc, char **argv);
int cmd_tokens(const struct cmd *, int argc, char **argv);
int cmd_version(const struct cmd *, int argc, char **argv);

/* Looks the command up and runs it; the whole of main. Returns the exit code. */
int cmd_main(int argc, char **argv);

/* "bursar keys: message" on standard error. Returns EXIT_USAGE. */
int cmd_usage_error(const struct cmd *, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The help page on standard output. Returns EXIT_OK. */
int cmd_print_help(const struct cmd *);
/* Reads the configuration: `path`, else the default place. On failure says so, and returns the exit code; else EXIT_OK.
 */
int cmd_settings(const struct cmd *, const char *path, struct settings **ret) MUST_USE;

#endif
