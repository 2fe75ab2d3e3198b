/*
 * counters.h: what this process counts for GET /metrics.
 *
 * All numbers are in one struct, which lies in a file that the other processes of the host can read
 * (counters_file.c), or in memory of our own while there is none. One process writes it, from one thread.
 */
#ifndef LONGHAUL_API_COUNTERS_H
#define LONGHAUL_API_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

#define COUNT_ROUTES 64 /* rows of the router's table, at most; 0 = none of them */
#define COUNT_METHODS 5
#define COUNT_CLASSES 5 /* 1xx … 5xx */
#define COUNT_BOUNDS 13

enum count_db {
	COUNT_WRITE,
	COUNT_READ,
	COUNT_REPLICA,
	COUNT_BULK,
	COUNT_SIDE,
	COUNT_UPLOAD,
	COUNT_DBS
};
enum count_batch { COUNT_SUBMITS, COUNT_POLLS, COUNT_BATCHES };

/* Upper bounds of the places: times in seconds, sizes in rows. */
extern const double count_seconds[COUNT_BOUNDS], count_sizes[COUNT_BOUNDS];
extern const char *const count_db_names[COUNT_DBS];
extern const char *const count_batch_names[COUNT_BATCHES];

struct histogram {
	uint64_t place[COUNT_BOUNDS + 1]; /* the last: above all bounds */
	double sum;
};

struct counters {
	uint64_t requests[COUNT_ROUTES][COUNT_METHODS][COUNT_CLASSES];
	struct histogram answered[COUNT_ROUTES]; /* those that weren't parked */
	struct histogram parked;
	struct histogram statement[COUNT_DBS];
	struct histogram batch[COUNT_BATCHES];
	uint64_t connects[COUNT_DBS];
	/* as it is now */
	uint64_t up; /* a bit for each of enum count_db; uploads connect when they are needed */
	int64_t connections, under_way, streams, waiting, uploads;
};

extern struct counters *counters;

/* One more value: finds its place among these bounds. */
void histogram_add(struct histogram *h, const double bounds[COUNT_BOUNDS], double value);
uint64_t histogram_count(const struct histogram *h);

/* A request was answered: `method` is an enum http_method. */
void count_answer(int route, int method, int status, bool parked, double seconds);
/* A statement over so many items was sent. */
void count_batch(enum count_batch which, uint64_t n);
/* For db_observe(): a query has returned (seconds >= 0), or the connection came up. */
void count_db(const char *label, double seconds);

#endif
