/*
 * test_loop_lines.c: the lines of the conversation with a persistent command.
 * links: handlers/loop_lines.c common/text.c
 */
#include "fake_job.h"

#include "handlers/loop.h"

static struct loop_line parse(const char *text)
{
	static char copy[256];
	struct loop_line line;

	snprintf(copy, sizeof(copy), "%s", text);
	assert_true(loop_line_parse(copy, &line));
	return line;
}

static void lines(void **state)
{
	struct loop_line l;
	char empty[] = "", dash[] = "-", tab[] = "\tid";

	(void)state;
	l = parse("done\tx");
	assert_string_equal(l.verb, "done");
	assert_string_equal(l.id, "x");
	assert_null(l.field[0]);
	l = parse("failed\tx\t-\t\ttitle with -\tdetail\tmore\tand more\r");
	assert_null(l.field[0]);
	assert_null(l.field[1]);
	assert_string_equal(l.field[2], "title with -");
	assert_string_equal(l.field[3], "detail");
	l = parse("ready\t1\r");
	assert_string_equal(l.id, "1");
	l = parse("done\t");
	assert_null(l.id);
	assert_false(loop_line_parse(empty, &l));
	assert_false(loop_line_parse(dash, &l));
	assert_false(loop_line_parse(tab, &l));
}

static void numbers(void **state)
{
	static const char *const bad[] = { "",  "x", "-1", "1.5", " 1", "1 ", "1234567890123456789",
					   NULL };
	int64_t n;

	(void)state;
	assert_true(loop_number(NULL, -1, &n));
	assert_int_equal(n, -1);
	assert_true(loop_number("0", -1, &n));
	assert_int_equal(n, 0);
	assert_true(loop_number("123456789012345678", -1, &n));
	assert_int_equal(n, 123456789012345678);
	for (int i = 0; bad[i]; i++)
		assert_false(loop_number(bad[i], 0, &n));
}

static void job_line(void **state)
{
	struct buf out = { 0 };
	struct lh_job job;

	(void)state;
	job_init(&job, "text/plain;\tx=\"y\"", "", 0);
	job.info.client = "a\nb";
	job.info.deadline_ms = 1000;
	assert_true(loop_job_line(&out, &job.info, "/tmp/f"));
	assert_string_equal(
		out.data,
		"job\t01a2087d-d650-728c-97f1-bca0dc1c81f9\t1\t/tmp/f/input\t/tmp/f/result\ttext/plain; x=\"y\""
		"\t1970-01-01T00:00:01.000Z\t-\ta b\t-\n");
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines),
		cmocka_unit_test(numbers),
		cmocka_unit_test(job_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
