/*
 * handout.c: which runner gets which job.
 *
 * Long jobs go to idle runners, one each. Of short ones a runner gets several at once, and more
 * before it runs dry; a second runner is started for them only if the first can't keep up.
 */
#include "handout.h"

#include "common/log.h"
#include "finish.h"
#include "job.h"
#include "lease.h"
#include "pool.h"
#include "runner.h"
#include "type.h"
#include "worker.h"

#define KEEP_UP_US 20000 /* more work than this waiting: worth another runner */
#define OUT_MAX 262144   /* bytes for one runner at a time */
#define PAUSE_MS 1000    /* after a runner could not be started */

/* What there is of runners. */
struct choice {
	struct runner *idle;          /* holds nothing */
	struct runner *short_of_work; /* holds some short jobs, and could take one more */
	int n, busy;                  /* that take a slot; that hold jobs */
	int starting, slow, usable;   /* of these; usable = answer quickly */
};

static struct choice look_at_runners(const struct type *t, int batch)
{
	struct choice c = { 0 };

	for (struct link *l = t->runners.next; l != &t->runners; l = l->next) {
		struct runner *r = LIST_ENTRY(l, struct runner, link);

		if (r->state > RUNNER_READY) {
			c.n += r->state == RUNNER_KILLED;
			c.busy += r->state == RUNNER_KILLED;
			continue;
		}
		c.n++;
		c.busy += r->n_jobs > 0;
		c.starting += r->state == RUNNER_STARTING;
		c.slow += r->slow;
		if (runner_is_worn(r) || (r->n_jobs > 0 && (r->slow || r->alone)))
			continue;
		c.usable++;
		if (r->n_jobs == 0 && (!c.idle || c.idle->state == RUNNER_STARTING))
			c.idle = r;
		else if (r->n_jobs > 0 && r->n_jobs < batch && r->out.len < OUT_MAX &&
			 (!c.short_of_work || r->n_jobs < c.short_of_work->n_jobs))
			c.short_of_work = r;
	}
	return c;
}

/* Whether another runner would help. While it isn't known how long the jobs take, or if they are
 * short, their number is doubled step by step. */
static bool is_worth_starting(const struct type *t, const struct choice *c, int batch)
{
	if (c->n == 0)
		return true;
	if (c->n >= t->cfg.slots)
		return false;
	if (t->mean_us < 0)
		return c->n <= 2 * c->slow;
	if (batch == 1)
		return true;
	if (c->usable > 0 && t->n_waiting * t->mean_us < KEEP_UP_US)
		return false;
	return c->starting == 0 || 2 * c->starting < c->n;
}

/* The runner for the next job, perhaps a new one. NULL: it has to wait. */
static struct runner *choose(struct type *t, const struct job *job, int64_t now)
{
	int batch = job->input ? type_batch(t) : 1;
	struct choice c = look_at_runners(t, batch);
	struct runner *r;

	/* There are more than slots for a while when their number was lowered. */
	if (c.idle && c.busy < t->cfg.slots)
		return c.idle;
	if (c.short_of_work)
		return c.short_of_work;
	if (!is_worth_starting(t, &c, batch))
		return NULL;
	r = runner_start(t);
	if (!r)
		t->broken_until = now + PAUSE_MS;
	return r;
}

/* Others may do what we can't. */
static void release_all(struct type *t)
{
	while (!list_empty(&t->waiting))
		finish_release(LIST_ENTRY(t->waiting.next, struct job, link));
}

/* Jobs that wait and none of our runners becomes free: not for long, and nothing more is claimed
 * ahead until one does. */
static void dont_hoard(struct type *t, int64_t now)
{
	if (t->stuck_since == 0)
		t->stuck_since = now;
	if (now - t->stuck_since >= config.give_back_ms) {
		log_debug("jobs claimed ahead are put back type=%s n=%d", t->name, t->n_waiting);
		t->stuck = true;
		release_all(t);
	} else {
		worker_wake_at(t->stuck_since + config.give_back_ms);
	}
}

static void handout(struct type *t, int64_t now)
{
	while (!list_empty(&t->waiting) && !finish_is_full()) {
		struct job *job = LIST_ENTRY(t->waiting.next, struct job, link);
		struct runner *r = choose(t, job, now);

		if (!r)
			break;
		runner_give(r, job);
		t->stuck_since = 0;
		pool_watch(now);
	}
	if (!list_empty(&t->waiting) && !finish_is_full())
		dont_hoard(t, now);
	for (struct link *l = t->runners.next; l != &t->runners; l = l->next) {
		struct runner *r = LIST_ENTRY(l, struct runner, link);

		if (r->out.len > r->out_at)
			runner_flush(r);
	}
}

void handout_step(int64_t now)
{
	if (!lease_holds(now) || worker.draining)
		return;
	for (size_t i = 0; i < types.n; i++) {
		struct type *t = types.v[i];

		if (list_empty(&t->waiting))
			continue;
		if (now < t->broken_until || t->retired)
			release_all(t);
		else
			handout(t, now);
	}
}
