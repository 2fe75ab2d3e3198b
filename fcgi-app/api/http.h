/*
 * http.h: one HTTP request as it came through FastCGI, and its answer.
 *
 * A request is created by the FastCGI layer when its parameters are complete and handed to
 * the router. It lives until its answer has been handed over, or its client has left, whichever
 * comes first; req_ref/req_unref keep the memory of one that a database callback still names.
 * Everything here runs in the event loop's only thread and never blocks.
 */
#ifndef LONGHAUL_API_HTTP_H
#define LONGHAUL_API_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct request;
struct uuid;

enum http_method {
	HTTP_GET = 1,
	HTTP_HEAD = 2,
	HTTP_POST = 4,
	HTTP_DELETE = 8,
	HTTP_OTHER = 16, /* everything else */
};

/* What came in. Strings belong to the request. */
enum http_method req_method(const struct request *req);
const char *req_method_name(const struct request *req);
const char *req_path(const struct request *req);  /* percent-encoded, without the query */
const char *req_query(const struct request *req); /* without '?'; "" if there is none */
/* The value of a FastCGI parameter, NULL if absent; *count (if not NULL) gets how often it came. */
const char *req_param(const struct request *req, const char *name, int *count);
/* A request header by its HTTP name, e.g. "If-None-Match"; several lines are joined by ", ". */
const char *req_header(struct request *req, const char *name);
/* Content-Length; -1 if none was sent. */
int64_t req_content_length(const struct request *req);
/* nginx's request id, 32 hexadecimal digits; made here if none came. */
const char *req_id(const struct request *req);
/* Who asks; never NULL. "" where a route needs no client. */
const char *req_client(const struct request *req);
/* What links begin with, without a slash at the end; NULL if the Host is bad, never in a handler. */
const char *req_base_url(struct request *req);
/* The id for a job made by this request: a UUIDv7 from nginx's request id and time, so that a request
 * which nginx passes to a second process gets the same one; random if they are absent or malformed.
 * False: there is no randomness. */
bool req_job_id(struct request *req, struct uuid *out);
void *req_alloc(struct request *req, size_t size); /* zeroed, freed with the request */
char *req_printf(struct request *req, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Handler-owned state: `gone` is called once when the client leaves before the answer is complete
 * (from then on reply functions do nothing, and data() and end() of the body aren't called any
 * more), `release` once when the request is freed. A request isn't freed before control has returned
 * to the event loop: a handler that has just answered may still look at it.
 */
void req_on_gone(struct request *req, void (*gone)(struct request *, void *), void *ctx);
void req_on_release(struct request *req, void (*release)(void *), void *ctx);
void req_ref(struct request *req);
void req_unref(struct request *req);
/* It waits for its job from now on: counted as such. */
void req_parked(struct request *req);
/* False once the client has left or the answer is complete. */
bool req_alive(const struct request *req);

/*
 * The body. Handlers that never ask for it get it drained for them before the answer is sent.
 * `data` is called with pieces as they arrive and returns false to pause (req_body_resume goes
 * on); `end` is called once, complete=false if the body was cut short of its Content-Length.
 */
typedef bool body_data_fn(struct request *req, void *ctx, const char *data, size_t len);
typedef void body_end_fn(struct request *req, void *ctx, bool complete);
void req_body_read(struct request *req, body_data_fn *data, body_end_fn *end, void *ctx);
void req_body_resume(struct request *req);
void req_body_discard(struct request *req); /* stop calling; drain the rest */

/*
 * The answer: reply_status once, headers, then either reply_body (whole, Content-Length is set
 * here) or reply_stream_begin/write/end. HEAD sends the headers of the same answer.
 */
/* Every answer carries X-Content-Type-Options: nosniff; a header may be set once. */
void reply_status(struct request *req, int status);
void reply_header(struct request *req, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Completes the answer; data is copied. */
void reply_body(struct request *req, const void *data, size_t len);
/* A JSON answer at once: status, Content-Type, body. Takes ownership of the value. */
struct json_object;
void reply_json(struct request *req, int status, const char *media_type, struct json_object *value);
/* Streaming: length < 0 = unknown. After begin, write copies data into the connection's queue. */
void reply_stream_begin(struct request *req, int64_t length);
void reply_stream_write(struct request *req, const void *data, size_t len);
size_t reply_stream_queued(const struct request *req); /* bytes not yet taken by nginx */
/* Called from the event loop when a write had left 64 KiB or more in the queue and less is left now.
 * A write that leaves less (see reply_stream_queued) isn't followed by a call: just go on. */
void reply_stream_on_drain(struct request *req, void (*drain)(struct request *, void *), void *ctx);
void reply_stream_end(struct request *req);
/* Breaks the connection: the client sees a short body. */
void reply_stream_abort(struct request *req);

/*
 * Problem details (RFC 9457). `type` is the short name ("not-found"); status, title and Retry-After
 * defaults come from one table in problem.c. Headers set before (Allow, Retry-After, …) stay, the
 * status doesn't. detail may be NULL. `extra` is NULL or a json-c object whose members are added
 * (ownership taken).
 */
void reply_problem(struct request *req, const char *type, struct json_object *extra,
		   const char *detail_fmt, ...) __attribute__((format(printf, 4, 5)));

/* One accumulating list of invalid-input errors: [{"where","why"}]; NULL starts a new one. */
struct json_object *input_error(struct json_object *errors, const char *where, const char *why);
/* Answers 400 invalid-input with errors[] (ownership taken). */
void reply_invalid(struct request *req, struct json_object *errors);

/* Query string: decodes %XX and '+'; NULL if absent, or if *wrong says what is wrong with it. */
char *req_query_arg(struct request *req, const char *name, const char **wrong);

/* Prefer (RFC 7240): malformed preferences are ignored. */
struct prefer {
	bool respond_async;
	bool has_wait;
	int wait_ms; /* as asked, capped by [api] wait_max_s */
	int wait_asked_s;
};
void prefer_parse(struct request *req, struct prefer *out);

/* What a handler gets of the path: the segments that stood for ids, decoded, and the type
 * that the submit path or the collection belongs to. */
struct route_match {
	const char *seg[4];
	int nseg;
	int type_id; /* of a submit path or collection; 0 for the fixed routes */
};
typedef void route_handler(struct request *req, const struct route_match *m);

#endif
