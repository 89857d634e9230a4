/* Virtual keys: list, make, revoke. A key's text is in one answer only: that of the call that made it. */
#include <string.h>

#include "api/access.h"
#include "api/body.h"
#include "api/reply.h"
#include "api/views.h"
#include "base/calendar.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

static const char *role_name(const struct key_row *row)
{
	enum api_level level = access_key_level(row);

	return level == API_ADMIN ? "admin" : level == API_VIEWER ? "viewer" : "call";
}

static json_t *instant_s(int64_t s)
{
	return s > 0 && s < INT64_MAX / NS_PER_S ? body_time(s * NS_PER_S) : json_null();
}

static json_t *tags_json(const struct key_row *row)
{
	struct tag tags[TAGS_MAX];
	json_t *o = json_object();
	size_t n = 0;
	char name[64];

	if (tags_parse(slice_of(row->tags), tags, &n) < 0)
		n = 0;
	for (size_t i = 0; i < n; i++) {
		if (slice_eq(tags[i].name, SLICE(ACCESS_ROLE_TAG)))
			continue;
		(void)slice_to_cstr(tags[i].name, name, sizeof(name));
		(void)json_object_set_new(o, name, body_text(tags[i].value));
	}
	return o;
}

static json_t *key_json(const struct key_row *row)
{
	return json_pack("{s:o,s:o,s:s,s:o,s:o,s:o,s:o,s:b,s:o,s:o,s:o}", "name", body_text(slice_of(row->name)),
			 "first", body_text(slice_of(row->first)), "role", role_name(row), "user",
			 body_text(slice_of(row->user)), "team", body_text(slice_of(row->team)), "project",
			 body_text(slice_of(row->project)), "tags", tags_json(row), "may_set_user", row->may_set_user,
			 "created_at", instant_s(row->created_s), "expires_at", instant_s(row->not_after_s),
			 "revoked_at", instant_s(row->revoked_s));
}

static int add_key(void *ctx, const struct key_row *row)
{
	return json_array_append_new(ctx, key_json(row)) == 0 ? BUR_OK : BUR_NOMEM;
}

void view_keys(struct api *api, struct api_call *call)
{
	json_t *rows = json_array();
	int r = rows ? keys_each(api->deps.store, add_key, rows) : BUR_NOMEM;

	if (r < 0) {
		json_decref(rows);
		reply_error(call, 503, "Database not available");
		return;
	}
	body_send(call, 200, json_pack("{s:o}", "keys", rows));
}

/* --- make --------------------------------------------------------------------------------------------------------- */

static bool plain_text(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < ' ' || s[i] == 127)
			return false;
	return true;
}

static int bad_field(struct api_call *call, const char *name, const char *message)
{
	reply_invalid(call, "body", name, "value_error", message, SLICE_NONE);
	return BUR_INVALID;
}

/* A string member into dst, all of it or nothing. Absent and null leave dst empty. */
static int take_text(struct api_call *call, const json_t *o, const char *name, char *dst, size_t dst_size)
{
	const json_t *v = json_object_get(o, name);
	size_t n;

	if (!v || json_is_null(v))
		return BUR_OK;
	n = json_string_length(v);
	if (!json_is_string(v) || n >= dst_size || !plain_text(json_string_value(v), n))
		return bad_field(call, name, "Input should be a short text without control characters");
	memcpy(dst, json_string_value(v), n);
	dst[n] = '\0';
	return BUR_OK;
}

static int append_tag(char *dst, size_t dst_size, const char *name, const char *value)
{
	size_t n = strlen(dst);
	int w = snprintf(dst + n, dst_size - n, "%s%s=%s", n ? "," : "", name, value);

	return w < 0 || (size_t)w >= dst_size - n ? BUR_TOOBIG : BUR_OK;
}

static int take_tags(struct api_call *call, json_t *o, struct key_row *row)
{
	json_t *tags = json_object_get(o, "tags"), *v;
	struct tag parsed[TAGS_MAX];
	const char *name;
	size_t n = 0;

	if (tags && !json_is_null(tags) && !json_is_object(tags))
		return bad_field(call, "tags", "Input should be an object of texts");
	json_object_foreach(tags, name, v)
	{
		if (!json_is_string(v) || strcmp(name, ACCESS_ROLE_TAG) == 0 ||
		    append_tag(row->tags, sizeof(row->tags), name, json_string_value(v)) < 0)
			return bad_field(call, "tags", "Input should be a few short texts");
	}
	if (tags_parse(slice_of(row->tags), parsed, &n) < 0 || n != (tags ? json_object_size(tags) : 0))
		return bad_field(call, "tags", "names are a-z 0-9 _ . - , values have no comma or equals sign");
	return BUR_OK;
}

static int take_role(struct api_call *call, const json_t *o, struct key_row *row)
{
	char role[16] = "call";

	if (take_text(call, o, "role", role, sizeof(role)) < 0)
		return BUR_INVALID;
	row->admin = strcmp(role, "admin") == 0;
	if (strcmp(role, "viewer") == 0)
		return append_tag(row->tags, sizeof(row->tags), ACCESS_ROLE_TAG, "viewer") < 0
			   ? bad_field(call, "tags", "too long")
			   : BUR_OK;
	if (row->admin || strcmp(role, "call") == 0)
		return BUR_OK;
	return bad_field(call, "role", "Input should be 'call', 'viewer' or 'admin'");
}

static int take_rest(struct api_call *call, const json_t *o, struct key_row *row)
{
	const json_t *may = json_object_get(o, "may_set_user");
	char expires[TIME_TEXT_MAX] = "";
	int64_t ns;

	if (may && !json_is_boolean(may))
		return bad_field(call, "may_set_user", "Input should be true or false");
	row->may_set_user = json_is_true(may);
	if (take_text(call, o, "expires_at", expires, sizeof(expires)) < 0)
		return BUR_INVALID;
	if (expires[0] == '\0')
		return BUR_OK;
	if (time_parse(slice_of(expires), &ns) < 0 || ns <= clock_wall_ns())
		return bad_field(call, "expires_at", "Input should be a date or date-time in the future");
	row->not_after_s = ns / NS_PER_S;
	return BUR_OK;
}

static int read_row(struct api_call *call, json_t *o, struct key_row *row)
{
	static const char *const known[] = {"name", "user",         "team",       "project", "tags",
					    "role", "may_set_user", "expires_at", NULL};

	if (!body_only_has(call, o, known) || take_text(call, o, "name", row->name, sizeof(row->name)) < 0 ||
	    take_text(call, o, "user", row->user, sizeof(row->user)) < 0 ||
	    take_text(call, o, "team", row->team, sizeof(row->team)) < 0 ||
	    take_text(call, o, "project", row->project, sizeof(row->project)) < 0 || take_tags(call, o, row) < 0 ||
	    take_role(call, o, row) < 0)
		return BUR_INVALID;
	return take_rest(call, o, row);
}

struct find_by_digest {
	uint8_t digest[32];
	struct key_row row;
	bool found;
};

static int find_digest(void *ctx, const struct key_row *row)
{
	struct find_by_digest *f = ctx;

	if (memcmp(row->digest, f->digest, sizeof(f->digest)) == 0) {
		f->row = *row;
		f->found = true;
	}
	return BUR_OK;
}

/* The answer shows the row as stored: the name may have been chosen by the store. */
static void send_created(struct api *api, struct api_call *call, const char *text)
{
	struct find_by_digest f = {0};
	json_t *body;

	key_digest(slice_of(text), f.digest);
	if (keys_each(api->deps.store, find_digest, &f) < 0 || !f.found) {
		reply_error(call, 503, "Database not available");
		return;
	}
	log_msg(LOG_INFO, "key.created", "virtual key %s (%s) made", f.row.name, role_name(&f.row));
	body = key_json(&f.row);
	if (body)
		(void)json_object_set_new(body, "key", json_string(text));
	body_send(call, 201, body);
}

static void create(struct api *api, struct api_call *call, const struct key_row *row)
{
	char text[KEY_TEXT_MAX];
	int r = keys_create(api->deps.store, row, text);

	if (r == BUR_ALREADY) {
		reply_error(call, 409, "A key with this name exists; revoked names are not used again");
		return;
	}
	if (r == BUR_OK)
		r = api_load_keys(api);
	if (r < 0) {
		log_limited(LOG_ERROR, "key.failed", "cannot make a key: %s", bur_strerror(r));
		reply_error(call, 503, "Database not available");
		return;
	}
	send_created(api, call, text);
	bytes_wipe(text, sizeof(text));
}

void view_key_create(struct api *api, struct api_call *call)
{
	struct key_row row = {.created_s = clock_wall_ns() / NS_PER_S};
	json_t *o;

	if (!slice_istarts(call->content_type, SLICE("application/json"))) {
		reply_error(call, 415, "Content-Type must be application/json");
		return;
	}
	o = json_loadb(call->body.p ? call->body.p : "", call->body.n, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(o))
		reply_error(call, 400, "The body must be a JSON object");
	else if (read_row(call, o, &row) == BUR_OK)
		create(api, call, &row);
	json_decref(o);
}

/* --- revoke ------------------------------------------------------------------------------------------------------- */

void view_key_revoke(struct api *api, struct api_call *call)
{
	int r = keys_revoke(api->deps.store, call->param, clock_wall_ns() / NS_PER_S);

	if (r == BUR_NOTFOUND) {
		reply_error(call, 404, "No such key");
		return;
	}
	if (r == BUR_OK || r == BUR_ALREADY) {
		bool changed = r == BUR_OK;

		r = api_load_keys(api);
		if (r == BUR_OK) {
			if (changed)
				log_msg(LOG_INFO, "key.revoked", "virtual key " SLICE_FMT " revoked",
					SLICE_ARG(call->param));
			body_send(call, 200,
				  json_pack("{s:o,s:b}", "name", body_text(call->param), "changed", changed));
			return;
		}
	}
	log_limited(LOG_ERROR, "key.failed", "cannot revoke a key: %s", bur_strerror(r));
	reply_error(call, 503, "Database not available");
}
