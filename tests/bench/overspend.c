/* overspend.c - the clients of `make bench-overspend`: tenants that stream until their budget is used up.
 *
 * Each client asks again as soon as its stream has ended, waits a moment when money is only held (429), and stops when
 * it is spent (402). How long an answer would be is drawn by the client and told to the test vendor. Prints a JSON line
 * for each tenant. One thread. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

#define TENANTS_MAX 64
#define CLIENTS_MAX 4096
#define READ_BYTES 65536
#define TAIL_BYTES 64 /* of what was read last: a mark may lie across two reads */

struct options {
	unsigned port, tenants, each, median, cap, delay_ms, max_tokens;
	double sigma;
	uint64_t seed;
	int64_t limit_ns;
};

struct tenant {
	uint64_t calls, complete, cut, clamped, held, spent, other, broken;
};

struct client {
	int fd;
	unsigned tenant;
	bool over;
	int64_t wake_ns; /* 0: a call runs */
	int status;
	bool cut, clamped, ended;
	size_t read, tail_n;
	char tail[TAIL_BYTES];
};

static struct options options = {.tenants = 8, .each = 1, .median = 150, .cap = 1024, .delay_ms = 1, .sigma = 0.9};
static struct tenant tenants[TENANTS_MAX];
static struct client clients[CLIENTS_MAX];
static size_t n_clients, n_over;
static int epoll_fd;
static uint64_t random_state;

/* --- chance ------------------------------------------------------------------------------------------------------- */

static double uniform(void)
{
	uint64_t z = (random_state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return ((double)((z ^ (z >> 31)) >> 11) + 0.5) / 9007199254740992.0;
}

static unsigned answer_length(void)
{
	double normal = sqrt(-2 * log(uniform())) * cos(2 * 3.14159265358979323846 * uniform());
	double n = (double)options.median * exp(options.sigma * normal);

	return n < 1 ? 1 : n > (double)options.cap ? options.cap : (unsigned)n;
}

/* --- a call ------------------------------------------------------------------------------------------------------- */

static void call_begin(struct client *c)
{
	static uint64_t number;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
	unsigned n = answer_length();
	char body[512], text[1024], most[40] = "";
	int b, t, one = 1;

	if (options.max_tokens)
		(void)snprintf(most, sizeof(most), "\"max_tokens\":%u,", options.max_tokens);
	b = snprintf(
	    body, sizeof(body),
	    "{\"model\":\"gpt-4.1-mini\",%s\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"Say a word "
	    "or two of it.\"}]}",
	    most);
	t = snprintf(
	    text, sizeof(text),
	    "POST /openai/v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
	    "Authorization: Bearer sk-tenant-%u\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
	    "x-vendor-call: t%u-%llu\r\nx-vendor-out: %u\r\nx-vendor-chunks: %u\r\nx-vendor-chunk-ms: %u\r\n\r\n%s",
	    c->tenant, b, c->tenant, (unsigned long long)++number, n, n, options.delay_ms, body);
	CHECK(b > 0 && (size_t)b < sizeof(body) && t > 0 && (size_t)t < sizeof(text));
	*c = (struct client){.tenant = c->tenant, .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(c->fd >= 0 && connect(c->fd, (struct sockaddr *)&to, sizeof(to)) == 0);
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	CHECK(send(c->fd, text, (size_t)t, MSG_NOSIGNAL) == t);
	CHECK(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e) == 0);
	tenants[c->tenant].calls++;
}

static void call_end(struct client *c)
{
	struct tenant *t = &tenants[c->tenant];

	(void)close(c->fd);
	c->wake_ns = 1;
	if (c->status == 200) {
		t->cut += c->cut;
		t->clamped += c->clamped;
		t->complete += c->ended && !c->cut;
		t->broken += !c->ended;
	} else if (c->status == 429) {
		t->held++;
		c->wake_ns = clock_mono_ns() + (int64_t)(uniform() * 300 + 200) * NS_PER_MS;
	} else if (c->status == 402) {
		t->spent++;
		c->over = true;
		n_over++;
	} else {
		t->other++;
		c->wake_ns = clock_mono_ns() + 500 * NS_PER_MS;
	}
}

static bool has(const char *p, size_t n, const char *mark)
{
	return memmem(p, n, mark, strlen(mark)) != NULL;
}

/* Looks for the marks in what was read, with the end of what came before. */
static void look(struct client *c, char *p, size_t n)
{
	size_t keep;

	if (c->read == 0 && n >= 12)
		c->status = atoi(p + 9);
	c->read += n;
	p -= c->tail_n;
	n += c->tail_n;
	memcpy(p, c->tail, c->tail_n);
	c->cut |= has(p, n, "\"code\":\"budget_exceeded\"");
	c->clamped |= has(p, n, "\"finish_reason\":\"length\"");
	c->ended = n >= 5 && memcmp(p + n - 5, "0\r\n\r\n", 5) == 0;
	keep = n < TAIL_BYTES ? n : TAIL_BYTES;
	memcpy(c->tail, p + n - keep, keep);
	c->tail_n = keep;
}

static void client_read(struct client *c)
{
	static char room[TAIL_BYTES + READ_BYTES + 1];
	ssize_t n = recv(c->fd, room + TAIL_BYTES, READ_BYTES, 0);

	if (n > 0) {
		room[TAIL_BYTES + n] = '\0';
		look(c, room + TAIL_BYTES, (size_t)n);
	} else {
		call_end(c);
	}
}

/* --- all of them -------------------------------------------------------------------------------------------------- */

static void wake_up(void)
{
	int64_t now = clock_mono_ns();

	for (size_t i = 0; i < n_clients; i++)
		if (!clients[i].over && clients[i].wake_ns > 0 && clients[i].wake_ns <= now)
			call_begin(&clients[i]);
}

static void run(void)
{
	struct epoll_event events[256];
	int64_t began = clock_mono_ns();

	while (n_over < n_clients && clock_mono_ns() - began < options.limit_ns) {
		int n;

		wake_up();
		n = epoll_wait(epoll_fd, events, 256, 20);
		CHECK(n >= 0 || errno == EINTR);
		for (int i = 0; i < n; i++)
			client_read(events[i].data.ptr);
	}
}

static void print(void)
{
	for (unsigned i = 0; i < options.tenants; i++) {
		const struct tenant *t = &tenants[i];
#define N(x) (unsigned long long)t->x
		(void)printf(
		    "{\"tenant\":%u,\"calls\":%llu,\"complete\":%llu,\"cut\":%llu,\"clamped\":%llu,\"held\":%llu,"
		    "\"spent\":%llu,\"other\":%llu,\"broken\":%llu,\"late\":%zu}\n",
		    i, N(calls), N(complete), N(cut), N(clamped), N(held), N(spent), N(other), N(broken),
		    n_clients - n_over);
	}
}

static bool parse(int argc, char **argv)
{
	static const struct option names[] = {{"port", 1, NULL, 'p'},     {"tenants", 1, NULL, 't'},
					      {"each", 1, NULL, 'e'},     {"median", 1, NULL, 'm'},
					      {"sigma", 1, NULL, 's'},    {"cap", 1, NULL, 'c'},
					      {"delay-ms", 1, NULL, 'd'}, {"max-tokens", 1, NULL, 'x'},
					      {"seed", 1, NULL, 'r'},     {"seconds", 1, NULL, 'l'},
					      {NULL, 0, NULL, 0}};
	int o;

	options.limit_ns = 120 * NS_PER_S;
	while ((o = getopt_long(argc, argv, "", names, NULL)) != -1) {
		unsigned long n = optarg ? strtoul(optarg, NULL, 10) : 0;

		switch (o) {
		case 'p':
			options.port = (unsigned)n;
			break;
		case 't':
			options.tenants = (unsigned)n;
			break;
		case 'e':
			options.each = (unsigned)n;
			break;
		case 'm':
			options.median = (unsigned)n;
			break;
		case 's':
			options.sigma = strtod(optarg, NULL);
			break;
		case 'c':
			options.cap = (unsigned)n;
			break;
		case 'd':
			options.delay_ms = (unsigned)n;
			break;
		case 'x':
			options.max_tokens = (unsigned)n;
			break;
		case 'r':
			options.seed = n;
			break;
		case 'l':
			options.limit_ns = (int64_t)n * NS_PER_S;
			break;
		default:
			return false;
		}
	}
	n_clients = (size_t)options.tenants * options.each;
	return options.port > 0 && options.tenants > 0 && options.tenants <= TENANTS_MAX && n_clients > 0 &&
	       n_clients <= CLIENTS_MAX;
}

int main(int argc, char **argv)
{
	if (!parse(argc, argv)) {
		(void)fprintf(stderr,
			      "usage: overspend --port N [--tenants N] [--each N] [--median N] [--sigma X] [--cap N] "
			      "[--delay-ms N] [--max-tokens N] [--seed N] [--seconds N]\n");
		return 2;
	}
	random_state = options.seed;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	CHECK(epoll_fd >= 0);
	for (size_t i = 0; i < n_clients; i++)
		clients[i] = (struct client){.tenant = (unsigned)(i % options.tenants), .wake_ns = 1};
	run();
	print();
	return 0;
}
