/*
 * router.h: from a request to its handler.
 */
#ifndef LONGHAUL_API_ROUTER_H
#define LONGHAUL_API_ROUTER_H

struct request;

/* Finds out who asks and what for, and calls the handler, or answers with a problem. */
void route_request(struct request *req);
/* The pattern of a row of the table, counted from 1; NULL at its end, and for 0. */
const char *route_pattern(int row);

#endif
