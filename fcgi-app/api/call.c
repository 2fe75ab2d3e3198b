/*
 * call.c: one database function called for one request.
 */
#include "api/call.h"

#include "api/answer.h"
#include "api/app.h"
#include "common/log.h"
#include "common/times.h"

#define AGAIN_MS 50

static size_t n_calls;

static void send_it(struct call *call);

size_t calls_pending(void)
{
	return n_calls;
}

static void end(struct call *call, const PGresult *res)
{
	struct request *req = call->req;

	ev_timer_stop(app.loop, &call->again);
	db_params_free(&call->params);
	n_calls--;
	call->done(call, res);
	req_unref(req);
}

static void again_due(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop;
	(void)revents;
	send_it(w->data);
}

/* The outcome of what was sent is unknown: sends it again in a moment, but not for ever. */
static void again(struct call *call)
{
	call->doubted = true;
	if (!call->unknown_since)
		call->unknown_since = mono_ms();
	if (mono_ms() - call->unknown_since >= app.cfg->settle_ms) {
		reply_problem(call->req, "outcome-unknown", NULL,
			      "The storage broke off; a repeat is safe.");
		end(call, NULL);
		return;
	}
	ev_timer_set(&call->again, AGAIN_MS / 1000., 0.);
	ev_timer_start(app.loop, &call->again);
}

static void answered(void *ctx, const struct db_result *result)
{
	struct call *call = ctx;

	if (result->outcome == DB_OK) {
		end(call, result->res);
		return;
	}
	if (call->unknown_since || (result->outcome != DB_ERROR && result->sent)) {
		again(call);
		return;
	}
	if (result->outcome == DB_ERROR)
		log_warning("a call failed sqlstate=%s request=%s", result->sqlstate,
			    req_id(call->req));
	answer_away(call->req);
	end(call, NULL);
}

static void send_it(struct call *call)
{
	if (db_query(call->db, call->sql, &call->params, answered, call))
		return;
	if (call->unknown_since) {
		again(call);
		return;
	}
	answer_away(call->req);
	end(call, NULL);
}

struct db_params *call_params(struct call *call, struct request *req)
{
	call->req = req;
	db_params_init(&call->params);
	return &call->params;
}

void call_send(struct call *call, struct db *db, const char *sql, call_fn *done)
{
	call->db = db;
	call->sql = sql;
	call->done = done;
	call->doubted = false;
	call->unknown_since = 0;
	ev_timer_init(&call->again, again_due, 0., 0.);
	call->again.data = call;
	n_calls++;
	req_ref(call->req);
	send_it(call);
}
