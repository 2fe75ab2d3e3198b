/*
 * progress.c: one statement each progress_ms for all jobs that have something new to say, or that
 * have been running for a while without the database knowing that they began.
 */
#include "progress.h"

#include <stdlib.h>

#include "common/db.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/times.h"
#include "job.h"
#include "pool.h"
#include "runner.h"
#include "type.h"
#include "worker.h"

struct row {
	struct uuid id;
	int64_t fence;
};

enum { IDS, FENCES, AGES, DONE, TOTAL, MESSAGES, N_ARRAYS };

static struct {
	bool under_way;
	unsigned int generation;
	int64_t next_at;
	struct row *rows; /* of the statement under way */
	size_t n, cap;
} progress;

/* The job of a row, if we still run it under the same lease. */
static struct job *row_job(const struct row *row)
{
	struct job *job = job_find_claim(&row->id, row->fence);

	return job && job->state == JOB_GIVEN ? job : NULL;
}

/* A lease that was asked about is lost. The job may be here twice, claimed anew after a crash of the database
 * took back the first claim: then it is the first that is lost. */
static void row_lost(const struct uuid *id)
{
	struct job *lost = NULL;

	for (size_t i = 0; i < progress.n; i++) {
		const struct row *row = &progress.rows[i];
		struct job *job = NULL;

		if (uuid_equal(&row->id, id))
			job = job_find_claim(id, row->fence);
		if (job && (!lost || job->fence < lost->fence))
			lost = job;
	}
	if (lost)
		pool_lost(lost);
}

static void progress_done(void *ctx, const struct db_result *r)
{
	(void)ctx;
	progress.under_way = false;
	if (progress.generation != worker.generation)
		return;
	if (r->outcome == DB_ERROR)
		log_warning("storing progress failed rows=%zu sqlstate=%s error=\"%s\"", progress.n,
			    r->sqlstate, r->message);
	for (size_t i = 0; i < progress.n; i++) {
		struct job *job = row_job(&progress.rows[i]);

		if (!job)
			continue;
		if (r->outcome == DB_OK)
			job->begin_stored = true;
		else
			job->progress_dirty = job->progressed;
		/* One message may be what the database refuses. */
		if (r->outcome == DB_ERROR && !db_is_outage(r))
			job_set_message(job, "");
	}
	for (int i = 0; r->outcome == DB_OK && i < dbr_rows(r->res); i++) {
		struct uuid id = dbr_uuid(r->res, i, 0);

		row_lost(&id);
	}
}

static void add_row(struct pgarray *a, struct job *job, int64_t now)
{
	int64_t age = now > job->began_ms ? now - job->began_ms : 0;

	if (progress.n == progress.cap) {
		progress.cap = progress.cap ? 2 * progress.cap : 8;
		progress.rows = mem_realloc(progress.rows, progress.cap, sizeof(*progress.rows));
	}
	progress.rows[progress.n++] = (struct row){ .id = job->id, .fence = job->fence };
	pga_uuid(&a[IDS], &job->id);
	pga_int8(&a[FENCES], job->fence);
	pga_int4(&a[AGES], age > INT32_MAX ? INT32_MAX : (int32_t)age);
	if (job->progress_dirty)
		pga_int8(&a[DONE], job->done);
	else
		pga_null(&a[DONE]);
	if (job->progress_dirty && job->total >= 0)
		pga_int8(&a[TOTAL], job->total);
	else
		pga_null(&a[TOTAL]);
	pga_text(&a[MESSAGES], job->progress_dirty ? job->message : NULL);
	job->progress_dirty = false;
}

/* Looks at each runner's job. Returns whether there is any. */
static bool collect(struct pgarray *a, int64_t now)
{
	bool running = false;

	for (size_t i = 0; i < types.n; i++) {
		for (struct link *l = types.v[i]->runners.next; l != &types.v[i]->runners;
		     l = l->next) {
			struct runner *r = LIST_ENTRY(l, struct runner, link);
			struct job *job = r->n_jobs > 0 ? runner_current(r) : NULL;
			struct wire_progress news;

			running = running || r->n_jobs > 0;
			if (!job || job->stop == STOP_LOST)
				continue;
			if (wire_progress_get(r->page, job->ticket, &job->progress_seen, &news)) {
				job->progressed = job->progress_dirty = true;
				job->done = news.done;
				job->total = news.total;
				job_set_message(job, news.message);
			}
			if (job->progress_dirty ||
			    (!job->begin_stored && now - job->began_ms >= config.progress_ms))
				add_row(a, job, now);
		}
	}
	return running;
}

static void send(struct pgarray *a)
{
	static const char sql[] =
		"SELECT job_id FROM longhaul.progress_batch($1, $2, $3, $4, $5, $6, $7) AS p(job_id)";
	struct db_params p = { 0 };

	dbp_uuid(&p, &worker.boot);
	for (int i = 0; i < N_ARRAYS; i++)
		dbp_array(&p, &a[i]);
	progress.generation = worker.generation;
	progress.under_way = db_query(worker.finish, sql, &p, progress_done, NULL);
	db_params_free(&p);
}

void progress_step(int64_t now)
{
	static const enum db_type elem[N_ARRAYS] = { DB_UUID, DB_INT8, DB_INT4,
						     DB_INT8, DB_INT8, DB_TEXT };
	struct pgarray a[N_ARRAYS];

	if (worker.life != LIFE_LIVE || progress.under_way || !db_up(worker.finish))
		return;
	if (now < progress.next_at) {
		if (jobs_held() > 0)
			worker_wake_at(progress.next_at);
		return;
	}
	for (int i = 0; i < N_ARRAYS; i++)
		pga_init(&a[i], elem[i]);
	progress.n = 0;
	if (collect(a, now))
		progress.next_at = now + config.progress_ms;
	if (progress.n > 0)
		send(a);
	for (int i = 0; i < N_ARRAYS; i++)
		pga_free(&a[i]);
}
