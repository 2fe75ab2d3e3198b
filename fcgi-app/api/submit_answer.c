/*
 * submit_answer.c: what a submit is answered: 202 with the job, or, if it ended within the time
 * that the client is ready to wait, its result or its failure.
 */
#include "api/submit.h"

#include <stddef.h>
#include <string.h>

#include "api/answer.h"
#include "api/app.h"
#include "api/jobs.h"
#include "api/queues.h"
#include "api/result.h"
#include "common/json.h"
#include "common/times.h"

/* ---- waiting ----------------------------------------------------------------------------------------- */

static enum queue_verdict verdict_of(const struct submit *s, int64_t budget)
{
	const struct job_type *type = type_by_id(s->row.type_id);

	if (!type || app.draining || (s->row.run_at_ms && s->row.run_at_ms > now_ms() + budget))
		return QUEUE_TOO_DEEP;
	return queue_too_deep(type, s->row.client, budget, s->prefer.has_wait);
}

static struct submit *submit_of(struct parked *p)
{
	return (struct submit *)((char *)p - offsetof(struct submit, parked));
}

static bool turned_out_pointless(struct parked *p)
{
	struct submit *s = submit_of(p);

	if (verdict_of(s, s->deadline - mono_ms()) != QUEUE_TOO_DEEP)
		return false;
	s->budget_ms = 0;
	return true;
}

/* How long this submit may wait for its result, by the type, Prefer and the queue: waiting for what
 * can't be there in time would only cost the client that time. */
static void set_budget(struct submit *s)
{
	const struct job_type *type = type_by_id(s->row.type_id);
	int64_t budget = type ? type->wait_ms : 0;
	enum queue_verdict verdict = QUEUE_FINE;

	if (s->prefer.has_wait)
		budget = s->prefer.wait_ms;
	else if (s->prefer.respond_async)
		budget = 0;
	s->wants_result = budget > 0;
	if (budget > 0)
		verdict = verdict_of(s, budget);
	s->budget_ms = verdict == QUEUE_TOO_DEEP ? 0 : budget;
	s->deadline = mono_ms() + s->budget_ms;
	s->parked.pointless = verdict == QUEUE_ASKED ? turned_out_pointless : NULL;
}

/* The row's state as far as this process knows it. */
static void row_as_accepted(const struct submit *s, struct job_row *row)
{
	memset(row, 0, sizeof(*row));
	row->id = s->accepted.job_id;
	row->type_id = s->row.type_id;
	row->status = JOB_QUEUED;
	row->version = s->accepted.version;
	row->created_ms = s->accepted.created_ms;
	row->seq = s->accepted.seq;
	row->priority = s->row.priority;
	row->run_at_ms = s->row.run_at_ms;
	row->start_by_ms = s->row.start_by_ms;
	row->done = row->total = row->result_size = -1;
	row->result_gen = -1;
}

/* Says which preferences the answer honours. */
static void preferences_applied(struct submit *s, bool is_202)
{
	const struct prefer *p = &s->prefer;
	bool async = p->respond_async && is_202;
	bool wait = p->has_wait && (s->budget_ms > 0 || p->wait_ms == 0 || !is_202);

	reply_header(s->req, "Vary", "Prefer");
	if (async && wait)
		reply_header(s->req, "Preference-Applied", "respond-async, wait=%d",
			     p->wait_ms / 1000);
	else if (wait)
		reply_header(s->req, "Preference-Applied", "wait=%d", p->wait_ms / 1000);
	else if (async)
		reply_header(s->req, "Preference-Applied", "respond-async");
}

/* ---- the answers --------------------------------------------------------------------------------------- */

static void answer_accepted(struct submit *s, const struct job_type *type,
			    const struct job_row *row)
{
	preferences_applied(s, true);
	answer_job(s->req, 202, type, row);
}

static void link_to_job(struct submit *s, const struct job_type *type, const struct job_row *row)
{
	const char *url = answer_job_url(s->req, type, &row->id, "");

	reply_header(s->req, "Location", "%s", url);
	reply_header(s->req, "Link", "<%s>; rel=\"monitor\"", url);
}

/* 200 with the result itself. */
static void answer_done(struct submit *s, const struct job_type *type, const struct job_row *row)
{
	struct request *req = s->req;
	int64_t size = row->result_size > 0 ? row->result_size : 0;

	preferences_applied(s, false);
	reply_status(req, 200);
	link_to_job(s, type, row);
	reply_header(req, "Content-Location", "%s",
		     answer_job_url(req, type, &row->id, "/results"));
	reply_header(req, "Cache-Control", "private, no-store");
	result_headers(req, row);
	result_body(req, row, 0, size - 1);
}

/* A client would send a request that failed with 5xx again, and that would be another job. */
static int failure_status(const struct job_row *row)
{
	struct json_object *error = NULL;
	int64_t status = 0;

	if (row->error && json_parse_strict(row->error, row->error_len, &error, NULL)) {
		status = json_get_int(error, "status", 0);
		json_object_put(error);
	}
	return status >= 400 && status <= 499 ? (int)status : 422;
}

static void answer_failed(struct submit *s, const struct job_type *type, const struct job_row *row)
{
	preferences_applied(s, false);
	link_to_job(s, type, row);
	reply_header(s->req, "Cache-Control", "private, no-store");
	answer_failure(s->req, failure_status(row), type, row, true);
}

/* By how the job stands. */
static void answer_row(struct submit *s, const struct job_row *row)
{
	const struct job_type *type = answer_type_of(s->req, row, s->row.type_id);

	if (!type)
		return;
	if (s->replayed)
		reply_header(s->req, "Idempotent-Replayed", "true");
	if (row->status == JOB_COMPLETED && s->wants_result)
		answer_done(s, type, row);
	else if (row->status == JOB_FAILED && s->wants_result)
		answer_failed(s, type, row);
	else
		answer_accepted(s, type, row);
}

static void answer_as_accepted(struct submit *s)
{
	struct job_row row;

	row_as_accepted(s, &row);
	answer_row(s, &row);
}

/* The job exists since earlier and can't be read now. What this very request made is accepted: a 503 would
 * say that it isn't. */
static void answer_unread(struct submit *s)
{
	if (s->replayed)
		answer_away(s->req);
	else
		answer_as_accepted(s);
}

/* ---- from the database to the answer ---------------------------------------------------------------------- */

/* The last use of the request, unless a statement or a stream holds it too. */
static void let_go(struct submit *s)
{
	req_unref(s->req);
}

static void woken(struct parked *p, enum park_outcome outcome, const struct job_row *row)
{
	struct submit *s = submit_of(p);

	req_on_gone(s->req, NULL, NULL);
	if (outcome == PARK_ROW)
		answer_row(s, row);
	else if (s->replayed && outcome == PARK_GONE)
		answer_missing(s->req, &s->accepted.job_id, s->row.type_id);
	else
		answer_unread(s);
	let_go(s);
}

void submit_prepare_wait(struct submit *s)
{
	set_budget(s);
	s->row.notify = s->budget_ms > 0;
	if (s->row.notify) {
		s->parked.until_end = true;
		s->parked.want_result = true;
		s->parked.wake = woken;
		park_prepare(&s->parked, &s->row.id, s->row.client);
	}
}

void submit_forget_wait(struct submit *s)
{
	park_remove(&s->parked);
}

/* The client left while its request was parked: nothing else holds it. */
static void parked_client_left(struct request *req, void *ctx)
{
	struct submit *s = ctx;

	(void)req;
	submit_forget_wait(s);
	let_go(s);
}

/* Waits; `registered`: the database knows. False: that has turned out to be pointless meanwhile. */
static bool park(struct submit *s, bool registered)
{
	if (s->parked.pointless && turned_out_pointless(&s->parked)) {
		submit_forget_wait(s);
		return false;
	}
	req_on_gone(s->req, parked_client_left, s);
	req_parked(s->req);
	park_arm(&s->parked, s->deadline, registered);
	return true;
}

/* The job exists since earlier: by its idempotency key, or because nginx sent this request twice. */
static void earlier_read(void *ctx, enum status_outcome outcome, const struct job_row *row)
{
	struct submit *s = ctx;

	if (!req_alive(s->req)) {
		let_go(s);
		return;
	}
	submit_forget_wait(s);
	if (outcome == STATUS_FOUND && !job_ended(row) && s->deadline > mono_ms()) {
		park_prepare(&s->parked, &s->accepted.job_id, s->row.client);
		if (park(s, false))
			return;
	}
	if (outcome == STATUS_FOUND)
		answer_row(s, row);
	else if (outcome == STATUS_MISSING)
		reply_problem(s->req, "job-gone", NULL,
			      "The job of this request has been removed.");
	else
		answer_unread(s);
	let_go(s);
}

static void read_earlier(struct submit *s)
{
	s->parked.until_end = true;
	s->parked.want_result = true;
	s->parked.wake = woken;
	s->read.id = s->accepted.job_id;
	s->read.client = s->row.client;
	s->read.min_version = STATUS_PRIMARY;
	s->read.done = earlier_read;
	s->read.ctx = s;
	if (status_get(&s->read, s->wants_result ? STATUS_RESULT : STATUS_POLL))
		return;
	submit_forget_wait(s);
	answer_unread(s);
	let_go(s);
}

static void created(struct submit *s)
{
	if (!s->row.run_at_ms)
		queue_wake(s->row.type_id);
	if (!req_alive(s->req)) {
		submit_forget_wait(s);
		let_go(s);
	} else if (!s->parked.job || !park(s, true)) {
		answer_as_accepted(s);
		let_go(s);
	}
}

/* Nothing was created, or it isn't known: says why. */
static void refuse(struct submit *s, enum insert_outcome outcome, enum insert_code code)
{
	struct request *req = s->req;

	submit_forget_wait(s);
	if (outcome == INSERT_AWAY)
		answer_away(req);
	else if (outcome == INSERT_UNKNOWN)
		reply_problem(
			req, "outcome-unknown", NULL,
			"The storage broke off while the job was being stored; it may exist. A repeat with the same "
			"Idempotency-Key, if there was one, is safe.");
	else if (outcome == INSERT_REFUSED)
		reply_problem(req, "internal-error", NULL,
			      "The storage refused the job. Nothing was done.");
	else if (code == INSERT_KEY_REUSED)
		reply_problem(
			req, "idempotency-key-reused", NULL,
			"This Idempotency-Key came before with another input, Content-Type or Longhaul- header.");
	else if (code == INSERT_ID_CONFLICT)
		reply_problem(req, "id-conflict", NULL,
			      "The id of this request belongs to another job.");
	else if (code == INSERT_KEY_GONE)
		reply_problem(req, "job-gone", NULL,
			      "The job that this Idempotency-Key made has been removed.");
	else if (code == INSERT_QUEUE_FULL)
		reply_problem(req, "queue-full", NULL, "Too many jobs of this type are waiting.");
	else
		reply_problem(req, "not-found", NULL, "There is no such job type any more.");
	let_go(s);
}

void submit_answered(struct submit *s, enum insert_outcome outcome,
		     const struct insert_answer *answer)
{
	if (outcome != INSERT_ANSWERED) {
		refuse(s, outcome, 0);
		return;
	}
	s->accepted = *answer;
	switch (answer->code) {
	case INSERT_CREATED:
		created(s);
		return;
	case INSERT_SEEN:
		queue_wake(s->row.type_id); /* whoever inserted it may have died before it could */
		read_earlier(s);
		return;
	case INSERT_REPLAYED:
		s->replayed = true;
		read_earlier(s);
		return;
	default:
		refuse(s, outcome, answer->code);
	}
}
