#include "api/reply.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "api/body.h"
#include "base/error.h"
#include "base/log.h"
#include "store/store.h"

/* --- answers ------------------------------------------------------------------------------------------------------ */

void reply_error(struct api_call *call, int status, const char *text)
{
	body_send(call, status, json_pack("{s:s}", "detail", text));
}

void reply_invalid(struct api_call *call, const char *where, const char *name, const char *type, const char *message,
		   struct slice input)
{
	body_send(call, 422,
		  json_pack("{s:[{s:s,s:[s,s],s:s,s:o}]}", "detail", "type", type, "loc", where, name, "msg", message,
			    "input", input.p ? body_text(input) : json_null()));
}

void reply_field(struct api_call *call, const char *name, const char *value)
{
	size_t n = strlen(call->fields);
	int w = snprintf(call->fields + n, sizeof(call->fields) - n, "%s: %s\r\n", name, value);

	if (w < 0 || (size_t)w >= sizeof(call->fields) - n)
		call->fields[n] = '\0'; /* whole lines or none */
}

/* --- parameters --------------------------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int reply_decode(struct arena *arena, struct slice text, bool form, struct slice *ret)
{
	char *dst = arena_alloc(arena, text.n + 1);
	size_t n = 0;

	if (!dst)
		return BUR_NOMEM;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (c == '+' && form)
			c = ' ';
		if (c == '%') {
			int hi = i + 2 < text.n ? hex_digit(text.p[i + 1]) : -1;
			int lo = i + 2 < text.n ? hex_digit(text.p[i + 2]) : -1;

			if (hi < 0 || lo < 0)
				return BUR_INVALID;
			c = (char)(hi << 4 | lo);
			i += 2;
		}
		if (c == '\0')
			return BUR_INVALID;
		dst[n++] = c;
	}
	dst[n] = '\0';
	*ret = slice_mem(dst, n);
	return BUR_OK;
}

int reply_query(struct api_call *call, const char *name, struct slice *ret)
{
	struct slice rest = call->query, pair, key, value, decoded;

	*ret = SLICE_NONE;
	while (rest.n > 0) {
		(void)slice_cut(rest, '&', &pair, &rest);
		(void)slice_cut(pair, '=', &key, &value);
		if (!slice_eq(key, slice_of(name)))
			continue;
		if (reply_decode(call->arena, value, true, &decoded) < 0) {
			reply_invalid(call, "query", name, "value_error", "Value error, bad percent-encoding", value);
			return BUR_INVALID;
		}
		*ret = decoded;
	}
	return BUR_OK;
}

int reply_query_u64(struct api_call *call, const char *name, uint64_t min, uint64_t max, uint64_t *inout)
{
	struct slice text;
	char message[96];
	uint64_t n;

	if (reply_query(call, name, &text) < 0)
		return BUR_INVALID;
	if (!text.p)
		return BUR_OK;
	if (slice_u64(text, &n) < 0) {
		reply_invalid(call, "query", name, "int_parsing",
			      "Input should be a valid integer, unable to parse string as an integer", text);
		return BUR_INVALID;
	}
	if (n < min || n > max) {
		(void)snprintf(message, sizeof(message), "Input should be %s than or equal to %llu",
			       n < min ? "greater" : "less", (unsigned long long)(n < min ? min : max));
		reply_invalid(call, "query", name, n < min ? "greater_than_equal" : "less_than_equal", message, text);
		return BUR_INVALID;
	}
	*inout = n;
	return BUR_OK;
}

/* --- database ----------------------------------------------------------------------------------------------------- */

struct sqlite3 *reply_reader(struct api *api, struct api_call *call)
{
	int r;

	if (api->reader)
		return api->reader;
	r = store_reader(api->deps.store, &api->reader);
	if (r < 0) {
		log_limited(LOG_ERROR, "api.reader", "cannot read the ledger: %s", bur_strerror(r));
		api->reader = NULL;
		reply_error(call, 503, "Database not available");
	}
	return api->reader;
}
