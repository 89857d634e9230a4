/* blocks.h - equal blocks of memory kept per thread for the next taker; used by arena and buf only.
 *
 * Taking and giving back costs no lock and, in the steady state, no malloc. Each thread keeps at most
 * BLOCKS_KEPT_MAX of each kind; they are freed when the thread ends. Under AddressSanitizer nothing is kept. */
#ifndef BASE_BLOCKS_H
#define BASE_BLOCKS_H

#include <stddef.h>

#include "base/attr.h"

#define BLOCKS_KEPT_MAX 64

enum block_kind { BLOCK_ARENA, BLOCK_BUF, BLOCK_KINDS };
#define BLOCK_ARENA_BYTES 2048
#define BLOCK_BUF_BYTES 16384

void *blocks_take(enum block_kind) MUST_USE; /* 16-aligned, not zeroed; NULL when out of memory */
/* May be another thread's block. NULL is fine. */
void blocks_give(enum block_kind, void *block);

#endif
