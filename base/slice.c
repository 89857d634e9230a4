#include "base/slice.h"

#include <sys/random.h>

#include "base/check.h"
#include "base/error.h"

static inline unsigned char lower(char c)
{
	unsigned char u = (unsigned char)c;

	return (u >= 'A' && u <= 'Z') ? (unsigned char)(u + 32) : u;
}

/* --- comparing and cutting ---------------------------------------------------------------------------------------- */

static bool bytes_ieq(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (lower(a[i]) != lower(b[i]))
			return false;
	}
	return true;
}

bool slice_ieq(struct slice a, struct slice b)
{
	return a.n == b.n && bytes_ieq(a.p, b.p, a.n);
}

bool slice_starts(struct slice s, struct slice prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool slice_istarts(struct slice s, struct slice prefix)
{
	return s.n >= prefix.n && bytes_ieq(s.p, prefix.p, prefix.n);
}

bool slice_ends(struct slice s, struct slice suffix)
{
	return s.n >= suffix.n && (suffix.n == 0 || memcmp(s.p + (s.n - suffix.n), suffix.p, suffix.n) == 0);
}

bool slice_iends(struct slice s, struct slice suffix)
{
	return s.n >= suffix.n && (suffix.n == 0 || bytes_ieq(s.p + (s.n - suffix.n), suffix.p, suffix.n));
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct slice slice_trim(struct slice s)
{
	while (s.n > 0 && is_blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

struct slice slice_sub(struct slice s, size_t from, size_t len)
{
	if (from >= s.n)
		return (struct slice){s.n ? s.p + s.n : s.p, 0};
	if (len > s.n - from)
		len = s.n - from;
	return (struct slice){s.p + from, len};
}

size_t slice_find(struct slice s, char c)
{
	const char *hit = s.n ? memchr(s.p, c, s.n) : NULL;

	return hit ? (size_t)(hit - s.p) : s.n;
}

bool slice_cut(struct slice s, char sep, struct slice *ret_head, struct slice *ret_rest)
{
	size_t at = slice_find(s, sep);

	if (at == s.n) {
		*ret_rest = slice_sub(s, s.n, 0);
		*ret_head = s;
		return false;
	}
	*ret_rest = slice_sub(s, at + 1, s.n);
	*ret_head = slice_sub(s, 0, at);
	return true;
}

/* --- numbers ------------------------------------------------------------------------------------------------------ */

int slice_u64(struct slice s, uint64_t *ret)
{
	uint64_t v = 0;
	bool over = false;

	if (s.n == 0)
		return BUR_INVALID;
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';

		if (digit > 9)
			return BUR_INVALID;
		if (__builtin_mul_overflow(v, UINT64_C(10), &v) || __builtin_add_overflow(v, (uint64_t)digit, &v))
			over = true; /* go on: a later bad byte makes it malformed rather than too large */
	}
	if (over)
		return BUR_OVERFLOW;
	*ret = v;
	return BUR_OK;
}

int slice_i64(struct slice s, int64_t *ret)
{
	bool negative = s.n > 0 && s.p[0] == '-';
	uint64_t v;
	int r;

	r = slice_u64(negative ? slice_sub(s, 1, s.n) : s, &v);
	if (r < 0)
		return r;
	if (v > (uint64_t)INT64_MAX + (negative ? 1 : 0))
		return BUR_OVERFLOW;
	*ret = negative ? (int64_t)(0 - v) : (int64_t)v;
	return BUR_OK;
}

/* --- copies and encodings ----------------------------------------------------------------------------------------- */

size_t slice_to_cstr(struct slice s, char *dst, size_t dst_size)
{
	size_t n = s.n;

	if (dst_size == 0)
		return 0;
	if (n > dst_size - 1)
		n = dst_size - 1;
	if (n > 0)
		memcpy(dst, s.p, n);
	dst[n] = '\0';
	return n;
}

void hex_encode(const void *src, size_t n, char *dst)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = src;

	for (size_t i = 0; i < n; i++) {
		*dst++ = digits[p[i] >> 4];
		*dst++ = digits[p[i] & 15];
	}
	*dst = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int hex_decode(struct slice s, void *dst, size_t dst_size, size_t *ret_n)
{
	unsigned char *out = dst;

	if (s.n % 2 != 0)
		return BUR_INVALID;
	if (s.n / 2 > dst_size)
		return BUR_TOOBIG;
	for (size_t i = 0; i < s.n; i += 2) {
		int high = hex_value(s.p[i]), low = hex_value(s.p[i + 1]);

		if (high < 0 || low < 0)
			return BUR_INVALID;
		out[i / 2] = (unsigned char)(high << 4 | low);
	}
	*ret_n = s.n / 2;
	return BUR_OK;
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

/* Four characters of which the last `pad` are '='; the bits that padding leaves over must be zero, so that every value
 * has exactly one spelling. */
static int base64_quad(const char *p, size_t pad, uint32_t *ret)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < 4; i++) {
		int v = i < 4 - pad ? base64_value(p[i]) : 0;

		if (v < 0)
			return BUR_INVALID;
		bits = bits << 6 | (uint32_t)v;
	}
	if ((pad == 1 && (bits & 0xff) != 0) || (pad == 2 && (bits & 0xffff) != 0))
		return BUR_INVALID;
	*ret = bits;
	return BUR_OK;
}

int base64_decode(struct slice s, void *dst, size_t dst_size, size_t *ret_n)
{
	unsigned char *out = dst;
	size_t pad = 0, total;

	if (s.n % 4 != 0)
		return BUR_INVALID;
	if (s.n > 0 && s.p[s.n - 1] == '=')
		pad = s.p[s.n - 2] == '=' ? 2 : 1;
	total = s.n / 4 * 3 - pad;
	if (total > dst_size)
		return BUR_TOOBIG;
	for (size_t i = 0, o = 0; i < s.n; i += 4) {
		uint32_t bits;
		int r = base64_quad(s.p + i, i + 4 == s.n ? pad : 0, &bits);

		if (r < 0)
			return r;
		for (int shift = 16; shift >= 0 && o < total; shift -= 8)
			out[o++] = (unsigned char)(bits >> shift);
	}
	*ret_n = total;
	return BUR_OK;
}

int base64_encode(const void *src, size_t n, char *dst, size_t dst_size)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *p = src;
	size_t o = 0;

	if (n > INT32_MAX / 2 || (n + 2) / 3 * 4 + 1 > dst_size)
		return BUR_TOOBIG;
	for (size_t i = 0; i < n; i += 3) {
		uint32_t bits = (uint32_t)p[i] << 16;

		if (i + 1 < n)
			bits |= (uint32_t)p[i + 1] << 8;
		if (i + 2 < n)
			bits |= p[i + 2];
		dst[o++] = digits[bits >> 18];
		dst[o++] = digits[bits >> 12 & 63];
		dst[o++] = i + 1 < n ? digits[bits >> 6 & 63] : '=';
		dst[o++] = i + 2 < n ? digits[bits & 63] : '=';
	}
	dst[o] = '\0';
	return (int)o;
}

/* --- hashes ------------------------------------------------------------------------------------------------------- */

static uint64_t hash_key[2];

__attribute__((constructor)) static void hash_seed(void)
{
	CHECK(getrandom(hash_key, sizeof(hash_key), 0) == (ssize_t)sizeof(hash_key));
}

static inline uint64_t rotl(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

/* SipHash-1-3: strong enough against chosen keys, as in Rust's and Python's tables. */
static uint64_t siphash13(const uint64_t key[2], const unsigned char *p, size_t n)
{
	uint64_t v[4] = {key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
			 key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573)};
	uint64_t word = 0, last = (uint64_t)n << 56;
	size_t i;

	for (i = 0; i + 8 <= n; i += 8) {
		memcpy(&word, p + i, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	for (size_t k = 0; i + k < n; k++)
		last |= (uint64_t)p[i + k] << (8 * k);
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int k = 0; k < 3; k++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t hash_bytes(const void *p, size_t n)
{
	return siphash13(hash_key, p, n);
}

/* FNV-1a 64, then the 64-bit finalizer of MurmurHash3 so that all bits are usable.
 * Stored values depend on it: it must never change. */
uint64_t stable_hash64(const void *p, size_t n)
{
	const unsigned char *bytes = p;
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < n; i++)
		h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
	h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
	h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	return h ^ h >> 33;
}

/* --- CRC-32C ------------------------------------------------------------------------------------------------------ */

#define CRC32C_POLY 0x82f63b78u /* reflected */

static uint32_t crc_table[8][256];
static uint32_t (*crc_step)(uint32_t, const unsigned char *, size_t);

/* Slicing by eight, for machines without the instruction. */
static uint32_t crc_by_table(uint32_t crc, const unsigned char *p, size_t n)
{
	for (; n >= 8; n -= 8, p += 8) {
		crc ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
		crc = crc_table[7][crc & 255] ^ crc_table[6][crc >> 8 & 255] ^ crc_table[5][crc >> 16 & 255] ^
		      crc_table[4][crc >> 24] ^ crc_table[3][p[4]] ^ crc_table[2][p[5]] ^ crc_table[1][p[6]] ^
		      crc_table[0][p[7]];
	}
	for (; n > 0; n--, p++)
		crc = crc >> 8 ^ crc_table[0][(crc ^ *p) & 255];
	return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_by_sse42(uint32_t crc, const unsigned char *p, size_t n)
{
	uint64_t wide = crc;

	for (; n >= 8; n -= 8, p += 8) {
		uint64_t word;

		memcpy(&word, p, 8);
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = (uint32_t)wide;
	for (; n > 0; n--, p++)
		crc = __builtin_ia32_crc32qi(crc, *p);
	return crc;
}
#endif

__attribute__((constructor)) static void crc_setup(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int k = 0; k < 8; k++)
			crc = crc >> 1 ^ ((crc & 1) ? CRC32C_POLY : 0);
		crc_table[0][i] = crc;
	}
	for (int t = 1; t < 8; t++) {
		for (int i = 0; i < 256; i++)
			crc_table[t][i] = crc_table[t - 1][i] >> 8 ^ crc_table[0][crc_table[t - 1][i] & 255];
	}
	crc_step = crc_by_table;
#if defined(__x86_64__)
	__builtin_cpu_init();
	if (__builtin_cpu_supports("sse4.2"))
		crc_step = crc_by_sse42;
#endif
}

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
	return ~crc_step(~crc, p, n);
}

/* --- secrets ------------------------------------------------------------------------------------------------------ */

bool bytes_equal_consttime(const void *a, const void *b, size_t n)
{
	const volatile unsigned char *x = a, *y = b;
	unsigned char diff = 0;

	for (size_t i = 0; i < n; i++)
		diff |= (unsigned char)(x[i] ^ y[i]);
	return diff == 0;
}

void bytes_wipe(void *p, size_t n)
{
	if (n > 0)
		explicit_bzero(p, n);
}
