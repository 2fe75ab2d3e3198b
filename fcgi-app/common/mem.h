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

#define MEM_NEW __attribute__((malloc, returns_nonnull))

MEM_NEW void *mem_alloc(size_t size);
MEM_NEW void *mem_zalloc(size_t size); /* zeroed */
MEM_NEW char *mem_strdup(const char *s);
MEM_NEW char *mem_strndup(const char *s, size_t n);   /* at most n bytes, ends at a NUL */
MEM_NEW void *mem_dup(const void *data, size_t size); /* with a NUL behind */
MEM_NEW char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Room for count * size bytes; a product that overflows is out of memory. */
__attribute__((returns_nonnull)) void *mem_realloc(void *old, size_t count, size_t size);

#endif
