/* multipart.h - reads a multipart/form-data body as it comes (RFC 7578, RFC 2046 section 5.1).
 *
 * Strict where readers differ: no preamble, no folded or unknown-encoded headers, CRLF only, one name a part, a
 * boundary is a line of its own. Memory is fixed. One owner thread. */
#ifndef METER_MULTIPART_H
#define METER_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

#define MULTIPART_BOUNDARY_MAX 70
#define MULTIPART_NAME_MAX 127
#define MULTIPART_LINE_MAX 1024
#define MULTIPART_HEADERS_MAX 16 /* lines a part */

enum multipart_event {
	MULTIPART_MORE, /* the piece is used up */
	MULTIPART_PART, /* a part begins: name, is_file */
	MULTIPART_DATA, /* bytes of it; the cuts are arbitrary */
	MULTIPART_PART_END,
	MULTIPART_ERROR, /* sticky */
};

struct multipart {
	uint8_t state;
	bool is_file; /* the part has a file name */
	bool has_name, part_open;
	uint8_t delimiter_n, match, tail; /* of the delimiter, matched so far */
	uint8_t headers;
	uint16_t line_n;
	char name[MULTIPART_NAME_MAX + 1];
	char delimiter[4 + MULTIPART_BOUNDARY_MAX + 1]; /* CR LF -- boundary */
	char line[MULTIPART_LINE_MAX];
};

/* Is this the media type of a form? Parameters are not looked at. */
bool multipart_is_form(struct slice content_type);
/* Whether the media type names no charset in which the same bytes could be another text: none, UTF-8, ASCII, Latin-1.
 */
bool multipart_charset_plain(struct slice media_type);
/* BUR_INVALID: no multipart/form-data with one plain boundary. */
int multipart_init(struct multipart *, struct slice content_type) NONNULL(1) MUST_USE;
/* Reads on from p[*inout_i]. `*ret_data` is set with MULTIPART_DATA only, and points into p or into the reader. */
enum multipart_event multipart_next(struct multipart *, const char *p, size_t n, size_t *inout_i,
				    struct slice *ret_data) NONNULL(1, 4, 5);
/* The closing boundary was read. */
bool multipart_complete(const struct multipart *) NONNULL(1);

#endif
