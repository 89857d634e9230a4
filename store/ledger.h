/* ledger.h - reading the ledger: pages for people, and the checks of `bursar verify`. Read-only connections. */
#ifndef STORE_LEDGER_H
#define STORE_LEDGER_H

#include "base/attr.h"
#include "store/store.h"

enum ledger_kind { LEDGER_SPEND = 1, LEDGER_ADJUST = 2, LEDGER_REFUND = 3, LEDGER_CHARGE = 4, LEDGER_CREDIT = 5 };

struct ledger_row {
	int64_t seq;
	uint8_t uid[16];
	bool has_ref; /* it corrects the row ref_uid; units are then differences */
	uint8_t ref_uid[16];
	int kind;
	int64_t ts_admit_ns, ts_settle_ns, amount_nanousd, worst_nanousd;
	int source;
	uint32_t flags;
	struct slice key, user, team, project, provider, model, route;
	/* never below 0 in rows of kind spend */
	int64_t input_tokens, output_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens,
	    requests, searches;
	int tier, status;
	uint32_t price_version;
	struct slice extra; /* JSON */
};

struct ledger_filter {
	int64_t after_seq;      /* page: rows with seq greater (ascending) or smaller (descending) */
	int64_t from_ns, to_ns; /* ts_admit in [from, to); 0 = open */
	struct slice key, user, team, project, provider, model; /* empty = any */
	bool descending;
	size_t limit; /* 1..1000 */
};
/* Slices live during the visit. visit returns BUR_OK to go on. */
int ledger_each(struct sqlite3 *reader, const struct ledger_filter *,
		int (*visit)(void *ctx, const struct ledger_row *), void *ctx) NONNULL(1, 2, 3) MUST_USE;

struct verify_report {
	uint64_t rows, seals, seal_errors, sum_errors, price_rows, price_errors, price_skipped, quarantined;
	char first_error[200];
};
/* Recomputes the seal chain and the sums of postings against meters and rows; calls `price` for each row so that the
 * caller can recompute its cost: BUR_OK equal, BUR_INVALID differs, BUR_NOTFOUND cannot be recomputed. */
int ledger_verify(struct sqlite3 *reader, int (*price)(void *ctx, const struct ledger_row *), void *ctx,
		  struct verify_report *ret) NONNULL(1, 4) MUST_USE;
/* The stored price book of a version; free() the text. BUR_NOTFOUND. */
int ledger_price_book(struct sqlite3 *reader, uint32_t version, char **ret_json, size_t *ret_n)
    NONNULL(1, 3, 4) MUST_USE;

#endif
