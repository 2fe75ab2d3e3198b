/*
 * jobdoc.c: the job document and the other texts made from a job.
 *
 * A document is a few hundred bytes; where memory ends, buf_add leaves it as it is, and what is
 * sent would be cut: so the functions here ignore its result, like every allocation of this size.
 */
#include "api/jobdoc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/mem.h"
#include "common/times.h"

#define ERROR_MAX 8192 /* bytes of a problem in a document */
#define ERROR_TEXT_MAX 2048

static const char *problem_base = "";

#define put(out, literal) buf_add(out, literal, sizeof(literal) - 1)

void jobdoc_start(const char *base)
{
	problem_base = base;
}

static void put_int(struct buf *out, int64_t v)
{
	char text[24];
	size_t at = sizeof(text);
	uint64_t rest = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

	do {
		text[--at] = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest);
	if (v < 0)
		text[--at] = '-';
	buf_add(out, text + at, sizeof(text) - at);
}

/* Appends `key` (with its comma, colon and opening quote) and the time, unless there is none. */
static void put_time(struct buf *out, const char *key, int64_t ms)
{
	char text[RFC3339_TEXT];

	if (ms == 0)
		return;
	rfc3339_format(ms, text);
	buf_adds(out, key);
	buf_add(out, text, RFC3339_TEXT - 1);
	put(out, "\"");
}

static void put_escaped(struct buf *out, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	char text[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };

	switch (c) {
	case '"':
		put(out, "\\\"");
		break;
	case '\\':
		put(out, "\\\\");
		break;
	case '\n':
		put(out, "\\n");
		break;
	case '\r':
		put(out, "\\r");
		break;
	case '\t':
		put(out, "\\t");
		break;
	default:
		buf_add(out, text, sizeof(text));
	}
}

void jobdoc_string(struct buf *out, const char *s, size_t len)
{
	size_t from = 0;

	put(out, "\"");
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		buf_add(out, s + from, i - from);
		put_escaped(out, c);
		from = i + 1;
	}
	buf_add(out, s + from, len - from);
	put(out, "\"");
}

void jobdoc_url(struct buf *out, const char *base, const struct job_type *type,
		const struct uuid *id, const char *suffix)
{
	char text[UUID_TEXT];

	uuid_format(id, text);
	buf_adds(out, base);
	put(out, "/v1/");
	buf_adds(out, type->collection);
	put(out, "/");
	buf_add(out, text, UUID_TEXT - 1);
	buf_adds(out, suffix);
}

void jobdoc_etag(const struct job_row *row, char out[ETAG_TEXT])
{
	snprintf(out, ETAG_TEXT, "W/\"%llx\"", (unsigned long long)row->version);
}

int jobdoc_permille(const struct job_row *row)
{
	double share;

	if (row->status == JOB_COMPLETED)
		return 1000;
	if (row->status == JOB_QUEUED)
		return 0;
	if (row->done < 0 || row->total <= 0)
		return -1;
	share = (double)row->done * 1000 / (double)row->total;
	return share >= 999 ? 999 : (int)share;
}

static void put_percent(struct buf *out, const char *key, const struct job_row *row)
{
	int permille = jobdoc_permille(row);

	if (permille < 0)
		return;
	buf_adds(out, key);
	put_int(out, permille / 10);
	if (permille % 10) {
		put(out, ".");
		put_int(out, permille % 10);
	}
}

static void put_progress(struct buf *out, const struct job_row *row)
{
	const char *comma = "";

	/* A job that waits for its next attempt has made no progress in it. */
	if (row->status == JOB_QUEUED || (row->done < 0 && row->total < 0 && !row->message))
		return;
	put(out, ",\"progress\":{");
	if (row->done >= 0) {
		put(out, "\"done\":");
		put_int(out, row->done);
		comma = ",";
	}
	if (row->total >= 0) {
		buf_adds(out, comma);
		put(out, "\"total\":");
		put_int(out, row->total);
		comma = ",";
	}
	if (row->message) {
		buf_adds(out, comma);
		put(out, "\"message\":");
		jobdoc_string(out, row->message, row->message_len);
	}
	put(out, "}");
}

/* A problem that is too large for a document: only its standard members, cut. */
static struct json_object *cut_error(struct json_object *whole)
{
	static const char *const keys[] = { "type", "title", "detail" };
	struct json_object *cut = json_object_new_object();
	int64_t status = json_get_int(whole, "status", 0);

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *text = json_get_str(whole, keys[i]);

		if (text)
			json_add_strn(cut, keys[i], text,
				      utf8_prefix(text, strlen(text), ERROR_TEXT_MAX));
	}
	if (status)
		json_add_int(cut, "status", status);
	json_object_put(whole);
	return cut;
}

/* Handlers name problems by a short word; clients see it under our base, like our own. */
static void complete_error(struct json_object *error)
{
	const char *type = json_get_str(error, "type");
	char *full;

	if (!type || !*type)
		type = "job-failed";
	if (!strchr(type, ':') && !strchr(type, '/')) {
		full = mem_printf("%s%s", problem_base, type);
		json_add_str(error, "type", full);
		free(full);
	}
	if (!json_get_str(error, "title"))
		json_add_str(error, "title", "The job failed");
}

struct json_object *jobdoc_error(const struct job_row *row)
{
	struct json_object *error = NULL;

	if (!row->error || !json_parse_strict(row->error, row->error_len, &error, NULL) ||
	    !json_object_is_type(error, json_type_object)) {
		json_object_put(error);
		error = json_object_new_object();
	}
	if (row->error_len > ERROR_MAX)
		error = cut_error(error);
	complete_error(error);
	return error;
}

static void put_json(struct buf *out, struct json_object *o)
{
	size_t len;
	const char *text = json_text(o, &len);

	buf_add(out, text, len);
	json_object_put(o);
}

static void put_links(struct buf *out, const char *base, const struct job_type *type,
		      const struct job_row *row)
{
	put(out, ",\"_links\":{\"self\":{\"href\":\"");
	jobdoc_url(out, base, type, &row->id, "\"}");
	if (!job_ended(row)) {
		put(out, ",\"events\":{\"href\":\"");
		jobdoc_url(out, base, type, &row->id, "/events\"}");
		put(out, ",\"cancel\":{\"href\":\"");
		jobdoc_url(out, base, type, &row->id, "/cancel\"}");
	} else if (row->status == JOB_COMPLETED) {
		put(out, ",\"results\":{\"href\":\"");
		jobdoc_url(out, base, type, &row->id, "/results\"}");
	}
	if (type->log_for_clients) {
		put(out, ",\"log\":{\"href\":\"");
		jobdoc_url(out, base, type, &row->id, "/log\"}");
	}
	put(out, "}");
}

void jobdoc_write(struct buf *out, const char *base, const struct job_type *type,
		  const struct job_row *row, const struct pace *pace)
{
	char id[UUID_TEXT];

	uuid_format(&row->id, id);
	put(out, "{\"jobId\":\"");
	buf_add(out, id, UUID_TEXT - 1);
	put(out, "\",\"type\":");
	jobdoc_string(out, type->name, strlen(type->name));
	put(out, ",\"status\":\"");
	buf_adds(out, job_status_word(row->status));
	put(out, "\"");
	put_percent(out, ",\"percentComplete\":", row);
	put_progress(out, row);
	put_time(out, ",\"createdTime\":\"", row->created_ms);
	put_time(out, ",\"startedTime\":\"", row->started_ms);
	if (row->status == JOB_QUEUED)
		put_time(out, ",\"startByTime\":\"", row->start_by_ms);
	if (job_ended(row)) {
		put_time(out, ",\"completionTime\":\"", row->ended_ms);
		put_time(out, ",\"expiresTime\":\"", row->expires_ms);
	} else if (pace) {
		if (pace->position > 0) {
			put(out, ",\"queuePosition\":");
			put_int(out, pace->position);
		}
		if (row->run_at_ms > pace->next_poll_ms - pace->delay_ms)
			put_time(out, ",\"runAtTime\":\"", row->run_at_ms);
		put_time(out, ",\"suggestedNextPollTime\":\"", pace->next_poll_ms);
		put_time(out, ",\"estimatedCompletionTime\":\"", pace->estimate_ms);
	}
	if (row->attempt > 0) {
		put(out, ",\"attempt\":");
		put_int(out, row->attempt);
	}
	if (row->error && job_ended(row)) {
		put(out, ",\"error\":");
		put_json(out, jobdoc_error(row));
	}
	put_links(out, base, type, row);
	put(out, "}");
}

/* What stands behind the last ':' or '/' of a problem's type. */
static const char *last_word(const char *uri)
{
	const char *word = uri;

	for (const char *s = uri; *s; s++)
		if (*s == ':' || *s == '/')
			word = s + 1;
	return word;
}

/* Status monitors look for a code and a message; our problem's own members stand beside them. */
static void put_operation_error(struct buf *out, const struct job_row *row)
{
	struct json_object *error = jobdoc_error(row);
	const char *detail = json_get_str(error, "detail");

	json_add_str(error, "code", last_word(json_get_str(error, "type")));
	json_add_str(error, "message", detail ? detail : json_get_str(error, "title"));
	put(out, ",\"error\":");
	put_json(out, error);
}

void jobdoc_write_operation(struct buf *out, const char *base, const struct job_type *type,
			    const struct job_row *row)
{
	static const char *const states[] = { "",          "NotStarted", "Running",
					      "Succeeded", "Failed",     "Canceled" };
	char id[UUID_TEXT];

	uuid_format(&row->id, id);
	put(out, "{\"id\":\"");
	buf_add(out, id, UUID_TEXT - 1);
	put(out, "\",\"status\":\"");
	buf_adds(out, states[row->status]);
	put(out, "\"");
	put_percent(out, ",\"percentComplete\":", row);
	put_time(out, ",\"createdDateTime\":\"", row->created_ms);
	if (row->status == JOB_COMPLETED) {
		put(out, ",\"resourceLocation\":\"");
		jobdoc_url(out, base, type, &row->id, "/results\"");
	}
	if (row->error && job_ended(row))
		put_operation_error(out, row);
	put(out, "}");
}
