/*
 * webhooks.h: claims deliveries of webhooks, has the courier post them, and reports what became of them.
 */
#ifndef LONGHAUL_WORKER_WEBHOOKS_H
#define LONGHAUL_WORKER_WEBHOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* False and a message in err if [webhook] makes no sense. */
bool webhooks_check(char *err, size_t errsize);

/* Does nothing if this worker delivers none; so do those below. */
void webhooks_open(void);
void webhooks_close(void);
void webhooks_step(int64_t now);
void webhooks_up(void); /* the connection came up */

/* There may be something to deliver: somebody said so; or jobs have ended, which happens all the time. */
void webhooks_wake(void);
void webhooks_jobs_ended(void);

/* Puts back what is under way, at the end of a drain. */
void webhooks_stop(void);
/* True when nothing is under way and nothing waits to be reported. */
bool webhooks_idle(void);
/* The lease is lost: everything is forgotten. What was posted may come again from another worker. */
void webhooks_forget(void);

#endif
