#include "net/sni.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "net/addr.h"

#define RECORD_HANDSHAKE 22
#define HELLO 1
#define EXT_SERVER_NAME 0
#define NAME_HOST 0

/* A cursor that cannot run past its end: reading too far marks it `bad` and gives zeros. */
struct cursor {
	const uint8_t *p;
	size_t n;
	bool bad;
};

static size_t take_number(struct cursor *c, size_t bytes)
{
	size_t v = 0;

	if (c->n < bytes) {
		c->bad = true;
		c->n = 0;
		return 0;
	}
	for (size_t i = 0; i < bytes; i++)
		v = v << 8 | c->p[i];
	c->p += bytes;
	c->n -= bytes;
	return v;
}

static struct cursor take(struct cursor *c, size_t n)
{
	struct cursor part = {c->p, n, false};

	if (c->n < n) {
		c->bad = true;
		c->n = 0;
		return (struct cursor){c->p, 0, true};
	}
	c->p += n;
	c->n -= n;
	return part;
}

/* A vector: its length in `bytes` bytes, then itself. */
static struct cursor take_vector(struct cursor *c, size_t bytes)
{
	return take(c, take_number(c, bytes));
}

static int host_name(struct cursor list, char *dst, size_t dst_size)
{
	while (list.n > 0 && !list.bad) {
		size_t type = take_number(&list, 1);
		struct cursor name = take_vector(&list, 2);
		struct authority a;

		if (name.bad || type != NAME_HOST)
			continue;
		if (authority_parse(slice_mem(name.p, name.n), 443, &a) < 0 || strlen(a.host) >= dst_size ||
		    a.port != 443)
			return BUR_INVALID;
		memcpy(dst, a.host, strlen(a.host) + 1);
		return BUR_OK;
	}
	return list.bad ? BUR_INVALID : BUR_NOTFOUND;
}

static int find_name(struct cursor hello, char *dst, size_t dst_size)
{
	struct cursor extensions;

	(void)take(&hello, 2 + 32);   /* version, random */
	(void)take_vector(&hello, 1); /* session id */
	(void)take_vector(&hello, 2); /* cipher suites */
	(void)take_vector(&hello, 1); /* compression */
	if (!hello.bad && hello.n == 0)
		return BUR_NOTFOUND; /* no extensions at all */
	extensions = take_vector(&hello, 2);
	if (hello.bad)
		return BUR_INVALID;
	while (extensions.n > 0 && !extensions.bad) {
		size_t type = take_number(&extensions, 2);
		struct cursor body = take_vector(&extensions, 2);

		if (type == EXT_SERVER_NAME && !body.bad) {
			struct cursor list = take_vector(&body, 2);

			return list.bad ? BUR_INVALID : host_name(list, dst, dst_size);
		}
	}
	return extensions.bad ? BUR_INVALID : BUR_NOTFOUND;
}

/* One record's payload, or what has arrived of it. BUR_AGAIN: its frame is not here yet. */
static int take_record(struct cursor *in, bool first, struct cursor *ret, bool *ret_whole)
{
	size_t n;

	if (in->n > 0 && in->p[0] != RECORD_HANDSHAKE)
		return first ? BUR_NOTFOUND : BUR_INVALID;
	if (in->n > 1 && in->p[1] != 3)
		return first ? BUR_NOTFOUND : BUR_INVALID;
	if (in->n < 5)
		return BUR_AGAIN;
	(void)take(in, 3);
	n = take_number(in, 2);
	if (n == 0)
		return BUR_INVALID;
	*ret_whole = n <= in->n;
	*ret = take(in, *ret_whole ? n : in->n);
	return BUR_OK;
}

/* A hello may be cut into several records; their payloads are joined. BUR_AGAIN until it is whole. */
static int gather_hello(struct cursor in, uint8_t dst[SNI_HELLO_MAX], size_t *ret_n)
{
	size_t have = 0, want = 4;
	bool whole = true;

	while (have < want) {
		struct cursor part;
		int r = whole ? take_record(&in, have == 0, &part, &whole) : BUR_AGAIN;

		if (r < 0)
			return r;
		if (part.n > SNI_HELLO_MAX - have)
			return BUR_INVALID;
		memcpy(dst + have, part.p, part.n);
		have += part.n;
		if (have >= 4)
			want = 4 + ((size_t)dst[1] << 16 | (size_t)dst[2] << 8 | dst[3]);
		if ((have > 0 && dst[0] != HELLO) || want > SNI_HELLO_MAX)
			return BUR_INVALID;
	}
	*ret_n = want;
	return BUR_OK;
}

int sni_peek(const void *p, size_t n, char *dst, size_t dst_size)
{
	uint8_t hello[SNI_HELLO_MAX];
	size_t hello_n = 0;
	int r = gather_hello((struct cursor){p, n, false}, hello, &hello_n);

	if (r == BUR_AGAIN && n >= SNI_PEEK_MAX)
		return BUR_INVALID;
	if (r < 0)
		return r;
	return find_name((struct cursor){hello + 4, hello_n - 4, false}, dst, dst_size);
}
