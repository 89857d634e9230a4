/* email_body.h - the two parts of a mail, saying the same: plain text and HTML. Pure; any thread. */
#ifndef ALERTS_EMAIL_BODY_H
#define ALERTS_EMAIL_BODY_H

#include "alerts/channel.h"
#include "base/buf.h"

/* Larger mails are cut off by readers (Gmail: 102 KB). */
#define EMAIL_HTML_MAX (100 * 1024)
#define EMAIL_TEXT_MAX (64 * 1024)

/* What both parts list: the brief's fields between what only a mail has room for. */
#define EMAIL_ROWS_MAX (BRIEF_FIELDS_MAX + 4)
struct email_rows {
	struct brief_field row[EMAIL_ROWS_MAX];
	size_t n;
};
/* BUR_OK, BUR_NOMEM. */
int email_rows_make(struct arena *, const struct message *, struct email_rows *ret) NONNULL(1, 2, 3) MUST_USE;
const char *email_label(const struct message *) NONNULL(1); /* "WARNING", "RESOLVED": over the title */

const char *email_title(const struct message *) NONNULL(1); /* what stands under the label */

/* Into the buffer. BUR_OK, BUR_TOOBIG, BUR_NOMEM. */
int email_text_make(const struct message *, const struct email_rows *, struct buf *out) NONNULL(1, 2, 3) MUST_USE;
int email_html_make(const struct message *, const struct email_rows *, struct buf *out) NONNULL(1, 2, 3) MUST_USE;

#endif
