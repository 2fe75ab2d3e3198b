/*
 * db.h: one PostgreSQL connection driven by libev, that never blocks and reconnects by itself.
 *
 * Statements queue in order and go out one at a time; each is its own transaction unless the
 * caller sends BEGIN and COMMIT. Parameters and results are binary. With `prepared`, a statement
 * is prepared the first time its text is used on a connection, and again after a reconnect.
 *
 * Callbacks come from the event loop, never from inside db_query, and in the order of the
 * queries. They may call any function of this file, db_close included. Every accepted query is
 * called back exactly once: when the connection breaks, or the owner closes it, with DB_LOST.
 * An answer counts only once the server has said that it is ready for the next query, because a
 * commit can still fail after the rows were seen.
 *
 * One thing can block: libpq resolves host names synchronously when a connection begins. Name
 * database hosts by address (hostaddr), in /etc/hosts, or by a resolver that caches.
 *
 * Nothing here writes parameters or results into the log.
 */
#ifndef LONGHAUL_DB_H
#define LONGHAUL_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "ids.h"
#include "pgarray.h"

struct ev_loop;
typedef struct pg_result PGresult; /* libpq's own; only the readers below look inside */

struct db;

struct db_config {
	const char *conninfo;         /* libpq string or URI; NULL or "" = the PG* environment */
	const char *application_name; /* unless conninfo names one */
	bool prepared;                /* false behind PgBouncer in transaction mode */
	int reconnect_min_ms;         /* 0 = 100 */
	int reconnect_max_ms;         /* 0 = 5000 */
	int connect_timeout_ms;       /* one attempt; 0 = 5000 */
	int query_timeout_ms;         /* for one query, then the connection is dropped; 0 = none */
	int statement_timeout_ms;     /* set on the server (only if prepared); 0 = the role's own */
	const char *session_sql;      /* after each connect (only if prepared); may be NULL */
};

/* For measuring: called when a query has returned, `seconds` after it was sent, and, with a negative number, when a
 * connection came up. One for all connections; NULL = none. */
typedef void db_observe_fn(const char *label, double seconds);
void db_observe(db_observe_fn *fn);

/* The connection came up (LISTENs are in place, nothing is queued) or went down. */
typedef void db_state_fn(void *ctx, bool up);

/* Begins to connect and returns at once. The strings of `config` are copied. `label` (static) names
 * the connection in the log. */
struct db *db_open(struct ev_loop *loop, const struct db_config *config, const char *label,
		   db_state_fn *on_state, void *ctx);
/* Calls back what is outstanding with DB_LOST, closes, frees. on_state isn't called. NULL is fine. */
void db_close(struct db *db);
/* Breaks the connection (what is open rolls back) and connects anew at once. */
void db_reset(struct db *db);
/* The server has answered on another connection: a wait for the next try to connect ends now. NULL is fine. */
void db_hurry(struct db *db);

bool db_up(const struct db *db);
bool db_idle(const struct db *db);      /* up, nothing under way or queued */
size_t db_pending(const struct db *db); /* queries accepted and not yet called back */
/* From BEGIN until COMMIT or ROLLBACK has returned. */
bool db_in_transaction(const struct db *db);
/* Why it isn't up: one line, without secrets; "" if unknown. */
const char *db_last_error(const struct db *db);

/* Parameters of one query. Values are copied. Zero-initialised is empty. */
#define DB_PARAMS_MAX 24

struct db_params {
	int n;
	bool failed; /* too many, or out of memory */
	struct db_param {
		enum db_type type;
		int32_t len; /* -1 = null */
		size_t at;   /* in data */
	} v[DB_PARAMS_MAX];
	struct buf data;
};

void db_params_init(struct db_params *p);
void db_params_reset(struct db_params *p); /* empty again, keeps memory */
void db_params_free(struct db_params *p);
void dbp_null(struct db_params *p, enum db_type type);
void dbp_bool(struct db_params *p, bool v);
void dbp_int2(struct db_params *p, int16_t v);
void dbp_int4(struct db_params *p, int32_t v);
void dbp_int8(struct db_params *p, int64_t v);
void dbp_float8(struct db_params *p, double v);
void dbp_text(struct db_params *p, const char *v); /* NULL = SQL null, here and below */
void dbp_textn(struct db_params *p, const char *v, size_t len);
void dbp_bytea(struct db_params *p, const void *v, size_t len);
void dbp_uuid(struct db_params *p, const struct uuid *v);
void dbp_timestamptz(struct db_params *p, int64_t unix_ms);
void dbp_array(struct db_params *p, struct pgarray *a); /* the array may change afterwards */

enum db_outcome {
	DB_OK,
	DB_ERROR,   /* the server said no, nothing was done: see sqlstate */
	DB_LOST,    /* the connection broke or was closed; if `sent`, the outcome is unknown */
	DB_TIMEOUT, /* no answer in query_timeout_ms: dropped, the outcome is unknown */
};

struct db_result {
	enum db_outcome outcome;
	bool sent;            /* false: it never left this process, so nothing was done */
	const PGresult *res;  /* DB_OK: the rows, valid during the callback; else NULL */
	const char *sqlstate; /* five characters, or "" */
	const char *message;  /* the server's primary message, not its detail, which quotes data */
};

typedef void db_done_fn(void *ctx, const struct db_result *result);

/*
 * Sends a query, or queues it behind the earlier ones. `sql` must be a static string: it is the key
 * of its prepared statement. Params may be NULL; they can be changed or freed afterwards.
 * Returns false if the connection isn't up or the parameters failed: `done` is then not called.
 */
bool db_query(struct db *db, const char *sql, const struct db_params *params, db_done_fn *done,
	      void *ctx);
/* For BEGIN, COMMIT, ROLLBACK: the simple protocol, never prepared; rows are text. Copies `sql`. */
bool db_exec_simple(struct db *db, const char *sql, db_done_fn *done, void *ctx);

/* LISTENs on the channel from now on, over reconnects. The name is quoted here. */
void db_listen(struct db *db, const char *channel);
typedef void db_notify_fn(void *ctx, const char *channel, const char *payload);
void db_on_notify(struct db *db, db_notify_fn *notify, void *ctx);

/* True if this outcome means "the database is away", so that trying again later is right: lost,
 * timed out, or an error of class 08, 53, 57P, 25006 (read only: a fail-over is under way). */
bool db_is_outage(const struct db_result *result);

/* Readers. Rows and columns count from 0. A value of another type or length than asked for is a
 * defect: it is logged and read as zero. Null reads as zero, "" or NULL: ask dbr_null first. */
int dbr_rows(const PGresult *res);
bool dbr_null(const PGresult *res, int row, int col);
bool dbr_bool(const PGresult *res, int row, int col);
int16_t dbr_int2(const PGresult *res, int row, int col);
int32_t dbr_int4(const PGresult *res, int row, int col);
int64_t dbr_int8(const PGresult *res, int row, int col);
double dbr_float8(const PGresult *res, int row, int col);
/* With a NUL behind; len may be NULL. */
const char *dbr_text(const PGresult *res, int row, int col, size_t *len);
const unsigned char *dbr_bytea(const PGresult *res, int row, int col, size_t *len); /* or NULL */
struct uuid dbr_uuid(const PGresult *res, int row, int col);
int64_t dbr_ms(const PGresult *res, int row, int col); /* timestamptz → Unix ms */

#endif
