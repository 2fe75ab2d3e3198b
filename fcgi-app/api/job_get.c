/*
 * job_get.c: GET and HEAD of a job, with conditions and long polls; and the same job as status
 * monitors want it, under /v1/operations.
 */
#include <string.h>

#include "api/answer.h"
#include "api/app.h"
#include "api/etag.h"
#include "api/jobdoc.h"
#include "api/jobs.h"
#include "api/sse.h"
#include "api/status.h"
#include "api/wait.h"
#include "common/buf.h"
#include "common/times.h"

struct job_get {
	struct request *req;
	struct status_read read;
	struct parked parked;
	int32_t type_id; /* of the route; 0 = any */
	bool operation;
	struct prefer prefer;
	int64_t deadline; /* monotonic; 0 = don't wait */
};

static void answer_operation(struct request *req, const struct job_type *type,
			     const struct job_row *row)
{
	struct buf text = { 0 };

	reply_status(req, 200);
	reply_header(req, "Content-Type", "application/json");
	if (!job_ended(row))
		answer_retry_after(req, type, row);
	reply_header(req, "Cache-Control",
		     job_ended(row) ? "private, no-cache" : "private, no-store");
	jobdoc_write_operation(&text, req_base_url(req), type, row);
	reply_body(req, text.data, text.len);
	buf_free(&text);
}

static void answer_not_modified(struct request *req, const struct job_type *type,
				const struct job_row *row)
{
	reply_status(req, 304);
	if (!job_ended(row))
		answer_retry_after(req, type, row);
	reply_header(req, "Cache-Control",
		     job_ended(row) ? "private, no-cache" : "private, no-store");
	reply_body(req, "", 0);
}

/* What the client knows already isn't sent again, not even after a wait. */
static void answer_row(struct job_get *get, const struct job_row *row)
{
	struct request *req = get->req;
	const struct job_type *type = answer_type_of(req, row, get->type_id);
	char etag[ETAG_TEXT];

	if (!type)
		return;
	jobdoc_etag(row, etag);
	reply_header(req, "ETag", "%s", etag);
	reply_header(req, "Vary", "Prefer, Accept");
	if (get->prefer.has_wait)
		reply_header(req, "Preference-Applied", "wait=%d", get->prefer.wait_ms / 1000);
	if (etag_listed(req_header(req, "If-None-Match"), etag))
		answer_not_modified(req, type, row);
	else if (get->operation)
		answer_operation(req, type, row);
	else
		answer_job(req, 200, type, row);
}

static void client_left(struct request *req, void *ctx)
{
	struct job_get *get = ctx;

	park_remove(&get->parked);
	req_unref(req);
}

static void woken(struct parked *p, enum park_outcome outcome, const struct job_row *row)
{
	struct job_get *get = (struct job_get *)((char *)p - offsetof(struct job_get, parked));
	struct request *req = get->req;

	req_on_gone(req, NULL, NULL);
	if (outcome == PARK_ROW)
		answer_row(get, row);
	else if (outcome == PARK_GONE)
		answer_missing(req, &get->read.id, get->type_id);
	else
		answer_away(req);
	req_unref(req);
}

/* True if the client asked to be told of a change, and this is none to it: the job lives, and its
 * version is the one that the client named, or it named none. */
static bool worth_waiting(struct job_get *get, const struct job_row *row)
{
	const char *known = req_header(get->req, "If-None-Match");
	char etag[ETAG_TEXT];

	if (get->deadline <= mono_ms() || job_ended(row) || app.draining)
		return false;
	if (!type_by_id(row->type_id) || (get->type_id != 0 && row->type_id != get->type_id))
		return false;
	jobdoc_etag(row, etag);
	return !known || etag_listed(known, etag);
}

static void job_read(void *ctx, enum status_outcome outcome, const struct job_row *row)
{
	struct job_get *get = ctx;
	struct request *req = get->req;

	if (!req_alive(req)) {
		req_unref(req);
		return;
	}
	if (outcome == STATUS_FOUND && worth_waiting(get, row)) {
		get->parked.seen_version = row->version;
		get->parked.wake = woken;
		park_prepare(&get->parked, &get->read.id, req_client(req));
		req_on_gone(req, client_left, get);
		req_parked(req);
		park_arm(&get->parked, get->deadline, false);
		return;
	}
	if (outcome == STATUS_FOUND)
		answer_row(get, row);
	else if (outcome == STATUS_MISSING)
		answer_missing(req, &get->read.id, get->type_id);
	else
		answer_away(req);
	req_unref(req);
}

static void get_job(struct request *req, const struct route_match *m, bool operation)
{
	struct job_get *get = req_alloc(req, sizeof(*get));

	if (!answer_path_id(req, m, &get->read.id))
		return;
	get->req = req;
	get->type_id = m->type_id;
	get->operation = operation;
	prefer_parse(req, &get->prefer);
	if (get->prefer.has_wait && get->prefer.wait_ms > 0)
		get->deadline = mono_ms() + get->prefer.wait_ms;
	get->read.client = req_client(req);
	get->read.min_version = etag_version(req_header(req, "If-None-Match"));
	get->read.done = job_read;
	get->read.ctx = get;
	if (!status_get(&get->read, STATUS_POLL)) {
		answer_away(req);
		return;
	}
	req_ref(req);
}

void job_get_handle(struct request *req, const struct route_match *m)
{
	if (sse_asked(req))
		events_handle(req, m);
	else
		get_job(req, m, false);
}

void operation_get_handle(struct request *req, const struct route_match *m)
{
	get_job(req, m, true);
}
