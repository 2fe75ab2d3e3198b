/*
 * spawn.h: starts runner processes, and the courier.
 */
#ifndef LONGHAUL_WORKER_SPAWN_H
#define LONGHAUL_WORKER_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/wire.h"

struct spawned {
	pid_t pid; /* leads a session and a process group of its own */
	int fd;    /* our end of the socket, non-blocking */
	struct wire_page *page;
};

/* Starts the program `path` with the two descriptors of wire.h and no others but stderr, an
 * environment without libpq's variables, and the word `type` for those who look at the list of
 * processes. It gets WIRE_ORPHANED if this process dies. False and logged if it can't. */
bool spawn_runner(const char *path, const char *type, struct spawned *out);

/* Starts the courier likewise, without shared memory, with little of our environment. False and logged, *pid 0
 * and *fd -1, if it can't. */
bool spawn_courier(const char *path, pid_t *pid, int *fd);

#endif
