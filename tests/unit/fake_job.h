/*
 * fake_job.h: a job without a runner, for tests of handlers: the handler ABI over memory. Include
 * it in one file of a test program.
 */
#ifndef LONGHAUL_TESTS_FAKE_JOB_H
#define LONGHAUL_TESTS_FAKE_JOB_H

#include "test.h"

#include <longhaul/handler.h>

#include "common/buf.h"
#include "common/mem.h"
#include "common/times.h"

struct lh_settings {
	const char *pairs[32]; /* key, value, key, value …, NULL */
};

struct lh_job {
	struct lh_job_info info;
	const char *input;
	size_t input_len;
	size_t piece;         /* lh_read gives at most this much */
	size_t result_max;    /* 0: no limit */
	int64_t cancel_at_ms; /* monotonic; 0: never */
	int cancel_checks;    /* > 0: canceled when asked that many times */

	struct buf result, log;
	char result_type[256];
	int64_t done, total;
	char message[256];
	int progressed;
	char problem_type[64], title[256], detail[8192], errors[8192];
	int status;
	int64_t retry_ms;
};

static inline void job_init(struct lh_job *job, const char *media_type, const void *input,
			    size_t len)
{
	*job = (struct lh_job){
		.info = {
			.id = "01a2087d-d650-728c-97f1-bca0dc1c81f9",
			.type = "test",
			.client = "tester",
			.media_type = media_type,
			.input_size = (int64_t)len,
			.attempt = 1,
			.traceparent = "",
			.request_id = "",
			.lease_boot = "c0ffee00-0000-4000-8000-000000000001",
			.lease_fence = 7,
		},
		.input = input,
		.input_len = len,
		.piece = 65536,
		.total = -1,
		.retry_ms = -1,
	};
}

static inline void job_free(struct lh_job *job)
{
	buf_free(&job->result);
	buf_free(&job->log);
}

const char *lh_setting(const struct lh_settings *settings, const char *key, const char *otherwise)
{
	int i;

	for (i = 0; settings->pairs[i]; i += 2)
		if (strcmp(settings->pairs[i], key) == 0)
			return settings->pairs[i + 1];
	return otherwise;
}

const struct lh_job_info *lh_job_info(const struct lh_job *job)
{
	return &job->info;
}

bool lh_cancelled(struct lh_job *job)
{
	if (job->cancel_checks > 0 && --job->cancel_checks == 0)
		job->cancel_at_ms = 1;
	return job->cancel_at_ms > 0 && mono_ms() >= job->cancel_at_ms;
}

ssize_t lh_read(struct lh_job *job, void *data, size_t size)
{
	if (lh_cancelled(job))
		return -1;
	if (size > job->input_len)
		size = job->input_len;
	if (size > job->piece)
		size = job->piece;
	memcpy(data, job->input, size);
	job->input += size;
	job->input_len -= size;
	return (ssize_t)size;
}

void lh_progress(struct lh_job *job, int64_t done, int64_t total, const char *message)
{
	job->progressed++;
	job->done = done;
	job->total = total;
	snprintf(job->message, sizeof(job->message), "%s", message ? message : "");
}

void lh_log(struct lh_job *job, const void *text, size_t size)
{
	buf_add(&job->log, text, size);
}

void lh_result_type(struct lh_job *job, const char *media_type)
{
	snprintf(job->result_type, sizeof(job->result_type), "%s", media_type);
}

bool lh_write(struct lh_job *job, const void *data, size_t size)
{
	if (lh_cancelled(job) || (job->result_max > 0 && job->result.len + size > job->result_max))
		return false;
	return buf_add(&job->result, data, size);
}

enum lh_verdict lh_fail(struct lh_job *job, const char *type, int status, const char *title,
			const char *detail, const char *errors_json)
{
	snprintf(job->problem_type, sizeof(job->problem_type), "%s", type);
	snprintf(job->title, sizeof(job->title), "%s", title);
	snprintf(job->detail, sizeof(job->detail), "%s", detail ? detail : "");
	snprintf(job->errors, sizeof(job->errors), "%s", errors_json ? errors_json : "");
	job->status = status;
	return LH_FAILED;
}

enum lh_verdict lh_try_again(struct lh_job *job, int64_t delay_ms, const char *title,
			     const char *detail)
{
	lh_fail(job, "try-again", 503, title, detail, NULL);
	job->retry_ms = delay_ms;
	return LH_TRY_AGAIN;
}

#endif
