/*
 * host.c: strict patterns for Host and base URL, and the comparison of origins.
 */
#include "api/host.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/app.h"
#include "api/http.h"
#include "common/text.h"

#define HOST_MAX 253
#define DNS_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
#define IPV6_CHARS "0123456789abcdefABCDEF:."

/* The length of a host name or address at the begin of text; 0 if there is none. */
static size_t host_length(const char *text)
{
	size_t n;

	if (*text == '[') {
		n = strspn(text + 1, IPV6_CHARS);
		return n >= 2 && n <= 45 && memchr(text + 1, ':', n) && text[n + 1] == ']' ? n + 2
											   : 0;
	}
	n = strspn(text, DNS_CHARS);
	if (n > HOST_MAX || text[0] == '.' || text[0] == '-')
		return 0;
	for (size_t i = 1; i < n; i++)
		if (text[i] == '.' && text[i - 1] == '.')
			return 0;
	return n;
}

/* The length of host[:port] at the begin of text, which must end there or at a '/'; 0 if malformed. */
static size_t authority_length(const char *text)
{
	size_t n = host_length(text), digits;

	if (n == 0)
		return 0;
	if (text[n] == ':') {
		digits = text_port(text + n + 1);
		if (digits == 0)
			return 0;
		n += 1 + digits;
	}
	return text[n] == '\0' || text[n] == '/' ? n : 0;
}

bool host_valid(const char *text)
{
	size_t n = authority_length(text);

	return n > 0 && text[n] == '\0';
}

/* The length of "http://" or "https://" at the begin of text; 0 for anything else. */
static size_t scheme_length(const char *text)
{
	if (strncasecmp(text, "https://", 8) == 0)
		return 8;
	return strncasecmp(text, "http://", 7) == 0 ? 7 : 0;
}

/* The path of a base url, "" if it has none. */
static const char *base_path(const char *base_url)
{
	const char *slash;

	if (!*base_url)
		return "";
	slash = strchr(base_url + scheme_length(base_url), '/');
	return slash ? slash : "";
}

bool base_url_valid(const char *text)
{
	size_t scheme = scheme_length(text);
	const char *path;

	if (scheme == 0 || authority_length(text + scheme) == 0)
		return false;
	for (path = base_path(text); *path; path++)
		if (*path <= ' ' || *path >= 127 || strchr("\"<>\\^`{|}?#%", *path) ||
		    (*path == '/' && (path[1] == '/' || path[1] == '\0')))
			return false;
	return true;
}

const char *base_path_strip(const char *path, const char *base_url)
{
	const char *prefix = base_path(base_url);
	size_t n = strlen(prefix);

	return n > 0 && strncmp(path, prefix, n) == 0 && path[n] == '/' ? path + n : path;
}

const char *base_url_of(struct request *req)
{
	const char *scheme = req_param(req, "REQUEST_SCHEME", NULL);
	const char *https = req_param(req, "HTTPS", NULL);
	const char *host;
	int count;

	if (*app.cfg->base_url)
		return app.cfg->base_url;
	host = req_param(req, "HTTP_HOST", &count);
	if (count != 1 || !host_valid(host))
		return NULL;
	if (!scheme || !*scheme)
		scheme = https && strcasecmp(https, "on") == 0 ? "https" : "http";
	if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
		return NULL;
	return req_printf(req, "%s://%s", scheme, host);
}

struct origin {
	size_t scheme; /* its length */
	const char *host;
	size_t host_len;
	long port;
};

/* Takes scheme, host and port apart; false if it isn't an http origin. */
static bool origin_read(const char *text, struct origin *out)
{
	out->scheme = scheme_length(text);
	if (out->scheme == 0 || authority_length(text + out->scheme) == 0)
		return false;
	out->host = text + out->scheme;
	out->host_len = host_length(out->host);
	out->port = out->scheme == 8 ? 443 : 80;
	if (out->host[out->host_len] == ':')
		out->port = atol(out->host + out->host_len + 1);
	return true;
}

bool origin_is_ours(const char *origin, const char *base_url)
{
	struct origin theirs, ours;

	return origin_read(origin, &theirs) && origin_read(base_url, &ours) &&
	       theirs.scheme == ours.scheme && theirs.port == ours.port &&
	       theirs.host_len == ours.host_len &&
	       strncasecmp(theirs.host, ours.host, ours.host_len) == 0;
}
