/*
 * list.c: a client's jobs, newest first, page by page.
 */
#include <stdlib.h>
#include <string.h>

#include "api/answer.h"
#include "api/app.h"
#include "api/jobdoc.h"
#include "api/jobs.h"
#include "api/list.h"
#include "api/openapi.h"
#include "api/page.h"
#include "api/queues.h"
#include "api/status.h"
#include "common/buf.h"
#include "common/db.h"
#include "common/json.h"
#include "common/log.h"
#include "common/times.h"

#define C_SCANNED_TO JOB_COLUMNS

struct list {
	struct request *req;
	int32_t type_id;        /* 0 = all types */
	enum job_status status; /* 0 = all */
	int64_t created_after;  /* Unix ms; 0 = any */
	struct page page;
};

static size_t n_lists;

size_t lists_pending(void)
{
	return n_lists;
}

/* ---- the arguments ----------------------------------------------------------------------------------- */

static struct json_object *read_created_after(struct list *list, char *text,
					      struct json_object *errors)
{
	char *blank = strchr(text, ' ');

	/* A '+' that wasn't encoded has become a blank. */
	if (blank)
		*blank = '+';
	if (!rfc3339_parse(text, strlen(text), &list->created_after))
		return input_error(errors, "createdAfter",
				   "not an RFC 3339 time, like 2030-01-31T08:00:00Z");
	return errors;
}

static struct json_object *read_argument(struct list *list, const char *name, char *text,
					 struct json_object *errors)
{
	if (strcmp(name, "createdAfter") == 0)
		return read_created_after(list, text, errors);
	list->status = job_status_of(text);
	if (list->status == 0)
		errors = input_error(errors, "status",
				     "not one of Queued, InProgress, Completed, Failed, Canceled");
	return errors;
}

/* False: something is wrong with the query, and that was answered. */
static bool read_arguments(struct list *list)
{
	static const char *const names[] = { "createdAfter", "status" };
	struct json_object *errors = page_read(list->req, &list->page, NULL);

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *wrong = NULL;
		char *text = req_query_arg(list->req, names[i], &wrong);

		if (wrong)
			errors = input_error(errors, names[i], wrong);
		else if (text)
			errors = read_argument(list, names[i], text, errors);
	}
	if (errors)
		reply_invalid(list->req, errors);
	return errors == NULL;
}

/* ---- the page ------------------------------------------------------------------------------------------- */

/* The address of the page that starts below `before` (NULL: of the first). */
static const char *url_of(const struct list *list, const struct uuid *before)
{
	const struct job_type *type = list->type_id ? type_by_id(list->type_id) : NULL;
	char after[RFC3339_TEXT] = "";

	if (list->created_after)
		rfc3339_format(list->created_after, after);
	return req_printf(list->req, "%s%s%s%s%s",
			  page_url(list->req,
				   req_printf(list->req, "%s/v1/%s", req_base_url(list->req),
					      type ? type->collection : "jobs"),
				   &list->page, before),
			  list->status ? "&status=" : "",
			  list->status ? job_status_word(list->status) : "",
			  *after ? "&createdAfter=" : "", after);
}

static void put_jobs(struct buf *out, struct list *list, const PGresult *res)
{
	const char *base = req_base_url(list->req), *comma = "";
	int rows = dbr_rows(res);
	struct job_row row;
	struct pace pace;

	buf_adds(out, "{\"jobs\":[");
	for (int i = 0; i < rows; i++) {
		const struct job_type *type;

		if (dbr_null(res, i, 1)) /* nothing on this page, but there is more */
			continue;
		job_row_read(res, i, &row);
		type = type_by_id(row.type_id);
		if (!type)
			continue;
		if (!job_ended(&row))
			queue_pace(&row, type, &pace);
		buf_adds(out, comma);
		jobdoc_write(out, base, type, &row, job_ended(&row) ? NULL : &pace);
		comma = ",";
	}
	buf_adds(out, "]");
}

static void answer_page(struct list *list, const PGresult *res)
{
	struct request *req = list->req;
	struct buf out = { 0 };
	const char *next = NULL;

	if (dbr_rows(res) > 0 && !dbr_null(res, 0, C_SCANNED_TO)) {
		struct uuid before = dbr_uuid(res, 0, C_SCANNED_TO);

		next = url_of(list, &before);
	}
	reply_status(req, 200);
	reply_header(req, "Content-Type", "application/json");
	reply_header(req, "Cache-Control", "private, no-store");
	if (!list->type_id)
		openapi_link(req);
	put_jobs(&out, list, res);
	page_links(req, &out, url_of(list, list->page.has_before ? &list->page.before : NULL),
		   next);
	buf_adds(&out, "}");
	reply_body(req, out.data, out.len);
	buf_free(&out);
}

static void page_came(void *ctx, const struct db_result *result)
{
	struct list *list = ctx;

	n_lists--;
	if (result->outcome == DB_OK) {
		answer_page(list, result->res);
	} else {
		if (result->outcome == DB_ERROR)
			log_warning("a list failed sqlstate=%s request=%s", result->sqlstate,
				    req_id(list->req));
		answer_away(list->req);
	}
	req_unref(list->req);
}

static void list_jobs(struct request *req, const struct route_match *m)
{
	struct list *list = req_alloc(req, sizeof(*list));
	struct db_params params;

	list->req = req;
	list->type_id = m->type_id;
	if (!read_arguments(list))
		return;
	db_params_init(&params);
	dbp_text(&params, req_client(req));
	list->type_id ? dbp_int4(&params, list->type_id) : dbp_null(&params, DB_INT4);
	list->status ? dbp_int2(&params, (int16_t)list->status) : dbp_null(&params, DB_INT2);
	list->created_after ? dbp_timestamptz(&params, list->created_after)
			    : dbp_null(&params, DB_TIMESTAMPTZ);
	page_before(&params, &list->page);
	dbp_int4(&params, list->page.limit);
	if (db_query(app.bulk, "SELECT * FROM longhaul.list_jobs($1, $2, $3, $4, $5, $6)", &params,
		     page_came, list)) {
		n_lists++;
		req_ref(req);
	} else {
		answer_away(req);
	}
	db_params_free(&params);
}

void list_type_handle(struct request *req, const struct route_match *m)
{
	list_jobs(req, m);
}

void list_all_handle(struct request *req, const struct route_match *m)
{
	list_jobs(req, m);
}
