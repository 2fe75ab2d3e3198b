/*
 * runner.c: the conversation with a runner process.
 */
#include "runner.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <longhaul/handler.h>

#include "common/log.h"
#include "common/mem.h"
#include "common/times.h"
#include "finish.h"
#include "outcome.h"
#include "pool.h"
#include "spawn.h"
#include "stream.h"
#include "type.h"
#include "worker.h"

#define READ_SIZE 65536

static void on_io(struct ev_loop *loop, ev_io *w, int revents);

struct runner *runner_start(struct type *t)
{
	struct spawned s;
	struct runner *r;
	struct wire_setup setup = {
		.result_max = config.result_max,
		.log_level = config.log.level,
		.boot = worker.boot,
		.handler = t->cfg.handler,
		.type = t->name,
		.settings = t->settings.data,
		.settings_len = t->settings.len,
	};

	if (!spawn_runner(worker.runner_path, t->name, &s))
		return NULL;
	r = mem_zalloc(sizeof(*r));
	r->type = t;
	r->pid = s.pid;
	r->fd = s.fd;
	r->page = s.page;
	r->first = r->next = 1;
	r->started_at = r->idle_since = mono_ms();
	ev_io_init(&r->io, on_io, r->fd, EV_READ);
	r->io.data = r;
	ev_io_start(worker.loop, &r->io);
	list_append(&t->runners, &r->link);
	t->n_runners++;
	if (!wire_put_setup(&r->out, &setup))
		abort();
	log_debug("runner started pid=%d type=%s", (int)r->pid, t->name);
	return r;
}

/* ---- jobs ------------------------------------------------------------------------------------- */

static struct job *job_of(struct runner *r, uint32_t ticket)
{
	struct job *job = r->jobs[ticket % WIRE_TICKETS];

	return job && job->ticket == ticket ? job : NULL;
}

void runner_detach(struct runner *r, struct job *job)
{
	if (r->jobs[job->ticket % WIRE_TICKETS] != job)
		return;
	r->jobs[job->ticket % WIRE_TICKETS] = NULL;
	r->n_jobs--;
	while (r->first != r->next && !r->jobs[r->first % WIRE_TICKETS])
		r->first++;
	if (r->n_jobs == 0) {
		r->alone = false;
		r->idle_since = mono_ms();
	}
	if (job->stop != STOP_NONE)
		r->kill_at = 0;
	r->stalled_since = 0;
	stream_end(r);
}

/* Wall-clock end of the job's time, or 0. */
static int64_t deadline(const struct job *job)
{
	int64_t limit = pool_timeout(job->type), at = limit > 0 ? now_ms() + limit : 0;
	int64_t expires = now_ms() + job->expires_at - mono_ms();

	if (job->expires_at > 0 && (at == 0 || expires < at))
		at = expires;
	return at;
}

bool runner_is_worn(const struct runner *r)
{
	return r->retired || r->next > UINT32_MAX / 2;
}

void runner_give(struct runner *r, struct job *job)
{
	struct wire_job m = {
		.id = job->id,
		.fence = job->fence,
		.input_size = job->input_size,
		.deadline_ms = deadline(job),
		.attempt = job->attempt,
		.client = job->client,
		.media_type = job->media_type,
		.traceparent = job->traceparent,
		.request_id = job->request_id,
		.input = job->input,
		.input_len = job->input_len,
	};

	list_remove(&job->link);
	job->type->n_waiting--;
	job->type->n_given++;
	job->state = JOB_GIVEN;
	job->runner = r;
	job->ticket = r->next++;
	job->progress_seen = 0;
	r->jobs[job->ticket % WIRE_TICKETS] = job;
	r->n_jobs++;
	r->alone = !job->input;
	wire_offer(r->page, job->ticket);
	if (!wire_put_job(&r->out, job->ticket, &m))
		abort();
	if (!job->input)
		stream_begin(r, job);
}

bool runner_withdraw(struct runner *r, struct job *job)
{
	if (!wire_withdraw(r->page, job->ticket))
		return false;
	runner_detach(r, job);
	job_take_back(job);
	return true;
}

struct job *runner_current(struct runner *r)
{
	uint32_t ticket = atomic_load(&r->page->running);
	struct job *job = ticket != 0 ? job_of(r, ticket) : NULL;

	if (!job)
		return NULL;
	if (!job->begun) {
		int64_t now = mono_ms();

		job->begun = true;
		job->began_ms = atomic_load(&r->page->began_us) / 1000;
		if (job->began_ms > now || job->began_ms < r->started_at)
			job->began_ms = now;
	}
	return job;
}

/* ---- sending ---------------------------------------------------------------------------------- */

static void watch(struct runner *r)
{
	int events = (r->paused ? 0 : EV_READ) | (r->out.len > r->out_at ? EV_WRITE : 0);

	if (r->fd < 0 || (r->io.events & (EV_READ | EV_WRITE)) == events)
		return;
	ev_io_stop(worker.loop, &r->io);
	ev_io_set(&r->io, r->fd, events);
	if (events)
		ev_io_start(worker.loop, &r->io);
}

void runner_flush(struct runner *r)
{
	while (r->fd >= 0 && r->out_at < r->out.len) {
		ssize_t n = send(r->fd, r->out.data + r->out_at, r->out.len - r->out_at,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			r->out_at = r->out.len; /* it is dying: SIGCHLD tells */
			break;
		}
		r->out_at += (size_t)n;
	}
	if (r->out_at == r->out.len) {
		buf_reset(&r->out);
		r->out_at = 0;
	}
	watch(r);
}

void runner_send(struct runner *r, enum wire_kind kind, uint32_t ticket, const void *data,
		 size_t size)
{
	if (r->fd < 0)
		return;
	if (!wire_put(&r->out, kind, ticket, data, size))
		abort();
	runner_flush(r);
}

void runner_close(struct runner *r)
{
	r->state = RUNNER_CLOSING;
	r->kill_at = mono_ms() + config.runner_start_ms;
	shutdown(r->fd, SHUT_WR);
}

void runner_kill(struct runner *r, const char *why)
{
	if (r->state >= RUNNER_KILLED)
		return;
	if (why)
		log_info("runner killed pid=%d type=%s reason=\"%s\"", (int)r->pid, r->type->name,
			 why);
	r->state = RUNNER_KILLED;
	r->killed = true;
	r->kill_at = 0;
	kill(-r->pid, SIGKILL);
	kill(r->pid, SIGKILL); /* it may not have become a leader yet */
}

/* ---- receiving -------------------------------------------------------------------------------- */

static void on_done(struct runner *r, uint32_t ticket, const char *payload, size_t size)
{
	struct job *job = job_of(r, ticket);
	struct wire_done done;

	if (!job)
		return; /* the lease was lost meanwhile */
	if (!wire_get_done(payload, size, &done)) {
		runner_kill(r, "it sent a damaged answer");
		return;
	}
	r->slow = false;
	runner_detach(r, job);
	if (job->stop == STOP_LOST && done.verdict != LH_ENDED) {
		job_free(job);
		return;
	}
	type_ran(r->type, done.ran_us);
	outcome_from_answer(job, &done);
	finish_add(job);
}

/* False: the runner doesn't keep to the protocol. */
static bool on_frame(struct runner *r, const struct wire_head *head, const char *payload)
{
	struct job *job = job_of(r, head->ticket);

	switch (head->kind) {
	case WIRE_READY:
		if (r->state == RUNNER_STARTING)
			r->state = RUNNER_READY;
		r->was_ready = true;
		r->type->start_failures = 0;
		return true;
	case WIRE_REFUSED:
		log_error("handler %s of type %s refuses to start: %.*s", r->type->cfg.handler,
			  r->type->name, (int)(head->size < 500 ? head->size : 500), payload);
		return true; /* it ends by itself */
	case WIRE_WANT:
		if (job)
			stream_want(r, job);
		return true;
	case WIRE_RESULT:
		if (head->size > WIRE_CHUNK)
			return false;
		if (job && job->stop == STOP_NONE)
			stream_result(r, job, payload, head->size);
		else if (job)
			job->result_cut = true;
		return true;
	case WIRE_DONE:
		on_done(r, head->ticket, payload, head->size);
		return true;
	case WIRE_BELL:
		return true;
	default:
		return false;
	}
}

/* Handles the whole frames at the front of `in`. Returns how many bytes that were. */
static size_t frames(struct runner *r, const struct buf *in)
{
	struct wire_head head;
	const char *payload;
	size_t at = 0;

	while (!r->paused && at < in->len) {
		int whole = wire_next(in->data + at, in->len - at, &head, &payload);

		if (whole == 0)
			break;
		if (whole < 0 || !on_frame(r, &head, payload)) {
			runner_kill(r, "it doesn't keep to the protocol");
			return in->len;
		}
		at += sizeof(head) + head.size;
	}
	return at;
}

void runner_read_ring(struct runner *r)
{
	static struct buf answers; /* of one runner at a time */

	buf_reset(&answers);
	if (!wire_ring_get(r->page, &r->ring_tail, &answers)) {
		runner_kill(r, "its answers are damaged");
		return;
	}
	/* Answers go this way only if they needn't keep an order with frames on the socket. */
	if (answers.len > 0) {
		bool paused = r->paused;

		r->paused = false;
		frames(r, &answers);
		r->paused = paused;
	}
}

/* Reads and handles what there is. False: nothing more will come, or not now. */
static bool read_some(struct runner *r)
{
	ssize_t n;

	if (!buf_reserve(&r->in, READ_SIZE))
		abort();
	do
		n = recv(r->fd, r->in.data + r->in.len, READ_SIZE, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0) {
		r->ended = true;
		return false;
	}
	r->in.len += (size_t)n;
	runner_read_ring(r);
	buf_consume(&r->in, frames(r, &r->in));
	if (r->in.len == 0)
		buf_reset(&r->in);
	return !r->paused && (n == READ_SIZE || r->state == RUNNER_DEAD);
}

void runner_free(struct runner *r)
{
	ev_io_stop(worker.loop, &r->io);
	close(r->fd);
	munmap(r->page, sizeof(*r->page));
	buf_free(&r->in);
	buf_free(&r->out);
	list_remove(&r->link);
	r->type->n_runners--;
	free(r);
}

/* What is left when a runner has died and all it had sent has been handled. */
static void bury(struct runner *r)
{
	char how[40];

	snprintf(how, sizeof(how), WIFSIGNALED(r->status) ? "signal %d" : "exit status %d",
		 WIFSIGNALED(r->status) ? WTERMSIG(r->status) : WEXITSTATUS(r->status));
	runner_read_ring(r);
	pool_bury(r, how);
	runner_free(r);
}

/* Reads on. The runner may be freed in here. */
static void read_all(struct runner *r)
{
	/* A dead one to the end; a living one no more than is fair to the others. */
	for (int turns = 0; turns < 4 || r->state == RUNNER_DEAD; turns++)
		if (!read_some(r))
			break;
	if (r->state == RUNNER_DEAD && !r->paused)
		bury(r);
	else if (r->ended)
		ev_io_stop(worker.loop, &r->io);
}

static void on_io(struct ev_loop *loop, ev_io *w, int revents)
{
	struct runner *r = w->data;

	(void)loop;
	if (revents & EV_WRITE)
		runner_flush(r);
	if (revents & EV_READ)
		read_all(r);
}

void runner_pause(struct runner *r, bool pause)
{
	if (r->paused == pause)
		return;
	r->paused = pause;
	if (pause) {
		watch(r);
		return;
	}
	/* Frames that were read before the pause come first. */
	buf_consume(&r->in, frames(r, &r->in));
	if (r->paused)
		return;
	if (r->state == RUNNER_DEAD)
		read_all(r);
	else
		watch(r);
}

void runner_died(struct runner *r, int status)
{
	r->state = RUNNER_DEAD;
	r->status = status;
	if (!r->paused)
		read_all(r);
}
