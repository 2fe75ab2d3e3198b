/*
 * standby.h: whether the standby that polls may ask is recent enough.
 *
 * Now and then the primary is asked how far its log is, and the standby whether it has come that far:
 * then what it shows is no older than the question. No clock of a server is involved.
 */
#ifndef LONGHAUL_API_STANDBY_H
#define LONGHAUL_API_STANDBY_H

#include <stdbool.h>

struct app;

/* With a->replica only. */
void standby_start(struct app *a);
void standby_stop(void);
/* The connection to it came up or went down: it may lead to another server now. */
void standby_state(void *ctx, bool up);
/* False: polls go to the primary. While that is away, the last answer stays. */
bool standby_good(void);

#endif
