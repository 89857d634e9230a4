#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/amount.h"
#include "base/calendar.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/digits.h"
#include "base/utf8.h"

#define VALUE_MAX 1024   /* bytes of one value as written; the rest becomes "…" */
#define MESSAGE_MAX 3072 /* the same for "msg" */
#define EVENT_MAX 128
#define LONG_WORD 32 /* letters and digits that may be a key without a known prefix */
#define LINE_TAIL 2  /* "}\n" always fits */
#define GATHER_BYTES 32768

static _Atomic int log_fd = STDERR_FILENO;
static _Atomic int log_minimum = LOG_INFO;

bool log_enabled(enum log_level level)
{
	return (int)level >= atomic_load_explicit(&log_minimum, memory_order_relaxed);
}

/* --- what looks like a secret ------------------------------------------------------------------------------------- */

enum { C_DIGIT = 1, C_UPPER = 2, C_LOWER = 4, C_ALNUM = 7, C_TOKEN = 8, C_PREFIX = 16, C_ODD = 32 };

/* C_TOKEN: may be part of a key or token, as in base64url. C_PREFIX: may begin one of the prefixes. C_ODD: is not
 * written as it is, or may make a secret of what stands around it. */
static uint8_t class_of[256];

/* Words that begin a secret, and how many more token characters it takes to be one. Those of one first letter stand
 * together. */
static const struct {
	const char *word;
	uint8_t n, tail_min;
} prefixes[] = {
    {"AIza", 4, 16},   {"AKIA", 4, 12},   {"ASIA", 4, 12},  {"Bearer ", 7, 1},      {"BEARER ", 7, 1}, {"Basic ", 6, 4},
    {"bur_", 4, 8},    {"bearer ", 7, 1}, {"basic ", 6, 4}, {"eyJ", 3, 16},         {"ghp_", 4, 8},    {"gho_", 4, 8},
    {"ghs_", 4, 8},    {"glpat-", 6, 8},  {"gsk_", 4, 8},   {"github_pat_", 11, 8}, {"hf_", 3, 16},    {"nvapi-", 6, 8},
    {"pk_live", 7, 4}, {"pplx-", 5, 8},   {"rk_", 3, 8},    {"r8_", 3, 16},         {"sk-", 3, 8},     {"sk_", 3, 8},
    {"whsec_", 6, 8},  {"xoxa-", 5, 6},   {"xoxb-", 5, 6},  {"xoxp-", 5, 6},        {"xapp-", 5, 6},   {"xai-", 4, 8},
    {"ya29", 4, 8},
};
static uint8_t first_prefix[256]; /* by the first letter; 0 when it is not C_PREFIX as well */

__attribute__((constructor)) static void class_setup(void)
{
	for (int c = '0'; c <= '9'; c++)
		class_of[c] = C_DIGIT | C_TOKEN;
	for (int c = 'A'; c <= 'Z'; c++) {
		class_of[c] = C_UPPER | C_TOKEN;
		class_of[c + 32] = C_LOWER | C_TOKEN;
	}
	for (const char *p = "-_.~+/="; *p; p++)
		class_of[(unsigned char)*p] = C_TOKEN;
	for (int c = 0; c < 256; c++)
		class_of[c] |= c < ' ' || c > '~' || strchr("\"'\\=:", c) ? C_ODD : 0;
	for (size_t k = ARRAY_LEN(prefixes); k-- > 0;) {
		class_of[(unsigned char)prefixes[k].word[0]] |= C_PREFIX;
		first_prefix[(unsigned char)prefixes[k].word[0]] = (uint8_t)k;
	}
}

/* Names whose value after '=' (or, for a header or a JSON member, ':') is a secret. */
static const struct {
	struct slice word;
	bool colon; /* plain "word: value" is a secret too */
} names[] = {
    {{"key", 3}, false},      {{"apikey", 6}, true},      {{"token", 5}, false},         {{"secret", 6}, true},
    {{"password", 8}, true},  {{"passwd", 6}, true},      {{"pwd", 3}, false},           {{"sig", 3}, false},
    {{"signature", 9}, true}, {{"credential", 10}, true}, {{"authorization", 13}, true}, {{"cookie", 6}, true},
};

static size_t token_run(struct slice s, size_t i)
{
	while (i < s.n && (class_of[(unsigned char)s.p[i]] & C_TOKEN))
		i++;
	return i;
}

/* End of the secret that begins with a known prefix at i, or i. */
static size_t prefixed_secret(struct slice s, size_t i)
{
	if (i + 2 > s.n || !(class_of[(unsigned char)s.p[i]] & C_PREFIX))
		return i;
	for (size_t k = first_prefix[(unsigned char)s.p[i]]; k < ARRAY_LEN(prefixes); k++) {
		size_t from = i + prefixes[k].n, end;

		if (s.p[i] != prefixes[k].word[0])
			break;
		if (s.p[i + 1] != prefixes[k].word[1] || s.n < from ||
		    memcmp(s.p + i, prefixes[k].word, prefixes[k].n) != 0)
			continue;
		end = token_run(s, from);
		if (end - from >= prefixes[k].tail_min)
			return end;
	}
	return i;
}

static bool ends_value(char c)
{
	return (unsigned char)c <= ' ' || strchr("&\"',;)}]<>", c) != NULL;
}

/* The run [begin, end) is a word: if it names a secret, sets where the value begins and returns where it ends. */
static size_t named_secret(struct slice s, size_t begin, size_t end, size_t *ret_from)
{
	struct slice word = slice_sub(s, begin, end - begin);
	bool header = begin >= 4 && slice_ieq(slice_sub(s, begin - 4, 3), SLICE("api")); /* x-api-key: */
	size_t i = end;

	if (i < s.n && (s.p[i] == '"' || s.p[i] == '\''))
		i++;
	if (i >= s.n || (s.p[i] != '=' && s.p[i] != ':'))
		return begin;
	for (size_t k = 0; k < ARRAY_LEN(names); k++) {
		if (!slice_ieq(word, names[k].word))
			continue;
		if (s.p[i] == ':' && !names[k].colon && !header && i == end)
			return begin;
		i++;
		while (i < s.n && (s.p[i] == ' ' || s.p[i] == '"' || s.p[i] == '\''))
			i++;
		*ret_from = i;
		while (i < s.n && !ends_value(s.p[i]))
			i++;
		return i > *ret_from ? i : begin;
	}
	return begin;
}

/* "https://user:pass@host": the part between "//" and '@' when it has a ':'. */
static size_t userinfo_secret(struct slice s, size_t i)
{
	bool colon = false;

	for (; i < s.n && !ends_value(s.p[i]) && s.p[i] != '/'; i++) {
		if (s.p[i] == '@')
			return colon ? i : 0;
		colon |= s.p[i] == ':';
	}
	return 0;
}

/* --- the line under construction ---------------------------------------------------------------------------------- */

struct writer {
	char *p, *end; /* room that may be used */
	bool full;
};

static inline void put(struct writer *w, const char *p, size_t n)
{
	if (n > (size_t)(w->end - w->p))
		w->full = true;
	if (w->full)
		return;
	memcpy(w->p, p, n);
	w->p += n;
}

/* Letters and digits: as many as there is room for. */
static inline void put_run(struct writer *w, const char *p, size_t n)
{
	size_t room = (size_t)(w->end - w->p);

	put(w, p, n < room ? n : room);
	w->full |= n > room;
}

/* A byte or character that is not alphanumeric; returns bytes read. */
static size_t put_escaped(struct writer *w, struct slice s, size_t i)
{
	static const char digits[] = "0123456789abcdef";
	uint32_t cp = 0;
	size_t n = utf8_decode(s.p + i, s.n - i, &cp);
	char text[6] = "\\u00";

	if (n == 0) {
		put(w, UTF8_REPLACEMENT, 3);
		return 1;
	}
	if (cp == '"' || cp == '\\') {
		text[1] = (char)cp;
		put(w, text, 2);
	} else if (cp == '\n') {
		put(w, "\\n", 2);
	} else if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0)) { /* C1 too: terminals obey them */
		text[4] = digits[cp >> 4];
		text[5] = digits[cp & 15];
		put(w, text, 6);
	} else {
		put(w, s.p + i, n);
	}
	return n;
}

/* One run of letters and digits at i with what follows from it; returns where to go on. */
static size_t put_word(struct writer *w, struct slice s, size_t i)
{
	unsigned seen = 0;
	size_t end = i, stop, from;

	while (end < s.n && (class_of[(unsigned char)s.p[end]] & C_ALNUM))
		seen |= class_of[(unsigned char)s.p[end++]];
	stop = prefixed_secret(s, i);
	/* long and of all three kinds: digests and ids are lower-case or shorter */
	if (stop == i && end - i >= LONG_WORD && (seen & C_ALNUM) == C_ALNUM)
		stop = token_run(s, end);
	if (stop > i) {
		put(w, "***", 3);
		return stop;
	}
	put_run(w, s.p + i, end - i);
	stop = end < s.n ? named_secret(s, i, end, &from) : i;
	if (stop == i)
		return end;
	while (end < from)
		end += put_escaped(w, s, end);
	/* "Authorization: Bearer x": the value ended at the space, the token stands behind it */
	if (prefixed_secret(s, from) > stop)
		stop = prefixed_secret(s, from);
	put(w, "***", 3);
	return stop;
}

static bool has_long_word(struct slice s)
{
	size_t run = 0;

	for (size_t i = 0; i < s.n && run < LONG_WORD; i++)
		run = class_of[(unsigned char)s.p[i]] & C_ALNUM ? run + 1 : 0;
	return run == LONG_WORD;
}

/* Is a C_PREFIX or C_ODD byte at i harmless? The word before ':' ends in a letter where it names a secret, and userinfo
 * stands behind "://". */
static bool is_harmless(struct slice s, size_t i)
{
	if (class_of[(unsigned char)s.p[i]] & C_PREFIX)
		return (i > 0 && (class_of[(unsigned char)s.p[i - 1]] & C_ALNUM)) || prefixed_secret(s, i) == i;
	return s.p[i] == ':' && i > 0 && (class_of[(unsigned char)s.p[i - 1]] & C_DIGIT) && i + 1 < s.n &&
	       s.p[i + 1] != '/'; /* before a port or a minute */
}

/* Is `s` written as it stands: no byte to escape, and nothing in it that could be a secret? A `false` only sends it the
 * long way, through put_value. */
static bool is_plain(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((class_of[(unsigned char)s.p[i]] & (C_PREFIX | C_ODD)) && !is_harmless(s, i))
			return false;
	}
	return s.n < LONG_WORD || !has_long_word(s);
}

/* The value, escaped and redacted, in at most `max` bytes; "…" when it was cut. */
static void put_value(struct writer *w, struct slice s, size_t max)
{
	char *hard_end = w->end;
	size_t i = 0;

	if ((size_t)(w->end - w->p) > max)
		w->end = w->p + max;
	while (i < s.n && !w->full) {
		if (class_of[(unsigned char)s.p[i]] & C_ALNUM) {
			i = put_word(w, s, i);
		} else if (s.p[i] == '/' && i > 1 && s.p[i - 1] == '/' && s.p[i - 2] == ':' &&
			   userinfo_secret(s, i + 1) > 0) {
			i = userinfo_secret(s, i + 1);
			put(w, "/***", 4);
		} else {
			i += put_escaped(w, s, i);
		}
	}
	if (w->full && w->end < hard_end) { /* cut at `max`, the line itself has room */
		w->full = false;
		w->end = hard_end;
		put(w, "\xe2\x80\xa6", 3);
	}
	w->end = hard_end;
}

static struct writer writer_of(struct log_line *l)
{
	return (struct writer){l->text + l->n, l->text + sizeof(l->text) - LINE_TAIL, false};
}

/* All or nothing: a field that did not fit is not there. */
static void field_done(struct log_line *l, const struct writer *w)
{
	if (!w->full)
		l->n = (size_t)(w->p - l->text);
}

/* As memcpy, for the few bytes that a key or a value has: no call below 17. */
static inline void copy_short(char *dst, const char *src, size_t n)
{
	char head[8], tail[8];

	if (n > 16) {
		memcpy(dst, src, n);
	} else if (n >= 8) {
		memcpy(head, src, 8);
		memcpy(tail, src + n - 8, 8);
		memcpy(dst, head, 8);
		memcpy(dst + n - 8, tail, 8);
	} else if (n >= 4) {
		memcpy(head, src, 4);
		memcpy(tail, src + n - 4, 4);
		memcpy(dst, head, 4);
		memcpy(dst + n - 4, tail, 4);
	} else {
		for (; n > 0; n--)
			*dst++ = *src++;
	}
}

/* ,"key": with room for `value_max` bytes behind it; NULL when the line has not. The writing goes on at what is
 * returned. */
static inline char *key_begin(struct log_line *l, struct slice key, size_t value_max)
{
	size_t room = sizeof(l->text) - LINE_TAIL - l->n;
	char *p = l->text + l->n;

	if (key.n > room || value_max + 4 > room - key.n)
		return NULL;
	memcpy(p, ",\"", 2);
	copy_short(p + 2, key.p, key.n);
	memcpy(p + 2 + key.n, "\":", 2);
	return p + 4 + key.n;
}

static inline void value_end(struct log_line *l, const char *p)
{
	l->n = (size_t)(p - l->text);
}

/* --- time --------------------------------------------------------------------------------------------------------- */

/* "2026-11-21T09:00:00", made once a second per thread. */
static const char *second_text(int64_t unix_s)
{
	static _Thread_local char text[20];
	static _Thread_local int64_t made_for = -1;
	int64_t year;
	int month, day;
	uint32_t of_day;

	if (unix_s < 0)
		unix_s = 0;
	if (made_for == unix_s)
		return text;
	civil_from_days(unix_s / 86400, &year, &month, &day);
	of_day = (uint32_t)(unix_s % 86400);
	digits_two(text, (uint32_t)(year / 100 % 100));
	digits_two(text + 2, (uint32_t)(year % 100));
	text[4] = text[7] = '-';
	digits_two(text + 5, (uint32_t)month);
	digits_two(text + 8, (uint32_t)day);
	text[10] = 'T';
	digits_two(text + 11, of_day / 3600);
	text[13] = text[16] = ':';
	digits_two(text + 14, of_day / 60 % 60);
	digits_two(text + 17, of_day % 60);
	made_for = unix_s;
	return text;
}

static void put_time(struct writer *w)
{
	int64_t now_ns = clock_wall_ns();
	int millis = now_ns > 0 ? (int)(now_ns % NS_PER_S / NS_PER_MS) : 0;
	char tail[5] = {'.', (char)('0' + millis / 100), 0, 0, 'Z'};

	digits_two(tail + 2, (uint32_t)millis % 100);
	put(w, second_text(now_ns / NS_PER_S), 19);
	put(w, tail, 5);
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

void log_begin(struct log_line *l, enum log_level level, const char *event)
{
	static const char *const level_names[] = {"debug", "info", "warn", "error"};
	struct slice name = slice_of(event);
	struct writer w;

	CHECK(level >= LOG_DEBUG && level <= LOG_ERROR);
	l->n = 0;
	l->level = level;
	w = writer_of(l);
	put(&w, "{\"ts\":\"", 7);
	put_time(&w);
	put(&w, "\",\"level\":\"", 11);
	put(&w, level_names[level], strlen(level_names[level]));
	put(&w, "\",\"event\":\"", 11);
	if (name.n <= EVENT_MAX && is_plain(name))
		put(&w, name.p, name.n);
	else
		put_value(&w, name, EVENT_MAX);
	put(&w, "\"", 1);
	field_done(l, &w);
}

static void add_text(struct log_line *l, struct slice key, struct slice value, size_t max)
{
	char *p = key_begin(l, key, 2);
	struct writer w;

	if (!p)
		return;
	*p++ = '"';
	w = (struct writer){p, l->text + sizeof(l->text) - LINE_TAIL, false};
	put_value(&w, value, max);
	put(&w, "\"", 1);
	field_done(l, &w);
}

void log_word_at(struct log_line *l, struct slice key, struct slice word)
{
	char *p = word.n < sizeof(l->text) ? key_begin(l, key, word.n + 2) : NULL;

	if (!p)
		return;
	*p++ = '"';
	copy_short(p, word.p, word.n);
	p[word.n] = '"';
	value_end(l, p + word.n + 1);
}

void log_str_at(struct log_line *l, struct slice key, struct slice value)
{
	if (value.n <= VALUE_MAX && is_plain(value))
		log_word_at(l, key, value);
	else
		add_text(l, key, value, VALUE_MAX);
}

#define INT_TEXT_MAX 20

void log_int_at(struct log_line *l, struct slice key, int64_t value)
{
	char text[INT_TEXT_MAX], *end = text + sizeof(text);
	char *begin = digits_before(end, value < 0 ? 0 - (uint64_t)value : (uint64_t)value), *p;

	if (value < 0)
		*--begin = '-';
	p = key_begin(l, key, (size_t)(end - begin));
	if (!p)
		return;
	copy_short(p, begin, (size_t)(end - begin));
	value_end(l, p + (end - begin));
}

void log_usd_at(struct log_line *l, struct slice key, int64_t nanousd)
{
	char *p = key_begin(l, key, AMOUNT_TEXT_MAX + 2);

	if (!p)
		return;
	*p = '"';
	p += 1 + strlen(amount_format_usd(nanousd, p + 1));
	*p = '"';
	value_end(l, p + 1);
}

void log_bool_at(struct log_line *l, struct slice key, bool value)
{
	char *p = key_begin(l, key, 5);

	if (!p)
		return;
	memcpy(p, value ? "true" : "fals", 4);
	p += 4;
	if (!value)
		*p++ = 'e';
	value_end(l, p);
}

/* --- writing out -------------------------------------------------------------------------------------------------- */

/* A log that cannot be written must not stop the traffic: what does not go is lost. */
static void write_out(const char *p, size_t n)
{
	while (n > 0) {
		ssize_t done = write(atomic_load_explicit(&log_fd, memory_order_relaxed), p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return;
		p += done;
		n -= (size_t)done;
	}
}

struct gather {
	size_t n;
	char bytes[GATHER_BYTES];
};

static _Thread_local struct gather *gather;
static pthread_key_t gather_key;

static void gather_drop(void *arg)
{
	struct gather *g = arg;

	write_out(g->bytes, g->n);
	free(g);
	gather = NULL;
}

__attribute__((constructor)) static void gather_setup(void)
{
	CHECK(pthread_key_create(&gather_key, gather_drop) == 0);
	CHECK(atexit(log_flush) == 0);
}

/* This thread's buffer; NULL when out of memory. */
static struct gather *gather_get(void)
{
	if (!gather) {
		gather = malloc(sizeof(*gather));
		if (gather && pthread_setspecific(gather_key, gather) != 0) {
			free(gather);
			gather = NULL;
		}
		if (gather)
			gather->n = 0;
	}
	return gather;
}

void log_flush(void)
{
	if (gather && gather->n > 0) {
		write_out(gather->bytes, gather->n);
		gather->n = 0;
	}
}

void log_init(int fd, enum log_level minimum)
{
	log_flush();
	atomic_store(&log_fd, fd);
	atomic_store(&log_minimum, (int)minimum);
}

static void close_line(struct log_line *l)
{
	l->text[l->n++] = '}';
	l->text[l->n++] = '\n';
}

void log_end(struct log_line *l)
{
	if (!log_enabled(l->level))
		return;
	close_line(l);
	log_flush(); /* keeps this thread's lines in order */
	write_out(l->text, l->n);
}

void log_end_buffered(struct log_line *l)
{
	struct gather *g;

	if (!log_enabled(l->level))
		return;
	g = gather_get();
	if (!g) {
		log_end(l);
		return;
	}
	close_line(l);
	if (l->n > sizeof(g->bytes) - g->n)
		log_flush();
	memcpy(g->bytes + g->n, l->text, l->n);
	g->n += l->n;
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

static void add_message(struct log_line *l, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);

static void add_message(struct log_line *l, const char *fmt, va_list ap)
{
	char text[2048];
	int n = vsnprintf(text, sizeof(text), fmt, ap);

	if (n < 0)
		n = 0;
	if (n > (int)sizeof(text) - 1)
		n = (int)sizeof(text) - 1;
	add_text(l, SLICE("msg"), slice_mem(text, (size_t)n), MESSAGE_MAX);
}

void log_msg(enum log_level level, const char *event, const char *fmt, ...)
{
	struct log_line l;
	va_list ap;
	int saved = errno;

	if (!log_enabled(level))
		return;
	log_begin(&l, level, event);
	va_start(ap, fmt);
	errno = saved; /* for %m */
	add_message(&l, fmt, ap);
	va_end(ap);
	log_end(&l);
	errno = saved;
}

/* True when this call may write; the count of those left out before it goes to *ret_left_out. */
static bool limit_pass(struct log_limit *limit, uint32_t *ret_left_out)
{
	int64_t now = clock_mono_ns(), next = atomic_load(&limit->next_ns);

	if (now < next || !atomic_compare_exchange_strong(&limit->next_ns, &next, now + NS_PER_S)) {
		atomic_fetch_add(&limit->left_out, 1);
		return false;
	}
	*ret_left_out = atomic_exchange(&limit->left_out, 0);
	return true;
}

void log_msg_limited(struct log_limit *limit, enum log_level level, const char *event, const char *fmt, ...)
{
	struct log_line l;
	uint32_t left_out;
	va_list ap;
	int saved = errno;

	if (!log_enabled(level) || !limit_pass(limit, &left_out))
		return;
	log_begin(&l, level, event);
	va_start(ap, fmt);
	errno = saved;
	add_message(&l, fmt, ap);
	va_end(ap);
	if (left_out > 0)
		log_int(&l, "left_out", left_out);
	log_end(&l);
	errno = saved;
}
