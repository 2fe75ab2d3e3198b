/*
 * test_buf.c: buffers grow, shrink and refuse what can't be.
 */
#include "test.h"

#include "common/buf.h"
#include "common/mem.h"

static void empty_is_zero(void **state)
{
	struct buf b = { 0 };

	(void)state;
	assert_true(buf_add(&b, NULL, 0));
	assert_int_equal(b.len, 0);
	assert_string_equal(b.data, "");
	buf_free(&b);
	assert_null(b.data);
	assert_null(buf_take(&b));
	buf_reset(&b);
	buf_consume(&b, 10);
	assert_int_equal(b.len, 0);
}

static void adds_keep_a_nul_behind(void **state)
{
	struct buf b = { 0 };

	(void)state;
	for (int i = 0; i < 10000; i++) {
		assert_true(buf_add(&b, "abc", 3));
		assert_int_equal(b.data[b.len], '\0');
	}
	assert_int_equal(b.len, 30000);
	assert_memory_equal(b.data + 29997, "abc", 3);
	buf_free(&b);
}

static void formats_across_the_end_of_its_room(void **state)
{
	(void)state;
	for (int width = 1; width < 300; width++) {
		struct buf b = { 0 };
		char want[400];

		snprintf(want, sizeof(want), "xy%*d|%s", width, 7, "end");
		assert_true(buf_adds(&b, "xy"));
		assert_true(buf_addf(&b, "%*d|%s", width, 7, "end"));
		assert_string_equal(b.data, want);
		assert_int_equal(b.len, strlen(want));
		buf_free(&b);
	}
}

static void consumes_from_the_front(void **state)
{
	struct buf b = { 0 };

	(void)state;
	assert_true(buf_adds(&b, "hello world"));
	buf_consume(&b, 6);
	assert_string_equal(b.data, "world");
	buf_consume(&b, 100);
	assert_int_equal(b.len, 0);
	buf_free(&b);
}

static void reset_gives_back_large_memory(void **state)
{
	struct buf b = { 0 };

	(void)state;
	assert_true(buf_reserve(&b, BUF_KEEP + 1));
	buf_reset(&b);
	assert_int_equal(b.cap, 0);
	assert_true(buf_adds(&b, "small"));
	buf_reset(&b);
	assert_true(b.cap > 0);
	assert_string_equal(b.data, "");
	buf_free(&b);
}

/* A size that wraps around must fail and leave what is there alone. */
static void refuses_what_overflows(void **state)
{
	struct buf b = { 0 };

	(void)state;
	assert_true(buf_adds(&b, "kept"));
	assert_false(buf_reserve(&b, SIZE_MAX));
	assert_false(buf_reserve(&b, SIZE_MAX - 4));
	assert_false(buf_add(&b, "x", SIZE_MAX - 2));
	assert_string_equal(b.data, "kept");
	buf_free(&b);
}

static void memory_helpers_copy(void **state)
{
	char *s = mem_strndup("abcdef", 3), *t = mem_printf("%d-%s", 5, "x"),
	     *d = mem_dup("a\0b", 3);

	(void)state;
	assert_string_equal(s, "abc");
	assert_string_equal(t, "5-x");
	assert_memory_equal(d, "a\0b", 4);
	free(s);
	free(t);
	free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_is_zero),
		cmocka_unit_test(adds_keep_a_nul_behind),
		cmocka_unit_test(formats_across_the_end_of_its_room),
		cmocka_unit_test(consumes_from_the_front),
		cmocka_unit_test(reset_gives_back_large_memory),
		cmocka_unit_test(refuses_what_overflows),
		cmocka_unit_test(memory_helpers_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
