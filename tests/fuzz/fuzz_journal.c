/* fuzz_journal.c - any 512 bytes as a journal slot: reading never crashes, and only says BUR_OK to what the writer
 * could have written.
 *
 * Build: clang -g -O1 -std=c17 -D_GNU_SOURCE -I. -fsanitize=fuzzer,address,undefined tests/fuzz/fuzz_journal.c \
 *        store/{journal,fault}.c base/{slice,check,error}.c -lcrypto -o fuzz_journal
 * Input: one byte of options, then the slot. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/slice.h"
#include "store/journal.h"

#define MEND_CRC 1u   /* make the CRC right, to get behind it */
#define LIVE_STATE 2u /* make the state RESERVED or SENT */
#define GO_ON 4u      /* and then settle */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct journal *journal(void)
{
	static struct journal *j;
	static const struct journal_ids ids = {.node = "n", .database = "d"};
	char path[64], text[200];
	uint32_t boot;

	if (j)
		return j;
	(void)snprintf(path, sizeof path, "/tmp/fuzz_journal.%ld", (long)getpid());
	(void)unlink(path);
	CHECK(journal_open(path, 1, &ids, &j, &boot, text, sizeof text) == BUR_OK);
	(void)unlink(path);
	return j;
}

static void mend(uint8_t *slot, unsigned options)
{
	uint32_t crc;
	unsigned cell = slot[1] & 1;

	if (options & LIVE_STATE)
		slot[0] = (uint8_t)(1 + slot[0] % 2);
	if (!(options & MEND_CRC))
		return;
	crc = crc32c(crc32c(crc32c(0, slot + 8, 40), slot + 48 + 64 * cell, 64), slot + 176, 336);
	memcpy(slot + 4, &crc, 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct journal *j = journal();
	uint8_t *slot = (uint8_t *)(uintptr_t)journal_raw(j, 0);
	struct journal_entry e, again;
	int r;

	if (n < 1)
		return 0;
	memset(slot, 0, JOURNAL_SLOT_BYTES);
	memcpy(slot, data + 1, n - 1 < JOURNAL_SLOT_BYTES ? n - 1 : JOURNAL_SLOT_BYTES);
	mend(slot, data[0]);
	r = journal_read(j, 0, &e);
	CHECK(r == BUR_OK || (r == BUR_NOTFOUND && slot[0] == SLOT_FREE) || (r == BUR_CORRUPT && slot[0] != SLOT_FREE));
	if (r == BUR_OK) {
		CHECK(e.state >= SLOT_RESERVED && e.state <= SLOT_SETTLED && e.n_meters <= JOURNAL_METERS_MAX);
		if (data[0] & GO_ON && e.state != SLOT_SETTLED) {
			if (e.state == SLOT_RESERVED)
				journal_sent(j, 0);
			e.cell.actual_nanousd = 5;
			journal_settle(j, 0, &e.cell);
			CHECK(journal_read(j, 0, &again) == BUR_OK && again.state == SLOT_SETTLED);
			CHECK(memcmp(&again.cell, &e.cell, sizeof e.cell) == 0);
			CHECK(memcmp(again.meters, e.meters, sizeof e.meters) == 0);
		}
	}
	journal_release(j, 0);
	CHECK(journal_read(j, 0, &e) == BUR_NOTFOUND);
	return 0;
}
