/*
 * test_webhook_share.c: who may have how many of the slots for deliveries.
 * links: worker/webhook_share.c
 */
#include "test.h"

#include "common/pgarray.h"
#include "worker/webhook_share.h"

/* As many as the client may begin, into v. Returns how many. */
static int begin_all(const char *client, struct share *v[])
{
	int n = 0;
	struct share *s;

	while ((s = share_begin(client)))
		v[n++] = s;
	return n;
}

static void end_all(struct share *v[], int n, bool was_slow, bool judge)
{
	for (int i = 0; i < n; i++)
		share_end(v[i], was_slow, judge);
}

static uint32_t known(void)
{
	struct pgarray clients, room;
	uint32_t n;

	pga_init(&clients, DB_TEXT);
	pga_init(&room, DB_INT4);
	shares_limits(&clients, &room);
	n = pga_count(&clients);
	assert_int_equal(n, pga_count(&room));
	pga_free(&clients);
	pga_free(&room);
	return n;
}

static void test_one_client(void **state)
{
	struct share *a[64];

	(void)state;
	shares_open(64);
	assert_int_equal(shares_per_client(), 16);
	assert_int_equal(begin_all("a", a), 16);
	assert_int_equal(shares_room(), 48);
	assert_int_equal(known(), 1);
	end_all(a, 16, false, true);
	assert_int_equal(shares_room(), 64);
	assert_int_equal(known(), 0);
	shares_close();
}

static void test_all_slots(void **state)
{
	struct share *v[5][16];

	(void)state;
	shares_open(64);
	assert_int_equal(begin_all("a", v[0]), 16);
	assert_int_equal(begin_all("b", v[1]), 16);
	assert_int_equal(begin_all("c", v[2]), 16);
	assert_int_equal(begin_all("d", v[3]), 16);
	assert_int_equal(shares_room(), 0);
	assert_int_equal(begin_all("e", v[4]), 0);
	assert_int_equal(known(), 4);
	for (int i = 0; i < 4; i++)
		end_all(v[i], 16, false, true);
	shares_close();
}

/* Slow clients have half of the slots, the others all that is free. */
static void test_slow(void **state)
{
	struct share *a[16], *b[16], *c[16], *d[16];

	(void)state;
	shares_open(64);
	assert_int_equal(begin_all("a", a), 16);
	assert_int_equal(begin_all("b", b), 16);
	share_slow(a[0]);
	share_slow(b[0]);
	/* A third one that was slow the last time gets nothing; others do. */
	c[0] = share_begin("c");
	share_slow(c[0]);
	share_end(c[0], true, true);
	assert_null(share_begin("c"));
	assert_int_equal(known(), 3);
	assert_int_equal(begin_all("d", d), 16);

	/* Once one of a slow client's has ended quickly and no slow one is under way, it isn't any more. */
	share_end(a[1], false, true);
	c[0] = share_begin("c");
	assert_non_null(c[0]);
	assert_null(share_begin("c"));
	share_end(a[0], true, true);
	share_end(a[2], false, true);
	assert_int_equal(begin_all("c", c + 1), 15);

	end_all(a + 3, 13, false, true);
	share_end(b[0], true, false);
	end_all(b + 1, 15, false, false);
	end_all(c, 16, false, true);
	end_all(d, 16, false, true);
	assert_int_equal(shares_room(), 64);
	assert_int_equal(known(), 0);
	shares_close();
}

/* The counts of slow ones stay right whatever order things end in. */
static void test_counts(void **state)
{
	struct share *s[4];

	(void)state;
	shares_open(16);
	for (int round = 0; round < 100; round++) {
		assert_int_equal(begin_all("a", s), 4);
		share_slow(s[round % 4]);
		for (int i = 0; i < 4; i++)
			share_end(s[i], i == round % 4, round % 3 != 0);
		assert_int_equal(shares_room(), 16);
	}
	shares_close();
}

static void test_few_slots(void **state)
{
	struct share *a;

	(void)state;
	shares_open(1);
	assert_int_equal(shares_per_client(), 1);
	a = share_begin("a");
	assert_non_null(a);
	assert_null(share_begin("b"));
	share_slow(a);
	share_end(a, true, true);
	a = share_begin("a");
	assert_non_null(a);
	share_end(a, false, true);
	shares_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_client), cmocka_unit_test(test_all_slots),
		cmocka_unit_test(test_slow),       cmocka_unit_test(test_counts),
		cmocka_unit_test(test_few_slots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
