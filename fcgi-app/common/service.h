/*
 * service.h: the conversation with the service manager, systemd, through libsystemd. Where there is none,
 * nothing here does anything.
 */
#ifndef LONGHAUL_SERVICE_H
#define LONGHAUL_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ev_loop;

struct service_hooks {
	/* Whether the process does what it is there for; false lets the watchdog run out. NULL: while the
	 * loop turns. */
	bool (*sane)(void);
	/* What the process is doing, in a line, for `systemctl status`. */
	void (*status)(char *out, size_t size);
};

/* Feeds the watchdog and tells the status for as long as the loop turns. */
void service_start(struct ev_loop *loop, const struct service_hooks *hooks);
void service_stop(struct ev_loop *loop);

/* Up and serving, for the first time or again after service_reloading(). */
void service_ready(void);
void service_reloading(void);
/* On the way to the end, which takes at most so long. */
void service_stopping(int64_t longest_ms);

#define SERVICE_NO_SOCKET (-1)
#define SERVICE_BAD_SOCKET (-2)

/* The listening stream socket that was handed over at the start: close-on-exec, non-blocking, the caller's.
 * SERVICE_NO_SOCKET: there is none; SERVICE_BAD_SOCKET, logged: several, or not that. */
int service_socket(void);

/* True if an entry of the environment is for this process alone, not for its children. */
bool service_is_private(const char *entry);

#endif
