/*
 * mem.h: allocation that doesn't return on failure.
 *
 * For start-up and small objects: out of memory is logged and ends the process (the service
 * manager starts it again). Sizes that come from outside are bounded by the caller before, and
 * big byte strings live in struct buf, whose functions return false instead.
 */
#ifndef LONGHAUL_MEM_H
#define LONGHAUL_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_zalloc(size_t size) __attribute__((malloc, returns_nonnull)); /* zeroed */
void *mem_realloc(void *old, size_t count, size_t size) __attribute__((returns_nonnull)); /* count * size, checked */
char *mem_strdup(const char *s) __attribute__((malloc, returns_nonnull));
char *mem_strndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull)); /* at most n bytes, ends at a NUL */
void *mem_dup(const void *data, size_t size) __attribute__((malloc, returns_nonnull)); /* with a NUL behind */
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2), malloc, returns_nonnull));

#endif
