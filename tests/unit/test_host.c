/*
 * test_host.c: hosts, base URLs, origins.
 * links: api/host.c
 */
#include "test.h"

#include "api/app.h"
#include "api/host.h"
#include "api/http.h"

struct app app;
static struct api_config cfg;
static const char *host, *scheme, *https;
static int hosts;

const char *req_param(const struct request *req, const char *name, int *count)
{
	(void)req;
	if (strcmp(name, "REQUEST_SCHEME") == 0)
		return scheme;
	if (strcmp(name, "HTTPS") == 0)
		return https;
	assert_string_equal(name, "HTTP_HOST");
	*count = hosts;
	return host;
}

char *req_printf(struct request *req, const char *fmt, ...)
{
	static char text[512];
	va_list args;

	(void)req;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return text;
}

static void hosts_of_a_strict_pattern(void **state)
{
	static const char *const good[] = {
		"a",       "api.example.com",       "API.Example.Com:8443", "127.0.0.1:8202",
		"[::1]",   "[2001:db8::1]:80",      "my_service",           "a:1",
		"a:65535", "xn--bcher-kva.example."
	};
	static const char *const bad[] = { "",
					   ":80",
					   "a:",
					   "a:0",
					   "a:65536",
					   "a:123456",
					   "a:1x",
					   "a b",
					   "a/b",
					   "a@b",
					   "a\\b",
					   ".a",
					   "-a",
					   "a..b",
					   "[::1",
					   "::1",
					   "[]",
					   "[12]",
					   "[g::1]",
					   "[::1]x",
					   "a,b",
					   "a\"",
					   "a<b>",
					   "a%41",
					   "b\xc3\xbc"
					   "cher",
					   "a\r\nb",
					   "a#b",
					   "a?b" };
	char longest[300];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!host_valid(good[i]))
			fail_msg("refused: %s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (host_valid(bad[i]))
			fail_msg("taken: %s", bad[i]);
	memset(longest, 'a', sizeof(longest));
	longest[254] = '\0';
	assert_false(host_valid(longest));
	longest[253] = '\0';
	assert_true(host_valid(longest));
}

static void base_urls(void **state)
{
	static const char *const good[] = { "http://a", "https://api.example.com",
					    "https://a:8443/x/y.z", "HTTPS://[::1]:1/a" };
	static const char *const bad[] = { "",
					   "a",
					   "ftp://a",
					   "http://",
					   "https://a/",
					   "https://a/b/",
					   "https://a//b",
					   "https://a/b?c",
					   "https://a/b#c",
					   "https://a/b c",
					   "https://u@a",
					   "https://a/%41",
					   "https:///x",
					   "https://a:/x",
					   "http:/a" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!base_url_valid(good[i]))
			fail_msg("refused: %s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (base_url_valid(bad[i]))
			fail_msg("taken: %s", bad[i]);
}

static void the_path_of_a_base_url_is_taken_off(void **state)
{
	(void)state;
	assert_string_equal(base_path_strip("/v1/jobs", ""), "/v1/jobs");
	assert_string_equal(base_path_strip("/v1/jobs", "https://a"), "/v1/jobs");
	assert_string_equal(base_path_strip("/x/y/v1/jobs", "https://a/x/y"), "/v1/jobs");
	assert_string_equal(base_path_strip("/x/yz/v1", "https://a/x/y"), "/x/yz/v1");
	assert_string_equal(base_path_strip("/healthz", "https://a/x"), "/healthz");
	assert_string_equal(base_path_strip("/x", "https://a/x"), "/x");
}

static void where_links_begin(void **state)
{
	(void)state;
	app.cfg = &cfg;
	cfg.base_url = (char *)"";
	hosts = 1;
	host = "h:1";
	scheme = "https";
	assert_string_equal(base_url_of(NULL), "https://h:1");
	scheme = NULL;
	assert_string_equal(base_url_of(NULL), "http://h:1");
	https = "on";
	assert_string_equal(base_url_of(NULL), "https://h:1");
	scheme = "javascript";
	assert_null(base_url_of(NULL));
	scheme = "http";
	hosts = 2;
	assert_null(base_url_of(NULL));
	hosts = 1;
	host = "h/evil";
	assert_null(base_url_of(NULL));
	cfg.base_url = (char *)"https://set/x";
	assert_string_equal(base_url_of(NULL), "https://set/x");
}

static void origins(void **state)
{
	(void)state;
	assert_true(origin_is_ours("https://a.example", "https://a.example"));
	assert_true(origin_is_ours("https://A.example:443", "https://a.example/path"));
	assert_true(origin_is_ours("http://a", "http://a:80"));
	assert_true(origin_is_ours("http://[::1]:8202", "http://[::1]:8202"));
	assert_false(origin_is_ours("null", "https://a.example"));
	assert_false(origin_is_ours("", "https://a.example"));
	assert_false(origin_is_ours("http://a.example", "https://a.example"));
	assert_false(origin_is_ours("https://a.example:444", "https://a.example"));
	assert_false(origin_is_ours("https://a.example.evil", "https://a.example"));
	assert_false(origin_is_ours("https://evil-a.example", "https://a.example"));
	assert_false(origin_is_ours("https://a.exampl", "https://a.example"));
	assert_false(origin_is_ours("https://a.example@evil", "https://a.example"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_of_a_strict_pattern),
		cmocka_unit_test(base_urls),
		cmocka_unit_test(the_path_of_a_base_url_is_taken_off),
		cmocka_unit_test(where_links_begin),
		cmocka_unit_test(origins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
