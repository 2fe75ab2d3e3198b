/*
 * test_sql_text.c: what functions in the database say to the sql handler.
 * links: handlers/sql_text.c
 */
#include "test.h"

#include "handlers/sql.h"

static void progress(void **state)
{
	static const char *const bad[] = { "", "x", "1", "1 ", "1 2", "1 x y", " ", NULL };
	const char *message;
	int64_t done, total;

	(void)state;
	assert_true(sql_progress_parse("3 -1 ", &done, &total, &message));
	assert_int_equal(done, 3);
	assert_int_equal(total, -1);
	assert_null(message);
	assert_true(sql_progress_parse("3 10 two words", &done, &total, &message));
	assert_int_equal(total, 10);
	assert_string_equal(message, "two words");
	assert_true(sql_progress_parse("9223372036854775807 9223372036854775807  x", &done, &total,
				       &message));
	assert_int_equal(done, INT64_MAX);
	assert_string_equal(message, " x");
	for (int i = 0; bad[i]; i++)
		assert_false(sql_progress_parse(bad[i], &done, &total, &message));
}

static void statuses(void **state)
{
	(void)state;
	assert_int_equal(sql_status_of("LH400"), 400);
	assert_int_equal(sql_status_of("LH599"), 599);
	assert_int_equal(sql_status_of("LH001"), 0);
	assert_int_equal(sql_status_of("LH399"), 0);
	assert_int_equal(sql_status_of("LH600"), 0);
	assert_int_equal(sql_status_of("LH4X0"), 0);
	assert_int_equal(sql_status_of("LH4000"), 0);
	assert_int_equal(sql_status_of("22P02"), 0);
	assert_int_equal(sql_status_of(""), 0);
}

static void problem_types(void **state)
{
	char text[66];

	(void)state;
	assert_true(sql_is_problem_type("unknown-item-2"));
	assert_false(sql_is_problem_type(""));
	assert_false(sql_is_problem_type("Unknown"));
	assert_false(sql_is_problem_type("a b"));
	assert_false(sql_is_problem_type("../x"));
	memset(text, 'a', sizeof(text));
	text[65] = '\0';
	assert_false(sql_is_problem_type(text));
	text[64] = '\0';
	assert_true(sql_is_problem_type(text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(progress),
		cmocka_unit_test(statuses),
		cmocka_unit_test(problem_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
