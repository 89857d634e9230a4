/* decode.h - undoes content codings (RFC 9110 8.4) piece by piece: gzip, deflate, br, zstd and stacks of them.
 *
 * Serves the copy of an answer and bodies of requests alike. Bytes go in in any pieces and come out through a sink as
 * soon as they can be read; memory is allocated when the first byte of a coding comes and is bounded (a window of 8 MiB
 * for zstd, 16 MiB for br, 32 KiB else). What is too large is given up before it is unpacked. One owner thread. */
#ifndef METER_DECODE_H
#define METER_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

struct decode;

/* Takes decoded bytes; a negative code ends the decoding, which returns it. */
typedef int decode_sink(void *ctx, const char *p, size_t n);

struct decode_limits {
	uint64_t max_bytes;       /* decoded, of each coding in a stack */
	uint64_t max_ratio;       /* decoded to coded ... */
	uint64_t any_ratio_bytes; /* ... once this much was decoded */
	/* For requests, which two readers must not read differently: one member or frame of each coding, whole, and
	 * nothing behind it. Else members may follow each other, and padding behind gzip is ignored, as is what stands
	 * behind br and deflate. */
	bool strict;
};
#define DECODE_LIMITS                                                                                                  \
	((struct decode_limits){                                                                                       \
	    .max_bytes = UINT64_C(64) << 20, .max_ratio = 100, .any_ratio_bytes = UINT64_C(1) << 20})

/* Is one coding known? Empty and "identity" are. */
bool decode_knows(struct slice coding);
/* Nothing to undo: absent, empty, or only "identity". */
bool decode_is_identity(struct slice content_encoding);
/* `content_encoding`: the field's value, the coding applied last standing last. BUR_OK, BUR_NOMEM, BUR_UNSUPPORTED
 * (an unknown coding, or more than three). *ret is the caller's. */
int decode_new(struct slice content_encoding, const struct decode_limits *, decode_sink *sink, void *ctx,
	       struct decode **ret) NONNULL(2, 3, 5) MUST_USE;
void decode_free(struct decode *);
/* BUR_OK; BUR_INVALID: no such coding; BUR_TOOBIG: over a limit; BUR_NOMEM; or what the sink said. An error is final
 * and comes again; all that could be read before it went to the sink. */
int decode_feed(struct decode *, const char *p, size_t n) NONNULL(1) MUST_USE;
/* End of input. BUR_OK: every coding was whole; BUR_EOF: it was cut (what could be read has gone to the sink); or the
 * error of before. */
int decode_finish(struct decode *) NONNULL(1) MUST_USE;

#endif
