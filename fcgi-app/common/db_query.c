/*
 * db_query.c: what goes over a database connection: queries out, results and notifications in.
 *
 * The head of the queue is the query under way while `busy`; in SETUP it is the session's settings,
 * which are not in the queue.
 */
#include "db_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "times.h"
#include "mem.h"

void db_query_free(struct query *q)
{
	db_params_free(&q->params);
	free(q->own_sql);
	free(q);
}

void db_call_back(const struct query *q, enum db_outcome outcome, const PGresult *res,
		  const char *sqlstate, const char *message)
{
	struct db_result result = {
		.outcome = outcome,
		.sent = q->phase == RUNNING,
		.res = outcome == DB_OK ? res : NULL,
		.sqlstate = sqlstate != NULL ? sqlstate : "",
		.message = message != NULL ? message : "",
	};

	if (q->done != NULL)
		q->done(q->ctx, &result);
}

/* ---- sending ---- */

/* The statement of that text and those parameter types; the pointer is the usual way to find it. */
static struct statement *find_statement(struct db *db, const struct query *q)
{
	for (struct statement *s = db->statements; s != NULL; s = s->next) {
		bool same = s->n == q->params.n &&
			    (s->sql == q->sql || strcmp(s->sql, q->sql) == 0);

		for (int i = 0; same && i < s->n; i++)
			same = s->types[i] == (Oid)q->params.v[i].type;
		if (same)
			return s;
	}
	return NULL;
}

static struct statement *add_statement(struct db *db, const struct query *q)
{
	struct statement *s = mem_zalloc(sizeof(*s));

	s->sql = q->sql;
	s->n = q->params.n;
	for (int i = 0; i < s->n; i++)
		s->types[i] = (Oid)q->params.v[i].type;
	/* Random, so that behind a pooler nobody ever runs another's statement by its name. */
	snprintf(s->name, sizeof(s->name), "lh%08x_%u", db->statement_tag, db->statement_no++);
	s->next = db->statements;
	db->statements = s;
	return s;
}

/* Forgets the statements of that text; their names aren't used again on this connection, because the
 * server may still know them. */
static void forget_statements(struct db *db, const struct query *q)
{
	struct statement **at = &db->statements;

	while (*at != NULL) {
		struct statement *s = *at;

		if (s->sql == q->sql || strcmp(s->sql, q->sql) == 0) {
			*at = s->next;
			free(s);
		} else {
			at = &s->next;
		}
	}
}

/* Hands the query with its parameters to libpq, which copies them. */
static int send_params(struct db *db, const struct query *q, const struct statement *s)
{
	const char *values[DB_PARAMS_MAX];
	int lengths[DB_PARAMS_MAX], formats[DB_PARAMS_MAX], n = q->params.n;
	Oid types[DB_PARAMS_MAX];

	for (int i = 0; i < n; i++) {
		const struct db_param *p = &q->params.v[i];
		const char *data = q->params.data.data;

		values[i] = p->len < 0 ? NULL : p->len == 0 ? "" : data + p->at;
		lengths[i] = p->len < 0 ? 0 : p->len;
		formats[i] = 1;
		types[i] = (Oid)p->type;
	}
	if (s != NULL)
		return PQsendQueryPrepared(db->conn, s->name, n, values, lengths, formats, 1);
	return PQsendQueryParams(db->conn, q->sql, n, types, values, lengths, formats, 1);
}

static int send_query(struct db *db, struct query *q)
{
	struct statement *s;

	if (q->own_sql != NULL) {
		q->phase = RUNNING;
		return PQsendQuery(db->conn, q->own_sql);
	}
	if (!db->config.prepared) {
		q->phase = RUNNING;
		return send_params(db, q, NULL);
	}
	s = find_statement(db, q);
	if (s == NULL && q->phase != PREPARING) {
		s = add_statement(db, q);
		q->phase = PREPARING;
		return PQsendPrepare(db->conn, s->name, s->sql, s->n, s->types);
	}
	q->phase = RUNNING;
	return send_params(db, q, s);
}

/* Writes what libpq holds; what the socket doesn't take now goes when it can. */
static void flush_out(struct db *db)
{
	int left = PQflush(db->conn);

	if (left < 0)
		db_mark_broken(db);
	else
		db_watch(db, left > 0 ? EV_READ | EV_WRITE : EV_READ);
}

void db_pump(struct db *db)
{
	if (db->state != UP || db->busy || db->head == NULL || ev_is_active(&db->broken))
		return;
	db->busy = true;
	db->sent_at = mono_s();
	if (db->config.query_timeout_ms > 0)
		db_set_timer(db, db->config.query_timeout_ms);
	if (send_query(db, db->head) == 0)
		db_mark_broken(db);
	else
		flush_out(db);
}

/* ---- receiving ---- */

static bool is_error(const PGresult *res)
{
	ExecStatusType status = PQresultStatus(res);

	return status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK &&
	       status != PGRES_EMPTY_QUERY;
}

static const char *error_field(const PGresult *res, int field)
{
	const char *v = PQresultErrorField(res, field);

	return v != NULL ? v : "";
}

/* A function was replaced, or a pooler handed us a session without our statements: worth a second
 * try with a fresh statement, if the failed one has left no open transaction behind. */
static bool is_stale(const struct db *db, const struct query *q)
{
	const char *state;

	if (q->phase != RUNNING || q->tried_again || q->own_sql != NULL || !db->config.prepared ||
	    !is_error(db->result) || PQtransactionStatus(db->conn) != PQTRANS_IDLE)
		return false;
	state = error_field(db->result, PG_DIAG_SQLSTATE);
	return strcmp(state, "0A000") == 0 || strcmp(state, "26000") == 0;
}

/* Our statements vanish, or are there before we made them, when sessions change under us. */
static void hint_at_pooler(struct db *db)
{
	const char *state = error_field(db->result, PG_DIAG_SQLSTATE);

	if (!db->config.prepared || db->hinted ||
	    (strcmp(state, "26000") != 0 && strcmp(state, "42P05") != 0))
		return;
	db->hinted = true;
	log_warning("database %s: prepared statements don't stay with the connection: behind "
		    "PgBouncer in transaction mode set [database] prepared=no",
		    db->label);
}

/* True if the query goes on with another message: execute after prepare, or a second try. */
static bool goes_on(struct db *db, struct query *q)
{
	if (is_stale(db, q)) {
		forget_statements(db, q);
		q->tried_again = true;
		q->phase = QUEUED;
	} else if (q->phase != PREPARING || is_error(db->result)) {
		return false;
	}
	PQclear(db->result);
	db->result = NULL;
	if (send_query(db, q) == 0)
		db_mark_broken(db);
	else
		flush_out(db);
	return true;
}

/* The settings were made, or refused: a connection without them is of no use. */
static void end_session_setup(struct db *db)
{
	bool failed = db->result == NULL || is_error(db->result);

	db->busy = false;
	if (failed) {
		db_lose_with_error(db);
		return;
	}
	PQclear(db->result);
	db->result = NULL;
	db_now_up(db);
}

/* The server is ready for the next query: the answer is complete and counts. */
static void end_query(struct db *db)
{
	struct query *q = db->head;
	PGresult *res;

	if (db->state == SETUP) {
		end_session_setup(db);
		return;
	}
	if (db->result == NULL || (is_error(db->result) && PQstatus(db->conn) == CONNECTION_BAD)) {
		db_lose_with_error(db);
		return;
	}
	if (is_error(db->result))
		hint_at_pooler(db);
	if (goes_on(db, q))
		return;
	if (q->phase == PREPARING)
		forget_statements(db, q);
	db_set_timer(db, -1);
	res = db->result;
	db->result = NULL;
	db->busy = false;
	db_observed(db, mono_s() - db->sent_at);
	db->in_transaction = PQtransactionStatus(db->conn) != PQTRANS_IDLE;
	db->head = q->next;
	if (db->head == NULL)
		db->tail = &db->head;
	db->pending--;
	if (is_error(res))
		db_call_back(q, DB_ERROR, NULL, error_field(res, PG_DIAG_SQLSTATE),
			     error_field(res, PG_DIAG_MESSAGE_PRIMARY));
	else
		db_call_back(q, DB_OK, res, NULL, NULL);
	PQclear(res);
	db_query_free(q);
}

/* Keeps the last result of a query, or its first error. False: a COPY, which this can't do. */
static bool keep_result(struct db *db, PGresult *res)
{
	ExecStatusType status = PQresultStatus(res);

	if (db->result != NULL && is_error(db->result)) {
		PQclear(res);
		return true;
	}
	PQclear(db->result);
	db->result = res;
	return status != PGRES_COPY_IN && status != PGRES_COPY_OUT && status != PGRES_COPY_BOTH;
}

/* Takes complete results off libpq, calling back, until there are none. False: the connection is
 * gone, or another one. */
static bool take_results(struct db *db)
{
	unsigned int generation = db->generation;

	while (db->busy && !PQisBusy(db->conn)) {
		PGresult *res = PQgetResult(db->conn);

		if (res != NULL) {
			if (keep_result(db, res))
				continue;
			db_lose(db, DB_LOST, "COPY isn't possible on this connection", false);
			return false;
		}
		end_query(db);
		if (db->closed || db->generation != generation)
			return false;
		db_pump(db);
	}
	return true;
}

static bool take_notifies(struct db *db)
{
	unsigned int generation = db->generation;
	PGnotify *n;

	while ((n = PQnotifies(db->conn)) != NULL) {
		if (db->on_notify != NULL)
			db->on_notify(db->notify_ctx, n->relname, n->extra);
		PQfreemem(n);
		if (db->closed || db->generation != generation)
			return false;
	}
	return true;
}

void db_exchange(struct db *db)
{
	bool alive = PQconsumeInput(db->conn) == 1;

	/* What arrived before the end still counts. */
	if (!take_results(db) || !take_notifies(db))
		return;
	if (!alive || PQstatus(db->conn) == CONNECTION_BAD)
		db_lose_with_error(db);
	else
		flush_out(db);
}
