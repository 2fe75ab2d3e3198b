/*
 * courier.h: the process that posts webhooks.
 */
#ifndef LONGHAUL_WORKER_COURIER_H
#define LONGHAUL_WORKER_COURIER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/wire_courier.h"

/* How a post ended. */
typedef void courier_posted_fn(uint32_t ticket, const struct wire_posted *posted);
/* The courier has died: no post that it had will be answered. */
typedef void courier_died_fn(void);

void courier_open(courier_posted_fn *posted, courier_died_fn *died);
void courier_close(void);
/* Starts it, and again when it has died, after a wait that grows while it doesn't stay. */
void courier_step(int64_t now);

bool courier_is(pid_t pid);
bool courier_up(void); /* it takes posts */
void courier_post(uint32_t ticket, const struct wire_post *post);
void courier_forget(uint32_t ticket);

#endif
