#include "api/body.h"

#include <stdio.h>
#include <string.h>

#include "api/reply.h"
#include "base/amount.h"
#include "base/calendar.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/utf8.h"

static int append_json(const char *p, size_t n, void *out)
{
	return buf_append(out, p, n) == BUR_OK ? 0 : -1;
}

void body_send(struct api_call *call, int status, json_t *body)
{
	size_t before = buf_len(&call->out);

	call->type = "application/json";
	call->status = status;
	if (!body || json_dump_callback(body, append_json, &call->out, JSON_COMPACT | JSON_REAL_PRECISION(15)) != 0) {
		buf_consume(&call->out, buf_len(&call->out) - before);
		call->status = 500; /* out of memory: no text can be promised */
	}
	json_decref(body);
}

json_t *body_text(struct slice s)
{
	char fixed[2048];
	size_t n = 0, step;
	uint32_t cp;

	if (s.n == 0)
		return json_string("");
	json_t *whole = json_stringn(s.p, s.n); /* refuses bad UTF-8 */
	if (whole)
		return whole;
	for (size_t i = 0; i < s.n && n + 4 < sizeof(fixed); i += step) {
		step = utf8_decode(s.p + i, s.n - i, &cp);
		if (step == 0) {
			step = 1;
			cp = 0xfffd;
		}
		n += utf8_encode(cp, fixed + n);
	}
	return json_stringn(fixed, n);
}

json_t *body_usd(int64_t nanousd)
{
	char text[AMOUNT_TEXT_MAX];

	return json_string(amount_format_usd(nanousd, text));
}

/* Civil UTC from days: no zone is needed for it. */
json_t *body_time(int64_t unix_ns)
{
	char text[TIME_TEXT_MAX];
	int64_t s = unix_ns / NS_PER_S, day, year;
	int month, mday, left;

	if (unix_ns == 0)
		return json_null();
	day = s / 86400;
	left = (int)(s % 86400);
	if (left < 0) {
		left += 86400;
		day--;
	}
	civil_from_days(day, &year, &month, &mday);
	(void)snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02dZ", (int)year, month, mday, left / 3600,
		       left / 60 % 60, left % 60);
	return json_string(text);
}

static bool is_one_of(const char *name, const char *const *known)
{
	for (; *known; known++) {
		size_t n = strlen(*known);

		if ((*known)[n - 1] == '*' ? strncmp(name, *known, n - 1) == 0 : strcmp(name, *known) == 0)
			return true;
	}
	return false;
}

bool body_only_has(struct api_call *call, const json_t *o, const char *const *known)
{
	const char *name;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)o, name, v)
	{
		if (is_one_of(name, known))
			continue;
		reply_invalid(call, "body", "field", "extra_forbidden", "Extra inputs are not permitted",
			      slice_of(name));
		return false;
	}
	return true;
}
