#include "app/table.h"

#include <stdlib.h>
#include <string.h>

#include "alerts/words.h"
#include "base/buf.h"
#include "base/utf8.h"

#define CELL_MAX 65536

bool table_format(const struct cmd *cmd, const char *text, enum table_format *ret)
{
	static const char *const names[] = {"table", "json", "csv"};

	*ret = TABLE_TEXT;
	if (!text)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(text, names[i]) == 0) {
			*ret = (enum table_format)i;
			return true;
		}
	(void)cmd_usage_error(cmd, "--format: expected table, json or csv, got `%s`", text);
	return false;
}

/* --- cells -------------------------------------------------------------------------------------------------------- */

static int put_value(struct buf *b, const json_t *v);

static int put_list(struct buf *b, const json_t *v)
{
	size_t i;
	const json_t *item;
	int r = 0;

	json_array_foreach((json_t *)(uintptr_t)v, i, item)
	{
		r |= i ? buf_printf(b, " ") : 0;
		r |= put_value(b, item);
	}
	return r;
}

static int put_map(struct buf *b, const json_t *v)
{
	const char *key;
	json_t *item;
	int r = 0, n = 0;

	json_object_foreach((json_t *)(uintptr_t)v, key, item)
	{
		r |= buf_printf(b, "%s%s=", n++ ? " " : "", key);
		r |= put_value(b, item);
	}
	return r;
}

static int put_value(struct buf *b, const json_t *v)
{
	switch (v ? json_typeof(v) : JSON_NULL) {
	case JSON_STRING:
		return buf_append(b, json_string_value(v), json_string_length(v));
	case JSON_INTEGER:
		return buf_printf(b, "%lld", (long long)json_integer_value(v));
	case JSON_REAL:
		return buf_printf(b, "%.1f", json_real_value(v));
	case JSON_TRUE:
		return buf_printf(b, "yes");
	case JSON_FALSE:
	case JSON_NULL:
		return 0;
	case JSON_ARRAY:
		return put_list(b, v);
	case JSON_OBJECT:
		return put_map(b, v);
	}
	return 0;
}

/* Nothing in a name may move the cursor, hide or turn text around. In place: the mark is shorter than what it stands
 * for. */
static void make_visible(char *text)
{
	char *to = text;
	uint32_t cp;

	for (size_t n, left = strlen(text); left > 0; text += n, left -= n) {
		n = utf8_decode(text, left, &cp);
		if (n == 0 || words_is_control(cp) || words_is_hidden(cp)) {
			n = n ? n : 1;
			*to++ = '?';
		} else {
			memmove(to, text, n);
			to += n;
		}
	}
	*to = '\0';
}

char *table_cell(const json_t *v)
{
	struct buf b;
	char *text = NULL;

	buf_init(&b, CELL_MAX);
	if (put_value(&b, v) == 0)
		text = strndup(buf_len(&b) ? buf_slice(&b).p : "", buf_len(&b));
	buf_done(&b);
	if (text)
		make_visible(text);
	return text;
}

/* --- the three formats -------------------------------------------------------------------------------------------- */

static size_t width_of(char *const *cells, const struct table_column *columns, size_t n_rows, size_t n_columns,
		       size_t c)
{
	size_t width = strlen(columns[c].title);

	for (size_t i = 0; i < n_rows; i++) {
		size_t n = strlen(cells[i * n_columns + c]);

		width = n > width ? n : width;
	}
	return width;
}

static void print_row(FILE *out, const char *const *cells, const struct table_column *columns, const size_t *widths,
		      size_t n)
{
	for (size_t c = 0; c < n; c++) {
		int width = (int)widths[c];

		if (columns[c].right)
			(void)fprintf(out, "%*s", width, cells[c]);
		else if (c + 1 < n)
			(void)fprintf(out, "%-*s", width, cells[c]);
		else
			(void)fputs(cells[c], out);
		(void)fputs(c + 1 < n ? "  " : "\n", out);
	}
}

static void print_text(FILE *out, char *const *cells, size_t n_rows, const struct table_column *columns, size_t n)
{
	const char *titles[32];
	size_t widths[32];

	for (size_t c = 0; c < n; c++) {
		titles[c] = columns[c].title;
		widths[c] = width_of(cells, columns, n_rows, n, c);
	}
	print_row(out, titles, columns, widths, n);
	for (size_t i = 0; i < n_rows; i++)
		print_row(out, (const char *const *)&cells[i * n], columns, widths, n);
}

static void print_csv_cell(FILE *out, const char *text, bool number)
{
	bool formula = !number && text[0] != '\0' && strchr("=+-@", text[0]);

	if (!formula && !strpbrk(text, ",\"\r\n")) {
		(void)fputs(text, out);
		return;
	}
	(void)fputs(formula ? "\"'" : "\"", out);
	for (; *text; text++) {
		if (*text == '"')
			(void)fputc('"', out);
		(void)fputc(*text, out);
	}
	(void)fputc('"', out);
}

static void print_csv(FILE *out, char *const *cells, size_t n_rows, const struct table_column *columns, size_t n)
{
	for (size_t c = 0; c < n; c++)
		(void)fprintf(out, "%s%s", columns[c].key, c + 1 < n ? "," : "\n");
	for (size_t i = 0; i < n_rows; i++)
		for (size_t c = 0; c < n; c++) {
			print_csv_cell(out, cells[i * n + c], columns[c].right);
			(void)fputc(c + 1 < n ? ',' : '\n', out);
		}
}

static int fill(char **cells, const json_t *rows, const struct table_column *columns, size_t n_columns)
{
	const json_t *row;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)rows, i, row)
	{
		for (size_t c = 0; c < n_columns; c++) {
			cells[i * n_columns + c] = table_cell(json_object_get(row, columns[c].key));
			if (!cells[i * n_columns + c])
				return EXIT_FAILED;
		}
	}
	return EXIT_OK;
}

int table_print(FILE *out, const json_t *rows, const struct table_column *columns, size_t n_columns,
		enum table_format format)
{
	size_t n_rows = json_array_size(rows);
	char **cells;
	int r;

	if (format == TABLE_JSON)
		return json_dumpf(rows, out, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) == 0 && fputc('\n', out) != EOF
			   ? EXIT_OK
			   : EXIT_FAILED;
	if (n_columns > 32)
		return EXIT_FAILED;
	cells = calloc(n_rows * n_columns + 1, sizeof(*cells));
	if (!cells)
		return EXIT_FAILED;
	r = fill(cells, rows, columns, n_columns);
	if (r == EXIT_OK && format == TABLE_CSV)
		print_csv(out, cells, n_rows, columns, n_columns);
	else if (r == EXIT_OK)
		print_text(out, cells, n_rows, columns, n_columns);
	for (size_t i = 0; i < n_rows * n_columns; i++)
		free(cells[i]);
	free(cells);
	return r;
}
