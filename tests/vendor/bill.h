/* bill.h - what the test vendor charges, by its own price table and its own arithmetic.
 *
 * Nothing here comes from meter/ or from the shipped price book: the bill is the second opinion against which bursar's
 * ledger is judged. One JSON object a line, append-only. One thread. */
#ifndef VENDOR_BILL_H
#define VENDOR_BILL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

struct bill;

/* What is sold. Parts of the input are disjoint here: their sum is all input tokens. */
#define BILL_INPUT_UNITS(X) X(fresh) X(cached) X(write_5m) X(write_1h) X(audio) X(image)
#define BILL_OTHER_UNITS(X) X(output) X(audio_output) X(audio_ms) X(characters) X(pages) X(searches) X(requests)
#define BILL_UNITS(X) BILL_INPUT_UNITS(X) BILL_OTHER_UNITS(X)

struct bill_usage {
#define X(unit) uint64_t unit;
	BILL_UNITS(X)
#undef X
	bool half_price; /* batches */
};

/* Nano-USD per `per` units: whole numbers. */
struct tariff {
	const char *provider, *model;
	const char *reported; /* how answers call it, when they do not repeat the request */
	int64_t per;
#define X(unit) int64_t unit;
	BILL_UNITS(X)
#undef X
};

enum bill_status {
	BILL_COMPLETE, /* all was generated */
	BILL_ABORTED,  /* the client left; what was generated until then is charged */
	BILL_CUT,      /* the vendor broke off; what was generated until then is charged */
	BILL_ERROR,    /* refused: nothing is charged */
};

struct bill_entry {
	uint64_t number;      /* of the call at this vendor */
	const char *call;     /* what the client called it, or "" */
	const char *api;      /* "chat" */
	const char *provider; /* "openai" */
	const char *model;
	struct bill_usage usage;
	int64_t max_out, thinking; /* what the request said; -1: nothing */
	int64_t special_nanousd;   /* the script's price for the whole call; < 0: by the tariff */
};

/* NULL: the vendor does not sell this model. */
const struct tariff *tariff_find(const char *provider, struct slice model) NONNULL(1);
/* Nano-USD, rounded up once. Pure. */
int64_t bill_price(const struct tariff *, const struct bill_usage *) NONNULL(1, 2) MUST_USE;
uint64_t bill_input(const struct bill_usage *) NONNULL(1); /* all input tokens */

/* `fast`: only final lines, gathered and written by bill_flush. NULL: cannot be opened; errno says why. */
struct bill *bill_open(const char *path, bool fast) NONNULL(1) MUST_USE;
void bill_close(struct bill *); /* writes what is gathered; NULL is fine */
/* A call arrived. Not fast: on disk before this returns. */
void bill_begin(struct bill *, const struct bill_entry *) NONNULL(1, 2);
/* The call ended; BILL_ERROR charges nothing whatever the usage says. Not fast: on disk before this returns. */
void bill_end(struct bill *, const struct bill_entry *, enum bill_status) NONNULL(1, 2);
void bill_flush(struct bill *) NONNULL(1);

struct bill_totals {
	uint64_t begun, ended, by_status[BILL_ERROR + 1], input, output;
	int64_t nanousd;
};
const struct bill_totals *bill_totals(const struct bill *) NONNULL(1);

#endif
