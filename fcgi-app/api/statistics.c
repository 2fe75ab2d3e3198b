/*
 * statistics.c: how many of a client's jobs ended, minute by minute, and what it has waiting and running.
 */
#include "api/statistics.h"

#include "api/app.h"
#include "api/call.h"
#include "common/json.h"

#define STEP_SECONDS 60
#define MINUTES 60
/* Counting is bounded: so many rows of the queues, then so many jobs of the client. */
#define LOOK_ROWS 20000
#define LOOK_JOBS 5000

enum { C_MINUTE, C_COMPLETED, C_FAILED, C_CANCELED, C_QUEUED, C_AT_LEAST, C_OLDEST, C_RUNNING };

/* What waits and runs: the row without a minute. */
static void add_live(struct json_object *document, const PGresult *res, int row)
{
	struct json_object *queued = json_object_new_object(), *running = json_object_new_object();

	json_add_int(queued, "count", dbr_int8(res, row, C_QUEUED));
	json_add_bool(queued, "atLeast", dbr_bool(res, row, C_AT_LEAST));
	if (!dbr_null(res, row, C_OLDEST))
		json_add_time(queued, "oldestCreatedTime", dbr_ms(res, row, C_OLDEST));
	json_add_int(running, "count", dbr_int8(res, row, C_RUNNING));
	json_object_object_add(document, "queued", queued);
	json_object_object_add(document, "running", running);
}

static struct json_object *minute_of(const PGresult *res, int row)
{
	struct json_object *minute = json_object_new_object();

	json_add_time(minute, "time", dbr_ms(res, row, C_MINUTE));
	json_add_int(minute, "completed", dbr_int8(res, row, C_COMPLETED));
	json_add_int(minute, "failed", dbr_int8(res, row, C_FAILED));
	json_add_int(minute, "canceled", dbr_int8(res, row, C_CANCELED));
	return minute;
}

static void statistics_came(struct call *call, const PGresult *res)
{
	struct json_object *document, *minutes;

	if (!res)
		return;
	document = json_object_new_object();
	minutes = json_object_new_array_ext(MINUTES);
	json_add_int(document, "stepSeconds", STEP_SECONDS);
	json_object_object_add(document, "minutes", minutes);
	for (int row = 0; row < dbr_rows(res); row++) {
		if (dbr_null(res, row, C_MINUTE))
			add_live(document, res, row);
		else
			json_object_array_add(minutes, minute_of(res, row));
	}
	reply_header(call->req, "Cache-Control", "private, no-store");
	reply_json(call->req, 200, "application/json", document);
}

void statistics_handle(struct request *req, const struct route_match *m)
{
	struct call *call = req_alloc(req, sizeof(*call));
	struct db_params *params = call_params(call, req);

	(void)m;
	dbp_text(params, req_client(req));
	dbp_int4(params, MINUTES);
	dbp_int4(params, LOOK_ROWS);
	dbp_int4(params, LOOK_JOBS);
	call_send(call, app.bulk, "SELECT * FROM longhaul.client_statistics($1, $2, $3, $4)",
		  statistics_came);
}
