/*
 * test_cursor.c: the claim cursor, its trailing floor, and the horizon that moves it.
 * links: worker/cursor.c
 */
#include "test.h"

#include "worker/cursor.h"

static void priorities_are_kept_in_order(void **state)
{
	struct cursor c = { 0 };

	(void)state;
	cursor_reset(&c);
	assert_int_equal(c.n, 1);
	assert_int_equal(c.v[0].priority, 0);
	cursor_saw(&c, -5, 10);
	cursor_saw(&c, 100, 11);
	cursor_saw(&c, 7, 12);
	cursor_saw(&c, 100, 9);
	assert_int_equal(c.n, 4);
	assert_int_equal(c.v[0].priority, 100);
	assert_int_equal(c.v[0].after, 11);
	assert_int_equal(c.v[1].priority, 7);
	assert_int_equal(c.v[2].priority, 0);
	assert_int_equal(c.v[2].after, 0);
	assert_int_equal(c.v[3].priority, -5);
	cursor_reset(&c);
	assert_int_equal(c.n, 1);
	assert_int_equal(c.v[0].after, 0);
	cursor_free(&c);
}

/* All priorities are settled up to there, and a look back has been sent. */
static void look(struct cursor *c, int64_t settled)
{
	for (size_t i = 0; i < c->n; i++)
		c->v[i].horizon.settled = settled;
	cursor_look(c);
}

/* Requeued jobs have negative numbers: they must not move the cursor. */
static void requeued_jobs_do_not_move_it(void **state)
{
	struct cursor c = { 0 };

	(void)state;
	cursor_reset(&c);
	cursor_saw(&c, 0, 5);
	cursor_saw(&c, 0, 5 - ((int64_t)1 << 62));
	assert_int_equal(c.v[0].after, 5);
	look(&c, 100);
	cursor_looked(&c, false, true, 0, 5 - ((int64_t)1 << 62));
	assert_int_equal(c.v[0].floor, 0);
	cursor_free(&c);
}

static void a_short_look_settles_all(void **state)
{
	struct cursor c = { 0 };

	(void)state;
	cursor_reset(&c);
	cursor_saw(&c, 3, 50);
	cursor_saw(&c, 0, 20);
	look(&c, 40);
	cursor_looked(&c, true, true, 0, 20);
	assert_int_equal(cursor_floor(&c, 3), 40);
	assert_int_equal(c.v[0].after, 50);
	assert_int_equal(cursor_floor(&c, 0), 40);
	assert_int_equal(c.v[1].after, 40); /* nothing is left below the floor */
	look(&c, 30);
	cursor_looked(&c, true, true, 0, 20); /* never back */
	assert_int_equal(cursor_floor(&c, 0), 40);
	assert_int_equal(cursor_floor(&c, 9), 0);
	cursor_free(&c);
}

/* What a full look has seen ends at its last row; priorities below it weren't looked at. */
static void a_full_look_settles_up_to_its_last_row(void **state)
{
	struct cursor c = { 0 };

	(void)state;
	cursor_reset(&c);
	cursor_saw(&c, 5, 10);
	cursor_saw(&c, 0, 70);
	cursor_saw(&c, -5, 60);
	look(&c, 100);
	cursor_looked(&c, false, true, 0, 70);
	assert_int_equal(cursor_floor(&c, 5), 100);
	assert_int_equal(cursor_floor(&c, 0), 70);
	assert_int_equal(cursor_floor(&c, -5), 0);
	look(&c, 65);
	cursor_looked(&c, false, true, -5, 90);
	assert_int_equal(cursor_floor(&c, -5), 65); /* not past what is settled */
	cursor_free(&c);
}

/* With ageing, a full look that ended in a low priority hasn't emptied the higher ones. */
static void a_full_look_with_ageing_settles_its_last_priority_only(void **state)
{
	struct cursor c = { 0 };

	(void)state;
	cursor_reset(&c);
	cursor_saw(&c, 5, 10);
	cursor_saw(&c, 0, 70);
	look(&c, 100);
	cursor_looked(&c, false, false, 0, 70);
	assert_int_equal(cursor_floor(&c, 5), 0);
	assert_int_equal(cursor_floor(&c, 0), 70);
	look(&c, 100);
	cursor_looked(&c, true, false, 0, 70);
	assert_int_equal(cursor_floor(&c, 5), 100);
	cursor_free(&c);
}

/* What becomes settled while a look back is under way was perhaps not seen by it. */
static void a_look_counts_what_was_settled_when_it_was_sent(void **state)
{
	struct cursor c = { 0 };

	(void)state;
	cursor_reset(&c);
	cursor_horizon(&c, 0, 50, 1000, 1000);
	cursor_horizon(&c, 0, 90, 1010, 1005);
	cursor_horizon(&c, 7, 90, 1010, 1005); /* not known: nothing happens */
	assert_int_equal(c.n, 1);
	cursor_look(&c);
	cursor_horizon(&c, 0, 99, 1020, 1020);
	cursor_saw(&c, 3, 30);
	cursor_looked(&c, true, true, 0, 0);
	assert_int_equal(cursor_floor(&c, 0), 50);
	assert_int_equal(cursor_floor(&c, 3), 0);
	cursor_look(&c);
	cursor_looked(&c, true, true, 0, 0);
	assert_int_equal(cursor_floor(&c, 0), 90);
	cursor_free(&c);
}

static void the_horizon_waits_for_older_transactions(void **state)
{
	struct horizon h = { 0 };

	(void)state;
	horizon_update(&h, 100, 1000, 990); /* 990…999 may have drawn up to 100 */
	assert_int_equal(h.settled, 0);
	horizon_update(&h, 150, 1010, 999);
	assert_int_equal(h.settled, 0);
	horizon_update(&h, 200, 1020, 1000); /* all of them have ended */
	assert_int_equal(h.settled, 100);
	horizon_update(&h, 300, 1030, 1015);
	assert_int_equal(h.settled, 100); /* 200 waits for 1020 */
	horizon_update(&h, 300, 1040, 1020);
	assert_int_equal(h.settled, 200);
}

static void an_idle_database_settles_at_once(void **state)
{
	struct horizon h = { 0 };

	(void)state;
	horizon_update(&h, 7, 50, 50);
	horizon_update(&h, 7, 50, 50);
	assert_int_equal(h.settled, 7);
	assert_false(h.pending);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(priorities_are_kept_in_order),
		cmocka_unit_test(requeued_jobs_do_not_move_it),
		cmocka_unit_test(a_short_look_settles_all),
		cmocka_unit_test(a_full_look_settles_up_to_its_last_row),
		cmocka_unit_test(a_full_look_with_ageing_settles_its_last_priority_only),
		cmocka_unit_test(a_look_counts_what_was_settled_when_it_was_sent),
		cmocka_unit_test(the_horizon_waits_for_older_transactions),
		cmocka_unit_test(an_idle_database_settles_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
