/* reply.h - what the handlers share: the api object, errors, and query parameters. Internal to the room. */
#ifndef API_REPLY_H
#define API_REPLY_H

#include "api/access.h"
#include "api/api.h"

struct figures;
struct sqlite3;

struct api {
	unsigned magic;
	struct api_deps deps;
	struct access_dirs access;
	struct sqlite3 *reader;  /* opened when first needed */
	struct figures *figures; /* of the cost API, see figures.h */
	bool draining;
};
#define API_MAGIC 0x61706931u
#define API_OUT_MAX (8 * 1024 * 1024)

/* {"detail": text} */
void reply_error(struct api_call *, int status, const char *text) NONNULL(1, 3);
/* 422 for one parameter, as cost-endpoint clients expect it; `where` is "query" or "body". */
void reply_invalid(struct api_call *, const char *where, const char *name, const char *type, const char *message,
		   struct slice input) NONNULL(1, 2, 3, 4, 5);
/* Appends "name: value\r\n" to the answer's header; both are ours. */
void reply_field(struct api_call *, const char *name, const char *value) NONNULL(1, 2, 3);

/* The last value of a query parameter, decoded into the call's arena; .p NULL when absent. BUR_INVALID: bad
 * percent-encoding (answered already). */
int reply_query(struct api_call *, const char *name, struct slice *ret) NONNULL(1, 2, 3) MUST_USE;
/* A whole number between min and max into *inout, which stays as it is when absent. BUR_INVALID: answered already. */
int reply_query_u64(struct api_call *, const char *name, uint64_t min, uint64_t max, uint64_t *inout)
    NONNULL(1, 2, 5) MUST_USE;
/* Percent-decoding into the arena, `+` as space when `form`. BUR_INVALID, BUR_NOMEM. NUL is refused. */
int reply_decode(struct arena *, struct slice text, bool form, struct slice *ret) NONNULL(1, 4) MUST_USE;

/* The api's read-only connection, or NULL (answered already). */
struct sqlite3 *reply_reader(struct api *, struct api_call *) NONNULL(1, 2) MUST_USE;

#endif
