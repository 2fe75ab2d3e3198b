/*
 * finish.c: the queue of outcomes and the statement that writes them.
 *
 * One batch is under way at a time; what ends meanwhile goes with the next. A batch that the
 * database refuses is tried again at half the size, down to the row at fault, whose job then fails
 * with a problem that says so.
 */
#include "finish.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "chores.h"
#include "common/db.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/times.h"
#include "outcome.h"
#include "settings.h"
#include "spool.h"
#include "type.h"
#include "webhooks.h"
#include "worker.h"

#define ROW_OVERHEAD 128
#define FEW 16
#define RETRY_MIN_MS 50
#define RETRY_MAX_MS 2000
#define APART_MS 200
#define PASSING_MAX 100 /* times that a single row may fail for a passing reason */

static struct {
	struct link queue; /* JOB_ENDED */
	struct link apart; /* JOB_ENDED too: each was refused alone for a passing reason */
	int64_t apart_at;  /* when the first of these is tried again, alone again */
	int n;
	int64_t bytes;
	struct job **batch; /* JOB_WRITING, in the order of the rows */
	int n_batch, batch_cap;
	bool forgotten; /* the batch belongs to a lost lease */
	bool is_busy;   /* the last batch had more than a few rows: worth a wait for more */
	int limit;      /* rows of the next batch: halved by errors, grows back by successes */
	int64_t sent_at, retry_at;
	int retry_ms;
	int64_t count;
} fin = { .queue = { &fin.queue, &fin.queue }, .apart = { &fin.apart, &fin.apart } };

enum {
	IDS,
	FENCES,
	VERDICTS,
	RAN,
	MEDIA,
	RESULTS,
	SIZES,
	ERRORS,
	RETRIES,
	DONE,
	TOTAL,
	MESSAGES,
	LOGS,
	N_ARRAYS
};

static struct pgarray arrays[N_ARRAYS];

/* Bytes of a row of the statement. */
static int64_t row_size(const struct job *job)
{
	return (int64_t)job->out.data_len + ROW_OVERHEAD;
}

/* Bytes of memory. */
static int64_t weight(const struct job *job)
{
	return job->out.data ? row_size(job) : ROW_OVERHEAD;
}

static void enqueue(struct job *job, bool in_front)
{
	job->state = JOB_ENDED;
	if (in_front)
		list_prepend(&fin.queue, &job->link);
	else
		list_append(&fin.queue, &job->link);
	fin.n++;
	fin.bytes += weight(job);
}

static void dequeue(struct job *job)
{
	list_remove(&job->link);
	fin.n--;
	fin.bytes -= weight(job);
}

void finish_add(struct job *job)
{
	enum verdict v = job->out.verdict;

	if (job->state == JOB_GIVEN)
		job->type->n_given--;
	if (v == VERDICT_FAILED || v == VERDICT_TRY_AGAIN || v == VERDICT_DIED)
		log_info("job failed %s verdict=%d ran_ms=%d", job_text(job), v,
			 (int)job->out.ran_ms);
	else if (log_enabled(LOG_LEVEL_DEBUG))
		log_debug("job ended %s verdict=%d ran_ms=%d", job_text(job), v,
			  (int)job->out.ran_ms);
	enqueue(job, false);
}

void finish_release(struct job *job)
{
	list_remove(&job->link);
	job->type->n_waiting--;
	outcome_set(job, VERDICT_RELEASED);
	finish_add(job);
}

bool finish_is_full(void)
{
	return fin.bytes >= config.hold_bytes;
}

bool finish_is_empty(void)
{
	return fin.n == 0 && list_empty(&fin.apart) && (fin.n_batch == 0 || fin.forgotten);
}

int64_t finish_count(void)
{
	return fin.count;
}

void finish_up(void)
{
	fin.retry_at = 0;
}

void finish_forget(void)
{
	fin.forgotten = fin.n_batch > 0;
	fin.n = 0;
	fin.bytes = 0;
}

/* ---- the answer ------------------------------------------------------------------------------- */

static void notified(void *ctx, const struct db_result *r)
{
	(void)ctx;
	if (r->outcome == DB_ERROR)
		log_warning("notify_waiters failed sqlstate=%s error=\"%s\"", r->sqlstate,
			    r->message);
}

/* Tells the API processes whose clients wait. A transaction of its own, right behind the commit. */
static void notify_waiters(struct pgarray *waiters, struct pgarray *ids)
{
	static const char sql[] = "SELECT longhaul.notify_waiters($1, $2)";
	struct db_params p = { 0 };

	if (pga_count(ids) > 0) {
		dbp_array(&p, waiters);
		dbp_array(&p, ids);
		db_query(worker.finish, sql, &p, notified, NULL);
	}
	db_params_free(&p);
}

/* The lease is lost; or the job was put back already, by this same outcome, whose answer got lost. */
static void refused(const struct job *job)
{
	enum verdict v = job->out.verdict;

	if (v == VERDICT_COMPLETED || v == VERDICT_FAILED || v == VERDICT_CANCELED)
		log_warning("an outcome was refused, the lease is lost %s verdict=%d",
			    job_text(job), v);
	else
		log_debug("an outcome was refused %s verdict=%d", job_text(job), v);
}

/* A row of the answer; a job that several wait for has more than one. */
static void row_written(struct job *job, int code)
{
	if (job->out.answered)
		return;
	job->out.answered = true;
	if (code == 0)
		refused(job);
	else if (code == 1 && job->out.stored)
		log_warning(
			"a handler said that it had ended its job in the database, but it hadn't %s",
			job_text(job));
	if (job->out.verdict == VERDICT_TRY_AGAIN || job->out.verdict == VERDICT_DIED)
		chores_promote(); /* to learn when the next attempt is due */
	if (code != 0 && job->out.verdict != VERDICT_RELEASED) {
		fin.count++;
		job->type->finished++;
		if (job->out.verdict == VERDICT_COMPLETED && job->out.ran_ms >= 0)
			history_add(&job->type->history, job->input_size, job->out.ran_ms);
	}
}

static void written(const PGresult *res)
{
	struct pgarray waiters, ids;

	pga_init(&waiters, DB_INT8);
	pga_init(&ids, DB_UUID);
	for (int i = 0; i < dbr_rows(res); i++) {
		int at = dbr_int4(res, i, 0) - 1;

		if (at < 0 || at >= fin.n_batch)
			continue;
		row_written(fin.batch[at], dbr_int2(res, i, 1));
		if (!dbr_null(res, i, 2)) {
			pga_int8(&waiters, dbr_int8(res, i, 2));
			pga_uuid(&ids, &fin.batch[at]->id);
		}
	}
	notify_waiters(&waiters, &ids);
	webhooks_jobs_ended();
	pga_free(&waiters);
	pga_free(&ids);
	for (int i = 0; i < fin.n_batch; i++)
		job_free(fin.batch[i]);
	fin.retry_ms = 0;
	fin.limit = fin.limit < config.finish_batch / 2 ? 2 * fin.limit : config.finish_batch;
}

/* Back into the queue, in the old order, to be tried again. */
static void put_back(void)
{
	for (int i = fin.n_batch - 1; i >= 0; i--)
		enqueue(fin.batch[i], true);
}

/* Errors that say nothing about the rows: deadlock, lock or other timeout, lack of something. */
static bool is_passing(const struct db_result *r)
{
	return !strncmp(r->sqlstate, "40", 2) || !strncmp(r->sqlstate, "53", 2) ||
	       !strncmp(r->sqlstate, "55", 2) || !strncmp(r->sqlstate, "57", 2) ||
	       !strncmp(r->sqlstate, "58", 2);
}

static void back_off(int64_t now)
{
	fin.retry_ms = fin.retry_ms == 0 ? RETRY_MIN_MS : 2 * fin.retry_ms;
	if (fin.retry_ms > RETRY_MAX_MS)
		fin.retry_ms = RETRY_MAX_MS;
	fin.retry_at = now + fin.retry_ms;
}

/* One row that the database will not have: the job fails with a problem instead. */
static void give_up(struct job *job, const struct db_result *r, int64_t now)
{
	bool again = job->out.fallback;

	log_error("an outcome was refused by the database %s verdict=%d sqlstate=%s error=\"%s\"",
		  job_text(job), job->out.verdict, r->sqlstate, r->message);
	job->out.tries = 0;
	job->out.fallback = true;
	free(job->message);
	job->message = NULL;
	job->progressed = false;
	outcome_fail(job, "outcome-not-stored", "The job ran, but its outcome could not be stored",
		     NULL);
	if (again)
		back_off(now);
}

/* A single row met a lock or a timeout: the others must not wait for it. */
static void set_apart(struct job *job, int64_t now)
{
	job->state = JOB_ENDED;
	list_append(&fin.apart, &job->link);
	fin.apart_at = now + APART_MS;
	fin.n_batch = 0;
}

static void not_written(const struct db_result *r)
{
	int64_t now = mono_ms();
	bool single = fin.n_batch == 1;

	if (r->outcome != DB_ERROR || db_is_outage(r)) {
		back_off(now);
	} else {
		log_warning("writing outcomes failed rows=%d sqlstate=%s error=\"%s\"", fin.n_batch,
			    r->sqlstate, r->message);
		fin.limit = single ? 1 : fin.n_batch / 2;
		if (single && (!is_passing(r) || ++fin.batch[0]->out.tries > PASSING_MAX))
			give_up(fin.batch[0], r, now);
		else if (single)
			set_apart(fin.batch[0], now);
		else if (is_passing(r))
			back_off(now);
	}
	put_back();
}

static void batch_done(void *ctx, const struct db_result *r)
{
	(void)ctx;
	if (fin.forgotten) {
		for (int i = 0; i < fin.n_batch; i++)
			job_free(fin.batch[i]);
		fin.forgotten = false;
	} else if (r->outcome == DB_OK) {
		written(r->res);
	} else {
		not_written(r);
	}
	fin.n_batch = 0;
}

/* ---- the statement ---------------------------------------------------------------------------- */

static bool apart_is_due(int64_t now)
{
	return !list_empty(&fin.apart) && now >= fin.apart_at;
}

static void int8_or_null(struct pgarray *a, int64_t v, bool is_null)
{
	if (is_null)
		pga_null(a);
	else
		pga_int8(a, v);
}

static void add_row(const struct job *job)
{
	const struct outcome *o = &job->out;

	pga_uuid(&arrays[IDS], &job->id);
	pga_int8(&arrays[FENCES], job->fence);
	pga_int2(&arrays[VERDICTS], (int16_t)o->verdict);
	if (o->ran_ms < 0)
		pga_null(&arrays[RAN]);
	else
		pga_int4(&arrays[RAN], o->ran_ms);
	pga_text(&arrays[MEDIA], o->media_type);
	if (o->result)
		pga_bytea(&arrays[RESULTS], o->result, o->result_len);
	else
		pga_null(&arrays[RESULTS]);
	int8_or_null(&arrays[SIZES], o->result_size, o->result_size < 0);
	pga_text(&arrays[ERRORS], o->error);
	int8_or_null(&arrays[RETRIES], o->retry_ms, o->retry_ms < 0);
	int8_or_null(&arrays[DONE], job->done, !job->progressed);
	int8_or_null(&arrays[TOTAL], job->total, !job->progressed || job->total < 0);
	pga_text(&arrays[MESSAGES], job->progressed ? job->message : NULL);
	pga_text(&arrays[LOGS], o->log);
}

static void add_to_batch(struct job *job)
{
	if (!outcome_load(job)) /* what it did is lost: it has to be done again */
		outcome_set(job, VERDICT_RELEASED);
	job->state = JOB_WRITING;
	fin.batch[fin.n_batch++] = job;
	add_row(job);
}

/* Takes the front of the queue into the batch, or one that was set apart. */
static void fill_batch(int64_t now)
{
	int limit = fin.limit > 0 ? fin.limit : config.finish_batch;
	int64_t bytes = 0;

	if (fin.batch_cap < config.finish_batch) {
		fin.batch_cap = config.finish_batch;
		fin.batch = mem_realloc(fin.batch, (size_t)fin.batch_cap, sizeof(*fin.batch));
	}
	fin.n_batch = 0;
	if (apart_is_due(now)) {
		struct job *job = LIST_ENTRY(fin.apart.next, struct job, link);

		list_remove(&job->link);
		fin.apart_at = now + APART_MS;
		add_to_batch(job);
		return;
	}
	while (fin.n_batch < limit && !list_empty(&fin.queue)) {
		struct job *job = LIST_ENTRY(fin.queue.next, struct job, link);

		bytes += row_size(job);
		if (fin.n_batch > 0 && bytes > config.finish_bytes)
			break;
		dequeue(job);
		add_to_batch(job);
	}
}

static bool batch_has_log(void)
{
	for (int i = 0; i < fin.n_batch; i++)
		if (fin.batch[i]->out.log)
			return true;
	return false;
}

static void send_batch(int64_t now)
{
	static const char sql[] =
		"SELECT ord, code, waiter FROM longhaul.finish_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, "
		"$11, $12, $13, $14)";
	static const enum db_type elem[N_ARRAYS] = { DB_UUID,  DB_INT8, DB_INT2, DB_INT4, DB_TEXT,
						     DB_BYTEA, DB_INT8, DB_TEXT, DB_INT8, DB_INT8,
						     DB_INT8,  DB_TEXT, DB_TEXT };
	struct db_params p = { 0 };

	for (int i = 0; i < N_ARRAYS; i++)
		pga_init(&arrays[i], elem[i]);
	fill_batch(now);
	if (!batch_has_log()) { /* the usual case: it isn't even looked at */
		pga_free(&arrays[LOGS]);
		pga_init(&arrays[LOGS], DB_TEXT);
	}
	fin.sent_at = now;
	fin.is_busy = fin.n_batch > FEW;
	dbp_uuid(&p, &worker.boot);
	for (int i = 0; i < N_ARRAYS; i++) {
		dbp_array(&p, &arrays[i]);
		pga_free(&arrays[i]);
	}
	if (!db_query(worker.finish, sql, &p, batch_done, NULL)) {
		put_back();
		fin.n_batch = 0;
		back_off(now);
	}
	db_params_free(&p);
}

/* Moves the outcomes that will be written last to the spool, until memory is a quarter empty. */
static void spill(void)
{
	int64_t left = fin.bytes, goal = config.hold_bytes / 4 * 3;
	struct link *l = fin.queue.prev, *last;
	bool kept;
	int n = 0;

	for (; l != &fin.queue && left > goal; l = l->prev) {
		struct job *job = LIST_ENTRY(l, struct job, link);

		if (!job->out.data)
			continue;
		if (!outcome_spill(job))
			break;
		left -= weight(job) - ROW_OVERHEAD;
		n++;
	}
	if (n == 0)
		return;
	last = l;
	kept = spool_sync();
	for (l = fin.queue.prev; l != last; l = l->prev) {
		struct job *job = LIST_ENTRY(l, struct job, link);

		if (!job->out.data)
			continue;
		fin.bytes -= weight(job);
		outcome_spilled(job, kept);
		fin.bytes += weight(job);
	}
	if (kept)
		log_debug("results are moved to the spool n=%d", n);
}

void finish_step(int64_t now)
{
	int limit = fin.limit > 0 ? fin.limit : config.finish_batch;
	int64_t due = fin.sent_at + (fin.is_busy ? config.finish_delay_ms : 0);

	if (finish_is_full() && spool_usable())
		spill();
	if (fin.n_batch > 0 || worker.life != LIFE_LIVE || !db_up(worker.finish))
		return;
	if (fin.n >= limit || fin.bytes >= config.finish_bytes)
		due = now;
	else if (fin.n == 0)
		due = INT64_MAX;
	if (!list_empty(&fin.apart) && fin.apart_at < due)
		due = fin.apart_at;
	if (due < fin.retry_at)
		due = fin.retry_at;
	if (now >= due)
		send_batch(now);
	else if (due != INT64_MAX)
		worker_wake_at(due);
}
