/* The index, the list of endpoints for people, and the certificate to trust. */
#include <stdio.h>
#include <string.h>

#include "api/body.h"
#include "api/reply.h"
#include "api/routes.h"
#include "api/views.h"
#include "base/error.h"

void view_index(struct api *api, struct api_call *call)
{
	(void)api;
	body_send(call, 200,
		  json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "name", "bursar", "docs", "/docs", "metrics", "/metrics",
			    "health", "/health/ready", "ca", "/ca.pem", "api", "/api/v1/budgets"));
}

static const char *level_name(enum api_level level)
{
	return level == API_OPEN ? "everybody" : level == API_VIEWER ? "viewer" : "admin";
}

/* Every text in it is ours. */
void view_docs(struct api *api, struct api_call *call)
{
	const struct api_route *routes;
	size_t n;
	int r;

	(void)api;
	routes = routes_all(&n);
	r = buf_printf(&call->out, "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>bursar</title>\n"
				   "<h1>bursar: endpoints</h1>\n<p>Send <code>Authorization: Bearer KEY</code>; "
				   "<code>bursar keys create --role viewer</code> makes one.</p>\n<table>\n"
				   "<tr><th>method<th>path<th>who<th>what</tr>\n");
	for (size_t i = 0; i < n && r == BUR_OK; i++)
		r = buf_printf(&call->out, "<tr><td>%s<td><code>%s</code><td>%s<td>%s</tr>\n", routes[i].method,
			       routes[i].path, level_name(routes[i].level), routes[i].summary);
	if (r == BUR_OK)
		r = buf_printf(&call->out, "</table>\n</html>\n");
	call->type = "text/html; charset=utf-8";
	call->status = r == BUR_OK ? 200 : 500;
	reply_field(call, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'");
}

void view_ca_pem(struct api *api, struct api_call *call)
{
	if (api->deps.ca_pem.n == 0) {
		reply_error(call, 404, "There is no certificate authority here");
		return;
	}
	call->type = "application/x-pem-file";
	call->status = buf_append_slice(&call->out, api->deps.ca_pem) == BUR_OK ? 200 : 500;
}
