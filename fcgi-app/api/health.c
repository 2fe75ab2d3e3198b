/*
 * health.c: /healthz and /readyz.
 */
#include "api/health.h"

#include <stddef.h>

#include <ev.h>
#include <json-c/json.h>

#include "api/app.h"
#include "api/jobs.h"
#include "common/db.h"
#include "common/json.h"

static void answer(struct request *req, const char *status)
{
	struct json_object *o = json_object_new_object();

	json_add_str(o, "status", status);
	reply_header(req, "Cache-Control", "no-store");
	reply_json(req, 200, "application/json", o);
}

void healthz_handle(struct request *req, const struct route_match *m)
{
	(void)m;
	answer(req, "ok");
}

/* A question to the database, under way. Belongs to the request, of which it holds a reference. */
struct readiness {
	struct request *req;
	ev_timer timeout;
};

static void ready_done(void *ctx, const struct db_result *result)
{
	struct readiness *r = ctx;

	ev_timer_stop(app.loop, &r->timeout);
	if (req_alive(r->req)) {
		if (result->outcome == DB_OK)
			answer(r->req, "ready");
		else
			reply_problem(r->req, "unavailable", NULL, "The database doesn't answer.");
	}
	req_unref(r->req);
}

static void ready_timeout(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct readiness *r = (struct readiness *)(void *)((char *)timer -
							   offsetof(struct readiness, timeout));

	(void)loop;
	(void)revents;
	reply_problem(r->req, "unavailable", NULL, "The database doesn't answer in time.");
}

static void ready_gone(struct request *req, void *ctx)
{
	struct readiness *r = ctx;

	(void)req;
	ev_timer_stop(app.loop, &r->timeout);
}

void readyz_handle(struct request *req, const struct route_match *m)
{
	struct readiness *r = req_alloc(req, sizeof(*r));

	(void)m;
	if (app.draining || !app_ready(&app)) {
		reply_problem(req, "unavailable", NULL,
			      app.draining ? "This process is about to end."
					   : "The database is away.");
		return;
	}
	r->req = req;
	ev_timer_init(&r->timeout, ready_timeout, app.cfg->ready_ms / 1000.0, 0);
	if (!db_query(app.side, "SELECT longhaul.schema_version()", NULL, ready_done, r)) {
		reply_problem(req, "unavailable", NULL, "The database is away.");
		return;
	}
	req_ref(req);
	req_on_gone(req, ready_gone, r);
	ev_timer_start(app.loop, &r->timeout);
}
