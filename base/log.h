/* log.h - JSON lines, one object per line, with redaction.
 *
 * Values never contain raw control or non-UTF-8 bytes; long values are cut; anything that looks like a key, a bearer
 * token or a `key=` query parameter is written as ***. Request and answer bodies are never passed here.
 * Any thread; a line is one write. Request lines are gathered per thread and flushed by log_flush (each loop turn that
 * found nothing to do, at 32 KiB, and at exit). */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_line {
	char text[4096];
	size_t n;
	enum log_level level;
};

void log_init(int fd, enum log_level minimum); /* before threads start; default is stderr, LOG_INFO */
bool log_enabled(enum log_level);

/* A whole message: {"ts":…,"level":…,"event":"net.dial","msg":"…"}. */
void log_msg(enum log_level, const char *event, const char *fmt, ...) NONNULL(2, 3) PRINTF_LIKE(3, 4);
/* At most one line of this kind a second per call site, with the count of those left out. */
#define log_limited(level, event, ...)                                                                                 \
	do {                                                                                                           \
		static struct log_limit limit_;                                                                        \
		log_msg_limited(&limit_, level, event, __VA_ARGS__);                                                   \
	} while (0)
struct log_limit {
	_Atomic int64_t next_ns;
	_Atomic uint32_t left_out;
};
void log_msg_limited(struct log_limit *, enum log_level, const char *event, const char *fmt, ...) NONNULL(1, 3, 4)
    PRINTF_LIKE(4, 5);

/* A line built field by field; fields that do not fit are left out, the line stays valid JSON. */
void log_begin(struct log_line *, enum log_level, const char *event) NONNULL(1, 3);
void log_str_at(struct log_line *, struct slice key, struct slice value) NONNULL(1);
void log_word_at(struct log_line *, struct slice key, struct slice word) NONNULL(1);
void log_int_at(struct log_line *, struct slice key, int64_t value) NONNULL(1);
void log_usd_at(struct log_line *, struct slice key, int64_t nanousd) NONNULL(1);
void log_bool_at(struct log_line *, struct slice key, bool value) NONNULL(1);
/* The key is a word of ours and never escaped; inline, so that the length of a literal is known. */
static inline void log_str(struct log_line *l, const char *key, struct slice value)
{
	log_str_at(l, slice_of(key), value);
}
/* A text of our own making: an identifier, a formatted address, a name from a table. Neither escaped nor searched for
 * secrets, so never anything that came from outside. */
static inline void log_word(struct log_line *l, const char *key, struct slice word)
{
	log_word_at(l, slice_of(key), word);
}
static inline void log_int(struct log_line *l, const char *key, int64_t value)
{
	log_int_at(l, slice_of(key), value);
}
static inline void log_usd(struct log_line *l, const char *key, int64_t nanousd)
{
	log_usd_at(l, slice_of(key), nanousd);
}
static inline void log_bool(struct log_line *l, const char *key, bool value)
{
	log_bool_at(l, slice_of(key), value);
}
void log_end(struct log_line *) NONNULL(1);          /* writes at once */
void log_end_buffered(struct log_line *) NONNULL(1); /* gathers in this thread's buffer */
void log_flush(void);

#endif
