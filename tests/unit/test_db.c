/*
 * test_db.c: queries, parameters, results and arrays on a real PostgreSQL.
 */
#include "db_fixture.h"

#include <math.h>

#include "common/ids.h"
#include "common/pgarray.h"

static struct uuid some_id = { { 0x01, 0xa2, 0x08, 0x7d, 0xd6, 0x50, 0x72, 0x8c, 0x97, 0xf1, 0xbc,
				 0xa0, 0xdc, 0x1c, 0x81, 0xf9 } };

/* Every parameter type arrives as what it was, in the server's own words. */
static void parameters_arrive(void **state)
{
	struct db_config config = plain_config();
	struct db_params p = { 0 };
	struct answer a;

	(void)state;
	dbp_bool(&p, true);
	dbp_int2(&p, -2);
	dbp_int4(&p, INT32_MIN);
	dbp_int8(&p, INT64_MAX);
	dbp_float8(&p, 0.25);
	dbp_text(&p, "h\xc3\xa9");
	dbp_textn(&p, "abcdef", 3);
	dbp_text(&p, "");
	dbp_bytea(&p, "a\0b", 3);
	dbp_bytea(&p, "", 0);
	dbp_uuid(&p, &some_id);
	dbp_timestamptz(&p, 1790938692114);
	dbp_text(&p, NULL);
	dbp_null(&p, DB_INT4_ARRAY);
	for (int prepared = 0; prepared < 2; prepared++) {
		struct db *db;

		config.prepared = prepared;
		db = open_up(&config);
		a = ask(db,
			"SELECT concat_ws('|', $1, $2, $3, $4, $5, $6, $7, length($8), encode($9, 'hex'),"
			" length($10), $11, $12 AT TIME ZONE 'UTC', $13 IS NULL, $14::int4[] IS NULL)",
			&p);
		assert_string_equal(
			a.text,
			"t|-2|-2147483648|9223372036854775807|0.25|h\xc3\xa9|abc|0|610062|0|"
			"01a2087d-d650-728c-97f1-bca0dc1c81f9|2026-10-02 10:58:12.114|t|t");
		db_close(db);
	}
	db_params_free(&p);
}

static void read_all(struct answer *a, const struct db_result *r)
{
	const PGresult *res = r->res;
	struct uuid id = dbr_uuid(res, 0, 9);
	size_t len;

	a->more = a;
	assert_int_equal(dbr_rows(res), 1);
	assert_true(dbr_bool(res, 0, 0));
	assert_int_equal(dbr_int2(res, 0, 1), -32768);
	assert_int_equal(dbr_int4(res, 0, 2), -5);
	assert_true(dbr_int8(res, 0, 3) == INT64_MIN);
	assert_true(dbr_float8(res, 0, 4) == -1.5);
	assert_true(isinf(dbr_float8(res, 0, 5)));
	assert_string_equal(dbr_text(res, 0, 6, &len), "text");
	assert_int_equal(len, 4);
	assert_memory_equal(dbr_bytea(res, 0, 7, &len), "\x00\xff", 2);
	assert_int_equal(len, 2);
	assert_int_equal(dbr_ms(res, 0, 8), 1790938692114);
	assert_true(uuid_equal(&id, &some_id));
	/* Null reads as nothing. */
	assert_true(dbr_null(res, 0, 10));
	assert_false(dbr_null(res, 0, 0));
	assert_string_equal(dbr_text(res, 0, 10, &len), "");
	assert_int_equal(len, 0);
	assert_int_equal(dbr_int4(res, 0, 11), 0);
	assert_null(dbr_bytea(res, 0, 12, &len));
	/* So does what isn't there or is of another type. */
	log_set_level(LOG_LEVEL_NONE);
	assert_true(dbr_null(res, 1, 0));
	assert_true(dbr_null(res, 0, 99));
	assert_int_equal(dbr_int4(res, 0, 3), 0);
	assert_int_equal(dbr_int8(res, 0, 2), 0);
	assert_string_equal(dbr_text(res, 0, 9, NULL), "");
	assert_int_equal(dbr_int4(res, 7, 2), 0);
	assert_int_equal(dbr_int4(res, 0, -1), 0);
	log_set_level(LOG_LEVEL_ERROR);
}

static void results_are_read(void **state)
{
	struct db_config config = plain_config();
	struct answer a = { .then = read_all };
	struct db *db = open_up(&config);

	(void)state;
	assert_true(db_query(
		db,
		"SELECT true, (-32768)::int2, -5, (-9223372036854775808)::int8, -1.5::float8,"
		" 'infinity'::float8, 'text'::text, '\\x00ff'::bytea, '2026-10-02 10:58:12.114999Z'::timestamptz,"
		" '01a2087d-d650-728c-97f1-bca0dc1c81f9'::uuid, null::text, null::int4, null::bytea",
		NULL, note_answer, &a));
	WAIT_FOR(a.calls > 0);
	assert_non_null(a.more);
	db_close(db);
}

/* What the server reads of an array, nulls and dimensions included. */
static void check_array(struct db *db, struct pgarray *array, const char *sql, const char *want)
{
	struct db_params p = { 0 };
	struct answer a;

	dbp_array(&p, array);
	a = ask(db, sql, &p);
	assert_int_equal(a.outcome, DB_OK);
	assert_string_equal(a.text, want);
	db_params_free(&p);
	pga_free(array);
}

#define DESCRIBE(type) "SELECT coalesce(array_dims($1), '-') || ' ' || $1::" type "[]::text"

static void arrays_arrive(void **state)
{
	struct db_config config = plain_config();
	struct db *db = open_up(&config);
	struct pgarray a;

	(void)state;
	pga_init(&a, DB_INT2);
	pga_int2(&a, 1);
	pga_int2(&a, -32768);
	check_array(db, &a, DESCRIBE("int2"), "[1:2] {1,-32768}");
	pga_init(&a, DB_INT4);
	pga_int4(&a, 1);
	pga_null(&a);
	pga_int4(&a, INT32_MAX);
	check_array(db, &a, DESCRIBE("int4"), "[1:3] {1,NULL,2147483647}");
	pga_init(&a, DB_INT8);
	pga_int8(&a, INT64_MIN);
	check_array(db, &a, DESCRIBE("int8"), "[1:1] {-9223372036854775808}");
	pga_init(&a, DB_FLOAT8);
	pga_float8(&a, 0.5);
	pga_float8(&a, NAN);
	check_array(db, &a, DESCRIBE("float8"), "[1:2] {0.5,NaN}");
	pga_init(&a, DB_BOOL);
	pga_bool(&a, true);
	pga_bool(&a, false);
	check_array(db, &a, DESCRIBE("bool"), "[1:2] {t,f}");
	pga_init(&a, DB_TEXT);
	pga_text(&a, "a,b\"");
	pga_text(&a, NULL);
	pga_textn(&a, "xyz", 0);
	check_array(db, &a, DESCRIBE("text"), "[1:3] {\"a,b\\\"\",NULL,\"\"}");
	pga_init(&a, DB_BYTEA);
	pga_bytea(&a, "\0\xff", 2);
	pga_bytea(&a, NULL, 0);
	pga_bytea(&a, "", 0);
	check_array(db, &a, DESCRIBE("bytea"), "[1:3] {\"\\\\x00ff\",NULL,\"\\\\x\"}");
	pga_init(&a, DB_UUID);
	pga_uuid(&a, &some_id);
	pga_uuid(&a, NULL);
	check_array(db, &a, DESCRIBE("uuid"), "[1:2] {01a2087d-d650-728c-97f1-bca0dc1c81f9,NULL}");
	pga_init(&a, DB_TIMESTAMPTZ);
	pga_timestamptz(&a, 1790938692114);
	pga_null(&a);
	check_array(db, &a,
		    "SELECT ($1::timestamptz[])[1] AT TIME ZONE 'UTC' || ' ' || cardinality($1)",
		    "2026-10-02 10:58:12.114 2");
	pga_init(&a, DB_TEXT);
	check_array(db, &a, DESCRIBE("text"), "- {}");
	pga_text(&a, "gone");
	pga_reset(&a);
	check_array(db, &a, DESCRIBE("text"), "- {}");
	db_close(db);
}

static void large_arrays_and_values(void **state)
{
	struct db_config config = plain_config();
	struct db *db = open_up(&config);
	size_t size = 5 << 20;
	char *big = malloc(size);
	struct pgarray a;

	(void)state;
	memset(big, 'x', size);
	pga_init(&a, DB_BYTEA);
	for (int i = 0; i < 3; i++)
		pga_bytea(&a, big, size);
	assert_int_equal(pga_count(&a), 3);
	assert_true(pga_size(&a) > 3 * size);
	check_array(db, &a, "SELECT (SELECT sum(length(b)) FROM unnest($1::bytea[]) b)::text",
		    "15728640");
	pga_init(&a, DB_INT4);
	for (int i = 1; i <= 100000; i++)
		pga_int4(&a, i);
	check_array(db, &a, "SELECT (SELECT sum(i) FROM unnest($1::int4[]) i)::text", "5000050000");
	free(big);
	db_close(db);
}

static void failed_parameters_are_refused(void **state)
{
	struct db_config config = plain_config();
	struct db *db = open_up(&config);
	struct db_params p = { 0 };
	struct answer a = { 0 };
	struct pgarray array;

	(void)state;
	log_set_level(LOG_LEVEL_NONE);
	pga_init(&array, DB_INT4);
	pga_int8(&array, 1);
	dbp_array(&p, &array);
	assert_false(db_query(db, "SELECT $1::int4[]", &p, note_answer, &a));
	db_params_reset(&p);
	for (int i = 0; i <= DB_PARAMS_MAX; i++)
		dbp_int4(&p, i);
	assert_false(db_query(db, "SELECT 1", &p, note_answer, &a));
	log_set_level(LOG_LEVEL_ERROR);
	db_params_free(&p);
	pga_free(&array);
	assert_int_equal(a.calls, 0);
	assert_true(db_idle(db));
	db_close(db);
}

static void statements_are_prepared_once(void **state)
{
	static const char sql[] = "SELECT $1 + 1";
	struct db_config config = plain_config();
	struct db *db = open_up(&config);
	struct db_params p = { 0 };

	(void)state;
	dbp_int4(&p, 1);
	for (int i = 0; i < 5; i++)
		assert_int_equal(ask(db, sql, &p).outcome, DB_OK);
	/* The same text with another type is another statement. */
	db_params_reset(&p);
	dbp_int8(&p, 1);
	assert_int_equal(ask(db, sql, &p).outcome, DB_OK);
	assert_string_equal(
		ask(db,
		    "SELECT count(*)::text FROM pg_prepared_statements WHERE statement LIKE '%+ 1'",
		    NULL)
			.text,
		"2");
	db_params_free(&p);
	db_close(db);
}

static void errors_are_answers(void **state)
{
	struct db_config config = plain_config();
	struct answer a;

	(void)state;
	for (int prepared = 0; prepared < 2; prepared++) {
		struct db *db;
		struct db_params p = { 0 };

		config.prepared = prepared;
		db = open_up(&config);
		dbp_int4(&p, 0);
		a = ask(db, "SELECT 1 / $1", &p);
		assert_int_equal(a.outcome, DB_ERROR);
		assert_true(a.sent);
		assert_string_equal(a.sqlstate, "22012");
		assert_string_equal(a.message, "division by zero");
		assert_int_equal(ask(db, "SELEKT", NULL).outcome, DB_ERROR);
		assert_string_equal(ask(db, "SELEKT", NULL).sqlstate, "42601");
		assert_string_equal(ask(db, "SELECT 'fine'::text", NULL).text, "fine");
		db_params_free(&p);
		db_close(db);
	}
}

/* Rows were sent, then the commit failed: that is an error, not a success. */
static void a_failing_commit_is_an_error(void **state)
{
	struct db_config config = plain_config();
	struct db *db = open_up(&config);
	struct answer a;

	(void)state;
	ask_simple(db, "CREATE TABLE once (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)");
	assert_int_equal(ask(db, "INSERT INTO once VALUES (1) RETURNING 'x'::text", NULL).outcome,
			 DB_OK);
	a = ask(db, "INSERT INTO once VALUES (1) RETURNING 'x'::text", NULL);
	assert_int_equal(a.outcome, DB_ERROR);
	assert_string_equal(a.sqlstate, "23505");
	db_close(db);
}

static void queries_queue_in_order(void **state)
{
	struct db_config config = plain_config();
	struct db *db = open_up(&config);
	struct answer a[50] = { 0 };

	(void)state;
	for (int i = 0; i < 50; i++)
		assert_true(db_query(db, i % 2 ? "SELECT pg_sleep(0.001)" : "SELECT 1", NULL,
				     note_answer, &a[i]));
	assert_int_equal(db_pending(db), 50);
	assert_false(db_idle(db));
	assert_int_equal(a[0].calls, 0);
	WAIT_FOR(a[49].calls > 0);
	for (int i = 1; i < 50; i++) {
		assert_int_equal(a[i].calls, 1);
		assert_int_equal(a[i].order, a[i - 1].order + 1);
	}
	assert_int_equal(db_pending(db), 0);
	assert_true(db_idle(db));
	db_close(db);
}

static struct answer second_answer;

static void ask_another(struct answer *a, const struct db_result *r)
{
	(void)r;
	/* Its own place is free: a batch that has collected meanwhile can go out at once. */
	assert_true(db_idle(a->db));
	assert_true(db_query(a->db, "SELECT 'second'::text", NULL, note_answer, &second_answer));
	assert_int_equal(second_answer.calls, 0);
}

static void callbacks_may_query(void **state)
{
	struct db_config config = plain_config();
	struct db *db = open_up(&config);
	struct answer a = { .then = ask_another, .db = db };

	(void)state;
	assert_true(db_query(db, "SELECT 1", NULL, note_answer, &a));
	WAIT_FOR(second_answer.calls > 0);
	assert_string_equal(second_answer.text, "second");
	db_close(db);
}

static void close_it(struct answer *a, const struct db_result *r)
{
	if (a->db != NULL)
		db_close(a->db);
	if (r->outcome == DB_OK)
		assert_int_equal(dbr_rows(r->res), 1); /* still readable */
}

static void callbacks_may_close(void **state)
{
	struct db_config config = plain_config();
	struct db *db = open_up(&config);
	struct answer first = { .then = close_it, .db = db }, rest[3] = { 0 };

	(void)state;
	assert_true(db_query(db, "SELECT 1", NULL, note_answer, &first));
	for (int i = 0; i < 3; i++)
		assert_true(db_query(db, "SELECT 2", NULL, note_answer, &rest[i]));
	WAIT_FOR(first.calls > 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(rest[i].calls, 1);
		assert_int_equal(rest[i].outcome, DB_LOST);
		assert_false(rest[i].sent);
	}
}

static void transactions(void **state)
{
	struct db_config config = plain_config();
	struct db *db = open_up(&config);

	(void)state;
	ask_simple(db, "CREATE TABLE tx (v text)");
	assert_false(db_in_transaction(db));
	ask_simple(db, "BEGIN");
	assert_true(db_in_transaction(db));
	ask(db, "INSERT INTO tx VALUES ('rolled back')", NULL);
	ask_simple(db, "ROLLBACK");
	assert_false(db_in_transaction(db));
	ask_simple(db, "BEGIN");
	ask(db, "INSERT INTO tx VALUES ('kept')", NULL);
	ask_simple(db, "COMMIT");
	assert_string_equal(ask(db, "SELECT string_agg(v, ',') FROM tx", NULL).text, "kept");
	/* An error leaves the transaction open until the owner ends it. */
	ask_simple(db, "BEGIN");
	assert_int_equal(ask(db, "SELECT 1 / 0", NULL).outcome, DB_ERROR);
	assert_true(db_in_transaction(db));
	assert_string_equal(ask(db, "SELECT 1", NULL).sqlstate, "25P02");
	ask_simple(db, "ROLLBACK");
	assert_false(db_in_transaction(db));
	db_close(db);
}

/* A release changes what a function returns while our statements are prepared. */
static void survives_a_changed_function(void **state)
{
	static const char sql[] = "SELECT * FROM changing()";
	struct db_config config = plain_config();
	struct db *db = open_up(&config), *other = open_up(&config);

	(void)state;
	ask_simple(
		other,
		"CREATE FUNCTION changing() RETURNS TABLE (a text) LANGUAGE sql AS $$ SELECT 'old' $$");
	assert_string_equal(ask(db, sql, NULL).text, "old");
	ask_simple(
		other,
		"DROP FUNCTION changing(); CREATE FUNCTION changing() RETURNS TABLE (a text, b int)"
		" LANGUAGE sql AS $$ SELECT 'new', 1 $$");
	assert_string_equal(ask(db, sql, NULL).text, "new");
	/* Somebody deallocated under us: a pooler, for one. */
	log_set_level(LOG_LEVEL_NONE);
	ask_simple(db, "DEALLOCATE ALL");
	assert_string_equal(ask(db, sql, NULL).text, "new");
	log_set_level(LOG_LEVEL_ERROR);
	db_close(db);
	db_close(other);
}

static void settings_of_the_session(void **state)
{
	struct db_config config = plain_config();
	struct db *db;
	struct answer a;

	(void)state;
	config.statement_timeout_ms = 50;
	config.session_sql = "SET work_mem = '1234kB'";
	db = open_up(&config);
	assert_string_equal(ask(db, "SELECT current_setting('work_mem')", NULL).text, "1234kB");
	assert_string_equal(ask(db, "SELECT current_setting('application_name')", NULL).text,
			    "unit");
	a = ask(db, "SELECT pg_sleep(10)", NULL);
	assert_int_equal(a.outcome, DB_ERROR);
	assert_string_equal(a.sqlstate, "57014");
	db_close(db);
}

static struct {
	int n;
	char channel[64], payload[64];
} heard;

static void hear(void *ctx, const char *channel, const char *payload)
{
	(void)ctx;
	heard.n++;
	snprintf(heard.channel, sizeof(heard.channel), "%s", channel);
	snprintf(heard.payload, sizeof(heard.payload), "%s", payload);
}

static void listens(void **state)
{
	struct db_config config = plain_config();
	struct db *db = db_open(loop, &config, "test", NULL, NULL), *other = open_up(&config);

	(void)state;
	db_on_notify(db, hear, NULL);
	db_listen(db, "before"); /* perhaps not even connected */
	WAIT_FOR(db_up(db));
	db_listen(db, "Odd \"name\"");
	ask(db, "SELECT 1", NULL);
	ask_simple(other, "NOTIFY before, 'one'");
	WAIT_FOR(heard.n == 1);
	assert_string_equal(heard.channel, "before");
	assert_string_equal(heard.payload, "one");
	ask_simple(other, "NOTIFY \"Odd \"\"name\"\"\", 'two'");
	WAIT_FOR(heard.n == 2);
	assert_string_equal(heard.payload, "two");
	/* Again after the connection was replaced, and before it counts as up. */
	db_reset(db);
	WAIT_FOR(db_up(db));
	ask_simple(other, "NOTIFY before, 'three'; NOTIFY \"Odd \"\"name\"\"\", 'four'");
	WAIT_FOR(heard.n == 4);
	db_close(db);
	db_close(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parameters_arrive),
		cmocka_unit_test(results_are_read),
		cmocka_unit_test(arrays_arrive),
		cmocka_unit_test(large_arrays_and_values),
		cmocka_unit_test(failed_parameters_are_refused),
		cmocka_unit_test(statements_are_prepared_once),
		cmocka_unit_test(errors_are_answers),
		cmocka_unit_test(a_failing_commit_is_an_error),
		cmocka_unit_test(queries_queue_in_order),
		cmocka_unit_test(callbacks_may_query),
		cmocka_unit_test(callbacks_may_close),
		cmocka_unit_test(transactions),
		cmocka_unit_test(survives_a_changed_function),
		cmocka_unit_test(settings_of_the_session),
		cmocka_unit_test(listens),
	};

	return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
