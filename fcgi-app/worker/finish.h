/*
 * finish.h: writes outcomes to the database, in batches.
 */
#ifndef LONGHAUL_WORKER_FINISH_H
#define LONGHAUL_WORKER_FINISH_H

#include <stdbool.h>
#include <stdint.h>

#include "job.h"

/* The job has its outcome (outcome.h) and is in no list any more: it waits to be written. */
void finish_add(struct job *job);
/* The same with the verdict "released", for a job that waits in its type's list. */
void finish_release(struct job *job);

void finish_step(int64_t now);
void finish_up(void); /* the connection came up */

/* True while so much waits to be written that no job should be begun. */
bool finish_is_full(void);
/* True when nothing waits to be written or is being written. */
bool finish_is_empty(void);

/* The lease is lost: what is being written is let go when its answer comes. Called before
 * jobs_drop_all(). */
void finish_forget(void);

int64_t finish_count(void); /* jobs ended so far */

#endif
