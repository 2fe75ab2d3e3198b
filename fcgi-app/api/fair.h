/*
 * fair.h: whose turn it is: the newest turn of each client, type and priority that this process knows of.
 *
 * The database gives a job the turn behind the later of the queue's clock and its client's job before. The
 * latter is kept here, in bounded memory: what is forgotten is taken to have nothing waiting. Other API
 * processes count for themselves.
 */
#ifndef LONGHAUL_API_FAIR_H
#define LONGHAUL_API_FAIR_H

#include <stdint.h>

/* A job's place in the queue (seq) is its turn, and below that the order of arrival. */
#define PLACE_TURN_BITS 16

struct fair_turn {
	int64_t last; /* the client's newest; 0 = none is known */
	int32_t next; /* how many turns behind that this job is: 1, 2 … within one batch */
};

/* A new batch of submits is made up; what has been made before has been told, or shares its turns. */
void fair_begin(void);
/* The turn of one more job in the batch. */
struct fair_turn fair_next(int32_t type_id, int16_t priority, const char *client);
/* The database gave a job this place. */
void fair_took(int32_t type_id, int16_t priority, const char *client, int64_t seq);
/* The client's newest turn; 0 = none is known. */
int64_t fair_last(int32_t type_id, int16_t priority, const char *client);

#endif
