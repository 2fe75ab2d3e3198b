/*
 * pool.c: watches over the runners.
 */
#include "pool.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include <ev.h>

#include "common/log.h"
#include "common/session.h"
#include "common/times.h"
#include "finish.h"
#include "outcome.h"
#include "runner.h"
#include "stream.h"
#include "type.h"
#include "worker.h"

#define ENDING_MS 250      /* see pool_lost */
#define KILL_MARGIN_MS 500 /* a handler may need all of its grace to stop what it started */
#define BROKEN_MIN_MS 1000
#define BROKEN_MAX_MS 30000

static ev_signal child_signal;

/* Visits all runners; the visit may free the one it is at. */
static void each_runner(void (*visit)(struct runner *r, int64_t arg), int64_t arg)
{
	for (size_t i = 0; i < types.n; i++) {
		struct link *list = &types.v[i]->runners, *next;

		for (struct link *l = list->next; l != list; l = next) {
			next = l->next;
			visit(LIST_ENTRY(l, struct runner, link), arg);
		}
	}
}

int64_t pool_timeout(const struct type *t)
{
	return t->cfg.timeout_ms > 0 ? t->cfg.timeout_ms : t->timeout_ms;
}

/* ---- ends of processes ------------------------------------------------------------------------ */

/* Looks whether the runner has died; if so, kills its offspring while its number can't be used again. */
static void reap(struct runner *r, int64_t unused)
{
	siginfo_t info = { 0 };
	int status;

	(void)unused;
	if (r->state == RUNNER_DEAD ||
	    waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
	    info.si_pid != r->pid)
		return;
	if (r->n_jobs > 0 || info.si_code != CLD_EXITED)
		session_kill(r->pid, r->pid);
	if (waitpid(r->pid, &status, WNOHANG) == r->pid)
		runner_died(r, status);
}

bool pool_has(pid_t pid)
{
	for (size_t i = 0; i < types.n; i++)
		for (struct link *l = types.v[i]->runners.next; l != &types.v[i]->runners;
		     l = l->next)
			if (LIST_ENTRY(l, struct runner, link)->pid == pid)
				return true;
	return false;
}

static void on_child(struct ev_loop *loop, ev_signal *w, int revents)
{
	(void)loop;
	(void)w;
	(void)revents;
	each_runner(reap, 0);
}

void pool_open(void)
{
	ev_signal_init(&child_signal, on_child, SIGCHLD);
	ev_signal_start(worker.loop, &child_signal);
}

/* It never got ready: the type isn't served for a while, others may do it. */
static void start_failed(struct type *t, const char *how)
{
	int64_t pause = BROKEN_MIN_MS << (t->start_failures < 5 ? t->start_failures : 5);

	t->start_failures++;
	if (pause > BROKEN_MAX_MS)
		pause = BROKEN_MAX_MS;
	t->broken_until = mono_ms() + pause;
	log_error("a runner did not start type=%s reason=\"%s\" next_try_ms=%lld", t->name, how,
		  (long long)pause);
}

/* What the job of a dead runner had logged is left in the shared memory. */
static void keep_log(struct runner *r, struct job *job)
{
	struct buf left = { 0 };
	bool cut;

	if (wire_log_get(r->page, job->ticket, &left, &cut))
		outcome_add_log(job, left.data, left.len, cut);
	buf_free(&left);
}

/* Deals with one job of a dead runner. */
static void bereave(struct runner *r, struct job *job, const char *how)
{
	if (runner_withdraw(r, job))
		return;
	if (!r->killed)
		log_warning("a runner died with a job pid=%d reason=\"%s\" %s", (int)r->pid, how,
			    job_text(job));
	runner_detach(r, job);
	if (!job->begun) {
		job->begun = true;
		job->began_ms = mono_ms();
	}
	if (job->stop == STOP_LOST) {
		job_free(job);
		return;
	}
	outcome_of_death(job, how);
	keep_log(r, job);
	finish_add(job);
}

void pool_bury(struct runner *r, const char *how)
{
	runner_current(r);
	/* The newest first: what is taken back goes to the front. */
	for (uint32_t t = r->next - 1; r->n_jobs > 0 && t >= r->first; t--)
		if (r->jobs[t % WIRE_TICKETS] && r->jobs[t % WIRE_TICKETS]->ticket == t)
			bereave(r, r->jobs[t % WIRE_TICKETS], how);
	if (!r->was_ready && !r->dismissed)
		start_failed(r->type, how);
	else
		log_debug("runner ended pid=%d type=%s reason=\"%s\"", (int)r->pid, r->type->name,
			  how);
}

/* Its jobs are somebody else's business now. */
static void dismiss(struct runner *r, int64_t unused)
{
	(void)unused;
	memset(r->jobs, 0, sizeof(r->jobs));
	r->n_jobs = 0;
	r->alone = false;
	r->dismissed = true;
	runner_kill(r, NULL);
	stream_end(r);
}

void pool_kill_all(void)
{
	each_runner(dismiss, 0);
}

/* An idle one is told to end, so that its handler can clean up. */
static void let_go(struct runner *r, int64_t unused)
{
	(void)unused;
	if (r->state == RUNNER_READY && r->n_jobs == 0)
		runner_close(r);
	else if (r->state < RUNNER_CLOSING)
		dismiss(r, 0);
}

/* Has as much time as a handler that is told to stop. */
static void wait_and_free(struct runner *r, int64_t began)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	siginfo_t info = { 0 };

	while (r->state != RUNNER_DEAD && info.si_pid == 0 &&
	       mono_ms() < began + r->type->cfg.grace_ms &&
	       waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0)
		if (info.si_pid == 0)
			nanosleep(&pause, NULL);
	if (r->state != RUNNER_DEAD) {
		dismiss(r, 0);
		waitpid(r->pid, NULL, 0);
	}
	runner_free(r);
}

void pool_close(void)
{
	each_runner(let_go, 0);
	each_runner(wait_and_free, mono_ms());
}

/* ---- ends of jobs ----------------------------------------------------------------------------- */

/* A job that waits: nobody has seen it. */
static void stop_waiting(struct job *job, enum stop_reason why)
{
	switch (why) {
	case STOP_LOST:
		job_free(job);
		break;
	case STOP_CANCEL:
		list_remove(&job->link);
		job->type->n_waiting--;
		outcome_set(job, VERDICT_CANCELED);
		finish_add(job);
		break;
	default:
		finish_release(job);
		break;
	}
}

static enum wire_stop wire_reason(enum stop_reason why)
{
	return why == STOP_TIMEOUT ? WIRE_STOP_TIMEOUT
	       : why == STOP_LOST  ? WIRE_STOP_LOST
				   : WIRE_STOP_CANCEL;
}

void pool_stop(struct job *job, enum stop_reason why)
{
	struct runner *r = job->runner;
	struct uuid id = job->id;

	if (job->state == JOB_GIVEN && !runner_withdraw(r, job)) {
		/* Perhaps it is done: the runner must not be punished for it. */
		runner_read_ring(r);
		job = job_find(&id);
		if (!job || job->state != JOB_GIVEN || job->stop != STOP_NONE)
			return;
		job->stop = why;
		r->kill_at = mono_ms() + r->type->cfg.grace_ms + KILL_MARGIN_MS;
		wire_stop(r->page, job->ticket, wire_reason(why));
		runner_send(r, WIRE_STOP, job->ticket, NULL, 0);
		stream_end(r);
		return;
	}
	if (job->state == JOB_WAITING)
		stop_waiting(job, why);
}

void pool_cancel(const struct uuid *id)
{
	struct job *job = job_find(id);

	if (!job)
		return;
	log_debug("cancel asked for %s", job_text(job));
	pool_stop(job, STOP_CANCEL);
}

/* A handler whose own transaction ends the job loses the lease by that, shortly before it says so. */
static bool ends_itself(const struct type *t)
{
	return !strcmp(t->cfg.handler, "bulk-import") || !strcmp(t->cfg.handler, "sql") ||
	       t->cfg.handler[0] == '/'; /* of a shared object one can't know */
}

void pool_lost(struct job *job)
{
	struct runner *r = job->runner;
	struct uuid id = job->id;
	int64_t fence = job->fence;

	if (job->state == JOB_GIVEN)
		runner_read_ring(r);
	job = job_find_claim(&id, fence);
	if (!job || job->state == JOB_ENDED || job->state == JOB_WRITING || job->stop == STOP_LOST)
		return;
	if (!ends_itself(job->type))
		log_warning("the lease of a job is lost %s", job_text(job));
	if (job->state == JOB_WAITING || runner_withdraw(r, job)) {
		job_free(job);
		return;
	}
	job->stop = STOP_LOST;
	wire_stop(r->page, job->ticket, WIRE_STOP_LOST);
	r->kill_at = mono_ms() + ENDING_MS;
	if (!ends_itself(job->type))
		runner_kill(r, "the lease of its job is lost");
	stream_end(r);
}

/* Takes back what the runner hasn't begun, from this ticket on, the newest first, so that the order stays. */
static void withdraw_unbegun(struct runner *r, int64_t from)
{
	for (uint32_t t = r->next - 1; r->n_jobs > 0 && t >= r->first && t >= from; t--) {
		struct job *job = r->jobs[t % WIRE_TICKETS];

		if (job && job->ticket == t)
			runner_withdraw(r, job);
	}
}

void pool_withdraw_all(void)
{
	each_runner(withdraw_unbegun, 0);
}

static void retire(struct runner *r)
{
	r->retired = true;
	withdraw_unbegun(r, 0);
	pool_watch(mono_ms());
}

void pool_retire(struct type *t)
{
	for (struct link *l = t->runners.next; l != &t->runners; l = l->next)
		retire(LIST_ENTRY(l, struct runner, link));
}

/* The idle ones first. */
void pool_shrink(struct type *t)
{
	int surplus = -t->cfg.slots;

	for (struct link *l = t->runners.next; l != &t->runners; l = l->next) {
		const struct runner *r = LIST_ENTRY(l, struct runner, link);

		surplus += r->state <= RUNNER_READY && !r->retired;
	}
	for (int busy = 0; busy <= 1; busy++) {
		for (struct link *l = t->runners.next; l != &t->runners && surplus > 0;
		     l = l->next) {
			struct runner *r = LIST_ENTRY(l, struct runner, link);

			if (r->state > RUNNER_READY || r->retired || (r->n_jobs > 0) != busy)
				continue;
			retire(r);
			surplus--;
		}
	}
}

static void stop_current(struct runner *r, int64_t why)
{
	struct job *job;

	runner_read_ring(r);
	job = runner_current(r);
	if (job)
		pool_stop(job, (enum stop_reason)why);
}

void pool_stop_all(enum stop_reason why)
{
	each_runner(stop_current, why);
}

/* ---- the regular look ------------------------------------------------------------------------- */

/* Timeouts of the job that the runner is in. */
static void check_job(struct runner *r, struct job *job, int64_t now)
{
	int64_t ran = now - job->began_ms, limit = pool_timeout(r->type);

	/* The database's time isn't the handler's. */
	if (r->stalled_since > 0)
		job->stalled_ms += now - r->stalled_since;
	r->stalled_since = stream_is_stalled(r) ? now : 0;
	if (job->stop == STOP_NONE && limit > 0 && ran - job->stalled_ms >= limit)
		pool_stop(job, STOP_TIMEOUT);
	else if (job->stop == STOP_NONE && job->expires_at > 0 && now >= job->expires_at)
		pool_stop(job, STOP_EXPIRED);
	if (ran >= config.slow_ms) {
		r->slow = true;
		withdraw_unbegun(r, 0);
	}
}

/* A runner that has jobs and is in none of them, at each look: it is frozen, or very slow. Others get its jobs,
 * but for one by which it is known; when it doesn't begin that in time either it is of no use. */
static void check_unbegun(struct runner *r, int64_t now)
{
	if (r->unbegun_since == 0 || r->unbegun != r->first) {
		r->unbegun = r->first;
		r->unbegun_since = now;
		return;
	}
	if (now - r->unbegun_since >= config.slow_ms) {
		r->slow = true;
		withdraw_unbegun(r, (int64_t)r->first + 1);
	}
	if (now - r->unbegun_since >= config.runner_start_ms)
		runner_kill(r, "it doesn't begin its jobs");
}

/* Returns when the runner is to be looked at again; INT64_MAX = when something happens. */
static int64_t check_runner(struct runner *r, int64_t now)
{
	struct job *job;
	bool spare;

	if (r->state == RUNNER_DEAD)
		return INT64_MAX;
	if (r->n_jobs > 0)
		runner_read_ring(r);
	job = runner_current(r);
	if (job || r->state != RUNNER_READY || r->n_jobs == 0)
		r->unbegun_since = 0;
	else
		check_unbegun(r, now);
	if (job)
		check_job(r, job, now);
	spare = r->state == RUNNER_READY && r->n_jobs == 0 && r->type->n_runners > 1;
	if (r->state == RUNNER_STARTING && now - r->started_at >= config.runner_start_ms)
		runner_kill(r, "it isn't ready in time");
	else if (r->kill_at > 0 && now >= r->kill_at)
		runner_kill(r, "it doesn't stop in time");
	else if ((spare && now - r->idle_since >= config.runner_idle_ms) ||
		 (runner_is_worn(r) && r->state == RUNNER_READY && r->n_jobs == 0))
		runner_close(r);
	else if (spare)
		return r->idle_since + config.runner_idle_ms;
	return r->n_jobs > 0 || r->state == RUNNER_STARTING || r->kill_at > 0 ? now + config.tick_ms
									      : INT64_MAX;
}

static int64_t look_at = INT64_MAX;

void pool_watch(int64_t now)
{
	if (look_at > now + config.tick_ms)
		look_at = now + config.tick_ms;
}

static void look(struct runner *r, int64_t now)
{
	int64_t at = check_runner(r, now);

	if (at < look_at)
		look_at = at;
}

void pool_step(int64_t now)
{
	if (now >= look_at) {
		look_at = INT64_MAX;
		each_runner(look, now);
	}
	worker_wake_at(look_at);
}
