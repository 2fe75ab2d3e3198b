/*
 * test_cursor.c: list cursors.
 * links: api/cursor.c
 */
#include "test.h"

#include "api/cursor.h"

static void there_and_back(void **state)
{
	struct uuid id, back;
	char text[CURSOR_TEXT];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		assert_true(random_bytes(&id, sizeof(id)));
		cursor_write(&id, text);
		assert_int_equal(strlen(text), CURSOR_TEXT - 1);
		assert_int_equal(
			strspn(text,
			       "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
			CURSOR_TEXT - 1);
		assert_true(cursor_read(text, &back));
		assert_true(uuid_equal(&id, &back));
	}
}

/* One wrong character anywhere is noticed. */
static void damaged(void **state)
{
	struct uuid id = { { 1, 2, 3, 4, 5, 6, 0x70, 8, 0x89, 10, 11, 12, 13, 14, 15, 16 } }, back;
	char good[CURSOR_TEXT], text[CURSOR_TEXT + 1];

	(void)state;
	cursor_write(&id, good);
	for (size_t i = 0; i < CURSOR_TEXT - 1; i++) {
		for (const char *c = "Az9-_=+/ \"%"; *c; c++) {
			memcpy(text, good, sizeof(good));
			if (text[i] == *c)
				continue;
			text[i] = *c;
			if (cursor_read(text, &back))
				fail_msg("taken: %s", text);
		}
	}
	memcpy(text, good, sizeof(good));
	text[CURSOR_TEXT - 2] = '\0';
	assert_false(cursor_read(text, &back));
	memcpy(text, good, sizeof(good));
	strcat(text, "A");
	assert_false(cursor_read(text, &back));
	assert_false(cursor_read("", &back));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(there_and_back),
					    cmocka_unit_test(damaged) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
