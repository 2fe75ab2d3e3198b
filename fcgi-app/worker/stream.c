/*
 * stream.c: chunks of inputs and results.
 *
 * Of an input, one chunk is fetched ahead. Of a result, one is on its way to the database; meanwhile
 * the runner's socket isn't read, so that a fast handler waits. When the connection breaks, the chunk
 * is kept and sent again: storing one twice does no harm.
 */
#include "stream.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/db.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/times.h"
#include "list.h"
#include "pool.h"
#include "runner.h"
#include "worker.h"

struct stream {
	struct link link;
	struct runner *r; /* NULL: ended, freed once nothing is under way */
	struct job *job;
	struct uuid job_id;

	int32_t in_seq, in_chunks; /* the next to fetch; how many there are */
	bool in_fetching, in_have, in_wanted;
	struct buf in;

	int32_t out_seq;
	bool out_pending, out_putting;
	struct buf out;
};

#define RETRY_MS 500

static struct link streams = { &streams, &streams };
static int64_t retry_at;

static void fetch(struct stream *s);
static void put(struct stream *s);

static struct stream *stream_of(struct runner *r, struct job *job)
{
	struct stream *s = r->stream;

	if (!s) {
		s = mem_zalloc(sizeof(*s));
		s->r = r;
		s->job = job;
		s->job_id = job->id;
		list_append(&streams, &s->link);
		r->stream = s;
	}
	return s;
}

/* Frees it if it has ended and the database owes it nothing. */
static bool gone(struct stream *s)
{
	if (s->r)
		return false;
	if (!s->in_fetching && !s->out_putting) {
		list_remove(&s->link);
		buf_free(&s->in);
		buf_free(&s->out);
		free(s);
	}
	return true;
}

void stream_end(struct runner *r)
{
	struct stream *s = r->stream;

	if (!s)
		return;
	if (s->out_pending)
		s->job->result_cut = true;
	r->stream = NULL;
	s->r = NULL;
	s->job = NULL;
	gone(s);
	runner_pause(r, false);
}

/* The database couldn't be asked: stream_step() tries again. */
static bool is_away(const struct db_result *r)
{
	if (r->outcome == DB_OK || !db_is_outage(r))
		return false;
	retry_at = mono_ms() + RETRY_MS;
	return true;
}

/* ---- input ------------------------------------------------------------------------------------ */

/* Gives the runner the chunk at hand, or the end of the input, if it asks for it. */
static void deliver(struct stream *s)
{
	bool at_end = !s->in_have && s->in_seq == s->in_chunks;

	if (!s->in_wanted || (!s->in_have && !at_end))
		return;
	s->in_wanted = false;
	s->in_have = false;
	runner_send(s->r, WIRE_INPUT, s->job->ticket, s->in.data, at_end ? 0 : s->in.len);
	if (!at_end)
		fetch(s);
}

static void fetch_done(void *ctx, const struct db_result *r)
{
	struct stream *s = ctx;
	const unsigned char *data = NULL;
	size_t len = 0;

	s->in_fetching = false;
	if (gone(s) || is_away(r))
		return;
	if (r->outcome == DB_OK && dbr_rows(r->res) == 1)
		data = dbr_bytea(r->res, 0, 0, &len);
	if (!data || len == 0 || len > WIRE_CHUNK) {
		log_error("a piece of an input can't be read %s seq=%d sqlstate=%s error=\"%s\"",
			  job_text(s->job), (int)s->in_seq, r->sqlstate, r->message);
		pool_stop(s->job, STOP_INPUT);
		return;
	}
	s->in.len = 0;
	if (!buf_add(&s->in, data, len))
		abort();
	s->in_seq++;
	s->in_have = true;
	deliver(s);
}

static void fetch(struct stream *s)
{
	static const char sql[] = "SELECT longhaul.input_chunk_get($1, $2)";
	struct db_params p = { 0 };

	if (s->in_fetching || s->in_have || s->in_seq == s->in_chunks)
		return;
	dbp_uuid(&p, &s->job_id);
	dbp_int4(&p, s->in_seq);
	s->in_fetching = db_query(worker.stream, sql, &p, fetch_done, s);
	db_params_free(&p);
}

void stream_begin(struct runner *r, struct job *job)
{
	struct stream *s = stream_of(r, job);

	s->in_chunks = (int32_t)((job->input_size + WIRE_CHUNK - 1) / WIRE_CHUNK);
	fetch(s);
}

void stream_want(struct runner *r, struct job *job)
{
	struct stream *s = r->stream;

	if (!s || s->job != job)
		return;
	s->in_wanted = true;
	deliver(s);
	fetch(s);
}

/* ---- result ----------------------------------------------------------------------------------- */

static void put_done(void *ctx, const struct db_result *r)
{
	struct stream *s = ctx;
	struct runner *runner = s->r;

	s->out_putting = false;
	if (gone(s) || is_away(r))
		return;
	if (r->outcome == DB_ERROR) {
		log_error("a piece of a result can't be stored %s seq=%d sqlstate=%s error=\"%s\"",
			  job_text(s->job), (int)s->out_seq, r->sqlstate, r->message);
		pool_stop(s->job, STOP_RESULT);
		return;
	}
	if (dbr_rows(r->res) != 1 || !dbr_bool(r->res, 0, 0)) {
		pool_lost(s->job);
		return;
	}
	s->out_pending = false;
	s->out_seq++;
	s->out.len = 0;
	runner_pause(runner, false); /* may end the stream, and the runner */
}

static void put(struct stream *s)
{
	static const char sql[] = "SELECT longhaul.result_chunk_put($1, $2, $3, $4, $5)";
	struct db_params p = { 0 };

	if (s->out_putting || !s->out_pending)
		return;
	dbp_uuid(&p, &worker.boot);
	dbp_uuid(&p, &s->job_id);
	dbp_int8(&p, s->job->fence);
	dbp_int4(&p, s->out_seq);
	dbp_bytea(&p, s->out.data, s->out.len);
	s->out_putting = db_query(worker.stream, sql, &p, put_done, s);
	db_params_free(&p);
}

void stream_result(struct runner *r, struct job *job, const char *data, size_t size)
{
	struct stream *s = stream_of(r, job);

	if (s->out_pending || s->job != job) {
		job->result_cut = true; /* can't be: the runner is paused meanwhile */
		return;
	}
	s->out.len = 0;
	if (!buf_add(&s->out, data, size))
		abort();
	s->out_pending = true;
	runner_pause(r, true);
	put(s);
}

bool stream_is_stalled(const struct runner *r)
{
	const struct stream *s = r->stream;

	return s && (s->out_pending || s->in_wanted);
}

void stream_step(int64_t now)
{
	if (list_empty(&streams) || !db_up(worker.stream))
		return;
	if (now < retry_at) {
		worker_wake_at(retry_at);
		return;
	}
	for (struct link *l = streams.next, *next; l != &streams; l = next) {
		struct stream *s = LIST_ENTRY(l, struct stream, link);

		next = l->next;
		if (!s->r)
			continue;
		fetch(s);
		put(s);
	}
}
