#include "meter/generic_call.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "meter/decode.h"

#define NS_PER_MILLI INT64_C(1000000) /* a thousandth of a second */

struct generic_call {
	const struct generic_meter *rule;
	struct generic_probe probe; /* of the request or of the answer, as the rule says */
	struct decode *decode;      /* of the answer, when it is looked into and compressed */
	uint64_t request_bytes, answer_bytes;
	bool request_bytes_final;
	bool has_field; /* a header or parameter that counts was there, once, and is a number */
	bool field_seen;
	bool blind; /* the answer cannot be read */
	int status; /* 0: no answer yet */
	int64_t field_milli, billed_milli;
};

struct generic_call *generic_call_new(const struct generic_meter *rule)
{
	struct generic_call *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->rule = rule;
	if (rule->source == GENERIC_REQUEST_JSON || rule->source == GENERIC_ANSWER_JSON)
		CHECK(generic_probe_init(&c->probe, rule->at) == BUR_OK); /* checked when the rule was read */
	c->probe.strict = rule->source == GENERIC_REQUEST_JSON;
	return c;
}

void generic_call_free(struct generic_call *c)
{
	if (!c)
		return;
	decode_free(c->decode);
	free(c);
}

const struct generic_meter *generic_call_rule(const struct generic_call *c)
{
	return c->rule;
}

bool generic_call_needs_body(const struct generic_call *c)
{
	return c->rule->source == GENERIC_REQUEST_JSON;
}

/* --- what passes by ----------------------------------------------------------------------------------------------- */

static void take_field(struct generic_call *c, struct slice value)
{
	/* of two, readers differ in which one they take */
	c->has_field = !c->field_seen && generic_milli(slice_trim(value), &c->field_milli) == BUR_OK;
	c->field_seen = true;
}

void generic_call_request_field(struct generic_call *c, struct slice name, struct slice value)
{
	if (c->rule->source == GENERIC_REQUEST_HEADER && slice_ieq(name, slice_of(c->rule->at)))
		take_field(c, value);
}

/* A name may be written with escapes. */
static bool name_is(struct slice name, struct slice want)
{
	size_t k = 0;

	for (size_t i = 0; i < name.n; i++, k++) {
		unsigned char c = (unsigned char)name.p[i];
		size_t decoded;
		uint8_t code;

		if (c == '%' && i + 2 < name.n && hex_decode(slice_sub(name, i + 1, 2), &code, 1, &decoded) == BUR_OK) {
			c = code;
			i += 2;
		}
		if (k == want.n || (unsigned char)want.p[k] != c)
			return false;
	}
	return k == want.n;
}

/* The value as it stands, undecoded: numbers need no escapes, and what has some is no number. */
void generic_call_query(struct generic_call *c, struct slice query)
{
	struct slice param, name, value;

	if (c->rule->source != GENERIC_REQUEST_QUERY)
		return;
	while (query.n > 0) {
		(void)slice_cut(query, '&', &param, &query);
		(void)slice_cut(param, '=', &name, &value);
		if (name_is(name, slice_of(c->rule->at)))
			take_field(c, value);
	}
}

void generic_call_request_body(struct generic_call *c, const char *p, size_t n)
{
	if (c->rule->source == GENERIC_REQUEST_JSON)
		generic_probe_feed(&c->probe, p, n);
}

void generic_call_request_bytes(struct generic_call *c, uint64_t n, bool final)
{
	c->request_bytes = n;
	c->request_bytes_final = final;
}

static int into_probe(void *ctx, const char *p, size_t n)
{
	struct generic_call *c = ctx;

	generic_probe_feed(&c->probe, p, n);
	return BUR_OK;
}

void generic_call_answer_begin(struct generic_call *c, int status, struct slice content_encoding)
{
	c->status = status;
	if (c->rule->source == GENERIC_ANSWER_JSON && !decode_is_identity(content_encoding))
		c->blind = decode_new(content_encoding, &DECODE_LIMITS, into_probe, c, &c->decode) < 0;
}

void generic_call_answer_field(struct generic_call *c, struct slice name, struct slice value)
{
	if (c->rule->source == GENERIC_ANSWER_HEADER && slice_ieq(name, slice_of(c->rule->at)))
		take_field(c, value);
}

void generic_call_answer_body(struct generic_call *c, const char *p, size_t n)
{
	c->answer_bytes += n;
	if (c->rule->source != GENERIC_ANSWER_JSON || c->blind)
		return;
	if (c->decode)
		c->blind = decode_feed(c->decode, p, n) < 0;
	else
		generic_probe_feed(&c->probe, p, n);
}

/* --- money -------------------------------------------------------------------------------------------------------- */

static bool bytes_milli(uint64_t n, int64_t *ret)
{
	if (n > (uint64_t)(GENERIC_MILLI_MAX / GENERIC_MILLI))
		return false;
	*ret = (int64_t)n * GENERIC_MILLI;
	return true;
}

static bool duration_milli(int64_t ns, int64_t *ret)
{
	if (ns < 0)
		return false;
	*ret = ns / NS_PER_MILLI + (ns % NS_PER_MILLI > 0);
	return *ret <= GENERIC_MILLI_MAX;
}

/* The quantity where it is known by now. `over`: the call has ended, and took so long. */
static bool quantity(struct generic_call *c, bool over, int64_t duration_ns, int64_t *ret_milli)
{
	switch (c->rule->source) {
	case GENERIC_REQUESTS:
		*ret_milli = GENERIC_MILLI;
		return true;
	case GENERIC_REQUEST_BYTES:
		return (c->request_bytes_final || over) && bytes_milli(c->request_bytes, ret_milli);
	case GENERIC_ANSWER_BYTES:
		return over && bytes_milli(c->answer_bytes, ret_milli);
	case GENERIC_SECONDS:
		return over && duration_milli(duration_ns, ret_milli);
	case GENERIC_REQUEST_JSON:
		return generic_probe_result(&c->probe, ret_milli) == BUR_OK;
	case GENERIC_ANSWER_JSON:
		return over && !c->blind && generic_probe_result(&c->probe, ret_milli) == BUR_OK;
	case GENERIC_ANSWER_HEADER:
	case GENERIC_REQUEST_HEADER:
	case GENERIC_REQUEST_QUERY:
		*ret_milli = c->field_milli;
		return c->has_field;
	}
	return false;
}

int generic_call_bound(struct generic_call *c, int64_t *ret_nanousd)
{
	const struct generic_meter *m = c->rule;
	int64_t milli;

	if (!quantity(c, false, 0, &milli)) {
		if (m->maximum_milli == 0)
			return generic_known_before(m->source) && m->source != GENERIC_REQUEST_BYTES ? BUR_INVALID
												     : BUR_NOTFOUND;
		milli = m->maximum_milli;
	}
	c->billed_milli = generic_billed_milli(m, milli);
	return generic_cost(m, c->billed_milli, ret_nanousd);
}

void generic_call_cost(struct generic_call *c, bool whole, int64_t duration_ns, int64_t *ret_nanousd, bool *ret_sure)
{
	const struct generic_meter *m = c->rule;
	int64_t milli = 0;

	c->billed_milli = 0;
	*ret_nanousd = 0;
	*ret_sure = true;
	if (c->status > 0 && generic_is_free(m, c->status))
		return;
	*ret_sure = quantity(c, true, duration_ns, &milli) && (whole || generic_known_before(m->source));
	if (!*ret_sure && milli < m->maximum_milli)
		milli = m->maximum_milli;
	c->billed_milli = generic_billed_milli(m, milli);
	if (generic_cost(m, c->billed_milli, ret_nanousd) < 0) {
		*ret_sure = false;
		*ret_nanousd = INT64_MAX / 1024; /* no vendor bills this: the caller's limit of sense applies */
	}
}

int64_t generic_call_milli(const struct generic_call *c)
{
	return c->billed_milli;
}
