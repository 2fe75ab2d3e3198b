/*
 * bulk_import_db.c: one import's transaction.
 */
#include "bulk_import_db.h"

#include "bulk_import_copy.h"
#include "common/log.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Their parameters: job, boot, fence; then how long the import ran. */
static const char import_begin[] = "SELECT longhaul.import_begin($1::uuid, $2::uuid, $3::bigint)";
static const char import_finish[] =
	"SELECT longhaul.import_finish($1::uuid, $2::uuid, $3::bigint, $4::integer)";

struct import_db {
	struct job_db db;
};

struct import_db *import_db_new(const char *conninfo)
{
	struct import_db *im = mem_zalloc(sizeof(*im));

	job_db_init(&im->db, conninfo, "bulk import", "longhaul-bulk-import");
	return im;
}

void import_db_free(struct import_db *im)
{
	if (!im)
		return;
	job_db_free(&im->db);
	free(im);
}

/* A function of (job, boot, fence) and one number more, if it isn't negative. *text (may be NULL) gets what it
 * returns, malloc'ed. */
static enum job_db_outcome call(struct job_db *db, const char *sql, int64_t number,
				const char *what, char **text)
{
	const struct lh_job_info *job = lh_job_info(db->job);
	char fence[24], more[24];
	const char *values[] = { job->id, job->lease_boot, fence, more };
	enum job_db_outcome outcome;
	PGresult *res;
	bool sent;

	snprintf(fence, sizeof(fence), "%lld", (long long)job->lease_fence);
	snprintf(more, sizeof(more), "%lld", (long long)number);
	sent = PQsendQueryParams(db->conn, sql, number < 0 ? 3 : 4, NULL, values, NULL, NULL, 0);
	outcome = job_db_expect(db, sent, PGRES_TUPLES_OK, what, &res);
	if (outcome == JOB_DB_OK && text)
		*text = mem_strdup(PQntuples(res) > 0 ? PQgetvalue(res, 0, 0) : "");
	PQclear(res);
	return outcome;
}

/* The name comes from the database, but it becomes part of a statement. */
static bool is_table_name(const char *name)
{
	return *name && name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_.")] == '\0';
}

enum job_db_outcome import_db_begin(struct import_db *im, struct lh_job *job)
{
	struct job_db *db = &im->db;
	enum job_db_outcome outcome;
	char *table = NULL, sql[256];

	outcome = job_db_begin(db, job);
	if (outcome == JOB_DB_OK)
		outcome = call(db, import_begin, -1, "import_begin", &table);
	if (outcome != JOB_DB_OK)
		return outcome;
	if (!is_table_name(table) ||
	    snprintf(sql, sizeof(sql),
		     "COPY %s (" IMPORT_COPY_COLUMNS ") FROM STDIN (FORMAT binary)",
		     table) >= (int)sizeof(sql)) {
		log_error("bulk import: import_begin returned no table name");
		outcome = JOB_DB_FAILED;
	} else {
		outcome = job_db_expect(db, PQsendQuery(db->conn, sql), PGRES_COPY_IN, "copy",
					NULL);
	}
	free(table);
	return outcome;
}

/* A row that the server refuses shows at the end only: until then it reads on, and libpq with it. */
enum job_db_outcome import_db_rows(struct import_db *im, const char *data, size_t len)
{
	struct job_db *db = &im->db;

	if (PQputCopyData(db->conn, data, (int)len) == 1 && job_db_flush(db) && !db->stopping)
		return JOB_DB_OK;
	return job_db_judge(db, NULL, "rows");
}

enum job_db_outcome import_db_finish(struct import_db *im, int64_t ran_ms)
{
	struct job_db *db = &im->db;
	enum job_db_outcome outcome;

	outcome = job_db_expect(db, PQputCopyEnd(db->conn, NULL) == 1, PGRES_COMMAND_OK, "rows",
				NULL);
	if (outcome == JOB_DB_OK)
		outcome = call(db, import_finish, ran_ms, "import_finish", NULL);
	return outcome == JOB_DB_OK ? job_db_commit(db, NULL) : outcome;
}

void import_db_abandon(struct import_db *im)
{
	job_db_abandon(&im->db);
}
