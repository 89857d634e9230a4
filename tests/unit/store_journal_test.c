#include <fcntl.h>
#include <sys/stat.h>

#include "tests/unit/store_help.h"

static const struct journal_ids ids = {.node = "node", .database = "database"};
static char dir[64], path[128];

static int setup(void **state)
{
	(void)state;
	new_dir(dir);
	(void)snprintf(path, sizeof path, "%s/j", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	remove_dir(dir);
	return 0;
}

static struct journal *must(uint32_t slots, uint32_t *ret_boot)
{
	struct journal *j = NULL;
	uint32_t boot;
	char text[300];

	assert_int_equal(journal_open(path, slots, &ids, &j, ret_boot ? ret_boot : &boot, text, sizeof text), BUR_OK);
	return j;
}

static struct journal_entry entry(void)
{
	struct journal_entry e = {.hold_id = 0x1122334455667788, .created_ns = -5, .price_version = 9, .n_meters = 16};

	memset(e.uid, 0xab, sizeof e.uid);
	e.flags = 0x1234;
	e.cell = (struct journal_cell){.worst_nanousd = INT64_MAX, .actual_nanousd = 1, .searches = 8, .flags = 77};
	for (uint32_t i = 0; i < JOURNAL_NAMES; i++)
		e.ids[i] = 100 + i;
	e.input_bound_nanousd = 42;
	for (int i = 0; i < JOURNAL_METERS_MAX; i++)
		e.meters[i] = (struct journal_meter){.uid = UINT64_MAX - (uint64_t)i, .win_start = i};
	memset(e.trace, 't', sizeof e.trace);
	return e;
}

static void entry_equal(const struct journal_entry *a, const struct journal_entry *b)
{
	assert_int_equal(a->hold_id, b->hold_id);
	assert_memory_equal(a->uid, b->uid, 16);
	assert_int_equal(a->created_ns, b->created_ns);
	assert_int_equal(a->price_version, b->price_version);
	assert_int_equal(a->n_meters, b->n_meters);
	assert_int_equal(a->flags, b->flags);
	assert_memory_equal(&a->cell, &b->cell, sizeof a->cell);
	assert_memory_equal(a->ids, b->ids, sizeof a->ids);
	assert_int_equal(a->input_bound_nanousd, b->input_bound_nanousd);
	assert_memory_equal(a->meters, b->meters, sizeof a->meters);
	assert_memory_equal(a->trace, b->trace, sizeof a->trace);
}

static void life_of_a_slot(void **state)
{
	struct journal *j = must(4, NULL);
	struct journal_entry e = entry(), got;
	struct journal_cell c = e.cell;

	(void)state;
	assert_int_equal(journal_slots(j), 4);
	assert_int_equal(journal_read(j, 3, &got), BUR_NOTFOUND);
	journal_reserve(j, 3, &e);
	assert_int_equal(journal_read(j, 3, &got), BUR_OK);
	assert_int_equal(got.state, SLOT_RESERVED);
	entry_equal(&got, &e);
	c.worst_nanousd = 5;
	journal_update(j, 3, &c);
	journal_sent(j, 3);
	assert_int_equal(journal_read(j, 3, &got), BUR_OK);
	assert_int_equal(got.state, SLOT_SENT);
	assert_int_equal(got.cell.worst_nanousd, 5);
	c.actual_nanousd = 3;
	journal_settle(j, 3, &c);
	assert_int_equal(journal_read(j, 3, &got), BUR_OK);
	assert_int_equal(got.state, SLOT_SETTLED);
	e.cell = c;
	entry_equal(&got, &e);
	journal_release(j, 3);
	assert_int_equal(journal_read(j, 3, &got), BUR_NOTFOUND);
	journal_close(j);
}

static void survives_reopening(void **state)
{
	uint32_t boot1, boot2;
	struct journal *j = must(8, &boot1);
	struct journal_entry e = entry(), got;

	(void)state;
	journal_reserve(j, 0, &e);
	journal_sent(j, 0);
	assert_int_equal(journal_flush(j), BUR_OK);
	journal_close(j);
	j = must(1024, &boot2);
	assert_int_equal(boot2, boot1 + 1);
	assert_int_equal(journal_slots(j), 8); /* keeps its own number */
	assert_int_equal(journal_read(j, 0, &got), BUR_OK);
	assert_int_equal(got.state, SLOT_SENT);
	entry_equal(&got, &e);
	journal_close(j);
}

/* The layout in the header is what other tools read. */
static void layout_is_as_written(void **state)
{
	struct journal *j = must(2, NULL);
	struct journal_entry e = entry();
	const uint8_t *raw;
	uint64_t word;
	struct stat st;

	(void)state;
	journal_reserve(j, 1, &e);
	raw = journal_raw(j, 1);
	memcpy(&word, raw, 8);
	assert_int_equal(word & 0xff, SLOT_RESERVED);
	assert_int_equal(word >> 8 & 1, 0);
	assert_int_equal(word >> 9 & 0x7fffff, 1);
	assert_memory_equal(raw + 8, "\x88\x77\x66\x55\x44\x33\x22\x11", 8);
	assert_memory_equal(raw + 16, e.uid, 16);
	assert_memory_equal(raw + 48, &e.cell, 64);
	assert_memory_equal(raw + 176, e.ids, 28);
	assert_memory_equal(raw + 216, e.meters, 256);
	assert_memory_equal(raw + 472, e.trace, 40);
	{
		uint32_t crc = crc32c(crc32c(crc32c(0, raw + 8, 40), raw + 48, 64), raw + 176, 336);

		assert_int_equal(word >> 32, crc);
	}
	journal_release(j, 1);
	journal_reserve(j, 1, &e);
	memcpy(&word, raw, 8);
	assert_int_equal(word >> 9 & 0x7fffff, 2);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 4096 + 2 * 512);
	assert_int_equal(st.st_mode & 0777, 0600);
	journal_close(j);
}

static uint8_t *raw_of(struct journal *j, uint32_t slot)
{
	return (uint8_t *)(uintptr_t)journal_raw(j, slot);
}

static void every_flipped_byte_is_found(void **state)
{
	struct journal *j = must(1, NULL);
	struct journal_entry e = entry(), got;
	int found = 0;

	(void)state;
	journal_reserve(j, 0, &e);
	for (size_t i = 0; i < 512; i++) {
		uint8_t *raw = raw_of(j, 0);
		int r;

		raw[i] ^= 0x10;
		r = journal_read(j, 0, &got);
		if (i < 4)
			assert_true(r == BUR_CORRUPT || i > 0); /* state byte; the generation is free */
		else if (i >= 112 && i < 176)
			assert_int_equal(r, BUR_OK); /* the cell that is not in use */
		else
			assert_int_equal(r, BUR_CORRUPT);
		found += r == BUR_CORRUPT;
		raw[i] ^= 0x10;
	}
	assert_true(found >= 512 - 64 - 4);
	assert_int_equal(journal_read(j, 0, &got), BUR_OK);
	journal_close(j);
}

/* A kill between writing the other cell and the commit word: the old cell is selected and still right. */
static void half_written_change_leaves_the_old_cell(void **state)
{
	struct journal *j = must(1, NULL);
	struct journal_entry e = entry(), got;

	(void)state;
	journal_reserve(j, 0, &e);
	journal_sent(j, 0);
	memset(raw_of(j, 0) + 112, 0xee, 64);
	assert_int_equal(journal_read(j, 0, &got), BUR_OK);
	assert_int_equal(got.state, SLOT_SENT);
	entry_equal(&got, &e);
	journal_close(j);
}

static void damaged_or_foreign_files_are_refused(void **state)
{
	struct journal_ids other = {.node = "node", .database = "another"};
	struct journal *j = must(4, NULL);
	uint32_t boot;
	char text[300];
	int fd;

	(void)state;
	journal_close(j);
	assert_int_equal(journal_open(path, 4, &other, &j, &boot, text, sizeof text), BUR_CORRUPT);
	assert_non_null(strstr(text, "another database"));
	fd = open(path, O_RDWR);
	assert_int_equal(pwrite(fd, "\x07", 1, 9), 1);
	assert_int_equal(journal_open(path, 4, &ids, &j, &boot, text, sizeof text), BUR_CORRUPT);
	assert_int_equal(ftruncate(fd, 100), 0);
	assert_int_equal(journal_open(path, 4, &ids, &j, &boot, text, sizeof text), BUR_CORRUPT);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(journal_open(path, 4, &ids, &j, &boot, text, sizeof text), BUR_CORRUPT);
	assert_int_equal(journal_open(path, 0, &ids, &j, &boot, text, sizeof text), BUR_INVALID);
	(void)close(fd);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_true(journal_open(path, 4, &ids, &j, &boot, text, sizeof text) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(life_of_a_slot, setup, teardown),
	    cmocka_unit_test_setup_teardown(survives_reopening, setup, teardown),
	    cmocka_unit_test_setup_teardown(layout_is_as_written, setup, teardown),
	    cmocka_unit_test_setup_teardown(every_flipped_byte_is_found, setup, teardown),
	    cmocka_unit_test_setup_teardown(half_written_change_leaves_the_old_cell, setup, teardown),
	    cmocka_unit_test_setup_teardown(damaged_or_foreign_files_are_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
