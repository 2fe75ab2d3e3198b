/*
 * test_history.c: how long jobs took, as a worker keeps it and as an API process uses it.
 * links: worker/history.c api/durations.c
 */
#include "test.h"

#include "api/app.h"
#include "api/durations.h"
#include "common/db.h"
#include "worker/history.h"

static void classes(void **state)
{
	(void)state;
	assert_int_equal(history_bucket_of(-1), 0);
	assert_int_equal(history_bucket_of(0), 0);
	assert_int_equal(history_bucket_of(1), 1);
	assert_int_equal(history_bucket_of(2), 3);
	assert_int_equal(history_bucket_of(1023), 20);
	assert_int_equal(history_bucket_of(1024), 21);
	assert_int_equal(history_bucket_of(1448), 21);
	assert_int_equal(history_bucket_of(1449), 22);
	assert_int_equal(history_bucket_of(INT64_MAX), HISTORY_BUCKETS - 1);
	for (int64_t n = 1, last = 0; n > 0 && n < INT64_MAX / 2; n += n / 7 + 1) {
		assert_true(history_bucket_of(n) >= last);
		last = history_bucket_of(n);
	}
}

static void between_points(void **state)
{
	static const struct duration_point p[] = { { 1, 100, 1000 },
						   { 1, 200, 2000 },
						   { 1, 400, 3000 } };

	(void)state;
	assert_true(duration_at(p, 0, 5) == 0);
	assert_true(duration_at(p, 3, 5) == 1000);
	assert_true(duration_at(p, 3, 100) == 1000);
	assert_true(duration_at(p, 3, 150) == 1500);
	assert_true(duration_at(p, 3, 300) == 2500);
	assert_true(duration_at(p, 3, 400) == 3000);
	assert_true(duration_at(p, 3, 800) == 6000);
	assert_true(duration_at(p, 1, 0) == 1000);
	assert_true(duration_at((const struct duration_point[]){ { 1, 0, 70 } }, 1, 1e9) == 70);
}

struct columns {
	struct pgarray types, buckets, jobs, sizes, ran;
	struct history_report report;
};

static void columns_init(struct columns *c)
{
	pga_init(&c->types, DB_INT4);
	pga_init(&c->buckets, DB_INT2);
	pga_init(&c->jobs, DB_INT4);
	pga_init(&c->sizes, DB_FLOAT8);
	pga_init(&c->ran, DB_FLOAT8);
	c->report = (struct history_report){ &c->types, &c->buckets, &c->jobs, &c->sizes, &c->ran };
}

static void columns_free(struct columns *c)
{
	pga_free(&c->types);
	pga_free(&c->buckets);
	pga_free(&c->jobs);
	pga_free(&c->sizes);
	pga_free(&c->ran);
}

static void told_once(void **state)
{
	struct history h = { 0 };
	struct columns c;

	(void)state;
	columns_init(&c);
	history_take(&h, 7, &c.report);
	assert_int_equal(pga_count(&c.types), 0);
	for (int i = 0; i < 5; i++)
		history_add(&h, 1000, 100);
	history_add(&h, 1000, 1000000); /* a stray one */
	history_add(&h, 0, 3);
	assert_true(h.dirty);
	history_take(&h, 7, &c.report);
	assert_int_equal(pga_count(&c.types), 2);
	assert_int_equal(pga_count(&c.ran), 2);
	assert_false(h.dirty);
	history_take(&h, 7, &c.report);
	assert_int_equal(pga_count(&c.types), 2);
	/* More than are kept, and many more than fit into a report's median. */
	for (int i = 0; i < 10 * HISTORY_RECENT; i++)
		history_add(&h, 1 + i % 3, i);
	history_take(&h, 7, &c.report);
	assert_int_equal(pga_count(&c.types), 5);
	columns_free(&c);
	history_free(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(classes),
		cmocka_unit_test(between_points),
		cmocka_unit_test(told_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
