/*
 * test_sse.c: events as text, ids of events, and who wants an event stream.
 * links: api/sse.c
 */
#include "test.h"

#include "api/app.h"
#include "api/http.h"
#include "api/sse.h"

struct app app;
static enum http_method method;
static const char *path, *accepts;
static char sent[400]; /* what was answered */

/* ---- what stands around it ----------------------------------------------------------------------- */

enum http_method req_method(const struct request *req)
{
	(void)req;
	return method;
}

const char *req_path(const struct request *req)
{
	(void)req;
	return path;
}

const char *req_header(struct request *req, const char *name)
{
	(void)req;
	assert_string_equal(name, "Accept");
	return accepts;
}

void reply_status(struct request *req, int status)
{
	(void)req;
	snprintf(sent, sizeof(sent), "%d", status);
}

void reply_header(struct request *req, const char *name, const char *fmt, ...)
{
	size_t n = strlen(sent);
	va_list args;

	(void)req;
	n += (size_t)snprintf(sent + n, sizeof(sent) - n, " %s=", name);
	va_start(args, fmt);
	vsnprintf(sent + n, sizeof(sent) - n, fmt, args);
	va_end(args);
}

void reply_stream_begin(struct request *req, int64_t length)
{
	(void)req;
	assert_int_equal(length, -1);
	strcat(sent, " |");
}

void reply_stream_write(struct request *req, const void *data, size_t len)
{
	(void)req;
	strncat(sent, data, len);
}

void reply_stream_end(struct request *req)
{
	(void)req;
	strcat(sent, "|");
}

/* ---- the tests ----------------------------------------------------------------------------------- */

static void framing(void **state)
{
	static const struct {
		const char *event, *id, *data, *text;
	} cases[] = {
		{ "status", "1f", "{}", "event: status\nid: 1f\ndata: {}\n\n" },
		{ NULL, NULL, "x", "data: x\n\n" },
		{ NULL, "t1", NULL, "id: t1\n\n" },
		{ NULL, NULL, "", "data: \n\n" },
		{ NULL, NULL, "a\nb", "data: a\ndata: b\n\n" },
		{ NULL, NULL, "a\r\nb\rc", "data: a\ndata: b\ndata: c\n\n" },
		{ NULL, NULL, "a\n", "data: a\ndata: \n\n" },
		{ NULL, NULL, "\n\n", "data: \ndata: \ndata: \n\n" },
		{ NULL, NULL, "a\r", "data: a\ndata: \n\n" },
	};
	struct buf out = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_reset(&out);
		sse_event(&out, cases[i].event, cases[i].id, cases[i].data,
			  cases[i].data ? strlen(cases[i].data) : 0);
		assert_string_equal(out.data, cases[i].text);
	}
	buf_reset(&out);
	sse_retry(&out, 2000);
	sse_comment(&out);
	assert_string_equal(out.data, "retry: 2000\n\n:\n\n");
	buf_free(&out);
}

static void ids_of_versions(void **state)
{
	static const char *const bad[] = {
		"", " ", "x", "-1", "0x1", "1 ", "1,2", "t123", "ABC", "W/\"1\"", "1234567890abcdef"
	};
	char text[SSE_ID_TEXT];

	(void)state;
	sse_version_write(0x200000001, text);
	assert_string_equal(text, "200000001");
	assert_int_equal(sse_version_read(text), 0x200000001);
	assert_int_equal(sse_version_read("0"), 0);
	assert_int_equal(sse_version_read(NULL), -1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(sse_version_read(bad[i]), -1);
}

static void cursors(void **state)
{
	static const char *const bad[] = { "",    "t",   "200000001",     "t0", "tx",
					   "t-1", "t 1", "t1234567890ab", "T1" };
	char text[SSE_ID_TEXT];

	(void)state;
	sse_cursor_write(1764000000123, text);
	assert_int_equal(sse_cursor_read(text), 1764000000123);
	assert_int_equal(sse_version_read(text), -1); /* neither is taken for the other */
	assert_int_equal(sse_cursor_read(NULL), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(sse_cursor_read(bad[i]), 0);
}

static void accepted(void **state)
{
	static const char *const yes[] = {
		"text/event-stream",
		"TEXT/Event-Stream",
		"text/event-stream, */*",
		" text/html,text/event-stream;q=0.5",
		"text/event-stream;charset=utf-8",
		"text/event-stream, application/json",
		"application/json;q=0.4, text/event-stream;q=0.5",
	};
	static const char *const no[] = {
		"",
		"*/*",
		"text/*",
		"application/json",
		"text/event-stream;q=0",
		"text/event-streams",
		"application/json, text/event-stream",
		"text/event-stream;q=0.4, application/json;q=0.5",
		"text/event-stream; q=0.0",
	};

	(void)state;
	assert_false(sse_accepted(NULL));
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		assert_true(sse_accepted(yes[i]));
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_false(sse_accepted(no[i]));
}

static bool asked(enum http_method m, const char *p, const char *a)
{
	method = m;
	path = p;
	accepts = a;
	return sse_asked(NULL);
}

static void who_asks(void **state)
{
	(void)state;
	assert_true(asked(HTTP_GET, "/v1/jobs/events", NULL));
	assert_true(asked(HTTP_HEAD, "/v1/import-jobs/x/events", "*/*"));
	assert_true(asked(HTTP_GET, "/v1/import-jobs/x", "text/event-stream"));
	assert_false(asked(HTTP_GET, "/v1/import-jobs/x", "application/json"));
	assert_false(asked(HTTP_POST, "/v1/import-jobs/x/events", "text/event-stream"));
	assert_false(asked(HTTP_GET, "/readyz", "text/event-stream"));
	assert_false(asked(HTTP_GET, "/v1/jobs/events/x", NULL));
}

static void coming_back(void **state)
{
	struct api_config cfg = { .events_retry_ms = 1000 };
	int ms = 0;

	(void)state;
	app.cfg = &cfg;
	sse_come_back(NULL);
	assert_memory_equal(sent, "200 Content-Type=text/event-stream Cache-Control=no-store ", 58);
	assert_non_null(strstr(sent, " X-Accel-Buffering=no "));
	assert_int_equal(sscanf(strchr(sent, '|'), "|retry: %d\n\n|", &ms), 1);
	assert_in_range(ms, 500, 1500);
	for (int i = 0; i < 1000; i++)
		assert_in_range(sse_spread(3), 1, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(framing),  cmocka_unit_test(ids_of_versions),
		cmocka_unit_test(cursors),  cmocka_unit_test(accepted),
		cmocka_unit_test(who_asks), cmocka_unit_test(coming_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
