/*
 * wire_courier.h: what the worker daemon and its courier process say to each other.
 *
 * The courier holds neither secrets nor a way to the database: the daemon signs, and the courier posts
 * what it is given to where the guard lets it. Frames are those of wire.h, on WIRE_FD_SOCKET; there is no
 * shared memory. A ticket stands for one post. The daemon believes nothing that it reads.
 */
#ifndef LONGHAUL_WIRE_COURIER_H
#define LONGHAUL_WIRE_COURIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

#define WIRE_POST_MAX 262144   /* bytes of what is posted */
#define WIRE_POST_TICKETS 4096 /* posts under way, at most */

struct wire_courier {
	int32_t log_level, timeout_ms, connect_ms, response_max;
	bool allow_http;
	const char *allow, *dns_servers, *ca_file; /* never NULL */
};

bool wire_put_courier(struct buf *out, const struct wire_courier *c);
bool wire_get_courier(const char *payload, size_t size, struct wire_courier *c);

struct wire_post {
	const char *url;
	const char *headers; /* "name: value" lines, each with its '\n' */
	const char *body;
	size_t body_len;
};

bool wire_put_post(struct buf *out, uint32_t ticket, const struct wire_post *post);
bool wire_get_post(const char *payload, size_t size, struct wire_post *post);

/* How a post ended, if not with an answer. */
enum post_error {
	POST_ANSWERED, /* the headers of an answer came: its status counts */
	POST_TIMEOUT,
	POST_DNS,        /* the host's name has no address, or nobody says */
	POST_REFUSED,    /* one of its addresses must not be connected to */
	POST_BAD_URL,    /* the URL itself must not */
	POST_CONNECT,    /* no connection */
	POST_TLS,        /* no trust */
	POST_LOST,       /* the connection broke before there was an answer */
	POST_BAD_ANSWER, /* it isn't HTTP, or its headers are too long */
	POST_INTERNAL,   /* memory, descriptors */
	POST_DIED,       /* the courier died in it: said by the daemon */
	N_POST_ERRORS,
};

/* The word that stands in the list of tries; NULL for POST_ANSWERED. */
const char *post_error_word(enum post_error e);

struct wire_posted {
	enum post_error error;
	int32_t status; /* 0 = no answer */
	int32_t duration_ms;
	int64_t retry_after_ms; /* -1 = not said */
	const char *detail;     /* for the log, never NULL */
};

bool wire_put_posted(struct buf *out, uint32_t ticket, const struct wire_posted *p);
bool wire_get_posted(const char *payload, size_t size, struct wire_posted *p);

#endif
