/*
 * wait.c: requests that wait for their job; see wait.h.
 */
#include "api/wait.h"

#include <stdlib.h>
#include <string.h>

#include "api/app.h"
#include "common/db.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/times.h"

/* The database forgets a registration after two minutes. */
#define REGISTERED_MS 60000
#define BUCKETS_MIN 256

/* A job that somebody waits for. It lives while it has waiters, or a statement names it. */
struct watched {
	struct lane_item lane; /* first: in the registering lane */
	struct status_read read;
	struct uuid id;
	struct watched *bucket_next;
	struct watched *next, **at; /* all of them, for the tick */
	struct parked *waiters;
	char *client;
	bool reading, read_again, registering;
	bool with_result;      /* the read under way asks for the result */
	bool notified;         /* before anybody's wait had begun */
	int64_t registered_at; /* monotonic; 0 = never */
	int64_t read_at;
};

static struct app *owner;
static struct watched **buckets;
static size_t n_buckets, n_watched;
static struct watched *all;
static ev_timer tick;
static struct lane register_lane;
static struct pgarray register_ids;

static void read_job(struct watched *job, bool tick_only);

/* ---- the table ------------------------------------------------------------------------------ */

static size_t bucket_of(const struct uuid *id, size_t n)
{
	size_t h;

	memcpy(&h, id->b + 8, sizeof(h)); /* the random half */
	return h & (n - 1);
}

static void table_grow(void)
{
	size_t n = n_buckets ? 2 * n_buckets : BUCKETS_MIN;
	struct watched **fresh = mem_zalloc(n * sizeof(struct watched *));

	for (struct watched *job = all; job; job = job->next) {
		size_t b = bucket_of(&job->id, n);

		job->bucket_next = fresh[b];
		fresh[b] = job;
	}
	free(buckets);
	buckets = fresh;
	n_buckets = n;
}

static struct watched *find_watched(const struct uuid *id)
{
	struct watched *job = n_buckets ? buckets[bucket_of(id, n_buckets)] : NULL;

	while (job && !uuid_equal(&job->id, id))
		job = job->bucket_next;
	return job;
}

static struct watched *add_watched(const struct uuid *id, const char *client)
{
	struct watched *job = mem_zalloc(sizeof(*job));
	size_t b;

	if (n_watched >= n_buckets)
		table_grow();
	job->id = *id;
	job->client = mem_strdup(client);
	b = bucket_of(id, n_buckets);
	job->bucket_next = buckets[b];
	buckets[b] = job;
	job->next = all;
	job->at = &all;
	if (all)
		all->at = &job->next;
	all = job;
	n_watched++;
	if (!ev_is_active(&tick))
		ev_timer_again(owner->loop, &tick);
	return job;
}

static void free_if_unused(struct watched *job)
{
	struct watched **at = &buckets[bucket_of(&job->id, n_buckets)];

	if (job->waiters || job->reading || job->registering)
		return;
	while (*at != job)
		at = &(*at)->bucket_next;
	*at = job->bucket_next;
	*job->at = job->next;
	if (job->next)
		job->next->at = job->at;
	free(job->client);
	free(job);
	if (--n_watched == 0)
		ev_timer_stop(owner->loop, &tick);
}

/* ---- reading -------------------------------------------------------------------------------- */

/* Takes the request out of its job's list; the job stays. */
static void detach(struct parked *p)
{
	*p->at = p->next;
	if (p->next)
		p->next->at = p->at;
	ev_timer_stop(owner->loop, &p->timer);
	p->job = NULL;
	p->armed = false;
}

static bool wakes(const struct parked *p, const struct job_row *row)
{
	return p->time_is_up || job_ended(row) ||
	       (!p->until_end && row->version != p->seen_version);
}

/* True if this waiter needs the result that this read didn't ask for. */
static bool lacks_result(const struct watched *job, const struct parked *p,
			 const struct job_row *row)
{
	return p->want_result && !job->with_result && row->status == JOB_COMPLETED &&
	       row->result_size > 0;
}

/* Calls those whom this answer concerns. Their callbacks may park anew, on this job too. */
static void tell_waiters(struct watched *job, enum status_outcome outcome,
			 const struct job_row *row)
{
	struct parked *p, *next, *told = NULL, **told_end = &told;

	for (p = job->waiters; p; p = next) {
		next = p->next;
		if (!p->armed)
			continue;
		if (outcome == STATUS_AWAY ? !p->time_is_up : row && !wakes(p, row))
			continue;
		if (outcome == STATUS_FOUND && lacks_result(job, p, row)) {
			job->read_again = true;
			continue;
		}
		detach(p);
		*told_end = p;
		p->next = NULL;
		told_end = &p->next;
	}
	while (told) {
		p = told;
		told = p->next;
		p->wake(p,
			outcome == STATUS_FOUND     ? PARK_ROW
			: outcome == STATUS_MISSING ? PARK_GONE
						    : PARK_AWAY,
			row);
	}
}

static void job_read(void *ctx, enum status_outcome outcome, const struct job_row *row)
{
	struct watched *job = ctx;

	tell_waiters(job, outcome, row);
	job->reading = false;
	if (job->read_again && job->waiters) {
		job->read_again = false;
		read_job(job, false);
	} else {
		free_if_unused(job);
	}
}

static bool any_wants_result(const struct watched *job)
{
	for (const struct parked *p = job->waiters; p; p = p->next)
		if (p->want_result)
			return true;
	return false;
}

/* Has the job read, unless that is under way: then once more after it. May free the job: if the
 * database is away and that ends its last wait. */
static void read_job(struct watched *job, bool tick_only)
{
	enum status_lane lane = STATUS_TICK;

	if (job->reading) {
		job->read_again = job->read_again || !tick_only;
		return;
	}
	job->with_result = !tick_only && any_wants_result(job);
	if (!tick_only)
		lane = job->with_result ? STATUS_RESULT : STATUS_POLL;
	job->read.id = job->id;
	job->read.client = job->client;
	job->read.min_version = STATUS_PRIMARY; /* a standby may not know of the end yet */
	job->read.done = job_read;
	job->read.ctx = job;
	job->read_at = mono_ms();
	job->reading = true;
	if (!status_get(&job->read, lane)) {
		job->reading = false;
		tell_waiters(job, STATUS_AWAY, NULL);
		free_if_unused(job);
	}
}

/* Whether anybody's wait has begun. Before that the job may not be committed yet: a read would find
 * nothing, and its answer could come when the wait has begun. */
static bool any_armed(const struct watched *job)
{
	for (const struct parked *p = job->waiters; p; p = p->next)
		if (p->armed)
			return true;
	return false;
}

static void tick_came(struct ev_loop *loop, ev_timer *w, int revents)
{
	int64_t recent = mono_ms() - owner->cfg->tick_ms / 2;
	struct watched *job, *next;

	(void)loop;
	(void)w;
	(void)revents;
	for (job = all; job; job = next) {
		next = job->next;
		if (job->reading || job->read_at > recent || !any_armed(job))
			continue;
		read_job(job, true);
	}
}

/* ---- registering: has the database tell us when the job ends ---------------------------------- */

static void register_encode(struct db_params *params, struct lane_item *const *items, size_t n)
{
	pga_reset(&register_ids);
	for (size_t i = 0; i < n; i++)
		pga_uuid(&register_ids, &((const struct watched *)items[i])->id);
	dbp_array(params, &register_ids);
	dbp_int8(params, owner->waiter);
}

static void registered(struct watched *job, bool ok)
{
	job->registering = false;
	if (ok)
		job->registered_at = mono_ms();
	/* It may have ended before the registration, so it is read in any case. */
	if (job->waiters)
		read_job(job, false);
	else
		free_if_unused(job);
}

static void register_deliver(struct lane_item *const *items, size_t n, const PGresult *res)
{
	(void)res;
	for (size_t i = 0; i < n; i++)
		registered((struct watched *)items[i], true);
}

static void register_fail(struct lane_item *item, const struct db_result *why)
{
	if (why->outcome == DB_ERROR)
		log_warning("waiting for a job can't be registered: sqlstate=%s", why->sqlstate);
	registered((struct watched *)item, false);
}

static const struct lane_ops register_ops = { "SELECT longhaul.watch($1, $2)", register_encode,
					      register_deliver, NULL, register_fail };

static bool can_be_notified(void)
{
	return strcmp(owner->cfg->database.listen_conninfo, "none") != 0 && db_up(owner->side);
}

static void ensure_registered(struct watched *job)
{
	if (job->registering || !can_be_notified())
		return;
	if (job->registered_at && mono_ms() - job->registered_at < REGISTERED_MS)
		return;
	job->registering = lane_add(&register_lane, &job->lane);
}

/* ---- parking -------------------------------------------------------------------------------- */

static void deadline_came(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct parked *p = w->data;

	(void)loop;
	(void)revents;
	p->time_is_up = true;
	/* A read under way is as good as a new one. */
	if (!p->job->reading)
		read_job(p->job, false);
}

void park_prepare(struct parked *p, const struct uuid *id, const char *client)
{
	struct watched *job = find_watched(id);

	if (!job)
		job = add_watched(id, client);
	p->job = job;
	p->armed = false;
	p->time_is_up = false;
	p->next = job->waiters;
	p->at = &job->waiters;
	if (p->next)
		p->next->at = &p->next;
	job->waiters = p;
	ev_timer_init(&p->timer, deadline_came, 0., 0.);
	p->timer.data = p;
}

void park_arm(struct parked *p, int64_t deadline, bool is_registered)
{
	struct watched *job = p->job;
	int64_t left = owner->draining ? 0 : deadline - mono_ms();

	p->armed = true;
	ev_timer_set(&p->timer, left > 0 ? (double)left / 1000 : 0., 0.);
	ev_timer_start(owner->loop, &p->timer);
	if (is_registered)
		job->registered_at = mono_ms();
	else if (left > 0)
		ensure_registered(job);
	if (job->notified) {
		job->notified = false;
		read_job(job, false);
	}
}

void park_remove(struct parked *p)
{
	struct watched *job = p->job;

	if (!job)
		return;
	detach(p);
	free_if_unused(job);
}

void wait_notified(const char *payload)
{
	struct watched *job;
	struct uuid id = { { 0 } };

	for (const char *s = payload; *s;) {
		size_t n = strcspn(s, ",");

		if (n == 32 && hex_decode(s, 32, id.b) && (job = find_watched(&id)) &&
		    job->waiters) {
			if (any_armed(job))
				read_job(job, false);
			else
				job->notified = true;
		}
		s += n;
		s += *s == ',';
	}
}

size_t wait_pending(void)
{
	return n_watched;
}

static bool always(struct parked *p)
{
	(void)p;
	return true;
}

static bool if_pointless(struct parked *p)
{
	bool (*pointless)(struct parked *) = p->pointless;

	p->pointless = NULL;
	return pointless && pointless(p);
}

/* Ends the waits for which `ends` is true. */
static void expire(bool (*ends)(struct parked *p))
{
	struct watched *job, *next;

	for (job = all; job; job = next) {
		bool any = false;

		next = job->next;
		for (struct parked *p = job->waiters; p; p = p->next) {
			if (!p->armed || !ends(p))
				continue;
			p->time_is_up = any = true;
		}
		if (any && !job->reading)
			read_job(job, false);
	}
}

void wait_expire_all(void)
{
	expire(always);
}

void wait_reconsider(void)
{
	expire(if_pointless);
}

void wait_start(struct app *a)
{
	owner = a;
	pga_init(&register_ids, DB_UUID);
	lane_open(&register_lane, &register_ops, a->side, (size_t)a->cfg->batch_rows, INT64_MAX,
		  (size_t)a->cfg->queue_max);
	ev_timer_init(&tick, tick_came, 0., (double)a->cfg->tick_ms / 1000);
}

/* The connections have been closed and the requests freed: nobody waits any more. */
void wait_stop(void)
{
	ev_timer_stop(owner->loop, &tick);
	lane_close(&register_lane);
	pga_free(&register_ids);
	free(buckets);
	buckets = NULL;
	n_buckets = 0;
}
