/* The option tables of bursar.yaml, and reading the file and the environment into them. */
#include "app/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/settings_file.h"
#include "base/error.h"

#define FILE_MAX_BYTES (4 * 1024 * 1024)
#define ARENA_MAX_BYTES (64 * 1024 * 1024)
#define DAY_NS (INT64_C(86400) * 1000000000)
#define S_NS INT64_C(1000000000)
#define MIB (INT64_C(1024) * 1024)
#define GIB (MIB * 1024)

/* --- the tables --------------------------------------------------------------------------------------------------- */

#define ROWS(a) .rows = (a), .n_rows = ARRAY_LEN(a)
#define AT(type_, field) .offset = offsetof(struct type_, field)

static const struct option tls_rows[] = {
    {.name = "cert",
     .type = OPT_STRING,
     AT(settings_file, tls_cert),
     .optional = true,
     .sentence = "PEM file with the certificate chain of the proxy listeners; with it they take TLS as well as plain"},
    {.name = "key",
     .type = OPT_STRING,
     AT(settings_file, tls_key),
     .optional = true,
     .sentence = "PEM file with its private key; others must not be able to read it"},
};
static const struct option_table tls_table = {.name = "tls", ROWS(tls_rows), .node_offset = SIZE_MAX};

static const struct option admin_rows[] = {
    {.name = "listen",
     .type = OPT_STRING,
     AT(settings_file, admin_listen),
     .fallback = "127.0.0.1:8050",
     .sentence = "address and port of the admin listener: health, metrics, API; port 0 takes a free one"},
    {.name = "allowed_hosts",
     .type = OPT_STRINGS,
     AT(settings_file, admin_hosts),
     .optional = true,
     .max = 64,
     .sentence = "host names under which the admin listener may be called, beside localhost and its own address"},
};
static const struct option_table admin_table = {.name = "admin", ROWS(admin_rows), .node_offset = SIZE_MAX};

static const struct option rule_rows[] = {
    {.name = "host",
     .type = OPT_STRING,
     AT(file_rule, host),
     .sentence = "host pattern: api.example.com, *.example.com or *"},
    {.name = "do",
     .type = OPT_ENUM,
     AT(file_rule, verb),
     .choices = "intercept|tunnel|deny",
     .sentence = "what a CONNECT to it gets: intercept (metered), tunnel (blind bytes) or deny"},
    {.name = "allow_priced",
     .type = OPT_BOOL,
     AT(file_rule, allow_priced),
     .fallback = "false",
     .sentence = "with tunnel: yes, really, although the host belongs to a provider and nothing will be metered"},
};
static const struct option_table rule_table = {.name = "host rule",
					       .record_bytes = sizeof(struct file_rule),
					       ROWS(rule_rows),
					       .node_offset = offsetof(struct file_rule, node)};

static const struct option network_rows[] = {
    {.name = "allow",
     .type = OPT_STRINGS,
     AT(settings_file, network_allow),
     .optional = true,
     .max = 64,
     .sentence = "address ranges (CIDR) that may be reached although they are private, loopback or reserved"},
    {.name = "dns",
     .type = OPT_STRINGS,
     AT(settings_file, network_dns),
     .optional = true,
     .max = 8,
     .sentence = "DNS servers (ip[:port]) to ask instead of those of resolv.conf"},
};
static const struct option_table network_table = {.name = "network", ROWS(network_rows), .node_offset = SIZE_MAX};

static const struct option auth_rows[] = {
    {.name = "require_key",
     .type = OPT_BOOL,
     AT(settings_file, require_key),
     .fallback = "true",
     .sentence = "refuse calls without a virtual key; when false, the fingerprint of the vendor key stands for it"},
};
static const struct option_table auth_table = {.name = "auth", ROWS(auth_rows), .node_offset = SIZE_MAX};

#define LIMIT(name_, type_, field, fallback_, min_, max_, sentence_)                                                   \
	{                                                                                                              \
		.name = (name_), .type = (type_), AT(file_limits, field), .fallback = (fallback_), .min = (min_),      \
		.max = (max_), .sentence = (sentence_)                                                                 \
	}

static const struct option limit_rows[] = {
    LIMIT("head_timeout", OPT_DURATION, proxy.head_timeout_ns, "10s", S_NS / 10, 600 * S_NS,
	  "a request head must be complete within this time"),
    LIMIT("handshake_timeout", OPT_DURATION, proxy.handshake_timeout_ns, "10s", S_NS / 10, 600 * S_NS,
	  "a TLS handshake must be complete within this time"),
    LIMIT("keepalive", OPT_DURATION, proxy.keepalive_ns, "60s", S_NS / 10, DAY_NS,
	  "an idle client connection is closed after this time"),
    LIMIT("first_byte_timeout", OPT_DURATION, proxy.first_byte_timeout_ns, "900s", S_NS / 10, DAY_NS,
	  "the vendor's answer must begin within this time; reasoning models are silent for minutes"),
    LIMIT("stream_idle", OPT_DURATION, proxy.stream_idle_ns, "900s", S_NS / 10, DAY_NS,
	  "longest silence inside an answer"),
    LIMIT("connect_timeout", OPT_DURATION, proxy.connect_timeout_ns, "5s", S_NS / 10, 600 * S_NS,
	  "for one address of a host"),
    LIMIT("connect_total", OPT_DURATION, proxy.connect_total_ns, "15s", S_NS / 10, 600 * S_NS,
	  "for all addresses of a host"),
    LIMIT("body_grace", OPT_DURATION, proxy.body_grace_ns, "10s", S_NS / 10, DAY_NS,
	  "a request body may be slower than body_min_rate for this long"),
    LIMIT("body_min_rate", OPT_BYTES, proxy.body_min_rate, "240", 0, GIB, "bytes a second a request body must keep up"),
    LIMIT("max_body", OPT_BYTES, proxy.max_body_bytes, "32MiB", 1024, GIB,
	  "largest request body that is priced before it leaves"),
    LIMIT("max_upload", OPT_BYTES, proxy.max_upload_bytes, "128MiB", 1024, 16 * GIB,
	  "largest request body that only passes through"),
    LIMIT("max_body_memory", OPT_BYTES, proxy.max_body_memory_bytes, "512MiB", MIB, 1024 * GIB,
	  "memory for all waiting request bodies together"),
    LIMIT("max_connections", OPT_INT, proxy.max_connections, "8192", 1, 1000000, "client connections at once"),
    LIMIT("max_connections_per_address", OPT_INT, proxy.max_connections_per_address, "256", 1, 1000000,
	  "client connections at once from one address"),
    LIMIT("drain_client", OPT_DURATION, proxy.drain_client_ns, "60s", S_NS / 10, DAY_NS,
	  "an answer whose client has gone is read on for at most this long, to learn what it cost"),
    LIMIT("max_drains", OPT_INT, proxy.max_drains, "256", 0, 100000, "such answers at once, per worker"),
    LIMIT("pool_idle", OPT_DURATION, proxy.pool_idle_ns, "50s", S_NS / 10, DAY_NS,
	  "an idle connection to a vendor is kept for this long"),
    LIMIT("pool_max_idle", OPT_INT, proxy.pool_max_idle, "1024", 0, 100000, "idle connections to vendors, per worker"),
    LIMIT("pool_max_idle_per_key", OPT_INT, proxy.pool_max_idle_per_key, "64", 0, 100000,
	  "of them, to one host with one credential"),
    LIMIT("inflight_allow_tokens", OPT_INT, proxy.inflight_allow_tokens, "64", 0, 100000,
	  "output tokens a vendor may have made and bills beyond what arrived, when a stream is cut off"),
    LIMIT("drain_timeout", OPT_DURATION, drain_timeout_ns, "600s", 0, DAY_NS,
	  "at the end (SIGTERM) running calls may take this long to finish"),
    LIMIT(
	"clock_guard", OPT_BOOL, clock_guard, "true", 0, 0,
	"a clock that jumps ahead by more than five minutes ends no budget's window before it has stood for a minute"),
};
static const struct option_table limits_table = {
    .name = "limits", .record_bytes = sizeof(struct file_limits), ROWS(limit_rows), .node_offset = SIZE_MAX};

static const struct option storage_rows[] = {
    {.name = "journal_slots",
     .type = OPT_INT,
     AT(settings_file, journal_slots),
     .fallback = "16384",
     .min = 64,
     .max = 1048576,
     .sentence = "calls in flight at once; a power of two, 512 bytes each; fixed when the data is made"},
    {.name = "grace",
     .type = OPT_DURATION,
     AT(settings_file, grace_ns),
     .fallback = "30s",
     .min = 0,
     .max = DAY_NS,
     .sentence = "hard budgets go on for this long while the ledger cannot be written"},
    {.name = "max_unpersisted",
     .type = OPT_USD,
     AT(settings_file, max_unpersisted_nanousd),
     .fallback = "10 USD",
     .min = 0,
     .max = INT64_MAX,
     .sentence = "and for at most this much money"},
    {.name = "min_free",
     .type = OPT_BYTES,
     AT(settings_file, min_free_bytes),
     .fallback = "256MiB",
     .min = 0,
     .max = 1024 * 1024 * MIB,
     .sentence = "hard budgets stop when the disk has less room than this"},
};
static const struct option_table storage_table = {.name = "storage", ROWS(storage_rows), .node_offset = SIZE_MAX};

static const struct option log_rows[] = {
    {.name = "level",
     .type = OPT_ENUM,
     AT(settings_file, log_level),
     .fallback = "info",
     .choices = "debug|info|warn|error",
     .sentence = "least important messages to write"},
    {.name = "requests",
     .type = OPT_BOOL,
     AT(settings_file, log_requests),
     .fallback = "true",
     .sentence = "one line for each call; never bodies, never secrets"},
    {.name = "file",
     .type = OPT_STRING,
     AT(settings_file, log_file),
     .optional = true,
     .sentence = "append the log to this file instead of standard error"},
};
static const struct option_table log_table = {.name = "log", ROWS(log_rows), .node_offset = SIZE_MAX};

static const struct option root_rows[] = {
    {.name = "listen",
     .type = OPT_STRINGS,
     AT(settings_file, listen),
     .fallback = "127.0.0.1:8080",
     .min = 1,
     .max = 16,
     .sentence = "addresses of the proxy and gateway: host:port, [v6]:port, or :port for all; port 0 takes a free one"},
    {.name = "tls", .type = OPT_GROUP, .sub = &tls_table, .sentence = "TLS towards clients"},
    {.name = "admin", .type = OPT_GROUP, .sub = &admin_table, .sentence = "the admin listener"},
    {.name = "data",
     .type = OPT_STRING,
     AT(settings_file, data),
     .fallback = "./run/data",
     .sentence = "folder of ledger, journal, keys and certificate authority; made with mode 0700"},
    {.name = "workers",
     .type = OPT_INT,
     AT(settings_file, workers),
     .fallback = "0",
     .min = 0,
     .max = 64,
     .sentence = "threads of the data path; 0 = one for each processor"},
    {.name = "providers",
     .type = OPT_MAP,
     AT(settings_file, providers),
     .optional = true,
     .max = 64,
     .sub = &settings_provider_table,
     .sentence = "changes to the built-in providers (docs/providers.md), and further ones"},
    {.name = "meters",
     .type = OPT_LIST,
     AT(settings_file, meters),
     .optional = true,
     .max = 256,
     .sub = &settings_meter_table,
     .sentence = "paid APIs that are no LLM: what a call of theirs costs"},
    {.name = "hosts",
     .type = OPT_LIST,
     AT(settings_file, rules),
     .optional = true,
     .max = 1000,
     .sub = &rule_table,
     .sentence = "rules of the forward proxy, first match wins; hosts of providers are intercepted without a rule"},
    {.name = "other_hosts",
     .type = OPT_ENUM,
     AT(settings_file, other_hosts),
     .fallback = "deny",
     .choices = "deny|tunnel",
     .sentence = "what a CONNECT to any other host gets"},
    {.name = "connect_ports",
     .type = OPT_STRINGS,
     AT(settings_file, connect_ports),
     .optional = true,
     .max = 64,
     .sentence = "ports that CONNECT may name beside 443"},
    {.name = "network", .type = OPT_GROUP, .sub = &network_table, .sentence = "where bursar itself may connect to"},
    {.name = "auth", .type = OPT_GROUP, .sub = &auth_table, .sentence = "who may call"},
    {.name = "default",
     .type = OPT_ENUM,
     AT(settings_file, default_verdict),
     .fallback = "deny",
     .choices = "deny|allow",
     .sentence = "a call that no budget matches"},
    {.name = "budgets",
     .type = OPT_LIST,
     AT(settings_file, budgets),
     .optional = true,
     .max = 10000,
     .sub = &settings_budget_table,
     .sentence = "the budgets; a call must fit into all that match it"},
    {.name = "breakers",
     .type = OPT_GROUP,
     AT(settings_file, guard),
     .sub = &settings_breakers_table,
     .sentence = "circuit breakers that belong to no budget"},
    {.name = "runaway",
     .type = OPT_GROUP,
     AT(settings_file, guard),
     .sub = &settings_runaway_table,
     .sentence = "programs that have lost their way: the same call again and again, calls that start more calls, a "
		 "cache that is never hit"},
    {.name = "alerts",
     .type = OPT_GROUP,
     AT(settings_file, alerts),
     .sub = &settings_alerts_table,
     .sentence = "who is told of what (docs/alerts.md)"},
    {.name = "prices",
     .type = OPT_NODE,
     AT(settings_file, prices),
     .optional = true,
     .sentence =
	 "path of a price book (default: the one built into the program), or a map: book; rates, a list of "
	 "provider, model, usd: {in: 3, out: 12}; adjust, a list of provider, model, discount: 10% or markup: 5%"},
    {.name = "limits",
     .type = OPT_GROUP,
     AT(settings_file, limits),
     .sub = &limits_table,
     .sentence = "time and size limits of the data path"},
    {.name = "storage", .type = OPT_GROUP, .sub = &storage_table, .sentence = "the ledger's safety"},
    {.name = "log", .type = OPT_GROUP, .sub = &log_table, .sentence = "what is written down"},
};
const struct option_table settings_root_table = {.name = "bursar.yaml",
						 .record_bytes = sizeof(struct settings_file),
						 ROWS(root_rows),
						 .node_offset = offsetof(struct settings_file, root)};

/* --- loading ------------------------------------------------------------------------------------------------------ */

static struct settings *settings_new(void)
{
	struct settings *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->own = calloc(1, sizeof(*s->own));
	if (!s->own) {
		free(s);
		return NULL;
	}
	arena_init(&s->own->arena, ARENA_MAX_BYTES);
	return s;
}

void settings_free(struct settings *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->proxy.n_providers; i++) {
		const char *key = s->proxy.providers[i].api_key;

		if (key)
			bytes_wipe((void *)(uintptr_t)key, strlen(key));
	}
	for (const struct settings_secret *k = s->own->secrets; k; k = k->next)
		bytes_wipe((void *)(uintptr_t)k->text, strlen(k->text));
	for (size_t i = 0; i < s->own->n_zones; i++)
		tz_free(s->own->zones[i]);
	arena_reset(&s->own->arena);
	free(s->own);
	free(s);
}

static int read_tree(struct settings_ctx *ctx, struct node *root, const char *const *env)
{
	struct settings_own *own = ctx->s->own;
	struct node empty = {.kind = NODE_MAP, .line = 1, .column = 1};
	int r;

	if (root->kind == NODE_SCALAR && root->text.n == 0 && !root->quoted)
		*root = empty; /* an empty file is an empty map */
	r = settings_override(ctx, root, env);
	if (r == BUR_OK)
		r = config_read(&own->arena, ctx->file_name, root, &settings_root_table, &own->raw, ctx->err);
	if (r == BUR_OK)
		r = settings_check(ctx);
	if (r == BUR_INVALID)
		settings_name_variable(ctx, env);
	return r;
}

/* Exactly one of `path` and `text` counts. */
static int load(const char *path, struct slice text, const char *file_name, const char *const *env,
		struct settings **ret, struct config_error *reterr)
{
	struct settings_ctx ctx = {.s = settings_new(), .file_name = file_name, .err = reterr};
	struct node *root = NULL;
	int r = BUR_NOMEM;

	reterr->text[0] = '\0';
	if (!ctx.s)
		goto out;
	ctx.s->file = arena_dup(&ctx.s->own->arena, slice_of(file_name)).p;
	if (!ctx.s->file)
		goto out;
	if (path)
		r = config_load(&ctx.s->own->arena, path, &root, reterr);
	else if (text.n > FILE_MAX_BYTES)
		r = BUR_TOOBIG;
	else
		r = config_parse(&ctx.s->own->arena, text, file_name, &root, reterr);
	if (r == BUR_OK)
		r = read_tree(&ctx, root, env);
	if (r < 0)
		goto out;
	*ret = ctx.s;
	return BUR_OK;
out:
	if (reterr->text[0] == '\0')
		(void)snprintf(reterr->text, sizeof(reterr->text), "%s: %s", file_name, bur_strerror(r));
	settings_free(ctx.s);
	return r;
}

int settings_load(const char *path, struct settings **ret, struct config_error *reterr)
{
	return load(path, SLICE_NONE, path, (const char *const *)environ, ret, reterr);
}

int settings_parse(struct slice text, const char *file_name, const char *const *env, struct settings **ret,
		   struct config_error *reterr)
{
	return load(NULL, text, file_name, env, ret, reterr);
}

int settings_dump(const struct settings *s, struct buf *out)
{
	return config_dump(&settings_root_table, &s->own->raw, out);
}

int settings_reference(struct buf *out)
{
	static const char intro[] =
	    "# bursar.yaml\n\n"
	    "Made by `bursar check-config --reference`; do not edit. `bursar check-config` says what is wrong in a "
	    "file, with "
	    "line and column;\n`--dump-config` prints what is in force. JSON is valid too. Relative paths start at the "
	    "current directory.\n\n"
	    "* In values, `${NAME}` is the environment variable and `${file:PATH}` the content of a file; vendors' "
	    "keys "
	    "are taken only\n  in these forms.\n"
	    "* `BURSAR_<SECTION>__<NAME>` in the environment overrides a scalar: `BURSAR_ADMIN__LISTEN`, "
	    "`BURSAR_DATA`,\n"
	    "  `BURSAR_PROVIDERS__OPENAI__API_KEY`.\n"
	    "* Of alerts these are read too, below `BURSAR_*` and over the file: `BUDGET_ENABLE_ALERTS` (or\n"
	    "  `LIGHTRAG_ENABLE_BUDGET_ALERTS`), `ALERT_EMAIL_SMTP_SERVER`, `_SMTP_PORT`, `_USERNAME`, `_PASSWORD`, "
	    "`_SENDER`,\n"
	    "  `_RECIPIENTS`, `_USE_TLS`, `ALERT_SLACK_WEBHOOK_URL`, `_CHANNEL`, `_USERNAME`, `ALERT_WEBHOOK_URLS`: "
	    "they "
	    "make the\n"
	    "  channels `email`, `slack` and `webhook`; `BUDGET_ALERT_CHANNELS` (`logging,email`) says which of them.\n"
	    "* Durations are `250ms`, `10s`, `5m`, `2h`, `1d`; sizes `64KiB`, `32MiB`, `1GB`; money `10 USD`.\n\n";
	int r = buf_append(out, intro, sizeof(intro) - 1);

	return r < 0 ? r : config_reference(&settings_root_table, out);
}

const char *settings_default_path(void)
{
	static const char *const places[] = {"bursar.yaml", "conf/bursar.yaml", "/etc/bursar/bursar.yaml"};
	const char *named = getenv("BURSAR_CONFIG");

	if (named && named[0] != '\0')
		return named;
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (access(places[i], R_OK) == 0)
			return places[i];
	return NULL;
}
