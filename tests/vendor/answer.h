/* answer.h - the vendors' answers, byte for byte in their shapes: whole, or piece by piece. Pure. */
#ifndef VENDOR_ANSWER_H
#define VENDOR_ANSWER_H

#include "base/attr.h"
#include "base/buf.h"
#include "tests/vendor/bill.h"
#include "tests/vendor/request.h"

struct answer {
	const struct request *request;
	const struct tariff *tariff; /* NULL: not for sale */
	struct bill_usage usage;     /* what will be billed when all is generated */
	char id[CALL_NAME_MAX + 24];
	uint64_t chunks;    /* content pieces of a stream */
	uint64_t piece;     /* next piece: 0 is the preamble, then the content, then the end */
	uint64_t generated; /* output tokens so far, all candidates */
	uint64_t pad_bytes; /* of text beside the tokens, for FAULT_HUGE */
	bool with_usage;
};

/* `number` makes the ids of this answer when the client gave the call no name. */
void answer_init(struct answer *, const struct request *, uint64_t number) NONNULL(1, 2);
/* What is charged for it with so many output tokens. */
int64_t answer_price(const struct answer *, uint64_t output) NONNULL(1);
/* The usage with so many output tokens: what is charged when it ends there. */
struct bill_usage answer_usage(const struct answer *, uint64_t output) NONNULL(1);
int answer_whole(struct answer *, struct buf *out) NONNULL(1, 2) MUST_USE;
/* Appends the next piece; *ret_done when it was the last one. */
int answer_piece(struct answer *, struct buf *out, bool *ret_done) NONNULL(1, 2, 3) MUST_USE;
/* Header lines of this answer's own, CRLF after each. */
int answer_fields(const struct answer *, struct buf *out) NONNULL(1, 2) MUST_USE;
const char *answer_type(const struct request *) NONNULL(1); /* of the whole, or of the stream */
bool answer_is_stream(const struct request *) NONNULL(1);

#endif
