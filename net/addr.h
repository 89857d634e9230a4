/* addr.h - authorities and addresses: parsing host:port, and classifying the address that is really connected.
 *
 * Pure, any thread. The class looks through IPv4 embedded in IPv6 (mapped, compatible, NAT64, 6to4, Teredo). */
#ifndef NET_ADDR_H
#define NET_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/attr.h"
#include "base/slice.h"

#define HOST_MAX 255

struct addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	};
	socklen_t len;
};

enum addr_class {
	ADDR_GLOBAL, /* may be reached */
	ADDR_LOOPBACK,
	ADDR_PRIVATE,    /* RFC 1918, ULA, site-local */
	ADDR_LINK_LOCAL, /* with the cloud metadata addresses */
	ADDR_SHARED,     /* 100.64/10 */
	ADDR_MULTICAST,
	ADDR_RESERVED, /* unspecified, broadcast, documentation, benchmarking, future use, everything else */
};

enum addr_class addr_classify(const struct sockaddr *) NONNULL(1);
const char *addr_class_name(enum addr_class);
/* The IPv4 address that an IPv6 address stands for (with its port), if it does. */
bool addr_embedded(const struct sockaddr *, struct addr *ret) NONNULL(1, 2);

/* A list of CIDR ranges, such as an allow list. */
struct cidr {
	uint8_t ip[16]; /* IPv4 as ::ffff:a.b.c.d */
	int bits;       /* of 128 */
};
int cidr_parse(struct slice text, struct cidr *ret) MUST_USE; /* "10.0.0.0/8", "::1", "127.0.0.1" */
bool cidr_contains(const struct cidr *, const struct sockaddr *) NONNULL(1, 2);

/* Strict "host:port" / "[v6]:port" of a CONNECT target or Host header. Lower-cases, drops one trailing dot, refuses
 * userinfo, zone ids, empty or over-long labels, odd bytes, and every numeric spelling but dotted quad and RFC 5952
 * brackets (0x7f.1, 2130706433, 127.1, 0177.0.0.1 are BUR_INVALID, so that nobody reads them otherwise than we).
 * default_port is used when the port is absent; 0 = a port is required. `host` has no brackets. */
struct authority {
	char host[HOST_MAX + 1];
	uint16_t port;
	bool is_ip; /* host is an IP literal */
};
int authority_parse(struct slice text, uint16_t default_port, struct authority *ret) MUST_USE;

/* Numeric host to address; BUR_INVALID when it is a name. */
int addr_from_ip(const char *host, uint16_t port, struct addr *ret) NONNULL(1, 3) MUST_USE;
void addr_set_port(struct addr *, uint16_t port) NONNULL(1);
#define ADDR_TEXT_MAX 64
char *addr_format(const struct sockaddr *, char dst[ADDR_TEXT_MAX]) NONNULL(1); /* "1.2.3.4:443", "[::1]:443" */
/* Host pattern: "api.openai.com", "*.openai.azure.com" (one or more labels), "*". Label boundaries, lower case. */
bool host_matches(struct slice pattern, struct slice host);

#endif
