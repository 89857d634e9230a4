/* sni.h - the server name in a TLS ClientHello, read from the first bytes of a connection we do not terminate.
 *
 * Pure, any thread. Format: RFC 8446 4.1.2, RFC 6066 3. Reads only; whoever hides the name (no SNI, ECH) has none. */
#ifndef NET_SNI_H
#define NET_SNI_H

#include <stddef.h>

#include "base/attr.h"

#define SNI_HELLO_MAX 16384 /* real ones have 2 KiB at the most */
#define SNI_PEEK_MAX 65536  /* with the frames of the records it is cut into */

/* BUR_OK: the name, lower-cased, NUL-terminated (dst of at least 256 bytes). BUR_AGAIN: more bytes may tell.
 * BUR_NOTFOUND: a whole hello without a name, or no TLS at all. BUR_INVALID: TLS of which it cannot be told, such as a
 * hello that is too long, cut into empty records, or names no host name; who guards must refuse it. */
int sni_peek(const void *p, size_t n, char *dst, size_t dst_size) NONNULL(3) MUST_USE;

#endif
