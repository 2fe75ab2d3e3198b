/*
 * cursor.h: where to go on claiming, per priority of one job type.
 *
 * A claim asks for jobs behind the last one that it got (`after`), so that it needn't walk over the
 * dead rows of those claimed before. Below that may still be jobs: those of clients whose turn comes before that
 * of who has many waiting, of a transaction that read the queue's clock long ago, or requeued ones. So there are
 * looks back, from `floor` on: all below it is known to be settled.
 *
 * The floor rises by the horizon: once every transaction that could have read the clock before it showed S has
 * ended, a look back that finds no more jobs up to S shows that there never will be any.
 */
#ifndef LONGHAUL_WORKER_CURSOR_H
#define LONGHAUL_WORKER_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CURSOR_PRIORITIES 201 /* -100…100 */

/* The horizon: a place up to which all transactions that could still add one have ended. */
struct horizon {
	int64_t settled;
	bool pending; /* the two below are waiting for their transactions to end */
	int64_t next, next_xmax;
};

struct cursor_entry {
	int64_t after; /* highest place claimed */
	int64_t floor; /* nothing is left up to here */
	struct horizon horizon;
	int64_t looking; /* the horizon's `settled` when the look back under way was sent */
	int16_t priority;
};

struct cursor {
	struct cursor_entry *v; /* highest priority first */
	size_t n, cap;
};

/* Back to the beginning: priority 0 only, from the bottom. */
void cursor_reset(struct cursor *c);
void cursor_free(struct cursor *c);

/* A job of that priority and place was claimed. Places below zero are requeued jobs: they have a lane of
 * their own that a look back reads whole. */
void cursor_saw(struct cursor *c, int16_t priority, int64_t seq);

/* A look back from the floors is about to be sent: what is settled now will be what it finds to be empty. */
void cursor_look(struct cursor *c);

/* The look back has returned, with this as its last row; ask cursor_saw() about the others first. If it was short
 * (fewer jobs than asked for) then nothing is left up to what was settled; else nothing is left of the
 * priorities above its last row, and of that one up to its place. `strict`: it went strictly by
 * priority; else a full one says nothing about the other priorities. */
void cursor_looked(struct cursor *c, bool is_short, bool strict, int16_t last_priority,
		   int64_t last_seq);

/* The floor of a priority; 0 if it isn't known. */
int64_t cursor_floor(const struct cursor *c, int16_t priority);

/* Takes in what the database says now of a priority: the place up to which its clock has gone, the first
 * transaction id not yet given, and the oldest one still running. */
void cursor_horizon(struct cursor *c, int16_t priority, int64_t seq, int64_t xmax, int64_t xmin);
void horizon_update(struct horizon *h, int64_t seq, int64_t xmax, int64_t xmin);

#endif
