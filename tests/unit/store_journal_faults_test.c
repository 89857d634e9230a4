/* The journal's file when disk or memory fail at any place, and headers that are whole but wrong. */
#include <fcntl.h>

#include "store/journal.h"
#include "tests/unit/store_help.h"

#include "tests/unit/faults.h"

#define HEADER 4096
#define SLOTS 4

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

static int open_at(const char *where, uint32_t slots, struct journal **ret)
{
	uint32_t boot;
	char text[300] = "";
	int r = journal_open(where, slots, &ids, ret, &boot, text, sizeof text);

	assert_true(r == BUR_OK || strlen(text) > 0);
	return r;
}

/* `arg`: a new file each time, else the one that is there. */
static int attempt(void *arg)
{
	struct journal *j = NULL;
	char temporary[140];
	int r;

	if (arg)
		(void)unlink(path);
	r = open_at(path, SLOTS, &j);
	(void)snprintf(temporary, sizeof temporary, "%s.new", path);
	assert_int_equal(access(temporary, F_OK), -1);
	if (r == BUR_OK)
		journal_close(j);
	return r;
}

static void every_call_fails_in_turn(void **state)
{
	static int fresh;

	(void)state;
	assert_int_equal(every_fault(FAULTY_OPEN, EACCES, BUR_IO, attempt, &fresh), 2);
	assert_int_equal(every_fault(FAULTY_SPACE, ENOSPC, BUR_IO, attempt, &fresh), 1);
	assert_int_equal(every_fault(FAULTY_WRITE, EIO, BUR_IO, attempt, &fresh), 2);
	assert_int_equal(every_fault(FAULTY_WRITE, 0, BUR_IO, attempt, &fresh), 2);
	assert_int_equal(every_fault(FAULTY_SYNC, EIO, BUR_IO, attempt, &fresh), 1);
	assert_int_equal(every_fault(FAULTY_RENAME, EXDEV, BUR_IO, attempt, &fresh), 1);
	assert_int_equal(every_fault(FAULTY_STAT, EIO, BUR_IO, attempt, NULL), 1);
	assert_int_equal(every_fault(FAULTY_READ, EIO, BUR_IO, attempt, NULL), 1);
	assert_int_equal(every_fault(FAULTY_READ, 0, BUR_CORRUPT, attempt, NULL), 1);
	assert_int_equal(every_fault(FAULTY_MAP, ENOMEM, BUR_IO, attempt, NULL), 1);
	assert_int_equal(every_fault(FAULTY_ALLOC, ENOMEM, BUR_NOMEM, attempt, NULL), 1);
	journal_close(NULL);
}

static void odd_paths_and_numbers(void **state)
{
	struct journal *j = NULL;
	char longest[4094];

	(void)state;
	assert_int_equal(open_at(path, (1u << 20) + 1, &j), BUR_INVALID);
	assert_int_equal(open_at("/etc/passwd/j", SLOTS, &j), BUR_IO);
	for (size_t i = 0; i < sizeof longest; i++)
		longest[i] = i % 2 ? 'a' : '/';
	longest[sizeof longest - 1] = '\0';
	assert_int_equal(open_at(longest, SLOTS, &j), BUR_TOOBIG);
}

/* Changes a number of the header, whose checksum then fits again. */
static void set_header(size_t at, uint32_t value)
{
	unsigned char header[56];
	uint32_t crc;
	int fd = open(path, O_RDWR);

	assert_int_equal(pread(fd, header, sizeof header, 0), sizeof header);
	memcpy(header + at, &value, sizeof value);
	crc = crc32c(0, header, 52);
	memcpy(header + 52, &crc, sizeof crc);
	assert_int_equal(pwrite(fd, header, sizeof header, 0), sizeof header);
	(void)close(fd);
}

static void whole_headers_that_are_wrong(void **state)
{
	static const struct {
		size_t at;
		uint32_t wrong;
	} cases[] = {{0, 0x584a5542}, {4, 2}, {8, 1024}, {12, 0}, {12, (1u << 20) + 1}, {12, SLOTS + 1}};
	static const uint32_t good[] = {0x314a5542, 1, 512, SLOTS};
	struct journal *j = NULL;

	(void)state;
	assert_int_equal(open_at(path, SLOTS, &j), BUR_OK);
	journal_close(j);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		set_header(cases[i].at, cases[i].wrong);
		assert_int_equal(open_at(path, SLOTS, &j), BUR_CORRUPT);
		set_header(cases[i].at, good[cases[i].at / 4]);
	}
	assert_int_equal(open_at(path, SLOTS, &j), BUR_OK);
	journal_close(j);
}

/* Whole, and yet nothing that we would write. */
static void slot_with_too_many_counters(void **state)
{
	struct journal_entry e = {.hold_id = 1, .n_meters = 1};
	struct journal *j = NULL;
	unsigned char slot[512];
	uint64_t word;
	uint16_t n = JOURNAL_METERS_MAX + 1;
	int fd;

	(void)state;
	assert_int_equal(open_at(path, SLOTS, &j), BUR_OK);
	journal_reserve(j, 0, &e);
	journal_close(j);
	fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, slot, sizeof slot, HEADER), sizeof slot);
	memcpy(slot + 44, &n, sizeof n);
	memcpy(&word, slot, sizeof word);
	word = (word & UINT32_MAX) |
	       (uint64_t)crc32c(crc32c(crc32c(0, slot + 8, 40), slot + 48, 64), slot + 176, 512 - 176) << 32;
	memcpy(slot, &word, sizeof word);
	assert_int_equal(pwrite(fd, slot, sizeof slot, HEADER), sizeof slot);
	(void)close(fd);
	assert_int_equal(open_at(path, SLOTS, &j), BUR_OK);
	assert_int_equal(journal_read(j, 0, &e), BUR_CORRUPT);
	journal_close(j);
}

static void failed_flush_is_tried_again(void **state)
{
	struct journal_entry e = {.hold_id = 1};
	struct journal *j = NULL;

	(void)state;
	assert_int_equal(open_at(path, SLOTS, &j), BUR_OK);
	assert_int_equal(journal_flush(j), BUR_OK); /* nothing to do */
	journal_reserve(j, 0, &e);
	fault_arm(FAULTY_SYNC, 1, EIO);
	assert_int_equal(journal_flush(j), BUR_IO);
	assert_true(fault_met(FAULTY_SYNC));
	fault_arm(FAULTY_SYNC, 2, EIO);
	assert_int_equal(journal_flush(j), BUR_OK);
	assert_int_equal(journal_flush(j), BUR_OK); /* nothing left: the second is not asked for */
	assert_false(fault_met(FAULTY_SYNC));
	journal_close(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(every_call_fails_in_turn, setup, teardown),
	    cmocka_unit_test_setup_teardown(odd_paths_and_numbers, setup, teardown),
	    cmocka_unit_test_setup_teardown(whole_headers_that_are_wrong, setup, teardown),
	    cmocka_unit_test_setup_teardown(slot_with_too_many_counters, setup, teardown),
	    cmocka_unit_test_setup_teardown(failed_flush_is_tried_again, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
