/* load.c - a load generator: keep-alive calls as fast as they are answered (closed loop), at a fixed rate (open loop:
 * latency counts from when a call was due), streams, or streams that stay open and silent.
 *
 * Prints one JSON object. One thread. */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "net/loop.h"
#include "net/tls.h"
#include "tests/bench/client.h"

#define REQUEST_MAX (64 * 1024 * 1024)
#define HEADERS_MAX 32

struct options {
	const char *target, *path, *host, *body, *ca, *tls_name, *connect_to;
	const char *headers[HEADERS_MAX];
	size_t n_headers;
	uint64_t connections, rate, calls;
	double seconds, warmup;
	bool tls, fresh, idle;
};

static struct load load;
static struct options options;
static struct client **clients;
static int64_t began_ns, measured_ns, next_due_ns, interval_ns;
static uint64_t sent_calls, wanted_streams;
static int rate_fd = -1;
static uint64_t n_clients;

#define CONNECTING_MAX 256 /* at once: more would overflow the listener's queue */

/* The next client, once another one stands. */
static void add_client(void)
{
	if (n_clients == options.connections)
		return;
	clients[n_clients] = client_new(&load);
	CHECK(clients[n_clients] != NULL);
	n_clients++;
}

/* --- who sends when ------------------------------------------------------------------------------------------------
 */

static void closed_loop(struct load *l, struct client *c)
{
	add_client();
	if (options.calls && sent_calls >= options.calls) {
		client_park(c);
		if (l->calls + l->errors >= options.calls)
			loop_stop(l->loop);
		return;
	}
	sent_calls++;
	client_send(c, clock_mono_ns());
}

static void open_loop(struct load *l, struct client *c)
{
	(void)l;
	add_client();
	client_park(c);
}

static void rate_tick(evutil_socket_t fd, short what, void *arg)
{
	uint64_t expirations;
	int64_t now = clock_mono_ns();

	(void)what;
	(void)arg;
	if (read(fd, &expirations, sizeof(expirations)) != sizeof(expirations))
		return;
	/* Calls that find no free connection stay due: their latency goes on counting. */
	while (next_due_ns <= now && !TAILQ_EMPTY(&load.idle)) {
		client_send(TAILQ_FIRST(&load.idle), next_due_ns);
		next_due_ns += interval_ns;
	}
}

static struct event *rate_begin(void)
{
	struct itimerspec every = {0};
	struct event *e;

	interval_ns = NS_PER_S / (int64_t)options.rate;
	next_due_ns = clock_mono_ns() + interval_ns;
	every.it_interval.tv_nsec = every.it_value.tv_nsec = interval_ns % NS_PER_S;
	every.it_interval.tv_sec = every.it_value.tv_sec = interval_ns / NS_PER_S;
	rate_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	CHECK(rate_fd >= 0 && timerfd_settime(rate_fd, 0, &every, NULL) == 0);
	e = event_new(loop_base(load.loop), rate_fd, EV_READ | EV_PERSIST, rate_tick, NULL);
	CHECK(e != NULL && event_add(e, NULL) == 0);
	return e;
}

/* --- phases --------------------------------------------------------------------------------------------------------
 */

static void phase_end(void *arg)
{
	(void)arg;
	loop_stop(load.loop);
}

static void say(const char *word)
{
	(void)printf("%s\n", word);
	(void)fflush(stdout);
}

static void measure_begin(void *arg)
{
	(void)arg;
	load.measuring = true;
	measured_ns = clock_mono_ns();
	if (!options.idle)
		say("measuring");
}

/* Idle mode: tell when every stream has begun. */
static void watch_streams(void *arg)
{
	(void)arg;
	if (options.idle && wanted_streams && load.streams_begun >= wanted_streams) {
		wanted_streams = 0;
		say("ready");
	}
}

/* --- set-up --------------------------------------------------------------------------------------------------------
 */

static void build_request(void)
{
	struct buf *b = &load.request;
	size_t n = strlen(options.body);

	buf_init(b, REQUEST_MAX);
	CHECK(buf_printf(b, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n",
			 options.path, options.host, n) == BUR_OK);
	for (size_t i = 0; i < options.n_headers; i++)
		CHECK(buf_printf(b, "%s\r\n", options.headers[i]) == BUR_OK);
	CHECK(buf_append(b, "\r\n", 2) == BUR_OK);
	CHECK(buf_append(b, options.body, n) == BUR_OK);
}

/* "@FILE" stands for its content. */
static bool read_body_file(void)
{
	static char *content;
	FILE *f;
	size_t n;

	if (options.body[0] != '@')
		return true;
	content = calloc(1, REQUEST_MAX / 2);
	f = fopen(options.body + 1, "r");
	if (!content || !f)
		return false;
	n = fread(content, 1, REQUEST_MAX / 2 - 1, f);
	(void)fclose(f);
	options.body = content;
	return n > 0;
}

static bool resolve_target(void)
{
	struct authority a;

	if (authority_parse(slice_of(options.target), 0, &a) < 0)
		return false;
	return addr_from_ip(a.host, a.port, &load.target) == BUR_OK;
}

static bool make_tls(void)
{
	struct tls_client_options o = {.extra_ca_file = options.ca, .alpn = "http/1.1"};
	char error[256];

	load.tls = tls_client_ctx(&o, error, sizeof(error));
	if (!load.tls)
		(void)fprintf(stderr, "load: %s\n", error);
	return load.tls != NULL;
}

static int usage(void)
{
	(void)fprintf(
	    stderr,
	    "usage: load --target IP:PORT --path PATH --body JSON|@FILE [--host H] [--header 'N: V']...\n"
	    "            [--connections N] [--rate N] [--calls N] [--seconds S] [--warmup S] [--fresh] [--idle]\n"
	    "            [--tls] [--tls-name NAME] [--ca FILE] [--connect HOST:PORT]\n");
	return 64;
}

enum {
	OPT_TARGET = 1,
	OPT_PATH,
	OPT_HOST,
	OPT_BODY,
	OPT_HEADER,
	OPT_CONNECTIONS,
	OPT_RATE,
	OPT_CALLS,
	OPT_SECONDS,
	OPT_WARMUP,
	OPT_FRESH,
	OPT_IDLE,
	OPT_TLS,
	OPT_TLS_NAME,
	OPT_CA,
	OPT_CONNECT
};

static bool set_option(int c, const char *value)
{
	switch (c) {
	case OPT_TARGET:
		options.target = value;
		return true;
	case OPT_PATH:
		options.path = value;
		return true;
	case OPT_HOST:
		options.host = value;
		return true;
	case OPT_BODY:
		options.body = value;
		return true;
	case OPT_HEADER:
		if (options.n_headers == HEADERS_MAX)
			return false;
		options.headers[options.n_headers++] = value;
		return true;
	case OPT_CONNECTIONS:
		return slice_u64(slice_of(value), &options.connections) == BUR_OK;
	case OPT_RATE:
		return slice_u64(slice_of(value), &options.rate) == BUR_OK;
	case OPT_CALLS:
		return slice_u64(slice_of(value), &options.calls) == BUR_OK;
	case OPT_SECONDS:
		options.seconds = strtod(value, NULL);
		return options.seconds > 0;
	case OPT_WARMUP:
		options.warmup = strtod(value, NULL);
		return options.warmup >= 0;
	case OPT_FRESH:
		options.fresh = true;
		return true;
	case OPT_IDLE:
		options.idle = true;
		return true;
	case OPT_TLS:
		options.tls = true;
		return true;
	case OPT_TLS_NAME:
		options.tls_name = value;
		return true;
	case OPT_CA:
		options.ca = value;
		return true;
	case OPT_CONNECT:
		options.connect_to = value;
		return true;
	default:
		return false;
	}
}

static bool read_options(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"target", 1, NULL, OPT_TARGET},
	    {"path", 1, NULL, OPT_PATH},
	    {"host", 1, NULL, OPT_HOST},
	    {"body", 1, NULL, OPT_BODY},
	    {"header", 1, NULL, OPT_HEADER},
	    {"connections", 1, NULL, OPT_CONNECTIONS},
	    {"rate", 1, NULL, OPT_RATE},
	    {"calls", 1, NULL, OPT_CALLS},
	    {"seconds", 1, NULL, OPT_SECONDS},
	    {"warmup", 1, NULL, OPT_WARMUP},
	    {"fresh", 0, NULL, OPT_FRESH},
	    {"idle", 0, NULL, OPT_IDLE},
	    {"tls", 0, NULL, OPT_TLS},
	    {"tls-name", 1, NULL, OPT_TLS_NAME},
	    {"ca", 1, NULL, OPT_CA},
	    {"connect", 1, NULL, OPT_CONNECT},
	    {NULL, 0, NULL, 0},
	};
	int c;

	options = (struct options){.path = "/",
				   .host = "localhost",
				   .body = "",
				   .connections = 64,
				   .seconds = 5,
				   .warmup = 1,
				   .tls_name = "localhost"};
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (!set_option(c, optarg))
			return false;
	}
	return options.target && optind == argc && options.connections > 0;
}

static void raise_descriptors(void)
{
	struct rlimit many = {.rlim_cur = 100000, .rlim_max = 100000}, r;

	if (setrlimit(RLIMIT_NOFILE, &many) == 0 || getrlimit(RLIMIT_NOFILE, &r) != 0)
		return;
	r.rlim_cur = r.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &r);
}

static void print_result(void)
{
	double s = (double)(clock_mono_ns() - measured_ns) / 1e9;
	double wall_s = (double)(clock_mono_ns() - began_ns) / 1e9;

	(void)printf("{\"calls\":%" PRIu64 ",\"errors\":%" PRIu64 ",\"status_4xx\":%" PRIu64 ",\"status_5xx\":%" PRIu64
		     ",\"seconds\":%.3f,\"wall_seconds\":%.3f,\"per_second\":%.1f,\"connects\":%" PRIu64
		     ",\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"first_p50_us\":%.1f,"
		     "\"first_p99_us\":%.1f,\"events\":%" PRIu64 ",\"events_per_second\":%.1f,\"gap_p50_us\":%.1f,"
		     "\"gap_p99_us\":%.1f,\"bytes\":%" PRIu64 ",\"streams\":%" PRIu64 "}\n",
		     load.calls, load.errors, load.status_4xx, load.status_5xx, s, wall_s, (double)load.calls / s,
		     load.connects, (double)latency_at(&load.latency, 500) / 1e3,
		     (double)latency_at(&load.latency, 900) / 1e3, (double)latency_at(&load.latency, 990) / 1e3,
		     (double)load.latency.max_ns / 1e3, (double)latency_at(&load.first_byte, 500) / 1e3,
		     (double)latency_at(&load.first_byte, 990) / 1e3, load.events, (double)load.events / s,
		     (double)latency_at(&load.gap, 500) / 1e3, (double)latency_at(&load.gap, 990) / 1e3, load.bytes,
		     load.streams_begun);
}

static void run(void)
{
	struct loop_timer *begin = loop_timer_new(load.loop, measure_begin, NULL);
	struct loop_timer *end = loop_timer_new(load.loop, phase_end, NULL);
	struct event *rate = NULL;

	CHECK(begin && end);
	if (options.warmup > 0)
		loop_timer_set(begin, (int64_t)(options.warmup * 1e9));
	else
		measure_begin(NULL);
	loop_timer_set(end, (int64_t)((options.warmup + options.seconds) * 1e9));
	if (options.rate)
		rate = rate_begin();
	loop_on_turn(load.loop, watch_streams, NULL);
	loop_run(load.loop);
	if (rate)
		event_free(rate);
	loop_timer_free(begin);
	loop_timer_free(end);
}

int main(int argc, char **argv)
{
	if (!read_options(argc, argv) || !resolve_target() || !read_body_file())
		return usage();
	(void)signal(SIGPIPE, SIG_IGN);
	raise_descriptors();
	TAILQ_INIT(&load.idle);
	load.loop = loop_new();
	CHECK(load.loop != NULL);
	load.on_idle = options.rate ? open_loop : closed_loop;
	load.tls_name = options.tls_name;
	load.connect_to = options.connect_to;
	load.fresh = options.fresh;
	if ((options.tls || options.connect_to) && !make_tls())
		return 1;
	build_request();
	began_ns = measured_ns = clock_mono_ns();
	wanted_streams = options.connections;
	clients = calloc(options.connections, sizeof(struct client *));
	CHECK(clients != NULL);
	for (int i = 0; i < CONNECTING_MAX; i++)
		add_client();
	run();
	print_result();
	for (uint64_t i = 0; i < n_clients; i++)
		client_free(clients[i]);
	free(clients);
	buf_done(&load.request);
	SSL_CTX_free(load.tls);
	if (rate_fd >= 0)
		(void)close(rate_fd);
	loop_free(load.loop);
	return load.errors ? 2 : 0;
}
