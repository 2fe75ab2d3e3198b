/*
 * events.c: a job's changes as server-sent events. A stream is an entry in the table of wait.c, and
 * a timer for its heartbeat. It begins with the job as it is and ends after the job's end.
 */
#include "api/events.h"

#include <stddef.h>
#include <string.h>

#include <ev.h>

#include "api/answer.h"
#include "api/app.h"
#include "api/jobdoc.h"
#include "api/jobs.h"
#include "api/queues.h"
#include "api/sse.h"
#include "api/status.h"
#include "api/wait.h"
#include "common/buf.h"
#include "common/log.h"
#include "common/times.h"

/* The tick isn't exact: a change this much early isn't left to the next one. */
#define EARLY_MS 40

struct stream {
	struct request *req;
	struct status_read read;
	struct parked parked;
	struct stream *next, **at; /* all that are open */
	ev_timer beat;
	int32_t type_id;  /* of the route */
	int64_t last_id;  /* the version in Last-Event-ID; -1 = none */
	int64_t earliest; /* monotonic: the next event, unless it is the last */
};

static struct stream *streams;
static struct buf out; /* one event is made at a time */

/* Lets go of the stream's request, which has been answered or has gone. */
static void stream_close(struct stream *s)
{
	ev_timer_stop(app.loop, &s->beat);
	park_remove(&s->parked);
	*s->at = s->next;
	if (s->next)
		s->next->at = s->at;
	req_on_gone(s->req, NULL, NULL);
	req_unref(s->req);
}

static void stream_gone(struct request *req, void *ctx)
{
	(void)req;
	stream_close(ctx);
}

/* Sends what is in `out`. False: the reader is too far behind, and the stream is gone. */
static bool stream_send(struct stream *s)
{
	size_t waiting = reply_stream_queued(s->req);

	if (waiting > 0 && waiting + out.len > (size_t)app.cfg->events_queue) {
		log_info("an event stream is dropped: its reader doesn't keep up request=%s",
			 req_id(s->req));
		reply_stream_abort(s->req);
		stream_close(s);
		return false;
	}
	reply_stream_write(s->req, out.data, out.len);
	ev_timer_again(app.loop, &s->beat);
	return true;
}

static void stream_end(struct stream *s)
{
	reply_stream_end(s->req);
	stream_close(s);
}

static void beat_due(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop;
	(void)revents;
	buf_reset(&out);
	sse_comment(&out);
	stream_send(w->data);
}

/* Appends the job as an event. */
static void put_status(struct request *req, const struct job_type *type, const struct job_row *row)
{
	static struct buf document;
	char id[SSE_ID_TEXT];
	struct pace pace;

	if (!job_ended(row))
		queue_pace(row, type, &pace);
	buf_reset(&document);
	jobdoc_write(&document, req_base_url(req), type, row, job_ended(row) ? NULL : &pace);
	sse_version_write(row->version, id);
	sse_event(&out, "status", id, document.data, document.len);
}

/* The job was removed under the stream; who comes back is told so by a 410 or 404. */
static void tell_gone(struct stream *s)
{
	char id[UUID_TEXT];
	struct buf text = { 0 };

	uuid_format(&s->read.id, id);
	buf_addf(&text,
		 "{\"type\":\"%sjob-gone\",\"title\":\"The job has been removed\",\"status\":410,"
		 "\"jobId\":\"%s\"}",
		 app.cfg->problem_base, id);
	buf_reset(&out);
	sse_event(&out, "gone", NULL, text.data, text.len);
	buf_free(&text);
	if (stream_send(s))
		stream_end(s);
}

static void changed(struct parked *p, enum park_outcome outcome, const struct job_row *row)
{
	struct stream *s = (struct stream *)(void *)((char *)p - offsetof(struct stream, parked));
	const struct job_type *type = row ? type_by_id(row->type_id) : NULL;
	int64_t now = mono_ms();

	if (outcome == PARK_GONE || !type || job_expired(row)) {
		tell_gone(s);
		return;
	}
	if (!job_ended(row) && now + EARLY_MS < s->earliest)
		return; /* it comes again with the next tick */
	s->earliest = (now > s->earliest ? now : s->earliest) + app.cfg->events_pace_ms;
	p->seen_version = row->version;
	buf_reset(&out);
	put_status(s->req, type, row);
	if (stream_send(s) && job_ended(row))
		stream_end(s);
}

/* Goes on after the first event, until the job has ended or the client has left. */
static void stream_open(struct stream *s, const struct job_row *row)
{
	s->next = streams;
	s->at = &streams;
	if (s->next)
		s->next->at = &s->next;
	streams = s;
	ev_timer_init(&s->beat, beat_due, 0., app.cfg->events_heartbeat_ms / 1000.);
	s->beat.data = s;
	ev_timer_again(app.loop, &s->beat);
	s->earliest = mono_ms() + app.cfg->events_pace_ms;
	s->parked.seen_version = row->version;
	s->parked.wake = changed;
	park_prepare(&s->parked, &s->read.id, req_client(s->req));
	req_on_gone(s->req, stream_gone, s);
	park_watch(&s->parked);
}

/* The job as it is when the stream begins. True: the stream goes on. */
static bool answer_first(struct stream *s, const struct job_row *row)
{
	struct request *req = s->req;
	const struct job_type *type = answer_type_of(req, row, s->type_id);

	if (!type)
		return false;
	if (job_ended(row) && s->last_id == row->version) {
		/* It was told of the end, and its client should stop asking. */
		reply_status(req, 204);
		reply_header(req, "Cache-Control", "no-store");
		reply_body(req, "", 0);
		return false;
	}
	sse_begin(req);
	buf_reset(&out);
	sse_retry(&out, app.cfg->events_retry_ms);
	put_status(req, type, row);
	reply_stream_write(req, out.data, out.len);
	if (job_ended(row) || req_method(req) == HTTP_HEAD) {
		reply_stream_end(req);
		return false;
	}
	return true;
}

static void job_read(void *ctx, enum status_outcome outcome, const struct job_row *row)
{
	struct stream *s = ctx;
	struct request *req = s->req;

	if (req_alive(req)) {
		if (outcome == STATUS_MISSING) {
			answer_missing(req, &s->read.id, s->type_id);
		} else if (outcome == STATUS_AWAY || app.draining) {
			sse_come_back(req);
		} else if (answer_first(s, row)) {
			stream_open(s, row);
			return;
		}
	}
	req_unref(req);
}

void events_handle(struct request *req, const struct route_match *m)
{
	struct stream *s = req_alloc(req, sizeof(*s));

	if (!answer_path_id(req, m, &s->read.id))
		return;
	s->req = req;
	s->type_id = m->type_id;
	s->last_id = sse_version_read(req_header(req, "Last-Event-ID"));
	s->read.client = req_client(req);
	s->read.min_version = s->last_id;
	s->read.done = job_read;
	s->read.ctx = s;
	if (app.draining || !status_get(&s->read, STATUS_POLL)) {
		sse_come_back(req);
		return;
	}
	req_ref(req);
}

void events_drain(void)
{
	while (streams) {
		struct stream *s = streams;

		buf_reset(&out);
		sse_retry(&out, 1 + (int)random_below((uint32_t)app.cfg->events_drain_ms));
		reply_stream_write(s->req, out.data, out.len);
		stream_end(s);
	}
}
