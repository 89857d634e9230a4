/* template.h - texts with places for values: "Budget {{budget_id}} is at {{ratio}}". A place names a member of a JSON
 * object, with dots into nested ones and list indexes ("scope.id", "top.0.model"). Every value is escaped for where the
 * text goes; there is no way to switch that off. `{{#name}}...{{/name}}` is left out when the value is missing, empty,
 * false or an empty list, and repeated for each element of a list; `{{^name}}...{{/name}}` is the opposite. Within,
 * names are looked for in the element first, `{{.}}` is the element itself; such a tag alone on its line takes the line
 * with it.
 *
 * Values are never looked into for places again. Pure; any thread. */
#ifndef ALERTS_TEMPLATE_H
#define ALERTS_TEMPLATE_H

#include <jansson.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/slice.h"

enum escape {
	ESCAPE_NONE,     /* plain text: control characters but line ends go */
	ESCAPE_LINE,     /* one line: line ends become spaces too (mail headers, titles) */
	ESCAPE_HTML,     /* & < > " ' as entities */
	ESCAPE_JSON,     /* inside a JSON string */
	ESCAPE_MRKDWN,   /* Slack: & < > */
	ESCAPE_URL,      /* a value in a query or form: all but letters, digits and -_.~ as %XX */
	ESCAPE_MARKDOWN, /* Discord, Teams: every character that means something gets a backslash; @ and # lose their
			    power */
};
#define TEMPLATE_BYTES_MAX 65536
#define TEMPLATE_DEPTH_MAX 8
#define TEMPLATE_OUT_MAX (256 * 1024)

/* Is it well formed? BUR_INVALID: reterr says where and what. Members need not exist. */
int template_check(struct slice text, char *reterr, size_t size) NONNULL(2) MUST_USE;
/* BUR_OK; BUR_INVALID: malformed; BUR_TOOBIG: more than TEMPLATE_OUT_MAX; BUR_NOMEM. */
int template_render(struct slice text, const json_t *values, enum escape, struct buf *out) NONNULL(2, 4) MUST_USE;
/* JSON with texts that a chat shows: every value is escaped as `shown` says and then for JSON. Members of the object
 * `ours` (NULL: none), links that would be none any more, are for JSON only. Otherwise as template_render. */
int template_render_shown(struct slice text, const json_t *values, enum escape shown, const json_t *ours,
			  struct buf *out) NONNULL(2, 5) MUST_USE;
/* The escaping alone, appended to `out`. BUR_OK; BUR_TOOBIG: `out` is full; BUR_NOMEM. Bytes that are not UTF-8 become
 * U+FFFD; but in JSON, what hides text or turns its order is left out. */
int escape_append(struct buf *out, enum escape, struct slice text) NONNULL(1) MUST_USE;

#endif
