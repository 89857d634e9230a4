/* What a mail says, and its plain text. */
#include "alerts/email_body.h"

#include <stdio.h>
#include <string.h>

#include "alerts/sentence.h"
#include "base/error.h"

#define LABEL_WIDTH 22

const char *email_label(const struct message *m)
{
	static const char *const severities[SEVERITY_COUNT] = {[SEVERITY_INFO] = "INFO",
							       [SEVERITY_WARNING] = "WARNING",
							       [SEVERITY_ERROR] = "ERROR",
							       [SEVERITY_CRITICAL] = "CRITICAL"};
	static const char *const ops[SAY_COUNT] = {[SAY_RESOLVE] = "RESOLVED",
						   [SAY_ACK] = "ACKNOWLEDGED",
						   [SAY_ESCALATE] = "ESCALATED",
						   [SAY_DIGEST] = "SUMMARY",
						   [SAY_TEST] = "TEST"};

	return ops[m->op] ? ops[m->op] : severities[m->severity];
}

/* "Resolved: " and the like stand in the label already. */
const char *email_title(const struct message *m)
{
	const char *title = m->brief->title, *colon = strstr(title, ": ");

	return colon && (m->op == SAY_RESOLVE || m->op == SAY_ACK || m->op == SAY_ESCALATE) ? colon + 2 : title;
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

static void add_row(struct email_rows *rows, const char *label, const char *value)
{
	if (value && *value && rows->n < EMAIL_ROWS_MAX)
		rows->row[rows->n++] = (struct brief_field){label, value};
}

/* To the second: "2026-11-21 08:00:07 UTC". */
static struct slice exact_time(struct arena *arena, int64_t unix_s)
{
	char minute[WORDS_MAX];

	if (!*words_time(unix_s, minute))
		return arena_dup(arena, SLICE(""));
	return arena_printf(arena, "%.16s:%02d UTC", minute, (int)(unix_s % 60));
}

int email_rows_make(struct arena *arena, const struct message *m, struct email_rows *ret)
{
	const struct brief *b = m->brief;
	double threshold = fact_real(m->facts, "threshold");
	struct slice severity = slice_of(severity_name(m->severity)), time;
	char share[WORDS_MAX];

	*ret = (struct email_rows){.n = 0};
	time = exact_time(arena, fact_time_s(m->facts, "at"));
	severity = arena_printf(arena, "%c%s", severity.p[0] - 'a' + 'A', severity.p + 1);
	if (!time.p || !severity.p)
		return BUR_NOMEM;
	if (m->op == SAY_ACK || m->op == SAY_ESCALATE) /* else the label over the title says it */
		add_row(ret, "Severity", severity.p);
	for (size_t i = 0; i < b->n_fields; i++)
		add_row(ret, b->field[i].label, b->field[i].value);
	if (threshold > 0 && (m->op == SAY_FIRE || m->op == SAY_UPDATE || m->op == SAY_ACK)) {
		struct slice kept = arena_dup(arena, slice_of(words_share(threshold, false, share)));

		if (!kept.p)
			return BUR_NOMEM;
		add_row(ret, "Threshold", kept.p);
	}
	add_row(ret, "Time", time.p);
	return BUR_OK;
}

/* --- plain text --------------------------------------------------------------------------------------------------- */

static int put_rows(struct buf *out, int r, const struct email_rows *rows)
{
	for (size_t i = 0; i < rows->n && r == BUR_OK; i++) {
		int pad = LABEL_WIDTH - (int)strlen(rows->row[i].label);

		r = buf_printf(out, "%s:%*s%s\n", rows->row[i].label, pad > 1 ? pad : 1, "", rows->row[i].value);
	}
	return r;
}

int email_text_make(const struct message *m, const struct email_rows *rows, struct buf *out)
{
	const struct brief *b = m->brief;
	int r = buf_printf(out, "%s: %s\n\n", email_label(m), email_title(m));

	if (r == BUR_OK && *b->text)
		r = buf_printf(out, "%s\n\n", b->text);
	if (r == BUR_OK && *b->next)
		r = buf_printf(out, "What happens next: %s\n\n", b->next);
	for (size_t i = 0; i < b->n_actions && r == BUR_OK; i++)
		r = buf_printf(out, "%s: %s\n%s", b->action[i].label, b->action[i].url,
			       i + 1 == b->n_actions ? "\n" : "");
	r = put_rows(out, r, rows);
	if (r == BUR_OK && b->n_lines > 0)
		r = buf_printf(out, "\n%s:\n", b->lines_title);
	for (size_t i = 0; i < b->n_lines && r == BUR_OK; i++)
		r = buf_printf(out, "  - %s\n", b->line[i]);
	if (r == BUR_OK && *b->command)
		r = buf_printf(out, "\nTo act on the command line:\n  %s\n", b->command);
	return r == BUR_OK ? buf_printf(out, "\n%s\n", b->footer) : r;
}
