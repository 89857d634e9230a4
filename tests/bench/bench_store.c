/* bench_store.c - rows per second and CPU per row of the ledger writer.
 *
 * Build: make build/release/libstore.a build/release/libbase.a, then
 *   cc -O2 -std=c17 -D_GNU_SOURCE -I. tests/bench/bench_store.c build/release/libstore.a build/release/libbase.a \
 *      -lsqlite3 -lcrypto -lz -lpthread -o bench_store
 * Run: bench_store DIRECTORY [rows] [meters per row] [counters] [rows per second, 0 = as fast as possible] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/amount.h"
#include "base/clock.h"
#include "base/error.h"
#include "store/ledger.h"
#include "store/store.h"

static double cpu_us(int who)
{
	struct rusage u;

	(void)getrusage(who, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

struct plan {
	uint64_t rows, meters, counters, rate;
};

static void fill_call(struct store *s, struct call *c, const struct plan *p, uint64_t i)
{
	*c = (struct call){.hard = true};
	c->entry.hold_id = i + 1;
	c->entry.created_ns = clock_wall_ns();
	c->entry.price_version = 1;
	c->entry.cell = (struct journal_cell){.worst_nanousd = 5000000, .input_tokens = 1200, .output_tokens = 800};
	for (int k = 0; k < JOURNAL_NAMES; k++)
		c->entry.ids[k] = 1 + (uint32_t)k;
	c->entry.n_meters = (uint16_t)p->meters;
	for (uint64_t k = 0; k < p->meters; k++)
		c->entry.meters[k] =
		    (struct journal_meter){.uid = 1000 * k + (i * 7 + k) % p->counters, .win_start = 1700000000};
	store_uid(s, 0, c->entry.uid);
}

static int one_call(struct store *s, const struct plan *p, uint64_t i)
{
	static const char extra[] = "{\"end\":\"complete\",\"ms\":812}";
	struct call_end e;
	struct call c;
	uint32_t slot;
	int r;

	fill_call(s, &c, p, i);
	r = store_call_begin(s, 0, &c, &slot);
	if (r < 0)
		return r;
	store_call_sent(s, slot);
	e.cell = c.entry.cell;
	e.cell.actual_nanousd = 123456 + (int64_t)(i % 1000);
	e.cell.source = SOURCE_USAGE;
	e.cell.status = 200;
	e.settled_ns = clock_wall_ns();
	e.extra_n = sizeof extra - 1;
	memcpy(e.extra, extra, e.extra_n);
	store_call_settle(s, 0, slot, &e);
	return BUR_OK;
}

static void pace(const struct plan *p, uint64_t i, int64_t begin_ns)
{
	int64_t ahead;

	if (p->rate == 0 || i % 16 != 0)
		return;
	ahead = begin_ns + (int64_t)((double)i * 1e9 / (double)p->rate) - clock_mono_ns();
	if (ahead > 0)
		(void)usleep((useconds_t)(ahead / 1000));
}

static int run(struct store *s, const struct plan *p)
{
	int64_t begin = clock_mono_ns();
	double all = cpu_us(RUSAGE_SELF), mine = cpu_us(RUSAGE_THREAD), seconds;
	struct store_health h;
	int r = BUR_OK;

	for (uint64_t i = 0; i < p->rows; i++) {
		pace(p, i, begin);
		r = one_call(s, p, i);
		while (r == BUR_FULL) {
			r = store_sync(s, 10 * NS_PER_S);
			store_tick(s);
			if (r == BUR_OK)
				r = one_call(s, p, i);
		}
		if (r < 0)
			return r;
	}
	r = store_sync(s, 60 * NS_PER_S);
	seconds = (double)(clock_mono_ns() - begin) / 1e9;
	mine = cpu_us(RUSAGE_THREAD) - mine;
	all = cpu_us(RUSAGE_SELF) - all;
	store_health(s, &h);
	printf("rows %llu, postings per row %llu, commits %llu, rows per commit %.0f\n", (unsigned long long)p->rows,
	       (unsigned long long)p->meters, (unsigned long long)h.commits, (double)p->rows / (double)h.commits);
	printf("%.0f rows/s; CPU per row: writer %.2f us, worker %.2f us, together %.2f us\n",
	       (double)p->rows / seconds, (all - mine) / (double)p->rows, mine / (double)p->rows,
	       all / (double)p->rows);
	return r;
}

int main(int argc, char **argv)
{
	struct plan p = {.rows = argc > 2 ? strtoull(argv[2], NULL, 10) : 500000,
			 .meters = argc > 3 ? strtoull(argv[3], NULL, 10) : 2,
			 .counters = argc > 4 ? strtoull(argv[4], NULL, 10) : 10,
			 .rate = argc > 5 ? strtoull(argv[5], NULL, 10) : 0};
	struct store_config cfg = {.dir = argc > 1 ? argv[1] : "bench-data", .workers = 1, .min_free_bytes = -1};
	struct recovery_report rep;
	struct store *s;
	char text[300];
	int exit_code = 0, r;

	if (p.meters > JOURNAL_METERS_MAX || p.counters == 0)
		return 2;
	r = store_open(&cfg, &s, &rep, &exit_code, text, sizeof text);
	if (r < 0) {
		fprintf(stderr, "%s\n", text);
		return exit_code;
	}
	for (int k = 0; k < JOURNAL_NAMES; k++)
		(void)store_name(s, (enum name_kind)k, SLICE("bench"));
	for (uint64_t i = 0; i < p.counters && r == BUR_OK; i++)
		for (uint64_t k = 0; k < p.meters && r == BUR_OK; k++)
			r = store_meter_known(s, 1000 * k + i, SLICE("b"), SLICE("s"), UNIT_USD);
	if (r == BUR_OK)
		r = store_start(s);
	if (r == BUR_OK)
		r = run(s, &p);
	store_close(s);
	if (r < 0)
		fprintf(stderr, "%s\n", bur_strerror(r));
	return r < 0;
}
