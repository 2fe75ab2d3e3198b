/*
 * courier.h: what the parts of the courier share.
 *
 * longhaul-courier posts webhooks for longhaul-worker, many at a time in one event loop: post.c takes a
 * post from its URL to its answer, resolve.c looks up names, multi.c has libcurl do the transfers, main.c
 * talks to the daemon. It is a process of its own because it reads what strangers answer, so it has neither
 * the secrets nor the database, and if it dies, nothing but the tries under way is lost.
 */
#ifndef LONGHAUL_COURIER_H
#define LONGHAUL_COURIER_H

#include <stdint.h>

#include "common/webhook_url.h"
#include "common/wire_courier.h"

struct ev_loop;

struct courier {
	struct ev_loop *loop;
	struct webhook_guard guard;
	int timeout_ms, connect_ms, response_max;
	char *ca_file; /* "" = the system's */
};

extern struct courier courier;

/* Tells the daemon how a post ended. */
void courier_answer(uint32_t ticket, const struct wire_posted *posted);

#endif
