/*
 * test_webhook_url.c: which URLs may be webhooks, and what a client is told of the others.
 */
#include "test.h"

#include <netinet/in.h>

#include "common/mem.h"
#include "common/webhook_url.h"

static struct webhook_guard strict, open_http, with_loopback;

static bool good(const struct webhook_guard *g, const char *url)
{
	const char *why = NULL;
	bool ok = webhook_url_check(url, g, &why);

	assert_true(ok == (why == NULL));
	return ok;
}

static void refused(const struct webhook_guard *g, const char *url, const char *words)
{
	const char *why = NULL;

	if (webhook_url_check(url, g, &why))
		fail_msg("accepted: %s", url);
	if (!strstr(why, words))
		fail_msg("%s: \"%s\" does not say \"%s\"", url, why, words);
}

static void test_good(void **state)
{
	static const char *const urls[] = {
		"https://example.com",
		"https://example.com/",
		"HTTPS://Example.COM/Hook",
		"https://example.com:8443/hooks/a?b=c&d=%20",
		"https://hooks_1.example.com./x",
		"https://a/",
		"https://example.com/@user",
		"https://example.com/?a@b:c",
		"https://8.8.8.8/hook",
		"https://[2606:4700::1111]:65535/",
		"https://xn--bcher-kva.example/",
		"https://4.example.4x/",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
		if (!good(&strict, urls[i]))
			fail_msg("refused: %s", urls[i]);
	assert_true(good(&open_http, "http://example.com/"));
}

static void test_bad(void **state)
{
	(void)state;
	refused(&strict, "", "empty");
	refused(&strict, "example.com/hook", "absolute");
	refused(&strict, "https:/example.com", "absolute");
	refused(&strict, "https:///example.com", "absolute");
	refused(&strict, "//example.com/", "absolute");
	refused(&strict, "http://example.com/", "http is not permitted");
	refused(&open_http, "ftp://example.com/", "begin with https");
	refused(&open_http, "file://example.com/etc/passwd", "malformed");
	refused(&open_http, "gopher://example.com/", "begin with https");
	refused(&open_http, "javascript://example.com/", "begin with https");
	refused(&strict, "https://user@example.com/", "user");
	refused(&strict, "https://user:pw@example.com/", "user");
	refused(&strict, "https://@example.com/", "user");
	refused(&strict, "https://example.com\\@evil.example/", "backslashes");
	refused(&strict, "https://example.com/#here", "fragment");
	refused(&strict, "https://example.com#@evil.example", "fragment");
	refused(&strict, "https://exa mple.com/", "blanks");
	refused(&strict, "https://example.com/a\r\nHost: b", "control");
	refused(&strict, "https://example.com/\t", "control");
	refused(&strict, "https://example.com/\x7f", "control");
	refused(&strict,
		"https://b\xc3\xbc"
		"cher.example/",
		"xn--");
	refused(&strict, "https://ex%61mple.com/", "encoded");
	refused(&strict, "https://%31%32%37.0.0.1/", "encoded");
	refused(&strict, "https://[fe80::1%25lo]/", "encoded");
	refused(&strict, "https://example.com:0/", "port");
	refused(&strict, "https://example.com:65536/", "malformed");
	refused(&strict, "https://example.com:x/", "malformed");
	refused(&strict, "https://example.com:-1/", "malformed");
	refused(&strict, "https://:443/", "malformed");
	refused(&strict, "https://?a", "malformed");
	refused(&strict, "https://a..b/", "neither");
	refused(&strict, "https://.a/", "neither");
	refused(&strict, "https://a,b/", "URL");
	refused(&strict, "https://1.2.3.4.5/", "neither");
	refused(&strict, "https://256.1.1.1/", "neither");
	refused(&strict, "https://8.8.8.8./", "neither");
	refused(&strict, "https://4294967296/", "neither");
	refused(&strict, "https://0x100000000/", "neither");
	refused(&strict, "https://a.0x7f/", "neither");
}

static void test_long(void **state)
{
	char url[WEBHOOK_URL_MAX + 2], host[400];

	(void)state;
	memset(url, 'a', sizeof(url));
	memcpy(url, "https://example.com/", 20);
	url[WEBHOOK_URL_MAX + 1] = '\0';
	refused(&strict, url, "2048");
	url[WEBHOOK_URL_MAX] = '\0';
	assert_true(good(&strict, url));

	memset(host, 'a', sizeof(host));
	memcpy(host, "https://", 8);
	host[8 + 63] = '\0';
	assert_true(good(&strict, host));
	host[8 + 63] = 'a';
	host[8 + 64] = '\0';
	refused(&strict, host, "neither");
	host[8 + 64] = 'a';
	for (int i = 8 + 50; i < 300; i += 50)
		host[i] = '.';
	host[8 + WEBHOOK_HOST_MAX] = '\0';
	assert_true(good(&strict, host));
	host[8 + WEBHOOK_HOST_MAX] = 'a';
	host[8 + WEBHOOK_HOST_MAX + 1] = '\0';
	refused(&strict, host, "too long");
}

static void test_addresses(void **state)
{
	/* Also loopback in the spellings that a browser takes. */
	static const char *const hosts[] = {
		"10.0.0.1",  "192.168.1.1", "169.254.169.254",  "[::1]",
		"[::]",      "[fd00::1]",   "[::ffff:8.8.8.8]", "[2002:7f00:1::]",
		"0",         "127.0.0.1",   "0x7f000001",       "017700000001",
		"127.1",     "2130706433",  "0X7F.0.0.0x1",     "0177.0.0.01",
		"LOCALHOST", "localhost.",  "x.localhost",      "[0:0:0:0:0:0:0:1]",
	};
	char url[100];

	(void)state;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		snprintf(url, sizeof(url), "https://%s:8443/x", hosts[i]);
		refused(&strict, url, "must not be sent to");
	}
	assert_true(good(&with_loopback, "http://127.0.0.1:8443/x"));
	assert_true(good(&with_loopback, "http://2130706433/"));
	assert_true(good(&with_loopback, "http://localhost/"));
	refused(&with_loopback, "http://[::1]/", "must not be sent to");
	refused(&with_loopback, "http://10.0.0.1/", "must not be sent to");
}

static void test_target(void **state)
{
	struct webhook_target t;
	const char *why;

	(void)state;
	assert_true(webhook_url_parse("https://Example.com/x", &strict, &t, &why));
	assert_true(t.tls && !t.is_address);
	assert_string_equal(t.host, "example.com");
	assert_int_equal(t.port, 443);

	assert_true(webhook_url_parse("http://0x7f000001:81/x", &with_loopback, &t, &why));
	assert_true(!t.tls && t.is_address);
	assert_string_equal(t.host, "127.0.0.1");
	assert_int_equal(t.port, 81);
	assert_int_equal(t.addr.ss_family, AF_INET);
	assert_int_equal(ntohs(((struct sockaddr_in *)&t.addr)->sin_port), 81);

	assert_true(webhook_url_parse("https://[2606:4700::1111]/", &strict, &t, &why));
	assert_string_equal(t.host, "2606:4700::1111");
	assert_int_equal(t.addr.ss_family, AF_INET6);
}

static int set_up(void **state)
{
	struct webhook_config cfg = { .allow = mem_strdup("") };
	char err[100];
	bool ok;

	(void)state;
	ok = webhook_guard_init(&strict, &cfg, err, sizeof(err));
	cfg.allow_http = true;
	ok = ok && webhook_guard_init(&open_http, &cfg, err, sizeof(err));
	free(cfg.allow);
	cfg.allow = mem_strdup("127.0.0.0/8");
	ok = ok && webhook_guard_init(&with_loopback, &cfg, err, sizeof(err));
	free(cfg.allow);
	return ok ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	webhook_guard_free(&strict);
	webhook_guard_free(&open_http);
	webhook_guard_free(&with_loopback);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),   cmocka_unit_test(test_bad),
		cmocka_unit_test(test_long),   cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_target),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
