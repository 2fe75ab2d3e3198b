/*
 * webhook_url.h: the URLs that clients may give as webhooks.
 *
 * The same check is made when a client names a URL, so that it is told what is wrong, and before each
 * try to deliver. Names are not resolved here: whoever connects asks netguard about each address.
 */
#ifndef LONGHAUL_WEBHOOK_URL_H
#define LONGHAUL_WEBHOOK_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "config.h"
#include "netguard.h"

#define WEBHOOK_URL_MAX 2048 /* bytes */
#define WEBHOOK_HOST_MAX 253

/* What the operator permits. */
struct webhook_guard {
	bool allow_http;
	struct netguard net;
};

/* From the configuration. False and a message in err if its list can't be read. */
bool webhook_guard_init(struct webhook_guard *g, const struct webhook_config *cfg, char *err,
			size_t errsize);
void webhook_guard_free(struct webhook_guard *g);

/* Where a URL leads. */
struct webhook_target {
	bool tls, is_address;
	bool refused; /* by the guard: the URL is fine, but for the address that it leads to */
	char host[WEBHOOK_HOST_MAX + 1]; /* lower case; an IPv6 address without its brackets */
	int port;
	struct sockaddr_storage addr; /* with the port, if the host is an address */
};

/* True if it may be a webhook; else *why says what is wrong, for the client: "the URL …". */
bool webhook_url_check(const char *url, const struct webhook_guard *g, const char **why);
/* The same, and where it leads. */
bool webhook_url_parse(const char *url, const struct webhook_guard *g, struct webhook_target *out,
		       const char **why);

#endif
