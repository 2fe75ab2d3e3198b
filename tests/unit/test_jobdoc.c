/*
 * test_jobdoc.c: the job document.
 * links: api/jobdoc.c api/jobrow.c
 */
#include "test.h"

#include "api/jobdoc.h"
#include "common/json.h"

#define ID "01a2087d-d650-728c-97f1-bca0dc1c81f9"
#define BASE "https://api.example.com"
#define SELF BASE "/v1/import-jobs/" ID

static struct job_type type = { .type_id = 1,
				.name = (char *)"accounts.bulk-import",
				.collection = (char *)"import-jobs" };
static const struct pace pace = { .delay_ms = 1000,
				  .next_poll_ms = 1790938800000,
				  .estimate_ms = 1790949600000 };

static struct job_row row_of(enum job_status status)
{
	struct job_row row = { .type_id = 1,
			       .status = status,
			       .version = 0x100000002,
			       .created_ms = 1790938692114,
			       .done = -1,
			       .total = -1,
			       .result_size = -1,
			       .result_gen = -1 };

	assert_true(uuid_parse(ID, 36, &row.id));
	return row;
}

/* The text must be JSON, too. */
static void expect(struct buf *out, const char *text)
{
	struct json_object *o = NULL;

	assert_string_equal(out->data, text);
	assert_true(json_parse_strict(out->data, out->len, &o, NULL));
	json_object_put(o);
	buf_free(out);
}

static void queued(void **state)
{
	struct job_row row = row_of(JOB_QUEUED);
	struct pace unknown = pace;
	struct buf out = { 0 };

	(void)state;
	unknown.estimate_ms = 0;
	row.done = 5; /* of an earlier attempt */
	row.total = 10;
	row.start_by_ms = row.created_ms + 1000;
	jobdoc_write(&out, BASE, &type, &row, &unknown);
	expect(&out,
	       "{\"jobId\":\"" ID
	       "\",\"type\":\"accounts.bulk-import\",\"status\":\"Queued\",\"percentComplete\":0,"
	       "\"createdTime\":\"2026-10-02T10:58:12.114Z\",\"startByTime\":\"2026-10-02T10:58:13.114Z\","
	       "\"suggestedNextPollTime\":\"2026-10-02T11:00:00.000Z\","
	       "\"_links\":{\"self\":{\"href\":\"" SELF "\"},\"events\":{\"href\":\"" SELF
	       "/events\"},\"cancel\":{\"href\":\"" SELF
	       "/cancel\"}}}");
}

static void running(void **state)
{
	struct job_row row = row_of(JOB_IN_PROGRESS);
	struct buf out = { 0 };

	(void)state;
	row.started_ms = 1790938692131;
	row.start_by_ms = 1790938692131; /* it has been */
	row.done = 2500;
	row.total = 10000;
	row.message = "a \"b\"\\\n\t\x01\x7f\xc3\xa4";
	row.message_len = strlen(row.message);
	row.attempt = 1;
	jobdoc_write(&out, BASE, &type, &row, &pace);
	expect(&out,
	       "{\"jobId\":\"" ID
	       "\",\"type\":\"accounts.bulk-import\",\"status\":\"InProgress\",\"percentComplete\":25,"
	       "\"progress\":{\"done\":2500,\"total\":10000,\"message\":\"a \\\"b\\\"\\\\\\n\\t\\u0001\x7f\xc3\xa4\"},"
	       "\"createdTime\":\"2026-10-02T10:58:12.114Z\",\"startedTime\":\"2026-10-02T10:58:12.131Z\","
	       "\"suggestedNextPollTime\":\"2026-10-02T11:00:00.000Z\","
	       "\"estimatedCompletionTime\":\"2026-10-02T14:00:00.000Z\",\"attempt\":1,"
	       "\"_links\":{\"self\":{\"href\":\"" SELF "\"},\"events\":{\"href\":\"" SELF
	       "/events\"},\"cancel\":{\"href\":\"" SELF
	       "/cancel\"}}}");
}

static void ended(void **state)
{
	struct job_row row = row_of(JOB_COMPLETED);
	struct buf out = { 0 };

	(void)state;
	row.started_ms = row.created_ms;
	row.ended_ms = row.created_ms + 1;
	row.expires_ms = row.created_ms + 604800000;
	row.attempt = 2;
	jobdoc_write(&out, BASE, &type, &row, NULL);
	expect(&out,
	       "{\"jobId\":\"" ID
	       "\",\"type\":\"accounts.bulk-import\",\"status\":\"Completed\",\"percentComplete\":100,"
	       "\"createdTime\":\"2026-10-02T10:58:12.114Z\",\"startedTime\":\"2026-10-02T10:58:12.114Z\","
	       "\"completionTime\":\"2026-10-02T10:58:12.115Z\",\"expiresTime\":\"2026-10-09T10:58:12.114Z\","
	       "\"attempt\":2,\"_links\":{\"self\":{\"href\":\"" SELF
	       "\"},\"results\":{\"href\":\"" SELF "/results\"}}}");

	row = row_of(JOB_FAILED);
	row.error = "{\"title\": \"no\"}";
	row.error_len = strlen(row.error);
	row.done = 1;
	row.total = 3;
	jobdoc_write(&out, BASE, &type, &row, NULL);
	expect(&out,
	       "{\"jobId\":\"" ID
	       "\",\"type\":\"accounts.bulk-import\",\"status\":\"Failed\",\"percentComplete\":33.3,"
	       "\"progress\":{\"done\":1,\"total\":3},\"createdTime\":\"2026-10-02T10:58:12.114Z\","
	       "\"error\":{\"title\":\"no\",\"type\":\"urn:p:job-failed\"},\"_links\":{\"self\":{\"href\":\"" SELF
	       "\"}}}");
}

/* A problem of any size leaves the document small and well-formed. */
static void large_error(void **state)
{
	struct job_row row = row_of(JOB_FAILED);
	struct buf error = { 0 }, out = { 0 };
	struct json_object *o = NULL, *inner;

	(void)state;
	buf_adds(&error, "{\"type\":\"urn:x\",\"status\":500,\"other\":[1],\"detail\":\"");
	for (int i = 0; i < 20000; i++)
		buf_adds(&error, "\xc3\xa4");
	buf_adds(&error, "\"}");
	row.error = error.data;
	row.error_len = error.len;
	jobdoc_write(&out, BASE, &type, &row, NULL);
	assert_in_range(out.len, 2000, 4000);
	assert_true(json_parse_strict(out.data, out.len, &o, NULL));
	inner = json_object_object_get(o, "error");
	assert_string_equal(json_get_str(inner, "type"), "urn:x");
	assert_int_equal(json_get_int(inner, "status", 0), 500);
	assert_null(json_object_object_get(inner, "other"));
	json_object_put(o);
	buf_free(&out);
	buf_free(&error);
}

static void percent(void **state)
{
	struct job_row row = row_of(JOB_IN_PROGRESS);

	(void)state;
	assert_int_equal(jobdoc_permille(&row), -1);
	row.done = 10;
	assert_int_equal(jobdoc_permille(&row), -1);
	row.total = 0;
	assert_int_equal(jobdoc_permille(&row), -1);
	row.total = 10;
	assert_int_equal(jobdoc_permille(&row), 999); /* not yet Completed */
	row.done = 1000;
	assert_int_equal(jobdoc_permille(&row), 999);
	row.total = INT64_MAX;
	row.done = INT64_MAX / 2;
	assert_in_range(jobdoc_permille(&row), 499, 500);
	row.status = JOB_COMPLETED;
	assert_int_equal(jobdoc_permille(&row), 1000);
}

static void operation(void **state)
{
	struct job_row row = row_of(JOB_FAILED);
	struct buf out = { 0 };

	(void)state;
	row.error = "{\"type\":\"urn:longhaul:problem:timeout\",\"title\":\"Too slow\"}";
	row.error_len = strlen(row.error);
	jobdoc_write_operation(&out, BASE, &type, &row);
	expect(&out,
	       "{\"id\":\"" ID
	       "\",\"status\":\"Failed\",\"createdDateTime\":\"2026-10-02T10:58:12.114Z\","
	       "\"error\":{\"type\":\"urn:longhaul:problem:timeout\",\"title\":\"Too slow\",\"code\":\"timeout\","
	       "\"message\":\"Too slow\"}}");
	row = row_of(JOB_COMPLETED);
	jobdoc_write_operation(&out, BASE, &type, &row);
	expect(&out, "{\"id\":\"" ID "\",\"status\":\"Succeeded\",\"percentComplete\":100,"
		     "\"createdDateTime\":\"2026-10-02T10:58:12.114Z\",\"resourceLocation\":\"" SELF
		     "/results\"}");
}

/* Handlers say a short word; whatever else they store, a problem comes out. */
static void error_types(void **state)
{
	static const char *const cases[][3] = {
		{ "{\"type\":\"too-cold\",\"title\":\"t\"}", "urn:p:too-cold", "t" },
		{ "{\"type\":\"https://e.org/x\"}", "https://e.org/x", "The job failed" },
		{ "{\"type\":\"\",\"title\":7}", "urn:p:job-failed", "The job failed" },
		{ "[1]", "urn:p:job-failed", "The job failed" },
		{ "{", "urn:p:job-failed", "The job failed" },
		{ NULL, "urn:p:job-failed", "The job failed" },
	};
	struct job_row row = row_of(JOB_FAILED);
	struct json_object *error;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		row.error = cases[i][0];
		row.error_len = row.error ? strlen(row.error) : 0;
		error = jobdoc_error(&row);
		assert_string_equal(json_get_str(error, "type"), cases[i][1]);
		assert_string_equal(json_get_str(error, "title"), cases[i][2]);
		json_object_put(error);
	}
}

static void words_and_etag(void **state)
{
	struct job_row row = row_of(JOB_QUEUED);
	char etag[ETAG_TEXT];

	(void)state;
	jobdoc_etag(&row, etag);
	assert_string_equal(etag, "W/\"100000002\"");
	assert_int_equal(job_status_of("InProgress"), JOB_IN_PROGRESS);
	assert_int_equal(job_status_of("inprogress"), 0);
	assert_int_equal(job_status_of(""), 0);
	assert_string_equal(job_status_word(JOB_CANCELED), "Canceled");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queued),         cmocka_unit_test(running),
		cmocka_unit_test(ended),          cmocka_unit_test(large_error),
		cmocka_unit_test(percent),        cmocka_unit_test(operation),
		cmocka_unit_test(words_and_etag), cmocka_unit_test(error_types),
	};

	jobdoc_start("urn:p:");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
