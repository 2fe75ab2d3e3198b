/*
 * etag.c: conditional and range requests, as text.
 */
#include "api/etag.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

/* One tag of a list: the quoted part with its quotes, and whether W/ stood before it. Returns what
 * is behind it, NULL at the end of the list or where it is malformed. */
static const char *next_tag(const char *s, const char **tag, size_t *len, bool *weak)
{
	const char *end;

	s += strspn(s, ", \t");
	*weak = s[0] == 'W' && s[1] == '/';
	if (*weak)
		s += 2;
	if (*s != '"')
		return NULL;
	end = strchr(s + 1, '"');
	if (!end)
		return NULL;
	*tag = s;
	*len = (size_t)(end + 1 - s);
	return end + 1;
}

static bool is_star(const char *list)
{
	list += strspn(list, " \t");
	return *list == '*' && list[1 + strspn(list + 1, " \t")] == '\0';
}

static bool listed(const char *list, const char *etag, bool strongly)
{
	bool ours_weak = etag[0] == 'W', weak;
	const char *ours = ours_weak ? etag + 2 : etag, *tag;
	size_t len;

	if (!list)
		return false;
	if (is_star(list))
		return true;
	while ((list = next_tag(list, &tag, &len, &weak))) {
		if (strongly && (weak || ours_weak))
			continue;
		if (strlen(ours) == len && memcmp(ours, tag, len) == 0)
			return true;
	}
	return false;
}

bool etag_listed(const char *list, const char *etag)
{
	return listed(list, etag, false);
}

bool etag_listed_strong(const char *list, const char *etag)
{
	return listed(list, etag, true);
}

/* A tag's hexadecimal digits, 1 to 15 of them; -1 = it isn't of that form. */
static int64_t version_of(const char *tag, size_t len)
{
	int64_t v = 0;

	if (len < 3 || len > 17)
		return -1;
	for (size_t i = 1; i + 1 < len; i++) {
		unsigned char c = (unsigned char)tag[i];

		if (!isxdigit(c))
			return -1;
		v = v * 16 + (isdigit(c) ? c - '0' : tolower(c) - 'a' + 10);
	}
	return v;
}

int64_t etag_version(const char *list)
{
	int64_t newest = -1, v;
	const char *tag;
	size_t len;
	bool weak;

	while (list && (list = next_tag(list, &tag, &len, &weak))) {
		v = weak ? version_of(tag, len) : -1;
		if (v > newest)
			newest = v;
	}
	return newest;
}

/* Digits at *s; false if there are none or too many. Moves *s behind them. */
static bool read_number(const char **s, int64_t *v)
{
	const char *at = *s;

	*v = 0;
	for (; isdigit((unsigned char)*at); at++) {
		if (at - *s >= 18)
			return false;
		*v = *v * 10 + (*at - '0');
	}
	if (at == *s)
		return false;
	*s = at;
	return true;
}

enum range_outcome range_read(const char *range, int64_t size, int64_t *first, int64_t *last)
{
	const char *s = range;
	int64_t from = -1, to = -1;

	if (!s || strncasecmp(s, "bytes=", 6) != 0)
		return RANGE_WHOLE;
	s += 6;
	s += strspn(s, " \t");
	if (*s != '-' && !read_number(&s, &from))
		return RANGE_WHOLE;
	if (*s++ != '-')
		return RANGE_WHOLE;
	if (*s >= '0' && *s <= '9' && !read_number(&s, &to))
		return RANGE_WHOLE;
	if (s[strspn(s, " \t")] != '\0' || (from < 0 && to < 0) ||
	    (from >= 0 && to >= 0 && to < from))
		return RANGE_WHOLE;
	if (from < 0) { /* the last `to` bytes */
		if (to == 0 || size == 0)
			return RANGE_UNSATISFIABLE;
		from = to < size ? size - to : 0;
		to = size - 1;
	}
	if (from >= size)
		return RANGE_UNSATISFIABLE;
	*first = from;
	*last = to < 0 || to >= size ? size - 1 : to;
	return RANGE_PART;
}
