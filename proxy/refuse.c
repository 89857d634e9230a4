#include "proxy/refuse.h"

#include "base/log.h"

static void write_head(struct h1_writer *w, struct buf *out, const struct refusal *r, const struct refuse_options *o,
		       size_t body_bytes)
{
	struct slice name, value;

	h1_write_status(w, out, r->status, slice_of(h1_reason(r->status)));
	h1_write_field(w, SLICE("content-type"), slice_of(envelope_content_type(o->family)));
	h1_write_field_u64(w, SLICE("content-length"), body_bytes);
	h1_write_field(w, SLICE("cache-control"), SLICE("no-store"));
	if (r->request_id.n > 0) {
		h1_write_field(w, SLICE("x-bursar-request-id"), r->request_id);
		h1_write_field(w, slice_of(envelope_request_id_field(o->family)), r->request_id);
	}
	h1_write_field(w, SLICE("x-should-retry"), refusal_may_retry(r->reason) ? SLICE("true") : SLICE("false"));
	if (envelope_extra_field(o->family, r->reason, &name, &value))
		h1_write_field(w, name, value);
	if (r->retry_after_s > 0) {
		h1_write_field_u64(w, SLICE("retry-after"), (uint64_t)r->retry_after_s);
		h1_write_field_u64(w, SLICE("retry-after-ms"), (uint64_t)r->retry_after_s * 1000);
	}
	if (o->budget.n > 0)
		h1_write_field(w, SLICE("x-bursar-budget"), o->budget);
	if (o->remaining_usd.n > 0)
		h1_write_field(w, SLICE("x-bursar-budget-remaining"), o->remaining_usd);
	if (r->reason == REFUSE_PROXY_AUTH)
		h1_write_field(w, SLICE("proxy-authenticate"), SLICE("Basic realm=\"bursar\", charset=\"UTF-8\""));
	if (r->reason == REFUSE_UNAUTHENTICATED)
		h1_write_field(w, SLICE("www-authenticate"), SLICE("Bearer realm=\"bursar\""));
	if (!o->keep_alive)
		h1_write_field(w, SLICE("connection"), SLICE("close"));
}

static int seconds_to_wait(const struct refusal *r, const struct refuse_options *o)
{
	if (!refusal_needs_retry_after(r->reason))
		return 0;
	return o->retry_after_s < 1 ? 1 : o->retry_after_s > 60 ? 60 : o->retry_after_s;
}

void refuse_write(struct client *c, const struct refusal *refusal, const struct refuse_options *o)
{
	struct refusal told = *refusal, *r = &told;
	struct h1_writer w = {0};
	struct buf body, head;
	struct iovec iov[2];

	told.status = envelope_status(o->family, refusal->reason, o->status);
	told.retry_after_s = seconds_to_wait(refusal, o);
	buf_init(&body, 64 * 1024);
	buf_init(&head, 16 * 1024);
	if (envelope_write(o->family, r, &body) < 0)
		buf_consume(&body, buf_len(&body)); /* an empty body is still an answer */
	write_head(&w, &head, r, o, buf_len(&body));
	if (h1_write_end(&w) == BUR_OK) {
		struct slice h = buf_slice(&head), b = buf_slice(&body);

		iov[0] = (struct iovec){(void *)(uintptr_t)h.p, h.n};
		iov[1] = (struct iovec){(void *)(uintptr_t)b.p, o->head_only ? 0 : b.n};
		if (!client_send(c, iov, 2))
			c->close_after = true;
	} else {
		log_limited(LOG_ERROR, "refuse", "could not write an answer head (%s)", refusal_code(r->reason));
		c->close_after = true;
	}
	buf_done(&head);
	buf_done(&body);
}

void refuse_and_close(struct client *c, enum refusal_reason reason, int status, const char *message)
{
	struct refusal r = {.reason = reason, .message = slice_of(message)};
	struct refuse_options o = {.family = FAMILY_OTHER, .status = status, .retry_after_s = 1};

	refuse_write(c, &r, &o);
	client_finish(c, true);
}
