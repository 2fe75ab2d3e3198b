/*
 * test_headers.c: the request headers of a submit.
 * links: api/headers.c
 */
#include "test.h"

#include "api/headers.h"

static void keys(void **state)
{
	char out[IDEMPOTENCY_KEY_MAX + 1], text[300];

	(void)state;
	assert_true(idempotency_key_read("\"8e03978e-40d5-43dd-bc93-6894a57f9324\"", out));
	assert_string_equal(out, "8e03978e-40d5-43dd-bc93-6894a57f9324");
	assert_true(idempotency_key_read("8e03978e-40d5", out));
	assert_string_equal(out, "8e03978e-40d5");
	assert_true(idempotency_key_read(" \"a \\\"b\\\\ c\" ", out));
	assert_string_equal(out, "a \"b\\ c");

	memset(text, 'x', sizeof(text));
	text[IDEMPOTENCY_KEY_MAX] = '\0';
	assert_true(idempotency_key_read(text, out));
	text[IDEMPOTENCY_KEY_MAX] = 'x';
	text[IDEMPOTENCY_KEY_MAX + 1] = '\0';
	assert_false(idempotency_key_read(text, out));
	text[0] = '"';
	assert_false(idempotency_key_read(text, out)); /* no closing quote */
	text[IDEMPOTENCY_KEY_MAX + 1] = '"';
	text[IDEMPOTENCY_KEY_MAX + 2] = '\0';
	assert_true(idempotency_key_read(text, out));
}

static void bad_keys(void **state)
{
	static const char *const bad[] = {
		"",         " ",      "\"\"",      "\"",     "a b",    "a,b",   "\"a\",\"b\"",
		"\"a\"b",   "a\"b\"", "\"a\\n\"",  "\"a\\",  "\"\t\"", "a\x01", "\"\xc3\xa4\"",
		"\xc3\xa4", "a;p=1",  "\"a\";p=1", "\"a\\\""
	};
	char out[IDEMPOTENCY_KEY_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (idempotency_key_read(bad[i], out))
			fail_msg("taken: %s", bad[i]);
}

static void priorities(void **state)
{
	static const char *const bad[] = { "",     "101", "-101", "1.0", "1 2",
					   "1, 2", "x",   "-",    "+",   "99999999999999999999",
					   "0x1" };
	int16_t v;

	(void)state;
	assert_true(priority_read("-100", &v));
	assert_int_equal(v, -100);
	assert_true(priority_read(" 7 ", &v));
	assert_int_equal(v, 7);
	assert_true(priority_read("+100", &v));
	assert_int_equal(v, 100);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (priority_read(bad[i], &v))
			fail_msg("taken: %s", bad[i]);
}

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

static void traces(void **state)
{
	static const char *const bad[] = {
		"",
		"00-" TRACE "-more",
		"ff-" TRACE,
		"00-" TRACE "0",
		"0-" TRACE,
		"00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
		"01-" TRACE ".more",
	};
	char out[TRACEPARENT_LEN + 1];

	(void)state;
	assert_true(traceparent_read("00-" TRACE, out));
	assert_string_equal(out, "00-" TRACE);
	assert_true(traceparent_read("cc-" TRACE "-what-the-future-brings", out));
	assert_string_equal(out, "00-" TRACE);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (traceparent_read(bad[i], out))
			fail_msg("taken: %s", bad[i]);
}

static void media_types(void **state)
{
	static const char *const good[] = { "text/csv", "text/csv; charset=utf-8",
					    "text/csv;header=present;", "a/b; c=\"d;\\\"e\"",
					    "application/vnd.x+json ; a=b ; c=d" };
	static const char *const bad[] = { "",
					   "text",
					   "/csv",
					   "text/",
					   "text/csv x",
					   "text/csv; charset",
					   "text/csv; a=",
					   "text/csv; a=\"b",
					   "text/csv, text/plain",
					   "te xt/csv",
					   "text/csv; a=\"\x01\"" };
	char text[400];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!media_type_valid(good[i]))
			fail_msg("refused: %s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (media_type_valid(bad[i]))
			fail_msg("taken: %s", bad[i]);
	memset(text, 'x', sizeof(text));
	text[1] = '/';
	text[MEDIA_TYPE_MAX] = '\0';
	assert_true(media_type_valid(text));
	text[MEDIA_TYPE_MAX] = 'x';
	text[MEDIA_TYPE_MAX + 1] = '\0';
	assert_false(media_type_valid(text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys),        cmocka_unit_test(bad_keys),
		cmocka_unit_test(priorities),  cmocka_unit_test(traces),
		cmocka_unit_test(media_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
