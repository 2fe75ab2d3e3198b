/*
 * sql.c: the handler that calls a function in the database, of the operator's choice.
 *
 * FUNCTION(job uuid, input jsonb | json | text | bytea) runs in a transaction that has locked the job's
 * lease; what it returns is stored, and the job ended, in the same transaction. The result never
 * leaves the database.
 *
 * Settings of the type:
 *	function	SCHEMA.FUNCTION
 *	database	libpq connection string (the daemon gives its runners no PG* variables)
 *	result_type	media type of the result; by default by what the function returns
 *	input_max	bytes: an input has to fit into memory, here and there
 */
#include "handlers.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/options.h"
#include "job_db.h"
#include "options.h"
#include "sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE (64 * 1024)
#define FIRST_CONNECT_S 5 /* less than the time in which a runner must be ready */

struct sql_config {
	char *function, *database, *result_type;
	int64_t input_max;
};

const struct opt sql_options[SQL_OPTIONS] = {
	OPT_STR("type", "function", struct sql_config, function, "",
		"The function to call, SCHEMA.FUNCTION."),
	OPT_STR("type", "database", struct sql_config, database, "", "A connection string."),
	OPT_STR("type", "result_type", struct sql_config, result_type, "",
		"Media type of the result; empty: by what the function returns."),
	/* what fits into a value of the database */
	OPT_BYTES("type", "input_max", struct sql_config, input_max, "64MiB", 0, 1000 << 20,
		  "Largest input."),
};

struct sql_handler {
	struct sql_config config;
	struct job_db db;
	/* what is known of the function; call NULL: not looked up yet */
	char *call, *statement;
	bool as_bytes, as_json;
	const char *media_type;
	struct buf input;
};

/* ---- looking at the function ------------------------------------------------------------------ */

static void forget_function(struct sql_handler *h)
{
	free(h->call);
	free(h->statement);
	h->call = h->statement = NULL;
}

/* Its arguments are evaluated first: the function has ended when sql_finish begins. */
static char *statement_of(const char *call, const char *takes, const char *gives)
{
	bool bytes = strcmp(gives, "bytea") == 0;

	return mem_printf("SELECT longhaul.sql_finish($1::uuid, $2::uuid, $3::bigint, $4::text, "
			  "%s%s($1::uuid, $5::%s)%s)",
			  bytes ? "" : "convert_to((", call, takes,
			  bytes ? "" : ")::text, 'UTF8')");
}

static const char *media_type_of(const char *gives)
{
	if (strncmp(gives, "json", 4) == 0)
		return "application/json";
	return strcmp(gives, "bytea") == 0 ? "application/octet-stream"
					   : "text/plain; charset=utf-8";
}

static void keep_function(struct sql_handler *h, const PGresult *res)
{
	const char *takes = PQgetvalue(res, 0, 1), *gives = PQgetvalue(res, 0, 2);

	h->db.fresh = false;
	forget_function(h);
	h->call = mem_strdup(PQgetvalue(res, 0, 0));
	h->statement = statement_of(h->call, takes, gives);
	h->as_bytes = strcmp(takes, "bytea") == 0;
	h->as_json = strncmp(takes, "json", 4) == 0;
	h->media_type = *h->config.result_type ? h->config.result_type : media_type_of(gives);
}

/* Why longhaul.sql_function itself could not be called. */
static char *explain(const PGresult *res)
{
	const char *sqlstate = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	if (sqlstate && (strcmp(sqlstate, "42501") == 0))
		return mem_strdup("database: its role must be a member of longhaul_import");
	if (sqlstate && (strcmp(sqlstate, "42883") == 0 || strcmp(sqlstate, "3F000") == 0))
		return mem_strdup(
			"database: it has no schema longhaul of this version: run longhaul-migrate");
	return NULL;
}

/* Looks the function up. *wrong gets what is wrong with the settings, malloc'ed, or NULL. */
static enum job_db_outcome look_up(struct sql_handler *h, char **wrong)
{
	static const char sql[] = "SELECT call, takes, gives, why FROM longhaul.sql_function($1)";
	const char *values[] = { h->config.function };
	enum job_db_outcome outcome;
	PGresult *res;

	*wrong = NULL;
	outcome = job_db_expect(&h->db,
				PQsendQueryParams(h->db.conn, sql, 1, NULL, values, NULL, NULL, 0),
				PGRES_TUPLES_OK, "sql_function", &res);
	if (outcome == JOB_DB_OK && !PQgetisnull(res, 0, 3))
		*wrong = mem_printf("function: \"%.100s\": %.300s", h->config.function,
				    PQgetvalue(res, 0, 3));
	else if (outcome == JOB_DB_OK)
		keep_function(h, res);
	else if (outcome == JOB_DB_FAILED)
		*wrong = explain(res);
	PQclear(res);
	return *wrong ? JOB_DB_FAILED : outcome;
}

/* ---- one job ---------------------------------------------------------------------------------- */

static enum lh_verdict fail_input(struct lh_job *job, const char *detail)
{
	return lh_fail(job, "invalid-input", 422, "The input can't be read", detail, NULL);
}

/* Reads the input and checks that it is what the parameter takes. Returns LH_DONE to go on. */
static enum lh_verdict read_input(struct sql_handler *h, struct lh_job *job)
{
	char data[PIECE];
	const char *why;
	ssize_t n;

	buf_reset(&h->input);
	if (lh_job_info(job)->input_size > h->config.input_max)
		return lh_fail(job, "input-too-large", 413, "The input is too large", NULL, NULL);
	while ((n = lh_read(job, data, sizeof(data))) > 0)
		if (!buf_add(&h->input, data, (size_t)n))
			return lh_try_again(job, -1, "The job was interrupted",
					    "The worker ran out of memory.");
	if (n < 0)
		return LH_CANCELED;
	buf_adds(&h->input, ""); /* an empty one needs its NUL too */
	if (h->as_json && !json_check(h->input.data, h->input.len, &why))
		return fail_input(job, why);
	if (!h->as_bytes && !h->as_json && !utf8_valid(h->input.data, h->input.len))
		return fail_input(job, "It is not text in UTF-8, or holds a NUL byte.");
	return LH_DONE;
}

/* Opens the transaction, under the job's lease. */
static enum job_db_outcome begin(struct sql_handler *h, struct lh_job *job, const char *fence)
{
	static const char sql[] = "SELECT longhaul.sql_begin($1::uuid, $2::uuid, $3::bigint)";
	const struct lh_job_info *info = lh_job_info(job);
	const char *values[] = { info->id, info->lease_boot, fence };

	return job_db_expect(&h->db,
			     PQsendQueryParams(h->db.conn, sql, 3, NULL, values, NULL, NULL, 0),
			     PGRES_TUPLES_OK, "sql_begin", NULL);
}

static bool send_call(struct sql_handler *h, struct lh_job *job, const char *fence)
{
	const struct lh_job_info *info = lh_job_info(job);
	const char *values[] = { info->id, info->lease_boot, fence, h->media_type, h->input.data };
	const int lengths[] = { 0, 0, 0, 0, (int)h->input.len };
	const int formats[] = { 0, 0, 0, 0, h->as_bytes };

	return PQsendQueryParams(h->db.conn, h->statement, 5, NULL, values, lengths, formats, 0);
}

/* True if the function has chosen the verdict, by the SQLSTATE of its exception. */
static bool chosen(struct lh_job *job, const PGresult *res, enum lh_verdict *verdict)
{
	const char *sqlstate = res ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
	int status = sqlstate ? sql_status_of(sqlstate) : 0;
	const char *title, *detail, *type;

	if (status == 0)
		return false;
	title = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	detail = PQresultErrorField(res, PG_DIAG_MESSAGE_DETAIL);
	type = PQresultErrorField(res, PG_DIAG_MESSAGE_HINT);
	if (status == 503)
		*verdict = lh_try_again(job, -1, title, detail);
	else
		*verdict = lh_fail(job,
				   type && sql_is_problem_type(type) ? type : "function-failed",
				   status, title, detail, NULL);
	return true;
}

static enum lh_verdict verdict_of(struct lh_job *job, enum job_db_outcome outcome,
				  const PGresult *res)
{
	const char *sqlstate = res ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;

	switch (outcome) {
	case JOB_DB_STOPPED:
		return LH_CANCELED;
	case JOB_DB_AGAIN:
		return lh_try_again(
			job, -1, "The job was interrupted",
			"The database was away or busy; nothing was changed by this attempt.");
	default:
		/* jsonb has no U+0000 */
		if (sqlstate && strcmp(sqlstate, "22P05") == 0)
			return fail_input(job, "It holds characters that can't be stored.");
		return lh_fail(job, "function-failed", 500, "The job failed",
			       "The database refused it; nothing was changed.", NULL);
	}
}

/* Calls the function and commits. */
static enum lh_verdict call(struct sql_handler *h, struct lh_job *job)
{
	enum job_db_outcome outcome;
	enum lh_verdict verdict;
	PGresult *res = NULL;
	char fence[24];

	snprintf(fence, sizeof(fence), "%lld", (long long)lh_job_info(job)->lease_fence);
	outcome = begin(h, job, fence);
	if (outcome == JOB_DB_OK)
		outcome = job_db_expect(&h->db, send_call(h, job, fence), PGRES_TUPLES_OK,
					"function", &res);
	if (outcome == JOB_DB_OK) {
		PQclear(res);
		outcome = job_db_commit(&h->db, &res);
	}
	if (outcome == JOB_DB_OK)
		verdict = LH_ENDED;
	else if (outcome != JOB_DB_FAILED || !chosen(job, res, &verdict))
		verdict = verdict_of(job, outcome, res);
	PQclear(res);
	return verdict;
}

/* A connection that is new may lead to a database that has changed. */
static enum lh_verdict prepare(struct sql_handler *h, struct lh_job *job)
{
	enum job_db_outcome outcome = job_db_begin(&h->db, job);
	char *wrong = NULL;

	if (outcome == JOB_DB_OK && (h->db.fresh || !h->call))
		outcome = look_up(h, &wrong);
	if (wrong) {
		log_error("sql: %s", wrong);
		free(wrong);
		return lh_try_again(job, -1, "The job can't be run now", NULL);
	}
	return outcome == JOB_DB_OK ? LH_DONE : verdict_of(job, outcome, NULL);
}

static enum lh_verdict sql_run(struct lh_job *job, void *state)
{
	struct sql_handler *h = state;
	enum lh_verdict verdict = prepare(h, job);

	if (verdict == LH_DONE)
		verdict = read_input(h, job);
	if (verdict == LH_DONE)
		verdict = call(h, job);
	if (verdict != LH_ENDED)
		job_db_abandon(&h->db);
	h->db.job = NULL;
	return verdict;
}

/* ---- settings --------------------------------------------------------------------------------- */

static void sql_fini(void *state)
{
	struct sql_handler *h = state;

	forget_function(h);
	job_db_free(&h->db);
	opts_free(sql_options, SQL_OPTIONS, &h->config);
	buf_free(&h->input);
	free(h);
}

/* Returns what is wrong, malloc'ed, or NULL. A database that is away says nothing about the settings. */
static char *set_up(struct sql_handler *h, const struct lh_settings *settings)
{
	char error[256], *wrong;

	for (size_t i = 0; i < SQL_OPTIONS; i++)
		if (!opt_set(&sql_options[i], &h->config,
			     lh_setting(settings, sql_options[i].key, sql_options[i].def), error,
			     sizeof(error)))
			return mem_strdup(error);
	job_db_init(&h->db, h->config.database, "sql", "longhaul-sql");
	if (!*h->config.function)
		return mem_strdup("function: is missing");
	if (job_db_connect(&h->db, FIRST_CONNECT_S)) {
		look_up(h, &wrong);
		return wrong;
	}
	return NULL;
}

static bool sql_init(const struct lh_settings *settings, void **state, const char **error)
{
	struct sql_handler *h = mem_zalloc(sizeof(*h));
	char *wrong = set_up(h, settings);

	*state = h;
	if (!wrong)
		return true;
	*error = wrong;
	sql_fini(h);
	return false;
}

const struct lh_handler lh_handler_sql = {
	.abi = LH_HANDLER_ABI,
	.name = "sql",
	.init = sql_init,
	.run = sql_run,
	.fini = sql_fini,
};
