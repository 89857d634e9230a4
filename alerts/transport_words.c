/* transport_words.c - what came of an exchange, in words for people who must mend it: who was asked, what went wrong,
 * what to set. Nothing of what is secret: of a URL host and port, of the peer's words what is not our URL, password or
 * header. */
#include <ctype.h>
#include <errno.h>
#include <openssl/x509_vfy.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "alerts/transport_impl.h"
#include "alerts/words.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/utf8.h"

#define PEER_WORDS_MAX 200
#define SECRET_MIN 6 /* shorter pieces are words that any answer may have */

/* --- URLs --------------------------------------------------------------------------------------------------------- */

char *transport_redact(const char *url, char *dst, size_t size)
{
	struct slice s = slice_of(url), rest;
	const char *colon = strstr(url, "://");
	size_t from = colon ? (size_t)(colon - url) + 3 : 0, end = from, at;
	struct slice authority;

	while (end < s.n && !strchr("/?#\\", s.p[end]))
		end++;
	authority = slice_sub(s, from, end - from);
	for (at = authority.n; at > 0 && authority.p[at - 1] != '@'; at--)
		;
	rest = slice_sub(authority, at, authority.n - at);
	(void)snprintf(dst, size, SLICE_FMT SLICE_FMT "%s", (int)from, url, SLICE_ARG(rest), end < s.n ? "/..." : "");
	for (char *p = dst; size > 0 && *p; p++) {
		if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f)
			*p = '?';
	}
	return dst;
}

/* --- the peer's words --------------------------------------------------------------------------------------------- */

/* The beginning of the text on one line, without control characters. */
static void one_line(struct slice text, char *dst, size_t size)
{
	size_t n = 0;
	bool space = true; /* none at the beginning, none twice */

	for (size_t i = 0, len; i < text.n; i += len) {
		uint32_t cp = 0;

		len = utf8_decode(text.p + i, text.n - i, &cp);
		if (len == 0 || words_is_control(cp))
			cp = ' ';
		len = len ? len : 1;
		if (words_is_hidden(cp))
			continue;
		if (cp == ' ' && space)
			continue;
		space = cp == ' ';
		if (n + len + 4 > size) {
			memcpy(dst + n, "...", 3);
			n += 3;
			break;
		}
		if (cp == ' ')
			dst[n++] = ' ';
		else
			memcpy(dst + n, text.p + i, len), n += len;
	}
	while (n > 0 && dst[n - 1] == ' ')
		n--;
	dst[n] = '\0';
}

/* Every place of the secret becomes "***". Returns how long the text is then. */
static size_t hide(char *text, size_t n, struct slice secret)
{
	char *p = text;

	if (secret.n < SECRET_MIN)
		return n;
	while ((p = memmem(p, (size_t)(text + n - p), secret.p, secret.n)) != NULL) {
		memcpy(p, "***", 3);
		memmove(p + 3, p + secret.n, (size_t)(text + n - p) - secret.n);
		n -= secret.n - 3;
		p += 3;
	}
	return n;
}

/* The pieces of a text between characters that separate: of a path, a query, a header's value. */
static size_t hide_pieces(char *text, size_t n, struct slice s, const char *separators)
{
	size_t from = 0;

	for (size_t i = 0; i <= s.n; i++) {
		if (i < s.n && !strchr(separators, s.p[i]))
			continue;
		n = hide(text, n, slice_sub(s, from, i - from));
		from = i + 1;
	}
	return n;
}

static size_t hide_all(const struct channel *ch, const struct request *r, char *text, size_t n)
{
	const char *host = r->url ? strstr(r->url, "://") : NULL, *path = host ? strchr(host + 3, '/') : NULL;
	struct slice name, value;

	if (r->password)
		n = hide(text, n, slice_of(r->password));
	if (slice_eq(slice_of(ch->ops->type), SLICE("pagerduty")) && ch->pagerduty.routing_key)
		n = hide(text, n, slice_of(ch->pagerduty.routing_key)); /* stands in the body */
	if (r->kind != REQUEST_HTTP)
		return n;
	if (path) {
		n = hide(text, n, slice_of(path));
		n = hide_pieces(text, n, slice_of(path), "/?&=#");
	}
	for (size_t i = 0; i < r->n_headers; i++) {
		/* what names the message and its form is no secret */
		if (slice_cut(slice_of(r->header[i]), ':', &name, &value) && !slice_istarts(name, SLICE("Content-")) &&
		    !slice_istarts(name, SLICE("webhook-")) && !slice_istarts(name, SLICE("ce-")))
			n = hide_pieces(text, n, value, " ,;=");
	}
	return n;
}

void transport_hide(const struct channel *ch, const struct request *r, char *text)
{
	text[hide_all(ch, r, text, strlen(text))] = '\0';
}

/* --- errors ------------------------------------------------------------------------------------------------------- */

static void say(struct exchange *x, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void say(struct exchange *x, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(x->error, sizeof(x->error), fmt, ap);
	va_end(ap);
}

static const char *ca_advice(const struct exchange *x)
{
	return x->channel->ca_file ? "is it signed by a certificate of ca_file?"
				   : "if that is meant so, set ca_file to the certificate that signed it";
}

static enum answer_fault fault_certificate(struct exchange *x)
{
	long verdict = X509_V_OK;

	(void)curl_easy_getinfo(x->easy, CURLINFO_SSL_VERIFYRESULT, &verdict);
	switch (verdict) {
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
		say(x, "the certificate of %s is self-signed; %s", x->peer, ca_advice(x));
		break;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		say(x, "the certificate of %s is signed by nobody we trust; %s", x->peer, ca_advice(x));
		break;
	case X509_V_ERR_CERT_HAS_EXPIRED:
		say(x, "the certificate of %s has expired; it must be renewed there", x->peer);
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		say(x, "the certificate of %s is not valid yet; is the clock of this machine right?", x->peer);
		break;
	case X509_V_OK: /* the name is looked at before the chain's verdict is kept */
	case X509_V_ERR_UNSPECIFIED:
		say(x, "the certificate of %s is for another host; use the name that it was made for", x->peer);
		break;
	default:
		say(x, "the certificate of %s is refused: %s", x->peer, X509_verify_cert_error_string(verdict));
	}
	return ANSWER_TLS;
}

static enum answer_fault fault_connect(struct exchange *x)
{
	long error = 0;

	(void)curl_easy_getinfo(x->easy, CURLINFO_OS_ERRNO, &error);
	if (error == ECONNREFUSED)
		say(x, "nobody listens at %s; is it the right port, and does the server run?", x->peer);
	else if (error == ENETUNREACH || error == EHOSTUNREACH)
		say(x, "there is no way to %s from here", x->peer);
	else
		say(x, "cannot connect to %s%s%s", x->peer, error ? ": " : "", error ? strerror((int)error) : "");
	return ANSWER_CONNECT;
}

static bool time_passed(const struct exchange *x, CURLINFO info)
{
	curl_off_t us = 0;

	return curl_easy_getinfo(x->easy, info, &us) == CURLE_OK && us > 0;
}

/* How far it came says what to look at. */
static enum answer_fault fault_timeout(struct exchange *x)
{
	bool mail = x->request->kind == REQUEST_MAIL;

	if (!time_passed(x, CURLINFO_NAMELOOKUP_TIME_T))
		say(x, "no name server says where %s is", x->host);
	else if (!time_passed(x, CURLINFO_CONNECT_TIME_T))
		say(x, "%s does not answer: is the port right, does a firewall stand in between?", x->peer);
	else if (mail && x->code == 0 && x->request->mail_security != MAIL_TLS)
		say(x, "%s is silent; if TLS is spoken there from the start, as on port 465, set security to tls",
		    x->peer);
	else if (mail)
		say(x, "%s stopped answering in the middle of the mail", x->peer);
	else if (!slice_istarts(slice_of(x->request->url), SLICE("http:")) &&
		 !time_passed(x, CURLINFO_APPCONNECT_TIME_T))
		say(x, "%s does not answer the TLS handshake; is it an https port?", x->peer);
	else
		say(x, "%s took the message but did not answer within %d seconds", x->peer, HTTP_TOTAL_S);
	return ANSWER_TIMEOUT;
}

static enum answer_fault fault_tls(struct exchange *x)
{
	if (strstr(x->curl_error, "wrong version number") || strstr(x->curl_error, "packet length too long"))
		say(x, "%s does not speak TLS%s", x->peer,
		    x->request->kind == REQUEST_MAIL ? " from the start; set security to starttls, or use port 465"
						     : "; is it a port for plain http?");
	else
		say(x, "no TLS connection to %s: %s", x->peer, x->curl_error[0] ? x->curl_error : "handshake failed");
	return ANSWER_TLS;
}

static enum answer_fault fault_protocol(struct exchange *x)
{
	if (time_passed(x, CURLINFO_CONNECT_TIME_T)) { /* an answer in no HTTP that we speak */
		say(x, "%s does not speak HTTP", x->peer);
		return ANSWER_BROKEN;
	}
	if (slice_istarts(slice_of(x->request->url), SLICE("http://")))
		say(x, "http is not encrypted: use https, or set allow_http: true for this channel");
	else
		say(x, "the URL must begin with https://");
	return ANSWER_FORBIDDEN;
}

static enum answer_fault fault_forbidden(struct exchange *x)
{
	say(x, "%s is at %s (%s), where alerts may not go; set allow_private: true for this channel if it should",
	    x->host, x->forbidden, addr_class_name(x->forbidden_class));
	return ANSWER_FORBIDDEN;
}

static enum answer_fault fault_broken(struct exchange *x)
{
	if (x->request->kind == REQUEST_MAIL)
		say(x, "%s broke off the connection%s", x->peer, x->code == 0 ? " before it said anything" : "");
	else if (x->result == CURLE_GOT_NOTHING || x->result == CURLE_RECV_ERROR || x->result == CURLE_SEND_ERROR)
		say(x, "%s broke off the connection without an answer", x->peer);
	else
		say(x, "%s answers in no way that we understand: %s", x->peer,
		    x->curl_error[0] ? x->curl_error : curl_easy_strerror(x->result));
	return ANSWER_BROKEN;
}

static enum answer_fault fault_login(struct exchange *x)
{
	if (x->request->kind != REQUEST_MAIL)
		say(x, "the URL must not hold a user name");
	else
		say(x, "%s offers no way to log in that we know; %s", x->peer,
		    x->request->auth ? "leave auth at auto" : "does it want no user name?");
	return ANSWER_FORBIDDEN;
}

static enum answer_fault fault_of(struct exchange *x)
{
	if (x->forbidden[0] && !x->any_allowed)
		return fault_forbidden(x);
	switch (x->result) {
	case CURLE_UNSUPPORTED_PROTOCOL:
		return fault_protocol(x);
	case CURLE_URL_MALFORMAT:
		say(x, "the URL is not well formed");
		return ANSWER_FORBIDDEN;
	case CURLE_COULDNT_RESOLVE_HOST:
		say(x, "no name server knows %s; is the name right?", x->host);
		return ANSWER_RESOLVE;
	case CURLE_COULDNT_CONNECT:
		return fault_connect(x);
	case CURLE_OPERATION_TIMEDOUT:
		return fault_timeout(x);
	case CURLE_PEER_FAILED_VERIFICATION:
		return fault_certificate(x);
	case CURLE_SSL_CACERT_BADFILE:
		say(x, "ca_file holds no certificate that can be read");
		return ANSWER_TLS;
	case CURLE_SSL_CONNECT_ERROR:
		return fault_tls(x);
	case CURLE_USE_SSL_FAILED:
		say(x, "%s offers no STARTTLS, and nothing is sent unencrypted; is it another port?", x->peer);
		return ANSWER_NO_TLS;
	case CURLE_LOGIN_DENIED:
		return fault_login(x);
	case CURLE_OUT_OF_MEMORY:
		say(x, "out of memory");
		return ANSWER_INTERNAL;
	default:
		return fault_broken(x);
	}
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

/* A peer that refused, in its own words. HTML is for browsers. */
static void say_refusal(struct exchange *x)
{
	char words[PEER_WORDS_MAX];

	one_line(slice_mem(x->body, x->n_body), words, sizeof(words));
	if (words[0] == '<')
		words[0] = '\0';
	if (x->request->kind == REQUEST_MAIL)
		say(x, "%s says: %s", x->peer, words[0] ? words : "nothing");
	else if (x->redirect[0])
		say(x, "%s answered %d, a redirect to %s", x->peer, x->code, x->redirect);
	else
		say(x, "%s answered %d%s%s", x->peer, x->code, words[0] ? ": " : "", words);
}

static void find_redirect(struct exchange *x)
{
	char *url = NULL, text[HOST_MAX + 64];

	if (x->code < 300 || x->code > 399 || curl_easy_getinfo(x->easy, CURLINFO_REDIRECT_URL, &url) != CURLE_OK ||
	    !url)
		return;
	(void)slice_to_cstr(slice_of(transport_redact(url, text, sizeof(text))), x->redirect, sizeof(x->redirect));
}

/* Did the peer answer, whatever became of the connection afterwards? Of a mail server only a reply that refuses counts
 * when the transfer failed: what it accepted before is not the whole mail. An HTTP status counts when its head is
 * whole: with an endless body, too. */
static bool was_answered(const struct exchange *x)
{
	if (x->request->kind == REQUEST_MAIL)
		return x->result == CURLE_OK || x->code >= 400;
	return x->head_ended && (x->result == CURLE_OK || x->full || x->result == CURLE_OPERATION_TIMEDOUT ||
				 x->result == CURLE_PARTIAL_FILE || x->result == CURLE_RECV_ERROR);
}

void exchange_answer(struct exchange *x, struct answer *ret)
{
	*ret = (struct answer){.retry_after_s = -1, .error = x->error};
	ret->took_ms = (clock_mono_ns() - x->began_ns) / NS_PER_MS;
	if (x->own_fault != ANSWER_NO_FAULT) {
		ret->fault = x->own_fault;
		return;
	}
	if (x->request->kind == REQUEST_LOG)
		return;
	if (!was_answered(x)) {
		ret->fault = fault_of(x);
		return;
	}
	ret->code = x->code;
	/* Before anybody cuts it: of a secret that is cut, the beginning would stay. */
	if (x->code < 200 || x->code > 299)
		x->n_body = hide_all(x->channel, x->request, x->body, x->n_body);
	ret->body = slice_mem(x->body, x->n_body);
	ret->retry_after_s = x->retry_after_s;
	if (x->request->kind == REQUEST_HTTP)
		find_redirect(x);
	if (x->code < 200 || x->code > 299)
		say_refusal(x);
}
