/* bursar demo: a whole bursar, a simulated vendor and calls until the money is gone; no key, no network. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "app/args.h"
#include "app/files.h"
#include "app/http.h"
#include "app/ports.h"
#include "base/amount.h"
#include "base/error.h"

#define BAR_WIDTH 40
#define START_TRIES 200 /* of 50 ms */
#define BUDGET "demo"

struct demo {
	const struct cmd *cmd;
	unsigned long long calls;
	int64_t limit_nanousd;
	char dir[64];
	char self[PATH_MAX], config[PATH_MAX], data[PATH_MAX];
	char *key, *token;
	pid_t vendor, server;
	uint16_t vendor_port;
	struct ports ports;
};

static int say(const struct demo *d, const char *text)
{
	(void)fprintf(stderr, "bursar %s: %s\n", d->cmd->name, text);
	return EXIT_FAILED;
}

/* --- children ----------------------------------------------------------------------------------------------------- */

static int say_errno(const struct demo *d)
{
	char text[128];

	return say(d, strerror_r(errno, text, sizeof(text)));
}

/* stdout and stderr of the child go to DIR/NAME.log; with NULL they are ours. */
static pid_t spawn(const struct demo *d, const char *const *argv, const char *log_name)
{
	char path[PATH_MAX];
	pid_t pid = fork();
	int fd;

	if (pid != 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* nobody stays behind when the demo is killed */
	if (log_name) {
		fd = files_path(path, sizeof(path), d->dir, log_name) ? open(path, O_WRONLY | O_CREAT | O_APPEND, 0600)
								      : -1;
		if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
			_exit(EXIT_FAILED);
	}
	(void)execv(argv[0], (char *const *)(uintptr_t)argv);
	_exit(127);
}

static int finish(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return EXIT_FAILED;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILED;
}

static void stop(pid_t *pid)
{
	if (*pid <= 0)
		return;
	(void)kill(*pid, SIGTERM);
	(void)finish(*pid);
	*pid = 0;
}

static bool ended(pid_t pid)
{
	return waitpid(pid, NULL, WNOHANG) != 0;
}

static void nap(void)
{
	(void)nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
}

/* --- the vendor --------------------------------------------------------------------------------------------------- */

static bool find_vendor(const struct demo *d, char dst[PATH_MAX])
{
	static const char *const names[] = {"bursar-vendor", "vendor", "tests/vendor/vendor"};
	char self[PATH_MAX];

	(void)snprintf(self, sizeof(self), "%s", d->self);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char dir[PATH_MAX];

		(void)snprintf(dir, sizeof(dir), "%s", self);
		if (files_path(dst, PATH_MAX, dirname(dir), names[i]) && access(dst, X_OK) == 0)
			return true;
	}
	return false;
}

/* "plain" of the vendor's ports.json, 0 while it is not there. */
static uint16_t vendor_port(const char *dir)
{
	char path[PATH_MAX], *text = NULL;
	json_int_t port;
	json_t *o;
	size_t n;

	if (!files_path(path, sizeof(path), dir, "ports.json") || files_read(path, 4096, &text, &n) < 0)
		return 0;
	o = json_loadb(text, n, 0, NULL);
	port = json_integer_value(json_object_get(o, "plain"));
	json_decref(o);
	free(text);
	return port > 0 && port <= 65535 ? (uint16_t)port : 0;
}

static int start_vendor(struct demo *d)
{
	char program[PATH_MAX], dir[PATH_MAX];
	const char *argv[] = {program, "--dir", dir, NULL};

	if (!find_vendor(d, program))
		return say(d, "the simulated vendor is not beside this program; build it with `make vendor`");
	if (!files_path(dir, sizeof(dir), d->dir, "vendor") || mkdir(dir, 0700) < 0)
		return say_errno(d);
	d->vendor = spawn(d, argv, "vendor.log");
	for (int i = 0; i < START_TRIES && d->vendor > 0; i++) {
		d->vendor_port = vendor_port(dir);
		if (d->vendor_port)
			return EXIT_OK;
		if (ended(d->vendor)) {
			d->vendor = 0;
			break;
		}
		nap();
	}
	return say(d, "the simulated vendor did not start");
}

/* --- bursar ------------------------------------------------------------------------------------------------------- */

static int write_config(struct demo *d)
{
	char key_path[PATH_MAX], usd[AMOUNT_TEXT_MAX];
	struct buf b;
	int r;

	if (!files_path(key_path, sizeof(key_path), d->dir, "vendor.key") ||
	    files_write(key_path, "sk-demo\n", 8, 0600) < 0)
		return say(d, "cannot write into the temporary folder");
	buf_init(&b, 65536);
	r = buf_printf(&b,
		       "listen: 127.0.0.1:0\nadmin: {listen: \"127.0.0.1:0\"}\ndata: %s\nworkers: 1\n"
		       "providers:\n  openai: {base_url: \"http://127.0.0.1:%u\", api_key: \"${file:%s}\"}\n"
		       "network: {allow: [127.0.0.0/8]}\n"
		       "storage: {journal_slots: 64, min_free: 1MiB}\n"
		       "budgets:\n  - {name: " BUDGET ", window: total, limit: %s USD}\n",
		       d->data, d->vendor_port, key_path, amount_format_usd(d->limit_nanousd, usd));
	if (r == BUR_OK)
		r = files_write(d->config, buf_slice(&b).p, buf_len(&b), 0600);
	buf_done(&b);
	return r < 0 ? say(d, "cannot write the configuration") : EXIT_OK;
}

static char *read_line(const char *dir, const char *name)
{
	char path[PATH_MAX], *text = NULL;
	size_t n;

	if (!files_path(path, sizeof(path), dir, name) || files_read(path, 4096, &text, &n) < 0)
		return NULL;
	text[strcspn(text, "\r\n")] = '\0';
	return text;
}

static int start_server(struct demo *d)
{
	const char *argv[] = {d->self, "serve", "--config", d->config, NULL};

	d->server = spawn(d, argv, "bursar.log");
	for (int i = 0; i < START_TRIES && d->server > 0; i++) {
		if (ports_read(d->data, &d->ports) == BUR_OK) {
			d->key = read_line(d->data, "first.key");
			d->token = read_line(d->data, "admin.token");
			return d->key && d->token ? EXIT_OK : say(d, "the keys are not where they should be");
		}
		if (ended(d->server)) {
			d->server = 0;
			break;
		}
		nap();
	}
	return say(d, "bursar did not start");
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

static json_t *ask(struct http_question q, int *ret_status)
{
	struct buf out;
	json_t *o = NULL;

	q.host = "127.0.0.1";
	*ret_status = 0;
	buf_init(&out, HTTP_ANSWER_MAX);
	if (http_ask(&q, ret_status, &out) == BUR_OK && buf_len(&out) > 0)
		o = json_loadb(buf_slice(&out).p, buf_len(&out), 0, NULL);
	buf_done(&out);
	return o;
}

/* Spent and limit of the budget in nano-USD. */
static bool read_budget(const struct demo *d, int64_t *ret_spent, int64_t *ret_limit)
{
	int status;
	struct http_question q = {
	    .port = d->ports.admin, .method = "GET", .target = "/api/v1/budgets", .bearer = slice_of(d->token)};
	json_t *o = ask(q, &status);
	const json_t *row = json_array_get(json_object_get(o, "budgets"), 0);
	const char *spent = json_string_value(json_object_get(row, "spent"));
	const char *limit = json_string_value(json_object_get(row, "limit"));
	bool ok = spent && limit && decimal_parse(slice_of(spent), 9, false, ret_spent) == BUR_OK &&
		  decimal_parse(slice_of(limit), 9, false, ret_limit) == BUR_OK && *ret_limit > 0;

	json_decref(o);
	return ok;
}

static void draw(unsigned long long n, int64_t spent, int64_t limit, const char *end)
{
	char bar[BAR_WIDTH + 1], spent_text[AMOUNT_TEXT_MAX], limit_text[AMOUNT_TEXT_MAX];
	size_t full = (size_t)((__int128)spent * BAR_WIDTH / limit);

	full = full > BAR_WIDTH ? BAR_WIDTH : full;
	memset(bar, '.', BAR_WIDTH);
	memset(bar, '#', full);
	bar[BAR_WIDTH] = '\0';
	printf("call %3llu  [%s] %s of %s USD%s", n, bar, amount_format_usd(spent, spent_text),
	       amount_format_usd(limit, limit_text), end);
	(void)fflush(stdout);
}

static void show_refusal(const json_t *answer, int status)
{
	const char *text = json_string_value(json_object_get(json_object_get(answer, "error"), "message"));

	printf("\nrefused with %d before it reached the vendor:\n  %s\n\n", status, text ? text : "");
}

/* The simulated vendor says as many tokens as it is told to; a little different each time, as real traffic is. */
static json_t *call(const struct demo *d, unsigned long long n, int *ret_status)
{
	unsigned long long tokens = 80 + n * 97 % 240;
	char body[512], fields[64];
	struct http_question q = {.port = d->ports.proxy,
				  .method = "POST",
				  .target = "/openai/v1/chat/completions",
				  .bearer = slice_of(d->key)};

	(void)snprintf(fields, sizeof(fields), "x-vendor-out: %llu\r\n", tokens);
	(void)snprintf(body, sizeof(body),
		       "{\"model\":\"gpt-4o\",\"max_tokens\":%llu,\"messages\":[{\"role\":\"user\",\"content\":\"What "
		       "does call number %llu cost?\"}]}",
		       tokens, n);
	q.fields = slice_of(fields);
	q.body = slice_of(body);
	return ask(q, ret_status);
}

static int run_calls(const struct demo *d)
{
	int64_t spent = 0, limit = d->limit_nanousd;
	bool terminal = isatty(STDOUT_FILENO);
	int status = 200;

	for (unsigned long long n = 1; n <= d->calls && status == 200; n++) {
		json_t *answer = call(d, n, &status);

		if (!read_budget(d, &spent, &limit)) {
			json_decref(answer);
			return say(d, "bursar does not answer");
		}
		draw(n, spent, limit, terminal ? "   \r" : "\n");
		if (status != 200)
			show_refusal(answer, status);
		json_decref(answer);
		if (terminal)
			nap();
	}
	if (status == 200)
		printf("\n%llu calls done and the budget is not used up; try --calls or a smaller --limit\n\n",
		       d->calls);
	return status == 200 || status == 402 ? EXIT_OK : say(d, "that answer was not expected");
}

/* --- what was written down ---------------------------------------------------------------------------------------- */

static int show(const struct demo *d, const char *title, const char *command, const char *option, const char *value)
{
	const char *argv[] = {d->self, command, "--config", d->config, option, value, NULL};

	printf("$ bursar %s\n", title);
	(void)fflush(stdout);
	return finish(spawn(d, argv, NULL));
}

static void show_bill(const struct demo *d)
{
	int64_t spent, limit;
	char usd[AMOUNT_TEXT_MAX];
	int status;
	struct http_question q = {.port = d->vendor_port, .method = "GET", .target = "/__bill"};
	json_t *bill = ask(q, &status);
	json_int_t billed = json_integer_value(json_object_get(bill, "nanousd"));

	if (read_budget(d, &spent, &limit) && json_object_get(bill, "nanousd")) {
		printf("\nthe vendor's own bill  %s USD\n", amount_format_usd(billed, usd));
		printf("bursar's ledger        %s USD%s\n", amount_format_usd(spent, usd),
		       spent == billed ? "  equal to the last digit" : "");
	}
	json_decref(bill);
}

/* Rows are written some milliseconds after their call. */
static void wait_written(const struct demo *d)
{
	struct http_question q = {.port = d->ports.admin, .method = "GET", .target = "/health/ready"};

	for (int i = 0; i < START_TRIES; i++) {
		int status;
		json_t *o = ask(q, &status);
		bool done = json_integer_value(json_object_get(o, "journal_slots_used")) == 0;

		json_decref(o);
		if (done)
			return;
		nap();
	}
}

static int run(struct demo *d)
{
	int r = start_vendor(d);

	if (r == EXIT_OK)
		r = write_config(d);
	if (r == EXIT_OK)
		r = start_server(d);
	if (r != EXIT_OK)
		return r;
	printf("a bursar and a simulated vendor run on this machine; the budget `" BUDGET "` is hard\n\n");
	r = run_calls(d);
	if (r != EXIT_OK)
		return r;
	wait_written(d);
	r = show(d, "budgets", "budgets", NULL, NULL);
	printf("\n");
	if (r == EXIT_OK)
		r = show(d, "ledger -n 5", "ledger", "-n", "5");
	printf("\n");
	if (r == EXIT_OK)
		r = show(d, "verify", "verify", NULL, NULL);
	if (r == EXIT_OK)
		show_bill(d);
	return r;
}

/* --- start and end ------------------------------------------------------------------------------------------------ */

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int prepare(struct demo *d)
{
	ssize_t n = readlink("/proc/self/exe", d->self, sizeof(d->self) - 1);

	if (n <= 0)
		return say(d, "cannot find this program's own file");
	d->self[n] = '\0';
	(void)snprintf(d->dir, sizeof(d->dir), "/tmp/bursar-demo-XXXXXX");
	if (!mkdtemp(d->dir))
		return say_errno(d);
	if (!files_path(d->config, sizeof(d->config), d->dir, "demo.yaml") ||
	    !files_path(d->data, sizeof(d->data), d->dir, "data"))
		return EXIT_FAILED;
	return EXIT_OK;
}

static void clean_up(struct demo *d, bool keep)
{
	stop(&d->server);
	stop(&d->vendor);
	free(d->key);
	free(d->token);
	if (keep)
		(void)fprintf(stderr, "what happened is in %s/bursar.log\n", d->dir);
	else if (strncmp(d->dir, "/tmp/bursar-demo-", 17) == 0)
		(void)nftw(d->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int cmd_demo(const struct cmd *cmd, int argc, char **argv)
{
	const char *calls = "60", *limit = "0.05";
	const struct arg list[] = {{.name = "calls", .value = &calls}, {.name = "limit", .value = &limit}};
	struct demo d = {.cmd = cmd};
	struct args args;
	int r = args_read(cmd, argc, argv, list, ARRAY_LEN(list), 0, &args);

	if (r != ARGS_GO)
		return r;
	if (!args_number(cmd, "calls", calls, 1, 100000, &d.calls))
		return EXIT_USAGE;
	if (decimal_parse(slice_of(limit), 9, false, &d.limit_nanousd) < 0 || d.limit_nanousd <= 0)
		return cmd_usage_error(cmd, "--limit: expected an amount such as 0.05, got `%s`", limit);
	r = prepare(&d);
	if (r != EXIT_OK)
		return r;
	r = run(&d);
	clean_up(&d, r != EXIT_OK);
	return r;
}
