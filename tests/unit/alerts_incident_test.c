/* What goes on: opened, updated, acknowledged, ended by events, by people, by time. */
#include "alerts/incident.h"
#include "store/audit.h"
#include "tests/unit/alerts_world.h"

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	begin_world(w);
	w->config.escalate = false;
	add_channel(w, "chat", &world_chat);
	add_channel(w, "page", &world_page);
	start_alerts(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	end_world(w);
	free(w);
	return 0;
}

static void opened_and_ended(void **state)
{
	struct world *w = *state;
	json_t *facts;

	put_note(w, "breaker.opened", NOTE_BEGAN, 0, "openai@x");
	put_note(w, "breaker.opened", NOTE_BEGAN, 0, "openai@y");
	run(w);
	assert_int_equal(number(w, "SELECT count(*) FROM incident WHERE state=0"), 2);
	assert_int_equal(number(w, "SELECT count(*) FROM told WHERE ts=0"), 4);
	send_queued(w);
	w->now_ns += SECOND;
	put_note(w, "breaker.closed", NOTE_BEGAN, 0, "openai@x");
	run(w);
	assert_int_equal(number(w, "SELECT count(*) FROM incident WHERE state=2"), 1);
	assert_int_equal(rows(w, "chat", SAY_RESOLVE, OUTBOX_QUEUED), 1);
	assert_int_equal(rows(w, "page", SAY_RESOLVE, OUTBOX_QUEUED), 1);
	facts = facts_of(w, "outbox WHERE op=2");
	assert_string_equal(fact_text(facts, "type"), "breaker.closed");
	assert_string_equal(fact_text(facts, "state"), "resolved");
	assert_string_equal(fact_text(facts, "severity"), "error"); /* of what went on */
	assert_string_equal(fact_text(json_object_get(facts, "scope"), "id"), "openai@x");
	json_decref(facts);
	/* the next one is another incident */
	w->now_ns += 400 * SECOND;
	put_note(w, "breaker.opened", NOTE_BEGAN, 1, "openai@x");
	run(w);
	assert_int_equal(number(w, "SELECT count(*) FROM incident"), 3);
	assert_int_equal(number(w, "SELECT count(DISTINCT key) FROM incident"), 2);
	assert_int_equal(rows(w, "chat", SAY_FIRE, OUTBOX_QUEUED), 1);
}

/* Begin, end and begin again may come in one transaction. */
static void all_at_once(void **state)
{
	struct world *w = *state;

	put_note(w, "breaker.opened", NOTE_BEGAN, 0, "a");
	put_note(w, "breaker.closed", NOTE_BEGAN, 0, "a");
	put_note(w, "breaker.opened", NOTE_BEGAN, 1, "a");
	put_note(w, "breaker.closed", NOTE_BEGAN, 1, "b");
	run(w);
	assert_int_equal(number(w, "SELECT count(*) FROM incident"), 2);
	assert_int_equal(number(w, "SELECT count(*) FROM incident WHERE state=0"), 1);
	assert_int_equal(rows(w, "page", SAY_FIRE, OUTBOX_QUEUED), 1);
	assert_int_equal(rows(w, "page", SAY_FIRE, OUTBOX_HELD), 1);
	assert_int_equal(rows(w, "page", SAY_RESOLVE, OUTBOX_QUEUED), 1);
}

/* What comes and goes is told once in a while, not each time; never is what goes on left untold. */
static void flapping(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 29; i++) { /* told at 0; open or not every ten seconds until 290 */
		put_note(w, i % 2 == 0 ? "breaker.opened" : "breaker.closed", NOTE_BEGAN, i, "a");
		run(w);
		if (i % 7 == 0) {
			stop_alerts(w);
			start_alerts(w);
		}
		later(w, 10 * SECOND);
	}
	assert_int_equal(number(w, "SELECT count(*) FROM incident"), 15);
	assert_int_equal(rows(w, "page", SAY_FIRE, OUTBOX_QUEUED), 1);
	assert_int_equal(rows(w, "page", SAY_RESOLVE, OUTBOX_QUEUED), 1);
	assert_int_equal(rows(w, "chat", SAY_FIRE, OUTBOX_QUEUED), 1);
	assert_int_equal(number(w, "SELECT state FROM incident WHERE id=15"), INCIDENT_FIRING);
	later(w, 10 * SECOND);
	assert_int_equal(rows(w, "page", SAY_FIRE, OUTBOX_QUEUED), 2);
	assert_int_equal(rows(w, "chat", SAY_FIRE, OUTBOX_QUEUED), 2);
	assert_int_equal(rows(w, "chat", -1, OUTBOX_HELD) + rows(w, "page", -1, OUTBOX_HELD), 0);
	put_note(w, "breaker.closed", NOTE_BEGAN, 99, "a");
	run(w);
	assert_int_equal(rows(w, "page", SAY_RESOLVE, OUTBOX_QUEUED), 2);
	assert_int_equal(rows(w, "chat", SAY_RESOLVE, OUTBOX_QUEUED), 2);
}

static void parts_end_one_by_one(void **state)
{
	struct world *w = *state;
	json_t *facts;

	put_note(w, "budget.burn_rate", NOTE_BEGAN, 0, "daily");
	put_note(w, "budget.burn_rate", NOTE_BEGAN, 2, "daily");
	run(w);
	stop_alerts(w);
	start_alerts(w);
	facts = facts_of(w, "incident");
	assert_int_equal(json_array_size(json_object_get(json_object_get(facts, "details"), "parts")), 2);
	json_decref(facts);
	w->now_ns += SECOND;
	put_note(w, "budget.burn_rate", NOTE_ENDED, 0, "daily");
	run(w);
	assert_int_equal(number(w, "SELECT state FROM incident"), INCIDENT_FIRING);
	put_note(w, "budget.burn_rate", NOTE_ENDED, 2, "daily");
	run(w);
	assert_int_equal(number(w, "SELECT state FROM incident"), INCIDENT_RESOLVED);
	assert_int_equal(rows(w, "page", SAY_RESOLVE, OUTBOX_QUEUED), 1);
}

static void over_by_itself(void **state)
{
	struct world *w = *state;
	json_t *facts;

	put_note(w, "spend.anomaly", NOTE_BEGAN, 1, "team:a");
	put_event(w, "key.expiring", NOTE_BEGAN, 0, "{\"object\":\"k\",\"ends_s\":1795248060}");
	put_threshold(w, "daily", 75);
	run(w);
	later(w, 59 * SECOND);
	assert_int_equal(number(w, "SELECT count(*) FROM incident WHERE state=2"), 0);
	later(w, SECOND);
	assert_int_equal(number(w, "SELECT count(*) FROM incident WHERE state=2 AND type='key.expiring'"), 1);
	later(w, HOUR);
	put_note(w, "spend.anomaly", NOTE_BEGAN, 2, "team:a"); /* it goes on */
	run(w);
	later(w, 119 * MINUTE);
	assert_int_equal(number(w, "SELECT count(*) FROM incident WHERE state=2"), 1);
	later(w, MINUTE);
	assert_int_equal(number(w, "SELECT count(*) FROM incident WHERE state=2 AND type='spend.anomaly'"), 1);
	facts = facts_of(w, "outbox WHERE op=2");
	assert_true(strncmp(fact_text(facts, "message"), "Nothing more was heard", 22) == 0);
	json_decref(facts);
	/* the budget's window ends, though nobody says so */
	later(w, 24 * HOUR);
	assert_int_equal(number(w, "SELECT count(*) FROM incident WHERE state<>2"), 0);
	assert_int_equal(rows(w, "page", SAY_RESOLVE, OUTBOX_QUEUED), 3);
}

/* People are not told that nothing happened. */
static void what_fades_is_no_news(void **state)
{
	struct world *w = *state;

	add_channel(w, "edit", &world_edit);
	stop_alerts(w);
	start_alerts(w);
	put_note(w, "price.unknown_model", NOTE_BEGAN, 1, "x/y");
	run(w);
	send_queued(w);
	later(w, 25 * HOUR);
	assert_int_equal(number(w, "SELECT count(*) FROM incident WHERE state=2"), 1);
	assert_int_equal(rows(w, "chat", -1, -1), 1);
	assert_int_equal(rows(w, "page", SAY_RESOLVE, OUTBOX_QUEUED), 1);
	assert_int_equal(rows(w, "edit", SAY_RESOLVE, OUTBOX_QUEUED), 1);
	/* A burn of a budget that is configured no more is not left open for ever. */
	put_note(w, "budget.burn_rate", NOTE_BEGAN, 0, "daily");
	run(w);
	later(w, 29 * 24 * HOUR);
	assert_int_equal(number(w, "SELECT count(*) FROM incident WHERE state=2"), 1);
	later(w, 25 * HOUR);
	assert_int_equal(number(w, "SELECT count(*) FROM incident WHERE state=2"), 2);
	send_queued(w);
	/* What has a time of its own is over then, and that is said. */
	put_event(w, "stop.set", NOTE_BEGAN, 0, "{\"object\":\"k\",\"ends_s\":1798000000}");
	run(w);
	send_queued(w);
	later(w, 48 * HOUR);
	assert_int_equal(rows(w, "chat", SAY_RESOLVE, OUTBOX_QUEUED), 1);
}

/* Its time is that of the act, not of the event that it is about. */
static bool facts_are_of_now(struct world *w, const char *where)
{
	json_t *facts = facts_of(w, where), *now = event_time(w->now_ns);
	bool same = json_equal(json_object_get(facts, "at"), now) == 1;

	json_decref(facts);
	json_decref(now);
	return same;
}

static void acknowledged(void **state)
{
	struct world *w = *state;
	char longer[AUDIT_REASON_MAX + 2];
	json_t *facts;

	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	put_threshold(w, "daily", 75);
	run(w);
	send_queued(w);
	w->now_ns += 60 * SECOND;
	assert_int_equal(incident_ack(w->alerts, 0, "ann", NULL), BUR_NOTFOUND);
	assert_int_equal(incident_ack(w->alerts, 9, "ann", NULL), BUR_NOTFOUND);
	assert_int_equal(incident_ack(w->alerts, 1, "", NULL), BUR_INVALID);
	assert_int_equal(incident_ack(w->alerts, 1, "\xff", NULL), BUR_INVALID);
	assert_int_equal(incident_ack(w->alerts, 1, "ann", longer), BUR_INVALID);
	assert_int_equal(incident_ack(w->alerts, 1, "ann", "on it"), BUR_OK);
	assert_int_equal(incident_ack(w->alerts, 1, "bob", NULL), BUR_ALREADY);
	assert_int_equal(number(w, "SELECT state FROM incident"), INCIDENT_ACKED);
	assert_int_equal(number(w, "SELECT count(*) FROM incident WHERE actor='ann' AND acked>0"), 1);
	assert_int_equal(rows(w, "chat", SAY_ACK, OUTBOX_QUEUED), 1);
	assert_int_equal(rows(w, "page", SAY_ACK, OUTBOX_QUEUED), 1);
	assert_true(facts_are_of_now(w, "outbox WHERE op=3"));
	facts = facts_of(w, "outbox WHERE op=3");
	assert_true(strncmp(fact_text(facts, "message"), "ann takes care of it: ", 22) == 0);
	assert_string_equal(fact_text(json_object_get(facts, "details"), "by"), "ann");
	assert_string_equal(fact_text(json_object_get(facts, "details"), "reason"), "on it");
	assert_string_equal(fact_text(facts, "state"), "acknowledged");
	assert_non_null(strstr(fact_text(facts, "id"), "-1-acknowledged"));
	json_decref(facts);
	assert_int_equal(number(w, "SELECT count(*) FROM audit WHERE action='alerts.ack' AND object='incident 1'"), 1);
	/* another threshold of the same severity is told, and stays acknowledged */
	w->now_ns += SECOND;
	put_threshold(w, "daily", 80);
	run(w);
	assert_int_equal(number(w, "SELECT state FROM incident"), INCIDENT_ACKED);
	assert_int_equal(rows(w, "chat", SAY_UPDATE, OUTBOX_QUEUED), 1);
}

static void resolved_by_hand(void **state)
{
	struct world *w = *state;

	put_threshold(w, "daily", 75);
	run(w);
	w->now_ns += 3600 * SECOND;
	assert_int_equal(incident_resolve(w->alerts, 1, "ann", NULL), BUR_OK);
	assert_true(facts_are_of_now(w, "outbox WHERE op=2 AND channel='chat'"));
	assert_int_equal(incident_resolve(w->alerts, 1, "ann", NULL), BUR_ALREADY);
	assert_int_equal(incident_ack(w->alerts, 1, "ann", NULL), BUR_ALREADY);
	assert_int_equal(rows(w, "chat", SAY_RESOLVE, OUTBOX_QUEUED), 1);
	put_reset(w, "daily"); /* it is over already */
	run(w);
	assert_int_equal(rows(w, "chat", SAY_RESOLVE, -1), 1);
	w->now_ns += SECOND;
	put_threshold(w, "daily", 90); /* only something new opens one anew */
	run(w);
	assert_int_equal(number(w, "SELECT count(*) FROM incident"), 2);
	assert_int_equal(rows(w, "chat", SAY_FIRE, OUTBOX_QUEUED), 2);
}

static void ends_are_not_told_to_who_wants_none(void **state)
{
	struct world *w = *state;

	w->channels[0].resolves = false;
	w->channels[1].severity = SEVERITY_CRITICAL; /* is told only later */
	put_threshold(w, "daily", 75);
	run(w);
	w->now_ns += SECOND;
	put_reset(w, "daily");
	run(w);
	assert_int_equal(rows(w, "chat", -1, -1), 1);
	assert_int_equal(rows(w, "page", -1, -1), 0);
	put_threshold(w, "other", 75);
	run(w);
	w->now_ns += SECOND;
	put_threshold(w, "other", 100);
	run(w);
	assert_int_equal(rows(w, "page", SAY_FIRE, OUTBOX_QUEUED), 1);
}

/* By hand while the store cannot be written: said, and nothing half done. */
static void hand_on_a_full_disk(void **state)
{
	struct world *w = *state;

	put_threshold(w, "daily", 75);
	run(w);
	store_test_fail(0, 1, SQLITE_FULL, false);
	assert_int_equal(incident_ack(w->alerts, 1, "ann", NULL), BUR_IO);
	store_test_fail(0, 0, 0, false);
	WAIT_FOR((core_tick(w->alerts), core_idle(w->alerts)));
	assert_int_equal(number(w, "SELECT state FROM incident"), INCIDENT_FIRING);
	assert_int_equal(incident_ack(w->alerts, 1, "ann", NULL), BUR_OK);
	assert_int_equal(number(w, "SELECT count(*) FROM outbox WHERE op=3"), 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(opened_and_ended),     TEST(all_at_once),      TEST(flapping),
	    TEST(parts_end_one_by_one), TEST(over_by_itself),   TEST(what_fades_is_no_news),
	    TEST(acknowledged),         TEST(resolved_by_hand), TEST(ends_are_not_told_to_who_wants_none),
	    TEST(hand_on_a_full_disk),
	};

	log_init(2, LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
