/*
 * history.h: how long jobs took, by the size of their input, for estimates: kept as the last few durations
 * of each class of sizes, told to the database as medians now and then.
 */
#ifndef LONGHAUL_WORKER_HISTORY_H
#define LONGHAUL_WORKER_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

struct pgarray;

#define HISTORY_BUCKETS 100 /* two to each doubling: more than enough for any input */
#define HISTORY_RECENT 31   /* durations of a class that its median is taken of */

struct history_bucket;

/* Of one type. Zeroed at first. */
struct history {
	struct history_bucket *buckets[HISTORY_BUCKETS];
	bool dirty; /* something was added since the last report */
};

/* The class of an input's size. */
int history_bucket_of(int64_t bytes);
/* A completed job took that long. */
void history_add(struct history *h, int64_t bytes, int32_t ran_ms);

/* The columns of a report: see longhaul.report_history(). */
struct history_report {
	struct pgarray *types, *buckets, *jobs, *sizes, *ran;
};

/* Appends what was added since the last report. */
void history_take(struct history *h, int32_t type_id, struct history_report *out);
void history_free(struct history *h);

#endif
