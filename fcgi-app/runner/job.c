/*
 * job.c: runs one job and implements the handler ABI for it.
 */
#include "job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "problem.h"

#define MEDIA_TYPE_MAX 255
#define DEFAULT_TYPE "application/octet-stream"

struct lh_job {
	struct runner *runner;
	struct channel *channel;
	uint32_t ticket;
	struct lh_job_info info;
	char id[UUID_TEXT];

	const char *input; /* what is at hand: the inline input or the rest of a chunk */
	size_t input_len;
	bool input_chunked, input_ended;
	struct buf kept; /* the job's message, once its frame must make way for chunks */

	struct buf result;   /* inline, or the chunk being filled */
	bool result_chunked; /* some went already */
	bool result_too_large;
	int64_t result_size;
	char media_type[MEDIA_TYPE_MAX + 1];

	struct buf error, log;
	int64_t retry_ms;

	bool progressed;
	int64_t done, total;
	char message[WIRE_MESSAGE + 1];
};

const char *lh_setting(const struct lh_settings *settings, const char *key, const char *otherwise)
{
	const char *p = settings->pairs;

	while (*p) {
		const char *value = p + strlen(p) + 1;

		if (!strcmp(p, key))
			return value;
		p = value + strlen(value) + 1;
	}
	return otherwise;
}

const struct lh_job_info *lh_job_info(const struct lh_job *job)
{
	return &job->info;
}

bool lh_cancelled(struct lh_job *job)
{
	return wire_stopped(job->channel->page, job->ticket) != WIRE_GO_ON;
}

/* Asks the daemon for the next chunk and waits. False: there will be none, the job is to stop. */
static bool next_chunk(struct lh_job *job)
{
	struct wire_head head;
	const char *payload;

	channel_send(job->channel, WIRE_WANT, job->ticket, NULL, 0);
	for (;;) {
		if (!channel_next(job->channel, &head, &payload))
			channel_lost();
		/* Jobs that were taken back may still stand before it in the stream; one with a
		 * chunked input is handed out alone, so there is nothing else to run. */
		if (head.ticket != job->ticket)
			continue;
		if (head.kind == WIRE_INPUT)
			break;
		if (head.kind == WIRE_STOP && lh_cancelled(job))
			return false;
	}
	job->input = payload;
	job->input_len = head.size;
	job->input_ended = head.size == 0;
	return true;
}

ssize_t lh_read(struct lh_job *job, void *data, size_t size)
{
	if (lh_cancelled(job))
		return -1;
	if (size == 0)
		return 0;
	if (job->input_len == 0 && job->input_chunked && !job->input_ended && !next_chunk(job))
		return -1;
	if (size > job->input_len)
		size = job->input_len;
	if (size > 0)
		memcpy(data, job->input, size);
	job->input += size;
	job->input_len -= size;
	return (ssize_t)size;
}

void lh_progress(struct lh_job *job, int64_t done, int64_t total, const char *message)
{
	size_t len = text_clean(message, WIRE_MESSAGE, job->message);

	job->progressed = true;
	job->done = done < 0 ? 0 : done;
	job->total = total < 0 ? -1 : total;
	wire_progress_set(job->channel->page, job->ticket, job->done, job->total, job->message,
			  len);
}

void lh_log(struct lh_job *job, const void *text, size_t size)
{
	wire_log_add(job->channel->page, text, size);
}

void lh_result_type(struct lh_job *job, const char *media_type)
{
	size_t i;

	/* It becomes a header of the answer: printable ASCII only. */
	for (i = 0; media_type && media_type[i]; i++) {
		if (i == MEDIA_TYPE_MAX || media_type[i] < 0x20 || media_type[i] > 0x7e) {
			log_warning("a media type given to lh_result_type is ignored");
			return;
		}
	}
	if (i > 0)
		memcpy(job->media_type, media_type, i + 1);
}

/* Sends whole chunks of the result that has outgrown its frame, or all of it at the end. */
static void send_chunks(struct lh_job *job, bool all)
{
	job->result_chunked = true;
	while (job->result.len >= WIRE_CHUNK || (all && job->result.len > 0)) {
		size_t n = job->result.len < WIRE_CHUNK ? job->result.len : WIRE_CHUNK;

		channel_send(job->channel, WIRE_RESULT, job->ticket, job->result.data, n);
		buf_consume(&job->result, n);
	}
}

bool lh_write(struct lh_job *job, const void *data, size_t size)
{
	const char *p = data;

	if (job->result_too_large || lh_cancelled(job))
		return false;
	if (job->runner->result_max > 0 &&
	    (int64_t)size > job->runner->result_max - job->result_size) {
		job->result_too_large = true;
		return false;
	}
	job->result_size += (int64_t)size;
	while (size > 0) {
		size_t room = WIRE_CHUNK - job->result.len, n = size < room ? size : room;

		if (!buf_add(&job->result, p, n)) {
			log_error("out of memory for a result");
			job->result_too_large = true;
			return false;
		}
		p += n;
		size -= n;
		if (job->result.len == WIRE_CHUNK)
			send_chunks(job, false);
	}
	return true;
}

enum lh_verdict lh_fail(struct lh_job *job, const char *type, int status, const char *title,
			const char *detail, const char *errors_json)
{
	problem_write(&job->error, type, status, title, detail, errors_json);
	return LH_FAILED;
}

enum lh_verdict lh_try_again(struct lh_job *job, int64_t delay_ms, const char *title,
			     const char *detail)
{
	problem_write(&job->error, "try-again", 503, title ? title : "The job is to be tried again",
		      detail, NULL);
	job->retry_ms = delay_ms < 0 ? -1 : delay_ms;
	return LH_TRY_AGAIN;
}

/* Makes sure that the verdict has what belongs to it. Returns the one to answer. */
static enum lh_verdict settle(struct lh_job *job, enum lh_verdict verdict)
{
	if (verdict < LH_DONE || verdict > LH_DIED) {
		log_error("handler %s returned an unknown verdict verdict=%d",
			  job->runner->handler->name, (int)verdict);
		verdict = LH_FAILED;
	}
	if (verdict == LH_DONE && job->result_too_large)
		verdict = lh_fail(job, "result-too-large", 500, "The result is too large", NULL,
				  NULL);
	if ((verdict == LH_FAILED || verdict == LH_TRY_AGAIN) && job->error.len == 0)
		problem_write(&job->error, "handler-failed", 500, "The job failed", NULL, NULL);
	return verdict;
}

static void answer(struct lh_job *job, enum lh_verdict verdict, int64_t ran_us)
{
	bool failed = verdict == LH_FAILED || verdict == LH_TRY_AGAIN;
	struct wire_done done = {
		.verdict = (int32_t)verdict,
		.ran_us = ran_us,
		.retry_ms = job->retry_ms,
		.result_size = -1,
		.progressed = job->progressed,
		.done = job->done,
		.total = job->total,
		.message = job->message,
		.media_type = "",
		.error = failed ? job->error.data : "",
	};

	if (!wire_log_get(job->channel->page, job->ticket, &job->log, &done.log_cut))
		abort();
	done.log = job->log.data;
	done.log_len = job->log.len;
	if (verdict == LH_DONE && job->result_size > 0) {
		if (job->result_chunked || job->result.len > WIRE_INLINE)
			send_chunks(job, true);
		done.chunked = job->result_chunked;
		done.media_type = job->media_type;
		done.result_size = job->result_size;
		if (!done.chunked) {
			done.result = job->result.data;
			done.result_len = job->result.len;
		}
	}
	channel_done(job->channel, job->ticket, &done, job->result_chunked || job->input_chunked);
}

/* Fills in the job from its message. With a chunked input the message is copied, because its place
 * will be taken by the chunks. */
static bool prepare(struct lh_job *job, struct runner *runner, const char *payload, size_t size)
{
	struct wire_job m;

	if (!wire_get_job(payload, size, &m))
		return false;
	if (!m.input) {
		if (!buf_add(&job->kept, payload, size))
			abort();
		wire_get_job(job->kept.data, size, &m);
	}
	uuid_format(&m.id, job->id);
	job->input = m.input;
	job->input_len = m.input_len;
	job->input_chunked = !m.input;
	job->info = (struct lh_job_info){
		.id = job->id,
		.type = runner->type,
		.client = m.client,
		.media_type = m.media_type,
		.input_size = m.input_size,
		.attempt = m.attempt,
		.deadline_ms = m.deadline_ms,
		.traceparent = m.traceparent,
		.request_id = m.request_id,
		.lease_boot = runner->boot,
		.lease_fence = m.fence,
	};
	return true;
}

/* Empties what is kept from job to job for its memory. */
static void reset(struct lh_job *job)
{
	buf_reset(&job->kept);
	buf_reset(&job->result);
	buf_reset(&job->error);
	buf_reset(&job->log);
	job->input_ended = job->result_chunked = job->result_too_large = job->progressed = false;
	job->result_size = job->done = 0;
	job->total = job->retry_ms = -1;
	job->message[0] = '\0';
	memcpy(job->media_type, DEFAULT_TYPE, sizeof(DEFAULT_TYPE));
}

bool job_run(struct runner *runner, uint32_t ticket, const char *payload, size_t size)
{
	static struct lh_job job; /* one at a time */
	struct wire_page *page = runner->channel.page;
	enum lh_verdict verdict;
	int64_t began;

	if (!wire_begin(page, ticket))
		return true;
	wire_log_begin(page, ticket);
	began = mono_us();
	atomic_store_explicit(&page->began_us, began, memory_order_relaxed);
	atomic_store_explicit(&page->running, ticket, memory_order_release);
	job.runner = runner;
	job.channel = &runner->channel;
	job.ticket = ticket;
	reset(&job);
	if (!prepare(&job, runner, payload, size))
		return false;
	log_about(job.id, job.info.request_id);
	verdict = settle(&job, runner->handler->run(&job, runner->state));
	answer(&job, verdict, mono_us() - began);
	log_about(NULL, NULL);
	atomic_store_explicit(&page->running, 0, memory_order_release);
	return true;
}
