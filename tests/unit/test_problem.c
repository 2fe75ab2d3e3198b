/*
 * test_problem.c: problem documents made of whatever a handler says.
 * links: runner/problem.c
 */
#include "test.h"

#include "common/json.h"
#include "common/log.h"
#include "common/wire.h"
#include "runner/problem.h"

static void a_problem_has_its_members(void **state)
{
	struct buf b = { 0 };

	(void)state;
	problem_write(&b, "invalid-input", 422, "Bad \"line\"", "line\n2", "[{\"line\":2}]");
	assert_string_equal(
		b.data, "{\"type\":\"invalid-input\",\"title\":\"Bad \\\"line\\\"\",\"status\":422,"
			"\"detail\":\"line\\n2\",\"errors\":[{\"line\":2}]}");
	problem_write(&b, NULL, 0, NULL, NULL, NULL);
	assert_string_equal(
		b.data,
		"{\"type\":\"handler-failed\",\"title\":\"The job failed\",\"status\":500}");
	buf_free(&b);
}

static void errors_that_no_database_would_take_are_left_out(void **state)
{
	static const char *const bad[] = { "{}", "[", "[1] x", "[\"\\u0000\"]", "", "[\"\xff\"]" };
	struct buf b = { 0 };

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		problem_write(&b, "t", 400, "T", NULL, bad[i]);
		assert_string_equal(b.data, "{\"type\":\"t\",\"title\":\"T\",\"status\":400}");
	}
	buf_free(&b);
}

static void it_never_grows_too_large(void **state)
{
	struct buf b = { 0 };
	size_t n = 200000;
	char *huge = malloc(n + 1);

	(void)state;
	assert_non_null(huge);
	memset(huge, '\x01', n);
	huge[n] = '\0';
	problem_write(&b, huge, 400, huge, huge, "[]");
	assert_true(b.len <= WIRE_ERROR_MAX);
	free(huge);
	buf_free(&b);
}

static void texts_are_made_clean(void **state)
{
	char out[11];

	(void)state;
	assert_int_equal(text_clean(NULL, 10, out), 0);
	assert_string_equal(out, "");
	assert_int_equal(text_clean("h\xc3\xa9llo", 10, out), 6);
	assert_string_equal(out, "h\xc3\xa9llo");
	assert_int_equal(text_clean("123456789\xc3\xa9", 10, out), 9); /* no half characters */
	assert_string_equal(out, "123456789");
	assert_int_equal(text_clean("a\xff\xfe", 10, out), 3);
	assert_string_equal(out, "a??");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_problem_has_its_members),
		cmocka_unit_test(errors_that_no_database_would_take_are_left_out),
		cmocka_unit_test(it_never_grows_too_large),
		cmocka_unit_test(texts_are_made_clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
