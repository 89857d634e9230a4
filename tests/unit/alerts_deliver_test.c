#include "tests/unit/store_help.h"

#include <arpa/inet.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "alerts/deliver.h"
#include "base/check.h"
#include "base/metrics.h"
#include "net/loop.h"
#include "store/alerts.h"

#define START_NS (INT64_C(1795248000) * NS_PER_S)
#define HOUR_NS (3600 * NS_PER_S)

/* --- a receiver in a thread --------------------------------------------------------------------------------------- */

/* Answers with the next status of the script, then 200; 0: silence until the peer leaves; 429 with Retry-After: 600. */
#define GOT_MAX 2000
struct receiver {
	int fd, port;
	pthread_t thread;
	pthread_mutex_t mutex;
	int script[64];
	size_t at, n_script;
	char got[GOT_MAX][24]; /* the messages' ids */
	size_t n_got;
	atomic_int open_fd;
};

static bool read_request(struct receiver *r, int fd)
{
	char text[4096];
	size_t n = 0;
	char *body;

	do {
		ssize_t got = recv(fd, text + n, sizeof(text) - 1 - n, 0);

		if (got <= 0)
			return false;
		n += (size_t)got;
		text[n] = '\0';
		body = strstr(text, "\r\n\r\n");
	} while (!body || !strchr(body + 4, '.')); /* the body is "id." */
	CHECK(pthread_mutex_lock(&r->mutex) == 0);
	if (r->n_got < GOT_MAX)
		(void)slice_to_cstr(slice_mem(body + 4, strcspn(body + 4, ".")), r->got[r->n_got++], 24);
	CHECK(pthread_mutex_unlock(&r->mutex) == 0);
	return true;
}

static bool answer(struct receiver *r, int fd)
{
	char text[200];
	int code;

	CHECK(pthread_mutex_lock(&r->mutex) == 0);
	code = r->at < r->n_script ? r->script[r->at++] : 200;
	CHECK(pthread_mutex_unlock(&r->mutex) == 0);
	if (code == 0) {
		(void)recv(fd, text, 1, 0);
		return false;
	}
	(void)snprintf(text, sizeof(text), "HTTP/1.1 %d X\r\n%sContent-Length: 2\r\n\r\nhm", code,
		       code == 429 ? "Retry-After: 600\r\n" : "");
	return send(fd, text, strlen(text), MSG_NOSIGNAL) > 0;
}

static void *receiver_run(void *arg)
{
	struct receiver *r = arg;

	for (;;) {
		int fd = accept(r->fd, NULL, NULL);

		if (fd < 0)
			return NULL;
		atomic_store(&r->open_fd, fd);
		while (read_request(r, fd) && answer(r, fd))
			;
		atomic_store(&r->open_fd, -1);
		(void)close(fd);
	}
}

static struct receiver *receiver_start(void)
{
	struct receiver *r = calloc(1, sizeof(*r));
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);

	r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(r->fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(r->fd, 16), 0);
	assert_int_equal(getsockname(r->fd, (struct sockaddr *)&addr, &len), 0);
	r->port = ntohs(addr.sin_port);
	assert_int_equal(pthread_mutex_init(&r->mutex, NULL), 0);
	atomic_store(&r->open_fd, -1);
	assert_int_equal(pthread_create(&r->thread, NULL, receiver_run, r), 0);
	return r;
}

static void receiver_stop(struct receiver *r)
{
	int fd = atomic_load(&r->open_fd);

	(void)shutdown(r->fd, SHUT_RDWR);
	if (fd >= 0)
		(void)shutdown(fd, SHUT_RDWR);
	assert_int_equal(pthread_join(r->thread, NULL), 0);
	(void)close(r->fd);
	free(r);
}

static void script(struct receiver *r, const int *codes, size_t n)
{
	assert_int_equal(pthread_mutex_lock(&r->mutex), 0);
	memcpy(r->script, codes, n * sizeof(*codes));
	r->at = 0;
	r->n_script = n;
	r->n_got = 0;
	assert_int_equal(pthread_mutex_unlock(&r->mutex), 0);
}
#define SCRIPT(r, ...) script((r), (const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

static size_t got(struct receiver *r)
{
	size_t n;

	assert_int_equal(pthread_mutex_lock(&r->mutex), 0);
	n = r->n_got;
	assert_int_equal(pthread_mutex_unlock(&r->mutex), 0);
	return n;
}

/* --- a channel of the test's own ---------------------------------------------------------------------------------- */

static int request(const struct channel *c, const struct message *m, struct request *r)
{
	if (strstr(m->id, "mute"))
		return BUR_ALREADY;
	if (strstr(m->id, "form") && !m->plain)
		return BUR_TOOBIG;
	r->kind = REQUEST_HTTP;
	r->url = c->webhook.url;
	r->method = "POST";
	r->body = arena_printf(r->arena, "%s%s%s.", m->id, m->ref[0] ? "@" : "", m->ref);
	return r->body.p ? BUR_OK : BUR_NOMEM;
}

static void judge(const struct channel *c, const struct message *m, const struct answer *a, struct verdict *v)
{
	(void)c;
	verdict_http(a, v);
	if (a->code == 202 && m->step == 0)
		v->outcome = OUTCOME_MORE;
	if (a->code == 422)
		v->outcome = OUTCOME_DEAD;
	if (a->code == 415)
		v->outcome = OUTCOME_PLAIN;
	if (v->outcome == OUTCOME_SENT)
		(void)snprintf(v->ref, sizeof(v->ref), "r%d", m->step);
}

static int refresh(const struct channel *c, const struct message *list, size_t n, struct request *r)
{
	r->kind = REQUEST_HTTP;
	r->url = c->webhook.url;
	r->body = arena_printf(r->arena, "refresh-%zu-%s.", n, list[0].id);
	return r->body.p ? BUR_OK : BUR_NOMEM;
}

static const struct channel_ops ops = {.type = "test", .request = request, .judge = judge},
				refreshing_ops = {.type = "test",
						  .request = request,
						  .judge = judge,
						  .refresh = refresh,
						  .refresh_ns = 60 * NS_PER_S},
				slow_ops = {
				    .type = "test", .request = request, .judge = judge, .interval_ns = NS_PER_S};

/* --- the world ---------------------------------------------------------------------------------------------------- */

struct world {
	char dir[64], url[2][64];
	struct store *store;
	struct sqlite3 *reader;
	struct loop *loop;
	struct receiver *receiver[2];
	struct channel channel[2];
	struct alerts_config config;
	struct deliver *deliver;
	int64_t now_ns, next;
};

static int64_t world_now(void *ctx)
{
	return ((struct world *)ctx)->now_ns;
}

static void start(struct world *w)
{
	const struct alerts_deps deps = {.store = w->store, .loop = w->loop, .now_ns = world_now, .ctx = w};

	w->deliver = deliver_new(&w->config, &deps, w->reader);
	assert_non_null(w->deliver);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct store_config cfg;

	(void)signal(SIGPIPE, SIG_IGN);
	cfg = test_config(new_dir(w->dir));
	w->store = must_open(&cfg, NULL);
	assert_int_equal(store_reader(w->store, &w->reader), BUR_OK);
	w->loop = loop_new();
	for (int i = 0; i < 2; i++) {
		w->receiver[i] = receiver_start();
		(void)snprintf(w->url[i], sizeof(w->url[i]), "http://127.0.0.1:%d/very-secret", w->receiver[i]->port);
		w->channel[i] = (struct channel){
		    .name = i == 0 ? "one" : "two", .ops = &ops, .allow_http = true, .allow_private = true};
		w->channel[i].webhook.url = w->url[i];
	}
	w->config = (struct alerts_config){.enabled = true, .channels = w->channel, .n_channels = 2, .node = "n"};
	w->now_ns = START_NS;
	w->next = 1;
	start(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	deliver_free(w->deliver);
	loop_free(w->loop);
	(void)sqlite3_close(w->reader);
	store_close(w->store);
	for (int i = 0; i < 2; i++)
		receiver_stop(w->receiver[i]);
	remove_dir(w->dir);
	free(w);
	return 0;
}

/* A row of the outbox, due now; its id. */
static int64_t put(struct world *w, const char *channel, const char *id, int64_t incident, enum message_op op)
{
	char facts[200];
	struct outbox_row row = {.id = w->next++,
				 .incident = incident,
				 .op = op,
				 .severity = SEVERITY_ERROR,
				 .channel = slice_of(channel),
				 .reason = SLICE(""),
				 .last_error = SLICE(""),
				 .created_ns = w->now_ns,
				 .next_ns = w->now_ns};
	const struct alerts_change change = {.outbox = &row, .n_outbox = 1, .now_ns = w->now_ns};

	(void)snprintf(facts, sizeof(facts), "{\"id\":\"%s\",\"type\":\"budget.exceeded\",\"severity\":\"error\"}", id);
	row.facts = slice_of(facts);
	assert_int_equal(alerts_write(w->store, &change), BUR_OK);
	if (w->deliver)
		deliver_wake(w->deliver);
	return row.id;
}

/* Ticks until nothing is under way and nothing is due at this instant. */
static void settle(struct world *w)
{
	int64_t until_ns = clock_mono_ns() + 20 * NS_PER_S;

	do {
		assert_true(clock_mono_ns() < until_ns);
		deliver_tick(w->deliver, w->now_ns);
		loop_turn(w->loop, false);
		if (!deliver_idle(w->deliver))
			(void)usleep(500);
	} while (!deliver_idle(w->deliver));
}

static void later(struct world *w, int64_t ns)
{
	w->now_ns += ns;
	settle(w);
}

static int take(void *ctx, const struct outbox_row *row)
{
	*(struct outbox_row *)ctx = *row; /* its texts are gone then */
	return BUR_OK;
}

static struct outbox_row row(struct world *w, int64_t id)
{
	const struct outbox_filter f = {.state = -1, .id = id, .limit = 1};
	struct outbox_row r = {.id = 0};

	assert_int_equal(alerts_each_outbox(w->reader, &f, take, &r), BUR_OK);
	assert_int_equal(r.id, id);
	return r;
}

static int64_t sql(struct world *w, const char *text)
{
	return sql_int(w->dir, text);
}

static bool received(struct world *w, int i, const char *const *ids, size_t n)
{
	struct receiver *r = w->receiver[i];
	bool same = got(r) == n;

	for (size_t k = 0; k < n && same; k++)
		same = strcmp(r->got[k], ids[k]) == 0;
	for (size_t k = 0; k < r->n_got && !same; k++)
		print_error("received %s\n", r->got[k]);
	return same;
}
#define RECEIVED(w, i, ...)                                                                                            \
	received((w), (i), (const char *const[]){__VA_ARGS__},                                                         \
		 sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* --- tests -------------------------------------------------------------------------------------------------------- */

static void delays(void **state)
{
	static const int64_t table[] = {5, 30, 120, 600, 1800, 3600, 10800, 21600, 43200, 86400};

	(void)state;
	for (int i = 1; i <= 10; i++) {
		assert_int_equal(deliver_delay_s(i, 0), table[i - 1] * 4 / 5);
		assert_int_equal(deliver_delay_s(i, UINT32_MAX), table[i - 1] * 6 / 5);
		assert_int_equal(deliver_delay_s(i, UINT32_MAX / 2), table[i - 1]);
	}
	assert_int_equal(deliver_delay_s(-1, 0), 4);
	assert_int_equal(deliver_delay_s(99, 0), 69120);
}

static void sum_sent(void *ctx, const char *channel, const char *type, const char *outcome, uint64_t n)
{
	assert_true(strcmp(channel, "one") == 0 || strcmp(channel, "two") == 0);
	assert_string_equal(type, "budget.exceeded");
	assert_string_equal(outcome, "sent");
	*(uint64_t *)ctx += n;
}

static void messages_are_sent_once(void **state)
{
	struct world *w = *state;
	struct deliver_counts c;
	uint64_t sent = 0;
	int64_t a = put(w, "one", "a", 7, SAY_FIRE), b = put(w, "two", "b", 7, SAY_FIRE);

	w->now_ns += 3 * NS_PER_S;
	settle(w);
	settle(w);
	assert_true(RECEIVED(w, 0, "a"));
	assert_true(RECEIVED(w, 1, "b"));
	assert_int_equal(row(w, a).state, OUTBOX_SENT);
	assert_int_equal(row(w, a).sent_ns, w->now_ns);
	assert_int_equal(row(w, a).attempts, 1);
	assert_int_equal(row(w, a).last_status, 200);
	assert_int_equal(row(w, b).state, OUTBOX_SENT);
	assert_int_equal(sql(w, "SELECT count(*) FROM delivery WHERE success=1 AND attempt=1 AND status=200"), 2);
	assert_int_equal(sql(w, "SELECT count(*) FROM told WHERE incident=7 AND ref='r0' AND severity=2 AND ts>0"), 2);
	assert_int_equal(sql(w, "SELECT sum(sent) FROM channel_state WHERE NOT disabled AND since=0"), 2);
	deliver_count(w->deliver, 0, &c);
	assert_int_equal(c.sent, 1);
	deliver_each_count(w->deliver, sum_sent, &sent);
	assert_int_equal(sent, 2);
	assert_int_equal(atomic_load(&deliver_seconds(w->deliver)->sum_ns), 6 * NS_PER_S);
	put(w, "one", "c", 7, SAY_UPDATE); /* what the channel keeps of the incident comes back */
	settle(w);
	assert_true(RECEIVED(w, 0, "a", "c@r0"));
	assert_int_equal(sql(w, "SELECT count(*) FROM event"), 0);
}

static void failures_are_tried_again(void **state)
{
	struct world *w = *state;
	int64_t a;

	SCRIPT(w->receiver[0], 500, 500, 200);
	a = put(w, "one", "a", 0, SAY_FIRE);
	settle(w);
	assert_int_equal(row(w, a).state, OUTBOX_QUEUED);
	assert_in_range(row(w, a).next_ns - w->now_ns, 4 * NS_PER_S, 6 * NS_PER_S);
	assert_int_equal(sql(w, "SELECT count(*) FROM channel_state WHERE channel='one' AND since>0 AND failed=1"), 1);
	later(w, 3 * NS_PER_S);
	assert_int_equal(got(w->receiver[0]), 1);
	later(w, 3 * NS_PER_S);
	assert_in_range(row(w, a).next_ns - w->now_ns, 24 * NS_PER_S, 36 * NS_PER_S);
	later(w, 36 * NS_PER_S);
	assert_int_equal(row(w, a).state, OUTBOX_SENT);
	assert_int_equal(row(w, a).attempts, 3);
	assert_true(RECEIVED(w, 0, "a", "a", "a"));
	assert_int_equal(sql(w, "SELECT count(*) FROM delivery"), 3);
	assert_int_equal(sql(w, "SELECT count(*) FROM delivery WHERE error LIKE '%very-secret%'"), 0);
	assert_int_equal(sql(w, "SELECT count(*) FROM channel_state WHERE since=0 AND failed=2 AND sent=1"), 1);
}

static void after_ten_tries_others_are_told(void **state)
{
	struct world *w = *state;
	int64_t a;

	SCRIPT(w->receiver[0], 500, 500, 500, 500, 500, 500, 500, 500, 500, 500, 500);
	a = put(w, "one", "a", 3, SAY_FIRE);
	settle(w);
	for (int i = 0; i < 9; i++) {
		assert_int_equal(row(w, a).state, OUTBOX_QUEUED);
		later(w, row(w, a).next_ns - w->now_ns);
	}
	assert_int_equal(row(w, a).state, OUTBOX_DEAD);
	assert_int_equal(got(w->receiver[0]), 10);
	assert_int_equal(sql(w, "SELECT count(*) FROM event WHERE kind='system.degraded' AND action=100 AND "
				"payload->>'object'='one' AND payload->>'object_kind'='channel'"),
			 1);
	/* that it is over is not told of what was never told */
	a = put(w, "one", "b", 3, SAY_RESOLVE);
	settle(w);
	assert_int_equal(row(w, a).state, OUTBOX_DROPPED);
	put(w, "one", "c", 4, SAY_FIRE);
	later(w, 60 * NS_PER_S);
	assert_int_equal(sql(w, "SELECT count(*) FROM event WHERE kind='system.degraded' AND action=100"), 1);
	later(w, 60 * NS_PER_S);
	assert_int_equal(sql(w, "SELECT count(*) FROM event WHERE kind='system.degraded' AND action=101"), 1);
}

static void an_incident_keeps_its_order(void **state)
{
	struct world *w = *state;
	int64_t fire, update, other;

	SCRIPT(w->receiver[0], 503);
	fire = put(w, "one", "fire", 5, SAY_FIRE);
	settle(w);
	update = put(w, "one", "update", 5, SAY_UPDATE);
	other = put(w, "one", "other", 6, SAY_FIRE);
	settle(w);
	assert_int_equal(row(w, update).state, OUTBOX_QUEUED);
	assert_int_equal(row(w, update).next_ns, row(w, fire).next_ns);
	assert_int_equal(row(w, other).state, OUTBOX_SENT);
	later(w, 6 * NS_PER_S);
	assert_true(RECEIVED(w, 0, "fire", "other", "fire", "update@r0"));
	/* both due at once, the later one first by its time */
	fire = put(w, "one", "f2", 8, SAY_FIRE);
	w->now_ns -= NS_PER_S;
	put(w, "one", "u2", 8, SAY_UPDATE);
	later(w, NS_PER_S);
	assert_true(RECEIVED(w, 0, "fire", "other", "fire", "update@r0", "f2", "u2@r0"));
}

static void a_channel_to_mend_is_left_alone(void **state)
{
	struct world *w = *state;
	int64_t a, test;

	SCRIPT(w->receiver[0], 401, 401, 401);
	a = put(w, "one", "a", 1, SAY_FIRE);
	settle(w);
	assert_int_equal(row(w, a).state, OUTBOX_QUEUED);
	assert_int_equal(row(w, a).next_ns, w->now_ns + HOUR_NS);
	put(w, "one", "b", 2, SAY_FIRE);
	later(w, HOUR_NS / 2);
	assert_int_equal(got(w->receiver[0]), 1);
	assert_int_equal(sql(w, "SELECT count(*) FROM event WHERE kind='system.degraded'"), 1);
	/* a test goes through, and nothing follows from it */
	test = put(w, "one", "t", 0, SAY_TEST);
	settle(w);
	assert_int_equal(row(w, test).state, OUTBOX_DEAD);
	assert_int_equal(row(w, test).attempts, 1);
	assert_true(RECEIVED(w, 0, "a", "t"));
	put(w, "one", "t2", 0, SAY_TEST);
	SCRIPT(w->receiver[0], 200); /* mended */
	settle(w);
	assert_int_equal(row(w, a).state, OUTBOX_QUEUED); /* its hour is not over */
	assert_true(RECEIVED(w, 0, "t2", "b"));
	assert_int_equal(sql(w, "SELECT count(*) FROM event WHERE action=101"), 1);
	later(w, HOUR_NS / 2);
	assert_int_equal(row(w, a).state, OUTBOX_SENT);
}

static void a_channel_that_is_gone_is_disabled(void **state)
{
	struct world *w = *state;
	int64_t a;

	SCRIPT(w->receiver[0], 410, 410);
	a = put(w, "one", "a", 1, SAY_FIRE);
	settle(w);
	later(w, 100 * HOUR_NS);
	assert_int_equal(got(w->receiver[0]), 1);
	assert_int_equal(row(w, a).state, OUTBOX_QUEUED);
	assert_int_equal(sql(w, "SELECT disabled FROM channel_state WHERE channel='one'"), 1);
	/* a restart is one more chance */
	deliver_free(w->deliver);
	start(w);
	settle(w);
	assert_int_equal(got(w->receiver[0]), 2);
	assert_int_equal(sql(w, "SELECT disabled FROM channel_state WHERE channel='one'"), 1);
	assert_int_equal(sql(w, "SELECT count(*) FROM event"), 1);
	assert_int_equal(deliver_enable(w->deliver, "nobody", "me"), BUR_NOTFOUND);
	assert_int_equal(deliver_enable(w->deliver, "one", "me"), BUR_OK);
	settle(w);
	assert_int_equal(row(w, a).state, OUTBOX_SENT);
	assert_int_equal(sql(w, "SELECT disabled FROM channel_state WHERE channel='one'"), 0);
	assert_int_equal(sql(w, "SELECT count(*) FROM audit WHERE action='alerts.enable' AND actor='me'"), 1);
	assert_int_equal(sql(w, "SELECT count(*) FROM event"), 2);
}

/* It was taken out of the configuration: nothing waits for it for ever, and its trouble is over. */
static void a_channel_that_is_configured_no_more(void **state)
{
	struct world *w = *state;
	int64_t id[2];

	SCRIPT(w->receiver[1], 403);
	id[0] = put(w, "two", "a", 1, SAY_FIRE);
	settle(w);
	id[1] = put(w, "two", "b", 2, SAY_FIRE);
	assert_int_equal(row(w, id[0]).state, OUTBOX_QUEUED);
	assert_int_equal(sql(w, "SELECT count(*) FROM event WHERE kind='system.degraded' AND action=100"), 1);
	deliver_free(w->deliver);
	w->config.n_channels = 1;
	start(w);
	put(w, "one", "c", 3, SAY_FIRE);
	settle(w);
	assert_int_equal(row(w, id[0]).state, OUTBOX_DROPPED);
	assert_int_equal(row(w, id[1]).state, OUTBOX_DROPPED);
	assert_int_equal(sql(w, "SELECT count(*) FROM outbox WHERE reason='channel_gone'"), 2);
	assert_int_equal(sql(w, "SELECT count(*) FROM outbox WHERE state=1"), 1);
	assert_int_equal(sql(w, "SELECT count(*) FROM event WHERE kind='system.degraded' AND action=101"), 1);
	deliver_free(w->deliver); /* once */
	start(w);
	settle(w);
	assert_int_equal(sql(w, "SELECT count(*) FROM event WHERE action=101"), 1);
}

/* The clock was a day ahead. */
static void a_clock_that_is_set_back(void **state)
{
	struct world *w = *state;

	SCRIPT(w->receiver[0], 403);
	w->now_ns += 24 * HOUR_NS;
	put(w, "one", "a", 1, SAY_FIRE);
	settle(w);
	w->now_ns -= 24 * HOUR_NS;
	assert_int_equal(alerts_set_back(w->store, 24 * HOUR_NS, w->now_ns), BUR_OK);
	settle(w);
	later(w, 50 * 60 * NS_PER_S);
	assert_true(RECEIVED(w, 0, "a"));
	later(w, 11 * 60 * NS_PER_S);
	assert_true(RECEIVED(w, 0, "a", "a"));
}

static void five_days_of_failures(void **state)
{
	struct world *w = *state;
	int codes[64];

	for (int i = 0; i < 64; i++)
		codes[i] = 500;
	script(w->receiver[0], codes, 64);
	put(w, "one", "a", 1, SAY_FIRE);
	settle(w);
	for (int day = 0; day < 6; day++) {
		put(w, "one", "b", 10 + day, SAY_FIRE);
		later(w, 24 * HOUR_NS);
	}
	assert_int_equal(sql(w, "SELECT disabled FROM channel_state WHERE channel='one'"), 1);
}

static void peers_say_when(void **state)
{
	struct world *w = *state;
	int64_t a;

	SCRIPT(w->receiver[0], 429);
	a = put(w, "one", "a", 1, SAY_FIRE);
	settle(w);
	assert_int_equal(row(w, a).next_ns, w->now_ns + 600 * NS_PER_S);
	put(w, "one", "b", 2, SAY_FIRE);
	later(w, 599 * NS_PER_S);
	assert_int_equal(got(w->receiver[0]), 1);
	later(w, NS_PER_S);
	assert_true(RECEIVED(w, 0, "a", "b", "a"));
}

static void many_failures_are_not_many_tries(void **state)
{
	struct world *w = *state;
	int codes[64];
	char id[20];

	for (int i = 0; i < 64; i++)
		codes[i] = 500;
	script(w->receiver[0], codes, 64);
	for (int i = 0; i < 40; i++) {
		(void)snprintf(id, sizeof(id), "m%d", i);
		put(w, "one", id, 100 + i, SAY_FIRE);
	}
	settle(w);
	assert_true(got(w->receiver[0]) <= 2);
	for (int i = 0; i < 60; i++)
		later(w, NS_PER_S);
	assert_true(got(w->receiver[0]) <= 8);
}

static void steps_and_forms(void **state)
{
	struct world *w = *state;
	int64_t a, b, c, d, e;

	SCRIPT(w->receiver[0], 202, 200, 415, 200, 415, 415, 422);
	a = put(w, "one", "a", 1, SAY_FIRE);
	settle(w);
	assert_int_equal(row(w, a).state, OUTBOX_SENT);
	assert_int_equal(row(w, a).attempts, 1);
	assert_int_equal(sql(w, "SELECT count(*) FROM told WHERE ref='r1'"), 1);
	b = put(w, "one", "b", 2, SAY_FIRE);
	settle(w);
	assert_int_equal(row(w, b).state, OUTBOX_SENT);
	c = put(w, "one", "c", 3, SAY_FIRE);
	settle(w);
	assert_int_equal(row(w, c).state, OUTBOX_DEAD);
	d = put(w, "one", "d", 4, SAY_FIRE);
	settle(w);
	assert_int_equal(row(w, d).state, OUTBOX_DEAD);
	d = put(w, "one", "form", 5, SAY_FIRE);
	e = put(w, "one", "mute", 6, SAY_RESOLVE);
	settle(w);
	assert_int_equal(row(w, d).state, OUTBOX_SENT);
	assert_int_equal(row(w, e).state, OUTBOX_SENT);
	assert_int_equal(sql(w, "SELECT count(*) FROM told WHERE incident=6 AND resolved=1"), 1);
	assert_true(RECEIVED(w, 0, "a", "a", "b", "b", "c", "c", "d", "form"));
}

static void a_result_that_cannot_be_written_is_kept(void **state)
{
	struct world *w = *state;
	int64_t a;

	sql_change(w->dir, "CREATE TRIGGER no BEFORE INSERT ON delivery BEGIN SELECT RAISE(ABORT,'no'); END");
	a = put(w, "one", "a", 1, SAY_FIRE);
	put(w, "one", "b", 2, SAY_FIRE);
	for (int i = 0; i < 2000 && got(w->receiver[0]) == 0; i++) {
		deliver_tick(w->deliver, w->now_ns);
		loop_turn(w->loop, false);
		(void)usleep(1000);
	}
	for (int i = 0; i < 10; i++) { /* neither this one again, nor another before it is written */
		w->now_ns += NS_PER_S;
		deliver_tick(w->deliver, w->now_ns);
		loop_turn(w->loop, false);
		(void)usleep(1000);
	}
	assert_true(RECEIVED(w, 0, "a"));
	assert_false(deliver_idle(w->deliver));
	assert_int_equal(row(w, a).state, OUTBOX_QUEUED);
	sql_change(w->dir, "DROP TRIGGER no");
	later(w, NS_PER_S);
	assert_true(RECEIVED(w, 0, "a", "b"));
	assert_int_equal(row(w, a).state, OUTBOX_SENT);
}

/* What was on its way when the process ended is sent once more, under the same name. */
static void a_restart_repeats_at_most_one(void **state)
{
	struct world *w = *state;

	SCRIPT(w->receiver[0], 0);
	put(w, "one", "a", 1, SAY_FIRE);
	put(w, "one", "b", 2, SAY_FIRE);
	for (int i = 0; i < 2000 && got(w->receiver[0]) == 0; i++) {
		deliver_tick(w->deliver, w->now_ns);
		loop_turn(w->loop, false);
		(void)usleep(1000);
	}
	deliver_free(w->deliver);
	start(w);
	settle(w);
	assert_true(RECEIVED(w, 0, "a", "a", "b"));
}

static void a_hanging_channel_hangs_alone(void **state)
{
	struct world *w = *state;

	SCRIPT(w->receiver[0], 0);
	put(w, "one", "a", 1, SAY_FIRE);
	for (int i = 0; i < 20; i++)
		put(w, "two", "b", 10 + i, SAY_FIRE);
	for (int i = 0; i < 5000 && got(w->receiver[1]) < 20; i++) {
		deliver_tick(w->deliver, w->now_ns);
		loop_turn(w->loop, false);
		(void)usleep(500);
	}
	assert_int_equal(got(w->receiver[1]), 20);
	assert_int_equal(got(w->receiver[0]), 1);
}

static void channels_have_their_pace(void **state)
{
	struct world *w = *state;

	w->channel[0].ops = &slow_ops;
	for (int i = 0; i < 3; i++)
		put(w, "one", "a", 10 + i, SAY_FIRE);
	for (int i = 0; i < 200; i++) {
		deliver_tick(w->deliver, w->now_ns);
		loop_turn(w->loop, false);
		(void)usleep(500);
	}
	assert_int_equal(got(w->receiver[0]), 1);
	assert_false(deliver_idle(w->deliver));
	for (int i = 0; i < 200; i++) {
		w->now_ns += NS_PER_S / 50;
		deliver_tick(w->deliver, w->now_ns);
		loop_turn(w->loop, false);
		(void)usleep(500);
	}
	assert_int_equal(got(w->receiver[0]), 3);
}

static void what_fires_is_told_again(void **state)
{
	struct world *w = *state;
	const struct incident incident = {.id = 1,
					  .key = SLICE("k"),
					  .type = SLICE("budget.exceeded"),
					  .budget = SLICE("b"),
					  .scope = SLICE(""),
					  .facts = SLICE("{\"id\":\"i-1\",\"type\":\"budget.exceeded\"}"),
					  .by = SLICE(""),
					  .opened_ns = START_NS,
					  .changed_ns = START_NS};
	const struct alerts_change change = {.incidents = &incident, .n_incidents = 1, .now_ns = START_NS};

	w->channel[0].ops = &refreshing_ops;
	assert_int_equal(alerts_write(w->store, &change), BUR_OK);
	settle(w);
	assert_int_equal(got(w->receiver[0]), 0); /* it was not told yet */
	put(w, "one", "a", 1, SAY_FIRE);
	settle(w);
	later(w, 60 * NS_PER_S);
	settle(w);
	later(w, 30 * NS_PER_S);
	assert_true(RECEIVED(w, 0, "a", "refresh-1-i-1"));
	put(w, "one", "over", 1, SAY_RESOLVE);
	settle(w);
	later(w, 200 * NS_PER_S);
	assert_true(RECEIVED(w, 0, "a", "refresh-1-i-1", "over@r0"));
}

static void a_long_queue_needs_no_memory(void **state)
{
	struct world *w = *state;
	struct mallinfo2 before, after;
	size_t most = 0;
	char id[20];

	SCRIPT(w->receiver[0], 0);
	before = mallinfo2();
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(id, sizeof(id), "m%d", i);
		put(w, i % 2 ? "two" : "one", id, 100 + i, SAY_FIRE);
	}
	for (int i = 0; i < 20000 && got(w->receiver[1]) < 500; i++) {
		deliver_tick(w->deliver, w->now_ns);
		loop_turn(w->loop, false);
		after = mallinfo2();
		if (after.uordblks > before.uordblks && after.uordblks - before.uordblks > most)
			most = after.uordblks - before.uordblks;
		if (i % 4 == 0)
			(void)usleep(100);
	}
	print_message("500 of 1000 messages sent, %zu KiB at most\n", most / 1024);
	assert_int_equal(got(w->receiver[1]), 500);
	assert_true(most < 4 << 20);
}

static void broken_rows_are_dead(void **state)
{
	struct world *w = *state;
	int64_t a = put(w, "one", "a\"", 1, SAY_FIRE), b = put(w, "one", "b", 2, SAY_FIRE);

	settle(w);
	assert_int_equal(row(w, a).state, OUTBOX_DEAD);
	assert_int_equal(row(w, b).state, OUTBOX_SENT);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(delays),
	    T(messages_are_sent_once),
	    T(failures_are_tried_again),
	    T(after_ten_tries_others_are_told),
	    T(an_incident_keeps_its_order),
	    T(a_channel_to_mend_is_left_alone),
	    T(a_channel_that_is_gone_is_disabled),
	    T(a_channel_that_is_configured_no_more),
	    T(a_clock_that_is_set_back),
	    T(five_days_of_failures),
	    T(peers_say_when),
	    T(many_failures_are_not_many_tries),
	    T(steps_and_forms),
	    T(a_result_that_cannot_be_written_is_kept),
	    T(a_restart_repeats_at_most_one),
	    T(a_hanging_channel_hangs_alone),
	    T(channels_have_their_pace),
	    T(what_fires_is_told_again),
	    T(a_long_queue_needs_no_memory),
	    T(broken_rows_are_dead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
