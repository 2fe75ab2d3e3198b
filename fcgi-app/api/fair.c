/*
 * fair.c: the newest turn of each client; see fair.h.
 *
 * A table of sets: a client's place is in one set, and a new one takes the place there that was unused for
 * longest. Clients go by a hash of 64 bits; two of the same would merely share their turns.
 */
#include "api/fair.h"

#include <stddef.h>
#include <string.h>

#define SETS 1024
#define WAYS 4

struct place {
	uint64_t who; /* 0 = free */
	int64_t last;
	uint32_t used, batch;
	int32_t given; /* turns behind `last` in that batch */
};

static struct place places[SETS][WAYS];
static uint32_t batch, uses;

static uint64_t hash(uint64_t h, const void *data, size_t size)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < size; i++)
		h = (h ^ p[i]) * UINT64_C(1099511628211);
	return h;
}

static uint64_t who_is(int32_t type_id, int16_t priority, const char *client)
{
	uint64_t h = UINT64_C(14695981039346656037);

	h = hash(h, &type_id, sizeof(type_id));
	h = hash(h, &priority, sizeof(priority));
	h = hash(h, client, strlen(client));
	return h ? h : 1;
}

static struct place *find(uint64_t who)
{
	struct place *set = places[(who ^ who >> 32) % SETS];

	for (int i = 0; i < WAYS; i++)
		if (set[i].who == who)
			return &set[i];
	return NULL;
}

static struct place *find_or_take(uint64_t who)
{
	struct place *found = find(who), *set = places[(who ^ who >> 32) % SETS];

	if (!found) {
		found = &set[0];
		for (int i = 1; i < WAYS; i++)
			if (uses - set[i].used > uses - found->used)
				found = &set[i];
		*found = (struct place){ .who = who };
	}
	found->used = ++uses;
	return found;
}

void fair_begin(void)
{
	batch++;
}

struct fair_turn fair_next(int32_t type_id, int16_t priority, const char *client)
{
	struct place *p = find_or_take(who_is(type_id, priority, client));

	if (p->batch != batch) {
		p->batch = batch;
		p->given = 0;
	}
	return (struct fair_turn){ .last = p->last, .next = ++p->given };
}

void fair_took(int32_t type_id, int16_t priority, const char *client, int64_t seq)
{
	struct place *p = find(who_is(type_id, priority, client));

	if (p && seq >> PLACE_TURN_BITS > p->last)
		p->last = seq >> PLACE_TURN_BITS;
}

int64_t fair_last(int32_t type_id, int16_t priority, const char *client)
{
	const struct place *p = find(who_is(type_id, priority, client));

	return p ? p->last : 0;
}
