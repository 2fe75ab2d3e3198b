/*
 * test_webhook_sign.c: signatures against values that other tools have computed.
 */
#include "test.h"

#include "common/webhook_sign.h"

/* The example of the libraries of Standard Webhooks: secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw. */
static void test_known(void **state)
{
	static const unsigned char secret[] = { 0x31, 0xf2, 0x90, 0xf6, 0xbf, 0x06, 0x29, 0x8a,
						0xab, 0x4f, 0x08, 0xd4, 0x3c, 0x3f, 0x08, 0x2c,
						0xf6, 0x48, 0xa3, 0x62, 0xda, 0x2d, 0xa4, 0xb0 };
	static const char payload[] = "{\"test\": 2432232314}";
	char out[WEBHOOK_SIGNATURE];

	(void)state;
	webhook_sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, payload, sizeof(payload) - 1,
		     secret, sizeof(secret), out);
	assert_string_equal(out, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

/* What openssl and Python say: see the command. The payload is signed as the bytes that it is. */
static void test_bytes(void **state)
{
	/* { printf '0192.1700000000.'; printf 'a\0\303\274\n'; } |
	 *	openssl dgst -sha256 -mac HMAC -macopt hexkey:$(printf '00%.0s' $(seq 32)) -binary | base64 */
	static const unsigned char secret[32];
	static const char payload[] = "a\0\xc3\xbc\n";
	char out[WEBHOOK_SIGNATURE];

	(void)state;
	webhook_sign("0192", 1700000000, payload, 5, secret, sizeof(secret), out);
	assert_string_equal(out, "v1,3sKeGmShLgiWBHW7JIm/GL5Kc5GdggDY2316zrPIp8Q=");
	webhook_sign("0192", 1700000000, "", 0, secret, sizeof(secret), out);
	assert_string_equal(out, "v1,O0Kk6nLNqyE2we6NyHUGLYoG8FLuU4JUlUsJDe65rgE=");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
