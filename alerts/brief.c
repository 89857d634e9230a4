/* The parts of a message: title, sentences, figures, lines, what to do. */
#include "alerts/brief.h"

#include <stdio.h>
#include <string.h>

#include "alerts/sentence.h"
#include "alerts/words.h"
#include "base/amount.h"
#include "base/calendar.h"
#include "base/error.h"

#define URL_MAX 2000
#define LINE_MAX_BYTES 300
#define LABEL_MAX 60
#define COLOR_RESOLVED 0x15803d

struct making {
	struct arena *arena;
	const json_t *facts;
	struct figures figures;
	struct brief *b;
	bool full; /* the arena is */
};

const char *message_op_name(enum message_op op)
{
	static const char *const names[SAY_COUNT] = {
	    [SAY_FIRE] = "firing",      [SAY_UPDATE] = "updated",     [SAY_RESOLVE] = "resolved",
	    [SAY_ACK] = "acknowledged", [SAY_ESCALATE] = "escalated", [SAY_DIGEST] = "digest",
	    [SAY_TEST] = "test"};

	return (size_t)op < ARRAY_LEN(names) ? names[op] : "";
}

const char *brief_cut(struct arena *arena, const char *text, size_t max)
{
	size_t n = strlen(text);
	char *dst;

	n = n < max ? n * 3 + 3 : max; /* a byte that is no UTF-8 grows to three; a fence is added */
	dst = arena_alloc(arena, (n < max ? n : max) + 1);
	if (dst)
		(void)words_clean(slice_of(text), dst, (n < max ? n : max) + 1);
	return dst;
}

static const char *keep(struct making *m, const char *text, size_t max)
{
	const char *kept = brief_cut(m->arena, text, max);

	if (!kept)
		m->full = true;
	return kept ? kept : "";
}

/* --- fields ------------------------------------------------------------------------------------------------------- */

static void add_field(struct making *m, const char *label, const char *value)
{
	struct brief_field *f;

	if (!*value || m->b->n_fields == BRIEF_FIELDS_MAX)
		return;
	f = &m->b->field[m->b->n_fields];
	f->label = keep(m, label, LABEL_MAX);
	f->value = keep(m, value, BRIEF_VALUE_MAX);
	if (*f->value && *f->label)
		m->b->n_fields++;
}

/* As it is shown: 40.12 spent of 50.00 leave 9.88, whatever stands behind the cents. */
static int64_t shown(const struct figures *f, int64_t value)
{
	int64_t cent = NANOUSD_PER_USD / 100;

	return strcmp(f->unit, "USD") == 0 && (value >= cent || value <= -cent) ? value - value % cent : value;
}

static void add_rest(struct making *m)
{
	const struct figures *f = &m->figures;
	int64_t left;
	char text[WORDS_MAX];

	if (f->held > 0)
		add_field(m, "Held by running calls", words_amount(f->held, f->unit, text));
	if (amount_sub(f->limit, shown(f, f->spent), &left) < 0 || left == 0)
		return;
	if (left < 0 && left > INT64_MIN)
		add_field(m, "Over by", words_amount(-left, f->unit, text));
	else if (amount_sub(left, f->held > 0 ? shown(f, f->held) : 0, &left) == BUR_OK && left > 0)
		add_field(m, "Left", words_amount(left, f->unit, text));
}

static void add_rate(struct making *m)
{
	const struct figures *f = &m->figures;
	struct text t = {.n = 0};
	char text[WORDS_MAX];

	if (f->rate <= 0 || m->b->op == SAY_RESOLVE)
		return;
	text_add(&t, "%s an hour", words_amount(f->rate, f->unit, text));
	add_field(m, "Rate", t.mem);
	t.n = 0;
	if (figures_full(f))
		return;
	if (f->runs_out_s > 0) {
		text_add(&t, "%s", words_time(f->runs_out_s, text));
		if (f->at_s > 0 && f->runs_out_s > f->at_s)
			text_add(&t, ", in %s", words_duration(f->runs_out_s - f->at_s, text));
	} else if (f->end_s > 0) {
		text_add(&t, "not before the %s ends", f->window);
	}
	add_field(m, "Runs out", t.n > 0 ? t.mem : "");
}

static void add_window(struct making *m)
{
	const struct figures *f = &m->figures;
	char period[WORDS_NAME_MAX], from[WORDS_MAX] = "", to[WORDS_MAX];
	struct text t = {.n = 0};

	text_add(&t, "%s", fact_words(m->facts, "period", period));
	if (f->start_s > 0 && f->end_s > 0) {
		words_time(f->start_s, from)[16] = '\0'; /* " UTC" stands once, at the end */
		text_add(&t, "%s%s to %s", t.n > 0 ? ", " : "", from, words_time(f->end_s, to));
	}
	add_field(m, "Window", t.n > 0 ? t.mem : "");
}

static void add_budget(struct making *m)
{
	const json_t *scope = json_object_get(m->facts, "scope");
	char name[WORDS_NAME_MAX], id[WORDS_NAME_MAX], kind[WORDS_NAME_MAX];
	struct text t = {.n = 0};

	if (!*fact_words(m->facts, "budget_id", name))
		return;
	text_add(&t, "%s", name);
	if (*fact_words(scope, "id", id) && *fact_words(scope, "kind", kind) && strcmp(kind, "global") != 0)
		text_add(&t, ", %s %s", kind, id);
	add_field(m, "Budget", t.mem);
	if (!m->figures.limited)
		return;
	t.n = 0;
	figures_used(&m->figures, &t);
	add_field(m, strcmp(m->figures.unit, "USD") == 0 ? "Spent" : "Used", t.mem);
	if (strcmp(fact_text(m->facts, "type"), "budget.reset") != 0) /* of the window that is over nothing is left */
		add_rest(m);
	add_rate(m);
	add_window(m);
}

/* Who it concerns, unless the title says so. */
static void add_labels(struct making *m)
{
	static const char *const labels[][2] = {{"team", "Team"}, {"project", "Project"}, {"user", "User"},
						{"key", "Key"},   {"provider", "Vendor"}, {"model", "Model"}};
	const json_t *list = json_object_get(m->facts, "labels");
	const char *kind = fact_text(json_object_get(m->facts, "scope"), "kind");
	char name[WORDS_NAME_MAX];

	for (size_t i = 0; i < ARRAY_LEN(labels); i++)
		if (strcmp(kind, labels[i][0]) != 0)
			add_field(m, labels[i][1], fact_words(list, labels[i][0], name));
}

static void add_since(struct making *m)
{
	const struct figures *f = &m->figures;
	bool over = m->b->op == SAY_RESOLVE;
	struct text t = {.n = 0};
	char text[WORDS_MAX];

	if (f->since_s <= 0 || m->b->op == SAY_DIGEST || m->b->op == SAY_TEST || (f->since_s >= f->at_s && f->limited))
		return;
	text_add(&t, "%s", words_time(f->since_s, text));
	if (f->at_s > f->since_s + 1)
		text_add(&t, over ? ", it lasted %s" : ", for %s", words_duration(f->at_s - f->since_s, text));
	add_field(m, over ? "Began" : "Since", t.mem);
}

/* --- details of what is no budget --------------------------------------------------------------------------------- */

enum detail_kind { DETAIL_PLAIN, DETAIL_USD, DETAIL_SKIP };
static const struct {
	const char *name, *label;
	enum detail_kind kind;
} details[] = {
    {"spent", "Spent in this hour", DETAIL_USD},
    {"x", "Scaled to a whole hour", DETAIL_USD},
    {"m", "Usual in this hour", DETAIL_USD},
    {"s", "Usual spread", DETAIL_USD},
    {"n", "Hours it was compared with", DETAIL_PLAIN},
    {"z", "Spreads above usual", DETAIL_PLAIN},
    {"ewma", "More than usual, a day", DETAIL_USD},
    {"actor", "By", DETAIL_PLAIN},
    {"by", NULL, DETAIL_SKIP},
    {"message", NULL, DETAIL_SKIP},
    {"value", NULL, DETAIL_SKIP}, /* the sentence says them in words */
    {"threshold", NULL, DETAIL_SKIP},
    {"scope", NULL, DETAIL_SKIP},
    {"name", NULL, DETAIL_SKIP},
    {"kind", NULL, DETAIL_SKIP},
    {"level", NULL, DETAIL_SKIP},
    {"uid", NULL, DETAIL_SKIP},
    {"what", NULL, DETAIL_SKIP},
    {"since", NULL, DETAIL_SKIP},
    {"row", NULL, DETAIL_SKIP},
    {"action", NULL, DETAIL_SKIP},
    {"from", NULL, DETAIL_SKIP},
    {"to", NULL, DETAIL_SKIP},
};

static bool ends_with(const char *s, const char *end)
{
	return slice_ends(slice_of(s), slice_of(end));
}

static void put_text(const char *name, const char *value, bool money, struct text *t)
{
	char figure[WORDS_MAX], clean[WORDS_NAME_MAX * 2];
	int64_t n;

	if (money && decimal_parse(slice_of(value), 9, true, &n) == BUR_OK) {
		text_add(t, "%s", words_amount(n, "USD", figure));
	} else if (strlen(value) >= 19 && time_parse(slice_of(value), &n) == BUR_OK) {
		text_add(t, "%s", words_time(n / 1000000000, figure));
	} else {
		(void)words_clean(slice_of(value), clean, sizeof(clean));
		/* our own words have underscores instead of spaces */
		for (char *p = clean; *p && (strcmp(name, "cause") == 0 || strcmp(name, "reason") == 0); p++)
			*p = *p == '_' ? ' ' : *p;
		text_add(t, "%s", clean);
	}
}

static void put_integer(const char *name, int64_t value, struct text *t)
{
	char figure[WORDS_MAX];

	if (ends_with(name, "_nanousd") || ends_with(name, "_nanos"))
		text_add(t, "%s", words_amount(value, "USD", figure));
	else if (ends_with(name, "_ns") && value > INT64_C(1000000000000000000))
		text_add(t, "%s", words_time(value / 1000000000, figure));
	else if ((ends_with(name, "_s") || ends_with(name, "until")) && value > 1000000000)
		text_add(t, "%s", words_time(value, figure));
	else if (ends_with(name, "_s") || strcmp(name, "seconds") == 0)
		text_add(t, "%s", words_duration(value, figure));
	else
		text_add(t, "%s", words_figure(value, "", figure));
}

/* Truth values are for programs: the sentence says what they mean. */
static void put_detail(const char *name, const json_t *value, bool money, struct text *t)
{
	if (json_is_string(value))
		put_text(name, json_string_value(value), money || ends_with(name, "_usd"), t);
	else if (json_is_integer(value))
		put_integer(name, json_integer_value(value), t);
	else if (json_is_real(value))
		text_add(t, "%.6g", json_real_value(value));
}

/* "failure_streak" -> "Failure streak"; the unit's ending goes. */
static void make_label(const char *name, char dst[LABEL_MAX + 1])
{
	static const char *const units[] = {"_nanousd", "_nanos", "_usd", "_ns", "_s"};
	size_t n = words_clean(slice_of(name), dst, LABEL_MAX + 1);

	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (n > strlen(units[i]) && ends_with(dst, units[i]))
			dst[n - strlen(units[i])] = '\0';
	for (char *p = dst; *p; p++)
		*p = *p == '_' ? ' ' : *p;
	if (*dst >= 'a' && *dst <= 'z')
		*dst = (char)(*dst - 'a' + 'A');
}

static void add_detail(struct making *m, const char *name, const json_t *value)
{
	char label[LABEL_MAX + 1];
	enum detail_kind kind = DETAIL_PLAIN;
	struct text t = {.n = 0};

	make_label(name, label);
	for (size_t i = 0; i < ARRAY_LEN(details); i++) {
		if (strcmp(name, details[i].name) == 0) {
			kind = details[i].kind;
			if (details[i].label)
				(void)snprintf(label, sizeof(label), "%s", details[i].label);
		}
	}
	if (kind == DETAIL_SKIP)
		return;
	put_detail(name, value, kind == DETAIL_USD, &t);
	add_field(m, label, t.n > 0 ? t.mem : "");
}

static void add_details(struct making *m)
{
	json_t *list = json_object_get(m->facts, "details"), *value;
	const char *name;

	json_object_foreach(list, name, value) add_detail(m, name, value);
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

static void add_line(struct making *m, const char *text)
{
	const char *kept;

	if (!*text || m->b->n_lines == BRIEF_LINES_MAX)
		return;
	kept = keep(m, text, LINE_MAX_BYTES);
	if (*kept)
		m->b->line[m->b->n_lines++] = kept;
}

/* "12.34 USD" and "12.3" in the form of all amounts; others ("2 requests") as they are. */
static void add_money(const json_t *one, const char *name, const char *before, struct text *t)
{
	char text[WORDS_NAME_MAX], figure[WORDS_MAX];
	int64_t nanousd;

	if (!*fact_words(one, name, text))
		return;
	if (ends_with(text, " USD"))
		text[strlen(text) - 4] = '\0';
	if (decimal_parse(slice_of(text), 9, true, &nanousd) == BUR_OK)
		text_add(t, "%s%s", before, words_amount(nanousd, "USD", figure));
	else
		text_add(t, "%s%s", before, text);
}

/* "ci-bot (user ann), gpt-5: 12.34 USD" */
static void add_spender(struct making *m, const json_t *one)
{
	char key[WORDS_NAME_MAX], user[WORDS_NAME_MAX], model[WORDS_NAME_MAX];
	struct text t = {.n = 0};

	(void)fact_words(one, "key", key);
	(void)fact_words(one, "user", user);
	(void)fact_words(one, "model", model);
	text_add(&t, "%s", *key ? key : *user ? user : "no key");
	if (*key && *user && strcmp(key, user) != 0)
		text_add(&t, " (user %s)", user);
	if (*model)
		text_add(&t, ", %s", model);
	add_money(one, "spent", ": ", &t);
	add_money(one, "usual", ", usually ", &t);
	add_line(m, t.mem);
}

static void add_spenders(struct making *m)
{
	const json_t *top = json_object_get(m->facts, "top");
	const json_t *rose = json_object_get(json_object_get(m->facts, "details"), "most_increased");
	const json_t *list = json_array_size(rose) > 0 ? rose : top;

	m->b->lines_title = list == rose ? "Where it rose most" : "Who spent most";
	for (size_t i = 0; i < json_array_size(list) && i < 3; i++)
		add_spender(m, json_array_get(list, i));
}

static void add_digest_lines(struct making *m)
{
	const json_t *digest = json_object_get(m->facts, "digest"), *list = json_object_get(digest, "lines");
	int64_t count = fact_int(digest, "count"), more;
	struct text t = {.n = 0};
	char number[WORDS_MAX];

	m->b->lines_title = "What happened";
	for (size_t i = 0; i < json_array_size(list) && m->b->n_lines < BRIEF_LINES_MAX - 1; i++) {
		const char *line = json_string_value(json_array_get(list, i));

		add_line(m, line ? line : "");
	}
	more = count - (int64_t)m->b->n_lines;
	if (more > 0 && m->b->n_lines > 0) {
		text_add(&t, "and %s more", words_figure(more, "", number));
		add_line(m, t.mem);
	}
}

/* --- what to do --------------------------------------------------------------------------------------------------- */

/* Of ours, but the address of the admin side is configured by people. */
static bool is_url(const char *url)
{
	size_t n = strlen(url);

	if (n > URL_MAX || (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0))
		return false;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)url[i] <= ' ' || (unsigned char)url[i] >= 0x7f || strchr("<>\"'`\\^{|}", url[i]))
			return false;
	return true;
}

static void add_action(struct making *m, const char *member, const char *label)
{
	const char *url = fact_text(json_object_get(m->facts, "links"), member);
	struct brief_action *a = &m->b->action[m->b->n_actions];

	if (!is_url(url))
		return;
	a->label = label;
	a->url = keep(m, url, URL_MAX);
	m->b->n_actions++;
}

static void add_actions(struct making *m)
{
	enum message_op op = m->b->op;

	add_action(m, "open", "Open");
	if (op == SAY_RESOLVE || op == SAY_DIGEST || op == SAY_TEST)
		return;
	if (op != SAY_ACK)
		add_action(m, "acknowledge", "Acknowledge");
	add_action(m, "resolve", "Resolve");
}

/* The mark that keeps words behind a name from right to left in order would be typed as well. */
static const char *keep_command(struct making *m, const char *given)
{
	struct slice kept = slice_of(keep(m, given, BRIEF_VALUE_MAX));
	const char *bare;

	if (!slice_ends(kept, SLICE("\u200e")))
		return kept.p;
	bare = arena_dup(m->arena, slice_sub(kept, 0, kept.n - 3)).p;
	m->full = m->full || !bare;
	return bare ? bare : "";
}

static void add_command(struct making *m)
{
	const char *given = fact_text(m->facts, "command");
	int64_t incident = fact_int(m->facts, "incident");
	enum message_op op = m->b->op;
	char text[WORDS_MAX] = "";

	/* three back-quotes would end what chats show as code */
	if (*given && op != SAY_RESOLVE && !strstr(given, "```")) {
		m->b->command = keep_command(m, given);
		return;
	}
	if (op == SAY_DIGEST)
		(void)snprintf(text, sizeof(text), "bursar alerts list");
	else if (incident > 0 && (op == SAY_FIRE || op == SAY_UPDATE || op == SAY_ESCALATE))
		(void)snprintf(text, sizeof(text), "bursar alerts ack %lld", (long long)incident);
	m->b->command = keep(m, text, BRIEF_VALUE_MAX);
}

static void add_footer(struct making *m)
{
	int64_t incident = fact_int(m->facts, "incident");
	char node[WORDS_NAME_MAX], when[WORDS_MAX];
	struct text t = {.n = 0};

	text_add(&t, "%s", m->figures.at_s > 0 ? words_time(m->figures.at_s, when) : "");
	if (*fact_words(m->facts, "node", node))
		text_add(&t, "%s%s", t.n > 0 ? ", " : "", node);
	if (incident > 0)
		text_add(&t, "%sincident %lld", t.n > 0 ? ", " : "", (long long)incident);
	m->b->footer = keep(m, t.n > 0 ? t.mem : "bursar", BRIEF_VALUE_MAX);
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

static void add_heads(struct making *m)
{
	static const unsigned colors[SEVERITY_COUNT] = {[SEVERITY_INFO] = 0x2563eb,
							[SEVERITY_WARNING] = 0xb45309,
							[SEVERITY_ERROR] = 0xdc2626,
							[SEVERITY_CRITICAL] = 0x991b1b};
	int64_t incident = fact_int(m->facts, "incident");
	enum message_op op = m->b->op;
	struct text title = {.n = 0}, text = {.n = 0}, subject = {.n = 0};

	m->b->severity = fact_severity(m->facts);
	m->b->color = op == SAY_RESOLVE ? COLOR_RESOLVED : colors[m->b->severity];
	sentence_title(m->facts, op, &title);
	sentence_text(m->facts, op, &text);
	if (op == SAY_DIGEST || op == SAY_TEST || incident <= 0) {
		subject = title;
	} else {
		sentence_thing(m->facts, &subject);
		text_add(&subject, " (incident %lld)", (long long)incident);
	}
	m->b->title = keep(m, title.mem, BRIEF_TITLE_MAX);
	m->b->text = keep(m, text.n > 0 ? text.mem : "", BRIEF_TEXT_MAX);
	m->b->subject = keep(m, subject.mem, BRIEF_TITLE_MAX);
}

static void add_next(struct making *m)
{
	const char *next = m->b->op == SAY_RESOLVE || m->b->op == SAY_TEST || m->b->op == SAY_DIGEST
			       ? ""
			       : fact_text(m->facts, "next");

	m->b->next = keep(m, next, BRIEF_VALUE_MAX);
}

static json_t *fields_json(const struct brief *b)
{
	json_t *list = json_array();

	for (size_t i = 0; i < b->n_fields; i++)
		(void)json_array_append_new(
		    list, json_pack("{s:s,s:s}", "label", b->field[i].label, "value", b->field[i].value));
	return list;
}

static json_t *lines_json(const struct brief *b)
{
	json_t *list = json_array();

	for (size_t i = 0; i < b->n_lines; i++)
		(void)json_array_append_new(list, json_string(b->line[i]));
	return list;
}

json_t *brief_values(const json_t *facts, const struct brief *b)
{
	json_t *values = json_copy((json_t *)(uintptr_t)facts);
	json_t *said = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:o,s:o}", "title", b->title, "subject", b->subject,
				 "text", b->text, "lines_title", b->lines_title, "next", b->next, "command", b->command,
				 "footer", b->footer, "fields", fields_json(b), "lines", lines_json(b));

	if (!values || json_object_set_new(values, "brief", said) < 0) {
		json_decref(values);
		return NULL;
	}
	return values;
}

int brief_make(struct arena *arena, const json_t *facts, enum message_op op, struct brief *ret)
{
	struct brief b = {.op = op, .lines_title = ""};
	struct making m = {.arena = arena, .facts = facts, .b = &b};

	figures_read(facts, &m.figures);
	add_heads(&m);
	if (op == SAY_DIGEST) {
		add_digest_lines(&m);
	} else if (op != SAY_TEST) {
		add_budget(&m);
		add_since(&m);
		if (!m.figures.limited)
			add_details(&m);
		add_labels(&m);
		if (op != SAY_RESOLVE)
			add_spenders(&m);
	}
	add_next(&m);
	add_command(&m);
	add_actions(&m);
	add_footer(&m);
	if (m.full)
		return BUR_NOMEM;
	*ret = b;
	return BUR_OK;
}
