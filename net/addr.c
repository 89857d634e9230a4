/* addr.c - host:port texts and classes of addresses. */
#include "net/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

#define NAME_MAX_BYTES 253
#define LABEL_MAX 63

/* --- classes -------------------------------------------------------------------------------------------------------
 */

struct range {
	uint8_t ip[16];
	uint8_t bits;
	enum addr_class class;
};

/* First match wins. IANA's special-purpose registries, and the metadata services of the clouds that are not link-local
 * by number. */
static const struct range ranges4[] = {
    {{0}, 8, ADDR_RESERVED},
    {{10}, 8, ADDR_PRIVATE},
    {{100, 100, 100, 200}, 32, ADDR_LINK_LOCAL}, /* Alibaba metadata */
    {{100, 64}, 10, ADDR_SHARED},
    {{127}, 8, ADDR_LOOPBACK},
    {{168, 63, 129, 16}, 32, ADDR_LINK_LOCAL}, /* Azure wire server */
    {{169, 254}, 16, ADDR_LINK_LOCAL},
    {{172, 16}, 12, ADDR_PRIVATE},
    {{192, 0, 0}, 24, ADDR_RESERVED},
    {{192, 0, 2}, 24, ADDR_RESERVED},
    {{192, 31, 196}, 24, ADDR_RESERVED},
    {{192, 52, 193}, 24, ADDR_RESERVED},
    {{192, 88, 99}, 24, ADDR_RESERVED},
    {{192, 168}, 16, ADDR_PRIVATE},
    {{192, 175, 48}, 24, ADDR_RESERVED},
    {{198, 18}, 15, ADDR_RESERVED},
    {{198, 51, 100}, 24, ADDR_RESERVED},
    {{203, 0, 113}, 24, ADDR_RESERVED},
    {{224}, 4, ADDR_MULTICAST},
    {{240}, 4, ADDR_RESERVED},
};

static const struct range ranges6[] = {
    {{[15] = 1}, 128, ADDR_LOOPBACK},
    {{0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54}, 128, ADDR_LINK_LOCAL}, /* AWS metadata */
    {{0xfd, 0x20, 0x00, 0xce, [14] = 0x02, [15] = 0x54}, 128, ADDR_LINK_LOCAL}, /* Google metadata */
    {{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48, ADDR_PRIVATE},                   /* NAT64 of local use */
    {{0xfc}, 7, ADDR_PRIVATE},
    {{0xfe, 0x80}, 10, ADDR_LINK_LOCAL},
    {{0xfe, 0xc0}, 10, ADDR_PRIVATE},
    {{0xff}, 8, ADDR_MULTICAST},
    {{0x20, 0x01}, 23, ADDR_RESERVED}, /* IETF protocol assignments: Teredo, benchmarking, ORCHID */
    {{0x20, 0x01, 0x0d, 0xb8}, 32, ADDR_RESERVED},
    {{0x3f, 0xff}, 20, ADDR_RESERVED},
    {{0x20}, 3, ADDR_GLOBAL},
};

static bool prefix_equal(const uint8_t *a, const uint8_t *b, int bits)
{
	int whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, (size_t)whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ b[whole]) & (0xff << (8 - rest) & 0xff)) == 0;
}

static enum addr_class class_lookup(const struct range *ranges, size_t n, const uint8_t *ip, enum addr_class otherwise)
{
	for (size_t i = 0; i < n; i++) {
		if (prefix_equal(ranges[i].ip, ip, ranges[i].bits))
			return ranges[i].class;
	}
	return otherwise;
}

static enum addr_class classify4(const uint8_t ip[4])
{
	return class_lookup(ranges4, ARRAY_LEN(ranges4), ip, ADDR_GLOBAL);
}

/* Where IPv4 hides in IPv6. */
static const struct {
	uint8_t prefix[16];
	uint8_t bits, offset;
	bool inverted;
} embeddings[] = {
    {{[10] = 0xff, [11] = 0xff}, 96, 12, false}, /* mapped */
    {{[8] = 0xff, [9] = 0xff}, 96, 12, false},   /* translated (SIIT) */
    {{0x00, 0x64, 0xff, 0x9b}, 96, 12, false},   /* NAT64 */
    {{0x20, 0x02}, 16, 2, false},                /* 6to4 */
    {{0x20, 0x01, 0x00, 0x00}, 32, 12, true},    /* Teredo: the client */
    {{0x00}, 96, 12, false},                     /* compatible */
};

static bool embedded4(const uint8_t ip[16], uint8_t ret[4])
{
	static const uint8_t isatap[4] = {0x00, 0x00, 0x5e, 0xfe}, zero[15] = {0};

	if (memcmp(ip, zero, sizeof(zero)) == 0 && ip[15] <= 1)
		return false; /* :: and ::1 are themselves */
	for (size_t i = 0; i < ARRAY_LEN(embeddings); i++) {
		if (!prefix_equal(embeddings[i].prefix, ip, embeddings[i].bits))
			continue;
		for (int j = 0; j < 4; j++)
			ret[j] = ip[embeddings[i].offset + j] ^ (embeddings[i].inverted ? 0xff : 0);
		return true;
	}
	if ((ip[8] & 0xfd) == isatap[0] && memcmp(ip + 9, isatap + 1, 3) == 0) {
		memcpy(ret, ip + 12, 4);
		return true;
	}
	return false;
}

/* A hidden IPv4 address gives its class away; when that is global, the form itself has no business here. */
static enum addr_class classify6(const uint8_t ip[16])
{
	static const uint8_t teredo[4] = {0x20, 0x01, 0x00, 0x00};
	enum addr_class class;
	uint8_t inner[4];

	if (!embedded4(ip, inner))
		return class_lookup(ranges6, ARRAY_LEN(ranges6), ip, ADDR_RESERVED);
	class = classify4(inner);
	if (class == ADDR_GLOBAL && prefix_equal(teredo, ip, 32))
		class = classify4(ip + 4); /* Teredo's server */
	return class == ADDR_GLOBAL ? ADDR_RESERVED : class;
}

enum addr_class addr_classify(const struct sockaddr *sa)
{
	switch (sa->sa_family) {
	case AF_INET:
		return classify4((const uint8_t *)&((const struct sockaddr_in *)(const void *)sa)->sin_addr);
	case AF_INET6:
		return classify6(((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr.s6_addr);
	default:
		return ADDR_RESERVED;
	}
}

const char *addr_class_name(enum addr_class class)
{
	static const char *const names[] = {
	    [ADDR_GLOBAL] = "global",         [ADDR_LOOPBACK] = "loopback", [ADDR_PRIVATE] = "private",
	    [ADDR_LINK_LOCAL] = "link-local", [ADDR_SHARED] = "shared",     [ADDR_MULTICAST] = "multicast",
	    [ADDR_RESERVED] = "reserved",
	};

	return (size_t) class < ARRAY_LEN(names) ? names[class] : "unknown";
}

bool addr_embedded(const struct sockaddr *sa, struct addr *ret)
{
	uint8_t inner[4];

	if (sa->sa_family != AF_INET6 ||
	    !embedded4(((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr.s6_addr, inner))
		return false;
	memset(ret, 0, sizeof(*ret));
	ret->in.sin_family = AF_INET;
	ret->in.sin_port = ((const struct sockaddr_in6 *)(const void *)sa)->sin6_port;
	memcpy(&ret->in.sin_addr, inner, sizeof(inner));
	ret->len = sizeof(ret->in);
	return true;
}

/* --- ranges --------------------------------------------------------------------------------------------------------
 */

/* The address as 16 bytes, IPv4 mapped. */
static bool to_ip16(const struct sockaddr *sa, uint8_t ret[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (sa->sa_family == AF_INET) {
		memcpy(ret, mapped, sizeof(mapped));
		memcpy(ret + 12, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
		return true;
	}
	if (sa->sa_family != AF_INET6)
		return false;
	memcpy(ret, ((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr.s6_addr, 16);
	return true;
}

int cidr_parse(struct slice text, struct cidr *ret)
{
	struct slice ip_text, bits_text;
	char ip[INET6_ADDRSTRLEN];
	struct cidr c = {.bits = 128};
	uint64_t bits;
	struct addr a;
	bool has_bits = slice_cut(text, '/', &ip_text, &bits_text);
	int width;

	if (ip_text.n >= sizeof(ip) || memchr(ip_text.p ? ip_text.p : "", '\0', ip_text.n))
		return BUR_INVALID;
	(void)slice_to_cstr(ip_text, ip, sizeof(ip));
	if (addr_from_ip(ip, 0, &a) < 0)
		return BUR_INVALID;
	(void)to_ip16(&a.sa, c.ip);
	width = a.sa.sa_family == AF_INET ? 32 : 128;
	if (has_bits) {
		if (bits_text.n > 3 || slice_u64(bits_text, &bits) < 0 || bits > (uint64_t)width)
			return BUR_INVALID;
		c.bits = 128 - width + (int)bits;
	}
	*ret = c;
	return BUR_OK;
}

bool cidr_contains(const struct cidr *c, const struct sockaddr *sa)
{
	uint8_t ip[16];

	return to_ip16(sa, ip) && prefix_equal(c->ip, ip, c->bits);
}

/* --- texts ---------------------------------------------------------------------------------------------------------
 */

int addr_from_ip(const char *host, uint16_t port, struct addr *ret)
{
	struct addr a;

	memset(&a, 0, sizeof(a));
	if (inet_pton(AF_INET, host, &a.in.sin_addr) == 1) {
		a.in.sin_family = AF_INET;
		a.len = sizeof(a.in);
	} else if (inet_pton(AF_INET6, host, &a.in6.sin6_addr) == 1) {
		a.in6.sin6_family = AF_INET6;
		a.len = sizeof(a.in6);
	} else {
		return BUR_INVALID;
	}
	addr_set_port(&a, port);
	*ret = a;
	return BUR_OK;
}

void addr_set_port(struct addr *a, uint16_t port)
{
	if (a->sa.sa_family == AF_INET)
		a->in.sin_port = htons(port);
	else
		a->in6.sin6_port = htons(port);
}

char *addr_format(const struct sockaddr *sa, char dst[ADDR_TEXT_MAX])
{
	char ip[INET6_ADDRSTRLEN] = "?";

	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;

		(void)inet_ntop(AF_INET, &in->sin_addr, ip, sizeof(ip));
		(void)snprintf(dst, ADDR_TEXT_MAX, "%s:%u", ip, ntohs(in->sin_port));
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;

		(void)inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof(ip));
		(void)snprintf(dst, ADDR_TEXT_MAX, "[%s]:%u", ip, ntohs(in6->sin6_port));
	} else {
		(void)snprintf(dst, ADDR_TEXT_MAX, "?");
	}
	return dst;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_label_char(char c)
{
	return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '_';
}

static bool label_ok(struct slice label)
{
	if (label.n == 0 || label.n > LABEL_MAX || label.p[0] == '-' || label.p[label.n - 1] == '-')
		return false;
	for (size_t i = 0; i < label.n; i++) {
		if (!is_label_char(label.p[i]))
			return false;
	}
	return true;
}

/* Somebody's inet_aton would take a name whose last label is a number for an address. No top-level domain begins with a
 * digit, so such names are refused altogether, except single labels ("3scale" in somebody's container network). */
static bool ends_in_number(struct slice name, struct slice label)
{
	bool hex = label.n >= 2 && label.p[0] == '0' && label.p[1] == 'x';

	if (!is_digit(label.p[0]))
		return false;
	if (label.n < name.n || hex)
		return true;
	for (size_t i = 0; i < label.n; i++) {
		if (!is_digit(label.p[i]))
			return false;
	}
	return true;
}

/* Lower-cases into ret->host and checks. */
static int read_name(struct slice text, struct authority *ret)
{
	struct slice rest, label = SLICE_NONE;
	struct in_addr in;
	bool more = true, dot;

	dot = text.n > 1 && text.p[text.n - 1] == '.';
	if (dot)
		text.n--;
	if (text.n == 0 || text.n > NAME_MAX_BYTES)
		return BUR_INVALID;
	for (size_t i = 0; i < text.n; i++)
		ret->host[i] = text.p[i] >= 'A' && text.p[i] <= 'Z' ? (char)(text.p[i] | 0x20) : text.p[i];
	ret->host[text.n] = '\0';
	rest = slice_mem(ret->host, text.n);
	while (more) {
		more = slice_cut(rest, '.', &label, &rest);
		if (!label_ok(label))
			return BUR_INVALID;
	}
	if (!ends_in_number(slice_mem(ret->host, text.n), label))
		return BUR_OK;
	if (dot || inet_pton(AF_INET, ret->host, &in) != 1)
		return BUR_INVALID;
	ret->is_ip = true;
	return BUR_OK;
}

/* Between the brackets. Written back in the canonical form, so that equal addresses compare equal as text. */
static int read_ip6(struct slice text, struct authority *ret)
{
	char tmp[INET6_ADDRSTRLEN];
	struct in6_addr in6;

	if (text.n >= sizeof(tmp) || memchr(text.p, '\0', text.n))
		return BUR_INVALID;
	(void)slice_to_cstr(text, tmp, sizeof(tmp));
	if (inet_pton(AF_INET6, tmp, &in6) != 1 || !inet_ntop(AF_INET6, &in6, ret->host, sizeof(ret->host)))
		return BUR_INVALID;
	ret->is_ip = true;
	return BUR_OK;
}

/* "" (then the default), or ":" and 1 to 65535 without leading zeros. */
static int read_port(struct slice text, uint16_t default_port, uint16_t *ret)
{
	uint64_t port;

	if (text.n == 0) {
		*ret = default_port;
		return default_port != 0 ? BUR_OK : BUR_INVALID;
	}
	if (text.p[0] != ':' || text.n < 2 || text.n > 6 || text.p[1] == '0')
		return BUR_INVALID;
	if (slice_u64(slice_sub(text, 1, text.n), &port) < 0 || port > UINT16_MAX)
		return BUR_INVALID;
	*ret = (uint16_t)port;
	return BUR_OK;
}

int authority_parse(struct slice text, uint16_t default_port, struct authority *ret)
{
	struct authority a = {.is_ip = false};
	size_t end;
	int r;

	if (text.n == 0)
		return BUR_INVALID;
	if (text.p[0] == '[') {
		end = slice_find(text, ']');
		if (end == text.n)
			return BUR_INVALID;
		r = read_ip6(slice_sub(text, 1, end - 1), &a);
		end++;
	} else {
		end = slice_find(text, ':');
		r = read_name(slice_sub(text, 0, end), &a);
	}
	if (r == BUR_OK)
		r = read_port(slice_sub(text, end, text.n), default_port, &a.port);
	if (r == BUR_OK)
		*ret = a;
	return r;
}

bool host_matches(struct slice pattern, struct slice host)
{
	struct slice suffix;

	if (host.n == 0)
		return false;
	if (slice_eq(pattern, SLICE("*")))
		return true;
	if (!slice_starts(pattern, SLICE("*.")))
		return slice_ieq(pattern, host);
	suffix = slice_sub(pattern, 1, pattern.n); /* ".openai.azure.com" */
	return suffix.n > 1 && host.n > suffix.n && slice_iends(host, suffix) && host.p[0] != '.';
}
