/*
 * job.h: the jobs that this worker holds, from claim to committed outcome.
 *
 *	WAITING --handout--> GIVEN --answer, death, timeout--> ENDED --finish--> WRITING --commit--> freed
 *	   ^---- taken back ----'                                ^---- error, connection lost ----'
 */
#ifndef LONGHAUL_WORKER_JOB_H
#define LONGHAUL_WORKER_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/ids.h"
#include "list.h"

struct pgarray;
struct type;
struct runner;
struct spooled;

enum job_state {
	JOB_WAITING, /* claimed; in its type's list */
	JOB_GIVEN,   /* offered to a runner, perhaps begun */
	JOB_ENDED,   /* its outcome waits to be written */
	JOB_WRITING, /* its outcome is being written */
};

/* Verdicts of longhaul.finish_batch(). */
enum verdict {
	VERDICT_COMPLETED = 1,
	VERDICT_FAILED,    /* for good */
	VERDICT_TRY_AGAIN, /* failed; the type's retry policy decides */
	VERDICT_CANCELED,
	VERDICT_RELEASED, /* put back, no attempt burned */
	VERDICT_DIED,     /* its runner died in it */
};

/* Why a job that had begun was told to stop. */
enum stop_reason {
	STOP_NONE,
	STOP_CANCEL, /* its client wants that */
	STOP_TIMEOUT,
	STOP_EXPIRED, /* past its maximum lifetime */
	STOP_INPUT,   /* a piece of its input is missing */
	STOP_RESULT,  /* a piece of its result can't be stored */
	STOP_DRAIN,   /* this worker ends */
	STOP_LOST,    /* the lease is gone: write nothing */
};

struct outcome {
	enum verdict verdict;
	int32_t ran_ms;                          /* -1 = never began */
	int64_t retry_ms;                        /* -1 = by the type's backoff */
	int64_t result_size;                     /* -1 = none */
	const char *media_type, *error, *result, *log; /* in `data`; NULL = none */
	size_t result_len;
	char *data; /* malloc'ed; NULL also while it is in the spool */
	size_t data_len;
	struct spooled *spooled; /* where it is, or was; NULL = it never was in the spool */
	ptrdiff_t spool_at[4];   /* of media_type, error, result and log in data; < 0 = none */
	bool stored;             /* the handler's own transaction has ended the job */
	bool fallback;           /* this one replaces an outcome that the database refused */
	bool answered;           /* the database has said what became of it */
	int tries;
};

struct job {
	struct link link; /* type->waiting, or the finisher's lists */
	struct job *next_hash;
	struct type *type;
	enum job_state state;
	struct uuid id;
	int64_t fence, seq, input_size;
	int64_t expires_at; /* monotonic; 0 = never */
	int32_t attempt;
	int16_t priority;

	/* GIVEN */
	struct runner *runner;
	uint32_t ticket;
	enum stop_reason stop;
	bool begun, begin_stored;
	bool result_cut;    /* a piece of its result was thrown away: it can't be completed */
	int64_t began_ms;   /* monotonic */
	int64_t stalled_ms; /* of its time, waiting for the database to take or give chunks */

	/* progress, newest */
	bool progressed, progress_dirty;
	uint32_t progress_seen;
	int64_t done, total;
	char *message; /* malloc'ed; NULL = none */

	struct outcome out; /* ENDED, WRITING */

	/* In the same piece of memory. */
	const char *client, *media_type, *traceparent, *request_id; /* never NULL */
	const char *input;                                          /* NULL = in chunks */
	size_t input_len;
	size_t size; /* of all this */
};

/* What a claim brought, as far as it isn't copied into the job one by one. */
struct job_texts {
	const char *client, *media_type, *traceparent, *request_id,
		*input; /* only input may be NULL */
	size_t input_len;
};

/* A new WAITING job, not in any list yet. Counts as held by its type. */
struct job *job_new(const struct uuid *id, struct type *type, const struct job_texts *texts);
/* Takes it out of all lists and counts, and frees it. */
void job_free(struct job *job);
struct job *job_find(const struct uuid *id);
/* The one held under this claim: after a crash of the database the same job may be claimed twice. */
struct job *job_find_claim(const struct uuid *id, int64_t fence);
int jobs_held(void);
/* Adds the fences of all that are held. */
void jobs_fences(struct pgarray *fences);
/* Frees all but those being written, which are made unfindable: their owner frees them. */
void jobs_drop_all(void);

/* To its type's list: in front, because it came before those that wait there. */
void job_take_back(struct job *job);

/* Gives memory back to the system when nothing is held for a while. */
void jobs_trim_step(int64_t now);

void job_set_message(struct job *job, const char *message);

/* Text of the job for a log line: id, type, client, attempt, request. Valid until the next call. */
const char *job_text(const struct job *job);

#endif
