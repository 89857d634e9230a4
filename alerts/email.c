/* Mail: what stands in its head, and what a mail server's answer means.
 *
 * All mails of an incident are one conversation in people's readers. These put mails together by References, and Gmail
 * and Outlook only if the subject is the same, too. So the subject says what it is about ("Budget search-daily
 * (incident 12)") and never changes; how it stands comes first in the text, which inboxes show beside the subject.
 * Users whose own subject holds figures get a conversation for each.
 *
 * There is no List-Unsubscribe: who gets alerts stands in bursar.yaml, nobody reads the sender's mailbox, and a button
 * that does nothing is worse than none. */
#include <stdio.h>
#include <string.h>

#include "alerts/channel.h"
#include "alerts/email_body.h"
#include "alerts/payload.h"
#include "alerts/sentence.h"
#include "alerts/template.h"
#include "base/amount.h"
#include "base/calendar.h"
#include "base/error.h"

#define NS_PER_S INT64_C(1000000000)
#define DAY_S 86400
#define SUBJECT_MAX 250 /* bytes of text */
#define NAME_MAX_BYTES 128
#define FIELD_MAX 4096
#define ID_MAX 400
#define WORD_BYTES 45 /* of text in one encoded word: lines that hold one have at most 76 characters */
#define FIRST_BYTES 39

/* --- header fields ------------------------------------------------------------------------------------------------ */

static bool is_plain(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || (unsigned char)*s > '~')
			return false;
	return true;
}

/* How many bytes of whole characters fit into one word. The first one shares its line with the field's name. */
static size_t word_bytes(const char *text, size_t n, bool first)
{
	size_t most = first ? FIRST_BYTES : WORD_BYTES, end = n < most ? n : most;

	while (end < n && end > 0 && ((unsigned char)text[end] & 0xc0) == 0x80)
		end--;
	return end;
}

/* RFC 2047: words of base64, each of whole characters, a line for each. `text` is UTF-8. */
static int encode_words(const char *text, struct buf *out)
{
	char word[WORD_BYTES * 2];
	size_t left = strlen(text), n;
	int r = BUR_OK;

	for (const char *p = text; left > 0 && r >= 0; p += n, left -= n) {
		n = word_bytes(p, left, p == text);
		r = base64_encode(p, n, word, sizeof(word));
		if (r >= 0)
			r = buf_printf(out, "%s=?UTF-8?B?%s?=", p == text ? "" : "\r\n ", word);
	}
	return r;
}

/* Plain text that looks like an encoded word would be decoded: it is encoded, too. */
static bool needs_words(const char *text)
{
	return !is_plain(text) || strstr(text, "=?");
}

/* A field that may have line ends of ours, which request_header refuses. Nobody else's can be in it: its text was
 * cleaned or encoded. */
static int add_folded(struct request *r, const struct buf *field)
{
	struct slice copy = arena_dup(r->arena, buf_slice(field));

	if (!copy.p)
		return BUR_NOMEM;
	if (r->n_headers == REQUEST_HEADERS_MAX)
		return BUR_FULL;
	r->header[r->n_headers++] = copy.p;
	return BUR_OK;
}

static int add_subject(struct request *r, const char *text)
{
	char clean[SUBJECT_MAX + 1];
	struct buf field;
	int rc;

	(void)words_clean(slice_of(text), clean, sizeof(clean));
	buf_init(&field, FIELD_MAX);
	rc = buf_append_slice(&field, SLICE("Subject: "));
	if (rc == BUR_OK)
		rc = needs_words(clean) ? encode_words(clean, &field) : buf_append_slice(&field, slice_of(clean));
	if (rc == BUR_OK)
		rc = add_folded(r, &field);
	buf_done(&field);
	return rc;
}

static int put_quoted(const char *name, struct buf *out)
{
	int rc = buf_append_slice(out, SLICE("\""));

	for (; *name && rc == BUR_OK; name++) {
		if (*name == '"' || *name == '\\')
			rc = buf_append_slice(out, SLICE("\\"));
		if (rc == BUR_OK)
			rc = buf_append(out, name, 1);
	}
	return rc == BUR_OK ? buf_append_slice(out, SLICE("\"")) : rc;
}

static int add_from(struct request *r, const struct email_channel *e)
{
	char name[NAME_MAX_BYTES + 1];
	struct buf field;
	int rc;

	(void)words_clean(slice_of(e->from_name ? e->from_name : ""), name, sizeof(name));
	if (!*name)
		return request_header(r, "From: <%s>", e->from);
	buf_init(&field, FIELD_MAX);
	rc = buf_append_slice(&field, SLICE("From: "));
	if (rc == BUR_OK)
		rc = needs_words(name) ? encode_words(name, &field) : put_quoted(name, &field);
	if (rc == BUR_OK)
		rc = buf_printf(&field, "%s <%s>", needs_words(name) ? "\r\n" : "", e->from);
	if (rc == BUR_OK)
		rc = is_plain(e->from) ? add_folded(r, &field) : BUR_INVALID;
	buf_done(&field);
	return rc;
}

/* RFC 5322: "Sat, 21 Nov 2026 08:00:00 +0000" */
static int add_date(struct request *r, int64_t unix_s)
{
	static const char *const days[] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"}; /* from 1970-01-01 on */
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	int64_t s = unix_s > 0 ? unix_s : 0, day = s / DAY_S, year;
	int month, mday, left = (int)(s % DAY_S);

	civil_from_days(day, &year, &month, &mday);
	return request_header(r, "Date: %s, %d %s %lld %02d:%02d:%02d +0000", days[day % 7], mday, months[month - 1],
			      (long long)year, left / 3600, left / 60 % 60, left % 60);
}

/* --- the conversation --------------------------------------------------------------------------------------------- */

/* The same for every try, another one for each recipient. */
static void message_id(const struct channel *ch, const struct message *m, char dst[ID_MAX])
{
	const char *at = strrchr(ch->email.from, '@');

	(void)snprintf(dst, ID_MAX, "<%s.%08x@%s>", m->id, (unsigned)stable_hash64(ch->name, strlen(ch->name)),
		       at ? at + 1 : "localhost");
}

/* What is kept is the id of the first mail of the incident. */
static bool ref_is_id(const char *ref)
{
	size_t n = strlen(ref);

	return n > 4 && ref[0] == '<' && ref[n - 1] == '>' && strcspn(ref, " \t\r\n") == n && is_plain(ref);
}

static int add_ids(struct request *r, const struct channel *ch, const struct message *m)
{
	char id[ID_MAX];
	int rc;

	message_id(ch, m, id);
	rc = request_header(r, "Message-ID: %s", id);
	if (rc == BUR_OK && ref_is_id(m->ref) && strcmp(m->ref, id) != 0) {
		rc = request_header(r, "In-Reply-To: %s", m->ref);
		if (rc == BUR_OK)
			rc = request_header(r, "References: %s", m->ref);
	}
	return rc;
}

static bool is_urgent(const struct message *m)
{
	return m->severity == SEVERITY_CRITICAL && (m->op == SAY_FIRE || m->op == SAY_UPDATE || m->op == SAY_ESCALATE);
}

/* What keeps holiday notes and other machines from answering, and what filters can go by. */
static int add_marks(struct request *r, const struct message *m)
{
	int rc = request_header(r, "Auto-Submitted: auto-generated");

	if (rc == BUR_OK)
		rc = request_header(r, "X-Auto-Response-Suppress: All");
	if (rc == BUR_OK)
		rc = request_header(r, "X-Bursar-Event: %s", m->id);
	if (rc == BUR_OK && is_urgent(m))
		rc = request_header(r, "Importance: high");
	return rc;
}

/* --- users' templates --------------------------------------------------------------------------------------------- */

/* For people: "WARNING", "Daily". */
static int set_capital(json_t *o, const char *name, bool whole)
{
	char text[WORDS_NAME_MAX];

	(void)words_clean(slice_of(fact_text(o, name)), text, sizeof(text));
	for (char *p = text; *p && (whole || p == text); p++)
		if (*p >= 'a' && *p <= 'z')
			*p = (char)(*p - 'a' + 'A');
	return json_object_set_new(o, name, json_string(text));
}

/* The facts, the brief, and the fields that subjects of the cost API have. */
static json_t *template_values(const struct message *m)
{
	json_t *values = brief_values(m->facts, m->brief), *alert = payload_cost_alert(m);
	char share[WORDS_MAX], cost[WORDS_MAX], limit[WORDS_MAX];
	struct figures f;
	int64_t used;
	int bad = values && alert ? 0 : -1;

	if (bad)
		goto out;
	figures_read(m->facts, &f);
	if (amount_add(f.spent, f.held, &used) < 0)
		used = f.spent;
	words_share(f.ratio, false, share)[strcspn(share, " ")] = '\0';
	bad |= set_capital(alert, "alert_level", true) | set_capital(alert, "period_type", false);
	bad |= json_object_set_new(alert, "percentage_used", json_string(share));
	bad |= json_object_set_new(alert, "current_cost", json_string(words_figure(used, f.unit, cost)));
	bad |= json_object_set_new(alert, "budget_limit", json_string(words_figure(f.limit, f.unit, limit)));
	bad |= json_object_update_missing(values, alert);
out:
	json_decref(alert);
	if (bad) {
		json_decref(values);
		values = NULL;
	}
	return values;
}

/* The template filled in, in the arena. NULL: there is none, or it makes more than may be sent; ours is taken then,
 * because an alert in another form is better than none. */
static const char *from_template(struct arena *arena, const char *text, const json_t *values, enum escape escape,
				 size_t max)
{
	struct slice made = SLICE_NONE;
	struct buf out;

	if (!text || !values)
		return NULL;
	buf_init(&out, TEMPLATE_OUT_MAX * 2);
	if (template_render(slice_of(text), values, escape, &out) == BUR_OK && buf_len(&out) > 0 &&
	    buf_len(&out) <= max)
		made = arena_dup(arena, buf_slice(&out));
	buf_done(&out);
	return made.p;
}

/* --- the mail ----------------------------------------------------------------------------------------------------- */

typedef int part_fn(const struct message *, const struct email_rows *, struct buf *out);

static int make_part(struct arena *arena, part_fn *make, const struct message *m, const struct email_rows *rows,
		     size_t max, const char **ret)
{
	struct slice made;
	struct buf out;
	int r;

	buf_init(&out, max);
	r = make(m, rows, &out);
	if (r == BUR_OK) {
		made = arena_dup(arena, buf_slice(&out));
		*ret = made.p;
		r = made.p ? BUR_OK : BUR_NOMEM;
	}
	buf_done(&out);
	return r;
}

/* Whoever has a template for the text alone wants mails of text; one for HTML alone has our text beside it. */
static int add_parts(const struct channel *ch, const struct message *m, const json_t *values, struct request *r)
{
	const struct channel_templates *t = &ch->templates;
	struct email_rows rows;
	int rc = email_rows_make(r->arena, m, &rows);

	r->mail_text = from_template(r->arena, t->text, values, ESCAPE_NONE, EMAIL_TEXT_MAX);
	r->mail_html = from_template(r->arena, t->html, values, ESCAPE_HTML, EMAIL_HTML_MAX);
	if (rc == BUR_OK && !r->mail_html && !r->mail_text)
		rc = make_part(r->arena, email_html_make, m, &rows, EMAIL_HTML_MAX, &r->mail_html);
	if (rc == BUR_TOOBIG) /* then without it */
		rc = BUR_OK;
	if (rc == BUR_OK && !r->mail_text)
		rc = make_part(r->arena, email_text_make, m, &rows, EMAIL_TEXT_MAX, &r->mail_text);
	if (m->plain)
		r->mail_html = NULL;
	return rc;
}

static int add_fields(const struct channel *ch, const struct message *m, const json_t *values, struct request *r)
{
	const char *own = from_template(r->arena, ch->templates.subject, values, ESCAPE_LINE, TEMPLATE_OUT_MAX);
	int rc = add_date(r, m->now_ns / NS_PER_S);

	if (rc == BUR_OK)
		rc = add_from(r, &ch->email);
	if (rc == BUR_OK)
		rc = request_header(r, "To: <%s>", ch->email.to);
	if (rc == BUR_OK)
		rc = add_subject(r, own ? own : m->brief->subject);
	if (rc == BUR_OK)
		rc = add_ids(r, ch, m);
	return rc == BUR_OK ? add_marks(r, m) : rc;
}

static int add_server(const struct email_channel *e, struct request *r)
{
	struct slice url = arena_printf(r->arena, "%s://%s:%u/%s", e->security == MAIL_TLS ? "smtps" : "smtp", e->host,
					(unsigned)e->port, e->ehlo ? e->ehlo : "");

	r->kind = REQUEST_MAIL;
	r->url = url.p;
	r->mail_from = e->from;
	r->mail_to = e->to;
	r->user = e->user;
	r->password = e->password;
	r->auth = e->auth;
	r->mail_security = e->security == MAIL_TLS         ? MAIL_TLS
			   : e->security == MAIL_PLAINTEXT ? MAIL_PLAINTEXT
							   : MAIL_STARTTLS;
	return url.p ? BUR_OK : BUR_NOMEM;
}

static int email_request(const struct channel *ch, const struct message *m, struct request *ret)
{
	bool templates = ch->templates.subject || ch->templates.text || ch->templates.html;
	json_t *values = templates ? template_values(m) : NULL;
	int r = templates && !values ? BUR_NOMEM : add_server(&ch->email, ret);

	if (r == BUR_OK)
		r = add_fields(ch, m, values, ret);
	if (r == BUR_OK)
		r = add_parts(ch, m, values, ret);
	json_decref(values);
	return r;
}

/* --- what the server said ----------------------------------------------------------------------------------------- */

/* RFC 5321 4.2; what is not here goes by its first digit: 4 again, 5 never. */
static const struct {
	int code;
	enum outcome outcome;
} replies[] = {
    {500, OUTCOME_CHANNEL}, /* it does not know the command: something else listens there */
    {501, OUTCOME_DEAD},    {502, OUTCOME_CHANNEL}, {503, OUTCOME_CHANNEL}, {504, OUTCOME_CHANNEL},
    {521, OUTCOME_CHANNEL}, /* takes no mail */
    {523, OUTCOME_CHANNEL}, {524, OUTCOME_CHANNEL}, {525, OUTCOME_CHANNEL}, {530, OUTCOME_CHANNEL},
    {534, OUTCOME_CHANNEL}, {535, OUTCOME_CHANNEL}, {538, OUTCOME_CHANNEL},
};

static enum outcome reply_outcome(int code)
{
	for (size_t i = 0; i < ARRAY_LEN(replies); i++)
		if (replies[i].code == code)
			return replies[i].outcome;
	return code >= 500 ? OUTCOME_DEAD : OUTCOME_RETRY;
}

static void say_login(const struct channel *ch, const struct answer *a, struct verdict *v)
{
	if (!ch->email.user)
		(void)snprintf(
		    v->why, sizeof(v->why),
		    "the mail server wants a password: set username and password in alerts.channels.%.100s.email (%s)",
		    ch->group, a->error);
	else if (ch->email.auth && strcmp(ch->email.auth, "xoauth2") == 0)
		(void)snprintf(v->why, sizeof(v->why),
			       "the mail server refused the token of %.80s: it may have expired, renew "
			       "alerts.channels.%.80s.email.password (%s)",
			       ch->email.user, ch->group, a->error);
	else
		(void)snprintf(
		    v->why, sizeof(v->why),
		    "the mail server refused the password of %.80s: check alerts.channels.%.80s.email.password (%s)",
		    ch->email.user, ch->group, a->error);
}

static void say_reply(const struct channel *ch, const struct answer *a, struct verdict *v)
{
	if (a->code == 530 || a->code == 534 || a->code == 535)
		say_login(ch, a, v);
	else if (v->outcome == OUTCOME_DEAD)
		(void)snprintf(v->why, sizeof(v->why), "no mail to %.100s: %s", ch->email.to, a->error);
	else
		(void)snprintf(v->why, sizeof(v->why), "%s", a->error);
}

/* By the code wherever there is one that refuses: libcurl's own result is the same for very different replies. */
static void email_judge(const struct channel *ch, const struct message *m, const struct answer *a, struct verdict *ret)
{
	char id[ID_MAX];

	*ret = (struct verdict){.outcome = OUTCOME_SENT};
	if (a->code >= 400) {
		ret->outcome = reply_outcome(a->code);
		say_reply(ch, a, ret);
	} else if (a->fault != ANSWER_NO_FAULT || a->code < 200 || a->code > 299) {
		ret->outcome = outcome_of_fault(a->fault);
		(void)snprintf(ret->why, sizeof(ret->why), "%s",
			       *a->error ? a->error : "the mail server did not take the mail");
	} else if (!*m->ref && *m->dedup_key) {
		message_id(ch, m, id);
		if (strlen(id) < sizeof(ret->ref)) /* else the next mail begins a conversation again */
			(void)slice_to_cstr(slice_of(id), ret->ref, sizeof(ret->ref));
	}
}

const struct channel_ops email_ops = {
    .type = "email",
    .severity = SEVERITY_ERROR,
    .interval_ns = 0,
    .request = email_request,
    .judge = email_judge,
};
