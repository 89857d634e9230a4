/* sni.h - the server name in a TLS ClientHello, read from the first bytes of a connection we do not terminate.
 *
 * Pure, any thread. Format: RFC 8446 4.1.2, RFC 6066 3. Reads only; whoever hides the name (no SNI, ECH) has none. */
#ifndef NET_SNI_H
#define NET_SNI_H

#include <stddef.h>

#include "base/attr.h"

#define SNI_PEEK_MAX (16384 + 5) /* one record; a longer hello is BUR_NOTFOUND */

/* BUR_OK: the name, lower-cased, NUL-terminated (dst of at least 256 bytes). BUR_AGAIN: more bytes may tell.
 * BUR_NOTFOUND: a hello without a name, or no TLS. BUR_INVALID: a name that is no host name. */
int sni_peek(const void *p, size_t n, char *dst, size_t dst_size) NONNULL(3) MUST_USE;

#endif
