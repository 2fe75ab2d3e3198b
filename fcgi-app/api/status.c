/*
 * status.c: reading jobs from the database, coalesced.
 */
#include "api/status.h"

#include <string.h>

#include "api/app.h"
#include "common/log.h"

/* Inline results are up to 64 KiB each: fewer rows at once keep a statement's answer small. */
#define RESULT_ROWS 64

static struct lane lanes[STATUS_LANES];
static struct lane replica_lane;
static bool with_replica;
static struct pgarray ids, clients; /* one statement is encoded at a time */

bool job_ended(const struct job_row *row)
{
	return row->status >= JOB_COMPLETED;
}

static const char *const words[] = { "", "Queued", "InProgress", "Completed", "Failed", "Canceled" };

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
};

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
	out->status = status >= JOB_QUEUED && status <= JOB_CANCELED ? (enum job_status)status : JOB_QUEUED;
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
}

static void encode(struct db_params *params, struct lane_item *const *items, size_t n, bool with_result)
{
	pga_reset(&ids);
	pga_reset(&clients);
	for (size_t i = 0; i < n; i++) {
		const struct status_read *read = (const struct status_read *)items[i];

		pga_uuid(&ids, &read->id);
		pga_text(&clients, read->client);
	}
	dbp_array(params, &ids);
	dbp_array(params, &clients);
	dbp_bool(params, with_result);
}

static void encode_plain(struct db_params *params, struct lane_item *const *items, size_t n)
{
	encode(params, items, n, false);
}

static void encode_with_result(struct db_params *params, struct lane_item *const *items, size_t n)
{
	encode(params, items, n, true);
}

static void finish(struct status_read *read, enum status_outcome outcome, const struct job_row *row)
{
	read->done(read->ctx, outcome, row);
}

/* True if the read was handed on to the primary, because the standby doesn't have the job or only
 * an older version of it than the client has seen. */
static bool ask_primary(struct status_read *read, const struct job_row *row)
{
	if (!with_replica || read->primary || (row && row->version >= read->min_version))
		return false;
	read->primary = true;
	return lane_add(&lanes[STATUS_POLL], &read->lane);
}

/* Rows come for found jobs only, in any order; ord counts the items from 1. */
static void deliver(struct lane_item *const *items, size_t n, const PGresult *res)
{
	int rows = dbr_rows(res);
	int row_of[n];
	struct job_row row;

	memset(row_of, 0xff, n * sizeof(row_of[0]));
	for (int i = 0; i < rows; i++) {
		int32_t ord = dbr_int4(res, i, C_ORD);

		if (ord >= 1 && (size_t)ord <= n)
			row_of[ord - 1] = i;
	}
	for (size_t k = 0; k < n; k++) {
		struct status_read *read = (struct status_read *)items[k];

		if (row_of[k] >= 0)
			job_row_read(res, row_of[k], &row);
		if (!ask_primary(read, row_of[k] >= 0 ? &row : NULL))
			finish(read, row_of[k] >= 0 ? STATUS_FOUND : STATUS_MISSING, row_of[k] >= 0 ? &row : NULL);
	}
}

static void fail(struct lane_item *item, const struct db_result *why)
{
	struct status_read *read = (struct status_read *)item;

	if (with_replica && !read->primary) {
		read->primary = true;
		if (lane_add(&lanes[STATUS_POLL], &read->lane))
			return;
	}
	if (why->outcome == DB_ERROR)
		log_warning("reading a job failed: sqlstate=%s", why->sqlstate);
	finish(read, STATUS_AWAY, NULL);
}

#define STATUS_SQL "SELECT * FROM longhaul.status_batch($1, $2, $3)"

static const struct lane_ops plain_ops = { STATUS_SQL, encode_plain, deliver, fail };
static const struct lane_ops result_ops = { STATUS_SQL, encode_with_result, deliver, fail };

void status_start(struct app *a)
{
	size_t rows = (size_t)a->cfg->batch_rows, max = (size_t)a->cfg->queue_max;

	pga_init(&ids, DB_UUID);
	pga_init(&clients, DB_TEXT);
	lane_open(&lanes[STATUS_POLL], &plain_ops, a->read, rows, INT64_MAX, max);
	lane_open(&lanes[STATUS_RESULT], &result_ops, a->read, rows < RESULT_ROWS ? rows : RESULT_ROWS, INT64_MAX, max);
	lane_open(&lanes[STATUS_TICK], &plain_ops, a->side, rows, INT64_MAX, max);
	with_replica = a->replica != NULL;
	if (with_replica)
		lane_open(&replica_lane, &plain_ops, a->replica, rows, INT64_MAX, max);
}

void status_stop(void)
{
	for (int i = 0; i < STATUS_LANES; i++)
		lane_close(&lanes[i]);
	if (with_replica)
		lane_close(&replica_lane);
	pga_free(&ids);
	pga_free(&clients);
}

bool status_get(struct status_read *read, enum status_lane lane)
{
	read->primary = true;
	if (lane == STATUS_POLL && with_replica && read->min_version != STATUS_PRIMARY) {
		read->primary = false;
		if (lane_add(&replica_lane, &read->lane))
			return true;
		read->primary = true;
	}
	return lane_add(&lanes[lane], &read->lane);
}

size_t status_pending(void)
{
	size_t n = with_replica ? lane_pending(&replica_lane) : 0;

	for (int i = 0; i < STATUS_LANES; i++)
		n += lane_pending(&lanes[i]);
	return n;
}
