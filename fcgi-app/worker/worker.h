/*
 * worker.h: what the parts of the daemon share.
 *
 * Each part has a step function, called once per turn of the event loop before it sleeps: it looks at
 * the state that events have changed meanwhile, and does what is due. A step that has something to do
 * later says so by worker_wake_at(). So whatever arrives together is dealt with together.
 */
#ifndef LONGHAUL_WORKER_H
#define LONGHAUL_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ids.h"

struct ev_loop;
struct db;

enum life {
	LIFE_STARTING, /* has no lease: to be registered when the database is there */
	LIFE_LIVE,     /* holds a lease */
	LIFE_STOPPING, /* has given everything back, is being signed off */
	LIFE_OVER,     /* main ends */
};

struct worker {
	struct ev_loop *loop;
	char *runner_path, *courier_path;

	/* Connections: what must be quick doesn't queue behind what may be slow. */
	struct db *claim;
	struct db *finish;  /* outcomes and progress */
	struct db *beat;    /* the lease, types */
	struct db *stream;  /* chunks, and what is done for all: rescue, delayed jobs */
	struct db *upkeep;  /* what may take seconds: partitions, what has expired */
	struct db *listen;  /* NULL = poll only */
	struct db *webhook; /* NULL = this worker delivers none */

	enum life life;
	struct uuid boot; /* identity under the present lease */
	unsigned int
		generation;  /* grows when that is lost: answers to older questions don't count */
	int64_t lease_until; /* monotonic */
	int64_t next_fence;
	bool draining;
};

extern struct worker worker;

/* Makes the next turn of the loop happen at this (monotonic) time at the latest. */
void worker_wake_at(int64_t ms);

#endif
