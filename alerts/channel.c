#include "alerts/channel.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define HEADER_MAX 4096

/* --- requests ----------------------------------------------------------------------------------------------------- */

/* A control character in a value would let names of others write headers of their own. */
static bool header_is_clean(struct slice s)
{
	size_t colon = slice_find(s, ':');

	if (colon == 0 || colon == s.n)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	}
	return true;
}

int request_header(struct request *r, const char *fmt, ...)
{
	char text[HEADER_MAX];
	struct slice copy;
	va_list ap;
	int n;

	if (r->n_headers >= REQUEST_HEADERS_MAX)
		return BUR_FULL;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(text))
		return BUR_INVALID;
	if (!header_is_clean(slice_mem(text, (size_t)n)))
		return BUR_INVALID;
	copy = arena_dup(r->arena, slice_mem(text, (size_t)n));
	if (!copy.p)
		return BUR_NOMEM;
	r->header[r->n_headers++] = copy.p;
	return BUR_OK;
}

int request_json(struct request *r, json_t *body, const char *type)
{
	char *text = body ? json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;

	json_decref(body);
	if (!text)
		return BUR_NOMEM;
	r->body = arena_dup(r->arena, slice_of(text));
	free(text);
	if (!r->body.p)
		return BUR_NOMEM;
	return type ? request_header(r, "Content-Type: %s", type) : BUR_OK;
}

/* --- verdicts ----------------------------------------------------------------------------------------------------- */

/* What becomes of a status that the channel does not know better. What is not here: 2xx is sent, 3xx is the channel's
 * fault (redirects are not followed), 4xx and 5xx are tried again by the table of delays. */
static const struct {
	int code;
	enum outcome outcome;
	const char *advice; /* "" when the peer's words say enough */
} statuses[] = {
    {401, OUTCOME_CHANNEL, "the credentials are wrong or have expired"},
    {403, OUTCOME_CHANNEL, "the credentials or the URL are not allowed to do this; they may have expired"},
    {404, OUTCOME_CHANNEL, "the URL is wrong, or what it belonged to was deleted"},
    {405, OUTCOME_CHANNEL, "the URL does not take messages"},
    {407, OUTCOME_CHANNEL, "a proxy stands in between"},
    {410, OUTCOME_DISABLE, "the address is gone for good"},
};

static void verdict_say(struct verdict *v, const struct answer *a, const char *advice)
{
	(void)snprintf(v->why, sizeof(v->why), "%s%s%s", a->error ? a->error : "", advice[0] && a->error[0] ? "; " : "",
		       advice);
}

enum outcome outcome_of_fault(enum answer_fault fault)
{
	switch (fault) {
	case ANSWER_FORBIDDEN: /* the words say what to set */
	case ANSWER_TLS:
	case ANSWER_NO_TLS:
		return OUTCOME_CHANNEL;
	case ANSWER_NO_FAULT:
	case ANSWER_RESOLVE:
	case ANSWER_CONNECT:
	case ANSWER_TIMEOUT:
	case ANSWER_BROKEN:
	case ANSWER_INTERNAL:
		break;
	}
	return OUTCOME_RETRY;
}

static void verdict_status(const struct answer *a, struct verdict *v)
{
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		if (statuses[i].code != a->code)
			continue;
		v->outcome = statuses[i].outcome;
		verdict_say(v, a, statuses[i].advice);
		return;
	}
	if (a->code >= 300 && a->code < 400) {
		v->outcome = OUTCOME_CHANNEL;
		verdict_say(v, a, "redirects are not followed: set the URL that it leads to");
		return;
	}
	v->outcome = OUTCOME_RETRY;
	if ((a->code == 429 || a->code == 503) && a->retry_after_s > 0)
		v->wait_s = a->retry_after_s;
	verdict_say(v, a, "");
}

void verdict_http(const struct answer *a, struct verdict *ret)
{
	*ret = (struct verdict){.outcome = OUTCOME_SENT};
	if (a->fault != ANSWER_NO_FAULT) {
		ret->outcome = outcome_of_fault(a->fault);
		verdict_say(ret, a, "");
	} else if (a->code < 200 || a->code > 299) {
		verdict_status(a, ret);
	}
}
