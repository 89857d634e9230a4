#include "store/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/slice.h"
#include "store/fault.h"

#define HEADER_BYTES 4096
#define JOURNAL_VERSION 1u
#define SLOTS_MAX (1u << 20)

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file is little endian");

struct header {
	char magic[4];
	uint32_t version, slot_bytes, slots;
	uint8_t node[16], database[16];
	uint32_t boot, crc; /* the CRC covers what stands before it */
};

struct slot {
	_Atomic uint64_t commit;
	uint64_t hold_id;
	uint8_t uid[16];
	int64_t created_ns;
	uint32_t price_version;
	uint16_t n_meters, flags;
	struct journal_cell cell[2];
	uint32_t ids[JOURNAL_NAMES], zero;
	int64_t input_bound_nanousd;
	struct journal_meter meters[JOURNAL_METERS_MAX];
	uint8_t trace[40];
};

_Static_assert(sizeof(struct slot) == JOURNAL_SLOT_BYTES, "slot layout");
_Static_assert(sizeof(struct journal_cell) == 64 && offsetof(struct slot, cell) == 48, "cell layout");
_Static_assert(offsetof(struct slot, ids) == 176 && offsetof(struct slot, input_bound_nanousd) == 208, "slot layout");
_Static_assert(offsetof(struct slot, meters) == 216 && offsetof(struct slot, trace) == 472, "slot layout");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "the commit word must be one plain store");

struct journal {
	struct slot *slots;
	void *map;
	size_t map_bytes;
	uint32_t n;
	int fd;
	_Atomic bool dirty;
};

/* --- the commit word: state:8 | cell:1 | generation:23 | crc32c:32, from the low bits up -------------------------- */

static unsigned word_state(uint64_t w)
{
	return (unsigned)(w & 0xff);
}

static unsigned word_cell(uint64_t w)
{
	return (unsigned)(w >> 8 & 1);
}

static uint32_t word_generation(uint64_t w)
{
	return (uint32_t)(w >> 9 & 0x7fffff);
}

static uint32_t word_crc(uint64_t w)
{
	return (uint32_t)(w >> 32);
}

static uint64_t word_make(enum slot_state state, unsigned cell, uint32_t generation, uint32_t crc)
{
	return (uint64_t)state | (uint64_t)cell << 8 | (uint64_t)(generation & 0x7fffff) << 9 | (uint64_t)crc << 32;
}

static uint32_t slot_crc(const struct slot *s, unsigned cell)
{
	const char *p = (const char *)s;
	uint32_t crc = crc32c(0, p + 8, 40);

	crc = crc32c(crc, &s->cell[cell], sizeof s->cell[cell]);
	return crc32c(crc, p + 176, JOURNAL_SLOT_BYTES - 176);
}

static void commit(struct journal *j, struct slot *s, uint64_t word, enum kill_step step)
{
	kill_step(step, false);
	atomic_store_explicit(&s->commit, word, memory_order_release);
	atomic_signal_fence(memory_order_seq_cst); /* and what is written next is not moved before it */
	kill_step(step, true);
	if (!atomic_load_explicit(&j->dirty, memory_order_relaxed))
		atomic_store_explicit(&j->dirty, true, memory_order_relaxed);
}

static struct slot *slot_at(const struct journal *j, uint32_t i)
{
	CHECK(i < j->n);
	return &j->slots[i];
}

/* --- file --------------------------------------------------------------------------------------------------------- */

static int fail(char *reterr, size_t reterr_size, int code, const char *path, const char *what)
{
	(void)snprintf(reterr, reterr_size, "%s: %s", path, what);
	return code;
}

static uint32_t header_crc(const struct header *h)
{
	return crc32c(0, h, offsetof(struct header, crc));
}

/* One pwrite: a kill leaves the old or the new header, never a mixture. */
static int header_write(int fd, struct header *h)
{
	h->crc = header_crc(h);
	return pwrite(fd, h, sizeof *h, 0) == (ssize_t)sizeof *h ? BUR_OK : BUR_IO;
}

/* The file appears under its name only when it is whole. */
static int create(const char *path, uint32_t slots, const struct journal_ids *ids, char *reterr, size_t reterr_size)
{
	struct header h = {
	    .magic = "BUJ1", .version = JOURNAL_VERSION, .slot_bytes = JOURNAL_SLOT_BYTES, .slots = slots};
	char tmp[4096];
	int fd = -1, r = BUR_IO, n, e;

	n = snprintf(tmp, sizeof tmp, "%s.new", path);
	if (n < 0 || (size_t)n >= sizeof tmp)
		return fail(reterr, reterr_size, BUR_TOOBIG, path, "the path is too long");
	memcpy(h.node, ids->node, sizeof h.node);
	memcpy(h.database, ids->database, sizeof h.database);
	fd = open(tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail(reterr, reterr_size, BUR_IO, tmp, os_error(errno));
	e = posix_fallocate(fd, 0, HEADER_BYTES + (off_t)slots * JOURNAL_SLOT_BYTES);
	if (e != 0) {
		(void)fail(reterr, reterr_size, BUR_IO, tmp, os_error(e));
		goto out;
	}
	if (header_write(fd, &h) < 0 || fsync(fd) < 0 || rename(tmp, path) < 0) {
		(void)fail(reterr, reterr_size, BUR_IO, tmp, os_error(errno));
		goto out;
	}
	r = BUR_OK;
out:
	(void)close(fd);
	if (r < 0)
		(void)unlink(tmp);
	return r;
}

static const char *header_problem(const struct header *h, const struct journal_ids *ids, off_t size)
{
	if (memcmp(h->magic, "BUJ1", 4) != 0 || h->crc != header_crc(h))
		return "not a journal, or its header is damaged";
	if (h->version != JOURNAL_VERSION || h->slot_bytes != JOURNAL_SLOT_BYTES)
		return "written by another version of bursar";
	if (h->slots == 0 || h->slots > SLOTS_MAX || size != HEADER_BYTES + (off_t)h->slots * JOURNAL_SLOT_BYTES)
		return "its size does not fit its header";
	if (memcmp(h->database, ids->database, sizeof h->database) != 0)
		return "belongs to another database: it and bursar.db must be kept and restored together";
	return NULL;
}

static int load(struct journal *j, const char *path, const struct journal_ids *ids, uint32_t *ret_boot, char *reterr,
		size_t reterr_size)
{
	struct header h;
	struct stat st;
	const char *problem;
	ssize_t n;

	if (fstat(j->fd, &st) < 0)
		return fail(reterr, reterr_size, BUR_IO, path, os_error(errno));
	n = pread(j->fd, &h, sizeof h, 0);
	if (n < 0)
		return fail(reterr, reterr_size, BUR_IO, path, os_error(errno));
	problem = n == (ssize_t)sizeof h ? header_problem(&h, ids, st.st_size) : "too short to be a journal";
	if (problem)
		return fail(reterr, reterr_size, BUR_CORRUPT, path, problem);
	h.boot++;
	if (header_write(j->fd, &h) < 0)
		return fail(reterr, reterr_size, BUR_IO, path, os_error(errno));
	j->n = h.slots;
	j->map_bytes = (size_t)st.st_size;
	j->map = mmap(NULL, j->map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, j->fd, 0);
	if (j->map == MAP_FAILED) {
		j->map = NULL;
		return fail(reterr, reterr_size, BUR_IO, path, os_error(errno));
	}
	(void)mlock(j->map, j->map_bytes); /* best effort: the limit is often small */
	j->slots = (struct slot *)(void *)((char *)j->map + HEADER_BYTES);
	*ret_boot = h.boot;
	return BUR_OK;
}

int journal_open(const char *path, uint32_t slots, const struct journal_ids *ids, struct journal **ret,
		 uint32_t *ret_boot, char *reterr, size_t reterr_size)
{
	struct journal *j;
	int r;

	if (slots == 0 || slots > SLOTS_MAX)
		return fail(reterr, reterr_size, BUR_INVALID, path, "the number of slots must be 1 to 1048576");
	if (access(path, F_OK) < 0 && errno == ENOENT) {
		r = create(path, slots, ids, reterr, reterr_size);
		if (r < 0)
			return r;
	}
	j = calloc(1, sizeof *j);
	if (!j)
		return fail(reterr, reterr_size, BUR_NOMEM, path, "out of memory");
	j->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (j->fd < 0)
		r = fail(reterr, reterr_size, BUR_IO, path, os_error(errno));
	else
		r = load(j, path, ids, ret_boot, reterr, reterr_size);
	if (r < 0) {
		journal_close(j);
		return r;
	}
	*ret = j;
	return BUR_OK;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	if (j->map)
		(void)munmap(j->map, j->map_bytes);
	if (j->fd >= 0)
		(void)close(j->fd);
	free(j);
}

uint32_t journal_slots(const struct journal *j)
{
	return j->n;
}

const void *journal_map(const struct journal *j, size_t *ret_bytes)
{
	*ret_bytes = j->map_bytes;
	return j->map;
}

int journal_flush(struct journal *j)
{
	if (!atomic_exchange(&j->dirty, false))
		return BUR_OK;
	if (msync(j->map, j->map_bytes, MS_SYNC) == 0)
		return BUR_OK;
	atomic_store(&j->dirty, true);
	return BUR_IO;
}

/* --- slots -------------------------------------------------------------------------------------------------------- */

static void decode(const struct slot *s, uint64_t word, struct journal_entry *e)
{
	e->state = (enum slot_state)word_state(word);
	e->hold_id = s->hold_id;
	memcpy(e->uid, s->uid, sizeof e->uid);
	e->created_ns = s->created_ns;
	e->price_version = s->price_version;
	e->n_meters = s->n_meters;
	e->flags = s->flags;
	e->cell = s->cell[word_cell(word)];
	memcpy(e->ids, s->ids, sizeof e->ids);
	e->input_bound_nanousd = s->input_bound_nanousd;
	memcpy(e->meters, s->meters, sizeof e->meters);
	memcpy(e->trace, s->trace, sizeof e->trace);
}

int journal_read(const struct journal *j, uint32_t i, struct journal_entry *ret)
{
	const struct slot *s = slot_at(j, i);
	uint64_t word = atomic_load_explicit(&s->commit, memory_order_acquire);

	if (word_state(word) == SLOT_FREE)
		return BUR_NOTFOUND;
	if (word_state(word) > SLOT_SETTLED || word_crc(word) != slot_crc(s, word_cell(word)))
		return BUR_CORRUPT;
	if (s->n_meters > JOURNAL_METERS_MAX)
		return BUR_CORRUPT;
	decode(s, word, ret);
	return BUR_OK;
}

const void *journal_raw(const struct journal *j, uint32_t i)
{
	return slot_at(j, i);
}

void journal_reserve(struct journal *j, uint32_t i, const struct journal_entry *e)
{
	struct slot *s = slot_at(j, i);
	uint64_t word = atomic_load_explicit(&s->commit, memory_order_relaxed);
	size_t n = e->n_meters;

	CHECK(word_state(word) == SLOT_FREE);
	CHECK(n <= JOURNAL_METERS_MAX);
	s->hold_id = e->hold_id;
	memcpy(s->uid, e->uid, sizeof s->uid);
	s->created_ns = e->created_ns;
	s->price_version = e->price_version;
	s->n_meters = e->n_meters;
	s->flags = e->flags;
	s->cell[0] = e->cell;
	memcpy(s->ids, e->ids, sizeof s->ids);
	s->zero = 0;
	s->input_bound_nanousd = e->input_bound_nanousd;
	memcpy(s->meters, e->meters, n * sizeof s->meters[0]);
	memset(s->meters + n, 0, (JOURNAL_METERS_MAX - n) * sizeof s->meters[0]);
	memcpy(s->trace, e->trace, sizeof s->trace);
	commit(j, s, word_make(SLOT_RESERVED, 0, word_generation(word) + 1, slot_crc(s, 0)), KILL_RESERVED);
}

void journal_sent(struct journal *j, uint32_t i)
{
	struct slot *s = slot_at(j, i);
	uint64_t word = atomic_load_explicit(&s->commit, memory_order_relaxed);

	CHECK(word_state(word) == SLOT_RESERVED);
	/* Nothing but the state changes, so the CRC stays. */
	commit(j, s, word_make(SLOT_SENT, word_cell(word), word_generation(word), word_crc(word)), KILL_SENT);
}

static void change(struct journal *j, struct slot *s, uint64_t word, enum slot_state state,
		   const struct journal_cell *c)
{
	unsigned other = word_cell(word) ^ 1;

	s->cell[other] = *c;
	commit(j, s, word_make(state, other, word_generation(word), slot_crc(s, other)),
	       state == SLOT_SETTLED ? KILL_SETTLED : KILL_UPDATED);
}

void journal_update(struct journal *j, uint32_t i, const struct journal_cell *c)
{
	struct slot *s = slot_at(j, i);
	uint64_t word = atomic_load_explicit(&s->commit, memory_order_relaxed);
	unsigned state = word_state(word);

	CHECK(state == SLOT_RESERVED || state == SLOT_SENT);
	change(j, s, word, (enum slot_state)state, c);
}

void journal_settle(struct journal *j, uint32_t i, const struct journal_cell *c)
{
	struct slot *s = slot_at(j, i);
	uint64_t word = atomic_load_explicit(&s->commit, memory_order_relaxed);

	CHECK(word_state(word) == SLOT_SENT);
	change(j, s, word, SLOT_SETTLED, c);
}

void journal_release(struct journal *j, uint32_t i)
{
	struct slot *s = slot_at(j, i);
	uint64_t word = atomic_load_explicit(&s->commit, memory_order_relaxed);

	commit(j, s, word_make(SLOT_FREE, 0, word_generation(word), 0), KILL_FREED);
}
