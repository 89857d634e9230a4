/* /alerts/act: the page behind the links in messages. The signature in the link is the authorization, for one incident
 * and one action. A GET only shows (mail scanners follow every link); the button's POST acts. No script, no cookie,
 * nothing loaded from anywhere. */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "alerts/alert.h"
#include "alerts/link.h"
#include "alerts/sentence.h"
#include "alerts/template.h"
#include "api/body.h"
#include "api/reply.h"
#include "api/views.h"
#include "base/error.h"
#include "base/log.h"

static const char style[] =
    ":root{color-scheme:light dark;--bg:#f4f5f7;--card:#fff;--ink:#1c2330;--dim:#5b6575;--line:#e2e6ec;--go:#1f5fd0}"
    "@media (prefers-color-scheme:dark){:root{--bg:#12161d;--card:#1c222c;--ink:#e8ecf2;--dim:#9aa5b5;--line:#303946;"
    "--go:#3f7fee}}"
    "*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,sans-serif}"
    "main{max-width:36rem;margin:8vh auto;padding:0 1rem}"
    "article{background:var(--card);border:1px solid var(--line);border-top:5px solid var(--tone,#8a94a3);"
    "border-radius:10px;padding:1.5rem 1.75rem;overflow-wrap:anywhere}"
    ".info{--tone:#2f80c3}.warning{--tone:#d98a00}.error{--tone:#d9480f}.critical{--tone:#c4162a}.good{--tone:#2b8a3e}"
    "h1{font-size:1.3rem;line-height:1.3;margin:.2rem 0 .8rem}p{margin:.5rem 0}.dim{color:var(--dim);font-size:.9rem}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.3rem 1.2rem;margin:1rem 0}dt{color:var(--dim)}"
    "dd{margin:0}form{display:inline-block;margin:1rem .6rem 0 0}"
    "button{font:inherit;font-weight:600;color:#fff;background:var(--go);border:0;border-radius:7px;"
    "padding:.6rem 1.3rem;cursor:pointer}.second{color:inherit;background:none;"
    "box-shadow:inset 0 0 0 1px var(--line)}button:focus-visible{outline:3px solid var(--ink);outline-offset:2px}";

/* --- pieces ------------------------------------------------------------------------------------------------------- */

static int put_text(struct buf *out, const char *text)
{
	return escape_append(out, ESCAPE_HTML, slice_of(text));
}

/* The one style of the page may be used, and nothing else, by nobody; forms go here only. */
static void send_policy(struct api_call *call)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char text[64], policy[256];
	unsigned n = 0;

	if (!EVP_Digest(style, sizeof(style) - 1, digest, &n, EVP_sha256(), NULL) ||
	    base64_encode(digest, n, text, sizeof(text)) < 0)
		text[0] = '\0'; /* a page without style */
	(void)snprintf(policy, sizeof(policy),
		       "default-src 'none'; style-src 'sha256-%s'; form-action 'self'; frame-ancestors 'none'; "
		       "base-uri 'none'",
		       text);
	reply_field(call, "Content-Security-Policy", policy);
	reply_field(call, "Referrer-Policy", "no-referrer");
}

static int begin(struct buf *out, const char *tone, const char *title)
{
	int r = buf_printf(out,
			   "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
			   "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
			   "<meta name=\"robots\" content=\"noindex\"><title>bursar</title><style>%s</style></head>\n"
			   "<body><main><article class=\"%s\">\n<h1>",
			   style, tone);

	r |= put_text(out, title);
	return r | buf_printf(out, "</h1>\n");
}

static void finish(struct api_call *call, int status, int r)
{
	r |= buf_printf(&call->out, "</article></main></body></html>\n");
	call->type = "text/html; charset=utf-8";
	call->status = r == BUR_OK ? status : 500;
	send_policy(call);
}

static void send_note(struct api_call *call, int status, const char *tone, const char *title, const char *text)
{
	int r = begin(&call->out, tone, title);

	r |= buf_printf(&call->out, "<p>");
	r |= put_text(&call->out, text);
	r |= buf_printf(&call->out, "</p>\n");
	finish(call, status, r);
}

static int put_fact(struct buf *out, const char *name, const char *value)
{
	int r;

	if (!value || value[0] == '\0')
		return BUR_OK;
	r = buf_printf(out, "<dt>%s</dt><dd>", name);
	r |= put_text(out, value);
	return r | buf_printf(out, "</dd>");
}

/* --- the incident ------------------------------------------------------------------------------------------------- */

static const char *text_in(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? s : "";
}

static const char *amount_in(const json_t *alert, const char *name, char dst[64])
{
	const json_t *v = json_object_get(alert, name);
	const char *unit = text_in(alert, "unit");

	if (!json_is_number(v))
		return "";
	if (strcmp(unit, "USD") != 0)
		(void)snprintf(dst, 64, "%.0f %.20s", json_number_value(v), unit);
	else
		(void)snprintf(dst, 64, json_number_value(v) < 0.01 ? "%.3g USD" : "%.2f USD", json_number_value(v));
	return dst;
}

/* "2026-11-21 08:00 UTC" of RFC 3339. */
static const char *time_in(const json_t *alert, const char *name, char dst[64])
{
	const char *at = text_in(alert, name);

	if (strlen(at) < 16)
		return "";
	(void)snprintf(dst, 64, "%.10s %.5s UTC", at, at + 11);
	return dst;
}

static bool is_over(const json_t *alert)
{
	return json_is_true(json_object_get(alert, "resolved"));
}

/* As messages say it. */
static int put_sentence(struct buf *out, const json_t *alert, const json_t *facts)
{
	struct text words = {.n = 0};
	int r = buf_printf(out, "<p>");

	sentence_text(facts, is_over(alert) ? SAY_RESOLVE : SAY_FIRE, &words);
	r |= put_text(out, words.n > 0 ? words.mem : text_in(alert, "message"));
	return r | buf_printf(out, "</p>\n");
}

static int put_incident(struct buf *out, const json_t *alert, const json_t *facts)
{
	char number[32], spent[64], limit[64], since[64], last[64], by[300] = "";
	const char *state = text_in(alert, "state"), *who = text_in(alert, "by");
	int r = put_sentence(out, alert, facts) | buf_printf(out, "<dl>");

	(void)snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(json_object_get(alert, "id")));
	(void)snprintf(by, sizeof(by), "%s%s%.250s", state, who[0] ? " by " : "", who);
	r |= put_fact(out, "Incident", number);
	r |= put_fact(out, "State", by);
	r |= put_fact(out, "Budget", text_in(alert, "budget"));
	r |= put_fact(out, "In use", amount_in(alert, "current_value", spent));
	r |= put_fact(out, "Limit", amount_in(alert, "limit_value", limit));
	r |= put_fact(out, "Since", time_in(alert, "opened_at", since));
	r |= put_fact(out, "Last heard", time_in(alert, "timestamp", last));
	return r | buf_printf(out, "</dl>\n");
}

/* The query is ours: digits, letters and "=&-_", and "&" is escaped. */
static int put_button(struct buf *out, struct slice query, enum link_action action)
{
	int r = buf_printf(out, "<form method=\"post\" action=\"?");

	for (size_t i = 0; i < query.n; i++)
		r |= query.p[i] == '&' ? buf_printf(out, "&amp;") : buf_append(out, query.p + i, 1);
	return r | buf_printf(out, "\"><button type=\"submit\"%s</button></form>\n",
			      action == LINK_ACK ? ">Acknowledge" : " class=\"second\">Resolve");
}

static int put_linked_button(struct buf *out, struct api *api, int64_t id, enum link_action action)
{
	char query[LINK_QUERY_MAX];

	if (alerts_link_query(api->deps.alerts, id, action, query) < 0)
		return BUR_OK; /* a page without the button still tells */
	return put_button(out, slice_of(query), action);
}

static int ask(struct api *api, const char *action, json_t *what, json_t **ret)
{
	const char *field = "";
	char err[512] = "";
	int r = what ? alerts_ask(api->deps.alerts, action, what, ret, &field, err, sizeof(err)) : BUR_NOMEM;

	json_decref(what);
	if (r < 0 && r != BUR_NOTFOUND)
		log_limited(LOG_ERROR, "api.alert_page", "%s: %s", action, err[0] ? err : bur_strerror(r));
	return r;
}

static void send_trouble(struct api_call *call, int r)
{
	if (r == BUR_NOTFOUND)
		send_note(call, 404, "", "This incident is gone",
			  "It was over long ago and is no longer kept. There is nothing to do.");
	else
		send_note(call, 503, "error", "This did not work",
			  "bursar cannot read or write its data now. Try again "
			  "in a minute.");
}

static void show(struct api *api, struct api_call *call, int64_t id, enum link_action action)
{
	struct buf *out = &call->out;
	json_t *answer = NULL, *alert;
	bool acked;
	int r = ask(api, "show", json_pack("{s:I}", "id", (json_int_t)id), &answer);

	if (r < 0) {
		send_trouble(call, r);
		return;
	}
	alert = json_object_get(answer, "alert");
	acked = json_is_true(json_object_get(alert, "acknowledged"));
	r = begin(out, is_over(alert) ? "good" : text_in(alert, "severity"), text_in(alert, "title"));
	r |= put_incident(out, alert, json_object_get(answer, "facts"));
	if (is_over(alert))
		r |= buf_printf(out, "<p>It is over; there is nothing to do.</p>\n");
	else if (action == LINK_OPEN && !acked)
		r |= put_linked_button(out, api, id, LINK_ACK);
	else if (action == LINK_ACK && acked)
		r |= buf_printf(out, "<p>It is acknowledged already.</p>\n");
	else if (action == LINK_ACK)
		r |= put_button(out, call->query, LINK_ACK);
	if (!is_over(alert) && action == LINK_OPEN)
		r |= put_linked_button(out, api, id, LINK_RESOLVE);
	else if (!is_over(alert) && action == LINK_RESOLVE)
		r |= put_button(out, call->query, LINK_RESOLVE);
	if (!is_over(alert))
		r |= buf_printf(out, "<p class=\"dim\">%s</p>\n",
				action == LINK_RESOLVE
				    ? "Resolve ends the incident. When the cause goes on, a new one begins."
				    : "Acknowledge tells the others that you take care of it, and stops escalation.");
	json_decref(answer);
	finish(call, 200, r);
}

static void act(struct api *api, struct api_call *call, int64_t id, enum link_action action)
{
	json_t *answer = NULL;
	int r;

	if (action == LINK_OPEN) {
		send_note(call, 405, "", "This link only shows", "Use a link that acknowledges or resolves.");
		reply_field(call, "Allow", "GET");
		return;
	}
	r = ask(api, link_action_name(action),
		json_pack("{s:I,s:s}", "id", (json_int_t)id, "actor", "link (alert mail)"), &answer);
	json_decref(answer);
	if (r < 0)
		send_trouble(call, r);
	else if (action == LINK_ACK)
		send_note(call, 200, "good", "Acknowledged",
			  "The others are told that somebody takes care of it. It will not be escalated unless it gets "
			  "worse. You can close this page.");
	else
		send_note(call, 200, "good", "Resolved",
			  "The incident is over and everybody who was told of it is told so. When its cause goes on, a "
			  "new one begins. You can close this page.");
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static void handle(struct api *api, struct api_call *call,
		   void (*run)(struct api *, struct api_call *, int64_t, enum link_action))
{
	enum link_action action;
	int64_t id;
	int r;

	if (!api->deps.alerts) {
		reply_error(call, 503, "There are no alerts here");
		return;
	}
	r = alerts_link_check(api->deps.alerts, call->query, &id, &action);
	if (r == BUR_OK)
		run(api, call, id, action);
	else if (r == BUR_TIMEOUT)
		send_note(
		    call, 410, "", "This link is too old",
		    "Links in messages work for some days. Use a newer message, or `bursar alerts` on the command "
		    "line.");
	else
		send_note(
		    call, 403, "", "This link is not valid",
		    "It was not made by this bursar, or something on its way changed it. Copy the whole link from "
		    "the message, or use `bursar alerts` on the command line.");
}

void view_alert_page(struct api *api, struct api_call *call)
{
	handle(api, call, show);
}

void view_alert_page_act(struct api *api, struct api_call *call)
{
	handle(api, call, act);
}
