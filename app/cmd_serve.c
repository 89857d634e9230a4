/* bursar serve, check-config, version. */
#include <stdio.h>
#include <unistd.h>

#include "app/args.h"
#include "app/cmd.h"
#include "app/serve.h"
#include "app/settings.h"
#include "app/version.h"
#include "policy/parent.h"

int cmd_serve(const struct cmd *cmd, int argc, char **argv)
{
	struct serve_options how = {0};
	const struct arg list[] = {{.name = "verify", .flag = &how.verify}};
	struct settings *s;
	struct args args;
	int r = args_read(cmd, argc, argv, list, ARRAY_LEN(list), 0, &args);

	if (r != ARGS_GO)
		return r;
	r = cmd_settings(cmd, args.config, &s);
	if (r != EXIT_OK)
		return r;
	settings_wipe_env(s, environ);
	r = serve_run(s, &how);
	settings_free(s);
	return r;
}

static int print_buf(int r, struct buf *b)
{
	if (r == 0)
		(void)fwrite(buf_slice(b).p, 1, buf_len(b), stdout);
	buf_done(b);
	return r == 0 && fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}

static int print_reference(void)
{
	struct buf b;

	buf_init(&b, 1024 * 1024);
	return print_buf(settings_reference(&b), &b);
}

/* Allowed, and worth knowing before it is found out. */
static void warn(void *ctx, const char *text)
{
	(void)fprintf(stderr, "%s: warning: %s\n", (const char *)ctx, text);
}

static void warn_of_silence(const struct settings *s)
{
	const struct alerts_config *c = &s->alerts;

	for (size_t i = 0; i < c->n_channels; i++)
		if (c->channels[i].ops != &logline_ops)
			return;
	if (c->enabled)
		warn((void *)(uintptr_t)s->file, "alerts go into a log only; `alerts.channels` names who else is told");
}

static int check(const struct cmd *cmd, const char *config, bool dump)
{
	struct settings *s;
	struct buf b;
	int r = cmd_settings(cmd, config, &s);

	if (r != EXIT_OK)
		return r;
	parent_each_overcommit(s->budgets, s->n_budgets, warn, (void *)(uintptr_t)s->file);
	warn_of_silence(s);
	if (dump) {
		buf_init(&b, 4 * 1024 * 1024);
		r = print_buf(settings_dump(s, &b), &b);
	} else {
		printf("%s: good; %zu budgets, %zu providers, data in %s\n", s->file, s->n_budgets,
		       s->proxy.n_providers, s->data_dir);
	}
	settings_free(s);
	return r;
}

int cmd_check_config(const struct cmd *cmd, int argc, char **argv)
{
	bool dump = false, reference = false;
	const struct arg list[] = {{.name = "dump-config", .flag = &dump}, {.name = "reference", .flag = &reference}};
	struct args args;
	int r = args_read(cmd, argc, argv, list, ARRAY_LEN(list), 1, &args);

	if (r != ARGS_GO)
		return r;
	if (reference)
		return print_reference();
	return check(cmd, args.n_words ? args.words[0] : args.config, dump);
}

int cmd_version(const struct cmd *cmd, int argc, char **argv)
{
	(void)cmd;
	(void)argc;
	(void)argv;
	printf("bursar %s\n", BURSAR_VERSION);
	return EXIT_OK;
}
