/*
 * test_fair.c: whose turn it is, as an API process remembers it.
 * links: api/fair.c
 */
#include "test.h"

#include <stdio.h>

#include "api/fair.h"

static int64_t place(int64_t turn)
{
	return turn << PLACE_TURN_BITS | 7;
}

static void turns_are_counted_in_a_batch(void **state)
{
	struct fair_turn t;

	(void)state;
	fair_begin();
	t = fair_next(1, 0, "alice");
	assert_int_equal(t.last, 0);
	assert_int_equal(t.next, 1);
	assert_int_equal(fair_next(1, 0, "alice").next, 2);
	assert_int_equal(fair_next(1, 0, "bob").next, 1);
	assert_int_equal(fair_next(2, 0, "alice").next, 1);
	assert_int_equal(fair_next(1, 5, "alice").next, 1);
	assert_int_equal(fair_next(1, 0, "alice").next, 3);
	fair_begin();
	assert_int_equal(fair_next(1, 0, "alice").next, 1);
}

static void the_newest_turn_is_remembered(void **state)
{
	struct fair_turn t;

	(void)state;
	fair_begin();
	fair_next(3, 0, "alice");
	fair_took(3, 0, "alice", place(12));
	fair_took(3, 0, "alice", place(11));
	assert_int_equal(fair_last(3, 0, "alice"), 12);
	t = fair_next(3, 0, "alice");
	assert_int_equal(t.last, 12);
	assert_int_equal(fair_last(3, 0, "bob"), 0);
	assert_int_equal(fair_last(3, 1, "alice"), 0);
	fair_took(3, 0, "nobody", place(5)); /* isn't known: nothing is kept */
	assert_int_equal(fair_last(3, 0, "nobody"), 0);
}

/* More clients than there is room for: who comes often is remembered. */
static void memory_is_bounded(void **state)
{
	char name[32];
	int known = 0;

	(void)state;
	fair_begin();
	fair_next(4, 0, "often");
	fair_took(4, 0, "often", place(1000));
	for (int i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "client-%d", i);
		fair_next(4, 0, name);
		fair_took(4, 0, name, place(i + 1));
		assert_int_equal(fair_last(4, 0, name), i + 1);
		if (i % 100 == 0)
			assert_int_equal(fair_next(4, 0, "often").last, 1000);
	}
	for (int i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "client-%d", i);
		known += fair_last(4, 0, name) > 0;
	}
	assert_in_range(known, 3000, 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(turns_are_counted_in_a_batch),
		cmocka_unit_test(the_newest_turn_is_remembered),
		cmocka_unit_test(memory_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
