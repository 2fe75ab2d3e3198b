/*
 * buf.h: a growable byte buffer. Zero-initialised is empty and owns nothing.
 *
 * `data` is always followed by a NUL once anything was added, so that text can be used as a
 * string. Functions that add return false when memory ends; the buffer is then unchanged.
 */
#ifndef LONGHAUL_BUF_H
#define LONGHAUL_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#define BUF_KEEP 65536 /* buf_reset keeps at most this much memory */

struct buf {
	char *data;
	size_t len, cap;
};

bool buf_add(struct buf *b, const void *data, size_t len);
bool buf_adds(struct buf *b, const char *s);
bool buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool buf_vaddf(struct buf *b, const char *fmt, va_list args) __attribute__((format(printf, 2, 0)));
bool buf_reserve(struct buf *b, size_t more); /* room for `more` bytes behind len, plus the NUL */
void buf_consume(struct buf *b, size_t n);    /* drops the first n bytes */
void buf_reset(struct buf *b);                /* len = 0; memory above BUF_KEEP is given back */
void buf_free(struct buf *b);
/* Hands the memory to the caller, who frees it; NULL if nothing was ever added. */
char *buf_take(struct buf *b);

#endif
