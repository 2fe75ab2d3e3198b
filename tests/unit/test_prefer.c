/*
 * test_prefer.c: the Prefer header.
 * links: api/prefer.c
 */
#include "test.h"

#include "api/app.h"
#include "api/prefer.h"

struct app app;
static const char *header;

const char *req_header(struct request *req, const char *name)
{
	(void)req;
	assert_string_equal(name, "Prefer");
	return header;
}

static void check(const char *text, bool async, bool has_wait, int asked_s, int wait_ms)
{
	struct prefer p;

	prefer_read(text, 55, &p);
	if (p.respond_async != async || p.has_wait != has_wait || p.wait_asked_s != asked_s ||
	    p.wait_ms != wait_ms)
		fail_msg("%s: async=%d has_wait=%d asked=%d ms=%d", text, p.respond_async,
			 p.has_wait, p.wait_asked_s, p.wait_ms);
}

static void what_is_asked_for(void **state)
{
	(void)state;
	check("", false, false, 0, 0);
	check("respond-async", true, false, 0, 0);
	check("Respond-ASYNC", true, false, 0, 0);
	check("wait=0", false, true, 0, 0);
	check("wait=10", false, true, 10, 10000);
	check("wait=55", false, true, 55, 55000);
	check("wait=100", false, true, 100, 55000);
	check("wait=99999999999999999999", false, true, 2147483647, 55000);
	check("respond-async, wait=5", true, true, 5, 5000);
	check("wait=5,respond-async", true, true, 5, 5000);
	check("  wait = 5 ; foo ; bar=\"a, b;c\" ,, respond-async ", true, true, 5, 5000);
	check("wait=\"7\"", false, true, 7, 7000);
	check("respond-async=\"\"", true, false, 0, 0);
	check("return=minimal, handling=lenient; wait=3, wait=2", false, true, 2, 2000);
	check("x=\"a\\\", wait=9\", wait=4", false, true, 4, 4000);
}

static void what_is_malformed_is_not_there(void **state)
{
	(void)state;
	check("wait", false, false, 0, 0);
	check("wait=", false, false, 0, 0);
	check("wait=-1", false, false, 0, 0);
	check("wait=1.5", false, false, 0, 0);
	check("wait=1 2", false, false, 0, 0);
	check("wait=abc", false, false, 0, 0);
	check("wait=\"3", false, false, 0, 0);
	check("respond-async=yes", false, false, 0, 0);
	check("=, ;;, \"a\", wait=6", false, true, 6, 6000);
	check("a b, wait=6", false, true, 6, 6000);
	check("wait=1, wait=9", false, true, 1, 1000); /* the first of two */
	check("wait=x, wait=9", false, false, 0, 0);   /* even if it is of no use */
	check("waiting=5, xwait=5", false, false, 0, 0);
	check("\xff\x01, respond-async", true, false, 0, 0);
	check(";;;;,,,,====\"\"\"\\", false, false, 0, 0);
}

static void from_a_request(void **state)
{
	static struct api_config cfg = { .wait_max_s = 3 };
	struct prefer p;

	(void)state;
	app.cfg = &cfg;
	header = NULL;
	prefer_parse(NULL, &p);
	assert_false(p.has_wait);
	header = "wait=10";
	prefer_parse(NULL, &p);
	assert_int_equal(p.wait_ms, 3000);
	assert_int_equal(p.wait_asked_s, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_asked_for),
		cmocka_unit_test(what_is_malformed_is_not_there),
		cmocka_unit_test(from_a_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
