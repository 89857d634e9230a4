#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <zlib.h>

#include <cmocka.h>

#include "alerts/transport.h"
#include "base/attr.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "net/loop.h"
#include "tests/unit/net_testing.h"

/* --- a resolver --- */

/* In the place of the C library's, for libcurl too: slow.test is looked up for longer than anybody waits. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
	typedef int resolve_fn(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	static _Atomic(resolve_fn *) real;

	if (!atomic_load(&real))
		atomic_store(&real, (resolve_fn *)dlsym(RTLD_NEXT, "getaddrinfo"));
	if (name && strcmp(name, "slow.test") == 0) {
		(void)sleep(20);
		return EAI_AGAIN;
	}
	if (name && strcmp(name, "inside.test") == 0)
		name = "127.0.0.1";
	return atomic_load(&real)(name, service, hints, ret);
}

/* --- a server in a thread ----------------------------------------------------------------------------------------- */

#define GOT_MAX (256 * 1024)
enum mode { REPLY, HANG, CLOSE, BIG, MAIL };
struct server {
	enum mode mode;
	_Atomic(const char *) reply; /* of HTTP; the same each time */
	const char *offers;          /* of a mail server, beside SIZE: "STARTTLS", "AUTH PLAIN LOGIN" */
	const char *refuses; /* a command and the reply to it: "RCPT 550 5.1.1 nobody"; without a reply it hangs */
	bool tls;
	struct test_cert cert;
	SSL_CTX *ctx;
	int fd, port;
	pthread_t thread;
	atomic_int connections, requests, open_fd;
	pthread_mutex_t mutex; /* of what follows */
	char got[GOT_MAX];
	size_t n_got;
};

struct wire {
	int fd;
	SSL *ssl;
};

static ssize_t wire_read(struct wire *w, char *dst, size_t n)
{
	return w->ssl ? SSL_read(w->ssl, dst, (int)n) : recv(w->fd, dst, n, 0);
}

static bool wire_write(struct wire *w, const char *text, size_t n)
{
	if (w->ssl)
		return SSL_write(w->ssl, text, (int)n) == (int)n;
	return send(w->fd, text, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static bool wire_say(struct wire *w, const char *text)
{
	return wire_write(w, text, strlen(text));
}

static bool wire_tls(struct wire *w, SSL_CTX *ctx)
{
	w->ssl = SSL_new(ctx);
	return w->ssl && SSL_set_fd(w->ssl, w->fd) == 1 && SSL_accept(w->ssl) == 1;
}

static void keep(struct server *s, const char *data, size_t n)
{
	(void)pthread_mutex_lock(&s->mutex);
	if (n > sizeof(s->got) - 1 - s->n_got)
		n = sizeof(s->got) - 1 - s->n_got;
	memcpy(s->got + s->n_got, data, n);
	s->n_got += n;
	(void)pthread_mutex_unlock(&s->mutex);
}

/* Did the server read this? */
static bool was_sent(struct server *s, const char *text)
{
	bool found;

	(void)pthread_mutex_lock(&s->mutex);
	found = strstr(s->got, text) != NULL;
	(void)pthread_mutex_unlock(&s->mutex);
	return found;
}

/* Reads a whole request. */
static bool http_request(struct server *s, struct wire *w)
{
	static const char name[] = "Content-Length: ";
	char text[65536];
	size_t n = 0, whole = SIZE_MAX;

	while (n < whole) {
		ssize_t got = wire_read(w, text + n, sizeof(text) - 1 - n);
		char *end, *length;

		if (got <= 0)
			return false;
		n += (size_t)got;
		text[n] = '\0';
		if (text[0] == 0x16) { /* a TLS handshake */
			(void)wire_say(w, "HTTP/1.1 400 Bad Request\r\n\r\n");
			return false;
		}
		end = strstr(text, "\r\n\r\n");
		length = strstr(text, name);
		if (end)
			whole = (size_t)(end + 4 - text) +
				(length && length < end ? (size_t)strtol(length + 16, NULL, 10) : 0);
	}
	keep(s, text, n);
	atomic_fetch_add(&s->requests, 1);
	return true;
}

static void http_big(struct wire *w)
{
	char block[65536];

	memset(block, 'x', sizeof(block));
	if (!wire_say(w, "HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n"))
		return;
	for (int i = 0; i < 160 && wire_write(w, block, sizeof(block)); i++)
		;
}

static void http_serve(struct server *s, struct wire *w)
{
	char c;

	while (http_request(s, w)) {
		if (s->mode == CLOSE)
			return;
		if (s->mode == BIG) {
			http_big(w);
			return;
		}
		if (s->mode == HANG)
			(void)wire_read(w, &c, 1);
		else if (!wire_say(w, s->reply))
			return;
	}
}

/* One line of a mail client; false: it left. */
static bool mail_line(struct server *s, struct wire *w, char *line, size_t size)
{
	size_t n = 0;

	while (n + 1 < size && wire_read(w, line + n, 1) == 1) {
		if (line[n++] == '\n') {
			line[n] = '\0';
			keep(s, line, n);
			return true;
		}
	}
	return false;
}

static bool mail_refuses(const struct server *s, struct wire *w, const char *line)
{
	size_t n = s->refuses ? strcspn(s->refuses, " ") : 0;
	char text[500];

	if (n == 0 || strncmp(line, s->refuses, n) != 0)
		return false;
	if (!s->refuses[n]) { /* silence until the client leaves */
		(void)wire_read(w, text, 1);
		return true;
	}
	(void)snprintf(text, sizeof(text), "%s\r\n", s->refuses + n + 1);
	return wire_say(w, text);
}

static void mail_data(struct server *s, struct wire *w)
{
	char line[2000];

	(void)wire_say(w, "354 go on\r\n");
	while (mail_line(s, w, line, sizeof(line)) && strcmp(line, ".\r\n") != 0)
		;
	if (mail_refuses(s, w, "."))
		return;
	atomic_fetch_add(&s->requests, 1);
	(void)wire_say(w, "250 2.0.0 queued\r\n");
}

static void mail_serve(struct server *s, struct wire *w)
{
	char line[2000], text[500];

	(void)wire_say(w, "220 mail.test ESMTP\r\n");
	while (mail_line(s, w, line, sizeof(line))) {
		if (strncmp(line, "DATA", 4) == 0) {
			mail_data(s, w);
		} else if (mail_refuses(s, w, line)) {
			continue;
		} else if (strncmp(line, "EHLO", 4) == 0) {
			(void)snprintf(text, sizeof(text), "250-mail.test\r\n%s%s%s250 SIZE 1000000\r\n",
				       s->offers && !w->ssl ? "250-" : "", s->offers && !w->ssl ? s->offers : "",
				       s->offers && !w->ssl ? "\r\n" : "");
			(void)wire_say(w, w->ssl ? "250-mail.test\r\n250 AUTH PLAIN LOGIN\r\n" : text);
		} else if (strncmp(line, "STARTTLS", 8) == 0) {
			(void)wire_say(w, "220 go\r\n");
			if (!wire_tls(w, s->ctx))
				return;
		} else if (strncmp(line, "AUTH", 4) == 0) {
			(void)wire_say(w, "334 \r\n");
			(void)mail_line(s, w, line, sizeof(line));
			if (!mail_refuses(s, w, "LOGIN"))
				(void)wire_say(w, "235 2.7.0 welcome\r\n");
		} else {
			(void)wire_say(w, strncmp(line, "QUIT", 4) == 0 ? "221 bye\r\n" : "250 fine\r\n");
		}
	}
}

static void *server_run(void *arg)
{
	struct server *s = arg;

	for (;;) {
		struct wire w = {.fd = accept(s->fd, NULL, NULL)};

		if (w.fd < 0)
			return NULL;
		atomic_fetch_add(&s->connections, 1);
		atomic_store(&s->open_fd, w.fd);
		if (!s->tls || s->mode >= MAIL || wire_tls(&w, s->ctx)) {
			if (s->mode == MAIL)
				mail_serve(s, &w);
			else
				http_serve(s, &w);
		}
		atomic_store(&s->open_fd, -1);
		SSL_free(w.ssl);
		(void)close(w.fd);
	}
}

static void server_start(struct server *s)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);

	if (s->tls) {
		s->ctx = SSL_CTX_new(TLS_server_method());
		assert_int_equal(SSL_CTX_use_certificate_file(s->ctx, s->cert.cert_path, SSL_FILETYPE_PEM), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey_file(s->ctx, s->cert.key_path, SSL_FILETYPE_PEM), 1);
	}
	atomic_store(&s->open_fd, -1);
	assert_int_equal(pthread_mutex_init(&s->mutex, NULL), 0);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(s->fd, 16), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&addr, &len), 0);
	s->port = ntohs(addr.sin_port);
	assert_int_equal(pthread_create(&s->thread, NULL, server_run, s), 0);
}

static void server_stop(struct server *s)
{
	int fd = atomic_load(&s->open_fd);

	(void)shutdown(s->fd, SHUT_RDWR);
	if (fd >= 0)
		(void)shutdown(fd, SHUT_RDWR);
	assert_int_equal(pthread_join(s->thread, NULL), 0);
	(void)close(s->fd);
	SSL_CTX_free(s->ctx);
}

/* --- the client --------------------------------------------------------------------------------------------------- */

static const struct channel_ops ops = {.type = "webhook"};
struct client {
	struct loop *loop;
	struct transport *transport;
	struct channel channel;
	struct arena arena;
	struct request request;
	char url[200];
	int n;
	struct answer answer;
	char body[ANSWER_BODY_MAX + 1], error[500];
};

static int setup(void **state)
{
	struct client *c = calloc(1, sizeof(*c));

	c->loop = loop_new();
	c->transport = transport_new(c->loop);
	assert_non_null(c->transport);
	c->channel = (struct channel){.name = "t", .ops = &ops, .allow_http = true, .allow_private = true};
	arena_init(&c->arena, 1 << 20);
	c->request = (struct request){.arena = &c->arena, .kind = REQUEST_HTTP, .method = "POST", .url = c->url};
	c->request.body = SLICE("{\"a\":1}");
	*state = c;
	return 0;
}

static int teardown(void **state)
{
	struct client *c = *state;

	transport_free(c->transport);
	loop_free(c->loop);
	arena_reset(&c->arena);
	free(c);
	return 0;
}

static void on_done(void *ctx, const struct answer *a)
{
	struct client *c = ctx;

	c->n++;
	c->answer = *a;
	(void)slice_to_cstr(a->body, c->body, sizeof(c->body));
	(void)slice_to_cstr(slice_of(a->error), c->error, sizeof(c->error));
	c->answer.body = slice_of(c->body);
}

static void wait_for(struct client *c, int n)
{
	int64_t until_ns = clock_mono_ns() + 25 * NS_PER_S;

	while (c->n < n) {
		assert_true(clock_mono_ns() < until_ns);
		loop_turn(c->loop, true);
	}
}

static void exchange(struct client *c)
{
	int n = c->n;

	assert_int_equal(transport_send(c->transport, &c->channel, &c->request, on_done, c), BUR_OK);
	assert_int_equal(c->n, n); /* never from within */
	wait_for(c, n + 1);
}

static void ask(struct client *c, const struct server *s, const char *path)
{
	(void)snprintf(c->url, sizeof(c->url), "%s://127.0.0.1:%d%s", s->tls ? "https" : "http", s->port, path);
	exchange(c);
}

static bool says(const struct client *c, const char *words)
{
	if (strstr(c->error, words))
		return true;
	print_error("wanted \"%s\" in \"%s\"\n", words, c->error);
	return false;
}

/* --- HTTP --------------------------------------------------------------------------------------------------------- */

static void request_is_sent_as_built(void **state)
{
	static struct server s = {.mode = REPLY, .reply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"};
	struct client *c = *state;

	server_start(&s);
	c->request.method = "PUT";
	assert_int_equal(request_header(&c->request, "X-Name: %s", "value"), BUR_OK);
	ask(c, &s, "/secret?q=1");
	assert_int_equal(c->answer.fault, ANSWER_NO_FAULT);
	assert_int_equal(c->answer.code, 200);
	assert_string_equal(c->body, "ok");
	assert_string_equal(c->error, "");
	assert_true(was_sent(&s, "PUT /secret?q=1 HTTP/1.1\r\n"));
	assert_true(was_sent(&s, "X-Name: value\r\n"));
	assert_true(was_sent(&s, "User-Agent: bursar\r\n"));
	assert_true(was_sent(&s, "\r\n\r\n{\"a\":1}"));
	assert_false(was_sent(&s, "Expect"));
	ask(c, &s, "/");
	assert_int_equal(atomic_load(&s.connections), 1); /* kept */
	assert_int_equal(transport_active(c->transport), 0);
	server_stop(&s);
}

static void refusals_have_the_peers_words_without_secrets(void **state)
{
	static struct server s = {.mode = REPLY,
				  .reply = "HTTP/1.1 404 Not Found\r\nContent-Length: 64\r\n\r\nno service at "
					   "/services/T0001/verysecret,\r\nasked "
					   "with tok-123456"};
	struct client *c = *state;

	server_start(&s);
	assert_int_equal(request_header(&c->request, "Authorization: Bearer tok-123456"), BUR_OK);
	ask(c, &s, "/services/T0001/verysecret");
	assert_int_equal(c->answer.code, 404);
	assert_true(says(c, "answered 404: no service at ***, asked with ***"));
	assert_null(strstr(c->error, "verysecret"));
	server_stop(&s);
}

static void retry_after(void **state)
{
	static const struct {
		const char *header;
		int64_t least_s, most_s;
	} cases[] = {{"Retry-After: 7", 7, 7},
		     {"retry-after:  120 ", 120, 120},
		     {"Retry-After: 99999999999", 7 * 86400, 7 * 86400},
		     {"Retry-After: -5", -1, -1},
		     {"Retry-After: soon", -1, -1},
		     {"Retry-After: Sun, 06 Nov 1994 08:49:37 GMT", 0, 0},
		     {"X: y", -1, -1},
		     {NULL, 50, 61}};
	static struct server s = {.mode = REPLY};
	struct client *c = *state;
	static char replies[ARRAY_LEN(cases)][300];
	char date[100];
	time_t at = time(NULL) + 60;
	struct tm tm;

	server_start(&s);
	(void)strftime(date, sizeof(date), "Retry-After: %a, %d %b %Y %H:%M:%S GMT", gmtime_r(&at, &tm));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void)snprintf(replies[i], sizeof(replies[i]), "HTTP/1.1 429 Slow\r\n%s\r\nContent-Length: 0\r\n\r\n",
			       cases[i].header ? cases[i].header : date);
		s.reply = replies[i];
		ask(c, &s, "/");
		assert_int_equal(c->answer.code, 429);
		assert_in_range(c->answer.retry_after_s + 1, cases[i].least_s + 1, cases[i].most_s + 1);
	}
	server_stop(&s);
}

static void answers_are_cut(void **state)
{
	static struct server s = {.mode = BIG};
	struct client *c = *state;

	server_start(&s);
	ask(c, &s, "/");
	assert_int_equal(c->answer.fault, ANSWER_NO_FAULT);
	assert_int_equal(c->answer.code, 200);
	assert_int_equal(c->answer.body.n, ANSWER_BODY_MAX);
	server_stop(&s);
}

static void redirects_are_not_followed(void **state)
{
	static struct server s = {
	    .mode = REPLY,
	    .reply =
		"HTTP/1.1 302 Found\r\nLocation: http://user:pw@inside.example/secret\r\nContent-Length: 0\r\n\r\n"};
	struct client *c = *state;

	server_start(&s);
	ask(c, &s, "/");
	assert_int_equal(c->answer.code, 302);
	assert_true(says(c, "a redirect to http://inside.example/..."));
	assert_int_equal(atomic_load(&s.requests), 1);
	server_stop(&s);
}

static void broken_peers(void **state)
{
	static struct server closing = {.mode = CLOSE}, silly = {.mode = REPLY, .reply = "SSH-2.0-x\r\n\r\n"};
	struct client *c = *state;
	int port;

	server_start(&closing);
	server_start(&silly);
	ask(c, &closing, "/");
	assert_int_equal(c->answer.fault, ANSWER_BROKEN);
	assert_true(says(c, "broke off the connection without an answer"));
	ask(c, &silly, "/");
	assert_int_equal(c->answer.fault, ANSWER_BROKEN);
	port = closing.port;
	server_stop(&closing);
	server_stop(&silly);
	ask(c, &closing, "/");
	assert_int_equal(c->answer.fault, ANSWER_CONNECT);
	(void)snprintf(c->body, sizeof(c->body), "nobody listens at 127.0.0.1 port %d", port);
	assert_true(says(c, c->body));
}

static void a_hanging_peer_delays_nobody(void **state)
{
	static struct server slow = {.mode = HANG},
			     quick = {.mode = REPLY, .reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"};
	struct client *c = *state;
	char url[100];
	struct request hanging = {.arena = &c->arena, .kind = REQUEST_HTTP, .method = "POST", .url = url};
	int64_t began_ns;

	server_start(&slow);
	server_start(&quick);
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/", slow.port);
	assert_int_equal(transport_send(c->transport, &c->channel, &hanging, on_done, c), BUR_OK);
	began_ns = clock_mono_ns();
	for (int i = 0; i < 20; i++)
		ask(c, &quick, "/");
	assert_int_equal(c->answer.code, 200);
	assert_true(clock_mono_ns() - began_ns < 5 * NS_PER_S);
	assert_int_equal(transport_active(c->transport), 1);
	began_ns = clock_mono_ns();
	wait_for(c, 21); /* and gives up */
	assert_int_equal(c->answer.fault, ANSWER_TIMEOUT);
	assert_true(says(c, "took the message but did not answer within 15 seconds"));
	server_stop(&slow);
	server_stop(&quick);
}

static void many_at_once_are_refused(void **state)
{
	static struct server s = {.mode = HANG};
	struct client *c = *state;

	server_start(&s);
	(void)snprintf(c->url, sizeof(c->url), "http://127.0.0.1:%d/", s.port);
	for (int i = 0; i < TRANSPORT_ACTIVE_MAX; i++)
		assert_int_equal(transport_send(c->transport, &c->channel, &c->request, on_done, c), BUR_OK);
	assert_int_equal(transport_send(c->transport, &c->channel, &c->request, on_done, c), BUR_FULL);
	loop_turn(c->loop, false);
	transport_free(c->transport); /* nothing is told of what is dropped */
	c->transport = NULL;
	assert_int_equal(c->n, 0);
	server_stop(&s);
}

/* --- where it may go ---------------------------------------------------------------------------------------------- */

static void private_addresses_are_refused(void **state)
{
	static const char *const hosts[] = {"127.0.0.1",
					    "0x7f.1",
					    "2130706433",
					    "127.1",
					    "0177.0.0.1",
					    "0x7f000001",
					    "127.0.0.1.",
					    "localhost",
					    "LOCALHOST.",
					    "[::1]",
					    "[0:0:0:0:0:0:0:1]",
					    "[::ffff:127.0.0.1]",
					    "[::ffff:7f00:1]",
					    "[::127.0.0.1]",
					    "[64:ff9b::7f00:1]",
					    "[2002:7f00:1::]",
					    "0",
					    "0.0.0.0",
					    "[::]",
					    "10.0.0.1",
					    "10.255.255.255",
					    "172.16.0.1",
					    "172.31.255.1",
					    "192.168.1.1",
					    "169.254.169.254",
					    "[fe80::1]",
					    "[fd00:ec2::254]",
					    "[fc00::1]",
					    "100.64.0.1",
					    "100.127.0.1",
					    "224.0.0.1",
					    "255.255.255.255",
					    "198.18.0.1",
					    "192.0.2.1",
					    "240.0.0.1",
					    "[ff02::1]",
					    "[2001:db8::1]",
					    "0xa9fea9fe",
					    "0251.0376.0251.0376"};
	static struct server s = {.mode = REPLY, .reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"};
	struct client *c = *state;

	server_start(&s);
	c->channel.allow_private = false;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		(void)snprintf(c->url, sizeof(c->url), "http://%s:%d/", hosts[i], s.port);
		exchange(c);
		if (c->answer.fault == ANSWER_RESOLVE && strchr("1L", hosts[i][0]))
			continue; /* with a dot behind it, which some resolvers do not know; nowhere is fine, too */
		if (c->answer.fault != ANSWER_FORBIDDEN)
			print_error("%s: fault %d, %s\n", hosts[i], c->answer.fault, c->error);
		assert_int_equal(c->answer.fault, ANSWER_FORBIDDEN);
		assert_true(says(c, "allow_private"));
	}
	assert_int_equal(atomic_load(&s.connections), 0);
	server_stop(&s);
}

/* A connection that another channel opened with its rights is none for this one. */
static void kept_connections_are_judged_again(void **state)
{
	static struct server s = {.mode = REPLY, .reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"};
	struct client *c = *state;

	server_start(&s);
	ask(c, &s, "/");
	assert_int_equal(c->answer.code, 200);
	c->channel.allow_private = false;
	ask(c, &s, "/");
	assert_int_equal(c->answer.fault, ANSWER_FORBIDDEN);
	assert_int_equal(atomic_load(&s.requests), 1);
	server_stop(&s);
}

static void names_that_lead_inside_are_refused(void **state)
{
	static struct server s = {.mode = REPLY, .reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"};
	struct client *c = *state;

	server_start(&s);
	(void)snprintf(c->url, sizeof(c->url), "http://inside.test:%d/", s.port);
	exchange(c);
	assert_int_equal(c->answer.code, 200); /* it is really looked up here */
	c->channel.allow_private = false;
	(void)snprintf(c->url, sizeof(c->url), "http://inside.test:%d/", s.port);
	exchange(c);
	assert_int_equal(c->answer.fault, ANSWER_FORBIDDEN);
	assert_true(says(c, "inside.test is at 127.0.0.1"));
	assert_int_equal(atomic_load(&s.requests), 1);
	server_stop(&s);
}

/* Giving up a look-up must not wait for its thread: the loop would stand still. */
static void slow_name_servers_hold_nobody(void **state)
{
	struct client *c = *state;
	int64_t slowest_ns = 0;

	(void)snprintf(c->url, sizeof(c->url), "http://slow.test/");
	assert_int_equal(transport_send(c->transport, &c->channel, &c->request, on_done, c), BUR_OK);
	while (c->n == 0) {
		int64_t began_ns = clock_mono_ns(), took_ns;

		loop_turn(c->loop, false);
		took_ns = clock_mono_ns() - began_ns;
		slowest_ns = took_ns > slowest_ns ? took_ns : slowest_ns;
		(void)usleep(1000);
	}
	assert_int_equal(c->answer.fault, ANSWER_TIMEOUT);
	assert_true(says(c, "no name server says where slow.test is"));
	assert_true(slowest_ns < 3 * NS_PER_S);
}

static void urls_are_judged(void **state)
{
	struct client *c = *state;
	static const struct {
		const char *url, *words;
	} cases[] = {{"http://example.com/", "allow_http"},
		     {"ftp://127.0.0.1/", "https://"},
		     {"file:///etc/passwd", "not well formed"},
		     {"nonsense url", "not well formed"},
		     {"https://user:pw@127.0.0.1/", "must not hold a user name"}};

	c->channel.allow_http = false;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void)snprintf(c->url, sizeof(c->url), "%s", cases[i].url);
		exchange(c);
		assert_int_equal(c->answer.fault, ANSWER_FORBIDDEN);
		assert_true(says(c, cases[i].words));
	}
	(void)snprintf(c->url, sizeof(c->url), "http://no-such-host.invalid/");
	c->channel.allow_http = true;
	exchange(c);
	assert_int_equal(c->answer.fault, ANSWER_RESOLVE);
	assert_true(says(c, "no name server knows no-such-host.invalid"));
}

static void environment_proxies_are_not_used(void **state)
{
	static struct server s = {.mode = REPLY, .reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"};
	struct client *c = *state;

	server_start(&s);
	(void)setenv("http_proxy", "http://127.0.0.1:1/", 1);
	(void)setenv("ALL_PROXY", "http://127.0.0.1:1/", 1);
	ask(c, &s, "/");
	assert_int_equal(c->answer.code, 200);
	(void)unsetenv("http_proxy");
	(void)unsetenv("ALL_PROXY");
	server_stop(&s);
}

/* --- TLS ---------------------------------------------------------------------------------------------------------- */

static void certificates(void **state)
{
	static struct server good = {.mode = REPLY, .tls = true}, other = {.mode = REPLY, .tls = true},
			     old = {.mode = REPLY, .tls = true}, plain = {.mode = REPLY};
	struct client *c = *state;

	good.reply = other.reply = old.reply = plain.reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	test_cert_make(&good.cert, "IP:127.0.0.1", 0, 3600);
	test_cert_make(&other.cert, "DNS:elsewhere.example", 0, 3600);
	test_cert_make(&old.cert, "IP:127.0.0.1", -7200, -3600);
	server_start(&good);
	server_start(&other);
	server_start(&old);
	server_start(&plain);
	ask(c, &good, "/");
	assert_int_equal(c->answer.fault, ANSWER_TLS);
	assert_true(says(c, "is self-signed; if that is meant so, set ca_file"));
	c->channel.ca_file = good.cert.cert_path;
	ask(c, &good, "/");
	assert_int_equal(c->answer.code, 200);
	ask(c, &other, "/");
	assert_int_equal(c->answer.fault, ANSWER_TLS);
	c->channel.ca_file = other.cert.cert_path;
	ask(c, &other, "/");
	assert_true(says(c, "is for another host"));
	c->channel.ca_file = old.cert.cert_path;
	ask(c, &old, "/");
	assert_true(says(c, "has expired"));
	c->channel.ca_file = "/nowhere/ca.pem";
	ask(c, &good, "/");
	assert_true(says(c, "ca_file"));
	c->channel.ca_file = NULL;
	(void)snprintf(c->url, sizeof(c->url), "https://127.0.0.1:%d/", plain.port);
	exchange(c);
	assert_int_equal(c->answer.fault, ANSWER_TLS);
	assert_true(says(c, "does not speak TLS; is it a port for plain http?"));
	server_stop(&good);
	server_stop(&other);
	server_stop(&old);
	server_stop(&plain);
	test_cert_remove(&good.cert);
	test_cert_remove(&other.cert);
	test_cert_remove(&old.cert);
}

/* --- mail --------------------------------------------------------------------------------------------------------- */

static void mail_to(struct client *c, const struct server *s)
{
	struct request *r = &c->request;

	*r = (struct request){.arena = &c->arena,
			      .kind = REQUEST_MAIL,
			      .url = c->url,
			      .mail_from = "bursar@example.com",
			      .mail_to = "ops@example.com",
			      .mail_text = "Budget s\xc3\xbc\xc3\x9f\nis spent.\n",
			      .mail_html = "<p>Budget</p>\n",
			      .mail_security = s->tls ? MAIL_STARTTLS : MAIL_PLAINTEXT};
	c->channel.ca_file = NULL;
	if (s->tls) {
		r->user = "bursar";
		r->password = "hunter2-secret";
		c->channel.ca_file = s->cert.cert_path;
	}
	assert_int_equal(request_header(r, "Subject: hello"), BUR_OK);
	(void)snprintf(c->url, sizeof(c->url), "smtp://127.0.0.1:%d/node-1", s->port);
	exchange(c);
}

static void mail_is_sent(void **state)
{
	static struct server s = {.mode = MAIL, .tls = true, .offers = "STARTTLS"};
	struct client *c = *state;

	test_cert_make(&s.cert, "IP:127.0.0.1", 0, 3600);
	server_start(&s);
	mail_to(c, &s);
	assert_string_equal(c->error, "");
	assert_int_equal(c->answer.fault, ANSWER_NO_FAULT);
	assert_int_equal(c->answer.code, 250);
	assert_string_equal(c->body, "250 2.0.0 queued");
	assert_true(was_sent(&s, "EHLO node-1\r\nSTARTTLS\r\nEHLO node-1\r\nAUTH PLAIN\r\n"));
	assert_true(was_sent(&s, "MAIL FROM:<bursar@example.com>"));
	assert_true(was_sent(&s, "RCPT TO:<ops@example.com>"));
	assert_true(was_sent(&s, "\r\nContent-Type: multipart/alternative; boundary="));
	assert_true(was_sent(&s, "Content-Type: text/plain; charset=utf-8\r\n"));
	assert_true(was_sent(&s, "\r\nBudget s=C3=BC=C3=9F\r\nis spent.\r\n"));
	assert_false(was_sent(&s, "multipart/mixed"));
	assert_false(was_sent(&s, "=0A"));
	server_stop(&s);
	test_cert_remove(&s.cert);
}

static void mail_refusals(void **state)
{
	static const struct {
		const char *offers, *refuses, *words;
		bool tls;
		int code;
		enum answer_fault fault;
	} cases[] = {
	    {"STARTTLS", "LOGIN 535-5.7.8 Wrong\r\n535 5.7.8 password", "says: 535-5.7.8 Wrong 535 5.7.8 password",
	     true, 535, ANSWER_NO_FAULT},
	    {"STARTTLS", "RCPT 550 5.1.1 nobody", "says: 550 5.1.1 nobody", true, 550, ANSWER_NO_FAULT},
	    {"STARTTLS", "MAIL 452 later", "says: 452 later", true, 452, ANSWER_NO_FAULT},
	    {"STARTTLS", ". 554 spam", "says: 554 spam", true, 554, ANSWER_NO_FAULT},
	    {NULL, NULL, "offers no STARTTLS", true, 0, ANSWER_NO_TLS},
	    {NULL, "DATA 451 busy", "", false, 250, ANSWER_NO_FAULT},
	};
	struct client *c = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct server *s = calloc(1, sizeof(*s));

		s->mode = MAIL;
		s->tls = cases[i].tls;
		s->offers = cases[i].offers;
		s->refuses = cases[i].refuses;
		test_cert_make(&s->cert, "IP:127.0.0.1", 0, 3600);
		server_start(s);
		mail_to(c, s);
		assert_true(says(c, cases[i].words));
		assert_int_equal(c->answer.fault, cases[i].fault);
		assert_int_equal(c->answer.code, cases[i].code);
		assert_false(was_sent(s, "hunter2"));
		server_stop(s);
		test_cert_remove(&s->cert);
		free(s);
	}
}

static void passwords_are_not_sent_in_the_open(void **state)
{
	static struct server s = {.mode = MAIL, .offers = "AUTH PLAIN LOGIN"};
	struct client *c = *state;

	server_start(&s);
	mail_to(c, &s);
	assert_int_equal(c->answer.code, 250);
	c->request.user = "bursar";
	c->request.password = "hunter2-secret";
	exchange(c);
	assert_int_equal(c->answer.fault, ANSWER_FORBIDDEN);
	assert_true(says(c, "never sent unencrypted"));
	assert_int_equal(atomic_load(&s.connections), 1);
	c->request.user = NULL;
	c->request.mail_to = "a@example.com> <b@example.com";
	exchange(c);
	assert_int_equal(c->answer.fault, ANSWER_FORBIDDEN);
	c->request.mail_to = "a@example.com";
	c->channel.allow_private = false;
	exchange(c);
	assert_int_equal(c->answer.fault, ANSWER_FORBIDDEN);
	assert_true(says(c, "allow_private"));
	server_stop(&s);
}

/* A server that stalls after the last byte is where libcurl would hold the loop. */
static void a_stalling_mail_server_delays_nobody(void **state)
{
	static struct server s = {.mode = MAIL, .refuses = "."},
			     quick = {.mode = REPLY, .reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"};
	struct client *c = *state;
	struct request mail;
	char url[100];
	int64_t began_ns;

	server_start(&s);
	server_start(&quick);
	(void)snprintf(url, sizeof(url), "smtp://127.0.0.1:%d/x", s.port);
	mail = (struct request){.arena = &c->arena,
				.kind = REQUEST_MAIL,
				.url = url,
				.mail_from = "a@b.example",
				.mail_to = "c@d.example",
				.mail_text = "x",
				.mail_security = MAIL_PLAINTEXT};
	assert_int_equal(transport_send(c->transport, &c->channel, &mail, on_done, c), BUR_OK);
	began_ns = clock_mono_ns();
	for (int i = 0; i < 10; i++)
		ask(c, &quick, "/");
	transport_free(c->transport);
	c->transport = NULL;
	assert_true(clock_mono_ns() - began_ns < 5 * NS_PER_S);
	assert_int_equal(c->n, 10);
	server_stop(&s);
	server_stop(&quick);
}

/* --- logs --------------------------------------------------------------------------------------------------------- */

static void log_line(struct client *c, const char *path, struct slice line)
{
	c->channel.logline.path = path;
	c->request = (struct request){.arena = &c->arena, .kind = REQUEST_LOG, .body = line};
	exchange(c);
}

static size_t file_size(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (size_t)st.st_size : SIZE_MAX;
}

static void lines_go_into_files(void **state)
{
	char dir[] = "/tmp/bursar-alerts-log-XXXXXX", path[100], other[200], text[64];
	struct client *c = *state;
	struct stat st;
	gzFile gz;
	int fd;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/alerts.log", dir);
	log_line(c, path, SLICE("one"));
	log_line(c, path, SLICE("two"));
	assert_int_equal(c->answer.fault, ANSWER_NO_FAULT);
	assert_int_equal(file_size(path), 8);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	for (int i = 0; i < 7; i++) { /* renewed and kept, five times */
		assert_int_equal(truncate(path, 10 * 1024 * 1024), 0);
		log_line(c, path, SLICE("new"));
		assert_int_equal(file_size(path), 4);
	}
	for (int i = 1; i <= 6; i++) {
		(void)snprintf(other, sizeof(other), "%s.%d.gz", path, i);
		assert_int_equal(file_size(other) != SIZE_MAX, i <= 5);
		if (i == 1) {
			gz = gzopen(other, "rb");
			assert_int_equal(gzread(gz, text, 4), 4);
			assert_memory_equal(text, "new\n", 4);
			(void)gzclose(gz);
		}
		(void)unlink(other);
	}
	(void)snprintf(other, sizeof(other), "%s/link", dir);
	assert_int_equal(symlink(path, other), 0);
	log_line(c, other, SLICE("x"));
	assert_int_equal(c->answer.fault, ANSWER_INTERNAL);
	assert_true(says(c, "cannot open"));
	(void)unlink(other);
	(void)unlink(path);
	log_line(c, dir, SLICE("x"));
	assert_int_equal(c->answer.fault, ANSWER_INTERNAL);
	/* syslog's kind */
	(void)snprintf(other, sizeof(other), "%s/sock", dir);
	fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	(void)slice_to_cstr(slice_of(other), un.sun_path, sizeof(un.sun_path));
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	log_line(c, other, SLICE("<13>1 hello"));
	assert_int_equal(c->answer.fault, ANSWER_NO_FAULT);
	assert_int_equal(recv(fd, text, sizeof(text), 0), 11);
	(void)close(fd);
	log_line(c, other, SLICE("x"));
	assert_int_equal(c->answer.fault, ANSWER_INTERNAL);
	(void)unlink(other);
	(void)rmdir(dir);
}

static void send_one_more(void *ctx, const struct answer *a)
{
	struct client *c = ctx;

	assert_int_equal(a->fault, ANSWER_NO_FAULT);
	c->n++;
	assert_int_equal(transport_send(c->transport, &c->channel, &c->request, send_one_more, c), BUR_OK);
}

/* A channel that has always one more line to write gives the loop back after each. */
static void many_lines_do_not_hold_the_loop(void **state)
{
	char dir[] = "/tmp/bursar-alerts-log-XXXXXX", path[100];
	struct client *c = *state;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/alerts.log", dir);
	c->channel.logline.path = path;
	c->request = (struct request){.arena = &c->arena, .kind = REQUEST_LOG, .body = SLICE("line")};
	assert_int_equal(transport_send(c->transport, &c->channel, &c->request, send_one_more, c), BUR_OK);
	for (int i = 0; i < 20; i++)
		loop_turn(c->loop, false);
	assert_in_range(c->n, 10, 20);
	(void)unlink(path);
	(void)rmdir(dir);
}

static void lines_go_into_our_log(void **state)
{
	struct client *c = *state;
	char text[4096];
	int pipe_fd[2];
	ssize_t n;
	json_t *line;

	assert_int_equal(pipe(pipe_fd), 0);
	log_init(pipe_fd[1], LOG_INFO);
	log_line(c, NULL,
		 SLICE("{\"severity\":\"error\",\"level\":\"CRITICAL\",\"title\":\"Budget\",\"n\":3,\"event\":\"x\"}"));
	log_line(c, NULL, SLICE("plain \x01 text"));
	log_line(c, NULL, SLICE("{\"severity\":\"critical\",\"level\":\"INFO\",\"state\":\"resolved\"}"));
	log_init(STDERR_FILENO, LOG_INFO);
	n = read(pipe_fd[0], text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	line = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);
	assert_string_equal(fact_text(line, "event"), "alert");
	assert_string_equal(fact_text(line, "level"), "error");
	assert_string_equal(fact_text(line, "title"), "Budget");
	assert_int_equal(fact_int(line, "n"), 3);
	json_decref(line);
	assert_non_null(strstr(text, "plain \\u0001 text"));
	assert_non_null(strstr(text, "\"level\":\"info\",\"event\":\"alert\",\"severity\":\"critical\""));
	(void)close(pipe_fd[0]);
	(void)close(pipe_fd[1]);
}

/* --- words -------------------------------------------------------------------------------------------------------- */

static void urls_are_redacted(void **state)
{
	static const char *const cases[][2] = {
	    {"https://hooks.slack.com/services/T/B/x", "https://hooks.slack.com/..."},
	    {"https://h.example:8443?sig=abc", "https://h.example:8443/..."},
	    {"https://user:pw@h.example/x", "https://h.example/..."},
	    {"https://a@b@h.example/", "https://h.example/..."},
	    {"https://h.example", "https://h.example"},
	    {"https://h\n.example/x", "https://h?.example/..."},
	    {"", ""}};
	char text[200], small[8];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(transport_redact(cases[i][0], text, sizeof(text)), cases[i][1]);
	assert_string_equal(transport_redact("https://hooks.slack.com/x", small, sizeof(small)), "https:/");
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(request_is_sent_as_built),
	    T(refusals_have_the_peers_words_without_secrets),
	    T(retry_after),
	    T(answers_are_cut),
	    T(redirects_are_not_followed),
	    T(broken_peers),
	    T(a_hanging_peer_delays_nobody),
	    T(many_at_once_are_refused),
	    T(private_addresses_are_refused),
	    T(kept_connections_are_judged_again),
	    T(names_that_lead_inside_are_refused),
	    T(slow_name_servers_hold_nobody),
	    T(urls_are_judged),
	    T(environment_proxies_are_not_used),
	    T(certificates),
	    T(mail_is_sent),
	    T(mail_refusals),
	    T(passwords_are_not_sent_in_the_open),
	    T(a_stalling_mail_server_delays_nobody),
	    T(lines_go_into_files),
	    T(many_lines_do_not_hold_the_loop),
	    T(lines_go_into_our_log),
	    cmocka_unit_test(urls_are_redacted),
	};

	(void)signal(SIGPIPE, SIG_IGN); /* as the program does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
