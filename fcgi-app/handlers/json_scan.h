/*
 * json_scan.h: walks over JSON text without building anything.
 *
 * Strict RFC 8259, and besides only what a jsonb column can hold: no U+0000, no unpaired
 * surrogates, no numbers beyond its range. Values stay slices of the text, so that what is kept is
 * kept as it was written: a parser that turns numbers into machine types would change long ones.
 * The text must be valid UTF-8.
 */
#ifndef LONGHAUL_HANDLERS_JSON_SCAN_H
#define LONGHAUL_HANDLERS_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>

struct slice {
	const char *data; /* NULL: absent */
	size_t len;
};

enum json_scan_error {
	JSON_SCAN_OK,
	JSON_SCAN_SYNTAX,
	JSON_SCAN_DEPTH,
	JSON_SCAN_NUL,
	JSON_SCAN_SURROGATE,
	JSON_SCAN_NUMBER,
};

struct json_scan {
	const char *at, *end;
	int depth; /* levels that may still be opened */
	enum json_scan_error error;
};

void json_scan_space(struct json_scan *s);

/* Steps over the character c. False if another one is there; not an error yet. */
bool json_scan_char(struct json_scan *s, char c);

/* Step over a string or any value, no space around it; *out = its text, a string's with its quotes.
 * False and s->error set if it isn't one; s->at is then where it went wrong. */
bool json_scan_string(struct json_scan *s, struct slice *out);
bool json_scan_value(struct json_scan *s, struct slice *out);

/* Records the error and returns false. */
bool json_scan_fail(struct json_scan *s, enum json_scan_error error);

/* The content of a string that was scanned. Points into the text if nothing is escaped in it, else
 * into room, which must have space for text.len bytes. */
struct slice json_scan_unescape(struct slice text, char *room);

#endif
