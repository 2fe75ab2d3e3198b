/*
 * json.c: a little above json-c.
 */
#include "json.h"

#include <limits.h>
#include <string.h>

#include "times.h"

/* Length of the UTF-8 character at p of at most n bytes; 0 if it isn't one (overlong, surrogate,
 * beyond U+10FFFF, cut short). */
static size_t utf8_char(const unsigned char *p, size_t n)
{
	size_t len = p[0] < 0x80   ? 1
		     : p[0] < 0xc2 ? 0
		     : p[0] < 0xe0 ? 2
		     : p[0] < 0xf0 ? 3
		     : p[0] < 0xf5 ? 4
				   : 0;

	if (len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

bool utf8_valid(const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;

	while (n > 0) {
		size_t len = *p != '\0' ? utf8_char(p, n) : 0;

		if (len == 0)
			return false;
		p += len;
		n -= len;
	}
	return true;
}

size_t utf8_prefix(const char *s, size_t n, size_t max)
{
	if (n <= max)
		return n;
	while (max > 0 && ((unsigned char)s[max] & 0xc0) == 0x80)
		max--;
	return max;
}

bool json_parse_strict(const char *data, size_t len, struct json_object **out, const char **why)
{
	struct json_tokener *tok;
	enum json_tokener_error error;

	*out = NULL;
	if (!json_check(data, len, why))
		return false;
	tok = len < INT_MAX ? json_tokener_new_ex(JSON_DEPTH_MAX) : NULL;
	if (tok == NULL) {
		if (why != NULL)
			*why = "is too large";
		return false;
	}
	*out = json_tokener_parse_ex(tok, data, (int)len);
	error = json_tokener_get_error(tok);
	/* A number at the very end could go on: an empty rest with its NUL says that it doesn't. */
	if (error == json_tokener_continue) {
		*out = json_tokener_parse_ex(tok, "", -1);
		error = json_tokener_get_error(tok);
	}
	json_tokener_free(tok);
	if (error == json_tokener_success)
		return true;
	json_object_put(*out);
	*out = NULL;
	if (why != NULL)
		*why = "is not valid JSON";
	return false;
}

bool json_has_nul(struct json_object *value)
{
	switch (json_object_get_type(value)) {
	case json_type_string:
		return memchr(json_object_get_string(value), '\0',
			      (size_t)json_object_get_string_len(value)) != NULL;
	case json_type_array:
		for (size_t i = 0; i < json_object_array_length(value); i++) {
			if (json_has_nul(json_object_array_get_idx(value, i)))
				return true;
		}
		return false;
	case json_type_object: {
		json_object_object_foreach(value, key, member)
		{
			(void)key; /* names with a NUL don't pass json_check */
			if (json_has_nul(member))
				return true;
		}
		return false;
	}
	default:
		return false;
	}
}

void json_add_str(struct json_object *o, const char *key, const char *v)
{
	if (v != NULL)
		json_object_object_add(o, key, json_object_new_string(v));
}

void json_add_strn(struct json_object *o, const char *key, const char *v, size_t len)
{
	json_object_object_add(o, key, json_object_new_string_len(v, (int)len));
}

void json_add_int(struct json_object *o, const char *key, int64_t v)
{
	json_object_object_add(o, key, json_object_new_int64(v));
}

void json_add_bool(struct json_object *o, const char *key, bool v)
{
	json_object_object_add(o, key, json_object_new_boolean(v));
}

void json_add_time(struct json_object *o, const char *key, int64_t unix_ms)
{
	char text[RFC3339_TEXT];

	rfc3339_format(unix_ms, text);
	json_add_str(o, key, text);
}

const char *json_get_str(struct json_object *o, const char *key)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_string))
		return NULL;
	return json_object_get_string(v);
}

int64_t json_get_int(struct json_object *o, const char *key, int64_t otherwise)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_int))
		return otherwise;
	return json_object_get_int64(v);
}

const char *json_text(struct json_object *o, size_t *len)
{
	return json_object_to_json_string_length(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, len);
}
