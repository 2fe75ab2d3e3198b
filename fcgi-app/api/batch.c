/*
 * batch.c: coalescing lanes; see batch.h.
 */
#include "api/batch.h"

#include <stdlib.h>
#include <string.h>

#include <ev.h>

#include "common/log.h"
#include "common/mem.h"

static struct ev_loop *batch_loop;
static ev_prepare before_sleep;
static struct lane *lanes;
static struct db_params params; /* one statement is encoded at a time */

static void lane_done(void *ctx, const struct db_result *result);

/* Collects the next statement's items: a half that has to be tried again first, else the longest
 * prefix of the queue that fits. Returns how many. */
static size_t lane_collect(struct lane *lane)
{
	size_t n = 0;
	int64_t bytes = 0;

	if (lane->redos > 0) {
		struct lane_part *part = &lane->redo[--lane->redos];

		for (struct lane_item *it = part->head; n < part->n; it = it->next)
			lane->under_way[n++] = it;
		return n;
	}
	while (lane->head && n < lane->max_rows) {
		struct lane_item *it = lane->head;

		if (n > 0 && bytes + (int64_t)it->bytes > lane->max_bytes)
			break;
		bytes += (int64_t)it->bytes;
		lane->under_way[n++] = it;
		lane->head = it->next;
	}
	if (!lane->head)
		lane->tail = &lane->head;
	lane->waiting -= n;
	return n;
}

/* Ends all items under way with one failure. */
static void lane_fail_all(struct lane *lane, const struct db_result *why)
{
	size_t n = lane->n_under_way;

	/* The callbacks may add to the lane, but nothing is sent before the loop sleeps. */
	for (size_t i = 0; i < n; i++)
		lane->ops->fail(lane->under_way[i], why);
	lane->n_under_way = 0;
}

static void lane_pump(struct lane *lane)
{
	static const struct db_result never_sent = { .outcome = DB_LOST,
						     .sqlstate = "",
						     .message = "" };

	lane->due = false;
	if (lane->n_under_way > 0 || (!lane->head && lane->redos == 0))
		return;
	lane->n_under_way = lane_collect(lane);
	db_params_reset(&params);
	if (lane->ops->count)
		lane->ops->count(lane->n_under_way);
	lane->ops->encode(&params, lane->under_way, lane->n_under_way);
	if (!db_query(lane->db, lane->ops->sql, &params, lane_done, lane)) {
		lane_fail_all(lane, &never_sent);
		lane->due = true;
	}
}

/* True if trying a part of the items can end otherwise than trying all of them. */
static bool worth_halving(const struct db_result *result)
{
	if (result->outcome != DB_ERROR || db_is_outage(result))
		return false;
	/* Missing functions, privileges or schema meet every item alike. */
	return strncmp(result->sqlstate, "42", 2) != 0 && strncmp(result->sqlstate, "3F", 2) != 0;
}

static void push_redo(struct lane *lane, struct lane_item *const *items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		items[i]->next = i + 1 < n ? items[i + 1] : NULL;
	lane->redo[lane->redos++] = (struct lane_part){ items[0], n };
}

/* Moves the items that could not be at fault to the front; returns how many they are. */
static size_t innocents_first(struct lane *lane, const char *sqlstate)
{
	struct lane_item **items = lane->under_way, *swap;
	size_t n = 0;

	for (size_t i = 0; lane->ops->suspect && i < lane->n_under_way; i++) {
		if (lane->ops->suspect(items[i], sqlstate))
			continue;
		swap = items[n];
		items[n++] = items[i];
		items[i] = swap;
	}
	return n;
}

/* Leaves the items under way to be tried again in two parts. */
static void lane_halve(struct lane *lane, const char *sqlstate)
{
	size_t n = lane->n_under_way, first = innocents_first(lane, sqlstate);

	if (first == 0 || first == n)
		first = n / 2;
	/* A stack: the first part goes out first. */
	push_redo(lane, lane->under_way + first, n - first);
	push_redo(lane, lane->under_way, first);
	lane->n_under_way = 0;
}

static void lane_done(void *ctx, const struct db_result *result)
{
	struct lane *lane = ctx;

	lane->due = true;
	if (result->outcome == DB_OK) {
		lane->ops->deliver(lane->under_way, lane->n_under_way, result->res);
		lane->n_under_way = 0;
	} else if (lane->n_under_way > 1 && !lane->ops->whole && worth_halving(result) &&
		   lane->redos + 2 <= LANE_REDO_MAX) {
		log_warning("statement over %zu items failed, trying parts sqlstate=%s",
			    lane->n_under_way, result->sqlstate);
		lane_halve(lane, result->sqlstate);
	} else {
		lane_fail_all(lane, result);
	}
}

static void pump_lanes(struct ev_loop *loop, ev_prepare *w, int revents)
{
	(void)loop;
	(void)w;
	(void)revents;
	for (struct lane *lane = lanes; lane; lane = lane->next)
		while (lane->due)
			lane_pump(lane);
}

void batch_start(struct ev_loop *loop)
{
	batch_loop = loop;
	db_params_init(&params);
	ev_prepare_init(&before_sleep, pump_lanes);
	ev_prepare_start(loop, &before_sleep);
	ev_unref(loop); /* doesn't keep the loop alive by itself */
}

void batch_stop(void)
{
	ev_ref(batch_loop);
	ev_prepare_stop(batch_loop, &before_sleep);
	db_params_free(&params);
}

void lane_open(struct lane *lane, const struct lane_ops *ops, struct db *db, size_t max_rows,
	       int64_t max_bytes, size_t max_queue)
{
	memset(lane, 0, sizeof(*lane));
	lane->ops = ops;
	lane->db = db;
	lane->max_rows = max_rows;
	lane->max_bytes = max_bytes;
	lane->max_queue = max_queue;
	lane->tail = &lane->head;
	lane->under_way = mem_realloc(NULL, max_rows, sizeof(*lane->under_way));
	lane->next = lanes;
	lanes = lane;
}

void lane_close(struct lane *lane)
{
	for (struct lane **at = &lanes; *at; at = &(*at)->next) {
		if (*at == lane) {
			*at = lane->next;
			break;
		}
	}
	free(lane->under_way);
	lane->under_way = NULL;
}

bool lane_add(struct lane *lane, struct lane_item *item)
{
	if (!db_up(lane->db) || lane->waiting >= lane->max_queue)
		return false;
	item->next = NULL;
	*lane->tail = item;
	lane->tail = &item->next;
	lane->waiting++;
	lane->due = true;
	return true;
}

size_t lane_pending(const struct lane *lane)
{
	size_t n = lane->waiting + lane->n_under_way;

	for (int i = 0; i < lane->redos; i++)
		n += lane->redo[i].n;
	return n;
}
