/*
 * test_http.c: settings of the http handler, its headers, and what answers mean.
 * links: handlers/http_answer.c handlers/http_config.c handlers/http_headers.c handlers/exec_words.c
 */
#include "fake_job.h"

#include <curl/curl.h>

#include "handlers/http.h"

#define URL "url", "http://127.0.0.1:1/x"

static struct http_config *config_of(const struct lh_settings *settings)
{
	const char *error = NULL;
	struct http_config *c = http_config_new(settings, &error);

	if (!c)
		fail_msg("%s", error);
	return c;
}

#define CONFIG(...) config_of(&(struct lh_settings){ { URL, __VA_ARGS__, NULL } })

static void statuses(void **state)
{
	static const char *const bad[] = { "20",      "2000", "99",   "600",      "200-", "-200",
					   "300-200", "abc",  "200;", "200-299x", "2 00", NULL };
	struct http_statuses s;
	struct buf many = { 0 };
	const char *why;

	(void)state;
	assert_true(http_statuses_parse(" 200-204, 304\t599,", &s, &why));
	assert_int_equal(s.n, 3);
	assert_true(http_statuses_have(&s, 200));
	assert_true(http_statuses_have(&s, 204));
	assert_false(http_statuses_have(&s, 205));
	assert_true(http_statuses_have(&s, 304));
	assert_true(http_statuses_have(&s, 599));
	assert_false(http_statuses_have(&s, 0));
	assert_true(http_statuses_parse("", &s, &why));
	assert_false(http_statuses_have(&s, 200));
	for (int i = 0; bad[i]; i++)
		assert_false(http_statuses_parse(bad[i], &s, &why));
	for (int i = 0; i < HTTP_RANGES_MAX; i++)
		buf_adds(&many, "200 ");
	assert_true(http_statuses_parse(many.data, &s, &why));
	buf_adds(&many, "200");
	assert_false(http_statuses_parse(many.data, &s, &why));
	buf_free(&many);
}

static void wrong_settings(void **state)
{
	static const char *const bad[][2] = {
		{ "url", "" },
		{ "url", "ftp://host/" },
		{ "url", "file:///etc/passwd" },
		{ "url", "host" },
		{ "url", "http://" },
		{ "url", "http://ho st/" },
		{ "method", "" },
		{ "method", "PO ST" },
		{ "headers", "X" },
		{ "headers", "'X: a" },
		{ "headers", "'X y: a'" },
		{ "headers", "': a'" },
		{ "headers", "'X: a\nY: b'" },
		{ "headers", "'Content-Length: 1'" },
		{ "headers", "'transfer-encoding: chunked'" },
		{ "success", "2xx" },
		{ "try_again", "often" },
		{ "connect_timeout_ms", "0" },
		{ "retry_after_max_ms", "-1" },
		{ "redirects", "21" },
		{ "ca_file", "/nowhere/at/all" },
		{ "unix_socket", "relative" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct lh_settings settings = { { bad[i][0], bad[i][1], URL, NULL } };
		const char *error = NULL;

		assert_null(http_config_new(&settings, &error));
		assert_non_null(error);
		assert_memory_equal(error, bad[i][0], strlen(bad[i][0]));
		free((void *)error);
	}
}

static bool has(const struct curl_slist *list, const char *line)
{
	for (; list; list = list->next)
		if (strcmp(list->data, line) == 0)
			return true;
	return false;
}

static void headers(void **state)
{
	struct http_config *c = CONFIG(
		"headers", "'Authorization: Bearer a b' content-type:text/x X-Longhaul-Client:");
	struct curl_slist *list;
	struct lh_job job;

	(void)state;
	job_init(&job, "application/json", "", 0);
	job.info.client = "acme";
	job.info.request_id = "x\r\nEvil: yes";
	job.info.traceparent = "00-1-2-01";
	list = http_headers(c, &job.info);
	assert_true(has(list, "Authorization: Bearer a b"));
	assert_true(has(list, "content-type:text/x"));
	assert_false(has(list, "Content-Type: application/json"));
	assert_false(has(list, "X-Longhaul-Client: acme"));
	assert_true(has(list, "X-Longhaul-Client:"));
	assert_true(has(list, "Idempotency-Key: \"01a2087d-d650-728c-97f1-bca0dc1c81f9\""));
	assert_true(has(list, "traceparent: 00-1-2-01"));
	assert_true(has(list, "X-Longhaul-Attempt: 1"));
	for (const struct curl_slist *l = list; l; l = l->next)
		assert_null(strstr(l->data, "Evil"));
	curl_slist_free_all(list);
	http_config_free(c);
	c = CONFIG("method", "PUT");
	list = http_headers(c, &job.info);
	assert_true(has(list, "Content-Type: application/json"));
	assert_true(has(list, "X-Longhaul-Client: acme"));
	curl_slist_free_all(list);
	http_config_free(c);
}

static enum lh_verdict judge(struct http_config *c, struct lh_job *job, int status, int retry_after,
			     const char *type, const char *body)
{
	struct http_answer a = { .status = status,
				 .retry_after_s = retry_after,
				 .media_type = type,
				 .body = body,
				 .len = strlen(body) };

	job_init(job, "text/plain", "", 0);
	return http_refused(c, job, &a);
}

static void refusals(void **state)
{
	static const char problem[] =
		"{\"type\":\"https://x.example/p\",\"title\":\"No\",\"detail\":\"d\",\"status\":418,\"errors\":[1]}";
	struct http_config *c = CONFIG("retry_after_max_ms", "60000");
	struct lh_job job;

	(void)state;
	assert_int_equal(judge(c, &job, 503, 0, NULL, ""), LH_TRY_AGAIN);
	assert_int_equal(job.retry_ms, -1);
	assert_int_equal(judge(c, &job, 429, 7, NULL, ""), LH_TRY_AGAIN);
	assert_int_equal(job.retry_ms, 7000);
	assert_int_equal(judge(c, &job, 429, 700, NULL, ""), LH_TRY_AGAIN);
	assert_int_equal(job.retry_ms, 60000);
	assert_int_equal(judge(c, &job, 422, 0, "application/problem+json; charset=utf-8", problem),
			 LH_FAILED);
	assert_int_equal(job.status, 422);
	assert_string_equal(job.problem_type, "https://x.example/p");
	assert_string_equal(job.title, "No");
	assert_string_equal(job.detail, "d");
	assert_string_equal(job.errors, "[1]");
	assert_int_equal(judge(c, &job, 404, 0, "application/problem+json",
			       "{\"type\":\"about:blank\",\"title\":\"T\",\"errors\":{}}"),
			 LH_FAILED);
	assert_string_equal(job.problem_type, "upstream-refused");
	assert_string_equal(job.errors, "");
	/* what is no problem, or a broken one, isn't shown */
	judge(c, &job, 403, 0, "application/problem+json", "{\"title\":\"cut o");
	assert_int_equal(job.status, 502);
	judge(c, &job, 404, 0, "text/html", "<h1>stack trace</h1>");
	assert_int_equal(job.status, 502);
	assert_string_equal(job.detail, "It answered with status 404.");
	judge(c, &job, 415, 0, NULL, "");
	assert_int_equal(job.status, 415);
	judge(c, &job, 302, 0, "application/problem+json", "{\"title\":\"x\"}");
	assert_int_equal(job.status, 502);
	judge(c, &job, 404, 0, "application/problem+jsonx", problem);
	assert_string_equal(job.problem_type, "upstream-refused");
	http_config_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statuses),
		cmocka_unit_test(wrong_settings),
		cmocka_unit_test(headers),
		cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
