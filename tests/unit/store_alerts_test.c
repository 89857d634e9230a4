/* What is told to whom: written once however often it is asked for and whenever the process dies; gone when old. */
#include <signal.h>
#include <sys/wait.h>

#include "store/audit.h"
#include "tests/unit/store_alerts_help.h"

/* --- one change --------------------------------------------------------------------------------------------------- */

static void what_people_do_is_in_the_audit_log_once(void **state)
{
	const struct incident i = make_incident(1, "k");
	struct alerts_change c = {.incidents = &i,
				  .n_incidents = 1,
				  .action = "alert.ack",
				  .object = "alert:1",
				  .actor = "ann",
				  .reason = "on it",
				  .now_ns = S(77)};
	struct audit_report rep;

	(void)state;
	assert_int_equal(alerts_write(s, &c), BUR_OK);
	assert_int_equal(alerts_write(s, &c), BUR_OK);
	assert_int_equal(
	    number("SELECT count(*) FROM audit WHERE action='alert.ack' AND object='alert:1' AND actor='ann'"
		   " AND reason='on it' AND ts=77000000000"),
	    1);
	c.now_ns++;
	assert_int_equal(alerts_write(s, &c), BUR_OK);
	assert_int_equal(audit_verify(db, &rep), BUR_OK);
	assert_int_equal(rep.rows, 2);
	assert_int_equal(rep.errors, 0);
	c.reason = "";
	c.cursor = 5;
	c.now_ns++;
	assert_int_equal(alerts_write(s, &c), BUR_INVALID);
	assert_int_equal(number("SELECT count(*) FROM meta WHERE key='alerts_cursor'"), 0); /* nothing of it */
}

static void too_much_is_refused(void **state)
{
	static char big[ALERTS_TEXT_MAX + 1];
	static struct incident_event e[ALERTS_ROWS_MAX + 1];
	struct incident i = make_incident(1, "k");
	struct outbox_row o = make_message(1, 1, "a", 1);
	struct alerts_change c = {.incidents = &i, .n_incidents = 1, .outbox = &o, .n_outbox = 1, .events = e};

	(void)state;
	for (size_t n = 0; n < ARRAY_LEN(e); n++)
		e[n] = (struct incident_event){.incident = 1, .event = (int64_t)n};
	memset(big, 'x', sizeof big);
	c.n_events = ALERTS_ROWS_MAX + 1;
	assert_int_equal(alerts_write(s, &c), BUR_TOOBIG);
	c.n_events = ALERTS_ROWS_MAX;
	o.channel = slice_mem(big, ALERTS_NAME_MAX + 1);
	assert_int_equal(alerts_write(s, &c), BUR_TOOBIG);
	o.channel.n = ALERTS_NAME_MAX;
	i.facts = slice_mem(big, ALERTS_TEXT_MAX + 1);
	assert_int_equal(alerts_write(s, &c), BUR_TOOBIG);
	i.facts.n = ALERTS_TEXT_MAX;
	assert_int_equal(alerts_write(s, &c), BUR_OK);
	assert_int_equal(number("SELECT count(*) FROM alerts WHERE message IS NULL"), 1); /* not JSON: the view holds */
}

static void a_lost_answer_does_no_harm(void **state)
{
	const struct incident i = make_incident(1, "k");
	const struct incident_event e = {1, 1, S(1), 1};
	const struct outbox_row o[2] = {make_message(1, 5, "a", 1), make_message(2, 5, "b", 1)};
	const struct alerts_change c = {
	    .cursor = 5, .incidents = &i, .n_incidents = 1, .events = &e, .n_events = 1, .outbox = o, .n_outbox = 2};

	(void)state;
	assert_int_equal(store_sync(s, S(5)), BUR_OK); /* the faults are for what comes now */
	for (int done = 0; done < 2; done++) {
		store_test_fail(0, 1, SQLITE_IOERR, done == 1);
		assert_int_equal(alerts_write(s, &c), BUR_IO);
		assert_int_equal(number("SELECT count(*) FROM outbox"), done == 1 ? 2 : 0);
	}
	assert_int_equal(alerts_write(s, &c), BUR_OK);
	assert_int_equal(number("SELECT count(*) FROM outbox"), 2);
	assert_int_equal(number("SELECT count(*) FROM incident"), 1);
	assert_int_equal(number("SELECT count(*) FROM incident_event"), 1);
}

/* --- death at every point: an event is taken in with all that follows from it, or not at all -----------------------
 */

static bool die_at(int n)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		const struct incident i = make_incident(1, "k");
		const struct incident_event e = {1, 1, S(1), 1};
		const struct outbox_row o[2] = {make_message(1, 1, "a", 1), make_message(2, 1, "b", 1)};
		const struct told t = {.incident = 1, .channel = SLICE("a")};
		const struct alerts_change c = {.cursor = 1,
						.incidents = &i,
						.n_incidents = 1,
						.events = &e,
						.n_events = 1,
						.outbox = o,
						.n_outbox = 2,
						.told = &t,
						.n_told = 1};
		struct store_config mine = test_config(dir);
		char text[16];

		(void)snprintf(text, sizeof text, "%d", n);
		(void)setenv("BURSAR_KILL_AT", text, 1);
		s = must_open(&mine, NULL);
		note("spend.anomaly", "a", 1, NOTE_BEGAN, "{}");
		if (alerts_write(s, &c) != BUR_OK)
			_exit(2);
		store_close(s);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		assert_int_equal(WTERMSIG(status), SIGKILL);
		return true;
	}
	assert_int_equal(WEXITSTATUS(status), 0);
	return false;
}

static void every_kill_point(void **state)
{
	int n = 1, with = 0;

	(void)state;
	for (bool dead = true; dead; n++) {
		int64_t cursor;

		dead = die_at(n);
		cfg = test_config(dir);
		store_close(must_open(&cfg, NULL));
		cursor = number("SELECT coalesce((SELECT value FROM meta WHERE key='alerts_cursor'),0)");
		assert_int_equal(number("SELECT count(*) FROM outbox"), 2 * cursor);
		assert_int_equal(number("SELECT count(*) FROM incident"), cursor);
		assert_int_equal(number("SELECT count(*) FROM incident_event"), cursor);
		assert_int_equal(number("SELECT count(*) FROM told"), cursor);
		with += cursor == 1;
		remove_dir(dir);
		assert_int_equal(mkdir(dir, 0700), 0);
	}
	print_message("%d kill points, %d with the change\n", n - 2, with);
	assert_true(n > 30 && with > 1);
}

/* --- pruning ------------------------------------------------------------------------------------------------------ */

static void old_things_go_in_steps(void **state)
{
	struct incident i[4] = {make_incident(1, "a"), make_incident(2, "b"), make_incident(3, "c"),
				make_incident(4, "d")};
	struct outbox_row o[20];
	struct delivery_try t[20];
	const struct told told[] = {{.incident = 1, .channel = SLICE("m")}, {.incident = 2, .channel = SLICE("m")}};
	const struct incident_event e[] = {{1, 1, S(1), 1}, {2, 1, S(1), 1}};
	const struct mute mutes[] = {{.until_ns = S(100)}, {.until_ns = S(900)}};
	const struct alerts_change c = {.incidents = i,
					.n_incidents = 4,
					.outbox = o,
					.n_outbox = 20,
					.tries = t,
					.n_tries = 20,
					.told = told,
					.n_told = 2,
					.events = e,
					.n_events = 2,
					.mutes = mutes,
					.n_mutes = 2};
	bool more = true;
	int64_t id;
	int rounds = 0;

	(void)state;
	for (int k = 0; k < 20; k++) {
		o[k] = make_message(k + 1, k + 1, "m", 100);
		o[k].state = (enum outbox_state)(k % 6);
		o[k].incident = k == 0 ? 2 : 1; /* the first is still queued */
		t[k] = (struct delivery_try){.outbox = k + 1, .attempt = 1, .ts_ns = S(100)};
	}
	for (int k = 0; k < 20; k++)
		o[k].incident = o[k].state == OUTBOX_QUEUED || o[k].state == OUTBOX_HELD ? 2 : 1;
	o[19].incident = 2; /* the newest id */
	for (int k = 0; k < 4; k++) {
		i[k].state = k == 2 ? INCIDENT_FIRING : INCIDENT_RESOLVED;
		i[k].resolved_ns = k == 2 ? 0 : S(150);
	}
	assert_int_equal(alerts_write(s, &c), BUR_OK);
	assert_int_equal(alerts_prune(s, S(99), 3, &more), BUR_OK); /* not that old */
	assert_false(more);
	assert_int_equal(number("SELECT count(*) FROM outbox"), 20);
	do {
		assert_int_equal(alerts_prune(s, S(200), 3, &more), BUR_OK);
		rounds++;
	} while (more);
	assert_true(rounds >= 4);
	/* queued and held messages stay, and the newest id */
	assert_int_equal(number("SELECT count(*) FROM outbox WHERE state IN (0,3)"), 7);
	assert_int_equal(number("SELECT count(*) FROM outbox WHERE state NOT IN (0,3)"), 1);
	assert_int_equal(number("SELECT count(*) FROM delivery"), 8);
	/* 1 is gone with all that was its; 2 has messages, 3 is open, 4 is the newest */
	assert_int_equal(number("SELECT count(*) FROM incident WHERE id<>1"), 3);
	assert_int_equal(number("SELECT count(*) FROM incident"), 3);
	assert_int_equal(number("SELECT count(*) FROM told WHERE incident=2"), 1);
	assert_int_equal(number("SELECT count(*) FROM told"), 1);
	assert_int_equal(number("SELECT count(*) FROM incident_event"), 1);
	assert_int_equal(number("SELECT count(*) FROM mute"), 1);
	assert_int_equal(alerts_next_outbox(db, &id), BUR_OK);
	assert_int_equal(id, 21);
	assert_int_equal(alerts_prune(s, S(200), 0, &more), BUR_INVALID);
	assert_int_equal(alerts_prune(s, S(200), ALERTS_ROWS_MAX + 1, &more), BUR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(what_people_do_is_in_the_audit_log_once, open_store, close_store),
	    cmocka_unit_test_setup_teardown(too_much_is_refused, open_store, close_store),
	    cmocka_unit_test_setup_teardown(a_lost_answer_does_no_harm, open_store, close_store),
	    cmocka_unit_test_setup_teardown(every_kill_point, setup, teardown),
	    cmocka_unit_test_setup_teardown(old_things_go_in_steps, open_store, close_store),
	};

	log_init(-1, LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
