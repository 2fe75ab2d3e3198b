/*
 * test_times.c: times against the C library, RFC 3339 in its corners.
 */
#include "test.h"

#include <time.h>

#include "common/times.h"

static void formats_like_the_c_library(void **state)
{
	(void)state;
	/* Steps that share no factor with days, so that all fields vary; 1600 to 2400. */
	for (int64_t ms = INT64_C(-11676096000000); ms < INT64_C(13569465600000);
	     ms += INT64_C(98765432101)) {
		int64_t sec = ms >= 0 ? ms / 1000 : -((-ms + 999) / 1000);
		time_t t = (time_t)sec;
		char out[RFC3339_TEXT], date[HTTP_DATE_TEXT], want[64], base[40];
		struct tm tm;
		int64_t back;

		gmtime_r(&t, &tm);
		strftime(base, sizeof(base), "%Y-%m-%dT%H:%M:%S", &tm);
		snprintf(want, sizeof(want), "%s.%03dZ", base, (int)(ms - sec * 1000));
		rfc3339_format(ms, out);
		assert_string_equal(out, want);
		assert_true(rfc3339_parse(out, strlen(out), &back));
		assert_int_equal(back, ms);
		strftime(want, sizeof(want), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		http_date_format(ms, date);
		assert_string_equal(date, want);
	}
}

static void clamps_what_has_no_four_digit_year(void **state)
{
	char out[RFC3339_TEXT];

	(void)state;
	rfc3339_format(INT64_MAX, out);
	assert_string_equal(out, "9999-12-31T23:59:59.999Z");
	rfc3339_format(INT64_MIN, out);
	assert_string_equal(out, "0000-01-01T00:00:00.000Z");
}

static void parses(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "1970-01-01t00:00:00z", 0 },
		{ "1970-01-01 00:00:00Z", 0 },
		{ "2026-10-02T10:58:12.114Z", 1790938692114 },
		{ "2026-10-02T12:58:12.114+02:00", 1790938692114 },
		{ "2026-10-02T05:28:12.114-05:30", 1790938692114 },
		{ "2026-10-02T10:58:12.1149999999999999999999Z", 1790938692114 },
		{ "2026-10-02T10:58:12.1Z", 1790938692100 },
		{ "2000-02-29T23:59:59Z", 951868799000 },
		{ "2016-12-31T23:59:60Z", 1483228800000 },
		{ "1969-12-31T23:59:59.999Z", -1 },
		{ "2026-10-02T10:58:12-00:00", 1790938692000 },
	};
	int64_t ms;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(rfc3339_parse(good[i].text, strlen(good[i].text), &ms));
		assert_int_equal(ms, good[i].ms);
	}
}

static void refuses(void **state)
{
	static const char *const bad[] = { "",
					   "2026",
					   "2026-10-02",
					   "2026-10-02T10:58:12",
					   "2026-10-02T10:58Z",
					   "2026-10-02T10:58:12.Z",
					   "2026-10-02T10:58:12,5Z",
					   "2026-13-02T10:58:12Z",
					   "2026-00-02T10:58:12Z",
					   "2026-02-29T10:58:12Z",
					   "1900-02-29T10:58:12Z",
					   "2026-04-31T10:58:12Z",
					   "2026-10-00T10:58:12Z",
					   "2026-10-02T24:00:00Z",
					   "2026-10-02T10:60:12Z",
					   "2026-10-02T10:58:61Z",
					   "2026-10-02T10:58:12+24:00",
					   "2026-10-02T10:58:12+02",
					   "2026-10-02T10:58:12+0200",
					   "2026-10-02T10:58:12Z ",
					   " 2026-10-02T10:58:12Z",
					   "2026-10-02T10:58:12ZZ",
					   "+026-10-02T10:58:12Z",
					   "2026-1-02T10:58:12Z",
					   "tomorrow",
					   "1790938692",
					   "-2026-10-02T10:58:12Z",
					   "2026-10-02X10:58:12Z" };
	int64_t ms;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(rfc3339_parse(bad[i], strlen(bad[i]), &ms));
	/* The length counts, not a NUL; and nothing behind it is read. */
	assert_false(rfc3339_parse("2026-10-02T10:58:12\0Z", 21, &ms));
	assert_true(rfc3339_parse("2026-10-02T10:58:12Zgarbage", 20, &ms));
}

static void postgres_times(void **state)
{
	(void)state;
	assert_int_equal(pg_us_to_unix_ms(0), 946684800000);
	assert_int_equal(unix_ms_to_pg_us(946684800000), 0);
	assert_int_equal(pg_us_to_unix_ms(-1), 946684799999);
	assert_int_equal(pg_us_to_unix_ms(1999), 946684800001);
	assert_int_equal(pg_us_to_unix_ms(unix_ms_to_pg_us(1790938692114)), 1790938692114);
	assert_true(unix_ms_to_pg_us(INT64_MAX) == INT64_MAX);
	assert_true(unix_ms_to_pg_us(INT64_MIN) == INT64_MIN);
}

static void clocks_run(void **state)
{
	int64_t a = mono_ms();

	(void)state;
	assert_true(mono_ms() >= a);
	assert_true(now_ms() > INT64_C(1600000000000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats_like_the_c_library),
		cmocka_unit_test(clamps_what_has_no_four_digit_year),
		cmocka_unit_test(parses),
		cmocka_unit_test(refuses),
		cmocka_unit_test(postgres_times),
		cmocka_unit_test(clocks_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
