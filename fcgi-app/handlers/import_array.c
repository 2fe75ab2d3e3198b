/*
 * import_array.c: a JSON array of accounts, one element at a time.
 *
 * Elements are found by counting brackets outside of strings; what is between them must be right,
 * or the array can't be trusted. What is in one is read strictly afterwards: an element with
 * mismatched brackets, say, is a rejected row.
 */
#include "import_format.h"

enum array_state {
	ARRAY_START,  /* before [ */
	ARRAY_FIRST,  /* behind [: an element or ] */
	ARRAY_NEXT,   /* behind a comma: an element */
	ARRAY_BEHIND, /* behind an element: a comma or ] */
	ARRAY_CLOSED, /* behind ]: nothing more */
	ARRAY_NESTED, /* in an object or array, r->depth levels deep */
	ARRAY_STRING, /* in a string */
	ARRAY_ESCAPE, /* in a string, behind a backslash */
	ARRAY_WORD,   /* in a number, true, false or null, or in what should be one */
};

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* { and [, } and ] differ in one bit. */
static bool opens(char c)
{
	return (c | 0x20) == '{';
}

static bool closes(char c)
{
	return (c | 0x20) == '}';
}

/* The array is wrong at data[at]. */
static bool wrong(struct import_reader *r, size_t at, const char *why)
{
	return import_break(r, "byte", r->offset + (int64_t)at + 1, why);
}

/* First character of an element. */
static bool begin_element(struct import_reader *r, char c)
{
	r->depth = opens(c);
	r->state = c == '"' ? ARRAY_STRING : r->depth ? ARRAY_NESTED : ARRAY_WORD;
	return !closes(c) && c != ',' && c != ':';
}

/* One character between elements. False: broken. */
static bool between(struct import_reader *r, char c, size_t at)
{
	if (is_space(c))
		return true;
	switch (r->state) {
	case ARRAY_START:
		r->state = ARRAY_FIRST;
		return c == '[' || wrong(r, at, "The file is not a JSON array.");
	case ARRAY_BEHIND:
		r->state = c == ',' ? ARRAY_NEXT : ARRAY_CLOSED;
		return c == ',' || c == ']' ||
		       wrong(r, at, "A comma or the end of the array is missing here.");
	case ARRAY_CLOSED:
		return wrong(r, at, "Something follows the end of the array.");
	case ARRAY_FIRST:
		if (c == ']') {
			r->state = ARRAY_CLOSED;
			return true;
		}
		/* fall through */
	default:
		return begin_element(r, c) ||
		       wrong(r, at, "An element of the array is missing here.");
	}
}

/* Steps over a part of an element that begins at data[at]. Returns where the next part begins;
 * the state is ARRAY_BEHIND when the element has ended there. */
static size_t inside(struct import_reader *r, const char *data, size_t at, size_t len)
{
	switch (r->state) {
	case ARRAY_STRING:
		while (at < len && data[at] != '"' && data[at] != '\\')
			at++;
		if (at == len)
			return at;
		if (data[at] == '\\')
			r->state = ARRAY_ESCAPE;
		else
			r->state = r->depth > 0 ? ARRAY_NESTED : ARRAY_BEHIND;
		return at + 1;
	case ARRAY_ESCAPE:
		r->state = ARRAY_STRING;
		return at + 1;
	case ARRAY_WORD:
		while (at < len && !is_space(data[at]) && data[at] != ',' && data[at] != ']')
			at++;
		if (at < len)
			r->state = ARRAY_BEHIND;
		return at;
	default:
		break;
	}
	while (at < len && data[at] != '"' && !opens(data[at]) && !closes(data[at]))
		at++;
	if (at == len)
		return at;
	if (data[at] == '"')
		r->state = ARRAY_STRING;
	else
		r->depth += opens(data[at]) ? 1 : -1;
	if (r->depth == 0)
		r->state = ARRAY_BEHIND;
	return at + 1;
}

static bool array_scan(struct import_reader *r, const char *data, size_t len,
		       struct import_cut *cut)
{
	size_t at = 0;

	while (at < len && r->state <= ARRAY_CLOSED) {
		if (!between(r, data[at], at))
			return false;
		if (r->state > ARRAY_CLOSED)
			cut->begin = at;
		at++;
	}
	if (r->state > ARRAY_CLOSED) {
		while (at < len && r->state > ARRAY_CLOSED)
			at = inside(r, data, at, len);
		cut->ended = r->state == ARRAY_BEHIND;
		cut->end = at;
	}
	cut->used = at;
	return true;
}

static bool array_end(struct import_reader *r)
{
	if (r->state == ARRAY_CLOSED)
		return true;
	if (r->state == ARRAY_START)
		return import_break(r, "byte", r->offset + 1, "The file is empty.");
	return import_break(r, "element", r->line, "The array ends too early.");
}

const struct import_format import_json_array = {
	.media_types = " application/json ",
	.scan = array_scan,
	.row = import_json_row,
	.end = array_end,
};
