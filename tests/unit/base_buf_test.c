/* base_buf_test - a bounded queue of bytes against a plain model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/error.h"

static void test_limits(void **state)
{
	struct buf b;
	size_t room;
	char *p;

	(void)state;
	buf_init(&b, 100);
	assert_null(b.mem);
	assert_int_equal(buf_slice(&b).n, 0);
	p = buf_reserve(&b, 1, &room);
	assert_non_null(p);
	assert_int_equal(room, 100); /* never more than the maximum allows */
	assert_null(buf_reserve(&b, 101, &room));
	assert_int_equal(buf_append(&b, "0123456789", 10), BUR_OK);
	assert_int_equal(buf_printf(&b, "%090d", 7), BUR_OK);
	assert_int_equal(buf_space(&b), 0);
	assert_int_equal(buf_append(&b, "x", 1), BUR_TOOBIG);
	assert_int_equal(buf_printf(&b, "%d", 7), BUR_TOOBIG);
	assert_int_equal(buf_printf(&b, "%05000d", 7), BUR_TOOBIG);
	assert_int_equal(buf_append(&b, NULL, 0), BUR_OK);
	buf_relax(&b);
	assert_int_equal(buf_len(&b), 100); /* not empty: stays */
	buf_consume(&b, 100);
	buf_relax(&b);
	assert_null(b.mem);
	buf_done(&b);
	assert_int_equal(buf_append(&b, "x", 1), BUR_OK); /* usable again */
	buf_done(&b);
}

static void test_long_printf(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 50000);
	assert_int_equal(buf_printf(&b, "%050000d", 7), BUR_OK);
	assert_int_equal(buf_len(&b), 50000);
	assert_int_equal(buf_slice(&b).p[49999], '7');
	buf_done(&b);
}

/* Random operations; the bytes are a running counter, so order and loss show. */
static void test_model(void **state)
{
	struct buf b;
	unsigned char in = 0, out = 0, piece[40000];
	size_t len = 0;

	(void)state;
	srand(1);
	buf_init(&b, 100000);
	for (int round = 0; round < 3000; round++) {
		size_t n = (size_t)rand() % (rand() % 4 ? 3000 : sizeof(piece)), room;

		if (rand() % 2) {
			for (size_t i = 0; i < n; i++)
				piece[i] = (unsigned char)(in + i);
			if (buf_append(&b, piece, n) == BUR_OK) {
				in = (unsigned char)(in + n);
				len += n;
			} else {
				assert_true(len + n > 100000);
			}
		} else {
			n = n < len ? n : len;
			for (size_t i = 0; i < n; i++)
				assert_int_equal((unsigned char)buf_slice(&b).p[i], (unsigned char)(out + i));
			buf_consume(&b, n);
			out = (unsigned char)(out + n);
			len -= n;
		}
		if (rand() % 8 == 0)
			buf_relax(&b);
		if (rand() % 8 == 0 && buf_reserve(&b, 100, &room))
			assert_true(room >= 100 && room <= buf_space(&b));
		assert_int_equal(buf_len(&b), len);
	}
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_long_printf),
	    cmocka_unit_test(test_model),
	};

	return cmocka_run_group_tests_name("base_buf", tests, NULL, NULL);
}
