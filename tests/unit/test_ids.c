/*
 * test_ids.c: UUIDs, hexadecimal text, SHA-256.
 */
#include "test.h"

#include "common/ids.h"
#include "common/sha256.h"

static bool parse(const char *s, struct uuid *id)
{
	return uuid_parse(s, strlen(s), id);
}

static void parses_and_formats(void **state)
{
	static const char text[] = "01a2087d-d650-728c-97f1-bca0dc1c81f9";
	struct uuid id, upper;
	char out[UUID_TEXT], hex[33];

	(void)state;
	assert_true(parse(text, &id));
	uuid_format(&id, out);
	assert_string_equal(out, text);
	uuid_format_hex(&id, hex);
	assert_string_equal(hex, "01a2087dd650728c97f1bca0dc1c81f9");
	assert_true(parse("01A2087D-D650-728C-97F1-BCA0DC1C81F9", &upper));
	assert_true(uuid_equal(&id, &upper));
	assert_true(uuid_is_v7(&id));
	assert_false(uuid_is_nil(&id));
}

static void refuses_other_texts(void **state)
{
	static const char *const bad[] = {
		"",
		"01a2087dd650728c97f1bca0dc1c81f9",
		"{01a2087d-d650-728c-97f1-bca0dc1c81f9}",
		"01a2087d-d650-728c-97f1-bca0dc1c81f",
		"01a2087d-d650-728c-97f1-bca0dc1c81f9 ",
		"01a2087d-d650-728c-97f1-bca0dc1c81fg",
		"01a2087d-d650-728c-97f1bbca0dc1c81f9",
		"01a2087dd-650-728c-97f1-bca0dc1c81f9",
		"01a2087d-d650-728c-97f1-bca0dc1c81-9",
		"-----------------------------------",
		"01a2087d-d650-728c-97f1-bca0dc1c8\0f9",
	};
	struct uuid id;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(parse(bad[i], &id));
	assert_false(uuid_parse("01a2087d-d650-728c-97f1-bca0dc1c8\0f9", 36, &id));
}

static void v7_carries_its_time(void **state)
{
	static const int64_t times[] = { 0, 1, 1790938692114, INT64_C(0xffffffffffff) };
	unsigned char random[16];
	struct uuid id, other;

	(void)state;
	memset(random, 0xff, sizeof(random));
	for (size_t i = 0; i < 4; i++) {
		uuid7_make(&id, times[i], random);
		assert_true(uuid_is_v7(&id));
		assert_int_equal(uuid7_ms(&id), times[i]);
	}
	uuid7_make(&id, -5, random);
	assert_int_equal(uuid7_ms(&id), 0);
	uuid7_make(&id, 1000, random);
	uuid7_make(&other, 1001, random);
	assert_true(uuid_compare(&id, &other) < 0);
	/* The same id from the same request: nothing but time and bits goes in. */
	uuid7_make(&other, 1000, random);
	assert_true(uuid_equal(&id, &other));
}

static void random_ids_differ(void **state)
{
	struct uuid a, b;

	(void)state;
	assert_true(uuid4_make(&a));
	assert_true(uuid4_make(&b));
	assert_false(uuid_equal(&a, &b));
	assert_int_equal(a.b[6] >> 4, 4);
	assert_int_equal(a.b[8] >> 6, 2);
	assert_false(uuid_is_v7(&a));
}

static void random_below_stays_below(void **state)
{
	bool seen[10] = { false };

	(void)state;
	assert_int_equal(random_below(0), 0);
	assert_int_equal(random_below(1), 0);
	for (int i = 0; i < 10000; i++) {
		uint32_t v = random_below(10);

		assert_true(v < 10);
		seen[v] = true;
	}
	for (int i = 0; i < 10; i++)
		assert_true(seen[i]);
}

static void hex_both_ways(void **state)
{
	unsigned char bytes[4];
	char text[9];

	(void)state;
	assert_true(hex_decode("00fFa5", 6, bytes));
	assert_memory_equal(bytes, "\x00\xff\xa5", 3);
	hex_encode(bytes, 3, text);
	assert_string_equal(text, "00ffa5");
	assert_true(hex_decode("", 0, bytes));
	assert_false(hex_decode("abc", 3, bytes));
	assert_false(hex_decode("0x", 2, bytes));
	assert_false(hex_decode(" 1", 2, bytes));
}

static void sha256_known_answers(void **state)
{
	unsigned char once[32], streamed[32];
	struct sha256 *h = sha256_new();
	char text[65];

	(void)state;
	sha256_of("abc", 3, once);
	hex_encode(once, 32, text);
	assert_string_equal(text,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha256_add(h, "a", 1);
	sha256_add(h, "", 0);
	sha256_add(h, "bc", 2);
	sha256_end(h, streamed);
	assert_memory_equal(once, streamed, 32);
	sha256_of("", 0, once);
	hex_encode(once, 32, text);
	assert_string_equal(text,
			    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	sha256_free(sha256_new());
	sha256_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_and_formats),       cmocka_unit_test(refuses_other_texts),
		cmocka_unit_test(v7_carries_its_time),      cmocka_unit_test(random_ids_differ),
		cmocka_unit_test(random_below_stays_below), cmocka_unit_test(hex_both_ways),
		cmocka_unit_test(sha256_known_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
