/*
 * actions.c: cancel, delete and retry of a job.
 *
 * The job is read first: the route's collection must be that of its type, and what has expired is
 * gone. Each action may be sent twice: when the connection broke under it, it is sent again for
 * a while, and what the second answer means is known from the job's state before.
 */
#include "api/actions.h"
#include "api/answer.h"
#include "api/app.h"
#include "api/call.h"
#include "api/jobs.h"
#include "api/queues.h"
#include "api/status.h"
#include "common/db.h"

/* Codes that the functions return. */
enum { CODE_MISSING = 0 };
enum { CANCEL_DONE = 1, CANCEL_ASKED = 2, CANCEL_ALREADY = 3, CANCEL_ENDED = 4 };
enum { DELETE_DONE = 1, DELETE_LIVE = 2 };
enum { RETRY_QUEUED = 1, RETRY_NOT = 2 };

struct action;

struct action_kind {
	bool done_when_ended; /* an ended job is what was asked for: 200, not 202 */
	const char *sql;      /* static; (id, client) → code */
	void (*answer)(struct action *act, int code);
};

struct action {
	struct call call; /* first */
	struct request *req;
	const struct action_kind *kind;
	struct status_read read;
	int32_t type_id;
	enum job_status before; /* what it was when first read */
};

static size_t n_actions;

size_t actions_pending(void)
{
	return n_actions;
}

static void finish(struct action *act)
{
	n_actions--;
	req_unref(act->req);
}

static void read_job(struct action *act, status_fn *done)
{
	act->read.min_version = STATUS_PRIMARY;
	act->read.done = done;
	act->read.ctx = act;
	if (status_get(&act->read, STATUS_POLL))
		return;
	answer_away(act->req);
	finish(act);
}

/* ---- answering --------------------------------------------------------------------------------------- */

/* The document as it is after the action. A job that is canceled is an answer, one that will be is a
 * promise, and so is a retry. */
static void document_came(void *ctx, enum status_outcome outcome, const struct job_row *row)
{
	struct action *act = ctx;
	const struct job_type *type;

	if (outcome == STATUS_AWAY) {
		/* It was done; a repeat is harmless and will say so. */
		answer_away(act->req);
	} else if (outcome == STATUS_MISSING) {
		answer_missing(act->req, &act->read.id, act->type_id);
	} else {
		type = answer_type_of(act->req, row, act->type_id);
		if (type)
			answer_job(act->req,
				   act->kind->done_when_ended && job_ended(row) ? 200 : 202, type,
				   row);
	}
	finish(act);
}

static void answer_cancel(struct action *act, int code)
{
	if (code != CANCEL_ENDED) {
		read_job(act, document_came);
		return;
	}
	reply_problem(act->req, "not-cancelable", NULL, "The job has ended.");
	finish(act);
}

static void answer_delete(struct action *act, int code)
{
	if (code == DELETE_LIVE) {
		reply_problem(act->req, "not-deletable", NULL,
			      "The job has not ended: cancel it first.");
	} else {
		reply_status(act->req, 204);
		reply_body(act->req, "", 0);
	}
	finish(act);
}

static void answer_retry(struct action *act, int code)
{
	/* The second answer to a retry whose first was lost: it was queued by the first. */
	bool queued = code == RETRY_QUEUED || (act->call.doubted && (act->before == JOB_FAILED ||
								     act->before == JOB_CANCELED));

	if (queued) {
		queue_wake(act->type_id);
		read_job(act, document_came);
		return;
	}
	reply_problem(act->req, "not-retryable", NULL,
		      "Only a Failed or Canceled job can be retried.");
	finish(act);
}

static const struct action_kind cancel = { true, "SELECT longhaul.cancel_job($1, $2)",
					   answer_cancel };
static const struct action_kind delete = { true, "SELECT longhaul.delete_job($1, $2)",
					   answer_delete };
static const struct action_kind retry = { false, "SELECT longhaul.retry_job($1, $2)",
					  answer_retry };

/* ---- doing -------------------------------------------------------------------------------------------- */

static void acted(struct call *call, const PGresult *res)
{
	struct action *act = (struct action *)call;
	int code;

	if (!res) {
		finish(act);
		return;
	}
	code = dbr_rows(res) > 0 ? dbr_int2(res, 0, 0) : CODE_MISSING;
	/* A job that was there and is gone now was deleted: by us, if our first try's answer was lost. */
	if (code == CODE_MISSING && !(act->kind == &delete &&call->doubted)) {
		answer_missing(act->req, &act->read.id, act->type_id);
		finish(act);
		return;
	}
	act->kind->answer(act, code);
}

static void act_on(struct action *act)
{
	struct db_params *params = call_params(&act->call, act->req);

	dbp_uuid(params, &act->read.id);
	dbp_text(params, act->read.client);
	call_send(&act->call, app.write, act->kind->sql, acted);
}

/* The job before the action. */
static void job_read(void *ctx, enum status_outcome outcome, const struct job_row *row)
{
	struct action *act = ctx;

	if (outcome == STATUS_AWAY) {
		answer_away(act->req);
	} else if (outcome == STATUS_MISSING) {
		answer_missing(act->req, &act->read.id, act->type_id);
	} else if (answer_type_of(act->req, row, act->type_id)) {
		act->before = row->status;
		act_on(act);
		return;
	}
	finish(act);
}

static void action_begin(struct request *req, const struct route_match *m,
			 const struct action_kind *kind)
{
	struct action *act = req_alloc(req, sizeof(*act));

	if (!answer_path_id(req, m, &act->read.id))
		return;
	req_ref(req);
	n_actions++;
	act->req = req;
	act->kind = kind;
	act->type_id = m->type_id;
	act->read.client = req_client(req);
	read_job(act, job_read);
}

void cancel_handle(struct request *req, const struct route_match *m)
{
	action_begin(req, m, &cancel);
}

void delete_handle(struct request *req, const struct route_match *m)
{
	action_begin(req, m, &delete);
}

void retry_handle(struct request *req, const struct route_match *m)
{
	action_begin(req, m, &retry);
}
