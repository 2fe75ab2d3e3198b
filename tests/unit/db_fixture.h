/*
 * db_fixture.h: a real PostgreSQL, an event loop and queries that can be waited for.
 */
#ifndef LONGHAUL_DB_FIXTURE_H
#define LONGHAUL_DB_FIXTURE_H

#include "test.h"

#include <ev.h>

#include "common/buf.h"
#include "common/db.h"
#include "common/log.h"
#include "common/times.h"

#define SCRIPT "tests/unit/postgres.sh"

static char pg_dir[256];
static int pg_port;
static char pg_conninfo[400];
static struct ev_loop *loop;

static inline void run_script(const char *what)
{
	char command[600];

	snprintf(command, sizeof(command), SCRIPT " %s %s", what, pg_dir);
	assert_int_equal(system(command), 0);
}

static inline int fixture_start(void **state)
{
	FILE *p = popen(SCRIPT " start", "r"); /* tests run from the top folder */
	char port[16];

	(void)state;
	if (p == NULL || fscanf(p, "%255s %15s", pg_dir, port) != 2 || pclose(p) != 0)
		return -1;
	pg_port = (int)strtol(port, NULL, 10);
	snprintf(pg_conninfo, sizeof(pg_conninfo), "host=%s port=%d user=test dbname=postgres",
		 pg_dir, pg_port);
	log_open("test", getenv("VERBOSE") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	loop = ev_loop_new(EVFLAG_AUTO);
	return 0;
}

static inline int fixture_stop(void **state)
{
	(void)state;
	ev_loop_destroy(loop);
	run_script("stop");
	return 0;
}

/* What a query was answered; `text` is column 0 of row 0 if that is text, else "". */
struct answer {
	int calls, order;
	enum db_outcome outcome;
	bool sent;
	int rows;
	char sqlstate[6];
	char message[200];
	char text[400];
	void (*then)(struct answer *, const struct db_result *); /* extra, in the callback */
	struct db *db;
	void *more;
};

static int answers_so_far;

static inline void note_answer(void *ctx, const struct db_result *r)
{
	struct answer *a = ctx;

	a->calls++;
	a->order = ++answers_so_far;
	a->outcome = r->outcome;
	a->sent = r->sent;
	snprintf(a->sqlstate, sizeof(a->sqlstate), "%s", r->sqlstate);
	snprintf(a->message, sizeof(a->message), "%s", r->message);
	if (r->outcome == DB_OK) {
		a->rows = dbr_rows(r->res);
		log_set_level(LOG_LEVEL_NONE);
		if (a->then == NULL && a->rows > 0)
			snprintf(a->text, sizeof(a->text), "%s", dbr_text(r->res, 0, 0, NULL));
		log_set_level(LOG_LEVEL_ERROR);
	} else {
		assert_null(r->res);
	}
	if (a->then != NULL)
		a->then(a, r);
}

static inline void on_ticker(struct ev_loop *l, ev_timer *w, int revents)
{
	(void)w;
	(void)revents;
	ev_break(l, EVBREAK_ONE);
}

/* One turn of the loop, at most 10 ms. */
static inline void turn_loop(void)
{
	ev_timer ticker;

	ev_timer_init(&ticker, on_ticker, 0.01, 0.);
	ev_now_update(loop);
	ev_timer_start(loop, &ticker);
	ev_run(loop, EVRUN_ONCE);
	ev_timer_stop(loop, &ticker);
}

/* Runs the loop until the condition holds; the test fails after ten seconds without it. */
#define WAIT_FOR(condition)                                                                    \
	do {                                                                                   \
		int64_t until_ = mono_ms() + 10000;                                            \
                                                                                               \
		while (!(condition)) {                                                         \
			if (mono_ms() > until_)                                                \
				fail_msg("line %d: waited in vain for " #condition, __LINE__); \
			turn_loop();                                                           \
		}                                                                              \
	} while (0)

static inline struct db_config plain_config(void)
{
	struct db_config c = { .conninfo = pg_conninfo,
			       .application_name = "unit",
			       .prepared = true,
			       .reconnect_min_ms = 5,
			       .reconnect_max_ms = 50,
			       .query_timeout_ms = 5000 };

	return c;
}

static inline struct db *open_up(const struct db_config *config)
{
	struct db *db = db_open(loop, config, "test", NULL, NULL);

	WAIT_FOR(db_up(db));
	return db;
}

/* Asks and waits. */
static inline struct answer ask(struct db *db, const char *sql, const struct db_params *p)
{
	struct answer a = { 0 };

	assert_true(db_query(db, sql, p, note_answer, &a));
	WAIT_FOR(a.calls > 0);
	return a;
}

static inline struct answer ask_simple(struct db *db, const char *sql)
{
	struct answer a = { 0 };

	assert_true(db_exec_simple(db, sql, note_answer, &a));
	WAIT_FOR(a.calls > 0);
	return a;
}

#endif
