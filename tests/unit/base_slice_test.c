/* base_slice_test - cutting, strict numbers, encodings, hashes and checksums. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/slice.c" /* to compare both ways to the checksum */

static void test_compare(void **state)
{
	(void)state;
	assert_true(slice_eq(SLICE(""), SLICE_NONE));
	assert_true(slice_ieq(SLICE("Content-Type"), SLICE("cONTENT-tYPE")));
	assert_false(slice_ieq(SLICE("["), SLICE("{"))); /* 32 apart, but no letters */
	assert_true(slice_starts(SLICE("abc"), SLICE("ab")) && slice_starts(SLICE_NONE, SLICE_NONE));
	assert_false(slice_starts(SLICE("a"), SLICE("ab")));
	assert_true(slice_istarts(SLICE("ABc"), SLICE("ab")));
	assert_true(slice_ends(SLICE("abc"), SLICE("bc")) && slice_iends(SLICE("aBC"), SLICE("bc")));
	assert_false(slice_ends(SLICE("c"), SLICE("bc")) || slice_iends(SLICE("c"), SLICE("bc")));
}

static void test_cut(void **state)
{
	struct slice head, rest;

	(void)state;
	assert_true(slice_eq(slice_trim(SLICE(" \ta b\t ")), SLICE("a b")));
	assert_int_equal(slice_trim(SLICE(" \t ")).n, 0);
	assert_int_equal(slice_trim(SLICE_NONE).n, 0);
	assert_true(slice_eq(slice_sub(SLICE("abc"), 1, 100), SLICE("bc")));
	assert_int_equal(slice_sub(SLICE("abc"), 3, SIZE_MAX).n, 0);
	assert_int_equal(slice_sub(SLICE("abc"), SIZE_MAX, SIZE_MAX).n, 0);
	assert_int_equal(slice_find(SLICE("abc"), 'c'), 2);
	assert_int_equal(slice_find(SLICE("abc"), 'x'), 3);
	assert_true(slice_cut(SLICE("a=b=c"), '=', &head, &rest));
	assert_true(slice_eq(head, SLICE("a")) && slice_eq(rest, SLICE("b=c")));
	assert_true(slice_cut(SLICE("a="), '=', &head, &rest));
	assert_int_equal(rest.n, 0);
	rest = SLICE("abc");
	assert_false(slice_cut(rest, '=', &rest, &head)); /* outputs may be the input */
	assert_true(slice_eq(rest, SLICE("abc")) && head.n == 0);
}

static void test_numbers(void **state)
{
	static const char *bad[] = {"", "-", "+1", " 1", "1 ", "1a", "--1", "0x1", "1.0"};
	uint64_t u = 0;
	int64_t i = 0;

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(bad); k++) {
		assert_int_equal(slice_u64(slice_of(bad[k]), &u), BUR_INVALID);
		assert_int_equal(slice_i64(slice_of(bad[k]), &i), BUR_INVALID);
	}
	assert_int_equal(slice_u64(SLICE("18446744073709551615"), &u), BUR_OK);
	assert_true(u == UINT64_MAX);
	assert_int_equal(slice_u64(SLICE("18446744073709551616"), &u), BUR_OVERFLOW);
	assert_int_equal(slice_u64(SLICE("99999999999999999999999999999x"), &u), BUR_INVALID);
	assert_int_equal(slice_u64(SLICE("-1"), &u), BUR_INVALID);
	assert_int_equal(slice_i64(SLICE("-9223372036854775808"), &i), BUR_OK);
	assert_true(i == INT64_MIN);
	assert_int_equal(slice_i64(SLICE("9223372036854775807"), &i), BUR_OK);
	assert_true(i == INT64_MAX);
	assert_int_equal(slice_i64(SLICE("9223372036854775808"), &i), BUR_OVERFLOW);
	assert_int_equal(slice_i64(SLICE("-9223372036854775809"), &i), BUR_OVERFLOW);
	assert_int_equal(slice_u64(SLICE("000"), &u), BUR_OK);
	assert_int_equal(u, 0);
}

static void test_copy_and_hex(void **state)
{
	unsigned char bytes[4];
	char text[9];
	size_t n;

	(void)state;
	assert_int_equal(slice_to_cstr(SLICE("hello"), text, 4), 3);
	assert_string_equal(text, "hel");
	assert_int_equal(slice_to_cstr(SLICE_NONE, text, 1), 0);
	assert_int_equal(slice_to_cstr(SLICE("a"), text, 0), 0);
	hex_encode("\x00\xff\x1a\x9c", 4, text);
	assert_string_equal(text, "00ff1a9c");
	assert_int_equal(hex_decode(SLICE("00Ff1A9c"), bytes, 4, &n), BUR_OK);
	assert_int_equal(n, 4);
	assert_memory_equal(bytes, "\x00\xff\x1a\x9c", 4);
	assert_int_equal(hex_decode(SLICE("0"), bytes, 4, &n), BUR_INVALID);
	assert_int_equal(hex_decode(SLICE("0g"), bytes, 4, &n), BUR_INVALID);
	assert_int_equal(hex_decode(SLICE("0011223344"), bytes, 4, &n), BUR_TOOBIG);
}

static void test_base64(void **state)
{
	static const char *plain[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"};
	static const char *coded[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
	static const char *bad[] = {"Zg=", "Zg", "Z===", "====", "Zh==", "Zm9=", "Zg==Zg==", "Z g=", "Zm9-", "=Zg="};
	char text[16];
	size_t n;

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(plain); k++) {
		assert_int_equal(base64_encode(plain[k], strlen(plain[k]), text, sizeof(text)), (int)strlen(coded[k]));
		assert_string_equal(text, coded[k]);
		assert_int_equal(base64_decode(slice_of(coded[k]), text, sizeof(text), &n), BUR_OK);
		assert_int_equal(n, strlen(plain[k]));
		assert_memory_equal(text, plain[k], n);
	}
	for (size_t k = 0; k < ARRAY_LEN(bad); k++)
		assert_int_equal(base64_decode(slice_of(bad[k]), text, sizeof(text), &n), BUR_INVALID);
	assert_int_equal(base64_encode("foo", 3, text, 4), BUR_TOOBIG); /* the NUL needs room */
	assert_int_equal(base64_decode(SLICE("Zm9v"), text, 2, &n), BUR_TOOBIG);
}

static void test_crc32c(void **state)
{
	unsigned char bytes[300];
	uint32_t whole;

	(void)state;
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	memset(bytes, 0, 32);
	assert_int_equal(crc32c(0, bytes, 32), 0x8a9136aa); /* RFC 3720 B.4 */
	memset(bytes, 0xff, 32);
	assert_int_equal(crc32c(0, bytes, 32), 0x62a8ab43);
	assert_int_equal(crc32c(7, bytes, 0), 7);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 131 + 7);
	whole = crc32c(0, bytes, sizeof(bytes));
	for (size_t i = 0; i <= sizeof(bytes); i++)
		assert_int_equal(crc32c(crc32c(0, bytes, i), bytes + i, sizeof(bytes) - i), whole);
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(crc_by_table(~0u, bytes + i, sizeof(bytes) - i),
				 ~crc32c(0, bytes + i, sizeof(bytes) - i));
}

static void test_hashes(void **state)
{
	/* key 00..0f and message 00..3e of the SipHash reference, one compression round and three final ones */
	uint64_t key[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
	unsigned char message[8] = {0, 1, 2, 3, 4, 5, 6, 7};

	(void)state;
	assert_true(siphash13(key, message, 0) == UINT64_C(0xabac0158050fc4dc));
	assert_true(hash_bytes("abc", 3) == hash_bytes("abc", 3));
	assert_true(hash_bytes("abc", 3) != hash_bytes("abd", 3) && hash_bytes("", 0) != hash_bytes("\0", 1));
	assert_true(hash_key[0] != 0 || hash_key[1] != 0);
	/* stored values depend on these */
	assert_true(stable_hash64("", 0) == UINT64_C(0xefd01f60ba992926));
	assert_true(stable_hash64("abc", 3) == UINT64_C(0x33ebaf9927cbc5bd));
}

static void test_secrets(void **state)
{
	char a[] = "secret";

	(void)state;
	assert_true(bytes_equal_consttime("abc", "abc", 3) && bytes_equal_consttime("", "", 0));
	assert_false(bytes_equal_consttime("abc", "abd", 3) || bytes_equal_consttime("abc", "bbc", 3));
	bytes_wipe(a, sizeof(a));
	assert_memory_equal(a, "\0\0\0\0\0\0", 7);
	bytes_wipe(NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_compare),      cmocka_unit_test(test_cut),     cmocka_unit_test(test_numbers),
	    cmocka_unit_test(test_copy_and_hex), cmocka_unit_test(test_base64),  cmocka_unit_test(test_crc32c),
	    cmocka_unit_test(test_hashes),       cmocka_unit_test(test_secrets),
	};

	return cmocka_run_group_tests_name("base_slice", tests, NULL, NULL);
}
