/*
 * test_wire_courier.c: frames between the daemon and the courier, whole, cut short and damaged.
 */
#include "test.h"

#include "common/wire.h"
#include "common/wire_courier.h"

/* The one frame in the buffer. */
static const char *frame(const struct buf *b, enum wire_kind kind, uint32_t ticket, size_t *size)
{
	struct wire_head head;
	const char *payload;

	assert_int_equal(wire_next(b->data, b->len, &head, &payload), 1);
	assert_int_equal(head.kind, kind);
	assert_int_equal(head.ticket, ticket);
	assert_int_equal(sizeof(head) + head.size, b->len);
	*size = head.size;
	return payload;
}

static void test_courier(void **state)
{
	struct wire_courier c = { .log_level = 2,
				  .timeout_ms = 15000,
				  .connect_ms = 5000,
				  .response_max = 65536,
				  .allow_http = true,
				  .allow = "127.0.0.0/8",
				  .dns_servers = "",
				  .ca_file = "/etc/ca.pem" };
	struct wire_courier got;
	struct buf b = { 0 };
	const char *payload;
	size_t size;

	(void)state;
	assert_true(wire_put_courier(&b, &c));
	payload = frame(&b, WIRE_COURIER, 0, &size);
	assert_true(wire_get_courier(payload, size, &got));
	assert_int_equal(got.timeout_ms, 15000);
	assert_int_equal(got.connect_ms, 5000);
	assert_int_equal(got.response_max, 65536);
	assert_int_equal(got.log_level, 2);
	assert_true(got.allow_http);
	assert_string_equal(got.allow, "127.0.0.0/8");
	assert_string_equal(got.dns_servers, "");
	assert_string_equal(got.ca_file, "/etc/ca.pem");
	for (size_t n = 0; n < size; n++)
		assert_false(wire_get_courier(payload, n, &got));
	buf_free(&b);
}

static void test_post(void **state)
{
	struct wire_post p = { .url = "https://example.com/",
			       .headers = "a: b\nc: d\n",
			       .body = "{\0}",
			       .body_len = 3 };
	struct wire_post got;
	struct buf b = { 0 };
	const char *payload;
	size_t size;

	(void)state;
	assert_true(wire_put_post(&b, 7, &p));
	payload = frame(&b, WIRE_POST, 7, &size);
	assert_true(wire_get_post(payload, size, &got));
	assert_string_equal(got.url, p.url);
	assert_string_equal(got.headers, p.headers);
	assert_int_equal(got.body_len, 3);
	assert_memory_equal(got.body, "{\0}", 3);
	for (size_t n = 0; n < size; n++)
		assert_false(wire_get_post(payload, n, &got));
	buf_free(&b);
}

/* What the frame of this answer is read as. */
static bool goes_through(const struct wire_posted *p, struct wire_posted *got)
{
	static struct buf b;
	const char *payload;
	size_t size;

	buf_reset(&b);
	assert_true(wire_put_posted(&b, 9, p));
	payload = frame(&b, WIRE_POSTED, 9, &size);
	for (size_t n = 0; n < size; n++)
		assert_false(wire_get_posted(payload, n, got));
	return wire_get_posted(payload, size, got);
}

static void test_posted(void **state)
{
	struct wire_posted p = { .error = POST_ANSWERED,
				 .status = 204,
				 .duration_ms = 12,
				 .retry_after_ms = -1,
				 .detail = "" };
	char longer[1000];
	struct wire_posted got;

	(void)state;
	assert_true(goes_through(&p, &got));
	assert_int_equal(got.error, POST_ANSWERED);
	assert_int_equal(got.status, 204);
	assert_int_equal(got.duration_ms, 12);
	assert_int_equal(got.retry_after_ms, -1);
	/* The daemon doesn't believe what can't be. */
	p.status = 0;
	assert_false(goes_through(&p, &got));
	p.status = 1000;
	assert_false(goes_through(&p, &got));
	p = (struct wire_posted){ .error = POST_TLS, .status = 200, .detail = "" };
	assert_false(goes_through(&p, &got));
	p = (struct wire_posted){ .error = N_POST_ERRORS, .detail = "" };
	assert_false(goes_through(&p, &got));
	p = (struct wire_posted){ .error = POST_TLS, .duration_ms = -1, .detail = "" };
	assert_false(goes_through(&p, &got));
	/* A long detail is cut, not refused. */
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	p = (struct wire_posted){ .error = POST_TLS, .detail = longer };
	assert_true(goes_through(&p, &got));
	assert_int_equal(strlen(got.detail), 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_courier),
		cmocka_unit_test(test_post),
		cmocka_unit_test(test_posted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
