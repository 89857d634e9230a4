/* bursar env: variables that point programs at bursar. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/args.h"
#include "app/files.h"
#include "app/ports.h"
#include "app/settings.h"
#include "base/error.h"

enum shell { SHELL_SH, SHELL_FISH, SHELL_POWERSHELL, SHELL_DOTENV };

/* Quoting: each shell's own single quotes; a quote inside is written in its way. */
static void print_quoted(enum shell shell, const char *value)
{
	(void)putchar('\'');
	for (; *value; value++) {
		if (*value != '\'')
			(void)putchar(*value);
		else if (shell == SHELL_SH || shell == SHELL_DOTENV)
			(void)fputs("'\\''", stdout);
		else
			(void)fputs(shell == SHELL_FISH ? "\\'" : "''", stdout);
	}
	(void)putchar('\'');
}

static void print_var(enum shell shell, const char *name, const char *value)
{
	static const char *const before[] = {"export ", "set -gx ", "$env:", ""};
	static const char *const between[] = {"=", " ", " = ", "="};

	printf("%s%s%s", before[shell], name, between[shell]);
	if (shell == SHELL_DOTENV && strcspn(value, " '\"#$") == strlen(value))
		(void)fputs(value, stdout); /* many readers of .env keep quotes as part of the value */
	else
		print_quoted(shell, value);
	(void)putchar('\n');
}

/* Where clients reach the first listener: a listener on all addresses is called by loopback. */
static int listener_text(const struct settings *s, char *dst, size_t dst_size)
{
	struct slice text = slice_of(s->proxy.listen[0]), host, port;
	struct ports ports;
	size_t colon = text.n;

	while (colon > 0 && text.p[colon - 1] != ':')
		colon--;
	if (colon == 0)
		return BUR_INVALID;
	host = slice_sub(text, 0, colon - 1);
	port = slice_sub(text, colon, text.n);
	if (host.n == 0 || slice_eq(host, SLICE("0.0.0.0")))
		host = SLICE("127.0.0.1");
	if (slice_eq(host, SLICE("[::]")))
		host = SLICE("[::1]");
	if (ports_read(s->data_dir, &ports) == BUR_OK)
		(void)snprintf(dst, dst_size, SLICE_FMT ":%u", SLICE_ARG(host), ports.proxy);
	else
		(void)snprintf(dst, dst_size, SLICE_FMT ":" SLICE_FMT, SLICE_ARG(host), SLICE_ARG(port));
	return BUR_OK;
}

/* What SDKs read, and what they expect to stand behind the address there. Vendors whose SDKs read no address from the
 * environment (Mistral, DeepSeek, xAI, …) are not here. */
static const struct gateway_vars {
	const char *provider, *url, *path, *key;
} gateway_vars[] = {
    {"openai", "OPENAI_BASE_URL", "/v1", "OPENAI_API_KEY"},
    {"azure", "AZURE_OPENAI_ENDPOINT", "", "AZURE_OPENAI_API_KEY"},
    {"azure", "ANTHROPIC_FOUNDRY_BASE_URL", "/anthropic", "ANTHROPIC_FOUNDRY_API_KEY"},
    {"anthropic", "ANTHROPIC_BASE_URL", "", "ANTHROPIC_API_KEY"},
    {"google", "GOOGLE_GEMINI_BASE_URL", "", "GEMINI_API_KEY"},
    {"vertex", "GOOGLE_VERTEX_BASE_URL", "", NULL},
    {"vertex", "ANTHROPIC_VERTEX_BASE_URL", "/v1", NULL},
    {"bedrock", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "", "AWS_BEARER_TOKEN_BEDROCK"},
    {"bedrock", "ANTHROPIC_BEDROCK_BASE_URL", "", NULL},
    {"cohere", "CO_API_URL", "", "CO_API_KEY"},
    {"groq", "GROQ_BASE_URL", "", "GROQ_API_KEY"},
    {"together", "TOGETHER_BASE_URL", "/v1", "TOGETHER_API_KEY"},
    {"openrouter", "OPENROUTER_BASE_URL", "/api/v1", "OPENROUTER_API_KEY"},
    {"ollama", "OLLAMA_HOST", "", "OLLAMA_API_KEY"},
};

/* bursar would get there: an origin is known, and it is not an address that the network rules forbid. */
static bool is_usable(const struct settings *s, const struct proxy_provider *p)
{
	const struct dial_policy *dial = &s->proxy.dial;
	struct addr a;

	if (p->host[0] == '\0')
		return false;
	if (addr_from_ip(p->host, p->port, &a) < 0 || addr_classify(&a.sa) == ADDR_GLOBAL)
		return true;
	for (size_t i = 0; i < dial->n_allow; i++)
		if (cidr_contains(&dial->allow[i], &a.sa))
			return true;
	return false;
}

/* The provider of this name, or where each customer has an origin of its own (Azure, Bedrock) one that was added for
 * it. */
static const struct proxy_provider *provider_for(const struct settings *s, const char *name)
{
	const struct proxy_provider *list = s->proxy.providers;
	enum api_family family = api_family_from_name(slice_of(name));

	for (size_t i = 0; i < s->proxy.n_providers; i++)
		if (strcmp(list[i].name, name) == 0 && is_usable(s, &list[i]))
			return &list[i];
	for (size_t i = 0; i < s->proxy.n_providers; i++)
		if ((family == FAMILY_AZURE || family == FAMILY_AWS) && list[i].family == family &&
		    is_usable(s, &list[i]))
			return &list[i];
	return NULL;
}

static void print_gateway(enum shell shell, const struct settings *s, const char *listener, const char *key)
{
	char url[512];

	for (size_t i = 0; i < ARRAY_LEN(gateway_vars); i++) {
		const struct gateway_vars *v = &gateway_vars[i];
		const struct proxy_provider *p = provider_for(s, v->provider);

		if (!p)
			continue;
		/* what the configured base_url has already is not said twice */
		(void)snprintf(
		    url, sizeof(url), "http://%s/%s%s", listener, p->gateway_prefix,
		    p->base_path[0] != '\0' && slice_ends(slice_of(p->base_path), slice_of(v->path)) ? "" : v->path);
		print_var(shell, v->url, url);
		if (key && v->key)
			print_var(shell, v->key, key);
	}
}

/* Lower case too: curl and much else read only that. HTTP_PROXY stays unset: plain-text targets are no paid APIs. */
static int print_proxy(enum shell shell, const struct settings *s, const char *listener, const char *key)
{
	static const char *const bundle_vars[] = {
	    "SSL_CERT_FILE",        "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE",
	    "CODEX_CA_CERTIFICATE", "GIT_SSL_CAINFO",     "DENO_CERT",      "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"};
	char url[512], dir[PATH_MAX], full[PATH_MAX], path[PATH_MAX];

	if (key)
		(void)snprintf(url, sizeof(url), "http://bursar:%s@%s", key, listener);
	else
		(void)snprintf(url, sizeof(url), "http://%s", listener);
	if (!files_path(dir, sizeof(dir), s->data_dir, "ca"))
		return BUR_TOOBIG;
	if (!realpath(dir, full)) /* programs run in other folders */
		return BUR_NOTFOUND;
	print_var(shell, "HTTPS_PROXY", url);
	if (shell != SHELL_POWERSHELL) /* names there have no case: it would be the same variable */
		print_var(shell, "https_proxy", url);
	print_var(shell, "NO_PROXY", "localhost,127.0.0.1,::1");
	if (shell != SHELL_POWERSHELL)
		print_var(shell, "no_proxy", "localhost,127.0.0.1,::1");
	if (!files_path(path, sizeof(path), full, "bundle.pem"))
		return BUR_TOOBIG;
	for (size_t i = 0; i < ARRAY_LEN(bundle_vars); i++)
		print_var(shell, bundle_vars[i], path);
	if (!files_path(path, sizeof(path), full, "ca.pem"))
		return BUR_TOOBIG;
	print_var(shell, "NODE_EXTRA_CA_CERTS", path);
	print_var(shell, "NODE_USE_ENV_PROXY", "1");
	return BUR_OK;
}

static bool shell_of(const char *word, enum shell *ret)
{
	static const char *const names[] = {"sh", "fish", "powershell", "dotenv"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(word, names[i]) == 0) {
			*ret = (enum shell)i;
			return true;
		}
	return strcmp(word, "bash") == 0 || strcmp(word, "zsh") == 0;
}

static int print_env(const struct cmd *cmd, const struct settings *s, enum shell shell, bool gateway, const char *key)
{
	char listener[HOST_MAX + 16];
	int r = listener_text(s, listener, sizeof(listener));

	if (r == BUR_OK && gateway)
		print_gateway(shell, s, listener, key);
	else if (r == BUR_OK)
		r = print_proxy(shell, s, listener, key);
	if (r == BUR_NOTFOUND)
		(void)fprintf(stderr, "bursar %s: no certificate authority in %s/ca yet; `bursar ca init` makes it\n",
			      cmd->name, s->data_dir);
	else if (r < 0)
		(void)fprintf(stderr, "bursar %s: %s\n", cmd->name, bur_strerror(r));
	return r == BUR_OK ? EXIT_OK : EXIT_FAILED;
}

int cmd_env(const struct cmd *cmd, int argc, char **argv)
{
	const char *shell_text = "sh", *key = getenv("BURSAR_KEY");
	bool gateway = false;
	const struct arg list[] = {{.name = "shell", .value = &shell_text},
				   {.name = "gateway", .flag = &gateway},
				   {.name = "key", .value = &key}};
	enum shell shell = SHELL_SH;
	struct settings *s;
	struct args args;
	int r = args_read(cmd, argc, argv, list, ARRAY_LEN(list), 0, &args);

	if (r != ARGS_GO)
		return r;
	if (!shell_of(shell_text, &shell))
		return cmd_usage_error(cmd, "--shell: expected sh, fish, powershell or dotenv, got `%s`", shell_text);
	if (key && (key[0] == '\0' || strpbrk(key, "@/:'\" ")))
		key = NULL;
	r = cmd_settings(cmd, args.config, &s);
	if (r != EXIT_OK)
		return r;
	r = print_env(cmd, s, shell, gateway, key);
	settings_free(s);
	return r;
}
