/*
 * ids.c: UUIDs, random bytes, hexadecimal text.
 */
#include "ids.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "log.h"

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool hex_decode(const char *s, size_t n, unsigned char *out)
{
	if (n % 2 != 0)
		return false;
	for (size_t i = 0; i < n; i += 2) {
		int high = hex_value(s[i]), low = hex_value(s[i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i / 2] = (unsigned char)(high << 4 | low);
	}
	return true;
}

void hex_encode(const void *data, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = data;

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	out[2 * n] = '\0';
}

bool uuid_parse(const char *s, size_t n, struct uuid *out)
{
	char hex[32];
	size_t h = 0;

	if (n != 36)
		return false;
	for (size_t i = 0; i < 36; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (s[i] != '-')
				return false;
		} else {
			hex[h++] = s[i];
		}
	}
	return hex_decode(hex, 32, out->b);
}

void uuid_format_hex(const struct uuid *id, char out[33])
{
	hex_encode(id->b, 16, out);
}

void uuid_format(const struct uuid *id, char out[UUID_TEXT])
{
	char hex[33];

	hex_encode(id->b, 16, hex);
	memcpy(out, hex, 8);
	memcpy(out + 9, hex + 8, 4);
	memcpy(out + 14, hex + 12, 4);
	memcpy(out + 19, hex + 16, 4);
	memcpy(out + 24, hex + 20, 12);
	out[8] = out[13] = out[18] = out[23] = '-';
	out[36] = '\0';
}

bool uuid_equal(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->b, b->b, 16) == 0;
}

int uuid_compare(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->b, b->b, 16);
}

bool uuid_is_nil(const struct uuid *id)
{
	static const struct uuid nil;

	return uuid_equal(id, &nil);
}

void uuid7_make(struct uuid *out, int64_t unix_ms, const unsigned char random[16])
{
	uint64_t t = unix_ms > 0 ? (uint64_t)unix_ms : 0;

	memcpy(out->b, random, 16);
	for (int i = 0; i < 6; i++)
		out->b[i] = (unsigned char)(t >> (40 - 8 * i));
	out->b[6] = (unsigned char)(0x70 | (out->b[6] & 0x0f));
	out->b[8] = (unsigned char)(0x80 | (out->b[8] & 0x3f));
}

bool uuid_is_v7(const struct uuid *id)
{
	return (id->b[6] & 0xf0) == 0x70 && (id->b[8] & 0xc0) == 0x80;
}

int64_t uuid7_ms(const struct uuid *id)
{
	uint64_t t = 0;

	for (int i = 0; i < 6; i++)
		t = t << 8 | id->b[i];
	return (int64_t)t;
}

bool random_bytes(void *out, size_t n)
{
	unsigned char *p = out;

	while (n > 0) {
		ssize_t got = getrandom(p, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			log_error("no random bytes from the kernel: %s", strerror(errno));
			return false;
		}
		p += got;
		n -= (size_t)got;
	}
	return true;
}

bool uuid4_make(struct uuid *out)
{
	if (!random_bytes(out->b, 16))
		return false;
	out->b[6] = (unsigned char)(0x40 | (out->b[6] & 0x0f));
	out->b[8] = (unsigned char)(0x80 | (out->b[8] & 0x3f));
	return true;
}

/* xorshift, seeded once: jitter wants speed and independence between processes, nothing more. */
uint32_t random_below(uint32_t limit)
{
	static uint64_t state;

	if (limit == 0)
		return 0;
	while (state == 0) {
		if (!random_bytes(&state, sizeof(state)))
			state = (uint64_t)(uintptr_t)&state | 1;
	}
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)((state >> 32) * limit >> 32);
}
