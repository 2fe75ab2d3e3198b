/*
 * bulk_import.c: the handler that loads accounts into the database.
 *
 * Rows are read from the job's input, checked one by one and streamed into a staging table, the
 * wrong ones with their reason. One function then merges them, stores the result and ends the job in
 * the same transaction: a frozen or repeated attempt can't import twice.
 *
 * Settings of the type:
 *	database	libpq connection string (the daemon gives its runners no PG* variables)
 */
#include "handlers.h"

#include "bulk_import_copy.h"
#include "bulk_import_db.h"
#include "common/json.h"
#include "common/times.h"
#include "import_reader.h"
#include "options.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define READ_SIZE (64 * 1024)
#define STEPS \
	10000 /* progress is told in these: import_progress() in the database tells the rest */
#define READ_STEPS 2000
#define SEND_SIZE (32 * 1024) /* rows go to the database in pieces of about this size */

struct import {
	struct lh_job *job;
	struct import_db *db;
	struct import_reader *reader;
	struct buf rows; /* encoded, not yet sent */
	int64_t read, count;
	enum job_db_outcome outcome;
};

static bool send_rows(struct import *im)
{
	if (im->rows.len > 0)
		im->outcome = import_db_rows(im->db, im->rows.data, im->rows.len);
	buf_reset(&im->rows);
	return im->outcome == JOB_DB_OK;
}

static bool take_row(void *ctx, const struct import_row *row)
{
	struct import *im = ctx;

	im->count++;
	return import_copy_row(&im->rows, row) && (im->rows.len < SEND_SIZE || send_rows(im));
}

/* Of the reading. What the merge has done is told by the database. */
static void report(struct import *im, const char *what)
{
	char message[64];
	int64_t size = lh_job_info(im->job)->input_size;

	snprintf(message, sizeof(message), "%" PRId64 " rows read%s", im->count, what);
	lh_progress(im->job, size > 0 ? (int64_t)((double)im->read / (double)size * READ_STEPS) : 0,
		    STEPS, message);
}

/* Reads the input to its end. False: see outcome, the reader, or neither: memory has ended. */
static bool read_rows(struct import *im)
{
	char data[READ_SIZE];
	ssize_t n;

	while ((n = lh_read(im->job, data, sizeof(data))) > 0) {
		im->read += n;
		if (!import_reader_feed(im->reader, data, (size_t)n))
			return false;
		report(im, "");
	}
	if (n < 0) {
		im->outcome = JOB_DB_STOPPED;
		return false;
	}
	return import_reader_end(im->reader);
}

static bool load(struct import *im)
{
	int64_t began = mono_ms();

	im->outcome = import_db_begin(im->db, im->job);
	if (im->outcome != JOB_DB_OK || !import_copy_head(&im->rows) || !read_rows(im) ||
	    !import_copy_tail(&im->rows) || !send_rows(im))
		return false;
	report(im, ", merging");
	im->outcome = import_db_finish(im->db, mono_ms() - began);
	return im->outcome == JOB_DB_OK;
}

/* The file as a whole is wrong: nothing of it was imported. */
static enum lh_verdict fail_input(struct lh_job *job, const char *where, const char *why)
{
	struct json_object *errors = json_object_new_array(), *error = json_object_new_object();
	enum lh_verdict verdict;
	char detail[256];

	snprintf(detail, sizeof(detail), "%s: %s", where, why);
	json_add_str(error, "where", where);
	json_add_str(error, "why", why);
	json_object_array_add(errors, error);
	verdict = lh_fail(job, "invalid-input", 422, "The file is broken; nothing was imported",
			  detail, json_text(errors, NULL));
	json_object_put(errors);
	return verdict;
}

static enum lh_verdict verdict_of(struct import *im)
{
	const char *where, *why = import_reader_broken(im->reader, &where);

	if (why)
		return fail_input(im->job, where, why);
	switch (im->outcome) {
	case JOB_DB_STOPPED:
		return LH_CANCELED;
	case JOB_DB_AGAIN:
		return lh_try_again(
			im->job, -1, "The import was interrupted",
			"The database was away or busy; nothing was imported by this attempt.");
	case JOB_DB_FAILED:
		return lh_fail(im->job, "import-failed", 500, "The import failed",
			       "The database refused the rows; nothing was imported.", NULL);
	default:
		return lh_try_again(im->job, -1, "The import was interrupted",
				    "The worker ran out of memory.");
	}
}

static enum lh_verdict import_run(struct lh_job *job, void *state)
{
	struct import im = { .job = job, .db = state };
	enum lh_verdict verdict = LH_ENDED;
	const char *why;

	im.reader = import_reader_new(lh_job_info(job)->media_type, take_row, &im, &why);
	if (!im.reader)
		return lh_fail(job, "unsupported-media-type", 415, "The input can't be read", why,
			       NULL);
	if (!load(&im)) {
		import_db_abandon(im.db);
		verdict = verdict_of(&im);
	}
	import_reader_free(im.reader);
	buf_free(&im.rows);
	return verdict;
}

const struct opt bulk_import_options[BULK_IMPORT_OPTIONS] = {
	{ "type", "database", OPT_STRING, "", 0, 0, NULL, 0,
	  "A connection string: where the accounts are. Its role is a member of longhaul_import." },
};

static bool import_init(const struct lh_settings *settings, void **state, const char **error)
{
	(void)error;
	*state = import_db_new(lh_setting(settings, bulk_import_options[0].key, ""));
	return true;
}

static void import_fini(void *state)
{
	import_db_free(state);
}

const struct lh_handler lh_handler_bulk_import = {
	.abi = LH_HANDLER_ABI,
	.name = "bulk-import",
	.init = import_init,
	.run = import_run,
	.fini = import_fini,
};
