/*
 * chores.h: what workers do for the database beside jobs: taking over from dead hosts, moving
 * delayed jobs, making recurring ones, upkeep; and reading the job types.
 */
#ifndef LONGHAUL_WORKER_CHORES_H
#define LONGHAUL_WORKER_CHORES_H

#include <stdint.h>

void chores_step(int64_t now);
/* A job may have been delayed: looks when the next is due. */
void chores_promote(void);
/* Nobody is taken for dead before that. */
void chores_spare_others(int64_t until);
/* The job types have changed. */
void chores_read_types(void);

#endif
