/*
 * metrics.c: GET /metrics. The processes' part is always there; the database's is asked at most every
 * metrics_refresh_ms, waits at most metrics_ms, and is left out while the database is away.
 */
#include "api/metrics.h"

#include <stdio.h>
#include <string.h>

#include <ev.h>

#include "api/app.h"
#include "api/conn.h"
#include "api/counters.h"
#include "api/counters_file.h"
#include "api/listener.h"
#include "api/metrics_text.h"
#include "api/router.h"
#include "api/upload.h"
#include "common/db.h"
#include "common/log.h"
#include "common/times.h"

/* The families that come from longhaul.metrics(), by the name that its rows have. */
static const struct {
	const char *row, *name, *type, *label, *second, *help;
} families[] = {
	{ "schema_version", "longhaul_schema_version", "gauge", NULL, NULL,
	  "Number of the newest migration of the database." },
	{ "queued", "longhaul_jobs_queued", "gauge", "type", NULL,
	  "Jobs that could be claimed now; counted up to 10000, or max_queued of the type." },
	{ "oldest", "longhaul_jobs_queued_oldest_age_seconds", "gauge", "type", NULL,
	  "How long the first of them has been waiting." },
	{ "delayed", "longhaul_jobs_delayed", "gauge", "type", NULL,
	  "Jobs that wait for a time; counted up to 100000 of all types." },
	{ "running", "longhaul_jobs_running", "gauge", "type", NULL,
	  "Jobs that run, as workers last told." },
	{ "slots", "longhaul_job_type_slots", "gauge", "type", NULL,
	  "How many jobs of the type can run at a time, on all hosts." },
	{ "paused", "longhaul_job_type_paused", "gauge", "type", NULL,
	  "Whether the type is paused." },
	{ "ended", "longhaul_jobs_ended_total", "counter", "type", "status",
	  "Jobs that have ended, by outcome." },
	{ "waited", "longhaul_jobs_wait_seconds_total", "counter", "type", "status",
	  "How long they waited, from when they could have been claimed to the last attempt." },
	{ "ran", "longhaul_jobs_run_seconds_total", "counter", "type", "status",
	  "How long their last attempts took." },
	{ "workers", "longhaul_worker_up", "gauge", "host", NULL,
	  "Worker daemons of the host that live; 0 = lost within the last day." },
	{ "beat_age", "longhaul_worker_beat_age_seconds", "gauge", "host", NULL,
	  "How long ago a worker of the host renewed its lease." },
	{ "claimed", "longhaul_worker_claimed_jobs_total", "counter", "host", NULL,
	  "Jobs claimed by workers of the host." },
	{ "lease_lost", "longhaul_worker_lease_losses_total", "counter", "host", NULL,
	  "Leases of the host's workers that ran out, so that others took their jobs." },
	{ "rescued", "longhaul_worker_rescued_jobs_total", "counter", "host", NULL,
	  "Jobs that were taken from the host's workers then." },
	{ "stale", "longhaul_worker_stale_writes_total", "counter", "host", "kind",
	  "Writes of the host's workers that were refused because the job was no longer theirs." },
	{ "webhook_try", "longhaul_webhook_tries_total", "counter", "outcome", NULL,
	  "Tries to deliver webhooks: delivered, again (to be tried again), failed (for good)." },
	{ "webhook_pending", "longhaul_webhook_deliveries_pending", "gauge", NULL, NULL,
	  "Deliveries that wait or are under way; counted up to 100000." },
	{ "webhook_late", "longhaul_webhook_overdue_seconds", "gauge", NULL, NULL,
	  "For how long the oldest delivery that is due has been due." },
};

/* A scrape that waits for the database; belongs to its request, of which it holds a reference. */
struct scrape {
	struct request *req;
	struct scrape *next;
	ev_timer timeout;
	bool answered;
};

static struct app *owner;
static ev_prepare refresh;
static struct scrape *scrapes; /* that wait for the answer under way */
static bool asking;
static struct buf known; /* the database's part */
static int64_t known_at; /* monotonic; 0 = not known */

/* ---- the database's part ------------------------------------------------------------------------ */

static void render_family(size_t f, const PGresult *res)
{
	bool any = false;

	for (int row = 0; row < dbr_rows(res); row++) {
		if (strcmp(dbr_text(res, row, 0, NULL), families[f].row) != 0)
			continue;
		if (!any)
			metrics_family(&known, families[f].name, families[f].type,
				       families[f].help);
		any = true;
		/* An end of the list where there is no label. */
		metrics_sample(&known, families[f].name, dbr_float8(res, row, 3), families[f].label,
			       families[f].label ? dbr_text(res, row, 1, NULL) : NULL,
			       families[f].second,
			       families[f].second ? dbr_text(res, row, 2, NULL) : NULL);
	}
}

static void answer(struct request *req)
{
	struct buf out = { 0 };
	bool up = known_at &&
		  mono_ms() - known_at < owner->cfg->metrics_refresh_ms + owner->cfg->metrics_ms;

	metrics_processes(&out);
	metrics_family(&out, "longhaul_database_up", "gauge",
		       "Whether the database answered; without it the metrics below are left out.");
	metrics_sample(&out, "longhaul_database_up", up);
	if (up)
		buf_add(&out, known.data, known.len);
	reply_status(req, 200);
	reply_header(req, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
	reply_header(req, "Cache-Control", "no-store");
	reply_body(req, out.data, out.len);
	buf_free(&out);
}

static void scrape_end(struct scrape *s)
{
	ev_timer_stop(owner->loop, &s->timeout);
	if (!s->answered && req_alive(s->req))
		answer(s->req);
	s->answered = true;
}

static void database_said(void *ctx, const struct db_result *result)
{
	struct scrape *list = scrapes;

	(void)ctx;
	asking = false;
	scrapes = NULL;
	if (result->outcome == DB_ERROR)
		log_warning("the metrics of the database can't be read: sqlstate=%s",
			    result->sqlstate);
	known_at = 0;
	if (result->outcome == DB_OK) {
		buf_reset(&known);
		for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++)
			render_family(f, result->res);
		known_at = mono_ms();
	}
	while (list) {
		struct scrape *next = list->next;

		scrape_end(list);
		req_unref(list->req);
		list = next;
	}
}

/* ---- the request -------------------------------------------------------------------------------- */

static void too_late(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)loop;
	(void)revents;
	scrape_end(timer->data);
}

static void client_left(struct request *req, void *ctx)
{
	struct scrape *s = ctx;

	(void)req;
	ev_timer_stop(owner->loop, &s->timeout);
	s->answered = true;
}

void metrics_handle(struct request *req, const struct route_match *m)
{
	struct scrape *s;

	(void)m;
	if (known_at && mono_ms() - known_at < owner->cfg->metrics_refresh_ms) {
		answer(req);
		return;
	}
	if (!asking)
		asking = db_query(owner->bulk,
				  "SELECT name, label, second, value FROM longhaul.metrics()", NULL,
				  database_said, NULL);
	if (!asking) {
		known_at = 0;
		answer(req);
		return;
	}
	s = req_alloc(req, sizeof(*s));
	s->req = req;
	s->next = scrapes;
	scrapes = s;
	req_ref(req);
	req_on_gone(req, client_left, s);
	ev_timer_init(&s->timeout, too_late, owner->cfg->metrics_ms / 1000., 0.);
	s->timeout.data = s;
	ev_timer_start(owner->loop, &s->timeout);
}

/* ---- what stands otherwise with each turn of the loop ---------------------------------------------- */

static void refresh_gauges(struct ev_loop *loop, ev_prepare *w, int revents)
{
	struct db *const connections[] = { owner->write, owner->read, owner->replica, owner->bulk,
					   owner->side };
	uint64_t up = 0;

	(void)loop;
	(void)w;
	(void)revents;
	for (int i = 0; i < COUNT_UPLOAD; i++)
		if (connections[i] && db_up(connections[i]))
			up |= UINT64_C(1) << i;
	counters->up = up;
	counters->connections = conns_open();
	counters->under_way = conns_requests();
	counters->uploads = (int64_t)uploads_pending();
}

void metrics_start(struct app *a)
{
	char path[256], folder[256] = "";
	const char *name = a->cfg->listen;
	int routes = 0;

	if (listener_path(path, sizeof(path))) {
		name = path;
		snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(path, '/') - path), path);
	}
	owner = a;
	while (route_pattern(routes + 1))
		routes++;
	counters_file_open(*a->cfg->metrics_dir ? a->cfg->metrics_dir : folder, name, routes);
	db_observe(count_db);
	ev_prepare_init(&refresh, refresh_gauges);
	ev_prepare_start(a->loop, &refresh);
	ev_unref(a->loop); /* doesn't keep the loop alive by itself */
}

void metrics_stop(void)
{
	if (!owner)
		return;
	ev_ref(owner->loop);
	ev_prepare_stop(owner->loop, &refresh);
	db_observe(NULL);
	buf_free(&known);
	counters_file_close();
	owner = NULL;
}
