/* A message: total length, length of the headers, checksum of these; headers; payload; checksum of all before. Numbers
 * are big-endian, checksums are CRC-32 as zlib's. A header: length of its name, name, type, value. */
#include "meter/frame_aws.h"

#include <string.h>
#include <zlib.h>

#include "base/error.h"

#define PRELUDE_N 12
#define CRC_N 4
#define OVERHEAD_N (PRELUDE_N + CRC_N)

enum state { AT_PRELUDE, AT_NAME_N, AT_NAME, AT_TYPE, AT_VALUE_N, AT_VALUE, AT_PAYLOAD, AT_CRC };

/* What is done with a payload. */
enum kind { KIND_SKIP, KIND_EVENT, KIND_EXCEPTION, KIND_CHUNK };

/* Values that are kept. */
enum slot { SLOT_MESSAGE_TYPE, SLOT_EVENT_TYPE, SLOT_EXCEPTION_TYPE, SLOT_ERROR_CODE, SLOT_NONE };
static const char *const slot_names[] = {":message-type", ":event-type", ":exception-type", ":error-code"};

enum type {
	TYPE_TRUE,
	TYPE_FALSE,
	TYPE_INT8,
	TYPE_INT16,
	TYPE_INT32,
	TYPE_INT64,
	TYPE_BYTES,
	TYPE_STRING,
	TYPE_TIMESTAMP,
	TYPE_UUID,
	TYPE_COUNT
};
/* of those without a length of their own */
static const uint8_t type_bytes[TYPE_COUNT] = {0, 0, 1, 2, 4, 8, 0, 0, 8, 16};

void frame_aws_init(struct frame_aws *f, struct frame_out out)
{
	memset(f, 0, offsetof(struct frame_aws, chunk));
	f->out = out;
}

static uint32_t read_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Gathers a number of `need` bytes, one by one. True: it is whole. */
static bool number_byte(struct frame_aws *f, unsigned char c, uint8_t need)
{
	f->number[f->number_n++] = c;
	if (f->number_n < need)
		return false;
	f->number_n = 0;
	return true;
}

static void enter(struct frame_aws *f, enum state state)
{
	f->state = (uint8_t)state;
}

/* --- the payload -------------------------------------------------------------------------------------------------- */

static struct slice value_of(const struct frame_aws *f, enum slot slot)
{
	return slice_mem(f->values[slot].text, f->values[slot].n);
}

static enum kind kind_of(const struct frame_aws *f)
{
	struct slice type = value_of(f, SLOT_MESSAGE_TYPE);

	if (slice_eq(type, SLICE("exception")) || slice_eq(type, SLICE("error")))
		return KIND_EXCEPTION;
	if (type.n > 0 && !slice_eq(type, SLICE("event")))
		return KIND_SKIP;
	return slice_eq(value_of(f, SLOT_EVENT_TYPE), SLICE("chunk")) ? KIND_CHUNK : KIND_EVENT;
}

static void payload_begin(struct frame_aws *f)
{
	f->kind = (uint8_t)kind_of(f);
	if (f->kind == KIND_CHUNK)
		frame_chunk_begin(&f->chunk, f->out);
	else if (f->kind != KIND_SKIP)
		f->out.ops->begin(f->out.ctx);
	enter(f, f->payload_left > 0 ? AT_PAYLOAD : AT_CRC);
}

static size_t payload_bytes(struct frame_aws *f, const char *p, size_t n)
{
	if (n > f->payload_left)
		n = f->payload_left;
	if (f->kind == KIND_CHUNK)
		frame_chunk_feed(&f->chunk, p, n);
	else if (f->kind != KIND_SKIP)
		f->out.ops->data(f->out.ctx, p, n);
	f->payload_left -= (uint32_t)n;
	if (f->payload_left == 0)
		enter(f, AT_CRC);
	return n;
}

/* The message proved to be whole. */
static void message_end(struct frame_aws *f)
{
	bool exception = f->kind == KIND_EXCEPTION;
	struct slice name = value_of(f, exception ? SLOT_EXCEPTION_TYPE : SLOT_EVENT_TYPE);

	if (exception && name.n == 0)
		name = value_of(f, SLOT_ERROR_CODE);
	if (f->kind == KIND_CHUNK) {
		frame_chunk_end(&f->chunk);
	} else if (f->kind != KIND_SKIP) {
		f->out.ops->name(f->out.ctx, name, exception);
		f->out.ops->end(f->out.ctx);
	}
}

/* --- headers ------------------------------------------------------------------------------------------------------ */

static void header_next(struct frame_aws *f)
{
	if (f->headers_left > 0)
		enter(f, AT_NAME_N);
	else
		payload_begin(f);
}

static bool header_begin(struct frame_aws *f, uint8_t name_n)
{
	f->value_left = name_n; /* counts the name first */
	f->name_n = 0;
	enter(f, AT_NAME);
	return name_n > 0 && name_n < f->headers_left;
}

static void name_byte(struct frame_aws *f, char c)
{
	if (f->name_n < sizeof(f->name))
		f->name[f->name_n++] = c;
	if (--f->value_left == 0)
		enter(f, AT_TYPE);
}

static uint8_t slot_of(const struct frame_aws *f)
{
	uint8_t slot = 0;

	while (f->type == TYPE_STRING && slot < SLOT_NONE) {
		if (slice_eq(slice_mem(f->name, f->name_n), slice_of(slot_names[slot])))
			return slot;
		slot++;
	}
	return SLOT_NONE;
}

/* The length of the value at hand is known. False: it does not fit. */
static bool value_begin(struct frame_aws *f, uint16_t n)
{
	f->value_left = n;
	f->slot = slot_of(f);
	if (f->slot != SLOT_NONE)
		f->values[f->slot].n = 0; /* of two the last counts */
	if (n > 0)
		enter(f, AT_VALUE);
	else
		header_next(f);
	return n <= f->headers_left;
}

static bool type_byte(struct frame_aws *f, uint8_t type)
{
	if (type >= TYPE_COUNT)
		return false;
	f->type = type;
	if (type != TYPE_BYTES && type != TYPE_STRING)
		return value_begin(f, type_bytes[type]);
	enter(f, AT_VALUE_N);
	return f->headers_left >= 2;
}

static void value_byte(struct frame_aws *f, char c)
{
	if (f->slot != SLOT_NONE && f->values[f->slot].n < sizeof(f->values[0].text))
		f->values[f->slot].text[f->values[f->slot].n++] = c;
	if (--f->value_left == 0)
		header_next(f);
}

static bool header_byte(struct frame_aws *f, unsigned char c)
{
	f->headers_left--;
	switch ((enum state)f->state) {
	case AT_NAME_N:
		return header_begin(f, c);
	case AT_NAME:
		name_byte(f, (char)c);
		return true;
	case AT_TYPE:
		return type_byte(f, c);
	case AT_VALUE_N:
		return !number_byte(f, c, 2) || value_begin(f, (uint16_t)(f->number[0] << 8 | f->number[1]));
	default:
		value_byte(f, (char)c);
		return true;
	}
}

/* Returns how many bytes were taken; 0: they are wrong. */
static size_t header_bytes(struct frame_aws *f, const char *p, size_t n)
{
	if (n > f->headers_left)
		n = f->headers_left;
	for (size_t i = 0; i < n; i++)
		if (!header_byte(f, (unsigned char)p[i]))
			return 0;
	f->crc = (uint32_t)crc32(f->crc, (const unsigned char *)p, (uInt)n);
	return n;
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

static bool prelude_end(struct frame_aws *f)
{
	uint32_t total = read_u32(f->number), headers = read_u32(f->number + 4);

	if (read_u32(f->number + 8) != crc32(0, f->number, 8))
		return false;
	if (headers > FRAME_AWS_HEADERS_MAX || total < OVERHEAD_N || total - OVERHEAD_N < headers ||
	    total - OVERHEAD_N - headers > FRAME_AWS_PAYLOAD_MAX)
		return false;
	f->headers_left = headers;
	f->payload_left = total - OVERHEAD_N - headers;
	f->crc = (uint32_t)crc32(0, f->number, PRELUDE_N);
	for (int i = 0; i < SLOT_NONE; i++)
		f->values[i].n = 0;
	header_next(f);
	return true;
}

/* Takes bytes of one part of a message; returns how many, or 0 when they are wrong. */
static size_t part(struct frame_aws *f, const char *p, size_t n)
{
	unsigned char c = (unsigned char)p[0];

	switch ((enum state)f->state) {
	case AT_PRELUDE:
		return !number_byte(f, c, PRELUDE_N) || prelude_end(f) ? 1 : 0;
	case AT_PAYLOAD:
		n = payload_bytes(f, p, n);
		f->crc = (uint32_t)crc32(f->crc, (const unsigned char *)p, (uInt)n);
		return n;
	case AT_CRC:
		if (!number_byte(f, c, CRC_N))
			return 1;
		if (read_u32(f->number) != f->crc)
			return 0;
		message_end(f);
		enter(f, AT_PRELUDE);
		return 1;
	default:
		return header_bytes(f, p, n);
	}
}

int frame_aws_feed(struct frame_aws *f, const char *p, size_t n)
{
	size_t i = 0, k;

	while (i < n && !f->failed) {
		k = part(f, p + i, n - i);
		f->failed = k == 0;
		i += k;
	}
	return f->failed ? BUR_INVALID : BUR_OK;
}

int frame_aws_finish(const struct frame_aws *f)
{
	if (f->failed)
		return BUR_INVALID;
	return f->state == AT_PRELUDE && f->number_n == 0 ? BUR_OK : BUR_EOF;
}
