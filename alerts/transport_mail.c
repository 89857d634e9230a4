/* transport_mail.c - mails: a thread for each that is under way.
 *
 * libcurl 7.88.1 sends mail on a multi handle without blocking only until the last byte: it then waits for the server's
 * reply within curl_multi_perform (up to the timeout), and at the end of a connection for the reply to QUIT (up to the
 * response timeout, whatever the total one says). On the loop, a mail server that stalls would hold every other channel
 * and the admin side. In a thread it holds itself.
 *
 * The thread takes nothing of the loop's but the exchange, which nobody else touches until it is handed back. To end a
 * thread early its sockets are shut down: everything that it waits for then ends at once. */
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "alerts/transport_impl.h"
#include "base/check.h"
#include "base/error.h"
#include "net/loop.h"

#define SOCKETS_MAX 16
#define STACK_BYTES (512 * 1024)

struct mail {
	TAILQ_ENTRY(mail) entry;
	struct mailer *mailer;
	struct exchange *exchange; /* NULL: handed back */
	pthread_t thread;
	CURLM *multi;
	atomic_bool ending;
	/* Its open sockets, under `mutex`, so that none is shut down after it was closed and its number given to
	 * another. */
	pthread_mutex_t mutex;
	int fd[SOCKETS_MAX];
	size_t n_fds;
	/* Under the mailer's mutex. */
	bool answered; /* the result is there: the exchange may be taken */
	bool over;     /* the thread is at its end: it may be joined */
};
TAILQ_HEAD(mail_list, mail);

struct mailer {
	pthread_mutex_t mutex;
	int event_fd;
	struct event *event;
	struct mail_list mails;
	void (*ended)(struct exchange *);
};

/* --- sockets ------------------------------------------------------------------------------------------------------ */

static curl_socket_t mail_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *addr)
{
	struct mail *m = arg;
	int fd = CURL_SOCKET_BAD;

	(void)purpose;
	if (!exchange_may_reach(m->exchange, &addr->addr))
		return CURL_SOCKET_BAD;
	CHECK(pthread_mutex_lock(&m->mutex) == 0);
	if (m->n_fds < SOCKETS_MAX && !atomic_load(&m->ending))
		fd = socket(addr->family, addr->socktype | SOCK_CLOEXEC, addr->protocol);
	if (fd >= 0)
		m->fd[m->n_fds++] = fd;
	CHECK(pthread_mutex_unlock(&m->mutex) == 0);
	return fd;
}

static int mail_close(void *arg, curl_socket_t fd)
{
	struct mail *m = arg;

	CHECK(pthread_mutex_lock(&m->mutex) == 0);
	for (size_t i = 0; i < m->n_fds; i++) {
		if (m->fd[i] == fd)
			m->fd[i] = m->fd[--m->n_fds];
	}
	(void)close(fd);
	CHECK(pthread_mutex_unlock(&m->mutex) == 0);
	return 0;
}

static void mail_shutdown(struct mail *m, int how)
{
	CHECK(pthread_mutex_lock(&m->mutex) == 0);
	for (size_t i = 0; i < m->n_fds; i++)
		(void)shutdown(m->fd[i], how);
	CHECK(pthread_mutex_unlock(&m->mutex) == 0);
}

/* --- the thread --------------------------------------------------------------------------------------------------- */

static CURLcode mail_perform(struct mail *m)
{
	int running = 1, left;
	CURLMsg *msg;

	while (running > 0 && !atomic_load(&m->ending)) {
		if (curl_multi_perform(m->multi, &running) != CURLM_OK)
			return CURLE_OUT_OF_MEMORY;
		if (running > 0 && curl_multi_poll(m->multi, NULL, 0, 1000, NULL) != CURLM_OK)
			return CURLE_OUT_OF_MEMORY;
	}
	msg = curl_multi_info_read(m->multi, &left);
	return msg && msg->msg == CURLMSG_DONE ? msg->data.result : CURLE_ABORTED_BY_CALLBACK;
}

static void mailer_tell(struct mailer *p, bool *flag)
{
	uint64_t one = 1;
	ssize_t n;

	CHECK(pthread_mutex_lock(&p->mutex) == 0);
	*flag = true;
	CHECK(pthread_mutex_unlock(&p->mutex) == 0);
	n = write(p->event_fd, &one, sizeof(one));
	(void)n; /* can only fail when the counter is full, and then the loop is awake */
}

/* Nobody wakes a handle that is no more. */
static void mail_let_go(struct mail *m)
{
	CURLM *multi;

	CHECK(pthread_mutex_lock(&m->mutex) == 0);
	multi = m->multi;
	m->multi = NULL;
	CHECK(pthread_mutex_unlock(&m->mutex) == 0);
	(void)curl_multi_cleanup(multi);
}

static void mail_wake(struct mail *m)
{
	CHECK(pthread_mutex_lock(&m->mutex) == 0);
	if (m->multi)
		(void)curl_multi_wakeup(m->multi);
	CHECK(pthread_mutex_unlock(&m->mutex) == 0);
}

/* The result is told before the farewell, and no reply to that is waited for: a server that took the mail and then
 * hangs does not make us send it again. The handle stays ours until then; the loop only looks at what it remembers. */
static void *mail_run(void *arg)
{
	struct mail *m = arg;
	struct exchange *x = m->exchange;

	if (curl_multi_add_handle(m->multi, x->easy) == CURLM_OK) {
		x->result = mail_perform(m);
		mail_shutdown(m, x->result == CURLE_OK ? SHUT_RD : SHUT_RDWR);
		(void)curl_multi_remove_handle(m->multi, x->easy);
	} else {
		x->result = CURLE_OUT_OF_MEMORY;
	}
	mailer_tell(m->mailer, &m->answered);
	mail_let_go(m); /* QUIT, on what is kept */
	mailer_tell(m->mailer, &m->over);
	return NULL;
}

/* --- on the loop -------------------------------------------------------------------------------------------------- */

static void mail_free(struct mail *m)
{
	CHECK(pthread_mutex_destroy(&m->mutex) == 0);
	free(m);
}

static void mail_join(struct mailer *p, struct mail *m)
{
	TAILQ_REMOVE(&p->mails, m, entry);
	CHECK(pthread_join(m->thread, NULL) == 0);
	mail_free(m);
}

/* A mail that can be handed back or joined; NULL: none. */
static struct mail *mailer_next(struct mailer *p, bool *ret_over)
{
	struct mail *m;

	CHECK(pthread_mutex_lock(&p->mutex) == 0);
	TAILQ_FOREACH (m, &p->mails, entry) {
		if (m->over || (m->answered && m->exchange))
			break;
	}
	*ret_over = m && m->over;
	CHECK(pthread_mutex_unlock(&p->mutex) == 0);
	return m;
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct mailer *p = arg;
	struct exchange *x;
	struct mail *m;
	uint64_t count;
	ssize_t n = read(fd, &count, sizeof(count));
	bool over;

	(void)n;
	(void)what;
	while ((m = mailer_next(p, &over))) {
		x = m->exchange;
		m->exchange = NULL;
		if (over)
			mail_join(p, m);
		if (x)
			p->ended(x);
	}
}

static void mailer_release(struct mailer *p)
{
	if (p->event)
		event_free(p->event);
	if (p->event_fd >= 0)
		(void)close(p->event_fd);
	CHECK(pthread_mutex_destroy(&p->mutex) == 0);
	free(p);
}

struct mailer *mailer_new(struct loop *loop, void (*ended)(struct exchange *))
{
	struct mailer *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	CHECK(pthread_mutex_init(&p->mutex, NULL) == 0);
	TAILQ_INIT(&p->mails);
	p->ended = ended;
	p->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	p->event = p->event_fd < 0 ? NULL : event_new(loop_base(loop), p->event_fd, EV_READ | EV_PERSIST, on_event, p);
	if (p->event && event_add(p->event, NULL) == 0)
		return p;
	mailer_release(p);
	return NULL;
}

void mailer_free(struct mailer *p, void (*dropped)(struct exchange *))
{
	struct exchange *x;
	struct mail *m;

	TAILQ_FOREACH (m, &p->mails, entry) { /* all at once, then wait */
		atomic_store(&m->ending, true);
		mail_wake(m);
		mail_shutdown(m, SHUT_RDWR);
	}
	while ((m = TAILQ_FIRST(&p->mails))) {
		x = m->exchange;
		mail_join(p, m);
		if (x)
			dropped(x);
	}
	mailer_release(p);
}

/* Signals are the main thread's. */
static int thread_start(struct mail *m)
{
	pthread_attr_t attr;
	sigset_t all, before;
	int rc;

	if (pthread_attr_init(&attr) != 0)
		return BUR_NOMEM;
	CHECK(pthread_attr_setstacksize(&attr, STACK_BYTES) == 0);
	(void)sigfillset(&all);
	CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
	rc = pthread_create(&m->thread, &attr, mail_run, m);
	CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
	(void)pthread_attr_destroy(&attr);
	return rc == 0 ? BUR_OK : BUR_NOMEM;
}

static bool mail_hooks(struct mail *m, CURL *easy)
{
	return curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, mail_socket) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, m) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, mail_close) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, m) == CURLE_OK;
}

int mailer_send(struct mailer *p, struct exchange *x)
{
	struct mail *m = calloc(1, sizeof(*m));

	if (!m)
		return BUR_NOMEM;
	m->mailer = p;
	m->exchange = x;
	CHECK(pthread_mutex_init(&m->mutex, NULL) == 0);
	m->multi = curl_multi_init();
	TAILQ_INSERT_TAIL(&p->mails, m, entry);
	if (m->multi && mail_hooks(m, x->easy) && thread_start(m) == BUR_OK)
		return BUR_OK;
	TAILQ_REMOVE(&p->mails, m, entry);
	if (m->multi)
		(void)curl_multi_cleanup(m->multi);
	mail_free(m);
	return BUR_NOMEM;
}
