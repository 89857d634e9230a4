#include "meter/tap_edge.h"

#include <string.h>

/* A message of an AWS event stream is no shorter than its prelude and the two checksums. */
#define AWS_MESSAGE_MIN 16

static enum tap_edge_form form_of(enum api_kind kind, struct slice type)
{
	bool aws = kind == API_CONVERSE || kind == API_INVOKE, lines = kind == API_OLLAMA;

	if (slice_ieq(type, SLICE("text/event-stream")))
		return aws || lines ? EDGE_FORM_NONE : EDGE_FORM_EVENTS;
	if (slice_ieq(type, SLICE("application/vnd.amazon.eventstream")))
		return aws ? EDGE_FORM_AWS : EDGE_FORM_NONE;
	if (lines && (slice_ieq(type, SLICE("application/x-ndjson")) || slice_ieq(type, SLICE("application/ndjson"))))
		return EDGE_FORM_LINES;
	if (kind == API_GENERATE && slice_ieq(type, SLICE("application/json")))
		return EDGE_FORM_ARRAY;
	return EDGE_FORM_NONE;
}

void tap_edge_init(struct tap_edge *e, enum api_kind kind, struct slice content_type)
{
	struct slice type, params;

	slice_cut(content_type, ';', &type, &params);
	memset(e, 0, sizeof(*e));
	e->form = (uint8_t)form_of(kind, slice_trim(type));
	e->place = e->form == EDGE_FORM_NONE ? EDGE_INSIDE : EDGE_FIRST;
}

static bool is_line_end(uint8_t c)
{
	return c == '\n' || c == '\r';
}

/* Does a blank line end the event? Line ends are LF, CR and CRLF; those in `last` are the newest bytes. */
static bool is_blank_line(const struct tap_edge *e)
{
	uint8_t n = e->n;

	if (n == 0 || !is_line_end(e->last[n - 1]))
		return false;
	n -= n >= 2 && e->last[n - 1] == '\n' && e->last[n - 2] == '\r' ? 2 : 1;
	return n > 0 && is_line_end(e->last[n - 1]);
}

static void feed_events(struct tap_edge *e, const char *p, size_t n)
{
	size_t keep = sizeof(e->last);

	if (n >= keep) {
		memcpy(e->last, p + n - keep, keep);
		e->n = (uint8_t)keep;
	} else {
		if (e->n + n > keep) {
			size_t drop = e->n + n - keep;

			memmove(e->last, e->last + drop, e->n - drop);
			e->n = (uint8_t)(e->n - drop);
		}
		memcpy(e->last + e->n, p, n);
		e->n = (uint8_t)(e->n + n);
	}
	e->place = is_blank_line(e) ? EDGE_AFTER : EDGE_INSIDE;
}

static void feed_aws(struct tap_edge *e, const char *p, size_t n)
{
	while (n > 0 && e->form != EDGE_FORM_NONE) {
		if (e->left > 0) {
			size_t take = n < e->left ? n : e->left;

			e->left -= (uint32_t)take;
			p += take;
			n -= take;
		} else {
			e->last[e->n++] = (uint8_t)*p++;
			n--;
			if (e->n == 4) {
				uint32_t length = (uint32_t)e->last[0] << 24 | (uint32_t)e->last[1] << 16 |
						  (uint32_t)e->last[2] << 8 | e->last[3];

				e->n = 0;
				e->left = length - 4;
				if (length < AWS_MESSAGE_MIN) /* no such stream */
					e->form = EDGE_FORM_NONE;
			}
		}
		e->place = e->left == 0 && e->n == 0 ? EDGE_AFTER : EDGE_INSIDE;
	}
	if (e->form == EDGE_FORM_NONE)
		e->place = EDGE_INSIDE;
}

static void array_in_string(struct tap_edge *e, char c)
{
	if (e->escaped)
		e->escaped = false;
	else if (c == '\\')
		e->escaped = true;
	else if (c == '"')
		e->in_string = false;
}

static void array_byte(struct tap_edge *e, char c)
{
	if (e->in_string) {
		array_in_string(e, c);
	} else if (c == '"') {
		e->in_string = true;
		e->place = EDGE_INSIDE;
	} else if (c == '[' || c == '{') {
		if (e->left == 0 && c == '{') /* a lone object: no list that could be ended */
			e->form = EDGE_FORM_NONE;
		e->place = e->left == 0 ? EDGE_OPEN : EDGE_INSIDE;
		e->left++;
	} else if (c == ']' || c == '}') {
		e->left -= e->left > 0;
		e->place = e->left == 1 && c == '}' ? EDGE_AFTER : EDGE_INSIDE;
	} else if (c == ',' && e->left == 1) {
		e->place = e->place == EDGE_AFTER ? EDGE_COMMA : EDGE_INSIDE;
	} else if (c != ' ' && c != '\t' && c != '\r' && c != '\n') {
		e->place = EDGE_INSIDE;
	}
}

static void feed_array(struct tap_edge *e, const char *p, size_t n)
{
	for (size_t i = 0; i < n && e->form != EDGE_FORM_NONE; i++)
		array_byte(e, p[i]);
	if (e->form == EDGE_FORM_NONE)
		e->place = EDGE_INSIDE;
}

void tap_edge_feed(struct tap_edge *e, const char *p, size_t n)
{
	if (n == 0)
		return;
	switch ((enum tap_edge_form)e->form) {
	case EDGE_FORM_NONE:
		break;
	case EDGE_FORM_EVENTS:
		feed_events(e, p, n);
		break;
	case EDGE_FORM_LINES:
		e->place = p[n - 1] == '\n' ? EDGE_AFTER : EDGE_INSIDE;
		break;
	case EDGE_FORM_AWS:
		feed_aws(e, p, n);
		break;
	case EDGE_FORM_ARRAY:
		feed_array(e, p, n);
		break;
	}
}

/* Byte by byte: this is asked once in the life of a stream. */
size_t tap_edge_last(struct tap_edge *inout, const char *p, size_t n)
{
	struct tap_edge at = *inout, found = at;
	size_t best = at.place != EDGE_INSIDE ? 0 : SIZE_MAX;

	for (size_t i = 0; i < n; i++) {
		tap_edge_feed(&at, p + i, 1);
		if (at.place != EDGE_INSIDE) {
			best = i + 1;
			found = at;
		}
	}
	*inout = found;
	return best;
}
