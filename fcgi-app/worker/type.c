/*
 * type.c: the table of job types, and how many jobs of each to hold.
 */
#include "type.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

#define BATCH_MAX 64  /* half of what a runner's tickets allow */
#define BATCH_US 2000 /* a runner gets about this much work at once */
#define OVERHEAD_US 5 /* a job takes at least this long, all in all */
#define RECENT 16     /* jobs that the mean goes back */

struct types types;

struct type *type_add(const char *name)
{
	struct type *t = mem_zalloc(sizeof(*t));

	t->name = mem_strdup(name);
	t->mean_us = -1;
	list_init(&t->waiting);
	list_init(&t->runners);
	cursor_reset(&t->cursor);
	types.v = mem_realloc(types.v, types.n + 1, sizeof(*types.v));
	types.v[types.n++] = t;
	return t;
}

void type_free(struct type *t)
{
	free(t->name);
	free(t->cfg.handler);
	buf_free(&t->settings);
	cursor_free(&t->cursor);
	history_free(&t->history);
	free(t);
}

void types_free(void)
{
	for (size_t i = 0; i < types.n; i++)
		type_free(types.v[i]);
	free(types.v);
	types = (struct types){ 0 };
}

struct type *type_by_id(int32_t id)
{
	for (size_t i = 0; i < types.n; i++)
		if (types.v[i]->id == id)
			return types.v[i];
	return NULL;
}

struct type *type_by_name(const char *name)
{
	for (size_t i = 0; i < types.n; i++)
		if (!strcmp(types.v[i]->name, name))
			return types.v[i];
	return NULL;
}

void type_ran(struct type *t, int64_t us)
{
	t->stuck = false;
	t->stuck_since = 0;
	if (us < 0)
		us = 0;
	if (t->mean_us < 0)
		t->mean_us = (double)us;
	else
		t->mean_us += ((double)us - t->mean_us) / RECENT;
}

void type_holds(struct type *t, int64_t bytes)
{
	t->held_bytes += bytes;
	t->n_held += bytes > 0 ? 1 : -1;
	if (bytes > 0) {
		t->mean_bytes += ((double)bytes - t->mean_bytes) / RECENT;
		return;
	}
	t->ended++;
	t->wake = t->wake || t->cut;
	t->cut = false;
}

int type_capacity(const struct type *t)
{
	double ahead;

	if (t->mean_us < 0 || t->stuck || t->limited)
		return t->cfg.slots;
	ahead = (double)t->cfg.slots * config.prefetch_ms * 1000 /
		(t->mean_us > OVERHEAD_US ? t->mean_us : OVERHEAD_US);
	return t->cfg.slots + (ahead < config.prefetch ? (int)ahead : config.prefetch);
}

int type_batch(const struct type *t)
{
	double n;

	if (t->mean_us < 0)
		return 1;
	n = BATCH_US / (t->mean_us > OVERHEAD_US ? t->mean_us : OVERHEAD_US);
	return n > BATCH_MAX ? BATCH_MAX : n < 1 ? 1 : (int)n;
}

/* Cuts the wish for more jobs than there are slots down to the memory that they may take. */
static int within_bytes(const struct type *t, int want)
{
	int slots = t->n_held < t->cfg.slots ? t->cfg.slots - t->n_held : 0;
	double ahead = (double)(config.prefetch_bytes - t->held_bytes) / (t->mean_bytes + 1);

	if (want <= slots || ahead >= want)
		return want;
	return ahead > slots ? (int)ahead : slots;
}

int type_want(const struct type *t)
{
	int capacity = type_capacity(t), want = within_bytes(t, capacity - t->n_held);

	if (want <= 0)
		return 0;
	/* With a long queue of short jobs, wait until a good part of a batch fits. */
	if (t->n_waiting > 0 && want < config.claim_batch && want < capacity / 4 &&
	    t->held_bytes < config.prefetch_bytes / 2)
		return 0;
	return want < config.claim_batch ? want : config.claim_batch;
}
