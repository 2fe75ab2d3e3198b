/*
 * text.c: cleaning of text from outside.
 */
#include "text.h"

#include "common/json.h"

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

size_t text_chars(const char *s, size_t len)
{
	size_t i, count = 0;

	for (i = 0; i < len; i++)
		count += ((unsigned char)s[i] & 0xC0) != 0x80;
	return count;
}

size_t text_port(const char *s)
{
	size_t digits = 0;
	long port = 0;

	for (; s[digits] >= '0' && s[digits] <= '9' && digits < 6; digits++)
		port = 10 * port + (s[digits] - '0');
	return digits < 6 && port >= 1 && port <= 65535 ? digits : 0;
}

/* Bytes of the valid character that begins at s; 0 if none does. */
static size_t char_at(const unsigned char *s, size_t len)
{
	size_t need = s[0] < 0x80 ? 1 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;

	return need <= len && utf8_valid((const char *)s, need) ? need : 0;
}

static bool add_clean(struct buf *out, const char *s, size_t len, bool line)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t at = 0, from = 0, n;
	bool control;

	while (at < len) {
		n = char_at(p + at, len - at);
		control = line && (p[at] < 0x20 || p[at] == 0x7F);
		if (n > 0 && !control) {
			at += n;
			continue;
		}
		if (!buf_add(out, s + from, at - from) ||
		    !buf_adds(out, control ? " " : REPLACEMENT))
			return false;
		from = ++at;
	}
	return buf_add(out, s + from, len - from);
}

bool text_add_storable(struct buf *out, const char *s, size_t len)
{
	return add_clean(out, s, len, false);
}

bool text_add_line(struct buf *out, const char *s, size_t len)
{
	return add_clean(out, s, len, true);
}
