/*
 * post.c: a try, from its URL to its answer.
 *
 *	check the URL -> look up the name (once) -> is any address forbidden? -> connect to the first of just
 *	these addresses, or the next ones if there is no connection -> post -> read the answer's headers
 *
 * Once the headers are there, the status counts, whatever becomes of the content, which is only read so that
 * a small one can be sent to its end.
 */
#include "post.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <curl/curl.h>
#include <ev.h>

#include "common/log.h"
#include "common/mem.h"
#include "common/times.h"
#include "courier.h"
#include "multi.h"
#include "resolve.h"
#include "retry_after.h"

struct post {
	uint32_t ticket;
	int64_t started, deadline; /* monotonic */
	char *url, *body;
	struct webhook_target target;
	struct lookup *lookup;
	ev_timer lookup_timer;
	struct sockaddr_storage *addrs; /* all that may be connected to */
	size_t n_addrs, at;             /* the one that is being tried */
	CURL *easy;
	struct curl_slist *headers, *connect_to;
	char curl_error[CURL_ERROR_SIZE];

	bool refused;     /* libcurl wanted to connect to another address */
	bool header_cut;  /* too much */
	int status;       /* of the answer, once its headers are complete */
	int64_t received; /* bytes of headers */
	int64_t body_received, retry_after_ms;
};

static struct post *posts[WIRE_POST_TICKETS];

/* ---- ends ------------------------------------------------------------------------------------- */

static void post_free(struct post *p)
{
	posts[p->ticket % WIRE_POST_TICKETS] = NULL;
	ev_timer_stop(courier.loop, &p->lookup_timer);
	if (p->lookup)
		lookup_forget(p->lookup);
	if (p->easy) {
		multi_remove(p->easy);
		curl_easy_cleanup(p->easy);
	}
	curl_slist_free_all(p->headers);
	curl_slist_free_all(p->connect_to);
	free(p->addrs);
	free(p->url);
	free(p->body);
	free(p);
}

static void post_end(struct post *p, enum post_error error, const char *detail)
{
	struct wire_posted posted = {
		.error = error,
		.status = error == POST_ANSWERED ? p->status : 0,
		.duration_ms = (int32_t)(mono_ms() - p->started),
		.retry_after_ms = p->retry_after_ms,
		.detail = detail,
	};

	courier_answer(p->ticket, &posted);
	post_free(p);
}

void post_forget(uint32_t ticket)
{
	struct post *p = posts[ticket % WIRE_POST_TICKETS];

	if (p && p->ticket == ticket)
		post_free(p);
}

void post_forget_all(void)
{
	for (size_t i = 0; i < WIRE_POST_TICKETS; i++)
		if (posts[i])
			post_free(posts[i]);
}

/* ---- the answer ------------------------------------------------------------------------------- */

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
	struct post *p = ctx;

	(void)data;
	p->body_received += (int64_t)(size * n);
	return p->body_received > courier.response_max ? 0 : size * n;
}

/* Each line of the headers; several sets of them if there are interim answers. */
static size_t on_header(char *line, size_t size, size_t n, void *ctx)
{
	static const char name[] = "retry-after:";
	const size_t name_len = sizeof(name) - 1;
	struct post *p = ctx;
	long status = 0;

	n *= size;
	p->received += (int64_t)n;
	if (p->status > 0) /* trailers */
		return p->received > courier.response_max ? 0 : n;
	if (p->received > courier.response_max) {
		p->header_cut = true;
		return 0;
	}
	if (n >= 5 && !strncmp(line, "HTTP/", 5))
		p->retry_after_ms = -1;
	else if (n > name_len && !strncasecmp(line, name, name_len))
		p->retry_after_ms = retry_after_ms(line + name_len, n - name_len, now_ms());
	if ((n == 2 && !memcmp(line, "\r\n", 2)) || (n == 1 && *line == '\n')) {
		curl_easy_getinfo(p->easy, CURLINFO_RESPONSE_CODE, &status);
		if (status >= 200 && status <= 999)
			p->status = (int)status;
	}
	return n;
}

static enum post_error error_of(const struct post *p, CURLcode code)
{
	if (p->refused)
		return POST_REFUSED;
	if (p->header_cut)
		return POST_BAD_ANSWER;
	switch (code) {
	case CURLE_OPERATION_TIMEDOUT:
		return POST_TIMEOUT;
	case CURLE_COULDNT_CONNECT:
		return POST_CONNECT;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS:
		return POST_TLS;
	case CURLE_OK: /* it ended within the headers */
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_PARTIAL_FILE:
		return POST_LOST;
	case CURLE_FAILED_INIT:
		return POST_INTERNAL;
	case CURLE_OUT_OF_MEMORY: /* a line that is longer than libcurl takes is reported so */
	default:
		return POST_BAD_ANSWER;
	}
}

/* ---- the transfer ----------------------------------------------------------------------------- */

/* libcurl is about to connect: to nothing but the address that was looked up and found good. */
static curl_socket_t on_open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct post *p = ctx;
	const struct sockaddr_storage *good = &p->addrs[p->at];
	bool same = a->family == good->ss_family;

	if (same && a->family == AF_INET)
		same = !memcmp(&((struct sockaddr_in *)(void *)&a->addr)->sin_addr,
			       &((const struct sockaddr_in *)good)->sin_addr, 4);
	else if (same)
		same = !memcmp(&((struct sockaddr_in6 *)(void *)&a->addr)->sin6_addr,
			       &((const struct sockaddr_in6 *)good)->sin6_addr, 16);
	if (purpose != CURLSOCKTYPE_IPCXN || !same ||
	    netguard_refuses(&courier.guard.net, (const struct sockaddr *)&a->addr)) {
		p->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* "::ADDRESS:PORT": to there, whatever the URL's host; the name stays in TLS and in Host. */
static bool pin(struct post *p)
{
	const struct sockaddr_storage *a = &p->addrs[p->at];
	char text[INET6_ADDRSTRLEN], entry[INET6_ADDRSTRLEN + 16];
	bool v6 = a->ss_family == AF_INET6;

	inet_ntop(a->ss_family,
		  v6 ? (const void *)&((const struct sockaddr_in6 *)a)->sin6_addr
		     : (const void *)&((const struct sockaddr_in *)a)->sin_addr,
		  text, sizeof(text));
	snprintf(entry, sizeof(entry), v6 ? "::[%s]:%d" : "::%s:%d", text, p->target.port);
	curl_slist_free_all(p->connect_to);
	p->connect_to = curl_slist_append(NULL, entry);
	return p->connect_to != NULL;
}

#define SET(option, value) (ok = ok && curl_easy_setopt(p->easy, option, value) == CURLE_OK)

/* What keeps a transfer to the one host, and what it may take. */
static bool set_limits(struct post *p, int64_t now)
{
	bool ok = true;
	long left = (long)(p->deadline - now);

	SET(CURLOPT_PROTOCOLS_STR, courier.guard.allow_http ? "http,https" : "https");
	SET(CURLOPT_PROXY, ""); /* none, whatever the environment says */
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_DNS_CACHE_TIMEOUT, 0L);
	SET(CURLOPT_CONNECT_TO, p->connect_to);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	SET(CURLOPT_OPENSOCKETDATA, p);
	/* A connection serves one post: the next may have another pin. */
	SET(CURLOPT_FRESH_CONNECT, 1L);
	SET(CURLOPT_FORBID_REUSE, 1L);
	SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	/* libcurl keeps what it has read of one file of certificates, not of a folder. */
	SET(CURLOPT_CAPATH, NULL);
	if (*courier.ca_file)
		SET(CURLOPT_CAINFO, courier.ca_file);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_TIMEOUT_MS, left > 1 ? left : 1L);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)courier.connect_ms);
	return ok;
}

static bool set_request(struct post *p)
{
	bool ok = true;

	SET(CURLOPT_PRIVATE, p);
	SET(CURLOPT_ERRORBUFFER, p->curl_error);
	SET(CURLOPT_URL, p->url);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_USERAGENT, "longhaul/" LONGHAUL_VERSION);
	SET(CURLOPT_HTTPHEADER, p->headers);
	SET(CURLOPT_POST, 1L);
	SET(CURLOPT_POSTFIELDS, p->body);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, p);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, p);
	return ok;
}

/* Connects to the address at hand. */
static void transfer(struct post *p)
{
	if (!p->easy)
		p->easy = curl_easy_init();
	if (!p->easy || !pin(p) || !set_request(p) || !set_limits(p, mono_ms()) ||
	    !multi_add(p->easy))
		post_end(p, POST_INTERNAL, "libcurl refuses the transfer");
}

/* Nothing was sent yet, and there is another address and time for it. */
static bool try_next(const struct post *p, CURLcode code)
{
	curl_off_t connected = 0;

	curl_easy_getinfo(p->easy, CURLINFO_CONNECT_TIME_T, &connected);
	return !p->refused && connected == 0 &&
	       (code == CURLE_COULDNT_CONNECT || code == CURLE_OPERATION_TIMEDOUT) &&
	       p->at + 1 < p->n_addrs && mono_ms() < p->deadline;
}

void post_transferred(void *post, int code)
{
	struct post *p = post;

	if (p->status > 0) {
		post_end(p, POST_ANSWERED, "");
	} else if (try_next(p, (CURLcode)code)) {
		p->at++;
		transfer(p);
	} else {
		post_end(p, error_of(p, (CURLcode)code),
			 *p->curl_error ? p->curl_error : curl_easy_strerror((CURLcode)code));
	}
}

/* ---- the address ------------------------------------------------------------------------------ */

static void use_addresses(struct post *p, const struct sockaddr_storage *addrs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *kind = netguard_refuses(&courier.guard.net,
						    (const struct sockaddr *)&addrs[i]);
		char detail[80];

		if (!kind)
			continue;
		snprintf(detail, sizeof(detail), "an address of the host is %s", kind);
		post_end(p, POST_REFUSED, detail);
		return;
	}
	p->addrs = mem_dup(addrs, n * sizeof(*addrs));
	p->n_addrs = n;
	transfer(p);
}

static void on_addresses(void *ctx, const struct sockaddr_storage *addrs, size_t n, const char *why)
{
	struct post *p = ctx;

	p->lookup = NULL;
	ev_timer_stop(courier.loop, &p->lookup_timer);
	if (n == 0)
		post_end(p, POST_DNS, why);
	else
		use_addresses(p, addrs, n);
}

static void on_lookup_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop;
	(void)revents;
	post_end(w->data, POST_DNS, "no answer in time");
}

/* Adds the lines; false if one is damaged or memory ends. */
static bool add_headers(struct post *p, const char *lines)
{
	/* libcurl would wait for a "100 Continue" before a large body. */
	char *copy = mem_strdup(lines), *save = NULL;
	struct curl_slist *list = curl_slist_append(NULL, "Expect:"), *more;

	for (char *l = strtok_r(copy, "\n", &save); l && list; l = strtok_r(NULL, "\n", &save)) {
		more = curl_slist_append(list, l);
		if (!more)
			curl_slist_free_all(list);
		list = more;
	}
	free(copy);
	p->headers = list;
	return list != NULL;
}

static void look_up(struct post *p)
{
	struct lookup *l;

	ev_timer_init(&p->lookup_timer, on_lookup_timer, (double)courier.connect_ms / 1000, 0.);
	p->lookup_timer.data = p;
	ev_timer_start(courier.loop, &p->lookup_timer);
	l = lookup_start(p->target.host, p->target.port, on_addresses, p);
	if (l) /* else the answer was at hand, and the post may be over by now */
		p->lookup = l;
}

void post_begin(uint32_t ticket, const struct wire_post *w)
{
	struct post *p = mem_zalloc(sizeof(*p));
	const char *why;

	post_forget(ticket);
	posts[ticket % WIRE_POST_TICKETS] = p;
	p->ticket = ticket;
	p->retry_after_ms = -1;
	p->started = mono_ms();
	p->deadline = p->started + courier.timeout_ms;
	ev_init(&p->lookup_timer, on_lookup_timer);
	p->url = mem_strdup(w->url);
	p->body = mem_dup(w->body, w->body_len);
	if (!webhook_url_parse(w->url, &courier.guard, &p->target, &why)) {
		post_end(p, p->target.refused ? POST_REFUSED : POST_BAD_URL, why);
		return;
	}
	if (!add_headers(p, w->headers)) {
		post_end(p, POST_INTERNAL, "out of memory");
		return;
	}
	p->easy = curl_easy_init();
	if (!p->easy || curl_easy_setopt(p->easy, CURLOPT_POSTFIELDSIZE_LARGE,
					 (curl_off_t)w->body_len) != CURLE_OK) {
		post_end(p, POST_INTERNAL, "out of memory");
		return;
	}
	if (p->target.is_address)
		use_addresses(p, &p->target.addr, 1);
	else
		look_up(p);
}
