/*
 * http.c: the handler that has the work done by an HTTP service: the input is the body of a request,
 * the body of a good answer is the result. Both are passed on piece by piece as they come.
 *
 * The request goes where the settings say, which may be inside: that is what this is for.
 */
#include "handlers.h"

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "http.h"

#include <curl/curl.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS 100 /* how often lh_cancelled() is asked */
#define REPLAY_MAX \
	65536 /* so much of an input can be sent again, on a redirect or a stale connection */
#define UPLOAD_BUFFER 65536

struct http_handler {
	struct http_config *config;
	CURLM *multi; /* holds the connections, from job to job */
	CURL *easy;
};

struct http_run {
	const struct http_config *config;
	CURL *easy;
	struct lh_job *job;
	struct buf replay; /* the beginning of the input, while it is all that was read */
	size_t replay_at;
	bool replay_ended; /* more was read than it holds */
	int64_t sent, received;
	bool canceled, too_large; /* why a callback has ended the transfer */
	bool no_memory;
	struct buf answer; /* the body, if it isn't the result */
};

/* ---- the input -------------------------------------------------------------------------------- */

/* Keeps what was read for the first time, as long as it is little. */
static bool keep(struct http_run *run, const char *data, size_t len)
{
	if (run->replay_ended)
		return true;
	if (run->replay.len + len > REPLAY_MAX) {
		run->replay_ended = true;
		return true;
	}
	run->replay_at += len;
	return buf_add(&run->replay, data, len);
}

static size_t on_read(char *to, size_t size, size_t n, void *ctx)
{
	struct http_run *run = ctx;
	size_t room = size * n, left = run->replay_ended ? 0 : run->replay.len - run->replay_at;
	ssize_t got;

	if (left > 0) {
		if (room > left)
			room = left;
		memcpy(to, run->replay.data + run->replay_at, room);
		run->replay_at += room;
		return room;
	}
	got = lh_read(run->job, to, room);
	if (got < 0) {
		run->canceled = true;
		return CURL_READFUNC_ABORT;
	}
	if (!keep(run, to, (size_t)got)) {
		run->no_memory = true;
		return CURL_READFUNC_ABORT;
	}
	return (size_t)got;
}

/* A redirect, or a kept connection that had died, wants the input once more. */
static int on_seek(void *ctx, curl_off_t offset, int origin)
{
	struct http_run *run = ctx;

	if (origin != SEEK_SET || offset != 0 || run->replay_ended)
		return CURL_SEEKFUNC_CANTSEEK;
	run->replay_at = 0;
	return CURL_SEEKFUNC_OK;
}

/* ---- the answer ------------------------------------------------------------------------------- */

static int status_of(CURL *easy)
{
	long status = 0;

	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	return (int)status;
}

static const char *media_type_of(CURL *easy)
{
	const char *type = NULL;

	curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
	return type;
}

static bool take_result(struct http_run *run, const char *data, size_t len)
{
	const char *type = media_type_of(run->easy);

	if (run->received == 0 && type)
		lh_result_type(run->job, type);
	run->received += (int64_t)len;
	if (lh_write(run->job, data, len))
		return true;
	if (lh_cancelled(run->job))
		run->canceled = true;
	else
		run->too_large = true;
	return false;
}

static size_t on_write(char *data, size_t size, size_t n, void *ctx)
{
	struct http_run *run = ctx;
	size_t len = size * n, room = HTTP_PROBLEM_MAX - run->answer.len;

	if (http_statuses_have(&run->config->good, status_of(run->easy)))
		return take_result(run, data, len) ? len : 0;
	/* What is beyond is read, so that the connection can be used again, up to a point: then it is cut. */
	if (room == 0)
		return 0;
	return buf_add(&run->answer, data, len < room ? len : room) ? len : 0;
}

/* Progress by bytes: a percentage only once the answer says how long it is. */
static int on_progress(void *ctx, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
		       curl_off_t up)
{
	struct http_run *run = ctx;
	char message[80];

	(void)down;
	(void)up_total;
	if (lh_cancelled(run->job)) {
		run->canceled = true;
		return 1;
	}
	if (run->received > 0) {
		lh_progress(run->job, run->received, down_total > 0 ? down_total : -1, "receiving");
	} else if (up > run->sent) {
		run->sent = up;
		snprintf(message, sizeof(message), "%" PRId64 " of %" PRId64 " bytes sent",
			 (int64_t)up, lh_job_info(run->job)->input_size);
		lh_progress(run->job, 0, -1, message);
	}
	return 0;
}

/* ---- the transfer ----------------------------------------------------------------------------- */

static void set_method(CURL *easy, const struct http_config *config, int64_t size)
{
	if (strcmp(config->method, "GET") == 0) {
		curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
	} else if (strcmp(config->method, "HEAD") == 0) {
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	} else if (strcmp(config->method, "POST") == 0) {
		curl_easy_setopt(easy, CURLOPT_POST, 1L);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
	} else {
		curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, config->method);
		curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)size);
	}
}

static void set_target(CURL *easy, const struct http_config *config)
{
	curl_easy_setopt(easy, CURLOPT_URL, config->url);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, config->redirects > 0 ? 1L : 0L);
	curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)config->redirects);
	/* The environment's http_proxy is nobody's setting of this type. */
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)config->connect_timeout_ms);
	if (*config->ca_file)
		curl_easy_setopt(easy, CURLOPT_CAINFO, config->ca_file);
	if (*config->unix_socket)
		curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, config->unix_socket);
}

static void set_up(struct http_run *run, struct curl_slist *headers)
{
	CURL *easy = run->easy;

	curl_easy_reset(easy); /* connections are kept */
	set_target(easy, run->config);
	set_method(easy, run->config, lh_job_info(run->job)->input_size);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "longhaul/" LONGHAUL_VERSION);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)UPLOAD_BUFFER);
	curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(easy, CURLOPT_READDATA, run);
	curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
	curl_easy_setopt(easy, CURLOPT_SEEKDATA, run);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, run);
	curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(easy, CURLOPT_XFERINFODATA, run);
}

/* Transfers until the end, or until the job is to stop. */
static CURLcode transfer(struct http_handler *h, struct http_run *run)
{
	CURLcode code = CURLE_OK;
	const CURLMsg *message;
	int running = 1, left;

	if (curl_multi_add_handle(h->multi, h->easy) != CURLM_OK)
		return CURLE_OUT_OF_MEMORY;
	while (running && !run->canceled) {
		if (curl_multi_perform(h->multi, &running) != CURLM_OK)
			code = CURLE_OUT_OF_MEMORY;
		if (code != CURLE_OK)
			break;
		if (running)
			curl_multi_poll(h->multi, NULL, 0, LOOK_MS, NULL);
		if (lh_cancelled(run->job))
			run->canceled = true;
	}
	while ((message = curl_multi_info_read(h->multi, &left)) != NULL)
		if (message->msg == CURLMSG_DONE)
			code = message->data.result;
	curl_multi_remove_handle(h->multi, h->easy);
	return code;
}

static enum lh_verdict broken(struct http_run *run, CURLcode code)
{
	log_warning("http: no answer error=\"%s\"", curl_easy_strerror(code));
	if (code == CURLE_TOO_MANY_REDIRECTS)
		return lh_fail(run->job, "upstream-refused", 502,
			       "The service redirects too many times", NULL, NULL);
	return lh_try_again(run->job, -1, "The service could not be reached",
			    "It was away, or the connection to it broke.");
}

/* What came of it. An answer that is no success counts also if its end is missing, or the input's. */
static enum lh_verdict verdict_of(struct http_run *run, CURLcode code)
{
	struct http_answer answer = {
		.status = status_of(run->easy),
		.media_type = media_type_of(run->easy),
		.body = run->answer.data,
		.len = run->answer.len,
	};
	curl_off_t retry_after = 0;
	bool good = http_statuses_have(&run->config->good, answer.status);
	bool counts = !good &&
		      (answer.status >= 400 || (answer.status >= 300 && code == CURLE_WRITE_ERROR));

	if (run->canceled)
		return LH_CANCELED;
	if (run->too_large)
		return lh_fail(run->job, "result-too-large", 500, "The result is too large", NULL,
			       NULL);
	if (code != CURLE_OK && !counts)
		return broken(run, code);
	if (good) {
		if (run->received == 0 && answer.media_type)
			lh_result_type(run->job, answer.media_type);
		return LH_DONE;
	}
	log_warning("http: refused status=%d", answer.status);
	curl_easy_getinfo(run->easy, CURLINFO_RETRY_AFTER, &retry_after);
	answer.retry_after_s = retry_after;
	return http_refused(run->config, run->job, &answer);
}

static enum lh_verdict http_run(struct lh_job *job, void *state)
{
	struct http_handler *h = state;
	struct http_run run = { .config = h->config, .easy = h->easy, .job = job };
	struct curl_slist *headers = http_headers(h->config, lh_job_info(job));
	enum lh_verdict verdict;

	if (!headers)
		return lh_try_again(job, -1, "The request could not be made",
				    "The worker ran out of memory.");
	set_up(&run, headers);
	verdict = verdict_of(&run, transfer(h, &run));
	curl_slist_free_all(headers);
	buf_free(&run.replay);
	buf_free(&run.answer);
	return verdict;
}

static void http_fini(void *state)
{
	struct http_handler *h = state;

	curl_easy_cleanup(h->easy);
	curl_multi_cleanup(h->multi);
	http_config_free(h->config);
	free(h);
	curl_global_cleanup();
}

static bool http_init(const struct lh_settings *settings, void **state, const char **error)
{
	struct http_handler *h;
	struct http_config *config;

	curl_global_init(CURL_GLOBAL_DEFAULT);
	config = http_config_new(settings, error);
	if (!config) {
		curl_global_cleanup();
		return false;
	}
	h = mem_zalloc(sizeof(*h));
	h->config = config;
	h->multi = curl_multi_init();
	h->easy = curl_easy_init();
	*state = h;
	if (h->multi && h->easy)
		return true;
	*error = "libcurl could not be set up";
	http_fini(h);
	return false;
}

const struct lh_handler lh_handler_http = {
	.abi = LH_HANDLER_ABI,
	.name = "http",
	.init = http_init,
	.run = http_run,
	.fini = http_fini,
};
