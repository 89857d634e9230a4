/* meter_frame_ws_test - a WebSocket server's frames: lengths, pieces with control frames between, what breaks the
 * rules; in any split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/error.h"
#include "meter/frame_ws.h"
#include "tests/unit/meter_frames.h"

struct wire {
	char p[70000 * 2];
	size_t n;
};

static struct wire wire;

/* `long_form`: bytes of the length behind the first two, 0, 2 or 8. */
static void frame(unsigned head, const char *p, size_t n, int long_form)
{
	wire.p[wire.n++] = (char)head;
	wire.p[wire.n++] = (char)(long_form == 0 ? n : long_form == 2 ? 126 : 127);
	for (int i = long_form - 1; i >= 0; i--)
		wire.p[wire.n++] = (char)((uint64_t)n >> (8 * i));
	if (n > 0)
		memcpy(wire.p + wire.n, p, n);
	wire.n += n;
}

static void text_frame(unsigned head, const char *text)
{
	frame(head, text, strlen(text), 0);
}

static char *run(size_t piece, int *ret_feed, int *ret_finish)
{
	struct frames got = {0};
	struct frame_ws f;
	size_t i, k;

	frame_ws_init(&f, (struct frame_out){&frames_ops, &got});
	for (i = 0; i < wire.n; i += k) {
		k = piece > 0 ? piece : 1 + (size_t)rand() % 9;
		if (k > wire.n - i)
			k = wire.n - i;
		*ret_feed = frame_ws_feed(&f, wire.p + i, k);
	}
	*ret_finish = frame_ws_finish(&f);
	return frames_take(&got);
}

static void check(const char *events, int feed, int finish)
{
	static const size_t pieces[] = {1000000, 0, 0, 1, 2, 3, 5, 11};

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		int a = BUR_OK, b;
		char *got = run(pieces[i], &a, &b);

		if (strcmp(got, events) != 0 || a != feed || b != finish)
			fail_msg("in pieces of %zu: %.200s, feed %d, finish %d", pieces[i], got, a, b);
		free(got);
	}
	wire.n = 0;
}

static void test_messages(void **state)
{
	(void)state;
	text_frame(0x81, "one");
	text_frame(0x82, "two");
	text_frame(0x81, "");
	check("[one][two][]", BUR_OK, BUR_OK);
	text_frame(0x01, "a");
	text_frame(0x89, "ping");
	text_frame(0x00, "");
	text_frame(0x8a, "");
	text_frame(0x00, "b");
	text_frame(0x80, "c");
	check("[abc]", BUR_OK, BUR_OK);
	text_frame(0x01, "");
	text_frame(0x80, "");
	check("[]", BUR_OK, BUR_OK);
	text_frame(0x81, "a");
	text_frame(0x88, "\x03\xe8");
	text_frame(0x81, "behind the end");
	check("[a]", BUR_OK, BUR_OK);
	check("", BUR_OK, BUR_OK);
}

static void test_lengths(void **state)
{
	static const size_t lengths[] = {125, 126, 65535, 65536};
	char *text = malloc(65540), *want = malloc(65550);

	(void)state;
	memset(text, 'x', 65540);
	for (size_t i = 0; i < 4; i++) {
		size_t n = lengths[i];

		frame(0x81, text, n, n < 126 ? 0 : n < 65536 ? 2 : 8);
		want[0] = '[';
		memcpy(want + 1, text, n);
		memcpy(want + 1 + n, "]", 2);
		check(want, BUR_OK, BUR_OK);
	}
	frame(0x81, "tiny", 4, 8);
	frame(0x81, "", 0, 2);
	check("[tiny][]", BUR_OK, BUR_OK);
	free(text);
	free(want);
}

static void test_cut(void **state)
{
	(void)state;
	text_frame(0x81, "a");
	text_frame(0x01, "b");
	check("[a]", BUR_OK, BUR_EOF);
	text_frame(0x81, "abc");
	wire.n--;
	check("", BUR_OK, BUR_EOF);
	wire.p[0] = (char)0x81;
	wire.n = 1;
	check("", BUR_OK, BUR_EOF);
}

static void test_refused(void **state)
{
	static const struct {
		unsigned head;
		const char *text;
	} cases[] = {
	    {0xc1, "compressed"}, {0x91, "reserved"}, {0xa1, "reserved"},       {0x80, "continues nothing"},
	    {0x83, "opcode"},     {0x8b, "opcode"},   {0x09, "ping in pieces"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		text_frame(0x81, "a");
		text_frame(cases[i].head, cases[i].text);
		text_frame(0x81, "b");
		check("[a]", BUR_INVALID, BUR_INVALID);
	}
	text_frame(0x01, "a");
	text_frame(0x81, "a message inside of one");
	check("", BUR_INVALID, BUR_INVALID);
	frame(0x89, "a long ping", 11, 2);
	check("", BUR_INVALID, BUR_INVALID);
	text_frame(0x81, "masked");
	wire.p[1] |= (char)0x80;
	check("", BUR_INVALID, BUR_INVALID);
	memcpy(wire.p, "\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 10);
	wire.n = 10;
	check("", BUR_INVALID, BUR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_messages),
	    cmocka_unit_test(test_lengths),
	    cmocka_unit_test(test_cut),
	    cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
