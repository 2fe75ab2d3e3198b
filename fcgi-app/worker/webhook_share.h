/*
 * webhook_share.h: how the slots for deliveries are shared between clients.
 *
 * An endpoint that hangs holds its slot until the time is out, so nobody may have all of them:
 *  - one endpoint has at most per_endpoint (by the database, over all hosts);
 *  - one client has at most a quarter of this host's slots;
 *  - clients who are slow have at most half of them, all together. A client is slow while a delivery of its
 *    takes longer than slow_ms, and until one ends that didn't.
 * So however many endpoints of however many clients hang, half of the slots go round among the others, and
 * the slow ones wait for each other only.
 */
#ifndef LONGHAUL_WORKER_WEBHOOK_SHARE_H
#define LONGHAUL_WORKER_WEBHOOK_SHARE_H

#include <stdbool.h>
#include <stdint.h>

struct share;
struct pgarray;

/* Slots in all; to be called once, before the others. */
void shares_open(int slots);
void shares_close(void);

/* A delivery for that client begins, if it may. NULL: its share is used up. */
struct share *share_begin(const char *client);
/* It takes long. Once per delivery. */
void share_slow(struct share *s);
/* It has ended; `was_slow`: share_slow() was called for it; `judge`: its time says something. */
void share_end(struct share *s, bool was_slow, bool judge);

/* How many deliveries may begin now. */
int shares_room(void);
/* Of one client that isn't in the lists below. */
int shares_per_client(void);
/* Clients who may begin fewer than that now: their names (text[]) and how many (int4[]). */
void shares_limits(struct pgarray *clients, struct pgarray *room);

#endif
