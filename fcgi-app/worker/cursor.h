/*
 * cursor.h: where to go on claiming, per priority of one job type.
 *
 * A claim asks for jobs behind the last one that it got (`after`), so that it needn't walk over the
 * dead rows of those claimed before. Below that may still be jobs: of a transaction that drew a lower
 * number and commits later, or requeued ones. So there is a look back now and then, from `floor` on:
 * all below it is known to be settled.
 *
 * The floor rises by the horizon: once every transaction that could have drawn a number up to S has
 * ended, a look back that finds no more jobs up to S shows that there never will be any.
 */
#ifndef LONGHAUL_WORKER_CURSOR_H
#define LONGHAUL_WORKER_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CURSOR_PRIORITIES 201 /* -100…100 */

struct cursor_entry {
	int64_t after; /* highest number claimed */
	int64_t floor; /* nothing is left up to here */
	int16_t priority;
};

struct cursor {
	struct cursor_entry *v; /* highest priority first */
	size_t n, cap;
};

/* Back to the beginning: priority 0 only, from the bottom. */
void cursor_reset(struct cursor *c);
void cursor_free(struct cursor *c);

/* A job of that priority and number was claimed. Numbers below zero are requeued jobs: they have a lane of
 * their own that a look back reads whole. */
void cursor_saw(struct cursor *c, int16_t priority, int64_t seq);

/* A look back from the floors, made when the horizon was at `settled`, has returned. If it was short
 * (fewer jobs than asked for) then nothing is left up to `settled`; else nothing is left of the
 * priorities above its last row, and of that one up to its number. */
void cursor_looked(struct cursor *c, int64_t settled, bool is_short, int16_t last_priority,
		   int64_t last_seq);

/* The floor of a priority; 0 if it isn't known. */
int64_t cursor_floor(const struct cursor *c, int16_t priority);

/* The horizon: a number up to which all transactions that drew one have ended. */
struct horizon {
	int64_t settled;
	bool pending; /* the two below are waiting for their transactions to end */
	int64_t next, next_xmax;
};

/* Takes in what the database says now: the last number drawn, the first transaction id not yet given,
 * and the oldest one still running. */
void horizon_update(struct horizon *h, int64_t last_seq, int64_t xmax, int64_t xmin);

#endif
