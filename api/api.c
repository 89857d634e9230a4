#include "api/api.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/figures.h"
#include "api/reply.h"
#include "api/routes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "net/addr.h"
#include "net/httpd.h"

struct api *api_new(const struct api_deps *deps)
{
	const struct api_route *routes;
	struct api *api = calloc(1, sizeof(*api));
	size_t n;

	if (!api)
		return NULL;
	routes = routes_all(&n);
	for (size_t i = 0; i < n; i++)
		CHECK(routes[i].level != API_CLOSED); /* nobody could use it: surely forgotten */
	api->magic = API_MAGIC;
	api->deps = *deps;
	api->figures = figures_new();
	if (!api->figures) {
		api_free(api);
		return NULL;
	}
	return api;
}

void api_free(struct api *api)
{
	if (!api)
		return;
	CHECK_OBJ(api, API_MAGIC);
	access_done(&api->access);
	figures_free(api->figures);
	if (api->reader)
		(void)sqlite3_close(api->reader);
	api->magic = 0;
	free(api);
}

int api_load_keys(struct api *api)
{
	struct access_dirs fresh;
	int r = access_load(api->deps.store, clock_wall_ns() / NS_PER_S, &fresh);

	if (r < 0)
		return r;
	access_done(&api->access);
	api->access = fresh;
	if (api->deps.use_keys)
		api->deps.use_keys(api->deps.ctx, fresh.callers);
	return BUR_OK;
}

void api_set_draining(struct api *api, bool draining)
{
	api->draining = draining;
}

/* --- checks ------------------------------------------------------------------------------------------------------- */

static bool host_is(const struct authority *a, const char *text)
{
	return strcmp(a->host, text) == 0;
}

/* A page of another site that makes its name point to us (DNS rebinding) still sends its own name. */
static bool host_allowed(const struct api *api, struct slice host)
{
	struct authority a;

	if (authority_parse(host, 80, &a) < 0)
		return false;
	if (host_is(&a, "localhost") || host_is(&a, "127.0.0.1") || host_is(&a, "::1"))
		return true;
	for (size_t i = 0; i < api->deps.n_hosts; i++)
		if (host_is(&a, api->deps.hosts[i]))
			return true;
	return false;
}

/* Health checks come from load balancers that know us by address only, and tell nothing. */
static bool host_matters(const struct api_call *call)
{
	return !slice_starts(call->path, SLICE("/health/"));
}

static bool caller_may(struct api *api, struct api_call *call, enum api_level needed)
{
	const char *name;

	if (needed == API_OPEN)
		return true;
	if (needed == API_CLOSED) {
		reply_error(call, 403, "Forbidden");
		return false;
	}
	if (!api->access.tokens || access_level(api->access.tokens, call->authorization, clock_wall_ns() / NS_PER_S,
						&call->level, &name) < 0) {
		reply_error(call, 401, "Not authenticated");
		reply_field(call, "WWW-Authenticate", "Bearer");
		return false;
	}
	if (call->level < needed) {
		reply_error(call, 403, "Forbidden");
		return false;
	}
	call->actor = arena_dup(call->arena, slice_of(name)); /* the directory may change while the call runs */
	return true;
}

/* --- running ------------------------------------------------------------------------------------------------------ */

/* To the path without its slash; every byte of it was matched against the table, so it is safe in a field. */
static void redirect(struct api_call *call)
{
	char to[256];
	int n = snprintf(to, sizeof(to), SLICE_FMT "%s" SLICE_FMT, (int)call->path.n - 1, call->path.p,
			 call->query.n ? "?" : "", SLICE_ARG(call->query));

	if (n < 0 || (size_t)n >= sizeof(to) || strpbrk(to, "\r\n")) {
		reply_error(call, 404, "Not Found");
		return;
	}
	call->status = 307;
	reply_field(call, "Location", to);
}

static void run_route(struct api *api, struct api_call *call, const struct api_route *route, struct slice raw_param,
		      bool trusted)
{
	if (trusted)
		call->level = API_ADMIN;
	else if (!caller_may(api, call, route->level))
		return;
	if (raw_param.n > 0 && reply_decode(call->arena, raw_param, false, &call->param) < 0) {
		reply_error(call, 404, "Not Found");
		return;
	}
	route->run(api, call);
}

void api_run(struct api *api, struct api_call *call, bool trusted)
{
	const struct api_route *route = NULL;
	struct slice raw_param = SLICE_NONE;
	char allow[64];

	CHECK_OBJ(api, API_MAGIC);
	call->type = "application/json";
	call->status = 500;
	reply_field(call, "Cache-Control", "no-store");
	reply_field(call, "X-Content-Type-Options", "nosniff");
	if (!trusted && host_matters(call) && !host_allowed(api, call->host)) {
		reply_error(call, 421, "This host name is not one of admin.allowed_hosts");
		return;
	}
	switch (routes_find(call->method, call->path, &route, &raw_param, allow, sizeof(allow))) {
	case ROUTE_FOUND:
		run_route(api, call, route, raw_param, trusted);
		return;
	case ROUTE_BAD_METHOD:
		reply_error(call, 405, "Method Not Allowed");
		reply_field(call, "Allow", allow);
		return;
	case ROUTE_SLASH:
		redirect(call);
		return;
	case ROUTE_UNKNOWN:
		reply_error(call, 404, "Not Found");
		return;
	}
}

static struct slice field_value(const struct h1_head *head, enum h1_field_id id)
{
	const struct h1_field *f = h1_find(head, id);

	return f ? f->value : SLICE_NONE;
}

void api_handle(void *ctx, struct httpd_request *req)
{
	const struct h1_field *key = h1_find_name(req->head, SLICE("idempotency-key"));
	struct api_call call = {
	    .arena = &req->arena,
	    .method = req->head->method_text,
	    .path = req->path,
	    .query = req->query,
	    .body = req->body,
	    .host = field_value(req->head, H1_F_HOST),
	    .authorization = field_value(req->head, H1_F_AUTHORIZATION),
	    .content_type = field_value(req->head, H1_F_CONTENT_TYPE),
	    .idempotency_key = key ? key->value : SLICE_NONE,
	};

	buf_init(&call.out, API_OUT_MAX);
	api_run(ctx, &call, false);
	httpd_reply(req, call.status, slice_of(call.type), slice_of(call.fields), buf_slice(&call.out));
	buf_done(&call.out);
}
