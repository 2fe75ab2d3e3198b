/*
 * webhook_sign.h: signatures of Standard Webhooks 1.0.0.
 */
#ifndef LONGHAUL_WEBHOOK_SIGN_H
#define LONGHAUL_WEBHOOK_SIGN_H

#include <stddef.h>
#include <stdint.h>

#define WEBHOOK_SIGNATURE 48 /* "v1,", 44 characters and a NUL */

/* The signature of a payload that is sent as `id` at that time (Unix seconds): HMAC-SHA256 of
 * "id.timestamp.payload". */
void webhook_sign(const char *id, int64_t timestamp, const char *payload, size_t payload_len,
		  const unsigned char *secret, size_t secret_len, char out[WEBHOOK_SIGNATURE]);

#endif
