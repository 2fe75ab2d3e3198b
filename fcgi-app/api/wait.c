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
	bool with_result; /* the read under way asks for the result */
	bool notified;    /* before anybody's wait had begun */
	int64_t version;  /* what all waiters know; 0: the next tick is to bring it in any case */
	uint64_t read_number;  /* of the last read */
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
static uint64_t reads;
static struct parked *next_told; /* where tell_streams goes on */

/* The tick's statement under way: its jobs, in the order of the arrays. */
static struct watched **ticked;
static size_t n_ticked, cap_ticked;
static struct pgarray tick_ids, tick_clients, tick_versions;

static void read_job(struct watched *job);
static void ensure_registered(struct watched *job);

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
	if (p == next_told)
		next_told = p->next;
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
		if (!p->armed || p->stays)
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

/* Calls the streams that this answer is news to. What one doesn't take, the next tick brings again. */
static void tell_streams(struct watched *job, enum status_outcome outcome,
			 const struct job_row *row)
{
	for (struct parked *p = job->waiters; p; p = next_told) {
		next_told = p->next;
		if (!p->stays || !p->armed)
			continue;
		if (outcome == STATUS_MISSING) {
			p->wake(p, PARK_GONE, NULL);
		} else if (p->seen_version != row->version) {
			/* A read that began before the stream may be older than what it has shown. */
			if (job->read_number > p->reads_before)
				p->wake(p, PARK_ROW, row);
		}
	}
	next_told = NULL;
}

/* True if somebody who is to hear of every change still stands at another version. */
static bool any_behind(const struct watched *job, const struct job_row *row)
{
	for (const struct parked *p = job->waiters; p; p = p->next)
		if (p->armed && !p->until_end && p->seen_version != row->version)
			return true;
	return false;
}

/* The answer of a read or of the tick. May free the job. */
static void job_came(struct watched *job, enum status_outcome outcome, const struct job_row *row)
{
	tell_waiters(job, outcome, row);
	if (outcome != STATUS_AWAY)
		tell_streams(job, outcome, row);
	if (row)
		job->version = any_behind(job, row) ? 0 : row->version;
	job->reading = false;
	if (job->read_again && job->waiters) {
		job->read_again = false;
		read_job(job);
	} else {
		free_if_unused(job);
	}
}

static void job_read(void *ctx, enum status_outcome outcome, const struct job_row *row)
{
	job_came(ctx, outcome, row);
}

static bool any_wants_result(const struct watched *job)
{
	for (const struct parked *p = job->waiters; p; p = p->next)
		if (p->want_result)
			return true;
	return false;
}

static void read_begins(struct watched *job)
{
	job->reading = true;
	job->read_at = mono_ms();
	job->read_number = ++reads;
}

/* Has the job read, unless that is under way: then once more after it. May free the job: if the
 * database is away and that ends its last wait. */
static void read_job(struct watched *job)
{
	if (job->reading) {
		job->read_again = true;
		return;
	}
	job->with_result = any_wants_result(job);
	job->read.id = job->id;
	job->read.client = job->client;
	job->read.min_version = STATUS_PRIMARY; /* a standby may not know of the end yet */
	job->read.done = job_read;
	job->read.ctx = job;
	read_begins(job);
	if (!status_get(&job->read, job->with_result ? STATUS_RESULT : STATUS_POLL))
		job_came(job, STATUS_AWAY, NULL);
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

/* ---- the tick ------------------------------------------------------------------------------- */

static bool any_time_is_up(const struct watched *job)
{
	for (const struct parked *p = job->waiters; p; p = p->next)
		if (p->armed && p->time_is_up)
			return true;
	return false;
}

/* The tick brought nothing about this job: it stands as it did. */
static void tick_passed(struct watched *job)
{
	job->reading = false;
	if (job->waiters && (job->read_again || any_time_is_up(job))) {
		job->read_again = false;
		read_job(job);
	} else {
		free_if_unused(job);
	}
}

/* Rows come for jobs that changed, in any order; their ord counts from 1. */
static void tick_rows(const PGresult *res)
{
	int rows = dbr_rows(res);
	struct job_row row;

	for (int i = 0; i < rows; i++) {
		int32_t ord = dbr_int4(res, i, 0);
		struct watched *job;

		if (ord < 1 || (size_t)ord > n_ticked || !(job = ticked[ord - 1]))
			continue;
		ticked[ord - 1] = NULL;
		if (dbr_null(res, i, 1)) {
			job_came(job, STATUS_MISSING, NULL);
		} else {
			job_row_read(res, i, &row);
			job_came(job, STATUS_FOUND, &row);
		}
	}
}

static void tick_done(void *ctx, const struct db_result *result)
{
	(void)ctx;
	if (result->outcome == DB_OK)
		tick_rows(result->res);
	else if (result->outcome == DB_ERROR)
		log_warning("watched jobs can't be read sqlstate=%s", result->sqlstate);
	for (size_t i = 0; i < n_ticked; i++)
		if (ticked[i])
			tick_passed(ticked[i]);
	n_ticked = 0;
}

/* True if somebody waits for the job, and no read of it was begun just now. */
static bool wants_tick(const struct watched *job, int64_t recent)
{
	return !job->reading && job->read_at <= recent && any_armed(job);
}

static bool any_stays(const struct watched *job)
{
	for (const struct parked *p = job->waiters; p; p = p->next)
		if (p->stays)
			return true;
	return false;
}

static void tick_collect(void)
{
	int64_t recent = mono_ms() - owner->cfg->tick_ms / 2;

	pga_reset(&tick_ids);
	pga_reset(&tick_clients);
	pga_reset(&tick_versions);
	if (cap_ticked < n_watched) {
		cap_ticked = 2 * n_watched;
		ticked = mem_realloc(ticked, cap_ticked, sizeof(struct watched *));
	}
	for (struct watched *job = all; job; job = job->next) {
		if (any_stays(job))
			ensure_registered(job);
		if (!wants_tick(job, recent))
			continue;
		ticked[n_ticked++] = job;
		pga_uuid(&tick_ids, &job->id);
		pga_text(&tick_clients, job->client);
		pga_int8(&tick_versions, job->version);
	}
}

static void tick_came(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct db_params params;

	(void)loop;
	(void)w;
	(void)revents;
	if (n_ticked > 0)
		return; /* the last one is still under way */
	tick_collect();
	if (n_ticked == 0)
		return;
	db_params_init(&params);
	dbp_array(&params, &tick_ids);
	dbp_array(&params, &tick_clients);
	dbp_array(&params, &tick_versions);
	if (db_query(owner->side, "SELECT * FROM longhaul.changed_batch($1, $2, $3)", &params,
		     tick_done, NULL)) {
		for (size_t i = 0; i < n_ticked; i++) {
			ticked[i]->with_result = false;
			read_begins(ticked[i]);
		}
	} else {
		n_ticked = 0;
	}
	db_params_free(&params);
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

/* Also if it failed: the tick does without, and later it is tried again. */
static void registered(struct watched *job)
{
	bool renewed = job->registered_at != 0;

	job->registering = false;
	job->registered_at = mono_ms();
	/* It may have ended before the registration, so it is read; unless that was just renewed. */
	if (job->waiters && !renewed)
		read_job(job);
	else
		free_if_unused(job);
}

static void register_deliver(struct lane_item *const *items, size_t n, const PGresult *res)
{
	(void)res;
	for (size_t i = 0; i < n; i++)
		registered((struct watched *)items[i]);
}

static void register_fail(struct lane_item *item, const struct db_result *why)
{
	struct watched *job = (struct watched *)item;
	char id[UUID_TEXT];

	if (why->outcome == DB_ERROR) {
		uuid_format(&job->id, id);
		log_warning("waiting for a job can't be registered job=%s sqlstate=%s", id,
			    why->sqlstate);
	}
	registered(job);
}

static const struct lane_ops register_ops = { "SELECT longhaul.watch($1, $2)",
					      register_encode,
					      register_deliver,
					      NULL,
					      register_fail,
					      false,
					      NULL };

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
		read_job(p->job);
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
	if (p->seen_version != job->version)
		job->version = 0;
	ev_timer_set(&p->timer, left > 0 ? (double)left / 1000 : 0., 0.);
	ev_timer_start(owner->loop, &p->timer);
	if (is_registered)
		job->registered_at = mono_ms();
	else if (left > 0)
		ensure_registered(job);
	if (job->notified) {
		job->notified = false;
		read_job(job);
	}
}

void park_watch(struct parked *p)
{
	struct watched *job = p->job;

	p->stays = true;
	p->armed = true;
	p->reads_before = reads;
	if (p->seen_version != job->version)
		job->version = 0;
	ensure_registered(job);
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
				read_job(job);
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
			if (!p->armed || p->stays || !ends(p))
				continue;
			p->time_is_up = any = true;
		}
		if (any && !job->reading)
			read_job(job);
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

void wait_register_anew(void)
{
	for (struct watched *job = all; job; job = job->next)
		job->registered_at = 0;
}

void wait_start(struct app *a)
{
	owner = a;
	pga_init(&register_ids, DB_UUID);
	pga_init(&tick_ids, DB_UUID);
	pga_init(&tick_clients, DB_TEXT);
	pga_init(&tick_versions, DB_INT8);
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
	pga_free(&tick_ids);
	pga_free(&tick_clients);
	pga_free(&tick_versions);
	free(ticked);
	ticked = NULL;
	cap_ticked = n_ticked = 0;
	free(buckets);
	buckets = NULL;
	n_buckets = 0;
}
