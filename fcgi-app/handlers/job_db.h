/*
 * job_db.h: a handler's own connection to the database, for handlers that do their work, and end their
 * job, in one transaction.
 *
 * The connection is the runner's and is kept from job to job. Every wait ends early when the job is to
 * stop: what the server is doing for it is canceled. Calls block, and take the job of job_db_begin. What
 * longhaul.report_progress() says meanwhile becomes the job's progress.
 */
#ifndef LONGHAUL_HANDLERS_JOB_DB_H
#define LONGHAUL_HANDLERS_JOB_DB_H

#include <longhaul/handler.h>

#include <libpq-fe.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum job_db_outcome {
	JOB_DB_OK,
	JOB_DB_STOPPED, /* lh_cancelled(), or the lease is lost: nothing was written */
	JOB_DB_AGAIN,   /* the database is away or busy */
	JOB_DB_FAILED,  /* it refused: has been logged */
};

struct job_db {
	char *conninfo;
	const char *name;   /* of the handler, in the log */
	const char *app;    /* of the connection, in the database */
	PGconn *conn;       /* NULL: not connected */
	struct lh_job *job; /* NULL: none under way */
	bool fresh;            /* the connection is a new one; for the handler to clear */
	bool stopping;         /* a cancel request was sent */
	int64_t stop_deadline; /* monotonic */
};

/* The strings but conninfo must outlive it, and it must stay where it is. */
void job_db_init(struct job_db *db, const char *conninfo, const char *name, const char *app);
void job_db_free(struct job_db *db);

/* Connects unless connected. False, and logged: it couldn't. */
bool job_db_connect(struct job_db *db, int timeout_s);

/* Opens a transaction for the job, on a new connection if the kept one has died. */
enum job_db_outcome job_db_begin(struct job_db *db, struct lh_job *job);
/* *res as in job_db_expect. */
enum job_db_outcome job_db_commit(struct job_db *db, PGresult **res);

/* Rolls back by leaving: a cancel request that is still on its way can't hit a later statement. */
void job_db_abandon(struct job_db *db);

/* Hands all that libpq holds to the socket. False: the connection broke or was given up. */
bool job_db_flush(struct job_db *db);

/*
 * Waits for the statement that was sent. Fine if its status is `good`. *res (may be NULL) gets its
 * result, also that of an error, for PQclear; NULL if the connection broke. `what` names it in the log.
 */
enum job_db_outcome job_db_expect(struct job_db *db, bool sent, ExecStatusType good,
				  const char *what, PGresult **res);

/*
 * What an error means, NULL: of the connection. Its detail and context can hold a customer's data, so
 * the log gets the primary message only.
 */
enum job_db_outcome job_db_judge(struct job_db *db, const PGresult *res, const char *what);

#endif
