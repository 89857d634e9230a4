/* The admin API: every route against every kind of caller, and what hostile requests get. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/access.h"
#include "api/api.h"
#include "api/routes.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "policy/engine.h"
#include "store/keys.h"
#include "store/store.h"

struct fixture {
	char dir[64];
	struct store *store;
	struct budget_set *set;
	struct engine *engine;
	struct tz *utc;
	struct api *api;
	struct arena arena;
	struct api_call call;
	char admin[KEY_TEXT_MAX], viewer[KEY_TEXT_MAX], caller[KEY_TEXT_MAX], revoked[KEY_TEXT_MAX],
	    expired[KEY_TEXT_MAX];
};

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void make_key(struct fixture *f, const char *name, bool admin, const char *tags, int64_t not_after_s,
		     char text[KEY_TEXT_MAX])
{
	struct key_row row = {.admin = admin, .not_after_s = not_after_s, .created_s = 1700000000};

	(void)snprintf(row.name, sizeof(row.name), "%s", name);
	(void)snprintf(row.tags, sizeof(row.tags), "%s", tags);
	assert_int_equal(keys_create(f->store, &row, text), BUR_OK);
}

static void make_engine(struct fixture *f)
{
	struct budget defs[2] = {
	    {.name = "all", .window_name = "day", .unit = UNIT_USD, .limit = INT64_C(50000000000)},
	    {.name = "tok\"ens", .window_name = "total", .unit = UNIT_TOKENS, .limit = INT64_MAX, .mode = MODE_SOFT},
	};
	struct engine_config config = {.max_meters = 100};
	char err[200];

	assert_int_equal(tz_load("UTC", &f->utc), BUR_OK);
	for (size_t i = 0; i < 2; i++)
		defs[i].window =
		    (struct window_spec){.kind = i ? WINDOW_TOTAL : WINDOW_DAY, .month_anchor = 1, .tz = f->utc};
	assert_int_equal(budget_set_new(defs, 2, &f->set, err, sizeof(err)), BUR_OK);
	f->engine = engine_new(f->set, &config);
	assert_non_null(f->engine);
}

static const char *const hosts[] = {"bursar.example"};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct store_config config = {.dir = f->dir,
				      .workers = 1,
				      .journal_slots = 64,
				      .writer_interval_ns = NS_PER_MS,
				      .storage_grace_ns = NS_PER_S,
				      .max_unpersisted_nanousd = NS_PER_S};
	struct api_deps deps = {.hosts = hosts, .n_hosts = 1};
	struct recovery_report report;
	char err[256];
	int exit_code;

	log_init(STDERR_FILENO, LOG_ERROR);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/bursar-api-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	if (store_open(&config, &f->store, &report, &exit_code, err, sizeof(err)) < 0)
		fail_msg("%s", err);
	make_key(f, "admin", true, "", 0, f->admin);
	make_key(f, "viewer", false, ACCESS_ROLE_TAG "=viewer", 0, f->viewer);
	make_key(f, "caller", false, "env=prod", 0, f->caller);
	make_key(f, "revoked", true, "", 0, f->revoked);
	make_key(f, "expired", true, "", 1700000001, f->expired);
	assert_int_equal(keys_revoke(f->store, SLICE("revoked"), 1700000002), BUR_OK);
	make_engine(f);
	deps.store = f->store;
	deps.engine = f->engine;
	f->api = api_new(&deps);
	assert_non_null(f->api);
	assert_int_equal(api_load_keys(f->api), BUR_OK);
	arena_init(&f->arena, 1024 * 1024);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	buf_done(&f->call.out);
	arena_reset(&f->arena);
	api_free(f->api);
	engine_free(f->engine);
	budget_set_free(f->set);
	tz_free(f->utc);
	store_close(f->store);
	(void)nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

/* One request; the status. `target` may have a query; `token` and `body` may be NULL. */
static int ask(struct fixture *f, const char *method, const char *target, const char *token, const char *body)
{
	char bearer[KEY_TEXT_MAX + 16];

	buf_done(&f->call.out);
	arena_reset(&f->arena);
	f->call = (struct api_call){.arena = &f->arena,
				    .method = slice_of(method),
				    .host = SLICE("localhost:8050"),
				    .content_type = SLICE("application/json; charset=utf-8"),
				    .body = slice_of(body)};
	(void)slice_cut(slice_of(target), '?', &f->call.path, &f->call.query);
	if (token) {
		(void)snprintf(bearer, sizeof(bearer), "Bearer %s", token);
		f->call.authorization = arena_dup(&f->arena, slice_of(bearer));
	}
	buf_init(&f->call.out, 8 * 1024 * 1024);
	api_run(f->api, &f->call, false);
	return f->call.status;
}

static const char *text(struct fixture *f)
{
	return arena_dup(&f->arena, buf_slice(&f->call.out)).p;
}

static json_t *answer(struct fixture *f)
{
	json_t *o = json_loadb(buf_slice(&f->call.out).p, buf_len(&f->call.out), 0, NULL);

	assert_non_null(o);
	return o;
}

/* --- who may ------------------------------------------------------------------------------------------------------ */

struct caller_kind {
	const char *name, *token;
	enum api_level level; /* API_CLOSED: valid for calls only; -1 as int: nobody */
	bool known;
};

/* What the table promises this caller for this row. */
static int expected(const struct api_route *route, const struct caller_kind *c)
{
	if (route->level == API_OPEN)
		return 0; /* not refused */
	if (!c->known)
		return 401;
	return c->level >= route->level ? 0 : 403;
}

/* The matrix of role and endpoint, generated from the route table itself. */
static void every_route_against_every_caller(void **state)
{
	struct fixture *f = *state;
	const struct caller_kind callers[] = {
	    {"nobody", NULL, API_CLOSED, false},
	    {"junk", "junk", API_CLOSED, false},
	    {"unknown key", "bur_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", API_CLOSED, false},
	    {"revoked admin", f->revoked, API_ADMIN, false},
	    {"expired admin", f->expired, API_ADMIN, false},
	    {"caller", f->caller, API_CLOSED, true},
	    {"viewer", f->viewer, API_VIEWER, true},
	    {"admin", f->admin, API_ADMIN, true},
	};
	const struct api_route *routes;
	size_t n;

	routes = routes_all(&n);
	assert_true(n >= 11);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < ARRAY_LEN(callers); k++) {
			char path[128];
			int want = expected(&routes[i], &callers[k]), got;

			const char *end = strchr(routes[i].path, '}');

			(void)snprintf(path, sizeof(path), "%.*s%s%s", (int)strcspn(routes[i].path, "{"),
				       routes[i].path, end ? "nobody" : "", end ? end + 1 : "");
			got = ask(f, routes[i].method, path, callers[k].token, "{}");
			if (want ? got != want : got == 401 || got == 403)
				fail_msg("%s %s as %s gave %d", routes[i].method, path, callers[k].name, got);
		}
}

/* A row must say who may; nothing that changes state is open or for viewers, nothing that changes state is a GET. */
/* They only answer: their questions are too long for a query. */
static bool changes_nothing(const struct api_route *r)
{
	return strcmp(r->path, "/api/v1/explain") == 0 || strcmp(r->path, "/api/v1/budget/check") == 0;
}

/* Its link's signature is the permission, for one incident and one action. */
static bool is_signed(const struct api_route *r)
{
	return strcmp(r->path, "/alerts/act") == 0;
}

static void the_table_is_closed_by_default(void **state)
{
	const struct api_route *routes;
	size_t n;

	(void)state;
	routes = routes_all(&n);
	for (size_t i = 0; i < n; i++) {
		assert_int_not_equal(routes[i].level, API_CLOSED);
		assert_non_null(routes[i].run);
		if (strcmp(routes[i].method, "GET") != 0 && !changes_nothing(&routes[i]) && !is_signed(&routes[i]))
			assert_int_equal(routes[i].level, API_ADMIN);
		if (strncmp(routes[i].path, "/api/", 5) == 0)
			assert_true(routes[i].level >= API_VIEWER);
	}
}

static void refusals_look_alike(void **state)
{
	struct fixture *f = *state;
	const char *const tokens[] = {NULL, "", "junk", f->revoked, f->expired};

	for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
		assert_int_equal(ask(f, "GET", "/api/v1/budgets", tokens[i], NULL), 401);
		assert_string_equal(text(f), "{\"detail\":\"Not authenticated\"}");
		assert_non_null(strstr(f->call.fields, "WWW-Authenticate: Bearer\r\n"));
	}
	f->call.authorization = SLICE("Basic YTpi");
	assert_int_equal(ask(f, "GET", "/metrics", f->caller, NULL), 403);
	assert_string_equal(text(f), "{\"detail\":\"Forbidden\"}");
}

static void names_of_other_sites_are_refused(void **state)
{
	static const struct {
		const char *host;
		bool good;
	} cases[] = {
	    {"localhost", true},           {"localhost:8050", true},          {"127.0.0.1:1", true},
	    {"[::1]:8050", true},          {"bursar.example:9", true},        {"BURSAR.example", true},
	    {"evil.example", false},       {"localhost.evil.example", false}, {"", false},
	    {"127.0.0.1.evil.com", false}, {"localhost@evil.com", false},     {"bursar.example.evil", false},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct api_call call = {
		    .arena = &f->arena, .method = SLICE("GET"), .path = SLICE("/"), .host = slice_of(cases[i].host)};

		buf_init(&call.out, 65536);
		api_run(f->api, &call, false);
		if (call.status != (cases[i].good ? 200 : 421))
			fail_msg("host `%s` gave %d", cases[i].host, call.status);
		buf_done(&call.out);
	}
}

/* --- paths and parameters ----------------------------------------------------------------------------------------- */

static void paths_and_methods(void **state)
{
	static const struct {
		const char *method, *path;
		int status;
	} cases[] = {
	    {"GET", "/nope", 404},
	    {"GET", "//", 404},
	    {"GET", "/api/v1/budgets/", 307},
	    {"GET", "/health/live/", 307},
	    {"POST", "/api/v1/budgets", 405},
	    {"DELETE", "/api/v1/keys", 405},
	    {"TRACE", "/", 405},
	    {"GET", "/api/v1/keys/x", 405},
	    {"DELETE", "/api/v1/keys/", 307},
	    {"DELETE", "/api/v1/keys/a/b", 404},
	    {"HEAD", "/health/live", 200},
	    {"GET", "/API/v1/budgets", 404},
	    {"GET", "/api/v1/../metrics", 404},
	    {"DELETE", "/api/v1/keys/%zz", 404},
	    {"DELETE", "/api/v1/keys/%00", 404},
	    {"GET", "/api/v1/alerts/", 307},
	    {"GET", "/api/v1/alerts/mutes/3", 405},
	    {"POST", "/api/v1/alerts/a/b/ack", 404},
	    {"GET", "/api/v1/alerts/1/ack", 405},
	    {"GET", "/api/v1/alerts", 503}, /* none here */
	    {"GET", "/alerts/act", 503},
	    {"POST", "/alerts/act", 503},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int got = ask(f, cases[i].method, cases[i].path, f->admin, NULL);

		if (got != cases[i].status)
			fail_msg("%s %s gave %d", cases[i].method, cases[i].path, got);
	}
	assert_int_equal(ask(f, "PUT", "/api/v1/keys", f->admin, NULL), 405);
	assert_non_null(strstr(f->call.fields, "Allow: GET, POST\r\n"));
	assert_int_equal(ask(f, "GET", "/health/live/?a=b", NULL, NULL), 307);
	assert_non_null(strstr(f->call.fields, "Location: /health/live?a=b\r\n"));
}

static void bad_parameters_say_which(void **state)
{
	static const struct {
		const char *query, *words;
	} cases[] = {
	    {"limit=0", "greater_than_equal"},
	    {"limit=1001", "less_than_equal"},
	    {"limit=+5", "int_parsing"},
	    {"limit=5x", "int_parsing"},
	    {"limit=99999999999999999999", "int_parsing"},
	    {"cursor=0", "greater_than_equal"},
	    {"order=up", "'asc' or 'desc'"},
	    {"from=yesterday", "date"},
	    {"to=2026-13-01", "date"},
	    {"key=%", "percent"},
	    {"key=%4", "percent"},
	    {"key=a%00b", "percent"},
	};
	struct fixture *f = *state;
	char target[128];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void)snprintf(target, sizeof(target), "/api/v1/ledger?%s", cases[i].query);
		if (ask(f, "GET", target, f->viewer, NULL) != 422 || !strstr(text(f), cases[i].words))
			fail_msg("%s gave %d %s", target, f->call.status, text(f));
	}
	/* the last one wins; unknown ones are ignored; SQL is text */
	assert_int_equal(ask(f, "GET", "/api/v1/ledger?limit=x&limit=5&foo=bar", f->viewer, NULL), 200);
	assert_int_equal(ask(f, "GET", "/api/v1/ledger?key=%27%20OR%201%3D1--", f->viewer, NULL), 200);
	assert_string_equal(text(f), "{\"rows\":[],\"next\":null}");
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static void budgets_are_exact(void **state)
{
	struct fixture *f = *state;
	json_t *o, *row;

	assert_int_equal(ask(f, "GET", "/api/v1/budgets?name=all", f->viewer, NULL), 200);
	o = answer(f);
	assert_int_equal(json_array_size(json_object_get(o, "budgets")), 1);
	row = json_array_get(json_object_get(o, "budgets"), 0);
	assert_string_equal(json_string_value(json_object_get(row, "limit")), "50");
	assert_string_equal(json_string_value(json_object_get(row, "remaining")), "50");
	assert_string_equal(json_string_value(json_object_get(row, "unit")), "USD");
	assert_true(json_is_string(json_object_get(row, "resets_at")));
	json_decref(o);
	assert_int_equal(ask(f, "GET", "/api/v1/budgets?name=tok%22ens", f->viewer, NULL), 200);
	o = answer(f);
	row = json_array_get(json_object_get(o, "budgets"), 0);
	assert_string_equal(json_string_value(json_object_get(row, "limit")), "9223372036854775807");
	assert_true(json_is_null(json_object_get(json_object_get(row, "numbers"), "limit"))); /* no double holds it */
	assert_true(json_is_null(json_object_get(row, "resets_at")));
	json_decref(o);
}

static void metrics_are_escaped(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f, "GET", "/metrics", f->viewer, NULL), 200);
	assert_non_null(strstr(text(f), "bursar_budget_limit{budget=\"all\",window=\"day\",unit=\"usd\"} 50\n"));
	assert_non_null(strstr(text(f), "budget=\"tok\\\"ens\""));
	assert_null(strstr(text(f), "bur_"));
}

static void ready_and_draining(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f, "GET", "/health/ready", NULL, NULL), 200);
	api_set_draining(f->api, true);
	assert_int_equal(ask(f, "GET", "/health/ready", NULL, NULL), 503);
	assert_non_null(strstr(text(f), "draining"));
	assert_int_equal(ask(f, "GET", "/health/live", NULL, NULL), 200);
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

static void a_key_is_shown_once_and_dies_at_once(void **state)
{
	struct fixture *f = *state;
	char key[KEY_TEXT_MAX];
	json_t *o;

	assert_int_equal(ask(f, "POST", "/api/v1/keys", f->admin,
			     "{\"name\":\"new one\",\"role\":\"viewer\",\"user\":\"ann\",\"tags\":{\"env\":\"prod\"}}"),
			 201);
	assert_non_null(strstr(f->call.fields, "Cache-Control: no-store\r\n"));
	o = answer(f);
	(void)snprintf(key, sizeof(key), "%s", json_string_value(json_object_get(o, "key")));
	assert_string_equal(json_string_value(json_object_get(o, "role")), "viewer");
	assert_string_equal(json_string_value(json_object_get(json_object_get(o, "tags"), "env")), "prod");
	assert_int_equal(json_object_size(json_object_get(o, "tags")), 1); /* the role's own tag is not shown */
	json_decref(o);
	assert_int_equal(ask(f, "GET", "/api/v1/keys", key, NULL), 200);
	assert_null(strstr(text(f), key));
	assert_int_equal(ask(f, "DELETE", "/api/v1/keys/new%20one", f->admin, NULL), 200);
	assert_int_equal(ask(f, "GET", "/api/v1/keys", key, NULL), 401);
	assert_int_equal(ask(f, "DELETE", "/api/v1/keys/new%20one", f->admin, NULL), 200);
	assert_non_null(strstr(text(f), "\"changed\":false"));
	assert_int_equal(ask(f, "DELETE", "/api/v1/keys/other", f->admin, NULL), 404);
}

static void bad_keys_are_refused(void **state)
{
	static const struct {
		const char *body;
		int status;
	} cases[] = {
	    {"", 400},
	    {"[]", 400},
	    {"{\"name\":\"a\",\"name\":\"b\"}", 400},
	    {"{\"name\":1}", 422},
	    {"{\"name\":\"caller\"}", 409},
	    {"{\"name\":\"a\\nb\"}", 422},
	    {"{\"name\":\"0123456789012345678901234567890123456789012345678901234567890123\"}", 422},
	    {"{\"digest\":\"00\"}", 422},
	    {"{\"admin\":true}", 422},
	    {"{\"role\":\"root\"}", 422},
	    {"{\"tags\":[1]}", 422},
	    {"{\"tags\":{\"a\":1}}", 422},
	    {"{\"tags\":{\"a\":\"x,bursar.role=viewer\"}}", 422},
	    {"{\"tags\":{\"bursar.role\":\"viewer\"}}", 422},
	    {"{\"tags\":{\"Bad Name\":\"x\"}}", 422},
	    {"{\"may_set_user\":\"yes\"}", 422},
	    {"{\"expires_at\":\"soon\"}", 422},
	    {"{\"expires_at\":\"2001-01-01\"}", 422},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int got = ask(f, "POST", "/api/v1/keys", f->admin, cases[i].body);

		if (got != cases[i].status)
			fail_msg("%s gave %d %s", cases[i].body, got, text(f));
	}
}

/* A form on another site can send text/plain, but not JSON without asking first. */
static void forms_are_refused(void **state)
{
	struct fixture *f = *state;
	char bearer[KEY_TEXT_MAX + 16];
	struct api_call call = {.arena = &f->arena,
				.method = SLICE("POST"),
				.path = SLICE("/api/v1/keys"),
				.host = SLICE("localhost"),
				.content_type = SLICE("text/plain"),
				.body = SLICE("{\"name\":\"x\"}")};

	(void)snprintf(bearer, sizeof(bearer), "Bearer %s", f->admin);
	call.authorization = slice_of(bearer);
	buf_init(&call.out, 65536);
	api_run(f->api, &call, false);
	assert_int_equal(call.status, 415);
	buf_done(&call.out);
}

/* --- directories -------------------------------------------------------------------------------------------------- */

static void only_call_keys_open_the_proxy(void **state)
{
	struct fixture *f = *state;
	struct access_dirs dirs;
	uint8_t digest[32];
	int64_t now_s = clock_wall_ns() / NS_PER_S;

	assert_int_equal(access_load(f->store, now_s, &dirs), BUR_OK);
	assert_int_equal(dirs.n_admins, 1);
	assert_int_equal(dirs.n_callers, 1);
	key_digest(slice_of(f->caller), digest);
	assert_non_null(principal_find(dirs.callers, digest, now_s));
	key_digest(slice_of(f->admin), digest);
	assert_null(principal_find(dirs.callers, digest, now_s));
	key_digest(slice_of(f->viewer), digest);
	assert_null(principal_find(dirs.callers, digest, now_s));
	access_done(&dirs);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(every_route_against_every_caller),
	    cmocka_unit_test(the_table_is_closed_by_default),
	    T(refusals_look_alike),
	    T(names_of_other_sites_are_refused),
	    T(paths_and_methods),
	    T(bad_parameters_say_which),
	    T(budgets_are_exact),
	    T(metrics_are_escaped),
	    T(ready_and_draining),
	    T(a_key_is_shown_once_and_dies_at_once),
	    T(bad_keys_are_refused),
	    T(forms_are_refused),
	    T(only_call_keys_open_the_proxy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
