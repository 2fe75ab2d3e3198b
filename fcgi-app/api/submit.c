/*
 * submit.c: POST of a new job: checks the request, takes its body in, has it stored.
 */
#include "api/submit.h"

#include <string.h>
#include <strings.h>

#include "api/answer.h"
#include "api/app.h"
#include "api/jobs.h"
#include "api/queues.h"
#include "api/settings.h"
#include "api/types.h"
#include "common/db.h"
#include "common/json.h"
#include "common/sha256.h"
#include "common/times.h"

#define RUN_AT_MAX_MS (30LL * 86400 * 1000)
#define START_BY_MAX_MS (60LL * 86400 * 1000)
#define CLOCKS_APART_MS 600000
/* Memory for inputs that wait to be stored; beyond it submits are turned away. */
#define BODIES_MAX (64 << 20)

static int64_t bodies; /* bytes taken in and not yet stored */

/* ---- what the headers say ------------------------------------------------------------------------ */

static struct json_object *read_priority(struct submit *s, struct json_object *errors)
{
	const char *text = req_header(s->req, "Longhaul-Priority");

	if (text && !priority_read(text, &s->row.priority))
		errors = input_error(errors, "Longhaul-Priority",
				     "not a whole number from -100 to 100");
	return errors;
}

/* When the request was made: by the id, so that one that nginx sends a second time a little later
 * is judged alike; by our clock if the id's is far off. */
static int64_t time_of_request(const struct submit *s)
{
	int64_t now = now_ms(), made = uuid7_ms(&s->row.id);

	return made > now - CLOCKS_APART_MS && made < now + CLOCKS_APART_MS ? made : now;
}

/* Reads a header that is a time in the future, at most so far ahead; *out stays as it is if there is none. */
static struct json_object *read_time(struct submit *s, const char *header, int64_t max_ms,
				     const char *too_far, int64_t *out, struct json_object *errors)
{
	const char *text = req_header(s->req, header);
	int64_t now = time_of_request(s);

	if (!text)
		return errors;
	if (!rfc3339_parse(text, strlen(text), out))
		return input_error(errors, header,
				   "not an RFC 3339 time, like 2030-01-31T08:00:00Z");
	if (*out <= now)
		return input_error(errors, header, "not in the future");
	if (*out > now + max_ms)
		return input_error(errors, header, too_far);
	return errors;
}

static struct json_object *read_times(struct submit *s, struct json_object *errors)
{
	errors = read_time(s, "Longhaul-Run-At", RUN_AT_MAX_MS, "more than 30 days ahead",
			   &s->row.run_at_ms, errors);
	errors = read_time(s, "Longhaul-Start-By", START_BY_MAX_MS, "more than 60 days ahead",
			   &s->row.start_by_ms, errors);
	if (!errors && s->row.start_by_ms && s->row.start_by_ms <= s->row.run_at_ms)
		errors = input_error(errors, "Longhaul-Start-By", "not later than Longhaul-Run-At");
	return errors;
}

static struct json_object *read_key(struct submit *s, struct json_object *errors)
{
	const char *text = req_header(s->req, "Idempotency-Key");

	if (!text)
		return errors;
	if (!idempotency_key_read(text, s->key))
		return input_error(
			errors, "Idempotency-Key",
			"not one quoted string or token of 1 to 255 printable ASCII characters");
	s->row.key = s->key;
	return errors;
}

static struct json_object *read_media_type(struct submit *s, struct json_object *errors)
{
	const char *text = req_header(s->req, "Content-Type");

	if (text && !media_type_valid(text))
		errors = input_error(errors, "Content-Type", "malformed");
	s->row.media_type = text ? text : "application/octet-stream";
	return errors;
}

static struct json_object *read_webhook(struct submit *s, struct json_object *errors)
{
	const char *url = req_header(s->req, "Longhaul-Webhook"), *why;

	if (!url)
		return errors;
	if (!webhook_url_check(url, &api_webhook_guard, &why))
		return input_error(errors, "Longhaul-Webhook", why);
	s->row.webhook = url;
	s->row.base_url = req_base_url(s->req);
	s->row.problem_base = app.cfg->problem_base;
	return errors;
}

/* Reads the headers into the row. False: one is wrong, and that was answered. */
static bool read_headers(struct submit *s)
{
	struct json_object *errors = NULL;
	const char *trace = req_header(s->req, "traceparent");

	errors = read_media_type(s, errors);
	errors = read_priority(s, errors);
	errors = read_times(s, errors);
	errors = read_key(s, errors);
	errors = read_webhook(s, errors);
	if (errors) {
		reply_invalid(s->req, errors);
		return false;
	}
	if (trace && traceparent_read(trace, s->traceparent))
		s->row.traceparent = s->traceparent;
	s->row.request_id = req_id(s->req);
	return true;
}

/* What the fingerprint covers besides the body. A NUL can't stand in a header, so it separates. */
static bool add_prefix(struct submit *s)
{
	static const char *const names[] = { "Content-Type", "Longhaul-Priority", "Longhaul-Run-At",
					     "Longhaul-Start-By", "Longhaul-Webhook" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *text = req_header(s->req, names[i]);

		if (!buf_adds(&s->body, text ? text : "") || !buf_add(&s->body, "", 1))
			return false;
	}
	s->prefix = s->body.len;
	return true;
}

/* ---- the body --------------------------------------------------------------------------------------- */

static void drop_body(struct submit *s)
{
	bodies -= (int64_t)s->held;
	s->held = 0;
	buf_free(&s->body);
}

static void too_large(struct submit *s)
{
	struct json_object *extra = json_object_new_object();

	json_add_int(extra, "maxBytes", s->max_bytes);
	reply_problem(s->req, "input-too-large", extra, "At most %lld bytes are taken.",
		      (long long)s->max_bytes);
}

static void inserted(struct insert *row, enum insert_outcome outcome,
		     const struct insert_answer *answer)
{
	struct submit *s = (struct submit *)row;

	drop_body(s);
	submit_answered(s, outcome, answer);
}

/* The whole input is in memory. */
static void submit_inline(struct submit *s)
{
	sha256_of(s->body.data, s->body.len, s->row.fingerprint);
	s->row.input = s->body.data + s->prefix;
	s->row.input_size = (int64_t)s->held;
	s->row.done = inserted;
	submit_prepare_wait(s);
	req_ref(s->req);
	if (insert_add(&s->row))
		return;
	submit_forget_wait(s);
	drop_body(s);
	answer_away(s->req);
	req_unref(s->req);
}

static void upload_ready(struct upload *u)
{
	submit_prepare_wait((struct submit *)u->row);
}

static void upload_done(struct upload *u, enum upload_outcome outcome,
			const struct insert_answer *answer)
{
	struct submit *s = (struct submit *)u->row;

	switch (outcome) {
	case UPLOAD_ANSWERED:
		submit_answered(s, INSERT_ANSWERED, answer);
		return;
	case UPLOAD_UNKNOWN:
		submit_answered(s, INSERT_UNKNOWN, NULL);
		return;
	case UPLOAD_REFUSED:
		submit_answered(s, INSERT_REFUSED, NULL);
		return;
	case UPLOAD_TOO_LARGE:
		too_large(s);
		break;
	case UPLOAD_CUT_SHORT:
		reply_invalid(s->req, input_error(NULL, "body", "shorter than its Content-Length"));
		break;
	case UPLOAD_BUSY:
		reply_problem(s->req, "unavailable", NULL,
			      "Too many large inputs are being taken in. Nothing was done.");
		break;
	case UPLOAD_AWAY:
	default:
		submit_answered(s, INSERT_AWAY, NULL);
		return;
	}
	submit_forget_wait(s);
	req_unref(s->req);
}

/* The input is too large for a batch, or may turn out to be: the rest goes chunk by chunk. */
static void start_upload(struct submit *s)
{
	struct upload *u = &s->upload;

	s->uploading = true;
	u->req = s->req;
	u->row = &s->row;
	u->max_bytes = s->max_bytes;
	u->ready = upload_ready;
	u->done = upload_done;
	u->hash = sha256_new();
	sha256_add(u->hash, s->body.data, s->prefix);
	req_ref(s->req);
	if (!upload_begin(u, s->body.data + s->prefix, s->held)) {
		req_body_discard(s->req);
		upload_done(u, UPLOAD_BUSY, NULL);
	}
	drop_body(s);
}

/* Takes a piece of the body in; false: not now. */
static bool body_came(struct request *req, void *ctx, const char *data, size_t len)
{
	struct submit *s = ctx;

	if (s->uploading)
		return upload_data(&s->upload, data, len);
	if ((int64_t)(s->held + len) > s->max_bytes) {
		req_body_discard(req);
		drop_body(s);
		too_large(s);
		return true;
	}
	if (bodies + (int64_t)len > BODIES_MAX || !buf_add(&s->body, data, len)) {
		req_body_discard(req);
		drop_body(s);
		answer_away(req);
		return true;
	}
	s->held += len;
	bodies += (int64_t)len;
	if ((int64_t)s->held <= app.cfg->inline_max)
		return true;
	start_upload(s);
	return s->upload.state == UPLOAD_OVER || !s->upload.paused;
}

static void body_ended(struct request *req, void *ctx, bool complete)
{
	struct submit *s = ctx;

	if (s->uploading) {
		upload_end(&s->upload, complete);
	} else if (!complete) {
		drop_body(s);
		reply_invalid(req, input_error(NULL, "body", "shorter than its Content-Length"));
	} else {
		submit_inline(s);
	}
}

/* ---- the request ------------------------------------------------------------------------------------- */

static void client_left(struct request *req, void *ctx)
{
	struct submit *s = ctx;

	(void)req;
	/* What was sent to the database comes back to submit_answered all the same. */
	if (s->uploading && upload_abandon(&s->upload))
		req_unref(req);
	submit_forget_wait(s);
}

static void released(void *ctx)
{
	drop_body(ctx);
}

/* False: the request is refused before its body is read, and that was answered. */
static bool acceptable(struct submit *s, const struct job_type *type)
{
	const char *content_type = req_header(s->req, "Content-Type");
	const char *coding = req_header(s->req, "Content-Encoding");

	if (!read_headers(s))
		return false;
	if (coding && strcasecmp(coding, "identity") != 0) {
		reply_header(s->req, "Accept-Encoding", "identity");
		reply_problem(s->req, "unsupported-media-type", NULL,
			      "Inputs are taken without Content-Encoding.");
		return false;
	}
	if (!type_accepts(type, content_type)) {
		reply_header(s->req, "Accept-Post", "%s", type->media_types);
		reply_problem(s->req, "unsupported-media-type", NULL, "%s takes %s.", type->name,
			      type->media_types);
		return false;
	}
	if (req_content_length(s->req) > type->max_input_bytes) {
		too_large(s);
		return false;
	}
	if (queue_is_full(type)) {
		reply_problem(s->req, "queue-full", NULL,
			      "Too many jobs of this type are waiting.");
		return false;
	}
	if (!db_up(app.write)) {
		answer_away(s->req);
		return false;
	}
	return true;
}

void submit_handle(struct request *req, const struct route_match *m)
{
	const struct job_type *type = type_by_id(m->type_id);
	struct submit *s = req_alloc(req, sizeof(*s));

	s->req = req;
	s->row.type_id = m->type_id;
	s->row.client = req_client(req);
	s->max_bytes = type->max_input_bytes;
	req_on_release(req, released, s);
	if (!req_job_id(req, &s->row.id) || !add_prefix(s)) {
		reply_problem(req, "internal-error", NULL,
			      "The job could not be given an id. Nothing was done.");
		return;
	}
	if (!acceptable(s, type))
		return;
	prefer_parse(req, &s->prefer);
	req_on_gone(req, client_left, s);
	if (req_content_length(req) > app.cfg->inline_max)
		start_upload(s);
	if (req_alive(req))
		req_body_read(req, body_came, body_ended, s);
}
