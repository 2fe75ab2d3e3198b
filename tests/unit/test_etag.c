/*
 * test_etag.c: conditional and range requests.
 * links: api/etag.c
 */
#include "test.h"

#include "api/etag.h"

static void lists(void **state)
{
	(void)state;
	assert_false(etag_listed(NULL, "\"a\""));
	assert_false(etag_listed("", "\"a\""));
	assert_true(etag_listed("*", "\"a\""));
	assert_true(etag_listed(" * ", "W/\"a\""));
	assert_true(etag_listed("\"a\"", "\"a\""));
	assert_true(etag_listed("W/\"a\"", "\"a\"")); /* weakly */
	assert_true(etag_listed("\"a\"", "W/\"a\""));
	assert_true(etag_listed("\"x\", W/\"y\",\"a\"", "W/\"a\""));
	assert_true(etag_listed("\"x,y\", \"a\"", "\"a\""));
	assert_false(etag_listed("\"b\"", "\"a\""));
	assert_false(etag_listed("a", "\"a\""));
	assert_false(etag_listed("\"a", "\"a\""));
	assert_false(etag_listed("\"aa\"", "\"a\""));
	assert_false(etag_listed("*, \"b\"", "\"a\""));
}

static void strong(void **state)
{
	(void)state;
	assert_true(etag_listed_strong("\"a\"", "\"a\""));
	assert_false(etag_listed_strong("W/\"a\"", "\"a\""));
	assert_false(etag_listed_strong("\"a\"", "W/\"a\""));
	assert_true(etag_listed_strong("W/\"a\", \"a\"", "\"a\""));
}

static void versions(void **state)
{
	(void)state;
	assert_int_equal(etag_version(NULL), -1);
	assert_int_equal(etag_version("*"), -1);
	assert_int_equal(etag_version("W/\"1f\""), 0x1f);
	assert_int_equal(etag_version("W/\"1f\", W/\"100000002\", W/\"3\""), 0x100000002);
	assert_int_equal(etag_version("\"1f\""), -1);
	assert_int_equal(etag_version("W/\"xyz\""), -1);
	assert_int_equal(etag_version("W/\"\""), -1);
	assert_int_equal(etag_version("W/\"ffffffffffffffffffff\""), -1);
}

#define EXPECT_RANGE(text, size, a, b)                                                 \
	do {                                                                           \
		int64_t first_ = -7, last_ = -7;                                       \
		assert_int_equal(range_read(text, size, &first_, &last_), RANGE_PART); \
		assert_int_equal(first_, a);                                           \
		assert_int_equal(last_, b);                                            \
	} while (0)

static void parts(void **state)
{
	(void)state;
	EXPECT_RANGE("bytes=0-0", 10, 0, 0);
	EXPECT_RANGE("bytes=3-", 10, 3, 9);
	EXPECT_RANGE("bytes=3-100", 10, 3, 9);
	EXPECT_RANGE("bytes=-4", 10, 6, 9);
	EXPECT_RANGE("bytes=-400", 10, 0, 9);
	EXPECT_RANGE("BYTES= 2-3 ", 10, 2, 3);
	EXPECT_RANGE("bytes=0-999999999999999999", 10, 0, 9);
}

static void no_parts(void **state)
{
	static const char *const whole[] = {
		"",          "bytes=",    "bytes=-",       "bytes=5-3",
		"bytes=a-b", "lines=1-2", "bytes=1-2,4-5", "bytes=1-2x",
		"bytes 1-2", "bytes=--1", "bytes=1",       "bytes=9999999999999999999-"
	};
	int64_t first, last;

	(void)state;
	assert_int_equal(range_read(NULL, 10, &first, &last), RANGE_WHOLE);
	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++)
		if (range_read(whole[i], 10, &first, &last) != RANGE_WHOLE)
			fail_msg("not whole: %s", whole[i]);
	assert_int_equal(range_read("bytes=10-", 10, &first, &last), RANGE_UNSATISFIABLE);
	assert_int_equal(range_read("bytes=10-12", 10, &first, &last), RANGE_UNSATISFIABLE);
	assert_int_equal(range_read("bytes=-0", 10, &first, &last), RANGE_UNSATISFIABLE);
	assert_int_equal(range_read("bytes=0-", 0, &first, &last), RANGE_UNSATISFIABLE);
	assert_int_equal(range_read("bytes=-1", 0, &first, &last), RANGE_UNSATISFIABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists), cmocka_unit_test(strong),   cmocka_unit_test(versions),
		cmocka_unit_test(parts), cmocka_unit_test(no_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
