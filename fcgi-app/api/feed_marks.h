/*
 * feed_marks.h: how far a look at the changes of jobs has to go back, so that none is missed: neither
 * one that was committed just now with a time of before, nor one of a transaction that was open
 * for hours. Pure arithmetic on what the database says.
 *
 * Each look draws a transaction id. Once every transaction below that id has ended, all that is older
 * than the look can be seen, and a later look, if it went back that far, was the last that needs to.
 */
#ifndef LONGHAUL_API_FEED_MARKS_H
#define LONGHAUL_API_FEED_MARKS_H

#include <stdbool.h>
#include <stdint.h>

#define FEED_MARKS 64
#define FEED_RECENT_MS 5000 /* a look goes no further back for the sake of one old transaction */

/* A look: the database's time (Unix ms) and last place in the queue (-1 = unknown), then the id drawn. */
struct feed_mark {
	int64_t at, seq, xid;
};

struct feed_marks {
	bool begun;
	struct feed_mark horizon;       /* all up to here has been seen */
	struct feed_mark recent[2];     /* two looks, at least FEED_RECENT_MS apart */
	struct feed_mark v[FEED_MARKS]; /* looks since the horizon, oldest first */
	int n;
	bool whole;  /* the look under way goes back to the horizon */
	bool behind; /* the horizon could be moved */
	int64_t looked_at,
		whole_at; /* database's time of the last look, and of the last that did */
};

/* Nothing is known yet: the first look goes back FEED_RECENT_MS from `now` (the database's time). */
void feed_marks_begin(struct feed_marks *m, int64_t now);
/* From where the next look is to begin. */
struct feed_mark feed_marks_since(struct feed_marks *m);
/* The look came back: its mark, and the oldest transaction that was open then. */
void feed_marks_looked(struct feed_marks *m, struct feed_mark mark, int64_t xmin);

#endif
