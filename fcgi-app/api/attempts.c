/*
 * attempts.c: a job's attempts, and what they have logged.
 *
 * The job is read first: the route's collection must be that of its type, and what has expired is gone.
 */
#include <stdlib.h>
#include <string.h>

#include "api/answer.h"
#include "api/app.h"
#include "api/call.h"
#include "api/jobdoc.h"
#include "api/jobs.h"
#include "api/status.h"
#include "common/db.h"
#include "common/json.h"

#define ATTEMPT_MAX 1000000000L

struct attempts {
	struct call call; /* first */
	struct request *req;
	struct status_read read;
	int32_t type_id;
	void (*ask)(struct attempts *a, const struct job_type *type); /* once the job is known */
	int32_t attempt; /* whose log; 0 = the last that has one */
};

/* ---- the list ---------------------------------------------------------------------------------------- */

/* Columns of client_attempts(). */
enum { A_INPUT_SIZE, A_INPUT_TYPE, A_ATTEMPT, A_STATUS, A_STARTED, A_ENDED, A_ERROR, A_LOG_SIZE };

/* As in the job document, but without the list of errors, which may be long. */
static struct json_object *error_of(const PGresult *res, int i)
{
	struct job_row row = { 0 };
	size_t len;
	struct json_object *error;

	row.error = dbr_text(res, i, A_ERROR, &len);
	row.error_len = len;
	error = jobdoc_error(&row);
	json_object_object_del(error, "errors");
	return error;
}

static struct json_object *attempt_of(const PGresult *res, int i)
{
	struct json_object *o = json_object_new_object();

	json_add_int(o, "attempt", dbr_int4(res, i, A_ATTEMPT));
	json_add_str(o, "status", dbr_text(res, i, A_STATUS, NULL));
	json_add_time(o, "startedTime", dbr_ms(res, i, A_STARTED));
	if (!dbr_null(res, i, A_ENDED))
		json_add_time(o, "endedTime", dbr_ms(res, i, A_ENDED));
	if (!dbr_null(res, i, A_LOG_SIZE))
		json_add_int(o, "logSize", dbr_int4(res, i, A_LOG_SIZE));
	if (!dbr_null(res, i, A_ERROR))
		json_object_object_add(o, "error", error_of(res, i));
	return o;
}

static void list_came(struct call *call, const PGresult *res)
{
	struct attempts *a = (struct attempts *)call;
	struct json_object *o, *list;
	char id[UUID_TEXT];

	if (!res)
		return;
	if (dbr_rows(res) == 0) {
		answer_missing(a->req, &a->read.id, a->type_id);
		return;
	}
	uuid_format(&a->read.id, id);
	o = json_object_new_object();
	json_add_str(o, "jobId", id);
	json_add_int(o, "inputSize", dbr_int8(res, 0, A_INPUT_SIZE));
	json_add_str(o, "inputType", dbr_text(res, 0, A_INPUT_TYPE, NULL));
	list = json_object_new_array();
	for (int i = 0; i < dbr_rows(res) && !dbr_null(res, i, A_ATTEMPT); i++)
		json_object_array_add(list, attempt_of(res, i));
	json_object_object_add(o, "attempts", list);
	reply_header(a->req, "Cache-Control", "private, no-store");
	reply_json(a->req, 200, "application/json", o);
}

static void ask_list(struct attempts *a, const struct job_type *type)
{
	struct db_params *params = call_params(&a->call, a->req);

	(void)type;
	dbp_uuid(params, &a->read.id);
	dbp_text(params, a->read.client);
	call_send(&a->call, app.bulk, "SELECT * FROM longhaul.client_attempts($1, $2)", list_came);
}

/* ---- a log ------------------------------------------------------------------------------------------- */

static void answer_no_log(struct attempts *a)
{
	reply_problem(a->req, "not-found", NULL, "There is no such log.");
}

static void log_came(struct call *call, const PGresult *res)
{
	struct attempts *a = (struct attempts *)call;
	const char *text;
	size_t len;

	if (!res)
		return;
	if (dbr_rows(res) == 0) {
		answer_no_log(a);
		return;
	}
	text = dbr_text(res, 0, 1, &len);
	reply_status(a->req, 200);
	reply_header(a->req, "Content-Type", "text/plain; charset=utf-8");
	reply_header(a->req, "Content-Security-Policy", "sandbox");
	reply_header(a->req, "Cache-Control", "private, no-store");
	reply_header(a->req, "Longhaul-Attempt", "%d", (int)dbr_int4(res, 0, 0));
	reply_body(a->req, text, len);
}

static void ask_log(struct attempts *a, const struct job_type *type)
{
	struct db_params *params;

	if (!type->log_for_clients) {
		answer_no_log(a);
		return;
	}
	params = call_params(&a->call, a->req);
	dbp_uuid(params, &a->read.id);
	dbp_text(params, a->read.client);
	if (a->attempt > 0)
		dbp_int4(params, a->attempt);
	else
		dbp_null(params, DB_INT4);
	call_send(&a->call, app.bulk, "SELECT * FROM longhaul.client_log($1, $2, $3)", log_came);
}

/* ?attempt=N. False: it is no number of an attempt, and that was answered. */
static bool read_attempt(struct attempts *a)
{
	const char *wrong = NULL;
	char *text = req_query_arg(a->req, "attempt", &wrong), *end;
	long n;

	if (!wrong && !text)
		return true;
	if (!wrong) {
		n = strtol(text, &end, 10);
		if (*text >= '0' && *text <= '9' && !*end && n >= 1 && n <= ATTEMPT_MAX) {
			a->attempt = (int32_t)n;
			return true;
		}
		wrong = "not a whole number from 1";
	}
	reply_invalid(a->req, input_error(NULL, "attempt", wrong));
	return false;
}

/* ---- the job ----------------------------------------------------------------------------------------- */

static void job_read(void *ctx, enum status_outcome outcome, const struct job_row *row)
{
	struct attempts *a = ctx;
	const struct job_type *type;

	if (req_alive(a->req)) {
		if (outcome == STATUS_AWAY)
			answer_away(a->req);
		else if (outcome == STATUS_MISSING)
			answer_missing(a->req, &a->read.id, a->type_id);
		else if ((type = answer_type_of(a->req, row, a->type_id)))
			a->ask(a, type);
	}
	req_unref(a->req);
}

static struct attempts *attempts_new(struct request *req, const struct route_match *m)
{
	struct attempts *a = req_alloc(req, sizeof(*a));

	if (!answer_path_id(req, m, &a->read.id))
		return NULL;
	a->req = req;
	a->type_id = m->type_id;
	a->read.client = req_client(req);
	a->read.done = job_read;
	a->read.ctx = a;
	return a;
}

static void begin(struct attempts *a)
{
	if (!status_get(&a->read, STATUS_POLL))
		answer_away(a->req);
	else
		req_ref(a->req);
}

void attempts_handle(struct request *req, const struct route_match *m)
{
	struct attempts *a = attempts_new(req, m);

	if (!a)
		return;
	a->ask = ask_list;
	begin(a);
}

void log_handle(struct request *req, const struct route_match *m)
{
	struct attempts *a = attempts_new(req, m);

	if (!a || !read_attempt(a))
		return;
	a->ask = ask_log;
	begin(a);
}
