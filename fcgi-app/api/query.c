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

char *req_query_arg(struct request *req, const char *name, bool *bad)
{
	for (const char *s = req_query(req), *end; *s; s = *end ? end + 1 : end) {
		const char *value;
		char *key, *out;

		end = s + strcspn(s, "&");
		value = memchr(s, '=', (size_t)(end - s));
		if (!value)
			value = end;
		key = req_alloc(req, (size_t)(value - s) + 1);
		if (!url_decode(s, (size_t)(value - s), true, key) || strcmp(key, name) != 0)
			continue;
		if (value < end)
			value++;
		out = req_alloc(req, (size_t)(end - value) + 1);
		if (url_decode(value, (size_t)(end - value), true, out))
			return out;
		*bad = true;
		return NULL;
	}
	return NULL;
}
