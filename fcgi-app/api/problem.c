/*
 * problem.c: problem details (RFC 9457), the one form of all errors.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "api/app.h"
#include "api/request.h"
#include "api/sse.h"
#include "common/json.h"
#include "common/log.h"

#define ERRORS_MAX 50 /* most entries of errors[] */

/* The problem types; the words are part of the interface. */
static const struct problem {
	const char *type;
	int status;
	int retry_after; /* seconds; 0 = none unless the caller set the header */
	const char *title;
} problems[] = {
	{ "forbidden", 403, 0, "Forbidden" },
	{ "headers-too-large", 431, 0, "Request headers too large" },
	{ "id-conflict", 409, 0, "The request's id is taken by another job" },
	{ "idempotency-key-reused", 422, 0, "Idempotency-Key was used for another request" },
	{ "input-too-large", 413, 0, "Input too large" },
	{ "internal-error", 500, 0, "Internal error" },
	{ "invalid-input", 400, 0, "Invalid input" },
	{ "job-canceled", 409, 0, "The job was canceled" },
	{ "job-failed", 422, 0, "The job failed" },
	{ "job-gone", 410, 0, "The job has been removed" },
	{ "method-not-allowed", 405, 0, "Method not allowed" },
	{ "not-cancelable", 409, 0, "The job can't be canceled" },
	{ "not-deletable", 409, 0, "The job can't be deleted" },
	{ "not-found", 404, 0, "Not found" },
	{ "not-retryable", 409, 0, "The job can't be retried" },
	{ "outcome-unknown", 504, 2, "Outcome unknown" },
	{ "precondition-failed", 412, 0, "Precondition failed" },
	{ "queue-full", 503, 5, "The queue is full" },
	{ "range-not-satisfiable", 416, 0, "Range not satisfiable" },
	{ "rate-limited", 429, 1, "Too many requests" },
	{ "result-expired", 410, 0, "The result has expired" },
	{ "result-not-ready", 409, 0, "The result isn't ready" },
	{ "too-many-webhooks", 409, 0, "The client has too many webhooks" },
	{ "unauthorized", 401, 0, "Unauthorized" },
	{ "unavailable", 503, 2, "Service unavailable" },
	{ "unsupported-media-type", 415, 0, "Unsupported media type" },
	{ "webhook-disabled", 409, 0, "The webhook is disabled" },
};

/* The row of a type. One that isn't in the table is a defect of the caller. */
static const struct problem *problem_find(const char *type)
{
	const struct problem *internal = NULL;

	for (size_t i = 0; i < sizeof(problems) / sizeof(problems[0]); i++) {
		if (strcmp(problems[i].type, type) == 0)
			return &problems[i];
		if (problems[i].status == 500)
			internal = &problems[i];
	}
	log_error("unknown problem type=%s", type);
	return internal;
}

/* Adds members without replacing those that are there. */
static void members_merge(struct json_object *to, struct json_object *extra)
{
	if (!extra)
		return;
	json_object_object_foreach(extra, key, value)
	{
		if (!json_object_object_get_ex(to, key, NULL))
			json_object_object_add(to, key, json_object_get(value));
	}
	json_object_put(extra);
}

/* Adds the detail; of what isn't UTF-8 (a character cut at the end, at most) a bit is left out. */
static void detail_add(struct json_object *o, const char *text)
{
	size_t len = strlen(text), least = len > 3 ? len - 3 : 0;

	while (len > least && !utf8_valid(text, len))
		len--;
	if (utf8_valid(text, len))
		json_add_strn(o, "detail", text, len);
}

void reply_problem(struct request *req, const char *type, struct json_object *extra,
		   const char *detail_fmt, ...)
{
	const struct problem *p = problem_find(type);
	struct json_object *o;
	char text[512];
	va_list args;

	/* A browser's EventSource would never ask again. */
	if (p->status == 503 && sse_asked(req)) {
		json_object_put(extra);
		sse_come_back(req);
		return;
	}
	o = json_object_new_object();
	snprintf(text, sizeof(text), "%s%s", app.cfg->problem_base, p->type);
	json_add_str(o, "type", text);
	json_add_str(o, "title", p->title);
	json_add_int(o, "status", p->status);
	if (detail_fmt) {
		va_start(args, detail_fmt);
		vsnprintf(text, sizeof(text), detail_fmt, args);
		va_end(args);
		detail_add(o, text);
	}
	snprintf(text, sizeof(text), "urn:request:%s", req->id);
	json_add_str(o, "instance", text);
	members_merge(o, extra);

	if (p->retry_after > 0 && !req->reply.retry_after)
		reply_header(req, "Retry-After", "%d", p->retry_after);
	if (!req->reply.cache_control)
		reply_header(req, "Cache-Control", "no-store");
	reply_json(req, p->status, "application/problem+json", o);
}

struct json_object *input_error(struct json_object *errors, const char *where, const char *why)
{
	struct json_object *e;

	if (!errors)
		errors = json_object_new_array();
	if (json_object_array_length(errors) >= ERRORS_MAX)
		return errors;
	e = json_object_new_object();
	json_add_str(e, "where", utf8_valid(where, strlen(where)) ? where : "?");
	json_add_str(e, "why", utf8_valid(why, strlen(why)) ? why : "?");
	json_object_array_add(errors, e);
	return errors;
}

void reply_invalid(struct request *req, struct json_object *errors)
{
	struct json_object *extra = json_object_new_object();
	struct json_object *first = json_object_array_get_idx(errors, 0);
	const char *where = first ? json_get_str(first, "where") : NULL;
	const char *why = first ? json_get_str(first, "why") : NULL;
	char detail[256];

	snprintf(detail, sizeof(detail), "%s: %s", where ? where : "request",
		 why ? why : "malformed");
	json_object_object_add(extra, "errors", errors);
	reply_problem(req, "invalid-input", extra, "%s", detail);
}
