/*
 * pacing.c: when a client should ask again, and when its job will be done.
 *
 * The aim is few polls that still see the end soon: far from the end a client asks once or twice on the
 * way, when the estimate has become better, near the end just after it. Without an estimate the
 * interval grows with the age of the job.
 */
#include "api/pacing.h"

#include <math.h>

#define FASTEST_MS 0.1    /* nothing is done in less, whatever a mean says */
#define AT_ONCE_MS 500    /* a job younger than that may just not have been claimed yet */
#define HALF_TRUSTED 0.05 /* the share of progress at which it counts as much as the history */
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

double pace_ahead(const struct queue_view *queue, double others, int64_t seq)
{
	double part;

	if (queue->head_seq <= 0 || seq <= 0)
		return -1;
	if (seq <= queue->head_seq)
		return 0;
	if (queue->last_seq <= queue->head_seq)
		return others;
	/* The places are taken to be evenly filled. More than was counted may be there only if not all was. */
	part = (double)(seq - queue->head_seq) / (double)(queue->last_seq - queue->head_seq);
	return part > 1 && queue->depth < QUEUE_DEPTH_MAX ? others : others * part;
}

/* Jobs that will be started before this one: by its place, else by its age: the queue is taken to have filled
 * evenly from its oldest job until now. */
static double jobs_ahead(const struct job_row *row, const struct queue_view *queue, int64_t now)
{
	int64_t due = row->run_at_ms > row->created_ms ? row->run_at_ms : row->created_ms;
	double others = queue->depth - (due < queue->as_of_ms ? 1 : 0), ahead = -1;
	int64_t age = now - due;

	if (others <= 0)
		return 0;
	/* One that waited for its time has another place than it was told of. */
	if (row->priority == 0 && row->run_at_ms == 0)
		ahead = pace_ahead(queue, others, row->seq);
	if (ahead >= 0)
		return ahead;
	if (age <= 0 || queue->head_age_ms <= 0)
		return others;
	return age < queue->head_age_ms ? others * (1 - (double)age / (double)queue->head_age_ms)
					: 0;
}

/* Which of the waiting jobs it is; 0 = unknown, or it waits for its time and not for others. Where the
 * queue is too long to be counted, so is the place in it. */
static int64_t position_of(const struct job_row *row, const struct job_type *type,
			   const struct queue_view *queue, int64_t now)
{
	if (!queue->known || row->run_at_ms > now || type->paused ||
	    queue->depth >= QUEUE_DEPTH_MAX)
		return 0;
	return 1 + (int64_t)jobs_ahead(row, queue, now);
}

/* How long the type's jobs run, this one among others; -1 = unknown. */
static int64_t mean_ms_of(const struct job_type *type, const struct queue_view *queue)
{
	if (queue->known && queue->mean_ms >= 0)
		return bounded(queue->mean_ms);
	if (queue->usual_ms > 0)
		return bounded(queue->usual_ms);
	return type->default_estimate_ms;
}

/* How long this job will run, by what others with as much input took; -1 = unknown. */
static int64_t usual_ms_of(const struct job_type *type, const struct queue_view *queue)
{
	return queue->usual_ms > 0 ? bounded(queue->usual_ms) : mean_ms_of(type, queue);
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
	return pace_wait_ms(queue, ahead, (double)mean_ms_of(type, queue));
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

/* How long a running job takes in all; -1 = unknown. Progress counts the more the further it has come: at its
 * beginning it says little, and what others took says more. */
static int64_t whole_of_running(const struct job_row *row, const struct job_type *type,
				const struct queue_view *queue)
{
	int64_t usual = usual_ms_of(type, queue);
	double by_progress, share;

	if (row->started_ms == 0)
		return -1;
	if (row->done <= 0 || row->total < row->done || row->progress_ms <= row->started_ms)
		return usual;
	share = (double)row->done / (double)row->total;
	by_progress = (double)(row->progress_ms - row->started_ms) / share;
	if (usual < 0)
		return bounded(by_progress);
	share /= share + HALF_TRUSTED;
	/* Speeds are blended, not times: a job that has hardly begun seems to take for ever. */
	return bounded(1 / (share / by_progress + (1 - share) / fmax((double)usual, FASTEST_MS)));
}

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

/* The interval before jitter; left = -1: unknown; `whole`: what it has waited and will. */
static int64_t delay_for(int64_t left, int64_t whole, int64_t floor_ms, int64_t ceiling_ms)
{
	/* The longer it has been, the longer it may still be. */
	if (left < 0)
		return clamp(whole / 4, floor_ms, ceiling_ms);
	/* Near the end: one poll just behind it rather than one before and one after. */
	if (left * 4 <= whole || left <= 3 * floor_ms)
		return clamp(left + whole / 50 + 20, floor_ms, ceiling_ms);
	/* Far from it: a look on the way, by which the estimate will be better. */
	return clamp(left * 13 / 20, floor_ms, ceiling_ms);
}

static int64_t delay_of_queued(const struct job_row *row, int64_t left, int64_t now,
			       int64_t floor_ms, int64_t ceiling_ms)
{
	int64_t until_due = row->run_at_ms - now, waited = now - row->created_ms;

	if (until_due <= 0)
		return delay_for(left, left < 0 ? waited : waited + left, floor_ms, ceiling_ms);
	/* Before its time there is nothing to see, however long it takes then. */
	if (left < until_due)
		return clamp(until_due + 20, floor_ms, ceiling_ms);
	left -= until_due;
	return clamp(until_due + delay_for(left, left, floor_ms, ceiling_ms), floor_ms, ceiling_ms);
}

static int64_t delay_of_running(const struct job_row *row, int64_t whole, int64_t now,
				int64_t floor_ms, int64_t ceiling_ms)
{
	int64_t elapsed = now - (row->started_ms ? row->started_ms : row->created_ms);

	/* Overdue: often at first, for most are late by a little only. */
	if (whole >= 0 && elapsed > whole)
		return clamp(elapsed / 20 > (elapsed - whole) / 2 ? elapsed / 20
								  : (elapsed - whole) / 2,
			     floor_ms, ceiling_ms);
	return whole < 0 ? delay_for(-1, elapsed, floor_ms, ceiling_ms)
			 : delay_for(whole - elapsed, whole, floor_ms, ceiling_ms);
}

void pace_compute(const struct job_row *row, const struct job_type *type,
		  const struct queue_view *queue, int64_t now, uint32_t jitter, struct pace *out)
{
	int64_t floor_ms = type->poll_min_ms > 0 ? type->poll_min_ms : 1;
	int64_t ceiling_ms = type->poll_max_ms > floor_ms ? type->poll_max_ms : floor_ms;
	int64_t left, whole, done_at = 0;

	out->position = 0;
	if (row->status == JOB_IN_PROGRESS) {
		whole = whole_of_running(row, type, queue);
		if (whole >= 0)
			done_at = row->started_ms + whole;
		out->delay_ms = delay_of_running(row, whole, now, floor_ms, ceiling_ms);
	} else {
		left = left_of_queued(row, type, queue, now);
		if (left >= 0)
			done_at = now + left;
		out->delay_ms = delay_of_queued(row, left, now, floor_ms, ceiling_ms);
		out->position = position_of(row, type, queue, now);
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
