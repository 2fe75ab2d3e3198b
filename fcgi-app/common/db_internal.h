/*
 * db_internal.h: the inside of a database connection, shared by db.c (its life) and db_query.c
 * (what goes over it).
 */
#ifndef LONGHAUL_DB_INTERNAL_H
#define LONGHAUL_DB_INTERNAL_H

#include "db.h"

#include <ev.h>
#include <libpq-fe.h>

enum db_state { WAITING, CONNECTING, SETUP, UP };
enum phase { QUEUED, PREPARING, RUNNING };

struct query {
	struct query *next;
	const char *sql;
	char *own_sql; /* of db_exec_simple: sent as it is */
	enum phase phase;
	bool tried_again; /* prepared anew once, after a change of its function */
	struct db_params params;
	db_done_fn *done;
	void *ctx;
};

/* A prepared statement of the connection that is up. */
struct statement {
	struct statement *next;
	const char *sql;
	char name[32];
	int n;
	Oid types[DB_PARAMS_MAX];
};

struct db {
	struct ev_loop *loop;
	struct db_config config; /* strings are ours */
	const char *label;
	db_state_fn *on_state;
	void *ctx;
	db_notify_fn *on_notify;
	void *notify_ctx;

	enum db_state state;
	PGconn *conn;
	ev_io io;
	ev_timer timer;  /* WAITING: reconnect; CONNECTING, SETUP, busy: time limit */
	ev_timer broken; /* runs out at once: the connection was found broken */
	bool busy;
	bool in_transaction;
	PGresult *result; /* of the query under way: its last, or its first error */
	struct query *head, **tail;
	size_t pending;
	struct statement *statements;
	unsigned int statement_tag, statement_no; /* make their names */

	char **channels;
	size_t n_channels, n_listening; /* the first n_listening are in place on this connection */

	double sent_at;        /* of the query under way, if somebody measures */
	unsigned int failures; /* in a row, for the backoff */
	unsigned int turn;     /* attempts that timed out: where the host list starts */
	int64_t up_since_ms;
	char error[256];
	int64_t error_logged_ms;
	bool hinted; /* at a pooler in front of the server, once */

	unsigned int generation; /* changes when the connection does: callbacks may change it */
	int depth;               /* event callbacks on the stack */
	bool closed;
};

/* db.c */
void db_watch(struct db *db, int events); /* EV_READ, EV_WRITE or both, on libpq's socket of now */
void db_set_timer(struct db *db, int ms); /* < 0: stops it */
/* Has the loop tear the connection down: for use where no callback may happen. */
void db_mark_broken(struct db *db);
/* Tears down, schedules the next attempt (at once if asked), then tells everybody. `outcome` is
 * that of the query under way. */
void db_lose(struct db *db, enum db_outcome outcome, const char *why, bool at_once);
void db_lose_with_error(struct db *db); /* with the reason that the server or libpq gave */
void db_now_up(struct db *db);          /* the session is set up */

void db_observed(const struct db *db, double seconds);

/* db_query.c */
void db_pump(struct db *db);     /* sends the head of the queue if nothing is under way */
void db_exchange(struct db *db); /* the socket is ready: reads, calls back, writes */
void db_query_free(struct query *q);
void db_call_back(const struct query *q, enum db_outcome outcome, const PGresult *res,
		  const char *sqlstate, const char *message);

#endif
