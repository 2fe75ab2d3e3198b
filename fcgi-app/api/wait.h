/*
 * wait.h: requests that wait for their job. They tie up no process and no thread: an entry in a
 * table and a timer each. What wakes them, in this order: the database's notification, a tick
 * that asks in one statement which of all watched jobs have changed (notifications may be lost, or
 * impossible), the deadline, at which the job is read for the last time. Event streams wait in
 * the same table, without a deadline, and are called again and again.
 */
#ifndef LONGHAUL_API_WAIT_H
#define LONGHAUL_API_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include <ev.h>

#include "api/status.h"
#include "common/ids.h"

struct app;
struct watched;

/* Why a parked request is called: what the last read said. */
enum park_outcome {
	PARK_ROW,  /* changed or ended, or the time is up: see the row */
	PARK_GONE, /* the job isn't there (any more) */
	PARK_AWAY, /* the time is up and the database is away */
};

/* One waiting request; a member of its handler's state. Zeroed before park_prepare. */
struct parked {
	struct watched *job;
	struct parked *next, **at; /* in the job's list */
	ev_timer timer;
	bool armed, time_is_up;
	bool stays;            /* a stream: see park_watch */
	bool until_end;        /* only the end counts, not other changes */
	bool want_result;      /* a row that says Completed comes with its inline result */
	int64_t seen_version;  /* the version that the client knows */
	uint64_t reads_before; /* a stream: reads that were begun before it */
	/* Asked once, when the state of the queues has come, if not NULL: is the wait pointless? */
	bool (*pointless)(struct parked *p);
	void (*wake)(struct parked *p, enum park_outcome outcome, const struct job_row *row);
};

void wait_start(struct app *a);
void wait_stop(void);
size_t wait_pending(void); /* jobs that somebody waits for */
/* From the notification listener: the ids of ended jobs, 32 hexadecimal digits each, by commas. */
void wait_notified(const char *payload);
/* The state of the queues has come: answers those who wait in vain, as if their time were up. */
void wait_reconsider(void);
/* Answers all that are parked, as if their time were up; streams are left alone. */
void wait_expire_all(void);
/* The connection that hears notifications came up: what was registered before may be forgotten. */
void wait_register_anew(void);

/* Enters the request for this job before the job is submitted, so that an early notification
 * finds it. `client` is copied. */
void park_prepare(struct parked *p, const struct uuid *id, const char *client);
/* The job exists: wake() is called once, from the loop, at the latest soon after the deadline
 * (monotonic ms). `registered`: the database knows already that this process waits. */
void park_arm(struct parked *p, int64_t deadline, bool registered);
/* In place of park_arm, for a stream: wake() is called at each change (PARK_ROW, with a version other
 * than seen_version, which wake() sets if it takes the row; a row that it leaves comes again with
 * the next tick) and when the job has gone (PARK_GONE), until it is removed, from inside wake() too. */
void park_watch(struct parked *p);
/* Takes it out; fine at any time, also if it was never prepared. */
void park_remove(struct parked *p);

#endif
