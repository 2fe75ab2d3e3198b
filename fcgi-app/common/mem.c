/*
 * mem.c: allocation that doesn't return on failure.
 */
#include "mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exit_codes.h"
#include "log.h"

/* Ends the process: half a job is handled by the lease, a half-made structure by nobody. */
static _Noreturn void out_of_memory(size_t size)
{
	log_error("out of memory asking for %zu bytes", size);
	_exit(EXIT_INTERNAL);
}

void *mem_alloc(size_t size)
{
	void *p = malloc(size > 0 ? size : 1);

	if (p == NULL)
		out_of_memory(size);
	return p;
}

void *mem_zalloc(size_t size)
{
	void *p = calloc(1, size > 0 ? size : 1);

	if (p == NULL)
		out_of_memory(size);
	return p;
}

void *mem_realloc(void *old, size_t count, size_t size)
{
	size_t bytes;
	void *p;

	if (__builtin_mul_overflow(count, size, &bytes))
		out_of_memory(SIZE_MAX);
	p = realloc(old, bytes > 0 ? bytes : 1);
	if (p == NULL)
		out_of_memory(bytes);
	return p;
}

char *mem_strdup(const char *s)
{
	return mem_dup(s, strlen(s));
}

char *mem_strndup(const char *s, size_t n)
{
	return mem_dup(s, strnlen(s, n));
}

void *mem_dup(const void *data, size_t size)
{
	char *p = mem_alloc(size + 1);

	if (size > 0)
		memcpy(p, data, size);
	p[size] = '\0';
	return p;
}

char *mem_printf(const char *fmt, ...)
{
	va_list args;
	char *text;
	int n;

	va_start(args, fmt);
	n = vasprintf(&text, fmt, args);
	va_end(args);
	if (n < 0)
		out_of_memory(0);
	return text;
}
