#include "app/ports.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "app/files.h"
#include "base/error.h"

static int port_of(const json_t *v, uint16_t *ret)
{
	json_int_t n = json_integer_value(v);

	if (n < 1 || n > 65535)
		return BUR_CORRUPT;
	*ret = (uint16_t)n;
	return BUR_OK;
}

static int decode(const json_t *o, struct ports *ret)
{
	const char *host = json_string_value(json_object_get(o, "admin_host"));
	int r = port_of(json_object_get(o, "admin"), &ret->admin);

	if (r == BUR_OK)
		r = port_of(json_array_get(json_object_get(o, "proxy"), 0), &ret->proxy);
	(void)snprintf(ret->admin_host, sizeof(ret->admin_host), "%s", host ? host : "127.0.0.1");
	return r;
}

int ports_read(const char *data_dir, struct ports *ret)
{
	char path[PATH_MAX], *text = NULL;
	json_t *o;
	size_t n;
	int r;

	if (!files_path(path, sizeof(path), data_dir, "ports.json"))
		return BUR_TOOBIG;
	r = files_read(path, 4096, &text, &n);
	if (r < 0)
		return r;
	o = json_loadb(text, n, 0, NULL);
	r = o ? decode(o, ret) : BUR_CORRUPT;
	json_decref(o);
	free(text);
	return r;
}
