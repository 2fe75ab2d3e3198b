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

/* Adds what its handler has logged; `cut`: more came before that, which is lost. The text may be anything. */
void outcome_add_log(struct job *job, const char *text, size_t len, bool cut);

/* Without the handler's doing. `detail` may be NULL. Takes the place of an earlier outcome. */
void outcome_set(struct job *job, enum verdict verdict);
void outcome_fail(struct job *job, const char *type, const char *title, const char *detail);

/* Writes what the outcome brings to the spool; false if there is no room. Once that has been synced,
 * outcome_spilled() frees it here, or (kept false) forgets that it was written. */
bool outcome_spill(struct job *job);
void outcome_spilled(struct job *job, bool kept);
/* Has it in memory again. False: it can't be read. */
bool outcome_load(struct job *job);

#endif
