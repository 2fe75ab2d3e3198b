/*
 * durations.h: how long jobs usually take, by type and size of their input, as the database has it from the
 * workers.
 */
#ifndef LONGHAUL_API_DURATIONS_H
#define LONGHAUL_API_DURATIONS_H

#include <stddef.h>
#include <stdint.h>

struct app;

/* Jobs with about this much input run about so long. */
struct duration_point {
	int32_t type_id;
	double bytes, ms;
};

void durations_start(struct app *a);
void durations_stop(void);

/* How long a job of the type with that much input runs, in ms; 0 = unknown. What is known is asked anew
 * every [api] history_refresh_ms. */
double duration_of(int32_t type_id, int64_t input_size);

/* The same from n points of one type in the order of their sizes: between two on the straight line, below
 * the smallest as long as that, above the largest in proportion. */
double duration_at(const struct duration_point *points, size_t n, double bytes);

#endif
