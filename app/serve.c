#include "app/serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/access.h"
#include "api/api.h"
#include "app/boot.h"
#include "app/explain.h"
#include "app/files.h"
#include "app/firstrun.h"
#include "app/guards.h"
#include "app/notify.h"
#include "app/process.h"
#include "app/prices.h"
#include "app/version.h"
#include "app/watch.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "net/httpd.h"
#include "net/listen.h"
#include "net/loop.h"
#include "proxy/ca.h"
#include "store/adjust.h"
#include "proxy/proxy.h"
#include "store/keys.h"

#define LEAF_CACHE_MAX 1024
#define ADMIN_BODY_MAX (256 * 1024)
#define ADMIN_CONNECTIONS_MAX 64
#define TICK_NS (200 * NS_PER_MS) /* bounds what a power cut can take from the journal */
#define DRAIN_LOOK_NS (50 * NS_PER_MS)

struct server {
	const struct settings *settings;
	const struct serve_options *options;
	char *err; /* BOOT_ERROR_MAX bytes */
	struct boot boot;
	struct prices prices;
	struct explain explain;
	struct guards guards;
	struct watch *watch;
	struct notify notify;
	struct ca *ca;
	struct proxy *proxy;
	struct api *api;
	struct loop *loop;
	struct httpd *httpd;
	struct loop_timer *tick, *drain;
	struct addr admin_addr;
	int admin_fd;
	char admin_host[HOST_MAX + 1], public_host[HOST_MAX + 1];
	const char *hosts[66];
	size_t n_hosts;
	char ports_path[PATH_MAX];
	bool draining, cut_short;
	int64_t drain_until_ns;
	struct proxy_config proxy_config;
};

/* --- signals ------------------------------------------------------------------------------------------------------ */

static struct loop *signal_loop;
static _Atomic int ends_asked, reloads_asked;

static void on_signal(int signo)
{
	int saved = errno;

	if (signo == SIGHUP)
		atomic_fetch_add(&reloads_asked, 1);
	else
		atomic_fetch_add(&ends_asked, 1);
	loop_wake(signal_loop);
	errno = saved;
}

static int catch_signals(struct loop *loop)
{
	struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	signal_loop = loop;
	(void)sigemptyset(&act.sa_mask);
	if (sigaction(SIGTERM, &act, NULL) < 0 || sigaction(SIGINT, &act, NULL) < 0 ||
	    sigaction(SIGHUP, &act, NULL) < 0 || sigaction(SIGPIPE, &ignore, NULL) < 0)
		return BUR_IO;
	return BUR_OK;
}

/* --- parts, in the order in which they start ---------------------------------------------------------------------- */

static int fail(struct server *sv, const char *what, int r)
{
	(void)snprintf(sv->err, BOOT_ERROR_MAX, "%s: %s", what, bur_strerror(r));
	return r;
}

static int start_prices(struct server *sv)
{
	sv->prices = (struct prices){.settings = sv->settings, .store = sv->boot.store};
	return prices_load(&sv->prices, sv->err);
}

/* Calls that run keep the book they began with. */
static void use_book(void *ctx, struct price_book *book)
{
	struct server *sv = ctx;

	proxy_set_book(sv->proxy, book);
}

static int load_or_make_ca(struct server *sv, const char *dir)
{
	char why[256] = "";
	int r = ca_load(dir, LEAF_CACHE_MAX, &sv->ca, why, sizeof(why));

	if (r == BUR_NOTFOUND) {
		r = ca_create(dir, sv->settings->ca_hosts, sv->settings->n_ca_hosts, false, why, sizeof(why));
		if (r == BUR_OK) {
			log_msg(LOG_INFO, "ca.created", "made a certificate authority in %s", dir);
			r = ca_load(dir, LEAF_CACHE_MAX, &sv->ca, why, sizeof(why));
		}
	}
	if (r < 0)
		(void)snprintf(sv->err, BOOT_ERROR_MAX, "certificate authority: %s", why[0] ? why : bur_strerror(r));
	return r;
}

/* Hosts that came with a newer version or a changed configuration. */
static void warn_uncovered(const struct server *sv)
{
	const char *first = NULL;
	size_t n = 0;

	for (size_t i = 0; i < sv->settings->n_ca_hosts; i++)
		if (!ca_covers(sv->ca, sv->settings->ca_hosts[i])) {
			first = first ? first : sv->settings->ca_hosts[i];
			n++;
		}
	if (n > 0)
		log_msg(LOG_WARN, "ca.host",
			"the certificate authority may not sign for %s and %zu other hosts, so CONNECT to them is "
			"refused; `bursar ca init --force` makes a new one, which clients must then trust",
			first, n - 1);
}

static int start_ca(struct server *sv)
{
	char dir[PATH_MAX];
	int r;

	if (!files_path(dir, sizeof(dir), sv->settings->data_dir, "ca"))
		return fail(sv, "data", BUR_TOOBIG);
	r = load_or_make_ca(sv, dir);
	if (r < 0)
		return r;
	warn_uncovered(sv);
	return BUR_OK;
}

static int start_proxy(struct server *sv, struct access_dirs *access)
{
	struct proxy_deps deps = {.engine = sv->boot.engine,
				  .store = sv->boot.store,
				  .ca = sv->ca,
				  .book = sv->prices.book,
				  .principals = access->callers,
				  .guard = sv->guards.guard,
				  .stops = sv->guards.stops};
	char why[256] = "";
	int r;

	/* The key of vendor-key fingerprints: the same for ever, or principals would change their names. */
	r = files_secret(sv->settings->data_dir, "fingerprint.key", sv->proxy_config.fingerprint_secret,
			 sizeof(sv->proxy_config.fingerprint_secret), sv->err, BOOT_ERROR_MAX);
	if (r < 0)
		return r;
	sv->proxy_config.dial.deny = &sv->admin_addr;
	sv->proxy_config.dial.n_deny = 1;
	r = proxy_new(&sv->proxy_config, &deps, &sv->proxy, why, sizeof(why));
	if (r < 0)
		(void)snprintf(sv->err, BOOT_ERROR_MAX, "%s", why[0] ? why : bur_strerror(r));
	if (r == BUR_OK) {
		sv->prices.use = use_book;
		sv->prices.use_ctx = sv;
		sv->guards.proxy = sv->proxy;
	}
	return r;
}

static void wake(void *ctx)
{
	struct server *sv = ctx;

	loop_wake(sv->loop);
}

static int start_guards(struct server *sv)
{
	int r;

	guards_init(&sv->guards, sv->boot.store, sv->boot.engine, sv->settings);
	r = guards_start(&sv->guards, wake, sv);
	return r < 0 ? fail(sv, "stops and breakers", r) : BUR_OK;
}

/* --- the admin side ----------------------------------------------------------------------------------------------- */

static uint16_t port_of(const struct addr *a)
{
	return ntohs(a->sa.sa_family == AF_INET6 ? a->in6.sin6_port : a->in.sin_port);
}

static int bind_admin(struct server *sv)
{
	const char *text = sv->settings->admin_listen;
	enum addr_class class;
	int r = listen_open(text, &sv->admin_fd, &sv->admin_addr);

	if (r < 0) {
		(void)snprintf(sv->err, BOOT_ERROR_MAX, "admin.listen %s: %s", text,
			       r == BUR_BUSY ? "the port is taken by another program" : bur_strerror(r));
		return r;
	}
	class = addr_classify(&sv->admin_addr.sa);
	if (class != ADDR_LOOPBACK)
		log_msg(LOG_WARN, "serve.admin",
			"admin.listen %s is not a loopback address: tokens cross the network in "
			"the clear",
			text);
	return BUR_OK;
}

/* Links in messages lead to us under this name, so it is one of ours. */
static bool public_host(const char *url, char dst[HOST_MAX + 1])
{
	const char *begin = url ? strstr(url, "://") : NULL;
	struct authority a;

	if (!begin || authority_parse(slice_mem(begin + 3, strcspn(begin + 3, "/?#")), 443, &a) < 0)
		return false;
	(void)snprintf(dst, HOST_MAX + 1, "%s", a.host);
	return true;
}

static void collect_hosts(struct server *sv)
{
	const struct settings *s = sv->settings;
	char text[ADDR_TEXT_MAX];
	struct authority a;

	for (size_t i = 0; i < s->n_admin_hosts && sv->n_hosts < ARRAY_LEN(sv->hosts) - 2; i++)
		sv->hosts[sv->n_hosts++] = s->admin_hosts[i];
	if (public_host(s->alerts.public_url, sv->public_host))
		sv->hosts[sv->n_hosts++] = sv->public_host;
	if (authority_parse(slice_of(addr_format(&sv->admin_addr.sa, text)), 0, &a) < 0)
		return;
	(void)snprintf(sv->admin_host, sizeof(sv->admin_host), "%s", a.host);
	sv->hosts[sv->n_hosts++] = sv->admin_host;
}

static void use_keys(void *ctx, struct principal_dir *callers)
{
	struct server *sv = ctx;

	proxy_set_principals(sv->proxy, callers);
}

static void cut_over(void *ctx, const char *budget_name)
{
	struct server *sv = ctx;

	proxy_cut_over(sv->proxy, slice_of(budget_name));
}

static size_t read_gauges(void *ctx, struct api_gauge dst[API_GAUGES_MAX])
{
	struct server *sv = ctx;
	struct proxy_counts c;
	uint64_t cached, minted;
	size_t n = 0;

	proxy_counts(sv->proxy, &c);
	ca_counts(sv->ca, &cached, &minted);
	dst[n++] =
	    (struct api_gauge){"bursar_connections", "client connections open", false, (int64_t)c.active_connections};
	dst[n++] = (struct api_gauge){"bursar_calls_active", "calls running", false, (int64_t)c.active_calls};
	dst[n++] = (struct api_gauge){"bursar_streams_draining", "answers read on without a client", false,
				      (int64_t)c.draining_streams};
	dst[n++] = (struct api_gauge){"bursar_upstream_idle", "idle connections to vendors", false, (int64_t)c.pooled};
	dst[n++] =
	    (struct api_gauge){"bursar_leaf_certificates", "leaf certificates in memory", false, (int64_t)cached};
	dst[n++] = (struct api_gauge){"bursar_leaf_certificates_minted_total", "leaf certificates minted", true,
				      (int64_t)minted};
	return n;
}

static int start_admin(struct server *sv)
{
	struct httpd_config config = {.max_body_bytes = ADMIN_BODY_MAX,
				      .max_connections = ADMIN_CONNECTIONS_MAX,
				      .head_timeout_ns = 10 * NS_PER_S,
				      .idle_timeout_ns = 60 * NS_PER_S};
	struct api_deps deps = {.store = sv->boot.store,
				.engine = sv->boot.engine,
				.budgets = sv->boot.set,
				.use_keys = use_keys,
				.read_gauges = read_gauges,
				.cut_over = cut_over,
				.ctx = sv,
				.prices = prices_api,
				.prices_ctx = &sv->prices,
				.explain = explain_api,
				.explain_ctx = &sv->explain,
				.guards = guards_api,
				.guards_ctx = &sv->guards,
				.guard = sv->guards.guard,
				.alerts = sv->notify.alerts,
				.version = BURSAR_VERSION,
				.monitoring = true,
				.ca_pem = ca_pem(sv->ca),
				.hosts = sv->hosts};
	int r;

	sv->explain = (struct explain){.settings = sv->settings,
				       .store = sv->boot.store,
				       .engine = sv->boot.engine,
				       .prices = &sv->prices,
				       .guards = &sv->guards};
	collect_hosts(sv);
	deps.n_hosts = sv->n_hosts;
	sv->api = api_new(&deps);
	if (!sv->api)
		return fail(sv, "admin API", BUR_NOMEM);
	r = api_load_keys(sv->api);
	if (r < 0)
		return fail(sv, "cannot read the keys", r);
	sv->httpd = httpd_new(sv->loop, &config, api_handle, sv->api);
	if (!sv->httpd)
		return fail(sv, "admin listener", BUR_NOMEM);
	r = httpd_listen(sv->httpd, sv->admin_fd);
	if (r == BUR_OK)
		sv->admin_fd = -1; /* the server's from here on */
	return r < 0 ? fail(sv, "admin listener", r) : BUR_OK;
}

/* --- telling where we are ----------------------------------------------------------------------------------------- */

static int write_ports(struct server *sv)
{
	struct buf b;
	int r = 0;

	if (!files_path(sv->ports_path, sizeof(sv->ports_path), sv->settings->data_dir, "ports.json"))
		return fail(sv, "data", BUR_TOOBIG);
	buf_init(&b, 4096);
	r |= buf_printf(&b, "{\"proxy\":[");
	for (size_t i = 0; i < sv->settings->proxy.n_listen; i++)
		r |= buf_printf(&b, "%s%u", i ? "," : "", port_of(proxy_address(sv->proxy, i)));
	r |= buf_printf(&b, "],\"admin\":%u,\"admin_host\":\"%s\",\"pid\":%ld}\n", port_of(&sv->admin_addr),
			sv->admin_host, (long)getpid());
	if (r == BUR_OK)
		r = files_write(sv->ports_path, buf_slice(&b).p, buf_len(&b), 0644);
	buf_done(&b);
	return r < 0 ? fail(sv, "cannot write ports.json", r) : BUR_OK;
}

static void print_ready_line(struct server *sv)
{
	char text[ADDR_TEXT_MAX];

	printf("{\"event\":\"serve.ready\",\"version\":\"%s\",\"pid\":%ld,\"proxy\":[", BURSAR_VERSION, (long)getpid());
	for (size_t i = 0; i < sv->settings->proxy.n_listen; i++)
		printf("%s\"%s\"", i ? "," : "", addr_format(&proxy_address(sv->proxy, i)->sa, text));
	printf("],\"admin\":\"%s\"}\n", addr_format(&sv->admin_addr.sa, text));
}

static void print_banner(struct server *sv)
{
	char text[ADDR_TEXT_MAX], admin[ADDR_TEXT_MAX];

	(void)addr_format(&proxy_address(sv->proxy, 0)->sa, text);
	printf("bursar %s\n", BURSAR_VERSION);
	for (size_t i = 0; i < sv->settings->proxy.n_listen; i++)
		printf("  proxy and gateway  http://%s\n", addr_format(&proxy_address(sv->proxy, i)->sa, admin));
	printf("  admin              http://%s\n", addr_format(&sv->admin_addr.sa, admin));
	printf("  ledger             %s\n", sv->settings->data_dir);
	printf("\n  SDKs with a base URL   export OPENAI_BASE_URL=http://%s/openai/v1\n", text);
	printf("  everything else        eval \"$(bursar env)\"\n");
	printf("  watch the budgets      bursar budgets\n\n");
}

static void tell_ready(struct server *sv)
{
	char text[ADDR_TEXT_MAX];

	if (isatty(STDOUT_FILENO))
		print_banner(sv);
	else
		print_ready_line(sv);
	(void)fflush(stdout);
	log_msg(LOG_INFO, "serve.ready", "bursar %s listens on %s, %zu budgets, %zu models with a price",
		BURSAR_VERSION, addr_format(&proxy_address(sv->proxy, 0)->sa, text), sv->settings->n_budgets,
		price_book_models(sv->prices.book));
}

static void tell_recovery(const struct recovery_report *r)
{
	struct log_line line;

	if (!r->unclean)
		return;
	log_begin(&line, LOG_WARN, "store.recovered");
	log_int(&line, "voided", r->voided);
	log_int(&line, "settled", r->settled);
	log_int(&line, "charged_worst", r->charged_worst);
	log_int(&line, "quarantined", r->quarantined);
	log_usd(&line, "charged_usd", r->charged_nanousd);
	log_end(&line);
}

/* --- the control loop --------------------------------------------------------------------------------------------- */

static void tell_clock(struct server *sv)
{
	static const char *const words[] = {
	    [CLOCK_WENT_BACK] = "the clock went back; for budgets time stands still until it has caught up",
	    [CLOCK_JUMPED] =
		"the clock jumped ahead; budgets wait a minute before they believe it, so no window ends yet",
	    [CLOCK_RETURNED] = "the clock's jump was taken back; no window was ended by it",
	    [CLOCK_ADOPTED] = "the clock's jump has stood for a minute and holds for budgets now",
	};
	enum clock_event event = engine_time_event(sv->boot.engine);

	if (event != CLOCK_STEADY)
		log_msg(LOG_WARN, "clock.jump", "%s", words[event]);
}

static void on_tick(void *arg)
{
	struct server *sv = arg;

	tell_clock(sv);
	store_tick(sv->boot.store);
	guards_tick(&sv->guards);
	watch_tick(sv->watch);
	notify_tick(&sv->notify);
	proxy_tick(sv->proxy);
	log_flush();
	loop_timer_set(sv->tick, TICK_NS);
}

static void on_drain_look(void *arg)
{
	struct server *sv = arg;
	size_t left = proxy_active(sv->proxy);

	if (left > 0 && clock_mono_ns() < sv->drain_until_ns) {
		loop_timer_set(sv->drain, DRAIN_LOOK_NS);
		return;
	}
	if (left > 0)
		log_msg(LOG_WARN, "serve.drain", "%zu calls did not end in time and are cut off", left);
	loop_stop(sv->loop);
}

static void begin_drain(struct server *sv)
{
	sv->draining = true;
	sv->drain_until_ns = clock_mono_ns() + sv->settings->drain_timeout_ns;
	log_msg(LOG_INFO, "serve.drain", "ending: no new calls, %zu running may finish", proxy_active(sv->proxy));
	api_set_draining(sv->api, true);
	proxy_drain(sv->proxy);
	loop_timer_set(sv->drain, DRAIN_LOOK_NS);
}

static void on_wake(void *arg)
{
	struct server *sv = arg;
	int ends = atomic_load(&ends_asked);

	guards_tick(&sv->guards);
	if (atomic_exchange(&reloads_asked, 0) > 0)
		log_msg(LOG_WARN, "serve.reload",
			"this version cannot reload its configuration while running; restart it to apply changes");
	if (ends > 0 && !sv->draining)
		begin_drain(sv);
	if (ends > 1 && !sv->cut_short) {
		sv->cut_short = true;
		log_msg(LOG_WARN, "serve.drain", "asked twice: running calls are cut off");
		loop_stop(sv->loop);
	}
}

static int start_loop(struct server *sv)
{
	sv->loop = loop_new();
	if (!sv->loop)
		return fail(sv, "control loop", BUR_NOMEM);
	sv->tick = loop_timer_new(sv->loop, on_tick, sv);
	sv->drain = loop_timer_new(sv->loop, on_drain_look, sv);
	if (!sv->tick || !sv->drain)
		return fail(sv, "control loop", BUR_NOMEM);
	loop_on_wake(sv->loop, on_wake, sv);
	if (catch_signals(sv->loop) < 0)
		return fail(sv, "signals", BUR_IO);
	return BUR_OK;
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

static int open_log(const struct settings *s, char *err)
{
	int fd = STDERR_FILENO;
	char text[128];

	if (s->log_file) {
		fd = open(s->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0) {
			(void)snprintf(err, BOOT_ERROR_MAX, "log.file %.200s: %s", s->log_file,
				       strerror_r(errno, text, sizeof(text)));
			return BUR_IO;
		}
	}
	log_init(fd, s->log_level);
	return BUR_OK;
}

/* A correction of the ledger moves the counter that it concerns. One that is not in memory is read when it is needed.
 */
static void post(void *ctx, uint64_t meter_uid, int64_t win_start, int64_t delta)
{
	struct server *sv = ctx;
	int r = engine_post(sv->boot.engine, meter_uid, win_start, delta);

	guard_cost_spent(sv->guards.guard, meter_uid, delta, clock_wall_ns() / NS_PER_S);
	if (r < 0 && r != BUR_NOTFOUND)
		log_msg(LOG_ERROR, "budget.overflow", "a correction does not fit its counter; restart to read it anew");
}

static int start_calls(struct server *sv)
{
	const struct store_hooks hooks = {.post = post, .ctx = sv};
	struct access_dirs access = {0};
	int r = firstrun_keys(sv->boot.store, sv->settings->data_dir, sv->err);

	if (r == BUR_OK) {
		r = access_load(sv->boot.store, clock_wall_ns() / NS_PER_S, &access);
		if (r < 0)
			return fail(sv, "cannot read the keys", r);
		r = start_proxy(sv, &access);
		access_done(&access);
	}
	if (r == BUR_OK)
		r = notify_start(&sv->notify, sv->settings, &sv->boot, sv->loop, sv->err);
	if (r == BUR_OK)
		r = start_admin(sv);
	if (r < 0)
		return r;
	r = restore_settle(sv->boot.store, sv->boot.set, sv->boot.engine, &sv->boot.restored);
	if (r < 0)
		return fail(sv, "cannot note the limits of the budgets", r);
	store_set_hooks(sv->boot.store, &hooks);
	r = store_start(sv->boot.store);
	if (r < 0)
		return fail(sv, "cannot start the ledger's writer", r);
	sv->watch = watch_new(sv->boot.store, sv->boot.engine);
	if (!sv->watch)
		return fail(sv, "cannot read the ledger", BUR_NOMEM);
	r = proxy_start(sv->proxy);
	return r < 0 ? fail(sv, "cannot start the workers", r) : BUR_OK;
}

/* Everything that may fail, before the first call is taken. */
static int start(struct server *sv, int *ret_exit)
{
	struct settings with_verify = *sv->settings;
	int r;

	with_verify.store.verify_all = sv->options->verify;
	r = boot_open(&with_verify, &sv->boot, ret_exit, sv->err);
	if (r < 0)
		return r;
	*ret_exit = EXIT_FAILED;
	tell_recovery(&sv->boot.recovery);
	r = start_prices(sv);
	if (r == BUR_OK)
		r = start_ca(sv);
	if (r == BUR_OK)
		r = start_loop(sv);
	if (r == BUR_OK)
		r = start_guards(sv);
	if (r == BUR_OK)
		r = bind_admin(sv);
	if (r == BUR_OK)
		r = start_calls(sv);
	if (r == BUR_OK)
		r = write_ports(sv);
	return r;
}

/* In reverse; every part may be missing. Returns false when a hold leaked. */
static bool stop(struct server *sv)
{
	size_t open_holds = 0;

	if (sv->ports_path[0])
		(void)unlink(sv->ports_path);
	httpd_free(sv->httpd);
	proxy_free(sv->proxy); /* ends and settles what is left */
	api_free(sv->api);
	if (sv->boot.engine)
		open_holds = engine_open_holds(sv->boot.engine);
	sv->guards.proxy = NULL;
	guards_tick(&sv->guards); /* what happened with the last calls */
	notify_stop(&sv->notify);
	watch_free(sv->watch);
	boot_close(&sv->boot);
	guards_done(&sv->guards); /* the writer is done: its last corrections may be told here */
	if (open_holds > 0)
		log_msg(LOG_ERROR, "serve.holds", "%zu holds were left open; please report this", open_holds);
	ca_free(sv->ca);
	prices_done(&sv->prices);
	loop_timer_free(sv->tick);
	loop_timer_free(sv->drain);
	loop_free(sv->loop);
	if (sv->admin_fd >= 0)
		(void)close(sv->admin_fd);
	bytes_wipe(sv->proxy_config.fingerprint_secret, sizeof(sv->proxy_config.fingerprint_secret));
	return open_holds == 0;
}

int serve_run(const struct settings *s, const struct serve_options *options)
{
	char err[BOOT_ERROR_MAX] = "";
	struct server sv = {.settings = s, .options = options, .err = err, .admin_fd = -1, .proxy_config = s->proxy};
	int exit_code = EXIT_FAILED;

	if (open_log(s, err) < 0) {
		(void)fprintf(stderr, "bursar: %s\n", err);
		return EXIT_USAGE;
	}
	process_harden();
	process_raise_descriptors(s->proxy.limits.max_connections);
	if (start(&sv, &exit_code) == BUR_OK) {
		tell_ready(&sv);
		loop_timer_set(sv.tick, TICK_NS);
		loop_run(sv.loop);
		exit_code = EXIT_OK;
	} else {
		log_msg(LOG_ERROR, "serve.failed", "%s", err);
		if (s->log_file || isatty(STDERR_FILENO))
			(void)fprintf(stderr, "bursar: %s\n", err);
	}
	if (!stop(&sv))
		exit_code = EXIT_FAILED;
	if (exit_code == EXIT_OK)
		log_msg(LOG_INFO, "serve.ended", "ended in good order");
	log_flush();
	return exit_code;
}
