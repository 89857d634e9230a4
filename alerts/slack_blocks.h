/* slack_blocks.h - a message in the forms that Slack draws: blocks, the older attachments, and text alone.
 *
 * Every limit that Slack states (alert-channels 3.1) is kept in bytes. Text is marked as verbatim: Slack then makes
 * neither links nor mentions of what names contain. Pure; control thread. */
#ifndef ALERTS_SLACK_BLOCKS_H
#define ALERTS_SLACK_BLOCKS_H

#include "alerts/compose.h"

/* Of the whole JSON: Slack refuses sums over all blocks from about 13,000 on. */
#define SLACK_BYTES_MAX 7900

/* {text, blocks}, for a webhook or to be completed for the Web API. A compose_fn. */
json_t *slack_blocks(const struct channel *, const struct message *, struct arena *, size_t cap)
    NONNULL(1, 2, 3) MUST_USE;
/* {text, attachments, username, icon_emoji, channel}: cost-endpoints C5.4. A compose_fn. */
json_t *slack_attachments(const struct channel *, const struct message *, struct arena *, size_t cap)
    NONNULL(1, 2, 3) MUST_USE;
/* {text}: when blocks were refused. A compose_fn. */
json_t *slack_plain(const struct channel *, const struct message *, struct arena *, size_t cap)
    NONNULL(1, 2, 3) MUST_USE;
/* {text, blocks}: two lines that say what changed, for a thread. A compose_fn. */
json_t *slack_note(const struct channel *, const struct message *, struct arena *, size_t cap)
    NONNULL(1, 2, 3) MUST_USE;

#endif
