/*
 * claim.c: one claim at a time for all types that have room.
 *
 * A claim is made when the type was woken or its last claim was full. It looks back, for the jobs of clients
 * whose turn it is before what the cursor has passed by, unless that would take more than a tenth of the time:
 * it is dear when many dead rows are in the way. Then it goes on behind the cursor. Once such a one comes back
 * short, and now and then in any case, a look back is made as soon as it may.
 */
#include "claim.h"

#include <stdlib.h>
#include <string.h>

#include "common/db.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/times.h"
#include "finish.h"
#include "job.h"
#include "lease.h"
#include "type.h"
#include "worker.h"

#define RETRY_MS 500
#define LOOK_BACK_SHARE 10

/* What was asked of a type, and what came. */
struct asked {
	struct type *type;
	int limit, got;
	int64_t last_fence, last_seq;
	int16_t last_priority;
	unsigned int ended; /* the type's when it was asked */
	bool cut;           /* the type's limit over all hosts is reached */
	int64_t cut_ms;     /* until its rate lets one more through; 0 = a job must end first */
};

static struct {
	bool under_way, look_back;
	unsigned int generation;
	int64_t sent_at, retry_at, look_earliest;
	int64_t fence_from, fence_to;
	struct asked *asked;
	size_t n_asked, asked_cap, turn;
	int64_t horizon_at;
	int64_t compare_at; /* when the database's claims are compared with ours */
} claim;

void claim_wake(struct type *t)
{
	t->wake = true;
}

void claim_wake_all(void)
{
	for (size_t i = 0; i < types.n; i++)
		types.v[i]->wake = true;
}

void claim_look_back(void)
{
	for (size_t i = 0; i < types.n; i++)
		types.v[i]->look_asap = true;
}

void claim_up(void)
{
	claim.horizon_at = 0;
	claim.look_earliest = 0;
	claim.compare_at = 0;
	for (size_t i = 0; i < types.n; i++) {
		cursor_reset(&types.v[i]->cursor);
		/* A look back from the bottom finds everything, and all priorities. */
		types.v[i]->look_asap = true;
		types.v[i]->wake = false;
		types.v[i]->bottom_at = mono_ms() + config.bottom_ms;
	}
}

void claim_forget(void)
{
	claim_up();
}

/* ---- the answer ------------------------------------------------------------------------------- */

static struct asked *asked_for(const struct type *t)
{
	for (size_t i = 0; i < claim.n_asked; i++)
		if (claim.asked[i].type == t)
			return &claim.asked[i];
	return NULL;
}

static void add_job(const PGresult *res, int row)
{
	struct uuid id = dbr_uuid(res, row, 0);
	struct type *t = type_by_id(dbr_int4(res, row, 1));
	struct asked *asked = t ? asked_for(t) : NULL;
	size_t input_len = 0;
	struct job_texts texts = {
		.client = dbr_text(res, row, 7, NULL),
		.media_type = dbr_text(res, row, 8, NULL),
		.traceparent = dbr_text(res, row, 11, NULL),
		.request_id = dbr_text(res, row, 12, NULL),
	};
	struct job *job;

	if (!asked) {
		log_error("the database gave a job of a type that wasn't asked for");
		return;
	}
	texts.input = (const char *)dbr_bytea(res, row, 10, &input_len);
	texts.input_len = input_len;
	job = job_new(&id, t, &texts);
	job->priority = dbr_int2(res, row, 2);
	job->seq = dbr_int8(res, row, 3);
	job->fence = dbr_int8(res, row, 4);
	job->attempt = dbr_int4(res, row, 5);
	job->input_size = dbr_int8(res, row, 9);
	job->expires_at = dbr_null(res, row, 13) ? 0 : mono_ms() + dbr_int8(res, row, 13);
	list_append(&t->waiting, &job->link);
	t->n_waiting++;
	asked->got++;
	cursor_saw(&t->cursor, job->priority, job->seq);
	if (job->fence >= asked->last_fence) {
		asked->last_fence = job->fence;
		asked->last_priority = job->priority;
		asked->last_seq = job->seq;
	}
	if (worker.draining || t->retired)
		finish_release(job);
}

/* A row that says that a type has no more to give for now. */
static void note_cut(const PGresult *res, int row)
{
	const struct type *t = type_by_id(dbr_int4(res, row, 1));
	struct asked *asked = t ? asked_for(t) : NULL;

	if (!asked)
		return;
	asked->cut = true;
	asked->cut_ms = dbr_null(res, row, 3) ? 0 : dbr_int8(res, row, 3);
}

/* Takes in the rows in the order of their fences, which is the order of the queue. */
static void add_jobs(const PGresult *res)
{
	int n = dbr_rows(res);
	int64_t span = claim.fence_to - claim.fence_from;
	int *order;

	if (n == 0)
		return;
	order = mem_alloc((size_t)span * sizeof(*order));
	memset(order, 0xff, (size_t)span * sizeof(*order));
	for (int i = 0; i < n; i++) {
		int64_t at = dbr_null(res, i, 0) ? -1 : dbr_int8(res, i, 4) - claim.fence_from;

		if (at >= 0 && at < span)
			order[at] = i;
		else if (dbr_null(res, i, 0))
			note_cut(res, i);
	}
	for (int64_t at = 0; at < span; at++)
		if (order[at] >= 0)
			add_job(res, order[at]);
	free(order);
}

/* A type at its limit is asked for again when one of its jobs has ended here, when its rate lets one through,
 * or when others may have made room. What is left of it isn't known. */
static void plan_next_of_cut(const struct asked *a, int64_t now)
{
	struct type *t = a->type;
	int64_t wait = config.poll_ms;

	t->cut = a->cut_ms == 0;
	if (t->cut && t->ended != a->ended) /* while the claim was under way */
		t->wake = true;
	if (a->cut_ms > 0 && a->cut_ms < wait)
		wait = a->cut_ms;
	t->look_at = now + wait;
	if (claim.look_back && a->got > 0)
		cursor_looked(&t->cursor, false, !t->aged, a->last_priority, a->last_seq);
}

/* Decides when each type is to be asked for again. */
static void plan_next(int64_t now)
{
	for (size_t i = 0; i < claim.n_asked; i++) {
		const struct asked *a = &claim.asked[i];
		struct type *t = a->type;
		bool is_short = a->got < a->limit;

		if (a->cut) {
			plan_next_of_cut(a, now);
			continue;
		}
		if (!is_short)
			t->wake = true;
		if (claim.look_back) {
			cursor_looked(&t->cursor, is_short, !t->aged, a->last_priority,
				      a->last_seq);
			t->look_at = now + (t->n_held > 0 ? config.look_back_ms : config.poll_ms);
		} else if (is_short) {
			t->look_asap = true;
		}
	}
	if (claim.look_back)
		claim.look_earliest = now + LOOK_BACK_SHARE * (now - claim.sent_at);
}

static void claim_done(void *ctx, const struct db_result *r)
{
	int64_t now = mono_ms();

	(void)ctx;
	claim.under_way = false;
	if (claim.generation != worker.generation)
		return;
	if (r->outcome == DB_OK) {
		add_jobs(r->res);
		plan_next(now);
		log_debug("claimed jobs=%d look_back=%d ms=%lld", dbr_rows(r->res), claim.look_back,
			  (long long)(now - claim.sent_at));
		return;
	}
	for (size_t i = 0; i < claim.n_asked; i++)
		claim.asked[i].type->look_asap = claim.asked[i].type->wake = true;
	claim.retry_at = now + RETRY_MS;
	if (r->outcome == DB_ERROR && !strcmp(r->sqlstate, "LH001"))
		lease_lost("a claim was refused");
	else if (r->outcome == DB_ERROR)
		log_warning("a claim failed sqlstate=%s error=\"%s\"", r->sqlstate, r->message);
}

/* ---- the question ----------------------------------------------------------------------------- */

bool claim_asks_for(const struct type *t)
{
	return claim.under_way && asked_for(t) != NULL;
}

/* How many jobs of the type to ask for, if there is a reason to. */
static int claimable(const struct type *t, int64_t now)
{
	if (t->broken_until > now)
		worker_wake_at(t->broken_until);
	return t->id != 0 && !t->paused && !t->retired && now >= t->broken_until ? type_want(t) : 0;
}

/* Whether there is a reason to ask for the type. What may look back does so also for those that were woken. */
static bool is_due(const struct type *t, int64_t now, bool look_back)
{
	return t->wake || (look_back && (t->look_asap || now >= t->look_at));
}

/* Chooses the types to ask for and how many of each. Returns how many in all. */
static int choose(int64_t now, bool look_back)
{
	int left = config.claim_batch;

	if (claim.asked_cap < types.n) {
		claim.asked_cap = types.n;
		claim.asked = mem_realloc(claim.asked, types.n, sizeof(*claim.asked));
	}
	claim.n_asked = 0;
	for (size_t i = 0; i < types.n && left > 0; i++) {
		struct type *t = types.v[(claim.turn + i) % types.n];
		int want = claimable(t, now);

		if (want == 0 || !is_due(t, now, look_back))
			continue;
		if (want > left)
			want = left;
		left -= want;
		claim.asked[claim.n_asked++] = (struct asked){
			.type = t, .limit = want, .last_fence = -1, .ended = t->ended
		};
	}
	return config.claim_batch - left;
}

/* How far the queues are and who may still add below that: for the floors. */
static void horizon_done(void *ctx, const struct db_result *r)
{
	(void)ctx;
	if (r->outcome == DB_ERROR)
		log_warning("queue_horizon failed sqlstate=%s error=\"%s\"", r->sqlstate,
			    r->message);
	if (r->outcome != DB_OK)
		return;
	for (int i = 0; i < dbr_rows(r->res); i++) {
		struct type *t = type_by_id(dbr_int4(r->res, i, 0));

		if (t)
			cursor_horizon(&t->cursor, dbr_int2(r->res, i, 1), dbr_int8(r->res, i, 2),
				       dbr_int8(r->res, i, 3), dbr_int8(r->res, i, 4));
	}
}

static void ask_horizon(void)
{
	static const char sql[] =
		"SELECT type_id, priority, seq, xmax, xmin FROM longhaul.queue_horizon($1)";
	struct pgarray ids;
	struct db_params p = { 0 };

	pga_init(&ids, DB_INT4);
	for (size_t i = 0; i < types.n; i++)
		if (types.v[i]->id != 0)
			pga_int4(&ids, types.v[i]->id);
	dbp_array(&p, &ids);
	db_query(worker.claim, sql, &p, horizon_done, NULL);
	db_params_free(&p);
	pga_free(&ids);
}

static void add_entries(struct pgarray *ids, struct pgarray *priorities, struct pgarray *after,
			struct pgarray *limits, int64_t now)
{
	for (size_t i = 0; i < claim.n_asked; i++) {
		struct type *t = claim.asked[i].type;
		bool bottom = claim.look_back && now >= t->bottom_at;

		if (bottom)
			t->bottom_at = now + config.bottom_ms;
		for (size_t k = 0; k < t->cursor.n; k++) {
			const struct cursor_entry *e = &t->cursor.v[k];

			pga_int4(ids, t->id);
			pga_int2(priorities, e->priority);
			pga_int8(after, bottom ? 0 : claim.look_back ? e->floor : e->after);
			pga_int4(limits, claim.asked[i].limit);
		}
		t->wake = false;
		if (!claim.look_back)
			continue;
		t->look_asap = false;
		cursor_look(&t->cursor);
	}
}

static void send_claim(int64_t now, int total)
{
	/* How long it may live, and not until when: this host's clock may be wrong. */
	static const char sql[] =
		"SELECT job_id, type_id, priority, seq, fence, attempt, gen, client, media_type, input_size, "
		"input, traceparent, request_id, "
		"(extract(epoch FROM expires_at - clock_timestamp()) * 1000)::bigint FROM longhaul.claim($1, $2, $3, $4, $5, $6, $7)";
	struct pgarray ids, priorities, after, limits;
	struct db_params p = { 0 };

	pga_init(&ids, DB_INT4);
	pga_init(&priorities, DB_INT2);
	pga_init(&after, DB_INT8);
	pga_init(&limits, DB_INT4);
	add_entries(&ids, &priorities, &after, &limits, now);
	claim.fence_from = worker.next_fence;
	claim.fence_to = worker.next_fence += total;
	claim.generation = worker.generation;
	claim.sent_at = now;
	claim.turn++;
	dbp_uuid(&p, &worker.boot);
	dbp_int8(&p, claim.fence_from);
	dbp_array(&p, &ids);
	dbp_array(&p, &priorities);
	dbp_array(&p, &after);
	dbp_array(&p, &limits);
	dbp_bool(&p, claim.look_back);
	claim.under_way = db_query(worker.claim, sql, &p, claim_done, NULL);
	db_params_free(&p);
	pga_free(&ids);
	pga_free(&priorities);
	pga_free(&after);
	pga_free(&limits);
}

static void compared(void *ctx, const struct db_result *r)
{
	(void)ctx;
	claim.under_way = false;
	if (r->outcome == DB_OK) {
		if (dbr_int4(r->res, 0, 0) > 0)
			log_info("jobs that the database thought to be ours are put back n=%d",
				 dbr_int4(r->res, 0, 0));
		return;
	}
	if (claim.generation == worker.generation)
		claim.compare_at = mono_ms() + RETRY_MS;
	if (r->outcome == DB_ERROR)
		log_warning("release_unheld failed sqlstate=%s error=\"%s\"", r->sqlstate,
			    r->message);
}

/*
 * Has the database put back what it thinks that we hold and we don't know of: jobs of a claim whose answer was
 * lost, or whose finish a fail-over has undone. Nobody else would, while our lease holds. Nothing is being
 * claimed now, so all fences up to here are either in hand or nobody's.
 */
static void compare(int64_t now)
{
	static const char sql[] = "SELECT longhaul.release_unheld($1, $2, $3)";
	struct db_params p = { 0 };
	struct pgarray held;

	pga_init(&held, DB_INT8);
	jobs_fences(&held);
	dbp_uuid(&p, &worker.boot);
	dbp_int8(&p, worker.next_fence);
	dbp_array(&p, &held);
	claim.generation = worker.generation;
	claim.under_way = db_query(worker.claim, sql, &p, compared, NULL);
	if (claim.under_way)
		claim.compare_at = now + config.lease_ms;
	pga_free(&held);
	db_params_free(&p);
}

/* When the next look back is due. */
static void wake_for_look(int64_t now)
{
	for (size_t i = 0; i < types.n; i++) {
		const struct type *t = types.v[i];
		int64_t at = t->look_asap ? 0 : t->look_at;

		if (claimable(t, now) > 0)
			worker_wake_at(at > claim.look_earliest ? at : claim.look_earliest);
	}
}

void claim_step(int64_t now)
{
	int total;

	if (!lease_holds(now) || worker.draining || claim.under_way || !db_idle(worker.claim))
		return;
	if (now < claim.retry_at) {
		worker_wake_at(claim.retry_at);
		return;
	}
	worker_wake_at(claim.compare_at);
	if (now >= claim.compare_at) {
		compare(now);
		return;
	}
	claim.look_back = now >= claim.look_earliest;
	total = choose(now, claim.look_back);
	if (total == 0) {
		wake_for_look(now);
		return;
	}
	if (claim.look_back && now >= claim.horizon_at) {
		/* Goes ahead of the look back on the same connection. */
		ask_horizon();
		claim.horizon_at = now + config.look_back_ms / 2;
	}
	send_claim(now, total);
}
