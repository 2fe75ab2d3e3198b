/*
 * cursor.c: the claim cursor and its trailing floor.
 */
#include "cursor.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

/* The entry of a priority, made if it isn't there. */
static struct cursor_entry *entry(struct cursor *c, int16_t priority)
{
	size_t i = 0;

	while (i < c->n && c->v[i].priority > priority)
		i++;
	if (i < c->n && c->v[i].priority == priority)
		return &c->v[i];
	if (c->n == c->cap) {
		c->cap = c->cap ? 2 * c->cap : 2;
		c->v = mem_realloc(c->v, c->cap, sizeof(*c->v));
	}
	memmove(&c->v[i + 1], &c->v[i], (c->n - i) * sizeof(*c->v));
	c->n++;
	c->v[i] = (struct cursor_entry){ .priority = priority };
	return &c->v[i];
}

void cursor_reset(struct cursor *c)
{
	c->n = 0;
	entry(c, 0);
}

void cursor_free(struct cursor *c)
{
	free(c->v);
	*c = (struct cursor){ 0 };
}

void cursor_saw(struct cursor *c, int16_t priority, int64_t seq)
{
	struct cursor_entry *e = entry(c, priority);

	if (seq > e->after)
		e->after = seq;
}

static void raise_floor(struct cursor_entry *e, int64_t to)
{
	if (to > e->floor)
		e->floor = to;
	if (e->floor > e->after)
		e->after = e->floor;
}

void cursor_look(struct cursor *c)
{
	for (size_t i = 0; i < c->n; i++)
		c->v[i].looking = c->v[i].horizon.settled;
}

void cursor_looked(struct cursor *c, bool is_short, bool strict, int16_t last_priority,
		   int64_t last_seq)
{
	for (size_t i = 0; i < c->n; i++) {
		struct cursor_entry *e = &c->v[i];

		if (is_short || (strict && e->priority > last_priority))
			raise_floor(e, e->looking);
		else if (e->priority == last_priority)
			raise_floor(e, last_seq < e->looking ? last_seq : e->looking);
	}
}

static struct cursor_entry *find(const struct cursor *c, int16_t priority)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].priority == priority)
			return &c->v[i];
	return NULL;
}

int64_t cursor_floor(const struct cursor *c, int16_t priority)
{
	const struct cursor_entry *e = find(c, priority);

	return e ? e->floor : 0;
}

void horizon_update(struct horizon *h, int64_t seq, int64_t xmax, int64_t xmin)
{
	if (h->pending && xmin >= h->next_xmax) {
		if (h->next > h->settled)
			h->settled = h->next;
		h->pending = false;
	}
	/* Only a horizon that has come in makes room for the next: a newer one each time would never
	 * come in while transactions overlap. */
	if (!h->pending && seq > h->settled) {
		h->pending = true;
		h->next = seq;
		h->next_xmax = xmax;
	}
}

void cursor_horizon(struct cursor *c, int16_t priority, int64_t seq, int64_t xmax, int64_t xmin)
{
	struct cursor_entry *e = find(c, priority);

	/* One that isn't known is looked for from the bottom anyway. */
	if (e)
		horizon_update(&e->horizon, seq, xmax, xmin);
}
