/*
 * test_fcgi_records.c: finding the head of a request in bytes that come as they like.
 * links: api/fcgi_records.c
 */
#include "test.h"

#include "api/fcgi_records.h"

static unsigned char data[400000];
static size_t len;

static void put(int type, uint16_t id, const void *content, size_t n, unsigned char padding)
{
	len += fcgi_put_header(data + len, type, id, (uint16_t)n);
	data[len - 2] = padding;
	if (n > 0)
		memcpy(data + len, content, n);
	memset(data + len + n, 0, padding);
	len += n + padding;
}

static void put_begin(uint16_t id, int role, int flags)
{
	unsigned char body[8] = { 0, (unsigned char)role, (unsigned char)flags };

	put(FCGI_BEGIN_REQUEST, id, body, sizeof(body), 0);
}

static enum fcgi_walk_result walk_all(struct fcgi_walk *w)
{
	memset(w, 0, sizeof(*w));
	return fcgi_walk(w, data, len);
}

#define PAIRS "\4\3NAMEabc\1\200\0\0\2Xyz"
#define PAIRS_SIZE (sizeof(PAIRS) - 1)

static void put_usual(void)
{
	len = 0;
	put_begin(7, FCGI_RESPONDER, FCGI_KEEP_CONN);
	put(FCGI_PARAMS, 7, PAIRS, PAIRS_SIZE, 3);
	put(FCGI_PARAMS, 7, NULL, 0, 0);
}

static void a_whole_head(void **state)
{
	struct fcgi_walk w;
	size_t head;

	(void)state;
	put_usual();
	head = len;
	put(FCGI_STDIN, 7, "x", 1, 0);
	assert_int_equal(walk_all(&w), WALK_READY);
	assert_int_equal(w.done, head);
	assert_int_equal(w.first, 16);
	assert_int_equal(w.last, head - FCGI_HEADER_LEN);
	assert_int_equal(w.id, 7);
	assert_true(w.keep);
}

static void every_prefix_asks_for_more(void **state)
{
	struct fcgi_walk w = { 0 }, fresh;

	(void)state;
	put_usual();
	for (size_t n = 0; n < len; n++) {
		assert_int_equal(fcgi_walk(&w, data, n), WALK_MORE);
		memset(&fresh, 0, sizeof(fresh));
		assert_int_equal(fcgi_walk(&fresh, data, n), WALK_MORE);
	}
	assert_int_equal(fcgi_walk(&w, data, len), WALK_READY);
}

static void pairs_cut_anywhere(void **state)
{
	struct fcgi_walk w;

	(void)state;
	for (size_t step = 1; step <= PAIRS_SIZE; step++) {
		len = 0;
		put_begin(1, FCGI_RESPONDER, 0);
		for (size_t at = 0; at < PAIRS_SIZE; at += step)
			put(FCGI_PARAMS, 1, PAIRS + at,
			    PAIRS_SIZE - at < step ? PAIRS_SIZE - at : step,
			    (unsigned char)(step * 20));
		put(FCGI_PARAMS, 1, NULL, 0, 9);
		assert_int_equal(walk_all(&w), WALK_READY);
		assert_int_equal(w.done, len);
		assert_false(w.keep);
	}
}

static void parameters_that_are_no_environment(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} bad[] = {
		{ "\1\1A", 3 },    /* cut off */
		{ "\1", 1 },       /* only one length */
		{ "\200\0", 2 },   /* half a length */
		{ "\3\1A=Bx", 6 }, /* '=' in a name */
		{ "\2\1A\0x", 5 }, /* NUL in a name */
		{ "\1\2Aa\0", 5 }, /* NUL in a value */
		{ "\0\1", 2 },     /* a value that isn't there */
	};
	struct fcgi_walk w;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		len = 0;
		put_begin(1, FCGI_RESPONDER, 0);
		put(FCGI_PARAMS, 1, bad[i].bytes, bad[i].n, 0);
		put(FCGI_PARAMS, 1, NULL, 0, 0);
		if (walk_all(&w) != WALK_BAD)
			fail_msg("taken: case %zu", i);
	}
	/* empty names and values can be */
	len = 0;
	put_begin(1, FCGI_RESPONDER, 0);
	put(FCGI_PARAMS, 1, "\0\0\1\0A\0\1B", 8, 0);
	put(FCGI_PARAMS, 1, NULL, 0, 0);
	assert_int_equal(walk_all(&w), WALK_READY);
}

static void too_many_bytes(void **state)
{
	static unsigned char big[65535];
	struct fcgi_walk w;

	(void)state;
	/* as much as there may be: a pair of 6 + 1 + 65523 bytes in two records */
	big[0] = 1;
	memcpy(big + 1, "\200\0\377\363", 4);
	memset(big + 5, 'x', sizeof(big) - 5);
	len = 0;
	put_begin(1, FCGI_RESPONDER, 0);
	put(FCGI_PARAMS, 1, big, 65529, 0);
	put(FCGI_PARAMS, 1, NULL, 0, 0);
	assert_int_equal(walk_all(&w), WALK_READY);

	/* said by the record's header, before its content is there */
	len = 0;
	put_begin(1, FCGI_RESPONDER, 0);
	put(FCGI_PARAMS, 1, big, 65529, 0);
	len += fcgi_put_header(data + len, FCGI_PARAMS, 1, 8);
	assert_int_equal(walk_all(&w), WALK_TOO_LARGE);

	/* said by a length */
	len = 0;
	put_begin(1, FCGI_RESPONDER, 0);
	put(FCGI_PARAMS, 1, "\1\377\377\377\377A", 6, 0);
	assert_int_equal(walk_all(&w), WALK_TOO_LARGE);

	/* little content in much framing */
	len = 0;
	put_begin(1, FCGI_RESPONDER, 0);
	for (int i = 0; i < 800; i++)
		put(FCGI_PARAMS, 1, "\0\0", 2, 255);
	assert_int_equal(walk_all(&w), WALK_TOO_LARGE);
}

static void malformed_records(void **state)
{
	struct fcgi_walk w;

	(void)state;
	put_usual();
	data[0] = 2; /* version */
	assert_int_equal(walk_all(&w), WALK_BAD);

	len = 0;
	put_begin(0, FCGI_RESPONDER, 0);
	assert_int_equal(walk_all(&w), WALK_BAD);

	len = 0;
	put(FCGI_BEGIN_REQUEST, 1, "abc", 3, 0);
	assert_int_equal(walk_all(&w), WALK_BAD);

	len = 0;
	put_begin(1, FCGI_RESPONDER, 0);
	put_begin(1, FCGI_RESPONDER, 0);
	assert_int_equal(walk_all(&w), WALK_BAD);

	len = 0;
	put_begin(1, FCGI_RESPONDER, 0);
	put(FCGI_STDIN, 1, "body", 4, 0);
	assert_int_equal(walk_all(&w), WALK_BAD);
}

/* Takes the record that isn't ours out of the buffer, as the connection does. */
static void cut_other(const struct fcgi_walk *w)
{
	size_t size = fcgi_record_size(&w->other);

	memmove(data + w->done, data + w->done + size, len - w->done - size);
	len -= size;
}

static void records_of_others(void **state)
{
	static const int types[] = { FCGI_STDIN, FCGI_GET_VALUES, FCGI_BEGIN_REQUEST,
				     FCGI_ABORT_REQUEST };
	struct fcgi_walk w = { 0 };

	(void)state;
	len = 0;
	put(FCGI_STDIN, 3, "left over", 9, 7);
	put_begin(1, FCGI_RESPONDER, 0);
	put(FCGI_GET_VALUES, 0, "\1\0A", 3, 0);
	put(FCGI_PARAMS, 1, PAIRS, 5, 0);
	put_begin(2, FCGI_RESPONDER, 0);
	put(FCGI_PARAMS, 1, PAIRS + 5, PAIRS_SIZE - 5, 0);
	put(FCGI_ABORT_REQUEST, 1, NULL, 0, 0);
	put(FCGI_PARAMS, 1, NULL, 0, 0);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		assert_int_equal(fcgi_walk(&w, data, len), WALK_OTHER);
		assert_int_equal(w.other.type, types[i]);
		cut_other(&w);
	}
	assert_int_equal(fcgi_walk(&w, data, len), WALK_READY);
	assert_int_equal(w.done, len);

	len = 0;
	put_begin(1, FCGI_FILTER, 0);
	assert_int_equal(walk_all(&w), WALK_OTHER);
	assert_false(w.begun);
}

static void what_we_write(void **state)
{
	static const unsigned char end[] = { 1, 6, 2, 1, 0, 0, 0, 0, 1, 3, 2, 1,
					     0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
	static const char ask[] = "\16\0FCGI_MAX_CONNS\1\1Ab\17\0FCGI_MPXS_CONNS";
	static const char told[] = "\16\5FCGI_MAX_CONNS10240\17\1FCGI_MPXS_CONNS0";
	unsigned char out[128];
	struct fcgi_record rec;

	(void)state;
	assert_int_equal(fcgi_put_trailer(out, 513), FCGI_TRAILER);
	assert_memory_equal(out, end, sizeof(end));

	assert_int_equal(fcgi_put_end(out, 1, FCGI_CANT_MPX_CONN), 16);
	assert_int_equal(out[12], FCGI_CANT_MPX_CONN);
	assert_int_equal(fcgi_put_unknown_type(out, 200), 16);
	assert_int_equal(out[8], 200);

	assert_int_equal(fcgi_put_values(out, sizeof(out), (const unsigned char *)ask,
					 sizeof(ask) - 1, 10240),
			 FCGI_HEADER_LEN + sizeof(told) - 1);
	assert_true(fcgi_record_read(out, &rec));
	assert_int_equal(rec.type, FCGI_GET_VALUES_RESULT);
	assert_int_equal(rec.content, sizeof(told) - 1);
	assert_memory_equal(out + FCGI_HEADER_LEN, told, sizeof(told) - 1);
	/* asked for more than fits, or for nonsense */
	assert_int_equal(fcgi_put_values(out, 20, (const unsigned char *)ask, sizeof(ask) - 1, 1),
			 0);
	assert_int_equal(fcgi_put_values(out, sizeof(out),
					 (const unsigned char *)"\377\377\377\377\1", 5, 1),
			 FCGI_HEADER_LEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_head),
		cmocka_unit_test(every_prefix_asks_for_more),
		cmocka_unit_test(pairs_cut_anywhere),
		cmocka_unit_test(parameters_that_are_no_environment),
		cmocka_unit_test(too_many_bytes),
		cmocka_unit_test(malformed_records),
		cmocka_unit_test(records_of_others),
		cmocka_unit_test(what_we_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
