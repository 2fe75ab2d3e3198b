/*
 * test_webhook_policy.c: schedules, verdicts, waits with jitter, Retry-After.
 * links: worker/webhook_policy.c courier/retry_after.c
 */
#include "test.h"

#include "courier/retry_after.h"
#include "worker/webhook_policy.h"

static void test_schedule(void **state)
{
	struct webhook_schedule s;
	char many[64 * 2 + 3] = "";

	(void)state;
	assert_true(webhook_schedule_parse(&s, "5000 300000,1800000 ,\t 0"));
	assert_int_equal(s.n, 4);
	assert_int_equal(s.v[0], 5000);
	assert_int_equal(s.v[1], 300000);
	assert_int_equal(s.v[2], 1800000);
	assert_int_equal(s.v[3], 0);
	assert_true(webhook_schedule_parse(&s, ""));
	assert_int_equal(s.n, 0);
	assert_true(webhook_schedule_parse(&s, "2592000000"));
	assert_false(webhook_schedule_parse(&s, "2592000001"));
	assert_false(webhook_schedule_parse(&s, "99999999999999999999"));
	assert_false(webhook_schedule_parse(&s, "5s"));
	assert_false(webhook_schedule_parse(&s, "-5"));
	assert_false(webhook_schedule_parse(&s, "+5"));
	assert_false(webhook_schedule_parse(&s, "1 x"));
	for (int i = 0; i < WEBHOOK_WAITS_MAX; i++)
		strcat(many, "1 ");
	assert_true(webhook_schedule_parse(&s, many));
	strcat(many, "1");
	assert_false(webhook_schedule_parse(&s, many));
}

static struct webhook_schedule schedule(const char *waits, int jitter)
{
	struct webhook_schedule s = { .jitter_percent = jitter, .retry_after_max_ms = 60000 };

	assert_true(webhook_schedule_parse(&s, waits));
	return s;
}

static struct webhook_outcome judge(const struct webhook_schedule *s, int attempt, int status,
				    enum post_error error, int64_t retry_after)
{
	struct wire_posted posted = {
		.error = error, .status = status, .retry_after_ms = retry_after, .detail = ""
	};

	return webhook_judge(s, attempt, &posted);
}

static void test_verdicts(void **state)
{
	static const struct {
		int status;
		enum post_error error;
		enum webhook_verdict verdict;
		const char *word;
	} rows[] = {
		{ 200, POST_ANSWERED, WEBHOOK_DELIVERED, NULL },
		{ 204, POST_ANSWERED, WEBHOOK_DELIVERED, NULL },
		{ 299, POST_ANSWERED, WEBHOOK_DELIVERED, NULL },
		{ 301, POST_ANSWERED, WEBHOOK_TRY_AGAIN, "redirect" },
		{ 304, POST_ANSWERED, WEBHOOK_TRY_AGAIN, "redirect" },
		{ 400, POST_ANSWERED, WEBHOOK_TRY_AGAIN, "http-error" },
		{ 404, POST_ANSWERED, WEBHOOK_TRY_AGAIN, "http-error" },
		{ 410, POST_ANSWERED, WEBHOOK_GONE, "http-error" },
		{ 500, POST_ANSWERED, WEBHOOK_TRY_AGAIN, "http-error" },
		{ 0, POST_TIMEOUT, WEBHOOK_TRY_AGAIN, "timeout" },
		{ 0, POST_REFUSED, WEBHOOK_TRY_AGAIN, "address-refused" },
		{ 0, POST_DIED, WEBHOOK_TRY_AGAIN, "courier-died" },
	};
	struct webhook_schedule s = schedule("10 20", 0);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct webhook_outcome o = judge(&s, 1, rows[i].status, rows[i].error, -1);

		assert_int_equal(o.verdict, rows[i].verdict);
		assert_int_equal(o.status, rows[i].status);
		if (rows[i].word)
			assert_string_equal(o.error, rows[i].word);
		else
			assert_null(o.error);
	}
	for (enum post_error e = POST_ANSWERED + 1; e < N_POST_ERRORS; e++)
		assert_non_null(post_error_word(e));
}

/* There is one try more than waits; what succeeds at the last one has succeeded. */
static void test_exhausted(void **state)
{
	struct webhook_schedule s = schedule("10 20", 0), none = schedule("", 0);

	(void)state;
	assert_int_equal(judge(&s, 1, 500, POST_ANSWERED, -1).retry_ms, 10);
	assert_int_equal(judge(&s, 2, 500, POST_ANSWERED, -1).retry_ms, 20);
	assert_int_equal(judge(&s, 3, 500, POST_ANSWERED, -1).verdict, WEBHOOK_FAILED);
	assert_int_equal(judge(&s, 3, 503, POST_ANSWERED, 1000).verdict, WEBHOOK_FAILED);
	assert_int_equal(judge(&s, 3, 200, POST_ANSWERED, -1).verdict, WEBHOOK_DELIVERED);
	assert_int_equal(judge(&none, 1, 500, POST_ANSWERED, -1).verdict, WEBHOOK_FAILED);
}

static void test_jitter(void **state)
{
	struct webhook_schedule s = schedule("1000 2592000000", 20);
	int64_t least = INT64_MAX, most = 0;

	(void)state;
	for (int i = 0; i < 2000; i++) {
		int64_t ms = judge(&s, 1, 500, POST_ANSWERED, -1).retry_ms;

		assert_true(ms >= 1000 && ms <= 1200);
		least = ms < least ? ms : least;
		most = ms > most ? ms : most;
	}
	assert_true(most - least > 100);
	for (int i = 0; i < 100; i++) {
		int64_t ms = judge(&s, 2, 500, POST_ANSWERED, -1).retry_ms;

		assert_true(ms >= INT64_C(2592000000) && ms <= INT64_C(2592000000) * 6 / 5);
	}
}

static void test_retry_after_rules(void **state)
{
	struct webhook_schedule s = schedule("1000", 0);

	(void)state;
	assert_int_equal(judge(&s, 1, 429, POST_ANSWERED, 5000).retry_ms, 5000);
	assert_int_equal(judge(&s, 1, 503, POST_ANSWERED, 5000).retry_ms, 5000);
	/* never sooner than the schedule has it, never later than configured */
	assert_int_equal(judge(&s, 1, 429, POST_ANSWERED, 10).retry_ms, 1000);
	assert_int_equal(judge(&s, 1, 429, POST_ANSWERED, 10000000).retry_ms, 60000);
	assert_int_equal(judge(&s, 1, 500, POST_ANSWERED, 5000).retry_ms, 1000);
}

static int64_t after(const char *s)
{
	return retry_after_ms(s, strlen(s), INT64_C(784111777) * 1000 - 250);
}

static void test_retry_after(void **state)
{
	(void)state;
	assert_int_equal(after("120"), 120000);
	assert_int_equal(after(" 0\r\n"), 0);
	assert_int_equal(after("99999999999999999999999"), INT64_C(31536000) * 1000);
	/* 784111777 in all three forms of an HTTP date */
	assert_int_equal(after(" Sun, 06 Nov 1994 08:49:37 GMT\r\n"), 250);
	assert_int_equal(after("Sunday, 06-Nov-94 08:49:37 GMT"), 250);
	assert_int_equal(after("Sun Nov  6 08:49:37 1994"), 250);
	assert_int_equal(after("Sun, 06 Nov 1994 08:49:36 GMT"), 0);
	assert_int_equal(after("Sun, 06 Nov 1983 08:49:37 GMT"), 0);
	assert_int_equal(after("Fri, 06 Nov 2065 08:49:37 GMT"), INT64_C(31536000) * 1000);
	assert_int_equal(after(""), -1);
	assert_int_equal(after("soon"), -1);
	assert_int_equal(after("-1"), -1);
	assert_int_equal(after("1.5"), -1);
	assert_int_equal(after("10 s"), -1);
	assert_int_equal(after("Sun, 32 Foo 1994 08:49:37 GMT"), -1);
	assert_int_equal(retry_after_ms("12\0"
					"3",
					4, 0),
			 -1);
	assert_int_equal(
		after("Sun, 06 Nov 1994 08:49:37 GMT                                       x"), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_schedule),          cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_exhausted),         cmocka_unit_test(test_jitter),
		cmocka_unit_test(test_retry_after_rules), cmocka_unit_test(test_retry_after),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
