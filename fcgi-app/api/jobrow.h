/*
 * jobrow.h: one job as the database returns it.
 */
#ifndef LONGHAUL_API_JOBROW_H
#define LONGHAUL_API_JOBROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/db.h"
#include "common/ids.h"

enum job_status {
	JOB_QUEUED = 1,
	JOB_IN_PROGRESS = 2,
	JOB_COMPLETED = 3,
	JOB_FAILED = 4,
	JOB_CANCELED = 5,
};

/* One job as the database returns it. Times are Unix ms, 0 = none. Texts point into the result
 * that it was read from. */
struct job_row {
	struct uuid id;
	int32_t type_id;
	enum job_status status;
	int64_t version;
	int64_t created_ms, started_ms, ended_ms, expires_ms, progress_ms, run_at_ms, start_by_ms;
	int32_t attempt;
	int64_t done, total; /* -1 = unknown */
	const char *message;
	size_t message_len;
	const char *error; /* a problem, JSON; NULL = none */
	size_t error_len;
	const char *result_type;     /* NULL = none */
	int64_t result_size;         /* -1 = no result */
	const unsigned char *result; /* asked for and stored inline; else NULL */
	size_t result_len;
	int32_t result_gen; /* -1 = no result */
	int64_t seq;
	int16_t priority;
	int64_t input_size;
	bool cancel_requested;
};

bool job_ended(const struct job_row *row);
/* The word on the wire, and back (0 = no such word). */
const char *job_status_word(enum job_status status);
enum job_status job_status_of(const char *word);

/* Reads a row of status_batch() or list_jobs(). Their other columns stand behind a job's. */
#define JOB_COLUMNS 25
void job_row_read(const PGresult *res, int i, struct job_row *out);

#endif
