/*
 * import_reader.c: from pieces of a stream to rows; and JSON Lines, which need no more.
 */
#include "import_format.h"

#include "common/mem.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char bom[] = "\xEF\xBB\xBF";

bool import_break(struct import_reader *r, const char *unit, int64_t number, const char *why)
{
	snprintf(r->where, sizeof(r->where), "%s %" PRId64, unit, number);
	r->broken = why;
	return false;
}

const char *import_reader_broken(const struct import_reader *r, const char **where)
{
	*where = r->where;
	return r->broken;
}

bool import_room(struct import_reader *r, size_t len)
{
	char *room;

	if (len <= r->room_size)
		return true;
	room = realloc(r->room, len);
	if (!room)
		return false;
	r->room = room;
	r->room_size = len;
	return true;
}

bool import_emit(struct import_reader *r, struct import_row *row, const char *data, size_t len)
{
	row->line = r->line;
	row->raw.data = data;
	row->raw.len = len;
	return r->row(r->ctx, row);
}

bool import_json_row(struct import_reader *r, const char *data, size_t len)
{
	struct import_row row;

	return import_room(r, len) &&
	       account_from_json(&row.account, data, len, r->room, &r->more) &&
	       import_emit(r, &row, data, len);
}

/* A row that is too large: of every cut of the stream the same bytes are shown. */
static bool emit_too_large(struct import_reader *r, const char *data)
{
	struct import_row row = { .account = { .reason = "is larger than 1 MiB" } };

	return import_emit(r, &row, data, IMPORT_RAW_MAX);
}

/* Adds to the row what may still be kept of it. */
static bool keep(struct import_reader *r, const char *data, size_t len)
{
	size_t room = IMPORT_ROW_MAX - r->kept.len;

	r->size += (int64_t)len;
	return buf_add(&r->kept, data, len < room ? len : room);
}

/* The last piece of a row has come. */
static bool row_ended(struct import_reader *r, const char *data, size_t len)
{
	bool ok;

	if (r->size > 0) {
		if (!keep(r, data, len))
			return false;
		data = r->kept.data;
	} else {
		r->size = (int64_t)len;
	}
	if (r->size > IMPORT_ROW_MAX)
		ok = emit_too_large(r, data);
	else
		ok = r->format->row(r, data, (size_t)r->size);
	r->line += 1 + r->skipped;
	r->skipped = 0;
	r->size = 0;
	buf_reset(&r->kept);
	return ok;
}

static bool feed(struct import_reader *r, const char *data, size_t len)
{
	struct import_cut cut;

	while (len > 0) {
		memset(&cut, 0, sizeof(cut));
		if (!r->format->scan(r, data, len, &cut))
			return false;
		if (cut.ended) {
			if (!row_ended(r, data + cut.begin, cut.end - cut.begin))
				return false;
		} else if (cut.end > cut.begin && !keep(r, data + cut.begin, cut.end - cut.begin)) {
			return false;
		}
		r->offset += (int64_t)cut.used;
		data += cut.used;
		len -= cut.used;
	}
	return true;
}

/* Bytes that looked like the beginning of a byte order mark and were none. */
static bool feed_false_bom(struct import_reader *r)
{
	size_t seen = (size_t)r->bom;

	r->bom = 3;
	return feed(r, bom, seen);
}

bool import_reader_feed(struct import_reader *r, const char *data, size_t len)
{
	while (len > 0 && r->bom < 3) {
		if (*data != bom[r->bom]) {
			if (!feed_false_bom(r))
				return false;
			break;
		}
		data++;
		len--;
		if (++r->bom == 3)
			r->offset = 3;
	}
	return feed(r, data, len);
}

bool import_reader_end(struct import_reader *r)
{
	if (r->bom < 3 && !feed_false_bom(r))
		return false;
	if (r->format->end && !r->format->end(r))
		return false;
	return r->size == 0 || row_ended(r, "", 0);
}

/* Splits off the parameters: what has to be known of them is charset. */
static bool charset_ok(const char *media_type)
{
	const char *p = media_type;
	size_t len;

	while ((p = strchr(p, ';')) != NULL) {
		p += 1 + strspn(p + 1, " \t");
		if (strncasecmp(p, "charset=", 8) != 0)
			continue;
		p += 8;
		if (*p == '"')
			p++;
		len = strcspn(p, "\"; \t");
		return (len == 5 && strncasecmp(p, "utf-8", 5) == 0) ||
		       (len == 8 && strncasecmp(p, "us-ascii", 8) == 0);
	}
	return true;
}

static const struct import_format *format_of(const char *media_type)
{
	static const struct import_format *const formats[] = { &import_json_lines,
							       &import_json_array, &import_csv };
	char name[64] = " ";
	size_t i, len = strcspn(media_type, "; \t");

	if (len == 0 || len > sizeof(name) - 3)
		return NULL;
	for (i = 0; i < len; i++)
		name[i + 1] = (char)tolower((unsigned char)media_type[i]);
	name[len + 1] = ' ';
	for (i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (strstr(formats[i]->media_types, name))
			return formats[i];
	return NULL;
}

struct import_reader *import_reader_new(const char *media_type, import_row_fn *row, void *ctx,
					const char **why)
{
	const struct import_format *format = format_of(media_type);
	struct import_reader *r;

	if (!format) {
		*why = "Accounts come as application/x-ndjson, application/json or text/csv.";
		return NULL;
	}
	if (!charset_ok(media_type)) {
		*why = "Accounts come in UTF-8.";
		return NULL;
	}
	r = mem_zalloc(sizeof(*r));
	r->format = format;
	r->row = row;
	r->ctx = ctx;
	r->line = 1;
	return r;
}

void import_reader_free(struct import_reader *r)
{
	if (!r)
		return;
	if (r->format->free)
		r->format->free(r);
	buf_free(&r->kept);
	buf_free(&r->more);
	free(r->room);
	free(r);
}

static bool lines_scan(struct import_reader *r, const char *data, size_t len,
		       struct import_cut *cut)
{
	const char *newline = memchr(data, '\n', len);

	(void)r;
	cut->ended = newline != NULL;
	cut->end = newline ? (size_t)(newline - data) : len;
	cut->used = cut->end + cut->ended;
	return true;
}

/* Blank lines count as lines, but aren't rows. */
static bool lines_row(struct import_reader *r, const char *data, size_t len)
{
	size_t i = 0;

	if (len > 0 && data[len - 1] == '\r')
		len--;
	while (i < len && (data[i] == ' ' || data[i] == '\t'))
		i++;
	return i == len || import_json_row(r, data, len);
}

const struct import_format import_json_lines = {
	.media_types = " application/x-ndjson application/ndjson application/jsonl ",
	.scan = lines_scan,
	.row = lines_row,
};
