#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/unit/store_help.h"

static char dir[64], path[128];
static sqlite3 *db;

static int setup(void **state)
{
	char text[100];

	(void)state;
	new_dir(dir);
	(void)snprintf(path, sizeof path, "%s/names.log", dir);
	assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
	assert_int_equal(db_migrate(db, text, sizeof text), BUR_OK);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	(void)sqlite3_close(db);
	remove_dir(dir);
	return 0;
}

static struct names *must(void)
{
	struct names *n = NULL;
	char text[200];

	assert_int_equal(names_open(path, &n, text, sizeof text), BUR_OK);
	assert_int_equal(names_merge(n, db), BUR_OK);
	return n;
}

static void mirror(struct names *n)
{
	sqlite3_stmt *a, *b;

	assert_int_equal(db_prepare(db, "INSERT INTO name(id,kind,text) VALUES(?1,?2,?3)", &a), SQLITE_OK);
	assert_int_equal(db_prepare(db, "INSERT INTO meter_def(uid,budget,scope,unit) VALUES(?1,?2,?3,?4)", &b),
			 SQLITE_OK);
	assert_int_equal(names_mirror(n, a, b), SQLITE_OK);
	names_mirrored(n);
	assert_false(names_pending(n));
	(void)sqlite3_finalize(a);
	(void)sqlite3_finalize(b);
}

static void ids_are_stable_and_by_kind(void **state)
{
	struct names *n = must();
	uint32_t a = names_id(n, NAME_USER, SLICE("ann")), b = names_id(n, NAME_TEAM, SLICE("ann"));

	(void)state;
	assert_int_equal(names_id(n, NAME_USER, SLICE("")), 0);
	assert_int_not_equal(a, b);
	assert_int_equal(names_id(n, NAME_USER, SLICE("ann")), a);
	assert_int_equal(names_flush(n), BUR_OK);
	names_close(n);
	n = must();
	assert_int_equal(names_id(n, NAME_TEAM, SLICE("ann")), b);
	assert_int_equal(names_id(n, NAME_USER, SLICE("ann")), a);
	assert_int_equal(names_last_id(n), b);
	names_close(n);
}

static void many_names_and_hostile_bytes(void **state)
{
	struct names *n = must();
	uint32_t id[20000];
	char text[32];

	(void)state;
	for (int i = 0; i < 20000; i++) {
		int k = snprintf(text, sizeof text, "n%d%c\xff", i, i % 2 ? 0 : 1);

		id[i] = names_id(n, NAME_MODEL, slice_mem(text, (size_t)k));
	}
	names_close(n);
	n = must();
	for (int i = 0; i < 20000; i++) {
		int k = snprintf(text, sizeof text, "n%d%c\xff", i, i % 2 ? 0 : 1);

		assert_int_equal(names_id(n, NAME_MODEL, slice_mem(text, (size_t)k)), id[i]);
	}
	names_close(n);
}

static void long_names_are_shortened_but_distinct(void **state)
{
	struct names *n = must();
	char a[5000], b[5000];

	(void)state;
	memset(a, 'x', sizeof a);
	memset(b, 'x', sizeof b);
	b[4999] = 'y';
	assert_int_not_equal(names_id(n, NAME_USER, slice_mem(a, 5000)), names_id(n, NAME_USER, slice_mem(b, 5000)));
	assert_int_equal(names_id(n, NAME_USER, slice_mem(a, 5000)), names_id(n, NAME_USER, slice_mem(a, 5000)));
	names_close(n);
}

static void torn_tail_is_cut(void **state)
{
	struct names *n = must();
	uint32_t a = names_id(n, NAME_USER, SLICE("ann")), b;
	off_t whole;
	int fd;

	(void)state;
	fd = open(path, O_RDWR);
	whole = lseek(fd, 0, SEEK_END);
	b = names_id(n, NAME_USER, SLICE("bob"));
	names_close(n);
	for (off_t end = lseek(fd, 0, SEEK_END) - 1; end > whole; end--) {
		assert_int_equal(ftruncate(fd, end), 0);
		n = must();
		assert_int_equal(names_id(n, NAME_USER, SLICE("ann")), a);
		assert_int_equal(lseek(fd, 0, SEEK_END), whole); /* cut */
		assert_int_equal(names_id(n, NAME_USER, SLICE("bob")), b);
		names_close(n);
	}
	(void)close(fd);
}

static void database_restores_what_the_file_lost(void **state)
{
	struct names *n = must();
	struct meter_def def;
	uint32_t a = names_id(n, NAME_USER, SLICE("ann"));

	(void)state;
	assert_int_equal(names_meter(n, METER_A, SLICE("team"), SLICE("team=x"), UNIT_TOKENS), BUR_OK);
	assert_true(names_pending(n));
	mirror(n);
	names_close(n);
	assert_int_equal(unlink(path), 0);
	n = must();
	assert_int_equal(names_id(n, NAME_USER, SLICE("ann")), a);
	assert_true(names_meter_find(n, METER_A, &def));
	assert_true(slice_eq(def.budget, SLICE("team")) && slice_eq(def.scope, SLICE("team=x")));
	assert_int_equal(def.unit, UNIT_TOKENS);
	assert_false(names_meter_find(n, METER_B, &def));
	mirror(n); /* nothing is written twice: the plain INSERT would fail */
	names_close(n);
}

static void file_of_another_database_is_refused(void **state)
{
	struct names *n = must();
	char text[200];

	(void)state;
	(void)names_id(n, NAME_USER, SLICE("ann"));
	names_close(n);
	assert_int_equal(sqlite3_exec(db, "INSERT INTO name VALUES(8,1,'bob')", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(names_open(path, &n, text, sizeof text), BUR_OK);
	assert_int_equal(names_merge(n, db), BUR_CORRUPT);
	names_close(n);
}

static void new_names_fall_back_when_the_file_cannot_grow(void **state)
{
	struct names *n = must();
	uint32_t other = names_id(n, NAME_USER, SLICE("(other)"));
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0) {
		struct rlimit none = {0, 0};
		bool ok;

		(void)signal(SIGXFSZ, SIG_IGN);
		(void)setrlimit(RLIMIT_FSIZE, &none);
		ok = names_id(n, NAME_USER, SLICE("new")) == other;
		ok = ok && names_meter(n, METER_B, SLICE("x"), SLICE(""), 0) == BUR_IO;
		_exit(ok ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	names_close(n);
}

struct racer {
	struct names *n;
	uint32_t id[3000];
};

static void *race(void *arg)
{
	struct racer *r = arg;
	char text[32];

	for (int i = 0; i < 3000; i++)
		r->id[i] = names_id(r->n, NAME_USER, slice_mem(text, (size_t)snprintf(text, sizeof text, "u%d", i)));
	return NULL;
}

static void threads_get_the_same_ids(void **state)
{
	static struct racer r[4];
	pthread_t t[4];
	struct names *n = must();

	(void)state;
	for (int i = 0; i < 4; i++) {
		r[i].n = n;
		assert_int_equal(pthread_create(&t[i], NULL, race, &r[i]), 0);
	}
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	for (int i = 1; i < 4; i++)
		assert_memory_equal(r[i].id, r[0].id, sizeof r[0].id);
	assert_int_equal(names_last_id(n), 7 + 3000);
	names_close(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(ids_are_stable_and_by_kind, setup, teardown),
	    cmocka_unit_test_setup_teardown(many_names_and_hostile_bytes, setup, teardown),
	    cmocka_unit_test_setup_teardown(long_names_are_shortened_but_distinct, setup, teardown),
	    cmocka_unit_test_setup_teardown(torn_tail_is_cut, setup, teardown),
	    cmocka_unit_test_setup_teardown(database_restores_what_the_file_lost, setup, teardown),
	    cmocka_unit_test_setup_teardown(file_of_another_database_is_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(new_names_fall_back_when_the_file_cannot_grow, setup, teardown),
	    cmocka_unit_test_setup_teardown(threads_get_the_same_ids, setup, teardown),
	};

	log_init(STDERR_FILENO, LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
