#include "meter/frame_ws.h"

#include <string.h>

#include "base/error.h"

#define BIT_FIN 0x80u
#define BITS_RSV 0x70u
#define BIT_MASK 0x80u
#define CONTROL_MAX_BYTES 125

enum opcode { OP_CONTINUATION, OP_TEXT, OP_BINARY, OP_CLOSE = 8, OP_PING, OP_PONG };

void frame_ws_init(struct frame_ws *f, struct frame_out out)
{
	memset(f, 0, sizeof(*f));
	f->out = out;
	f->head_need = 2;
}

static enum opcode opcode_of(const struct frame_ws *f)
{
	return (enum opcode)(f->head[0] & 0x0f);
}

static bool is_control(const struct frame_ws *f)
{
	return opcode_of(f) >= OP_CLOSE;
}

static bool is_final(const struct frame_ws *f)
{
	return (f->head[0] & BIT_FIN) != 0;
}

/* The head is whole: may such a frame stand here? Sets `left`. */
static bool head_fits(struct frame_ws *f)
{
	enum opcode op = opcode_of(f);
	unsigned i;

	f->left = f->head[1] & 0x7f;
	if (f->head_need > 2) {
		f->left = 0;
		for (i = 2; i < f->head_need; i++)
			f->left = f->left << 8 | f->head[i];
	}
	if ((f->head[0] & BITS_RSV) || (f->head[1] & BIT_MASK) || f->left > INT64_MAX)
		return false;
	if (op == OP_CLOSE || op == OP_PING || op == OP_PONG)
		return is_final(f) && f->left <= CONTROL_MAX_BYTES && f->head_need == 2;
	return op == OP_CONTINUATION ? f->open : !f->open && op <= OP_BINARY;
}

static void frame_end(struct frame_ws *f)
{
	if (opcode_of(f) == OP_CLOSE)
		f->closed = true;
	if (!is_control(f) && is_final(f) && f->open) {
		f->out.ops->end(f->out.ctx);
		f->open = false;
	}
	f->head_n = 0;
	f->head_need = 2;
	f->in_payload = false;
}

/* One byte of the head; false: it is none. */
static bool head_byte(struct frame_ws *f, unsigned char c)
{
	f->head[f->head_n++] = c;
	if (f->head_n == 2)
		f->head_need = (c & 0x7f) == 126 ? 4 : (c & 0x7f) == 127 ? 10 : 2;
	if (f->head_n < f->head_need)
		return true;
	if (!head_fits(f))
		return false;
	f->in_payload = true;
	return true;
}

/* Bytes of a payload, `n` no more than are left. A message of one frame that lies here whole goes on at once. */
static void payload_bytes(struct frame_ws *f, const char *p, size_t n)
{
	if (!is_control(f) && !f->open) {
		if (is_final(f) && n == f->left) {
			f->out.ops->whole(f->out.ctx, p, n);
			f->left = 0;
			return;
		}
		f->out.ops->begin(f->out.ctx);
		f->open = true;
	}
	if (!is_control(f) && n > 0)
		f->out.ops->data(f->out.ctx, p, n);
	f->left -= n;
}

int frame_ws_feed(struct frame_ws *f, const char *p, size_t n)
{
	size_t i = 0, k;

	while (!f->failed && !f->closed && (i < n || (f->in_payload && f->left == 0))) {
		if (!f->in_payload) {
			f->failed = !head_byte(f, (unsigned char)p[i++]);
			continue;
		}
		k = n - i < f->left ? n - i : (size_t)f->left;
		payload_bytes(f, p + i, k);
		i += k;
		if (f->left == 0)
			frame_end(f);
	}
	return f->failed ? BUR_INVALID : BUR_OK;
}

int frame_ws_finish(const struct frame_ws *f)
{
	if (f->failed)
		return BUR_INVALID;
	return f->closed || (f->head_n == 0 && !f->open) ? BUR_OK : BUR_EOF;
}
