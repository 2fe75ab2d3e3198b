/*
 * result_get.c: GET and HEAD of a job's result, with ranges and conditions.
 */
#include <string.h>

#include "api/answer.h"
#include "api/etag.h"
#include "api/jobdoc.h"
#include "api/jobs.h"
#include "api/result.h"
#include "api/status.h"

struct result_get {
	struct request *req;
	struct status_read read;
	int32_t type_id;
};

/* Failed or canceled: there is no result, and this is why. */
static void answer_no_result(struct request *req, const struct job_type *type,
			     const struct job_row *row)
{
	if (row->status == JOB_CANCELED) {
		reply_problem(req, "job-canceled", NULL,
			      "The job was canceled, so it has no result.");
		return;
	}
	reply_header(req, "Cache-Control", "no-store");
	answer_failure(req, 409, type, row, false);
}

/* True if the client wants this result, whatever it is, or names no other. */
static bool is_wanted(struct request *req, const char *etag)
{
	const char *list = req_header(req, "If-Match");

	return !list || etag_listed_strong(list, etag);
}

/* True if the client has this result already. */
static bool not_modified(struct request *req, const char *etag)
{
	return etag_listed(req_header(req, "If-None-Match"), etag);
}

/* A Range counts only for GET, and with If-Range only if it names exactly this result. */
static const char *range_of(struct request *req, const char *etag)
{
	const char *if_range = req_header(req, "If-Range");

	if (req_method(req) != HTTP_GET)
		return NULL;
	if (if_range && !(if_range[0] == '"' && etag_listed_strong(if_range, etag)))
		return NULL;
	return req_header(req, "Range");
}

static void answer_result(struct request *req, const struct job_row *row)
{
	int64_t size = row->result_size > 0 ? row->result_size : 0, first = 0, last = size - 1;
	const char *etag = result_etag(req, row);
	enum range_outcome range;

	if (!is_wanted(req, etag)) {
		reply_problem(req, "precondition-failed", NULL, "The result is another one.");
		return;
	}
	reply_header(req, "Cache-Control", "private, no-cache");
	reply_header(req, "Accept-Ranges", "bytes");
	if (not_modified(req, etag)) {
		reply_status(req, 304);
		reply_header(req, "ETag", "%s", etag);
		reply_body(req, "", 0);
		return;
	}
	range = range_read(range_of(req, etag), size, &first, &last);
	if (range == RANGE_UNSATISFIABLE) {
		reply_header(req, "Content-Range", "bytes */%lld", (long long)size);
		reply_problem(req, "range-not-satisfiable", NULL, "The result has %lld bytes.",
			      (long long)size);
		return;
	}
	reply_status(req, range == RANGE_PART ? 206 : 200);
	if (range == RANGE_PART)
		reply_header(req, "Content-Range", "bytes %lld-%lld/%lld", (long long)first,
			     (long long)last, (long long)size);
	result_headers(req, row);
	result_body(req, row, first, last);
}

static void answer_row(struct request *req, int32_t type_id, const struct job_row *row)
{
	const struct job_type *type = type_by_id(row->type_id);

	if (type && row->type_id == type_id && job_expired(row)) {
		reply_problem(req, "result-expired", NULL,
			      "The result was kept for as long as results of its type are.");
		return;
	}
	type = answer_type_of(req, row, type_id);
	if (!type)
		return;
	if (!job_ended(row)) {
		answer_retry_after(req, type, row);
		reply_problem(req, "result-not-ready", NULL, "The job is %s.",
			      job_status_word(row->status));
	} else if (row->status != JOB_COMPLETED) {
		answer_no_result(req, type, row);
	} else {
		answer_result(req, row);
	}
}

static void result_read(void *ctx, enum status_outcome outcome, const struct job_row *row)
{
	struct result_get *get = ctx;
	struct request *req = get->req;

	if (req_alive(req)) {
		if (outcome == STATUS_AWAY)
			answer_away(req);
		else if (outcome == STATUS_FOUND)
			answer_row(req, get->type_id, row);
		else if (answer_is_old(&get->read.id, get->type_id))
			reply_problem(
				req, "result-expired", NULL,
				"The result was kept for as long as results of its type are.");
		else
			answer_missing(req, &get->read.id, get->type_id);
	}
	req_unref(req);
}

void result_get_handle(struct request *req, const struct route_match *m)
{
	struct result_get *get = req_alloc(req, sizeof(*get));

	if (!answer_path_id(req, m, &get->read.id))
		return;
	get->req = req;
	get->type_id = m->type_id;
	get->read.client = req_client(req);
	get->read.done = result_read;
	get->read.ctx = get;
	if (!status_get(&get->read, STATUS_RESULT)) {
		answer_away(req);
		return;
	}
	req_ref(req);
}
