/*
 * import_csv.c: accounts as CSV (RFC 4180) with a header row.
 *
 * Columns come in any order: email, name and externalId by name (in any case), each other one
 * becomes a further member of that name, as text; empty cells are absent. Lines end with LF or
 * CRLF. Quotes have a meaning only around a whole field; elsewhere they reject the row.
 */
#include "import_format.h"

#include "common/json.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CSV_COLUMNS_MAX 1000
#define CSV_NAME_MAX 200 /* bytes of a column's name */

enum csv_state {
	CSV_FIELD,  /* at the beginning of a field */
	CSV_PLAIN,  /* in one without quotes */
	CSV_QUOTED, /* in one with quotes */
	CSV_QUOTE,  /* in one with quotes, behind a quote */
};

enum csv_role {
	CSV_EMAIL,
	CSV_NAME,
	CSV_EXTERNAL_ID,
	CSV_MORE,
};

struct csv_column {
	enum csv_role role;
	char *name;
	struct buf key; /* the name as a JSON key, with the colon */
};

struct csv {
	bool header; /* has been read */
	size_t columns;
	struct csv_column column[CSV_COLUMNS_MAX];
	struct slice field[CSV_COLUMNS_MAX];
};

static bool csv_scan(struct import_reader *r, const char *data, size_t len, struct import_cut *cut)
{
	int state = r->state;
	size_t at;

	for (at = 0; at < len; at++) {
		char c = data[at];

		if (state == CSV_QUOTED) {
			if (c == '"')
				state = CSV_QUOTE;
			else if (c == '\n')
				r->skipped++;
		} else if (c == '\n') {
			state = CSV_FIELD;
			cut->ended = true;
			break;
		} else if (c == ',') {
			state = CSV_FIELD;
		} else if (c == '"' && state != CSV_PLAIN) {
			state = CSV_QUOTED;
		} else {
			state = CSV_PLAIN;
		}
	}
	r->state = state;
	cut->end = at;
	cut->used = at + cut->ended;
	if (r->size + (int64_t)at > IMPORT_ROW_MAX && (!r->csv || !r->csv->header))
		return import_break(r, "line", r->line, "The header row is larger than 1 MiB.");
	return true;
}

/* A field in quotes that begins at *at, which moves behind it; text with doubled quotes is put to
 * *room, which moves on. Returns NULL, or what is wrong. */
static const char *quoted_field(const char **at, const char *end, char **room, struct slice *out)
{
	const char *p = *at + 1, *quote;
	char *to = *room;

	out->data = p;
	for (;;) {
		quote = memchr(p, '"', (size_t)(end - p));
		if (!quote)
			return "has a quoted field that never ends";
		if (quote + 1 == end || quote[1] != '"')
			break;
		memcpy(to, p, (size_t)(quote + 1 - p));
		to += quote + 1 - p;
		p = quote + 2;
	}
	*at = quote + 1;
	if (p == out->data) {
		out->len = (size_t)(quote - p);
		return NULL;
	}
	memcpy(to, p, (size_t)(quote - p));
	to += quote - p;
	out->data = *room;
	out->len = (size_t)(to - *room);
	*room = to;
	return NULL;
}

/* The same for one without quotes. */
static const char *plain_field(const char **at, const char *end, struct slice *out)
{
	const char *p = *at;

	while (p < end && *p != ',' && *p != '"')
		p++;
	out->data = *at;
	out->len = (size_t)(p - *at);
	*at = p;
	return p < end && *p == '"' ? "has a quote inside a field without quotes" : NULL;
}

/*
 * Takes a row apart into csv->field; *n = the number of its fields, of which those beyond
 * CSV_COLUMNS_MAX are only counted. Returns NULL, or what is wrong with field *n.
 */
static const char *split(struct csv *csv, const char *data, size_t len, char *room, size_t *n)
{
	const char *at = data, *end = data + len, *wrong;
	struct slice field;

	for (*n = 0;; at++) {
		wrong = at < end && *at == '"' ? quoted_field(&at, end, &room, &field)
					       : plain_field(&at, end, &field);
		if (!wrong && at < end && *at != ',')
			wrong = "has text behind a closing quote";
		if (wrong)
			return wrong;
		if (*n < CSV_COLUMNS_MAX)
			csv->field[*n] = field;
		++*n;
		if (at == end)
			return NULL;
	}
}

/* Appends s as a JSON string. */
static bool add_json_string(struct buf *b, struct slice s)
{
	size_t at, from = 0;
	unsigned char c;

	if (!buf_adds(b, "\""))
		return false;
	for (at = 0; at < s.len; at++) {
		c = (unsigned char)s.data[at];
		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		if (!buf_add(b, s.data + from, at - from) || !buf_addf(b, "\\u%04x", c))
			return false;
		from = at + 1;
	}
	return buf_add(b, s.data + from, s.len - from) && buf_adds(b, "\"");
}

static struct slice trim(struct slice s)
{
	while (s.len > 0 && (s.data[0] == ' ' || s.data[0] == '\t')) {
		s.data++;
		s.len--;
	}
	while (s.len > 0 && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/* Takes a column from the header. Returns NULL, or what is wrong with its name. */
static const char *add_column(struct csv *csv, struct slice name)
{
	static const char *const known[] = { "email", "name", "externalId" };
	struct csv_column *c = &csv->column[csv->columns];
	size_t i;

	name = trim(name);
	if (name.len == 0)
		return "A column of the header row has no name.";
	if (name.len > CSV_NAME_MAX)
		return "A column of the header row has a name longer than 200 bytes.";
	c->role = CSV_MORE;
	c->name = mem_strndup(name.data, name.len);
	for (i = 0; i < 3; i++)
		if (strcasecmp(c->name, known[i]) == 0)
			c->role = (enum csv_role)i;
	csv->columns++;
	for (i = 0; i + 1 < csv->columns; i++)
		if (c->role == CSV_MORE ? strcmp(csv->column[i].name, c->name) == 0
					: csv->column[i].role == c->role)
			return "A column of the header row comes twice.";
	return add_json_string(&c->key, name) && buf_adds(&c->key, ":")
		       ? NULL
		       : "The header row is too large.";
}

static bool has_column(const struct csv *csv, enum csv_role role)
{
	size_t i;

	for (i = 0; i < csv->columns; i++)
		if (csv->column[i].role == role)
			return true;
	return false;
}

static bool read_header(struct import_reader *r, const char *data, size_t len)
{
	struct csv *csv = mem_zalloc(sizeof(*csv));
	const char *wrong = NULL;
	size_t i, n = 0;

	r->csv = csv;
	if (!utf8_valid(data, len))
		wrong = "The header row is not valid UTF-8.";
	else if (split(csv, data, len, r->room, &n))
		wrong = "The header row has a quote in the wrong place.";
	else if (n > CSV_COLUMNS_MAX)
		wrong = "The header row has more than 1000 columns.";
	for (i = 0; !wrong && i < n; i++)
		wrong = add_column(csv, csv->field[i]);
	if (!wrong && !has_column(csv, CSV_EMAIL))
		wrong = "The header row has no column \"email\".";
	if (!wrong && !has_column(csv, CSV_NAME))
		wrong = "The header row has no column \"name\".";
	csv->header = true;
	return !wrong || import_break(r, "line", r->line, wrong);
}

/* Gives the fields of a row their places. False when memory ends. */
static bool take_fields(struct import_reader *r, struct account *a)
{
	struct csv *csv = r->csv;
	struct buf *more = &r->more;
	size_t i;

	buf_reset(more);
	for (i = 0; i < csv->columns; i++) {
		switch (csv->column[i].role) {
		case CSV_EMAIL:
			a->email = csv->field[i];
			break;
		case CSV_NAME:
			a->name = csv->field[i];
			break;
		case CSV_EXTERNAL_ID:
			a->external_id = csv->field[i];
			break;
		default:
			if (csv->field[i].len > 0 &&
			    (!buf_adds(more, more->len > 0 ? "," : "{") ||
			     !buf_add(more, csv->column[i].key.data, csv->column[i].key.len) ||
			     !add_json_string(more, csv->field[i])))
				return false;
		}
	}
	if (more->len > 0) {
		if (!buf_adds(more, "}"))
			return false;
		a->extra.data = more->data;
		a->extra.len = more->len;
	}
	account_check(a);
	return true;
}

static bool csv_row(struct import_reader *r, const char *data, size_t len)
{
	struct import_row row = { 0 };
	struct account *a = &row.account;
	const char *wrong;
	size_t n;

	if (len > 0 && data[len - 1] == '\r')
		len--;
	if (len == 0)
		return true;
	if (!import_room(r, len))
		return false;
	if (!r->csv)
		return read_header(r, data, len);
	if (!account_row_is_text(a, data, len))
		return import_emit(r, &row, data, len);
	wrong = split(r->csv, data, len, r->room, &n);
	if (wrong) {
		account_refuse(a, n < r->csv->columns ? r->csv->column[n].name : NULL, wrong);
	} else if (n != r->csv->columns) {
		snprintf(a->reason_text, sizeof(a->reason_text),
			 "field count is %zu, the header has %zu", n, r->csv->columns);
		a->reason = a->reason_text;
	} else if (!take_fields(r, a)) {
		return false;
	}
	return import_emit(r, &row, data, len);
}

static bool csv_end(struct import_reader *r)
{
	if (r->state == CSV_QUOTED)
		return import_break(r, "line", r->line,
				    "A quoted field that begins in this row never ends.");
	if (!r->csv && r->size <= 1) /* nothing, or a last blank line */
		return import_break(r, "line", 1, "The file has no header row.");
	return true;
}

static void csv_free(struct import_reader *r)
{
	size_t i;

	if (!r->csv)
		return;
	for (i = 0; i < r->csv->columns; i++) {
		free(r->csv->column[i].name);
		buf_free(&r->csv->column[i].key);
	}
	free(r->csv);
}

const struct import_format import_csv = {
	.media_types = " text/csv ",
	.scan = csv_scan,
	.row = csv_row,
	.end = csv_end,
	.free = csv_free,
};
