/* Titles and sentences of alerts. */
#include "alerts/sentence.h"

#include <string.h>

#include "base/amount.h"
#include "base/calendar.h"
#include "base/error.h"

#define NS_PER_S INT64_C(1000000000)
#define LAST_YEAR_S INT64_C(7258118400) /* 2200: what ends later never ends */
#define ESCALATED "ESCALATED ALERT: "
#define TEXT_MAX 700 /* of a sentence that came with the event */

/* --- facts -------------------------------------------------------------------------------------------------------- */

int64_t fact_time_s(const json_t *facts, const char *name)
{
	const char *text = fact_text(facts, name);
	int64_t ns;

	return *text && time_parse(slice_of(text), &ns) == BUR_OK && ns > 0 ? ns / NS_PER_S : 0;
}

char *fact_words(const json_t *facts, const char *name, char dst[WORDS_NAME_MAX])
{
	(void)words_clean(slice_of(fact_text(facts, name)), dst, WORDS_NAME_MAX);
	return dst;
}

static bool is_type(const json_t *facts, const char *type)
{
	return strcmp(fact_text(facts, "type"), type) == 0;
}

static int64_t in_unit(double value, const char *unit)
{
	if (strcmp(unit, "USD") == 0)
		value *= (double)NANOUSD_PER_USD;
	return value > 0 ? value < 9e18 ? (int64_t)value : INT64_MAX : 0;
}

static const char *unit_of(const json_t *facts)
{
	const char *unit = fact_text(facts, "unit");

	return strcmp(unit, "tokens") == 0 ? "tokens" : strcmp(unit, "requests") == 0 ? "requests" : "USD";
}

/* What begins and ends; "" when nothing does. */
static const char *window_word(const char *period)
{
	static const char *const known[] = {"hour", "day", "week", "month", "quarter", "year"};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strcmp(period, known[i]) == 0)
			return known[i];
	return strcmp(period, "total") == 0 || strncmp(period, "rolling", 7) == 0 ? "" : "window";
}

void figures_read(const json_t *facts, struct figures *ret)
{
	const json_t *rate = json_object_get(facts, "rate");
	struct figures f = {.unit = unit_of(facts), .window = window_word(fact_text(facts, "period"))};

	f.limit = fact_int(facts, "limit_nanos");
	f.spent = fact_int(facts, "spent_nanos");
	f.held = fact_int(facts, "reserved_nanos");
	f.limited = f.limit > 0;
	f.ratio = fact_real(facts, "ratio");
	if (f.ratio <= 0 && f.limited)
		f.ratio = (double)f.spent / (double)f.limit;
	f.at_s = fact_time_s(facts, "at");
	f.since_s = fact_time_s(facts, "since");
	f.start_s = fact_int(facts, "window_start");
	f.end_s = fact_int(facts, "window_end");
	if (!*f.window || f.end_s <= 0 || f.end_s >= LAST_YEAR_S)
		f.end_s = 0;
	f.rate = in_unit(fact_real(rate, "per_hour"), f.unit);
	f.runs_out_s = fact_time_s(rate, "runs_out_at");
	if (f.end_s > 0 && f.runs_out_s >= f.end_s) /* then it lasts */
		f.runs_out_s = 0;
	*ret = f;
}

/* --- what it is about --------------------------------------------------------------------------------------------- */

static const char *kind_word(const char *kind)
{
	static const struct {
		const char *kind, *word;
	} list[] = {{"provider", "vendor"}, {"key", "key"},        {"user", "user"}, {"team", "team"},
		    {"project", "project"}, {"model", "model"},    {"tag", "tag"},   {"channel", "channel"},
		    {"store", "storage"},   {"account", "account"}};

	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		if (strcmp(kind, list[i].kind) == 0)
			return list[i].word;
	return "";
}

static void add_capital(struct text *t, const char *s)
{
	text_add(t, "%c%s", *s >= 'a' && *s <= 'z' ? *s - 'a' + 'A' : *s, *s ? s + 1 : "");
}

/* The title of the family's first type: it is the same for what begins and what ends. */
static const char *family_title(const json_t *facts)
{
	const struct alert_type *type = alert_type_find(slice_of(fact_text(facts, "type")));
	const struct alert_type *list;
	size_t n;

	list = alert_types(&n);
	for (size_t i = 0; type && type->family && i < n; i++)
		if (list[i].family && strcmp(list[i].family, type->family) == 0)
			return list[i].title;
	return type ? type->title : "";
}

/* A vendor's address reads "openai at api.openai.com". */
static char *scope_words(const json_t *scope, char dst[WORDS_NAME_MAX])
{
	struct slice id = slice_of(fact_text(scope, "id")), name, host;
	struct text t = {.n = 0};

	if (strcmp(fact_text(scope, "kind"), "provider") != 0)
		return fact_words(scope, "id", dst);
	if (slice_ends(id, SLICE(":443")))
		id.n -= 4;
	if (slice_cut(id, '@', &name, &host)) {
		text_add(&t, "%.*s at ", (int)slice_sub(name, 0, WORDS_NAME_MAX).n, name.p);
		id = host;
	}
	text_add(&t, "%.*s", (int)slice_sub(id, 0, WORDS_NAME_MAX).n, id.p);
	(void)words_clean(slice_mem(t.mem, t.n), dst, WORDS_NAME_MAX);
	return dst;
}

void sentence_thing(const json_t *facts, struct text *t)
{
	const json_t *scope = json_object_get(facts, "scope");
	const char *word = kind_word(fact_text(scope, "kind"));
	char budget[WORDS_NAME_MAX], id[WORDS_NAME_MAX], title[WORDS_NAME_MAX];
	const char *general = family_title(facts);

	(void)fact_words(facts, "budget_id", budget);
	(void)scope_words(scope, id);
	if (*budget) {
		text_add(t, "Budget %s", budget);
		if (*word && *id && strcmp(id, budget) != 0)
			text_add(t, ", %s %s", word, id);
	} else if (*word && *id) {
		add_capital(t, word);
		text_add(t, " %s", id);
	} else {
		(void)fact_words(facts, "title", title);
		text_add(t, "%s", *general ? general : *title ? title : "Alert");
		if (*id)
			text_add(t, ": %s", id);
	}
}

/* --- titles ------------------------------------------------------------------------------------------------------- */

/* How it stands, behind what it is about and a colon. A type may be about different kinds of things. */
static const struct {
	const char *type, *kind, *state;
} states[] = {
    {"budget.reset", NULL, "starts again"},
    {"budget.recovered", NULL, "below its threshold again"},
    {"budget.throttled", NULL, "calls are slowed down"},
    {"budget.degraded", NULL, "calls go to cheaper models"},
    {"budget.blocked", NULL, "calls are refused"},
    {"budget.overrun", NULL, "a bill was higher than its hold"},
    {"budget.burn_rate", NULL, "spent too fast"},
    {"forecast.over", NULL, "will probably not last"},
    {"spend.anomaly", NULL, "unusual spending"},
    {"breaker.opened", "provider", "fails, calls to it are paused"},
    {"breaker.opened", NULL, "calls are stopped by its breaker"},
    {"breaker.closed", "provider", "works again"},
    {"breaker.closed", NULL, "calls go on"},
    {"loop.quarantined", NULL, "a loop was stopped"},
    {"loop.released", NULL, "may go on"},
    {"stop.set", NULL, "stopped by hand"},
    {"stop.lifted", NULL, "may go on"},
    {"price.unknown_model", "model", "no price is known"},
    {"vendor.balance_low", "provider", "the balance is low"},
    {"system.degraded", "channel", "messages do not get through"},
    {"system.degraded", "store", "needs attention"},
    {"key.expiring", "key", "about to expire"},
    {"cloud.source_failed", "provider", "its bill cannot be read"},
    {"cloud.late_correction", "provider", "its bill was corrected"},
    {"cloud.empty_answer", "provider", "its bill is empty"},
    {"reconcile.drift", "provider", "its bill and the ledger differ"},
    {"reconcile.unproxied", "provider", "spending that does not pass here"},
};

static void add_share(const json_t *facts, struct text *t)
{
	struct figures f;
	/* escalated alerts stand at 100 by definition */
	double threshold = json_object_get(facts, "escalated") ? 0 : fact_real(facts, "threshold");
	char share[WORDS_MAX];

	figures_read(facts, &f);
	if (f.ratio <= 0 && threshold <= 0) {
		text_add(t, ": threshold reached");
		return;
	}
	/* the threshold was crossed with what is held; the figures may be of an instant later */
	(void)words_share(f.ratio > threshold ? f.ratio : threshold, true, share);
	if (strcmp(share, "100 %") == 0)
		text_add(t, ": used up");
	else
		text_add(t, ": %s used", share);
}

/* Is the thing more than the type's own title? */
static bool has_thing(const json_t *facts)
{
	const json_t *scope = json_object_get(facts, "scope");

	return *fact_text(facts, "budget_id") || (*kind_word(fact_text(scope, "kind")) && *fact_text(scope, "id"));
}

static void add_state(const json_t *facts, struct text *t)
{
	const char *type = fact_text(facts, "type"), *kind = fact_text(json_object_get(facts, "scope"), "kind");
	char title[WORDS_NAME_MAX];

	if (!has_thing(facts))
		return;
	if (strcmp(type, "budget.threshold") == 0 || strcmp(type, "budget.exceeded") == 0) {
		add_share(facts, t);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		if (strcmp(type, states[i].type) == 0 && (!states[i].kind || strcmp(kind, states[i].kind) == 0)) {
			text_add(t, ": %s", states[i].state);
			return;
		}
	}
	(void)fact_words(facts, "title", title);
	if (*title >= 'A' && *title <= 'Z' && !(title[1] >= 'A' && title[1] <= 'Z'))
		*title = (char)(*title - 'A' + 'a');
	if (*title)
		text_add(t, ": %s", title);
}

static void add_digest_title(const json_t *facts, struct text *t)
{
	int64_t count = fact_int(json_object_get(facts, "digest"), "count");
	char number[WORDS_MAX];

	(void)words_figure(count, "", number);
	text_add(t, "%s alert%s in one message", count > 0 ? number : "Several", count == 1 ? "" : "s");
}

void sentence_title(const json_t *facts, enum message_op op, struct text *t)
{
	static const char *const before[SAY_COUNT] = {
	    [SAY_RESOLVE] = "Resolved: ", [SAY_ACK] = "Acknowledged: ", [SAY_ESCALATE] = "Escalated: "};

	if (op == SAY_DIGEST) {
		add_digest_title(facts, t);
		return;
	}
	if (op == SAY_TEST) {
		text_add(t, "Test message from bursar");
		return;
	}
	text_add(t, "%s", before[op] ? before[op] : "");
	sentence_thing(facts, t);
	if (op != SAY_RESOLVE)
		add_state(facts, t);
}

/* --- sentences ---------------------------------------------------------------------------------------------------- */

static void begin(struct text *t)
{
	if (t->n > 0)
		text_add(t, " ");
}

/* "gpt-5 was called" begins with a name, "a call was refused" with a word. */
static bool begins_with_name(const char *text)
{
	size_t word = strcspn(text, " ");

	return strcspn(text, "0123456789-_.@/:") < word;
}

/* "Calls are slowed down: search-daily, 80.7 % in use": made of what is said anyway, where the producer had no words.
 */
static bool is_made_up(const json_t *facts, const char *message)
{
	const char *title = fact_text(facts, "title"), *budget = fact_text(facts, "budget_id");
	size_t n = strlen(title);

	return strncmp(message, title, n) == 0 &&
	       (message[n] == '\0' || (*budget && strncmp(message + n, ": ", 2) == 0 &&
				       strncmp(message + n + 2, budget, strlen(budget)) == 0));
}

/* What came with the event, as a sentence. */
static bool add_message(const json_t *facts, struct text *t)
{
	struct slice text = slice_of(fact_text(facts, "message"));
	char message[TEXT_MAX];
	size_t n;

	if (slice_starts(text, SLICE(ESCALATED))) /* the title says so */
		text = slice_sub(text, strlen(ESCALATED), SIZE_MAX);
	n = words_clean(text, message, sizeof(message));
	if (n == 0 || is_made_up(facts, message))
		return false;
	begin(t);
	if (begins_with_name(message))
		text_add(t, "%s", message);
	else
		add_capital(t, message);
	if (!strchr(".!?", message[n - 1]))
		text_add(t, ".");
	return true;
}

void figures_used(const struct figures *f, struct text *t)
{
	char spent[WORDS_MAX], limit[WORDS_MAX], share[WORDS_MAX];

	(void)words_figure(f->spent, f->unit, spent);
	(void)words_exactly(f->limit, f->unit, limit);
	(void)words_share((double)f->spent / (double)f->limit, false, share);
	text_add(t, "%s of %s (%s)", spent, limit, share);
}

static const char *past_of(const char *unit)
{
	return strcmp(unit, "USD") == 0 ? "spent" : strcmp(unit, "requests") == 0 ? "made" : "used";
}

static void add_used(const json_t *facts, const struct figures *f, struct text *t)
{
	char since[WORDS_MAX], held[WORDS_MAX], period[WORDS_NAME_MAX];

	begin(t);
	figures_used(f, t);
	text_add(t, " have been %s", past_of(f->unit));
	(void)fact_words(facts, "period", period);
	if (strncmp(period, "rolling ", 8) == 0)
		text_add(t, " in the last %s", period + 8);
	else if (f->start_s > 0)
		text_add(t, " since %s", words_time(f->start_s, since));
	if (f->held > 0) {
		text_add(t, "; running calls hold another %s", words_amount(f->held, f->unit, held));
		text_add(t, ", together %s",
			 words_share(((double)f->spent + (double)f->held) / (double)f->limit, false, held));
	}
	text_add(t, ".");
}

bool figures_full(const struct figures *f)
{
	int64_t used;

	return f->limited && (amount_add(f->spent, f->held, &used) < 0 || used >= f->limit);
}

/* When the money ends, and when the window does. Where calls are stopped, the rate of before says nothing. */
static void add_outlook(const struct figures *f, bool stopped, struct text *t)
{
	char rate[WORDS_MAX], when[WORDS_MAX], end[WORDS_MAX], left[WORDS_MAX];
	bool full = stopped || figures_full(f);

	(void)words_time(f->end_s, end);
	(void)words_amount(f->rate, f->unit, rate);
	if (f->rate > 0 && f->runs_out_s > 0 && !full) {
		begin(t);
		text_add(t, "At %s an hour it is used up by %s", rate, words_time(f->runs_out_s, when));
		if (f->end_s > f->runs_out_s)
			text_add(t, ", %s before the %s ends", words_duration(f->end_s - f->runs_out_s, left),
				 f->window);
		text_add(t, ".");
	} else if (f->rate > 0 && f->end_s > 0 && !full) {
		begin(t);
		text_add(t, "At %s an hour it lasts until the %s ends at %s.", rate, f->window, end);
	} else if (f->end_s > 0 && f->at_s > 0 && f->end_s > f->at_s) {
		begin(t);
		text_add(t, "The %s ends at %s, in %s.", f->window, end, words_duration(f->end_s - f->at_s, left));
	}
}

static bool is_stopped(const json_t *facts)
{
	return is_type(facts, "budget.blocked") || is_type(facts, "breaker.opened");
}

static void add_now(const json_t *facts, struct text *t)
{
	struct figures f;

	figures_read(facts, &f);
	if (!f.limited || !(is_type(facts, "budget.threshold") || is_type(facts, "budget.exceeded")))
		(void)add_message(facts, t);
	if (f.limited) {
		add_used(facts, &f, t);
		add_outlook(&f, is_stopped(facts), t);
	}
}

/* Who acknowledged or ended it by hand; "" when nobody did. */
static char *by_words(const json_t *facts, char dst[WORDS_NAME_MAX])
{
	return fact_words(json_object_get(facts, "details"), "by", dst);
}

/* What stands for no reason in the audit log (ask.c) says nothing here. */
static void add_reason(const json_t *facts, struct text *t)
{
	static const char *const none[] = {"acknowledged", "resolved by hand"};
	char reason[TEXT_MAX];
	size_t n =
	    words_clean(slice_of(fact_text(json_object_get(facts, "details"), "reason")), reason, sizeof(reason));

	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		n = strcmp(reason, none[i]) == 0 ? 0 : n;
	if (n > 0)
		text_add(t, ": %s%s", reason, strchr(".!?", reason[n - 1]) ? "" : ".");
	else
		text_add(t, ".");
}

/* The figures are still those of the window that is over. */
static void add_reset(const struct figures *f, struct text *t)
{
	const char *window = *f->window ? f->window : "window";

	text_add(t, "A new %s has begun, and the budget starts again at zero.", window);
	if (!f->limited || f->spent <= 0)
		return;
	text_add(t, " In the %s that is over, ", window);
	figures_used(f, t);
	text_add(t, " were %s.", past_of(f->unit));
}

static void add_resolved(const json_t *facts, struct text *t)
{
	struct figures f;
	char by[WORDS_NAME_MAX];

	figures_read(facts, &f);
	if (*by_words(facts, by)) {
		text_add(t, "%s marked it as resolved", by);
		add_reason(facts, t);
	} else if (is_type(facts, "budget.reset")) {
		add_reset(&f, t);
		return;
	} else if (f.limited && (is_type(facts, "budget.threshold") || is_type(facts, "budget.exceeded"))) {
		text_add(t, "It is below its threshold again.");
	} else if (!add_message(facts, t)) {
		text_add(t, "It is over.");
	}
	if (f.limited)
		add_used(facts, &f, t);
}

static void add_acknowledged(const json_t *facts, struct text *t)
{
	char by[WORDS_NAME_MAX];
	struct figures f;

	figures_read(facts, &f);
	text_add(t, "%s takes care of it", *by_words(facts, by) ? by : "Somebody");
	add_reason(facts, t);
	if (!f.limited)
		return;
	add_used(facts, &f, t);
	add_outlook(&f, is_stopped(facts), t);
}

static void add_escalated(const json_t *facts, struct text *t)
{
	const json_t *escalated = json_object_get(facts, "escalated");
	int64_t events = fact_int(escalated, "events");

	if (strncmp(fact_text(escalated, "reason"), "repeated", 8) == 0 && events > 1)
		text_add(t, "It was reported %lld times and goes on; nobody has acknowledged it.", (long long)events);
	else
		text_add(t, "Nobody has acknowledged it so far.");
	add_now(facts, t);
}

static void add_digest(const json_t *facts, struct text *t)
{
	static const char *const words[][2] = {
	    {"critical", "critical"}, {"error", "errors"}, {"warning", "warnings"}, {"info", "notes"}};
	const json_t *by = json_object_get(json_object_get(facts, "digest"), "by_severity");
	const char *sep = " Among them: ";
	char number[WORDS_MAX];

	text_add(t, "These came faster than this channel is told one by one, or while it was quiet.");
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		int64_t n = fact_int(by, words[i][0]);

		if (n <= 0)
			continue;
		text_add(t, "%s%s %s", sep, words_figure(n, "", number),
			 n > 1                              ? words[i][1]
			 : strcmp(words[i][0], "info") == 0 ? "note"
							    : words[i][0]);
		sep = ", ";
	}
	if (*sep == ',')
		text_add(t, ".");
}

void sentence_text(const json_t *facts, enum message_op op, struct text *t)
{
	switch (op) {
	case SAY_RESOLVE:
		add_resolved(facts, t);
		return;
	case SAY_ESCALATE:
		add_escalated(facts, t);
		return;
	case SAY_DIGEST:
		add_digest(facts, t);
		return;
	case SAY_TEST:
		text_add(t, "This is a test and nothing is wrong: messages from bursar reach this channel.");
		return;
	case SAY_ACK:
		add_acknowledged(facts, t);
		return;
	case SAY_FIRE:
	case SAY_UPDATE:
		add_now(facts, t);
	}
}
