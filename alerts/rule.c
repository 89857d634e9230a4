#include "alerts/rule.h"

#include <string.h>

#include "base/check.h"

bool rule_text_matches(const char *pattern, const char *text)
{
	size_t n = strlen(pattern);

	if (n > 0 && pattern[n - 1] == '*')
		return strncmp(pattern, text, n - 1) == 0;
	return strcmp(pattern, text) == 0;
}

static bool any_matches(const char *const *patterns, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++)
		if (rule_text_matches(patterns[i], text))
			return true;
	return false;
}

static bool labels_match(const struct rule *rule, const json_t *facts)
{
	const json_t *labels = json_object_get(facts, "labels");

	for (size_t i = 0; i < rule->n_match; i++) {
		const struct rule_match *m = &rule->match[i];
		const char *value = json_string_value(json_object_get(labels, m->label));

		if (!value || !any_matches(m->values, m->n_values, value))
			return false;
	}
	return true;
}

/* Everything but the severity, which may be each channel's own. */
static bool rule_matches(const struct rule *rule, const json_t *facts)
{
	const char *budget = fact_text(facts, "budget_id");

	if (rule->n_events > 0 && !any_matches(rule->events, rule->n_events, fact_text(facts, "type")))
		return false;
	if (rule->n_budgets > 0 && (budget[0] == '\0' || !any_matches(rule->budgets, rule->n_budgets, budget)))
		return false;
	return labels_match(rule, facts);
}

static bool is_named(const char *const *groups, size_t n, const struct channel *c)
{
	if (n == 0)
		return true;
	for (size_t i = 0; i < n; i++)
		if (strcmp(groups[i], c->group) == 0 || strcmp(groups[i], c->name) == 0)
			return true;
	return false;
}

/* A channel is not told of its own failure: the message would fail as well, and tell of that. */
static bool is_about(const json_t *facts, const struct channel *c)
{
	const json_t *scope = json_object_get(facts, "scope");

	if (strcmp(fact_text(scope, "kind"), "channel") != 0)
		return false;
	return strcmp(fact_text(scope, "id"), c->name) == 0 || strcmp(fact_text(scope, "id"), c->group) == 0;
}

static uint64_t channels_of(const struct alerts_config *config, const struct rule *rule, const json_t *facts)
{
	enum severity severity = fact_severity(facts);
	uint64_t set = 0;

	for (size_t i = 0; i < config->n_channels; i++) {
		const struct channel *c = &config->channels[i];
		enum severity least = rule && rule->has_severity ? rule->severity : c->severity;

		if (severity >= least && (!rule || is_named(rule->channels, rule->n_channels, c)) &&
		    !is_about(facts, c))
			set |= UINT64_C(1) << i;
	}
	return set;
}

uint64_t rules_route(const struct alerts_config *config, const json_t *facts)
{
	uint64_t set = 0;

	CHECK(config->n_channels <= ALERTS_CHANNELS_MAX);
	if (config->n_rules == 0)
		return channels_of(config, NULL, facts);
	for (size_t i = 0; i < config->n_rules; i++)
		if (rule_matches(&config->rules[i], facts))
			set |= channels_of(config, &config->rules[i], facts);
	return set;
}

static uint64_t named_by(const struct alerts_config *config, const struct rule *rule, const json_t *facts)
{
	uint64_t set = 0;

	for (size_t i = 0; i < config->n_channels; i++) {
		const struct channel *c = &config->channels[i];

		if ((!rule || is_named(rule->escalate_to, rule->n_escalate_to, c)) && !is_about(facts, c))
			set |= UINT64_C(1) << i;
	}
	return set;
}

uint64_t rules_escalate(const struct alerts_config *config, const json_t *facts, int64_t *ret_after_s)
{
	uint64_t set = 0;

	*ret_after_s = 0;
	for (size_t i = 0; i < config->n_rules; i++) {
		const struct rule *rule = &config->rules[i];

		if (!rule_matches(rule, facts) || (rule->has_severity && fact_severity(facts) < rule->severity))
			continue;
		if (rule->escalate_s > 0 && (*ret_after_s == 0 || rule->escalate_s < *ret_after_s))
			*ret_after_s = rule->escalate_s;
		/* Rules that say nothing of escalation leave it to those that do. */
		if (rule->escalate_s > 0 || rule->n_escalate_to > 0)
			set |= named_by(config, rule, facts);
	}
	return set ? set : named_by(config, NULL, facts);
}
