/*
 * test_request.c: what is read from a request's parameters, and its memory.
 * links: api/counters.c api/request.c api/query.c api/host.c
 */
#include "test.h"

#include "api/app.h"
#include "api/conn.h"
#include "api/query.h"
#include "api/request.h"
#include "common/ids.h"
#include "common/times.h"

struct app app;
static struct api_config cfg = { .base_url = (char *)"https://a/prefix" };

void conn_kick(struct conn *c)
{
	(void)c;
}

static struct request *make(const char *a, const char *b, const char *c, const char *d)
{
	char *envp[] = { (char *)(uintptr_t)a, (char *)(uintptr_t)b, (char *)(uintptr_t)c,
			 (char *)(uintptr_t)d, NULL };

	return request_new(envp);
}

static void drop(struct request *req)
{
	req_unref(req);
	request_bury();
}

static void methods_and_targets(void **state)
{
	struct request *req = make("REQUEST_METHOD=DELETE", "REQUEST_URI=/prefix/v1/a%20b?x=1&y?z",
				   "CONTENT_LENGTH=12", "nonsense");

	(void)state;
	assert_int_equal(req_method(req), HTTP_DELETE);
	assert_string_equal(req_path(req), "/v1/a%20b");
	assert_string_equal(req_query(req), "x=1&y?z");
	assert_int_equal(req_content_length(req), 12);
	assert_null(req_param(req, "nonsense", NULL));
	drop(req);

	req = make("REQUEST_METHOD=PATCH", "CONTENT_LENGTH=", "X=a=b", NULL);
	assert_int_equal(req_method(req), HTTP_OTHER);
	assert_string_equal(req_method_name(req), "PATCH");
	assert_string_equal(req_path(req), "");
	assert_string_equal(req_query(req), "");
	assert_int_equal(req_content_length(req), -1);
	assert_string_equal(req_param(req, "X", NULL), "a=b");
	drop(req);
}

static void headers(void **state)
{
	struct request *req = make("HTTP_IF_MATCH=one", "CONTENT_TYPE=", "HTTP_IF_MATCH=two",
				   "HTTP_IF_MATCHED=three");
	char name[32];
	int count;

	(void)state;
	assert_string_equal(req_header(req, "If-Match"), "one, two");
	assert_string_equal(req_header(req, "IF-MATCHED"), "three");
	assert_string_equal(req_param(req, "HTTP_IF_MATCH", &count), "one");
	assert_int_equal(count, 2);
	assert_null(req_header(req, "Content-Type"));
	assert_null(req_header(req, "Accept"));
	drop(req);

	assert_true(header_param_name("X-Very-Long", name, 17));
	assert_string_equal(name, "HTTP_X_VERY_LONG");
	assert_false(header_param_name("X-Very-Long", name, 16));
	assert_true(header_param_name("content-type", name, sizeof(name)));
	assert_string_equal(name, "CONTENT_TYPE");
}

static void numbers(void **state)
{
	int64_t ms;

	(void)state;
	assert_int_equal(content_length_parse("0"), 0);
	assert_int_equal(content_length_parse("1073741824"), 1073741824);
	assert_int_equal(content_length_parse(NULL), -1);
	assert_int_equal(content_length_parse("-1"), -1);
	assert_int_equal(content_length_parse("+1"), -1);
	assert_int_equal(content_length_parse("1 "), -1);
	assert_int_equal(content_length_parse("99999999999999999999"), -1);
	assert_true(msec_parse("1764000000.123", &ms));
	assert_int_equal(ms, 1764000000123);
	assert_false(msec_parse("", &ms));
	assert_false(msec_parse("1764000000", &ms));
	assert_false(msec_parse("1764000000.12", &ms));
	assert_false(msec_parse("1764000000.1234", &ms));
	assert_false(msec_parse("-764000000.123", &ms));
	assert_false(msec_parse("9999999999999.123", &ms));
	assert_false(msec_parse("abc", &ms));
}

static void ids(void **state)
{
	struct request *req = make("LONGHAUL_REQUEST_ID=0123456789ABCDEF0123456789abcdef",
				   "LONGHAUL_MSEC=1764000000.123", NULL, NULL);
	struct uuid a, b;

	(void)state;
	assert_string_equal(req_id(req), "0123456789abcdef0123456789abcdef");
	assert_true(req_job_id(req, &a));
	assert_true(req_job_id(req, &b));
	assert_true(uuid_equal(&a, &b));
	assert_true(uuid_is_v7(&a));
	assert_int_equal(uuid7_ms(&a), 1764000000123);
	drop(req);

	/* doubled, malformed or absent: a random one of now */
	req = make("LONGHAUL_REQUEST_ID=0123456789abcdef0123456789abcdef",
		   "LONGHAUL_REQUEST_ID=0123456789abcdef0123456789abcdef",
		   "LONGHAUL_MSEC=1764000000.123", NULL);
	assert_string_not_equal(req_id(req), "0123456789abcdef0123456789abcdef");
	assert_int_equal(strlen(req_id(req)), 32);
	assert_true(req_job_id(req, &a));
	assert_true(req_job_id(req, &b));
	assert_false(uuid_equal(&a, &b));
	assert_true(now_ms() - uuid7_ms(&a) < 60000);
	drop(req);
	req = make("LONGHAUL_REQUEST_ID=0123456789abcdef0123456789abcdeg", NULL, NULL, NULL);
	assert_int_equal(strlen(req_id(req)), 32);
	drop(req);
}

static int releases;

static void count_release(void *ctx)
{
	assert_ptr_equal(ctx, &releases);
	releases++;
}

static void memory(void **state)
{
	struct request *req = make("REQUEST_METHOD=GET", NULL, NULL, NULL);

	(void)state;
	req_on_release(req, count_release, &releases);
	for (size_t n = 1; n < 100000; n = n * 3 + 1) {
		unsigned char *p = req_alloc(req, n);

		assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
		assert_int_equal(p[0] | p[n - 1], 0);
		memset(p, 0xff, n);
	}
	assert_string_equal(req_printf(req, "%s-%d", "a", 7), "a-7");
	assert_string_equal(req_method_name(req), "GET");
	req_ref(req);
	req_unref(req);
	request_bury();
	assert_int_equal(releases, 0);
	req_unref(req);
	assert_int_equal(releases, 0);
	assert_string_equal(req_method_name(req), "GET"); /* until it is buried */
	request_bury();
	assert_int_equal(releases, 1);
}

static void query_strings(void **state)
{
	struct request *req = make(
		"REQUEST_URI=/?a=1&b=%41%2b+c&c&d=%zz&e=%ff&f=%00&a=2&=x&&%67=7&h=%4", NULL, NULL,
		NULL);
	const char *wrong = NULL;

	(void)state;
	assert_string_equal(req_query_arg(req, "b", &wrong), "A+ c");
	assert_string_equal(req_query_arg(req, "c", &wrong), "");
	assert_string_equal(req_query_arg(req, "g", &wrong), "7");
	assert_null(req_query_arg(req, "nothing", &wrong));
	assert_null(wrong);
	/* Which of the two is meant? */
	assert_null(req_query_arg(req, "a", &wrong));
	assert_string_equal(wrong, "given more than once");
	for (const char *name = "d\0e\0f\0h\0"; *name; name += 2) {
		wrong = NULL;
		assert_null(req_query_arg(req, name, &wrong));
		assert_non_null(wrong);
	}
	drop(req);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(methods_and_targets),
		cmocka_unit_test(headers),
		cmocka_unit_test(numbers),
		cmocka_unit_test(ids),
		cmocka_unit_test(memory),
		cmocka_unit_test(query_strings),
	};

	app.cfg = &cfg;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
