#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "store/internal.h"

#define STUCK_NS (5 * NS_PER_S) /* a batch that takes longer counts as a failing disk */
#define WARN_FREE_BYTES (INT64_C(1) << 30)
#define WARN_FREE_PART 20      /* or a twentieth of the disk, if that is more */
#define TELL_AFTER_NS NS_PER_S /* a single commit that has to be repeated is nobody's trouble */

int64_t health_unpersisted(struct store *s)
{
	int64_t sum = 0;

	for (uint32_t i = 0; i < s->cfg.workers; i++) {
		/* Written first: what is settled meanwhile only makes the difference larger. */
		int64_t written = atomic_load_explicit(&s->workers[i].written_nanousd, memory_order_relaxed);
		int64_t settled = atomic_load_explicit(&s->workers[i].settled_nanousd, memory_order_relaxed);

		if (settled > written && __builtin_add_overflow(sum, settled - written, &sum))
			return INT64_MAX;
	}
	return sum;
}

static int64_t waiting_ns(struct store *s)
{
	int64_t since = atomic_load(&s->health.busy_since_ns);

	return since ? clock_mono_ns() - since : 0;
}

static bool over_grace(struct store *s)
{
	return waiting_ns(s) >= s->cfg.storage_grace_ns || health_unpersisted(s) >= s->cfg.max_unpersisted_nanousd;
}

static enum store_state work_out(struct store *s, char *text, size_t size)
{
	struct health *h = &s->health;

	text[0] = 0;
	if (h->damaged) {
		(void)snprintf(text, size,
			       "the database is damaged (%.80s): stop bursar, keep the directory, run `bursar verify`",
			       h->cause);
		return STORE_DAMAGED;
	}
	if (h->disk_low) {
		(void)snprintf(text, size, "only %lld MiB free in %.80s: hard budgets are refused below %lld MiB",
			       (long long)(h->free_bytes >> 20), s->dir, (long long)(s->cfg.min_free_bytes >> 20));
		return STORE_DOWN;
	}
	if (!h->failing && waiting_ns(s) < STUCK_NS)
		return STORE_OK;
	(void)snprintf(text, size, "the ledger cannot be written (%.80s): check the disk of %.60s",
		       h->failing ? h->cause : "the disk does not answer", s->dir);
	return over_grace(s) ? STORE_DOWN : STORE_LAGGING;
}

static enum trouble_level level_of(struct store *s, enum store_state state)
{
	if (state == STORE_DOWN)
		return TROUBLE_DOWN;
	if (state == STORE_LAGGING && waiting_ns(s) >= TELL_AFTER_NS)
		return TROUBLE_LAGGING;
	return s->health.disk_little ? TROUBLE_ROOM : TROUBLE_NONE;
}

void health_refresh(struct store *s)
{
	struct health *h = &s->health;
	enum store_state state, before;
	char text[sizeof h->text];

	(void)pthread_mutex_lock(&h->lock);
	state = work_out(s, text, sizeof text);
	before = (enum store_state)atomic_exchange(&h->state, (int)state);
	memcpy(h->text, text, sizeof text);
	if (state != STORE_DAMAGED) /* nothing is written any more */
		trouble_is(&h->trouble, level_of(s, state), state == STORE_OK ? h->room : text);
	(void)pthread_mutex_unlock(&h->lock);
	if (state != before)
		log_msg(state == STORE_OK ? LOG_INFO : LOG_ERROR, "store.health", "%s",
			state == STORE_OK ? "storage works again" : text);
}

static void set_cause(struct health *h, const char *cause)
{
	(void)snprintf(h->cause, sizeof h->cause, "%s", cause);
}

void health_failed(struct store *s, int sqlite_code, const char *cause)
{
	struct health *h = &s->health;

	(void)atomic_fetch_add(&h->commit_errors, 1);
	(void)pthread_mutex_lock(&h->lock);
	h->failing = true;
	if (db_is_damage(sqlite_code))
		h->damaged = true;
	set_cause(h, cause);
	(void)pthread_mutex_unlock(&h->lock);
	health_refresh(s);
}

void health_damaged(struct store *s, const char *cause)
{
	(void)pthread_mutex_lock(&s->health.lock);
	s->health.damaged = true;
	set_cause(&s->health, cause);
	(void)pthread_mutex_unlock(&s->health.lock);
	health_refresh(s);
}

void health_committed(struct store *s)
{
	struct health *h = &s->health;

	(void)atomic_fetch_add_explicit(&h->commits, 1, memory_order_relaxed);
	atomic_store(&h->busy_since_ns, 0);
	(void)pthread_mutex_lock(&h->lock);
	h->failing = false;
	(void)pthread_mutex_unlock(&h->lock);
}

static int64_t blocks_bytes(uint64_t blocks, uint64_t size)
{
	int64_t bytes;

	return __builtin_mul_overflow(blocks, size, &bytes) ? INT64_MAX : bytes;
}

/* Long before hard budgets stop; once for each time that it becomes little. */
static void note_room(struct store *s, int64_t bytes, int64_t whole_bytes)
{
	int64_t part = whole_bytes / WARN_FREE_PART, least = part > WARN_FREE_BYTES ? part : WARN_FREE_BYTES;
	struct health *h = &s->health;
	bool little = s->cfg.min_free_bytes >= 0 && bytes < least, warn;

	(void)pthread_mutex_lock(&h->lock);
	warn = little && !h->disk_little;
	h->disk_little = little;
	h->disk_low = bytes < s->cfg.min_free_bytes;
	(void)snprintf(h->room, sizeof h->room, "%lld MiB free in %.100s: hard budgets are refused below %lld MiB",
		       (long long)(bytes >> 20), s->dir, (long long)(s->cfg.min_free_bytes >> 20));
	(void)pthread_mutex_unlock(&h->lock);
	if (warn)
		log_msg(LOG_WARN, "store.disk", "%lld MiB free in %s: hard budgets are refused below %lld MiB",
			(long long)(bytes >> 20), s->dir, (long long)(s->cfg.min_free_bytes >> 20));
}

void health_check_disk(struct store *s)
{
	struct statvfs v;
	int64_t bytes;

	if (statvfs(s->dir, &v) < 0)
		return; /* the writer will notice */
	bytes = blocks_bytes(v.f_bavail, v.f_frsize);
	atomic_store(&s->health.free_bytes, bytes);
	note_room(s, bytes, blocks_bytes(v.f_blocks, v.f_frsize));
}

bool health_admits(struct store *s, const struct call *c)
{
	switch ((enum store_state)atomic_load(&s->health.state)) {
	case STORE_OK:
		return true;
	case STORE_LAGGING:
		/* Asked anew for each call: the state is only worked out once per turn of the writer. */
		return !c->hard || !over_grace(s);
	case STORE_DOWN:
		return !c->hard;
	case STORE_DAMAGED:
		break;
	}
	return !c->hard && c->entry.cell.worst_nanousd == 0;
}
