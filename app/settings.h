/* settings.h - the whole configuration: bursar.yaml and BURSAR_* read, checked and turned into what the rooms take.
 *
 * One option table describes every key; from it come checking, `check-config --dump-config` and docs/config.md.
 * Everything in `struct settings` lives until settings_free. Not thread-safe; used at start. */
#ifndef APP_SETTINGS_H
#define APP_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alerts/rule.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/config.h"
#include "base/log.h"
#include "policy/budget.h"
#include "proxy/proxy.h"
#include "store/store.h"

struct import_factor; /* price/import.h */
struct settings_own;  /* arena, raw record, zones */

/* Prices of the operator's own: decimal texts in USD by unit. */
struct price_override {
	const char *provider, *model, *from; /* from: "YYYY-MM-DD", NULL = always */
	const struct pair *rates;
	size_t n_rates;
};

struct settings {
	const char *file; /* as given */
	const char *data_dir;
	const char *prices;                           /* path of the price book; NULL = the one built in */
	const struct price_override *price_overrides; /* over the book */
	size_t n_price_overrides;
	const struct import_factor *price_factors; /* on what the book says, in order; price/import.h */
	size_t n_price_factors;
	const char *admin_listen;
	const char *const *admin_hosts; /* names the admin listener answers to, beside loopback and its own address */
	size_t n_admin_hosts;
	struct proxy_config proxy; /* all but workers = 0 resolved; fingerprint_secret and dial.deny filled elsewhere */
	struct store_config store;
	const struct budget *budgets;
	size_t n_budgets;
	bool deny_without_budget, believe_clock;
	int64_t drain_timeout_ns;
	enum log_level log_level;
	const char *log_file;        /* NULL = standard error */
	struct alerts_config alerts; /* from_instance comes from the store */
	const char *const *ca_hosts; /* what the certificate authority may sign: provider hosts and intercept rules */
	size_t n_ca_hosts;
	struct settings_own *own;
};

/* Reads `path`, then the environment. BUR_INVALID: reterr has file:line:column and what to write instead. Zones, hosts,
 * address ranges, budgets are checked too; nothing is opened or bound. */
int settings_load(const char *path, struct settings **ret, struct config_error *reterr) NONNULL(1, 2, 3) MUST_USE;
/* As settings_load from text that is in memory. `env`: NULL-terminated "NAME=value" list, NULL = none. */
int settings_parse(struct slice text, const char *file_name, const char *const *env, struct settings **ret,
		   struct config_error *reterr) NONNULL(2, 4, 5) MUST_USE;
void settings_free(struct settings *); /* NULL is fine; wipes the secrets */

/* The effective configuration as YAML with comments, secrets as ***. */
int settings_dump(const struct settings *, struct buf *out) NONNULL(1, 2) MUST_USE;
/* docs/config.md. */
int settings_reference(struct buf *out) NONNULL(1) MUST_USE;
/* The file to use when none is named: $BURSAR_CONFIG, ./bursar.yaml, ./conf/bursar.yaml, /etc/bursar/bursar.yaml.
 * NULL: there is none. */
const char *settings_default_path(void);
/* Overwrites every environment value that holds a key of a vendor or a secret of a channel, so that /proc/PID/environ
 * does not show it. */
void settings_wipe_env(const struct settings *, char **env) NONNULL(1, 2);

#endif
