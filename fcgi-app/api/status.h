/*
 * status.h: reading jobs from the database, coalesced.
 */
#ifndef LONGHAUL_API_STATUS_H
#define LONGHAUL_API_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/batch.h"
#include "common/db.h"
#include "common/ids.h"

struct app;

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
	int64_t created_ms, started_ms, ended_ms, expires_ms, progress_ms, run_at_ms;
	int32_t attempt;
	int64_t done, total; /* -1 = unknown */
	const char *message;
	size_t message_len;
	const char *error; /* a problem, JSON; NULL = none */
	size_t error_len;
	const char *result_type;      /* NULL = none */
	int64_t result_size;          /* -1 = no result */
	const unsigned char *result;  /* asked for and stored inline; else NULL */
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

/* Reads a row of status_batch() or list_jobs(). */
void job_row_read(const PGresult *res, int i, struct job_row *out);

enum status_outcome { STATUS_FOUND, STATUS_MISSING, STATUS_AWAY };

/* `row` is valid during the callback, NULL unless STATUS_FOUND. Another client's job is missing. */
typedef void status_fn(void *ctx, enum status_outcome outcome, const struct job_row *row);

#define STATUS_PRIMARY INT64_MAX /* as min_version: not from a standby */

/* One read. Owned by the caller until called back; then it can be used again. */
struct status_read {
	struct lane_item lane;
	struct uuid id;
	const char *client;
	int64_t min_version; /* a standby that is behind this doesn't answer */
	status_fn *done;
	void *ctx;
	bool primary; /* set here: the standby was asked already */
};

enum status_lane {
	STATUS_POLL,   /* the document; from a standby if there is one */
	STATUS_RESULT, /* with a result that is stored inline */
	STATUS_TICK,   /* many and not urgent */
	STATUS_LANES,
};

void status_start(struct app *a);
void status_stop(void);
/* False: the database is away, `done` isn't called. Never calls back from inside. */
bool status_get(struct status_read *read, enum status_lane lane);
size_t status_pending(void);

#endif
