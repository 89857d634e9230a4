#include "base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/blocks.h"
#include "base/check.h"
#include "base/error.h"

_Static_assert(BUF_BLOCK_BYTES == BLOCK_BUF_BYTES, "first size is the cached block");

void buf_init(struct buf *b, size_t max_bytes)
{
	*b = (struct buf){.max = max_bytes};
}

/* A memory of exactly BUF_BLOCK_BYTES is always a cached block. */
static void mem_free(char *mem, size_t cap)
{
	if (cap == BUF_BLOCK_BYTES)
		blocks_give(BLOCK_BUF, mem);
	else
		free(mem);
}

void buf_done(struct buf *b)
{
	mem_free(b->mem, b->cap);
	buf_init(b, b->max);
}

void buf_relax(struct buf *b)
{
	if (b->mem && b->head == b->tail)
		buf_done(b);
}

/* Doubles up to the maximum; `need` <= max. */
static size_t grown_cap(const struct buf *b, size_t need)
{
	size_t cap = b->cap ? b->cap : BUF_BLOCK_BYTES;

	while (cap < need)
		cap = cap > b->max / 2 ? b->max : cap * 2;
	return cap;
}

static int grow(struct buf *b, size_t need)
{
	size_t cap = grown_cap(b, need), len = buf_len(b);
	char *mem;

	mem = cap == BUF_BLOCK_BYTES ? blocks_take(BLOCK_BUF) : malloc(cap);
	if (!mem)
		return BUR_NOMEM;
	if (len > 0)
		memcpy(mem, b->mem + b->head, len);
	mem_free(b->mem, b->cap);
	b->mem = mem;
	b->cap = cap;
	b->head = 0;
	b->tail = len;
	return BUR_OK;
}

static void move_to_front(struct buf *b)
{
	size_t len = buf_len(b);

	if (len > 0)
		memmove(b->mem, b->mem + b->head, len);
	b->head = 0;
	b->tail = len;
}

static int make_room(struct buf *b, size_t want)
{
	size_t len = buf_len(b);

	if (want > b->max - len)
		return BUR_TOOBIG;
	if (b->mem && want <= b->cap - b->tail)
		return BUR_OK;
	if (b->mem && want <= b->cap - len) {
		move_to_front(b);
		return BUR_OK;
	}
	return grow(b, len + want);
}

char *buf_reserve(struct buf *b, size_t want, size_t *ret_room)
{
	size_t room;

	if (make_room(b, want) < 0)
		return NULL;
	if (!b->mem && grow(b, want) < 0) /* want 0 on an empty buffer */
		return NULL;
	room = b->cap - b->tail;
	if (room > buf_space(b))
		room = buf_space(b);
	if (ret_room)
		*ret_room = room;
	return b->mem + b->tail;
}

void buf_commit(struct buf *b, size_t n)
{
	CHECK(n <= b->cap - b->tail && n <= buf_space(b));
	b->tail += n;
}

void buf_consume(struct buf *b, size_t n)
{
	CHECK(n <= buf_len(b));
	b->head += n;
	if (b->head == b->tail)
		b->head = b->tail = 0;
}

int buf_append(struct buf *b, const void *p, size_t n)
{
	int r;

	if (n == 0)
		return BUR_OK;
	r = make_room(b, n);
	if (r < 0)
		return r;
	memcpy(b->mem + b->tail, p, n);
	b->tail += n;
	return BUR_OK;
}

static int append_long(struct buf *b, size_t n, const char *fmt, va_list ap) PRINTF_LIKE(3, 0);

/* printf writes a NUL that the maximum may have no room for, hence the detour over memory of its own. */
static int append_long(struct buf *b, size_t n, const char *fmt, va_list ap)
{
	char *text;
	int r;

	if (n > buf_space(b))
		return BUR_TOOBIG;
	text = malloc(n + 1);
	if (!text)
		return BUR_NOMEM;
	(void)vsnprintf(text, n + 1, fmt, ap);
	r = buf_append(b, text, n);
	free(text);
	return r;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	int n, r;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		return BUR_INVALID;
	if ((size_t)n < sizeof(text))
		return buf_append(b, text, (size_t)n);
	va_start(ap, fmt);
	r = append_long(b, (size_t)n, fmt, ap);
	va_end(ap);
	return r;
}
