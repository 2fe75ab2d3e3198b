/*
 * prefer.c: the Prefer request header (RFC 7240).
 */
#include "api/prefer.h"

#include <limits.h>
#include <string.h>
#include <strings.h>

#include "api/app.h"

#define TOKEN_CHARS "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

/* A name or a value: a slice of the header; quoted strings are without their quotes. */
struct word {
	const char *at;
	size_t len;
};

static const char *skip_blanks(const char *s)
{
	return s + strspn(s, " \t");
}

static bool word_is(struct word w, const char *name)
{
	return w.len == strlen(name) && strncasecmp(w.at, name, w.len) == 0;
}

/* Reads a token or a quoted string at s; returns what is behind it, or NULL if it is malformed. */
static const char *word_read(const char *s, struct word *out)
{
	if (*s != '"') {
		out->at = s;
		out->len = strspn(s, TOKEN_CHARS);
		return s + out->len;
	}
	out->at = ++s;
	for (; *s && *s != '"'; s++)
		if (*s == '\\' && *++s == '\0')
			return NULL;
	if (*s != '"')
		return NULL;
	out->len = (size_t)(s - out->at);
	return s + 1;
}

/* name [ = value ] at s; returns what is behind it and its blanks, or NULL. */
static const char *pair_read(const char *s, struct word *name, struct word *value)
{
	value->at = "";
	value->len = 0;
	name->at = s;
	name->len = strspn(s, TOKEN_CHARS);
	if (name->len == 0)
		return NULL;
	s = skip_blanks(s + name->len);
	if (*s == '=') {
		s = word_read(skip_blanks(s + 1), value);
		if (!s)
			return NULL;
		s = skip_blanks(s);
	}
	return s;
}

/* The end of the list's element that s points into: a comma outside of quotes, or the end of the text. */
static const char *element_end(const char *s)
{
	bool quoted = false;

	for (; *s && (quoted || *s != ','); s++) {
		if (*s == '"')
			quoted = !quoted;
		else if (quoted && *s == '\\' && s[1])
			s++;
	}
	return s;
}

/* One preference with its parameters, which we know none of; false if it is malformed. */
static bool element_read(const char *s, const char *end, struct word *name, struct word *value)
{
	struct word ignored_name, ignored_value;

	s = pair_read(s, name, value);
	while (s && s < end && *s == ';') {
		s = skip_blanks(s + 1);
		if (s < end && *s != ';')
			s = pair_read(s, &ignored_name, &ignored_value);
	}
	return s == end;
}

/* Whole seconds, clamped to INT_MAX; -1 if it isn't a number. */
static int seconds_read(struct word w)
{
	int n = 0;

	if (w.len == 0)
		return -1;
	for (size_t i = 0; i < w.len; i++) {
		if (w.at[i] < '0' || w.at[i] > '9')
			return -1;
		n = n > (INT_MAX - 9) / 10 ? INT_MAX : n * 10 + (w.at[i] - '0');
	}
	return n;
}

void prefer_read(const char *text, int wait_max_s, struct prefer *out)
{
	bool seen_wait = false;

	memset(out, 0, sizeof(*out));
	for (const char *s = text, *end; *s; s = *end ? end + 1 : end) {
		struct word name, value;
		int seconds;

		s = skip_blanks(s);
		end = element_end(s);
		if (!element_read(s, end, &name, &value))
			continue;
		if (word_is(name, "respond-async") && value.len == 0)
			out->respond_async = true;
		if (!word_is(name, "wait") || seen_wait)
			continue;
		seen_wait = true; /* of a repeated preference the first counts */
		seconds = seconds_read(value);
		if (seconds < 0)
			continue;
		out->has_wait = true;
		out->wait_asked_s = seconds;
		out->wait_ms = (seconds < wait_max_s ? seconds : wait_max_s) * 1000;
	}
}

void prefer_parse(struct request *req, struct prefer *out)
{
	const char *text = req_header(req, "Prefer");

	prefer_read(text ? text : "", app.cfg->wait_max_s, out);
}
