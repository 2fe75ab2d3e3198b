/*
 * resolve.h: looks up the addresses of a name, by c-ares in the event loop.
 */
#ifndef LONGHAUL_COURIER_RESOLVE_H
#define LONGHAUL_COURIER_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct ev_loop;
struct lookup;

/* `servers`: addresses with :port, between commas; "" = the system's. False and logged if that fails. */
bool resolver_open(struct ev_loop *loop, const char *servers, int timeout_ms);
void resolver_close(void); /* lookups under way end with an error */

/* The addresses (A and AAAA together, with the port, the likeliest to work first), or none and why. They
 * are the callee's until it returns. */
typedef void lookup_done_fn(void *ctx, const struct sockaddr_storage *addrs, size_t n,
			    const char *why);

/* Calls `done` once, perhaps before it returns; then it returns NULL. */
struct lookup *lookup_start(const char *host, int port, lookup_done_fn *done, void *ctx);
/* `done` won't be called. */
void lookup_forget(struct lookup *l);

#endif
