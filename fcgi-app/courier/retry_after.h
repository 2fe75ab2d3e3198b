/*
 * retry_after.h: what an endpoint's Retry-After says.
 */
#ifndef LONGHAUL_COURIER_RETRY_AFTER_H
#define LONGHAUL_COURIER_RETRY_AFTER_H

#include <stddef.h>
#include <stdint.h>

/* Seconds or an HTTP date (of any of its three forms), as milliseconds from `unix_ms` on; a time in
 * the past is 0. -1 if it is neither. `s` needs no NUL. */
int64_t retry_after_ms(const char *s, size_t n, int64_t unix_ms);

#endif
