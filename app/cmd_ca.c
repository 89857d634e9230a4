/* bursar ca: the certificate authority on disk. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "app/args.h"
#include "app/boot.h"
#include "app/files.h"
#include "base/buf.h"
#include "base/error.h"
#include "proxy/ca.h"

static int say(const struct cmd *cmd, const char *text)
{
	(void)fprintf(stderr, "bursar %s: %s\n", cmd->name, text);
	return EXIT_FAILED;
}

static int init(const struct cmd *cmd, const struct settings *s, const char *dir, bool force)
{
	char err[256] = "";
	int r;

	(void)mkdir(s->data_dir, 0700); /* what is wrong with it shows in the next step */
	r = ca_create(dir, s->ca_hosts, s->n_ca_hosts, force, err, sizeof(err));
	if (r == BUR_ALREADY)
		return say(cmd, "there is one already; --force replaces it, and every client must trust the new root");
	if (r < 0)
		return say(cmd, err[0] ? err : bur_strerror(r));
	printf("made a certificate authority for %zu hosts in %s\n", s->n_ca_hosts, dir);
	printf("clients trust %s/ca.pem, or %s/bundle.pem in place of the system's roots\n", dir, dir);
	if (force)
		printf("a running server goes on with the old one until it is restarted\n");
	return EXIT_OK;
}

static int show(const struct cmd *cmd, const char *dir, bool as_pem)
{
	char err[256] = "";
	struct buf out;
	struct ca *ca;
	int r = ca_load(dir, 1, &ca, err, sizeof(err));

	if (r == BUR_NOTFOUND)
		return say(cmd, "there is no certificate authority yet; `bursar ca init` or the first `bursar serve` "
				"makes it");
	if (r < 0)
		return say(cmd, err[0] ? err : bur_strerror(r));
	buf_init(&out, 1024 * 1024);
	r = as_pem ? buf_append_slice(&out, ca_pem(ca)) : ca_describe(ca, &out);
	if (r == BUR_OK && (fwrite(buf_slice(&out).p, 1, buf_len(&out), stdout) != buf_len(&out) || fflush(stdout)))
		r = BUR_IO;
	buf_done(&out);
	ca_free(ca);
	return r == BUR_OK ? EXIT_OK : say(cmd, bur_strerror(r));
}

int cmd_ca(const struct cmd *cmd, int argc, char **argv)
{
	bool force = false;
	const struct arg list[] = {{.name = "force", .flag = &force}};
	char dir[PATH_MAX];
	struct settings *s;
	struct args args;
	int r = args_read(cmd, argc, argv, list, ARRAY_LEN(list), 1, &args);
	const char *what;

	if (r != ARGS_GO)
		return r;
	what = args.n_words ? args.words[0] : "status";
	if (strcmp(what, "init") != 0 && strcmp(what, "status") != 0 && strcmp(what, "export") != 0)
		return cmd_usage_error(cmd, "expected init, status or export, got `%s`", what);
	r = cmd_settings(cmd, args.config, &s);
	if (r != EXIT_OK)
		return r;
	if (!files_path(dir, sizeof(dir), s->data_dir, "ca"))
		r = say(cmd, "the data folder's name is too long");
	else if (strcmp(what, "init") == 0)
		r = init(cmd, s, dir, force);
	else
		r = show(cmd, dir, strcmp(what, "export") == 0);
	settings_free(s);
	return r;
}
