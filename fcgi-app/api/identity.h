/*
 * identity.h: who asks, and whether a browser was talked into it.
 */
#ifndef LONGHAUL_API_IDENTITY_H
#define LONGHAUL_API_IDENTITY_H

#include <stdbool.h>

struct request;

/* True if an unsafe request comes from a page of another origin: a browser sends the user's
 * credentials along with what a foreign page asks for. */
bool origin_is_foreign(struct request *req);
/* Finds out the client. Calls `known`, at once or later, when req_client() holds; else the request
 * has been answered (400, 401, 503) or has gone. */
void identity_find(struct request *req, void (*known)(struct request *));

/* The key in an Authorization header, "Bearer KEY"; NULL if it is none. Points into `header`. */
const char *bearer_key(const char *header);
/* What can be a client's name: 1 to 64 printable ASCII characters, no blank at either end. */
bool client_name_valid(const char *name);

#endif
