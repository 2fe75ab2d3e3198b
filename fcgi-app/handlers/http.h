/*
 * http.h: what the parts of the http handler share.
 */
#ifndef LONGHAUL_HANDLERS_HTTP_H
#define LONGHAUL_HANDLERS_HTTP_H

#include <longhaul/handler.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- http_config.c: the settings of a type ------------------------------------------------ */

#define HTTP_RANGES_MAX 32

/* Statuses, as in "200-299 304". */
struct http_statuses {
	struct {
		int from, to;
	} range[HTTP_RANGES_MAX];
	int n;
};

/* Reads them, with blanks or commas between. False: *why (static) says what is wrong. */
bool http_statuses_parse(const char *text, struct http_statuses *out, const char **why);
bool http_statuses_have(const struct http_statuses *statuses, int status);

struct http_config {
	/* as they stand in the settings */
	char *url, *method, *headers, *success, *try_again, *ca_file, *unix_socket;
	int connect_timeout_ms, retry_after_max_ms, redirects;
	/* made of them */
	struct http_statuses good, again;
	char **fixed; /* the headers: "Name: value", or "Name:" for one of ours to leave out */
};

/* Reads the settings. NULL and a malloc'ed *error if one is wrong. */
struct http_config *http_config_new(const struct lh_settings *settings, const char **error);
void http_config_free(struct http_config *config);

/* ---- http_headers.c: what the request says of the job ----------------------------------------- */

struct curl_slist;

/* The headers of a job's request; the caller frees. NULL when memory ends. */
struct curl_slist *http_headers(const struct http_config *config, const struct lh_job_info *job);

/* ---- http_answer.c: what an answer means ------------------------------------------------------ */

#define HTTP_PROBLEM_MAX 32768

struct http_answer {
	int status;
	int64_t retry_after_s;  /* 0: it doesn't say */
	const char *media_type; /* NULL: none */
	const char *body;       /* its first HTTP_PROBLEM_MAX bytes at most */
	size_t len;
};

/* The verdict on an answer that is no success. */
enum lh_verdict http_refused(const struct http_config *config, struct lh_job *job,
			     const struct http_answer *answer);

#endif
