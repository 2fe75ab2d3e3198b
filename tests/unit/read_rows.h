/*
 * read_rows.h: reads a file of accounts in pieces of several sizes and writes down what comes out,
 * one line a row: `line|email|name|externalId|extra|field|reason|raw`, "-" for what is absent.
 * Include it in one file of a test program.
 */
#ifndef LONGHAUL_TESTS_READ_ROWS_H
#define LONGHAUL_TESTS_READ_ROWS_H

#include "test.h"

#include <inttypes.h>

#include "common/buf.h"
#include "handlers/import_reader.h"

static void dump_slice(struct buf *out, struct slice s)
{
	if (s.data)
		assert_true(buf_add(out, s.data, s.len));
	else
		assert_true(buf_adds(out, "-"));
	assert_true(buf_adds(out, "|"));
}

static bool dump_row(void *ctx, const struct import_row *row)
{
	const struct account *a = &row->account;
	struct buf *out = ctx;

	assert_true(buf_addf(out, "%" PRId64 "|", row->line));
	if (a->reason) {
		assert_true(buf_adds(out, "-|-|-|-|"));
		dump_slice(out, a->field);
		assert_true(buf_addf(out, "%s|", a->reason));
		if (row->raw.len > 200)
			assert_true(buf_addf(out, "%zu bytes", row->raw.len));
		else
			assert_true(buf_add(out, row->raw.data, row->raw.len));
	} else {
		dump_slice(out, a->email);
		dump_slice(out, a->name);
		dump_slice(out, a->external_id);
		dump_slice(out, a->extra);
		assert_true(buf_adds(out, "-|-|-"));
	}
	return buf_adds(out, "\n");
}

/* What a reader makes of the file when it comes in pieces of that size. */
static void read_in_pieces(const char *media_type, const char *data, size_t len, size_t piece,
			   struct buf *out)
{
	const char *why = NULL, *where = NULL;
	struct import_reader *r;
	size_t at, n;
	bool ok = true;
	char *copy;

	buf_reset(out);
	assert_true(buf_adds(out, ""));
	r = import_reader_new(media_type, dump_row, out, &why);
	assert_non_null(r);
	for (at = 0; ok && at < len; at += n) {
		n = len - at < piece ? len - at : piece;
		/* memory of its own, so that a sanitizer sees a look beyond it */
		copy = malloc(n);
		assert_non_null(copy);
		memcpy(copy, data + at, n);
		ok = import_reader_feed(r, copy, n);
		free(copy);
	}
	ok = ok && import_reader_end(r);
	why = import_reader_broken(r, &where);
	assert_int_equal(ok, why == NULL);
	if (why)
		assert_true(buf_addf(out, "broken: %s: %s\n", where, why));
	import_reader_free(r);
}

/* Reads in pieces of 1, 7, 4096 bytes and as a whole: all must give the same, which goes to *out. */
static void read_every_way(const char *media_type, const char *data, size_t len, struct buf *out)
{
	static const size_t pieces[] = { 1, 7, 4096 };
	struct buf again = { 0 };
	size_t i;

	read_in_pieces(media_type, data, len, len > 0 ? len : 1, out);
	for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		read_in_pieces(media_type, data, len, pieces[i], &again);
		assert_string_equal(again.data, out->data);
	}
	buf_free(&again);
}

/* Checks what a file gives; both are string literals, which may hold NUL bytes. */
#define EXPECT(type, text, expected) \
	expect_rows(type, text, sizeof(text) - 1, expected, __FILE__, __LINE__)

static void expect_rows(const char *media_type, const char *data, size_t len, const char *expected,
			const char *file, int line)
{
	struct buf out = { 0 };

	read_every_way(media_type, data, len, &out);
	if (strlen(expected) != out.len || memcmp(out.data, expected, out.len) != 0)
		print_error("%s:%d: expected\n%sgot\n%s", file, line, expected, out.data);
	_assert_true(strlen(expected) == out.len && memcmp(out.data, expected, out.len) == 0,
		     "the rows are as expected", file, line);
	buf_free(&out);
}

#endif
