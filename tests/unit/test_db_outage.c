/*
 * test_db_outage.c: connections that break, hang, or never come about.
 */
#include "db_fixture.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static int ups, downs;

static void count_state(void *ctx, bool up)
{
	(void)ctx;
	if (up)
		ups++;
	else
		downs++;
}

static struct db *open_counted(const struct db_config *config)
{
	struct db *db;

	ups = downs = 0;
	log_set_level(LOG_LEVEL_NONE);
	db = db_open(loop, config, "test", count_state, NULL);
	WAIT_FOR(db_up(db));
	assert_int_equal(ups, 1);
	return db;
}

static void close_counted(struct db *db)
{
	int before = downs;

	db_close(db);
	assert_int_equal(downs, before);
	log_set_level(LOG_LEVEL_ERROR);
}

/* The server ends our session in the middle of a query: its outcome is unknown, the queued ones never
 * left; then everything works again, prepared statements included. */
static void a_lost_connection_comes_back(void **state)
{
	static const char kill_me[] = "SELECT pg_terminate_backend(pg_backend_pid())";
	struct db_config config = plain_config();
	struct db *db = open_counted(&config);
	struct answer a[3] = { 0 };

	(void)state;
	assert_string_equal(ask(db, "SELECT 'prepared'::text", NULL).text, "prepared");
	for (int i = 0; i < 3; i++)
		assert_true(db_query(db, i == 0 ? kill_me : "SELECT 1", NULL, note_answer, &a[i]));
	WAIT_FOR(a[2].calls > 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(a[i].calls, 1);
		assert_int_equal(a[i].outcome, DB_LOST);
		assert_int_equal(a[i].sent, i == 0);
	}
	assert_string_equal(a[0].sqlstate, "57P01");
	assert_int_equal(downs, 1);
	assert_false(db_up(db));
	assert_false(db_query(db, "SELECT 1", NULL, note_answer, &a[0]));
	WAIT_FOR(db_up(db));
	assert_int_equal(ups, 2);
	assert_string_equal(ask(db, "SELECT 'prepared'::text", NULL).text, "prepared");
	close_counted(db);
}

/* Killed while it does nothing: noticed without a query. */
static void an_idle_connection_notices(void **state)
{
	struct db_config config = plain_config();
	struct db *db = open_counted(&config), *other = open_up(&config);

	(void)state;
	ask(other,
	    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'unit'"
	    " AND pid <> pg_backend_pid()",
	    NULL);
	WAIT_FOR(downs == 1);
	WAIT_FOR(ups == 2);
	db_close(other);
	close_counted(db);
}

static void a_server_restart_heals(void **state)
{
	struct db_config config = plain_config();
	struct db *db = open_counted(&config);
	struct answer a = { 0 };

	(void)state;
	assert_true(db_query(db, "SELECT pg_sleep(30)", NULL, note_answer, &a));
	turn_loop();
	run_script("restart");
	WAIT_FOR(a.calls > 0);
	assert_int_equal(a.outcome, DB_LOST);
	assert_true(a.sent);
	WAIT_FOR(db_up(db));
	assert_int_equal(ask(db, "SELECT 1", NULL).outcome, DB_OK);
	close_counted(db);
}

static void a_stuck_query_times_out(void **state)
{
	struct db_config config = plain_config();
	struct answer stuck = { 0 }, behind = { 0 };
	struct db *db;

	(void)state;
	config.query_timeout_ms = 100;
	db = open_counted(&config);
	assert_true(db_query(db, "SELECT pg_sleep(30)", NULL, note_answer, &stuck));
	assert_true(db_query(db, "SELECT 1", NULL, note_answer, &behind));
	WAIT_FOR(behind.calls > 0);
	assert_int_equal(stuck.outcome, DB_TIMEOUT);
	assert_true(stuck.sent);
	assert_int_equal(behind.outcome, DB_LOST);
	assert_false(behind.sent);
	WAIT_FOR(db_up(db));
	/* The limit is for each query, not for a row of them. */
	for (int i = 0; i < 4; i++)
		assert_int_equal(ask(db, "SELECT pg_sleep(0.05)", NULL).outcome, DB_OK);
	close_counted(db);
}

static void a_reset_rolls_back(void **state)
{
	struct db_config config = plain_config();
	struct db *db = open_counted(&config);
	struct answer a = { 0 };

	(void)state;
	ask_simple(db, "CREATE TABLE IF NOT EXISTS reset_me (v int)");
	ask_simple(db, "BEGIN");
	ask(db, "INSERT INTO reset_me VALUES (1)", NULL);
	assert_true(db_query(db, "SELECT pg_sleep(0.01)", NULL, note_answer, &a));
	db_reset(db);
	assert_int_equal(a.calls, 1);
	assert_int_equal(a.outcome, DB_LOST);
	assert_false(db_in_transaction(db));
	WAIT_FOR(db_up(db));
	assert_string_equal(ask(db, "SELECT count(*)::text FROM reset_me", NULL).text, "0");
	close_counted(db);
}

static void reset_it(struct answer *a, const struct db_result *r)
{
	(void)r;
	db_reset(a->db);
}

static void close_when_lost(struct answer *a, const struct db_result *r)
{
	(void)r;
	db_close(a->db);
}

static void callbacks_may_reset_and_close(void **state)
{
	struct db_config config = plain_config();
	struct db *db = open_counted(&config);
	struct answer a = { .then = reset_it, .db = db }, b = { 0 }, c = { 0 };

	(void)state;
	assert_true(db_query(db, "SELECT 1", NULL, note_answer, &a));
	assert_true(db_query(db, "SELECT 1", NULL, note_answer, &b));
	WAIT_FOR(b.calls > 0);
	assert_int_equal(a.outcome, DB_OK);
	assert_int_equal(b.outcome, DB_LOST);
	WAIT_FOR(db_up(db));
	a = (struct answer){ .then = close_when_lost, .db = db };
	b = (struct answer){ 0 };
	assert_true(db_query(db, "SELECT pg_terminate_backend(pg_backend_pid())", NULL, note_answer,
			     &a));
	assert_true(db_query(db, "SELECT 1", NULL, note_answer, &b));
	assert_true(db_query(db, "SELECT 1", NULL, note_answer, &c));
	WAIT_FOR(c.calls > 0);
	assert_int_equal(b.outcome, DB_LOST);
	assert_int_equal(c.calls, 1);
	log_set_level(LOG_LEVEL_ERROR);
}

static void copy_is_refused(void **state)
{
	struct db_config config = plain_config();
	struct db *db = open_counted(&config);
	struct answer a = { 0 };

	(void)state;
	assert_true(db_exec_simple(db, "COPY (SELECT 1) TO STDOUT", note_answer, &a));
	WAIT_FOR(a.calls > 0);
	assert_int_equal(a.outcome, DB_LOST);
	WAIT_FOR(db_up(db));
	close_counted(db);
}

static int listen_loopback(int *port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	*port = ntohs(addr.sin_port);
	return fd;
}

/* The first host accepts and says nothing: the next attempt begins with the second one. */
static void a_silent_host_is_passed_over(void **state)
{
	struct db_config config = plain_config();
	char conninfo[400];
	struct db *db;
	int port, fd = listen_loopback(&port);

	(void)state;
	snprintf(conninfo, sizeof(conninfo),
		 "host=127.0.0.1,127.0.0.1 port=%d,%d user=test dbname=postgres sslmode=disable",
		 port, pg_port);
	config.conninfo = conninfo;
	config.connect_timeout_ms = 50;
	db = open_counted(&config);
	assert_int_equal(ask(db, "SELECT 1", NULL).outcome, DB_OK);
	close_counted(db);
	/* The same list through the environment, as a URI would have it. */
	snprintf(conninfo, sizeof(conninfo), "%d,%d", port, pg_port);
	setenv("PGHOST", "127.0.0.1,127.0.0.1", 1);
	setenv("PGPORT", conninfo, 1);
	config.conninfo = "postgresql://test@/postgres?sslmode=disable";
	db = open_counted(&config);
	close_counted(db);
	unsetenv("PGHOST");
	unsetenv("PGPORT");
	close(fd);
}

static void a_refusing_host_is_passed_over(void **state)
{
	struct db_config config = plain_config();
	char conninfo[400];
	struct db *db;
	int port, fd = listen_loopback(&port);

	(void)state;
	close(fd);
	snprintf(conninfo, sizeof(conninfo),
		 "host=127.0.0.1,%s port=%d,%d user=test dbname=postgres", pg_dir, port, pg_port);
	config.conninfo = conninfo;
	db = open_counted(&config);
	close_counted(db);
}

/* Nothing there, or nothing that makes sense: says why, keeps trying, can be closed at any time. */
static void nothing_to_connect_to(void **state)
{
	static const char *const bad[] = { "host=/nonexistent", "host=127.0.0.1 port=1",
					   "nonsense=1", "host='unclosed" };
	struct db_config config = plain_config();

	(void)state;
	log_set_level(LOG_LEVEL_NONE);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct db *db;

		config.conninfo = bad[i];
		ups = downs = 0;
		db = db_open(loop, &config, "test", count_state, NULL);
		WAIT_FOR(db_last_error(db)[0] != '\0');
		for (int turn = 0; turn < 5; turn++)
			turn_loop();
		assert_null(strchr(db_last_error(db), '\n'));
		assert_int_equal(ups + downs, 0);
		db_close(db);
	}
	db_close(NULL);
	log_set_level(LOG_LEVEL_ERROR);
}

/* Settings that the server refuses: never up. */
static void bad_session_settings(void **state)
{
	struct db_config config = plain_config();
	struct db *db;

	(void)state;
	log_set_level(LOG_LEVEL_NONE);
	config.session_sql = "SET nothing_like_it = 1";
	db = db_open(loop, &config, "test", NULL, NULL);
	WAIT_FOR(strstr(db_last_error(db), "nothing_like_it") != NULL);
	assert_false(db_up(db));
	db_close(db);
	log_set_level(LOG_LEVEL_ERROR);
}

static void outages_are_told_from_mistakes(void **state)
{
	static const struct {
		enum db_outcome outcome;
		const char *sqlstate;
		bool outage;
	} cases[] = {
		{ DB_OK, "", false },         { DB_LOST, "", true },
		{ DB_TIMEOUT, "", true },     { DB_ERROR, "57P01", true },
		{ DB_ERROR, "57014", false }, { DB_ERROR, "08006", true },
		{ DB_ERROR, "53300", true },  { DB_ERROR, "23505", false },
		{ DB_ERROR, "25006", true },  { DB_ERROR, "LH001", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct db_result r = { .outcome = cases[i].outcome, .sqlstate = cases[i].sqlstate };

		assert_int_equal(db_is_outage(&r), cases[i].outage);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lost_connection_comes_back),
		cmocka_unit_test(an_idle_connection_notices),
		cmocka_unit_test(a_server_restart_heals),
		cmocka_unit_test(a_stuck_query_times_out),
		cmocka_unit_test(a_reset_rolls_back),
		cmocka_unit_test(callbacks_may_reset_and_close),
		cmocka_unit_test(copy_is_refused),
		cmocka_unit_test(a_silent_host_is_passed_over),
		cmocka_unit_test(a_refusing_host_is_passed_over),
		cmocka_unit_test(nothing_to_connect_to),
		cmocka_unit_test(bad_session_settings),
		cmocka_unit_test(outages_are_told_from_mistakes),
	};

	return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
