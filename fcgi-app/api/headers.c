/*
 * headers.c: the request headers of a submit, as text.
 */
#include "api/headers.h"

#include <stddef.h>
#include <string.h>

static const char token_chars[] =
	"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static bool printable(char c)
{
	return c >= 0x20 && c <= 0x7e;
}

/* Blanks at the end of a header don't count. */
static bool only_blanks(const char *s)
{
	return s[strspn(s, " \t")] == '\0';
}

/* A quoted string that begins at s; the characters between the quotes go to out. */
static bool read_quoted(const char *s, char *out, size_t max)
{
	size_t n = 0;

	for (s++; *s != '"'; s++) {
		if (*s == '\\' && *++s != '"' && *s != '\\')
			return false;
		if (!printable(*s) || n == max)
			return false;
		out[n++] = *s;
	}
	out[n] = '\0';
	return n > 0 && only_blanks(s + 1);
}

bool idempotency_key_read(const char *text, char out[IDEMPOTENCY_KEY_MAX + 1])
{
	size_t n = 0;

	text += strspn(text, " \t");
	if (*text == '"')
		return read_quoted(text, out, IDEMPOTENCY_KEY_MAX);
	for (; *text > 0x20 && *text <= 0x7e; text++) {
		/* These would be a second value, or the rest of a broken quoted one. */
		if (*text == '"' || *text == ',' || *text == ';' || *text == '\\' ||
		    n == IDEMPOTENCY_KEY_MAX)
			return false;
		out[n++] = *text;
	}
	out[n] = '\0';
	return n > 0 && only_blanks(text);
}

bool priority_read(const char *text, int16_t *out)
{
	int sign = 1, v = 0, digits = 0;

	text += strspn(text, " \t");
	if (*text == '-' || *text == '+')
		sign = *text++ == '-' ? -1 : 1;
	for (; *text >= '0' && *text <= '9'; text++, digits++) {
		v = v * 10 + (*text - '0');
		if (v > PRIORITY_MAX)
			return false;
	}
	*out = (int16_t)(sign * v);
	return digits > 0 && only_blanks(text);
}

/* n lower-case hexadecimal digits, not all of them zero unless that is allowed. */
static bool hex_field(const char *s, size_t n, bool zero_allowed)
{
	return strspn(s, "0123456789abcdef") >= n && (zero_allowed || strspn(s, "0") < n);
}

bool traceparent_read(const char *text, char out[TRACEPARENT_LEN + 1])
{
	size_t len = strcspn(text, " \t");

	if (len < TRACEPARENT_LEN || !only_blanks(text + len))
		return false;
	if (!hex_field(text, 2, true) || text[2] != '-' || !hex_field(text + 3, 32, false) ||
	    text[35] != '-' || !hex_field(text + 36, 16, false) || text[52] != '-' ||
	    !hex_field(text + 53, 2, true))
		return false;
	if (memcmp(text, "ff", 2) == 0)
		return false;
	if (len > TRACEPARENT_LEN && (memcmp(text, "00", 2) == 0 || text[TRACEPARENT_LEN] != '-'))
		return false;
	memcpy(out, text, TRACEPARENT_LEN);
	memcpy(out, "00", 2);
	out[TRACEPARENT_LEN] = '\0';
	return true;
}

/* A token or a quoted string at s; what is behind it, or NULL. */
static const char *skip_value(const char *s)
{
	size_t n;

	if (*s != '"') {
		n = strspn(s, token_chars);
		return n > 0 ? s + n : NULL;
	}
	for (s++; *s != '"'; s++) {
		if (*s == '\\')
			s++;
		if (!printable(*s))
			return NULL;
	}
	return s + 1;
}

bool media_type_valid(const char *text)
{
	size_t n = strspn(text, token_chars);

	if (strlen(text) > MEDIA_TYPE_MAX || n == 0 || text[n] != '/')
		return false;
	text += n + 1;
	n = strspn(text, token_chars);
	if (n == 0)
		return false;
	for (text += n; !only_blanks(text);) {
		text += strspn(text, " \t");
		if (*text++ != ';')
			return false;
		text += strspn(text, " \t");
		if (*text == ';' || *text == '\0') /* empty parameters are allowed */
			continue;
		n = strspn(text, token_chars);
		if (n == 0 || text[n] != '=')
			return false;
		text = skip_value(text + n + 1);
		if (!text)
			return false;
	}
	return true;
}
