/*
 * batch.h: coalescing. While one statement of a lane is under way, what arrives queues up; when it
 * returns, all of it goes out as the next one, over arrays. Nobody waits for a timer: a lone item
 * goes when the loop is about to sleep.
 *
 * When the database refuses a statement over several items, the items are tried again in halves,
 * down to the one at fault, which alone fails.
 */
#ifndef LONGHAUL_API_BATCH_H
#define LONGHAUL_API_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/db.h"

struct ev_loop;

/* First member of whatever travels in a lane; the memory stays the caller's until called back. */
struct lane_item {
	struct lane_item *next;
	size_t bytes; /* counts against the lane's max_bytes */
};

struct lane_ops {
	const char *sql; /* static */
	/* Adds the statement's parameters for these items. */
	void (*encode)(struct db_params *params, struct lane_item *const *items, size_t n);
	/* The statement succeeded: answers every item. */
	void (*deliver)(struct lane_item *const *items, size_t n, const PGresult *res);
	/* May be NULL: could this item be why a statement over several failed? Those that could not are
	 * tried again together, before the halving. */
	bool (*suspect)(const struct lane_item *item, const char *sqlstate);
	/* This item failed, alone or with all the others. */
	void (*fail)(struct lane_item *item, const struct db_result *why);
	bool whole; /* never in parts */
	/* May be NULL: told over how many items each statement is. */
	void (*count)(size_t n);
};

struct lane_part {
	struct lane_item *head;
	size_t n;
};

/* Depth of the halving: each step leaves one half behind, and max_rows is at most 2^20. */
#define LANE_REDO_MAX 24

struct lane {
	const struct lane_ops *ops;
	struct db *db;
	size_t max_rows, max_queue;
	int64_t max_bytes;
	struct lane_item *head, **tail; /* waiting */
	size_t waiting;
	struct lane_part redo[LANE_REDO_MAX];
	int redos;
	struct lane_item **under_way; /* max_rows places */
	size_t n_under_way;
	bool due; /* something may be sendable */
	struct lane *next;
};

/* Once, before the first lane. */
void batch_start(struct ev_loop *loop);
void batch_stop(void);

void lane_open(struct lane *lane, const struct lane_ops *ops, struct db *db, size_t max_rows,
	       int64_t max_bytes, size_t max_queue);
/* Frees the lane's own memory; the database connection has been closed, so nothing is under way. */
void lane_close(struct lane *lane);
/* False: the connection is down or the queue is full; the item was not taken. Calls back later,
 * never from inside. */
bool lane_add(struct lane *lane, struct lane_item *item);
size_t lane_pending(const struct lane *lane); /* items not yet called back */

#endif
