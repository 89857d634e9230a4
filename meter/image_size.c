#include "meter/image_size.h"

enum state {
	HEAD,        /* the first bytes, until they say what it is */
	JPEG_MARKER, /* at 0xff */
	JPEG_CODE,   /* behind it */
	JPEG_LENGTH,
	JPEG_SKIP,
	JPEG_FRAME,
	KNOWN,
	UNKNOWN,
};

enum text_state { TEXT_BEGIN, TEXT_PREFIX, TEXT_BASE64 };

#define PNG_HEAD 24
#define GIF_HEAD 10
#define WEBP_HEAD 30

void image_sniff_init(struct image_sniff *s)
{
	memset(s, 0, sizeof(*s));
}

bool image_sniff_done(const struct image_sniff *s)
{
	return s->state >= KNOWN;
}

bool image_sniff_size(const struct image_sniff *s, uint32_t *ret_width, uint32_t *ret_height)
{
	if (s->state != KNOWN)
		return false;
	*ret_width = s->width;
	*ret_height = s->height;
	return true;
}

static void set_size(struct image_sniff *s, uint32_t width, uint32_t height)
{
	s->state = width > 0 && height > 0 ? KNOWN : UNKNOWN;
	s->width = width;
	s->height = height;
}

/* --- formats ------------------------------------------------------------------------------------------------------ */

static uint32_t be16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t be32(const uint8_t *p)
{
	return be16(p) << 16 | be16(p + 2);
}

static uint32_t le16(const uint8_t *p)
{
	return (uint32_t)p[1] << 8 | p[0];
}

static uint32_t le24(const uint8_t *p)
{
	return (uint32_t)p[2] << 16 | le16(p);
}

/* As far as the bytes go, may they be those of `magic`? */
static bool fits(const struct image_sniff *s, size_t at, const char *magic, size_t n)
{
	size_t have = s->n > at ? s->n - at : 0;

	return memcmp(s->head + at, magic, have < n ? have : n) == 0;
}

static void png(struct image_sniff *s)
{
	static const char header[] = "\0\0\0\rIHDR";

	if (s->n < PNG_HEAD)
		return;
	if (memcmp(s->head + 8, header, 8) != 0 || be32(s->head + 16) > INT32_MAX || be32(s->head + 20) > INT32_MAX)
		s->state = UNKNOWN;
	else
		set_size(s, be32(s->head + 16), be32(s->head + 20));
}

static void gif(struct image_sniff *s)
{
	if (s->n < GIF_HEAD)
		return;
	if (memcmp(s->head + 3, "87a", 3) != 0 && memcmp(s->head + 3, "89a", 3) != 0)
		s->state = UNKNOWN;
	else
		set_size(s, le16(s->head + 6), le16(s->head + 8));
}

static void webp(struct image_sniff *s)
{
	const uint8_t *h = s->head;
	uint32_t bits;

	if (s->n < WEBP_HEAD)
		return;
	if (memcmp(h + 12, "VP8X", 4) == 0) {
		set_size(s, le24(h + 24) + 1, le24(h + 27) + 1);
	} else if (memcmp(h + 12, "VP8L", 4) == 0 && h[20] == 0x2f) {
		bits = (uint32_t)h[24] << 24 | le24(h + 21);
		set_size(s, (bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1);
	} else if (memcmp(h + 12, "VP8 ", 4) == 0 && memcmp(h + 23, "\x9d\x01\x2a", 3) == 0) {
		set_size(s, le16(h + 26) & 0x3fff, le16(h + 28) & 0x3fff);
	} else {
		s->state = UNKNOWN;
	}
}

static void head_byte(struct image_sniff *s, uint8_t c)
{
	s->head[s->n++] = c;
	if (fits(s, 0, "\x89PNG\r\n\x1a\n", 8))
		png(s);
	else if (fits(s, 0, "GIF8", 4))
		gif(s);
	else if (fits(s, 0, "RIFF", 4) && fits(s, 8, "WEBPVP8", 7))
		webp(s);
	else if (!fits(s, 0, "\xff\xd8\xff", 3))
		s->state = UNKNOWN;
	else if (s->n == 3)
		s->state = JPEG_CODE;
}

/* --- JPEG: from marker to marker ---------------------------------------------------------------------------------- */

static bool is_frame(uint8_t code)
{
	return code >= 0xc0 && code <= 0xcf && code != 0xc4 && code != 0xc8 && code != 0xcc;
}

static void jpeg_code(struct image_sniff *s, uint8_t code)
{
	if (code == 0xff) /* fill */
		return;
	s->n = 0;
	if (code == 0x01 || (code >= 0xd0 && code <= 0xd7))
		s->state = JPEG_MARKER;
	else if (code == 0x00 || code == 0xd8 || code == 0xd9 || code == 0xda || code < 0xc0)
		s->state = UNKNOWN; /* data before any frame */
	else
		s->state = is_frame(code) ? JPEG_FRAME : JPEG_LENGTH;
}

static void jpeg_length(struct image_sniff *s, uint8_t c)
{
	s->head[s->n++] = c;
	if (s->n < 2)
		return;
	if (be16(s->head) < 2) {
		s->state = UNKNOWN;
		return;
	}
	s->skip = be16(s->head) - 2;
	s->state = s->skip > 0 ? JPEG_SKIP : JPEG_MARKER;
}

/* Length, precision, height, width; a height of 0 comes later in the file. */
static void jpeg_frame(struct image_sniff *s, uint8_t c)
{
	s->head[s->n++] = c;
	if (s->n == 7)
		set_size(s, be16(s->head + 5), be16(s->head + 3));
}

static size_t step(struct image_sniff *s, const uint8_t *p, size_t n)
{
	size_t skip;

	switch ((enum state)s->state) {
	case HEAD:
		head_byte(s, *p);
		return 1;
	case JPEG_MARKER:
		s->state = *p == 0xff ? JPEG_CODE : UNKNOWN;
		return 1;
	case JPEG_CODE:
		jpeg_code(s, *p);
		return 1;
	case JPEG_LENGTH:
		jpeg_length(s, *p);
		return 1;
	case JPEG_SKIP:
		skip = s->skip < n ? s->skip : n;
		s->skip -= (uint32_t)skip;
		if (s->skip == 0)
			s->state = JPEG_MARKER;
		return skip;
	case JPEG_FRAME:
		jpeg_frame(s, *p);
		return 1;
	case KNOWN:
	case UNKNOWN:
		break;
	}
	return n;
}

void image_sniff_bytes(struct image_sniff *s, const char *p, size_t n)
{
	size_t i = 0;

	if (n > IMAGE_HEADER_MAX - s->seen)
		n = IMAGE_HEADER_MAX - s->seen;
	while (i < n && s->state < KNOWN)
		i += step(s, (const uint8_t *)p + i, n - i);
	s->seen += (uint32_t)n;
	if (s->seen == IMAGE_HEADER_MAX && s->state < KNOWN)
		s->state = UNKNOWN;
}

/* --- text --------------------------------------------------------------------------------------------------------- */

/* Value of a base64 digit in either alphabet; -1: none, -2: white space. */
static int digit(unsigned char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	if (c == '/' || c == '_')
		return 63;
	return c == '\n' || c == '\r' || c == ' ' || c == '\t' ? -2 : -1;
}

static void base64_byte(struct image_sniff *s, char c)
{
	int v = digit((unsigned char)c);
	char out[3];

	if (v == -2)
		return;
	if (v < 0) {
		s->state = UNKNOWN; /* the padding, too: what comes behind it is read differently by readers */
		return;
	}
	s->quad = s->quad << 6 | (uint32_t)v;
	if (++s->quad_n < 4)
		return;
	out[0] = (char)(s->quad >> 16);
	out[1] = (char)(s->quad >> 8);
	out[2] = (char)s->quad;
	s->quad_n = 0;
	s->quad = 0;
	image_sniff_bytes(s, out, 3);
}

/* A data URL up to its comma must say that it is base64. */
static void prefix_byte(struct image_sniff *s, char c)
{
	if (c == ',') {
		if (!slice_iends(slice_mem(s->prefix, s->text_n), SLICE(";base64")))
			s->state = UNKNOWN;
		s->text_state = TEXT_BASE64;
	} else if (s->text_n == sizeof(s->prefix)) {
		s->state = UNKNOWN;
	} else {
		s->prefix[s->text_n++] = c;
	}
}

/* "data:" or base64? The digits that were taken for a beginning are fed again. */
static void begin_byte(struct image_sniff *s, char c)
{
	static const char scheme[] = "data:";
	size_t i;

	if ((c >= 'A' && c <= 'Z' ? c | 0x20 : c) == scheme[s->text_n]) {
		s->prefix[s->text_n++] = c;
		if (s->text_n == 5)
			s->text_state = TEXT_PREFIX;
		return;
	}
	s->text_state = TEXT_BASE64;
	for (i = 0; i < s->text_n; i++)
		base64_byte(s, s->prefix[i]);
	base64_byte(s, c);
}

void image_sniff_text(struct image_sniff *s, const char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n && s->state < KNOWN; i++) {
		switch ((enum text_state)s->text_state) {
		case TEXT_BEGIN:
			begin_byte(s, p[i]);
			break;
		case TEXT_PREFIX:
			prefix_byte(s, p[i]);
			break;
		case TEXT_BASE64:
			base64_byte(s, p[i]);
			break;
		}
	}
}
