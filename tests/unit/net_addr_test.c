/* Authorities and address classes: every spelling that others have been fooled with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "net/addr.h"

/* --- spellings that must not lead inside: refused as text, or known as not global -------------------------------- */

static const char *const hostile[] = {
    /* loopback in disguise */
    "127.0.0.1",
    "127.0.0.1.",
    "127.0.0.2",
    "127.255.255.255",
    "127.1",
    "127.0.1",
    "127.0.0.1.1",
    "127.0.0",
    "127",
    "127.",
    "2130706433",
    "2130706433.",
    "02130706433",
    "0x7f000001",
    "0x7F000001",
    "0X7f000001",
    "0x7f.0.0.1",
    "0x7f.1",
    "0x7f.0x0.0x0.0x1",
    "127.0.0.0x1",
    "0177.0.0.1",
    "0177.1",
    "017700000001",
    "00000177.0.0.1",
    "127.0.0.01",
    "127.00.0.1",
    "127.0.0.001",
    "127.0.0.1e0",
    "+127.0.0.1",
    "-127.0.0.1",
    "127.0.0.256",
    "256.0.0.1",
    "127.0.0.-1",
    "127..0.1",
    ".127.0.0.1",
    "127.0.0.1..",
    "4294967296",
    "0x17f000001",
    "0x",
    "0x0",
    "0",
    "00",
    "0.0",
    "0.0.0.0",
    "0.0.0.0.",
    "0.1.2.3",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::0001]",
    "[::0.0.0.1]",
    "[::]",
    "[::0]",
    "[0::0]",
    "[::ffff:127.0.0.1]",
    "[::FFFF:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[::ffff:0.0.0.0]",
    "[::1%lo]",
    "[::1%25lo]",
    "[fe80::1%eth0]",
    "[fe80::1%25eth0]",
    "[::1]x",
    "[::1",
    "::1",
    "::1]",
    "[[::1]]",
    "[]",
    "[127.0.0.1]",
    "[v1.fe80::1]",
    "[1::2::3]",
    "[12345::]",
    "[:::1]",
    "[ ::1]",
    "[::1 ]",
    /* other scripts and encodings */
    "127\xe3\x80\x82"
    "0\xe3\x80\x82"
    "0\xe3\x80\x82"
    "1",
    "127\xef\xbc\x8e"
    "0.0.1",
    "\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1",
    "\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1",
    "127%2e0%2e0%2e1",
    "%31%32%37.0.0.1",
    "localhost\xe2\x80\xac",
    "loc\xc2\xad"
    "alhost",
    "127.0.0.1\t",
    " 127.0.0.1",
    "127.0.0.1 ",
    "127.0.0.1#a",
    "127.0.0.1/",
    "127.0.0.1?",
    "127.0.0.1\\a",
    "a\\@127.0.0.1",
    "http://127.0.0.1",
    /* userinfo and ports */
    "user@127.0.0.1",
    "user:pw@127.0.0.1",
    "example.com@127.0.0.1",
    "127.0.0.1@example.com",
    "a:b@c",
    "example.com:80:80",
    "example.com:",
    "example.com:0",
    "example.com:080",
    "example.com:65536",
    "example.com:99999",
    "example.com:-1",
    "example.com:+80",
    "example.com: 80",
    "example.com:80 ",
    "example.com:8o",
    "example.com:http",
    ":80",
    ":",
    "",
    /* private networks, metadata services */
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "192.168.255.255",
    "167772161",
    "0xa000001",
    "0xac.0x10.0.1",
    "012.0.0.1",
    "192.168.257",
    "169.254.169.254",
    "169.254.170.2",
    "169.254.0.0",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[::169.254.169.254]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "100.100.100.200",
    "[::ffff:100.100.100.200]",
    "100.64.0.1",
    "100.127.255.255",
    "168.63.129.16",
    "192.0.0.192",
    "[fc00::1]",
    "[fd12:3456:789a::1]",
    "[fdff:ffff::1]",
    "[fe80::1]",
    "[febf::1]",
    "[fec0::1]",
    "[feff::1]",
    /* IPv4 inside IPv6 */
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::10.0.0.1]",
    "[64:ff9b::169.254.169.254]",
    "[64:ff9b::8.8.8.8]",
    "[64:ff9b:1::10.0.0.1]",
    "[64:ff9b:1::8.8.8.8]",
    "[64:ff9b:1:ffff::1]",
    "[2002:7f00:1::]",
    "[2002:a00:1::1]",
    "[2002:a9fe:a9fe::]",
    "[2002:c0a8:1::1]",
    "[2002:808:808::1]",
    "[2001:0:7f00:1::]",
    "[2001:0:808:808::80ff:fffe]",
    "[2001:0:808:808:0:0:5601:5601]",
    "[2001::1]",
    "[::ffff:8.8.8.8]",
    "[::8.8.8.8]",
    "[::ffff:0:8.8.8.8]",
    "[2607:f8b0::5efe:127.0.0.1]",
    "[2607:f8b0::200:5efe:10.0.0.1]",
    "[::ffff:10.0.0.1]",
    "[::ffff:192.168.1.1]",
    "[::ffff:224.0.0.1]",
    "[::ffff:255.255.255.255]",
    /* no place for an API */
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "198.18.0.1",
    "198.19.255.255",
    "192.0.0.1",
    "192.88.99.1",
    "[ff02::1]",
    "[ff0e::1]",
    "[100::1]",
    "[2001:db8::1]",
    "[2001:2::1]",
    "[2001:10::1]",
    "[2001:20::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[4000::1]",
    "[e000::1]",
    "[1::]",
    "[200::1]",
    /* names nobody can have */
    "a..b",
    ".a",
    "..",
    ".",
    "-a.com",
    "a-.com",
    "a.-b.com",
    "a b.com",
    "a,b",
    "a;b",
    "a*b",
    "*.com",
    "a!b",
    "a=b",
    "a'b",
    "a\"b",
    "foo.1",
    "foo.0x1",
    "foo.0xff",
    "foo.0x",
    "foo.0b1",
    "0x7f.0.0.1g",
    "1.2.3.4.5",
    "a.123",
    "a.0177",
};

static void test_hostile_spellings(void **state)
{
	struct authority a;
	struct addr ip;

	(void)state;
	assert_true(ARRAY_LEN(hostile) >= 120);
	for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
		if (authority_parse(slice_of(hostile[i]), 443, &a) == BUR_INVALID)
			continue;
		if (!a.is_ip)
			fail_msg("%s is taken for the name %s", hostile[i], a.host);
		assert_int_equal(addr_from_ip(a.host, a.port, &ip), BUR_OK);
		if (addr_classify(&ip.sa) == ADDR_GLOBAL)
			fail_msg("%s is taken for a global address", hostile[i]);
	}
}

/* The same, with what each spelling must give exactly. */
struct class_case {
	const char *ip;
	enum addr_class class;
};

static const struct class_case classes[] = {
    {"8.8.8.8", ADDR_GLOBAL},
    {"1.1.1.1", ADDR_GLOBAL},
    {"9.255.255.255", ADDR_GLOBAL},
    {"11.0.0.0", ADDR_GLOBAL},
    {"100.63.255.255", ADDR_GLOBAL},
    {"100.128.0.0", ADDR_GLOBAL},
    {"126.255.255.255", ADDR_GLOBAL},
    {"128.0.0.0", ADDR_GLOBAL},
    {"169.253.255.255", ADDR_GLOBAL},
    {"169.255.0.0", ADDR_GLOBAL},
    {"172.15.255.255", ADDR_GLOBAL},
    {"172.32.0.0", ADDR_GLOBAL},
    {"192.167.255.255", ADDR_GLOBAL},
    {"192.169.0.0", ADDR_GLOBAL},
    {"198.17.255.255", ADDR_GLOBAL},
    {"198.20.0.0", ADDR_GLOBAL},
    {"223.255.255.255", ADDR_GLOBAL},
    {"2606:4700:4700::1111", ADDR_GLOBAL},
    {"2a00:1450::1", ADDR_GLOBAL},
    {"2001:4860:4860::8888", ADDR_GLOBAL},
    {"2001:200::1", ADDR_GLOBAL},
    {"2003::1", ADDR_GLOBAL},
    {"127.0.0.1", ADDR_LOOPBACK},
    {"::1", ADDR_LOOPBACK},
    {"::ffff:127.0.0.1", ADDR_LOOPBACK},
    {"64:ff9b::127.0.0.1", ADDR_LOOPBACK},
    {"2002:7f00:1::", ADDR_LOOPBACK},
    {"2001:0:808:808::80ff:fffe", ADDR_LOOPBACK}, /* Teredo: 7f00:0001 inverted */
    {"2001:0:7f00:1::f7f7:f7f7", ADDR_LOOPBACK},  /* Teredo's server */
    {"10.1.2.3", ADDR_PRIVATE},
    {"::10.1.2.3", ADDR_PRIVATE},
    {"fd00::1", ADDR_PRIVATE},
    {"fec0::1", ADDR_PRIVATE},
    {"64:ff9b:1::1", ADDR_PRIVATE},
    {"169.254.169.254", ADDR_LINK_LOCAL},
    {"168.63.129.16", ADDR_LINK_LOCAL},
    {"100.100.100.200", ADDR_LINK_LOCAL},
    {"fd00:ec2::254", ADDR_LINK_LOCAL},
    {"fe80::1", ADDR_LINK_LOCAL},
    {"100.64.0.1", ADDR_SHARED},
    {"224.0.0.251", ADDR_MULTICAST},
    {"ff02::fb", ADDR_MULTICAST},
    {"0.0.0.0", ADDR_RESERVED},
    {"::", ADDR_RESERVED},
    {"255.255.255.255", ADDR_RESERVED},
    {"::ffff:8.8.8.8", ADDR_RESERVED},
    {"64:ff9b::8.8.8.8", ADDR_RESERVED},
    {"2001:db8::1", ADDR_RESERVED},
};

static void test_classes(void **state)
{
	struct addr a;
	struct sockaddr other = {.sa_family = AF_UNIX};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
		assert_int_equal(addr_from_ip(classes[i].ip, 1, &a), BUR_OK);
		if (addr_classify(&a.sa) != classes[i].class)
			fail_msg("%s is %s", classes[i].ip, addr_class_name(addr_classify(&a.sa)));
	}
	assert_int_equal(addr_classify(&other), ADDR_RESERVED);
	assert_string_equal(addr_class_name(ADDR_SHARED), "shared");
	assert_string_equal(addr_class_name((enum addr_class)99), "unknown");
}

/* --- authorities ---------------------------------------------------------------------------------------------------
 */

struct authority_case {
	const char *text;
	uint16_t default_port;
	const char *host;
	uint16_t port;
	bool is_ip;
};

static const struct authority_case good[] = {
    {"api.openai.com:443", 0, "api.openai.com", 443, false},
    {"API.OpenAI.com", 443, "api.openai.com", 443, false},
    {"api.openai.com.", 443, "api.openai.com", 443, false},
    {"api.openai.com.:8443", 443, "api.openai.com", 8443, false},
    {"localhost:1", 443, "localhost", 1, false},
    {"my_service:8080", 443, "my_service", 8080, false},
    {"xn--bcher-kva.example", 443, "xn--bcher-kva.example", 443, false},
    {"1password.com", 443, "1password.com", 443, false},
    {"1.2.3.example", 443, "1.2.3.example", 443, false},
    {"3scale:80", 443, "3scale", 80, false},
    {"8.8.8.8:53", 0, "8.8.8.8", 53, true},
    {"[2606:4700::1111]:443", 0, "2606:4700::1111", 443, true},
    {"[2606:4700:0:0:0:0:0:1111]", 80, "2606:4700::1111", 80, true},
    {"[2606:4700::ABCD]", 80, "2606:4700::abcd", 80, true},
    {"a:65535", 0, "a", 65535, false},
};

static void test_authorities(void **state)
{
	struct authority a, untouched = {.port = 7};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		if (authority_parse(slice_of(good[i].text), good[i].default_port, &a) != BUR_OK)
			fail_msg("%s is refused", good[i].text);
		assert_string_equal(a.host, good[i].host);
		assert_int_equal(a.port, good[i].port);
		assert_int_equal(a.is_ip, good[i].is_ip);
	}
	assert_int_equal(authority_parse(SLICE("a.example"), 0, &untouched), BUR_INVALID); /* a port is required */
	assert_int_equal(authority_parse(SLICE("a\0b"), 1, &untouched), BUR_INVALID);
	assert_int_equal(authority_parse(SLICE("127.0.0.1\0.example"), 1, &untouched), BUR_INVALID);
	assert_int_equal(authority_parse(SLICE("[::1\0]"), 1, &untouched), BUR_INVALID);
	assert_int_equal(authority_parse(SLICE_NONE, 1, &untouched), BUR_INVALID);
	assert_int_equal(untouched.port, 7);
}

static void test_authority_lengths(void **state)
{
	char text[600];
	struct authority a;

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_int_equal(authority_parse(slice_mem(text, 63), 1, &a), BUR_OK);
	assert_int_equal(authority_parse(slice_mem(text, 64), 1, &a), BUR_INVALID);
	for (size_t i = 49; i < sizeof(text); i += 50)
		text[i] = '.';
	assert_int_equal(authority_parse(slice_mem(text, 253), 1, &a), BUR_OK);
	assert_int_equal(authority_parse(slice_mem(text, 254), 1, &a), BUR_INVALID);
	assert_int_equal(authority_parse(slice_mem(text, 500), 1, &a), BUR_INVALID);
	text[0] = '[';
	assert_int_equal(authority_parse(slice_mem(text, 500), 1, &a), BUR_INVALID);
}

/* --- ranges, patterns, texts ---------------------------------------------------------------------------------------
 */

static bool in_range(const char *range, const char *ip)
{
	struct cidr c;
	struct addr a;

	assert_int_equal(cidr_parse(slice_of(range), &c), BUR_OK);
	assert_int_equal(addr_from_ip(ip, 0, &a), BUR_OK);
	return cidr_contains(&c, &a.sa);
}

static void test_cidr(void **state)
{
	static const char *const bad[] = {"",         "10.0.0.0/",   "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8 ",
					  "10.0.0/8", "10/8",        "::/129",      "a/8",         "10.0.0.0/8/8",
					  "/8",       "10.0.0.0/+8", "[::1]/128",   "1.2.3.4/0x8", "::1/1280"};
	struct cidr c;

	(void)state;
	assert_true(in_range("10.0.0.0/8", "10.255.0.1"));
	assert_false(in_range("10.0.0.0/8", "11.0.0.1"));
	assert_true(in_range("10.0.0.0/9", "10.127.255.255"));
	assert_false(in_range("10.0.0.0/9", "10.128.0.0"));
	assert_true(in_range("127.0.0.1", "127.0.0.1"));
	assert_false(in_range("127.0.0.1", "127.0.0.2"));
	assert_true(in_range("0.0.0.0/0", "8.8.8.8"));
	assert_false(in_range("0.0.0.0/0", "2606::1"));
	assert_true(in_range("10.0.0.0/8", "::ffff:10.0.0.1"));
	assert_true(in_range("::1", "::1"));
	assert_true(in_range("fd00::/8", "fdff::1"));
	assert_false(in_range("fd00::/8", "fc00::1"));
	assert_true(in_range("::/0", "2606::1"));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(cidr_parse(slice_of(bad[i]), &c), BUR_INVALID);
	assert_int_equal(cidr_parse(SLICE_NONE, &c), BUR_INVALID);
}

static bool matches(const char *pattern, const char *host)
{
	return host_matches(slice_of(pattern), slice_of(host));
}

static void test_host_patterns(void **state)
{
	(void)state;
	assert_true(matches("api.openai.com", "api.openai.com"));
	assert_true(matches("API.openai.com", "api.openai.com"));
	assert_false(matches("api.openai.com", "api.openai.com.evil.example"));
	assert_false(matches("api.openai.com", "xapi.openai.com"));
	assert_true(matches("*.openai.azure.com", "a.openai.azure.com"));
	assert_true(matches("*.openai.azure.com", "a.b.openai.azure.com"));
	assert_false(matches("*.openai.azure.com", "openai.azure.com"));
	assert_false(matches("*.openai.azure.com", "evilopenai.azure.com"));
	assert_false(matches("*.openai.azure.com", ".openai.azure.com"));
	assert_true(matches("*", "anything"));
	assert_false(matches("*", ""));
	assert_false(matches("", ""));
	assert_false(matches("*.", "a."));
}

static void test_formats(void **state)
{
	char text[ADDR_TEXT_MAX];
	struct sockaddr other = {.sa_family = AF_UNIX};
	struct addr a, inner;

	(void)state;
	assert_int_equal(addr_from_ip("1.2.3.4", 443, &a), BUR_OK);
	assert_string_equal(addr_format(&a.sa, text), "1.2.3.4:443");
	assert_false(addr_embedded(&a.sa, &inner));
	assert_int_equal(addr_from_ip("::1", 443, &a), BUR_OK);
	addr_set_port(&a, 65535);
	assert_string_equal(addr_format(&a.sa, text), "[::1]:65535");
	assert_int_equal(addr_from_ip("64:ff9b::1.2.3.4", 80, &a), BUR_OK);
	assert_true(addr_embedded(&a.sa, &inner));
	assert_string_equal(addr_format(&inner.sa, text), "1.2.3.4:80");
	assert_string_equal(addr_format(&other, text), "?");
	assert_int_equal(addr_from_ip("example.com", 1, &a), BUR_INVALID);
	assert_int_equal(addr_from_ip("127.1", 1, &a), BUR_INVALID);
	assert_int_equal(addr_from_ip("", 1, &a), BUR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_hostile_spellings),
	    cmocka_unit_test(test_classes),
	    cmocka_unit_test(test_authorities),
	    cmocka_unit_test(test_authority_lengths),
	    cmocka_unit_test(test_cidr),
	    cmocka_unit_test(test_host_patterns),
	    cmocka_unit_test(test_formats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
