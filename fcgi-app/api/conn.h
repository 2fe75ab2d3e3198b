/*
 * conn.h: FastCGI connections: bytes in, requests out to the router, answers back in records.
 *
 * A connection carries one request at a time. All sockets are non-blocking; what the peer doesn't
 * take at once waits in the connection's queue, what the handler doesn't want yet stays in the
 * connection's buffer, and reading stops.
 */
#ifndef LONGHAUL_API_CONN_H
#define LONGHAUL_API_CONN_H

#include <stdbool.h>
#include <stddef.h>

#define STREAM_LOW 65536 /* a queue of this many bytes stops a stream; below it goes on */

struct ev_loop;
struct conn;
struct iovec;

/* Starts the housekeeping of connections; `changed` is called after connections were closed. */
void conns_start(struct ev_loop *loop, void (*changed)(void));
/* Closes all that are left and frees the reserve. */
void conns_stop(void);
/* From now on no connection is kept after its request; those without one are closed. */
void conns_drain(void);
/* How many are open, and how many requests are under way on them. */
int conns_open(void);
int conns_requests(void);

/* A new connection on an accepted, non-blocking socket, which it closes at its end. */
void conn_new(int fd);

/* For request.c: something changed about who wants the body. */
void conn_kick(struct conn *c);

/* For reply.c: appends content to the answer. conn_answer_end completes it; the request has no connection
 * from then on. conn_abort breaks the connection. */
void conn_answer(struct conn *c, const struct iovec *parts, int nparts);
void conn_answer_end(struct conn *c, const struct iovec *parts, int nparts);
void conn_abort(struct conn *c);
size_t conn_queued(const struct conn *c);

#endif
