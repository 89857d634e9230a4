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
#include "app/ports.h"
#include "app/prices.h"
#include "app/settings.h"
#include "app/version.h"
#include "base/error.h"
#include "base/log.h"
#include "store/audit.h"

#define TOKEN_MAX_BYTES 256

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

static int answer_here(const struct cmd *cmd, const struct settings *s, struct boot *boot,
		       const struct admin_question *q, int *ret_status, struct buf *out)
{
	struct prices prices = {.settings = s, .store = boot->store};
	struct guards guards;
	struct explain explain = {
	    .settings = s, .store = boot->store, .engine = boot->engine, .prices = &prices, .guards = &guards};
	struct api_deps deps = {.store = boot->store,
				.version = BURSAR_VERSION,
				.budgets = boot->set,
				.engine = boot->engine,
				.prices = prices_api,
				.prices_ctx = &prices,
				.explain = explain_api,
				.explain_ctx = &explain,
				.guards = guards_api,
				.guards_ctx = &guards};
	struct api *api = api_new(&deps);
	char actor[AUDIT_ACTOR_MAX + 1];
	struct api_call call = {
	    .method = slice_of(q->method), .body = q->body, .content_type = SLICE("application/json")};
	struct arena arena;
	int r;

	guards_init(&guards, boot->store, boot->engine, s);
	if (!api || api_load_keys(api) < 0 || guards_load(&guards) < 0) {
		guards_done(&guards);
		api_free(api);
		return say(cmd, EXIT_FAILED, "cannot read the keys and stops");
	}
	arena_init(&arena, 1024 * 1024);
	call.arena = &arena;
	call.actor = slice_of(user_name(actor));
	(void)slice_cut(slice_of(q->target), '?', &call.path, &call.query);
	buf_init(&call.out, ADMIN_ANSWER_MAX);
	api_run(api, &call, true);
	*ret_status = call.status;
	r = buf_append_slice(out, buf_slice(&call.out));
	buf_done(&call.out);
	arena_reset(&arena);
	api_free(api);
	prices_done(&prices);
	guards_done(&guards);
	return r < 0 ? say(cmd, EXIT_FAILED, bur_strerror(r)) : EXIT_OK;
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

static int ask(const struct cmd *cmd, const struct settings *s, const struct admin_question *q, int *ret_status,
	       struct buf *out)
{
	char err[BOOT_ERROR_MAX];
	struct boot boot;
	int exit_code, r;

	if (q->needs_data && access(s->data_dir, F_OK) != 0) {
		(void)snprintf(err, sizeof(err), "there is no data in %.200s yet; `bursar serve` makes it",
			       s->data_dir);
		return say(cmd, EXIT_FAILED, err);
	}
	if (boot_open(s, &boot, &exit_code, err) < 0)
		return exit_code == EXIT_BUSY ? ask_server(cmd, s->data_dir, q, ret_status, out)
					      : say(cmd, exit_code, err);
	r = answer_here(cmd, s, &boot, q, ret_status, out);
	boot_close(&boot);
	return r;
}

int admin_ask(const struct cmd *cmd, const struct admin_question *q, int *ret_status, struct buf *out)
{
	struct settings *s;
	int r = cmd_settings(cmd, q->config, &s);

	if (r != EXIT_OK)
		return r;
	log_init(STDERR_FILENO, LOG_ERROR);
	r = ask(cmd, s, q, ret_status, out);
	settings_free(s);
	return r;
}
