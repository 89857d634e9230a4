/* multipart/form-data, as far as clients of these APIs write it. */
#include <string.h>

#include "base/error.h"
#include "tests/vendor/request.h"

static struct slice after(struct slice s, const char *mark)
{
	const char *at = s.n ? memmem(s.p, s.n, mark, strlen(mark)) : NULL;

	return at ? slice_sub(s, (size_t)(at - s.p) + strlen(mark), s.n) : (struct slice){NULL, 0};
}

/* The part up to the next boundary, which is taken off the rest. */
static bool next_part(struct slice *rest, struct slice boundary, struct slice *ret)
{
	const char *end = rest->n ? memmem(rest->p, rest->n, boundary.p, boundary.n) : NULL;

	if (!end)
		return false;
	*ret = slice_sub(*rest, 0, (size_t)(end - rest->p));
	if (ret->n >= 2)
		ret->n -= 2; /* CRLF before the boundary */
	*rest = slice_sub(*rest, (size_t)(end - rest->p) + boundary.n, rest->n);
	return true;
}

static void read_part(struct request *r, struct slice part, struct slice *ret_file)
{
	struct slice value = after(part, "\r\n\r\n"), head = slice_sub(part, 0, part.n - value.n), name, rest;

	(void)slice_cut(after(head, "name=\""), '"', &name, &rest);
	if (after(head, "filename=").p) {
		*ret_file = value;
		r->file_bytes += value.n;
	} else if (slice_eq(name, SLICE("model"))) {
		(void)slice_to_cstr(value, r->model, sizeof(r->model));
	} else if (slice_eq(name, SLICE("stream"))) {
		r->stream = slice_eq(value, SLICE("true"));
	} else if (slice_eq(name, SLICE("n"))) {
		if (slice_u64(value, &r->candidates) < 0)
			r->candidates = 0;
	} else {
		r->text_bytes += value.n;
	}
}

bool request_from_form(struct request *r, struct slice body, struct slice *ret_file)
{
	struct slice boundary, rest, part;

	*ret_file = (struct slice){NULL, 0};
	if (!slice_starts(body, SLICE("--")) || !slice_cut(body, '\r', &boundary, &rest))
		return false;
	while (next_part(&rest, boundary, &part))
		read_part(r, part, ret_file);
	return r->candidates > 0 && r->candidates <= 128;
}
