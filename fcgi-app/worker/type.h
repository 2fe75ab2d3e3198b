/*
 * type.h: the job types that this worker serves.
 */
#ifndef LONGHAUL_WORKER_TYPE_H
#define LONGHAUL_WORKER_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "cursor.h"
#include "history.h"
#include "list.h"
#include "settings.h"

struct type {
	char *name;
	struct type_config cfg;
	struct buf settings; /* the handler's keys: key NUL value NUL …, ended by an empty key */

	bool retired; /* its section is gone: what runs may end, then it is removed */

	/* from the database */
	int32_t id; /* 0 = it has no such type */
	int32_t timeout_ms;
	bool paused, missing_said;
	bool limited; /* over all hosts: nothing is claimed ahead */
	bool aged;    /* claims don't go strictly by priority */

	/* claims: see claim.c */
	struct cursor cursor;
	bool wake;      /* there may be jobs behind the cursor */
	bool look_asap; /* a claim came back short */
	bool cut; /* the last claim met the limit over all hosts: the next job that ends makes room */
	unsigned int ended; /* jobs that were held and are no more */
	int64_t look_at;    /* next regular look back */
	int64_t bottom_at;  /* next one from the very bottom */

	/* jobs in hand */
	struct link waiting;            /* claimed, not handed to a runner */
	int64_t held_bytes;             /* memory of the jobs held */
	int n_waiting, n_given, n_held; /* held: also those whose outcome isn't committed yet */

	int64_t stuck_since; /* jobs wait and none could be handed out; 0 = they can */
	bool stuck;          /* that was for long: no more than the slots are held */

	/* runners */
	struct link runners;
	int n_runners;
	int start_failures;   /* in a row */
	int64_t broken_until; /* its runners don't start: not tried again before */

	/* speed */
	double mean_us;    /* of the handler, recent jobs weigh more; < 0 = unknown */
	double mean_bytes; /* memory of a job, recent ones weigh more */
	int64_t finished, finished_at_beat;
	struct history history;
};

/* All types, in the order of the file. */
struct types {
	struct type **v;
	size_t n;
};

extern struct types types;

/* A new type of that name, in `types`, for its section to fill. */
struct type *type_add(const char *name);
void types_free(void);
/* Frees a type that is in no table. */
void type_free(struct type *t);

struct type *type_by_id(int32_t id);
struct type *type_by_name(const char *name);

/* Takes the time that a job's handler took into the mean. */
void type_ran(struct type *t, int64_t us);

/* A job of that many bytes is held, or no more (bytes < 0). */
void type_holds(struct type *t, int64_t bytes);

/* How many jobs may be held in all: the slots and what they will run in the next prefetch_ms. */
int type_capacity(const struct type *t);

/* How many jobs one runner may hold at a time: several if they are short. */
int type_batch(const struct type *t);

/* How many jobs should be claimed now; 0 while it isn't worth a statement. */
int type_want(const struct type *t);

#endif
