/*
 * claim.h: gets jobs from the queue.
 */
#ifndef LONGHAUL_WORKER_CLAIM_H
#define LONGHAUL_WORKER_CLAIM_H

#include <stdbool.h>
#include <stdint.h>

struct type;

void claim_step(int64_t now);
void claim_up(void); /* the connection came up: starts from the bottom of the queue */

/* There may be something to claim, of this type or of any. */
void claim_wake(struct type *t);
void claim_wake_all(void);
/* There may be jobs that were put back: looks at the whole queue. */
void claim_look_back(void);

/* Whether the claim under way may bring jobs of the type. */
bool claim_asks_for(const struct type *t);

/* Forgets what concerns the identity that was lost. */
void claim_forget(void);

#endif
