/*
 * test_json.c: strict JSON: what RFC 8259 says, nothing more, nothing less.
 */
#include "test.h"

#include "common/json.h"

static bool accepts(const char *s, size_t n)
{
	struct json_object *o = NULL;
	const char *why = NULL;
	bool ok = json_parse_strict(s, n, &o, &why);

	/* A refusal has its reason, and nothing to free. */
	if (!ok) {
		assert_non_null(why);
		assert_null(o);
	}
	json_object_put(o);
	return ok;
}

static void accepts_json(void **state)
{
	static const char *const good[] = { "null",
					    "true",
					    "false",
					    "0",
					    "-0",
					    "1",
					    "-12.5e+10",
					    "1E5",
					    "1e-5",
					    "\"\"",
					    "[]",
					    "{}",
					    " \t\r\n1 \t\r\n",
					    "[1,2 , 3]",
					    "{\"a\":{\"b\":[null,true]}, \"c\" : \"x\"}",
					    "\"\\u0041\\n\\/\"",
					    "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
					    "\"\\u0000\"",
					    "123456789012345678901234567890",
					    "\"\x7f\"",
					    "{\"\":1}",
					    "\"\\ud83d\\ude00\"",
					    "1e400" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(accepts(good[i], strlen(good[i])));
}

static void refuses_the_rest(void **state)
{
	static const char *const bad[] = { "",
					   " ",
					   "-",
					   "+1",
					   "01",
					   "-01",
					   "00",
					   "1.",
					   ".5",
					   "1e",
					   "1e+",
					   "1.e5",
					   "0x10",
					   "--1",
					   "1-1",
					   "NaN",
					   "nan",
					   "Infinity",
					   "-Infinity",
					   "True",
					   "NULL",
					   "nul",
					   "[1,]",
					   "[,1]",
					   "[1 2]",
					   "[",
					   "]",
					   "[1",
					   "[]]",
					   "{\"a\":1,}",
					   "{\"a\" 1}",
					   "{a:1}",
					   "{'a':1}",
					   "'a'",
					   "{\"a\"}",
					   "{1:2}",
					   "{",
					   "{\"a\":",
					   "\"a",
					   "\"\\x\"",
					   "\"\\u12\"",
					   "\"\\u12G4\"",
					   "\"a\tb\"",
					   "\"a\nb\"",
					   "/*c*/1",
					   "1//c",
					   "1 2",
					   "{}{}",
					   "\v1",
					   "1\f",
					   "\xef\xbb\xbf{}",
					   "\"\xff\"",
					   "\"\xed\xa0\x80\"",
					   "\"\xc0\x80\"",
					   "\"\xf4\x90\x80\x80\"",
					   "\"\xe2\x82\"",
					   "[truefalse]",
					   "{\"\\u0000a\":1}",
					   "\"\\" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (accepts(bad[i], strlen(bad[i])))
			fail_msg("accepted: %s", bad[i]);
	}
	assert_false(accepts("1\0", 2));
	assert_false(accepts("\"a\0b\"", 5));
}

/* Every proper prefix of a text is refused, and read no further than its length. */
static void refuses_every_prefix(void **state)
{
	static const char text[] =
		"{\"a\":[1,-2.5e+7,\"x\\u00e9\\\"\xc3\xa9\",{}],\"b\":{\"c\":false},\"d\":null}";

	(void)state;
	assert_true(accepts(text, strlen(text)));
	for (size_t n = 0; n < strlen(text); n++) {
		char *exact = malloc(n > 0 ? n : 1); /* for the sanitizer to watch the end */

		memcpy(exact, text, n);
		assert_false(accepts(exact, n));
		free(exact);
	}
}

static void bounds_the_depth(void **state)
{
	static char text[200000];

	(void)state;
	for (int depth = 1; depth <= 100000; depth = depth < 40 ? depth + 1 : depth * 10) {
		memset(text, '[', (size_t)depth);
		memset(text + depth, ']', (size_t)depth);
		assert_int_equal(accepts(text, 2 * (size_t)depth), depth <= JSON_DEPTH_MAX);
		assert_false(accepts(text, (size_t)depth));
	}
}

static void utf8(void **state)
{
	(void)state;
	assert_true(utf8_valid("", 0));
	assert_true(utf8_valid("a\xc3\xa9", 3));
	assert_false(utf8_valid("a\xc3", 2));
	assert_false(utf8_valid("a\0b", 3));
	assert_false(utf8_valid("\x80", 1));
	assert_int_equal(utf8_prefix("a\xc3\xa9z", 4, 2), 1);
	assert_int_equal(utf8_prefix("a\xc3\xa9z", 4, 3), 3);
	assert_int_equal(utf8_prefix("a\xc3\xa9z", 4, 4), 4);
	assert_int_equal(utf8_prefix("\xf0\x9f\x98\x80", 4, 3), 0);
}

static void finds_nul_in_strings(void **state)
{
	static const struct {
		const char *text;
		bool has;
	} cases[] = {
		{ "{\"a\":[1,{\"b\":\"x\\u0000\"}]}", true },
		{ "{\"a\":[1,{\"b\":\"x\\\\u0000\"}]}", false },
		{ "null", false },
		{ "\"\\u0000\"", true },
	};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct json_object *o;

		assert_true(json_parse_strict(cases[i].text, strlen(cases[i].text), &o, NULL));
		assert_int_equal(json_has_nul(o), cases[i].has);
		json_object_put(o);
	}
}

static void builds(void **state)
{
	struct json_object *o = json_object_new_object();
	size_t len;

	(void)state;
	json_add_str(o, "s", "a/b");
	json_add_str(o, "absent", NULL);
	json_add_strn(o, "n", "xyz", 2);
	json_add_int(o, "i", INT64_MIN);
	json_add_bool(o, "b", true);
	json_add_time(o, "t", 0);
	assert_string_equal(json_text(o, &len),
			    "{\"s\":\"a/b\",\"n\":\"xy\",\"i\":-9223372036854775808,\"b\":true,"
			    "\"t\":\"1970-01-01T00:00:00.000Z\"}");
	assert_int_equal(len, strlen(json_text(o, NULL)));
	assert_string_equal(json_get_str(o, "s"), "a/b");
	assert_null(json_get_str(o, "i"));
	assert_null(json_get_str(o, "nothing"));
	assert_int_equal(json_get_int(o, "i", 1), INT64_MIN);
	assert_int_equal(json_get_int(o, "s", 1), 1);
	json_object_put(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_json),
		cmocka_unit_test(refuses_the_rest),
		cmocka_unit_test(refuses_every_prefix),
		cmocka_unit_test(bounds_the_depth),
		cmocka_unit_test(utf8),
		cmocka_unit_test(finds_nul_in_strings),
		cmocka_unit_test(builds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
