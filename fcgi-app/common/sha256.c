/*
 * sha256.c: SHA-256 by libcrypto.
 */
#include "sha256.h"

#include <stdlib.h>

#include <openssl/evp.h>

#include "exit_codes.h"
#include "log.h"
#include "mem.h"

struct sha256 {
	EVP_MD_CTX *ctx;
};

/* libcrypto refuses SHA-256 only when it is broken or out of memory. */
static void must(int ok)
{
	if (ok == 1)
		return;
	log_error("libcrypto can't compute SHA-256");
	exit(EXIT_INTERNAL);
}

struct sha256 *sha256_new(void)
{
	struct sha256 *h = mem_zalloc(sizeof(*h));

	h->ctx = EVP_MD_CTX_new();
	must(h->ctx != NULL && EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL));
	return h;
}

void sha256_add(struct sha256 *h, const void *data, size_t len)
{
	must(EVP_DigestUpdate(h->ctx, data, len));
}

void sha256_end(struct sha256 *h, unsigned char out[SHA256_SIZE])
{
	must(EVP_DigestFinal_ex(h->ctx, out, NULL));
	sha256_free(h);
}

void sha256_free(struct sha256 *h)
{
	if (h == NULL)
		return;
	EVP_MD_CTX_free(h->ctx);
	free(h);
}

void sha256_of(const void *data, size_t len, unsigned char out[SHA256_SIZE])
{
	must(EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL));
}
