#include "store/keys.h"
#include "tests/unit/store_help.h"

static char dir[64];
static struct store *s;

static int setup(void **state)
{
	struct store_config cfg;

	(void)state;
	cfg = test_config(new_dir(dir));
	s = must_open(&cfg, NULL);
	return store_start(s);
}

static int teardown(void **state)
{
	(void)state;
	store_close(s);
	remove_dir(dir);
	return 0;
}

struct list {
	int n;
	struct key_row k[8];
};

static int collect(void *ctx, const struct key_row *k)
{
	struct list *l = ctx;

	l->k[l->n++] = *k;
	return BUR_OK;
}

static struct list all(void)
{
	struct list l = {0};

	assert_int_equal(keys_each(s, collect, &l), BUR_OK);
	return l;
}

static void created_keys_are_listed(void **state)
{
	struct key_row want = {
	    .name = "ci", .user = "ann", .team = "t", .project = "p", .tags = "a=b", .may_set_user = true};
	char text[KEY_TEXT_MAX], again[KEY_TEXT_MAX];
	uint8_t digest[32];
	struct list l;

	(void)state;
	want.created_s = 100;
	want.not_after_s = 200;
	assert_int_equal(keys_create(s, &want, text), BUR_OK);
	assert_int_equal(strlen(text), 53);
	assert_true(key_well_formed(slice_of(text)));
	assert_int_equal(keys_create(s, &want, again), BUR_ALREADY);
	want.name[0] = 0;
	want.admin = true;
	assert_int_equal(keys_create(s, &want, again), BUR_OK);
	assert_string_not_equal(text, again);
	l = all();
	assert_int_equal(l.n, 2);
	key_digest(slice_of(text), digest);
	assert_memory_equal(l.k[0].digest, digest, 32);
	assert_string_equal(l.k[0].name, "ci");
	assert_string_equal(l.k[0].user, "ann");
	assert_string_equal(l.k[0].tags, "a=b");
	assert_true(l.k[0].may_set_user && !l.k[0].admin && l.k[1].admin);
	assert_int_equal(l.k[0].not_after_s, 200);
	assert_memory_equal(l.k[1].name, again, 10);
	assert_int_equal(strlen(l.k[1].name), 10);
}

static void revoking(void **state)
{
	struct key_row want = {.name = "ci"};
	char text[KEY_TEXT_MAX];

	(void)state;
	assert_int_equal(keys_create(s, &want, text), BUR_OK);
	assert_int_equal(keys_revoke(s, SLICE("nobody"), 5), BUR_NOTFOUND);
	assert_int_equal(keys_revoke(s, SLICE("ci"), 0), BUR_INVALID);
	assert_int_equal(keys_revoke(s, SLICE("ci"), 5), BUR_OK);
	assert_int_equal(keys_revoke(s, SLICE("ci"), 6), BUR_ALREADY);
	assert_int_equal(all().k[0].revoked_s, 5);
}

static void typos_are_seen(void **state)
{
	struct key_row want = {.name = "x"};
	char text[KEY_TEXT_MAX];

	(void)state;
	assert_int_equal(keys_create(s, &want, text), BUR_OK);
	for (size_t i = 0; i < strlen(text); i++) {
		char before = text[i];

		text[i] = before == 'q' ? 'r' : 'q';
		assert_false(key_well_formed(slice_of(text)));
		text[i] = before;
	}
	assert_true(key_well_formed(slice_of(text)));
	assert_false(key_well_formed(slice_mem(text, 52)));
	assert_false(key_well_formed(slice_mem(text, 54)));
	assert_false(key_well_formed(SLICE_NONE));
	text[20] = 0;
	assert_false(key_well_formed(slice_mem(text, 53)));
}

static void rows_without_an_end_are_refused(void **state)
{
	struct key_row want = {.name = "x"};
	char text[KEY_TEXT_MAX];

	(void)state;
	memset(want.tags, 'a', sizeof want.tags);
	assert_int_equal(keys_create(s, &want, text), BUR_INVALID);
}

static bool file_has(const char *name, const char *what, size_t n)
{
	char path[128], *mem;
	long size;
	bool found;
	FILE *f;

	(void)snprintf(path, sizeof path, "%s/%s", dir, name);
	f = fopen(path, "r");
	if (!f)
		return false;
	(void)fseek(f, 0, SEEK_END);
	size = ftell(f);
	rewind(f);
	mem = malloc((size_t)size + 1);
	assert_non_null(mem);
	assert_int_equal(fread(mem, 1, (size_t)size, f), size);
	found = memmem(mem, (size_t)size, what, n) != NULL;
	free(mem);
	(void)fclose(f);
	return found;
}

/* S1: of the key itself, only the first characters are on the disk. */
static void no_key_on_the_disk(void **state)
{
	static const char *const files[] = {"bursar.db", "bursar.db-wal", "inflight.jnl", "names.log", "lock"};
	struct key_row want = {.name = "x"};
	char text[KEY_TEXT_MAX];
	bool first = false;

	(void)state;
	assert_int_equal(keys_create(s, &want, text), BUR_OK);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		assert_false(file_has(files[i], text + 8, 12));
		first = first || file_has(files[i], text, 10);
	}
	assert_true(first); /* the search itself works */
}

static void digest_is_sha256(void **state)
{
	static const uint8_t abc[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea};
	uint8_t d[32];

	(void)state;
	key_digest(SLICE("abc"), d);
	assert_memory_equal(d, abc, sizeof abc);
	key_digest(SLICE_NONE, d);
	assert_int_equal(d[0], 0xe3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(created_keys_are_listed, setup, teardown),
	    cmocka_unit_test_setup_teardown(revoking, setup, teardown),
	    cmocka_unit_test_setup_teardown(typos_are_seen, setup, teardown),
	    cmocka_unit_test_setup_teardown(rows_without_an_end_are_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(no_key_on_the_disk, setup, teardown),
	    cmocka_unit_test(digest_is_sha256),
	};

	log_init(STDERR_FILENO, LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
