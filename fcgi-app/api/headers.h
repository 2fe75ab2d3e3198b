/*
 * headers.h: the request headers of a submit, as text.
 */
#ifndef LONGHAUL_API_HEADERS_H
#define LONGHAUL_API_HEADERS_H

#include <stdbool.h>
#include <stdint.h>

#define IDEMPOTENCY_KEY_MAX 255
#define TRACEPARENT_LEN 55
#define MEDIA_TYPE_MAX 255
#define PRIORITY_MAX 100

/* Idempotency-Key: a quoted string (RFC 8941) or a bare token, 1 to 255 printable ASCII characters.
 * The same characters are the same key, quoted or not. */
bool idempotency_key_read(const char *text, char out[IDEMPOTENCY_KEY_MAX + 1]);
/* A whole number from -100 to 100. */
bool priority_read(const char *text, int16_t *out);
/* W3C Trace Context; a later version is read as version 00. False: not to be passed on. */
bool traceparent_read(const char *text, char out[TRACEPARENT_LEN + 1]);
/* type/subtype and well-formed parameters, at most 255 characters. */
bool media_type_valid(const char *text);

#endif
