/*
 * cursor.c: list cursors: a format byte, the id below which the next page starts, a check byte,
 * in base64url.
 */
#include "api/cursor.h"

#include <string.h>

#define FORMAT 1
#define RAW (1 + sizeof(struct uuid) + 1) /* a multiple of three: no padding */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* CRC-8: tells a mistyped or cut cursor from a real one; it isn't meant to keep a secret. */
static unsigned char check_byte(const unsigned char raw[RAW])
{
	unsigned crc = 0x5a;

	for (size_t i = 0; i + 1 < RAW; i++) {
		crc ^= raw[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 0x80 ? crc << 1 ^ 0x107 : crc << 1;
	}
	return (unsigned char)crc;
}

void cursor_write(const struct uuid *before, char out[CURSOR_TEXT])
{
	unsigned char raw[RAW];

	raw[0] = FORMAT;
	memcpy(raw + 1, before->b, sizeof(before->b));
	raw[RAW - 1] = check_byte(raw);
	for (size_t i = 0; i < RAW / 3; i++) {
		unsigned v = (unsigned)raw[3 * i] << 16 | (unsigned)raw[3 * i + 1] << 8 |
			     raw[3 * i + 2];

		out[4 * i] = digits[v >> 18];
		out[4 * i + 1] = digits[v >> 12 & 63];
		out[4 * i + 2] = digits[v >> 6 & 63];
		out[4 * i + 3] = digits[v & 63];
	}
	out[CURSOR_TEXT - 1] = '\0';
}

bool cursor_read(const char *text, struct uuid *before)
{
	unsigned char raw[RAW];

	if (strlen(text) != CURSOR_TEXT - 1)
		return false;
	for (size_t i = 0; i < RAW / 3; i++) {
		unsigned v = 0;

		for (size_t k = 0; k < 4; k++) {
			const char *digit = strchr(digits, text[4 * i + k]);

			if (!digit)
				return false;
			v = v << 6 | (unsigned)(digit - digits);
		}
		raw[3 * i] = (unsigned char)(v >> 16);
		raw[3 * i + 1] = (unsigned char)(v >> 8);
		raw[3 * i + 2] = (unsigned char)v;
	}
	if (raw[0] != FORMAT || raw[RAW - 1] != check_byte(raw))
		return false;
	memcpy(before->b, raw + 1, sizeof(before->b));
	return true;
}
