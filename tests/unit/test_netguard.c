/*
 * test_netguard.c: which addresses are refused, at the borders of each range, and exceptions.
 */
#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "common/netguard.h"

static struct sockaddr_storage address(const char *text)
{
	struct sockaddr_storage s = { 0 };

	if (strchr(text, ':')) {
		s.ss_family = AF_INET6;
		assert_int_equal(inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)&s)->sin6_addr),
				 1);
	} else {
		s.ss_family = AF_INET;
		assert_int_equal(inet_pton(AF_INET, text, &((struct sockaddr_in *)&s)->sin_addr),
				 1);
	}
	return s;
}

static const char *refused(const struct netguard *g, const char *text)
{
	struct sockaddr_storage s = address(text);

	return netguard_refuses(g, (struct sockaddr *)&s);
}

/* The addresses around and inside each range: "-" is refused, "+" is not. */
static const char *const borders[] = {
	"-0.0.0.0",
	"-0.255.255.255",
	"+1.0.0.0",
	"+9.255.255.255",
	"-10.0.0.0",
	"-10.255.255.255",
	"+11.0.0.0",
	"+100.63.255.255",
	"-100.64.0.0",
	"-100.127.255.255",
	"+100.128.0.0",
	"+126.255.255.255",
	"-127.0.0.0",
	"-127.0.0.1",
	"-127.255.255.255",
	"+128.0.0.0",
	"+169.253.255.255",
	"-169.254.0.0",
	"-169.254.169.254",
	"-169.254.255.255",
	"+169.255.0.0",
	"+172.15.255.255",
	"-172.16.0.0",
	"-172.31.255.255",
	"+172.32.0.0",
	"+191.255.255.255",
	"-192.0.0.0",
	"-192.0.0.255",
	"+192.0.1.0",
	"+192.0.1.255",
	"-192.0.2.0",
	"-192.0.2.255",
	"+192.0.3.0",
	"+192.31.195.255",
	"-192.31.196.0",
	"-192.31.196.255",
	"+192.31.197.0",
	"+192.52.192.255",
	"-192.52.193.0",
	"-192.52.193.255",
	"+192.52.194.0",
	"+192.88.98.255",
	"-192.88.99.0",
	"-192.88.99.255",
	"+192.88.100.0",
	"+192.167.255.255",
	"-192.168.0.0",
	"-192.168.255.255",
	"+192.169.0.0",
	"+192.175.47.255",
	"-192.175.48.0",
	"-192.175.48.255",
	"+192.175.49.0",
	"+198.17.255.255",
	"-198.18.0.0",
	"-198.19.255.255",
	"+198.20.0.0",
	"+198.51.99.255",
	"-198.51.100.0",
	"-198.51.100.255",
	"+198.51.101.0",
	"+203.0.112.255",
	"-203.0.113.0",
	"-203.0.113.255",
	"+203.0.114.0",
	"+223.255.255.255",
	"-224.0.0.0",
	"-239.255.255.255",
	"-240.0.0.0",
	"-255.255.255.255",
	"+8.8.8.8",
	/* everything outside of 2000::/3 */
	"-::",
	"-::1",
	"-::2",
	"-::127.0.0.1",
	"-::8.8.8.8",
	"-::ffff:0.0.0.0",
	"-::ffff:8.8.8.8",
	"-::ffff:0:8.8.8.8",
	"-64:ff9b::808:808",
	"-64:ff9b:1::808:808",
	"-64:ff9b:2::1",
	"-100::1",
	"-100:0:0:1::1",
	"-1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	"+2000::",
	"+2003::1",
	"+3ffe:ffff::1",
	"-4000::",
	"-5f00::1",
	"-fbff::1",
	"-fc00::",
	"-fd12:3456::1",
	"-fdff:ffff::",
	"-fe00::1",
	"-fe80::1",
	"-febf:ffff::1",
	"-fec0::1",
	"-feff:ffff::1",
	"-ff00::",
	"-ff02::1",
	"-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	/* and what is special inside */
	"+2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	"-2001::",
	"-2001:0:4136:e378:8000:63bf:3fff:fdd2",
	"-2001:2::1",
	"-2001:10::1",
	"-2001:20::1",
	"-2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
	"+2001:200::",
	"+2001:db7:ffff::",
	"-2001:db8::",
	"-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
	"+2001:db9::",
	"+2001:ffff::1",
	"-2002::",
	"-2002:7f00:1::",
	"-2002:ffff:ffff::1",
	"+2003::",
	"+2620:4f:7fff::1",
	"-2620:4f:8000::",
	"-2620:4f:8000:ffff::1",
	"+2620:4f:8001::",
	"+3ffe::1",
	"-3fff::",
	"-3fff:fff:ffff::1",
	"+3fff:1000::",
	"+3fff:ffff::1",
	"+2606:4700::1111",
};

static void test_borders(void **state)
{
	static const struct netguard none;

	(void)state;
	for (size_t i = 0; i < sizeof(borders) / sizeof(borders[0]); i++) {
		const char *why = refused(&none, borders[i] + 1);

		if ((why != NULL) != (borders[i][0] == '-'))
			fail_msg("%s: %s", borders[i], why ? why : "not refused");
	}
}

static void test_kinds(void **state)
{
	static const struct netguard none;
	struct sockaddr_storage s = { .ss_family = AF_UNIX };

	(void)state;
	assert_string_equal(refused(&none, "::1"), "loopback");
	assert_string_equal(refused(&none, "::"), "unspecified");
	assert_string_equal(refused(&none, "::ffff:1.2.3.4"), "IPv4-mapped");
	assert_string_equal(refused(&none, "::1.2.3.4"), "IPv4-compatible");
	assert_string_equal(refused(&none, "64:ff9b::1"), "NAT64");
	assert_string_equal(refused(&none, "fd00::1"), "unique local");
	assert_string_equal(refused(&none, "100.100.1.1"), "shared (CGNAT)");
	assert_non_null(netguard_refuses(&none, (struct sockaddr *)&s));
}

static void test_exceptions(void **state)
{
	struct netguard g = { 0 };
	char err[100] = "";

	(void)state;
	assert_true(netguard_parse(&g, " 127.0.0.0/8,fd00:12::/32\t10.1.2.3 ", err, sizeof(err)));
	assert_int_equal(g.n, 3);
	assert_null(refused(&g, "127.1.2.3"));
	assert_null(refused(&g, "fd00:12::1"));
	assert_non_null(refused(&g, "fd00:13::1"));
	assert_null(refused(&g, "10.1.2.3"));
	assert_non_null(refused(&g, "10.1.2.4"));
	/* An exception is for the address as it is written. */
	assert_non_null(refused(&g, "::ffff:127.0.0.1"));
	assert_true(netguard_parse(&g, "0.0.0.0/0", err, sizeof(err)));
	assert_null(refused(&g, "255.255.255.255"));
	assert_non_null(refused(&g, "::1"));
	assert_true(netguard_parse(&g, "", err, sizeof(err)));
	assert_non_null(refused(&g, "127.0.0.1"));
	netguard_free(&g);
}

static void test_bad_exceptions(void **state)
{
	static const char *const bad[] = { "localhost",   "10.0.0.0/33", "::/129",
					   "10.0.0.0/",   "10.0.0.0/-1", "10.0.0/8",
					   "10.0.0.0/8x", "10.0.0.1 /8", "1/2/3" };
	struct netguard g = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char err[100] = "";

		assert_false(netguard_parse(&g, bad[i], err, sizeof(err)));
		assert_string_not_equal(err, "");
	}
	netguard_free(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_borders),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_exceptions),
		cmocka_unit_test(test_bad_exceptions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
