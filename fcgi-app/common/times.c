/*
 * times.c: clocks and the texts of times.
 */
#include "times.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define PG_EPOCH_MS INT64_C(946684800000) /* 2000-01-01T00:00:00Z */
#define DAY_MS INT64_C(86400000)
#define YEAR0_MS INT64_C(-62167219200000)    /* 0000-01-01T00:00:00.000Z */
#define YEAR9999_MS INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

static int64_t clock_ms(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t now_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}

int64_t mono_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

double mono_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

int64_t pg_us_to_unix_ms(int64_t pg_us)
{
	return floor_div(pg_us, 1000) + PG_EPOCH_MS;
}

/* Saturates: PostgreSQL reads the extreme values as infinity. */
int64_t unix_ms_to_pg_us(int64_t unix_ms)
{
	int64_t ms, us;

	if (__builtin_sub_overflow(unix_ms, PG_EPOCH_MS, &ms) ||
	    __builtin_mul_overflow(ms, 1000, &us))
		return unix_ms < 0 ? INT64_MIN : INT64_MAX;
	return us;
}

/* Days from 1970-01-01 of a date in the proleptic Gregorian calendar. Years begin in March here, so
 * that the leap day is the last of its year; an era is 400 years. */
static int64_t days_from_date(int64_t year, int month, int day)
{
	int64_t y = year - (month <= 2), era = floor_div(y, 400), in_era = y - era * 400;
	int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + day_of_year - 719468;
}

struct date {
	int year, month, day, weekday; /* Sunday = 0 */
	int hour, minute, second, ms;
};

/* The inverse of days_from_date, with the time of the day. */
static struct date split_time(int64_t unix_ms)
{
	int64_t days = floor_div(unix_ms, DAY_MS), rest = unix_ms - days * DAY_MS;
	int64_t z = days + 719468, era = floor_div(z, 146097), in_era = z - era * 146097;
	int64_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	int64_t day_of_year = in_era - (365 * year + year / 4 - year / 100);
	int64_t m = (5 * day_of_year + 2) / 153;
	struct date d;

	d.day = (int)(day_of_year - (153 * m + 2) / 5 + 1);
	d.month = (int)(m < 10 ? m + 3 : m - 9);
	d.year = (int)(year + era * 400 + (d.month <= 2));
	d.weekday = (int)((days % 7 + 11) % 7);
	d.hour = (int)(rest / 3600000);
	d.minute = (int)(rest / 60000 % 60);
	d.second = (int)(rest / 1000 % 60);
	d.ms = (int)(rest % 1000);
	return d;
}

static int64_t clamp_years(int64_t unix_ms)
{
	if (unix_ms < YEAR0_MS)
		return YEAR0_MS;
	return unix_ms > YEAR9999_MS ? YEAR9999_MS : unix_ms;
}

/* Writes `width` digits of v. Formatting is on the path of every poll, printf isn't needed for it. */
static char *put_digits(char *p, int v, int width)
{
	for (int i = width - 1; i >= 0; i--) {
		p[i] = (char)('0' + v % 10);
		v /= 10;
	}
	return p + width;
}

void rfc3339_format(int64_t unix_ms, char out[RFC3339_TEXT])
{
	struct date d = split_time(clamp_years(unix_ms));
	char *p = put_digits(out, d.year, 4);

	*p++ = '-';
	p = put_digits(p, d.month, 2);
	*p++ = '-';
	p = put_digits(p, d.day, 2);
	*p++ = 'T';
	p = put_digits(p, d.hour, 2);
	*p++ = ':';
	p = put_digits(p, d.minute, 2);
	*p++ = ':';
	p = put_digits(p, d.second, 2);
	*p++ = '.';
	p = put_digits(p, d.ms, 3);
	*p++ = 'Z';
	*p = '\0';
}

void http_date_format(int64_t unix_ms, char out[HTTP_DATE_TEXT])
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct date d = split_time(clamp_years(unix_ms));
	char *p = out;

	memcpy(p, days + 3 * d.weekday, 3);
	memcpy(p + 3, ", ", 2);
	p = put_digits(p + 5, d.day, 2);
	*p++ = ' ';
	memcpy(p, months + 3 * (d.month - 1), 3);
	p[3] = ' ';
	p = put_digits(p + 4, d.year, 4);
	*p++ = ' ';
	p = put_digits(p, d.hour, 2);
	*p++ = ':';
	p = put_digits(p, d.minute, 2);
	*p++ = ':';
	p = put_digits(p, d.second, 2);
	memcpy(p, " GMT", 5);
}

/* A cursor over the text to parse. */
struct scan {
	const char *p, *end;
};

/* Reads exactly `width` digits; -1 if there are fewer. */
static int scan_digits(struct scan *s, int width)
{
	int v = 0;

	if (s->end - s->p < width)
		return -1;
	for (int i = 0; i < width; i++) {
		char c = s->p[i];

		if (c < '0' || c > '9')
			return -1;
		v = v * 10 + (c - '0');
	}
	s->p += width;
	return v;
}

static bool scan_char(struct scan *s, const char *any_of)
{
	if (s->p >= s->end || *s->p == '\0' || strchr(any_of, *s->p) == NULL)
		return false;
	s->p++;
	return true;
}

/* An optional fraction of a second, in whole milliseconds. False if a dot has no digit behind it. */
static bool scan_fraction(struct scan *s, int *ms)
{
	int weight = 100;

	*ms = 0;
	if (!scan_char(s, "."))
		return true;
	if (s->p >= s->end || *s->p < '0' || *s->p > '9')
		return false;
	for (; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++) {
		*ms += (*s->p - '0') * weight;
		weight /= 10;
	}
	return true;
}

/* Z or ±hh:mm, in minutes east of UTC. */
static bool scan_offset(struct scan *s, int *minutes)
{
	int h, m, sign;

	*minutes = 0;
	if (scan_char(s, "Zz"))
		return true;
	sign = s->p < s->end && *s->p == '-' ? -1 : 1;
	if (!scan_char(s, "+-"))
		return false;
	h = scan_digits(s, 2);
	if (h < 0 || h > 23 || !scan_char(s, ":"))
		return false;
	m = scan_digits(s, 2);
	if (m < 0 || m > 59)
		return false;
	*minutes = sign * (h * 60 + m);
	return true;
}

static bool date_valid(int year, int month, int day)
{
	static const signed char lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	if (year < 0 || month < 1 || month > 12 || day < 1)
		return false;
	return day <= lengths[month - 1] + (month == 2 && leap);
}

/* A leap second (:60) is read as the first second of the next minute, as POSIX time does. */
bool rfc3339_parse(const char *text, size_t n, int64_t *unix_ms)
{
	struct scan s = { text, text + n };
	int year, month = 0, day = 0, hour, minute, second, ms, offset;

	year = scan_digits(&s, 4);
	if (!scan_char(&s, "-") || (month = scan_digits(&s, 2)) < 0 || !scan_char(&s, "-"))
		return false;
	day = scan_digits(&s, 2);
	if (!date_valid(year, month, day) || !scan_char(&s, "Tt "))
		return false;
	hour = scan_digits(&s, 2);
	if (hour < 0 || hour > 23 || !scan_char(&s, ":"))
		return false;
	minute = scan_digits(&s, 2);
	if (minute < 0 || minute > 59 || !scan_char(&s, ":"))
		return false;
	second = scan_digits(&s, 2);
	if (second < 0 || second > 60 || !scan_fraction(&s, &ms) || !scan_offset(&s, &offset) ||
	    s.p != s.end)
		return false;
	*unix_ms = days_from_date(year, month, day) * DAY_MS +
		   ((hour * 60 + minute - offset) * 60 + second) * INT64_C(1000) + ms;
	return true;
}
