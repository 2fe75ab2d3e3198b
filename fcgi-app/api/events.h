/*
 * events.h: event streams of single jobs; the route's handler is in jobs.h.
 */
#ifndef LONGHAUL_API_EVENTS_H
#define LONGHAUL_API_EVENTS_H

/* Ends all streams: their clients come back to another process. */
void events_drain(void);

#endif
