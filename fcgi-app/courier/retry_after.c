/*
 * retry_after.c: reads Retry-After.
 */
#include "retry_after.h"

#include <ctype.h>
#include <string.h>

#include <curl/curl.h>

#define LONGEST_S 31536000 /* a year: more can't be meant */

static int64_t seconds(const char *s)
{
	int64_t v = 0;

	for (; *s; s++) {
		if (!isdigit((unsigned char)*s))
			return -1;
		v = 10 * v + (*s - '0');
		if (v > LONGEST_S)
			v = LONGEST_S;
	}
	return 1000 * v;
}

int64_t retry_after_ms(const char *s, size_t n, int64_t unix_ms)
{
	char text[64];
	time_t at;

	while (n > 0 && isspace((unsigned char)s[n - 1]))
		n--;
	while (n > 0 && isspace((unsigned char)*s)) {
		s++;
		n--;
	}
	if (n == 0 || n >= sizeof(text) || memchr(s, '\0', n))
		return -1;
	memcpy(text, s, n);
	text[n] = '\0';
	if (isdigit((unsigned char)*text))
		return seconds(text);
	/* All three forms begin with the name of a day. */
	if (!isalpha((unsigned char)*text) || !strchr(text, ':'))
		return -1;
	at = curl_getdate(text, NULL);
	if (at < 0)
		return -1;
	if (at * INT64_C(1000) <= unix_ms)
		return 0;
	return at - unix_ms / 1000 > LONGEST_S ? LONGEST_S * INT64_C(1000)
					       : at * INT64_C(1000) - unix_ms;
}
