/*
 * sha256.h: SHA-256, streaming and at once.
 */
#ifndef LONGHAUL_SHA256_H
#define LONGHAUL_SHA256_H

#include <stddef.h>

#define SHA256_SIZE 32

struct sha256;

struct sha256 *sha256_new(void); /* owned by the caller until sha256_end or sha256_free */
void sha256_add(struct sha256 *h, const void *data, size_t len);
void sha256_end(struct sha256 *h, unsigned char out[SHA256_SIZE]); /* frees h */
void sha256_free(struct sha256 *h); /* without a digest; NULL is fine */
void sha256_of(const void *data, size_t len, unsigned char out[SHA256_SIZE]);

#endif
