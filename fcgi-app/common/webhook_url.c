/*
 * webhook_url.c: takes a webhook's URL apart with libcurl, as the transfer will, and leaves nothing
 * over which two parsers could disagree.
 */
#include "webhook_url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

bool webhook_guard_init(struct webhook_guard *g, const struct webhook_config *cfg, char *err,
			size_t errsize)
{
	g->allow_http = cfg->allow_http;
	return netguard_parse(&g->net, cfg->allow, err, errsize);
}

void webhook_guard_free(struct webhook_guard *g)
{
	netguard_free(&g->net);
}

/* What can be said before it is taken apart: odd characters are where parsers differ. NULL = fine. */
static const char *plain_enough(const char *url)
{
	const char *authority = strstr(url, "://"), *end;

	if (*url == '\0')
		return "the URL is empty";
	if (strlen(url) > WEBHOOK_URL_MAX)
		return "the URL must not be longer than 2048 bytes";
	for (const char *p = url; *p; p++)
		if (*p <= ' ' || *p >= 0x7f || *p == '\\')
			return "the URL must not have blanks, control characters, backslashes or characters beyond "
			       "ASCII (encode them, and a host name as xn--…)";
	if (!authority || authority[3] == '/')
		return "the URL must be absolute: https://host/path";
	if (strchr(url, '#'))
		return "the URL must not have a fragment";
	authority += 3;
	end = authority + strcspn(authority, "/?");
	if (memchr(authority, '@', (size_t)(end - authority)))
		return "the URL must not have a user or password";
	if (memchr(authority, '%', (size_t)(end - authority)))
		return "the host of the URL must not be encoded";
	return NULL;
}

/* A part of the URL, "" if it has none. The result is curl_free()d. */
static char *part(CURLU *u, CURLUPart what, unsigned int flags)
{
	char *s = NULL;

	return curl_url_get(u, what, &s, flags) == CURLUE_OK ? s : NULL;
}

/* Letters, digits, '-' and '_' in labels of 1 to 63; the last one's dot may be there. */
static bool is_name(const char *host)
{
	size_t label = 0;

	for (const char *p = host; *p; p++) {
		if (*p == '.' && label == 0)
			return false;
		label = *p == '.' ? 0 : label + 1;
		if (label > 63 ||
		    (*p != '.' && *p != '-' && *p != '_' && !isalnum((unsigned char)*p)))
			return false;
	}
	return *host != '\0';
}

/* A name that ends in a number is an IPv4 address to some resolvers: "127.0.0.1.", "1.2.3.4.5". */
static bool ends_in_number(const char *host)
{
	size_t n = strlen(host), at;

	if (n > 0 && host[n - 1] == '.')
		n--;
	for (at = n; at > 0 && host[at - 1] != '.'; at--)
		;
	if (n - at >= 2 && host[at] == '0' && host[at + 1] == 'x')
		return true;
	while (at < n && isdigit((unsigned char)host[at]))
		at++;
	return at == n;
}

static bool is_localhost(const char *host)
{
	size_t n = strlen(host);

	if (n > 0 && host[n - 1] == '.')
		n--;
	return (n == 9 && !strncmp(host, "localhost", 9)) ||
	       (n > 10 && !strncmp(host + n - 10, ".localhost", 10));
}

/* Reads an address literal as curl has written it (IPv4 in dotted decimal, IPv6 in brackets). */
static bool read_address(struct webhook_target *t)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&t->addr;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&t->addr;
	size_t n = strlen(t->host);

	if (inet_pton(AF_INET, t->host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)t->port);
		return true;
	}
	if (t->host[0] != '[' || t->host[n - 1] != ']')
		return false;
	t->host[n - 1] = '\0';
	memmove(t->host, t->host + 1, n - 1);
	if (inet_pton(AF_INET6, t->host, &v6->sin6_addr) != 1)
		return false;
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t)t->port);
	return true;
}

/* The host's part of the check. NULL = fine. */
static const char *host_fits(struct webhook_target *t, const struct webhook_guard *g)
{
	struct sockaddr_in local = { .sin_family = AF_INET,
				     .sin_addr = { htonl(INADDR_LOOPBACK) } };

	t->is_address = read_address(t);
	if (!t->is_address && (!is_name(t->host) || ends_in_number(t->host)))
		return "the host of the URL is neither a name nor an address";
	if (t->is_address)
		t->refused = netguard_refuses(&g->net, (struct sockaddr *)&t->addr);
	else if (is_localhost(t->host))
		t->refused = netguard_refuses(&g->net, (struct sockaddr *)&local);
	return t->refused ? "the URL leads to an address that webhooks must not be sent to" : NULL;
}

static const char *take_apart(CURLU *u, const struct webhook_guard *g, struct webhook_target *out)
{
	char *scheme = part(u, CURLUPART_SCHEME, 0), *host = part(u, CURLUPART_HOST, 0),
	     *port = part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT);
	const char *why = NULL;

	out->tls = scheme && !strcasecmp(scheme, "https");
	out->port = port ? atoi(port) : 0;
	if (!out->tls && (!scheme || strcasecmp(scheme, "http") != 0))
		why = "the URL must begin with https://";
	else if (!out->tls && !g->allow_http)
		why = "the URL must begin with https://: http is not permitted here";
	else if (!host || strlen(host) > WEBHOOK_HOST_MAX)
		why = "the URL has no host, or one that is too long";
	else if (out->port < 1 || out->port > 65535)
		why = "the port of the URL must be between 1 and 65535";
	for (size_t i = 0; !why && i <= strlen(host); i++)
		out->host[i] = (char)tolower((unsigned char)host[i]);
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	return why ? why : host_fits(out, g);
}

bool webhook_url_parse(const char *url, const struct webhook_guard *g, struct webhook_target *out,
		       const char **why)
{
	CURLU *u;

	*out = (struct webhook_target){ 0 };
	*why = plain_enough(url);
	if (*why)
		return false;
	u = curl_url();
	if (!u) {
		*why = "the URL can't be read for want of memory";
		return false;
	}
	if (curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK)
		*why = "the URL is malformed";
	else
		*why = take_apart(u, g, out);
	curl_url_cleanup(u);
	return !*why;
}

bool webhook_url_check(const char *url, const struct webhook_guard *g, const char **why)
{
	struct webhook_target target;

	return webhook_url_parse(url, g, &target, why);
}
