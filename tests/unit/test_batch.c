/*
 * test_batch.c: coalescing lanes on a real PostgreSQL.
 * links: api/batch.c
 */
#include "db_fixture.h"

#include "api/batch.h"
#include "common/pgarray.h"

/* Items are numbers; the statement divides by each, so a zero fails it. */
struct number {
	struct lane_item lane;
	int32_t v;
	int delivered, failed;
	int32_t quotient;
	char sqlstate[6];
	bool sent;
};

#define ITEMS 200

static struct db *db;
static struct lane lane;
static struct pgarray values;
static struct number numbers[ITEMS];
static int statements, most, finished;

static void encode(struct db_params *params, struct lane_item *const *items, size_t n)
{
	pga_reset(&values);
	for (size_t i = 0; i < n; i++)
		pga_int4(&values, ((const struct number *)items[i])->v);
	dbp_array(params, &values);
	statements++;
	if ((int)n > most)
		most = (int)n;
}

static void deliver(struct lane_item *const *items, size_t n, const PGresult *res)
{
	assert_int_equal(dbr_rows(res), n);
	for (size_t i = 0; i < n; i++) {
		struct number *number = (struct number *)items[i];

		number->delivered++;
		number->quotient = dbr_int4(res, (int)i, 0);
		finished++;
	}
}

static void failed(struct lane_item *item, const struct db_result *why)
{
	struct number *number = (struct number *)item;

	number->failed++;
	number->sent = why->sent;
	snprintf(number->sqlstate, sizeof(number->sqlstate), "%s", why->sqlstate);
	finished++;
}

static bool even(const struct lane_item *item, const char *sqlstate)
{
	(void)sqlstate;
	return ((const struct number *)item)->v % 2 == 0;
}

#define SQL "SELECT 5040 / v FROM unnest($1::int4[]) WITH ORDINALITY AS u(v, n) ORDER BY n"

static const struct lane_ops halving = { SQL, encode, deliver, NULL, failed, false, NULL };
static const struct lane_ops suspecting = { SQL, encode, deliver, even, failed, false, NULL };
static const struct lane_ops missing = {
	"SELECT no_such_function($1::int4[])", encode, deliver, NULL, failed, false, NULL
};

static void open_lane(const struct lane_ops *ops, size_t max_rows, int64_t max_bytes)
{
	struct db_config config = plain_config();

	db = open_up(&config);
	pga_init(&values, DB_INT4);
	batch_start(loop);
	lane_open(&lane, ops, db, max_rows, max_bytes, ITEMS);
	memset(numbers, 0, sizeof(numbers));
	statements = most = finished = 0;
	for (int i = 0; i < ITEMS; i++)
		numbers[i].v = 2 * i + 1;
	log_set_level(LOG_LEVEL_NONE);
}

static void close_lane(void)
{
	assert_int_equal(lane_pending(&lane), 0);
	db_close(db);
	lane_close(&lane);
	batch_stop();
	pga_free(&values);
	log_set_level(LOG_LEVEL_ERROR);
}

static void add(int from, int to)
{
	for (int i = from; i < to; i++)
		assert_true(lane_add(&lane, &numbers[i].lane));
}

/* Every number but those that are zero was delivered once, with its own answer. */
static void check(int n)
{
	for (int i = 0; i < n; i++) {
		assert_int_equal(numbers[i].delivered, numbers[i].v != 0);
		assert_int_equal(numbers[i].failed, numbers[i].v == 0);
		if (numbers[i].v != 0)
			assert_int_equal(numbers[i].quotient, 5040 / numbers[i].v);
		else
			assert_string_equal(numbers[i].sqlstate, "22012");
	}
}

static void what_comes_meanwhile_goes_together(void **state)
{
	(void)state;
	open_lane(&halving, ITEMS, INT64_MAX);
	add(0, 1);
	assert_int_equal(statements, 0); /* sent when the loop is about to sleep */
	WAIT_FOR(statements == 1);
	add(1, 100);
	WAIT_FOR(finished == 100);
	assert_int_equal(statements, 2);
	check(100);
	close_lane();
}

static void rows_and_bytes_are_bounded(void **state)
{
	(void)state;
	open_lane(&halving, 30, INT64_MAX);
	add(0, ITEMS);
	assert_false(lane_add(&lane, &numbers[0].lane)); /* the queue is full */
	WAIT_FOR(finished == ITEMS);
	assert_int_equal(most, 30);
	assert_int_equal(statements, (ITEMS + 29) / 30);
	close_lane();

	open_lane(&halving, 30, 1000);
	for (int i = 0; i < 20; i++)
		numbers[i].lane.bytes = i == 7 ? 5000 : 300; /* one above the limit goes alone */
	add(0, 20);
	WAIT_FOR(finished == 20);
	assert_int_equal(most, 3);
	check(20);
	close_lane();
}

static void only_those_at_fault_fail(void **state)
{
	static const int zeros[] = { 0, 77, 78, ITEMS - 1 };

	(void)state;
	open_lane(&halving, ITEMS, INT64_MAX);
	for (size_t i = 0; i < sizeof(zeros) / sizeof(zeros[0]); i++)
		numbers[zeros[i]].v = 0;
	add(0, ITEMS);
	WAIT_FOR(finished == ITEMS);
	check(ITEMS);
	assert_in_range(statements, 10, 2 * 4 * 8 + 1); /* log2(200) < 8 levels for each */
	close_lane();
}

static void innocents_go_first(void **state)
{
	(void)state;
	open_lane(&suspecting, ITEMS, INT64_MAX);
	numbers[50].v = 0;
	add(0, ITEMS);
	WAIT_FOR(finished == ITEMS);
	check(ITEMS);
	assert_int_equal(statements, 3); /* all, all that are odd, the zero */
	close_lane();
}

/* What fails for every item isn't tried in halves. */
static void hopeless_statements_fail_at_once(void **state)
{
	(void)state;
	open_lane(&missing, ITEMS, INT64_MAX);
	add(0, ITEMS);
	WAIT_FOR(finished == ITEMS);
	assert_int_equal(statements, 1);
	for (int i = 0; i < ITEMS; i++)
		assert_string_equal(numbers[i].sqlstate, "42883");
	close_lane();
}

static void a_lost_connection_fails_all(void **state)
{
	(void)state;
	open_lane(&halving, 10, INT64_MAX);
	add(0, 30);
	WAIT_FOR(statements == 1);
	db_reset(db);
	WAIT_FOR(finished == 30);
	for (int i = 0; i < 30; i++) {
		assert_int_equal(numbers[i].failed, 1);
		assert_int_equal(numbers[i].sent, i < 10); /* the others never left */
	}
	WAIT_FOR(db_up(db));
	add(30, 40);
	WAIT_FOR(finished == 40);
	for (int i = 30; i < 40; i++)
		assert_int_equal(numbers[i].delivered, 1);
	close_lane();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_comes_meanwhile_goes_together),
		cmocka_unit_test(rows_and_bytes_are_bounded),
		cmocka_unit_test(only_those_at_fault_fail),
		cmocka_unit_test(innocents_go_first),
		cmocka_unit_test(hopeless_statements_fail_at_once),
		cmocka_unit_test(a_lost_connection_fails_all),
	};

	return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
