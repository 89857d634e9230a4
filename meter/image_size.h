/* image_size.h - width and height of a picture from the first bytes of its file: PNG, JPEG, GIF, WebP.
 *
 * Takes bytes in any pieces and keeps none of them. What it does not know for certain is "unknown", and the caller
 * takes the dearest picture there is. Formats: W3C PNG (IHDR), ITU T.81 annex B (SOFn), GIF89a, RFC 9649 (WebP). Pure.
 */
#ifndef METER_IMAGE_SIZE_H
#define METER_IMAGE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

#define IMAGE_HEADER_MAX (128 * 1024) /* a size that stands further back is unknown */

struct image_sniff {
	uint8_t state;
	uint8_t n;
	uint32_t seen, skip; /* bytes read; of a JPEG segment, to pass over */
	uint32_t width, height;
	uint8_t head[32];
	/* the text form: "data:image/png;base64,…" or plain base64, with either alphabet */
	uint8_t text_state, text_n, quad_n;
	uint32_t quad;
	char prefix[80];
};

void image_sniff_init(struct image_sniff *) NONNULL(1);
/* The file's own bytes, or its base64 text. One of the two. */
void image_sniff_bytes(struct image_sniff *, const char *p, size_t n) NONNULL(1);
void image_sniff_text(struct image_sniff *, const char *p, size_t n) NONNULL(1);
/* More bytes change nothing. */
bool image_sniff_done(const struct image_sniff *) NONNULL(1);
/* False: unknown. Both are over 0 when known. */
bool image_sniff_size(const struct image_sniff *, uint32_t *ret_width, uint32_t *ret_height) NONNULL(1, 2, 3);

#endif
