/*
 * app.c: puts the jobs side together: connections, what is remembered, what waits; and takes it
 * apart again.
 */
#include "api/app.h"

#include <stdio.h>
#include <string.h>

#include <ev.h>

#include "api/actions.h"
#include "api/batch.h"
#include "api/call.h"
#include "api/durations.h"
#include "api/events.h"
#include "api/feed.h"
#include "api/insert.h"
#include "api/jobdoc.h"
#include "api/jobs.h"
#include "api/keys.h"
#include "api/list.h"
#include "api/openapi.h"
#include "api/queues.h"
#include "api/result.h"
#include "api/standby.h"
#include "api/status.h"
#include "api/types.h"
#include "api/upload.h"
#include "api/wait.h"
#include "common/db.h"
#include "common/exit_codes.h"
#include "common/ids.h"
#include "common/log.h"
#include "common/schema.h"
#include "common/times.h"

#define DRAIN_LOOK_S 0.01
#define READY_LOOK_S 0.005

struct app app;

static ev_timer ready_timer;
static int64_t ready_deadline;
static void (*ready_go)(void);
static ev_timer drain_timer;
static void (*drained)(void);

/* After an outage each connection waits for its own next try, and a process that can submit but not yet
 * poll is of little use: the first one that is back calls the others. A standby is another server. */
static void primary_state(void *ctx, bool up)
{
	(void)ctx;
	if (!up)
		return;
	db_hurry(app.write);
	db_hurry(app.read);
	db_hurry(app.bulk);
	db_hurry(app.side);
}

static void write_state(void *ctx, bool up)
{
	primary_state(ctx, up);
	if (up)
		insert_resume();
}

/* At the start a schema that is too old ends the process, so that nginx goes on with those that can serve. */
static void schema_came(void *ctx, const struct db_result *result)
{
	static bool was_good;

	(void)ctx;
	if (schema_suffices(result)) {
		was_good = was_good || result->outcome == DB_OK;
	} else if (!was_good) {
		app.exit_code = EXIT_DATABASE;
		ev_break(app.loop, EVBREAK_ALL);
	}
}

static void side_state(void *ctx, bool up)
{
	primary_state(ctx, up);
	if (!up)
		return;
	db_query(app.side, schema_version_sql, NULL, schema_came, NULL);
	types_refresh();
	wait_register_anew();
}

static void bulk_state(void *ctx, bool up)
{
	primary_state(ctx, up);
	if (up)
		feeds_begin_anew();
}

static void notified(void *ctx, const char *channel, const char *payload)
{
	(void)ctx;
	if (strcmp(channel, "longhaul_types") == 0)
		types_refresh();
	else
		wait_notified(payload);
}

static struct db *open_connection(struct app *a, const char *conninfo, const char *label,
				  db_state_fn *on_state)
{
	const struct database_config *database = &a->cfg->database;
	struct db_config config = {
		.conninfo = conninfo,
		.application_name = "longhaul-api",
		.prepared = database->prepared,
		.reconnect_min_ms = database->reconnect_min_ms,
		.reconnect_max_ms = database->reconnect_max_ms,
		.connect_timeout_ms = database->connect_timeout_ms,
		.query_timeout_ms = database->query_timeout_ms,
		.statement_timeout_ms = database->statement_timeout_ms,
	};

	return db_open(a->loop, &config, label, on_state, NULL);
}

static void listen_on(struct app *a)
{
	char channel[32];

	snprintf(channel, sizeof(channel), "longhaul_api_%016llx", (unsigned long long)a->waiter);
	db_on_notify(a->side, notified, NULL);
	db_listen(a->side, channel);
	db_listen(a->side, "longhaul_types");
}

static bool open_connections(struct app *a)
{
	const struct database_config *database = &a->cfg->database;
	bool listening = strcmp(database->listen_conninfo, "none") != 0;

	a->write = open_connection(a, database->conninfo, "write", write_state);
	a->read = open_connection(a, database->conninfo, "read", primary_state);
	a->bulk = open_connection(a, database->conninfo, "bulk", bulk_state);
	a->side = open_connection(a,
				  listening && *database->listen_conninfo
					  ? database->listen_conninfo
					  : database->conninfo,
				  "side", side_state);
	if (*database->read_conninfo)
		a->replica = open_connection(a, database->read_conninfo, "replica", standby_state);
	if (!a->write || !a->read || !a->bulk || !a->side ||
	    (*database->read_conninfo && !a->replica)) {
		log_error("the database connections can't be made");
		return false;
	}
	if (listening)
		listen_on(a);
	return true;
}

bool app_start(struct app *a)
{
	while (a->waiter == 0)
		if (!random_bytes(&a->waiter, sizeof(a->waiter)))
			return false;
	batch_start(a->loop);
	if (!open_connections(a))
		return false;
	jobdoc_start(a->cfg->problem_base);
	types_start(a);
	keys_start(a);
	queues_start(a);
	durations_start(a);
	standby_start(a);
	status_start(a);
	insert_start(a);
	wait_start(a);
	feeds_start(a);
	result_start(a);
	uploads_start(a);
	return true;
}

bool app_ready(const struct app *a)
{
	return db_up(a->write) && db_up(a->read) && db_up(a->bulk) && types_known();
}

static void ready_look(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)revents;
	if (!app_ready(&app) && mono_ms() < ready_deadline)
		return;
	ev_timer_stop(loop, w);
	ready_go();
}

void app_when_ready(struct app *a, int longest_ms, void (*go)(void))
{
	ready_go = go;
	ready_deadline = mono_ms() + longest_ms;
	ev_timer_init(&ready_timer, ready_look, 0., READY_LOOK_S);
	ev_timer_start(a->loop, &ready_timer);
}

static bool at_rest(void)
{
	return wait_pending() + status_pending() + insert_pending() + uploads_pending() +
		       result_pending() + actions_pending() + lists_pending() + calls_pending() +
		       feeds_pending() ==
	       0;
}

static void drain_look(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)revents;
	if (!at_rest())
		return;
	ev_timer_stop(loop, w);
	drained();
}

void app_drain(struct app *a, void (*done)(void))
{
	a->draining = true;
	drained = done;
	events_drain();
	feeds_drain();
	wait_expire_all();
	ev_timer_init(&drain_timer, drain_look, 0., DRAIN_LOOK_S);
	ev_timer_start(a->loop, &drain_timer);
}

/* The requests have been freed or have lost their connections: what is called back now changes
 * nothing any more. */
void app_stop(struct app *a)
{
	ev_timer_stop(a->loop, &ready_timer);
	ev_timer_stop(a->loop, &drain_timer);
	uploads_stop();
	db_close(a->write);
	db_close(a->read);
	db_close(a->replica);
	db_close(a->bulk);
	db_close(a->side);
	feeds_stop();
	wait_stop();
	insert_stop();
	status_stop();
	standby_stop();
	durations_stop();
	queues_stop();
	keys_stop();
	types_stop();
	openapi_stop();
	batch_stop();
}
