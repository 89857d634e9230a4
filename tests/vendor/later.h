/* later.h - calls whose answer is fetched by another: files, batches, background responses.
 *
 * The vendor does the work at once and bills it then; clients learn of it when they ask. */
#ifndef VENDOR_LATER_H
#define VENDOR_LATER_H

#include "tests/vendor/answer.h"
#include "tests/vendor/bill.h"
#include "tests/vendor/shelf.h"

/* Answers calls to files and batches, and fetches what lies on the shelf. `body` is the request's, kept whole; `file`
 * of a form. Returns the status; 200 with the body in `out`, else `out` is left alone. */
int later_answer(struct shelf *, struct bill *, const struct answer *, uint64_t number, struct slice body,
		 struct slice file, struct buf *out) NONNULL(1, 2, 3, 7) MUST_USE;
bool later_handles(enum api);
/* Puts the finished response of a background call on the shelf. */
void later_keep_response(struct shelf *, const struct answer *) NONNULL(1, 2);

#endif
