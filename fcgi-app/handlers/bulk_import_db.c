/*
 * bulk_import_db.c: one import's transaction, over libpq without blocking.
 */
#include "bulk_import_db.h"

#include "bulk_import_copy.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/times.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Their parameters: job, boot, fence; then how long the import ran. */
static const char import_begin[] = "SELECT longhaul.import_begin($1::uuid, $2::uuid, $3::bigint)";
static const char import_finish[] =
	"SELECT longhaul.import_finish($1::uuid, $2::uuid, $3::bigint, $4::integer)";

#define WAIT_MS 100         /* how long a wait goes on without a look at lh_cancelled() */
#define CANCEL_WAIT_MS 5000 /* for the server to obey; then the connection is given up */

struct import_db {
	char *conninfo;
	PGconn *conn; /* NULL: not connected */
	struct lh_job *job;
	bool stopping;         /* a cancel request was sent */
	int64_t stop_deadline; /* monotonic */
};

struct import_db *import_db_new(const char *conninfo)
{
	struct import_db *db = mem_zalloc(sizeof(*db));

	db->conninfo = mem_strdup(conninfo);
	return db;
}

static void disconnect(struct import_db *db)
{
	PQfinish(db->conn);
	db->conn = NULL;
}

void import_db_free(struct import_db *db)
{
	if (!db)
		return;
	disconnect(db);
	free(db->conninfo);
	free(db);
}

static void ignore_notice(void *ctx, const PGresult *res)
{
	(void)ctx;
	(void)res;
}

/* What stands in conninfo goes before connect_timeout and behind the name and encoding. */
static bool connect_db(struct import_db *db)
{
	const char *const keys[] = { "connect_timeout", "dbname", "fallback_application_name",
				     "client_encoding", NULL };
	const char *const values[] = { "10", db->conninfo, "longhaul-bulk-import", "UTF8", NULL };

	db->conn = PQconnectdbParams(keys, values, 1);
	if (db->conn && PQstatus(db->conn) == CONNECTION_OK && PQsetnonblocking(db->conn, 1) == 0) {
		PQsetNoticeReceiver(db->conn, ignore_notice, NULL);
		return true;
	}
	log_warning("bulk import: no connection to the database error=\"%s\"",
		    db->conn ? PQerrorMessage(db->conn) : "out of memory");
	disconnect(db);
	return false;
}

/* Asks the server to end what it is doing for us. */
static void send_cancel(struct import_db *db)
{
	PGcancel *cancel = PQgetCancel(db->conn);
	char error[256];

	db->stopping = true;
	db->stop_deadline = mono_ms() + CANCEL_WAIT_MS;
	if (!cancel || !PQcancel(cancel, error, sizeof(error)))
		db->stop_deadline = 0;
	PQfreeCancel(cancel);
}

/*
 * Waits until the socket is ready for one of the events. Between two looks it asks whether the job
 * is to stop and then cancels the statement, whose error is waited for like any answer. False: the
 * connection has been given up.
 */
static bool wait_socket(struct import_db *db, short events)
{
	struct pollfd p = { .fd = PQsocket(db->conn), .events = events };
	int n;

	for (;;) {
		n = poll(&p, 1, WAIT_MS);
		if (n > 0)
			return true;
		if (n < 0 && errno != EINTR)
			return false;
		if (!db->stopping && lh_cancelled(db->job))
			send_cancel(db);
		if (db->stopping && mono_ms() > db->stop_deadline)
			return false;
	}
}

/* Hands all that libpq holds to the socket. The server may have something to say meanwhile. */
static bool flush(struct import_db *db)
{
	int left;

	while ((left = PQflush(db->conn)) > 0)
		if (!wait_socket(db, POLLIN | POLLOUT) || !PQconsumeInput(db->conn))
			return false;
	return left == 0;
}

/* Waits for the next result. NULL at the end of a statement's, or if the connection broke. */
static PGresult *next_result(struct import_db *db)
{
	if (!flush(db))
		return NULL;
	while (PQisBusy(db->conn))
		if (!wait_socket(db, POLLIN) || !PQconsumeInput(db->conn))
			return NULL;
	return PQgetResult(db->conn);
}

/* The first result of the statement under way, or its error; the rest is dropped. NULL: the
 * connection broke. */
static PGresult *result_of(struct import_db *db)
{
	PGresult *res = next_result(db), *more;

	if (!res || PQresultStatus(res) == PGRES_COPY_IN)
		return res;
	while ((more = next_result(db)) != NULL) {
		if (PQresultStatus(more) == PGRES_FATAL_ERROR) {
			PQclear(res);
			res = more;
		} else {
			PQclear(more);
		}
	}
	return res;
}

static bool class_is(const char *sqlstate, const char *classes)
{
	char class[4] = { ' ', sqlstate[0], sqlstate[1], '\0' };

	return strstr(classes, class) != NULL;
}

/*
 * What an error means. Its detail and context can hold a customer's data, so the log gets the
 * primary message only. Ours to try again: connection (08), deadlock or serialization (40),
 * resources (53), an object in use (55), an operator's intervention (57), the server's disk (58).
 */
static enum import_outcome judge(struct import_db *db, const PGresult *res, const char *what)
{
	const char *sqlstate = res ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
	const char *message = res ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	bool lost = PQstatus(db->conn) != CONNECTION_OK;

	if (sqlstate && strcmp(sqlstate, "LH001") == 0)
		return IMPORT_STOPPED;
	if (db->stopping || lh_cancelled(db->job))
		return IMPORT_STOPPED;
	log_warning("bulk import: the database refused job=%s step=%s sqlstate=%s error=\"%s\"",
		    lh_job_info(db->job)->id, what, sqlstate ? sqlstate : "-",
		    message ? message
		    : lost  ? "the connection broke"
			    : PQerrorMessage(db->conn));
	if (!sqlstate || lost || class_is(sqlstate, " 08 40 53 55 57 58"))
		return IMPORT_AGAIN;
	return IMPORT_FAILED;
}

/*
 * Waits for the statement that was sent. Fine if its status is `good`; text (if not NULL) then gets
 * its first value, malloc'ed.
 */
static enum import_outcome expect(struct import_db *db, bool sent, ExecStatusType good,
				  const char *what, char **text)
{
	PGresult *res = sent ? result_of(db) : NULL;
	enum import_outcome outcome = IMPORT_OK;

	if (!res || PQresultStatus(res) != good)
		outcome = judge(db, res, what);
	else if (text)
		*text = mem_strdup(PQntuples(res) > 0 ? PQgetvalue(res, 0, 0) : "");
	PQclear(res);
	return outcome;
}

/* A function of (job, boot, fence) and one number more, if it isn't negative. */
static enum import_outcome call(struct import_db *db, const char *sql, int64_t number,
				const char *what, char **text)
{
	const struct lh_job_info *job = lh_job_info(db->job);
	char fence[24], more[24];
	const char *values[] = { job->id, job->lease_boot, fence, more };
	bool sent;

	snprintf(fence, sizeof(fence), "%lld", (long long)job->lease_fence);
	snprintf(more, sizeof(more), "%lld", (long long)number);
	sent = PQsendQueryParams(db->conn, sql, number < 0 ? 3 : 4, NULL, values, NULL, NULL, 0);
	return expect(db, sent, PGRES_TUPLES_OK, what, text);
}

/* A connection that was kept may have died since: then, once, a new one. */
static enum import_outcome begin_transaction(struct import_db *db)
{
	bool kept = db->conn != NULL;
	enum import_outcome outcome;

	if (!kept && !connect_db(db))
		return IMPORT_AGAIN;
	outcome = expect(db, PQsendQuery(db->conn, "BEGIN"), PGRES_COMMAND_OK, "begin", NULL);
	if (outcome == IMPORT_AGAIN && kept && PQstatus(db->conn) != CONNECTION_OK) {
		disconnect(db);
		return begin_transaction(db);
	}
	return outcome;
}

/* The name comes from the database, but it becomes part of a statement. */
static bool is_table_name(const char *name)
{
	return *name && name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_.")] == '\0';
}

enum import_outcome import_db_begin(struct import_db *db, struct lh_job *job)
{
	enum import_outcome outcome;
	char *table = NULL, sql[256];

	db->job = job;
	db->stopping = false;
	outcome = begin_transaction(db);
	if (outcome == IMPORT_OK)
		outcome = call(db, import_begin, -1, "import_begin", &table);
	if (outcome != IMPORT_OK)
		return outcome;
	if (!is_table_name(table) ||
	    snprintf(sql, sizeof(sql),
		     "COPY %s (" IMPORT_COPY_COLUMNS ") FROM STDIN (FORMAT binary)",
		     table) >= (int)sizeof(sql)) {
		log_error("bulk import: import_begin returned no table name");
		outcome = IMPORT_FAILED;
	} else {
		outcome = expect(db, PQsendQuery(db->conn, sql), PGRES_COPY_IN, "copy", NULL);
	}
	free(table);
	return outcome;
}

/* A row that the server refuses shows at the end only: until then it reads on, and libpq with it. */
enum import_outcome import_db_rows(struct import_db *db, const char *data, size_t len)
{
	if (PQputCopyData(db->conn, data, (int)len) == 1 && flush(db) && !db->stopping)
		return IMPORT_OK;
	return judge(db, NULL, "rows");
}

/*
 * A connection that breaks at COMMIT leaves open whether the job has ended, and to try again is
 * still the right answer: the attempt's fence ended it, so the daemon's report is recognised as one
 * of the same attempt and changes nothing, or else nothing was written and the next attempt begins.
 */
enum import_outcome import_db_finish(struct import_db *db, int64_t ran_ms)
{
	enum import_outcome outcome;

	outcome = expect(db, PQputCopyEnd(db->conn, NULL) == 1, PGRES_COMMAND_OK, "rows", NULL);
	if (outcome == IMPORT_OK)
		outcome = call(db, import_finish, ran_ms, "import_finish", NULL);
	if (outcome == IMPORT_OK)
		outcome = expect(db, PQsendQuery(db->conn, "COMMIT"), PGRES_COMMAND_OK, "commit",
				 NULL);
	return outcome;
}

/* Rolled back by leaving: a cancel request that is still on its way can't hit a later statement. */
void import_db_abandon(struct import_db *db)
{
	disconnect(db);
}
