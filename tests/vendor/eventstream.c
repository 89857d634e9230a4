#include "tests/vendor/eventstream.h"

#include <string.h>
#include <zlib.h>

#include "base/error.h"

#define TYPE_STRING 7
#define PRELUDE_BYTES 8
#define CRC_BYTES 4
#define HEADERS_MAX 512

static void put_u32(unsigned char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(v >> (24 - 8 * i));
}

/* [1 name length][name][1 type][2 length][text] */
static size_t put_header(unsigned char *p, const char *name, const char *text)
{
	size_t name_n = strlen(name), text_n = strlen(text);

	*p++ = (unsigned char)name_n;
	memcpy(p, name, name_n);
	p += name_n;
	*p++ = TYPE_STRING;
	*p++ = (unsigned char)(text_n >> 8);
	*p++ = (unsigned char)text_n;
	memcpy(p, text, text_n);
	return 1 + name_n + 3 + text_n;
}

static uint32_t crc_of(uint32_t crc, const void *p, size_t n)
{
	return (uint32_t)crc32(crc, p, (unsigned)n);
}

int eventstream_event(struct buf *out, const char *type, struct slice payload)
{
	unsigned char head[PRELUDE_BYTES + CRC_BYTES + HEADERS_MAX], tail[CRC_BYTES];
	size_t headers = 0, at = PRELUDE_BYTES + CRC_BYTES;
	uint32_t crc;
	int r;

	if (strlen(type) > HEADERS_MAX / 4)
		return BUR_TOOBIG;
	headers += put_header(head + at + headers, ":event-type", type);
	headers += put_header(head + at + headers, ":content-type", "application/json");
	headers += put_header(head + at + headers, ":message-type", "event");
	put_u32(head, (uint32_t)(at + headers + payload.n + CRC_BYTES));
	put_u32(head + 4, (uint32_t)headers);
	put_u32(head + PRELUDE_BYTES, crc_of(0, head, PRELUDE_BYTES));
	crc = crc_of(crc_of(0, head, at + headers), payload.p, payload.n);
	put_u32(tail, crc);
	if ((r = buf_append(out, head, at + headers)) < 0 || (r = buf_append_slice(out, payload)) < 0)
		return r;
	return buf_append(out, tail, sizeof(tail));
}
