/* The environment over the file: BURSAR_*, names that other programs gave, and wiping what is secret. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/settings_file.h"
#include "base/error.h"

#define OVERRIDE_DEPTH_MAX 8
#define WIPE_PART_MIN 12

/* --- values by their place in the file ------------------------------------------------------------------------------
 */

static bool is_top_level(struct slice name)
{
	for (size_t i = 0; i < settings_root_table.n_rows; i++)
		if (slice_eq(name, slice_of(settings_root_table.rows[i].name)))
			return true;
	return false;
}

static struct node *child_find(struct node *map, struct slice key)
{
	for (struct node *n = map->first_child; n; n = n->next)
		if (slice_eq(n->key, key))
			return n;
	return NULL;
}

/* The child `key` of `map`, appended when missing. */
static struct node *child_make(struct arena *arena, struct node *map, struct slice key)
{
	struct node *n = child_find(map, key), **tail = &map->first_child;

	if (n)
		return n;
	n = arena_zalloc(arena, sizeof(*n));
	if (!n)
		return NULL;
	n->key = arena_dup(arena, key); /* a text of its own: map keys are read as C strings */
	if (!n->key.p)
		return NULL;
	n->kind = NODE_MAP;
	while (*tail)
		tail = &(*tail)->next;
	*tail = n;
	return n;
}

/* Splits "admin__listen" at "__". Returns the number of parts, 0 when there are too many or an empty one. */
static size_t split_path(struct slice name, struct slice part[OVERRIDE_DEPTH_MAX])
{
	size_t n = 0, from = 0;

	for (size_t i = 0; i <= name.n; i++) {
		bool cut = i + 1 < name.n && name.p[i] == '_' && name.p[i + 1] == '_';

		if (i < name.n && !cut)
			continue;
		if (n == OVERRIDE_DEPTH_MAX || i == from)
			return 0;
		part[n++] = slice_sub(name, from, i - from);
		from = i + 2;
		i += cut;
	}
	return n;
}

/* Line 0 marks a value from the environment; the column then is the variable's place in the list plus one. */
static int override_set(struct arena *arena, struct node *root, struct slice path, struct slice value, int place,
			struct node **ret)
{
	struct slice part[OVERRIDE_DEPTH_MAX];
	struct node *at = root;
	size_t n = split_path(path, part);

	if (n == 0)
		return BUR_INVALID;
	for (size_t i = 0; i < n; i++) {
		if (at->kind != NODE_MAP)
			return BUR_INVALID;
		at = child_make(arena, at, part[i]);
		if (!at)
			return BUR_NOMEM;
		if (at->line == 0)
			at->column = place;
	}
	*at = (struct node){.kind = NODE_SCALAR,
			    .line = 0,
			    .column = place,
			    .key = at->key,
			    .next = at->next,
			    .text = arena_dup(arena, value),
			    .secret = slice_eq(part[n - 1], SLICE("api_key"))};
	*ret = at;
	return at->text.p ? BUR_OK : BUR_NOMEM;
}

/* "BURSAR_ADMIN__LISTEN=…" to path "admin__listen"; false for variables that mean something else (BURSAR_CONFIG). */
static bool override_name(const char *entry, char *dst, size_t dst_size, struct slice *ret_value)
{
	struct slice name, value;
	size_t i;

	if (!slice_cut(slice_of(entry), '=', &name, &value) || !slice_starts(name, SLICE("BURSAR_")))
		return false;
	name = slice_sub(name, 7, name.n);
	if (name.n == 0 || name.n >= dst_size)
		return false;
	for (i = 0; i < name.n; i++)
		dst[i] = (char)tolower((unsigned char)name.p[i]);
	dst[i] = '\0';
	*ret_value = value;
	return strstr(dst, "__") || is_top_level(slice_of(dst));
}

/* --- names that other programs gave ---------------------------------------------------------------------------------
 */

/* Read for people who come from there: below BURSAR_*, over the file (cost-endpoints C12). */
struct alias {
	const char *name, *path;
	enum { ALIAS_TEXT, ALIAS_BOOL, ALIAS_LIST, ALIAS_TLS, ALIAS_OLD_SLACK } kind;
	const char *channel; /* belongs to this one of BUDGET_ALERT_CHANNELS ... */
	const char *needs;   /* ... and means nothing without this */
};
#define MAIL_NEEDS "ALERT_EMAIL_SMTP_SERVER"
#define SLACK_NEEDS "ALERT_SLACK_WEBHOOK_URL"
#define MAIL_PATH "alerts__channels__email__email__"
#define SLACK_PATH "alerts__channels__slack__slack__"

static const struct alias aliases[] = {
    {"LIGHTRAG_ENABLE_BUDGET_ALERTS", "alerts__enabled", ALIAS_BOOL, NULL, NULL},
    {"BUDGET_ENABLE_ALERTS", "alerts__enabled", ALIAS_BOOL, NULL, NULL},
    {MAIL_NEEDS, MAIL_PATH "server", ALIAS_TEXT, "email", MAIL_NEEDS},
    {"ALERT_EMAIL_SMTP_PORT", MAIL_PATH "port", ALIAS_TEXT, "email", MAIL_NEEDS},
    {"ALERT_EMAIL_USERNAME", MAIL_PATH "username", ALIAS_TEXT, "email", MAIL_NEEDS},
    {"ALERT_EMAIL_PASSWORD", MAIL_PATH "password", ALIAS_TEXT, "email", MAIL_NEEDS},
    {"ALERT_EMAIL_SENDER", MAIL_PATH "from", ALIAS_TEXT, "email", MAIL_NEEDS},
    {"ALERT_EMAIL_RECIPIENTS", MAIL_PATH "to", ALIAS_LIST, "email", MAIL_NEEDS},
    {"ALERT_EMAIL_USE_TLS", MAIL_PATH "security", ALIAS_TLS, "email", MAIL_NEEDS},
    {SLACK_NEEDS, SLACK_PATH "webhook", ALIAS_TEXT, "slack", SLACK_NEEDS},
    {"ALERT_SLACK_CHANNEL", SLACK_PATH "channel", ALIAS_OLD_SLACK, "slack", SLACK_NEEDS},
    {"ALERT_SLACK_USERNAME", SLACK_PATH "username", ALIAS_OLD_SLACK, "slack", SLACK_NEEDS},
    {"ALERT_WEBHOOK_URLS", "alerts__channels__webhook__webhook__urls", ALIAS_LIST, "webhook", NULL},
};

static const char *env_value(const char *const *env, const char *name, int *ret_place)
{
	size_t n = strlen(name);

	for (int i = 0; env && env[i]; i++) {
		if (strncmp(env[i], name, n) == 0 && env[i][n] == '=') {
			*ret_place = i + 1;
			return env[i] + n + 1;
		}
	}
	return NULL;
}

/* One of the words of "logging, email"? Without the variable every channel that has its settings is wanted. */
static bool is_wanted(const char *const *env, const char *channel)
{
	int place;
	const char *text = env_value(env, "BUDGET_ALERT_CHANNELS", &place);
	struct slice rest = slice_of(text), word;
	bool more = text != NULL;

	while (more) {
		more = slice_cut(rest, ',', &word, &rest);
		if (slice_ieq(slice_trim(word), slice_of(channel)))
			return true;
	}
	return text == NULL;
}

/* As programs in Python take them. */
static struct slice bool_word(struct slice s)
{
	static const char *const yes[] = {"true", "1", "yes", "y", "t", "on"}, *const no[] = {"false", "0", "no",
											      "n",     "f", "off"};

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (slice_ieq(s, slice_of(yes[i])))
			return SLICE("true");
		if (slice_ieq(s, slice_of(no[i])))
			return SLICE("false");
	}
	return s;
}

/* "a, b" as a list. */
static int list_set(struct arena *arena, struct node *root, struct slice path, struct slice text, int place)
{
	struct node *list = NULL, **tail;
	struct slice word;
	bool more = true;
	int r = override_set(arena, root, path, text, place, &list);

	if (r < 0)
		return r;
	list->kind = NODE_LIST;
	tail = &list->first_child;
	while (more) {
		more = slice_cut(text, ',', &word, &text);
		word = slice_trim(word);
		if (word.n == 0)
			continue;
		*tail = arena_zalloc(arena, sizeof(**tail));
		if (!*tail)
			return BUR_NOMEM;
		**tail = (struct node){.column = place, .quoted = true, .text = arena_dup(arena, word)};
		if (!(*tail)->text.p)
			return BUR_NOMEM;
		tail = &(*tail)->next;
	}
	return BUR_OK;
}

static int alias_set(struct arena *arena, struct node *root, const struct alias *a, const char *text, int place)
{
	struct slice value = slice_trim(slice_of(text)), path = slice_of(a->path);
	struct node *at;
	int r = BUR_OK;

	switch (a->kind) {
	case ALIAS_LIST:
		return list_set(arena, root, path, value, place);
	case ALIAS_BOOL:
		value = bool_word(value);
		break;
	case ALIAS_TLS:
		value = slice_eq(bool_word(value), SLICE("false")) ? SLICE("none") : SLICE("starttls");
		break;
	case ALIAS_OLD_SLACK:
		r = override_set(arena, root, SLICE(SLACK_PATH "format"), SLICE("attachments"), place, &at);
		break;
	case ALIAS_TEXT:
		break;
	}
	return r == BUR_OK ? override_set(arena, root, path, value, place, &at) : r;
}

static int fail_name(struct settings_ctx *ctx, const char *entry, int r)
{
	(void)snprintf(ctx->err->text, sizeof(ctx->err->text), "environment: %.*s: %s", (int)strcspn(entry, "="), entry,
		       r == BUR_NOMEM ? "out of memory" : "does not name a scalar option");
	return r;
}

static int alias_all(struct settings_ctx *ctx, struct node *root, const char *const *env)
{
	for (size_t i = 0; i < ARRAY_LEN(aliases); i++) {
		const struct alias *a = &aliases[i];
		int place, other, r;
		const char *text = env_value(env, a->name, &place);

		if (!text || !*text || (a->channel && !is_wanted(env, a->channel)) ||
		    (a->needs && !env_value(env, a->needs, &other)))
			continue;
		r = alias_set(&ctx->s->own->arena, root, a, text, place);
		if (r < 0)
			return fail_name(ctx, env[place - 1], r);
	}
	return BUR_OK;
}

/* --- all of them
 * ------------------------------------------------------------------------------------------------------ */

int settings_override(struct settings_ctx *ctx, struct node *root, const char *const *env)
{
	char path[256];
	struct slice value;
	struct node *at;
	int r;

	if (root->kind != NODE_MAP)
		return BUR_OK; /* config_read will say so */
	r = alias_all(ctx, root, env);
	for (int i = 0; env && env[i] && r == BUR_OK; i++) {
		if (!override_name(env[i], path, sizeof(path), &value))
			continue;
		r = override_set(&ctx->s->own->arena, root, slice_of(path), value, i + 1, &at);
		if (r < 0)
			return fail_name(ctx, env[i], r);
	}
	return r;
}

/* Messages about line 0 name the variable instead of a place in the file. */
void settings_name_variable(struct settings_ctx *ctx, const char *const *env)
{
	char mark[128], rest[sizeof(ctx->err->text)];
	size_t mark_n, n_env = 0;
	char *end;
	unsigned long place;

	(void)snprintf(mark, sizeof(mark), "%s:0:", ctx->file_name);
	mark_n = strlen(mark);
	if (strncmp(ctx->err->text, mark, mark_n) != 0)
		return;
	while (env && env[n_env])
		n_env++;
	place = strtoul(ctx->err->text + mark_n, &end, 10);
	if (place == 0 || place > n_env || *end != ':')
		return;
	(void)snprintf(rest, sizeof(rest), "%s", end + 1);
	(void)snprintf(ctx->err->text, sizeof(ctx->err->text), "environment: %.*s:%.300s",
		       (int)strcspn(env[place - 1], "="), env[place - 1], rest);
}

/* --- secrets ------------------------------------------------------------------------------------------------------ */

/* A value that is the secret, or a part of it that is long enough to be no common word. */
static bool is_of_secret(const char *value, const char *secret)
{
	return strcmp(value, secret) == 0 || (strlen(value) >= WIPE_PART_MIN && strstr(secret, value));
}

static bool is_secret(const struct settings *s, const char *value)
{
	for (size_t k = 0; k < s->proxy.n_providers; k++)
		if (s->proxy.providers[k].api_key && strcmp(value, s->proxy.providers[k].api_key) == 0)
			return true;
	for (const struct settings_secret *k = s->own->secrets; k; k = k->next)
		if (is_of_secret(value, k->text))
			return true;
	return false;
}

void settings_wipe_env(const struct settings *s, char **env)
{
	for (size_t i = 0; env[i]; i++) {
		char *value = strchr(env[i], '=');

		if (value && value[1] && is_secret(s, value + 1))
			bytes_wipe(value + 1, strlen(value + 1));
	}
}
