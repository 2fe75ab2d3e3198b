/*
 * runner.h: one runner process, seen from the daemon: its jobs, its socket, its shared memory.
 */
#ifndef LONGHAUL_WORKER_RUNNER_H
#define LONGHAUL_WORKER_RUNNER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <ev.h>

#include "common/buf.h"
#include "common/wire.h"
#include "job.h"
#include "list.h"

struct stream;

enum runner_state {
	RUNNER_STARTING, /* may hold jobs already; begins them once it is ready */
	RUNNER_READY,
	RUNNER_CLOSING, /* idle too long: told to end */
	RUNNER_KILLED,
	RUNNER_DEAD, /* reaped; what it left in the socket is still being read */
};

struct runner {
	struct link link; /* type->runners */
	struct type *type;
	pid_t pid;
	enum runner_state state;
	int status; /* RUNNER_DEAD: as from waitpid() */

	int fd;
	ev_io io;
	struct buf in, out;
	size_t out_at;
	bool paused; /* not read from: a chunk of a result is on its way to the database */
	bool ended;  /* its end of the socket is closed */
	struct wire_page *page;
	uint32_t ring_tail;

	struct job *jobs[WIRE_TICKETS]; /* offered, at ticket % WIRE_TICKETS */
	int n_jobs;
	uint32_t first,
		next; /* tickets: the oldest that may be outstanding, the next to be given */
	bool was_ready;
	bool killed;    /* by us */
	bool dismissed; /* with all others: its end says nothing about its type */
	bool alone;     /* holds a job with a chunked input, and nothing else until that is done */
	bool slow;      /* busy with one job for long, or slow to begin the next */
	uint32_t unbegun;      /* the ticket that it should begin next */
	int64_t unbegun_since; /* and since when it hasn't; 0 = all is well */
	bool retired; /* its type is configured otherwise now: it ends once its jobs have */
	int64_t started_at, idle_since, kill_at; /* kill_at 0 = not to be killed */

	struct stream *stream; /* stream.c's */
	int64_t stalled_since; /* the handler waits for it; 0 = it doesn't */
};

/* Starts one for the type. NULL if that failed. */
struct runner *runner_start(struct type *t);

/* True if it gets no more jobs, and is closed once idle: it has used up half of the ticket numbers, or is
 * retired. */
bool runner_is_worn(const struct runner *r);

/* Offers a waiting job. */
void runner_give(struct runner *r, struct job *job);
/* Sends what runner_give and others have collected. */
void runner_flush(struct runner *r);
/* The job is the runner's no more. */
void runner_detach(struct runner *r, struct job *job);
/* Takes back the job if it wasn't begun; it waits again. */
bool runner_withdraw(struct runner *r, struct job *job);
/* Sends a frame about a job. */
void runner_send(struct runner *r, enum wire_kind kind, uint32_t ticket, const void *data,
		 size_t size);

/* The job that the runner is in, if it is known; notes when it was begun. */
struct job *runner_current(struct runner *r);

/* Fetches answers from the shared memory. */
void runner_read_ring(struct runner *r);
void runner_pause(struct runner *r, bool pause);

/* SIGKILL to its process group. `why` (static) is for the log; NULL = nothing is said. */
void runner_kill(struct runner *r, const char *why);
/* It was reaped (and its session killed): deals with the jobs it held once all it sent is read. */
void runner_died(struct runner *r, int status);
/* Lets go of it: it holds no jobs, and is dead. */
void runner_free(struct runner *r);
/* Tells an idle one to end. */
void runner_close(struct runner *r);

#endif
