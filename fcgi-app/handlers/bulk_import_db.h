/*
 * bulk_import_db.h: the conversation with the database of one import.
 *
 * All that an import writes is one transaction: rows go into a staging table, and its last function
 * merges them, stores the result and ends the job, all under the job's fence.
 */
#ifndef LONGHAUL_HANDLERS_BULK_IMPORT_DB_H
#define LONGHAUL_HANDLERS_BULK_IMPORT_DB_H

#include "job_db.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct import_db;

struct import_db *import_db_new(const char *conninfo);
void import_db_free(struct import_db *im);

/* Opens the transaction for the job, and the staging table for its rows. */
enum job_db_outcome import_db_begin(struct import_db *im, struct lh_job *job);

/* Sends rows, as they were encoded by import_copy_row. */
enum job_db_outcome import_db_rows(struct import_db *im, const char *data, size_t len);

/* After the last row: merges, ends the job and commits. */
enum job_db_outcome import_db_finish(struct import_db *im, int64_t ran_ms);

/* Undoes what import_db_begin began. After anything but a successful finish. */
void import_db_abandon(struct import_db *im);

#endif
