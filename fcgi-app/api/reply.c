/*
 * reply.c: the answer's head and body, as CGI text: status line, headers, empty line, body.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/uio.h>

#include <json-c/json.h>

#include "api/conn.h"
#include "api/counters.h"
#include "api/request.h"
#include "common/json.h"
#include "common/log.h"
#include "common/times.h"

#define HEAD_FIRST 512
#define HEAD_MAX 32768 /* beyond it no nginx would take the answer */

/* The words behind the numbers; nginx passes them on. */
static const char *reason(int status)
{
	static const struct {
		int status;
		const char *words;
	} reasons[] = {
		{ 200, "OK" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 206, "Partial Content" },
		{ 304, "Not Modified" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 406, "Not Acceptable" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 410, "Gone" },
		{ 412, "Precondition Failed" },
		{ 413, "Content Too Large" },
		{ 415, "Unsupported Media Type" },
		{ 416, "Range Not Satisfiable" },
		{ 422, "Unprocessable Content" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].words;
	return "Status";
}

void reply_status(struct request *req, int status)
{
	req->reply.status = status;
}

/* Room for n more bytes of head. The memory is the request's. */
static bool head_reserve(struct request *req, size_t n)
{
	struct reply *r = &req->reply;
	size_t cap = r->head_cap ? r->head_cap : HEAD_FIRST;
	char *head;

	if (n <= r->head_cap - r->head_len)
		return true;
	while (cap - r->head_len < n)
		cap *= 2;
	if (cap > HEAD_MAX)
		return false;
	head = req_alloc(req, cap);
	if (r->head_len > 0)
		memcpy(head, r->head, r->head_len);
	r->head = head;
	r->head_cap = cap;
	return true;
}

/* Remembers the headers that we would add ourselves. */
static void header_note(struct reply *r, const char *name)
{
	if (strcasecmp(name, "X-Content-Type-Options") == 0)
		r->nosniff = true;
	else if (strcasecmp(name, "Cache-Control") == 0)
		r->cache_control = true;
	else if (strcasecmp(name, "Retry-After") == 0)
		r->retry_after = true;
}

void reply_header(struct request *req, const char *name, const char *fmt, ...)
{
	struct reply *r = &req->reply;
	size_t name_len = strlen(name);
	va_list args;
	char *value;
	int n;

	if (!req->conn || r->streaming)
		return;
	va_start(args, fmt);
	n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (n < 0 || !head_reserve(req, name_len + (size_t)n + 5)) {
		log_warning("answer header left out: too long name=%s request=%s", name, req->id);
		return;
	}
	memcpy(r->head + r->head_len, name, name_len);
	memcpy(r->head + r->head_len + name_len, ": ", 2);
	value = r->head + r->head_len + name_len + 2;
	va_start(args, fmt);
	vsnprintf(value, (size_t)n + 1, fmt, args);
	va_end(args);
	/* a value can't end its line: whoever supplied it would write our headers */
	for (int i = 0; i < n; i++)
		if ((unsigned char)value[i] < ' ' || value[i] == 127)
			value[i] = ' ';
	memcpy(value + n, "\r\n", 2);
	r->head_len += name_len + 2 + (size_t)n + 2;
	header_note(r, name);
}

/* True if an answer of this status has no body, nor a length of one. */
static bool bodiless(int status)
{
	return status == 204 || status == 304 || status < 200;
}

/* Status line, headers and the last lines as three parts. line and tail have room for 128 bytes. */
static void head_parts(struct request *req, int64_t length, struct iovec parts[3], char *line,
		       char *tail)
{
	struct reply *r = &req->reply;
	int n;

	if (r->status == 0)
		r->status = 200;
	parts[0].iov_base = line;
	parts[0].iov_len = (size_t)snprintf(line, 128, "Status: %d %s\r\n", r->status,
					    reason(r->status));
	parts[1].iov_base = r->head;
	parts[1].iov_len = r->head_len;
	n = snprintf(tail, 128, "%s", r->nosniff ? "" : "X-Content-Type-Options: nosniff\r\n");
	if (length >= 0 && !bodiless(r->status))
		n += snprintf(tail + n, 128 - (size_t)n, "Content-Length: %lld\r\n",
			      (long long)length);
	n += snprintf(tail + n, 128 - (size_t)n, "\r\n");
	parts[2].iov_base = tail;
	parts[2].iov_len = (size_t)n;
	count_answer(req->route, (int)req->method, r->status, req->parked, mono_s() - req->begun);
	request_unparked(req);
	log_debug("answered request=%s method=%s status=%d", req->id, req->method_name, r->status);
}

void reply_body(struct request *req, const void *data, size_t len)
{
	char line[128], tail[128];
	struct iovec parts[4];

	if (!req->conn || req->reply.streaming)
		return;
	head_parts(req, (int64_t)len, parts, line, tail);
	parts[3].iov_base = (void *)(uintptr_t)data;
	parts[3].iov_len = req->method == HTTP_HEAD || bodiless(req->reply.status) ? 0 : len;
	conn_answer_end(req->conn, parts, 4);
}

void reply_json(struct request *req, int status, const char *media_type, struct json_object *value)
{
	size_t len;
	const char *text = json_text(value, &len);

	reply_status(req, status);
	reply_header(req, "Content-Type", "%s", media_type);
	reply_body(req, text, len);
	json_object_put(value);
}

void reply_stream_begin(struct request *req, int64_t length)
{
	char line[128], tail[128];
	struct iovec parts[3];

	if (!req->conn || req->reply.streaming)
		return;
	head_parts(req, length, parts, line, tail);
	req->reply.streaming = true;
	/* Without an end that is known: a stream of events. */
	req->stream = length < 0;
	counters->streams += req->stream;
	req->reply.length = length;
	conn_answer(req->conn, parts, 3);
}

void reply_stream_write(struct request *req, const void *data, size_t len)
{
	struct reply *r = &req->reply;
	struct iovec part = { (void *)(uintptr_t)data, len };

	if (!req->conn || !r->streaming || len == 0)
		return;
	r->sent += (int64_t)len;
	if (req->method == HTTP_HEAD || bodiless(r->status))
		return;
	if (r->length >= 0 && r->sent > r->length) {
		log_error("an answer is longer than its Content-Length request=%s", req->id);
		reply_stream_abort(req);
		return;
	}
	conn_answer(req->conn, &part, 1);
}

size_t reply_stream_queued(const struct request *req)
{
	return req->conn ? conn_queued(req->conn) : 0;
}

void reply_stream_on_drain(struct request *req, void (*drain)(struct request *, void *), void *ctx)
{
	req->reply.drain = drain;
	req->reply.drain_ctx = ctx;
}

void reply_stream_end(struct request *req)
{
	struct reply *r = &req->reply;

	if (!req->conn || !r->streaming)
		return;
	/* a body that is too short must not look complete */
	if (r->length >= 0 && r->sent != r->length && req->method != HTTP_HEAD &&
	    !bodiless(r->status)) {
		log_error("an answer is shorter than its Content-Length request=%s", req->id);
		reply_stream_abort(req);
		return;
	}
	conn_answer_end(req->conn, NULL, 0);
}

void reply_stream_abort(struct request *req)
{
	if (req->conn)
		conn_abort(req->conn);
}
