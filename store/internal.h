/* internal.h - what the files of this room share; nobody outside includes it (unit tests of the room may).
 *
 * db.c connection, schema, meta | names.c interned names and meters | note.c, event.c events | seal.c rows and their
 * hash chain | batch.c batches as virtual tables | writer.c transactions and the thread | recover.c journal and
 * counters at start | rollup.c sums by time | adjust.c rows that correct rows, what the budgets are told | late.c bills
 * that come later | operate.c, operate_limits.c, audit.c what people change | alerts.c, alerts_read.c what is told to
 * whom | open.c opening and closing | store.c calls, sync, upkeep | health.c storage state | trouble.c what is told of
 * it | fault.c faults for tests.
 */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H

#include <openssl/evp.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <string.h>

#include "base/ring.h"
#include "store/adjust.h"
#include "store/late.h"
#include "store/ledger.h"
#include "store/note.h"
#include "store/rollup.h"
#include "store/store.h"

#define STORE_MAGIC 0x53544f52u
#define STORE_WORKERS_MAX 256
#define BATCH_ROWS 1000
#define EVENTS_PER_WORKER 256
#define BILLS_PER_WORKER 256
#define TELLS_PER_WORKER 256
#define HASH_BYTES 32

/* --- fault.c: only armed by tests -------------------------------------------------------------------------------- */
extern _Atomic int64_t fault_kill_left;
void fault_kill_hit(void);
/* A numbered instant: BURSAR_KILL_AT=n in the environment at store_open dies at the n-th one that is passed. */
static inline void kill_point(void)
{
	if (UNLIKELY(atomic_load_explicit(&fault_kill_left, memory_order_relaxed) != 0))
		fault_kill_hit();
}
void fault_kill_arm(void);
/* After `skip` good commits the next `times` fail with the SQLite code; with `done` the commit happens all the same and
 * only its answer is lost. */
void store_test_fail(int skip, int times, int sqlite_code, bool done);
/* Fails the n-th commit from now (1 = the next). */
void store_test_fail_next(int n, int sqlite_code);
/* SQLITE_OK, or what this commit is to answer. */
int fault_commit(bool *ret_done) NONNULL(1);

/* The text of an errno; unlike strerror, any thread may ask. */
static inline const char *os_error(int code)
{
	const char *text = strerrordesc_np(code);

	return text ? text : "unknown error";
}

/* --- journal.c ---------------------------------------------------------------------------------------------------- */
const void *journal_map(const struct journal *, size_t *ret_bytes) NONNULL(1, 2);

/* --- db.c --------------------------------------------------------------------------------------------------------- */
/* Prepares and runs text without results. SQLite's code. */
int db_exec(sqlite3 *, const char *sql) NONNULL(1, 2) MUST_USE;
/* Steps a statement that gives no rows, resets it, and returns SQLITE_OK or the error. */
int db_run(sqlite3_stmt *) NONNULL(1) MUST_USE;
int db_prepare(sqlite3 *, const char *sql, sqlite3_stmt **ret) NONNULL(1, 2, 3) MUST_USE;
/* The first column of the first row, which there must be. */
int db_scalar(sqlite3 *, const char *sql, int64_t *ret) NONNULL(1, 2, 3) MUST_USE;
void db_rollback(sqlite3 *) NONNULL(1);
static inline void db_bind_slice(sqlite3_stmt *st, int i, struct slice s)
{
	(void)sqlite3_bind_text64(st, i, s.n ? s.p : "", s.n, SQLITE_STATIC, SQLITE_UTF8);
}
/* Lives until the next step. */
static inline struct slice db_slice(sqlite3_stmt *st, int i)
{
	const unsigned char *text = sqlite3_column_text(st, i);

	return slice_mem(text, text ? (size_t)sqlite3_column_bytes(st, i) : 0);
}
/* A connection with the room's settings. SQLite's code; *ret is to be closed in any case. */
int db_connect(const char *path, bool writable, sqlite3 **ret) NONNULL(1, 3) MUST_USE;
/* Brings an opened database to this program's schema. BUR_UNSUPPORTED: written by a newer program; BUR_CORRUPT: not a
 * bursar database; BUR_IO. */
int db_migrate(sqlite3 *, char *reterr, size_t reterr_size) NONNULL(1, 2) MUST_USE;
int db_schema_version(void);
/* A number of table meta; `fallback` when absent. */
int db_meta_int(sqlite3 *, const char *key, int64_t fallback, int64_t *ret) NONNULL(1, 2, 4) MUST_USE;
int db_meta_set_int(sqlite3 *, const char *key, int64_t) NONNULL(1, 2) MUST_USE;
/* The 16 bytes of that name, made at random the first time. */
int db_meta_uuid(sqlite3 *, const char *key, uint8_t ret[16]) NONNULL(1, 2, 3) MUST_USE;
/* BUR_OK for SQLITE_OK; BUR_CORRUPT, BUR_BUSY, BUR_IO. */
int db_err(int sqlite_code);
bool db_is_damage(int sqlite_code);

/* --- names.c ------------------------------------------------------------------------------------------------------ */
struct names;
struct meter_def {
	struct slice budget, scope;
	int unit;
};
int names_open(const char *path, struct names **ret, char *reterr, size_t reterr_size) NONNULL(1, 2, 3) MUST_USE;
void names_close(struct names *);
/* Takes over what only the database knows, and notes what it knows already. Before threads. BUR_CORRUPT: the two
 * contradict each other. */
int names_merge(struct names *, sqlite3 *) NONNULL(1, 2) MUST_USE;
uint32_t names_id(struct names *, enum name_kind, struct slice text) NONNULL(1);
uint32_t names_last_id(struct names *) NONNULL(1);
int names_meter(struct names *, uint64_t uid, struct slice budget, struct slice scope, int unit) NONNULL(1) MUST_USE;
bool names_meter_find(struct names *, uint64_t uid, struct meter_def *ret) NONNULL(1, 3);
/* Writer thread: copies new entries into the database inside its transaction; names_mirrored after the commit.
 * SQLite's code. */
bool names_pending(struct names *) NONNULL(1);
int names_mirror(struct names *, sqlite3_stmt *insert_name, sqlite3_stmt *insert_meter) NONNULL(1, 2, 3) MUST_USE;
void names_mirrored(struct names *) NONNULL(1);
int names_flush(struct names *) NONNULL(1) MUST_USE;

/* --- seal.c ------------------------------------------------------------------------------------------------------- */
/* The whole-number columns of a ledger row, in the order of LEDGER_COLUMNS. */
enum row_int {
	R_KIND,
	R_TS_ADMIT,
	R_TS_SETTLE,
	R_NODE,
	R_AMOUNT,
	R_WORST,
	R_SOURCE,
	R_FLAGS,
	R_IDS, /* seven: key user team project provider model route */
	R_INPUT = R_IDS + JOURNAL_NAMES,
	R_OUTPUT,
	R_CACHED,
	R_CACHE_WRITE,
	R_CACHE_WRITE_1H,
	R_REASONING,
	R_REQUESTS,
	R_SEARCHES,
	R_TIER,
	R_PRICE_VERSION,
	R_FX_PPB,
	R_STATUS,
	R_INTS,
};
#define LEDGER_COLUMNS                                                                                                 \
	"uid,ref_uid,extra,kind,ts_admit,ts_settle,node,amount_n,worst_n,source,flags,key_id,user_id,team_id,"         \
	"project_id,provider_id,model_id,route_id,input_tokens,output_tokens,cached_tokens,cache_write_tokens,"        \
	"cache_write_1h_tokens,reasoning_tokens,requests,searches,tier,price_version,fx_ppb,status"
#define ROW_POSTINGS_MAX JOURNAL_METERS_MAX

struct posting {
	int64_t meter_uid, win_start, amount; /* the uid's bits as SQLite keeps them */
	int unit;                             /* from the meter's definition; reading only */
};
struct row {
	int64_t seq;
	uint8_t uid[16], ref_uid[16];
	bool has_ref, malformed; /* malformed: a column has a type that this program never writes */
	bool fresh;              /* writing: it was not in the ledger before */
	bool charged;            /* recovery: what was owed is not known, so it is the worst case */
	uint64_t late_key;       /* writing: see late.h */
	struct slice extra;      /* .p NULL = SQL NULL */
	int64_t v[R_INTS];
	struct slice names[JOURNAL_NAMES];
	size_t n_postings;
	struct posting postings[ROW_POSTINGS_MAX]; /* ascending by (meter_uid, win_start), none twice */
};

/* Rows after `after_seq` with names and postings, ascending. */
struct row_cursor {
	sqlite3_stmt *rows, *postings;
	bool posting_ready;
	int64_t orphans; /* postings without a row that were passed */
};
int row_cursor_open(struct row_cursor *, sqlite3 *, int64_t after_seq) NONNULL(1, 2) MUST_USE;
/* BUR_OK, BUR_EOF, BUR_IO, BUR_CORRUPT. The row's slices live until the next call. */
int row_cursor_next(struct row_cursor *, struct row *ret) NONNULL(1, 2) MUST_USE;
void row_cursor_close(struct row_cursor *) NONNULL(1);
/* Reads LEDGER_COLUMNS at `from`, then seq and the seven names. */
void row_read(sqlite3_stmt *, struct row *ret) NONNULL(1, 2);
#define NAME_OF(id_column) ",(SELECT text FROM name WHERE id=" id_column ")"
#define ROW_SELECT                                                                                                     \
	"SELECT " LEDGER_COLUMNS ",seq" NAME_OF("key_id") NAME_OF("user_id") NAME_OF("team_id") NAME_OF("project_id")  \
	    NAME_OF("provider_id") NAME_OF("model_id") NAME_OF("route_id") " FROM ledger "

/* The chain: hash(i) = SHA-256(hash(i-1), rows of i, trailer). ts never goes back and is never before a row's ts_admit,
 * so that it also serves as a coarse time index of the ledger. */
struct seal {
	EVP_MD_CTX *ctx;
	sqlite3_stmt *insert;
	bool loaded;
	int64_t seq_to, ts; /* of the last seal in the database */
	uint8_t head[HASH_BYTES];
	int64_t rows, sum, next_ts, next_seq_to; /* of the one in the making */
	uint8_t next_head[HASH_BYTES];
	struct rollup rollup; /* whatever is sealed is summed up, once */
};
int seal_init(struct seal *, sqlite3 *) NONNULL(1, 2) MUST_USE;
void seal_done(struct seal *) NONNULL(1);
/* All inside the writer's transaction. SQLite's codes. */
int seal_begin(struct seal *, sqlite3 *) NONNULL(1, 2) MUST_USE;
void seal_row(struct seal *, const struct row *) NONNULL(1, 2);
int seal_end(struct seal *, int64_t now_ns) NONNULL(1) MUST_USE; /* writes nothing when no row was added */
void seal_committed(struct seal *) NONNULL(1);
void seal_unknown(struct seal *) NONNULL(1); /* the commit failed: look again what is there */
/* Seals rows that others put into the ledger. */
int seal_catch_up(struct seal *, sqlite3 *, int64_t now_ns) NONNULL(1, 2) MUST_USE;

struct seal_report {
	uint64_t rows, seals, errors;
	char first_error[200];
};
/* Recomputes the chain from the seal that ends at `after_seq` (0 = the beginning). BUR_OK also when errors were found;
 * BUR_IO, BUR_CORRUPT when the database cannot be read. */
int seal_verify(sqlite3 *, int64_t after_seq, int (*each)(void *ctx, const struct row *), void *ctx,
		struct seal_report *ret) NONNULL(1, 5) MUST_USE;

/* --- writer.c ----------------------------------------------------------------------------------------------------- */
enum writer_stmt {
	W_BEGIN,
	W_COMMIT,
	W_ROWS,
	W_POSTINGS,
	W_SUMS,
	W_IS_NEW,
	W_WARNED,
	W_EVENT,
	W_NOTE,
	W_QUARANTINE,
	W_NAME,
	W_METER_DEF,
	W_NAME_OF,
	W_BUDGET_OF,
	W_UID,
	W_ROW_OF,
	W_POSTINGS_OF,
	W_CALL_OF,
	W_LATE_FIND,
	W_LATE_ADD,
	W_LATE_SET,
	W_LATE_ALSO,
	W_LATE_OVER,
	W_LATE_OLD,
	W_COUNT,
};
/* A call's row and those that refer to it: what sums need. */
#define CALL_COLUMNS                                                                                                   \
	"kind,amount_n,input_tokens,output_tokens,cached_tokens,cache_write_tokens,cache_write_1h_tokens,"             \
	"reasoning_tokens,requests,searches,seq,flags,source,extra"
#define CALL_SELECT                                                                                                    \
	"SELECT " CALL_COLUMNS " FROM ledger WHERE uid=?1 UNION ALL SELECT " CALL_COLUMNS                              \
	" FROM ledger WHERE ref_uid=?1"
/* A row whose postings the engine does not know of yet. */
struct post_row {
	uint8_t uid[16];
	size_t n;
	struct posting at[ROW_POSTINGS_MAX];
};
#define POSTS_MAX (2 * BATCH_ROWS) /* late calls and late bills of one batch */
struct late_unknown {
	uint64_t key;
	int64_t nanousd;
};
/* Sums of one batch by counter and window. */
#define SUMS_SIZE 32768 /* over BATCH_ROWS * JOURNAL_METERS_MAX */
struct meter_sum {
	int64_t uid, win_start, amount, last_ts;
	bool used;
};
struct writer {
	sqlite3 *db;
	sqlite3_stmt *st[W_COUNT];
	struct seal seal;
	struct row *rows; /* BATCH_ROWS; what the next writer_flush puts down */
	size_t n_rows;
	struct meter_sum *sums;
	uint32_t *sums_used;
	size_t n_sums;
	uint32_t turn; /* the worker that goes first */
	struct batch_item {
		uint32_t worker, slot;
	} items[BATCH_ROWS], late[BATCH_ROWS];
	size_t n_items, n_late;
	uint32_t taken[STORE_WORKERS_MAX], events[STORE_WORKERS_MAX];
	bool retrying;                   /* the last commit failed: rows may be there already */
	size_t n_known;                  /* rows of this batch that were in the ledger before */
	struct post_row *posts, *unsure; /* POSTS_MAX; of this transaction, and of one that may have been committed */
	size_t n_posts, n_unsure;
	uint32_t bills[STORE_WORKERS_MAX]; /* in this batch */
	struct late_unknown unknown[BATCH_ROWS];
	size_t n_bills, n_unknown, n_late_keys;
	uint32_t tells[STORE_WORKERS_MAX]; /* in this batch */
	size_t n_troubles;
	/* Events that are in the database or in this transaction: what is told again and again costs nothing. */
#define NOTED_SIZE 512
	struct note_id {
		int64_t number, since_s, part, state;
	} noted[NOTED_SIZE];
};
int writer_init(struct writer *) NONNULL(1) MUST_USE; /* db is open */
void writer_done(struct writer *) NONNULL(1);
int writer_start(struct store *) NONNULL(1) MUST_USE;
void writer_stop(struct store *) NONNULL(1);
int writer_begin(struct writer *) NONNULL(1) MUST_USE;
/* Adds a row made from a slot's content to rows, of which there must be room. `extra` must live until writer_flush. */
void writer_row(struct writer *, const struct journal_entry *, int64_t settled_ns, struct slice extra, struct names *)
    NONNULL(1, 2, 5);
/* Rows, postings, counters, and the rows' part of the seal. The rows stay readable, with `fresh` set where they were
 * not in the ledger before, until the caller sets n_rows to 0. SQLite's code. */
int writer_flush(struct writer *) NONNULL(1) MUST_USE;
int writer_quarantine(struct writer *, uint32_t slot, const void *raw, int64_t now_ns) NONNULL(1, 3) MUST_USE;
int writer_commit(struct writer *) NONNULL(1) MUST_USE;
/* All that is waiting, in as many transactions as it takes. BUR_OK or the failure, which health has noted. */
int writer_drain(struct store *) NONNULL(1) MUST_USE;
int writer_execute(struct store *, int (*fn)(sqlite3 *, void *), void *arg) NONNULL(1, 2) MUST_USE;

/* --- note.c ------------------------------------------------------------------------------------------------------- */
/* What a worker told; the note's texts stand here. */
struct tell {
	struct note note;
	char kind[48], object[300], payload[TELL_PAYLOAD_MAX];
};
int64_t note_number(const char *kind, struct slice object) NONNULL(1); /* column `uid` */
/* Writes it inside the transaction under way, once. SQLite's code. */
int note_put(struct writer *, const struct note *) NONNULL(1, 2) MUST_USE;
/* The commit failed: what was written in it may be missing. */
void note_unknown(struct writer *) NONNULL(1);
bool note_gather(struct store *) NONNULL(1); /* is there anything from workers? */
int note_tells(struct store *) NONNULL(1) MUST_USE;
void note_committed(struct store *) NONNULL(1);

/* --- event.c: what the store itself tells, in the transaction of what it is about -------------------------------- */
struct own_event {
	const char *kind, *object, *message; /* at most 500 bytes each */
	const char *severity, *details;      /* details: members of JSON; NULL: none */
	int64_t since_s, part, at_ns, ends_s;
	enum note_state state;
};
int event_put(struct writer *, const struct own_event *) NONNULL(1, 2) MUST_USE; /* SQLite's code */
/* A step of a budget, and the counter's mask. SQLite's code. */
int event_of_step(struct writer *, const struct threshold_event *) NONNULL(1, 2) MUST_USE;
/* Damaged slots were set aside. */
int event_of_quarantine(struct writer *, uint32_t n, int64_t part, int64_t now_ns) NONNULL(1) MUST_USE;
#define EVENT_FLAGS (ROW_OVERRUN | ROW_NO_PRICE)
/* Of a row with one of EVENT_FLAGS that was just written. SQLite's code. */
int event_of_row(struct writer *, const struct row *) NONNULL(1, 2) MUST_USE;

/* --- adjust.c ----------------------------------------------------------------------------------------------------- */
/* A correction on its way into the ledger. Kind LEDGER_SPEND: a row of its own that only borrows names and counters. */
struct correction {
	const uint8_t *uid, *ref_uid;
	int kind;
	int64_t nanousd;
	struct adjust_units units;
	uint32_t price_version, flags; /* price_version 0, source 0: the row's own */
	int source;
	struct slice extra;
	int64_t now_ns;
};
/* Writes it inside the transaction under way, n_rows being 0. SQLite's code; *ret_result as in struct adjustment. */
int correction_put(struct writer *, const struct correction *, int *ret_result) NONNULL(1, 2, 3) MUST_USE;
/* Is this id in the ledger? SQLite's code. */
int adjust_known(struct writer *, const uint8_t uid[16], bool *ret) NONNULL(1, 2, 3) MUST_USE;
/* The call's sums inside the transaction. SQLite's code; *ret_found false: no such row of kind spend. */
int adjust_sums(struct writer *, const uint8_t uid[16], struct adjust_total *ret, bool *ret_found)
    NONNULL(1, 2, 3, 4) MUST_USE;
/* After a commit the engine hears of this row. */
void posts_add(struct writer *, const struct row *) NONNULL(1, 2);
/* First in each transaction: what became of the posts of one whose commit had no answer? SQLite's code. */
int posts_resolve(struct store *) NONNULL(1) MUST_USE;
void posts_committed(struct store *) NONNULL(1);
void posts_failed(struct writer *) NONNULL(1);

/* --- late.c ------------------------------------------------------------------------------------------------------- */
struct late_item {
	uint64_t key, also; /* also 0: a bill; else a second number for the same */
	struct late_bill bill;
};
/* Keeps the numbers of rows that were just written. SQLite's code. */
int late_note(struct writer *, const struct row *) NONNULL(1, 2) MUST_USE;
/* Writes the row of a call that ended with ROW_LATE, and what it changes elsewhere. n_rows is 0 before; after, 1 when
 * the row was written. SQLite's code. */
int late_call(struct writer *, const struct journal_entry *, int64_t settled_ns, struct slice extra, struct names *)
    NONNULL(1, 2, 5) MUST_USE;
/* Bills beside calls: how many there are at most in this batch, and writing them. */
bool late_gather(struct store *) NONNULL(1);
/* Second names of bills, before late_call looks for what a fetch belongs to. */
int late_names(struct store *, int64_t now_ns) NONNULL(1) MUST_USE;
int late_bills(struct store *, int64_t now_ns) NONNULL(1) MUST_USE;
void late_committed(struct store *) NONNULL(1);
/* Some of the oldest numbers go, if there are too many or they are too old. SQLite's code. */
int late_prune(struct writer *, int64_t now_ns) NONNULL(1) MUST_USE;

/* --- batch.c ------------------------------------------------------------------------------------------------------ */
int batch_register(struct writer *) NONNULL(1) MUST_USE; /* SQLite's code */

/* --- ledger.c ----------------------------------------------------------------------------------------------------- */
/* The row as readers see it; its slices are the row's own. */
void ledger_row_of(const struct row *, struct ledger_row *ret) NONNULL(1, 2);

/* --- recover.c ---------------------------------------------------------------------------------------------------- */
/* What the journal holds goes into the ledger, then every slot is free. BUR_CORRUPT with strict_journal. */
int recover_journal(struct store *, struct recovery_report *) NONNULL(1, 2) MUST_USE;
/* Counters are set to the sums of their postings where they differ. */
int recover_meters(struct store *, uint64_t *ret_repaired) NONNULL(1, 2) MUST_USE;
/* Sums by time are made anew when they are not the ledger's. */
int recover_rollups(struct store *, bool *ret_repaired) NONNULL(1, 2) MUST_USE;

/* --- trouble.c: what is told of storage that fails. It may only be written when it works again. ------------------- */
enum trouble_level { TROUBLE_NONE, TROUBLE_ROOM, TROUBLE_LAGGING, TROUBLE_DOWN };
#define TROUBLES_MAX 8
struct trouble {                 /* under the lock of health */
	enum trouble_level told; /* the worst that was noticed of what goes on now */
	int64_t since_ns;        /* when it began */
	struct trouble_note {
		int64_t at_ns, since_ns;
		enum trouble_level level; /* NONE: it is over */
		char text[200];
	} waiting[TROUBLES_MAX];
	size_t n;
};
void trouble_is(struct trouble *, enum trouble_level, const char *text) NONNULL(1, 3);
/* The writer's; SQLite's code. */
bool trouble_gather(struct store *) NONNULL(1);
int trouble_write(struct store *) NONNULL(1) MUST_USE;
void trouble_committed(struct store *) NONNULL(1);
/* What the last run told and did not end: this one will. Before threads. BUR_IO. */
int trouble_load(struct store *) NONNULL(1) MUST_USE;

/* --- health.c ----------------------------------------------------------------------------------------------------- */
struct health {
	pthread_mutex_t lock;
	_Atomic int state;             /* enum store_state */
	_Atomic int64_t busy_since_ns; /* monotonic: the writer has had the oldest batch since then; 0 = none */
	_Atomic int64_t free_bytes;
	_Atomic uint64_t rows, commits, commit_errors, untold;
	_Atomic bool damaged;
	bool failing, disk_low, disk_little; /* all below under lock; little: long before it is too low */
	struct trouble trouble;
	char cause[160];
	char text[200], room[200];
};
void health_failed(struct store *, int sqlite_code, const char *cause) NONNULL(1, 3);
void health_committed(struct store *) NONNULL(1);
void health_damaged(struct store *, const char *cause) NONNULL(1, 2);
/* Works the state out anew; called by the writer after each turn and by store_tick. */
void health_refresh(struct store *) NONNULL(1);
void health_check_disk(struct store *) NONNULL(1);
/* Only asked when the state is not STORE_OK. */
bool health_admits(struct store *, const struct call *) NONNULL(1, 2);
int64_t health_unpersisted(struct store *) NONNULL(1);

/* --- open.c, store.c
 * ------------------------------------------------------------------------------------------------------ */
/* What the journal has no room for; written by the worker before it hands over the slot. */
struct end_note {
	int64_t settled_ns, amount_nanousd;
	uint32_t extra_n;
	char extra[500];
};
struct worker {
	uint32_t first, n; /* its slots */
	uint32_t *free;    /* stack; worker only */
	uint32_t n_free;
	uint64_t counter, random;
	/* u32 slot to the writer; u32 slot from it; struct threshold_event; struct late_item; struct tell */
	struct ring settled, back, events, bills, tells;
	_Atomic uint64_t begun, voided; /* worker writes */
	_Atomic int64_t settled_nanousd;
	CACHE_ALIGNED _Atomic uint64_t released; /* writer writes */
	_Atomic int64_t written_nanousd;
};
struct job {
	int (*fn)(sqlite3 *, void *);
	void *arg;
	int result;
	bool done;
	struct job *next;
};
struct store {
	unsigned magic;
	struct store_config cfg;
	char *dir;
	int lock_fd;
	uint32_t boot;
	struct journal *journal;
	struct names *names;
	struct worker *workers;
	struct end_note *ends; /* one per slot */
	struct writer writer;
	struct store_hooks hooks;
	struct health health;
	bool clean_possible; /* recovery is over: an orderly end may be noted */

	sqlite3 *checkpoint_db; /* control thread */
	_Atomic int wal_pages;
	int64_t checkpoint_ns, disk_ns;
	uint64_t checkpoint_commits;
	bool wal_truncated;

	pthread_t thread;
	bool started;
	pthread_mutex_t lock; /* all below; taken before health.lock, never the other way */
	pthread_cond_t wake, done;
	bool stopping, poked;
	uint64_t sync_wanted, sync_done;
	struct job *jobs; /* first come, first served */
};
char *store_path(const struct store *, const char *file) NONNULL(1, 2) MUST_USE; /* malloc; NULL: no memory */

#endif
