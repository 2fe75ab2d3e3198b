/*
 * outcome.h: how a job ended, as it will be written to the database.
 */
#ifndef LONGHAUL_WORKER_OUTCOME_H
#define LONGHAUL_WORKER_OUTCOME_H

#include "common/wire.h"
#include "job.h"

/* From a runner's answer. If the job had been told to stop, the reason counts, unless it got done. */
void outcome_from_answer(struct job *job, const struct wire_done *done);

/* Of a job that was begun and whose runner is gone: killed by us because it didn't stop, or died. `how`:
 * "signal 11". */
void outcome_of_death(struct job *job, const char *how);

/* Without the handler's doing. `detail` may be NULL. Takes the place of an earlier outcome. */
void outcome_set(struct job *job, enum verdict verdict);
void outcome_fail(struct job *job, const char *type, const char *title, const char *detail);

#endif
