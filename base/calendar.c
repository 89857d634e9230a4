#include "base/calendar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"

#define ZONE_NAME_MAX 64
#define ZONE_FILE_MAX (1024 * 1024)
#define TRANSITIONS_MAX 65536
#define OFFSET_MAX 93599 /* RFC 8536: 25:59:59 */
#define DAY_S 86400
#define UNIX_MAX (INT64_C(1) << 53) /* times beyond are taken as this: no overflow further down */

/* One end of daylight time in the POSIX footer. */
struct rule_date {
	enum { DATE_JULIAN, DATE_ZERO_BASED, DATE_MONTH } kind; /* Jn without 29 February, n, Mm.w.d */
	int month, week, day;
	int32_t time_s; /* local, may be negative or over a day */
};

struct rule {
	bool present, has_dst;
	int32_t std_offset, dst_offset;
	struct rule_date dst_begin, dst_end;
};

struct tz {
	char name[ZONE_NAME_MAX + 1];
	size_t n_transitions;
	int64_t *transitions; /* ascending */
	int32_t *offsets;     /* offsets[i] holds from transitions[i] on */
	int32_t first_offset; /* before the first transition */
	struct rule rule;     /* after the last one */
};

static const struct tz utc = {.name = "UTC"};

/* Time of one offset: [begin, end). */
struct segment {
	int64_t begin, end;
	int32_t offset;
};

/* --- civil dates -------------------------------------------------------------------------------------------------- */

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0 ? 1 : 0);
}

static int64_t floor_mod(int64_t a, int64_t b)
{
	return a - floor_div(a, b) * b;
}

/* Howard Hinnant's algorithm: years begin in March, eras have 400 years. */
static int64_t days_of(int64_t year, int month, int64_t day)
{
	int64_t y = year - (month <= 2), era = floor_div(y, 400), yoe = y - era * 400;
	int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5;

	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468 + day - 1;
}

int64_t days_from_civil(int64_t year, int month, int day)
{
	return days_of(year + floor_div((int64_t)month - 1, 12), (int)floor_mod((int64_t)month - 1, 12) + 1, day);
}

void civil_from_days(int64_t days, int64_t *ret_year, int *ret_month, int *ret_day)
{
	int64_t z = days + 719468, era = floor_div(z, 146097), doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

	*ret_day = (int)(doy - (153 * mp + 2) / 5 + 1);
	*ret_month = (int)(mp < 10 ? mp + 3 : mp - 9);
	*ret_year = yoe + era * 400 + (mp >= 10);
}

static bool is_leap(int64_t year)
{
	return floor_mod(year, 4) == 0 && (floor_mod(year, 100) != 0 || floor_mod(year, 400) == 0);
}

static int days_in_month(int64_t year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return days[month - 1] + (month == 2 && is_leap(year));
}

/* --- offsets ------------------------------------------------------------------------------------------------------ */

/* Local time of the rule date in `year`, as if it were UTC. */
static int64_t rule_local(const struct rule_date *d, int64_t year)
{
	int64_t day;

	if (d->kind == DATE_MONTH) {
		int64_t first = days_of(year, d->month, 1), weekday = floor_mod(first + 4, 7); /* 0 = Sunday */
		int of_month = (int)floor_mod(d->day - weekday, 7) + (d->week - 1) * 7;

		if (of_month >= days_in_month(year, d->month)) /* week 5: the last one */
			of_month -= 7;
		day = first + of_month;
	} else {
		day = days_of(year, 1, 1) + d->day;
		if (d->kind == DATE_JULIAN)
			day += d->day >= 60 && is_leap(year) ? 0 : -1;
	}
	return day * DAY_S + d->time_s;
}

/* The switch of the rule may lie around New Year, so three years are looked at. When two switches fall together
 * (daylight time all year round), daylight time wins. */
static struct segment rule_segment(const struct rule *rule, int64_t t)
{
	struct segment s = {INT64_MIN, INT64_MAX, rule->std_offset};
	int64_t year;
	int month, day;

	if (!rule->has_dst)
		return s;
	civil_from_days(floor_div(t + rule->std_offset, DAY_S), &year, &month, &day);
	for (int64_t y = year - 1; y <= year + 1; y++) {
		const int64_t at[2] = {rule_local(&rule->dst_end, y) - rule->dst_offset,
				       rule_local(&rule->dst_begin, y) - rule->std_offset};

		for (int dst = 0; dst < 2; dst++) {
			if (at[dst] > t && at[dst] < s.end)
				s.end = at[dst];
			if (at[dst] > t || at[dst] < s.begin || (at[dst] == s.begin && !dst))
				continue;
			s.begin = at[dst];
			s.offset = dst ? rule->dst_offset : rule->std_offset;
		}
	}
	return s;
}

/* Number of transitions at or before t. */
static size_t transitions_until(const struct tz *tz, int64_t t)
{
	size_t low = 0, high = tz->n_transitions;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (tz->transitions[middle] <= t)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct segment segment_at(const struct tz *tz, int64_t t)
{
	size_t i = transitions_until(tz, t), n = tz->n_transitions;
	struct segment s;

	if (i == n && tz->rule.present) {
		s = rule_segment(&tz->rule, t);
	} else {
		s.end = i < n ? tz->transitions[i] : INT64_MAX;
		s.offset = i > 0 ? tz->offsets[i - 1] : tz->first_offset;
		s.begin = INT64_MIN;
	}
	if (i > 0 && s.begin < tz->transitions[i - 1])
		s.begin = tz->transitions[i - 1];
	return s;
}

static int64_t clamp_unix(int64_t t)
{
	return t > UNIX_MAX ? UNIX_MAX : t < -UNIX_MAX ? -UNIX_MAX : t;
}

int32_t tz_offset_at(const struct tz *tz, int64_t unix_s)
{
	return segment_at(tz, clamp_unix(unix_s)).offset;
}

const char *tz_name(const struct tz *tz)
{
	return tz->name;
}

void civil_from_unix(const struct tz *tz, int64_t unix_s, struct civil *ret)
{
	int64_t local = clamp_unix(unix_s), of_day;

	local += tz_offset_at(tz, local);
	of_day = floor_mod(local, DAY_S);
	civil_from_days(floor_div(local, DAY_S), &ret->year, &ret->month, &ret->day);
	ret->hour = (int)(of_day / 3600);
	ret->minute = (int)(of_day / 60 % 60);
	ret->second = (int)(of_day % 60);
}

/* --- windows ------------------------------------------------------------------------------------------------------ */

/* First instant at which local time has reached the midnight `days` begins with. A date that the zone left out
 * begins, empty, where the next one does; a midnight that comes twice counts the first time. */
static int64_t day_start(const struct tz *tz, int64_t days)
{
	int64_t midnight = days * DAY_S, t = midnight - OFFSET_MAX - 1;

	for (;;) {
		struct segment s = segment_at(tz, t);
		int64_t at = midnight - s.offset;

		if (at < t)
			at = t;
		if (at < s.end)
			return at;
		t = s.end;
	}
}

int64_t local_day_start(const struct tz *tz, int64_t year, int month, int day)
{
	const int64_t year_max = 1000000000; /* days in seconds stay far from overflow */

	if (year > year_max)
		year = year_max;
	if (year < -year_max)
		year = -year_max;
	return day_start(tz, days_from_civil(year, month, day));
}

/* Local hours. A switch by whole hours leaves the boundaries alone; one that moves them (Lord Howe) is a boundary. */
static void hour_at(const struct tz *tz, int64_t t, int64_t *ret_start, int64_t *ret_end)
{
	struct segment s = segment_at(tz, t), other;
	int64_t start = t - floor_mod(t + s.offset, 3600), end = start + 3600;
	int64_t begin = s.begin, until = s.end;

	while (begin > start) {
		other = segment_at(tz, begin - 1);
		if ((other.offset - s.offset) % 3600 != 0)
			start = begin;
		begin = other.begin;
	}
	while (until < end) {
		other = segment_at(tz, until);
		if ((other.offset - s.offset) % 3600 != 0)
			end = until;
		until = other.end;
	}
	*ret_start = start;
	*ret_end = end;
}

/* The first local date of a window; month and day may be out of range upwards. */
struct label {
	int64_t year;
	int month, day;
};

static struct label label_of(const struct window_spec *spec, const struct civil *c)
{
	struct label l = {c->year, c->month, c->day};
	int anchor = spec->month_anchor >= 1 && spec->month_anchor <= 28 ? spec->month_anchor : 1;

	switch (spec->kind) {
	case WINDOW_WEEK: {
		int64_t weekday = floor_mod(days_of(c->year, c->month, c->day) + 3, 7); /* 0 = Monday */

		l.day -= (int)floor_mod(weekday - spec->week_start, 7);
		break;
	}
	case WINDOW_MONTH:
		l.month -= c->day < anchor;
		l.day = anchor;
		break;
	case WINDOW_QUARTER:
		l.month = (c->month - 1) / 3 * 3 + 1;
		l.day = 1;
		break;
	case WINDOW_YEAR:
		l.month = l.day = 1;
		break;
	default:
		break;
	}
	return l;
}

static struct label label_next(enum window_kind kind, struct label l)
{
	switch (kind) {
	case WINDOW_WEEK:
		l.day += 7;
		break;
	case WINDOW_MONTH:
		l.month++;
		break;
	case WINDOW_QUARTER:
		l.month += 3;
		break;
	case WINDOW_YEAR:
		l.year++;
		break;
	default:
		l.day++;
		break;
	}
	return l;
}

void window_at(const struct window_spec *spec, int64_t unix_s, int64_t *ret_start, int64_t *ret_end)
{
	const struct tz *tz = spec->tz ? spec->tz : &utc;
	int64_t t = clamp_unix(unix_s), start, end;
	struct civil c;
	struct label l;

	if (spec->kind == WINDOW_TOTAL) {
		*ret_start = 0;
		*ret_end = INT64_MAX;
		return;
	}
	if (spec->kind == WINDOW_HOUR) {
		hour_at(tz, t, ret_start, ret_end);
		return;
	}
	civil_from_unix(tz, t, &c);
	l = label_of(spec, &c);
	start = local_day_start(tz, l.year, l.month, l.day);
	for (;;) {
		l = label_next(spec->kind, l);
		end = local_day_start(tz, l.year, l.month, l.day);
		if (end > t)
			break;
		start = end; /* the clock was put back over midnight: the new window had begun */
	}
	*ret_start = start;
	*ret_end = end;
}

/* --- the POSIX footer --------------------------------------------------------------------------------------------- */

struct scan {
	const char *p, *end;
};

static bool take(struct scan *s, char c)
{
	if (s->p == s->end || *s->p != c)
		return false;
	s->p++;
	return true;
}

static int take_number(struct scan *s, int min, int max, int *ret)
{
	int v = 0;
	const char *begin = s->p;

	while (s->p < s->end && *s->p >= '0' && *s->p <= '9' && s->p - begin < 4)
		v = v * 10 + (*s->p++ - '0');
	if (s->p == begin || v < min || v > max)
		return BUR_INVALID;
	*ret = v;
	return BUR_OK;
}

static int take_name(struct scan *s)
{
	const char *begin = s->p;

	if (take(s, '<')) {
		while (s->p < s->end && *s->p != '>')
			s->p++;
		return take(s, '>') ? BUR_OK : BUR_INVALID;
	}
	while (s->p < s->end && ((*s->p >= 'A' && *s->p <= 'Z') || (*s->p >= 'a' && *s->p <= 'z')))
		s->p++;
	return s->p - begin >= 3 ? BUR_OK : BUR_INVALID;
}

/* [+-]hh[:mm[:ss]] */
static int take_time(struct scan *s, int hours_max, int32_t *ret)
{
	bool negative = take(s, '-');
	int hours, minutes = 0, seconds = 0;

	if (!negative)
		(void)take(s, '+');
	if (take_number(s, 0, hours_max, &hours) < 0)
		return BUR_INVALID;
	if (take(s, ':')) {
		if (take_number(s, 0, 59, &minutes) < 0)
			return BUR_INVALID;
		if (take(s, ':') && take_number(s, 0, 59, &seconds) < 0)
			return BUR_INVALID;
	}
	*ret = hours * 3600 + minutes * 60 + seconds;
	if (negative)
		*ret = -*ret;
	return BUR_OK;
}

static int take_month_date(struct scan *s, struct rule_date *d)
{
	d->kind = DATE_MONTH;
	if (take_number(s, 1, 12, &d->month) < 0 || !take(s, '.'))
		return BUR_INVALID;
	if (take_number(s, 1, 5, &d->week) < 0 || !take(s, '.'))
		return BUR_INVALID;
	return take_number(s, 0, 6, &d->day);
}

static int take_date(struct scan *s, struct rule_date *d)
{
	int r;

	if (!take(s, ','))
		return BUR_INVALID;
	if (take(s, 'M')) {
		r = take_month_date(s, d);
	} else if (take(s, 'J')) {
		d->kind = DATE_JULIAN;
		r = take_number(s, 1, 365, &d->day);
	} else {
		d->kind = DATE_ZERO_BASED;
		r = take_number(s, 0, 365, &d->day);
	}
	d->time_s = 2 * 3600;
	if (r >= 0 && take(s, '/'))
		r = take_time(s, 167, &d->time_s);
	return r;
}

/* "CET-1CEST,M3.5.0,M10.5.0/3"; POSIX counts west as positive. */
static int rule_parse(struct slice text, struct rule *ret)
{
	struct scan s = {text.p, text.p + text.n};
	struct rule rule = {.present = true};

	if (text.n == 0)
		return BUR_OK; /* no rule: the last offset stays */
	if (take_name(&s) < 0 || take_time(&s, 24, &rule.std_offset) < 0)
		return BUR_INVALID;
	rule.std_offset = -rule.std_offset;
	if (s.p < s.end) {
		rule.has_dst = true;
		rule.dst_offset = rule.std_offset + 3600;
		if (take_name(&s) < 0)
			return BUR_INVALID;
		if (s.p < s.end && *s.p != ',') {
			if (take_time(&s, 24, &rule.dst_offset) < 0)
				return BUR_INVALID;
			rule.dst_offset = -rule.dst_offset;
		}
		if (take_date(&s, &rule.dst_begin) < 0 || take_date(&s, &rule.dst_end) < 0 || s.p < s.end)
			return BUR_INVALID;
	}
	*ret = rule;
	return BUR_OK;
}

/* --- TZif files --------------------------------------------------------------------------------------------------- */

struct tzif_head {
	uint32_t n_utc, n_std, n_leap, n_time, n_type, n_char;
};

#define TZIF_HEAD_BYTES 44

static uint64_t big_endian(const char *p, int n)
{
	uint64_t v = 0;

	for (int i = 0; i < n; i++)
		v = v << 8 | (unsigned char)p[i];
	return v;
}

/* Reads a header and returns the size of the data block that follows it; negative when malformed. */
static int64_t tzif_head(struct slice file, int time_bytes, struct tzif_head *h)
{
	uint32_t *const fields[] = {&h->n_utc, &h->n_std, &h->n_leap, &h->n_time, &h->n_type, &h->n_char};
	int64_t body;

	if (file.n < TZIF_HEAD_BYTES || memcmp(file.p, "TZif", 4) != 0 || file.p[4] < '2')
		return BUR_INVALID; /* version 1 has no rule and ends in 2038 */
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		*fields[i] = (uint32_t)big_endian(file.p + 20 + 4 * i, 4);
		if (*fields[i] > TRANSITIONS_MAX)
			return BUR_INVALID;
	}
	body = (int64_t)h->n_time * (time_bytes + 1) + (int64_t)h->n_type * 6 + h->n_char +
	       (int64_t)h->n_leap * (time_bytes + 4) + h->n_std + h->n_utc;
	return body <= (int64_t)(file.n - TZIF_HEAD_BYTES) ? body : BUR_INVALID;
}

static int type_offset(const char *types, uint32_t n_types, uint32_t i, int32_t *ret)
{
	int32_t offset;

	if (i >= n_types)
		return BUR_INVALID;
	offset = (int32_t)(uint32_t)big_endian(types + (size_t)i * 6, 4);
	if (offset < -OFFSET_MAX || offset > OFFSET_MAX)
		return BUR_INVALID;
	*ret = offset;
	return BUR_OK;
}

static int read_transitions(struct tz *tz, const char *body, const struct tzif_head *h)
{
	const char *indexes = body + (size_t)h->n_time * 8, *types = indexes + h->n_time;

	if (h->n_type == 0 || type_offset(types, h->n_type, 0, &tz->first_offset) < 0)
		return BUR_INVALID;
	if (h->n_time == 0)
		return BUR_OK;
	tz->transitions = calloc(h->n_time, sizeof(*tz->transitions));
	tz->offsets = calloc(h->n_time, sizeof(*tz->offsets));
	if (!tz->transitions || !tz->offsets)
		return BUR_NOMEM;
	for (uint32_t i = 0; i < h->n_time; i++) {
		tz->transitions[i] = (int64_t)big_endian(body + (size_t)i * 8, 8);
		if (i > 0 && tz->transitions[i] <= tz->transitions[i - 1])
			return BUR_INVALID;
		if (type_offset(types, h->n_type, (unsigned char)indexes[i], &tz->offsets[i]) < 0)
			return BUR_INVALID;
	}
	tz->n_transitions = h->n_time;
	return BUR_OK;
}

static int tzif_parse(struct tz *tz, struct slice file)
{
	struct tzif_head h;
	struct slice footer;
	int64_t body;
	int r;

	body = tzif_head(file, 4, &h);
	if (body < 0)
		return BUR_INVALID;
	file = slice_sub(file, TZIF_HEAD_BYTES + (size_t)body, file.n);
	body = tzif_head(file, 8, &h);
	if (body < 0)
		return BUR_INVALID;
	r = read_transitions(tz, file.p + TZIF_HEAD_BYTES, &h);
	if (r < 0)
		return r;
	file = slice_sub(file, TZIF_HEAD_BYTES + (size_t)body, file.n);
	if (file.n < 2 || file.p[0] != '\n' || !slice_cut(slice_sub(file, 1, file.n), '\n', &footer, &file))
		return BUR_INVALID;
	return rule_parse(footer, &tz->rule);
}

/* --- loading ------------------------------------------------------------------------------------------------------ */

/* "Area/Place": nothing that could leave the folder. */
static bool name_ok(struct slice name)
{
	char before = '/';

	if (name.n == 0 || name.n > ZONE_NAME_MAX || name.p[name.n - 1] == '/')
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		bool alnum = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');

		if (c == '/' ? before == '/' : !alnum && c != '_' && c != '+' && c != '-')
			return false; /* a dot is in no name, so ".." is not either */
		before = c;
	}
	return true;
}

static int read_all(int fd, char *dst, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t got = read(fd, dst + done, n - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return BUR_IO;
		if (got == 0)
			return BUR_INVALID; /* shrank meanwhile */
		done += (size_t)got;
	}
	return BUR_OK;
}

/* The caller frees *ret_mem. */
static int read_zone_file(int fd, char **ret_mem, size_t *ret_n)
{
	struct stat st;
	char *mem;
	int r;

	if (fstat(fd, &st) < 0)
		return BUR_IO;
	if (!S_ISREG(st.st_mode))
		return BUR_NOTFOUND; /* a folder such as "Europe" */
	if (st.st_size <= 0 || st.st_size > ZONE_FILE_MAX)
		return BUR_INVALID;
	mem = malloc((size_t)st.st_size);
	if (!mem)
		return BUR_NOMEM;
	r = read_all(fd, mem, (size_t)st.st_size);
	if (r < 0) {
		free(mem);
		return r;
	}
	*ret_mem = mem;
	*ret_n = (size_t)st.st_size;
	return BUR_OK;
}

static int zone_open(const char *name, int *ret_fd)
{
	const char *folder = getenv("BURSAR_ZONEINFO");
	char path[4096];
	int n;

	n = snprintf(path, sizeof(path), "%s/%s", folder && *folder ? folder : "/usr/share/zoneinfo", name);
	if (n < 0 || n >= (int)sizeof(path))
		return BUR_INVALID;
	*ret_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (*ret_fd >= 0)
		return BUR_OK;
	return errno == ENOENT || errno == ENOTDIR ? BUR_NOTFOUND : BUR_IO;
}

static int zone_read(struct tz *tz)
{
	char *mem = NULL;
	size_t n;
	int fd, r;

	r = zone_open(tz->name, &fd);
	if (r < 0)
		return r;
	r = read_zone_file(fd, &mem, &n);
	if (r < 0)
		goto out;
	r = tzif_parse(tz, slice_mem(mem, n));
out:
	free(mem);
	(void)close(fd);
	return r;
}

int tz_load(const char *name, struct tz **ret)
{
	struct slice s = slice_of(name);
	struct tz *tz;
	int r = BUR_OK;

	if (!name_ok(s))
		return BUR_INVALID;
	tz = calloc(1, sizeof(*tz));
	if (!tz)
		return BUR_NOMEM;
	(void)slice_to_cstr(s, tz->name, sizeof(tz->name));
	if (!slice_eq(s, SLICE("UTC"))) /* works without any file */
		r = zone_read(tz);
	if (r < 0) {
		tz_free(tz);
		return r;
	}
	*ret = tz;
	return BUR_OK;
}

void tz_free(struct tz *tz)
{
	if (!tz)
		return;
	free(tz->transitions);
	free(tz->offsets);
	free(tz);
}

/* --- text --------------------------------------------------------------------------------------------------------- */

#define YEAR_0 INT64_C(-62167219200)    /* 0000-01-01 */
#define YEAR_9999 INT64_C(253402300799) /* its last second */

char *time_format(const struct tz *tz, int64_t unix_s, char dst[TIME_TEXT_MAX])
{
	int64_t t = unix_s < YEAR_0 + DAY_S * 2 ? YEAR_0 + DAY_S * 2 : unix_s, year, local;
	int month, day, of_day, offset;
	char zone[8] = "Z";

	if (t > YEAR_9999 - DAY_S * 2)
		t = YEAR_9999 - DAY_S * 2;
	offset = tz_offset_at(tz, t) / 60; /* RFC 3339 has minutes only; the instant stays exact */
	local = t + (int64_t)offset * 60;
	civil_from_days(floor_div(local, DAY_S), &year, &month, &day);
	of_day = (int)floor_mod(local, DAY_S);
	if (offset != 0 || strcmp(tz->name, "UTC") != 0)
		(void)snprintf(zone, sizeof(zone), "%c%02d:%02d", offset < 0 ? '-' : '+', abs(offset) / 60 % 100,
			       abs(offset) % 60);
	(void)snprintf(dst, TIME_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d%s", (int)year, month, day, of_day / 3600,
		       of_day / 60 % 60, of_day % 60, zone);
	return dst;
}

static int take_digits(struct scan *s, int n, int min, int max, int *ret)
{
	struct scan part = {s->p, s->p + n};

	if (s->end - s->p < n || take_number(&part, min, max, ret) < 0 || part.p != part.end)
		return BUR_INVALID;
	s->p += n;
	return BUR_OK;
}

static int take_civil_date(struct scan *s, int64_t *ret_days)
{
	int year, month, day;

	if (take_digits(s, 4, 0, 9999, &year) < 0 || !take(s, '-') || take_digits(s, 2, 1, 12, &month) < 0 ||
	    !take(s, '-') || take_digits(s, 2, 1, days_in_month(year, month), &day) < 0)
		return BUR_INVALID;
	*ret_days = days_of(year, month, day);
	return BUR_OK;
}

/* ".123": what is finer than a nanosecond is cut off. */
static int take_fraction(struct scan *s, int64_t *ret_ns)
{
	int64_t unit = 100000000, ns = 0;
	const char *begin = s->p;

	for (; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++, unit /= 10)
		ns += unit * (*s->p - '0');
	*ret_ns = ns;
	return s->p > begin ? BUR_OK : BUR_INVALID;
}

static int take_zone(struct scan *s, int *ret_offset)
{
	bool negative;
	int hours, minutes;

	*ret_offset = 0;
	if (take(s, 'Z') || take(s, 'z'))
		return BUR_OK;
	negative = take(s, '-');
	if (!negative && !take(s, '+'))
		return BUR_INVALID;
	if (take_digits(s, 2, 0, 23, &hours) < 0 || !take(s, ':') || take_digits(s, 2, 0, 59, &minutes) < 0)
		return BUR_INVALID;
	*ret_offset = (hours * 3600 + minutes * 60) * (negative ? -1 : 1);
	return BUR_OK;
}

static int take_clock(struct scan *s, int64_t *ret_s, int64_t *ret_ns)
{
	int hour, minute, second, offset;

	if (take_digits(s, 2, 0, 23, &hour) < 0 || !take(s, ':') || take_digits(s, 2, 0, 59, &minute) < 0 ||
	    !take(s, ':') || take_digits(s, 2, 0, 60, &second) < 0) /* 60: a leap second is the next second */
		return BUR_INVALID;
	*ret_ns = 0;
	if (take(s, '.') && take_fraction(s, ret_ns) < 0)
		return BUR_INVALID;
	if (take_zone(s, &offset) < 0)
		return BUR_INVALID;
	*ret_s = hour * 3600 + minute * 60 + second - offset;
	return BUR_OK;
}

int time_parse(struct slice text, int64_t *ret_ns)
{
	struct scan s = {text.p, text.p ? text.p + text.n : NULL};
	int64_t days, seconds = 0, fraction_ns = 0, ns;

	if (text.n < 10 || take_civil_date(&s, &days) < 0)
		return BUR_INVALID;
	if (s.p < s.end) {
		if (!take(&s, 'T') && !take(&s, 't') && !take(&s, ' '))
			return BUR_INVALID;
		if (take_clock(&s, &seconds, &fraction_ns) < 0)
			return BUR_INVALID;
	}
	if (s.p != s.end)
		return BUR_INVALID;
	seconds += days * DAY_S;
	if (__builtin_mul_overflow(seconds, INT64_C(1000000000), &ns) || __builtin_add_overflow(ns, fraction_ns, &ns))
		return BUR_OVERFLOW;
	*ret_ns = ns;
	return BUR_OK;
}
