/*
 * sse.c: server-sent events, as the WHATWG's HTML standard has them.
 */
#include "api/sse.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/app.h"
#include "api/http.h"
#include "common/ids.h"

#define EVENT_STREAM "text/event-stream"

void sse_event(struct buf *out, const char *event, const char *id, const char *data, size_t len)
{
	if (event)
		buf_addf(out, "event: %s\n", event);
	if (id)
		buf_addf(out, "id: %s\n", id);
	/* A line end in the data would end the field: each line is one of its own. */
	while (data) {
		size_t n = 0;

		while (n < len && data[n] != '\n' && data[n] != '\r')
			n++;
		buf_adds(out, "data: ");
		buf_add(out, data, n);
		buf_adds(out, "\n");
		if (n == len)
			break;
		n += n + 1 < len && data[n] == '\r' && data[n + 1] == '\n' ? 2 : 1;
		data += n;
		len -= n;
	}
	buf_adds(out, "\n");
}

void sse_retry(struct buf *out, int ms)
{
	buf_addf(out, "retry: %d\n\n", ms);
}

void sse_comment(struct buf *out)
{
	buf_adds(out, ":\n\n");
}

void sse_version_write(int64_t version, char out[SSE_ID_TEXT])
{
	snprintf(out, SSE_ID_TEXT, "%llx", (unsigned long long)version);
}

/* 1 to `most` hexadecimal digits; -1 if it is anything else. */
static int64_t hex_read(const char *text, size_t most)
{
	size_t n = text ? strspn(text, "0123456789abcdef") : 0;

	if (n < 1 || n > most || text[n] != '\0')
		return -1;
	return (int64_t)strtoull(text, NULL, 16);
}

int64_t sse_version_read(const char *id)
{
	return hex_read(id, 15);
}

void sse_cursor_write(int64_t ms, char out[SSE_ID_TEXT])
{
	snprintf(out, SSE_ID_TEXT, "t%llx", (unsigned long long)ms);
}

int64_t sse_cursor_read(const char *id)
{
	int64_t ms = id && *id == 't' ? hex_read(id + 1, 11) : -1;

	return ms > 0 ? ms : 0;
}

/* The weight of one element of an Accept header, in thousandths. */
static int weight_of(const char *element, size_t len)
{
	const char *end = element + len;

	for (const char *s = element; s < end; s++) {
		if (*s != ';')
			continue;
		s++;
		while (s < end && (*s == ' ' || *s == '\t'))
			s++;
		if (end - s >= 3 && (*s == 'q' || *s == 'Q') && s[1] == '=')
			return (int)(strtod(s + 2, NULL) * 1000);
		s--;
	}
	return 1000;
}

static bool names(const char *element, size_t len, const char *media_type)
{
	size_t n = strlen(media_type);

	return len >= n && strncasecmp(element, media_type, n) == 0 &&
	       (len == n || element[n] == ';' || isspace((unsigned char)element[n]));
}

bool sse_accepted(const char *accept)
{
	int best = 0;
	bool events = false;

	/* What is named first counts among equals. */
	while (accept && *accept) {
		size_t len;

		accept += strspn(accept, ", \t");
		len = strcspn(accept, ",");
		if (names(accept, len, EVENT_STREAM) || names(accept, len, "application/json")) {
			int weight = weight_of(accept, len);

			if (weight > best) {
				best = weight;
				events = names(accept, len, EVENT_STREAM);
			}
		}
		accept += len;
	}
	return events;
}

bool sse_asked(struct request *req)
{
	const char *path = req_path(req);
	size_t n = strlen(path);

	if (!(req_method(req) & (HTTP_GET | HTTP_HEAD)) || strncmp(path, "/v1/", 4) != 0)
		return false;
	return (n > 7 && strcmp(path + n - 7, "/events") == 0) ||
	       sse_accepted(req_header(req, "Accept"));
}

void sse_begin(struct request *req)
{
	reply_status(req, 200);
	reply_header(req, "Content-Type", EVENT_STREAM);
	reply_header(req, "Cache-Control", "no-store");
	/* nginx would else keep events back until its buffer is full. */
	reply_header(req, "X-Accel-Buffering", "no");
	reply_header(req, "Vary", "Accept");
	reply_stream_begin(req, -1);
}

void sse_come_back(struct request *req)
{
	struct buf out = { 0 };

	sse_begin(req);
	sse_retry(&out, sse_spread(app.cfg->events_retry_ms));
	reply_stream_write(req, out.data, out.len);
	reply_stream_end(req);
	buf_free(&out);
}

int sse_spread(int ms)
{
	return ms / 2 + (int)random_below((uint32_t)ms + 1);
}
