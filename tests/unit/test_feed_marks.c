/*
 * test_feed_marks.c: how far back a look at changes goes, against a made-up history of transactions.
 * links: api/feed_marks.c
 */
#include "test.h"

#include "api/feed_marks.h"

#define START 1000000
#define TICK 250

/* A world in which one look is made each tick; each draws one id. */
static struct feed_marks m;
static int64_t now, xid;

static void begin(void)
{
	now = START;
	xid = 100;
	feed_marks_begin(&m, now);
}

/* One look while `oldest` is the oldest open transaction (0: none). Returns from when on it looked. */
static int64_t look(int64_t oldest)
{
	struct feed_mark since = feed_marks_since(&m);
	int64_t own;

	now += TICK;
	own = xid++;
	feed_marks_looked(&m, (struct feed_mark){ now, now / 10, own }, oldest ? oldest : own);
	return since.at;
}

static void without_long_transactions_it_goes_back_two_ticks(void **state)
{
	int64_t since;

	(void)state;
	begin();
	assert_int_equal(look(0), START - FEED_RECENT_MS);
	for (int i = 0; i < 200; i++)
		look(0);
	since = look(0);
	assert_int_equal(since, now - 2 * TICK);
	assert_int_equal(m.horizon.seq, m.horizon.at / 10);
}

static void nothing_is_forgotten_behind_an_old_transaction(void **state)
{
	int64_t opened, old, far = 0, far_looks = 0, looks = 0;

	(void)state;
	begin();
	for (int i = 0; i < 100; i++)
		look(0);
	opened = now;
	old = xid++;
	while (now < opened + 3600 * 1000) {
		int64_t since = look(old);

		looks++;
		if (since <= opened) {
			far_looks += now - opened > 20000;
			far = since;
		} else {
			assert_true(since <= now - FEED_RECENT_MS || now - opened < 20000);
			assert_true(since >= now - 2 * FEED_RECENT_MS - 2 * TICK);
		}
	}
	assert_true(far > 0 && far <= opened); /* every now and then it goes all the way back */
	assert_in_range(far_looks, 5, looks / 100);
	/* It ends: a look that saw that is followed by one that goes back to before it began. */
	look(0);
	assert_true(m.behind || m.horizon.at > opened);
	if (m.behind) {
		far = look(0);
		assert_true(far <= opened);
	}
	for (int i = 0; i < 8; i++)
		look(0);
	far = look(0);
	assert_true(far >= now - 4 * TICK);
}

static void a_look_that_went_all_the_way_moves_the_horizon_to_what_was_settled(void **state)
{
	int64_t at;

	(void)state;
	begin();
	look(0); /* id 100 */
	at = now;
	look(0); /* id 101 */
	look(101);
	assert_int_equal(m.horizon.at,
			 at); /* 101 may still be open: what came after 100 isn't sure */
	look(0);
	assert_int_equal(m.horizon.at, now - TICK);
}

static void marks_are_bounded(void **state)
{
	(void)state;
	begin();
	for (int i = 0; i < 100000; i++)
		look(50);
	assert_in_range(m.n, 1, FEED_MARKS);
	assert_int_equal(m.horizon.at, START - FEED_RECENT_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_long_transactions_it_goes_back_two_ticks),
		cmocka_unit_test(nothing_is_forgotten_behind_an_old_transaction),
		cmocka_unit_test(
			a_look_that_went_all_the_way_moves_the_horizon_to_what_was_settled),
		cmocka_unit_test(marks_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
