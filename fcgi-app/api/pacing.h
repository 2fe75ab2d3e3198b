/*
 * pacing.h: when a client should ask again, and when its job will be done. Pure arithmetic.
 */
#ifndef LONGHAUL_API_PACING_H
#define LONGHAUL_API_PACING_H

#include <stdbool.h>
#include <stdint.h>

#include "api/jobs.h"
#include "api/jobrow.h"

/* What is known of a type's queue; see queue_state() in the database. */
struct queue_view {
	bool known;
	int32_t depth;   /* queued jobs that could run; QUEUE_DEPTH_MAX means "that or more" */
	int32_t running; /* as of the workers' last beat */
	int32_t workers, slots;     /* live hosts that serve the type, and their places */
	int64_t head_age_ms;        /* age of the oldest one queued */
	double mean_ms;             /* how long a job ran lately; < 0 = unknown */
	double usual_ms;            /* how long one with this much input runs; 0 = unknown */
	double per_s;               /* jobs finished a second, lately */
	int64_t as_of_ms;           /* Unix ms of all that */
	int64_t head_seq, last_seq; /* first and last place counted of priority 0; 0 = unknown */
};

#define QUEUE_DEPTH_MAX 10000

struct pace {
	int64_t delay_ms;     /* until the next poll; never less than the type's floor */
	int64_t next_poll_ms; /* the same as a time, Unix ms */
	int64_t estimate_ms;  /* Unix ms at which the job is expected to be done; 0 = unknown */
	int64_t position; /* of a queued job: 1 = next; 0 = unknown, or it doesn't wait for others */
};

/* `jitter` is 0…1000 and lengthens the delay by up to a tenth. For jobs that have not ended. */
void pace_compute(const struct job_row *row, const struct job_type *type,
		  const struct queue_view *queue, int64_t now, uint32_t jitter, struct pace *out);
/* How many jobs of a queue are before the place `seq`; of `others` in all. -1 = the places aren't known. */
double pace_ahead(const struct queue_view *queue, double others, int64_t seq);
/* How long a busy queue keeps a job waiting that has `ahead` jobs before it, in ms; `usual_ms` is how
 * long one runs, -1 = unknown. -1 = unknown. */
int64_t pace_wait_ms(const struct queue_view *queue, double ahead, double usual_ms);
/* Retry-After: whole seconds, rounded up, at least 1. */
int pace_retry_after(const struct pace *pace);

#endif
