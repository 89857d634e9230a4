/* Keys by digest, and the tags a client sends. */
#include "tests/unit/policy_build.h"

#include "policy/principal.h"

static struct principal principal_of(uint8_t first, const char *key)
{
	struct principal p = {.key = key};

	p.digest[0] = first;
	p.digest[31] = 1;
	return p;
}

static void found_by_digest(void **state)
{
	struct principal list[100];
	struct principal_dir *dir;
	char names[100][8];
	uint8_t digest[KEY_DIGEST_BYTES] = {0};

	(void)state;
	for (size_t i = 0; i < 100; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "k%zu", i);
		list[i] = principal_of((uint8_t)(i * 37 % 251), names[i]);
	}
	for (size_t n = 0; n <= 100; n++) {
		dir = principal_dir_new(n > 0 ? list : NULL, n);
		assert_non_null(dir);
		for (size_t i = 0; i < 100; i++) {
			const struct principal *p = principal_find(dir, list[i].digest, NOON);

			assert_int_equal(p != NULL, i < n);
			if (p)
				assert_string_equal(p->key, names[i]);
		}
		assert_null(principal_find(dir, digest, NOON));
		principal_dir_unref(dir);
	}
}

static void expired_and_revoked_are_unknown(void **state)
{
	struct principal list[3] = {principal_of(1, "good"), principal_of(2, "old"), principal_of(3, "gone")};
	struct principal_dir *dir;

	(void)state;
	list[1].not_after_s = NOON;
	list[2].revoked = true;
	dir = principal_dir_new(list, 3);
	assert_non_null(principal_find(dir, list[0].digest, INT64_MAX));
	assert_non_null(principal_find(dir, list[1].digest, NOON));
	assert_null(principal_find(dir, list[1].digest, NOON + 1));
	assert_null(principal_find(dir, list[2].digest, NOON));
	principal_dir_unref(dir);
}

static void owns_its_text_and_counts_references(void **state)
{
	char key[] = "bur_a1", user[] = "ann", name[] = "env", value[] = "prod";
	struct principal in = principal_of(1, key);
	struct principal_dir *dir;
	const struct principal *p;

	(void)state;
	in.user = user;
	in.tags[0] = (struct tag){slice_of(name), slice_of(value)};
	in.n_tags = 1;
	in.may_set_user = true;
	dir = principal_dir_new(&in, 1);
	memset(key, 'x', sizeof(key));
	memset(user, 'x', sizeof(user));
	memset(name, 'x', sizeof(name));
	memset(value, 'x', sizeof(value));
	assert_ptr_equal(principal_dir_ref(dir), dir);
	principal_dir_unref(dir);
	p = principal_find(dir, in.digest, NOON);
	assert_string_equal(p->key, "bur_a1");
	assert_string_equal(p->user, "ann");
	assert_string_equal(p->team, "");
	assert_string_equal(p->project, "");
	assert_true(slice_eq(p->tags[0].name, SLICE("env")) && slice_eq(p->tags[0].value, SLICE("prod")));
	assert_true(p->may_set_user);
	principal_dir_unref(dir);
	principal_dir_unref(NULL);
}

static void last_of_equal_digests_counts(void **state)
{
	struct principal list[3] = {principal_of(9, "first"), principal_of(9, "second"), principal_of(1, "other")};
	struct principal_dir *dir = principal_dir_new(list, 3);

	(void)state;
	assert_string_equal(principal_find(dir, list[0].digest, NOON)->key, "second");
	assert_string_equal(principal_find(dir, list[2].digest, NOON)->key, "other");
	principal_dir_unref(dir);
}

/* --- tags --------------------------------------------------------------------------------------------------------- */

static void tags_good(void **state)
{
	struct tag tags[TAGS_MAX];
	size_t n = 0;

	(void)state;
	assert_int_equal(tags_parse(SLICE(""), tags, &n), BUR_OK);
	assert_int_equal(tags_parse(SLICE(" \t"), tags, &n), BUR_OK);
	assert_int_equal(n, 0);
	assert_int_equal(tags_parse(SLICE("env=prod, a.b-c_1=x y ,env=test"), tags, &n), BUR_OK);
	assert_int_equal(n, 2);
	assert_true(slice_eq(tags[0].name, SLICE("env")) && slice_eq(tags[0].value, SLICE("test")));
	assert_true(slice_eq(tags[1].name, SLICE("a.b-c_1")) && slice_eq(tags[1].value, SLICE("x y")));
	assert_int_equal(tags_parse(SLICE("env=last"), tags, &n), BUR_OK);
	assert_int_equal(n, 2);
	assert_true(slice_eq(tags[0].value, SLICE("last")));
}

static void tags_bad(void **state)
{
	static const char *const bad[] = {
	    "env",     "=x",       "env=",       "Env=x",      "e v=x",
	    "env=a=b", ",",        "a=b,",       ",a=b",       "a=b,,c=d",
	    "a=\x01",  "a=x\x7fy", "a=\xc3\xbc", "\xc3\xbc=x", "abcdefghijklmnopqrstuvwxyz0123456=x"};
	struct tag tags[TAGS_MAX] = {{SLICE("keep"), SLICE("me")}};
	char text[140] = "a=";
	size_t n = 1;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(tags_parse(slice_of(bad[i]), tags, &n), BUR_INVALID);
	assert_int_equal(tags_parse(SLICE("keep=other,BAD=1"), tags, &n), BUR_INVALID);
	assert_int_equal(tags_parse(slice_mem("a=b\0c", 5), tags, &n), BUR_INVALID);
	memset(text + 2, 'v', 129);
	assert_int_equal(tags_parse(slice_mem(text, 131), tags, &n), BUR_INVALID);
	assert_int_equal(n, 1);
	assert_true(slice_eq(tags[0].value, SLICE("me")));
	assert_int_equal(tags_parse(slice_mem(text, 130), tags, &n), BUR_OK);
}

static void tags_bounded(void **state)
{
	struct tag tags[TAGS_MAX];
	char text[256];
	size_t n = 0, len = 0;

	(void)state;
	for (int i = 0; i < TAGS_MAX; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%st%d=1", i ? "," : "", i);
	assert_int_equal(tags_parse(slice_mem(text, len), tags, &n), BUR_OK);
	assert_int_equal(n, TAGS_MAX);
	assert_int_equal(tags_parse(SLICE("t3=2"), tags, &n), BUR_OK);
	assert_int_equal(tags_parse(SLICE("t3=4,more=1"), tags, &n), BUR_FULL);
	assert_int_equal(n, TAGS_MAX);
	assert_true(slice_eq(tags[3].value, SLICE("2")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(found_by_digest),
	    cmocka_unit_test(expired_and_revoked_are_unknown),
	    cmocka_unit_test(owns_its_text_and_counts_references),
	    cmocka_unit_test(last_of_equal_digests_counts),
	    cmocka_unit_test(tags_good),
	    cmocka_unit_test(tags_bad),
	    cmocka_unit_test(tags_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
