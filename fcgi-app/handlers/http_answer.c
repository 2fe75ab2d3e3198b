/*
 * http_answer.c: what the service means by an answer that isn't a success.
 */
#include "http.h"

#include "common/json.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_problem(const char *media_type)
{
	static const char problem[] = "application/problem+json";
	size_t len = sizeof(problem) - 1;

	return media_type && strncasecmp(media_type, problem, len) == 0 &&
	       (media_type[len] == '\0' || strchr("; \t", media_type[len]));
}

/* Passes on the problem that the service describes. False: it doesn't describe one. */
static bool pass_on(struct lh_job *job, const struct http_answer *a, enum lh_verdict *verdict)
{
	struct json_object *o = NULL, *errors = NULL;
	const char *type, *title;

	if (!is_problem(a->media_type) || !json_parse_strict(a->body, a->len, &o, NULL))
		return false;
	title = json_get_str(o, "title");
	if (!title) {
		json_object_put(o);
		return false;
	}
	type = json_get_str(o, "type");
	if (!type || !*type || strcmp(type, "about:blank") == 0)
		type = "upstream-refused";
	json_object_object_get_ex(o, "errors", &errors);
	*verdict = lh_fail(
		job, type, a->status < 400 ? 502 : a->status, title, json_get_str(o, "detail"),
		json_object_is_type(errors, json_type_array) ? json_text(errors, NULL) : NULL);
	json_object_put(o);
	return true;
}

/* These speak of the input, so they are the client's business; of others it can make nothing. */
static bool is_about_input(int status)
{
	return status == 400 || status == 409 || status == 413 || status == 415 || status == 422;
}

enum lh_verdict http_refused(const struct http_config *config, struct lh_job *job,
			     const struct http_answer *a)
{
	int64_t wait = a->retry_after_s > 0 ? a->retry_after_s * 1000 : -1;
	enum lh_verdict verdict;
	char detail[64];

	snprintf(detail, sizeof(detail), "It answered with status %d.", a->status);
	if (http_statuses_have(&config->again, a->status))
		return lh_try_again(
			job, wait > config->retry_after_max_ms ? config->retry_after_max_ms : wait,
			"The service asked to be tried again later", detail);
	if (pass_on(job, a, &verdict))
		return verdict;
	return lh_fail(job, "upstream-refused", is_about_input(a->status) ? a->status : 502,
		       "The service refused the request", detail, NULL);
}
