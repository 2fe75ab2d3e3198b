/*
 * deliveries.c: what was, or is to be, delivered to a webhook or about a job; and delivering it once more.
 */
#include <string.h>

#include "api/answer.h"
#include "api/app.h"
#include "api/call.h"
#include "api/jobdoc.h"
#include "api/page.h"
#include "api/webhooks.h"
#include "common/json.h"
#include "common/times.h"

/* Columns of webhook_deliveries(). */
enum { C_ID, C_EVENT, C_JOB_ID, C_STATUS, C_CREATED_AT, C_NEXT_TRY_AT, C_TRIES };

enum { PENDING = 1 };

/* Codes of webhook_redeliver(). */
enum { REDELIVER_MISSING = 0, REDELIVER_DISABLED = 3 };

struct deliveries {
	struct call call; /* first */
	struct request *req;
	bool of_job; /* else of a webhook */
	struct uuid id, delivery;
	int32_t type_id;
	struct page page;
	const char *list; /* the address of the list */
};

static struct deliveries *deliveries_new(struct request *req, const struct route_match *m,
					 bool of_job)
{
	struct deliveries *d = req_alloc(req, sizeof(*d));
	const struct job_type *type = type_by_id(m->type_id);
	char text[UUID_TEXT];

	d->req = req;
	d->of_job = of_job;
	d->type_id = m->type_id;
	uuid_parse(m->seg[0], strlen(m->seg[0]), &d->id);
	if (m->nseg > 1)
		uuid_parse(m->seg[1], strlen(m->seg[1]), &d->delivery);
	uuid_format(&d->id, text);
	d->list = req_printf(req, "%s/v1/%s/%s/deliveries", req_base_url(req),
			     of_job && type ? type->collection : "webhooks", text);
	return d;
}

/* The client, then the webhook's and the job's id, one of which is SQL null. */
static struct db_params *params_of(struct deliveries *d)
{
	struct db_params *params = call_params(&d->call, d->req);

	dbp_text(params, req_client(d->req));
	if (d->of_job)
		dbp_null(params, DB_UUID);
	dbp_uuid(params, &d->id);
	if (!d->of_job)
		dbp_null(params, DB_UUID);
	return params;
}

static void answer_nothing(struct deliveries *d, const char *what)
{
	if (d->of_job && answer_is_old(&d->id, d->type_id))
		answer_missing(d->req, &d->id, d->type_id);
	else
		reply_problem(d->req, "not-found", NULL, "There is no such %s.", what);
}

/* ---- the list ---------------------------------------------------------------------------------------- */

static void put_member(struct buf *out, const char *key, const char *text)
{
	buf_adds(out, key);
	jobdoc_string(out, text, strlen(text));
}

static void put_id(struct buf *out, const char *key, const struct uuid *id)
{
	char text[UUID_TEXT];

	uuid_format(id, text);
	put_member(out, key, text);
}

static void put_time(struct buf *out, const char *key, int64_t ms)
{
	char text[RFC3339_TEXT];

	rfc3339_format(ms, text);
	put_member(out, key, text);
}

static void put_delivery(struct deliveries *d, struct buf *out, const PGresult *res, int i)
{
	static const char *const words[] = { "", "pending", "delivered", "failed", "dropped" };
	struct uuid id = dbr_uuid(res, i, C_ID), job;
	int16_t status = dbr_int2(res, i, C_STATUS);
	char text[UUID_TEXT];

	put_id(out, "{\"deliveryId\":", &id);
	put_member(out, ",\"event\":", dbr_text(res, i, C_EVENT, NULL));
	if (!dbr_null(res, i, C_JOB_ID)) {
		job = dbr_uuid(res, i, C_JOB_ID);
		put_id(out, ",\"jobId\":", &job);
	}
	put_member(out, ",\"status\":", status >= PENDING && status <= 4 ? words[status] : "");
	put_time(out, ",\"createdTime\":", dbr_ms(res, i, C_CREATED_AT));
	if (!dbr_null(res, i, C_NEXT_TRY_AT))
		put_time(out, ",\"nextTryTime\":", dbr_ms(res, i, C_NEXT_TRY_AT));
	buf_adds(out, ",\"tries\":");
	buf_adds(out, dbr_text(res, i, C_TRIES, NULL));
	if (status != PENDING) {
		uuid_format(&id, text);
		put_member(out, ",\"_links\":{\"redeliver\":{\"href\":",
			   req_printf(d->req, "%s/%s/redeliver", d->list, text));
		buf_adds(out, "}}");
	}
	buf_adds(out, "}");
}

static void list_came(struct call *call, const PGresult *res)
{
	struct deliveries *d = (struct deliveries *)call;
	struct request *req = d->req;
	const char *next = NULL;
	struct buf out = { 0 };
	int rows = res ? dbr_rows(res) : 0;

	if (!res)
		return;
	if (rows == 0) {
		answer_nothing(d, d->of_job ? "job" : "webhook");
		return;
	}
	buf_adds(&out, "{\"deliveries\":[");
	for (int i = 0; i < rows && i < d->page.limit && !dbr_null(res, i, C_ID); i++) {
		buf_adds(&out, i > 0 ? "," : "");
		put_delivery(d, &out, res, i);
	}
	buf_adds(&out, "]");
	if (rows > d->page.limit) {
		struct uuid last = dbr_uuid(res, d->page.limit - 1, C_ID);

		next = page_url(req, d->list, &d->page, &last);
	}
	page_links(req, &out,
		   page_url(req, d->list, &d->page, d->page.has_before ? &d->page.before : NULL),
		   next);
	buf_adds(&out, "}");
	reply_status(req, 200);
	reply_header(req, "Content-Type", "application/json");
	reply_header(req, "Cache-Control", "private, no-store");
	reply_body(req, out.data, out.len);
	buf_free(&out);
}

static void list_begin(struct deliveries *d)
{
	struct json_object *errors = page_read(d->req, &d->page, NULL);
	struct db_params *params;

	if (errors) {
		reply_invalid(d->req, errors);
		return;
	}
	params = params_of(d);
	dbp_int4(params, d->type_id);
	page_before(params, &d->page);
	dbp_int4(params, d->page.limit + 1); /* one more tells whether there is a next page */
	call_send(&d->call, app.bulk,
		  "SELECT * FROM longhaul.webhook_deliveries($1, $2, $3, $4, $5, $6)", list_came);
}

void webhook_deliveries_handle(struct request *req, const struct route_match *m)
{
	list_begin(deliveries_new(req, m, false));
}

void job_deliveries_handle(struct request *req, const struct route_match *m)
{
	list_begin(deliveries_new(req, m, true));
}

/* ---- once more --------------------------------------------------------------------------------------- */

static void redelivered(struct call *call, const PGresult *res)
{
	struct deliveries *d = (struct deliveries *)call;
	struct json_object *o;
	char text[UUID_TEXT];

	if (!res)
		return;
	switch (dbr_int2(res, 0, 0)) {
	case REDELIVER_MISSING:
		answer_nothing(d, "delivery");
		return;
	case REDELIVER_DISABLED:
		reply_problem(d->req, "webhook-disabled", NULL,
			      "The webhook is disabled: enable it first.");
		return;
	default: /* queued, or pending already: what was asked for will be done */
		break;
	}
	uuid_format(&d->delivery, text);
	o = json_object_new_object();
	json_add_str(o, "deliveryId", text);
	json_add_str(o, "status", "pending");
	reply_header(d->req, "Cache-Control", "private, no-store");
	reply_json(d->req, 202, "application/json", o);
}

static void redeliver(struct deliveries *d)
{
	dbp_uuid(params_of(d), &d->delivery);
	call_send(&d->call, app.write, "SELECT longhaul.webhook_redeliver($1, $2, $3, $4)",
		  redelivered);
}

void webhook_redeliver_handle(struct request *req, const struct route_match *m)
{
	redeliver(deliveries_new(req, m, false));
}

void job_redeliver_handle(struct request *req, const struct route_match *m)
{
	redeliver(deliveries_new(req, m, true));
}
