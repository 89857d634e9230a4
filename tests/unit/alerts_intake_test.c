/* From events to messages: thresholds, digests, silence, escalation; and nothing lost or doubled whatever fails. */
#include "alerts/incident.h"
#include "store/fault.h"
#include "tests/unit/alerts_world.h"

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	begin_world(w);
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

/* --- thresholds --------------------------------------------------------------------------------------------------- */

static void each_threshold_once(void **state)
{
	static const int at[] = {50, 75, 90, 100};
	struct world *w = *state;
	json_t *facts;

	add_channel(w, "chat", &world_chat);
	start_alerts(w);
	w->config.escalate = false;
	for (size_t i = 0; i < ARRAY_LEN(at); i++) {
		put_threshold(w, "team-a", at[i]);
		w->now_ns += SECOND;
		run(w);
		assert_int_equal(rows(w, "chat", -1, OUTBOX_QUEUED), i + 1);
	}
	assert_int_equal(rows(w, "chat", SAY_FIRE, -1), 1);
	assert_int_equal(rows(w, "chat", SAY_UPDATE, -1), 3);
	assert_int_equal(number(w, "SELECT count(*) FROM incident"), 1);
	assert_int_equal(number(w, "SELECT events FROM incident"), 4);
	assert_int_equal(number(w, "SELECT severity FROM incident"), SEVERITY_CRITICAL);
	facts = facts_of(w, "outbox");
	assert_string_equal(fact_text(facts, "type"), "budget.exceeded");
	assert_string_equal(fact_text(facts, "level"), "exceeded");
	assert_string_equal(fact_text(facts, "state"), "updated");
	assert_string_equal(fact_text(facts, "next"), "Calls are refused.");
	assert_int_equal(fact_int(facts, "incident"), 1);
	json_decref(facts);
	put_reset(w, "team-a");
	run(w);
	assert_int_equal(rows(w, "chat", SAY_RESOLVE, OUTBOX_QUEUED), 1);
	assert_int_equal(number(w, "SELECT state FROM incident"), INCIDENT_RESOLVED);
	put_reset(w, "team-a"); /* nobody is told of the end of nothing */
	put_reset(w, "team-b");
	run(w);
	assert_int_equal(rows(w, "chat", -1, -1), 5);
}

static void one_call_crosses_several(void **state)
{
	struct world *w = *state;

	add_channel(w, "chat", &world_chat);
	add_channel(w, "worst", &world_chat)->severity = SEVERITY_CRITICAL;
	start_alerts(w);
	put_threshold(w, "team-a", 75);
	put_threshold(w, "team-a", 90);
	put_threshold(w, "team-a", 100);
	put_threshold(w, "team-b", 75); /* another budget's is its own */
	run(w);
	assert_int_equal(rows(w, "chat", -1, OUTBOX_QUEUED), 2);
	assert_int_equal(number(w, "SELECT count(*) FROM outbox WHERE state=5 AND reason='higher'"), 2);
	assert_int_equal(rows(w, "worst", -1, OUTBOX_QUEUED), 1);
	assert_int_equal(rows(w, "worst", -1, -1), 1);
	assert_int_equal(number(w, "SELECT events FROM incident WHERE budget='team-a'"), 3);
}

/* D3.9, 1 */
static void the_same_again(void **state)
{
	struct world *w = *state;

	add_channel(w, "chat", &world_chat);
	add_channel(w, "edit", &world_edit);
	w->config.escalate = false;
	start_alerts(w);
	put_threshold(w, "daily", 75);
	run(w);
	later(w, 30 * SECOND);
	put_threshold(w, "daily", 75);
	run(w);
	assert_int_equal(rows(w, "chat", -1, OUTBOX_QUEUED), 1);
	assert_int_equal(number(w, "SELECT count(*) FROM outbox WHERE reason='duplicate' AND channel='chat'"), 1);
	later(w, 271 * SECOND);
	put_threshold(w, "daily", 75);
	run(w);
	assert_int_equal(rows(w, "chat", -1, OUTBOX_QUEUED), 2);
	/* What can be edited in place needs no gap, once it is known under which name. */
	sql_change(w->dir, "UPDATE told SET ref='1.2' WHERE channel='edit'");
	put_threshold(w, "daily", 75);
	run(w);
	assert_int_equal(rows(w, "chat", -1, OUTBOX_QUEUED), 2);
	assert_int_equal(rows(w, "edit", -1, OUTBOX_QUEUED), 3);
	assert_int_equal(number(w, "SELECT count(*) FROM told WHERE ref='1.2'"), 1);
}

static void rate_and_digest(void **state)
{
	struct world *w = *state;
	char name[32];
	json_t *facts, *digest;

	add_channel(w, "chat", &world_chat);
	start_alerts(w);
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "b%d", i);
		put_threshold(w, name, 75);
	}
	run(w);
	assert_int_equal(number(w, "SELECT count(*) FROM incident"), 1000);
	assert_int_equal(rows(w, "chat", -1, OUTBOX_QUEUED), 10);
	assert_int_equal(number(w, "SELECT count(*) FROM outbox WHERE state=3 AND reason='rate_limited'"), 990);
	assert_int_equal(w->figured, 10);
	put_threshold(w, "b5", 100); /* critical passes */
	later(w, SECOND);
	assert_int_equal(rows(w, "chat", -1, OUTBOX_QUEUED), 11);
	send_queued(w);
	stop_alerts(w);
	start_alerts(w);
	later(w, 200 * SECOND);
	assert_int_equal(rows(w, "chat", -1, OUTBOX_QUEUED), 0);
	later(w, 300 * SECOND);
	assert_int_equal(rows(w, "chat", -1, OUTBOX_QUEUED), 1);
	assert_int_equal(rows(w, "chat", SAY_DIGEST, OUTBOX_QUEUED), 1);
	assert_int_equal(rows(w, "chat", -1, OUTBOX_MERGED), 990);
	facts = facts_of(w, "outbox WHERE op=5");
	digest = json_object_get(facts, "digest");
	assert_int_equal(fact_int(digest, "count"), 990);
	assert_int_equal(fact_int(json_object_get(digest, "by_severity"), "warning"), 990);
	assert_int_equal(fact_int(json_object_get(digest, "by_type"), "budget.threshold"), 990);
	assert_int_equal(json_array_size(json_object_get(digest, "lines")), DIGEST_LINES);
	assert_non_null(strstr(json_string_value(json_array_get(json_object_get(digest, "lines"), 0)), ": 75 % used"));
	assert_string_equal(json_string_value(json_array_get(json_object_get(digest, "lines"), DIGEST_LINES - 1)),
			    "and 971 more");
	assert_string_equal(fact_text(facts, "message"), "990 alerts were held back");
	json_decref(facts);
	send_queued(w);
	/* All end at once: some are told, the rest in a digest. */
	later(w, 400 * SECOND);
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "b%d", i);
		put_reset(w, name);
	}
	run(w);
	later(w, 5 * SECOND);
	later(w, 600 * SECOND);
	assert_int_equal(number(w, "SELECT count(*) FROM incident WHERE state<>2"), 0);
	assert_int_equal(rows(w, "chat", SAY_RESOLVE, OUTBOX_QUEUED) + rows(w, "chat", SAY_RESOLVE, OUTBOX_MERGED),
			 1000);
	assert_true(rows(w, "chat", -1, OUTBOX_QUEUED) <= 11);
	/* What was told in a digest is kept in short. */
	assert_int_equal(number(w, "SELECT count(*) FROM outbox WHERE state=4 AND instr(facts,'labels')>0"), 0);
	assert_int_equal(number(w, "SELECT count(*) FROM outbox WHERE state=4 AND instr(facts,'message')=0"), 0);
	assert_int_equal(rows(w, "chat", -1, OUTBOX_HELD), 0);
}

/* D3.9, 2 */
static void critical_has_more_room(void **state)
{
	struct world *w = *state;
	char name[32];

	add_channel(w, "chat", &world_chat);
	start_alerts(w);
	for (int i = 0; i < 11; i++) {
		(void)snprintf(name, sizeof(name), "b%d", i);
		put_threshold(w, name, 75);
	}
	run(w);
	assert_int_equal(rows(w, "chat", -1, OUTBOX_QUEUED), 10);
	for (int i = 0; i < 40; i++) {
		(void)snprintf(name, sizeof(name), "c%d", i);
		put_threshold(w, name, 100);
	}
	run(w);
	assert_int_equal(rows(w, "chat", -1, OUTBOX_QUEUED), 30);
	assert_int_equal(rows(w, "chat", -1, OUTBOX_HELD), 21);
	later(w, 301 * SECOND);
	assert_int_equal(rows(w, "chat", SAY_DIGEST, OUTBOX_QUEUED), 1);
	assert_int_equal(rows(w, "chat", -1, OUTBOX_HELD), 0);
}

static void held_alone_is_sent_as_it_is(void **state)
{
	struct world *w = *state;

	add_channel(w, "chat", &world_chat)->per_window = 1;
	start_alerts(w);
	put_threshold(w, "a", 75);
	put_threshold(w, "b", 75);
	run(w);
	assert_int_equal(rows(w, "chat", -1, OUTBOX_HELD), 1);
	later(w, 300 * SECOND);
	assert_int_equal(rows(w, "chat", SAY_FIRE, OUTBOX_QUEUED), 2);
	assert_int_equal(number(w, "SELECT count(*) FROM told"), 2);
	/* One that is over by then is told as such, because its end was not. */
	put_threshold(w, "c", 75);
	run(w);
	put_reset(w, "c");
	run(w);
	assert_int_equal(number(w, "SELECT count(*) FROM outbox WHERE state=5 AND reason='untold'"), 1);
	later(w, 300 * SECOND);
	assert_int_equal(rows(w, "chat", SAY_DIGEST, OUTBOX_QUEUED), 1);
}

static void stateful_are_told_one_by_one(void **state)
{
	struct world *w = *state;

	add_channel(w, "page", &world_page)->per_window = 2;
	w->config.escalate = false;
	start_alerts(w);
	put_threshold(w, "a", 75);
	put_threshold(w, "b", 75);
	put_threshold(w, "c", 75);
	put_threshold(w, "d", 75);
	put_threshold(w, "e", 75);
	run(w);
	assert_int_equal(rows(w, "page", -1, OUTBOX_QUEUED), 2);
	w->now_ns += SECOND;
	put_threshold(w, "a", 90); /* an update of what is known passes */
	put_reset(w, "b");         /* ends too */
	put_reset(w, "c");         /* was never told */
	run(w);
	assert_int_equal(rows(w, "page", SAY_UPDATE, OUTBOX_QUEUED), 1);
	assert_int_equal(rows(w, "page", SAY_RESOLVE, OUTBOX_QUEUED), 1);
	assert_int_equal(number(w, "SELECT count(*) FROM outbox WHERE state=5 AND reason IN ('over','untold')"), 2);
	later(w, 301 * SECOND);
	assert_int_equal(rows(w, "page", SAY_FIRE, OUTBOX_QUEUED), 4);
	assert_int_equal(rows(w, "page", SAY_DIGEST, -1), 0);
	assert_int_equal(rows(w, "page", -1, OUTBOX_HELD), 0);
}

/* What was held is not told after what came later. */
static void held_is_not_told_after_newer(void **state)
{
	struct world *w = *state;

	add_channel(w, "page", &world_page)->per_window = 1;
	w->config.escalate = false;
	start_alerts(w);
	put_threshold(w, "a", 75);
	put_threshold(w, "b", 75); /* held */
	run(w);
	w->now_ns += SECOND;
	put_threshold(w, "b", 100); /* critical passes */
	run(w);
	assert_int_equal(rows(w, "page", SAY_FIRE, OUTBOX_QUEUED), 2);
	assert_int_equal(rows(w, "page", SAY_FIRE, OUTBOX_HELD), 1);
	later(w, 400 * SECOND);
	assert_int_equal(rows(w, "page", SAY_FIRE, OUTBOX_QUEUED), 2);
	assert_int_equal(number(w, "SELECT count(*) FROM outbox WHERE state=5 AND reason='newer'"), 1);
}

static void long_queue_waits(void **state)
{
	struct world *w = *state;
	char sql[500];

	add_channel(w, "chat", &world_chat);
	(void)snprintf(sql, sizeof(sql),
		       "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<1000)"
		       " INSERT INTO outbox(id,event,incident,channel,op,severity,state,reason,facts,attempts,created,"
		       "next,sent,status,error) SELECT i,0,0,'chat',0,1,0,'','{}',3,1,%lld,0,0,'' FROM n",
		       (long long)(w->now_ns + HOUR));
	sql_change(w->dir, sql);
	start_alerts(w);
	put_threshold(w, "a", 75);
	run(w);
	assert_int_equal(number(w, "SELECT count(*) FROM outbox WHERE state=3 AND reason='queue_full'"), 1);
	later(w, 10 * SECOND);
	assert_int_equal(rows(w, "chat", -1, OUTBOX_HELD), 1);
	sql_change(w->dir, "UPDATE outbox SET state=2 WHERE id<10");
	later(w, 10 * SECOND);
	assert_int_equal(rows(w, "chat", -1, OUTBOX_HELD), 0);
	assert_int_equal(rows(w, "chat", SAY_FIRE, OUTBOX_QUEUED), 992);
}

/* --- silence ------------------------------------------------------------------------------------------------------ */

static void quiet_hours(void **state)
{
	struct world *w = *state;
	struct channel *c = add_channel(w, "chat", &world_chat);
	struct tz *tz;

	assert_int_equal(tz_load("Europe/Berlin", &tz), BUR_OK);
	c->quiet = (struct quiet_hours){.on = true, .zone = tz, .from_min = 9 * 60, .to_min = 10 * 60, .days = 127};
	start_alerts(w); /* 09:00 in Berlin */
	put_threshold(w, "a", 75);
	put_threshold(w, "b", 90);
	put_threshold(w, "c", 100);
	run(w);
	assert_int_equal(rows(w, "chat", -1, OUTBOX_QUEUED), 1);
	assert_int_equal(number(w, "SELECT count(*) FROM outbox WHERE state=3 AND reason='quiet'"), 2);
	stop_alerts(w);
	start_alerts(w);
	later(w, HOUR - SECOND);
	assert_int_equal(rows(w, "chat", -1, OUTBOX_QUEUED), 1);
	later(w, SECOND);
	assert_int_equal(rows(w, "chat", SAY_DIGEST, OUTBOX_QUEUED), 1);
	assert_int_equal(rows(w, "chat", -1, OUTBOX_MERGED), 2);
	tz_free(tz);
}

/* The clock was a day ahead: what was told then holds nothing back now. */
static void clock_set_back(void **state)
{
	for (int restarted = 0; restarted < 2; restarted++) {
		struct world *w = *state;
		char name[32];

		if (restarted == 0)
			add_channel(w, "chat", &world_chat);
		w->now_ns = MORNING + 24 * HOUR;
		start_alerts(w);
		for (int i = 0; i < 12; i++) {
			(void)snprintf(name, sizeof(name), "b%d-%d", restarted, i);
			put_note(w, "cloud.source_failed", NOTE_BEGAN, 0, name);
		}
		run(w);
		assert_int_equal(rows(w, "chat", -1, OUTBOX_QUEUED), 10);
		assert_int_equal(rows(w, "chat", -1, OUTBOX_HELD), 2);
		w->now_ns = MORNING + HOUR;
		if (restarted) {
			stop_alerts(w);
			start_alerts(w);
		}
		core_tick(w->alerts);
		assert_int_equal(number(w, "SELECT count(*) FROM outbox WHERE state=0 AND next>1795251600000000000"),
				 0);
		assert_int_equal(number(w, "SELECT count(*) FROM incident WHERE changed>1795251600000000000"), 0);
		send_queued(w);
		later(w, 301 * SECOND);
		assert_int_equal(rows(w, "chat", SAY_DIGEST, OUTBOX_QUEUED), 1);
		assert_int_equal(rows(w, "chat", -1, OUTBOX_HELD), 0);
		later(w, 301 * SECOND);
		put_note(w, "cloud.source_failed", NOTE_BEGAN, 0, "c");
		run(w);
		assert_int_equal(rows(w, "chat", SAY_FIRE, OUTBOX_QUEUED), 1);
		sql_change(w->dir, "DELETE FROM outbox; DELETE FROM incident");
		stop_alerts(w);
	}
}

/* What waits for other channels, however much, does not make a start longer. */
static void a_long_past_does_not_hold_the_start(void **state)
{
	struct world *w = *state;
	int64_t began_ns;

	for (int i = 0; i < WORLD_CHANNELS_MAX; i++) {
		static const char *const names[WORLD_CHANNELS_MAX] = {"a", "b", "c", "d"};

		add_channel(w, names[i], &world_chat);
	}
	sql_change(w->dir, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<200000)"
			   " INSERT INTO outbox SELECT i,0,0,'x'||i%20,0,1,3,'',hex(zeroblob(100)),0,"
			   "1795248000000000000,1795248000000000000,0,0,'' FROM n");
	began_ns = clock_mono_ns();
	start_alerts(w);
	core_tick(w->alerts);
	print_message("started in %lld ms\n", (long long)((clock_mono_ns() - began_ns) / NS_PER_MS));
	assert_true(clock_mono_ns() - began_ns < NS_PER_S);
}

static void mutes(void **state)
{
	struct world *w = *state;
	struct mute m = {.label = SLICE("model"), .value = SLICE("gpt-*"), .by = SLICE("ann")};
	int64_t id;

	add_channel(w, "chat", &world_chat);
	start_alerts(w);
	m.from_ns = w->now_ns;
	m.until_ns = w->now_ns + HOUR;
	assert_int_equal(mute_add(w->alerts, &m, &id), BUR_OK);
	m.value = SLICE("");
	assert_int_equal(mute_add(w->alerts, &m, &id), BUR_INVALID);
	put_note(w, "price.unknown_model", NOTE_BEGAN, 0, "gpt-x");
	put_note(w, "breaker.opened", NOTE_BEGAN, 0, "gpt-y");
	put_note(w, "breaker.opened", NOTE_BEGAN, 0, "claude");
	run(w);
	assert_int_equal(rows(w, "chat", -1, OUTBOX_QUEUED), 1);
	assert_int_equal(number(w, "SELECT count(*) FROM outbox WHERE state=3 AND reason='muted'"), 2);
	put_note(w, "breaker.closed", NOTE_BEGAN, 0, "gpt-y");
	run(w);
	stop_alerts(w);
	start_alerts(w);
	later(w, HOUR + SECOND);
	/* What still goes on is told once, what is over is not. */
	assert_int_equal(rows(w, "chat", SAY_FIRE, OUTBOX_QUEUED), 2);
	assert_int_equal(number(w, "SELECT count(*) FROM outbox WHERE state=5 AND reason='over'"), 1);
}

static void mute_ends_early(void **state)
{
	struct world *w = *state;
	struct mute m = {.budget = SLICE("a"), .by = SLICE("ann"), .reason = SLICE("move")};
	int64_t id = 0;

	add_channel(w, "chat", &world_chat);
	w->config.escalate = false;
	start_alerts(w);
	m.from_ns = w->now_ns;
	m.until_ns = w->now_ns + HOUR;
	assert_int_equal(mute_add(w->alerts, &m, &id), BUR_OK);
	put_threshold(w, "a", 75);
	run(w);
	w->now_ns += SECOND;
	put_threshold(w, "a", 90);
	run(w);
	assert_int_equal(rows(w, "chat", -1, OUTBOX_HELD), 2);
	assert_int_equal(mute_end(w->alerts, id + 1, "ann", ""), BUR_NOTFOUND);
	assert_int_equal(mute_end(w->alerts, id, "ann", ""), BUR_OK);
	assert_false(core_idle(w->alerts));
	run(w);
	assert_int_equal(rows(w, "chat", -1, OUTBOX_QUEUED), 1);
	assert_int_equal(number(w, "SELECT count(*) FROM outbox WHERE state=5 AND reason='newer'"), 1);
	assert_int_equal(number(w, "SELECT count(*) FROM audit WHERE action IN ('alerts.mute','alerts.unmute')"), 2);
}

/* --- escalation --------------------------------------------------------------------------------------------------- */

/* D3.9, 5 */
static void five_in_an_hour(void **state)
{
	struct world *w = *state;
	json_t *facts;

	add_channel(w, "chat", &world_chat);
	start_alerts(w);
	for (int i = 0; i < 6; i++) {
		put_threshold(w, "daily", 75);
		run(w);
		assert_int_equal(rows(w, "chat", SAY_ESCALATE, -1), i >= 4);
		later(w, 5 * MINUTE);
	}
	facts = facts_of(w, "outbox WHERE op=4");
	assert_string_equal(fact_text(facts, "level"), "exceeded");
	assert_true(strncmp(fact_text(facts, "message"), "ESCALATED ALERT: ", 17) == 0);
	assert_string_equal(fact_text(json_object_get(facts, "escalated"), "original_level"), "warning");
	assert_string_equal(fact_text(json_object_get(facts, "escalated"), "reason"),
			    "repeated_alerts_or_persistent_condition");
	assert_int_equal(fact_int(json_object_get(facts, "escalated"), "events"), 5);
	json_decref(facts);
	facts = escalation_status(w->alerts);
	assert_int_equal(fact_int(facts, "active_escalation_keys"), 1);
	json_decref(facts);
}

/* D3.9, 6 */
static void two_far_apart(void **state)
{
	struct world *w = *state;

	add_channel(w, "chat", &world_chat);
	start_alerts(w);
	put_threshold(w, "monthly", 90); /* level critical: severity error */
	run(w);
	later(w, 14 * MINUTE);
	put_threshold(w, "monthly", 90);
	run(w);
	assert_int_equal(rows(w, "chat", SAY_ESCALATE, -1), 0);
	later(w, 2 * MINUTE);
	put_threshold(w, "monthly", 90);
	run(w);
	assert_int_equal(rows(w, "chat", SAY_ESCALATE, OUTBOX_QUEUED), 1);
}

static void acknowledged_is_not_escalated(void **state)
{
	struct world *w = *state;

	add_channel(w, "chat", &world_chat);
	start_alerts(w);
	put_threshold(w, "daily", 75);
	run(w);
	assert_int_equal(incident_ack(w->alerts, 1, "ann", NULL), BUR_OK);
	for (int i = 0; i < 6; i++) {
		later(w, MINUTE);
		put_threshold(w, "daily", 75);
		run(w);
	}
	assert_int_equal(rows(w, "chat", SAY_ESCALATE, -1), 0);
	w->now_ns += SECOND;
	put_threshold(w, "daily", 90); /* worse than what was acknowledged */
	run(w);
	assert_int_equal(number(w, "SELECT state FROM incident"), INCIDENT_FIRING);
	assert_int_equal(rows(w, "chat", SAY_ESCALATE, -1), 1);
}

static void nobody_acknowledges(void **state)
{
	static const char *const to[] = {"boss"};
	struct world *w = *state;

	add_channel(w, "chat", &world_chat);
	add_channel(w, "boss", &world_chat)->severity = SEVERITY_CRITICAL;
	w->rules[0] = (struct rule){.escalate_s = 600, .escalate_to = to, .n_escalate_to = 1};
	w->config.rules = w->rules;
	w->config.n_rules = 1;
	start_alerts(w);
	put_threshold(w, "daily", 75);
	put_threshold(w, "other", 75);
	run(w);
	later(w, 2 * MINUTE);
	send_queued(w); /* told only now */
	assert_int_equal(incident_ack(w->alerts, 2, "ann", "I see"), BUR_OK);
	later(w, 9 * MINUTE);
	assert_int_equal(rows(w, "boss", -1, -1), 0);
	stop_alerts(w);
	start_alerts(w);
	later(w, 62 * SECOND);
	assert_int_equal(rows(w, "boss", SAY_ESCALATE, OUTBOX_QUEUED), 1);
	assert_int_equal(rows(w, "chat", SAY_ESCALATE, -1), 0);
	stop_alerts(w);
	start_alerts(w);
	later(w, HOUR);
	assert_int_equal(rows(w, "boss", SAY_ESCALATE, -1), 1);
}

/* --- what fails --------------------------------------------------------------------------------------------------- */

/* One story, told the same whatever commit fails or is not heard of, with a restart there. */
static void story(struct world *w, int step)
{
	static const int at[] = {50, 75, 90, 100};
	char name[16];

	w->now_ns += SECOND;
	if (step < 4)
		put_threshold(w, "team-a", at[step]);
	if (step == 4)
		for (int i = 0; i < 15; i++) {
			(void)snprintf(name, sizeof(name), "b%d", i);
			put_threshold(w, name, 75);
		}
	if (step == 5)
		put_reset(w, "team-a");
	if (step >= 6)
		w->now_ns += 301 * SECOND;
}
#define STORY_STEPS 8

static void tell_story(struct world *w, int fail_at, bool done)
{
	add_channel(w, "chat", &world_chat);
	add_channel(w, "page", &world_page);
	w->config.escalate = false;
	start_alerts(w);
	for (int step = 0; step < STORY_STEPS; step++) {
		story(w, step);
		if (step == fail_at % STORY_STEPS)
			store_test_fail(fail_at / STORY_STEPS, 1, SQLITE_FULL, done);
		for (int i = 0; i < 20 && w->alerts->loaded; i++)
			core_tick(w->alerts);
		store_test_fail(0, 0, 0, false);
		if (step == fail_at % STORY_STEPS) {
			stop_alerts(w);
			start_alerts(w);
		}
		run(w);
	}
}

static char *outcome(struct world *w)
{
	sqlite3 *db = raw_db(w->dir, false);
	sqlite3_stmt *st = NULL;
	char *text;

	assert_int_equal(
	    sqlite3_prepare_v2(db,
			       "SELECT group_concat(x, ' ') FROM (SELECT channel||':'||op||':'||state||':'||reason||"
			       "':'||count(*) AS x FROM outbox GROUP BY channel,op,state,reason ORDER BY 1)",
			       -1, &st, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	text = strdup((const char *)sqlite3_column_text(st, 0));
	(void)sqlite3_finalize(st);
	(void)sqlite3_close(db);
	return text;
}

static void every_write_fails_once(void **state)
{
	struct world *first = *state, w;
	char *expected, *seen;

	tell_story(first, -1, false);
	expected = outcome(first);
	for (int fail_at = 0; fail_at < STORY_STEPS * 3; fail_at++) {
		for (int done = 0; done < 2; done++) {
			begin_world(&w);
			tell_story(&w, fail_at, done);
			seen = outcome(&w);
			assert_string_equal(seen, expected);
			free(seen);
			end_world(&w);
		}
	}
	free(expected);
}

/* A disk that is full for a while loses nothing, without any restart. */
static void full_disk(void **state)
{
	struct world *w = *state;

	add_channel(w, "chat", &world_chat);
	start_alerts(w);
	put_threshold(w, "a", 75);
	store_test_fail(0, 2, SQLITE_FULL, false);
	core_tick(w->alerts);
	assert_false(core_idle(w->alerts));
	assert_int_equal(rows(w, "chat", -1, -1), 0);
	store_test_fail(0, 0, 0, false);
	WAIT_FOR((core_tick(w->alerts), core_idle(w->alerts)));
	assert_int_equal(rows(w, "chat", -1, OUTBOX_QUEUED), 1);
}

/* Any order of events, ends, times and restarts: each event ends in one place for each channel. */
static void random_story(unsigned seed)
{
	static const int at[] = {50, 75, 90, 100};
	struct world w;
	char name[16];

	srandom(seed);
	begin_world(&w);
	add_channel(&w, "chat", &world_chat)->per_window = 3;
	add_channel(&w, "page", &world_page)->per_window = 2;
	w.channels[0].critical_per_window = 5;
	start_alerts(&w);
	for (int i = 0; i < 150; i++) {
		long what = random() % 10;

		w.now_ns += random() % 20 == 0 ? 400 * SECOND : random() % SECOND;
		(void)snprintf(name, sizeof(name), "b%ld", random() % 8);
		if (what < 6)
			put_threshold(&w, name, at[random() % 4]);
		else if (what < 8)
			put_reset(&w, name);
		if (random() % 4 == 0)
			core_tick(w.alerts);
		if (random() % 15 == 0) {
			stop_alerts(&w);
			start_alerts(&w);
		}
		if (random() % 10 == 0)
			send_queued(&w);
	}
	run(&w);
	for (int i = 0; i < 20; i++)
		later(&w, 301 * SECOND);
	/* nothing waits for ever, and each event that is no end has one message for each channel */
	assert_int_equal(number(&w, "SELECT count(*) FROM outbox WHERE state=3"), 0);
	assert_int_equal(number(&w, "SELECT count(*) FROM event WHERE kind='budget.threshold'") * 2,
			 number(&w, "SELECT count(*) FROM outbox WHERE op IN (0,1)"));
	assert_int_equal(number(&w, "SELECT count(*) FROM (SELECT 1 FROM outbox WHERE event>0 AND op IN (0,1)"
				    " GROUP BY event,channel HAVING count(*)>1)"),
			 0);
	/* digests say how many they are of */
	assert_int_equal(number(&w, "SELECT count(*) FROM outbox WHERE state=4"),
			 number(&w, "SELECT coalesce(sum(json_extract(facts,'$.digest.count')),0) FROM outbox"
				    " WHERE op=5"));
	/* who keeps incidents is told of the end of each that it knows, once, and of no other */
	assert_int_equal(
	    number(&w, "SELECT count(*) FROM (SELECT incident FROM outbox WHERE channel='page' AND op IN (0,1,4) AND"
		       " state IN (0,1) AND incident IN (SELECT id FROM incident WHERE state=2)"
		       " GROUP BY incident)"),
	    number(&w, "SELECT count(*) FROM outbox WHERE channel='page' AND op=2 AND state IN (0,1)"));
	assert_int_equal(number(&w, "SELECT count(*) FROM (SELECT 1 FROM incident WHERE state<>2 GROUP BY key HAVING"
				    " count(*)>1)"),
			 0);
	end_world(&w);
}

static void any_story(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 8; seed++) {
		print_message("seed %u\n", seed);
		random_story(seed);
	}
}

/* --- the rest ----------------------------------------------------------------------------------------------------- */

static void test_messages(void **state)
{
	struct world *w = *state;
	int64_t ids[4];
	size_t n;

	add_channel(w, "chat", &world_chat)->per_window = 1;
	add_channel(w, "page", &world_page);
	start_alerts(w);
	assert_int_equal(alerts_test(w->alerts, "mail", ids, 4, &n), BUR_NOTFOUND);
	assert_int_equal(alerts_test(w->alerts, NULL, ids, 4, &n), BUR_OK);
	assert_int_equal(n, 2);
	assert_int_equal(alerts_test(w->alerts, "chat", ids, 4, &n), BUR_OK);
	assert_int_equal(n, 1);
	assert_int_equal(rows(w, "chat", SAY_TEST, OUTBOX_QUEUED), 2);
	put_threshold(w, "a", 75); /* tests do not count */
	run(w);
	assert_int_equal(rows(w, "chat", SAY_FIRE, OUTBOX_QUEUED), 1);
}

static void damaged_and_unknown_events(void **state)
{
	struct world *w = *state;

	add_channel(w, "chat", &world_chat);
	start_alerts(w);
	put_event(w, "breaker.half_open", NOTE_BEGAN, 0, "{}");
	put_event(w, "no.such.kind", NOTE_BEGAN, 1, "{}");
	put_event(w, "system.degraded", NOTE_BEGAN, 2, "not json");
	put_event(w, "system.degraded", NOTE_BEGAN, 3, "[1]");
	run(w);
	assert_int_equal(w->alerts->cursor, 4);
	assert_int_equal(number(w, "SELECT count(*) FROM incident"), 2);
	assert_int_equal(rows(w, "chat", -1, OUTBOX_QUEUED), 2);
	w->config.retention_s = 3600;
	send_queued(w);
	later(w, 3 * HOUR);
	assert_int_equal(number(w, "SELECT count(*) FROM outbox WHERE state=5"), 0);
}

#ifdef __SANITIZE_ADDRESS__
#define MANY 2000
#else
#define MANY 10000
#endif

static void many_at_once(void **state)
{
	struct world *w = *state;
	char sql[700];
	int64_t began = clock_mono_ns();

	add_channel(w, "chat", &world_chat);
	add_channel(w, "page", &world_page);
	start_alerts(w);
	(void)snprintf(sql, sizeof(sql),
		       "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d)"
		       " INSERT INTO event(ts,kind,uid,win_start,at_ppm,action,payload) SELECT"
		       " 1795248000000000000,'budget.threshold',i,i,750000,0,'{\"budget\":\"b'||i||'\",\"scope\":\"\","
		       "\"at_ppm\":750000,\"posted\":75,\"limit\":100,\"win_start\":0,\"win_end\":1895248000}' FROM n",
		       MANY);
	sql_change(w->dir, sql);
	run(w);
	print_message("%d events in %lld ms\n", MANY, (long long)((clock_mono_ns() - began) / NS_PER_MS));
	assert_int_equal(rows(w, "chat", -1, OUTBOX_QUEUED), 10);
	stop_alerts(w);
	start_alerts(w);
	put_threshold(w, "late", 75); /* the rate is known, however many are held */
	run(w);
	assert_int_equal(rows(w, "chat", -1, OUTBOX_QUEUED), 10);
	began = clock_mono_ns();
	later(w, 301 * SECOND);
	print_message("their digest in %lld ms\n", (long long)((clock_mono_ns() - began) / NS_PER_MS));
	assert_int_equal(rows(w, "chat", SAY_DIGEST, -1), 1);
	assert_int_equal(rows(w, "chat", -1, OUTBOX_MERGED), MANY - 9);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    TEST(each_threshold_once),
	    TEST(one_call_crosses_several),
	    TEST(the_same_again),
	    TEST(rate_and_digest),
	    TEST(critical_has_more_room),
	    TEST(held_alone_is_sent_as_it_is),
	    TEST(stateful_are_told_one_by_one),
	    TEST(held_is_not_told_after_newer),
	    TEST(long_queue_waits),
	    TEST(quiet_hours),
	    TEST(clock_set_back),
	    TEST(a_long_past_does_not_hold_the_start),
	    TEST(mutes),
	    TEST(mute_ends_early),
	    TEST(five_in_an_hour),
	    TEST(two_far_apart),
	    TEST(acknowledged_is_not_escalated),
	    TEST(nobody_acknowledges),
	    TEST(every_write_fails_once),
	    TEST(full_disk),
	    TEST(test_messages),
	    TEST(damaged_and_unknown_events),
	    TEST(many_at_once),
	    cmocka_unit_test(any_story),
	};

	log_init(2, LOG_ERROR);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
