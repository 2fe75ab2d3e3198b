/*
 * pacing.c: when a client should ask again, and when its job will be done.
 *
 * The aim is few polls that still see the end soon: far from the end a client asks at a quarter of
 * the time that is left, near the end just after it. Without an estimate the interval grows with
 * the age of the job.
 */
#include "api/pacing.h"

#include <math.h>

#define FASTEST_MS 0.1 /* nothing is done in less, whatever a mean says */
#define AT_ONCE_MS 500 /* a job younger than that may just not have been claimed yet */
#define ESTIMATE_MAX_MS (400LL * 86400 * 1000) /* further away is not an estimate */

static int64_t bounded(double ms)
{
	if (isnan(ms) || ms < 0)
		return -1;
	return ms > (double)ESTIMATE_MAX_MS ? -1 : (int64_t)ms;
}

int64_t pace_wait_ms(const struct queue_view *queue, double ahead, double usual_ms)
{
	double by_rate = -1, by_usual = -1;

	if (!queue->known || queue->workers <= 0 || queue->slots <= 0)
		return -1;
	/* What was finished lately says how fast it goes, unless there was little to do then: so the
	 * faster of the two counts. */
	if (queue->per_s > 0)
		by_rate = (ahead + 1) * 1000 / queue->per_s;
	if (usual_ms >= 0)
		by_usual = (ahead + 1) * fmax(usual_ms, FASTEST_MS) / queue->slots;
	if (by_rate < 0 || by_usual < 0)
		return bounded(fmax(by_rate, by_usual));
	return bounded(fmin(by_rate, by_usual));
}

/* Jobs that will be started before this one. Two lower bounds: the queue is taken to have filled
 * evenly from its oldest job until now; and no more jobs can be behind it than were submitted
 * after it. */
static double jobs_ahead(const struct job_row *row, const struct queue_view *queue, int64_t now)
{
	int64_t due = row->run_at_ms > row->created_ms ? row->run_at_ms : row->created_ms;
	double others = queue->depth - (due < queue->as_of_ms ? 1 : 0), by_age, by_seq = 0;
	int64_t age = now - due;

	if (others <= 0)
		return 0;
	by_age = others;
	if (age > 0 && queue->head_age_ms > 0)
		by_age = age < queue->head_age_ms
				 ? others * (1 - (double)age / (double)queue->head_age_ms)
				 : 0;
	if (row->seq > 0 && queue->newest_seq >= row->seq)
		by_seq = others - (double)(queue->newest_seq - row->seq);
	return fmax(fmax(by_age, by_seq), 0);
}

/* How long a job of the type runs; -1 = unknown. */
static int64_t usual_ms_of(const struct job_type *type, const struct queue_view *queue)
{
	if (queue->known && queue->mean_ms >= 0)
		return bounded(queue->mean_ms);
	return type->default_estimate_ms;
}

/* How long the queue keeps a job waiting from now on; -1 = unknown. */
static int64_t queue_wait_of(const struct job_row *row, const struct job_type *type,
			     const struct queue_view *queue, int64_t now)
{
	double ahead = jobs_ahead(row, queue, now);

	/* What the workers said of their free places may be some seconds old; a job that still waits
	 * says that there are none. */
	if (queue->known && queue->slots > 0 && ahead < 1 && queue->running < queue->slots &&
	    now - row->created_ms < AT_ONCE_MS)
		return 0;
	return pace_wait_ms(queue, ahead, (double)usual_ms_of(type, queue));
}

/* Time left of a queued job, -1 = unknown. */
static int64_t left_of_queued(const struct job_row *row, const struct job_type *type,
			      const struct queue_view *queue, int64_t now)
{
	int64_t wait, usual = usual_ms_of(type, queue), until_due = row->run_at_ms - now;

	if (type->paused || usual < 0)
		return -1;
	wait = queue_wait_of(row, type, queue, now);
	/* What is due in an hour says nothing about the queue in an hour. */
	if (until_due > 0)
		wait = wait < 0 || wait < until_due ? until_due : wait;
	return wait < 0 ? -1 : wait + usual;
}

/* How long a running job takes in all, from its progress or else from what is usual; -1 = unknown. */
static int64_t whole_of_running(const struct job_row *row, const struct job_type *type,
				const struct queue_view *queue)
{
	int64_t measured;

	if (row->started_ms == 0)
		return -1;
	if (row->done > 0 && row->total >= row->done && row->progress_ms > row->started_ms) {
		measured = row->progress_ms - row->started_ms;
		return bounded((double)measured * (double)row->total / (double)row->done);
	}
	return usual_ms_of(type, queue);
}

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

/* The interval before jitter; left = -1: unknown; `since`: how long the job has kept waiting. */
static int64_t delay_for(int64_t left, int64_t since, int64_t floor_ms, int64_t ceiling_ms)
{
	/* The longer it has been, the longer it may still be. */
	if (left < 0)
		return clamp(since / 4, floor_ms, ceiling_ms);
	/* Near the end: one poll just behind it rather than one before and one after. */
	if (left <= 3 * floor_ms)
		return clamp(left + left / 20 + 20, floor_ms, ceiling_ms);
	return clamp(left / 4, floor_ms, ceiling_ms);
}

static int64_t delay_of_running(const struct job_row *row, int64_t whole, int64_t now,
				int64_t floor_ms, int64_t ceiling_ms)
{
	int64_t elapsed = now - (row->started_ms ? row->started_ms : row->created_ms);

	if (whole >= 0 && elapsed > whole) /* overdue */
		return clamp((elapsed - whole) / 2, floor_ms, ceiling_ms);
	return delay_for(whole < 0 ? -1 : whole - elapsed, elapsed, floor_ms, ceiling_ms);
}

void pace_compute(const struct job_row *row, const struct job_type *type,
		  const struct queue_view *queue, int64_t now, uint32_t jitter, struct pace *out)
{
	int64_t floor_ms = type->poll_min_ms > 0 ? type->poll_min_ms : 1;
	int64_t ceiling_ms = type->poll_max_ms > floor_ms ? type->poll_max_ms : floor_ms;
	int64_t left, whole, done_at = 0;

	if (row->status == JOB_IN_PROGRESS) {
		whole = whole_of_running(row, type, queue);
		if (whole >= 0)
			done_at = row->started_ms + whole;
		out->delay_ms = delay_of_running(row, whole, now, floor_ms, ceiling_ms);
	} else {
		left = left_of_queued(row, type, queue, now);
		if (left >= 0)
			done_at = now + left;
		/* Before its time there is nothing to see, however long it takes then. */
		if (left < 0 && row->run_at_ms > now)
			left = row->run_at_ms - now;
		out->delay_ms = delay_for(left, now - row->created_ms, floor_ms, ceiling_ms);
	}
	/* A time in the past would be no estimate. */
	out->estimate_ms = done_at > now ? done_at : 0;
	out->delay_ms += out->delay_ms * (jitter > 1000 ? 1000 : jitter) / 10000;
	out->next_poll_ms = now + out->delay_ms;
}

int pace_retry_after(const struct pace *pace)
{
	return pace->delay_ms <= 1000 ? 1 : (int)((pace->delay_ms + 999) / 1000);
}
