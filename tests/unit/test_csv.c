/*
 * test_csv.c: accounts as CSV.
 * links: handlers/account.c handlers/import_array.c handlers/import_csv.c
 * links: handlers/import_reader.c handlers/json_scan.c common/text.c
 */
#include "read_rows.h"

#define CSV "text/csv"
#define H "email,name\n"

static void plain_rows(void **state)
{
	(void)state;
	EXPECT(CSV, H "a@b.c,Ann\nd@e.f,Bob\n", "2|a@b.c|Ann|-|-|-|-|-\n3|d@e.f|Bob|-|-|-|-|-\n");
	EXPECT(CSV, "email,name\r\na@b.c,Ann\r\nd@e.f,Bob",
	       "2|a@b.c|Ann|-|-|-|-|-\n3|d@e.f|Bob|-|-|-|-|-\n");
	EXPECT(CSV, H, "");
	EXPECT(CSV, "email,name", "");
	EXPECT(CSV, "email,name\r\n", "");
	EXPECT(CSV, "\n\n" H "\n\na@b.c,Ann\r\n\r\n", "6|a@b.c|Ann|-|-|-|-|-\n");
	EXPECT(CSV, "\xEF\xBB\xBF" H "a@b.c,Ann\n", "2|a@b.c|Ann|-|-|-|-|-\n");
	EXPECT("Text/CSV; Header=present; charset=\"UTF-8\"", H "a@b.c,Ann\n",
	       "2|a@b.c|Ann|-|-|-|-|-\n");
}

static void columns(void **state)
{
	(void)state;
	EXPECT(CSV, "Name , externalID,dept,EMAIL\nAnn,7,Sales,a@b.c\nBob,,,d@e.f\n",
	       "2|a@b.c|Ann|7|{\"dept\":\"Sales\"}|-|-|-\n3|d@e.f|Bob|-|-|-|-|-\n");
	EXPECT(CSV, "email,name,a,b\na@b.c,Ann,\"x\"\"y\\\",\ta\n",
	       "2|a@b.c|Ann|-|{\"a\":\"x\\u0022y\\u005c\",\"b\":\"\\u0009a\"}|-|-|-\n");
	EXPECT(CSV, "email,name,\"a \"\"b\"\"\"\na@b.c,Ann,\xC3\xA4\n",
	       "2|a@b.c|Ann|-|{\"a \\u0022b\\u0022\":\"\xC3\xA4\"}|-|-|-\n");
}

static void quotes(void **state)
{
	(void)state;
	EXPECT(CSV,
	       "\"email\",\"name\"\n\"a@b.c\",\"Ann, \"\"the\"\"\nfirst\"\nd@e.f,\"\"\"\"\ng@h.i,\"\"\n",
	       "2|a@b.c|Ann, \"the\"\nfirst|-|-|-|-|-\n4|d@e.f|\"|-|-|-|-|-\n"
	       "5|-|-|-|-|name|is missing|g@h.i,\"\"\n");
	EXPECT(CSV, H "\"a@b.c\",\"x\r\ny\"\r\nd@e.f,z\r\n",
	       "2|a@b.c|x\r\ny|-|-|-|-|-\n4|d@e.f|z|-|-|-|-|-\n");
	EXPECT(CSV, H "a@b.c,A\"nn\nd@e.f,Bob\n",
	       "2|-|-|-|-|name|has a quote inside a field without quotes|a@b.c,A\"nn\n3|d@e.f|Bob|-|-|-|-|-\n");
	EXPECT(CSV, H "\"a@b.c\"x,Ann\nd@e.f,\"Bob\"\"\"y\n\"\"\"a\"\"\",n\n",
	       "2|-|-|-|-|email|has text behind a closing quote|\"a@b.c\"x,Ann\n"
	       "3|-|-|-|-|name|has text behind a closing quote|d@e.f,\"Bob\"\"\"y\n"
	       "4|-|-|-|-|email|is not an e-mail address|\"\"\"a\"\"\",n\n");
	EXPECT(CSV, H "a@b.c, \"Ann\"\n",
	       "2|-|-|-|-|name|has a quote inside a field without quotes|a@b.c, \"Ann\"\n");
}

static void wrong_rows(void **state)
{
	(void)state;
	EXPECT(CSV, H "a@b.c\na@b.c,Ann,\na@b.c,Ann\n",
	       "2|-|-|-|-|-|field count is 1, the header has 2|a@b.c\n"
	       "3|-|-|-|-|-|field count is 3, the header has 2|a@b.c,Ann,\n4|a@b.c|Ann|-|-|-|-|-\n");
	EXPECT(CSV, H ",Ann\nnot-an-address,Ann\na@b.c,\n",
	       "2|-|-|-|-|email|is missing|,Ann\n3|-|-|-|-|email|is not an e-mail address|not-an-address,Ann\n"
	       "4|-|-|-|-|name|is missing|a@b.c,\n");
	EXPECT(CSV, H "a@b.c,A\xFFnn\na@b.c,\xC3\n",
	       "2|-|-|-|-|-|is not valid UTF-8|a@b.c,A\xFFnn\n"
	       "3|-|-|-|-|-|is not valid UTF-8|a@b.c,\xC3\n");
}

static void nul_byte(void **state)
{
	struct buf out = { 0 };
	const char text[] = H "a@b.c,A\0nn\nd@e.f,Bob\n";
	const char expected[] = "2|-|-|-|-|-|holds a NUL byte|a@b.c,A\0nn\n3|d@e.f|Bob|-|-|-|-|-\n";

	(void)state;
	read_every_way(CSV, text, sizeof(text) - 1, &out);
	assert_int_equal(out.len, sizeof(expected) - 1);
	assert_memory_equal(out.data, expected, out.len);
	buf_free(&out);
}

static void broken_files(void **state)
{
	(void)state;
	EXPECT(CSV, "", "broken: line 1: The file has no header row.\n");
	EXPECT(CSV, "\xEF\xBB\xBF\r\n\r", "broken: line 1: The file has no header row.\n");
	EXPECT(CSV, "mail,name\na@b.c,Ann\n",
	       "broken: line 1: The header row has no column \"email\".\n");
	EXPECT(CSV, "email;name\na@b.c;Ann\n",
	       "broken: line 1: The header row has no column \"email\".\n");
	EXPECT(CSV, "\nemail\n", "broken: line 2: The header row has no column \"name\".\n");
	EXPECT(CSV, "email,name,\n", "broken: line 1: A column of the header row has no name.\n");
	EXPECT(CSV, "email,name,Email\n",
	       "broken: line 1: A column of the header row comes twice.\n");
	EXPECT(CSV, "email,name,x, x\n",
	       "broken: line 1: A column of the header row comes twice.\n");
	EXPECT(CSV, "email,na\"me\n",
	       "broken: line 1: The header row has a quote in the wrong place.\n");
	EXPECT(CSV, "email,name,\xC3\n", "broken: line 1: The header row is not valid UTF-8.\n");
	EXPECT(CSV, H "a@b.c,Ann\nd@e.f,\"Bob\ng@h.i,Cid\n",
	       "2|a@b.c|Ann|-|-|-|-|-\nbroken: line 3: A quoted field that begins in this row never ends.\n");
	EXPECT(CSV, "\xEF\xBB", "broken: line 1: The header row is not valid UTF-8.\n");
	EXPECT(CSV, "\xEF", "broken: line 1: The file has no header row.\n");
}

static void many_columns(void **state)
{
	struct buf text = { 0 }, out = { 0 };
	int i;

	(void)state;
	assert_true(buf_adds(&text, "email,name"));
	for (i = 2; i < 1000; i++)
		assert_true(buf_addf(&text, ",c%d", i));
	assert_true(buf_adds(&text, "\na@b.c,Ann"));
	for (i = 2; i < 1000; i++)
		assert_true(buf_adds(&text, ","));
	read_every_way(CSV, text.data, text.len, &out);
	assert_string_equal(out.data, "2|a@b.c|Ann|-|-|-|-|-\n");
	assert_true(buf_adds(&text, ",\n"));
	for (i = 0; i < 3000; i++)
		assert_true(buf_adds(&text, ","));
	read_in_pieces(CSV, text.data, text.len, 100, &out);
	assert_non_null(strstr(out.data, "2|-|-|-|-|-|field count is 1001, the header has 1000|"));
	assert_non_null(strstr(out.data, "3|-|-|-|-|-|field count is 3001, the header has 1000|"));
	text.len = (size_t)(strchr(text.data, '\n') - text.data);
	assert_true(buf_adds(&text, ",c1000\n"));
	read_every_way(CSV, text.data, text.len, &out);
	assert_string_equal(out.data,
			    "broken: line 1: The header row has more than 1000 columns.\n");
	buf_free(&text);
	buf_free(&out);
}

static void huge_rows(void **state)
{
	struct buf text = { 0 }, out = { 0 };
	int i;

	(void)state;
	assert_true(buf_adds(&text, H "a@b.c,\""));
	for (i = 0; i < IMPORT_ROW_MAX / 8; i++)
		assert_true(buf_adds(&text, "\n\"\",\"\"xy"));
	assert_true(buf_adds(&text, "\"\nd@e.f,Bob\n"));
	read_every_way(CSV, text.data, text.len, &out);
	assert_string_equal(
		out.data,
		"2|-|-|-|-|-|is larger than 1 MiB|65536 bytes\n131075|d@e.f|Bob|-|-|-|-|-\n");
	memcpy(text.data, "x", 1);
	memset(text.data + 5, ' ', 7);
	read_every_way(CSV, text.data, text.len, &out);
	assert_string_equal(out.data, "broken: line 1: The header row is larger than 1 MiB.\n");
	buf_free(&text);
	buf_free(&out);
}

/* Random files of the characters that matter: however they are cut, the same comes out. */
static void random_files(void **state)
{
	static const char *const parts[] = {
		",", ",",    "\"",       "\"",   "\n",        "\r\n",          "\r", "a@b.c",
		"x", "\"\"", "\xC3\xA4", "\xFF", "a@b.c,n\n", "a@b.c,\"n\"\n", " "
	};
	struct buf text = { 0 }, out = { 0 };
	unsigned int seed = 20250101;
	int round, i, n;

	(void)state;
	for (round = 0; round < 3000; round++) {
		buf_reset(&text);
		assert_true(buf_adds(&text, round % 8 ? H : ""));
		n = rand_r(&seed) % 40;
		for (i = 0; i < n; i++)
			assert_true(buf_adds(
				&text,
				parts[(size_t)rand_r(&seed) % (sizeof(parts) / sizeof(parts[0]))]));
		read_every_way(CSV, text.data, text.len, &out);
	}
	buf_free(&text);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_rows),   cmocka_unit_test(columns),
		cmocka_unit_test(quotes),       cmocka_unit_test(wrong_rows),
		cmocka_unit_test(nul_byte),     cmocka_unit_test(broken_files),
		cmocka_unit_test(many_columns), cmocka_unit_test(huge_rows),
		cmocka_unit_test(random_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
