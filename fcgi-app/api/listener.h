/*
 * listener.h: the socket that nginx connects to.
 */
#ifndef LONGHAUL_API_LISTENER_H
#define LONGHAUL_API_LISTENER_H

#include <stdbool.h>
#include <stddef.h>

struct ev_loop;

/* True if the text can be an address: unix:/path, 127.0.0.1:9000, [::1]:9000, name:9000. Else a reason
 * in err. */
bool listen_address_valid(const char *address, char *err, size_t errsize);
/* Takes the socket that the service manager hands over, or opens one; nobody is accepted before listener_room(). A stale unix socket is replaced if
 * nobody listens on it. False, logged, if it can't be. */
bool listener_start(struct ev_loop *loop, const char *address, int socket_mode);
/* The path of the unix socket that it listens on, also of one that was handed over; false: it is none. */
bool listener_path(char *out, size_t size);
/* Begins to accept, or accepts again after connections have been closed. */
void listener_room(void);
/* Stops accepting, closes, removes the unix socket if it is still ours. */
void listener_stop(void);

#endif
