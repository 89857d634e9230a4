#include "app/ask.h"

#include <stdio.h>

#include "app/table.h"

/* "detail" is a text, or the list of a 422; the cost API says {"error":{"message":...}}. */
static void tell_error(const struct cmd *cmd, int status, const json_t *answer)
{
	const json_t *detail = json_object_get(answer, "detail"), *first = json_array_get(detail, 0);
	const char *text =
	    json_string_value(detail ? detail : json_object_get(json_object_get(answer, "error"), "message"));

	if (first) {
		const char *name = json_string_value(json_array_get(json_object_get(first, "loc"), 1));

		text = json_string_value(json_object_get(first, "msg"));
		(void)fprintf(stderr, "bursar %s: %s: %s\n", cmd->name, name ? name : "?",
			      text ? text : "is not valid");
		return;
	}
	(void)fprintf(stderr, "bursar %s: %s (status %d)\n", cmd->name, text ? text : "the server refused", status);
}

int ask_json(const struct cmd *cmd, const struct admin_question *q, json_t **ret)
{
	struct buf out;
	json_t *answer = NULL;
	int status = 0, r;

	buf_init(&out, ADMIN_ANSWER_MAX);
	r = admin_ask(cmd, q, &status, &out);
	if (r == EXIT_OK) {
		answer = json_loadb(buf_len(&out) ? buf_slice(&out).p : "", buf_len(&out), 0, NULL);
		if (!answer || status >= 300) {
			tell_error(cmd, status, answer);
			r = EXIT_FAILED;
		}
	}
	bytes_wipe(out.mem, out.mem ? out.cap : 0); /* it may have held a new key */
	buf_done(&out);
	if (r == EXIT_OK)
		*ret = answer;
	else
		json_decref(answer);
	return r;
}

struct dialog {
	const struct cmd *cmd;
	bool (*again)(void *ctx, const json_t *answer, struct admin_question *next);
	void *ctx;
	bool failed;
};

static bool on_answer(void *ctx, int status, struct slice text, struct admin_question *next)
{
	struct dialog *d = ctx;
	json_t *answer = json_loadb(text.n ? text.p : "", text.n, 0, NULL);
	bool more = false;

	if (!answer || status >= 300) {
		tell_error(d->cmd, status, answer);
		d->failed = true;
	} else {
		more = d->again(d->ctx, answer, next);
	}
	json_decref(answer);
	return more;
}

int ask_dialog(const struct cmd *cmd, const struct admin_question *q,
	       bool (*again)(void *ctx, const json_t *answer, struct admin_question *next), void *ctx)
{
	struct dialog d = {.cmd = cmd, .again = again, .ctx = ctx};
	int r = admin_dialog(cmd, q, on_answer, &d);

	return r == EXIT_OK && d.failed ? EXIT_FAILED : r;
}
