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
#include "base/utf8.h"

#define VALUE_MAX 1024   /* bytes of one value as written; the rest becomes "…" */
#define MESSAGE_MAX 3072 /* the same for "msg" */
#define LINE_TAIL 2      /* "}\n" always fits */
#define GATHER_BYTES 32768

static _Atomic int log_fd = STDERR_FILENO;
static _Atomic int log_minimum = LOG_INFO;

bool log_enabled(enum log_level level)
{
	return (int)level >= atomic_load_explicit(&log_minimum, memory_order_relaxed);
}

/* --- what looks like a secret ------------------------------------------------------------------------------------- */

enum { C_DIGIT = 1, C_UPPER = 2, C_LOWER = 4, C_ALNUM = 7, C_TOKEN = 8, C_PREFIX = 16 };

/* C_TOKEN: may be part of a key or token, as in base64url. C_PREFIX: may begin one of the prefixes. */
static uint8_t class_of[256];

/* Words that begin a secret, and how many more token characters it takes to be one. */
static const struct {
	const char *word;
	uint8_t n, tail_min;
} prefixes[] = {
    {"sk-", 3, 8},    {"sk_", 3, 8},    {"pk_live", 7, 4}, {"rk_", 3, 8},     {"bur_", 4, 8},    {"AIza", 4, 16},
    {"AKIA", 4, 12},  {"ASIA", 4, 12},  {"ya29", 4, 8},    {"eyJ", 3, 16},    {"xoxa-", 5, 6},   {"xoxb-", 5, 6},
    {"xoxp-", 5, 6},  {"xapp-", 5, 6},  {"ghp_", 4, 8},    {"gho_", 4, 8},    {"ghs_", 4, 8},    {"github_pat_", 11, 8},
    {"glpat-", 6, 8}, {"gsk_", 4, 8},   {"xai-", 4, 8},    {"pplx-", 5, 8},   {"hf_", 3, 16},    {"r8_", 3, 16},
    {"nvapi-", 6, 8}, {"whsec_", 6, 8}, {"Bearer ", 7, 1}, {"bearer ", 7, 1}, {"BEARER ", 7, 1}, {"Basic ", 6, 4},
    {"basic ", 6, 4},
};

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
	for (size_t k = 0; k < ARRAY_LEN(prefixes); k++)
		class_of[(unsigned char)prefixes[k].word[0]] |= C_PREFIX;
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
	if (i >= s.n || !(class_of[(unsigned char)s.p[i]] & C_PREFIX))
		return i;
	for (size_t k = 0; k < ARRAY_LEN(prefixes); k++) {
		size_t from = i + prefixes[k].n, end;

		if (s.p[i] != prefixes[k].word[0] || s.n < from ||
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
	/* 32 or more of all three kinds: digests and ids are lower-case or shorter */
	if (stop == i && end - i >= 32 && (seen & C_ALNUM) == C_ALNUM)
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

static void put_key(struct writer *w, const char *key)
{
	put(w, ",\"", 2);
	put(w, key, strlen(key));
	put(w, "\":", 2);
}

/* All or nothing: a field that did not fit is not there. */
static void field_done(struct log_line *l, const struct writer *w)
{
	if (!w->full)
		l->n = (size_t)(w->p - l->text);
}

/* --- time --------------------------------------------------------------------------------------------------------- */

static inline void two_digits(char *p, int v)
{
	p[0] = (char)('0' + v / 10);
	p[1] = (char)('0' + v % 10);
}

/* "2026-11-21T09:00:00", made once a second per thread. */
static const char *second_text(int64_t unix_s)
{
	static _Thread_local char text[20];
	static _Thread_local int64_t made_for = -1;
	int64_t year;
	int month, day, of_day;

	if (unix_s < 0)
		unix_s = 0;
	if (made_for == unix_s)
		return text;
	civil_from_days(unix_s / 86400, &year, &month, &day);
	of_day = (int)(unix_s % 86400);
	two_digits(text, (int)(year / 100 % 100));
	two_digits(text + 2, (int)(year % 100));
	text[4] = text[7] = '-';
	two_digits(text + 5, month);
	two_digits(text + 8, day);
	text[10] = 'T';
	two_digits(text + 11, of_day / 3600);
	text[13] = text[16] = ':';
	two_digits(text + 14, of_day / 60 % 60);
	two_digits(text + 17, of_day % 60);
	made_for = unix_s;
	return text;
}

static void put_time(struct writer *w)
{
	int64_t now_ns = clock_wall_ns();
	int millis = now_ns > 0 ? (int)(now_ns % NS_PER_S / NS_PER_MS) : 0;
	char tail[5] = {'.', (char)('0' + millis / 100), 0, 0, 'Z'};

	two_digits(tail + 2, millis % 100);
	put(w, second_text(now_ns / NS_PER_S), 19);
	put(w, tail, 5);
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

void log_begin(struct log_line *l, enum log_level level, const char *event)
{
	static const char *const level_names[] = {"debug", "info", "warn", "error"};
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
	put_value(&w, slice_of(event), 128);
	put(&w, "\"", 1);
	field_done(l, &w);
}

static void add_text(struct log_line *l, const char *key, struct slice value, size_t max)
{
	struct writer w = writer_of(l);

	put_key(&w, key);
	put(&w, "\"", 1);
	put_value(&w, value, max);
	put(&w, "\"", 1);
	field_done(l, &w);
}

void log_str(struct log_line *l, const char *key, struct slice value)
{
	add_text(l, key, value, VALUE_MAX);
}

static void put_int(struct writer *w, int64_t value)
{
	char text[20], *p = text + sizeof(text);
	uint64_t v = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

	do {
		*--p = (char)('0' + (int)(v % 10));
		v /= 10;
	} while (v > 0);
	if (value < 0)
		*--p = '-';
	put(w, p, (size_t)(text + sizeof(text) - p));
}

void log_int(struct log_line *l, const char *key, int64_t value)
{
	struct writer w = writer_of(l);

	put_key(&w, key);
	put_int(&w, value);
	field_done(l, &w);
}

void log_usd(struct log_line *l, const char *key, int64_t nanousd)
{
	struct writer w = writer_of(l);
	char text[AMOUNT_TEXT_MAX];

	(void)amount_format_usd(nanousd, text);
	put_key(&w, key);
	put(&w, "\"", 1);
	put(&w, text, strlen(text));
	put(&w, "\"", 1);
	field_done(l, &w);
}

void log_bool(struct log_line *l, const char *key, bool value)
{
	struct writer w = writer_of(l);

	put_key(&w, key);
	put(&w, value ? "true" : "false", value ? 4 : 5);
	field_done(l, &w);
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
	add_text(l, "msg", slice_mem(text, (size_t)n), MESSAGE_MAX);
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
