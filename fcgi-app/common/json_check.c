/*
 * json_check.c: is this text JSON, by the letter of RFC 8259?
 *
 * json-c's strict mode still takes leading zeros, single-quoted keys, raw control characters in
 * strings, surrogates in UTF-8 and words in other cases. What one parser takes and the next one
 * refuses is an error found too late, so the text is checked before json-c builds anything.
 */
#include "json.h"

#include <string.h>

struct check {
	const char *p, *end;
	int depth;
	bool nul; /* the last string had \u0000 in it */
	const char *why;
};

static bool refuse(struct check *c, const char *why)
{
	if (c->why == NULL)
		c->why = c->p == c->end ? "ends too early" : why;
	return false;
}

static char peek(const struct check *c)
{
	return c->p < c->end ? *c->p : '\0';
}

static void skip_space(struct check *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r'))
		c->p++;
}

static bool is_digit(char ch)
{
	return ch >= '0' && ch <= '9';
}

static bool digits(struct check *c)
{
	if (!is_digit(peek(c)))
		return refuse(c, "has a malformed number");
	while (is_digit(peek(c)))
		c->p++;
	return true;
}

static bool number(struct check *c)
{
	if (peek(c) == '-')
		c->p++;
	if (peek(c) == '0')
		c->p++;
	else if (!digits(c))
		return false;
	if (peek(c) == '.') {
		c->p++;
		if (!digits(c))
			return false;
	}
	if (peek(c) == 'e' || peek(c) == 'E') {
		c->p++;
		if (peek(c) == '+' || peek(c) == '-')
			c->p++;
		return digits(c);
	}
	return true;
}

static bool escape(struct check *c)
{
	static const char hex[] = "0123456789abcdefABCDEF";

	c->p++;
	if (peek(c) == 'u') {
		c->p++;
		c->nul |= c->end - c->p >= 4 && memcmp(c->p, "0000", 4) == 0;
		for (int i = 0; i < 4; i++, c->p++) {
			if (peek(c) == '\0' || strchr(hex, *c->p) == NULL)
				return refuse(c, "has a malformed escape");
		}
		return true;
	}
	if (peek(c) == '\0' || strchr("\"\\/bfnrt", *c->p) == NULL)
		return refuse(c, "has a malformed escape");
	c->p++;
	return true;
}

/* UTF-8 was checked for the whole text before. */
static bool string(struct check *c)
{
	if (peek(c) != '"')
		return refuse(c, "is not valid JSON");
	c->p++;
	c->nul = false;
	while (c->p < c->end && *c->p != '"') {
		if ((unsigned char)*c->p < 0x20)
			return refuse(c, "has a control character in a string");
		if (*c->p != '\\')
			c->p++;
		else if (!escape(c))
			return false;
	}
	if (c->p == c->end)
		return refuse(c, "ends too early");
	c->p++;
	return true;
}

static bool word(struct check *c, const char *w)
{
	for (; *w != '\0'; w++, c->p++) {
		if (peek(c) != *w)
			return refuse(c, "is not valid JSON");
	}
	return true;
}

static bool value(struct check *c);

/* The members of an object or the elements of an array, behind the opening bracket. */
static bool members(struct check *c, char close, bool keys)
{
	c->p++;
	skip_space(c);
	if (peek(c) == close) {
		c->p++;
		return true;
	}
	for (;;) {
		if (keys) {
			skip_space(c);
			if (!string(c))
				return false;
			/* json-c would cut the name there, and two names could become one. */
			if (c->nul)
				return refuse(c, "has a NUL in a member's name");
			skip_space(c);
			if (peek(c) != ':')
				return refuse(c, "is not valid JSON");
			c->p++;
		}
		if (!value(c))
			return false;
		if (peek(c) == close) {
			c->p++;
			return true;
		}
		if (peek(c) != ',')
			return refuse(c, "is not valid JSON");
		c->p++;
	}
}

/* A value and the space around it. Recursion is bounded by JSON_DEPTH_MAX. */
static bool value(struct check *c)
{
	bool ok;

	skip_space(c);
	switch (peek(c)) {
	case '{':
	case '[':
		if (c->depth == JSON_DEPTH_MAX)
			return refuse(c, "is nested too deeply");
		c->depth++;
		ok = *c->p == '{' ? members(c, '}', true) : members(c, ']', false);
		c->depth--;
		break;
	case '"':
		ok = string(c);
		break;
	case 't':
		ok = word(c, "true");
		break;
	case 'f':
		ok = word(c, "false");
		break;
	case 'n':
		ok = word(c, "null");
		break;
	default:
		ok = is_digit(peek(c)) || peek(c) == '-' ? number(c)
							 : refuse(c, "is not valid JSON");
		break;
	}
	skip_space(c);
	return ok;
}

bool json_check(const char *data, size_t len, const char **why)
{
	struct check c = { .p = data, .end = data + len };

	if (len == 0)
		c.why = "is empty";
	else if (memchr(data, '\0', len) != NULL)
		c.why = "has a NUL byte";
	else if (!utf8_valid(data, len))
		c.why = "is not valid UTF-8";
	else if (value(&c) && c.p != c.end)
		refuse(&c, "has something behind its end");
	if (why != NULL)
		*why = c.why;
	return c.why == NULL;
}
