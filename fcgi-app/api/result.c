/*
 * result.c: sending a job's result, chunk by chunk when it is large: the next chunk is fetched
 * when the client has taken most of the last one, so an answer holds one chunk in memory.
 */
#include "api/result.h"

#include <string.h>
#include <strings.h>

#include <ev.h>

#include "api/app.h"
#include "common/db.h"
#include "common/log.h"
#include "common/times.h"

#define CHUNK 262144
/* Answers streamed at a time; each holds up to a chunk and a bit. Others wait, in order. */
#define STREAMS_MAX 48
#define RETRY_MS 100
#define DRAINED 65536 /* http.h: with less than this queued nobody calls us to go on */

/* A result on its way. Lives in its request's memory. */
struct stream {
	struct request *req;
	struct stream *next; /* while it waits for its turn */
	struct uuid id;
	int32_t gen;
	int64_t at, end; /* the next byte, and the one behind the last */
	bool active, fetching, over;
	int64_t lost_since; /* monotonic; 0 = the database answers */
	ev_timer retry;
};

static struct app *owner;
static struct stream *waiting, **waiting_tail = &waiting;
static int n_active;
static size_t n_streams;

static void fetch(struct stream *s);
static void start_waiting(void);

void result_start(struct app *a)
{
	owner = a;
}

size_t result_pending(void)
{
	return n_streams;
}

/* The stream is over; its request may still be finishing. */
static void stream_done(struct stream *s)
{
	ev_timer_stop(owner->loop, &s->retry);
	if (s->active) {
		s->active = false;
		n_active--;
	}
	n_streams--;
	s->over = true;
	start_waiting();
}

static void stream_gone(struct request *req, void *ctx)
{
	struct stream *s = ctx;

	if (!s->active) {
		struct stream **at = &waiting;

		while (*at != s)
			at = &(*at)->next;
		*at = s->next;
		if (!s->next)
			waiting_tail = at;
	}
	stream_done(s);
	/* A chunk may still be on its way: its callback lets go of the request then. */
	if (!s->fetching)
		req_unref(req);
}

static void stream_abort(struct stream *s, const char *why)
{
	struct request *req = s->req;

	log_warning("a result's answer is broken off reason=\"%s\" request=%s", why, req_id(req));
	req_on_gone(req, NULL, NULL);
	stream_done(s);
	reply_stream_abort(req);
	req_unref(req);
}

static void retry_due(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop;
	(void)revents;
	fetch(w->data);
}

/* The database is away for a moment: tries again for a while before it gives the client up. */
static void fetch_later(struct stream *s)
{
	int64_t now = mono_ms();

	if (!s->lost_since)
		s->lost_since = now;
	if (now - s->lost_since >= owner->cfg->settle_ms) {
		stream_abort(s, "the database is away");
		return;
	}
	ev_timer_set(&s->retry, RETRY_MS / 1000., 0.);
	ev_timer_start(owner->loop, &s->retry);
}

static void stream_finish(struct stream *s)
{
	req_on_gone(s->req, NULL, NULL);
	stream_done(s);
	reply_stream_end(s->req);
	req_unref(s->req);
}

/* Sends what is wanted of a chunk. */
static void send_chunk(struct stream *s, const unsigned char *data, size_t len)
{
	struct request *req = s->req;
	int64_t from = s->at % CHUNK, n = (int64_t)len - from;

	if (n > s->end - s->at)
		n = s->end - s->at;
	if (!data || n <= 0) {
		stream_abort(s, "a chunk is missing");
		return;
	}
	s->at += n;
	reply_stream_write(req, data + from, (size_t)n);
	if (s->at >= s->end)
		stream_finish(s);
	else if (req_alive(req) && reply_stream_queued(req) < DRAINED)
		fetch(s);
}

static void chunk_came(void *ctx, const struct db_result *result)
{
	struct stream *s = ctx;
	const unsigned char *data = NULL;
	size_t len = 0;

	s->fetching = false;
	if (s->over) { /* the client left meanwhile */
		req_unref(s->req);
		return;
	}
	if (result->outcome != DB_OK) {
		if (result->outcome == DB_ERROR && !db_is_outage(result))
			stream_abort(s, result->sqlstate);
		else
			fetch_later(s);
		return;
	}
	s->lost_since = 0;
	if (dbr_rows(result->res) > 0)
		data = dbr_bytea(result->res, 0, 0, &len);
	send_chunk(s, data, len);
}

static void fetch(struct stream *s)
{
	struct db_params params;

	db_params_init(&params);
	dbp_uuid(&params, &s->id);
	dbp_int4(&params, s->gen);
	dbp_int4(&params, (int32_t)(s->at / CHUNK));
	s->fetching = db_query(owner->bulk, "SELECT longhaul.result_chunk_get($1, $2, $3)", &params,
			       chunk_came, s);
	db_params_free(&params);
	if (!s->fetching)
		fetch_later(s);
}

static void drained(struct request *req, void *ctx)
{
	struct stream *s = ctx;

	(void)req;
	if (s->active && !s->fetching && !ev_is_active(&s->retry))
		fetch(s);
}

static void start_waiting(void)
{
	while (waiting && n_active < STREAMS_MAX) {
		struct stream *s = waiting;

		waiting = s->next;
		if (!waiting)
			waiting_tail = &waiting;
		s->active = true;
		n_active++;
		fetch(s);
	}
}

static void stream_begin(struct request *req, const struct job_row *row, int64_t first,
			 int64_t last)
{
	struct stream *s = req_alloc(req, sizeof(*s));

	req_ref(req);
	s->req = req;
	s->id = row->id;
	s->gen = row->result_gen;
	s->at = first;
	s->end = last + 1;
	ev_timer_init(&s->retry, retry_due, 0., 0.);
	s->retry.data = s;
	req_on_gone(req, stream_gone, s);
	reply_stream_on_drain(req, drained, s);
	reply_stream_begin(req, last - first + 1);
	*waiting_tail = s;
	waiting_tail = &s->next;
	n_streams++;
	start_waiting();
}

void result_body(struct request *req, const struct job_row *row, int64_t first, int64_t last)
{
	int64_t len = last < first ? 0 : last - first + 1;

	if (row->result && (size_t)(first + len) <= row->result_len) {
		reply_body(req, row->result + first, (size_t)len);
	} else if (len == 0 || req_method(req) == HTTP_HEAD) {
		reply_stream_begin(req, len);
		reply_stream_end(req);
	} else {
		stream_begin(req, row, first, last);
	}
}

/* Media types that a browser shows as text and can't run. */
static bool harmless(const char *media)
{
	static const char *const list[] = { "application/json",   "text/plain",
					    "text/csv",           "application/x-ndjson",
					    "application/ndjson", "application/problem+json" };
	size_t n = strcspn(media, "; \t");

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (strlen(list[i]) == n && strncasecmp(media, list[i], n) == 0)
			return true;
	return false;
}

const char *result_etag(struct request *req, const struct job_row *row)
{
	return req_printf(req, "\"%llx\"", (unsigned long long)row->version);
}

void result_headers(struct request *req, const struct job_row *row)
{
	const char *media = row->result_type ? row->result_type : "application/octet-stream";
	char id[UUID_TEXT];

	uuid_format(&row->id, id);
	reply_header(req, "Content-Type", "%s", media);
	reply_header(req, "ETag", "%s", result_etag(req, row));
	reply_header(req, "Content-Security-Policy", "sandbox");
	if (!harmless(media))
		reply_header(req, "Content-Disposition", "attachment; filename=\"result-%s\"", id);
}
