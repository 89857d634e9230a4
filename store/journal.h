/* journal.h - the calls in flight, in a memory-mapped file that survives kill -9.
 *
 * A slot's commit word is its only commit point: one aligned 8-byte store with release order. Everything but the two
 * cells is immutable from RESERVED to FREE; a change writes the other cell in full and then a commit word that selects
 * it. Cells are 64 bytes, not the 32 of the first sketch, so that a recovered row keeps every unit it was priced from.
 *
 * Slot, 512 bytes, little endian:
 *     0 u64 commit   state:8 | cell:1 | generation:23 | crc32c:32
 *     8 u64 hold id | 16 u8[16] uid | 32 i64 created wall ns | 40 u32 price version | 44 u16 n_meters | 46 u16 flags
 *    48 cell[0], 112 cell[1]: struct journal_cell
 *   176 u32 ids[7] (key user team project provider model route) | 204 u32 0 | 208 i64 input bound nano-USD
 *   216 16 x { u64 meter uid; i64 window start s } | 472 u8[40] trace id, tags (truncated)
 * The CRC covers bytes 8..47, the selected cell, and 176..511.
 *
 * Threads: a slot belongs to one worker from claim to settle, then to the writer until it is free again. */
#ifndef STORE_JOURNAL_H
#define STORE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

#define JOURNAL_SLOT_BYTES 512
#define JOURNAL_METERS_MAX 16
#define JOURNAL_NAMES 7

enum slot_state { SLOT_FREE = 0, SLOT_RESERVED = 1, SLOT_SENT = 2, SLOT_SETTLED = 3 };

struct journal_cell {
	int64_t worst_nanousd, actual_nanousd;
	uint32_t input_tokens, output_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens,
	    reasoning_tokens, requests, searches;
	uint8_t source, tier; /* enum settle_source; price tier index */
	uint16_t status;      /* of the vendor's answer */
	uint32_t flags;
	uint64_t late_key; /* under which the bill can be learned again, see late.h; 0 = none */
};

struct journal_meter {
	uint64_t uid;
	int64_t win_start;
};

/* What a slot says, decoded. */
struct journal_entry {
	enum slot_state state;
	uint64_t hold_id;
	uint8_t uid[16];
	int64_t created_ns;
	uint32_t price_version;
	uint16_t n_meters, flags;
	struct journal_cell cell;
	uint32_t ids[JOURNAL_NAMES];
	int64_t input_bound_nanousd;
	struct journal_meter meters[JOURNAL_METERS_MAX];
	uint8_t trace[40];
};

struct journal;

struct journal_ids {
	uint8_t node[16], database[16];
};

/* Opens or creates `path` with `slots` slots, allocated in full. An existing file must carry the same database id
 * (else BUR_CORRUPT) and keeps its slot count. *ret_boot is this boot's number (previous + 1). */
int journal_open(const char *path, uint32_t slots, const struct journal_ids *, struct journal **ret, uint32_t *ret_boot,
		 char *reterr, size_t reterr_size) NONNULL(1, 3, 4, 5, 6) MUST_USE;
void journal_close(struct journal *);
uint32_t journal_slots(const struct journal *) NONNULL(1);

/* BUR_OK; BUR_NOTFOUND: free; BUR_CORRUPT: not free and the CRC is wrong. */
int journal_read(const struct journal *, uint32_t slot, struct journal_entry *ret) NONNULL(1, 3) MUST_USE;
/* The raw 512 bytes, for quarantine. */
const void *journal_raw(const struct journal *, uint32_t slot) NONNULL(1);
void journal_reserve(struct journal *, uint32_t slot, const struct journal_entry *)
    NONNULL(1, 3);                                             /* FREE -> RESERVED */
void journal_sent(struct journal *, uint32_t slot) NONNULL(1); /* RESERVED -> SENT */
void journal_update(struct journal *, uint32_t slot, const struct journal_cell *)
    NONNULL(1, 3); /* other cell, same state */
void journal_settle(struct journal *, uint32_t slot, const struct journal_cell *) NONNULL(1, 3); /* SENT -> SETTLED */
void journal_release(struct journal *, uint32_t slot) NONNULL(1);                                /* any -> FREE */
/* Flushes dirty pages to the disk if anything changed since the last call. Control thread. */
int journal_flush(struct journal *) NONNULL(1) MUST_USE;

#endif
