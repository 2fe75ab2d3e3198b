/*
 * query.c: the query string and percent-decoding.
 */
#include "api/query.h"

#include <string.h>

#include "api/http.h"
#include "common/ids.h"
#include "common/json.h"

bool url_decode(const char *in, size_t len, bool plus, char *out)
{
	char *to = out;

	for (size_t i = 0; i < len; i++) {
		unsigned char byte = (unsigned char)in[i];

		if (byte == '%') {
			if (len - i < 3 || !hex_decode(in + i + 1, 2, &byte))
				return false;
			i += 2;
		} else if (byte == '+' && plus) {
			byte = ' ';
		}
		*to++ = (char)byte;
	}
	*to = '\0';
	return utf8_valid(out, (size_t)(to - out));
}

/* The next argument that begins at *s, which moves behind it. Its name is decoded, NULL where that can't
 * be; its value isn't. */
static const char *next_arg(struct request *req, const char **s, const char **value, size_t *len)
{
	const char *begin = *s, *end = begin + strcspn(begin, "&");
	const char *eq = memchr(begin, '=', (size_t)(end - begin));
	size_t name_len = (size_t)((eq ? eq : end) - begin);
	char *name = req_alloc(req, name_len + 1);

	*s = *end ? end + 1 : end;
	*value = eq ? eq + 1 : end;
	*len = (size_t)(end - *value);
	return url_decode(begin, name_len, true, name) ? name : NULL;
}

char *req_query_arg(struct request *req, const char *name, const char **wrong)
{
	const char *value, *found = NULL;
	size_t len, found_len = 0;
	char *out;

	for (const char *s = req_query(req); *s;) {
		const char *this_name = next_arg(req, &s, &value, &len);

		if (!this_name || strcmp(this_name, name) != 0)
			continue;
		if (found) {
			*wrong = "given more than once";
			return NULL;
		}
		found = value;
		found_len = len;
	}
	if (!found)
		return NULL;
	out = req_alloc(req, found_len + 1);
	if (url_decode(found, found_len, true, out))
		return out;
	*wrong = "malformed percent-encoding";
	return NULL;
}
