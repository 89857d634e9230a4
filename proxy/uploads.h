/* uploads.h - what files that were uploaded through this process can cost once a batch is ordered of them.
 *
 * One table for all workers: the upload and the order come by different connections. It has a maximum, and what has not
 * been asked for longest goes first. In memory only: after a restart a file must be uploaded again to be bounded. Any
 * thread; one mutex, nothing is waited for inside. */
#ifndef PROXY_UPLOADS_H
#define PROXY_UPLOADS_H

#include <stdint.h>

#include "base/arena.h"
#include "meter/batch_file.h"

#define UPLOADS_MAX 65536
#define UPLOADS_BYTES_MAX (64 * 1024 * 1024)
#define UPLOADS_KEPT_S (30 * 86400) /* vendors delete a batch's file after that, if not told otherwise */

struct uploads;

/* NULL: no memory. */
struct uploads *uploads_new(size_t max, size_t bytes_max) MUST_USE;
void uploads_free(struct uploads *);
/* Copies; replaces what stood under this id of the vendor's. Without memory the file stays unknown. */
void uploads_put(struct uploads *, struct slice provider, struct slice id, const struct batch_sum *, int64_t now_s)
    NONNULL(1, 4);
/* A copy in the arena; NULL: unknown, too old, or no memory. */
struct batch_sum *uploads_find(struct uploads *, struct slice provider, struct slice id, int64_t now_s, struct arena *)
    NONNULL(1, 5) MUST_USE;

#endif
