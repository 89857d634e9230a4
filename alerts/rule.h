/* rule.h - which events go to which channels. Pure. */
#ifndef ALERTS_RULE_H
#define ALERTS_RULE_H

#include "alerts/channel.h"

/* A label and its values: the event must have one of them ("team": search, ads; a trailing * is a prefix). */
struct rule_match {
	const char *label; /* key user team project model provider tag.NAME */
	const char *const *values;
	size_t n_values;
};
#define RULE_MATCHES_MAX 8
struct rule {
	const char *const *events; /* "budget.*"; none: all */
	size_t n_events;
	const char *const *budgets; /* names, a trailing * is a prefix; none: all, and what is about no budget */
	size_t n_budgets;
	struct rule_match match[RULE_MATCHES_MAX];
	size_t n_match;
	bool has_severity; /* else each channel's own */
	enum severity severity;
	const char *const *channels; /* groups; none: all */
	size_t n_channels;
	int64_t escalate_s; /* nobody acknowledged for so long: told again to ... ; 0: by the general rule */
	const char *const *escalate_to; /* groups; none: all channels */
	size_t n_escalate_to;
};

struct alerts_config {
	bool enabled;
	const char *public_url; /* without a slash at its end; "" */
	const char *node;
	const char *from_instance; /* prefix of ids: tells installations apart; [a-z0-9]+ */
	struct channel *channels;
	size_t n_channels;
	const struct rule *rules; /* none: every event to every channel, by the channels' severities */
	size_t n_rules;
	bool escalate;        /* the general rule (cost-endpoints C5.8) */
	int64_t key_expiry_s; /* keys are told of so long before they end; 7 days */
	int64_t link_valid_s; /* of signed links; 7 days */
	int64_t retention_s;  /* of what was sent; 90 days */
};
#define ALERTS_CHANNELS_MAX 64
#define ALERTS_RULES_MAX 256

/* The channels (bit i = channel i) that are to be told of it. `facts`: type, severity, budget_id, labels. */
uint64_t rules_route(const struct alerts_config *, const json_t *facts) NONNULL(1, 2);
/* Those to escalate to, and after how long nobody acknowledged: the shortest of the rules that match; 0: no rule says.
 */
uint64_t rules_escalate(const struct alerts_config *, const json_t *facts, int64_t *ret_after_s) NONNULL(1, 2, 3);
bool rule_text_matches(const char *pattern, const char *text) NONNULL(1, 2); /* equal, or with a trailing * a prefix */

#endif
