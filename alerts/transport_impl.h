/* transport_impl.h - what the files of the transport share: one exchange, and the handle that it is made with. */
#ifndef ALERTS_TRANSPORT_IMPL_H
#define ALERTS_TRANSPORT_IMPL_H

#include <curl/curl.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "alerts/transport.h"
#include "net/addr.h"

#define CONNECT_S 5
#define HTTP_TOTAL_S 15
#define MAIL_TOTAL_S 30
#define MAIL_REPLY_S 15
#define RESPONSE_HEAD_MAX 65536 /* bytes of all header lines of an answer */
#define EXCHANGE_ERROR_MAX 400

struct exchange {
	TAILQ_ENTRY(exchange) entry;
	struct transport *transport;
	const struct channel *channel;
	const struct request *request;
	void (*done)(void *ctx, const struct answer *);
	void *ctx;
	int64_t began_ns;
	bool in_multi;

	CURL *easy;
	struct curl_slist *headers, *recipients;
	curl_mime *mime;
	char curl_error[CURL_ERROR_SIZE];
	/* The peer that the URL names, for words. */
	char host[HOST_MAX + 1];
	int port;
	char peer[HOST_MAX + 32]; /* "smtp.example.com port 587" */

	/* What came. */
	CURLcode result;
	int code; /* of the status line or the reply that was read last; 0: none */
	char body[ANSWER_BODY_MAX];
	size_t n_body, head_bytes;
	bool head_ended, full; /* full: more came than is read, we left */
	int64_t retry_after_s;
	char redirect[HOST_MAX + 1];

	/* An address that was refused, and whether any other was tried. */
	char forbidden[ADDR_TEXT_MAX];
	enum addr_class forbidden_class;
	bool any_allowed;
	enum answer_fault own_fault; /* decided before anything was sent; error says why */
	char error[EXCHANGE_ERROR_MAX];
};
TAILQ_HEAD(exchange_list, exchange);

/* transport_easy.c: the handle of an exchange. BUR_OK; BUR_INVALID: own_fault and error are set; BUR_NOMEM. */
int exchange_prepare(struct exchange *) NONNULL(1) MUST_USE;
bool exchange_may_reach(struct exchange *, const struct sockaddr *) NONNULL(1, 2); /* remembers what may not be */
void exchange_release(struct exchange *) NONNULL(1); /* handle and lists; the handle is in no multi */

/* transport_words.c: the answer, with its error in words for people. What it points to lives in the exchange. */
void exchange_answer(struct exchange *, struct answer *ret) NONNULL(1, 2);

/* transport_log.c: the line is written at once. */
void exchange_log(struct exchange *) NONNULL(1);

/* transport_mail.c: each mail is sent by a thread of its own. */
struct mailer;
struct mailer *mailer_new(struct loop *, void (*ended)(struct exchange *)) NONNULL(1, 2) MUST_USE;
void mailer_free(struct mailer *, void (*dropped)(struct exchange *)) NONNULL(2); /* ends all threads */
/* BUR_OK: `ended` will be called with it, from the loop. BUR_NOMEM: it will not. */
int mailer_send(struct mailer *, struct exchange *) NONNULL(1, 2) MUST_USE;

#endif
