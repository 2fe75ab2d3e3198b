/*
 * test_wire.c: frames and shared memory between the worker daemon and its runners.
 */
#include "test.h"

#include "common/wire.h"

static struct wire_page *page_new(void **state)
{
	struct wire_page *page = calloc(1, sizeof(*page));

	assert_non_null(page);
	*state = page;
	return page;
}

static int page_free(void **state)
{
	free(*state);
	*state = NULL;
	return 0;
}

static void frames_come_apart_again(void **state)
{
	struct buf b = { 0 };
	struct wire_head head;
	const char *payload;

	(void)state;
	assert_true(wire_put(&b, WIRE_WANT, 7, NULL, 0));
	assert_true(wire_put(&b, WIRE_INPUT, 8, "abc", 3));
	for (size_t n = 0; n < sizeof(head); n++)
		assert_int_equal(wire_next(b.data, n, &head, &payload), 0);
	assert_int_equal(wire_next(b.data, b.len, &head, &payload), 1);
	assert_int_equal(head.kind, WIRE_WANT);
	assert_int_equal(head.ticket, 7);
	assert_int_equal(head.size, 0);
	buf_consume(&b, sizeof(head));
	assert_int_equal(wire_next(b.data, b.len - 1, &head, &payload), 0);
	assert_int_equal(wire_next(b.data, b.len, &head, &payload), 1);
	assert_int_equal(head.size, 3);
	assert_memory_equal(payload, "abc", 3);
	buf_free(&b);
}

static void nonsense_is_no_frame(void **state)
{
	struct wire_head too_large = { .size = WIRE_FRAME_MAX + 1, .kind = WIRE_DONE };
	struct wire_head unknown = { .size = 0, .kind = 99 };
	struct wire_head head;
	const char *payload;

	(void)state;
	assert_int_equal(wire_next((char *)&too_large, sizeof(too_large), &head, &payload), -1);
	assert_int_equal(wire_next((char *)&unknown, sizeof(unknown), &head, &payload), -1);
}

static void setup_goes_through(void **state)
{
	static const char settings[] = "command\0/bin/true\0user\0nobody\0";
	struct wire_setup in = {
		.result_max = 5,
		.log_level = 2,
		.boot = { { 1, 2, 3 } },
		.handler = "exec",
		.type = "a.b",
		.settings = settings,
		.settings_len = sizeof(settings),
	};
	struct wire_setup out;
	struct wire_head head;
	const char *payload;
	struct buf b = { 0 };

	(void)state;
	assert_true(wire_put_setup(&b, &in));
	assert_int_equal(wire_next(b.data, b.len, &head, &payload), 1);
	assert_true(wire_get_setup(payload, head.size, &out));
	assert_int_equal(out.result_max, 5);
	assert_int_equal(out.log_level, 2);
	assert_memory_equal(&out.boot, &in.boot, sizeof(in.boot));
	assert_string_equal(out.handler, "exec");
	assert_string_equal(out.type, "a.b");
	assert_memory_equal(out.settings, settings, sizeof(settings));
	for (size_t n = 0; n < head.size; n++)
		assert_false(wire_get_setup(payload, n, &out));
	buf_free(&b);
}

static void jobs_go_through(void **state)
{
	struct wire_job in = {
		.id = { { 9, 8, 7 } },
		.fence = 1234567890123,
		.input_size = 4,
		.deadline_ms = 99,
		.attempt = 3,
		.client = "me",
		.media_type = "text/plain",
		.traceparent = "",
		.request_id = "r1",
		.input = "a\0bc",
		.input_len = 4,
	};
	struct wire_job out;
	struct wire_head head;
	const char *payload;
	struct buf b = { 0 };

	(void)state;
	assert_true(wire_put_job(&b, 42, &in));
	assert_int_equal(wire_next(b.data, b.len, &head, &payload), 1);
	assert_int_equal(head.ticket, 42);
	assert_true(wire_get_job(payload, head.size, &out));
	assert_int_equal(out.fence, 1234567890123);
	assert_int_equal(out.attempt, 3);
	assert_string_equal(out.client, "me");
	assert_string_equal(out.media_type, "text/plain");
	assert_string_equal(out.traceparent, "");
	assert_string_equal(out.request_id, "r1");
	assert_int_equal(out.input_len, 4);
	assert_memory_equal(out.input, "a\0bc", 4);
	for (size_t n = 0; n < head.size; n++)
		assert_false(wire_get_job(payload, n, &out));

	/* An input in chunks is another thing than an empty one. */
	buf_reset(&b);
	in.input_len = 0;
	assert_true(wire_put_job(&b, 1, &in));
	assert_int_equal(wire_next(b.data, b.len, &head, &payload), 1);
	assert_true(wire_get_job(payload, head.size, &out));
	assert_non_null(out.input);
	buf_reset(&b);
	in.input = NULL;
	assert_true(wire_put_job(&b, 1, &in));
	assert_int_equal(wire_next(b.data, b.len, &head, &payload), 1);
	assert_true(wire_get_job(payload, head.size, &out));
	assert_null(out.input);
	buf_free(&b);
}

static void answers_go_through(void **state)
{
	struct wire_done in = {
		.verdict = 1,
		.progressed = true,
		.ran_us = 17,
		.retry_ms = -1,
		.result_size = 2,
		.done = 3,
		.total = -1,
		.message = "m",
		.media_type = "t/t",
		.error = "",
		.result = "{}",
		.result_len = 2,
		.log = "l\0g",
		.log_len = 3,
		.log_cut = true,
	};
	struct wire_done out;
	struct wire_head head;
	const char *payload;
	struct buf b = { 0 };

	(void)state;
	assert_true(wire_put_done(&b, 5, &in));
	assert_int_equal(wire_next(b.data, b.len, &head, &payload), 1);
	assert_true(wire_get_done(payload, head.size, &out));
	assert_int_equal(out.verdict, 1);
	assert_true(out.progressed);
	assert_false(out.chunked);
	assert_int_equal(out.ran_us, 17);
	assert_int_equal(out.retry_ms, -1);
	assert_int_equal(out.total, -1);
	assert_string_equal(out.message, "m");
	assert_string_equal(out.media_type, "t/t");
	assert_string_equal(out.error, "");
	assert_memory_equal(out.result, "{}", 2);
	assert_int_equal(out.result_len, 2);
	assert_int_equal(out.log_len, 3);
	assert_memory_equal(out.log, "l\0g", 3);
	assert_true(out.log_cut);
	for (size_t n = 0; n < head.size; n++)
		assert_false(wire_get_done(payload, n, &out));
	buf_free(&b);
}

/* A text that hides a NUL would be cut short unnoticed. */
static void texts_must_be_whole(void **state)
{
	struct wire_done in = { .message = "ab", .media_type = "", .error = "" }, out;
	struct wire_head head;
	const char *payload;
	struct buf b = { 0 };
	char *m;

	(void)state;
	assert_true(wire_put_done(&b, 5, &in));
	assert_int_equal(wire_next(b.data, b.len, &head, &payload), 1);
	m = memmem(b.data, b.len, "ab", 2);
	assert_non_null(m);
	m[1] = '\0';
	assert_false(wire_get_done(payload, head.size, &out));
	m[1] = 'b';
	m[2] = 'c';
	assert_false(wire_get_done(payload, head.size, &out));
	buf_free(&b);
}

static void a_ticket_is_decided_once(void **state)
{
	struct wire_page *page = page_new(state);

	assert_false(wire_begin(page, 1)); /* never offered */
	wire_offer(page, 1);
	assert_false(wire_has_begun(page, 1));
	assert_true(wire_begin(page, 1));
	assert_true(wire_has_begun(page, 1));
	assert_false(wire_withdraw(page, 1));
	assert_false(wire_begin(page, 1));

	wire_offer(page, 2);
	assert_true(wire_withdraw(page, 2));
	assert_false(wire_begin(page, 2));
	assert_false(wire_has_begun(page, 2));
}

/* The frame of a withdrawn job is still in the socket when its place has a new owner. */
static void an_old_frame_cannot_begin_a_new_ticket(void **state)
{
	struct wire_page *page = page_new(state);

	wire_offer(page, 3);
	assert_true(wire_withdraw(page, 3));
	wire_offer(page, 3 + WIRE_TICKETS);
	assert_false(wire_begin(page, 3));
	assert_true(wire_begin(page, 3 + WIRE_TICKETS));
}

static void a_stop_is_for_one_ticket(void **state)
{
	struct wire_page *page = page_new(state);

	assert_int_equal(wire_stopped(page, 9), WIRE_GO_ON);
	wire_stop(page, 9, WIRE_STOP_TIMEOUT);
	assert_int_equal(wire_stopped(page, 9), WIRE_STOP_TIMEOUT);
	assert_int_equal(wire_stopped(page, 10), WIRE_GO_ON);
}

static void the_ring_wraps(void **state)
{
	struct wire_page *page = page_new(state);
	struct buf out = { 0 };
	uint32_t tail = 0;
	char record[1000];

	/* Counters that are about to overflow, too. */
	atomic_store(&page->ring_head, UINT32_MAX - 100);
	atomic_store(&page->ring_tail, UINT32_MAX - 100);
	tail = UINT32_MAX - 100;
	for (int i = 0; i < 200; i++) {
		memset(record, i, sizeof(record));
		assert_true(wire_ring_put(page, record, sizeof(record)));
		assert_int_equal(wire_ring_used(page), sizeof(record));
		buf_reset(&out);
		assert_true(wire_ring_get(page, &tail, &out));
		assert_int_equal(out.len, sizeof(record));
		assert_memory_equal(out.data, record, sizeof(record));
	}
	buf_free(&out);
}

static void a_full_ring_refuses(void **state)
{
	struct wire_page *page = page_new(state);
	struct buf out = { 0 };
	uint32_t tail = 0;
	char record[WIRE_RING_RECORD] = { 0 };
	size_t n = 0;

	while (wire_ring_put(page, record, sizeof(record)))
		n++;
	assert_int_equal(n, WIRE_RING / WIRE_RING_RECORD);
	assert_true(wire_ring_get(page, &tail, &out));
	assert_int_equal(out.len, WIRE_RING);
	assert_true(wire_ring_put(page, record, 1));
	buf_free(&out);
}

/* The daemon must not follow a head that a broken handler has overwritten. */
static void a_corrupt_ring_is_noticed(void **state)
{
	struct wire_page *page = page_new(state);
	struct buf out = { 0 };
	uint32_t tail = 0;

	atomic_store(&page->ring_head, WIRE_RING + 1);
	assert_false(wire_ring_get(page, &tail, &out));
	buf_free(&out);
}

static void progress_is_the_newest(void **state)
{
	struct wire_page *page = page_new(state);
	struct wire_progress p;
	uint32_t seen = 0;

	assert_false(wire_progress_get(page, 1, &seen, &p));
	wire_progress_set(page, 1, 5, 10, "five", 4);
	wire_progress_set(page, 1, 6, -1, "six", 3);
	assert_false(wire_progress_get(page, 2, &seen, &p));
	assert_true(wire_progress_get(page, 1, &seen, &p));
	assert_int_equal(p.done, 6);
	assert_int_equal(p.total, -1);
	assert_string_equal(p.message, "six");
	assert_false(wire_progress_get(page, 1, &seen, &p)); /* nothing new */
	atomic_fetch_add(&page->progress_seq, 1);            /* being written */
	assert_false(wire_progress_get(page, 1, &seen, &p));
	atomic_fetch_add(&page->progress_seq, 1);
	page->progress_len = 5000; /* nonsense */
	assert_true(wire_progress_get(page, 1, &seen, &p));
	assert_true(strlen(p.message) <= WIRE_MESSAGE);
}

/* What is kept of the log, after all that was added to it. */
static void expect_log(struct wire_page *page, uint32_t ticket, const char *text, size_t len,
		       bool cut)
{
	struct buf out = { 0 };
	bool was_cut;

	assert_true(wire_log_get(page, ticket, &out, &was_cut));
	assert_int_equal(out.len, len);
	if (len > 0)
		assert_memory_equal(out.data, text, len);
	assert_int_equal(was_cut, cut);
	buf_free(&out);
}

static void the_end_of_a_log_is_kept(void **state)
{
	static char all[3 * WIRE_LOG];
	struct wire_page *page = page_new(state);
	size_t n = 0;

	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (char)('a' + i % 23);
	expect_log(page, 1, NULL, 0, false);
	wire_log_begin(page, 1);
	expect_log(page, 1, NULL, 0, false);
	wire_log_add(page, all, 10);
	expect_log(page, 1, all, 10, false);
	wire_log_add(page, all + 10, WIRE_LOG - 10);
	expect_log(page, 1, all, WIRE_LOG, false);
	wire_log_add(page, all + WIRE_LOG, 7);
	expect_log(page, 1, all + 7, WIRE_LOG, true);
	expect_log(page, 2, NULL, 0, true);
	wire_log_begin(page, 2);
	expect_log(page, 1, NULL, 0, false);
	wire_log_add(page, all, sizeof(all)); /* more than there is room for */
	expect_log(page, 2, all + 2 * WIRE_LOG, WIRE_LOG, true);
	wire_log_begin(page, 3);
	for (size_t piece = 1; n + piece <= sizeof(all); piece += 511) {
		wire_log_add(page, all + n, piece);
		n += piece;
		if (n < WIRE_LOG)
			expect_log(page, 3, all, n, false);
		else
			expect_log(page, 3, all + n - WIRE_LOG, WIRE_LOG, n > WIRE_LOG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_come_apart_again),
		cmocka_unit_test(nonsense_is_no_frame),
		cmocka_unit_test(setup_goes_through),
		cmocka_unit_test(jobs_go_through),
		cmocka_unit_test(answers_go_through),
		cmocka_unit_test(texts_must_be_whole),
		cmocka_unit_test_teardown(a_ticket_is_decided_once, page_free),
		cmocka_unit_test_teardown(an_old_frame_cannot_begin_a_new_ticket, page_free),
		cmocka_unit_test_teardown(a_stop_is_for_one_ticket, page_free),
		cmocka_unit_test_teardown(the_ring_wraps, page_free),
		cmocka_unit_test_teardown(a_full_ring_refuses, page_free),
		cmocka_unit_test_teardown(a_corrupt_ring_is_noticed, page_free),
		cmocka_unit_test_teardown(progress_is_the_newest, page_free),
		cmocka_unit_test_teardown(the_end_of_a_log_is_kept, page_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
