/* base_log_test - always one valid JSON line; secrets never in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/* of a field with a key of three letters, and the end of the line */
#define LOG_TEST_ROOM (3 + 6 + 2)

static int log_file;
static char text[1 << 20];

/* Everything logged since the last call; every line of it must be an object. */
static const char *take_log(void)
{
	off_t n;
	char *line, *end;

	log_flush();
	n = lseek(log_file, 0, SEEK_END);
	assert_true(n >= 0 && n < (off_t)sizeof(text));
	assert_int_equal(pread(log_file, text, (size_t)n, 0), n);
	text[n] = '\0';
	assert_int_equal(ftruncate(log_file, 0), 0);
	(void)lseek(log_file, 0, SEEK_SET);
	for (line = text; *line; line = end + 1) {
		json_t *tree;

		end = strchr(line, '\n');
		assert_non_null(end);
		tree = json_loadb(line, (size_t)(end - line), JSON_REJECT_DUPLICATES, NULL);
		if (!json_is_object(tree) || !json_object_get(tree, "ts"))
			fail_msg("not an object: %s", line);
		json_decref(tree);
	}
	return text;
}

static void test_line(void **state)
{
	struct log_line l;
	const char *got;

	(void)state;
	log_begin(&l, LOG_INFO, "req.end");
	log_str(&l, "model", SLICE("gpt-5.6-sol"));
	log_int(&l, "min", INT64_MIN);
	log_int(&l, "max", INT64_MAX);
	log_usd(&l, "cost", 1250000001);
	log_bool(&l, "yes", true);
	log_bool(&l, "no", false);
	log_str(&l, "none", SLICE_NONE);
	log_end(&l);
	got = take_log();
	assert_int_equal(strncmp(got, "{\"ts\":\"20", 9), 0);
	assert_string_equal(got + 31,
			    "\",\"level\":\"info\",\"event\":\"req.end\",\"model\":\"gpt-5.6-sol\","
			    "\"min\":-9223372036854775808,\"max\":9223372036854775807,\"cost\":\"1.250000001\","
			    "\"yes\":true,\"no\":false,\"none\":\"\"}\n");
	assert_int_equal(got[30], 'Z');
	assert_int_equal(got[26], '.');
}

static void test_levels(void **state)
{
	(void)state;
	assert_false(log_enabled(LOG_DEBUG));
	log_msg(LOG_DEBUG, "x", "hidden");
	assert_string_equal(take_log(), "");
	log_msg(LOG_ERROR, "x", "%s %d", "seen", 5);
	assert_non_null(strstr(take_log(), "\"level\":\"error\",\"event\":\"x\",\"msg\":\"seen 5\"}\n"));
}

static const char *logged(const char *value)
{
	struct log_line l;

	log_begin(&l, LOG_INFO, "t");
	log_str(&l, "v", slice_of(value));
	log_end(&l);
	return take_log();
}

static void test_words(void **state)
{
	struct log_line l;
	char big[sizeof(l.text)];

	(void)state;
	memset(big, 'a', sizeof(big));
	log_begin(&l, LOG_INFO, "t");
	log_word(&l, "end", SLICE("done"));
	log_word(&l, "none", SLICE_NONE);
	log_word(&l, "big", slice_mem(big, sizeof(big))); /* does not fit: left out */
	log_word(&l, "huge", (struct slice){big, SIZE_MAX});
	log_word(&l, "all", slice_mem(big, sizeof(big) - l.n - LOG_TEST_ROOM));
	log_int(&l, "after", 1);
	log_end(&l);
	assert_non_null(strstr(take_log(), "\"event\":\"t\",\"end\":\"done\",\"none\":\"\",\"all\":\"aaa"));
	assert_null(strstr(text, "after"));
}

static void test_injection(void **state)
{
	const char *got;

	(void)state;
	got = logged("a\n{\"ts\":\"fake\"}\r\x1b[31m\x7f\xc2\x9b\xff\"\\");
	assert_non_null(strstr(
	    got, "\"v\":\"a\\n{\\\"ts\\\":\\\"fake\\\"}\\u000d\\u001b[31m\\u007f\\u009b\xef\xbf\xbd\\\"\\\\\"}"));
	assert_ptr_equal(strchr(got, '\n'), got + strlen(got) - 1);
}

static void test_secrets(void **state)
{
	static const char *const secret[] = {
	    "sk-proj-c4n4ryc4n4ryc4n4ry",
	    "error: invalid key sk-ant-api03-c4n4ryc4n4ry-AA.",
	    "bur_c4n4ryc4n4ryc4n4ry",
	    "AIzac4n4ryc4n4ryc4n4ryc4n4ry",
	    "Authorization: Bearer c4n4ry",
	    "authorization: c4n4ry",
	    "Authorization: Basic dXNlcjpjNG40cnk= c",
	    "Bearer c4n4ry.c4n4ry",
	    "GET /v1beta/models?key=c4n4ry&alt=sse",
	    "https://h/?api_key=c4n4ry",
	    "x-api-key: c4n4ry",
	    "api-key:c4n4ry",
	    "x-goog-api-key: c4n4ry",
	    "{\"api_key\":\"c4n4ry\",\"password\": \"c4n4ry\"}",
	    "https://user:c4n4ry@host/x",
	    "http://user:c4n4ry@host:8080",
	    "password=c4n4ry",
	    "access_token=c4n4ry;",
	    "Xc4n4ryXc4n4ryXc4n4ryXc4n4ryXc4n4ry",
	    "eyJhbGciOiJIUzI1NiIsc4n4ry.eyJzdWIiOiIxc4n4ry.c4n4ry",
	    "cookie: session=c4n4ry",
	    "ghp_c4n4ryc4n4ry",
	    "12:00 key=c4n4ry",
	    "1:secret:c4n4ry",
	    "host:443/ghp_c4n4ryc4n4ry",
	    "ftp://9:c4n4ry@h",
	};
	static const char *const open[] = {
	    "task-scheduler",
	    "gpt-5.6-sol-2026-08-21",
	    "https://api.openai.com/v1",
	    "key not found",
	    "unknown key: model",
	    "chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz012",
	    "4bf92f3577b34da6a3ce929d0e0e4736",
	    "2026-11-21T00:00:00Z",
	    "bur_ab12cd",
	    "host@example.org",
	    "tokens: 5",
	    "550e8400-e29b-41d4-a716-446655440000",
	    "127.0.0.1:54321",
	    "[2001:db8::e]:443",
	    "a:b/c",
	    "sk-",
	    "desk-lamp-and-more",
	    "abcdefghijklmnopqrstuvwxyzabcdefghijkl",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(secret); i++) {
		const char *got = logged(secret[i]);

		if (strstr(got, "c4n4ry") || strstr(got, "dXNl") || !strstr(got, "***"))
			fail_msg("%s -> %s", secret[i], got);
		log_msg(LOG_WARN, "t", "before %s after", secret[i]);
		assert_null(strstr(take_log(), "c4n4ry"));
	}
	for (size_t i = 0; i < ARRAY_LEN(open); i++) {
		const char *got = logged(open[i]);

		if (!strstr(got, open[i]))
			fail_msg("%s -> %s", open[i], got);
	}
}

static void test_cuts(void **state)
{
	struct log_line l;
	char big[9000];
	const char *got;

	(void)state;
	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	got = logged(big);
	assert_true(strlen(got) > 1000 && strlen(got) < 1200);
	assert_non_null(strstr(got, "aaa\xe2\x80\xa6\"}"));
	memset(big, '\n', sizeof(big) - 1);
	assert_true(strlen(logged(big)) < 1200);
	log_msg(LOG_INFO, "t", "%s", big);
	assert_true(strlen(take_log()) < sizeof(l.text));
	memset(big, 'a', sizeof(big) - 1);
	log_begin(&l, LOG_INFO, "t");
	for (int i = 0; i < 100; i++) {
		char key[16];

		(void)snprintf(key, sizeof(key), "k%d", i);
		log_str(&l, key, slice_mem(big, (size_t)i * 7));
		key[0] = 'n';
		log_int(&l, key, i);
	}
	log_end(&l);
	assert_true(strlen(take_log()) <= sizeof(l.text)); /* still an object */
}

/* Random bytes never make an invalid line. */
static void test_random(void **state)
{
	(void)state;
	srand(5);
	for (int round = 0; round < 3000; round++) {
		static const char pieces[][12] = {"sk-", "key=", "\"", "\\",       "Bearer ",
						  "://", "@",    ":",  "\xf0\x9f", "eyJ"};
		char value[200];
		size_t n = 0;

		while (n < 150) {
			if (rand() % 3)
				value[n++] = (char)(1 + rand() % 255);
			else
				n += slice_to_cstr(slice_of(pieces[(size_t)rand() % ARRAY_LEN(pieces)]), value + n, 12);
		}
		value[n] = '\0';
		(void)logged(value);
	}
}

static void test_limited(void **state)
{
	struct log_limit limit = {0};
	const char *got;

	(void)state;
	for (int i = 0; i < 50; i++)
		log_limited(LOG_WARN, "flood", "again %d", i);
	got = take_log();
	assert_non_null(strstr(got, "\"msg\":\"again 0\"}"));
	assert_ptr_equal(strchr(got, '\n'), got + strlen(got) - 1); /* one line */
	for (int i = 0; i < 50; i++)
		log_msg_limited(&limit, LOG_WARN, "flood", "again %d", i);
	(void)take_log();
	limit.next_ns = 0; /* the second is over */
	log_msg_limited(&limit, LOG_WARN, "flood", "last");
	assert_non_null(strstr(take_log(), "\"msg\":\"last\",\"left_out\":49}"));
}

static void *log_some(void *arg)
{
	struct log_line l;

	for (int i = 0; i < 500; i++) {
		log_begin(&l, LOG_INFO, "thread");
		log_int(&l, "i", i);
		log_end_buffered(&l);
	}
	return arg; /* what is gathered is flushed when the thread ends */
}

static void test_threads(void **state)
{
	pthread_t threads[4];
	size_t lines = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, log_some, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	for (const char *p = take_log(); *p; p++)
		lines += *p == '\n';
	assert_int_equal(lines, 2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_line),      cmocka_unit_test(test_words),   cmocka_unit_test(test_levels),
	    cmocka_unit_test(test_injection), cmocka_unit_test(test_secrets), cmocka_unit_test(test_cuts),
	    cmocka_unit_test(test_random),    cmocka_unit_test(test_limited), cmocka_unit_test(test_threads),
	};
	char path[] = "/tmp/bursar-log-XXXXXX";

	log_file = mkstemp(path);
	if (log_file < 0)
		return 1;
	(void)unlink(path);
	(void)fcntl(log_file, F_SETFL, O_APPEND);
	log_init(log_file, LOG_INFO);
	return cmocka_run_group_tests_name("base_log", tests, NULL, NULL);
}
