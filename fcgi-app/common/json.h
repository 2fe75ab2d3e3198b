/*
 * json.h: a little above json-c: strict parsing with limits, and building without ceremony.
 */
#ifndef LONGHAUL_JSON_H
#define LONGHAUL_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

#define JSON_DEPTH_MAX 32

/* True if the bytes are one JSON text by the letter of RFC 8259: UTF-8, at most JSON_DEPTH_MAX
 * levels, nothing behind it, no NUL byte, no \u0000 in a name. If not, *why (may be NULL) gets a
 * static text that is fit for the client. */
bool json_check(const char *data, size_t len, const char **why);
/* Checks and parses. Returns true and the value in *out (json_object_put it; NULL for the text
 * `null`), or false and in *why (may be NULL) the reason as above. */
bool json_parse_strict(const char *data, size_t len, struct json_object **out, const char **why);

/* True if the bytes are valid UTF-8 without NUL: what a text parameter of PostgreSQL may hold. */
bool utf8_valid(const char *s, size_t n);
/* The longest prefix of at most `max` bytes that doesn't cut a character. */
size_t utf8_prefix(const char *s, size_t n, size_t max);
/* True if a string in it, key or value, holds U+0000, which jsonb refuses. */
bool json_has_nul(struct json_object *value);

/* Add a member; json_add_str leaves the member out if v is NULL. */
void json_add_str(struct json_object *o, const char *key, const char *v);
void json_add_strn(struct json_object *o, const char *key, const char *v, size_t len);
void json_add_int(struct json_object *o, const char *key, int64_t v);
void json_add_bool(struct json_object *o, const char *key, bool v);
void json_add_time(struct json_object *o, const char *key, int64_t unix_ms); /* RFC 3339 */

/* A member of that type; NULL, or `otherwise`, if it is absent or of another type. */
const char *json_get_str(struct json_object *o, const char *key);
int64_t json_get_int(struct json_object *o, const char *key, int64_t otherwise);

/* Compact text, '/' not escaped; belongs to the object. */
const char *json_text(struct json_object *o, size_t *len);

#endif
