#include "tests/vendor/bill.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"

#define BILL_BUFFER_BYTES 65536
#define BILL_LINE_MAX 1024

/* Nano-USD per `per` tokens: whole numbers, copied by hand from the vendors' price pages. */
struct tariff {
	const char *provider, *model;
	int64_t per, fresh, cached, write_5m, write_1h, output;
};

static const struct tariff tariffs[] = {
    {"openai", "gpt-4o", 1, 2500, 1250, 2500, 2500, 10000},
    {"openai", "gpt-4.1", 1, 2000, 500, 2000, 2000, 8000},
    {"openai", "gpt-4.1-mini", 1, 400, 100, 400, 400, 1600},
    {"openai", "gpt-5-mini", 1, 250, 25, 250, 250, 2000},
    {"openai", "text-embedding-3-large", 1, 130, 130, 130, 130, 0},
    {"anthropic", "claude-sonnet-4-6", 1, 3000, 300, 3750, 6000, 15000},
    {"anthropic", "claude-haiku-4-5", 1, 1000, 100, 1250, 2000, 5000},
    {"google", "gemini-2.5-flash-lite", 1, 100, 10, 100, 100, 400},
    {"google", "gemini-flash-1.5-8b", 2, 75, 20, 75, 75, 300}, /* half nano-dollars: rounding shows */
};

struct bill {
	int fd;
	bool fast;
	size_t n;
	char line[BILL_BUFFER_BYTES];
	struct bill_totals totals;
};

static const char *const status_names[] = {"complete", "aborted", "cut", "error"};

static const struct tariff *tariff_find(const char *provider, struct slice model)
{
	for (size_t i = 0; i < ARRAY_LEN(tariffs); i++) {
		if (strcmp(tariffs[i].provider, provider) == 0 && slice_eq(slice_of(tariffs[i].model), model))
			return &tariffs[i];
	}
	return NULL;
}

int64_t bill_price(const char *provider, struct slice model, const struct bill_usage *u)
{
	const struct tariff *t = tariff_find(provider, model);
	__int128 sum;

	if (!t)
		return -1;
	sum = (__int128)u->fresh * t->fresh + (__int128)u->cached * t->cached + (__int128)u->write_5m * t->write_5m +
	      (__int128)u->write_1h * t->write_1h + (__int128)u->output * t->output;
	sum = (sum + t->per - 1) / t->per;
	CHECK(sum <= INT64_MAX);
	return (int64_t)sum;
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

static void add_line(struct bill *b, const struct bill_entry *e, const char *event, int64_t nanousd)
{
	const struct bill_usage *u = &e->usage;
	size_t room;
	int n;

	if (b->n + BILL_LINE_MAX > sizeof(b->line))
		bill_flush(b);
	room = sizeof(b->line) - b->n;
	n = snprintf(b->line + b->n, room,
		     "{\"n\":%llu,\"call\":\"%s\",\"event\":\"%s\",\"api\":\"%s\",\"provider\":\"%s\",\"model\":\"%s\","
		     "\"fresh\":%llu,\"cached\":%llu,\"write_5m\":%llu,\"write_1h\":%llu,\"output\":%llu,"
		     "\"nanousd\":%lld}\n",
		     (unsigned long long)e->number, e->call, event, e->api, e->provider, e->model,
		     (unsigned long long)u->fresh, (unsigned long long)u->cached, (unsigned long long)u->write_5m,
		     (unsigned long long)u->write_1h, (unsigned long long)u->output, (long long)nanousd);
	CHECK(n > 0 && n < BILL_LINE_MAX);
	b->n += (size_t)n;
	if (!b->fast)
		bill_flush(b);
}

void bill_begin(struct bill *b, const struct bill_entry *e)
{
	b->totals.begun++;
	if (!b->fast)
		add_line(b, e, "begin", 0);
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
		nanousd = bill_price(e->provider, slice_of(e->model), u);
		CHECK(nanousd >= 0);
		b->totals.input += u->fresh + u->cached + u->write_5m + u->write_1h;
		b->totals.output += u->output;
		b->totals.nanousd += nanousd;
	}
	add_line(b, e, status_names[status], nanousd);
}

const struct bill_totals *bill_totals(const struct bill *b)
{
	return &b->totals;
}
