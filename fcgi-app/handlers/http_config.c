/*
 * http_config.c: the settings of an http type.
 */
#include "http.h"

#include "common/mem.h"
#include "common/options.h"
#include "options.h"
#include "exec.h" /* words_split */

#include <curl/curl.h>

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>
#include <unistd.h>

#define STR(key, def, help) OPT_STR("type", #key, struct http_config, key, def, help)
#define NUM(key, def, min, max, help) \
	OPT_NUM("type", #key, struct http_config, key, def, min, max, help)

const struct opt http_options[HTTP_OPTIONS] = {
	STR(url, "", "Where requests go: http:// or https://. Nothing of it comes from the job."),
	STR(method, "POST", "Method of the requests."),
	STR(headers, "",
	    "Headers to add or replace: 'Authorization: Bearer x' 'X-Team: y'. Without a value: leaves one of ours out."),
	STR(success, "200-299", "Statuses whose answer is the result."),
	STR(try_again, "408 425 429 500 502 503 504",
	    "Statuses after which the job is tried again."),
	NUM(connect_timeout_ms, "5000", 1, 600000, "Longest time to connect."),
	NUM(retry_after_max_ms, "3600000", 0, INT_MAX,
	    "Longest wait that Retry-After can ask for."),
	NUM(redirects, "0", 0, 20, "Most redirects that are followed."),
	STR(ca_file, "", "File of the certificates that the service is verified with."),
	STR(unix_socket, "", "Socket to connect to, in place of the host of the URL."),
};

/* A status at *p, which moves behind it; -1: there is none. */
static int take_status(const char **p)
{
	int n = 0, i;

	for (i = 0; i < 3 && isdigit((unsigned char)**p); i++)
		n = 10 * n + (*(*p)++ - '0');
	return i == 3 && n >= 100 && n <= 599 && !isdigit((unsigned char)**p) ? n : -1;
}

bool http_statuses_parse(const char *text, struct http_statuses *out, const char **why)
{
	const char *p = text + strspn(text, " \t,");

	for (out->n = 0; *p; p += strspn(p, " \t,")) {
		int from = take_status(&p), to = from;

		*why = "must be statuses like \"200-299 304\"";
		if (*p == '-') {
			p++;
			to = take_status(&p);
		}
		if (from < 0 || to < from || (*p && !strchr(" \t,", *p)))
			return false;
		*why = "are too many statuses";
		if (out->n == HTTP_RANGES_MAX)
			return false;
		out->range[out->n].from = from;
		out->range[out->n++].to = to;
	}
	return true;
}

bool http_statuses_have(const struct http_statuses *statuses, int status)
{
	for (int i = 0; i < statuses->n; i++)
		if (status >= statuses->range[i].from && status <= statuses->range[i].to)
			return true;
	return false;
}

static bool is_token(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr("!#$%&'*+-.^_`|~", s[i]))
			return false;
	return len > 0;
}

static char *read_url(const struct http_config *c)
{
	CURLU *url = curl_url();
	char *scheme = NULL, *wrong = NULL;
	CURLUcode rc = url ? curl_url_set(url, CURLUPART_URL, c->url, 0) : CURLUE_OUT_OF_MEMORY;

	if (!*c->url)
		wrong = mem_strdup("url: is missing");
	else if (rc != CURLUE_OK)
		wrong = mem_printf("url: %s", curl_url_strerror(rc));
	else if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
		 (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
		wrong = mem_strdup("url: must begin with http:// or https://");
	curl_free(scheme);
	curl_url_cleanup(url);
	return wrong;
}

static char *read_headers(struct http_config *c)
{
	const char *why;

	c->fixed = words_split(c->headers, &why);
	if (!c->fixed)
		return mem_printf("headers: %s", why);
	for (char **h = c->fixed; *h; h++) {
		size_t len = strcspn(*h, ":");

		if ((*h)[len] != ':' || !is_token(*h, len))
			return mem_printf("headers: not 'Name: value': \"%.60s\"", *h);
		/* It says how the body is framed, which is not to be changed. */
		if (strncasecmp(*h, "Content-Length:", len + 1) == 0 ||
		    strncasecmp(*h, "Transfer-Encoding:", len + 1) == 0)
			return mem_printf("headers: not free to choose: \"%.60s\"", *h);
		for (const char *p = *h; *p; p++)
			if (iscntrl((unsigned char)*p) && *p != '\t')
				return mem_printf("headers: a control character in \"%.*s\"",
						  (int)len, *h);
	}
	return NULL;
}

static char *read_files(const struct http_config *c)
{
	if (*c->ca_file && access(c->ca_file, R_OK) != 0)
		return mem_printf("ca_file: \"%.200s\": %s", c->ca_file, strerror(errno));
	/* The socket itself may be made later. */
	if (*c->unix_socket &&
	    (*c->unix_socket != '/' ||
	     strlen(c->unix_socket) >= sizeof(((struct sockaddr_un *)0)->sun_path)))
		return mem_strdup("unix_socket: must be a whole path, and not a long one");
	return NULL;
}

/* Returns what is wrong, malloc'ed, or NULL. */
static char *read_settings(struct http_config *c, const struct lh_settings *settings)
{
	char error[256], *wrong;
	const char *why;

	for (size_t i = 0; i < HTTP_OPTIONS; i++)
		if (!opt_set(&http_options[i], c,
			     lh_setting(settings, http_options[i].key, http_options[i].def), error,
			     sizeof(error)))
			return mem_strdup(error);
	if (!is_token(c->method, strlen(c->method)))
		return mem_printf("method: is none: \"%.60s\"", c->method);
	if (!http_statuses_parse(c->success, &c->good, &why))
		return mem_printf("success: %s", why);
	if (!http_statuses_parse(c->try_again, &c->again, &why))
		return mem_printf("try_again: %s", why);
	wrong = read_url(c);
	if (!wrong)
		wrong = read_headers(c);
	return wrong ? wrong : read_files(c);
}

struct http_config *http_config_new(const struct lh_settings *settings, const char **error)
{
	struct http_config *c = mem_zalloc(sizeof(*c));
	char *wrong = read_settings(c, settings);

	if (!wrong)
		return c;
	*error = wrong;
	http_config_free(c);
	return NULL;
}

void http_config_free(struct http_config *c)
{
	opts_free(http_options, HTTP_OPTIONS, c);
	words_free(c->fixed);
	free(c);
}
