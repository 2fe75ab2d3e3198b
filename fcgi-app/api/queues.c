/*
 * queues.c: what the process remembers of the queues' state, and waking the workers.
 */
#include "api/queues.h"

#include <stdlib.h>
#include <string.h>

#include <ev.h>

#include "api/app.h"
#include "api/durations.h"
#include "api/fair.h"
#include "api/wait.h"
#include "common/db.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/times.h"

/* A queue this deep keeps the workers busy: they look for more by themselves. */
#define DEEP 2000
/* Estimates are made from a state of up to this age. */
#define USABLE_MS 60000
/* How much rarer they are told then. */
#define DEEP_FACTOR 10

struct queue {
	int32_t type_id;
	struct queue_view view;
};

static struct app *owner;
static struct queue *queues;
static int n_queues;
static int64_t asked_at, known_at; /* monotonic; 0 = never */
static bool asking;

static struct pgarray woken; /* types to be told about */
static int32_t *woken_ids;
static int n_woken, cap_woken;
static bool waking;
static int64_t woke_at;
static ev_timer wake_timer;

static struct queue *find_queue(int32_t type_id)
{
	for (int i = 0; i < n_queues; i++)
		if (queues[i].type_id == type_id)
			return &queues[i];
	return NULL;
}

static void state_came(void *ctx, const struct db_result *result)
{
	int n;

	(void)ctx;
	asking = false;
	if (result->outcome != DB_OK) {
		if (result->outcome == DB_ERROR)
			log_warning("queue state can't be read sqlstate=%s", result->sqlstate);
		return;
	}
	n = dbr_rows(result->res);
	queues = mem_realloc(queues, (size_t)n + 1, sizeof(*queues));
	n_queues = n;
	for (int i = 0; i < n; i++) {
		const PGresult *res = result->res;
		struct queue *q = &queues[i];

		q->type_id = dbr_int4(res, i, 0);
		q->view.known = true;
		q->view.depth = dbr_int4(res, i, 1);
		q->view.running = dbr_int4(res, i, 2);
		q->view.head_age_ms = dbr_int8(res, i, 3);
		q->view.mean_ms = dbr_null(res, i, 4) ? -1 : dbr_float8(res, i, 4);
		q->view.per_s = dbr_float8(res, i, 5);
		q->view.workers = dbr_int4(res, i, 6);
		q->view.slots = dbr_int4(res, i, 7);
		q->view.head_seq = dbr_null(res, i, 8) ? 0 : dbr_int8(res, i, 8);
		q->view.last_seq = dbr_null(res, i, 9) ? 0 : dbr_int8(res, i, 9);
		q->view.as_of_ms = now_ms();
	}
	known_at = mono_ms();
	wait_reconsider();
}

static void ask_state(int64_t now)
{
	if (asking || (asked_at && now - asked_at < owner->cfg->state_refresh_ms))
		return;
	asked_at = now;
	asking = db_query(owner->side, "SELECT * FROM longhaul.queue_state()", NULL, state_came,
			  NULL);
}

/* For estimates an older state is better than none; for decisions it must be of now. */
static bool usable(int64_t now)
{
	return known_at && now - known_at < USABLE_MS;
}

static bool fresh(int64_t now)
{
	return known_at && now - known_at < 2 * (int64_t)owner->cfg->state_refresh_ms;
}

const struct queue_view *queue_view_of(int32_t type_id)
{
	static const struct queue_view unknown = { .mean_ms = -1 };
	int64_t now = mono_ms();
	struct queue *q;

	ask_state(now);
	q = usable(now) ? find_queue(type_id) : NULL;
	return q ? &q->view : &unknown;
}

/* How many jobs a new one of the client would have before it: its turn is the next, or comes after those that the
 * client has waiting. */
static double ahead_of_new(const struct queue_view *view, int32_t type_id, const char *client)
{
	int64_t turn = view->head_seq >> PLACE_TURN_BITS, last = fair_last(type_id, 0, client);
	double ahead;

	if (last > turn)
		turn = last;
	ahead = pace_ahead(view, view->depth, (turn + 1) << PLACE_TURN_BITS);
	return ahead < 0 ? view->depth : ahead;
}

enum queue_verdict queue_too_deep(const struct job_type *type, const char *client,
				  int64_t budget_ms, bool asked)
{
	const struct queue_view *view = queue_view_of(type->type_id);
	double usual = view->mean_ms >= 0 ? view->mean_ms : type->default_estimate_ms;

	if (type->paused)
		return QUEUE_TOO_DEEP;
	if (!fresh(mono_ms()))
		return QUEUE_ASKED;
	if (view->depth <= view->slots)
		return QUEUE_FINE;
	if (view->workers == 0)
		return asked ? QUEUE_FINE : QUEUE_TOO_DEEP; /* one may come */
	if (usual < 0 && asked)
		return QUEUE_FINE;
	return pace_wait_ms(view, ahead_of_new(view, type->type_id, client), usual) > budget_ms
		       ? QUEUE_TOO_DEEP
		       : QUEUE_FINE;
}

bool queue_is_full(const struct job_type *type)
{
	const struct queue_view *view;

	if (type->max_queued < 0)
		return false;
	view = queue_view_of(type->type_id);
	return view->known && fresh(mono_ms()) && view->depth >= type->max_queued;
}

void queue_pace(const struct job_row *row, const struct job_type *type, struct pace *out)
{
	struct queue_view view = *queue_view_of(row->type_id);

	view.usual_ms = duration_of(row->type_id, row->input_size);
	pace_compute(row, type, &view, now_ms(), random_below(1001), out);
}

static void woke(void *ctx, const struct db_result *result)
{
	(void)ctx;
	waking = false;
	if (result->outcome == DB_ERROR)
		log_warning("workers can't be woken sqlstate=%s", result->sqlstate);
}

/* Tells the workers now. If the connection is away they find the jobs by their own polling. */
static void wake_now(void)
{
	struct db_params params = { 0 };

	pga_reset(&woken);
	for (int i = 0; i < n_woken; i++)
		pga_int4(&woken, woken_ids[i]);
	n_woken = 0;
	woke_at = mono_ms();
	db_params_init(&params);
	dbp_array(&params, &woken);
	waking = db_query(owner->side, "SELECT longhaul.wake($1)", &params, woke, NULL);
	db_params_free(&params);
}

static void wake_due(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop;
	(void)w;
	(void)revents;
	if (n_woken > 0)
		wake_now();
}

/* Least time between two wakes: longer while the workers have plenty to do anyway. */
static int64_t wake_interval(int32_t type_id)
{
	const struct queue *q = fresh(mono_ms()) ? find_queue(type_id) : NULL;

	if (q && q->view.depth >= DEEP && q->view.running >= q->view.slots)
		return (int64_t)owner->cfg->wake_ms * DEEP_FACTOR;
	return owner->cfg->wake_ms;
}

void queue_wake(int32_t type_id)
{
	int64_t wait;

	for (int i = 0; i < n_woken; i++)
		if (woken_ids[i] == type_id)
			return; /* will be told with the others */
	if (n_woken == cap_woken) {
		cap_woken = cap_woken ? 2 * cap_woken : 16;
		woken_ids = mem_realloc(woken_ids, (size_t)cap_woken, sizeof(*woken_ids));
	}
	woken_ids[n_woken++] = type_id;
	if (ev_is_active(&wake_timer))
		return;
	wait = woke_at + wake_interval(type_id) - mono_ms();
	if (wait <= 0 && !waking) {
		wake_now();
		return;
	}
	ev_timer_set(&wake_timer, (double)(wait > 1 ? wait : 1) / 1000, 0.);
	ev_timer_start(owner->loop, &wake_timer);
}

void queues_start(struct app *a)
{
	owner = a;
	pga_init(&woken, DB_INT4);
	ev_timer_init(&wake_timer, wake_due, 0., 0.);
}

void queues_stop(void)
{
	ev_timer_stop(owner->loop, &wake_timer);
	pga_free(&woken);
	free(woken_ids);
	free(queues);
	woken_ids = NULL;
	queues = NULL;
	n_queues = n_woken = cap_woken = 0;
}
