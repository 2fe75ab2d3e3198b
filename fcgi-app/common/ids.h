/*
 * ids.h: UUIDs (RFC 9562), random bytes, hexadecimal text.
 */
#ifndef LONGHAUL_IDS_H
#define LONGHAUL_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct uuid {
	unsigned char b[16];
};

#define UUID_TEXT 37 /* characters of a formatted UUID and its NUL */

/* Reads exactly 36 characters (8-4-4-4-12, upper or lower case). False if it is anything else. */
bool uuid_parse(const char *s, size_t n, struct uuid *out);
void uuid_format(const struct uuid *id, char out[UUID_TEXT]); /* lower case, with dashes */
void uuid_format_hex(const struct uuid *id, char out[33]);    /* 32 digits, no dashes */
bool uuid_equal(const struct uuid *a, const struct uuid *b);
bool uuid_is_nil(const struct uuid *id);
int uuid_compare(const struct uuid *a, const struct uuid *b); /* as PostgreSQL orders them */

/* A version 7 UUID of that time; its 74 free bits come from `random`. */
void uuid7_make(struct uuid *out, int64_t unix_ms, const unsigned char random[16]);
bool uuid_is_v7(const struct uuid *id);
int64_t uuid7_ms(const struct uuid *id); /* the time in it, Unix milliseconds */
bool uuid4_make(struct uuid *out);       /* random; false if the kernel has no randomness */

bool random_bytes(void *out, size_t n); /* from the kernel; false and logged if there are none */
uint32_t random_below(uint32_t limit);  /* 0…limit-1 for jitter, not for secrets; 0 gives 0 */

/* Reads n hexadecimal digits (n even) into n/2 bytes. False if one isn't a digit. */
bool hex_decode(const char *s, size_t n, unsigned char *out);
void hex_encode(const void *data, size_t n, char *out); /* writes 2n lower-case digits and a NUL */

#endif
