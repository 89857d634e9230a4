/* transport_easy.c - from a request to a curl handle: what may be spoken, with whom, how long, and how much of the
 * answer is read.
 *
 * Facts of libcurl 7.88.1 that this file stands on:
 * - Without QUICK_EXIT, giving up a transfer whose name is still being looked up waits for the resolver's thread.
 * - A connection that was kept may have been opened for a channel with other rights: OPENSOCKETFUNCTION is not asked
 *   again, PREREQFUNCTION is.
 * - For SMTP, HEADERFUNCTION gets every line that the server says. CURLINFO_RESPONSE_CODE is that of any reply, the one
 *   to QUIT included, so the code is taken from the lines. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "alerts/transport_impl.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"

#define RETRY_AFTER_MAX_S (7 * 86400)
#define KEPT_S 60L /* connections that were idle for longer are not used again */

/* --- where it may go ---------------------------------------------------------------------------------------------- */

bool exchange_may_reach(struct exchange *x, const struct sockaddr *sa)
{
	enum addr_class class = addr_classify(sa);

	if (class == ADDR_GLOBAL || x->channel->allow_private) {
		x->any_allowed = true;
		return true;
	}
	x->forbidden_class = class;
	(void)addr_format(sa, x->forbidden);
	return false;
}

static curl_socket_t easy_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *addr)
{
	(void)purpose;
	if (!exchange_may_reach(arg, &addr->addr))
		return CURL_SOCKET_BAD;
	return socket(addr->family, addr->socktype | SOCK_CLOEXEC, addr->protocol);
}

/* Before each request, also on a connection that was kept: the address that we are really connected to. */
static int easy_before_request(void *arg, char *peer_ip, char *local_ip, int peer_port, int local_port)
{
	struct exchange *x = arg;
	struct addr addr;

	(void)local_ip;
	(void)local_port;
	if (x->channel->allow_private)
		return CURL_PREREQFUNC_OK;
	if (addr_from_ip(peer_ip, (uint16_t)peer_port, &addr) != BUR_OK || !exchange_may_reach(x, &addr.sa)) {
		x->any_allowed = false;
		return CURL_PREREQFUNC_ABORT;
	}
	return CURL_PREREQFUNC_OK;
}

/* --- what comes back ---------------------------------------------------------------------------------------------- */

static size_t easy_body(char *data, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	size_t bytes = size * n, room = sizeof(x->body) - x->n_body;
	size_t take = bytes < room ? bytes : room;

	memcpy(x->body + x->n_body, data, take);
	x->n_body += take;
	x->full |= take < bytes;
	return take; /* less than came ends the transfer */
}

/* Seconds, or a date; -1: neither. */
static int64_t retry_after(struct slice value)
{
	char text[64];
	uint64_t seconds;
	int64_t wait_s;

	if (slice_u64(value, &seconds) == BUR_OK)
		return seconds < RETRY_AFTER_MAX_S ? (int64_t)seconds : RETRY_AFTER_MAX_S;
	if (value.n == 0 || value.n >= sizeof(text))
		return -1;
	(void)slice_to_cstr(value, text, sizeof(text));
	wait_s = (int64_t)curl_getdate(text, NULL);
	if (wait_s < 0)
		return -1;
	wait_s -= clock_wall_ns() / NS_PER_S;
	if (wait_s < 0)
		return 0;
	return wait_s < RETRY_AFTER_MAX_S ? wait_s : RETRY_AFTER_MAX_S;
}

static void http_status(struct exchange *x, struct slice line)
{
	struct slice version, rest, word;
	uint64_t code;

	x->head_ended = false;
	x->code = 0;
	x->retry_after_s = -1;
	if (!slice_cut(line, ' ', &version, &rest))
		return;
	(void)slice_cut(rest, ' ', &word, &rest);
	if (slice_u64(word, &code) == BUR_OK && code <= 999)
		x->code = (int)code;
}

static size_t easy_http_head(char *data, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	struct slice line = slice_mem(data, size * n), name, value;

	x->head_bytes += line.n;
	if (x->head_bytes > RESPONSE_HEAD_MAX)
		return 0;
	while (line.n > 0 && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
		line.n--;
	if (slice_istarts(line, SLICE("HTTP/")))
		http_status(x, line);
	else if (line.n == 0)
		x->head_ended = x->code >= 200;
	else if (slice_cut(line, ':', &name, &value) && slice_ieq(name, SLICE("Retry-After")))
		x->retry_after_s = retry_after(slice_trim(value));
	return size * n;
}

static bool reply_line(struct slice line, int *ret_code)
{
	uint64_t code;

	if (line.n < 3 || slice_u64(slice_sub(line, 0, 3), &code) != BUR_OK || code < 200)
		return false;
	if (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-')
		return false;
	*ret_code = (int)code;
	return true;
}

/* Of a mail server: the last reply is kept, all its lines; the farewell after a refusal is not. */
static size_t easy_mail_reply(char *data, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	struct slice line = slice_trim(slice_mem(data, size * n));
	int code;

	x->head_bytes += line.n;
	if (x->head_bytes > RESPONSE_HEAD_MAX)
		return 0;
	while (line.n > 0 && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
		line.n--;
	if (!reply_line(line, &code) || code == 221)
		return size * n;
	if (x->head_ended)
		x->n_body = 0; /* a new reply */
	x->code = code;
	x->head_ended = line.n < 4 || line.p[3] != '-';
	if (x->n_body > 0 && x->n_body < sizeof(x->body))
		x->body[x->n_body++] = '\n';
	if (line.n > sizeof(x->body) - x->n_body)
		line.n = sizeof(x->body) - x->n_body;
	memcpy(x->body + x->n_body, line.p, line.n);
	x->n_body += line.n;
	return size * n;
}

/* --- what is said ------------------------------------------------------------------------------------------------- */

#define SET(option, value) (rc = rc == CURLE_OK ? curl_easy_setopt(x->easy, option, value) : rc)

static int own_fault(struct exchange *x, enum answer_fault fault, const char *words)
{
	x->own_fault = fault;
	(void)snprintf(x->error, sizeof(x->error), "%s", words);
	return BUR_INVALID;
}

static int slist_add(struct curl_slist **list, const char *text)
{
	struct curl_slist *longer = curl_slist_append(*list, text);

	if (!longer)
		return BUR_NOMEM;
	*list = longer;
	return BUR_OK;
}

static CURLcode easy_common(struct exchange *x, const char *protocols)
{
	const struct channel *ch = x->channel;
	CURLcode rc = CURLE_OK;

	SET(CURLOPT_URL, x->request->url);
	SET(CURLOPT_PRIVATE, x);
	SET(CURLOPT_ERRORBUFFER, x->curl_error);
	SET(CURLOPT_PROTOCOLS_STR, protocols);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_OPENSOCKETFUNCTION, easy_socket);
	SET(CURLOPT_OPENSOCKETDATA, x);
	SET(CURLOPT_PREREQFUNCTION, easy_before_request);
	SET(CURLOPT_PREREQDATA, x);
	SET(CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
	SET(CURLOPT_MAXAGE_CONN, KEPT_S);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (ch->ca_file) { /* instead of the system's, not beside them */
		SET(CURLOPT_CAINFO, ch->ca_file);
		SET(CURLOPT_CAPATH, NULL);
	}
	SET(CURLOPT_WRITEFUNCTION, easy_body);
	SET(CURLOPT_WRITEDATA, x);
	SET(CURLOPT_HEADERDATA, x);
	return rc;
}

static CURLcode easy_method(struct exchange *x)
{
	const struct request *r = x->request;
	const char *method = r->method ? r->method : "POST";
	CURLcode rc = CURLE_OK;

	if (slice_eq(slice_of(method), SLICE("GET")))
		return curl_easy_setopt(x->easy, CURLOPT_HTTPGET, 1L);
	SET(CURLOPT_POST, 1L);
	SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
	SET(CURLOPT_POSTFIELDS, r->body.n > 0 ? r->body.p : "");
	if (!slice_eq(slice_of(method), SLICE("POST")))
		SET(CURLOPT_CUSTOMREQUEST, method);
	return rc;
}

static int prepare_http(struct exchange *x)
{
	const struct request *r = x->request;
	CURLcode rc = easy_common(x, x->channel->allow_http ? "http,https" : "https");
	int err = BUR_OK;

	for (size_t i = 0; i < r->n_headers && err == BUR_OK; i++)
		err = slist_add(&x->headers, r->header[i]);
	if (err == BUR_OK)
		err = slist_add(&x->headers, "Expect:"); /* no waiting for a 100 */
	if (err != BUR_OK)
		return err;
	if (rc == CURLE_OK)
		rc = easy_method(x);
	SET(CURLOPT_HTTPHEADER, x->headers);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_USERAGENT, "bursar");
	SET(CURLOPT_TIMEOUT, (long)HTTP_TOTAL_S);
	SET(CURLOPT_HEADERFUNCTION, easy_http_head);
	return rc == CURLE_OK ? BUR_OK : BUR_NOMEM;
}

/* --- mail --------------------------------------------------------------------------------------------------------- */

/* Quoted-printable writes a bare line feed as =0A: each becomes CRLF, and what was CRLF stays. malloc'ed. */
static char *text_crlf(const char *text, size_t *ret_n)
{
	size_t n = 0, ends = 0;
	char *copy;

	for (const char *p = text; *p; p++)
		ends += *p == '\n';
	copy = malloc(strlen(text) + ends + 1);
	if (!copy)
		return NULL;
	for (const char *p = text; *p; p++) {
		if (*p == '\n' && (p == text || p[-1] != '\r'))
			copy[n++] = '\r';
		copy[n++] = *p;
	}
	copy[n] = '\0';
	*ret_n = n;
	return copy;
}

static int mail_part(struct exchange *x, const char *text, const char *type)
{
	curl_mimepart *part = curl_mime_addpart(x->mime);
	size_t n = 0;
	char *copy = text_crlf(text, &n);
	CURLcode rc = part && copy ? CURLE_OK : CURLE_OUT_OF_MEMORY;

	if (rc == CURLE_OK)
		rc = curl_mime_data(part, copy, n); /* copies */
	if (rc == CURLE_OK)
		rc = curl_mime_type(part, type);
	if (rc == CURLE_OK)
		rc = curl_mime_encoder(part, "quoted-printable");
	free(copy);
	return rc == CURLE_OK ? BUR_OK : BUR_NOMEM;
}

/* Text first, then HTML: the better of both comes last. The type of the whole is given as a header, to which libcurl
 * adds the boundary: so no multipart/mixed is put around it. */
static int mail_message(struct exchange *x)
{
	const struct request *r = x->request;
	int rc = BUR_OK;

	for (size_t i = 0; i < r->n_headers && rc == BUR_OK; i++)
		rc = slist_add(&x->headers, r->header[i]);
	if (rc == BUR_OK)
		rc = slist_add(&x->headers, "Content-Type: multipart/alternative");
	x->mime = curl_mime_init(x->easy);
	if (rc != BUR_OK || !x->mime)
		return BUR_NOMEM;
	rc = mail_part(x, r->mail_text ? r->mail_text : "", "text/plain; charset=utf-8");
	if (rc == BUR_OK && r->mail_html)
		rc = mail_part(x, r->mail_html, "text/html; charset=utf-8");
	return rc;
}

static const char *mail_login_options(const char *auth)
{
	if (!auth) /* by itself libcurl would first try Kerberos and NTLM where they are offered */
		return "AUTH=PLAIN;AUTH=LOGIN;AUTH=CRAM-MD5";
	if (slice_ieq(slice_of(auth), SLICE("login")))
		return "AUTH=LOGIN";
	return slice_ieq(slice_of(auth), SLICE("xoauth2")) ? "AUTH=XOAUTH2" : "AUTH=PLAIN";
}

static CURLcode mail_login(struct exchange *x)
{
	const struct request *r = x->request;
	bool bearer = r->auth && slice_ieq(slice_of(r->auth), SLICE("xoauth2"));
	CURLcode rc = CURLE_OK;

	if (!r->user)
		return CURLE_OK;
	SET(CURLOPT_USERNAME, r->user);
	if (bearer)
		SET(CURLOPT_XOAUTH2_BEARER, r->password ? r->password : "");
	else
		SET(CURLOPT_PASSWORD, r->password ? r->password : "");
	SET(CURLOPT_LOGIN_OPTIONS, mail_login_options(r->auth));
	return rc;
}

/* A bare address into angle brackets; anything that could end the command or the path early is refused. */
static bool mail_path(const char *address, char *dst, size_t size)
{
	for (const char *p = address; *p; p++) {
		if ((unsigned char)*p <= ' ' || *p == 0x7f || *p == '<' || *p == '>')
			return false;
	}
	return address[0] && (size_t)snprintf(dst, size, "<%s>", address) < size;
}

static int prepare_mail(struct exchange *x)
{
	const struct request *r = x->request;
	char from[400], to[400];
	CURLcode rc;
	int err;

	if (r->mail_security == MAIL_PLAINTEXT && r->user)
		return own_fault(x, ANSWER_FORBIDDEN,
				 "a password is never sent unencrypted: use starttls or tls, or no user name");
	if (!r->mail_from || !r->mail_to || !mail_path(r->mail_from, from, sizeof(from)) ||
	    !mail_path(r->mail_to, to, sizeof(to)))
		return own_fault(x, ANSWER_FORBIDDEN, "sender or recipient is not a mail address");
	rc = easy_common(x, r->mail_security == MAIL_TLS ? "smtps" : "smtp");
	err = slist_add(&x->recipients, to);
	if (err == BUR_OK)
		err = mail_message(x);
	if (err != BUR_OK)
		return err;
	SET(CURLOPT_USE_SSL, r->mail_security == MAIL_PLAINTEXT ? (long)CURLUSESSL_NONE : (long)CURLUSESSL_ALL);
	SET(CURLOPT_MAIL_FROM, from); /* copied */
	SET(CURLOPT_MAIL_RCPT, x->recipients);
	SET(CURLOPT_HTTPHEADER, x->headers);
	SET(CURLOPT_MIMEPOST, x->mime);
	SET(CURLOPT_TIMEOUT, (long)MAIL_TOTAL_S);
	SET(CURLOPT_SERVER_RESPONSE_TIMEOUT, (long)MAIL_REPLY_S);
	SET(CURLOPT_HEADERFUNCTION, easy_mail_reply);
	if (rc == CURLE_OK)
		rc = mail_login(x);
	return rc == CURLE_OK ? BUR_OK : BUR_NOMEM;
}

/* --- both --------------------------------------------------------------------------------------------------------- */

/* Host and port that the URL names, as libcurl reads it. */
static bool exchange_name_peer(struct exchange *x)
{
	CURLU *u = curl_url();
	char *host = NULL, *port = NULL;
	uint64_t number = 0;
	bool ok;

	ok = u && curl_url_set(u, CURLUPART_URL, x->request->url, 0) == CURLUE_OK &&
	     curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
	     curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK && strlen(host) <= HOST_MAX &&
	     slice_u64(slice_of(port), &number) == BUR_OK;
	if (ok) {
		(void)slice_to_cstr(slice_of(host), x->host, sizeof(x->host));
		x->port = (int)number;
		(void)snprintf(x->peer, sizeof(x->peer), "%s port %d", x->host, x->port);
	}
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(u);
	return ok;
}

int exchange_prepare(struct exchange *x)
{
	CHECK(x->request->kind != REQUEST_LOG);
	if (!x->request->url || !exchange_name_peer(x))
		return own_fault(x, ANSWER_FORBIDDEN, "the URL is not well formed");
	x->easy = curl_easy_init();
	if (!x->easy)
		return BUR_NOMEM;
	return x->request->kind == REQUEST_HTTP ? prepare_http(x) : prepare_mail(x);
}

void exchange_release(struct exchange *x)
{
	curl_easy_cleanup(x->easy);
	curl_mime_free(x->mime);
	curl_slist_free_all(x->headers);
	curl_slist_free_all(x->recipients);
	x->easy = NULL;
	x->mime = NULL;
	x->headers = x->recipients = NULL;
}
