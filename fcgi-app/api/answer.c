/*
 * answer.c: what the job handlers answer in common.
 */
#include "api/answer.h"

#include <string.h>

#include "api/app.h"
#include "api/jobdoc.h"
#include "api/queues.h"
#include "common/buf.h"
#include "common/json.h"
#include "common/times.h"

static struct buf document; /* one is made at a time */

bool answer_path_id(struct request *req, const struct route_match *m, struct uuid *id)
{
	/* To the client an id is opaque: one of another form is just not ours. */
	if (uuid_parse(m->seg[0], strlen(m->seg[0]), id))
		return true;
	reply_problem(req, "not-found", NULL, "There is no such job.");
	return false;
}

void answer_away(struct request *req)
{
	reply_problem(req, "unavailable", NULL,
		      "The service can't reach its storage at the moment. Nothing was done.");
}

/* The longest time that an ended job is kept. */
static int64_t retention_of(int32_t type_id)
{
	const struct job_type *type = type_by_id(type_id);
	int64_t longest = 0;

	if (type)
		return type->retention_s;
	for (int i = 0; (type = type_at(i)); i++)
		if (type->retention_s > longest)
			longest = type->retention_s;
	return longest;
}

static void answer_removed(struct request *req)
{
	reply_problem(req, "job-gone", NULL,
		      "The job has been removed: it was kept for as long as jobs of its type are.");
}

bool answer_is_old(const struct uuid *id, int32_t type_id)
{
	return uuid_is_v7(id) && uuid7_ms(id) < now_ms() - retention_of(type_id) * 1000;
}

void answer_missing(struct request *req, const struct uuid *id, int32_t type_id)
{
	if (answer_is_old(id, type_id))
		answer_removed(req);
	else
		reply_problem(req, "not-found", NULL, "There is no such job.");
}

bool job_expired(const struct job_row *row)
{
	return job_ended(row) && row->expires_ms != 0 && row->expires_ms <= now_ms();
}

const struct job_type *answer_type_of(struct request *req, const struct job_row *row,
				      int32_t type_id)
{
	const struct job_type *type = type_by_id(row->type_id);

	if (!type || (type_id != 0 && row->type_id != type_id)) {
		reply_problem(req, "not-found", NULL, "There is no such job.");
		return NULL;
	}
	if (job_expired(row)) {
		answer_removed(req);
		return NULL;
	}
	return type;
}

const char *answer_job_url(struct request *req, const struct job_type *type, const struct uuid *id,
			   const char *suffix)
{
	char text[UUID_TEXT];

	uuid_format(id, text);
	return req_printf(req, "%s/v1/%s/%s%s", req_base_url(req), type->collection, text, suffix);
}

void answer_locations(struct request *req, const struct job_type *type, const struct uuid *id)
{
	const char *base = req_base_url(req);
	char text[UUID_TEXT];

	uuid_format(id, text);
	reply_header(req, "Location", "%s/v1/%s/%s", base, type->collection, text);
	reply_header(req, "Operation-Location", "%s/v1/operations/%s", base, text);
}

void answer_retry_after(struct request *req, const struct job_type *type, const struct job_row *row)
{
	struct pace pace;

	queue_pace(row, type, &pace);
	reply_header(req, "Retry-After", "%d", pace_retry_after(&pace));
}

void answer_job(struct request *req, int status, const struct job_type *type,
		const struct job_row *row)
{
	struct pace pace;
	bool ended = job_ended(row);

	reply_status(req, status);
	reply_header(req, "Content-Type", "application/json");
	if (status == 202)
		answer_locations(req, type, &row->id);
	if (!ended) {
		queue_pace(row, type, &pace);
		reply_header(req, "Retry-After", "%d", pace_retry_after(&pace));
	}
	/* While it lives, a revalidated old suggestedNextPollTime would make a hot loop. */
	reply_header(req, "Cache-Control",
		     ended && status == 200 ? "private, no-cache" : "private, no-store");
	buf_reset(&document);
	jobdoc_write(&document, req_base_url(req), type, row, ended ? NULL : &pace);
	reply_body(req, document.data, document.len);
}

/* Members about the job that failed, whatever its problem says under these names. */
static void add_job(struct request *req, struct json_object *o, const struct job_type *type,
		    const struct job_row *row)
{
	struct json_object *links = json_object_new_object(), *link = json_object_new_object();
	const char *url = answer_job_url(req, type, &row->id, "");
	char id[UUID_TEXT];

	uuid_format(&row->id, id);
	json_add_str(o, "instance", url);
	json_add_str(o, "jobId", id);
	json_add_str(link, "href", url);
	json_object_object_add(links, "job", link);
	json_object_object_add(o, "_links", links);
}

void answer_failure(struct request *req, int status, const struct job_type *type,
		    const struct job_row *row, bool as_its_own)
{
	struct json_object *error = jobdoc_error(row), *o = error;

	if (!as_its_own) {
		o = json_object_new_object();
		json_add_str(o, "type", req_printf(req, "%sjob-failed", app.cfg->problem_base));
		json_add_str(o, "title", "The job failed");
		json_add_str(o, "detail", "The job failed, so it has no result.");
		json_object_object_add(o, "error", error);
	} else if (!json_get_str(o, "detail")) {
		json_add_str(o, "detail", "The job failed.");
	}
	json_add_int(o, "status", status);
	add_job(req, o, type, row);
	reply_json(req, status, "application/problem+json", o);
}
