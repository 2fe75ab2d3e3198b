/*
 * status.c: reading jobs from the database, coalesced.
 */
#include "api/status.h"

#include <string.h>

#include "api/app.h"
#include "api/counters.h"
#include "api/standby.h"
#include "common/log.h"

/* Inline results are up to 64 KiB each: fewer rows at once keep a statement's answer small. */
#define RESULT_ROWS 64

static struct lane lanes[STATUS_LANES];
static struct lane replica_lane;
static bool with_replica;
static struct pgarray ids, clients; /* one statement is encoded at a time */

enum { C_ORD = 0 }; /* of status_batch(); the rest is job_row_read's */

static void encode(struct db_params *params, struct lane_item *const *items, size_t n,
		   bool with_result)
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

/* True if the standby's answer says nothing: it doesn't have the job, or an older version of it than the
 * client has seen. */
static bool is_behind(const struct status_read *read, const struct job_row *row)
{
	return with_replica && !read->primary && (!row || row->version < read->min_version);
}

/* Has the primary asked, if it can be. */
static void ask_primary(struct status_read *read)
{
	read->primary = true;
	if (!lane_add(&lanes[STATUS_POLL], &read->lane))
		finish(read, STATUS_AWAY, NULL);
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
		const struct job_row *found = NULL;

		if (row_of[k] >= 0) {
			job_row_read(res, row_of[k], &row);
			found = &row;
		}
		if (is_behind(read, found))
			ask_primary(read);
		else
			finish(read, found ? STATUS_FOUND : STATUS_MISSING, found);
	}
}

static void fail(struct lane_item *item, const struct db_result *why)
{
	struct status_read *read = (struct status_read *)item;
	char id[UUID_TEXT];

	if (with_replica && !read->primary) {
		ask_primary(read);
		return;
	}
	if (why->outcome == DB_ERROR) {
		uuid_format(&read->id, id);
		log_warning("reading a job failed job=%s sqlstate=%s", id, why->sqlstate);
	}
	finish(read, STATUS_AWAY, NULL);
}

#define STATUS_SQL "SELECT * FROM longhaul.status_batch($1, $2, $3)"

static void count_polls(size_t n)
{
	count_batch(COUNT_POLLS, n);
}

static const struct lane_ops plain_ops = { .sql = STATUS_SQL,
					   .encode = encode_plain,
					   .deliver = deliver,
					   .fail = fail,
					   .count = count_polls };
/* A query that the standby has cancelled because it conflicts with its recovery would be again. */
static const struct lane_ops replica_ops = { .sql = STATUS_SQL,
					     .encode = encode_plain,
					     .deliver = deliver,
					     .fail = fail,
					     .whole = true,
					     .count = count_polls };
static const struct lane_ops result_ops = { .sql = STATUS_SQL,
					    .encode = encode_with_result,
					    .deliver = deliver,
					    .fail = fail,
					    .count = count_polls };

void status_start(struct app *a)
{
	size_t rows = (size_t)a->cfg->batch_rows, max = (size_t)a->cfg->queue_max;

	pga_init(&ids, DB_UUID);
	pga_init(&clients, DB_TEXT);
	lane_open(&lanes[STATUS_POLL], &plain_ops, a->read, rows, INT64_MAX, max);
	lane_open(&lanes[STATUS_RESULT], &result_ops, a->read,
		  rows < RESULT_ROWS ? rows : RESULT_ROWS, INT64_MAX, max);
	with_replica = a->replica != NULL;
	if (with_replica)
		lane_open(&replica_lane, &replica_ops, a->replica, rows, INT64_MAX, max);
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
	if (lane == STATUS_POLL && with_replica && standby_good() &&
	    read->min_version != STATUS_PRIMARY) {
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
