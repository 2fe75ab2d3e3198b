/*
 * feed.h: streams of all changes of a client's jobs; the route's handler is in jobs.h.
 */
#ifndef LONGHAUL_API_FEED_H
#define LONGHAUL_API_FEED_H

#include <stddef.h>

struct app;

void feeds_start(struct app *a);
void feeds_stop(void);
/* The connection that feeds read on came up: what they know may be wrong, so they begin anew. */
void feeds_begin_anew(void);
/* Ends all feeds: their clients come back to another process. */
void feeds_drain(void);
size_t feeds_pending(void); /* statements under way */

#endif
