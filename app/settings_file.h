/* settings_file.h - bursar.yaml as it is written, before it is checked; shared by settings.c and settings_check.c. */
#ifndef APP_SETTINGS_FILE_H
#define APP_SETTINGS_FILE_H

#include "app/settings.h"
#include "app/settings_alerts.h"

struct file_provider {
	const char *name; /* map key */
	const char *base_url, *api_key, *prefix, *family, *ca_file;
	struct string_list hosts;
	int64_t block_status;
	const char *price_as;
	struct pair_list models;
	int price;              /* 0 book, 1 free */
	int ask_usage;          /* 0 auto, 1 never */
	int full_bill_on_abort; /* 0 auto, 1 no, 2 yes */
	int on_client_abort;    /* enum on_client_abort */
	bool bills_errors;
	const char *bills_once_by;
	const struct node *node;
};

struct file_rule {
	const char *host;
	int verb; /* enum host_verb */
	bool allow_priced;
	const struct node *node;
};

/* One of `steps`; 0 and NULL: not written. */
struct file_step {
	const char *at;
	int action; /* enum step_action */
	int64_t max_delay_ns, rate_nanousd, burst_ns, max_wait_ns, min_out;
	const char *factor;
	struct pair_list map;
	const struct node *node;
};
extern const struct option_table settings_step_table;

struct file_breaker {
	int enabled; /* 0 auto, 1 on, 2 off */
	int64_t max_request_nanousd, velocity_nanousd, velocity_window_ns, cool_down_ns, probe_nanousd;
	int burn, anomaly; /* 0 off, 1 trip */
	bool latch;
};
extern const struct option_table settings_breaker_table;

struct file_budget {
	const char *name, *timezone, *limit, *mode, *window, *parent;
	const struct node *match, *unknown_model, *limits;
	struct record_list steps; /* struct file_step */
	struct file_breaker breaker;
	struct string_list per;
	int week_start;
	int input_bound; /* 0 exact, 1 estimate */
	int hold;        /* enum hold_mode */
	int lower_mode;  /* 0 keep, 1 cut */
	int64_t default_max_out;
	int64_t month_anchor, fiscal_year_start;
	const struct node *node;
};

extern const struct option_table settings_budget_table;

/* `breakers` and `runaway` */
struct file_guard {
	bool upstream;
	int action; /* enum runaway_action */
	int64_t repeat, repeat_window_ns, fanout, cache_misses, minimum_nanousd, quarantine_ns;
};
extern const struct option_table settings_breakers_table, settings_runaway_table;

struct file_meter {
	const char *name, *provider, *host, *method, *path, *quantity, *price, *minimum, *maximum, *step;
	int64_t per;
	struct string_list free_status;
	const struct node *node;
};
extern const struct option_table settings_meter_table;

struct file_limits {
	struct proxy_limits proxy;
	int64_t drain_timeout_ns;
	bool clock_guard;
};

struct settings_file {
	struct string_list listen;
	const char *tls_cert, *tls_key;
	const char *admin_listen;
	struct string_list admin_hosts;
	const char *data;
	const struct node *prices;
	int64_t workers;
	struct record_list providers; /* struct file_provider */
	struct record_list meters;    /* struct file_meter */
	struct record_list rules;     /* struct file_rule */
	int other_hosts;              /* 0 deny, 1 tunnel */
	struct string_list connect_ports;
	struct string_list network_allow, network_dns;
	bool require_key;
	int default_verdict;        /* 0 deny, 1 allow */
	struct record_list budgets; /* struct file_budget */
	struct file_limits limits;
	struct file_guard guard;
	struct file_alerts alerts;
	int64_t journal_slots, grace_ns, max_unpersisted_nanousd, min_free_bytes;
	int log_level;
	bool log_requests;
	const char *log_file;
	const struct node *root;
};

#define SETTINGS_ZONES_MAX 64

/* In the arena; newest first. */
struct settings_secret {
	const char *text;
	const struct settings_secret *next;
};

struct settings_own {
	struct arena arena;
	struct settings_file raw;
	struct tz *zones[SETTINGS_ZONES_MAX];
	size_t n_zones;
	const struct settings_secret *secrets; /* of alert channels */
};

/* What is being checked, for messages. */
struct settings_ctx {
	struct settings *s;
	const char *file_name;
	struct config_error *err;
};

extern const struct option_table settings_root_table;

/* Values of the environment (a NULL-terminated "NAME=value" list, NULL: none) put into the tree. */
int settings_override(struct settings_ctx *, struct node *root, const char *const *env) NONNULL(1, 2) MUST_USE;
/* Messages about line 0 then name the variable instead of a place in the file. */
void settings_name_variable(struct settings_ctx *, const char *const *env) NONNULL(1);
/* Turns what was read into s's public part. BUR_INVALID fills the error; BUR_NOMEM. */
int settings_check(struct settings_ctx *) NONNULL(1) MUST_USE;
/* The budgets' part of it. */
int settings_check_budgets(struct settings_ctx *) NONNULL(1) MUST_USE;
/* The steps and the cost breaker of one budget. */
int settings_read_steps(struct settings_ctx *, const struct file_budget *, struct budget *) NONNULL(1, 2, 3) MUST_USE;
int settings_read_breaker(struct settings_ctx *, const struct file_budget *, struct budget *) NONNULL(1, 2, 3) MUST_USE;
/* What its steps ask of one of its limits. */
int settings_check_steps(struct settings_ctx *, const struct file_budget *, const struct budget *)
    NONNULL(1, 2, 3) MUST_USE;
/* `breakers` and `runaway` */
int settings_check_guard(struct settings_ctx *) NONNULL(1) MUST_USE;
/* The providers' part of it. */
extern const struct option_table settings_provider_table;
int settings_check_providers(struct settings_ctx *) NONNULL(1) MUST_USE;
/* BUR_INVALID when one of the texts is no host pattern. */
int settings_check_patterns(struct settings_ctx *, const struct node *at, const char *const *list, size_t n)
    NONNULL(1) MUST_USE;
/* The rules under `meters:`, each given to its provider, which may be a new one. After the providers. */
int settings_check_meters(struct settings_ctx *) NONNULL(1) MUST_USE;
/* `alerts:`. After the budgets. */
int settings_check_alerts(struct settings_ctx *) NONNULL(1) MUST_USE;
/* A zone, loaded once; `at`: for the message. */
int settings_zone(struct settings_ctx *, const struct node *at, const char *name, const struct tz **ret)
    NONNULL(1, 3, 4) MUST_USE;
/* `prices:`. */
int settings_check_prices(struct settings_ctx *) NONNULL(1) MUST_USE;
/* The node of `key` in `map`, or the map itself, for messages. */
const struct node *settings_at(const struct node *map, const char *key) NONNULL(2);

#endif
