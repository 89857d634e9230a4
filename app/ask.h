/* ask.h - admin_ask for commands that want JSON. */
#ifndef APP_ASK_H
#define APP_ASK_H

#include <jansson.h>

#include "app/admin.h"

/* EXIT_OK: *ret is the answer's JSON (the caller's reference). An error status is told on standard error and gives
 * EXIT_FAILED. */
int ask_json(const struct cmd *, const struct admin_question *, json_t **ret) NONNULL(1, 2, 3) MUST_USE;
/* As admin_dialog. Answers that are errors end it: told on standard error, EXIT_FAILED. */
int ask_dialog(const struct cmd *, const struct admin_question *,
	       bool (*again)(void *ctx, const json_t *answer, struct admin_question *next), void *ctx)
    NONNULL(1, 2, 3) MUST_USE;

#endif
