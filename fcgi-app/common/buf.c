/*
 * buf.c: a growable byte buffer.
 */
#include "buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Grows by doubling, so that many small additions stay linear. */
bool buf_reserve(struct buf *b, size_t more)
{
	size_t need, cap = b->cap > 0 ? b->cap : 64;
	char *data;

	if (__builtin_add_overflow(b->len, more, &need) || __builtin_add_overflow(need, 1, &need))
		return false;
	if (need <= b->cap)
		return true;
	while (cap < need) {
		if (cap > SIZE_MAX / 2) {
			cap = need;
			break;
		}
		cap *= 2;
	}
	data = realloc(b->data, cap);
	if (data == NULL)
		return false;
	b->data = data;
	b->cap = cap;
	b->data[b->len] = '\0';
	return true;
}

bool buf_add(struct buf *b, const void *data, size_t len)
{
	if (!buf_reserve(b, len))
		return false;
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
	return true;
}

bool buf_adds(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}

/* Formats into the free room first; only a longer text is formatted twice. */
bool buf_vaddf(struct buf *b, const char *fmt, va_list args)
{
	va_list again;
	int n;
	bool ok = buf_reserve(b, 64);

	if (!ok)
		return false;
	va_copy(again, args);
	n = vsnprintf(b->data + b->len, b->cap - b->len, fmt, args);
	if (n >= 0 && (size_t)n >= b->cap - b->len) {
		ok = buf_reserve(b, (size_t)n);
		if (ok)
			n = vsnprintf(b->data + b->len, b->cap - b->len, fmt, again);
	}
	if (ok && n >= 0)
		b->len += (size_t)n;
	else
		ok = false;
	b->data[b->len] = '\0';
	va_end(again);
	return ok;
}

bool buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list args;
	bool ok;

	va_start(args, fmt);
	ok = buf_vaddf(b, fmt, args);
	va_end(args);
	return ok;
}

void buf_consume(struct buf *b, size_t n)
{
	if (n >= b->len) {
		buf_reset(b);
		return;
	}
	memmove(b->data, b->data + n, b->len - n);
	b->len -= n;
	b->data[b->len] = '\0';
}

void buf_reset(struct buf *b)
{
	if (b->cap > BUF_KEEP) {
		buf_free(b);
		return;
	}
	b->len = 0;
	if (b->data != NULL)
		b->data[0] = '\0';
}

void buf_free(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ 0 };
}

char *buf_take(struct buf *b)
{
	char *data = b->data;

	*b = (struct buf){ 0 };
	return data;
}
