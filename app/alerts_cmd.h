/* alerts_cmd.h - what the files of `bursar alerts` share. */
#ifndef APP_ALERTS_CMD_H
#define APP_ALERTS_CMD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "app/args.h"
#include "app/table.h"
#include "base/buf.h"

/* A text member; "" when it is none. */
const char *alerts_text(const json_t *, const char *key);
/* As ask_json; `target` gets its NUL. What a terminal would obey goes from texts, unless it is JSON for a program. */
int alerts_get(const struct cmd *, const struct args *, struct buf *target, enum table_format, json_t **ret) MUST_USE;
#define ALERTS_PREVIEW "/api/v1/alerts/preview"
/* Takes `body` over. */
int alerts_send(const struct cmd *, const struct args *, const char *method, const char *target, json_t *body,
		json_t **ret) MUST_USE;
/* "table", "colored", "json", "csv". */
bool alerts_format(const struct cmd *, const char *text, enum table_format *ret) MUST_USE;
/* A table of an answer's rows. */
struct alerts_rows {
	const char *member; /* of the answer: the rows */
	const struct table_column *columns;
	size_t n_columns, n_wide;      /* wide: so many of the last ones are for programs only */
	const char *none;              /* said when there are no rows */
	void (*below)(const json_t *); /* NULL, or what stands below the table */
};
int alerts_rows(const struct cmd *, const struct args *, const char *path, enum table_format,
		const struct alerts_rows *) MUST_USE;
/* The same, of a command that knows --format only. */
int alerts_rows_cmd(const struct cmd *, int argc, char **argv, const char *path, const struct alerts_rows *) MUST_USE;
bool alerts_colors(FILE *); /* it is a terminal that has them, and nobody said NO_COLOR */

int alerts_test_cmd(const struct cmd *, int argc, char **argv);
int alerts_preview_cmd(const struct cmd *, int argc, char **argv);
int alerts_channels_cmd(const struct cmd *, int argc, char **argv);
int alerts_enable_cmd(const struct cmd *, int argc, char **argv);

#endif
