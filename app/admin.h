/* admin.h - a question to the admin API: asked of the running server, or answered in this process when none runs.
 *
 * Whether a server runs is decided by the lock of the data folder, not by a port: the administrator's token is never
 * sent to a stranger who took the port. Blocking; main thread. */
#ifndef APP_ADMIN_H
#define APP_ADMIN_H

#include "app/cmd.h"
#include "base/buf.h"
#include "base/slice.h"

struct admin_question {
	const char *config; /* NULL = default place */
	const char *method, *target;
	struct slice body; /* JSON, or empty */
	bool needs_data;   /* the data folder must exist; else it is made */
};

/* EXIT_OK: *ret_status is the API's status and `out` (initialised by the caller) its body. Else the exit code; what is
 * wrong was said on standard error. */
int admin_ask(const struct cmd *, const struct admin_question *, int *ret_status, struct buf *out)
    NONNULL(1, 2, 3, 4) MUST_USE;
/* As admin_ask, and again with what `again` makes of `next` (filled with the first question) as long as it says true,
 * ten times a second: what is under way goes on meanwhile, in the server or here. */
int admin_dialog(const struct cmd *, const struct admin_question *,
		 bool (*again)(void *ctx, int status, struct slice answer, struct admin_question *next), void *ctx)
    NONNULL(1, 2, 3) MUST_USE;
/* Appends "?name=value" or "&name=value", percent-encoded; nothing when value is NULL. */
int admin_query(struct buf *target, const char *name, const char *value) NONNULL(1, 2) MUST_USE;

#define ADMIN_ANSWER_MAX (16 * 1024 * 1024)

#endif
