/* channel.h - one way to reach people, behind one interface: how a message becomes a request, and what an answer means.
 *
 * Channels are pure: they build requests and judge answers; transport.h sends, deliver.h decides when. A file for each:
 * email.c, slack.c, teams.c, discord.c, pagerduty.c, opsgenie.c, alertmanager.c, webhook.c, logline.c.
 * Where the configuration names several addresses or URLs, each is a channel of its own here. Control thread. */
#ifndef ALERTS_CHANNEL_H
#define ALERTS_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "alerts/alert.h"
#include "alerts/brief.h"
#include "base/arena.h"
#include "base/attr.h"
#include "base/calendar.h"
#include "base/slice.h"

struct channel;

/* --- a message ---------------------------------------------------------------------------------------------------- */

#define MESSAGE_REF_MAX 200
struct message {
	enum message_op op;
	enum severity severity;
	const json_t *facts;
	const struct brief *brief;
	const char *id;        /* the same for every try: [A-Za-z0-9_-]+, no dot */
	const char *dedup_key; /* of the incident; "" for a digest or a test */
	const char *ref; /* what this channel keeps of the incident (verdict.ref when it was first told); "": nothing */
	const char *public_url; /* where people reach the admin side; "" */
	const char *node;
	int64_t at_ns, now_ns; /* of the event; of this try */
	int attempt;           /* 1.. */
	int step;              /* 0.. of a message that takes several requests */
	bool plain;            /* its form was refused: plain text only */
};

/* --- a request ---------------------------------------------------------------------------------------------------- */

enum request_kind { REQUEST_HTTP, REQUEST_MAIL, REQUEST_LOG };
#define REQUEST_HEADERS_MAX 48
/* Everything lives in the arena until the answer was judged. */
struct request {
	struct arena *arena; /* set by the caller */
	enum request_kind kind;
	const char *method;                      /* HTTP */
	const char *url;                         /* https://..., smtp://host:587/ehlo-name, smtps://host:465/... */
	const char *header[REQUEST_HEADERS_MAX]; /* "Name: value", without line ends; of a mail: its header fields */
	size_t n_headers;
	struct slice body; /* HTTP; LOG: the line without its end */
	/* MAIL */
	const char *mail_from, *mail_to;    /* bare addresses */
	const char *mail_text, *mail_html;  /* UTF-8 with \n; NULL html: text only */
	const char *user, *password, *auth; /* NULL user: none; auth: "plain", "login", "xoauth2" or NULL = best */
	enum { MAIL_STARTTLS, MAIL_TLS, MAIL_PLAINTEXT } mail_security;
};
/* Appends a header made like printf; a value with a control character is refused. BUR_OK, BUR_INVALID, BUR_FULL,
 * BUR_NOMEM. */
int request_header(struct request *, const char *fmt, ...) NONNULL(1, 2) PRINTF_LIKE(2, 3) MUST_USE;
/* The body from JSON, compact; takes the reference over (NULL is BUR_NOMEM), adds Content-Type unless `type` is NULL.
 */
int request_json(struct request *, json_t *body, const char *type) NONNULL(1) MUST_USE;

/* --- an answer ---------------------------------------------------------------------------------------------------- */

enum answer_fault {
	ANSWER_NO_FAULT,  /* there is a code */
	ANSWER_RESOLVE,   /* no such host */
	ANSWER_FORBIDDEN, /* the address may not be reached, or the URL's scheme */
	ANSWER_CONNECT,   /* refused, unreachable */
	ANSWER_TLS,       /* certificate, handshake */
	ANSWER_NO_TLS,    /* the mail server offers no STARTTLS */
	ANSWER_TIMEOUT,
	ANSWER_BROKEN,   /* broken off, malformed */
	ANSWER_INTERNAL, /* ours: out of memory, the log cannot be written */
};
#define ANSWER_BODY_MAX 8192
struct answer {
	enum answer_fault fault;
	int code;              /* HTTP status or SMTP reply; 0: none */
	const char *error;     /* for people: what went wrong and the peer's words, secrets redacted; "" */
	struct slice body;     /* at most ANSWER_BODY_MAX; SMTP: the last reply's text */
	int64_t retry_after_s; /* of the header Retry-After, seconds or a date; -1: none */
	int64_t took_ms;
};

enum outcome {
	OUTCOME_SENT,
	OUTCOME_MORE,    /* step + 1, at once */
	OUTCOME_PLAIN,   /* the form was refused: once more with message.plain */
	OUTCOME_RETRY,   /* later, by the table of delays */
	OUTCOME_DEAD,    /* this message will never pass */
	OUTCOME_CHANNEL, /* the channel is set up wrongly (password): in an hour, and told elsewhere */
	OUTCOME_DISABLE, /* the channel is gone: nothing more is sent until it is configured anew or enabled by hand */
};
#define VERDICT_WHY_MAX 300
struct verdict {
	enum outcome outcome;
	int64_t wait_s;            /* RETRY: at least so long; 0: by the table */
	char why[VERDICT_WHY_MAX]; /* for people: what is wrong and what to do; "" when sent */
	char ref[MESSAGE_REF_MAX]; /* SENT, MORE: what to keep for later messages of the incident; "": as it was */
};
/* What every HTTP channel does with what it does not know better: 2xx sent; 429 and 503 with Retry-After, 408, 425, 5xx
 * and faults again; forbidden addresses, TLS faults and other 4xx: see the table in channel.c. */
void verdict_http(const struct answer *, struct verdict *ret) NONNULL(1, 2);
enum outcome outcome_of_fault(enum answer_fault); /* CHANNEL when somebody has to mend something, else RETRY */

/* --- kinds -------------------------------------------------------------------------------------------------------- */

struct channel_ops {
	const char *type;       /* "slack" */
	enum severity severity; /* the least that is told, unless configured */
	int64_t interval_ns;    /* least time between two messages */
	/* An update of an incident that was told before may take its place (Slack's Web API, PagerDuty): such updates
	 * need no minimum gap. */
	bool in_place;
	/* The other side keeps incidents of its own (PagerDuty, Opsgenie, Alertmanager, webhooks): what was told one by
	 * one ends one by one, past the rate limit, and is never merged into a digest. */
	bool stateful;
	/* BUR_OK; BUR_ALREADY: nothing is to be said in this case (counts as sent); BUR_NOMEM, BUR_TOOBIG. */
	int (*request)(const struct channel *, const struct message *, struct request *ret);
	void (*judge)(const struct channel *, const struct message *, const struct answer *, struct verdict *ret);
	/* All that fires, told again every refresh_ns (Alertmanager forgets); NULL: not needed. */
	int (*refresh)(const struct channel *, const struct message *list, size_t n, struct request *ret);
	int64_t refresh_ns;
};
extern const struct channel_ops email_ops, slack_webhook_ops, slack_api_ops, teams_ops, discord_ops, pagerduty_ops,
    opsgenie_ops, alertmanager_ops, webhook_ops, logline_ops;

/* --- as configured ------------------------------------------------------------------------------------------------ */

/* Texts that users put in the place of ours; NULL: ours. Checked by template_check at load. */
struct channel_templates {
	const char *subject, *text, *html, *json; /* which of them a channel knows: docs/alerts.md */
};

struct email_channel {
	const char *host, *ehlo, *user, *password, *auth, *from, *from_name, *to;
	uint16_t port;
	int security; /* MAIL_STARTTLS ... */
};
struct slack_channel {
	const char *webhook;                      /* or */
	const char *token, *channel, *api_url;    /* Web API; api_url: https://slack.com/api */
	bool attachments;                         /* the older form, cost-endpoints C5.4 */
	const char *username, *icon_emoji, *room; /* of that form */
	const char *const *mentions;              /* "<@U123>", "<!here>" */
	size_t n_mentions;
};
struct teams_channel {
	const char *url;
};
struct discord_channel {
	const char *url, *username;
};
struct pagerduty_channel {
	const char *url, *routing_key;
};
struct opsgenie_channel {
	const char *url, *key;
	const char *const *tags;
	size_t n_tags;
	const char *const *responders; /* names of teams */
	size_t n_responders;
};
struct alertmanager_channel {
	const char *url; /* base */
	const char *bearer, *user, *password;
};
enum webhook_format {
	WEBHOOK_STANDARD,
	WEBHOOK_CLOUDEVENTS,
	WEBHOOK_CLOUDEVENTS_BINARY,
	WEBHOOK_ALERTMANAGER,
	WEBHOOK_TEMPLATE
};
struct webhook_channel {
	const char *url, *method;
	enum webhook_format format;
	const char *const *secrets; /* whsec_...; each signs, while one takes the other's place */
	size_t n_secrets;
	const char *const *headers; /* "Name: value" */
	size_t n_headers;
	const char *bearer, *user, *password, *api_key;
	const char *content_type; /* of a template; application/json */
};
enum logline_format { LOGLINE_JSON, LOGLINE_SYSLOG };
struct logline_channel {
	enum logline_format format;
	const char *path; /* NULL: bursar's own log; "/dev/log" or a socket: syslog there; else a file */
	int facility;     /* its number, 0 to 23 */
};
int logline_facility(const char *name) NONNULL(1); /* "daemon" is 3; -1: there is none of that name */

/* Nobody is disturbed from..to, in minutes of the local day, over midnight too, unless it is critical. */
struct quiet_hours {
	bool on;
	const struct tz *zone;
	int from_min, to_min;
	unsigned days; /* bit 0 = Monday: on which the silence begins */
};

struct channel {
	const char *name;  /* "ops-mail", "ops-mail:bob@example.com": in the store, the metrics, the API */
	const char *group; /* as configured; what rules name */
	const struct channel_ops *ops;
	enum severity severity; /* the least that it is told */
	struct quiet_hours quiet;
	int64_t window_s;                    /* 300; in which at most */
	int per_window, critical_per_window; /* 10 and 30 messages */
	int64_t gap_s, critical_gap_s; /* 300 and 60: between messages of one incident that is not getting worse */
	bool resolves;                 /* is told of the end, too */
	bool allow_http, allow_private;
	const char *ca_file; /* NULL: the system's */
	struct channel_templates templates;
	union {
		struct email_channel email;
		struct slack_channel slack;
		struct teams_channel teams;
		struct discord_channel discord;
		struct pagerduty_channel pagerduty;
		struct opsgenie_channel opsgenie;
		struct alertmanager_channel alertmanager;
		struct webhook_channel webhook;
		struct logline_channel logline;
	};
};

#endif
