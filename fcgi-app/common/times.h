/*
 * times.h: clocks and the texts of times. Wall-clock times are Unix milliseconds in int64_t.
 */
#ifndef LONGHAUL_TIMES_H
#define LONGHAUL_TIMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RFC3339_TEXT 25   /* 2026-10-02T10:58:12.114Z and its NUL */
#define HTTP_DATE_TEXT 30 /* Fri, 02 Oct 2026 10:58:12 GMT and its NUL */

int64_t now_ms(void);  /* wall clock: jumps when the clock is set */
int64_t mono_ms(void); /* never jumps: for durations and deadlines within this process */
double mono_s(void);   /* the same clock in seconds, to the nanosecond */

/* PostgreSQL's timestamptz: microseconds since 2000-01-01. Rounds down to the millisecond. */
int64_t pg_us_to_unix_ms(int64_t pg_us);
int64_t unix_ms_to_pg_us(int64_t unix_ms);

/* UTC with milliseconds. Times outside the years 0000…9999 are clamped. */
void rfc3339_format(int64_t unix_ms, char out[RFC3339_TEXT]);
/* Strict RFC 3339 date-time with Z or offset and any number of fraction digits (rounded down). */
bool rfc3339_parse(const char *s, size_t n, int64_t *unix_ms);
void http_date_format(int64_t unix_ms, char out[HTTP_DATE_TEXT]); /* IMF-fixdate */

#endif
