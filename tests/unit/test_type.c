/*
 * test_type.c: how many jobs of a type a worker holds and hands out, by how long they take.
 * links: worker/type.c worker/history.c worker/cursor.c
 */
#include "test.h"

#include "worker/type.h"

struct worker_config config;

static int set_up(void **state)
{
	struct type *t;

	config.claim_batch = 500;
	config.prefetch = 2000;
	config.prefetch_ms = 100;
	config.prefetch_bytes = 1000000;
	t = type_add("t");
	t->cfg.handler = NULL;
	t->cfg.slots = 4;
	*state = t;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	types_free();
	return 0;
}

static void run(struct type *t, int times, int64_t us)
{
	while (times-- > 0)
		type_ran(t, us);
}

static void an_unknown_type_gets_its_slots(void **state)
{
	struct type *t = *state;

	assert_int_equal(type_capacity(t), 4);
	assert_int_equal(type_batch(t), 1);
	assert_int_equal(type_want(t), 4);
	t->n_held = 3;
	assert_int_equal(type_want(t), 1);
	t->n_held = 4;
	assert_int_equal(type_want(t), 0);
}

static void long_jobs_are_not_claimed_ahead(void **state)
{
	struct type *t = *state;

	run(t, 1, 60000000);
	assert_int_equal(type_capacity(t), 4);
	assert_int_equal(type_batch(t), 1);
}

static void short_jobs_are_claimed_ahead_and_handed_out_in_batches(void **state)
{
	struct type *t = *state;

	run(t, 1, 1000); /* a millisecond each: 400 in 100 ms with 4 slots */
	assert_int_equal(type_capacity(t), 404);
	assert_int_equal(type_batch(t), 2);
	run(t, 200, 0);
	assert_int_equal(type_capacity(t), 2004);
	assert_int_equal(type_batch(t), 64);
	assert_int_equal(type_want(t), 500);
}

/* One statement for a few rows isn't worth it while there is work. */
static void a_full_type_waits_until_claiming_is_worth_it(void **state)
{
	struct type *t = *state;

	run(t, 200, 0);
	t->n_held = 1900;
	t->n_waiting = 1000;
	assert_int_equal(type_want(t), 0);
	t->n_waiting = 0;
	assert_int_equal(type_want(t), 104);
	t->n_waiting = 1000;
	t->n_held = 1400;
	assert_int_equal(type_want(t), 500);
}

static void one_slow_job_makes_it_careful_for_a_while(void **state)
{
	struct type *t = *state;

	run(t, 200, 10);
	run(t, 1, 10000000);
	assert_int_equal(type_batch(t), 1);
	assert_int_equal(type_capacity(t), 4);
	run(t, 300, 10);
	assert_true(type_batch(t) > 1);
	run(t, 1, -5); /* a clock that lies */
	assert_true(t->mean_us >= 0);
}

static void large_inputs_are_not_hoarded(void **state)
{
	struct type *t = *state;

	run(t, 200, 0);
	for (int i = 0; i < 100; i++) {
		type_holds(t, 100000);
		type_holds(t, -100000);
	}
	assert_in_range(type_want(t), 8, 11); /* 1,000,000 bytes */
	for (int i = 0; i < 20; i++)
		type_holds(t, 100000);
	assert_int_equal(type_want(t), 0);
	while (t->n_held > 2)
		type_holds(t, -100000);
	t->held_bytes = 2000000; /* a free slot is always filled */
	assert_int_equal(type_want(t), 2);
}

static void types_are_found_by_id(void **state)
{
	struct type *t = *state;

	t->id = 7;
	assert_ptr_equal(type_by_id(7), t);
	assert_null(type_by_id(8));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_unknown_type_gets_its_slots, set_up, tear_down),
		cmocka_unit_test_setup_teardown(long_jobs_are_not_claimed_ahead, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			short_jobs_are_claimed_ahead_and_handed_out_in_batches, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_full_type_waits_until_claiming_is_worth_it,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_slow_job_makes_it_careful_for_a_while, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(large_inputs_are_not_hoarded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(types_are_found_by_id, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
