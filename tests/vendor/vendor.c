/* vendor.c - a vendor of metered APIs for tests: real answer shapes, scripted faults, and a bill of its own.
 *
 * See README.md beside this file for the script headers. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "net/addr.h"
#include "net/listen.h"
#include "net/loop.h"
#include "net/tls.h"
#include "tests/vendor/bill.h"
#include "tests/vendor/certs.h"
#include "tests/vendor/serve.h"

#define PATH_MAX_BYTES 4096
#define LISTENERS_MAX 4

struct options {
	const char *dir, *bill, *plain, *tls, *more_tls;
	enum leaf_kind leaf;
	bool fast;
};

static struct loop *the_loop;
static struct server server;

static void on_signal(int sig)
{
	(void)sig;
	loop_stop(the_loop);
}

static int usage(void)
{
	(void)fprintf(stderr,
		      "usage: vendor --dir DIR [--plain HOST:PORT] [--tls HOST:PORT] [--listen-tls HOST:PORT]\n"
		      "              [--bill FILE] [--fast-bill] [--leaf good|expired|wrong-host|self-signed]\n");
	return 64;
}

static bool leaf_from(const char *text, enum leaf_kind *ret)
{
	static const char *const names[] = {"good", "expired", "wrong-host", "self-signed"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(text, names[i]) == 0) {
			*ret = (enum leaf_kind)i;
			return true;
		}
	}
	return false;
}

static bool read_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
	    {"dir", required_argument, NULL, 'd'},        {"bill", required_argument, NULL, 'b'},
	    {"plain", required_argument, NULL, 'p'},      {"tls", required_argument, NULL, 't'},
	    {"listen-tls", required_argument, NULL, 'm'}, {"leaf", required_argument, NULL, 'l'},
	    {"fast-bill", no_argument, NULL, 'f'},        {NULL, 0, NULL, 0},
	};
	int c;

	*o = (struct options){.plain = "127.0.0.1:0", .tls = "127.0.0.1:0"};
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'd':
			o->dir = optarg;
			break;
		case 'b':
			o->bill = optarg;
			break;
		case 'p':
			o->plain = optarg;
			break;
		case 't':
			o->tls = optarg;
			break;
		case 'm':
			o->more_tls = optarg;
			break;
		case 'f':
			o->fast = true;
			break;
		case 'l':
			if (!leaf_from(optarg, &o->leaf))
				return false;
			break;
		default:
			return false;
		}
	}
	return o->dir && optind == argc;
}

static bool listen_at(const char *text, accept_cb *cb, struct listener **ret, uint16_t *ret_port)
{
	struct addr bound;
	int fd, r = listen_open(text, &fd, &bound);

	if (r < 0) {
		(void)fprintf(stderr, "vendor: cannot listen at %s: %s\n", text, bur_strerror(r));
		return false;
	}
	*ret = listener_new(server.loop, fd, cb, &server);
	if (ret_port)
		*ret_port = ntohs(bound.in.sin_port);
	return *ret != NULL;
}

/* Written whole and renamed: whoever sees the file sees the ports. */
static bool write_ports(const char *dir, uint16_t plain, uint16_t tls)
{
	char path[PATH_MAX_BYTES], temporary[PATH_MAX_BYTES];
	FILE *f;
	bool ok;

	(void)snprintf(path, sizeof(path), "%s/ports.json", dir);
	(void)snprintf(temporary, sizeof(temporary), "%s/ports.json.new", dir);
	f = fopen(temporary, "w");
	if (!f)
		return false;
	ok = fprintf(f, "{\"plain\":%u,\"tls\":%u,\"pid\":%ld}\n", plain, tls, (long)getpid()) > 0;
	return fclose(f) == 0 && ok && rename(temporary, path) == 0;
}

static SSL_CTX *make_tls(const char *dir)
{
	char crt[PATH_MAX_BYTES], key[PATH_MAX_BYTES], error[256];
	SSL_CTX *ctx;

	(void)snprintf(crt, sizeof(crt), "%s/leaf.pem", dir);
	(void)snprintf(key, sizeof(key), "%s/leaf.key", dir);
	ctx = tls_server_ctx(crt, key, "http/1.1", error, sizeof(error));
	if (!ctx)
		(void)fprintf(stderr, "vendor: %s\n", error);
	return ctx;
}

static bool start(const struct options *o, struct listener *listeners[LISTENERS_MAX])
{
	char bill_path[PATH_MAX_BYTES];
	uint16_t plain_port, tls_port;

	(void)mkdir(o->dir, 0755);
	(void)snprintf(bill_path, sizeof(bill_path), "%s/bill.jsonl", o->dir);
	if (certs_write(o->dir, o->leaf) < 0) {
		(void)fprintf(stderr, "vendor: cannot write certificates to %s: %s\n", o->dir, strerror(errno));
		return false;
	}
	server.tls = make_tls(o->dir);
	server.bill = bill_open(o->bill ? o->bill : bill_path, o->fast);
	server.keep_last = !o->fast;
	server.shelf = shelf_new();
	if (!server.tls || !server.bill || !server.shelf)
		return false;
	if (!listen_at(o->plain, server_accept_plain, &listeners[0], &plain_port) ||
	    !listen_at(o->tls, server_accept_tls, &listeners[1], &tls_port))
		return false;
	if (o->more_tls && !listen_at(o->more_tls, server_accept_tls, &listeners[2], NULL))
		return false;
	return write_ports(o->dir, plain_port, tls_port);
}

static void raise_descriptors(void)
{
	struct rlimit many = {.rlim_cur = 100000, .rlim_max = 100000}, r;

	if (setrlimit(RLIMIT_NOFILE, &many) == 0 || getrlimit(RLIMIT_NOFILE, &r) != 0)
		return;
	r.rlim_cur = r.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &r);
}

int main(int argc, char **argv)
{
	struct listener *listeners[LISTENERS_MAX] = {NULL};
	struct options o;
	int code = 1;

	if (!read_options(argc, argv, &o))
		return usage();
	raise_descriptors();
	(void)signal(SIGPIPE, SIG_IGN);
	TAILQ_INIT(&server.conns);
	the_loop = server.loop = loop_new();
	if (!server.loop)
		return 1;
	(void)signal(SIGTERM, on_signal);
	(void)signal(SIGINT, on_signal);
	if (start(&o, listeners)) {
		loop_run(server.loop);
		code = 0;
	}
	for (size_t i = 0; i < LISTENERS_MAX; i++)
		listener_free(listeners[i]);
	server_close_all(&server);
	bill_close(server.bill);
	shelf_free(server.shelf);
	SSL_CTX_free(server.tls);
	loop_free(server.loop);
	return code;
}
