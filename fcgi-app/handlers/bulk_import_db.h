/*
 * bulk_import_db.h: the conversation with the database of one import.
 *
 * All that an import writes is one transaction: rows go into a staging table, and its last function
 * merges them, stores the result and ends the job, all under the job's fence. The connection is the
 * runner's own and is kept from job to job. Every wait ends early when the job is to stop.
 */
#ifndef LONGHAUL_HANDLERS_BULK_IMPORT_DB_H
#define LONGHAUL_HANDLERS_BULK_IMPORT_DB_H

#include <longhaul/handler.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum import_outcome {
	IMPORT_OK,
	IMPORT_STOPPED, /* lh_cancelled(), or the lease is lost: nothing was written */
	IMPORT_AGAIN,   /* the database is away or busy */
	IMPORT_FAILED,  /* it refused: has been logged */
};

struct import_db;

struct import_db *import_db_new(const char *conninfo);
void import_db_free(struct import_db *db);

/* Opens the transaction for the job, and the staging table for its rows. */
enum import_outcome import_db_begin(struct import_db *db, struct lh_job *job);

/* Sends rows, as they were encoded by import_copy_row. */
enum import_outcome import_db_rows(struct import_db *db, const char *data, size_t len);

/* After the last row: merges, ends the job and commits. */
enum import_outcome import_db_finish(struct import_db *db, int64_t ran_ms);

/* Undoes what import_db_begin began. After anything but a successful finish. */
void import_db_abandon(struct import_db *db);

#endif
