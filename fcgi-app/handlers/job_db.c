/*
 * job_db.c: a handler's transaction, over libpq without blocking.
 */
#include "job_db.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/times.h"
#include "sql.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT_S 10
#define WAIT_MS 100         /* how long a wait goes on without a look at lh_cancelled() */
#define CANCEL_WAIT_MS 5000 /* for the server to obey; then the connection is given up */

void job_db_init(struct job_db *db, const char *conninfo, const char *name, const char *app)
{
	*db = (struct job_db){ .conninfo = mem_strdup(conninfo), .name = name, .app = app };
}

void job_db_abandon(struct job_db *db)
{
	PQfinish(db->conn);
	db->conn = NULL;
}

void job_db_free(struct job_db *db)
{
	job_db_abandon(db);
	free(db->conninfo);
}

/* Notices of longhaul.report_progress() are the job's progress; others are dropped. */
static void take_notice(void *ctx, const PGresult *res)
{
	const struct job_db *db = ctx;
	const char *sqlstate = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY), *message;
	int64_t done, total;

	if (db->job && sqlstate && text && strcmp(sqlstate, "LH002") == 0 &&
	    sql_progress_parse(text, &done, &total, &message))
		lh_progress(db->job, done, total, message);
}

/* What stands in conninfo goes before connect_timeout and behind the name and encoding. */
bool job_db_connect(struct job_db *db, int timeout_s)
{
	const char *const keys[] = { "connect_timeout", "dbname", "fallback_application_name",
				     "client_encoding", NULL };
	char timeout[16];
	const char *const values[] = { timeout, db->conninfo, db->app, "UTF8", NULL };

	if (db->conn)
		return true;
	snprintf(timeout, sizeof(timeout), "%d", timeout_s);
	db->conn = PQconnectdbParams(keys, values, 1);
	if (db->conn && PQstatus(db->conn) == CONNECTION_OK && PQsetnonblocking(db->conn, 1) == 0) {
		PQsetNoticeReceiver(db->conn, take_notice, db);
		db->fresh = true;
		return true;
	}
	log_warning("%s: no connection to the database error=\"%s\"", db->name,
		    db->conn ? PQerrorMessage(db->conn) : "out of memory");
	job_db_abandon(db);
	return false;
}

static bool is_to_stop(const struct job_db *db)
{
	return db->job && lh_cancelled(db->job);
}

/* Asks the server to end what it is doing for us. */
static void send_cancel(struct job_db *db)
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
static bool wait_socket(struct job_db *db, short events)
{
	struct pollfd p = { .fd = PQsocket(db->conn), .events = events };
	int n;

	for (;;) {
		n = poll(&p, 1, WAIT_MS);
		/* Also when it always has something to say, as with progress. */
		if (!db->stopping && is_to_stop(db))
			send_cancel(db);
		if (db->stopping && mono_ms() > db->stop_deadline)
			return false;
		if (n > 0)
			return true;
		if (n < 0 && errno != EINTR)
			return false;
	}
}

/* The server may have something to say meanwhile. */
bool job_db_flush(struct job_db *db)
{
	int left;

	while ((left = PQflush(db->conn)) > 0)
		if (!wait_socket(db, POLLIN | POLLOUT) || !PQconsumeInput(db->conn))
			return false;
	return left == 0;
}

/* Waits for the next result. NULL at the end of a statement's, or if the connection broke. */
static PGresult *next_result(struct job_db *db)
{
	if (!job_db_flush(db))
		return NULL;
	while (PQisBusy(db->conn))
		if (!wait_socket(db, POLLIN) || !PQconsumeInput(db->conn))
			return NULL;
	return PQgetResult(db->conn);
}

/* The first result of the statement under way, or its error; the rest is dropped. NULL: the
 * connection broke. */
static PGresult *result_of(struct job_db *db)
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
 * To try again: connection (08), deadlock or serialization (40), resources (53), an object in use (55), an
 * operator's intervention (57), the server's disk (58).
 */
enum job_db_outcome job_db_judge(struct job_db *db, const PGresult *res, const char *what)
{
	const char *sqlstate = res ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
	const char *message = res ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	bool lost = PQstatus(db->conn) != CONNECTION_OK;

	if (sqlstate && strcmp(sqlstate, "LH001") == 0)
		return JOB_DB_STOPPED;
	if (db->stopping || is_to_stop(db))
		return JOB_DB_STOPPED;
	log_warning("%s: the database refused step=%s sqlstate=%s error=\"%s\"", db->name, what,
		    sqlstate ? sqlstate : "-",
		    message ? message
		    : lost  ? "the connection broke"
			    : PQerrorMessage(db->conn));
	if (!sqlstate || lost || class_is(sqlstate, " 08 40 53 55 57 58"))
		return JOB_DB_AGAIN;
	return JOB_DB_FAILED;
}

enum job_db_outcome job_db_expect(struct job_db *db, bool sent, ExecStatusType good,
				  const char *what, PGresult **res)
{
	PGresult *got = sent ? result_of(db) : NULL;
	enum job_db_outcome outcome = JOB_DB_OK;

	if (!got || PQresultStatus(got) != good)
		outcome = job_db_judge(db, got, what);
	if (res)
		*res = got;
	else
		PQclear(got);
	return outcome;
}

/* A connection that was kept may have died since: then, once, a new one. */
static enum job_db_outcome begin_transaction(struct job_db *db)
{
	/* Progress is written to the lease while it is held: a snapshot that is kept would make that a conflict. */
	static const char begin[] = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
	bool kept = db->conn != NULL;
	enum job_db_outcome outcome;

	if (!job_db_connect(db, CONNECT_TIMEOUT_S))
		return JOB_DB_AGAIN;
	outcome = job_db_expect(db, PQsendQuery(db->conn, begin), PGRES_COMMAND_OK, "begin", NULL);
	if (outcome == JOB_DB_AGAIN && kept && PQstatus(db->conn) != CONNECTION_OK) {
		job_db_abandon(db);
		return begin_transaction(db);
	}
	return outcome;
}

enum job_db_outcome job_db_begin(struct job_db *db, struct lh_job *job)
{
	db->job = job;
	db->stopping = false;
	return begin_transaction(db);
}

/*
 * A connection that breaks at COMMIT leaves open whether the job has ended, and to try again is
 * still the right answer: the attempt's fence ended it, so the daemon's report is recognised as one
 * of the same attempt and changes nothing, or else nothing was written and the next attempt begins.
 */
enum job_db_outcome job_db_commit(struct job_db *db, PGresult **res)
{
	return job_db_expect(db, PQsendQuery(db->conn, "COMMIT"), PGRES_COMMAND_OK, "commit", res);
}
