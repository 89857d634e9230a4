/* What is told to whom, read back by another connection and after a restart as it was written. */
#include "tests/unit/store_alerts_help.h"

/* --- events ------------------------------------------------------------------------------------------------------- */

static int stop_at_second(void *ctx, const struct event_row *r)
{
	see(ctx, r->id, r->action, r->kind);
	return ((struct seen *)ctx)->n == 2 ? BUR_EOF : BUR_OK;
}

static void events_are_read_in_order_after_the_cursor(void **state)
{
	struct alerts_change c = {.cursor = 2};
	struct seen v = {.n = 0};
	int64_t cursor;

	(void)state;
	assert_int_equal(alerts_cursor(db, &cursor), BUR_OK);
	assert_int_equal(cursor, 0);
	note("spend.anomaly", "a", 1, NOTE_BEGAN, "{\"n\":1}");
	note("spend.anomaly", "a", 1, NOTE_ENDED, "{\"n\":2}");
	note("spend.anomaly", "b", 1, NOTE_BEGAN, "{\"n\":3}");
	assert_int_equal(alerts_each_event(db, 0, 100, see_event, &v), BUR_OK);
	assert_int_equal(v.n, 3);
	assert_string_equal(v.text[2], "{\"n\":3}");
	assert_int_equal(v.state[1], NOTE_ENDED);
	v.n = 0;
	assert_int_equal(alerts_each_event(db, 1, 1, see_event, &v), BUR_OK);
	assert_int_equal(v.n, 1);
	assert_string_equal(v.text[0], "{\"n\":2}");
	v.n = 0;
	assert_int_equal(alerts_each_event(db, 0, 100, stop_at_second, &v), BUR_EOF);
	assert_int_equal(v.n, 2);
	assert_int_equal(alerts_write(s, &c), BUR_OK);
	c.cursor = 1; /* never goes back */
	assert_int_equal(alerts_write(s, &c), BUR_OK);
	restart();
	assert_int_equal(alerts_cursor(db, &cursor), BUR_OK);
	assert_int_equal(cursor, 2);
}

static void installation_has_a_lasting_id(void **state)
{
	char a[13], b[13];

	(void)state;
	assert_int_equal(alerts_instance(db, a), BUR_OK);
	assert_int_equal(strspn(a, "0123456789abcdef"), 12);
	restart();
	assert_int_equal(alerts_instance(db, b), BUR_OK);
	assert_string_equal(a, b);
}

/* --- incidents ---------------------------------------------------------------------------------------------------- */

static int check_incident(void *ctx, const struct incident *r)
{
	(void)ctx;
	assert_int_equal(r->id, 1);
	assert_true(slice_eq(r->key, SLICE("k1")));
	assert_true(slice_eq(r->type, SLICE("budget.threshold")));
	assert_true(slice_eq(r->budget, SLICE("daily")));
	assert_true(slice_eq(r->scope, SLICE("user=ann")));
	assert_true(slice_eq(r->by, SLICE("ann")));
	assert_int_equal(r->state, INCIDENT_ACKED);
	assert_int_equal(r->severity, 3);
	assert_int_equal(r->first_event, 4);
	assert_int_equal(r->last_event, 5);
	assert_int_equal(r->events, 2);
	assert_int_equal(r->opened_ns, S(100));
	assert_int_equal(r->changed_ns, S(101));
	assert_int_equal(r->acked_ns, S(102));
	assert_int_equal(r->resolved_ns, S(103));
	assert_int_equal(r->escalated_ns, S(104));
	assert_int_equal(r->ends_ns, S(105));
	assert_true(slice_starts(r->facts, SLICE("{\"message\":\"80 %\"")));
	return BUR_OK;
}

static void incidents_come_back_as_they_were(void **state)
{
	const struct incident_filter f = {.id = 1, .limit = 1};
	struct incident i = make_incident(1, "k1");

	(void)state;
	write_incident(&i);
	i.by = SLICE("ann");
	i.state = INCIDENT_ACKED;
	i.severity = 3;
	i.first_event = 4;
	i.last_event = 5;
	i.events = 2;
	i.changed_ns = S(101);
	i.acked_ns = S(102);
	i.resolved_ns = S(103);
	i.escalated_ns = S(104);
	i.ends_ns = S(105);
	i.facts = SLICE_NONE; /* as they were */
	write_incident(&i);
	write_incident(&i);
	restart();
	assert_int_equal(alerts_each_incident(db, &f, check_incident, NULL), BUR_OK);
	assert_int_equal(number("SELECT count(*) FROM incident"), 1);
	/* what the cost API calls it */
	assert_int_equal(number("SELECT count(*) FROM alerts WHERE id=1 AND alert_type='budget.threshold' AND"
				" alert_level='exceeded' AND budget='daily' AND message='80 %' AND timestamp=100.0 AND"
				" \"limit\"=5.0 AND current=4.0 AND percentage_used=80.0 AND state='acknowledged'"
				" AND acknowledged=1 AND resolved=0"),
			 1);
}

static void only_one_incident_of_a_key_is_open(void **state)
{
	struct incident i[2] = {make_incident(1, "k"), make_incident(2, "k")};
	const struct alerts_change c = {.incidents = i, .n_incidents = 2, .cursor = 9};
	int64_t cursor, id;

	(void)state;
	assert_int_equal(alerts_next_incident(db, &id), BUR_OK);
	assert_int_equal(id, 1);
	assert_int_equal(alerts_write(s, &c), BUR_ALREADY);
	assert_int_equal(alerts_cursor(db, &cursor), BUR_OK);
	assert_int_equal(cursor, 0); /* all or nothing */
	assert_int_equal(number("SELECT count(*) FROM incident"), 0);
	i[0].state = INCIDENT_RESOLVED;
	assert_int_equal(alerts_write(s, &c), BUR_OK);
	assert_int_equal(alerts_next_incident(db, &id), BUR_OK);
	assert_int_equal(id, 3);
}

static void incidents_are_found_by_what_is_asked(void **state)
{
	struct incident i[4] = {make_incident(1, "a"), make_incident(2, "b"), make_incident(3, "c"),
				make_incident(4, "a")};
	const struct alerts_change c = {.incidents = i, .n_incidents = 4};
	struct seen v;

	(void)state;
	i[0].state = INCIDENT_RESOLVED;
	i[1].severity = 3;
	i[1].ends_ns = S(500);
	i[2].changed_ns = S(300);
	i[3].ends_ns = S(600);
	assert_int_equal(alerts_write(s, &c), BUR_OK);
	v = incidents((struct incident_filter){.limit = 0});
	assert_int_equal(v.n, 4);
	assert_int_equal(v.id[0], 4); /* newest first */
	assert_int_equal(incidents((struct incident_filter){.open_only = true}).n, 3);
	v = incidents((struct incident_filter){.key = SLICE("a"), .open_only = true});
	assert_int_equal(v.n, 1);
	assert_int_equal(v.id[0], 4);
	assert_int_equal(incidents((struct incident_filter){.key = SLICE("a")}).n, 2);
	assert_int_equal(incidents((struct incident_filter){.key = SLICE("")}).n, 0);
	assert_int_equal(incidents((struct incident_filter){.min_severity = 2}).id[0], 2);
	assert_int_equal(incidents((struct incident_filter){.since_ns = S(300)}).id[0], 3);
	assert_int_equal(incidents((struct incident_filter){.before_id = 3}).n, 2);
	v = incidents((struct incident_filter){.ends_before_ns = S(500)});
	assert_int_equal(v.n, 1);
	assert_int_equal(v.id[0], 2);
	assert_int_equal(incidents((struct incident_filter){.limit = 1}).n, 1);
	assert_int_equal(alerts_each_incident(db, &(struct incident_filter){.limit = 1001}, see_incident, &v),
			 BUR_INVALID);
	assert_int_equal(alerts_each_incident(db, &(struct incident_filter){.limit = 0}, see_incident, &v),
			 BUR_INVALID);
}

static void events_of_an_incident_are_counted(void **state)
{
	const struct incident_event e[] = {
	    {1, 10, S(100), 1}, {1, 11, S(200), 2}, {1, 12, S(300), 2}, {1, 12, S(300), 2}, {2, 13, S(300), 2}};
	const struct alerts_change c = {.events = e, .n_events = ARRAY_LEN(e)};
	int64_t n, same, first;

	(void)state;
	assert_int_equal(alerts_write(s, &c), BUR_OK);
	assert_int_equal(alerts_write(s, &c), BUR_OK);
	assert_int_equal(alerts_incident_events(db, 1, 0, 2, &n, &same, &first), BUR_OK);
	assert_int_equal(n, 3);
	assert_int_equal(same, 2);
	assert_int_equal(first, S(200));
	assert_int_equal(alerts_incident_events(db, 1, S(300), 1, &n, &same, &first), BUR_OK);
	assert_int_equal(n, 1);
	assert_int_equal(same, 0);
	assert_int_equal(first, 0);
	assert_int_equal(alerts_incident_events(db, 7, 0, 1, &n, &same, &first), BUR_OK);
	assert_int_equal(n, 0);
}

static int see_part(void *ctx, const struct event_row *r, int severity)
{
	see(ctx, r->id, severity, r->payload);
	return BUR_OK;
}

static void events_of_an_incident_are_read_newest_first(void **state)
{
	const struct incident_event e[] = {{1, 1, S(100), 1}, {1, 3, S(300), 2}, {2, 2, S(200), 3}};
	const struct alerts_change c = {.events = e, .n_events = 3};
	struct seen v = {.n = 0};

	(void)state;
	note("spend.anomaly", "a", 1, NOTE_BEGAN, "{\"n\":1}");
	note("spend.anomaly", "b", 1, NOTE_BEGAN, "{\"n\":2}");
	note("spend.anomaly", "a", 2, NOTE_BEGAN, "{\"n\":3}");
	assert_int_equal(alerts_write(s, &c), BUR_OK);
	assert_int_equal(alerts_each_incident_event(db, 1, 10, see_part, &v), BUR_OK);
	assert_int_equal(v.n, 2);
	assert_string_equal(v.text[0], "{\"n\":3}");
	assert_int_equal(v.state[0], 2);
	v.n = 0;
	assert_int_equal(alerts_each_incident_event(db, 1, 1, see_part, &v), BUR_OK);
	assert_int_equal(v.n, 1);
}

/* --- outbox ------------------------------------------------------------------------------------------------------- */

static int check_message(void *ctx, const struct outbox_row *r)
{
	(void)ctx;
	assert_int_equal(r->event, 5);
	assert_int_equal(r->incident, 1);
	assert_true(slice_eq(r->channel, SLICE("mail")));
	assert_true(slice_eq(r->facts, SLICE("{\"a\":1}")));
	assert_true(slice_eq(r->reason, SLICE("quiet")));
	assert_true(slice_eq(r->last_error, SLICE("no answer")));
	assert_int_equal(r->op, 0);
	assert_int_equal(r->severity, 1);
	assert_int_equal(r->state, OUTBOX_HELD);
	assert_int_equal(r->attempts, 2);
	assert_int_equal(r->created_ns, S(100));
	assert_int_equal(r->next_ns, S(300));
	assert_int_equal(r->sent_ns, S(301));
	assert_int_equal(r->last_status, 503);
	return BUR_OK;
}

static void messages_exist_once(void **state)
{
	struct outbox_row o = make_message(1, 5, "mail", 100), again = make_message(2, 5, "mail", 100);
	const struct outbox_filter all = {.state = -1, .limit = 10};
	int64_t id;

	(void)state;
	assert_int_equal(alerts_next_outbox(db, &id), BUR_OK);
	assert_int_equal(id, 1);
	write_message(&o);
	again.state = OUTBOX_HELD;
	write_message(&again); /* another id for the same: left as it is */
	assert_int_equal(messages(all).n, 1);
	assert_int_equal(messages(all).state[0], OUTBOX_QUEUED);
	o.state = OUTBOX_HELD;
	o.reason = SLICE("quiet");
	o.attempts = 2;
	o.next_ns = S(300);
	o.sent_ns = S(301);
	o.last_status = 503;
	o.last_error = SLICE("no answer");
	o.facts = SLICE_NONE;
	o.severity = 3; /* of an existing row: not changed */
	write_message(&o);
	restart();
	assert_int_equal(alerts_each_outbox(db, &all, check_message, NULL), BUR_OK);
	o = make_message(2, 5, "mail", 100);
	o.op = 2;
	write_message(&o); /* its end is another message */
	o = make_message(3, 0, "mail", 100);
	write_message(&o);
	o.id = 4;
	write_message(&o); /* digests have no event */
	assert_int_equal(messages(all).n, 4);
	assert_int_equal(alerts_next_outbox(db, &id), BUR_OK);
	assert_int_equal(id, 5);
}

static void what_was_sent_is_never_queued_again(void **state)
{
	struct outbox_row o = make_message(1, 5, "mail", 100), sent = o, dead = make_message(2, 6, "mail", 100);
	const struct outbox_filter one = {.state = -1, .id = 1};

	(void)state;
	write_message(&o);
	sent.state = OUTBOX_SENT;
	sent.sent_ns = S(101);
	write_message(&sent);
	write_message(&o); /* its first answer was lost, say */
	assert_int_equal(messages(one).state[0], OUTBOX_SENT);
	dead.state = OUTBOX_DEAD;
	write_message(&dead);
	dead.state = OUTBOX_QUEUED; /* by hand */
	write_message(&dead);
	assert_int_equal(messages((struct outbox_filter){.state = OUTBOX_QUEUED}).id[0], 2);
}

static void messages_are_found_by_what_is_asked(void **state)
{
	struct outbox_row o[5] = {make_message(1, 1, "a", 300), make_message(2, 2, "a", 200),
				  make_message(3, 3, "b", 100), make_message(4, 4, "a", 200),
				  make_message(5, 5, "b", 900)};
	const struct alerts_change c = {.outbox = o, .n_outbox = 5};
	struct seen v;
	int64_t n;

	(void)state;
	o[1].incident = 7;
	o[2].created_ns = S(400);
	o[3].state = OUTBOX_SENT;
	assert_int_equal(alerts_write(s, &c), BUR_OK);
	v = messages((struct outbox_filter){.state = OUTBOX_QUEUED, .due_ns = S(300)});
	assert_int_equal(v.n, 3);
	assert_int_equal(v.id[0], 3); /* by the time it is due */
	assert_int_equal(v.id[1], 2);
	assert_int_equal(v.id[2], 1);
	v = messages(
	    (struct outbox_filter){.state = OUTBOX_QUEUED, .due_ns = S(300), .channel = SLICE("a"), .limit = 1});
	assert_int_equal(v.n, 1);
	assert_int_equal(v.id[0], 2);
	v = messages((struct outbox_filter){.state = -1});
	assert_int_equal(v.n, 5);
	assert_int_equal(v.id[0], 5); /* newest first */
	assert_int_equal(messages((struct outbox_filter){.state = -1, .incident = 7}).id[0], 2);
	assert_int_equal(messages((struct outbox_filter){.state = -1, .event = 4}).id[0], 4);
	assert_int_equal(messages((struct outbox_filter){.state = -1, .since_ns = S(400)}).id[0], 3);
	assert_int_equal(alerts_count_outbox(db, SLICE("a"), OUTBOX_QUEUED, &n), BUR_OK);
	assert_int_equal(n, 2);
	assert_int_equal(alerts_count_outbox(db, SLICE_NONE, OUTBOX_QUEUED, &n), BUR_OK);
	assert_int_equal(n, 4);
	assert_int_equal(alerts_each_outbox(db, &(struct outbox_filter){.limit = 1001}, see_outbox, &v), BUR_INVALID);
}

static void tries_are_kept_once(void **state)
{
	const struct delivery_try t[] = {
	    {.outbox = 1, .ts_ns = S(100), .attempt = 1, .status = 500, .took_ms = 12, .error = SLICE("500")},
	    {.outbox = 1, .ts_ns = S(105), .attempt = 2, .status = 200, .success = true, .took_ms = 9},
	    {.outbox = 1, .ts_ns = S(905), .attempt = 1, .status = 200, .success = true}, /* began anew by hand */
	};
	const struct outbox_row o = make_message(1, 5, "mail", 100);
	const struct alerts_change c = {.outbox = &o, .n_outbox = 1, .tries = t, .n_tries = 3};
	struct seen v = {.n = 0};

	(void)state;
	assert_int_equal(alerts_write(s, &c), BUR_OK);
	assert_int_equal(alerts_write(s, &c), BUR_OK);
	assert_int_equal(alerts_each_try(db, 1, see_try, &v), BUR_OK);
	assert_int_equal(v.n, 3);
	assert_string_equal(v.text[0], "500");
	assert_int_equal(v.state[1], 200);
	assert_int_equal(
	    number("SELECT count(*) FROM alert_deliveries WHERE alert_id=1 AND channel='mail' AND attempt=1"
		   " AND success=0 AND error='500' AND status_code=500 AND ms=12 AND at=100.0"),
	    1);
}

/* --- told, mutes, channels ---------------------------------------------------------------------------------------- */

static void what_channels_know_is_kept(void **state)
{
	struct incident i[2] = {make_incident(1, "a"), make_incident(2, "b")};
	struct told t[] = {{.incident = 1, .channel = SLICE("mail"), .ref = SLICE("<1@x>"), .severity = 1},
			   {.incident = 2, .channel = SLICE("slack"), .ref = SLICE("C1/2"), .severity = 1}};
	const struct alerts_change c = {.incidents = i, .n_incidents = 2, .told = t, .n_told = 2};
	struct seen v = {.n = 0};

	(void)state;
	assert_int_equal(alerts_write(s, &c), BUR_OK);
	t[0].ref = SLICE("<2@x>");
	t[0].resolved = true;
	i[1].state = INCIDENT_RESOLVED;
	assert_int_equal(alerts_write(s, &c), BUR_OK);
	restart();
	assert_int_equal(alerts_each_told(db, 1, see_told, &v), BUR_OK);
	assert_int_equal(v.n, 1);
	assert_int_equal(v.state[0], true);
	assert_string_equal(v.text[0], "<2@x>");
	v.n = 0;
	assert_int_equal(alerts_each_told(db, 0, see_told, &v), BUR_OK); /* of what is open */
	assert_int_equal(v.n, 1);
	assert_int_equal(v.id[0], 1);
}

static void mutes_come_and_go(void **state)
{
	struct mute m[2] = {{.budget = SLICE("daily"), .from_ns = S(1), .until_ns = S(100), .reason = SLICE("deploy")},
			    {.label = SLICE("team"), .value = SLICE("x"), .until_ns = S(200), .by = SLICE("ann")}};
	struct alerts_change c = {.mutes = m, .n_mutes = 2};
	struct seen v = {.n = 0};

	(void)state;
	assert_int_equal(alerts_write(s, &c), BUR_OK);
	assert_int_equal(alerts_write(s, &c), BUR_OK); /* the same again is the same */
	assert_int_equal(alerts_each_mute(db, S(50), see_mute, &v), BUR_OK);
	assert_int_equal(v.n, 2);
	assert_string_equal(v.text[0], "deploy");
	m[0].id = v.id[0];
	m[0].until_ns = S(300);
	m[1] = (struct mute){.id = v.id[1]}; /* removed */
	assert_int_equal(alerts_write(s, &c), BUR_OK);
	restart();
	v.n = 0;
	assert_int_equal(alerts_each_mute(db, S(250), see_mute, &v), BUR_OK);
	assert_int_equal(v.n, 1);
	v.n = 0;
	assert_int_equal(alerts_each_mute(db, S(300), see_mute, &v), BUR_OK); /* over */
	assert_int_equal(v.n, 0);
}

static void channels_are_kept(void **state)
{
	struct channel_state ch = {.channel = SLICE("mail"),
				   .why = SLICE("gone"),
				   .disabled = true,
				   .since_ns = S(5),
				   .sent = 3,
				   .failed = 2,
				   .took_ms = 60,
				   .last_ns = S(4)};
	const struct alerts_change c = {.channels = &ch, .n_channels = 1};
	struct seen v = {.n = 0};

	(void)state;
	assert_int_equal(alerts_write(s, &c), BUR_OK);
	ch.sent = 4;
	assert_int_equal(alerts_write(s, &c), BUR_OK);
	restart();
	assert_int_equal(alerts_each_channel(db, see_channel, &v), BUR_OK);
	assert_int_equal(v.n, 1);
	assert_int_equal(v.id[0], 4);
	assert_int_equal(v.state[0], true);
	assert_int_equal(
	    number("SELECT count(*) FROM channel_state WHERE why='gone' AND since=5000000000 AND failed=2 AND"
		   " took_ms=60 AND last=4000000000"),
	    1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(events_are_read_in_order_after_the_cursor, open_store, close_store),
	    cmocka_unit_test_setup_teardown(installation_has_a_lasting_id, open_store, close_store),
	    cmocka_unit_test_setup_teardown(incidents_come_back_as_they_were, open_store, close_store),
	    cmocka_unit_test_setup_teardown(only_one_incident_of_a_key_is_open, open_store, close_store),
	    cmocka_unit_test_setup_teardown(incidents_are_found_by_what_is_asked, open_store, close_store),
	    cmocka_unit_test_setup_teardown(events_of_an_incident_are_counted, open_store, close_store),
	    cmocka_unit_test_setup_teardown(events_of_an_incident_are_read_newest_first, open_store, close_store),
	    cmocka_unit_test_setup_teardown(messages_exist_once, open_store, close_store),
	    cmocka_unit_test_setup_teardown(what_was_sent_is_never_queued_again, open_store, close_store),
	    cmocka_unit_test_setup_teardown(messages_are_found_by_what_is_asked, open_store, close_store),
	    cmocka_unit_test_setup_teardown(tries_are_kept_once, open_store, close_store),
	    cmocka_unit_test_setup_teardown(what_channels_know_is_kept, open_store, close_store),
	    cmocka_unit_test_setup_teardown(mutes_come_and_go, open_store, close_store),
	    cmocka_unit_test_setup_teardown(channels_are_kept, open_store, close_store),
	};

	log_init(-1, LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
