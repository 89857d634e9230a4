/* once.h - calls that the vendor bills once although they are made twice: repeats under one idempotency key.
 *
 * A bounded table of who has put down the bill of a key: the first call that ends with one owns it, those that end
 * later leave their money to it (store/late.h brings the owner's row to the newest final bill). Between a claim and
 * once_done nobody else may claim, so that the owner's row is in the writer's hands before that of a repeat. Bills are
 * remembered for ONCE_NS, the newest 64 Ki of them, since the process began: a repeat that comes later is charged for
 * itself.
 * Threads: any; one lock for each set, held from claim to done, without I/O in between. */
#ifndef PROXY_ONCE_H
#define PROXY_ONCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

#define ONCE_NS INT64_C(86400000000000) /* how long vendors keep such keys */

struct once;
struct once *once_new(void) MUST_USE; /* NULL: out of memory */
void once_free(struct once *);
/* True: this call puts the bill down. once_done follows at once in either case. `key` is never 0. */
bool once_claim(struct once *, uint64_t key, int64_t mono_ns) NONNULL(1) MUST_USE;
void once_done(struct once *, uint64_t key) NONNULL(1);

#endif
