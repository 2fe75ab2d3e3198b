/*
 * host.h: whose address stands in our links, and who may send unsafe requests from a browser.
 */
#ifndef LONGHAUL_API_HOST_H
#define LONGHAUL_API_HOST_H

#include <stdbool.h>
#include <stddef.h>

struct request;

/* True for host[:port] of a strict pattern: a DNS name, an IPv4 address or an IPv6 address in
 * brackets. */
bool host_valid(const char *text);
/* True for http:// or https://, a valid host and maybe a path, without '/' at the end, query or
 * fragment: what [api] base_url may be. */
bool base_url_valid(const char *text);
/* What stands behind the path of `base_url` in a request's path; the path itself if it isn't below. */
const char *base_path_strip(const char *path, const char *base_url);
/* The address that links begin with: the configured one, or else scheme and Host of the request.
 * NULL if the Host is absent, doubled or malformed. Belongs to the request. */
const char *base_url_of(struct request *req);
/* True if a browser's Origin is that of the base url: same scheme, host and port. */
bool origin_is_ours(const char *origin, const char *base_url);

#endif
