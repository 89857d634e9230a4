/* json.h - writing JSON, and an incremental reader that builds no tree.
 *
 * The reader takes bytes in any pieces and reports a stream of tokens with the path depth; memory is fixed. It is what
 * the request scanner and the usage taps stand on. Pure; one owner thread per reader. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/slice.h"

/* Appends s as a JSON string with quotes; control bytes escaped, bad UTF-8 replaced by U+FFFD. */
int json_write_string(struct buf *, struct slice s) NONNULL(1) MUST_USE;
/* As json_write_string into dst without quotes, cut to fit at a character boundary; returns bytes written.
 * A NUL follows them (not counted) unless dst_size is 0. */
size_t json_escape(struct slice s, char *dst, size_t dst_size);

#define JSON_DEPTH_MAX 128
#define JSON_CAPTURE_MAX 512 /* keys, numbers and short strings longer than this are reported as `cut` */

enum json_token {
	JT_MORE, /* all input consumed, document not finished */
	JT_OBJECT_BEGIN,
	JT_OBJECT_END,
	JT_ARRAY_BEGIN,
	JT_ARRAY_END,
	JT_KEY,    /* text = decoded key */
	JT_STRING, /* text = decoded, at most JSON_CAPTURE_MAX bytes when captured; length_bytes = decoded length */
	JT_NUMBER, /* text = the literal */
	JT_TRUE,
	JT_FALSE,
	JT_NULL,
	JT_END,   /* the document is complete; white space may follow */
	JT_ERROR, /* malformed, too deep, or bytes after the end; sticky */
};

struct json_reader {
	uint8_t state, in_token, after_value;
	/* want_text: the caller wants the text of strings; read when a string begins (keys and numbers always have it).
	 * utf8_strict: bad UTF-8 in a string is JT_ERROR, else it becomes U+FFFD. A lone \uD800 is always U+FFFD. */
	bool is_key, cut, want_text, utf8_strict, capturing, skipping;
	int depth, skip_depth;
	uint64_t
	    objects[JSON_DEPTH_MAX / 64]; /* a bit for each open container, the innermost lowest: it is an object */
	uint8_t escape, utf8_left;
	uint32_t codepoint, surrogate;
	size_t text_n;
	uint64_t length_bytes; /* decoded length of the string just reported */
	uint64_t offset;       /* absolute offset of the next byte to read */
	uint64_t token_begin; /* absolute offset of the first byte of the token just reported (its quote for strings) */
	char text[JSON_CAPTURE_MAX + 1];
};

void json_reader_init(struct json_reader *) NONNULL(1);
/* Reads from p[*inout_i..n) up to the end of the next token; *inout_i moves on. Call again until JT_MORE.
 * Long plain runs inside strings are skipped at memory speed. */
enum json_token json_next(struct json_reader *, const char *p, size_t n, size_t *inout_i) NONNULL(1, 4);
/* Swallows the value to come, or the container just begun, with all that is in it: none of its tokens is reported.
 * To be called after JT_KEY (the key's value is skipped) or after JT_OBJECT_BEGIN or JT_ARRAY_BEGIN (the rest of
 * the container and its END are; `depth` is then as before the BEGIN). json_next goes on with the first token behind.
 * Far cheaper than reading: a skipped string or container is only searched for what ends it. JT_ERROR still follows
 * from a bracket without its fellow, depth over JSON_DEPTH_MAX, a raw control byte in a string or a letter that no
 * escape has. Not looked at there: digits of \u, UTF-8 (even when strict), and what stands between strings and
 * brackets (commas, colons, numbers, words, keys). A skipped number, true, false or null is read as any other. */
void json_skip_value(struct json_reader *) NONNULL(1);
static inline struct slice json_text(const struct json_reader *r)
{
	return (struct slice){r->text, r->text_n};
}
/* At the end of input: true when the document is complete (numbers at top level included). */
bool json_reader_complete(const struct json_reader *) NONNULL(1);
/* A JSON number literal as a count: truncates reals toward zero, exact for integers; negative, not finite or too large
 * gives BUR_INVALID. */
int json_count(struct slice literal, uint64_t *ret) MUST_USE;

#endif
