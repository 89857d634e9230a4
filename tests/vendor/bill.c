#include "tests/vendor/bill.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"

#define BILL_BUFFER_BYTES 65536
#define BILL_LINE_MAX 1024

struct bill {
	int fd;
	bool fast;
	size_t n;
	char line[BILL_BUFFER_BYTES];
	struct bill_totals totals;
};

static const char *const status_names[] = {"complete", "aborted", "cut", "error"};

int64_t bill_price(const struct tariff *t, const struct bill_usage *u)
{
	int64_t per = u->half_price ? 2 * t->per : t->per;
	__int128 sum = 0;

#define X(unit) sum += (__int128)u->unit * t->unit;
	BILL_UNITS(X)
#undef X
	sum = (sum + per - 1) / per;
	CHECK(sum <= INT64_MAX);
	return (int64_t)sum;
}

uint64_t bill_input(const struct bill_usage *u)
{
#define X(unit) +u->unit
	return 0 BILL_INPUT_UNITS(X);
#undef X
}

struct bill *bill_open(const char *path, bool fast)
{
	struct bill *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->fast = fast;
	b->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (b->fd < 0) {
		free(b);
		return NULL;
	}
	return b;
}

void bill_flush(struct bill *b)
{
	size_t done = 0;

	while (done < b->n) {
		ssize_t w = write(b->fd, b->line + done, b->n - done);

		CHECK(w > 0); /* a judge that loses lines is no judge */
		done += (size_t)w;
	}
	b->n = 0;
}

void bill_close(struct bill *b)
{
	if (!b)
		return;
	bill_flush(b);
	(void)close(b->fd);
	free(b);
}

static void add_text(struct bill *b, const char *format, ...) PRINTF_LIKE(2, 3);

static void add_text(struct bill *b, const char *format, ...)
{
	size_t room = sizeof(b->line) - b->n;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(b->line + b->n, room, format, args);
	va_end(args);
	CHECK(n > 0 && (size_t)n < room);
	b->n += (size_t)n;
}

static void add_line(struct bill *b, const struct bill_entry *e, const char *event, int64_t nanousd)
{
	const struct bill_usage *u = &e->usage;

	if (b->n + BILL_LINE_MAX > sizeof(b->line))
		bill_flush(b);
	add_text(b,
		 "{\"n\":%" PRIu64
		 ",\"call\":\"%s\",\"event\":\"%s\",\"api\":\"%s\",\"provider\":\"%s\",\"model\":\"%s\"",
		 e->number, e->call, event, e->api, e->provider, e->model);
#define X(unit) add_text(b, ",\"" #unit "\":%" PRIu64, u->unit);
	BILL_UNITS(X)
#undef X
	add_text(b, ",\"max_out\":%" PRId64 ",\"thinking\":%" PRId64, e->max_out, e->thinking);
	add_text(b, ",\"half_price\":%s,\"nanousd\":%" PRId64 "}\n", u->half_price ? "true" : "false", nanousd);
	if (!b->fast)
		bill_flush(b);
}

void bill_begin(struct bill *b, const struct bill_entry *e)
{
	b->totals.begun++;
	if (!b->fast)
		add_line(b, e, "begin", 0);
}

static int64_t charge(const struct bill_entry *e)
{
	const struct tariff *t = tariff_find(e->provider, slice_of(e->model));

	CHECK(t != NULL); /* asked before the call began */
	return e->special_nanousd >= 0 ? e->special_nanousd : bill_price(t, &e->usage);
}

void bill_end(struct bill *b, const struct bill_entry *e, enum bill_status status)
{
	const struct bill_usage *u = &e->usage;
	struct bill_entry free_of_charge = *e;
	int64_t nanousd = 0;

	b->totals.ended++;
	b->totals.by_status[status]++;
	if (status == BILL_ERROR) {
		memset(&free_of_charge.usage, 0, sizeof(free_of_charge.usage));
		e = &free_of_charge;
	} else {
		nanousd = charge(e);
		b->totals.input += bill_input(u);
		b->totals.output += u->output + u->audio_output;
		b->totals.nanousd += nanousd;
	}
	add_line(b, e, status_names[status], nanousd);
}

const struct bill_totals *bill_totals(const struct bill *b)
{
	return &b->totals;
}
