#include "alerts/transport.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "alerts/transport_impl.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "net/loop.h"

#define CONNECTIONS_KEPT 16L

struct transport {
	struct loop *loop;
	CURLM *multi;
	struct loop_timer *timer;
	struct mailer *mailer;
	struct exchange_list active, ended; /* ended: before they began; `finish` tells of them */
	struct loop_task finish;
	size_t n_active;
};

/* A socket of libcurl's that the loop watches. */
struct watch {
	struct transport *transport;
	struct event *event;
	short what;
	struct loop_free_node free_node;
};

/* --- exchanges ---------------------------------------------------------------------------------------------------- */

static void exchange_free(struct exchange *x)
{
	exchange_release(x);
	free(x);
}

static void exchange_forget(struct exchange *x)
{
	struct transport *t = x->transport;

	if (x->in_multi)
		(void)curl_multi_remove_handle(t->multi, x->easy);
	x->in_multi = false;
	t->n_active--;
}

/* The end of every exchange. What is told may begin another. */
static void exchange_end(struct exchange *x)
{
	struct answer answer;

	exchange_answer(x, &answer);
	exchange_forget(x);
	x->done(x->ctx, &answer);
	exchange_free(x);
}

static void exchange_end_active(struct exchange *x)
{
	TAILQ_REMOVE(&x->transport->active, x, entry);
	exchange_end(x);
}

/* Only those that are there now: what is told may begin others, and a thousand lines for a log must not keep the loop
 * from its sockets. */
static void finish_ended(void *arg)
{
	struct transport *t = arg;
	struct exchange *x, *last = TAILQ_LAST(&t->ended, exchange_list);
	bool more = last != NULL;

	while (more) {
		x = TAILQ_FIRST(&t->ended);
		more = x != last;
		TAILQ_REMOVE(&t->ended, x, entry);
		exchange_end(x);
	}
}

/* --- libcurl on the loop ------------------------------------------------------------------------------------------ */

/* Which transfers are over? Only here, never within a callback of libcurl's. */
static void multi_collect(struct transport *t)
{
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(t->multi, &left))) {
		CURL *easy = msg->easy_handle;
		CURLcode result = msg->data.result; /* the message goes with the handle */
		struct exchange *x = NULL;

		if (msg->msg != CURLMSG_DONE)
			continue;
		CHECK(curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&x) == CURLE_OK && x);
		x->result = result;
		exchange_end_active(x);
	}
}

static void multi_act(struct transport *t, curl_socket_t fd, int what)
{
	int running;
	CURLMcode rc = curl_multi_socket_action(t->multi, fd, what, &running);

	if (rc != CURLM_OK)
		log_limited(LOG_WARN, "alerts.transport", "%s", curl_multi_strerror(rc));
	multi_collect(t);
}

static void on_timer(void *arg)
{
	multi_act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;
	int action = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);

	multi_act(w->transport, fd, action);
}

/* libcurl wants to be called after so long; it must not be called from here. */
static int set_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct transport *t = arg;

	(void)multi;
	if (timeout_ms < 0)
		loop_timer_stop(t->timer);
	else
		loop_timer_set(t->timer, timeout_ms * NS_PER_MS);
	return 0;
}

static void watch_free(void *arg)
{
	struct watch *w = arg;

	event_free(w->event);
	free(w);
}

static int unwatch(struct transport *t, curl_socket_t fd, struct watch *w)
{
	if (!w)
		return 0;
	(void)event_del(w->event);
	(void)curl_multi_assign(t->multi, fd, NULL);
	loop_free_later(t->loop, &w->free_node, watch_free, w); /* this may be called from its own event */
	return 0;
}

static struct watch *watch_new(struct transport *t, curl_socket_t fd)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->transport = t;
	w->event = event_new(loop_base(t->loop), fd, EV_PERSIST, on_socket, w);
	if (!w->event || curl_multi_assign(t->multi, fd, w) != CURLM_OK) {
		if (w->event)
			event_free(w->event);
		free(w);
		return NULL;
	}
	return w;
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct transport *t = arg;
	struct watch *w = socket_arg;
	short want = EV_PERSIST | (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0);

	(void)easy;
	if (what == CURL_POLL_REMOVE)
		return unwatch(t, fd, w);
	if (!w)
		w = watch_new(t, fd);
	if (!w)
		return -1; /* libcurl ends the transfers */
	if (w->what == want)
		return 0;
	(void)event_del(w->event);
	w->what = want;
	CHECK(event_assign(w->event, loop_base(t->loop), fd, want, on_socket, w) == 0);
	return event_add(w->event, NULL) == 0 ? 0 : -1;
}

static bool multi_setup(struct transport *t)
{
	t->multi = curl_multi_init();
	return t->multi && curl_multi_setopt(t->multi, CURLMOPT_SOCKETFUNCTION, set_socket) == CURLM_OK &&
	       curl_multi_setopt(t->multi, CURLMOPT_SOCKETDATA, t) == CURLM_OK &&
	       curl_multi_setopt(t->multi, CURLMOPT_TIMERFUNCTION, set_timer) == CURLM_OK &&
	       curl_multi_setopt(t->multi, CURLMOPT_TIMERDATA, t) == CURLM_OK &&
	       curl_multi_setopt(t->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT) == CURLM_OK;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

struct transport *transport_new(struct loop *loop)
{
	struct transport *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(t);
		return NULL;
	}
	t->loop = loop;
	t->finish = (struct loop_task){.fn = finish_ended, .arg = t};
	TAILQ_INIT(&t->active);
	TAILQ_INIT(&t->ended);
	t->timer = loop_timer_new(loop, on_timer, t);
	t->mailer = mailer_new(loop, exchange_end_active);
	if (!t->timer || !t->mailer || !multi_setup(t)) {
		transport_free(t);
		return NULL;
	}
	return t;
}

static void exchange_drop(struct exchange *x)
{
	TAILQ_REMOVE(&x->transport->active, x, entry);
	exchange_forget(x);
	exchange_free(x);
}

void transport_free(struct transport *t)
{
	struct exchange *x;

	if (!t)
		return;
	loop_defer_cancel(t->loop, &t->finish);
	if (t->mailer)
		mailer_free(t->mailer, exchange_drop);
	TAILQ_CONCAT(&t->active, &t->ended, entry);
	while ((x = TAILQ_FIRST(&t->active)))
		exchange_drop(x);
	if (t->multi)
		(void)curl_multi_cleanup(t->multi);
	loop_timer_free(t->timer);
	curl_global_cleanup();
	free(t);
}

size_t transport_active(const struct transport *t)
{
	return t->n_active;
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

static int exchange_begin(struct exchange *x)
{
	int rc;

	if (x->request->kind == REQUEST_LOG) {
		exchange_log(x);
		return BUR_INVALID; /* ended already */
	}
	rc = exchange_prepare(x);
	if (rc != BUR_OK)
		return rc;
	if (x->request->kind == REQUEST_MAIL)
		return mailer_send(x->transport->mailer, x);
	x->in_multi = curl_multi_add_handle(x->transport->multi, x->easy) == CURLM_OK;
	return x->in_multi ? BUR_OK : BUR_NOMEM;
}

int transport_send(struct transport *t, const struct channel *ch, const struct request *r,
		   void (*done)(void *, const struct answer *), void *ctx)
{
	struct exchange *x;
	int rc;

	if (t->n_active >= TRANSPORT_ACTIVE_MAX)
		return BUR_FULL;
	x = calloc(1, sizeof(*x));
	if (!x)
		return BUR_NOMEM;
	*x = (struct exchange){.transport = t, .channel = ch, .request = r, .done = done, .ctx = ctx};
	x->began_ns = clock_mono_ns();
	x->retry_after_s = -1;
	t->n_active++;
	rc = exchange_begin(x);
	if (rc == BUR_OK) {
		TAILQ_INSERT_TAIL(&t->active, x, entry);
	} else if (rc == BUR_INVALID) { /* told at the turn's end, as everything is told from the loop */
		TAILQ_INSERT_TAIL(&t->ended, x, entry);
		loop_defer(t->loop, &t->finish);
	} else {
		exchange_forget(x);
		exchange_free(x);
	}
	return rc == BUR_INVALID ? BUR_OK : rc;
}
