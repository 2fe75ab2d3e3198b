/*
 * json_scan.c: a strict scanner of JSON text.
 */
#include "json_scan.h"

#include <stdint.h>
#include <string.h>

/* PostgreSQL's numeric, in which jsonb keeps numbers, ends far beyond this; so do its clients. */
#define NUMBER_CHARS 1000
#define NUMBER_EXPONENT 1000

bool json_scan_fail(struct json_scan *s, enum json_scan_error error)
{
	s->error = error;
	return false;
}

void json_scan_space(struct json_scan *s)
{
	while (s->at < s->end &&
	       (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t'))
		s->at++;
}

bool json_scan_char(struct json_scan *s, char c)
{
	if (s->at == s->end || *s->at != c)
		return false;
	s->at++;
	return true;
}

/* Four hex digits at s; -1 if they aren't. */
static int32_t hex4(const char *s, const char *end)
{
	int32_t v = 0;
	int i;

	if (end - s < 4)
		return -1;
	for (i = 0; i < 4; i++) {
		if (s[i] >= '0' && s[i] <= '9')
			v = v * 16 + s[i] - '0';
		else if (s[i] >= 'a' && s[i] <= 'f')
			v = v * 16 + s[i] - 'a' + 10;
		else if (s[i] >= 'A' && s[i] <= 'F')
			v = v * 16 + s[i] - 'A' + 10;
		else
			return -1;
	}
	return v;
}

/* Steps over what follows a backslash. */
static bool scan_escape(struct json_scan *s)
{
	int32_t code, low;

	if (s->at == s->end || !memchr("\"\\/bfnrtu", *s->at, 9))
		return json_scan_fail(s, JSON_SCAN_SYNTAX);
	if (*s->at++ != 'u')
		return true;
	code = hex4(s->at, s->end);
	if (code < 0)
		return json_scan_fail(s, JSON_SCAN_SYNTAX);
	if (code == 0)
		return json_scan_fail(s, JSON_SCAN_NUL);
	s->at += 4;
	if (code < 0xD800 || code > 0xDFFF)
		return true;
	low = s->end - s->at >= 6 && s->at[0] == '\\' && s->at[1] == 'u' ? hex4(s->at + 2, s->end)
									 : -1;
	if (code > 0xDBFF || low < 0xDC00 || low > 0xDFFF)
		return json_scan_fail(s, JSON_SCAN_SURROGATE);
	s->at += 6;
	return true;
}

bool json_scan_string(struct json_scan *s, struct slice *out)
{
	const char *begin = s->at;

	if (!json_scan_char(s, '"'))
		return json_scan_fail(s, JSON_SCAN_SYNTAX);
	for (;;) {
		while (s->at < s->end && *s->at != '"' && *s->at != '\\' &&
		       (unsigned char)*s->at >= 0x20)
			s->at++;
		if (json_scan_char(s, '"'))
			break;
		if (!json_scan_char(s, '\\'))
			return json_scan_fail(s, JSON_SCAN_SYNTAX);
		if (!scan_escape(s))
			return false;
	}
	out->data = begin;
	out->len = (size_t)(s->at - begin);
	return true;
}

/* Steps over digits; returns how many. */
static size_t scan_digits(struct json_scan *s)
{
	const char *begin = s->at;

	while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
		s->at++;
	return (size_t)(s->at - begin);
}

static bool scan_exponent(struct json_scan *s)
{
	const char *digits;
	int exponent = 0;

	if (!json_scan_char(s, '+'))
		json_scan_char(s, '-');
	digits = s->at;
	if (scan_digits(s) == 0)
		return json_scan_fail(s, JSON_SCAN_SYNTAX);
	for (; digits < s->at; digits++) {
		exponent = exponent * 10 + *digits - '0';
		if (exponent > NUMBER_EXPONENT)
			return json_scan_fail(s, JSON_SCAN_NUMBER);
	}
	return true;
}

static bool scan_number(struct json_scan *s)
{
	const char *begin = s->at;

	json_scan_char(s, '-');
	if (!json_scan_char(s, '0') && scan_digits(s) == 0)
		return json_scan_fail(s, JSON_SCAN_SYNTAX);
	if (json_scan_char(s, '.') && scan_digits(s) == 0)
		return json_scan_fail(s, JSON_SCAN_SYNTAX);
	if ((json_scan_char(s, 'e') || json_scan_char(s, 'E')) && !scan_exponent(s))
		return false;
	if (s->at - begin > NUMBER_CHARS)
		return json_scan_fail(s, JSON_SCAN_NUMBER);
	return true;
}

static bool scan_word(struct json_scan *s, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
		return json_scan_fail(s, JSON_SCAN_SYNTAX);
	s->at += len;
	return true;
}

/* Steps over one member or element and the space around it. */
static bool scan_item(struct json_scan *s, bool member)
{
	struct slice text;

	json_scan_space(s);
	if (member) {
		if (!json_scan_string(s, &text))
			return false;
		json_scan_space(s);
		if (!json_scan_char(s, ':'))
			return json_scan_fail(s, JSON_SCAN_SYNTAX);
		json_scan_space(s);
	}
	if (!json_scan_value(s, &text))
		return false;
	json_scan_space(s);
	return true;
}

/* Steps over an object or array; the recursion ends at s->depth. */
static bool scan_nested(struct json_scan *s, bool object)
{
	char close = object ? '}' : ']';

	s->at++;
	if (s->depth == 0)
		return json_scan_fail(s, JSON_SCAN_DEPTH);
	s->depth--;
	json_scan_space(s);
	if (!json_scan_char(s, close)) {
		do {
			if (!scan_item(s, object))
				return false;
		} while (json_scan_char(s, ','));
		if (!json_scan_char(s, close))
			return json_scan_fail(s, JSON_SCAN_SYNTAX);
	}
	s->depth++;
	return true;
}

bool json_scan_value(struct json_scan *s, struct slice *out)
{
	const char *begin = s->at;
	bool ok;

	if (s->at == s->end)
		return json_scan_fail(s, JSON_SCAN_SYNTAX);
	switch (*s->at) {
	case '"':
		return json_scan_string(s, out);
	case '{':
	case '[':
		ok = scan_nested(s, *s->at == '{');
		break;
	case 't':
		ok = scan_word(s, "true");
		break;
	case 'f':
		ok = scan_word(s, "false");
		break;
	case 'n':
		ok = scan_word(s, "null");
		break;
	default:
		ok = scan_number(s);
	}
	out->data = begin;
	out->len = (size_t)(s->at - begin);
	return ok;
}

static char *put_utf8(char *to, int32_t code)
{
	if (code < 0x80) {
		*to++ = (char)code;
	} else if (code < 0x800) {
		*to++ = (char)(0xC0 | code >> 6);
		*to++ = (char)(0x80 | (code & 0x3F));
	} else if (code < 0x10000) {
		*to++ = (char)(0xE0 | code >> 12);
		*to++ = (char)(0x80 | (code >> 6 & 0x3F));
		*to++ = (char)(0x80 | (code & 0x3F));
	} else {
		*to++ = (char)(0xF0 | code >> 18);
		*to++ = (char)(0x80 | (code >> 12 & 0x3F));
		*to++ = (char)(0x80 | (code >> 6 & 0x3F));
		*to++ = (char)(0x80 | (code & 0x3F));
	}
	return to;
}

/* The escape behind a backslash at *from, which moves behind it. It has been scanned before. */
static char *put_escape(char *to, const char **from, const char *end)
{
	static const char names[] = "bfnrt", values[] = "\b\f\n\r\t";
	const char *p = *from, *name;
	int32_t code;

	*from = p + 1;
	if (*p == 'u') {
		code = hex4(p + 1, end);
		*from += 4;
		if (code >= 0xD800 && code <= 0xDBFF) {
			code = 0x10000 + ((code - 0xD800) << 10) + (hex4(p + 7, end) - 0xDC00);
			*from += 6;
		}
		return put_utf8(to, code);
	}
	name = strchr(names, *p);
	*to++ = name ? values[name - names] : *p;
	return to;
}

struct slice json_scan_unescape(struct slice text, char *room)
{
	const char *p = text.data + 1, *end = text.data + text.len - 1, *escape;
	struct slice out = { p, (size_t)(end - p) };
	char *to = room;

	escape = memchr(p, '\\', out.len);
	if (!escape)
		return out;
	while (escape) {
		memcpy(to, p, (size_t)(escape - p));
		to += escape - p;
		p = escape + 1;
		to = put_escape(to, &p, end);
		escape = memchr(p, '\\', (size_t)(end - p));
	}
	memcpy(to, p, (size_t)(end - p));
	to += end - p;
	out.data = room;
	out.len = (size_t)(to - room);
	return out;
}
