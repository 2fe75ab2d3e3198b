/*
 * wire_courier.c: frames between the daemon and the courier.
 */
#include "wire_courier.h"

#include <string.h>

#include "wire.h"
#include "wire_internal.h"

#define DETAIL_MAX 200

/* The fixed part of each message; texts follow it, each with its NUL, then the bytes. */
struct courier_fixed {
	int32_t log_level, timeout_ms, connect_ms, response_max;
	uint32_t allow_http, allow_len, dns_len, ca_len;
};

struct post_fixed {
	uint32_t url_len, headers_len, body_len;
};

struct posted_fixed {
	int64_t retry_after_ms;
	int32_t error, status, duration_ms;
	uint32_t detail_len;
};

const char *post_error_word(enum post_error e)
{
	static const char *const words[N_POST_ERRORS] = {
		[POST_TIMEOUT] = "timeout",         [POST_DNS] = "dns",
		[POST_REFUSED] = "address-refused", [POST_BAD_URL] = "bad-url",
		[POST_CONNECT] = "connect",         [POST_TLS] = "tls",
		[POST_LOST] = "connection-lost",    [POST_BAD_ANSWER] = "bad-answer",
		[POST_INTERNAL] = "internal",       [POST_DIED] = "courier-died",
	};

	return words[e];
}

bool wire_put_courier(struct buf *out, const struct wire_courier *c)
{
	struct courier_fixed f = {
		.log_level = c->log_level,
		.timeout_ms = c->timeout_ms,
		.connect_ms = c->connect_ms,
		.response_max = c->response_max,
		.allow_http = c->allow_http,
		.allow_len = (uint32_t)strlen(c->allow),
		.dns_len = (uint32_t)strlen(c->dns_servers),
		.ca_len = (uint32_t)strlen(c->ca_file),
	};

	return wire_begin_frame(out, WIRE_COURIER, 0, &f, sizeof(f),
				(size_t)f.allow_len + f.dns_len + f.ca_len + 3) &&
	       buf_add(out, c->allow, f.allow_len + 1) &&
	       buf_add(out, c->dns_servers, f.dns_len + 1) &&
	       buf_add(out, c->ca_file, f.ca_len + 1);
}

bool wire_get_courier(const char *payload, size_t size, struct wire_courier *c)
{
	struct wire_reader r = { .at = payload, .left = size };
	struct courier_fixed f;
	const char *fixed = wire_take(&r, sizeof(f));

	if (r.bad)
		return false;
	memcpy(&f, fixed, sizeof(f));
	*c = (struct wire_courier){
		.log_level = f.log_level,
		.timeout_ms = f.timeout_ms,
		.connect_ms = f.connect_ms,
		.response_max = f.response_max,
		.allow_http = f.allow_http != 0,
	};
	c->allow = wire_take_text(&r, f.allow_len);
	c->dns_servers = wire_take_text(&r, f.dns_len);
	c->ca_file = wire_take_text(&r, f.ca_len);
	return !r.bad && r.left == 0;
}

bool wire_put_post(struct buf *out, uint32_t ticket, const struct wire_post *post)
{
	struct post_fixed f = {
		.url_len = (uint32_t)strlen(post->url),
		.headers_len = (uint32_t)strlen(post->headers),
		.body_len = (uint32_t)post->body_len,
	};

	return wire_begin_frame(out, WIRE_POST, ticket, &f, sizeof(f),
				(size_t)f.url_len + f.headers_len + 2 + f.body_len) &&
	       buf_add(out, post->url, f.url_len + 1) &&
	       buf_add(out, post->headers, f.headers_len + 1) &&
	       (f.body_len == 0 || buf_add(out, post->body, f.body_len));
}

bool wire_get_post(const char *payload, size_t size, struct wire_post *post)
{
	struct wire_reader r = { .at = payload, .left = size };
	struct post_fixed f;
	const char *fixed = wire_take(&r, sizeof(f));

	if (r.bad)
		return false;
	memcpy(&f, fixed, sizeof(f));
	post->url = wire_take_text(&r, f.url_len);
	post->headers = wire_take_text(&r, f.headers_len);
	post->body = wire_take(&r, f.body_len);
	post->body_len = f.body_len;
	return !r.bad && r.left == 0;
}

bool wire_put_posted(struct buf *out, uint32_t ticket, const struct wire_posted *p)
{
	size_t detail_len = strlen(p->detail);
	struct posted_fixed f = {
		.retry_after_ms = p->retry_after_ms,
		.error = p->error,
		.status = p->status,
		.duration_ms = p->duration_ms,
		.detail_len = (uint32_t)(detail_len < DETAIL_MAX ? detail_len : DETAIL_MAX),
	};

	return wire_begin_frame(out, WIRE_POSTED, ticket, &f, sizeof(f), f.detail_len + 1) &&
	       buf_add(out, p->detail, f.detail_len) && buf_add(out, "", 1);
}

bool wire_get_posted(const char *payload, size_t size, struct wire_posted *p)
{
	struct wire_reader r = { .at = payload, .left = size };
	struct posted_fixed f;
	const char *fixed = wire_take(&r, sizeof(f));

	if (r.bad)
		return false;
	memcpy(&f, fixed, sizeof(f));
	if (f.error < 0 || f.error >= N_POST_ERRORS || f.status < 0 || f.status > 999 ||
	    f.duration_ms < 0 || (f.error == POST_ANSWERED) != (f.status > 0))
		return false;
	*p = (struct wire_posted){
		.error = (enum post_error)f.error,
		.status = f.status,
		.duration_ms = f.duration_ms,
		.retry_after_ms = f.retry_after_ms,
		.detail = wire_take_text(&r, f.detail_len),
	};
	return !r.bad && r.left == 0;
}
