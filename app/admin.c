#include "app/admin.h"

#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/api.h"
#include "app/boot.h"
#include "app/explain.h"
#include "app/files.h"
#include "app/firstrun.h"
#include "app/guards.h"
#include "app/http.h"
#include "app/notify.h"
#include "app/ports.h"
#include "app/prices.h"
#include "app/settings.h"
#include "app/version.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "net/loop.h"
#include "store/audit.h"

#define TOKEN_MAX_BYTES 256
#define PAUSE_US 100000
#define FINISH_NS (20 * NS_PER_S)

static int say(const struct cmd *cmd, int exit_code, const char *text)
{
	(void)fprintf(stderr, "bursar %s: %s\n", cmd->name, text);
	return exit_code;
}

int admin_query(struct buf *target, const char *name, const char *value)
{
	int r;

	if (!value)
		return BUR_OK;
	r = buf_printf(target, "%c%s=", slice_find(buf_slice(target), '?') == buf_len(target) ? '?' : '&', name);
	for (; *value && r == BUR_OK; value++) {
		bool plain = (*value >= 'a' && *value <= 'z') || (*value >= 'A' && *value <= 'Z') ||
			     (*value >= '0' && *value <= '9') || strchr("-._~", *value);

		r = buf_printf(target, plain ? "%c" : "%%%02X", (unsigned char)*value);
	}
	return r;
}

/* --- in this process ---------------------------------------------------------------------------------------------- */

/* Who changes something without a server: the user of the command line. */
static const char *user_name(char dst[AUDIT_ACTOR_MAX + 1])
{
	char mem[4096];
	struct passwd who, *found = NULL;

	if (getpwuid_r(getuid(), &who, mem, sizeof(mem), &found) == 0 && found && found->pw_name[0])
		(void)snprintf(dst, AUDIT_ACTOR_MAX + 1, "%.*s (command line)", AUDIT_ACTOR_MAX - 20, found->pw_name);
	else
		(void)snprintf(dst, AUDIT_ACTOR_MAX + 1, "uid %lu (command line)", (unsigned long)getuid());
	return dst;
}

/* All that answers a question without a server. */
struct here {
	struct boot boot;
	struct prices prices;
	struct guards guards;
	struct explain explain;
	struct loop *loop;
	struct notify notify;
	struct api *api;
	bool worked; /* messages may be under way */
	char actor[AUDIT_ACTOR_MAX + 1];
};

/* Only questions about alerts need them. What waits to be told is told by the way. */
static int open_alerts(const struct cmd *cmd, struct here *h, const struct settings *s)
{
	char err[BOOT_ERROR_MAX] = "out of memory";

	h->loop = loop_new();
	if (!h->loop || notify_start(&h->notify, s, &h->boot, h->loop, err) < 0)
		return say(cmd, EXIT_FAILED, err);
	return EXIT_OK;
}

static void here_close(struct here *h)
{
	api_free(h->api);
	notify_stop(&h->notify);
	if (h->loop)
		loop_free(h->loop);
	prices_done(&h->prices);
	guards_done(&h->guards);
}

static int here_open(const struct cmd *cmd, const struct settings *s, bool with_alerts, struct here *h)
{
	struct api_deps deps = {.store = h->boot.store,
				.version = BURSAR_VERSION,
				.budgets = h->boot.set,
				.engine = h->boot.engine,
				.prices = prices_api,
				.prices_ctx = &h->prices,
				.explain = explain_api,
				.explain_ctx = &h->explain,
				.guards = guards_api,
				.guards_ctx = &h->guards};

	h->prices = (struct prices){.settings = s, .store = h->boot.store};
	h->explain = (struct explain){.settings = s,
				      .store = h->boot.store,
				      .engine = h->boot.engine,
				      .prices = &h->prices,
				      .guards = &h->guards};
	guards_init(&h->guards, h->boot.store, h->boot.engine, s);
	if (with_alerts && open_alerts(cmd, h, s) != EXIT_OK) {
		here_close(h);
		return EXIT_FAILED;
	}
	deps.alerts = h->notify.alerts;
	h->api = api_new(&deps);
	if (!h->api || api_load_keys(h->api) < 0 || guards_load(&h->guards) < 0) {
		here_close(h);
		return say(cmd, EXIT_FAILED, "cannot read the keys and stops");
	}
	(void)user_name(h->actor);
	return EXIT_OK;
}

static int here_ask(const struct cmd *cmd, struct here *h, const struct admin_question *q, int *ret_status,
		    struct buf *out)
{
	struct api_call call = {
	    .method = slice_of(q->method), .body = q->body, .content_type = SLICE("application/json")};
	struct arena arena;
	int r;

	arena_init(&arena, 1024 * 1024);
	call.arena = &arena;
	call.actor = slice_of(h->actor);
	(void)slice_cut(slice_of(q->target), '?', &call.path, &call.query);
	buf_init(&call.out, ADMIN_ANSWER_MAX);
	api_run(h->api, &call, true);
	*ret_status = call.status;
	r = buf_append_slice(out, buf_slice(&call.out));
	bytes_wipe(call.out.mem, call.out.mem ? call.out.cap : 0);
	buf_done(&call.out);
	arena_reset(&arena);
	return r < 0 ? say(cmd, EXIT_FAILED, bur_strerror(r)) : EXIT_OK;
}

static void on_pause_over(void *arg)
{
	*(bool *)arg = true;
}

/* The work of a server for a moment, as far as alerts need it. */
static void here_work(struct here *h)
{
	bool over = false;
	struct loop_timer *timer = h->loop ? loop_timer_new(h->loop, on_pause_over, &over) : NULL;

	if (!timer) {
		(void)usleep(PAUSE_US);
		return;
	}
	h->worked = true;
	loop_timer_set(timer, PAUSE_US * 1000);
	if (h->notify.alerts)
		alerts_tick(h->notify.alerts);
	while (!over)
		loop_turn(h->loop, true);
	loop_timer_free(timer);
}

/* --- over the wire ------------------------------------------------------------------------------------------------ */

/* $BURSAR_TOKEN, else the token that the server wrote for us. free() it. */
static char *load_token(const char *data_dir)
{
	const char *env = getenv("BURSAR_TOKEN");
	char path[PATH_MAX], *text = NULL;
	size_t n;

	if (env && env[0] != '\0')
		return strdup(env);
	if (!files_path(path, sizeof(path), data_dir, ADMIN_TOKEN_FILE) ||
	    files_read(path, TOKEN_MAX_BYTES, &text, &n) < 0)
		return NULL;
	text[strcspn(text, "\r\n")] = '\0';
	return text;
}

static int ask_server(const struct cmd *cmd, const char *data_dir, const struct admin_question *q, int *ret_status,
		      struct buf *out)
{
	struct http_question wire;
	struct ports ports;
	char *token;
	int r;

	if (ports_read(data_dir, &ports) < 0)
		return say(cmd, EXIT_NO_SERVER,
			   "a server uses the data folder but does not say where it listens; "
			   "it may be starting or ending");
	token = load_token(data_dir);
	if (!token)
		return say(cmd, EXIT_FAILED, "cannot read admin.token in the data folder; set BURSAR_TOKEN");
	wire = (struct http_question){.host = ports.admin_host,
				      .port = ports.admin,
				      .method = q->method,
				      .target = q->target,
				      .bearer = slice_of(token),
				      .body = q->body};
	r = http_ask(&wire, ret_status, out);
	bytes_wipe(token, strlen(token));
	free(token);
	return r < 0 ? say(cmd, EXIT_NO_SERVER, "the server does not answer on its admin listener") : EXIT_OK;
}

/* --- either ------------------------------------------------------------------------------------------------------- */

/* How a question is answered: here, or by the server (here is NULL). */
struct way {
	const struct cmd *cmd;
	const char *data_dir;
	struct here *here;
};

static int ask(const struct way *w, const struct admin_question *q, int *ret_status, struct buf *out)
{
	return w->here ? here_ask(w->cmd, w->here, q, ret_status, out)
		       : ask_server(w->cmd, w->data_dir, q, ret_status, out);
}

struct dialog {
	bool (*again)(void *ctx, int status, struct slice answer, struct admin_question *next);
	void *ctx;
};

static int talk(const struct way *w, const struct admin_question *first, const struct dialog *d)
{
	struct admin_question q = *first;
	int status = 0, r;

	for (;;) {
		struct buf out;
		bool more;

		buf_init(&out, ADMIN_ANSWER_MAX);
		r = ask(w, &q, &status, &out);
		more = r == EXIT_OK && d->again(d->ctx, status, buf_slice(&out), &q);
		bytes_wipe(out.mem, out.mem ? out.cap : 0); /* it may have held a new key */
		buf_done(&out);
		if (!more)
			return r;
		if (w->here)
			here_work(w->here);
		else
			(void)usleep(PAUSE_US);
	}
}

/* What was begun by the way is brought to its end, or it would be sent again by the next server. */
static void here_finish(struct here *h)
{
	int64_t until_ns = clock_mono_ns() + FINISH_NS;

	while (h->worked && h->notify.alerts && !alerts_idle(h->notify.alerts) && clock_mono_ns() < until_ns)
		here_work(h);
}

static int find_way(const struct cmd *cmd, const struct settings *s, const struct admin_question *q,
		    const struct dialog *d)
{
	bool with_alerts = slice_starts(slice_of(q->target), SLICE("/api/v1/alerts"));
	struct way w = {.cmd = cmd, .data_dir = s->data_dir};
	char err[BOOT_ERROR_MAX];
	struct here here = {.loop = NULL};
	int exit_code, r;

	if (q->needs_data && access(s->data_dir, F_OK) != 0) {
		(void)snprintf(err, sizeof(err), "there is no data in %.200s yet; `bursar serve` makes it",
			       s->data_dir);
		return say(cmd, EXIT_FAILED, err);
	}
	if (boot_open(s, &here.boot, &exit_code, err) < 0)
		return exit_code == EXIT_BUSY ? talk(&w, q, d) : say(cmd, exit_code, err);
	r = here_open(cmd, s, with_alerts, &here);
	if (r == EXIT_OK) {
		w.here = &here;
		r = talk(&w, q, d);
		here_finish(&here);
		here_close(&here);
	}
	boot_close(&here.boot);
	return r;
}

int admin_dialog(const struct cmd *cmd, const struct admin_question *q,
		 bool (*again)(void *ctx, int status, struct slice answer, struct admin_question *next), void *ctx)
{
	const struct dialog d = {again, ctx};
	struct settings *s;
	int r = cmd_settings(cmd, q->config, &s);

	if (r != EXIT_OK)
		return r;
	log_init(STDERR_FILENO, LOG_ERROR);
	r = find_way(cmd, s, q, &d);
	settings_free(s);
	return r;
}

struct once {
	int *ret_status;
	struct buf *out;
	int r;
};

static bool take_answer(void *ctx, int status, struct slice answer, struct admin_question *next)
{
	struct once *once = ctx;

	(void)next;
	*once->ret_status = status;
	once->r = buf_append_slice(once->out, answer);
	return false;
}

int admin_ask(const struct cmd *cmd, const struct admin_question *q, int *ret_status, struct buf *out)
{
	struct once once = {ret_status, out, BUR_OK};
	int r = admin_dialog(cmd, q, take_answer, &once);

	if (r == EXIT_OK && once.r < 0)
		return say(cmd, EXIT_FAILED, bur_strerror(once.r));
	return r;
}
