/* bursar verify: is every row what it was, and does it cost what its price book says? */
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/args.h"
#include "app/boot.h"
#include "app/files.h"
#include "app/row_cost.h"
#include "base/error.h"
#include "base/log.h"
#include "store/audit.h"
#include "store/ledger.h"

/* The book of the row before: versions change seldom. */
struct pricing {
	const struct settings *settings;
	struct sqlite3 *reader;
	struct price_book *book;
	uint32_t version;
	bool loaded;
};

static struct price_book *book_of(struct pricing *p, uint32_t version)
{
	char *json = NULL, why[64];
	size_t n = 0;

	if (p->loaded && p->version == version)
		return p->book;
	price_book_unref(p->book);
	p->book = NULL;
	p->version = version;
	p->loaded = true;
	if (ledger_price_book(p->reader, version, &json, &n) < 0)
		return NULL;
	if (price_book_parse(slice_mem(json, n), &p->book, why, sizeof(why)) < 0)
		p->book = NULL;
	free(json);
	return p->book;
}

static int price_again(void *ctx, const struct ledger_row *row)
{
	struct pricing *p = ctx;
	struct price_book *book;
	int64_t nanousd;

	if (!row_cost_applies(p->settings, row, NULL) || (row->flags & ROW_NO_PRICE))
		return BUR_NOTFOUND;
	book = book_of(p, row->price_version);
	if (!book || row_cost(p->settings, book, row, NULL, &nanousd) < 0)
		return BUR_NOTFOUND;
	return nanousd == row->amount_nanousd ? BUR_OK : BUR_INVALID;
}

/* --- the database ------------------------------------------------------------------------------------------------- */

/* While a server has the store, a read-only look beside it is enough. */
static int open_beside(const struct settings *s, struct sqlite3 **ret)
{
	char path[PATH_MAX];

	if (!files_path(path, sizeof(path), s->data_dir, "bursar.db"))
		return BUR_TOOBIG;
	if (sqlite3_open_v2(path, ret, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOFOLLOW, NULL) != SQLITE_OK)
		return BUR_IO;
	(void)sqlite3_busy_timeout(*ret, 5000);
	return BUR_OK;
}

static int print_report(const struct verify_report *v, const struct audit_report *a, bool good, bool json)
{
	if (json) {
		printf("{\"ok\":%s,\"rows\":%llu,\"seals\":%llu,\"seal_errors\":%llu,\"sum_errors\":%llu,"
		       "\"price_rows\":%llu,\"price_errors\":%llu,\"price_skipped\":%llu,\"quarantined\":%llu,"
		       "\"audit_rows\":%llu,\"audit_errors\":%llu}\n",
		       good ? "true" : "false", (unsigned long long)v->rows, (unsigned long long)v->seals,
		       (unsigned long long)v->seal_errors, (unsigned long long)v->sum_errors,
		       (unsigned long long)v->price_rows, (unsigned long long)v->price_errors,
		       (unsigned long long)v->price_skipped, (unsigned long long)v->quarantined,
		       (unsigned long long)a->rows, (unsigned long long)a->errors);
	} else {
		printf("rows         %llu\nseals        %llu, %llu broken\nsums         %llu wrong\n"
		       "prices       %llu recomputed, %llu differ, %llu not recomputable\nquarantined  %llu\n"
		       "audit        %llu changes, %llu broken\n%s\n",
		       (unsigned long long)v->rows, (unsigned long long)v->seals, (unsigned long long)v->seal_errors,
		       (unsigned long long)v->sum_errors, (unsigned long long)v->price_rows,
		       (unsigned long long)v->price_errors, (unsigned long long)v->price_skipped,
		       (unsigned long long)v->quarantined, (unsigned long long)a->rows, (unsigned long long)a->errors,
		       good ? "the ledger is good" : "THE LEDGER IS NOT GOOD");
		if (v->first_error[0] || a->first_error[0])
			printf("first error: %s\n", v->first_error[0] ? v->first_error : a->first_error);
	}
	return good ? EXIT_OK : EXIT_FAILED;
}

static int verify(const struct cmd *cmd, const struct settings *s, struct sqlite3 *reader, bool json)
{
	struct pricing pricing = {.settings = s, .reader = reader};
	struct verify_report report = {0};
	struct audit_report audit = {0};
	int r = ledger_verify(reader, price_again, &pricing, &report);
	bool good = r == BUR_OK && report.seal_errors == 0 && report.sum_errors == 0 && report.price_errors == 0;

	if (r == BUR_OK)
		r = audit_verify(reader, &audit);
	good = good && r == BUR_OK && audit.errors == 0;
	price_book_unref(pricing.book);
	if (r == BUR_IO || r == BUR_NOMEM) {
		(void)fprintf(stderr, "bursar %s: cannot read the ledger: %s\n", cmd->name, bur_strerror(r));
		return EXIT_STORAGE_IO;
	}
	return print_report(&report, &audit, good, json);
}

static int verify_settings(const struct cmd *cmd, const struct settings *s, bool json)
{
	char err[BOOT_ERROR_MAX];
	struct sqlite3 *reader = NULL;
	struct boot boot = {0};
	int exit_code = EXIT_FAILED, r;

	if (access(s->data_dir, F_OK) != 0) {
		(void)fprintf(stderr, "bursar %s: there is no data in %s\n", cmd->name, s->data_dir);
		return EXIT_FAILED;
	}
	if (boot_open(s, &boot, &exit_code, err) == BUR_OK) {
		r = store_reader(boot.store, &reader);
	} else if (exit_code == EXIT_BUSY) {
		r = open_beside(s, &reader);
	} else {
		(void)fprintf(stderr, "bursar %s: %s\n", cmd->name, err);
		return exit_code;
	}
	exit_code = r == BUR_OK ? verify(cmd, s, reader, json) : EXIT_STORAGE_IO;
	(void)sqlite3_close(reader);
	boot_close(&boot);
	return exit_code;
}

int cmd_verify(const struct cmd *cmd, int argc, char **argv)
{
	const char *format = "table";
	const struct arg list[] = {{.name = "format", .value = &format}};
	struct settings *s;
	struct args args;
	bool json;
	int r = args_read(cmd, argc, argv, list, ARRAY_LEN(list), 0, &args);

	if (r != ARGS_GO)
		return r;
	json = strcmp(format, "json") == 0;
	if (!json && strcmp(format, "table") != 0)
		return cmd_usage_error(cmd, "--format: expected table or json, got `%s`", format);
	r = cmd_settings(cmd, args.config, &s);
	if (r != EXIT_OK)
		return r;
	log_init(STDERR_FILENO, LOG_ERROR);
	r = verify_settings(cmd, s, json);
	settings_free(s);
	return r;
}
