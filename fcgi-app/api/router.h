/*
 * router.h: from a request to its handler.
 */
#ifndef LONGHAUL_API_ROUTER_H
#define LONGHAUL_API_ROUTER_H

struct request;

/* Finds out who asks and what for, and calls the handler, or answers with a problem. */
void route_request(struct request *req);

#endif
