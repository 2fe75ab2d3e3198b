/*
 * db.c: one PostgreSQL connection driven by libev.
 *
 * States:   WAITING --timer--> CONNECTING --> SETUP --> UP
 *              ^                   |            |        |
 *              +----- backoff -----+------------+--------+   (lost, refused, timed out)
 *
 * The head of the queue is the query under way while `busy`. Everything that finds the connection
 * broken outside of the event callbacks only marks it; the loop then tears it down, so that no
 * callback comes from inside a function that the owner called.
 */
#include "db.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ev.h>
#include <libpq-fe.h>

#include "db_connect.h"
#include "ids.h"
#include "log.h"
#include "mem.h"
#include "times.h"

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
	void (*on_notify)(void *ctx, const char *channel, const char *payload);
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

#define ERROR_LOG_EVERY_MS 60000 /* the same failure to connect is repeated in the log this often */
#define STABLE_MS 1000           /* a connection that lived this long starts the backoff anew */

static void pump(struct db *db);
static void connect_now(struct db *db);

/* ---- bookkeeping ---------------------------------------------------------------------------- */

static void enter(struct db *db)
{
	db->depth++;
}

/* Frees a connection that was closed by its own callback. */
static void leave(struct db *db)
{
	if (--db->depth > 0 || !db->closed)
		return;
	free((char *)db->config.conninfo);
	free((char *)db->config.application_name);
	free((char *)db->config.session_sql);
	for (size_t i = 0; i < db->n_channels; i++)
		free(db->channels[i]);
	free(db->channels);
	free(db);
}

static void watch(struct db *db, int events)
{
	int fd = PQsocket(db->conn);

	if (ev_is_active(&db->io) && db->io.fd == fd && (db->io.events & (EV_READ | EV_WRITE)) == events)
		return;
	ev_io_stop(db->loop, &db->io);
	if (fd < 0)
		return;
	ev_io_set(&db->io, fd, events);
	ev_io_start(db->loop, &db->io);
}

static void set_timer(struct db *db, int ms)
{
	ev_timer_stop(db->loop, &db->timer);
	if (ms < 0)
		return;
	ev_timer_set(&db->timer, ms / 1000.0, 0.);
	ev_timer_start(db->loop, &db->timer);
}

/* Has the loop tear the connection down, with what libpq says as the reason. */
static void mark_broken(struct db *db)
{
	if (!ev_is_active(&db->broken)) {
		ev_timer_set(&db->broken, 0., 0.);
		ev_timer_start(db->loop, &db->broken);
	}
}

static void query_free(struct query *q)
{
	db_params_free(&q->params);
	free(q->own_sql);
	free(q);
}

static void call_back(const struct query *q, enum db_outcome outcome, const PGresult *res,
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

/* Takes the whole queue away, so that callbacks can fill a new one. */
static struct query *take_queue(struct db *db)
{
	struct query *list = db->head;

	db->head = NULL;
	db->tail = &db->head;
	db->pending = 0;
	return list;
}

/* The first one has the outcome of what was under way; those behind it were never sent. */
static void fail_queries(struct query *list, enum db_outcome outcome, const char *sqlstate,
			 const char *message)
{
	while (list != NULL) {
		struct query *q = list;

		list = q->next;
		call_back(q, q->phase == QUEUED ? DB_LOST : outcome, NULL, sqlstate, message);
		query_free(q);
	}
}

/* ---- losing a connection, getting a new one ----------------------------------------------- */

static void disconnect(struct db *db)
{
	db->generation++;
	ev_io_stop(db->loop, &db->io);
	ev_timer_stop(db->loop, &db->timer);
	ev_timer_stop(db->loop, &db->broken);
	while (db->statements != NULL) {
		struct statement *s = db->statements;

		db->statements = s->next;
		free(s);
	}
	PQclear(db->result);
	db->result = NULL;
	PQfinish(db->conn);
	db->conn = NULL;
	db->busy = db->in_transaction = false;
	db->state = WAITING;
}

/* Doubles with each failure up to the limit; a random half of it keeps a crowd from coming at once. */
static int backoff_ms(const struct db *db)
{
	int64_t ms = db->config.reconnect_min_ms;

	for (unsigned int i = 0; i < db->failures && ms < db->config.reconnect_max_ms; i++)
		ms *= 2;
	if (ms > db->config.reconnect_max_ms)
		ms = db->config.reconnect_max_ms;
	return (int)(ms - random_below((uint32_t)ms / 2 + 1));
}

/* A failure that lasts is one line a minute, not one a try. */
static void log_failure(struct db *db, const char *what, const char *why)
{
	bool same = strcmp(db->error, why) == 0;

	if (!same || mono_ms() - db->error_logged_ms >= ERROR_LOG_EVERY_MS) {
		log_warning("database %s: %s: %s", db->label, what, why);
		db->error_logged_ms = mono_ms();
	}
	if (!same)
		snprintf(db->error, sizeof(db->error), "%s", why);
}

/* Tears down, schedules the next attempt (at once if asked), then tells everybody. `outcome` is that
 * of the query under way. */
static void lose(struct db *db, enum db_outcome outcome, const char *why, bool at_once)
{
	bool was_up = db->state == UP;
	char state[6] = "", reason[sizeof(db->error)];
	struct query *list = take_queue(db);

	snprintf(reason, sizeof(reason), "%s", why);
	if (db->result != NULL && PQresultErrorField(db->result, PG_DIAG_SQLSTATE) != NULL)
		snprintf(state, sizeof(state), "%s", PQresultErrorField(db->result, PG_DIAG_SQLSTATE));
	if (!at_once)
		log_failure(db, was_up ? "connection lost" : "can't connect", reason);
	if (was_up && mono_ms() - db->up_since_ms >= STABLE_MS)
		db->failures = 0;
	disconnect(db);
	set_timer(db, at_once ? 0 : backoff_ms(db));
	db->failures += !at_once;
	fail_queries(list, outcome, state, reason);
	if (was_up && !db->closed && db->on_state != NULL)
		db->on_state(db->ctx, false);
}

/* A lost connection with the reason that the server or libpq gave. */
static void lose_with_error(struct db *db)
{
	char why[sizeof(db->error)] = "";

	if (db->result != NULL)
		db_one_line(PQresultErrorMessage(db->result), why, sizeof(why));
	if (why[0] == '\0' && db->conn != NULL)
		db_one_line(PQerrorMessage(db->conn), why, sizeof(why));
	lose(db, DB_LOST, why[0] != '\0' ? why : "closed by the server", false);
}

static void notice(void *arg, const PGresult *res)
{
	const struct db *db = arg;
	const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

	/* A FATAL while no query is under way comes here too: the server says why it hangs up. */
	if (severity == NULL || strcmp(severity, "WARNING") == 0 || strcmp(severity, "FATAL") == 0)
		log_warning("database %s: %s", db->label, text != NULL ? text : "");
	else
		log_debug("database %s: %s", db->label, text != NULL ? text : "");
}

static void connect_now(struct db *db)
{
	db->conn = db_connect_start(&db->config, db->turn);
	if (db->conn == NULL) {
		lose(db, DB_LOST, "out of memory", false);
		return;
	}
	db->state = CONNECTING;
	PQsetNoticeReceiver(db->conn, notice, db);
	PQsetErrorVerbosity(db->conn, PQERRORS_TERSE); /* details may quote customers' data */
	if (PQstatus(db->conn) == CONNECTION_BAD) {
		lose_with_error(db);
		return;
	}
	set_timer(db, db->config.connect_timeout_ms);
	watch(db, EV_WRITE);
}

static void listen_done(void *ctx, const struct db_result *result)
{
	const struct db *db = ctx;

	if (result->outcome == DB_ERROR)
		log_error("database %s: LISTEN was refused: %s", db->label, result->message);
}

/* LISTENs for channels that came after the session's settings were sent. */
static void listen_rest(struct db *db)
{
	static const struct db_config no_settings;
	struct buf sql = { 0 };

	if (db->n_listening < db->n_channels &&
	    db_session_sql(&no_settings, db->conn, db->channels + db->n_listening,
			   db->n_channels - db->n_listening, &sql))
		db_exec_simple(db, sql.data, listen_done, db);
	db->n_listening = db->n_channels;
	buf_free(&sql);
}

static void now_up(struct db *db)
{
	const char *host = PQhost(db->conn);

	db->state = UP;
	db->up_since_ms = mono_ms();
	db->error[0] = '\0';
	set_timer(db, -1);
	watch(db, EV_READ);
	log_info("database %s: connected host=%s port=%s server=%d", db->label,
		 host != NULL ? host : "", PQport(db->conn), PQserverVersion(db->conn));
	listen_rest(db);
	if (db->on_state != NULL)
		db->on_state(db->ctx, true);
}

/* The network part is done: settings and LISTENs, in one go, before it counts as up. */
static void begin_session(struct db *db)
{
	struct buf sql = { 0 };

	db->n_listening = db->n_channels;
	if (PQsetnonblocking(db->conn, 1) != 0 ||
	    !db_session_sql(&db->config, db->conn, db->channels, db->n_channels, &sql)) {
		lose_with_error(db);
	} else if (sql.len == 0) {
		now_up(db);
	} else if (PQsendQuery(db->conn, sql.data) == 0 || PQflush(db->conn) < 0) {
		lose_with_error(db);
	} else {
		db->state = SETUP;
		db->busy = true;
		watch(db, EV_READ | EV_WRITE);
	}
	buf_free(&sql);
}

/* libpq may close its socket and open another (next host, next address) in here. */
static void connect_step(struct db *db)
{
	ev_io_stop(db->loop, &db->io);
	switch (PQconnectPoll(db->conn)) {
	case PGRES_POLLING_READING:
		watch(db, EV_READ);
		break;
	case PGRES_POLLING_WRITING:
		watch(db, EV_WRITE);
		break;
	case PGRES_POLLING_OK:
		begin_session(db);
		break;
	default:
		lose_with_error(db);
		break;
	}
}

/* ---- sending ---------------------------------------------------------------------------------- */

/* The statement of that text and those parameter types; the pointer is the usual way to find it. */
static struct statement *find_statement(struct db *db, const struct query *q)
{
	for (struct statement *s = db->statements; s != NULL; s = s->next) {
		bool same = s->n == q->params.n && (s->sql == q->sql || strcmp(s->sql, q->sql) == 0);

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

/* Its name isn't used again on this connection: the server may still know it. */
static void forget_statement(struct db *db, const struct query *q)
{
	for (struct statement **at = &db->statements; *at != NULL; at = &(*at)->next) {
		struct statement *s = *at;

		if (s->sql == q->sql || strcmp(s->sql, q->sql) == 0) {
			*at = s->next;
			free(s);
			return;
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
		mark_broken(db);
	else
		watch(db, left > 0 ? EV_READ | EV_WRITE : EV_READ);
}

/* Sends the head of the queue if nothing is under way. */
static void pump(struct db *db)
{
	if (db->state != UP || db->busy || db->head == NULL || ev_is_active(&db->broken))
		return;
	db->busy = true;
	if (db->config.query_timeout_ms > 0)
		set_timer(db, db->config.query_timeout_ms);
	if (send_query(db, db->head) == 0)
		mark_broken(db);
	else
		flush_out(db);
}

/* ---- receiving -------------------------------------------------------------------------------- */

static bool is_error(const PGresult *res)
{
	ExecStatusType status = PQresultStatus(res);

	return status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY;
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

	if (!db->config.prepared || db->hinted || (strcmp(state, "26000") != 0 && strcmp(state, "42P05") != 0))
		return;
	db->hinted = true;
	log_warning("database %s: prepared statements don't stay with the connection: behind "
		    "PgBouncer in transaction mode set [database] prepared=no", db->label);
}

/* True if the query goes on with another message: execute after prepare, or a second try. */
static bool goes_on(struct db *db, struct query *q)
{
	if (is_stale(db, q)) {
		forget_statement(db, q);
		q->tried_again = true;
		q->phase = QUEUED;
	} else if (q->phase != PREPARING || is_error(db->result)) {
		return false;
	}
	PQclear(db->result);
	db->result = NULL;
	if (send_query(db, q) == 0)
		mark_broken(db);
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
		lose_with_error(db);
		return;
	}
	PQclear(db->result);
	db->result = NULL;
	now_up(db);
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
		lose_with_error(db);
		return;
	}
	if (is_error(db->result))
		hint_at_pooler(db);
	if (goes_on(db, q))
		return;
	if (q->phase == PREPARING)
		forget_statement(db, q);
	set_timer(db, -1);
	res = db->result;
	db->result = NULL;
	db->busy = false;
	db->in_transaction = PQtransactionStatus(db->conn) != PQTRANS_IDLE;
	db->head = q->next;
	if (db->head == NULL)
		db->tail = &db->head;
	db->pending--;
	if (is_error(res))
		call_back(q, DB_ERROR, NULL, error_field(res, PG_DIAG_SQLSTATE),
			  error_field(res, PG_DIAG_MESSAGE_PRIMARY));
	else
		call_back(q, DB_OK, res, NULL, NULL);
	PQclear(res);
	query_free(q);
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
			lose(db, DB_LOST, "COPY isn't possible on this connection", false);
			return false;
		}
		end_query(db);
		if (db->closed || db->generation != generation)
			return false;
		pump(db);
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

static void exchange(struct db *db)
{
	bool alive = PQconsumeInput(db->conn) == 1;

	/* What arrived before the end still counts. */
	if (!take_results(db) || !take_notifies(db))
		return;
	if (!alive || PQstatus(db->conn) == CONNECTION_BAD)
		lose_with_error(db);
	else
		flush_out(db);
}

/* ---- events ----------------------------------------------------------------------------------- */

static void on_io(struct ev_loop *loop, ev_io *w, int revents)
{
	struct db *db = w->data;

	(void)loop;
	(void)revents;
	enter(db);
	if (db->state == CONNECTING)
		connect_step(db);
	else
		exchange(db);
	leave(db);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct db *db = w->data;

	(void)loop;
	(void)revents;
	enter(db);
	if (db->state == WAITING) {
		connect_now(db);
	} else if (db->state == UP) {
		lose(db, DB_TIMEOUT, "no answer to a query in time", false);
	} else {
		db->turn++;
		lose(db, DB_LOST, "timed out", false);
	}
	leave(db);
}

static void on_broken(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct db *db = w->data;

	(void)loop;
	(void)revents;
	enter(db);
	lose_with_error(db);
	leave(db);
}

/* ---- what the owner calls ----------------------------------------------------------------- */

struct db *db_open(struct ev_loop *loop, const struct db_config *config, const char *label,
		   db_state_fn *on_state, void *ctx)
{
	struct db *db = mem_zalloc(sizeof(*db));
	struct db_config *c = &db->config;

	*c = *config;
	c->conninfo = mem_strdup(config->conninfo != NULL ? config->conninfo : "");
	c->application_name = mem_strdup(config->application_name != NULL ? config->application_name : "");
	c->session_sql = config->session_sql != NULL ? mem_strdup(config->session_sql) : NULL;
	c->reconnect_min_ms = config->reconnect_min_ms > 0 ? config->reconnect_min_ms : 100;
	c->reconnect_max_ms = config->reconnect_max_ms > 0 ? config->reconnect_max_ms : 5000;
	c->connect_timeout_ms = config->connect_timeout_ms > 0 ? config->connect_timeout_ms : 5000;
	db->loop = loop;
	db->label = label;
	db->on_state = on_state;
	db->ctx = ctx;
	db->tail = &db->head;
	db->statement_tag = random_below(UINT32_MAX);
	ev_init(&db->io, on_io);
	ev_init(&db->timer, on_timer);
	ev_init(&db->broken, on_broken);
	db->io.data = db->timer.data = db->broken.data = db;
	set_timer(db, 0);
	return db;
}

void db_close(struct db *db)
{
	struct query *list;

	if (db == NULL || db->closed)
		return;
	enter(db);
	db->closed = true;
	list = take_queue(db);
	disconnect(db);
	ev_timer_stop(db->loop, &db->timer);
	fail_queries(list, DB_LOST, "", "closed");
	leave(db);
}

void db_reset(struct db *db)
{
	if (db->state == WAITING)
		return;
	log_debug("database %s: reset", db->label);
	enter(db);
	lose(db, DB_LOST, "reset", true);
	leave(db);
}

bool db_up(const struct db *db)
{
	return db->state == UP && !db->closed && !ev_is_active(&db->broken);
}

bool db_idle(const struct db *db)
{
	return db_up(db) && !db->busy && db->head == NULL;
}

size_t db_pending(const struct db *db)
{
	return db->pending;
}

bool db_in_transaction(const struct db *db)
{
	return db->in_transaction;
}

const char *db_last_error(const struct db *db)
{
	return db->error;
}

static void enqueue(struct db *db, struct query *q)
{
	*db->tail = q;
	db->tail = &q->next;
	db->pending++;
	pump(db);
}

bool db_query(struct db *db, const char *sql, const struct db_params *params, db_done_fn *done, void *ctx)
{
	struct query *q;

	if (!db_up(db) || (params != NULL && params->failed))
		return false;
	q = mem_zalloc(sizeof(*q));
	q->sql = sql;
	q->done = done;
	q->ctx = ctx;
	if (params != NULL) {
		q->params = *params;
		q->params.data = (struct buf){ 0 };
		if (!buf_add(&q->params.data, params->data.data, params->data.len)) {
			query_free(q);
			return false;
		}
	}
	enqueue(db, q);
	return true;
}

bool db_exec_simple(struct db *db, const char *sql, db_done_fn *done, void *ctx)
{
	struct query *q;

	if (!db_up(db))
		return false;
	q = mem_zalloc(sizeof(*q));
	q->sql = q->own_sql = mem_strdup(sql);
	q->done = done;
	q->ctx = ctx;
	enqueue(db, q);
	return true;
}

void db_listen(struct db *db, const char *channel)
{
	db->channels = mem_realloc(db->channels, db->n_channels + 1, sizeof(*db->channels));
	db->channels[db->n_channels++] = mem_strdup(channel);
	if (db->state == UP)
		listen_rest(db);
}

void db_on_notify(struct db *db, void (*notify)(void *ctx, const char *channel, const char *payload), void *ctx)
{
	db->on_notify = notify;
	db->notify_ctx = ctx;
}
