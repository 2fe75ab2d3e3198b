/*
 * history.c: how long jobs took; see history.h.
 */
#include "history.h"

#include <stdlib.h>

#include "common/db.h"
#include "common/mem.h"

#define HALF_WAY 1.41421356 /* where a doubling is divided: the square root of two */

struct history_bucket {
	int32_t jobs; /* since the last report */
	int64_t bytes[HISTORY_RECENT];
	int64_t ran_ms[HISTORY_RECENT];
};

int history_bucket_of(int64_t bytes)
{
	uint64_t n = bytes > 0 ? (uint64_t)bytes : 0;
	int top, half;

	if (n == 0)
		return 0;
	top = 63 - __builtin_clzll(n);
	half = (double)n >= HALF_WAY * (double)(1ULL << top);
	return top < HISTORY_BUCKETS / 2 - 1 ? 1 + 2 * top + half : HISTORY_BUCKETS - 1;
}

void history_add(struct history *h, int64_t bytes, int32_t ran_ms)
{
	struct history_bucket **at = &h->buckets[history_bucket_of(bytes)], *b;
	int place;

	if (!*at)
		*at = mem_zalloc(sizeof(**at));
	b = *at;
	place = b->jobs % HISTORY_RECENT;
	b->bytes[place] = bytes;
	b->ran_ms[place] = ran_ms;
	if (b->jobs < INT32_MAX - HISTORY_RECENT)
		b->jobs++;
	h->dirty = true;
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static double median(int64_t *v, int n)
{
	int low = (n - 1) / 2, high = n / 2;

	qsort(v, (size_t)n, sizeof(*v), by_value);
	return ((double)v[low] + (double)v[high]) / 2;
}

void history_take(struct history *h, int32_t type_id, struct history_report *out)
{
	if (!h->dirty)
		return;
	h->dirty = false;
	for (int i = 0; i < HISTORY_BUCKETS; i++) {
		struct history_bucket *b = h->buckets[i];
		int n;

		if (!b || b->jobs == 0)
			continue;
		n = b->jobs < HISTORY_RECENT ? b->jobs : HISTORY_RECENT;
		pga_int4(out->types, type_id);
		pga_int2(out->buckets, (int16_t)i);
		pga_int4(out->jobs, b->jobs);
		pga_float8(out->sizes, median(b->bytes, n));
		pga_float8(out->ran, median(b->ran_ms, n));
		b->jobs = 0;
	}
}

void history_free(struct history *h)
{
	for (int i = 0; i < HISTORY_BUCKETS; i++) {
		free(h->buckets[i]);
		h->buckets[i] = NULL;
	}
	h->dirty = false;
}
