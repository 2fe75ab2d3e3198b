/*
 * webhook_sign.c: signatures of webhooks, by libcrypto.
 */
#include "webhook_sign.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "buf.h"
#include "exit_codes.h"
#include "log.h"
#include "sha256.h"

void webhook_sign(const char *id, int64_t timestamp, const char *payload, size_t payload_len,
		  const unsigned char *secret, size_t secret_len, char out[WEBHOOK_SIGNATURE])
{
	unsigned char mac[SHA256_SIZE];
	struct buf signed_text = { 0 };

	/* Without it nothing can be sent: a service manager may do better with a new process. */
	if (!buf_addf(&signed_text, "%s.%" PRId64 ".", id, timestamp) ||
	    !buf_add(&signed_text, payload, payload_len) ||
	    !HMAC(EVP_sha256(), secret, (int)secret_len, (unsigned char *)signed_text.data,
		  signed_text.len, mac, NULL)) {
		log_error("libcrypto can't sign");
		exit(EXIT_INTERNAL);
	}
	memcpy(out, "v1,", 3);
	EVP_EncodeBlock((unsigned char *)out + 3, mac, sizeof(mac));
	buf_free(&signed_text);
}
