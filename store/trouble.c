#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "store/internal.h"

#define KIND "system.degraded"
#define OBJECT "store"

/* --- what is noticed, with the lock of health held ---------------------------------------------------------------- */

/* The last place is never being written (see trouble_gather), so it may be changed to what holds now. Only storage that
 * comes and goes without any commit between gets there. */
static void push(struct trouble *t, enum trouble_level level, const char *text)
{
	struct trouble_note *n;

	if (t->n < TROUBLES_MAX)
		t->n++;
	n = &t->waiting[t->n - 1];
	*n = (struct trouble_note){.at_ns = clock_wall_ns(), .since_ns = t->since_ns, .level = level};
	(void)snprintf(n->text, sizeof n->text, "%s", text);
}

void trouble_is(struct trouble *t, enum trouble_level level, const char *text)
{
	if (level > t->told) {
		if (t->told == TROUBLE_NONE)
			t->since_ns = clock_wall_ns();
		t->told = level;
		push(t, level, text);
	} else if (level == TROUBLE_NONE && t->told != TROUBLE_NONE) {
		t->told = TROUBLE_NONE;
		push(t, level, "");
	}
}

/* --- what is written ---------------------------------------------------------------------------------------------- */

/* One row for each level of each trouble, however often it is written. */
static int64_t part_of(int64_t since_ns, enum trouble_level level)
{
	return since_ns % NS_PER_S / NS_PER_MS * 8 + (int64_t)level;
}

static int put(struct writer *w, const struct trouble_note *n)
{
	static const char *const severities[] = {NULL, "warning", "error", "critical"};
	bool over = n->level == TROUBLE_NONE;
	struct own_event e = {.kind = KIND,
			      .object = OBJECT,
			      .severity = severities[n->level],
			      .since_s = n->since_ns / NS_PER_S,
			      .part = part_of(n->since_ns, n->level),
			      .at_ns = n->at_ns,
			      .state = over ? NOTE_ENDED : NOTE_BEGAN};
	char text[sizeof n->text + 50];

	if (over)
		(void)snprintf(text, sizeof text, "Storage works again, after %lld s",
			       (long long)((n->at_ns - n->since_ns) / NS_PER_S));
	else
		(void)snprintf(text, sizeof text, "Storage: %s%s", n->text,
			       n->level == TROUBLE_DOWN && !strstr(n->text, "refused") ? "; hard budgets are refused"
										       : "");
	e.message = text;
	return event_put(w, &e);
}

bool trouble_gather(struct store *s)
{
	struct trouble *t = &s->health.trouble;

	(void)pthread_mutex_lock(&s->health.lock);
	s->writer.n_troubles = t->n < TROUBLES_MAX ? t->n : TROUBLES_MAX - 1;
	(void)pthread_mutex_unlock(&s->health.lock);
	return s->writer.n_troubles > 0;
}

int trouble_write(struct store *s)
{
	int rc = SQLITE_OK;

	for (size_t i = 0; i < s->writer.n_troubles && rc == SQLITE_OK; i++) {
		struct trouble_note n;

		(void)pthread_mutex_lock(&s->health.lock);
		n = s->health.trouble.waiting[i];
		(void)pthread_mutex_unlock(&s->health.lock);
		rc = put(&s->writer, &n);
	}
	return rc;
}

void trouble_committed(struct store *s)
{
	struct trouble *t = &s->health.trouble;
	size_t n = s->writer.n_troubles;

	if (n == 0)
		return;
	(void)pthread_mutex_lock(&s->health.lock);
	t->n -= n;
	memmove(t->waiting, t->waiting + n, t->n * sizeof t->waiting[0]);
	(void)pthread_mutex_unlock(&s->health.lock);
}

/* --- start-up ----------------------------------------------------------------------------------------------------- */

int trouble_load(struct store *s)
{
	struct trouble *t = &s->health.trouble;
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(
	    s->writer.db, "SELECT action,win_start,at_ppm FROM event WHERE uid=?1 AND kind=?2 ORDER BY id DESC LIMIT 1",
	    &st);

	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_int64(st, 1, note_number(KIND, SLICE(OBJECT)));
		(void)sqlite3_bind_text(st, 2, KIND, -1, SQLITE_STATIC);
		rc = sqlite3_step(st);
	}
	if (rc == SQLITE_ROW && sqlite3_column_int(st, 0) == NOTE_BEGAN) {
		int64_t part = sqlite3_column_int64(st, 2);

		t->told = (enum trouble_level)(part & 3);
		t->since_ns = sqlite3_column_int64(st, 1) * NS_PER_S + part / 8 * NS_PER_MS;
	}
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? BUR_OK : db_err(rc);
}
