/* table.h - rows for people and programs: lined up, JSON, or CSV. */
#ifndef APP_TABLE_H
#define APP_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "app/cmd.h"

enum table_format { TABLE_TEXT, TABLE_JSON, TABLE_CSV };

struct table_column {
	const char *title, *key; /* key of the row's object */
	bool right;              /* numbers */
};

/* "table", "json", "csv"; NULL gives TABLE_TEXT. false: message printed. */
bool table_format(const struct cmd *, const char *text, enum table_format *ret) NONNULL(1, 3) MUST_USE;
/* `rows`: array of objects. Text loses control characters (a name could move the terminal's cursor); CSV quotes, and
 * defuses cells that a spreadsheet would take for a formula. EXIT_OK or EXIT_FAILED. */
int table_print(FILE *, const json_t *rows, const struct table_column *, size_t n_columns, enum table_format)
    NONNULL(1, 2, 3) MUST_USE;
/* A value as a cell shows it: free() it. NULL: out of memory. */
char *table_cell(const json_t *) MUST_USE;

#endif
