/* operate_internal.h - what the files of operate.h share: one change, its id and its row in the audit log. */
#ifndef STORE_OPERATE_INTERNAL_H
#define STORE_OPERATE_INTERNAL_H

#include "base/amount.h"
#include "store/internal.h"
#include "store/operate.h"

struct change {
	struct store *store;
	const struct operation *op;
	const char *action;
	char object[AUDIT_TEXT_MAX + 1];
	uint8_t id[16], request[16]; /* set by operate_run or operate_begin */
	/* In the transaction; fills before and after. Not BUR_OK: nothing is written. */
	int (*apply)(struct change *, sqlite3 *, void *arg);
	void *arg;
	struct operated *ret;
};

/* `what`: the bytes that tell this change from others on the same object. */
int operate_run(struct change *, const void *what, size_t n) NONNULL(1) MUST_USE;
/* Only the id, from the caller's or by chance. */
int operate_begin(struct change *, const void *what, size_t n) NONNULL(1) MUST_USE;
/* A row of the log for the change's object. */
int operate_log(sqlite3 *, const struct change *, const char *action, const char *before, const char *after,
		int64_t *ret_seq) MUST_USE;
/* "BUDGET" or "BUDGET SCOPE"; false: too long. */
bool operate_object(struct change *, struct slice budget, struct slice scope);

#define AMOUNT_WORDS_MAX (AMOUNT_TEXT_MAX + 16)
/* "80 USD", "2000000 tokens". Returns dst. */
const char *operate_words(int unit, int64_t v, char dst[AMOUNT_WORDS_MAX]);

static inline void operate_bind(sqlite3_stmt *st, int i, struct slice s)
{
	(void)sqlite3_bind_text64(st, i, s.n ? s.p : "", s.n, SQLITE_STATIC, SQLITE_UTF8);
}

static inline struct slice operate_column(sqlite3_stmt *st, int i)
{
	const char *p = (const char *)sqlite3_column_text(st, i);

	return p ? slice_mem(p, (size_t)sqlite3_column_bytes(st, i)) : SLICE_NONE;
}

#endif
