/* meter_frames.h - for tests of framings: writes down the events that counted. Each is "[data]", "(name)" or "(name!)"
 * of an exception stands before it, "DONE" is the marker. */
#ifndef TESTS_METER_FRAMES_H
#define TESTS_METER_FRAMES_H

#include <stdlib.h>
#include <string.h>

#include "meter/frame.h"

struct frames {
	char *text;
	size_t n, cap;
	size_t begun_at; /* where the event at hand began */
	bool open;
	char name[80];
};

static inline void frames_put(struct frames *f, const char *p, size_t n)
{
	if (f->n + n + 1 > f->cap) {
		f->cap = (f->n + n + 1) * 2;
		f->text = realloc(f->text, f->cap);
	}
	if (n > 0)
		memcpy(f->text + f->n, p, n);
	f->n += n;
	f->text[f->n] = '\0';
}

static inline void frames_drop(struct frames *f)
{
	if (f->open) {
		f->n = f->begun_at;
		f->text[f->n] = '\0';
	}
	f->open = false;
	f->name[0] = '\0';
}

static inline void frames_begin(void *ctx)
{
	struct frames *f = ctx;

	frames_drop(f);
	f->begun_at = f->n;
	f->open = true;
	frames_put(f, "[", 1);
}

static inline void frames_data(void *ctx, const char *p, size_t n)
{
	frames_put(ctx, p, n);
}

static inline void frames_name(void *ctx, struct slice name, bool exception)
{
	struct frames *f = ctx;
	char *copy = malloc(f->n - f->begun_at + 1);

	/* before the event, where it is easily read */
	memcpy(copy, f->text + f->begun_at, f->n - f->begun_at + 1);
	f->n = f->begun_at;
	frames_put(f, "(", 1);
	frames_put(f, name.p, name.n);
	frames_put(f, exception ? "!)" : ")", exception ? 2 : 1);
	frames_put(f, copy, strlen(copy));
	free(copy);
}

static inline void frames_end(void *ctx)
{
	struct frames *f = ctx;

	frames_put(f, "]", 1);
	f->open = false;
}

static inline void frames_whole(void *ctx, const char *p, size_t n)
{
	frames_begin(ctx);
	frames_data(ctx, p, n);
	frames_end(ctx);
}

static inline void frames_done(void *ctx)
{
	frames_drop(ctx);
	frames_put(ctx, "DONE", 4);
}

static const struct frame_ops frames_ops = {frames_begin, frames_data,  frames_name,
					    frames_end,   frames_whole, frames_done};

/* What counted; the caller frees it. */
static inline char *frames_take(struct frames *f)
{
	frames_drop(f);
	frames_put(f, "", 0);
	return f->text;
}

#endif
