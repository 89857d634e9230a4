/* A chain of stages, the coding applied last first. Each stage turns a piece of input into pieces of output of at most
 * PIECE_BYTES on the stack, which the next stage takes at once: nothing is queued anywhere. */
#include "meter/decode.h"

#include <brotli/decode.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/error.h"

#define STAGES_MAX 3
#define PIECE_BYTES 8192
#define ZSTD_WINDOW_LOG_MAX 23 /* 8 MiB: what RFC 9659 allows content to ask for */

enum coding { CODING_IDENTITY, CODING_GZIP, CODING_DEFLATE, CODING_BR, CODING_ZSTD, CODING_UNKNOWN };

/* What one step of a library came to. */
enum step { STEP_MORE, STEP_WHOLE, STEP_BAD };

struct stage {
	enum coding coding;
	bool running; /* the library's state exists */
	bool inside;  /* of a member: begun, not ended */
	bool ended;   /* nothing behind this is read */
	bool any;     /* a whole member was read */
	bool headed;  /* the bytes that tell how the member is read are there, or not needed */
	uint8_t head_n;
	unsigned char head[4];
	uint64_t member_bytes; /* decoded from the member at hand */
	uint64_t bytes;        /* decoded in all */
	union {
		z_stream *z;
		BrotliDecoderState *br;
		ZSTD_DStream *zstd;
	} u;
};

struct decode {
	struct decode_limits limits;
	decode_sink *sink;
	void *ctx;
	int error;
	uint8_t n_stages;
	uint64_t coded_bytes; /* consumed by the first stage */
	struct stage stages[STAGES_MAX];
};

struct input {
	const unsigned char *p;
	size_t n;
};

/* --- the libraries ------------------------------------------------------------------------------------------------ */

static int z_start(struct stage *s, int window_bits)
{
	s->u.z = calloc(1, sizeof(*s->u.z));
	if (!s->u.z || inflateInit2(s->u.z, window_bits) != Z_OK) {
		free(s->u.z);
		s->u.z = NULL;
		return BUR_NOMEM;
	}
	s->running = true;
	return BUR_OK;
}

static enum step z_step(struct stage *s, struct input *in, unsigned char *out, size_t *inout_n)
{
	z_stream *z = s->u.z;
	uInt piece = in->n < (1u << 30) ? (uInt)in->n : 1u << 30;
	int r;

	z->next_in = (unsigned char *)(uintptr_t)in->p;
	z->avail_in = piece;
	z->next_out = out;
	z->avail_out = (uInt)*inout_n;
	r = inflate(z, Z_SYNC_FLUSH);
	in->p += piece - z->avail_in;
	in->n -= piece - z->avail_in;
	*inout_n -= z->avail_out;
	if (r == Z_STREAM_END)
		return STEP_WHOLE;
	return r == Z_OK || r == Z_BUF_ERROR ? STEP_MORE : STEP_BAD;
}

static enum step br_step(struct stage *s, struct input *in, unsigned char *out, size_t *inout_n)
{
	size_t room = *inout_n;
	BrotliDecoderResult r = BrotliDecoderDecompressStream(s->u.br, &in->n, &in->p, &room, &out, NULL);

	*inout_n -= room;
	if (r == BROTLI_DECODER_RESULT_SUCCESS)
		return STEP_WHOLE;
	return r == BROTLI_DECODER_RESULT_ERROR ? STEP_BAD : STEP_MORE;
}

static int zstd_start(struct stage *s)
{
	s->u.zstd = ZSTD_createDStream();
	if (!s->u.zstd)
		return BUR_NOMEM;
	s->running = true;
	return ZSTD_isError(ZSTD_DCtx_setParameter(s->u.zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX)) ? BUR_NOMEM
													 : BUR_OK;
}

static enum step zstd_step(struct stage *s, struct input *in, unsigned char *out, size_t *inout_n)
{
	ZSTD_inBuffer from = {in->p, in->n, 0};
	ZSTD_outBuffer to = {out, *inout_n, 0};
	size_t r = ZSTD_decompressStream(s->u.zstd, &to, &from);

	in->p += from.pos;
	in->n -= from.pos;
	*inout_n = to.pos;
	if (ZSTD_isError(r))
		return STEP_BAD;
	return r == 0 ? STEP_WHOLE : STEP_MORE;
}

/* Servers send zlib's wrapper and raw deflate under the same name. */
static bool is_zlib(const unsigned char head[2])
{
	return (head[0] & 0x0f) == 8 && (head[0] >> 4) <= 7 && (head[0] * 256 + head[1]) % 31 == 0;
}

/* A frame of RFC 8878, or one to be skipped: the library also reads its forms of before, which are no content coding.
 */
static bool is_zstd(const unsigned char head[4])
{
	static const unsigned char frame[4] = {0x28, 0xb5, 0x2f, 0xfd}, skipped[3] = {0x2a, 0x4d, 0x18};

	return memcmp(head, frame, 4) == 0 || ((head[0] & 0xf0) == 0x50 && memcmp(head + 1, skipped, 3) == 0);
}

/* Bytes that must be seen before a member is read. */
static unsigned head_bytes(const struct stage *s)
{
	return s->coding == CODING_DEFLATE ? 2 : s->coding == CODING_ZSTD ? 4 : 0;
}

static int stage_start(struct stage *s)
{
	if (s->coding == CODING_ZSTD && !is_zstd(s->head))
		return BUR_INVALID;
	if (s->running)
		return BUR_OK;
	switch (s->coding) {
	case CODING_GZIP:
		return z_start(s, 16 + MAX_WBITS);
	case CODING_DEFLATE:
		return z_start(s, is_zlib(s->head) ? MAX_WBITS : -MAX_WBITS);
	case CODING_BR:
		s->u.br = BrotliDecoderCreateInstance(NULL, NULL, NULL);
		s->running = s->u.br != NULL;
		return s->running ? BUR_OK : BUR_NOMEM;
	case CODING_ZSTD:
		return zstd_start(s);
	default:
		return BUR_UNSUPPORTED;
	}
}

static void stage_stop(struct stage *s)
{
	if (!s->running)
		return;
	if (s->coding == CODING_BR) {
		BrotliDecoderDestroyInstance(s->u.br);
	} else if (s->coding == CODING_ZSTD) {
		(void)ZSTD_freeDStream(s->u.zstd);
	} else {
		(void)inflateEnd(s->u.z);
		free(s->u.z);
	}
	s->running = false;
}

static enum step stage_step(struct stage *s, struct input *in, unsigned char *out, size_t *inout_n)
{
	if (s->coding == CODING_BR)
		return br_step(s, in, out, inout_n);
	return s->coding == CODING_ZSTD ? zstd_step(s, in, out, inout_n) : z_step(s, in, out, inout_n);
}

/* Makes ready for the next member; members of gzip and frames of zstd may follow each other. */
static bool stage_restart(struct stage *s)
{
	if (s->coding == CODING_GZIP)
		return inflateReset(s->u.z) == Z_OK;
	return s->coding == CODING_ZSTD;
}

/* --- one stage ---------------------------------------------------------------------------------------------------- */

static int stage_feed(struct decode *d, unsigned index, struct input in);

/* Is what this stage has decoded too much for what came in? */
static bool is_bomb(const struct decode *d, const struct stage *s)
{
	const struct decode_limits *l = &d->limits;

	return s->bytes > l->any_ratio_bytes && s->bytes / l->max_ratio > d->coded_bytes;
}

static int pass_on(struct decode *d, unsigned index, const unsigned char *p, size_t n)
{
	if (n == 0)
		return BUR_OK;
	if (index == d->n_stages)
		return d->sink(d->ctx, (const char *)p, n);
	return stage_feed(d, index, (struct input){p, n});
}

/* A member is over. */
static void member_end(struct decode *d, struct stage *s)
{
	s->any = true;
	s->inside = false;
	s->member_bytes = 0;
	if (s->coding == CODING_ZSTD) {
		s->headed = false;
		s->head_n = 0;
	}
	s->ended = d->limits.strict || !stage_restart(s);
}

/* Input that is no member of the coding. Behind a whole one of gzip it is padding, which some servers write. */
static int not_a_member(struct decode *d, struct stage *s)
{
	if (s->coding != CODING_GZIP || !s->any || s->member_bytes > 0 || d->limits.strict)
		return BUR_INVALID;
	s->ended = true;
	s->inside = false;
	return BUR_OK;
}

/* Counts what a step gave and passes it on, up to the limits. `full`: the piece is as long as it may be. */
static int take_output(struct decode *d, unsigned index, const unsigned char *p, size_t n, bool full)
{
	struct stage *s = &d->stages[index];
	uint64_t room = d->limits.max_bytes - s->bytes;
	bool over = n > room;
	int r;

	if (over)
		n = (size_t)room;
	s->bytes += n;
	s->member_bytes += n;
	r = pass_on(d, index + 1, p, n);
	if (r < 0)
		return r;
	return over || (full && is_bomb(d, s)) ? BUR_TOOBIG : BUR_OK;
}

/* One call of the library. *ret_more: there may be more output. */
static int one_step(struct decode *d, unsigned index, struct input *in, bool *ret_more)
{
	struct stage *s = &d->stages[index];
	unsigned char out[PIECE_BYTES];
	/* pieces end at the same places whatever the input's, for the ratio is looked at there */
	size_t room = PIECE_BYTES - s->bytes % PIECE_BYTES, n = room, before = in->n;
	enum step step;
	int r;

	if (in->n > 0)
		s->inside = true;
	step = stage_step(s, in, out, &n);
	if (index == 0)
		d->coded_bytes += before - in->n;
	r = take_output(d, index, out, n, n == room);
	if (r < 0)
		return r;
	*ret_more = in->n > 0 || n == room;
	if (step == STEP_WHOLE)
		member_end(d, s);
	else if (step == STEP_BAD || (in->n > 0 && in->n == before && n == 0))
		return not_a_member(d, s);
	return BUR_OK;
}

/* Gathers what must be seen of a member first, and begins to read it. */
static int member_begin(struct decode *d, unsigned index, struct input *in)
{
	struct stage *s = &d->stages[index];
	struct input head = {s->head, head_bytes(s)};
	bool more = true;
	int r;

	while (in->n > 0 && s->head_n < head.n) {
		s->head[s->head_n++] = *in->p++;
		in->n--;
		s->inside = true;
	}
	if (s->head_n < head.n)
		return BUR_OK;
	r = stage_start(s);
	s->headed = true;
	while (r == BUR_OK && head.n > 0 && more && !s->ended)
		r = one_step(d, index, &head, &more);
	return r;
}

static int stage_feed(struct decode *d, unsigned index, struct input in)
{
	struct stage *s = &d->stages[index];
	bool more = in.n > 0;
	int r = BUR_OK;

	while (r == BUR_OK && more && !s->ended) {
		if (s->headed) {
			r = one_step(d, index, &in, &more);
		} else {
			r = member_begin(d, index, &in);
			more = in.n > 0;
		}
	}
	if (s->ended)
		stage_stop(s);
	return r == BUR_OK && s->ended && in.n > 0 && d->limits.strict ? BUR_INVALID : r;
}

/* --- setting up --------------------------------------------------------------------------------------------------- */

static enum coding coding_of(struct slice s)
{
	static const struct {
		const char *name;
		enum coding coding;
	} names[] = {
	    {"", CODING_IDENTITY},   {"identity", CODING_IDENTITY}, {"gzip", CODING_GZIP},
	    {"x-gzip", CODING_GZIP}, {"deflate", CODING_DEFLATE},   {"br", CODING_BR},
	    {"zstd", CODING_ZSTD},
	};

	s = slice_trim(s);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (slice_ieq(s, slice_of(names[i].name)))
			return names[i].coding;
	return CODING_UNKNOWN;
}

bool decode_knows(struct slice coding)
{
	return coding_of(coding) != CODING_UNKNOWN;
}

/* The codings of a field's value in the order they were applied, without "identity"; their number or an error. */
static int read_codings(struct slice value, enum coding codings[STAGES_MAX])
{
	struct slice rest = value, item;
	bool more = true;
	int n = 0;

	while (more) {
		enum coding coding;

		more = slice_cut(rest, ',', &item, &rest);
		coding = coding_of(item);
		if (coding == CODING_IDENTITY)
			continue;
		if (coding == CODING_UNKNOWN || n == STAGES_MAX)
			return BUR_UNSUPPORTED;
		codings[n++] = coding;
	}
	return n;
}

bool decode_is_identity(struct slice content_encoding)
{
	enum coding codings[STAGES_MAX];

	return content_encoding.n == 0 || read_codings(content_encoding, codings) == 0;
}

int decode_new(struct slice content_encoding, const struct decode_limits *limits, decode_sink *sink, void *ctx,
	       struct decode **ret)
{
	enum coding codings[STAGES_MAX];
	int n = read_codings(content_encoding, codings), i;
	struct decode *d;

	if (n < 0)
		return n;
	d = calloc(1, sizeof(*d));
	if (!d)
		return BUR_NOMEM;
	d->limits = *limits;
	if (d->limits.max_ratio == 0)
		d->limits.max_ratio = 1;
	d->sink = sink;
	d->ctx = ctx;
	d->n_stages = (uint8_t)n;
	for (i = 0; i < n; i++)
		d->stages[i].coding = codings[n - 1 - i];
	*ret = d;
	return BUR_OK;
}

void decode_free(struct decode *d)
{
	if (!d)
		return;
	for (unsigned i = 0; i < d->n_stages; i++)
		stage_stop(&d->stages[i]);
	free(d);
}

/* Nothing to undo, but still a limit. */
static int identity_feed(struct decode *d, const char *p, size_t n)
{
	uint64_t room = d->limits.max_bytes - d->coded_bytes;
	bool over = n > room;
	int r;

	n = over ? (size_t)room : n;
	d->coded_bytes += n;
	r = n > 0 ? d->sink(d->ctx, p, n) : BUR_OK;
	return r == BUR_OK && over ? BUR_TOOBIG : r;
}

int decode_feed(struct decode *d, const char *p, size_t n)
{
	if (d->error < 0)
		return d->error;
	if (d->n_stages == 0)
		d->error = identity_feed(d, p, n);
	else
		d->error = stage_feed(d, 0, (struct input){(const unsigned char *)p, n});
	if (d->error < 0) /* a library's window may be large */
		for (unsigned i = 0; i < d->n_stages; i++)
			stage_stop(&d->stages[i]);
	return d->error;
}

int decode_finish(struct decode *d)
{
	if (d->error < 0)
		return d->error;
	for (unsigned i = 0; i < d->n_stages; i++)
		if (d->stages[i].inside || !d->stages[i].any)
			return BUR_EOF;
	return BUR_OK;
}
