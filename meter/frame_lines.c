#include "meter/frame_lines.h"

#include <string.h>

#include "meter/quick.h"

void frame_lines_init(struct frame_lines *f, struct frame_out out)
{
	f->out = out;
	f->open = false;
}

/* A line that lies whole in memory, or all that there is of it yet. */
static void line_bytes(struct frame_lines *f, const char *p, const char *end, bool ends)
{
	if (!f->open) {
		while (p < end && quick_is_space(*p))
			p++;
		if (p == end)
			return;
		if (ends) {
			while (quick_is_space(end[-1]))
				end--;
			f->out.ops->whole(f->out.ctx, p, (size_t)(end - p));
			return;
		}
		f->out.ops->begin(f->out.ctx);
		f->open = true;
	}
	if (p < end)
		f->out.ops->data(f->out.ctx, p, (size_t)(end - p));
}

void frame_lines_finish(struct frame_lines *f)
{
	if (f->open)
		f->out.ops->end(f->out.ctx);
	f->open = false;
}

void frame_lines_feed(struct frame_lines *f, const char *p, size_t n)
{
	const char *end = p + n;

	while (p < end) {
		const char *lf = memchr(p, '\n', (size_t)(end - p));

		line_bytes(f, p, lf ? lf : end, lf != NULL);
		if (!lf)
			return;
		frame_lines_finish(f);
		p = lf + 1;
	}
}
