/*
 * pool.h: all runners: who is started, stopped, killed and buried, and what that means for jobs.
 */
#ifndef LONGHAUL_WORKER_POOL_H
#define LONGHAUL_WORKER_POOL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "job.h"

struct type;
struct runner;

void pool_open(void); /* begins to watch for children that end */
void pool_step(int64_t now);
/* Whether this is one of our runners. */
bool pool_has(pid_t pid);
/* Runners have got work: they are to be looked at each tick_ms. */
void pool_watch(int64_t now);

/* Time limit of a type's jobs in milliseconds; 0 = none. */
int64_t pool_timeout(const struct type *t);

/* Ends the job: at once if it hasn't begun, else its handler is told, and killed after its grace. The job
 * may be freed in here. */
void pool_stop(struct job *job, enum stop_reason why);
void pool_cancel(const struct uuid *id);
/* The job's lease is gone: its handler is killed, nothing is written. */
void pool_lost(struct job *job);

/* The type's configuration has changed: all its runners end once their jobs have, or as many as there are
 * too many. What they haven't begun waits again. */
void pool_retire(struct type *t);
void pool_shrink(struct type *t);

/* Takes back all that hasn't begun. */
void pool_withdraw_all(void);
/* Stops all that has begun. */
void pool_stop_all(enum stop_reason why);
/* Kills all runners and forgets their jobs, which the caller frees. */
void pool_kill_all(void);

/* The same at the end of the program, and waits for them. */
void pool_close(void);

/* A runner is dead and all it sent was handled: decides about the jobs that it held. `how`: "signal 9". */
void pool_bury(struct runner *r, const char *how);

#endif
