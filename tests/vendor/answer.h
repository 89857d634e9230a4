/* answer.h - the vendors' answers, byte for byte in their shapes: whole, or piece by piece. Pure. */
#ifndef VENDOR_ANSWER_H
#define VENDOR_ANSWER_H

#include "base/attr.h"
#include "base/buf.h"
#include "tests/vendor/bill.h"
#include "tests/vendor/request.h"

struct answer {
	const struct request *request;
	struct bill_usage usage; /* what will be billed when all is generated */
	char id[CALL_NAME_MAX + 24];
	uint64_t chunks;    /* content pieces of a stream */
	uint64_t piece;     /* next piece: 0 is the preamble, then the content, then the end */
	uint64_t generated; /* output tokens so far, all candidates */
	uint64_t pad_bytes; /* of text beside the tokens, for FAULT_HUGE */
	bool with_usage;
};

/* `number` makes the ids of this answer when the client gave the call no name. */
void answer_init(struct answer *, const struct request *, uint64_t number) NONNULL(1, 2);
int answer_whole(struct answer *, struct buf *out) NONNULL(1, 2) MUST_USE;
/* Appends the next piece; *ret_done when it was the last one. */
int answer_piece(struct answer *, struct buf *out, bool *ret_done) NONNULL(1, 2, 3) MUST_USE;
/* The vendor's error body. */
int answer_error(const struct request *, int status, const char *type, const char *message, struct buf *out)
    NONNULL(1, 3, 4, 5) MUST_USE;
const char *answer_stream_type(const struct request *) NONNULL(1);

#endif
