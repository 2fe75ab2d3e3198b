/*
 * lease.h: this worker's identity and the one lease by which it holds all its jobs.
 */
#ifndef LONGHAUL_WORKER_LEASE_H
#define LONGHAUL_WORKER_LEASE_H

#include <stdbool.h>
#include <stdint.h>

/* Takes a new identity; it will be registered when the database is there. */
bool lease_open(void);
void lease_beat(void); /* the next beat goes at once */
void lease_step(int64_t now);
/* False once it has run out, or there is none: then nothing new is begun. */
bool lease_holds(int64_t now);

/* False if the database is there and yet no beat has been sent for far too long. */
bool lease_is_seen_to(int64_t now);

/* The lease is gone: kills all handlers, drops all jobs and starts again as somebody else. */
void lease_lost(const char *why);

/* Signs off, once nothing is held any more. */
void lease_stop(void);

#endif
