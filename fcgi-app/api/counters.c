/*
 * counters.c: what this process counts; see counters.h.
 */
#include "api/counters.h"

#include <string.h>

const double count_seconds[COUNT_BOUNDS] = { 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
					     0.1,    0.25,  0.5,    1,     2.5,  10 };
const double count_sizes[COUNT_BOUNDS] = {
	1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384
};
const char *const count_db_names[COUNT_DBS] = {
	"write", "read", "replica", "bulk", "side", "upload"
};
const char *const count_batch_names[COUNT_BATCHES] = { "submit", "poll" };

static struct counters own; /* until there is a file */
struct counters *counters = &own;

void histogram_add(struct histogram *h, const double bounds[COUNT_BOUNDS], double value)
{
	int i = 0;

	while (i < COUNT_BOUNDS && value > bounds[i])
		i++;
	h->place[i]++;
	h->sum += value;
}

uint64_t histogram_count(const struct histogram *h)
{
	uint64_t n = 0;

	for (int i = 0; i <= COUNT_BOUNDS; i++)
		n += h->place[i];
	return n;
}

/* The place of a method, which is a single bit. */
static int method_place(int method)
{
	int i = 0;

	while (i < COUNT_METHODS - 1 && !(method >> i & 1))
		i++;
	return i;
}

void count_answer(int route, int method, int status, bool parked, double seconds)
{
	int class = status / 100 - 1;

	if (class < 0 || class >= COUNT_CLASSES)
		return;
	counters->requests[route][method_place(method)][class]++;
	histogram_add(parked ? &counters->parked : &counters->answered[route], count_seconds,
		      seconds);
}

void count_batch(enum count_batch which, uint64_t n)
{
	histogram_add(&counters->batch[which], count_sizes, (double)n);
}

void count_db(const char *label, double seconds)
{
	for (int i = 0; i < COUNT_DBS; i++) {
		if (strcmp(label, count_db_names[i]) != 0)
			continue;
		if (seconds < 0)
			counters->connects[i]++;
		else
			histogram_add(&counters->statement[i], count_seconds, seconds);
	}
}
