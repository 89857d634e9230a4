#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/error.h"
#include "store/internal.h"

#define APPLICATION_ID 0x42555231 /* "BUR1" */

/* What is told to whom, see alerts.h. Times are ns since the epoch; 0 stands for never. The views name things as the
 * cost API does; a text that is no JSON would make them fail, so it reads as an empty object. */
#define ALERTS_TABLES                                                                                                  \
	"CREATE TABLE incident(id INTEGER PRIMARY KEY, key TEXT NOT NULL, type TEXT NOT NULL, budget TEXT NOT NULL,"   \
	" scope TEXT NOT NULL, facts TEXT NOT NULL, state INTEGER NOT NULL CHECK(state BETWEEN 0 AND 2),"              \
	" severity INTEGER NOT NULL, first_event INTEGER NOT NULL, last_event INTEGER NOT NULL,"                       \
	" events INTEGER NOT NULL, opened INTEGER NOT NULL, changed INTEGER NOT NULL, acked INTEGER NOT NULL,"         \
	" resolved INTEGER NOT NULL, escalated INTEGER NOT NULL, ends INTEGER NOT NULL, actor TEXT NOT NULL) STRICT;"  \
	"CREATE UNIQUE INDEX incident_open ON incident(key) WHERE state<>2;"                                           \
	"CREATE INDEX incident_key ON incident(key);"                                                                  \
	"CREATE INDEX incident_ends ON incident(ends) WHERE state<>2 AND ends>0;"                                      \
	"CREATE INDEX incident_changed ON incident(changed);"                                                          \
	"CREATE INDEX incident_resolved ON incident(resolved) WHERE state=2;"                                          \
	"CREATE TABLE incident_event(incident INTEGER NOT NULL, event INTEGER NOT NULL, ts INTEGER NOT NULL,"          \
	" severity INTEGER NOT NULL, PRIMARY KEY(incident, event)) STRICT, WITHOUT ROWID;"                             \
	"CREATE TABLE outbox(id INTEGER PRIMARY KEY, event INTEGER NOT NULL, incident INTEGER NOT NULL,"               \
	" channel TEXT NOT NULL, op INTEGER NOT NULL, severity INTEGER NOT NULL,"                                      \
	" state INTEGER NOT NULL CHECK(state BETWEEN 0 AND 5), reason TEXT NOT NULL, facts TEXT NOT NULL,"             \
	" attempts INTEGER NOT NULL, created INTEGER NOT NULL, next INTEGER NOT NULL, sent INTEGER NOT NULL,"          \
	" status INTEGER NOT NULL, error TEXT NOT NULL) STRICT;"                                                       \
	"CREATE UNIQUE INDEX outbox_once ON outbox(event, channel, op) WHERE event>0;"                                 \
	"CREATE INDEX outbox_state ON outbox(state);"                                                                  \
	"CREATE INDEX outbox_channel ON outbox(channel, state);"                                                       \
	"CREATE INDEX outbox_due ON outbox(state, next) WHERE state IN (0,3);"                                         \
	"CREATE INDEX outbox_channel_due ON outbox(channel, state, next) WHERE state IN (0,3);"                        \
	"CREATE INDEX outbox_incident ON outbox(incident);"                                                            \
	"CREATE INDEX outbox_created ON outbox(created);"                                                              \
	"CREATE TABLE delivery(outbox INTEGER NOT NULL, attempt INTEGER NOT NULL, ts INTEGER NOT NULL,"                \
	" success INTEGER NOT NULL, status INTEGER NOT NULL, took_ms INTEGER NOT NULL, error TEXT NOT NULL,"           \
	" PRIMARY KEY(outbox, ts, attempt)) STRICT, WITHOUT ROWID;"                                                    \
	"CREATE TABLE told(incident INTEGER NOT NULL, channel TEXT NOT NULL, ref TEXT NOT NULL,"                       \
	" severity INTEGER NOT NULL, ts INTEGER NOT NULL, resolved INTEGER NOT NULL,"                                  \
	" PRIMARY KEY(incident, channel)) STRICT, WITHOUT ROWID;"                                                      \
	"CREATE TABLE mute(id INTEGER PRIMARY KEY, budget TEXT NOT NULL, label TEXT NOT NULL, value TEXT NOT NULL,"    \
	" type TEXT NOT NULL, begins INTEGER NOT NULL, ends INTEGER NOT NULL, actor TEXT NOT NULL,"                    \
	" reason TEXT NOT NULL, UNIQUE(ends, begins, budget, label, value, type, actor, reason)) STRICT;"              \
	"CREATE TABLE channel_state(channel TEXT PRIMARY KEY, why TEXT NOT NULL, disabled INTEGER NOT NULL,"           \
	" since INTEGER NOT NULL, sent INTEGER NOT NULL, failed INTEGER NOT NULL, took_ms INTEGER NOT NULL,"           \
	" last INTEGER NOT NULL) STRICT, WITHOUT ROWID;"                                                               \
	"CREATE VIEW alerts AS SELECT id,type AS alert_type,"                                                          \
	" CASE severity WHEN 0 THEN 'info' WHEN 1 THEN 'warning' WHEN 2 THEN 'critical' ELSE 'exceeded' END"           \
	" AS alert_level,budget,scope,f->>'$.message' AS message,opened/1e9 AS timestamp,changed/1e9 AS updated,"      \
	" CASE state WHEN 0 THEN 'active' WHEN 1 THEN 'acknowledged' ELSE 'resolved' END AS state,"                    \
	" state=1 AS acknowledged,state=2 AS resolved,actor,f->>'$.labels.provider' AS provider,"                      \
	" f->>'$.period' AS period_type,f->>'$.window_start' AS period_start,f->>'$.unit' AS unit,"                    \
	" f->>'$.currency' AS currency,"                                                                               \
	" CASE WHEN coalesce(f->>'$.unit','USD')='USD' THEN (f->>'$.spent_nanos')/1e9 ELSE f->>'$.spent_nanos' END"    \
	" AS current,"                                                                                                 \
	" CASE WHEN coalesce(f->>'$.unit','USD')='USD' THEN (f->>'$.limit_nanos')/1e9 ELSE f->>'$.limit_nanos' END"    \
	" AS \"limit\",100*(f->>'$.ratio') AS percentage_used,100*(f->>'$.threshold') AS threshold_percentage,"        \
	" f AS metadata FROM (SELECT *,CASE WHEN json_valid(facts) THEN facts ELSE '{}' END AS f FROM incident);"      \
	"CREATE VIEW alert_deliveries AS SELECT o.incident AS alert_id,o.channel,d.attempt,d.success,d.error,"         \
	"d.status AS status_code,d.took_ms AS ms,d.ts/1e9 AS at,d.outbox FROM delivery d JOIN outbox o ON "            \
	"o.id=d.outbox;"

/* Steps are only ever added. Whole numbers are never NULL in ledger and posting: the seal covers them all. */
static const char *const migrations[] = {
    /* 1 */
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;"
    "CREATE TABLE name(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, text TEXT NOT NULL, UNIQUE(kind, text)) STRICT;"
    "CREATE TABLE meter_def(uid INTEGER PRIMARY KEY, budget TEXT NOT NULL, scope TEXT NOT NULL, unit INTEGER NOT NULL)"
    " STRICT;"
    "CREATE TABLE ledger(seq INTEGER PRIMARY KEY, uid BLOB NOT NULL UNIQUE CHECK(length(uid)=16), ref_uid BLOB,"
    " extra TEXT, kind INTEGER NOT NULL CHECK(kind BETWEEN 1 AND 5), ts_admit INTEGER NOT NULL,"
    " ts_settle INTEGER NOT NULL, node INTEGER NOT NULL, amount_n INTEGER NOT NULL, worst_n INTEGER NOT NULL,"
    " source INTEGER NOT NULL, flags INTEGER NOT NULL, key_id INTEGER NOT NULL, user_id INTEGER NOT NULL,"
    " team_id INTEGER NOT NULL, project_id INTEGER NOT NULL, provider_id INTEGER NOT NULL, model_id INTEGER NOT NULL,"
    " route_id INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,"
    " cached_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL, cache_write_1h_tokens INTEGER NOT NULL,"
    " reasoning_tokens INTEGER NOT NULL, requests INTEGER NOT NULL, searches INTEGER NOT NULL, tier INTEGER NOT NULL,"
    " price_version INTEGER NOT NULL, fx_ppb INTEGER NOT NULL, status INTEGER NOT NULL) STRICT;"
    "CREATE TABLE posting(seq INTEGER NOT NULL REFERENCES ledger, meter_uid INTEGER NOT NULL,"
    " win_start INTEGER NOT NULL, amount INTEGER NOT NULL, PRIMARY KEY(seq, meter_uid, win_start))"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE meter(meter_uid INTEGER NOT NULL, win_start INTEGER NOT NULL, win_end INTEGER,"
    " posted_n INTEGER NOT NULL DEFAULT 0, credit_n INTEGER NOT NULL DEFAULT 0, limit_n INTEGER,"
    " warned_mask INTEGER NOT NULL DEFAULT 0, state INTEGER NOT NULL DEFAULT 0, last_ts INTEGER NOT NULL DEFAULT 0,"
    " checked_n INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(meter_uid, win_start)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE ledger_seal(seq_to INTEGER PRIMARY KEY, prev BLOB NOT NULL, hash BLOB NOT NULL,"
    " rows INTEGER NOT NULL, sum_n INTEGER NOT NULL, ts INTEGER NOT NULL) STRICT;"
    "CREATE INDEX ledger_seal_ts ON ledger_seal(ts);"
    "CREATE TABLE outbox(id INTEGER PRIMARY KEY, ts INTEGER NOT NULL, kind TEXT NOT NULL, uid INTEGER NOT NULL,"
    " win_start INTEGER NOT NULL, at_ppm INTEGER NOT NULL, action INTEGER NOT NULL, payload TEXT NOT NULL,"
    " state INTEGER NOT NULL DEFAULT 0, UNIQUE(uid, win_start, at_ppm, action)) STRICT;"
    "CREATE INDEX outbox_open ON outbox(id) WHERE state=0;"
    "CREATE TABLE price_book(version INTEGER PRIMARY KEY, hash INTEGER NOT NULL, json TEXT NOT NULL,"
    " ts INTEGER NOT NULL) STRICT;"
    "CREATE TABLE key(id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE CHECK(length(digest)=32),"
    " name TEXT NOT NULL UNIQUE, first TEXT NOT NULL, user TEXT NOT NULL, team TEXT NOT NULL, project TEXT NOT NULL,"
    " tags TEXT NOT NULL, admin INTEGER NOT NULL, may_set_user INTEGER NOT NULL, created_s INTEGER NOT NULL,"
    " not_after_s INTEGER NOT NULL, revoked_s INTEGER NOT NULL) STRICT;"
    "CREATE TABLE journal_quarantine(id INTEGER PRIMARY KEY, ts INTEGER NOT NULL, slot INTEGER NOT NULL,"
    " raw BLOB NOT NULL) STRICT;",
    /* 2: corrections, and the numbers under which calls' bills can be learned later; ids ascend with time */
    "CREATE INDEX ledger_ref ON ledger(ref_uid) WHERE ref_uid IS NOT NULL;"
    "CREATE TABLE late(id INTEGER PRIMARY KEY, key INTEGER NOT NULL UNIQUE, uid BLOB NOT NULL CHECK(length(uid)=16),"
    " state INTEGER NOT NULL, bills INTEGER NOT NULL, ts INTEGER NOT NULL) STRICT;",
    /* 3: what people changed while it ran: who, why, and the chain over it; what is in force of it; and the state of
     * breakers and switches */
    "CREATE TABLE audit(seq INTEGER PRIMARY KEY, ts INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,"
    " object TEXT NOT NULL, reason TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL, prev BLOB NOT NULL,"
    " hash BLOB NOT NULL) STRICT;"
    "CREATE TABLE limit_change(budget TEXT PRIMARY KEY, unit INTEGER NOT NULL, configured_n INTEGER NOT NULL,"
    " limit_n INTEGER NOT NULL, ts INTEGER NOT NULL) STRICT;"
    "CREATE TABLE credit(id INTEGER PRIMARY KEY, budget TEXT NOT NULL, scope TEXT NOT NULL, unit INTEGER NOT NULL,"
    " amount_n INTEGER NOT NULL, win_start INTEGER NOT NULL, expires_s INTEGER NOT NULL, carry INTEGER NOT NULL,"
    " ts INTEGER NOT NULL) STRICT;"
    "CREATE TABLE switch(name TEXT PRIMARY KEY, value TEXT NOT NULL, ts INTEGER NOT NULL) STRICT;",
    /* 4: sums by time, made of the ledger as it is */
    ROLLUP_TABLES ROLLUP_FILL,
    /* 5: the ids under which people's changes may be repeated without harm */
    "CREATE TABLE operation(id BLOB PRIMARY KEY CHECK(length(id)=16), request BLOB NOT NULL,"
    " audit_seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX audit_object ON audit(object, seq);",
    /* 6: events get their own name; incidents, messages and their tries. What happened before is not told now. */
    "DROP INDEX outbox_open;"
    "ALTER TABLE outbox RENAME TO event;"
    "ALTER TABLE event DROP COLUMN state;"
    "CREATE INDEX event_ts ON event(ts);"
    "INSERT INTO meta(key,value) SELECT 'alerts_cursor',max(id) FROM event HAVING max(id) IS NOT NULL;" ALERTS_TABLES,
};

int db_schema_version(void)
{
	return (int)ARRAY_LEN(migrations);
}

bool db_is_damage(int sqlite_code)
{
	int primary = sqlite_code & 0xff;

	return primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB;
}

int db_err(int sqlite_code)
{
	switch (sqlite_code & 0xff) {
	case SQLITE_OK:
	case SQLITE_DONE:
		return BUR_OK;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return BUR_CORRUPT;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return BUR_BUSY;
	case SQLITE_NOMEM:
		return BUR_NOMEM;
	default:
		return BUR_IO;
	}
}

int db_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret)
{
	return sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL);
}

int db_run(sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	(void)sqlite3_reset(st); /* repeats the error of the step */
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

int db_scalar(sqlite3 *db, const char *sql, int64_t *ret)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db, sql, &st);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

int db_exec(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

void db_rollback(sqlite3 *db)
{
	if (!sqlite3_get_autocommit(db))
		(void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL); /* some errors have rolled back already */
}

/* --- connection --------------------------------------------------------------------------------------------------- */

static int settings(sqlite3 *db, bool writable)
{
	static const char *const reader = "PRAGMA query_only=ON; PRAGMA trusted_schema=OFF;";
	/* References are checked while other rooms' statements run, see writer_execute. */
	static const char *const writer =
	    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=OFF; PRAGMA trusted_schema=OFF;"
	    "PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=-16384; PRAGMA temp_store=MEMORY;";

	(void)sqlite3_busy_timeout(db, 5000);
	(void)sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	return db_exec(db, writable ? writer : reader);
}

int db_connect(const char *path, bool writable, sqlite3 **ret)
{
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE;
	int rc;

	flags |= writable ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY;
	rc = sqlite3_open_v2(path, ret, flags, NULL);
	return rc == SQLITE_OK ? settings(*ret, writable) : rc;
}

/* --- schema ------------------------------------------------------------------------------------------------------- */

static int pragma_int(sqlite3 *db, const char *sql, int64_t *ret)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db, sql, &st);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		*ret = sqlite3_column_int64(st, 0);
		rc = SQLITE_OK;
	}
	(void)sqlite3_finalize(st);
	return rc;
}

static int migrate_one(sqlite3 *db, int step)
{
	char version[64];
	int rc = db_exec(db, "BEGIN IMMEDIATE");

	(void)snprintf(version, sizeof version, "PRAGMA user_version=%d", step + 1);
	kill_point();
	if (rc == SQLITE_OK)
		rc = db_exec(db, migrations[step]);
	if (rc == SQLITE_OK)
		rc = db_exec(db, version);
	if (rc == SQLITE_OK)
		rc = db_exec(db, "COMMIT");
	kill_point();
	if (rc != SQLITE_OK)
		db_rollback(db);
	return rc;
}

int db_migrate(sqlite3 *db, char *reterr, size_t reterr_size)
{
	int64_t id = 0, version = 0, tables = 0;
	int rc, newest = db_schema_version();

	rc = pragma_int(db, "PRAGMA application_id", &id);
	if (rc == SQLITE_OK)
		rc = pragma_int(db, "PRAGMA user_version", &version);
	if (rc == SQLITE_OK)
		rc = pragma_int(db, "SELECT count(*) FROM sqlite_schema", &tables);
	if (rc == SQLITE_OK && id != APPLICATION_ID && (id != 0 || tables != 0)) {
		(void)snprintf(reterr, reterr_size, "it is not a bursar database");
		return BUR_CORRUPT;
	}
	if (rc == SQLITE_OK && (version > newest || version < 0)) {
		(void)snprintf(
		    reterr, reterr_size,
		    "written by a newer bursar (schema %lld, this program knows %d): install that version again",
		    (long long)version, newest);
		return BUR_UNSUPPORTED;
	}
	if (rc == SQLITE_OK && id == 0)
		rc = db_exec(db, "PRAGMA application_id=1112887857");
	for (int i = (int)version; i < newest && rc == SQLITE_OK; i++)
		rc = migrate_one(db, i);
	if (rc != SQLITE_OK)
		(void)snprintf(reterr, reterr_size, "%s", sqlite3_errmsg(db));
	return db_err(rc);
}
_Static_assert(APPLICATION_ID == 1112887857, "the text of the pragma");

/* --- meta --------------------------------------------------------------------------------------------------------- */

static int meta_get(sqlite3 *db, const char *key, sqlite3_stmt **ret)
{
	int rc = db_prepare(db, "SELECT value FROM meta WHERE key=?1", ret);

	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(*ret, 1, key, -1, SQLITE_STATIC);
	return rc == SQLITE_OK ? sqlite3_step(*ret) : rc;
}

int db_meta_int(sqlite3 *db, const char *key, int64_t fallback, int64_t *ret)
{
	sqlite3_stmt *st = NULL;
	int rc = meta_get(db, key, &st);

	*ret = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : fallback;
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? BUR_OK : db_err(rc);
}

static int meta_set(sqlite3 *db, const char *key, int64_t number, const void *blob, int blob_n)
{
	sqlite3_stmt *st = NULL;
	int rc =
	    db_prepare(db, "INSERT INTO meta(key,value) VALUES(?1,?2) ON CONFLICT(key) DO UPDATE SET value=?2", &st);

	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = blob ? sqlite3_bind_blob(st, 2, blob, blob_n, SQLITE_STATIC) : sqlite3_bind_int64(st, 2, number);
	if (rc == SQLITE_OK)
		rc = db_run(st);
	(void)sqlite3_finalize(st);
	return db_err(rc);
}

int db_meta_set_int(sqlite3 *db, const char *key, int64_t value)
{
	return meta_set(db, key, value, NULL, 0);
}

int db_meta_uuid(sqlite3 *db, const char *key, uint8_t ret[16])
{
	sqlite3_stmt *st = NULL;
	int rc = meta_get(db, key, &st), r = BUR_OK;

	if (rc == SQLITE_ROW && sqlite3_column_bytes(st, 0) == 16)
		memcpy(ret, sqlite3_column_blob(st, 0), 16);
	else if (rc == SQLITE_ROW)
		r = BUR_CORRUPT;
	else if (rc != SQLITE_DONE)
		r = db_err(rc);
	(void)sqlite3_finalize(st);
	if (rc != SQLITE_DONE)
		return r;
	if (getrandom(ret, 16, 0) != 16)
		return BUR_IO;
	return meta_set(db, key, 0, ret, 16);
}
