/*
 * test_accounts.c: accounts as JSON, in lines and in an array, and the rules for accounts.
 * links: handlers/account.c handlers/import_array.c handlers/import_csv.c
 * links: handlers/import_reader.c handlers/json_scan.c common/text.c
 */
#include "read_rows.h"

#include "common/json.h"
#include "common/text.h"

#define LINES "application/x-ndjson"
#define ARRAY "application/json"
#define ANN "{\"email\":\"a@b.c\",\"name\":\"Ann\"}"
#define BOB "{\"email\":\"d@e.f\",\"name\":\"Bob\"}"

static void media_types(void **state)
{
	static const char *const good[] = {
		"application/x-ndjson",
		"application/ndjson",
		"application/jsonl",
		"APPLICATION/JSON",
		"text/csv",
		"text/csv;a=b",
		"text/csv ; charset=utf-8",
		"text/csv;charset=\"UTF-8\"",
		"text/csv;x=y;charset=us-ascii",
	};
	static const char *const bad[] = {
		"",
		";",
		"application/xml",
		"json",
		"application",
		"text/csv2",
		"text/csv;charset=utf-16",
		"text/csv;charset=",
		"text/csv; charset=latin1;charset=utf-8",
		" text/csv",
		"application/jsonlllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll",
	};
	struct import_reader *r;
	const char *why;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		r = import_reader_new(good[i], dump_row, NULL, &why);
		assert_non_null(r);
		import_reader_free(r);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		why = NULL;
		assert_null(import_reader_new(bad[i], dump_row, NULL, &why));
		assert_non_null(why);
	}
	import_reader_free(NULL);
}

static void lines(void **state)
{
	(void)state;
	EXPECT(LINES, ANN "\n" BOB "\n", "1|a@b.c|Ann|-|-|-|-|-\n2|d@e.f|Bob|-|-|-|-|-\n");
	EXPECT(LINES, "\xEF\xBB\xBF\n\r\n \t\n" ANN "\r\n  " BOB " ",
	       "4|a@b.c|Ann|-|-|-|-|-\n5|d@e.f|Bob|-|-|-|-|-\n");
	EXPECT(LINES, "", "");
	EXPECT(LINES, ANN "\n{\"email\":\"d@e.f\",\"na\n" BOB,
	       "1|a@b.c|Ann|-|-|-|-|-\n2|-|-|-|-|-|is not valid JSON, at byte 21|{\"email\":\"d@e.f\",\"na\n"
	       "3|d@e.f|Bob|-|-|-|-|-\n");
	EXPECT(LINES, "[]\n1\nnull\n\"x\"\ntrue\n[1,2\n" ANN ANN "\n" ANN " x\n",
	       "1|-|-|-|-|-|is not a JSON object|[]\n2|-|-|-|-|-|is not a JSON object|1\n"
	       "3|-|-|-|-|-|is not a JSON object|null\n4|-|-|-|-|-|is not a JSON object|\"x\"\n"
	       "5|-|-|-|-|-|is not a JSON object|true\n6|-|-|-|-|-|is not valid JSON, at byte 5|[1,2\n"
	       "7|-|-|-|-|-|is not valid JSON, at byte 31|" ANN ANN "\n"
	       "8|-|-|-|-|-|is not valid JSON, at byte 32|" ANN " x\n");
	EXPECT(LINES, "\xEF\xBBx\n\xEF",
	       "1|-|-|-|-|-|is not valid UTF-8|\xEF\xBBx\n2|-|-|-|-|-|is not valid UTF-8|\xEF\n");
}

static void array(void **state)
{
	(void)state;
	EXPECT(ARRAY, "[]", "");
	EXPECT(ARRAY, "\xEF\xBB\xBF \n[ ]\n", "");
	EXPECT(ARRAY, "[" ANN "]", "1|a@b.c|Ann|-|-|-|-|-\n");
	EXPECT(ARRAY, " [\n" ANN ",\n " BOB " \n] ",
	       "1|a@b.c|Ann|-|-|-|-|-\n2|d@e.f|Bob|-|-|-|-|-\n");
	EXPECT(ARRAY, "[1,\"a]\\\"\\\\\",nul,[[{}]],-1.5e3 ,{\"email\":1]," ANN "]",
	       "1|-|-|-|-|-|is not a JSON object|1\n2|-|-|-|-|-|is not a JSON object|\"a]\\\"\\\\\"\n"
	       "3|-|-|-|-|-|is not valid JSON, at byte 1|nul\n4|-|-|-|-|-|is not a JSON object|[[{}]]\n"
	       "5|-|-|-|-|-|is not a JSON object|-1.5e3\n6|-|-|-|-|-|is not valid JSON, at byte 11|{\"email\":1]\n"
	       "7|a@b.c|Ann|-|-|-|-|-\n");
	EXPECT(ARRAY, "[{\"email\":\"x@y\",\"name\":\"}],{[\",\"q\":\"\\\\\\\"]}\"}]",
	       "1|x@y|}],{[|-|{\"q\":\"\\\\\\\"]}\"}|-|-|-\n");
	EXPECT(ARRAY, "[{\"a\":\"\n\"}]",
	       "1|-|-|-|-|-|is not valid JSON, at byte 7|{\"a\":\"\n\"}\n");
}

static void broken_arrays(void **state)
{
	(void)state;
	EXPECT(ARRAY, "", "broken: byte 1: The file is empty.\n");
	EXPECT(ARRAY, " \n", "broken: byte 3: The file is empty.\n");
	EXPECT(ARRAY, ANN, "broken: byte 1: The file is not a JSON array.\n");
	EXPECT(ARRAY, "\xEF\xBB\xBFx", "broken: byte 4: The file is not a JSON array.\n");
	EXPECT(ARRAY, "\xEF\xBBx", "broken: byte 1: The file is not a JSON array.\n");
	EXPECT(ARRAY, "[", "broken: element 1: The array ends too early.\n");
	EXPECT(ARRAY, "[" ANN,
	       "1|a@b.c|Ann|-|-|-|-|-\nbroken: element 2: The array ends too early.\n");
	EXPECT(ARRAY, "[" ANN ",",
	       "1|a@b.c|Ann|-|-|-|-|-\nbroken: element 2: The array ends too early.\n");
	EXPECT(ARRAY, "[" ANN ",{\"email\":\"x",
	       "1|a@b.c|Ann|-|-|-|-|-\nbroken: element 2: The array ends too early.\n");
	EXPECT(ARRAY, "[12", "broken: element 1: The array ends too early.\n");
	EXPECT(ARRAY, "[" ANN ",]",
	       "1|a@b.c|Ann|-|-|-|-|-\nbroken: byte 33: An element of the array is missing here.\n");
	EXPECT(ARRAY, "[," ANN "]", "broken: byte 2: An element of the array is missing here.\n");
	EXPECT(ARRAY, "[" ANN BOB "]",
	       "1|a@b.c|Ann|-|-|-|-|-\nbroken: byte 32: A comma or the end of the array is missing here.\n");
	EXPECT(ARRAY, "[1 2]",
	       "1|-|-|-|-|-|is not a JSON object|1\n"
	       "broken: byte 4: A comma or the end of the array is missing here.\n");
	EXPECT(ARRAY, "[]x", "broken: byte 3: Something follows the end of the array.\n");
	EXPECT(ARRAY, "[] []", "broken: byte 4: Something follows the end of the array.\n");
	EXPECT(ARRAY, "[}", "broken: byte 2: An element of the array is missing here.\n");
	EXPECT(ARRAY, "[{\"a\":[1,2},{}]",
	       "1|-|-|-|-|-|is not valid JSON, at byte 10|{\"a\":[1,2},{}]\n"
	       "broken: element 2: The array ends too early.\n");
}

/* Wrong members, each as a row of its own. */
static void wrong_members(void **state)
{
	(void)state;
	EXPECT(LINES, "{}", "1|-|-|-|-|email|is missing|{}\n");
	EXPECT(LINES, "{\"email\":null,\"name\":\"x\"}",
	       "1|-|-|-|-|email|is missing|{\"email\":null,\"name\":\"x\"}\n");
	EXPECT(LINES, "{\"email\":\"a@b\"}", "1|-|-|-|-|name|is missing|{\"email\":\"a@b\"}\n");
	EXPECT(LINES, "{\"email\":\"a@b\",\"name\":\"\"}",
	       "1|-|-|-|-|name|is missing|{\"email\":\"a@b\",\"name\":\"\"}\n");
	EXPECT(LINES, "{\"email\":7,\"name\":\"x\"}",
	       "1|-|-|-|-|email|must be a string|{\"email\":7,\"name\":\"x\"}\n");
	EXPECT(LINES, "{\"email\":\"a@b\",\"name\":[]}",
	       "1|-|-|-|-|name|must be a string|{\"email\":\"a@b\",\"name\":[]}\n");
	EXPECT(LINES, "{\"email\":\"a@b\",\"name\":\"x\",\"externalId\":7}",
	       "1|-|-|-|-|externalId|must be a string|{\"email\":\"a@b\",\"name\":\"x\",\"externalId\":7}\n");
	EXPECT(LINES, "{\"email\":\"a@b\",\"name\":\"x\\u0000\"}",
	       "1|-|-|-|-|name|holds \\u0000, which can't be stored|{\"email\":\"a@b\",\"name\":\"x\\u0000\"}\n");
	EXPECT(LINES, "{\"t\\u00e4g\":{\"\\u0000\":1}}",
	       "1|-|-|-|-|t\xC3\xA4g|holds \\u0000, which can't be stored|{\"t\\u00e4g\":{\"\\u0000\":1}}\n");
	EXPECT(LINES, "{\"\\u0000\":1}",
	       "1|-|-|-|-|-|holds \\u0000, which can't be stored|{\"\\u0000\":1}\n");
	EXPECT(LINES, "{\"a\":\"\\ud800\"}",
	       "1|-|-|-|-|a|holds half of a surrogate pair|{\"a\":\"\\ud800\"}\n");
	EXPECT(LINES, "{\"a\":\"\\udc00\\ud800\"}",
	       "1|-|-|-|-|a|holds half of a surrogate pair|{\"a\":\"\\udc00\\ud800\"}\n");
	EXPECT(LINES, "{\"a\":\"\\ud800\\n\"}",
	       "1|-|-|-|-|a|holds half of a surrogate pair|{\"a\":\"\\ud800\\n\"}\n");
	EXPECT(LINES, "{\"a\":1e1001}",
	       "1|-|-|-|-|a|holds a number that is too large|{\"a\":1e1001}\n");
	EXPECT(LINES, "{\"a\":[1E-99999999999999999999]}",
	       "1|-|-|-|-|a|holds a number that is too large|{\"a\":[1E-99999999999999999999]}\n");
	EXPECT(LINES, "{\"name\":\"\xFF\"}",
	       "1|-|-|-|-|-|is not valid UTF-8|{\"name\":\"\xFF\"}\n");
	EXPECT(LINES, "{\"name\":\"\xED\xA0\x80\"}",
	       "1|-|-|-|-|-|is not valid UTF-8|{\"name\":\"\xED\xA0\x80\"}\n");
	EXPECT(LINES, "{\"name\":\"\xC0\xAF\"}",
	       "1|-|-|-|-|-|is not valid UTF-8|{\"name\":\"\xC0\xAF\"}\n");
}

static void kept_members(void **state)
{
	(void)state;
	EXPECT(LINES,
	       "{ \"a\" : [ 1 , 2 ] ,\"email\":\"a@b\", \"name\" : \"x\",\"b\":{\"c\":null}, \"externalId\":\"7\"}",
	       "1|a@b|x|7|{\"a\":[ 1 , 2 ],\"b\":{\"c\":null}}|-|-|-\n");
	EXPECT(LINES, "{\"email\":1,\"name\":2,\"email\":\"a@b\",\"name\":\"x\",\"a\":1,\"a\":2}",
	       "1|a@b|x|-|{\"a\":1,\"a\":2}|-|-|-\n");
	EXPECT(LINES,
	       "{\"\\u0065mail\":\"a\\u0040b\",\"n\\u0061me\":\"\\ud83d\\ude00\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20ac\"}",
	       "1|a@b|\xF0\x9F\x98\x80\"\\/\b\f\n\r\t\xC3\xA9\xE2\x82\xAC|-|-|-|-|-\n");
	EXPECT(LINES,
	       "{\"email\":\"a@b\",\"name\":\"x\",\"n\":12345678901234567890123.4500,\"m\":-0E+1000,\"externalId\":null}",
	       "1|a@b|x|-|{\"n\":12345678901234567890123.4500,\"m\":-0E+1000}|-|-|-\n");
	EXPECT(LINES, "{\"email\":\"a@b\",\"name\":\"x\",\"externalId\":\"\",\"\":\"\"}",
	       "1|a@b|x|-|{\"\":\"\"}|-|-|-\n");
	EXPECT(LINES, "{\"Email\":\"a@b\",\"email\":\"c@d\",\"name\":\"\xC3\xA9\"}",
	       "1|c@d|\xC3\xA9|-|{\"Email\":\"a@b\"}|-|-|-\n");
}

static void emails(void **state)
{
	static const char *const good[] = {
		"a@b",
		"a.b+c@d-e.f",
		"A_!#$%&'*/=?^`{|}~-@x.Y",
		"\xC3\xA4@\xC3\xB6.de",
		"1@2",
		"x@0123456789012345678901234567890123456789012345678901234567890-2.a",
		"0123456789012345678901234567890123456789012345678901234567890123@x",
	};
	static const char *const bad[] = {
		"@",
		"a@",
		"@b",
		"a",
		"a b@c",
		"a@b c",
		"a@b@c",
		"a@.b",
		"a@b.",
		"a@b..c",
		"a@-b",
		"a@b-",
		"a@b-.c",
		"a@b_c",
		"a@b\n",
		"\ta@b",
		"a@[1.2.3.4]",
		"\"a\"@b",
		"a,b@c",
		"<a@b>",
		"a@b;c@d",
		"a\x7F@b",
		"a(x)@b",
		"x@01234567890123456789012345678901234567890123456789012345678901-3.a",
		"01234567890123456789012345678901234567890123456789012345678901234@x",
	};
	struct account a;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		a = (struct account){ .email = { good[i], strlen(good[i]) }, .name = { "x", 1 } };
		account_check(&a);
		assert_null(a.reason);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		a = (struct account){ .email = { bad[i], strlen(bad[i]) }, .name = { "x", 1 } };
		account_check(&a);
		assert_string_equal(a.reason, "is not an e-mail address");
	}
}

static const char *checked(const char *email, size_t email_len, const char *name, size_t name_len,
			   const char *id, size_t id_len)
{
	static struct account a;

	a = (struct account){ .email = { email, email_len },
			      .name = { name, name_len },
			      .external_id = { id, id_len } };
	account_check(&a);
	return a.reason ? a.reason : "";
}

static void lengths(void **state)
{
	char email[256], text[802];
	size_t i;

	(void)state;
	memset(email, 'a', sizeof(email));
	memcpy(email, "a@", 2);
	for (i = 60; i < sizeof(email); i += 60)
		email[i] = '.';
	for (i = 0; i < sizeof(text); i += 2)
		memcpy(text + i, "\xC3\xA4", 2);
	assert_string_equal(checked(email, 254, "x", 1, NULL, 0), "");
	assert_string_equal(checked(email, 255, "x", 1, NULL, 0), "is longer than 254 bytes");
	assert_string_equal(checked("a@b", 3, text, 400, text, 400), "");
	assert_string_equal(checked("a@b", 3, text, 402, NULL, 0), "is longer than 200 characters");
	assert_string_equal(checked("a@b", 3, "x", 1, text, 402), "is longer than 200 characters");
}

/* A value nested `levels` deep in a row. */
static void add_nested(struct buf *b, int levels)
{
	int i;

	buf_adds(b, "{\"email\":\"a@b\",\"name\":\"x\",\"v\":");
	for (i = 0; i < levels; i++)
		buf_adds(b, i % 2 ? "{\"k\":" : "[");
	buf_adds(b, "1");
	while (i-- > 0)
		buf_adds(b, i % 2 ? "}" : "]");
	buf_adds(b, "}");
}

static void depth(void **state)
{
	struct buf text = { 0 }, out = { 0 };
	int i;

	(void)state;
	add_nested(&text, 15);
	read_every_way(LINES, text.data, text.len, &out);
	assert_memory_equal(out.data, "1|a@b|x|-|{\"v\":[", 15);
	buf_reset(&text);
	add_nested(&text, 16);
	read_every_way(LINES, text.data, text.len, &out);
	assert_memory_equal(out.data, "1|-|-|-|-|v|is nested more than 16 levels deep|", 47);

	/* bombs: half a megabyte of brackets, closed or not */
	buf_reset(&text);
	buf_adds(&text, "[");
	add_nested(&text, 250000);
	buf_adds(&text, "," ANN "]");
	read_every_way(ARRAY, text.data, text.len, &out);
	assert_memory_equal(out.data, "1|-|-|-|-|v|is nested more than 16 levels deep|", 47);
	assert_non_null(strstr(out.data, "\n2|a@b.c|Ann|-|-|-|-|-\n"));
	buf_reset(&text);
	for (i = 0; i < 2500000; i++)
		buf_adds(&text, "[");
	read_in_pieces(ARRAY, text.data, text.len, 4096, &out);
	assert_string_equal(out.data, "broken: element 1: The array ends too early.\n");
	read_in_pieces(LINES, text.data, 500000, 4096, &out);
	assert_string_equal(out.data,
			    "1|-|-|-|-|-|is nested more than 16 levels deep|500000 bytes\n");
	buf_free(&text);
	buf_free(&out);
}

static void huge_rows(void **state)
{
	struct buf text = { 0 }, out = { 0 };
	size_t just;

	(void)state;
	buf_adds(&text, "{\"email\":\"a@b\",\"name\":\"x\",\"v\":\"");
	just = IMPORT_ROW_MAX - 2 - text.len;
	assert_true(buf_reserve(&text, just + 100));
	memset(text.data + text.len, 'y', just + 1);
	text.len += just;
	buf_adds(&text, "\"}\n" BOB "\n");
	read_every_way(LINES, text.data, text.len, &out);
	assert_memory_equal(out.data, "1|a@b|x|-|{\"v\":\"yyy", 19);
	assert_non_null(strstr(out.data, "\n2|d@e.f|Bob|-|-|-|-|-\n"));
	memcpy(text.data + text.len - strlen("\"}\n" BOB "\n"), "y\"}\n" BOB, strlen("y\"}\n" BOB));
	read_every_way(LINES, text.data, text.len, &out);
	assert_string_equal(
		out.data, "1|-|-|-|-|-|is larger than 1 MiB|65536 bytes\n2|d@e.f|Bob|-|-|-|-|-\n");
	buf_free(&text);
	buf_free(&out);
}

/* A text that json-c read must be the same; but it takes escaped characters like U+1DA00, whose last
 * sixteen bits look like a surrogate, for one, and puts U+FFFD. */
static void compare_text(struct json_object *row, const char *name, struct slice ours)
{
	struct json_object *theirs;

	assert_true(json_object_object_get_ex(row, name, &theirs));
	if (strstr(json_object_get_string(theirs), "\xEF\xBF\xBD"))
		return;
	assert_int_equal(json_object_get_string_len(theirs), ours.len);
	assert_memory_equal(json_object_get_string(theirs), ours.data, ours.len);
}

/* Checks one text against the other parser. */
static void compare(const char *data, size_t len)
{
	static const char *const stricter[] = { "holds",    "is nested", "is missing", "must be",
						"is not a", "is longer", NULL };
	struct account a;
	struct buf more = { 0 };
	struct json_object *row = NULL, *extra = NULL;
	const char *why = NULL;
	char *room = malloc(len + 1);
	bool theirs;
	size_t i;

	assert_non_null(room);
	theirs = json_parse_strict(data, len, &row, &why);
	assert_true(account_from_json(&a, data, len, room, &more));
	if (!a.reason) {
		assert_true(theirs);
		compare_text(row, "email", a.email);
		compare_text(row, "name", a.name);
		if (a.extra.data)
			assert_true(json_parse_strict(a.extra.data, a.extra.len, &extra, &why));
	} else if (theirs) {
		/* refused though it is JSON: for a rule of ours */
		for (i = 0; stricter[i] && strncmp(a.reason, stricter[i], strlen(stricter[i])) != 0;
		     i++)
			;
		assert_non_null(stricter[i]);
		assert_null(strstr(a.reason, "valid JSON"));
	}
	json_object_put(row);
	json_object_put(extra);
	buf_free(&more);
	free(room);
}

static const char *const parts[] = {
	"{",
	"}",
	"[",
	"]",
	",",
	":",
	"\"",
	"\"",
	"\\",
	"\\u",
	"0041",
	"d83d\\ude00",
	"\\\"",
	"\"email\":\"a@b\"",
	"\"name\":\"n\"",
	"\"name\":\"\\u00e9\"",
	"\"x\":",
	"1",
	"-",
	"0",
	".5",
	"e3",
	"E+",
	"true",
	"null",
	"fals",
	" ",
	"\t",
	"\r",
	"\xC3\xA4",
	"\xFF",
	"\x01",
	"{\"email\":\"a@b\",\"name\":\"n\",",
	"\"externalId\":\"7\"",
	"[[[[[[[[",
	"]]]]]]]]",
	"\\u0000",
	"\\udc00",
};

/* Random texts: this parser and the other one agree, and cutting makes no difference. */
static void random_texts(void **state)
{
	struct buf text = { 0 }, out = { 0 };
	unsigned int seed = 20250102;
	int round, i, n;

	(void)state;
	for (round = 0; round < 20000; round++) {
		buf_reset(&text);
		buf_adds(&text, round % 2 ? "{\"email\":\"a@b\",\"name\":\"n\"," : "");
		n = rand_r(&seed) % 14;
		for (i = 0; i < n; i++)
			assert_true(buf_adds(
				&text,
				parts[(size_t)rand_r(&seed) % (sizeof(parts) / sizeof(parts[0]))]));
		if (round % 2)
			buf_adds(&text, "}");
		if (text.len == 0)
			continue;
		compare(text.data, text.len);
		if (round % 16 < 2)
			read_every_way(round % 16 ? LINES : ARRAY, text.data, text.len, &out);
	}
	buf_free(&text);
	buf_free(&out);
}

/* A good row with one byte changed, inserted or cut off: the same. */
static void damaged_texts(void **state)
{
	static const char row[] =
		"{\"email\":\"a.b@c.de\",\"name\":\"A \\\"\\u00e9\\ud83d\\ude00\xC3\xA4\",\"externalId\":\"x\","
		"\"n\":[-1.5e+3,0,true,false,null,{}],\"o\":{\"p\":\"q\"}}";
	char text[sizeof(row) + 1];
	size_t at;
	int c;

	(void)state;
	for (at = 0; at < sizeof(row) - 1; at++) {
		compare(row, at + 1);
		for (c = 0; c < 256; c++) {
			memcpy(text, row, sizeof(row));
			text[at] = (char)c;
			compare(text, sizeof(row) - 1);
			memcpy(text + at + 1, row + at, sizeof(row) - at);
			compare(text, sizeof(row));
		}
	}
}

static void cleaning(void **state)
{
	struct buf out = { 0 };

	(void)state;
	assert_true(text_add_storable(&out, "a\0b\n\xC3\xA4\xC3", 7));
	assert_string_equal(out.data, "a\xEF\xBF\xBD"
				      "b\n\xC3\xA4\xEF\xBF\xBD");
	buf_reset(&out);
	assert_true(text_add_line(&out, "\ta\x7F\xE2\x82\xAC\xE2\x82z\n", 10));
	assert_string_equal(out.data, " a \xE2\x82\xAC\xEF\xBF\xBD\xEF\xBF\xBDz ");
	buf_free(&out);
	assert_int_equal(text_chars("a\xC3\xA4\xE2\x82\xAC", 6), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(media_types),   cmocka_unit_test(lines),
		cmocka_unit_test(array),         cmocka_unit_test(broken_arrays),
		cmocka_unit_test(wrong_members), cmocka_unit_test(kept_members),
		cmocka_unit_test(emails),        cmocka_unit_test(lengths),
		cmocka_unit_test(depth),         cmocka_unit_test(huge_rows),
		cmocka_unit_test(random_texts),  cmocka_unit_test(damaged_texts),
		cmocka_unit_test(cleaning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
