/*
 * test_conn.c: connections against a peer at the other end of a socket pair; the router is the test.
 * links: api/conn.c api/conn_input.c api/outq.c api/fcgi.c api/fcgi_records.c
 * links: api/counters.c api/request.c api/reply.c api/problem.c api/sse.c api/host.c
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ev.h>

#include "api/app.h"
#include "api/conn.h"
#include "api/fcgi.h"
#include "api/fcgi_records.h"
#include "api/request.h"
#include "api/router.h"
#include "common/buf.h"

struct app app;
static struct api_config cfg = { .base_url = (char *)"http://a",
				 .problem_base = (char *)"urn:test:",
				 .max_connections = 10,
				 .io_timeout_ms = 60000 };
static int peer;                /* our end */
static struct buf to_send, got; /* to the connection, from it */
static struct request *current; /* what the router was called with last */
static void (*route)(struct request *req);
static int routed, gone, released;

void route_request(struct request *req)
{
	current = req;
	routed++;
	route(req);
}

/* ---- the peer ----------------------------------------------------------------------------------- */

static void put(int type, uint16_t id, const void *content, size_t n, unsigned char padding)
{
	static const char zeroes[256];
	unsigned char header[FCGI_HEADER_LEN];

	fcgi_put_header(header, type, id, (uint16_t)n);
	header[6] = padding;
	buf_add(&to_send, header, sizeof(header));
	buf_add(&to_send, content, n);
	buf_add(&to_send, zeroes, padding);
}

static void put_pair(struct buf *b, const char *name, const char *value)
{
	unsigned char lengths[] = { (unsigned char)strlen(name), (unsigned char)strlen(value) };

	buf_add(b, lengths, 2);
	buf_adds(b, name);
	buf_adds(b, value);
}

/* A request's head; the body and its end are the caller's. */
static void put_head(uint16_t id, const char *method, const char *length, bool keep)
{
	unsigned char begin[8] = { 0, FCGI_RESPONDER, keep ? FCGI_KEEP_CONN : 0 };
	struct buf b = { 0 };

	put_pair(&b, "REQUEST_METHOD", method);
	put_pair(&b, "REQUEST_URI", "/x?y");
	put_pair(&b, "CONTENT_LENGTH", length);
	put_pair(&b, "LONGHAUL_REQUEST_ID", "0123456789abcdef0123456789abcdef");
	put(FCGI_BEGIN_REQUEST, id, begin, sizeof(begin), 5);
	put(FCGI_PARAMS, id, b.data, b.len, 3);
	put(FCGI_PARAMS, id, NULL, 0, 7);
	buf_free(&b);
}

/* Lets the loop run until nothing moves any more; reads what the connection sends if `reading`. */
static void turn(bool reading)
{
	char chunk[65536];
	ssize_t n;

	for (int idle = 0; idle < 5; idle++) {
		ev_run(app.loop, EVRUN_NOWAIT);
		n = to_send.len ? send(peer, to_send.data, to_send.len, MSG_DONTWAIT | MSG_NOSIGNAL)
				: 0;
		if (n > 0) {
			buf_consume(&to_send, (size_t)n);
			idle = -1;
		}
		n = reading ? recv(peer, chunk, sizeof(chunk), MSG_DONTWAIT) : -1;
		if (n > 0) {
			buf_add(&got, chunk, (size_t)n);
			idle = -1;
		}
	}
}

static bool peer_sees_end(void)
{
	char byte;

	return recv(peer, &byte, 1, MSG_DONTWAIT) == 0;
}

/* Takes one complete answer out of what was received: its text in *out. False if there is none. */
static bool answer_take(uint16_t id, struct buf *out)
{
	size_t at = 0;

	buf_reset(out);
	while (got.len - at >= FCGI_HEADER_LEN) {
		struct fcgi_record rec;
		const char *content = got.data + at + FCGI_HEADER_LEN;

		assert_true(fcgi_record_read((unsigned char *)got.data + at, &rec));
		assert_int_equal(rec.id, id);
		if (got.len - at < fcgi_record_size(&rec))
			return false;
		at += fcgi_record_size(&rec);
		if (rec.type == FCGI_END_REQUEST) {
			buf_consume(&got, at);
			return true;
		}
		assert_int_equal(rec.type, FCGI_STDOUT);
		buf_add(out, content, rec.content);
	}
	return false;
}

static void expect_answer(uint16_t id, const char *begin, const char *end)
{
	struct buf text = { 0 };

	if (!answer_take(id, &text))
		fail_msg("no answer, only %zu bytes", got.len);
	buf_reserve(&text, 1);
	assert_true(text.len >= strlen(begin) && text.len >= strlen(end));
	assert_memory_equal(text.data, begin, strlen(begin));
	assert_string_equal(text.data + text.len - strlen(end), end);
	buf_free(&text);
}

/* ---- handlers ----------------------------------------------------------------------------------- */

static void on_gone(struct request *req, void *ctx)
{
	assert_ptr_equal(req, current);
	assert_false(req_alive(req));
	assert_ptr_equal(ctx, &gone);
	reply_body(req, "too late", 8); /* does nothing */
	gone++;
}

static void on_release(void *ctx)
{
	assert_ptr_equal(ctx, &released);
	released++;
}

static void park(struct request *req)
{
	req_on_gone(req, on_gone, &gone);
	req_on_release(req, on_release, &released);
}

static void greet(struct request *req)
{
	int before = released;

	park(req);
	reply_status(req, 200);
	reply_header(req, "X-Evil", "%s", "a\r\nSet-Cookie: b");
	reply_body(req, "hello", 5);
	/* still there until the loop goes on */
	assert_false(req_alive(req));
	assert_string_equal(req_path(req), "/x");
	assert_int_equal(released, before);
}

static struct buf body;
static bool body_complete, pausing;
static int body_pieces, body_ends;

static bool body_data(struct request *req, void *ctx, const char *data, size_t n)
{
	(void)req;
	(void)ctx;
	buf_add(&body, data, n);
	body_pieces++;
	return !pausing;
}

static void body_end(struct request *req, void *ctx, bool complete)
{
	(void)ctx;
	body_ends++;
	body_complete = complete;
	reply_body(req, complete ? "whole" : "short", 5);
}

static void read_body(struct request *req)
{
	park(req);
	req_body_read(req, body_data, body_end, NULL);
}

/* ---- tests -------------------------------------------------------------------------------------- */

static int open_pair(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
			 0);
	peer = fds[0];
	conn_new(fds[1]);
	routed = gone = released = body_pieces = body_ends = 0;
	body_complete = pausing = false;
	buf_reset(&body);
	buf_reset(&to_send);
	buf_reset(&got);
	return 0;
}

static int close_pair(void **state)
{
	(void)state;
	close(peer);
	ev_run(app.loop, EVRUN_NOWAIT);
	ev_run(app.loop, EVRUN_NOWAIT);
	assert_int_equal(conns_open(), 0);
	assert_int_equal(conns_requests(), 0);
	assert_int_equal(released, routed);
	return 0;
}

static void an_answer_at_once(void **state)
{
	(void)state;
	route = greet;
	put_head(1, "GET", "", true);
	put(FCGI_STDIN, 1, NULL, 0, 200);
	put_head(2, "HEAD", "", false);
	put(FCGI_STDIN, 2, NULL, 0, 0);
	ev_run(app.loop, EVRUN_NOWAIT);
	turn(true);
	assert_int_equal(routed, 2);
	expect_answer(
		1,
		"Status: 200 OK\r\nX-Evil: a  Set-Cookie: b\r\nX-Content-Type-Options: nosniff\r\n"
		"Content-Length: 5\r\n\r\n",
		"hello");
	/* the second isn't kept, and has no body */
	expect_answer(2, "Status: 200 OK\r\n", "Content-Length: 5\r\n\r\n");
	assert_true(peer_sees_end());
	assert_int_equal(gone, 0);
}

static void an_answer_waits_for_the_end_of_the_body(void **state)
{
	(void)state;
	route = greet;
	put_head(1, "POST", "300000", true);
	turn(true);
	assert_int_equal(routed, 1);
	assert_int_equal(got.len, 0);
	for (int i = 0; i < 300; i++) {
		static char kilo[1000];

		put(FCGI_STDIN, 1, kilo, sizeof(kilo), (unsigned char)i);
	}
	turn(true);
	assert_int_equal(got.len, 0);
	put(FCGI_STDIN, 1, NULL, 0, 0);
	turn(true);
	expect_answer(1, "Status: 200", "hello");
}

static void a_parked_request_is_answered_later(void **state)
{
	(void)state;
	route = park;
	put_head(1, "GET", "", true);
	put(FCGI_STDIN, 1, NULL, 0, 0);
	turn(true);
	assert_true(req_alive(current));
	assert_int_equal(conns_requests(), 1);
	reply_problem(current, "not-found", NULL, "No %s.", "such thing");
	assert_int_equal(conns_requests(), 0);
	turn(true);
	expect_answer(
		1,
		"Status: 404 Not Found\r\nCache-Control: no-store\r\nContent-Type: application/problem+json\r\n",
		"{\"type\":\"urn:test:not-found\",\"title\":\"Not found\",\"status\":404,\"detail\":\"No such thing.\","
		"\"instance\":\"urn:request:0123456789abcdef0123456789abcdef\"}");
	assert_int_equal(gone, 0);
	assert_int_equal(released, 1);
}

static void a_client_that_leaves(void **state)
{
	(void)state;
	route = park;
	put_head(1, "GET", "", true);
	put(FCGI_STDIN, 1, NULL, 0, 0);
	turn(true);
	req_ref(current);
	shutdown(peer, SHUT_RDWR);
	turn(false);
	assert_int_equal(gone, 1);
	assert_int_equal(released, 0); /* somebody still names it */
	assert_false(req_alive(current));
	reply_body(current, "x", 1);
	req_unref(current);
	turn(false);
	assert_int_equal(released, 1);
}

static void an_aborted_request(void **state)
{
	(void)state;
	route = park;
	put_head(1, "GET", "", true);
	put(FCGI_STDIN, 1, NULL, 0, 0);
	turn(true);
	put(FCGI_ABORT_REQUEST, 1, NULL, 0, 4);
	turn(true);
	assert_int_equal(gone, 1);
	expect_answer(1, "", "");
	/* another one on the same connection, aborted between its answer and the end of its body */
	route = greet;
	put_head(3, "POST", "9", true);
	put(FCGI_STDIN, 3, "abc", 3, 0);
	put(FCGI_ABORT_REQUEST, 3, NULL, 0, 0);
	turn(true);
	expect_answer(3, "Status: 200", "hello");
	assert_int_equal(got.len, 0); /* ended once */
	put_head(4, "GET", "", true);
	put(FCGI_ABORT_REQUEST, 9, NULL, 0, 0);
	put(FCGI_STDIN, 4, NULL, 0, 0);
	turn(true);
	expect_answer(4, "Status: 200", "hello");
}

static void a_body_in_pieces(void **state)
{
	(void)state;
	route = read_body;
	put_head(1, "POST", "10", true);
	put(FCGI_STDIN, 1, "abcd", 4, 1);
	turn(true);
	put(FCGI_STDIN, 1, "efghij", 6, 0);
	put(FCGI_STDIN, 1, NULL, 0, 0);
	turn(true);
	assert_int_equal(body_pieces, 2);
	assert_string_equal(body.data, "abcdefghij");
	assert_true(body_complete);
	expect_answer(1, "Status: 200", "whole");
}

static void a_body_of_another_length(void **state)
{
	(void)state;
	route = read_body;
	put_head(1, "POST", "5", true);
	put(FCGI_STDIN, 1, "abcd", 4, 0);
	put(FCGI_STDIN, 1, NULL, 0, 0);
	turn(true);
	assert_false(body_complete);
	expect_answer(1, "Status: 200", "short");

	buf_reset(&body);
	put_head(1, "POST", "5", true);
	put(FCGI_STDIN, 1, "abcdefg", 7, 0);
	put(FCGI_STDIN, 1, "h", 1, 0);
	put(FCGI_STDIN, 1, NULL, 0, 0);
	turn(true);
	assert_string_equal(body.data, "abcde");
	assert_false(body_complete);
	expect_answer(1, "Status: 200", "short");
	assert_int_equal(body_ends, 2);
}

static void a_paused_body_stops_the_peer(void **state)
{
	static char piece[60000];
	size_t total = 40 * sizeof(piece);
	int pieces;

	(void)state;
	route = read_body;
	pausing = true;
	put_head(1, "POST", "2400000", true);
	for (int i = 0; i < 40; i++)
		put(FCGI_STDIN, 1, piece, sizeof(piece), 0);
	put(FCGI_STDIN, 1, NULL, 0, 0);
	turn(true);
	assert_int_equal(body_pieces, 1);
	/* the connection holds a bounded part, the kernel another, and the rest can't leave the peer */
	assert_true(to_send.len > total / 2);
	for (pieces = 0; pieces < 10000 && body_ends == 0; pieces++) {
		req_body_resume(current);
		turn(true);
	}
	assert_int_equal(body.len, total);
	assert_true(body_complete);
	expect_answer(1, "Status: 200", "whole");
}

static void a_body_that_is_asked_for_later(void **state)
{
	(void)state;
	route = park;
	put_head(1, "POST", "3", true);
	put(FCGI_STDIN, 1, "abc", 3, 0);
	put(FCGI_STDIN, 1, NULL, 0, 0);
	turn(true);
	assert_int_equal(body_pieces, 0);
	req_body_read(current, body_data, body_end, NULL);
	assert_int_equal(body_pieces, 0); /* never from inside the call */
	turn(true);
	assert_string_equal(body.data, "abc");
	expect_answer(1, "Status: 200", "whole");

	/* and one that is empty */
	put_head(1, "POST", "0", true);
	put(FCGI_STDIN, 1, NULL, 0, 0);
	turn(true);
	req_body_read(current, body_data, body_end, NULL);
	turn(true);
	assert_int_equal(body_ends, 2);
	expect_answer(1, "Status: 200", "whole");
}

static size_t stream_left;
static int drains;

static void stream_more(struct request *req, void *ctx)
{
	static char piece[262144];

	(void)ctx;
	drains++;
	while (stream_left > 0) {
		size_t n = stream_left < sizeof(piece) ? stream_left : sizeof(piece);

		memset(piece, 'r', sizeof(piece));
		reply_stream_write(req, piece, n);
		stream_left -= n;
		if (reply_stream_queued(req) >= STREAM_LOW)
			return;
	}
	reply_stream_end(req);
}

static void stream(struct request *req)
{
	park(req);
	reply_status(req, 200);
	reply_stream_begin(req, (int64_t)stream_left);
	reply_stream_on_drain(req, stream_more, NULL);
	stream_more(req, NULL);
}

static void a_slow_reader_stops_the_stream(void **state)
{
	struct buf text = { 0 };

	(void)state;
	route = stream;
	stream_left = 5000000;
	drains = 0;
	put_head(1, "GET", "", true);
	put(FCGI_STDIN, 1, NULL, 0, 0);
	turn(false);
	assert_true(stream_left > 4000000);
	assert_true(reply_stream_queued(current) < 400000);
	turn(true);
	assert_int_equal(stream_left, 0);
	assert_true(drains > 5);
	assert_true(answer_take(1, &text));
	assert_true(text.len > 5000000 && text.len < 5000200);
	buf_free(&text);
	assert_int_equal(gone, 0);
}

static void short_stream(struct request *req)
{
	park(req);
	reply_stream_begin(req, 10);
	reply_stream_write(req, "abc", 3);
	reply_stream_end(req);
}

static void a_stream_that_is_too_short_breaks(void **state)
{
	struct buf text = { 0 };

	(void)state;
	route = short_stream;
	put_head(1, "GET", "", true);
	put(FCGI_STDIN, 1, NULL, 0, 0);
	turn(true);
	assert_false(answer_take(1, &text));
	assert_true(peer_sees_end());
	assert_int_equal(gone, 0);
	buf_free(&text);
}

static void too_many_parameters(void **state)
{
	static char big[65000];

	(void)state;
	route = greet;
	memset(big, 'x', sizeof(big));
	memcpy(big, "\4\200\1\206\240NAME", 9); /* 100,000 bytes */
	put(FCGI_BEGIN_REQUEST, 5, "\0\1\1\0\0\0\0", 8, 0);
	put(FCGI_PARAMS, 5, big, sizeof(big), 0);
	put(FCGI_PARAMS, 5, big, sizeof(big), 0);
	turn(true);
	expect_answer(5, "Status: 431 ", "}");
	assert_true(peer_sees_end());
	assert_int_equal(routed, 0);
}

static void records_that_nobody_asked_for(void **state)
{
	(void)state;
	route = park;
	put(FCGI_STDIN, 9, "old", 3, 0);
	put_head(1, "GET", "", true);
	put(FCGI_STDIN, 1, NULL, 0, 0);
	put(FCGI_BEGIN_REQUEST, 2, "\0\1\1\0\0\0\0", 8, 0);
	put(FCGI_PARAMS, 2, NULL, 0, 0);
	put(123, 0, "x", 1, 0);
	turn(true);
	assert_int_equal(routed, 1);
	assert_int_equal(got.len, 32);
	assert_int_equal(got.data[1], FCGI_END_REQUEST);
	assert_int_equal(got.data[3], 2);
	assert_int_equal(got.data[12], FCGI_CANT_MPX_CONN);
	assert_int_equal(got.data[17], FCGI_UNKNOWN_TYPE);
	buf_reset(&got);
	reply_body(current, "hello", 5);
	turn(true);
	expect_answer(1, "Status: 200", "hello");
}

static void garbage_ends_the_connection(void **state)
{
	(void)state;
	route = park;
	put_head(1, "POST", "", true);
	put(FCGI_STDIN, 1, NULL, 0, 0);
	buf_adds(&to_send, "GET / HTTP/1.1\r\n\r\n");
	turn(false);
	assert_int_equal(routed, 1);
	assert_int_equal(gone, 1);
	assert_true(peer_sees_end());
}

static int start(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	app.cfg = &cfg;
	app.loop = ev_default_loop(0);
	if (!fcgi_start())
		return 1;
	conns_start(app.loop, NULL);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	conns_stop();
	fcgi_stop();
	buf_free(&to_send);
	buf_free(&got);
	buf_free(&body);
	ev_loop_destroy(app.loop);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_pair, close_pair)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_answer_at_once),
		TEST(an_answer_waits_for_the_end_of_the_body),
		TEST(a_parked_request_is_answered_later),
		TEST(a_client_that_leaves),
		TEST(an_aborted_request),
		TEST(a_body_in_pieces),
		TEST(a_body_of_another_length),
		TEST(a_paused_body_stops_the_peer),
		TEST(a_body_that_is_asked_for_later),
		TEST(a_slow_reader_stops_the_stream),
		TEST(a_stream_that_is_too_short_breaks),
		TEST(too_many_parameters),
		TEST(records_that_nobody_asked_for),
		TEST(garbage_ends_the_connection),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
