/*
 * jobrow.c: one job as the database returns it.
 */
#include "api/jobrow.h"

#include <string.h>

bool job_ended(const struct job_row *row)
{
	return row->status >= JOB_COMPLETED;
}

static const char *const words[] = {
	"", "Queued", "InProgress", "Completed", "Failed", "Canceled"
};

const char *job_status_word(enum job_status status)
{
	return words[status];
}

enum job_status job_status_of(const char *word)
{
	for (int i = JOB_QUEUED; i <= JOB_CANCELED; i++)
		if (strcmp(word, words[i]) == 0)
			return (enum job_status)i;
	return 0;
}

/* Columns of status_batch() and list_jobs(). */
enum {
	C_ORD,
	C_JOB_ID,
	C_TYPE_ID,
	C_STATUS,
	C_VERSION,
	C_CREATED_AT,
	C_STARTED_AT,
	C_ENDED_AT,
	C_EXPIRES_AT,
	C_ATTEMPT,
	C_DONE,
	C_TOTAL,
	C_MESSAGE,
	C_PROGRESS_AT,
	C_ERROR,
	C_RESULT_MEDIA_TYPE,
	C_RESULT_SIZE,
	C_RESULT,
	C_SEQ,
	C_PRIORITY,
	C_RUN_AT,
	C_INPUT_SIZE,
	C_CANCEL_REQUESTED,
	C_RESULT_GEN,
	C_START_BY,
	N_COLUMNS
};
_Static_assert(N_COLUMNS == JOB_COLUMNS, "what stands behind a job's columns is found there");

static int64_t int8_or_unknown(const PGresult *res, int i, int col)
{
	return dbr_null(res, i, col) ? -1 : dbr_int8(res, i, col);
}

static int64_t ms_or_none(const PGresult *res, int i, int col)
{
	return dbr_null(res, i, col) ? 0 : dbr_ms(res, i, col);
}

static const char *text_or_null(const PGresult *res, int i, int col, size_t *len)
{
	*len = 0;
	return dbr_null(res, i, col) ? NULL : dbr_text(res, i, col, len);
}

void job_row_read(const PGresult *res, int i, struct job_row *out)
{
	size_t len;
	int16_t status = dbr_int2(res, i, C_STATUS);

	out->id = dbr_uuid(res, i, C_JOB_ID);
	out->type_id = dbr_int4(res, i, C_TYPE_ID);
	out->status = status >= JOB_QUEUED && status <= JOB_CANCELED ? (enum job_status)status
								     : JOB_QUEUED;
	out->version = dbr_int8(res, i, C_VERSION);
	out->created_ms = ms_or_none(res, i, C_CREATED_AT);
	out->started_ms = ms_or_none(res, i, C_STARTED_AT);
	out->ended_ms = ms_or_none(res, i, C_ENDED_AT);
	out->expires_ms = ms_or_none(res, i, C_EXPIRES_AT);
	out->attempt = dbr_int4(res, i, C_ATTEMPT);
	out->done = int8_or_unknown(res, i, C_DONE);
	out->total = int8_or_unknown(res, i, C_TOTAL);
	out->message = text_or_null(res, i, C_MESSAGE, &out->message_len);
	out->progress_ms = ms_or_none(res, i, C_PROGRESS_AT);
	out->error = text_or_null(res, i, C_ERROR, &out->error_len);
	out->result_type = text_or_null(res, i, C_RESULT_MEDIA_TYPE, &len);
	out->result_size = int8_or_unknown(res, i, C_RESULT_SIZE);
	out->result = dbr_bytea(res, i, C_RESULT, &out->result_len);
	out->seq = dbr_int8(res, i, C_SEQ);
	out->priority = dbr_int2(res, i, C_PRIORITY);
	out->run_at_ms = ms_or_none(res, i, C_RUN_AT);
	out->input_size = dbr_int8(res, i, C_INPUT_SIZE);
	out->cancel_requested = dbr_bool(res, i, C_CANCEL_REQUESTED);
	out->result_gen = dbr_null(res, i, C_RESULT_GEN) ? -1 : dbr_int4(res, i, C_RESULT_GEN);
	out->start_by_ms = ms_or_none(res, i, C_START_BY);
}
