/*
 * http_headers.c: the headers of a job's request.
 */
#include "http.h"

#include "common/buf.h"
#include "common/times.h"

#include <curl/curl.h>

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Does the operator set, or leave out, a header of this name? */
static bool is_fixed(const struct http_config *config, const char *name)
{
	size_t len = strlen(name);

	for (char **h = config->fixed; *h; h++)
		if (strncasecmp(*h, name, len) == 0 && (*h)[len] == ':')
			return true;
	return false;
}

static bool append(struct curl_slist **list, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*list, line);

	if (longer)
		*list = longer;
	return longer != NULL;
}

/* One of ours. Values can come from the client: one that would be more than a value is left out. */
static bool add(struct curl_slist **list, const struct http_config *config, const char *name,
		const char *value)
{
	struct buf line = { 0 };
	bool added;

	for (const unsigned char *p = (const unsigned char *)value; *p; p++)
		if (*p < 0x20 || *p == 0x7f)
			return true;
	if (!*value || is_fixed(config, name))
		return true;
	added = buf_addf(&line, "%s: %s", name, value) && append(list, line.data);
	buf_free(&line);
	return added;
}

static bool add_all(struct curl_slist **list, const struct http_config *config,
		    const struct lh_job_info *job)
{
	char attempt[16], key[64], deadline[RFC3339_TEXT] = "";

	snprintf(attempt, sizeof(attempt), "%d", job->attempt);
	/* The same for each attempt, so that the service can recognise a second one. */
	snprintf(key, sizeof(key), "\"%s\"", job->id);
	if (job->deadline_ms > 0)
		rfc3339_format(job->deadline_ms, deadline);
	for (char **h = config->fixed; *h; h++)
		if (!append(list, *h))
			return false;
	/* libcurl has an idea of its own of what it might be. */
	if (!*job->media_type && !is_fixed(config, "Content-Type") &&
	    !append(list, "Content-Type:"))
		return false;
	return add(list, config, "Content-Type", job->media_type) &&
	       add(list, config, "Idempotency-Key", key) &&
	       add(list, config, "traceparent", job->traceparent) &&
	       add(list, config, "X-Longhaul-Job", job->id) &&
	       add(list, config, "X-Longhaul-Type", job->type) &&
	       add(list, config, "X-Longhaul-Client", job->client) &&
	       add(list, config, "X-Longhaul-Attempt", attempt) &&
	       add(list, config, "X-Longhaul-Deadline", deadline) &&
	       add(list, config, "X-Request-Id", job->request_id);
}

struct curl_slist *http_headers(const struct http_config *config, const struct lh_job_info *job)
{
	struct curl_slist *list = NULL;

	if (add_all(&list, config, job))
		return list;
	curl_slist_free_all(list);
	return NULL;
}
