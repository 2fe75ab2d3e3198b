/*
 * test_bulk_import.c: the bulk import's transaction, on a real PostgreSQL with stand-ins for the
 * functions that begin and finish an import: the job's fence chooses what they do.
 * links: handlers/account.c handlers/bulk_import.c handlers/bulk_import_copy.c
 * links: handlers/bulk_import_db.c handlers/import_array.c handlers/import_csv.c
 * links: handlers/import_reader.c handlers/job_db.c handlers/sql_text.c handlers/json_scan.c common/text.c
 */
#include "db_fixture.h"
#include "fake_job.h"

#include <libpq-fe.h>

#include "handlers/handlers.h"

#define ANN "{\"email\":\"a@b.c\",\"name\":\"Ann\"}\n"

enum fence {
	LOST_AT_BEGIN = 1,
	LOST_AT_FINISH,
	DEADLOCK,
	REFUSED,
	SLOW,
	BREAKS,
	STRANGE_NAME,
	ROW_REFUSED,
	COMMIT_BREAKS,
	COMMIT_REFUSED,
	GOOD = 70,
};

static const char stand_ins[] =
	"CREATE SCHEMA longhaul;"
	"CREATE TABLE longhaul.stage (line int8, email text, name text, external_id text, extra text, field text,"
	" reason text, raw text);"
	"CREATE TABLE longhaul.narrow (LIKE longhaul.stage, CHECK (line < 1000));"
	"CREATE TABLE longhaul.late (LIKE longhaul.stage);"
	"CREATE TABLE longhaul.later (LIKE longhaul.stage);"
	"CREATE TABLE longhaul.ended (fence int8);"
	"CREATE FUNCTION longhaul.at_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
	" IF TG_TABLE_NAME = 'late' THEN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); END IF;"
	" RAISE EXCEPTION 'too late' USING ERRCODE = '40001'; END $$;"
	"CREATE CONSTRAINT TRIGGER t AFTER INSERT ON longhaul.late DEFERRABLE INITIALLY DEFERRED"
	" FOR EACH ROW EXECUTE FUNCTION longhaul.at_commit();"
	"CREATE CONSTRAINT TRIGGER t AFTER INSERT ON longhaul.later DEFERRABLE INITIALLY DEFERRED"
	" FOR EACH ROW EXECUTE FUNCTION longhaul.at_commit();"
	"CREATE FUNCTION longhaul.import_begin(j uuid, b uuid, f int8) RETURNS text LANGUAGE plpgsql AS $$ BEGIN"
	" IF j <> '01a2087d-d650-728c-97f1-bca0dc1c81f9' OR b <> 'c0ffee00-0000-4000-8000-000000000001' THEN"
	"  RAISE EXCEPTION 'wrong job'; END IF;"
	" IF f = 1 THEN RAISE EXCEPTION 'lost' USING ERRCODE = 'LH001'; END IF;"
	" RETURN CASE f WHEN 7 THEN 'x; SELECT 1' WHEN 8 THEN 'longhaul.narrow' WHEN 9 THEN 'longhaul.late'"
	"  WHEN 10 THEN 'longhaul.later' ELSE 'longhaul.stage' END; END $$;"
	"CREATE FUNCTION longhaul.import_finish(j uuid, b uuid, f int8, ms int4) RETURNS text LANGUAGE plpgsql AS $$ BEGIN"
	" IF f = 2 THEN RAISE EXCEPTION 'lost' USING ERRCODE = 'LH001'; END IF;"
	" IF f = 3 THEN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END IF;"
	" IF f = 4 THEN RAISE EXCEPTION 'refused' USING ERRCODE = '22P02'; END IF;"
	" IF f = 5 THEN PERFORM pg_sleep(60); END IF;"
	" IF f = 6 THEN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); END IF;"
	" INSERT INTO longhaul.ended VALUES (f); RETURN '{}'; END $$;";

static PGconn *admin;

/* First value that a statement gives. */
static const char *ask_admin(const char *sql)
{
	static char text[4096];
	PGresult *res = PQexec(admin, sql);

	if (PQresultStatus(res) != PGRES_TUPLES_OK && PQresultStatus(res) != PGRES_COMMAND_OK)
		fail_msg("%s: %s", sql, PQerrorMessage(admin));
	snprintf(text, sizeof(text), "%s", PQntuples(res) > 0 ? PQgetvalue(res, 0, 0) : "");
	PQclear(res);
	return text;
}

static void open_admin(void)
{
	PQfinish(admin);
	admin = PQconnectdb(pg_conninfo);
	assert_int_equal(PQstatus(admin), CONNECTION_OK);
}

static int start(void **state)
{
	if (fixture_start(state) != 0)
		return -1;
	open_admin();
	ask_admin(stand_ins);
	/* what fails here is expected to be said in the log */
	log_open("test", getenv("VERBOSE") ? LOG_LEVEL_DEBUG : LOG_LEVEL_NONE);
	return 0;
}

static int end(void **state)
{
	PQfinish(admin);
	return fixture_stop(state);
}

static void *open_handler(const char *conninfo)
{
	struct lh_settings settings = { { "database", conninfo, NULL } };
	const char *error;
	void *handler;

	ask_admin("TRUNCATE longhaul.stage, longhaul.ended");
	assert_true(lh_handler_bulk_import.init(&settings, &handler, &error));
	return handler;
}

/* One attempt with that fence. */
static enum lh_verdict attempt(void *handler, struct lh_job *job, enum fence fence,
			       const char *input)
{
	job_init(job, "application/x-ndjson", input, strlen(input));
	job->info.lease_fence = fence;
	return lh_handler_bulk_import.run(job, handler);
}

/* An attempt by a handler of its own, after which nothing may have been written. */
static struct lh_job expect_nothing(enum fence fence, enum lh_verdict verdict)
{
	void *handler = open_handler(pg_conninfo);
	struct lh_job job;

	assert_int_equal(attempt(handler, &job, fence, ANN), verdict);
	assert_string_equal(ask_admin("SELECT (SELECT count(*) FROM longhaul.ended)"
				      " + (SELECT count(*) FROM longhaul.stage)"),
			    "0");
	/* the handler is fit for the next job */
	struct lh_job next;
	assert_int_equal(attempt(handler, &next, GOOD, ANN), LH_ENDED);
	lh_handler_bulk_import.fini(handler);
	return job;
}

static void rows_arrive(void **state)
{
	static const char input[] =
		"{\"email\":\"a@b.c\",\"name\":\"\xC3\x84nn\",\"x\":[1]}\n\n"
		"{\"email\":\"d@e.f\",\"name\":\"B\\tob\",\"externalId\":\"7\"}\n"
		"{\"email\":\"d\",\"name\":\"\\\\N\"}\nb\xFF\x00"
		"d\n";
	void *handler = open_handler(pg_conninfo);
	struct lh_job job;

	(void)state;
	job_init(&job, "application/x-ndjson", input, sizeof(input) - 1);
	job.info.lease_fence = GOOD;
	assert_int_equal(lh_handler_bulk_import.run(&job, handler), LH_ENDED);
	assert_string_equal(
		ask_admin("SELECT string_agg(s::text, ' ' ORDER BY line) FROM longhaul.stage s"),
		"(1,a@b.c,\xC3\x84nn,,\"{\"\"x\"\":[1]}\",,,) (3,d@e.f,\"B\tob\",7,,,,)"
		" (4,,,,,email,\"is not an e-mail address\",\"{\"\"email\"\":\"\"d\"\",\"\"name\"\":\"\"\\\\\\\\N\"\"}\")"
		" (5,,,,,,\"holds a NUL byte\",b\xEF\xBF\xBD\xEF\xBF\xBD"
		"d)");
	assert_string_equal(ask_admin("SELECT string_agg(fence::text, ',') FROM longhaul.ended"),
			    "70");
	assert_int_equal(job.done, 2000);
	assert_int_equal(job.total, 10000);
	assert_string_equal(job.message, "4 rows read, merging");
	lh_handler_bulk_import.fini(handler);
}

static void many_rows(void **state)
{
	void *handler = open_handler(pg_conninfo);
	struct buf text = { 0 };
	struct lh_job job;
	int i;

	(void)state;
	for (i = 0; i < 50000; i++)
		buf_addf(&text,
			 "{\"email\":\"user%d@example.com\",\"name\":\"%d\",\"pad\":\"%0*d\"}\n", i,
			 i, i % 300, i);
	assert_int_equal(attempt(handler, &job, GOOD, text.data), LH_ENDED);
	assert_string_equal(
		ask_admin(
			"SELECT count(*) FROM longhaul.stage WHERE email = 'user' || name || '@example.com'"
			" AND line = name::int + 1 AND (extra::json->>'pad')::int = name::int"),
		"50000");
	assert_true(job.progressed > 10);
	buf_free(&text);
	lh_handler_bulk_import.fini(handler);
}

static void lost_leases(void **state)
{
	(void)state;
	expect_nothing(LOST_AT_BEGIN, LH_CANCELED);
	expect_nothing(LOST_AT_FINISH, LH_CANCELED);
}

static void database_errors(void **state)
{
	struct lh_job job;

	(void)state;
	assert_int_equal(expect_nothing(DEADLOCK, LH_TRY_AGAIN).retry_ms, -1);
	expect_nothing(BREAKS, LH_TRY_AGAIN);
	expect_nothing(COMMIT_BREAKS, LH_TRY_AGAIN);
	expect_nothing(COMMIT_REFUSED, LH_TRY_AGAIN);
	job = expect_nothing(REFUSED, LH_FAILED);
	assert_int_equal(job.status, 500);
	assert_null(strstr(job.detail, "22P02"));
	expect_nothing(STRANGE_NAME, LH_FAILED);
}

/* The server ends the COPY while rows are still being sent. */
static void copy_refused(void **state)
{
	void *handler = open_handler(pg_conninfo);
	struct buf text = { 0 };
	struct lh_job job;
	int i;

	(void)state;
	for (i = 0; i < 100000; i++)
		buf_adds(&text, ANN);
	assert_int_equal(attempt(handler, &job, ROW_REFUSED, text.data), LH_FAILED);
	assert_int_equal(attempt(handler, &job, GOOD, ANN), LH_ENDED);
	buf_free(&text);
	lh_handler_bulk_import.fini(handler);
}

static void wait_until_alone(void)
{
	int64_t until = mono_ms() + 5000;

	while (strcmp(ask_admin(
			      "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'longhaul-bulk-import'"),
		      "0") != 0)
		assert_true(mono_ms() < until);
}

static void cancel(void **state)
{
	void *handler = open_handler(pg_conninfo);
	struct buf text = { 0 };
	struct lh_job job;
	int64_t began = mono_ms();
	int i;

	(void)state;
	/* while the server merges */
	job_init(&job, "text/csv", "email,name\na@b.c,Ann\n", 21);
	job.info.lease_fence = SLOW;
	job.cancel_at_ms = mono_ms() + 300;
	assert_int_equal(lh_handler_bulk_import.run(&job, handler), LH_CANCELED);
	assert_true(mono_ms() - began < 4000);
	wait_until_alone();
	/* while rows are sent */
	for (i = 0; i < 100000; i++)
		buf_adds(&text, ANN);
	for (i = 1; i < 40; i += 7) {
		job_init(&job, "application/x-ndjson", text.data, text.len);
		job.info.lease_fence = GOOD;
		job.cancel_checks = i;
		assert_int_equal(lh_handler_bulk_import.run(&job, handler), LH_CANCELED);
	}
	wait_until_alone();
	assert_string_equal(ask_admin("SELECT count(*) FROM longhaul.stage"), "0");
	assert_int_equal(attempt(handler, &job, GOOD, ANN), LH_ENDED);
	buf_free(&text);
	lh_handler_bulk_import.fini(handler);
}

static void broken_file(void **state)
{
	void *handler = open_handler(pg_conninfo);
	struct lh_job job;

	(void)state;
	job_init(&job, "application/json", "[" ANN, sizeof(ANN));
	job.info.lease_fence = GOOD;
	assert_int_equal(lh_handler_bulk_import.run(&job, handler), LH_FAILED);
	assert_string_equal(job.problem_type, "invalid-input");
	assert_int_equal(job.status, 422);
	assert_string_equal(job.errors,
			    "[{\"where\":\"element 2\",\"why\":\"The array ends too early.\"}]");
	assert_string_equal(job.detail, "element 2: The array ends too early.");
	job_init(&job, "text/csv", "email\n", 6);
	job.info.lease_fence = GOOD;
	assert_int_equal(lh_handler_bulk_import.run(&job, handler), LH_FAILED);
	assert_string_equal(
		job.errors,
		"[{\"where\":\"line 1\",\"why\":\"The header row has no column \\\"name\\\".\"}]");
	job_init(&job, "text/csv; charset=latin1", "email\n", 6);
	assert_int_equal(lh_handler_bulk_import.run(&job, handler), LH_FAILED);
	assert_int_equal(job.status, 415);
	assert_string_equal(ask_admin("SELECT count(*) FROM longhaul.stage"), "0");
	lh_handler_bulk_import.fini(handler);
}

/* A connection that died between two jobs costs the second nothing. */
static void kept_connection(void **state)
{
	void *handler = open_handler(pg_conninfo);
	struct lh_job job;

	(void)state;
	assert_int_equal(attempt(handler, &job, GOOD, ANN), LH_ENDED);
	assert_int_equal(attempt(handler, &job, GOOD, ANN), LH_ENDED);
	assert_string_equal(
		ask_admin("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
			  " WHERE application_name = 'longhaul-bulk-import'"),
		"1");
	wait_until_alone();
	assert_int_equal(attempt(handler, &job, GOOD, ANN), LH_ENDED);
	run_script("restart");
	open_admin();
	assert_int_equal(attempt(handler, &job, GOOD, ANN), LH_ENDED);
	lh_handler_bulk_import.fini(handler);

	handler = open_handler("host=/nowhere/at/all");
	assert_int_equal(attempt(handler, &job, GOOD, ANN), LH_TRY_AGAIN);
	lh_handler_bulk_import.fini(handler);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_arrive),  cmocka_unit_test(many_rows),
		cmocka_unit_test(lost_leases),  cmocka_unit_test(database_errors),
		cmocka_unit_test(copy_refused), cmocka_unit_test(cancel),
		cmocka_unit_test(broken_file),  cmocka_unit_test(kept_connection),
	};

	return cmocka_run_group_tests(tests, start, end);
}
