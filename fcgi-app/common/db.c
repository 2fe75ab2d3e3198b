/*
 * db.c: one PostgreSQL connection driven by libev.
 *
 * States:   WAITING --timer--> CONNECTING --> SETUP --> UP
 *              ^                   |            |        |
 *              +----- backoff -----+------------+--------+   (lost, refused, timed out)
 *
 * What finds the connection broken outside of the event callbacks only marks it; the loop then
 * tears it down, so that no callback comes from inside a function that the owner called.
 */
#include "db_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db_connect.h"
#include "ids.h"
#include "log.h"
#include "mem.h"
#include "times.h"

#define ERROR_LOG_EVERY_MS 60000 /* the same failure to connect is repeated in the log this often */
#define STABLE_MS 1000           /* a connection that lived this long starts the backoff anew */

/* ---- bookkeeping ---- */

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

void db_watch(struct db *db, int events)
{
	int fd = PQsocket(db->conn);

	if (ev_is_active(&db->io) && db->io.fd == fd &&
	    (db->io.events & (EV_READ | EV_WRITE)) == events)
		return;
	ev_io_stop(db->loop, &db->io);
	if (fd < 0)
		return;
	ev_io_set(&db->io, fd, events);
	ev_io_start(db->loop, &db->io);
}

void db_set_timer(struct db *db, int ms)
{
	ev_timer_stop(db->loop, &db->timer);
	if (ms < 0)
		return;
	ev_timer_set(&db->timer, ms / 1000.0, 0.);
	ev_timer_start(db->loop, &db->timer);
}

void db_mark_broken(struct db *db)
{
	if (!ev_is_active(&db->broken)) {
		ev_timer_set(&db->broken, 0., 0.);
		ev_timer_start(db->loop, &db->broken);
	}
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
		db_call_back(q, q->phase == QUEUED ? DB_LOST : outcome, NULL, sqlstate, message);
		db_query_free(q);
	}
}

/* ---- losing a connection, getting a new one ---- */

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

void db_lose(struct db *db, enum db_outcome outcome, const char *why, bool at_once)
{
	bool was_up = db->state == UP;
	char state[6] = "", reason[sizeof(db->error)];
	struct query *list = take_queue(db);

	snprintf(reason, sizeof(reason), "%s", why);
	if (db->result != NULL && PQresultErrorField(db->result, PG_DIAG_SQLSTATE) != NULL)
		snprintf(state, sizeof(state), "%s",
			 PQresultErrorField(db->result, PG_DIAG_SQLSTATE));
	if (!at_once)
		log_failure(db, was_up ? "connection lost" : "can't connect", reason);
	if (was_up && mono_ms() - db->up_since_ms >= STABLE_MS)
		db->failures = 0;
	disconnect(db);
	db_set_timer(db, at_once ? 0 : backoff_ms(db));
	db->failures += !at_once;
	fail_queries(list, outcome, state, reason);
	if (was_up && !db->closed && db->on_state != NULL)
		db->on_state(db->ctx, false);
}

void db_lose_with_error(struct db *db)
{
	char why[sizeof(db->error)] = "";

	if (db->result != NULL)
		db_one_line(PQresultErrorMessage(db->result), why, sizeof(why));
	if (why[0] == '\0' && db->conn != NULL)
		db_one_line(PQerrorMessage(db->conn), why, sizeof(why));
	db_lose(db, DB_LOST, why[0] != '\0' ? why : "closed by the server", false);
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
		db_lose(db, DB_LOST, "out of memory", false);
		return;
	}
	db->state = CONNECTING;
	PQsetNoticeReceiver(db->conn, notice, db);
	PQsetErrorVerbosity(db->conn, PQERRORS_TERSE); /* details may quote customers' data */
	if (PQstatus(db->conn) == CONNECTION_BAD) {
		db_lose_with_error(db);
		return;
	}
	db_set_timer(db, db->config.connect_timeout_ms);
	db_watch(db, EV_WRITE);
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

static db_observe_fn *observer;

void db_observe(db_observe_fn *fn)
{
	observer = fn;
}

void db_observed(const struct db *db, double seconds)
{
	if (observer != NULL)
		observer(db->label, seconds);
}

void db_now_up(struct db *db)
{
	const char *host = PQhost(db->conn);

	db->state = UP;
	db->up_since_ms = mono_ms();
	db->error[0] = '\0';
	db_observed(db, -1);
	db_set_timer(db, -1);
	db_watch(db, EV_READ);
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
		db_lose_with_error(db);
	} else if (sql.len == 0) {
		db_now_up(db);
	} else if (PQsendQuery(db->conn, sql.data) == 0 || PQflush(db->conn) < 0) {
		db_lose_with_error(db);
	} else {
		db->state = SETUP;
		db->busy = true;
		db_watch(db, EV_READ | EV_WRITE);
	}
	buf_free(&sql);
}

/* libpq may close its socket and open another (next host, next address) in here. */
static void connect_step(struct db *db)
{
	ev_io_stop(db->loop, &db->io);
	switch (PQconnectPoll(db->conn)) {
	case PGRES_POLLING_READING:
		db_watch(db, EV_READ);
		break;
	case PGRES_POLLING_WRITING:
		db_watch(db, EV_WRITE);
		break;
	case PGRES_POLLING_OK:
		begin_session(db);
		break;
	default:
		db_lose_with_error(db);
		break;
	}
}

/* ---- events ---- */

static void on_io(struct ev_loop *loop, ev_io *w, int revents)
{
	struct db *db = w->data;

	(void)loop;
	(void)revents;
	enter(db);
	if (db->state == CONNECTING)
		connect_step(db);
	else
		db_exchange(db);
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
		db_lose(db, DB_TIMEOUT, "no answer to a query in time", false);
	} else {
		db->turn++;
		db_lose(db, DB_LOST, "timed out", false);
	}
	leave(db);
}

static void on_broken(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct db *db = w->data;

	(void)loop;
	(void)revents;
	enter(db);
	db_lose_with_error(db);
	leave(db);
}

/* ---- what the owner calls ---- */

struct db *db_open(struct ev_loop *loop, const struct db_config *config, const char *label,
		   db_state_fn *on_state, void *ctx)
{
	struct db *db = mem_zalloc(sizeof(*db));
	struct db_config *c = &db->config;

	*c = *config;
	c->conninfo = mem_strdup(config->conninfo != NULL ? config->conninfo : "");
	c->application_name = mem_strdup(config->application_name != NULL ? config->application_name
									  : "");
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
	db_set_timer(db, 0);
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

void db_hurry(struct db *db)
{
	if (db != NULL && db->state == WAITING && !db->closed)
		db_set_timer(db, 0);
}

void db_reset(struct db *db)
{
	if (db->state == WAITING)
		return;
	log_debug("database %s: reset", db->label);
	enter(db);
	db_lose(db, DB_LOST, "reset", true);
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
	db_pump(db);
}

bool db_query(struct db *db, const char *sql, const struct db_params *params, db_done_fn *done,
	      void *ctx)
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
			db_query_free(q);
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

void db_on_notify(struct db *db, db_notify_fn *notify, void *ctx)
{
	db->on_notify = notify;
	db->notify_ctx = ctx;
}
